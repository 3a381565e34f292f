"""Every notebook runs from top to bottom, and keeps the outputs of a run (`make notebooks`)."""

from itertools import groupby
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 1


def shown(notebook):
    """Kinds of outputs of each code cell, in order; warnings count for nothing, printed parts as one."""
    kinds = [
        [sorted(o.get("data", {o.output_type: 0})) for o in c.outputs if o.get("name") != "stderr"]
        for c in notebook.cells
        if c.cell_type == "code"
    ]
    return [[kind for kind, _ in groupby(cell)] for cell in kinds]


# The kernel's own transport warns about its event loop; that is not about this package.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs(path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    notebook = nbformat.read(path, as_version=4)
    kept = shown(notebook)
    assert any(kept)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}}).execute()
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    assert len(cells) > 5
    assert all(c.execution_count for c in cells)
    assert shown(notebook) == kept, "its outputs are of another run: make notebooks"

"""Every notebook runs from top to bottom, and keeps the outputs of a run (`make notebooks`).

The first with few draws in the long tests; all with all draws, each in a kernel of its own, in the slow ones.
"""

from itertools import groupby
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
NOTEBOOKS = sorted((TESTS.parent / "notebooks").glob("*.ipynb"))
# The kernel's own transport warns about its event loop; that is not about this package.
pytestmark = pytest.mark.filterwarnings("default")

FEW_DRAWS = f"""
%reset -f
import sys
sys.path.insert(0, {str(TESTS)!r})
if "short_runs" not in sys.modules:
    from short_runs import short_runs
    short_runs(setattr)
"""
# A kernel takes seconds, and blocks of the pages on the ground of the others run in the fast tests.
QUICK = ("01_first_forecast",)


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 1


def test_readers_are_shown_the_returns_of_the_package():
    """Those of pandas fill missing prices before its version 3, and pass no rule on data."""
    root = TESTS.parent
    texts = [*NOTEBOOKS, root / "README.md", *(root / "docs").rglob("*.md")]
    told = [p.name for p in texts if "pct_change(" in p.read_text(encoding="utf-8")]
    assert not told, "write bdfm.risk.simple_returns(prices)"


def shown(cells):
    """Kinds of outputs of each cell, in order; warnings count for nothing, printed parts as one."""
    kinds = [
        [sorted(o.get("data", {o.output_type: 0})) for o in c.outputs if o.get("name") != "stderr"]
        for c in cells
    ]
    return [[kind for kind, _ in groupby(cell)] for cell in kinds]


@pytest.fixture(scope="module")
def environment():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        patch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
        yield


@pytest.fixture(scope="module")
def kernel(environment):
    from jupyter_client.manager import AsyncKernelManager  # seconds: in the one process that runs these
    from jupyter_core.utils import run_sync

    manager = AsyncKernelManager()
    yield manager
    if manager.has_kernel:
        run_sync(manager.shutdown_kernel)(now=True)


def run(path, manager=None):
    """Run a notebook, with few draws in the kernel given, and compare its outputs with those it keeps."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    kept = shown(cells)
    assert any(kept)
    if manager is not None:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(FEW_DRAWS))
    where = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, km=manager, timeout=600, resources=where)
    try:
        client.execute()
    except Exception as error:
        error.add_note(f"in {path.name}")
        raise
    if manager is not None:
        client.kc.stop_channels()
    assert len(cells) > 5
    assert all(c.execution_count for c in cells)
    assert shown(cells) == kept, f"{path.name}: its outputs are of another run: make notebooks"


@pytest.mark.long
def test_notebooks_run_with_few_draws(kernel):
    """One test, so that one process of the tests starts the one kernel."""
    for path in NOTEBOOKS:
        if path.stem in QUICK:
            run(path, kernel)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs(path, environment):
    run(path)

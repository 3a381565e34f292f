"""Run the notebooks and keep their outputs, small: ``python scripts/docs/notebooks.py [NOTEBOOK ...]``.

Pictures keep 64 colours. What differs from run to run without a meaning (times, paths in warnings) is left
out.
"""

from __future__ import annotations

import base64
import io
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parents[2] / "notebooks"
COLOURS = 64


def run(path: Path) -> None:
    """Run one notebook in place."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(path.parent)}}).execute()
    nbformat.write(tidy(notebook), path)


def tidy(notebook: Any) -> Any:
    """Notebook without what changes from run to run, and with small pictures."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        for output in cell.outputs:
            picture = output.get("data", {}).get("image/png")
            if picture:
                output["data"]["image/png"] = small(picture)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def small(picture: str) -> str:
    """Picture of fewer colours, in base64."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    out = io.BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    made = base64.b64encode(out.getvalue()).decode()
    return made if len(made) < len(picture) else picture


if __name__ == "__main__":
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    for name in sys.argv[1:] or sorted(FOLDER.glob("*.ipynb")):
        run(Path(name))

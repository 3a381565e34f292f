"""Where commands print, and what they say when they are stopped."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

if TYPE_CHECKING:
    import pandas as pd

if not os.environ.get("COLUMNS", "1").strip("0"):  # no width is known; Rich would print nothing
    del os.environ["COLUMNS"]
LEFT: Final = "Stopped before the end. Every file is whole, new or as it was. Run the same command again."

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def say_read(*tables: pd.DataFrame | None, to: Console = out) -> None:
    """Print how each file was read, a line each."""
    from bdfm.data.sources import told

    for line in told(*tables):
        to.print(f"read: {line}", markup=False, soft_wrap=True)


@contextmanager
def quiet(wanted: bool) -> Iterator[None]:
    """Print nothing on standard output inside, if wanted; errors and warnings are told all the same."""
    before, out.quiet = out.quiet, out.quiet or wanted
    try:
        yield
    finally:
        out.quiet = before


@contextmanager
def interruptible(left: str = LEFT) -> Iterator[None]:
    """Say what a Ctrl-C has left behind, instead of a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        err.print(left, soft_wrap=True)
        raise SystemExit(130) from None


MADE_BY = {"demo": "month", "forecast": "month"}  # who makes results, where that is not the command's name


def guarded[**P](command: Callable[P, None]) -> Callable[P, None]:
    """Command that says what a Ctrl-C leaves, and refuses places that it cannot write to before it works."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with interruptible():
            _check_places(kwargs, MADE_BY.get(command.__name__, command.__name__))
            command(*args, **kwargs)

    return run


def _check_places(options: dict[str, Any], made_by: str) -> None:
    """Raise ``FileError`` where an option names a place that cannot be written to."""
    from bdfm import _endings, _files, _folders
    from bdfm.errors import FileError

    if isinstance(folder := options.get("out_dir"), Path):
        _folders.OutputFolder(folder, made_by=made_by).check()
    made = dict.fromkeys(("view", "edit", "decide"), _endings.NETCDF)
    made |= dict.fromkeys(("report", "track", "compare"), _endings.PAGE) | {"roll": _endings.RUN}
    kinds = {"out_file": made.get(made_by), "submission": _endings.TABLE}
    files = {name: file for name in kinds if isinstance(file := options.get(name), Path)}
    if len({file.resolve() for file in files.values()}) < len(files):
        raise FileError(f"{files['out_file']}: two files are to be written to this name. Give another one.")
    for name, file in files.items():
        _files.check_target(file, kinds[name])

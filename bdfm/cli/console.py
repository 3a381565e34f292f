"""Where commands print, and what they say when they are stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    import pandas as pd

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
def interruptible(
    left: str = "Stopped before the end; no file was written or changed. Run the same command again.",
) -> Iterator[None]:
    """Say what a Ctrl-C has left behind, instead of a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        err.print(left)
        raise SystemExit(130) from None

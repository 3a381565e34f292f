"""Where commands print, and what they say when they are stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


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

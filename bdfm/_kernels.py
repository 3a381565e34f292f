"""Compilation by Numba that is kept on disk, where there is a place to keep it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def kept[F: Callable[..., Any]](function: F, **options: Any) -> F:
    """Compiled function, cached on disk beside its source, or in the user's cache.

    Where neither can be written to, as of a package that another user has installed and without a home, it is
    compiled anew in each process. Numba is imported here, which takes half a second.
    """
    from numba import njit

    try:
        compiled: F = njit(cache=True, **options)(function)
    except RuntimeError:  # "no locator available"
        compiled = njit(**options)(function)
    return compiled

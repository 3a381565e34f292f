"""Parameters of a test of which a few run in the fast tests, and the others in the long ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pytest


def few[T](values: Iterable[T], quick: Collection[T]) -> list[object]:
    """All values as parameters; those that are not among ``quick`` are marked long."""
    return [pytest.param(x, marks=() if x in quick else pytest.mark.long) for x in values]


def every_third[T](values: Iterable[T]) -> list[object]:
    """All values as parameters; two of three are marked long."""
    return [pytest.param(x, marks=pytest.mark.long if k % 3 else ()) for k, x in enumerate(values)]

"""Rows of the table: a concept, and two calculations of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from concept_rows.data import Data


class Row(NamedTuple):
    """One concept: what it is, of which data, how it was calculated otherwise, and both calculations."""

    concept: str
    data: str
    otherwise: str
    tolerance: float
    both: Callable[[Data], tuple[Any, Any]]


class Found(NamedTuple):
    """Both figures of a row, the number of figures compared, and the largest relative difference."""

    row: Row
    ours: float
    other: float
    n: int
    difference: float


ROWS: list[Row] = []


def row(concept: str, data: str, otherwise: str, tolerance: float = 1e-9) -> Callable[[Any], Any]:
    """Register a function of the data that gives our figures and the other ones."""

    def add(function: Callable[[Data], tuple[Any, Any]]) -> Callable[[Data], tuple[Any, Any]]:
        ROWS.append(Row(concept, data, otherwise, tolerance, function))
        return function

    return add


def found(one: Row, data: Data) -> Found:
    """Both figures of a row; the difference is relative to the largest of the other figures."""
    ours, other = (np.asarray(x, dtype=float).ravel() for x in one.both(data))
    if ours.shape != other.shape or not len(ours):
        raise ValueError(f"{one.concept}: {ours.shape} against {other.shape} figures")
    size = float(np.abs(other).max())
    return Found(one, ours[0], other[0], len(ours), float(np.abs(ours - other).max() / (size or 1.0)))

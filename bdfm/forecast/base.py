"""Draws that can be made anew: what a file of a forecast need not hold.

A forecast's draws follow from the posterior, the seed and their number. Beside the posterior's file it is
enough to keep what edits changed, the weights, and a sum by which the rest is known again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bdfm import _blocks
from bdfm.errors import FileError

# Modules whose function ``remade(path, **how)`` makes the draws of a forecast anew. Named, not imported: the
# rooms that make forecasts come after this one.
MAKERS: Final[Mapping[str, str]] = {"posterior": "bdfm.posterior.remake"}


@dataclass(frozen=True, eq=False)
class Base:
    """Draws as they were made, and how.

    Attributes
    ----------
    returns, assets
        (draw, asset) as made, before any change but assets declared inactive.
    maker, how
        Key of ``MAKERS``, and what it needs besides a file: JSON values.
    path
        File that they can be made from; None where there is none yet.
    """

    returns: NDArray[np.float32]
    assets: tuple[str, ...]
    maker: str
    how: Mapping[str, Any]
    path: Path | None = None

    def unchanged(self, returns: NDArray[np.float32], assets: tuple[str, ...]) -> list[bool]:
        """Whether the draws of each asset are those that were made, to the last bit."""
        if returns is self.returns and assets == self.assets:
            return [True] * len(assets)
        if len(returns) != len(self.returns):
            return [False] * len(assets)
        at = {a: j for j, a in enumerate(self.assets)}
        known = np.array([j for j, a in enumerate(assets) if a in at], dtype=np.intp)
        source = np.array([at[assets[j]] for j in known], dtype=np.intp)
        same = np.zeros(len(assets), dtype=bool)
        same[known] = True
        for here in _blocks.blocks(returns, self.returns):
            now, made = returns[here].view(np.uint32), self.returns[here].view(np.uint32)
            same[known] &= (now[:, known] == made[:, source]).all(axis=0)
        return [bool(x) for x in same]

    def at(self, path: Path) -> Base:
        """The same, to be made from this file."""
        return replace(self, path=path)

    def reference(self, folder: Path) -> dict[str, Any] | None:
        """JSON values that find it from a file in ``folder``; None unless its file lies there."""
        if self.path is None or self.path.resolve().parent != folder.resolve():
            return None
        if not os.path.exists(self.path):
            return None
        return {"maker": self.maker, "file": self.path.name, "how": dict(self.how)}


def make_anew(reference: Mapping[str, Any], path: Path) -> Any:
    """Forecast whose draws a file at ``path`` refers to.

    Raises
    ------
    FileError
        The file that they are made from is missing, or a newer release says how.
    """
    source = path.parent / str(reference["file"])
    if not os.path.isfile(source):
        raise FileError(
            f"{path}: its draws are made anew from {source.name}, which is not beside it. Keep both files"
            " together, or make the month again with keep_draws = true."
        )
    if reference["maker"] not in MAKERS:
        raise FileError(f"{path}: written by a newer bdfm. Upgrade bdfm.")
    return import_module(MAKERS[reference["maker"]]).remade(source, **reference["how"])


def checksum(returns: NDArray[np.float32], chosen: NDArray[np.intp]) -> int:
    """Sum of all bits of chosen columns of returns (draw, asset), weighted by place: others, another sum."""
    total = np.zeros(len(chosen), dtype=np.uint64)
    whole = len(chosen) == returns.shape[1]
    for here in _blocks.blocks(returns):
        part = returns[here] if whole else np.ascontiguousarray(returns[here][:, chosen])
        block = part.view(np.uint32).astype(np.uint64)
        place = 2 * np.arange(here.start, here.stop, dtype=np.uint64) + 1
        block *= place[:, None]
        total += block.sum(axis=0, dtype=np.uint64)
    column = 2 * np.arange(len(total), dtype=np.uint64) + 1
    return int((total * column).sum(dtype=np.uint64) >> np.uint64(1))

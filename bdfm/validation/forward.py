"""Forward selection of factors by what they explain on periods left out, in folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm._statistics import mean_error

Floats = NDArray[np.float64]


def forward(
    x: Floats, y: Floats, names: list[str], n_components: int, folds: list[NDArray[np.intp]]
) -> tuple[pd.DataFrame, Floats]:
    """Path of forward selection, and the loss (step, period) of each subset on periods left out."""
    prepared = [_prepare(x, y, n_components, fold) for fold in folds]
    total = np.concatenate([np.square(p.unseen).mean(axis=1) for p in prepared])

    def loss(subset: list[int]) -> Floats:
        return np.concatenate([np.square(p.unseen - p.explained(subset)).mean(axis=1) for p in prepared])

    subset: list[int] = []
    rows: list[dict[str, Any]] = []
    losses = [total]
    while len(subset) < len(names):
        trials = {j: loss([*subset, j]) for j in range(len(names)) if j not in subset}
        j = min(trials, key=lambda i: float(trials[i].mean()))
        gain = losses[-1] - trials[j]
        subset.append(j)
        losses.append(trials[j])
        rows.append(
            {
                "factor": names[j],
                "r_squared": 1 - float(trials[j].mean() / total.mean()),
                "gain": float(gain.mean() / total.mean()),
                "se": mean_error(gain) / float(total.mean()),
            }
        )
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="size")), np.array(losses)


@dataclass(frozen=True, eq=False)
class _Fold:
    """One fold left out: normal equations of the other periods, and the design of its own.

    With components each asset has a design of its own, in which its own return is left out of the components:
    otherwise more of them would always explain more, down to every asset by itself.
    """

    gram: Floats  # (asset or 1, candidate, candidate)
    cross: Floats  # (asset, candidate)
    design: Floats  # (asset or 1, period, candidate)
    unseen: Floats  # (period, asset), standardised

    def explained(self, subset: list[int]) -> Floats:
        """Returns (period, asset) that a subset explains."""
        gram = self.gram[:, subset][:, :, subset]
        beta = np.linalg.solve(gram, self.cross[:, subset, None])[..., 0]
        return np.asarray((self.design[..., subset] @ beta[..., None])[..., 0].T)


def _prepare(x: Floats, y: Floats, n_components: int, fold: NDArray[np.intp]) -> _Fold:
    train = np.setdiff1d(np.arange(len(y)), np.arange(fold[0] - 1, fold[-1] + 2))
    mean, sd = y[train].mean(axis=0), y[train].std(axis=0)
    seen, unseen = ((y[s] - mean) / sd for s in (train, fold))
    designs = [x[s][None] for s in (train, fold)]
    if n_components:
        _, _, right = np.linalg.svd(seen, full_matrices=False)
        weights = right[:n_components].T  # (asset, component)
        scores = [z @ weights - z.T[:, :, None] * weights[:, None, :] for z in (seen, unseen)]
        n_assets = y.shape[1]
        designs = [
            np.concatenate([np.broadcast_to(d, (n_assets, *d.shape[1:])), own], axis=2)
            for d, own in zip(designs, scores, strict=True)
        ]
    centre = designs[0].mean(axis=1, keepdims=True)
    a, b = (d - centre for d in designs)
    gram = np.swapaxes(a, 1, 2) @ a
    scale = np.trace(gram, axis1=1, axis2=2)[:, None, None] / gram.shape[1]
    gram = gram + 1e-12 * scale * np.eye(gram.shape[1])  # exact copies among candidates share their exposure
    cross = (a * seen.T[:, :, None]).sum(axis=1) if len(a) > 1 else seen.T @ a[0]
    return _Fold(gram, cross, b, unseen)


def chosen_size(losses: Floats) -> tuple[int, int]:
    """Size of the smallest subset within one standard error of the best, and of the best; at least 1."""
    best = int(losses[1:].mean(axis=1).argmin()) + 1
    for size in range(1, best):
        gap = losses[size] - losses[best]
        if gap.mean() <= mean_error(gap):
            return size, best
    return best, best


def resampled(fold: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows of a fold resampled in contiguous blocks, as many as the fold has."""
    size = max(1, round(len(fold) ** (1 / 3)))
    starts = rng.integers(0, len(fold) - size + 1, -(-len(fold) // size))
    return np.asarray(fold[(starts[:, None] + np.arange(size)).ravel()[: len(fold)]])

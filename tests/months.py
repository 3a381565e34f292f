"""Months of a small market that follow each other."""

from __future__ import annotations

import numpy as np

from bdfm.data.panel import Panel
from bdfm.model.factor_model import FactorModel

ASSETS = [f"A{i}" for i in range(8)]
CLASSES = np.array(["stock"] * 5 + ["bond_etf"] * 3)


def small_market(n):
    """Model, and ``panel(rows, columns, origin)`` of n periods of eight assets; ``times`` scales returns."""
    rng = np.random.default_rng(3)
    common = 0.05 * rng.standard_normal((n, 2)) @ rng.standard_normal((2, 8))
    returns = common + 0.03 * rng.standard_normal((n, 8))
    recent, volatility = rng.standard_normal((n + 1, 8)), 0.3 * rng.standard_normal((n + 1, 8, 1))
    earnings = (rng.random((n + 1, 8)) < 0.25).astype(float)

    def panel(rows, columns, origin, times=1.0):
        ahead = rows.stop
        return Panel.from_arrays(
            times * returns[rows][:, columns],
            asset_class=CLASSES[columns].tolist(),
            assets=[ASSETS[i] for i in columns],
            recent_return=recent[rows][:, columns],
            recent_volatility=volatility[rows][:, columns],
            earnings=earnings[rows][:, columns],
            next_recent_return=recent[ahead, columns],
            next_recent_volatility=volatility[ahead, columns],
            next_earnings=earnings[ahead, columns],
            origin=origin,
        )

    return FactorModel(name="tiny", n_factors=2), panel

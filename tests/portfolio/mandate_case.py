"""A forecast of eight assets with weighted draws, and what is held of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bdfm.forecast.forecast import Forecast

ASSETS = tuple("ABCDEFGH")
CLASSES = ("stock",) * 5 + ("bond",) * 3
SECTORS = ("tech", "tech", "oil", "oil", "bank", "", "", "")
UNIVERSE = pd.DataFrame({"symbol": ASSETS, "asset_class": CLASSES, "name": ASSETS, "sector": SECTORS})
HELD = {"A": 0.3, "C": 0.25, "H": 0.35, "CASH": 0.1}
HELD_BY_ASSET = np.array([HELD.get(a, 0.0) for a in ASSETS])
STOCK = np.array([c == "stock" for c in CLASSES], dtype=float)
TECH = np.array([s == "tech" for s in SECTORS], dtype=float)
CENTS = {a: 11.0 + 7 * k for k, a in enumerate(ASSETS)}
YEARS = 28 / 365.25


def make(n=700, seed=5, *, p=None, fixed=None):
    """Skewed returns of eight assets, with weights that are not equal."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((n, 1)) * 0.03 - 0.01 * (rng.random((n, 1)) < 0.05)
    own = rng.standard_t(6, (n, 8)) * np.linspace(0.05, 0.012, 8)
    mean = np.array([0.016, 0.012, 0.009, 0.014, 0.006, 0.004, 0.005, 0.003])
    draws = mean + common * np.linspace(1.4, 0.1, 8) + own
    if fixed is not None:
        draws[:, fixed] = -0.5
    return Forecast.from_draws(
        np.maximum(draws, -0.9),
        assets=ASSETS,
        asset_class=CLASSES,
        origin="2022-02-04",
        end="2022-03-04",
        weights=rng.random(n) ** 2 if p is None else p,
    )


def numbers(forecast):
    """Draws, weights, mean and covariance, by plain NumPy."""
    r, p = forecast.draws.to_numpy().astype(float), forecast.weights.to_numpy()
    mean = p @ r
    centred = r - mean
    return r, p, mean, (centred * p[:, None]).T @ centred

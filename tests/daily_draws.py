"""A posterior of the daily model that no fit made, of parameters that the equations allow: for quick tests.

Asymmetric on purpose: leverage of both signs, assets of different volatility and tails, announcements ahead.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import xarray as xr

from bdfm.data.panel import Panel
from bdfm.data.sources import demo
from bdfm.model.factor_model import FactorModel
from bdfm.posterior.posterior import Posterior

SYMBOLS = ["AAPL", "AMD", "BAC", "PEP"]
K, ORIGIN = 2, "2020-11-20"


def daily_model() -> FactorModel:
    model = FactorModel.from_preset("daily")
    settings = model.panel.model_copy(update={"n_periods": 40})
    return model.model_copy(update={"n_factors": K, "panel": settings})


@cache
def daily_posterior(n_draws: int = 400, horizon: int = 8, inactive: tuple[str, ...] = ()) -> Posterior:
    """Two chains of draws at the end of November 2020; AMD announces on the third day, PEP on the fifth."""
    model = daily_model()
    prices, universe = demo()
    panel = Panel.from_prices(
        prices,
        universe[universe["symbol"].isin(SYMBOLS)],
        origin=ORIGIN,
        earnings=pd.DataFrame(
            {"symbol": ["AMD", "PEP"], "date": pd.to_datetime(["2020-11-25", "2020-11-27"])}
        ),
        settings=model.panel,
        horizon=horizon,
        zero=inactive,
        accept=None,
    )
    rng, n, t, a = np.random.default_rng(8), n_draws, panel.n_history, len(SYMBOLS)

    def each(values: object, spread: float) -> np.ndarray:
        """Values of every draw, around these."""
        return np.asarray(values) * np.exp(spread * rng.standard_normal((n, *np.shape(values))))

    last = np.zeros((t, K))
    last[-1] = -0.02, 0.015  # what leverage makes of tomorrow's volatility
    known = {
        "factor_scale": each([0.010, 0.006], 0.15),
        "factor_phi": np.tile([0.9, 0.8], (n, 1)),
        "factor_volatility_sd": np.tile([0.3, 0.25], (n, 1)),
        "leverage": np.tile([-0.7, 0.4], (n, 1)),
        "factor_volatility": 0.3 * rng.standard_normal((n, t, K)),
        "factors": 0.01 * rng.standard_normal((n, t, K)) + last,
        "loadings": each([[1.0, 0.2], [0.8, -0.4], [1.2, 0.1], [0.5, 1.0]], 0.05),
        "theta": np.array([-4.5, -4.2, -4.6, -4.9]) + 0.05 * rng.standard_normal((n, a)),
        "beta_earnings": 1.2 + 0.1 * rng.standard_normal((n, a)),
        "nu": each([5.0, 6.0, 8.0, 4.0], 0.05),
        "logit_phi": np.tile([2.0, 1.5, 2.5, 2.0], (n, 1)),
        "log_volatility_sd": np.full((n, a), np.log(0.25)),
        "volatility_state": 0.2 * rng.standard_normal((n, t, a)),
    }
    coords = model.coords(panel)
    lead = {"chain": np.arange(2), "draw": np.arange(n // 2)}
    found = {}
    for v in model.variables:
        if not v.stored:
            continue
        core = tuple(len(coords[d]) for d in v.dims)
        x = known.get(v.name, np.full((n, *core), 0.5))  # hierarchies say nothing of what is ahead
        found[v.name] = (("chain", "draw", *v.dims), x.reshape(2, n // 2, *core))
    used = {d for v in model.variables if v.stored for d in v.dims}
    draws = xr.Dataset(found, lead | {d: coords[d] for d in coords if d in used})
    attrs = {"engine": "none", "seed": 1, "settings": "{}", "versions": "{}", "seconds": "{}"}
    return Posterior.from_draws(draws, xr.Dataset(), model, panel, attrs)

"""Forecasts from a posterior: predictive draws, put where the budget of memory allows."""

from __future__ import annotations

import math
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _blocks, _checks
from bdfm._threads import each
from bdfm.data.panel import Panel
from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast
from bdfm.model.equations import at_periods, model_data
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.model.redraw import paths_given_evidence
from bdfm.model.simulate import other_draws, simulate_ahead
from bdfm.names import FACTORS, NAME, PERIOD, PERIOD_REDRAWN
from bdfm.posterior.memory import check_forecast
from bdfm.posterior.told import evidence_records

# Many, because quintile probabilities are means over draws: with 600,000 the ranked probability score of one
# M6 forecast has a Monte Carlo sd of about 1.4e-5, with 100,000 of about 3e-5.
N_PREDICTIVE_DRAWS: Final = 600_000
# Simple returns are rounded to this, 0.04 basis points: digits that mean nothing, and half of the file.
RETURN_RESOLUTION: Final = 2.0**-18
# Log returns are cut here (-99.3 %, a factor of 148): a Student-t of few degrees of freedom would overflow.
MAX_LOG_RETURN: Final = 5.0


class Fitted(Protocol):
    """What a forecast takes of a posterior."""

    @property
    def model(self) -> FactorModel:
        """Model that was fitted."""

    @property
    def panel(self) -> Panel:
        """Panel that it was fitted to."""

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Evidence that the fit was given."""

    @property
    def n_draws(self) -> int:
        """Number of posterior draws."""

    @property
    def attrs(self) -> dict[str, Any]:
        """Facts of the fit, its seed among them."""

    def parameters(self) -> dict[str, NDArray[Any]]:
        """Draws as arrays (draw, ...) by name."""


def made_forecast(posterior: Fitted, horizon: int, *, seed: object, n_draws: int) -> Forecast:
    """Forecast of a posterior, as ``Posterior.forecast`` describes it."""
    _checks.at_least(horizon, 1, what="horizon", where="forecast")
    number = _checks.seed_number(seed, where="forecast")
    panel, model = posterior.panel, posterior.model
    if horizon > panel.n_future:
        raise DataError(
            f"forecast: horizon {horizon} is beyond the panel's {panel.n_future} future periods."
            f" Build the panel with horizon={horizon}, so that features and earnings are known."
        )
    share = model.predictive.shares(posterior.evidence)
    if share and horizon > panel.n_history:
        raise DataError(
            f"forecast: horizon {horizon} is longer than the history of {panel.n_history} periods, from"
            f" which model {model.name!r} draws a share. Forecast less far or leave out [predictive]."
        )
    check_forecast(n_draws, len(panel.assets), n_posterior=posterior.n_draws)
    p = posterior.parameters()
    past = p[FACTORS][:, p[FACTORS].shape[1] - model.n_lags :]
    data = at_periods(model_data(model, panel, future=True), slice(horizon))
    n_paths = 2 * max(1, math.ceil((1 - share) * n_draws / (2 * posterior.n_draws)))
    rng = np.random.default_rng(number)
    n_own = n_paths * posterior.n_draws
    n_others = round(share / (1 - share) * n_own) if share else 0
    returns = _blocks.empty(n_own + n_others, len(panel.assets))
    paths: dict[str, Any] = {"n_paths": n_paths, "rng": rng, "totals": returns[:n_own]}
    redrawn = False
    if posterior.evidence:
        redrawn = paths_given_evidence(model, p, past, data, panel, posterior.evidence, **paths).redrawn
    else:
        simulate_ahead(model, p, past, data, **paths)
    if share:
        rest: dict[str, Any] = {"n": n_others, "n_steps": horizon, "out": returns[n_own:]}
        other_draws(model, p, panel, rng=rng, evidence=posterior.evidence, **rest)
    make_simple(returns)
    future = panel.future
    forecast = Forecast.from_draws(
        returns,
        assets=panel.assets,
        asset_class=[panel.asset_classes[c] for c in panel.class_index],
        names=[str(x) for x in future[NAME].to_numpy()],
        origin=panel.origin,
        end=pd.Timestamp(future[PERIOD].to_numpy()[horizon - 1]),
        posterior_draw=np.arange(len(returns)) % posterior.n_draws,
        take_over=True,
        attrs={
            "model": model.name,
            "seed": number,
            "fit_seed": int(posterior.attrs["seed"]),
            "horizon": horizon,
            "pool": model.predictive.kind if share else "model",
            "pool_share": share,
        },
    )
    if redrawn:
        forecast = forecast.with_attrs(**{PERIOD_REDRAWN: 1})
    alone = not share and bool(model.predictive.other_share)
    for record in evidence_records(posterior.evidence, alone=alone):
        forecast = forecast.with_record(record)
    forecast = forecast.zero(*panel.inactive) if panel.inactive else forecast
    return forecast.with_base("posterior", {"horizon": horizon, "seed": number, "n_draws": n_draws})


def make_simple(returns: NDArray[np.float32]) -> None:
    """Turn log returns (draw, asset) into simple ones, cut and rounded, in place."""

    def work(start: int) -> None:
        block = returns[start : start + size]
        np.clip(block, -MAX_LOG_RETURN, MAX_LOG_RETURN, out=block)
        np.expm1(block, out=block)
        np.divide(block, RETURN_RESOLUTION, out=block)
        np.rint(block, out=block)
        np.multiply(block, RETURN_RESOLUTION, out=block)
        _blocks.release(block)

    size = _blocks.rows_at_once(returns.shape[1])
    each(work, range(0, len(returns), size))

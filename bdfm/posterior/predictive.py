"""Forecasts from a posterior: predictive draws, put where the budget of memory allows."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _blocks, _checks
from bdfm._threads import each
from bdfm.data.panel import Panel
from bdfm.data.periods import horizon_of, horizons_of
from bdfm.errors import DataError, InfeasibleViewError
from bdfm.forecast.entropy import effective_number
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.weigh import MIN_EFFECTIVE_DRAWS, MIN_EFFECTIVE_SHARE
from bdfm.model.equations import at_periods, model_data
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.model.path_evidence import paths_given_returns
from bdfm.model.redraw import paths_given_evidence
from bdfm.model.simulate import Watch, other_draws, simulate_ahead
from bdfm.names import FACTORS, NAME, PERIOD, PERIOD_REDRAWN
from bdfm.posterior.memory import check_forecast, days_known
from bdfm.posterior.told import evidence_records

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


class Paths(NamedTuple):
    """Log returns (draw, asset) over a horizon, weights (draw,) where they differ, and the pool's share.

    ``redrawn``: with evidence, whether paths of a posterior draw differ in what happens after the origin.
    """

    log_returns: NDArray[np.float32]
    weights: NDArray[np.float64] | None
    share: float
    redrawn: bool


def paths_each(posterior: Fitted, n_draws: int, share: float = 0.0) -> int:
    """Paths of each posterior draw, an even number; ``share`` of the draws asked for come from elsewhere."""
    return 2 * max(1, math.ceil((1 - share) * n_draws / (2 * posterior.n_draws)))


def simulated_paths(
    posterior: Fitted, horizon: int, *, seed: int, n_draws: int, watch: Watch | None = None
) -> Paths:
    """Predictive draws of a posterior, pooled as its model says and given its evidence.

    ``watch`` sees the model's own draws step by step; of the first steps it sees the same however far the
    horizon is, for models whose factors each have a volatility of their own.

    Raises
    ------
    DataError
        A horizon beyond the panel, or the history where past returns are drawn; more memory than there is.
    InfeasibleViewError
        Evidence that hardly a path agrees with.
    """
    panel, model, evidence = posterior.panel, posterior.model, posterior.evidence
    if horizon > panel.n_future:
        raise DataError(
            f"forecast: horizon {horizon} is beyond the panel's {panel.n_future} future periods."
            f" Build the panel with horizon={horizon}, so that features and earnings are known."
        )
    share = model.predictive.shares(evidence)
    if share and horizon > panel.n_history:
        raise DataError(
            f"forecast: horizon {horizon} is longer than the history of {panel.n_history} periods, from"
            f" which model {model.name!r} draws a share. Forecast less far or leave out [predictive]."
        )
    n_draws = _checks.at_least(n_draws, 2, what="n_draws", where="forecast")
    known = days_known(model, evidence)
    of: dict[str, Any] = {"n_posterior": posterior.n_draws, "n_known": known, "begun": True}
    on_disk = check_forecast(n_draws, len(panel.assets), **of)
    p = posterior.parameters()
    past = p[FACTORS][:, p[FACTORS].shape[1] - model.n_lags :]
    ahead = model_data(model, panel, future=True)
    data = at_periods(ahead, slice(horizon))
    n_paths = paths_each(posterior, n_draws, share)
    rng = np.random.default_rng(seed)
    n_own = n_paths * posterior.n_draws
    n_others = round(share / (1 - share) * n_own) if share else 0
    returns = _blocks.empty(n_own + n_others, len(panel.assets), on_disk=on_disk)
    paths: dict[str, Any] = {"n_paths": n_paths, "rng": rng, "totals": returns[:n_own]}
    redrawn, weights = False, None
    if evidence and model.conditions_paths:
        found = paths_given_returns(model, p, ahead, panel, evidence, n_steps=horizon, watch=watch, **paths)
        weights, redrawn = _weights(found, evidence), True
    elif evidence:
        redrawn = paths_given_evidence(model, p, past, data, panel, evidence, **paths).redrawn
    else:
        simulate_ahead(model, p, past, data, watch=watch, **paths)
    if share:
        rest: dict[str, Any] = {"n": n_others, "n_steps": horizon, "out": returns[n_own:]}
        other_draws(model, p, panel, rng=rng, evidence=evidence, **rest)
    return Paths(returns, weights, share, redrawn)


def _weights(log_weights: NDArray[np.float64], evidence: Sequence[Evidence]) -> NDArray[np.float64]:
    """Weights (draw,) that sum to 1; refused where few draws carry them, as of views."""
    found = np.exp(log_weights - log_weights.max())
    found /= found.sum()
    n, left = len(found), effective_number(found)
    if left < min(MIN_EFFECTIVE_DRAWS, MIN_EFFECTIVE_SHARE * n):
        said = "; ".join(e.words for e in evidence)
        raise InfeasibleViewError(
            f"evidence ({said}): {left:.0f} of {n:,} draws would count, too few. Say less, with a larger sd"
            " or a mean nearer to what the model expects; or ask for more draws."
        )
    return found


def made_forecast(posterior: Fitted, horizon: int | str | dt.date, *, seed: object, n_draws: int) -> Forecast:
    """Forecast of a posterior, as ``Posterior.forecast`` describes it."""
    panel, model = posterior.panel, posterior.model
    horizon = horizon_in(model, panel, horizon)
    number = _checks.seed_number(seed, where="forecast")
    made = simulated_paths(posterior, horizon, seed=number, n_draws=n_draws)
    returns, share = made.log_returns, made.share
    make_simple(returns)
    future = panel.future
    forecast = Forecast.from_draws(
        returns,
        assets=panel.assets,
        asset_class=list(panel.class_of),
        names=[str(x) for x in future[NAME].to_numpy()],
        origin=panel.origin,
        end=pd.Timestamp(future[PERIOD].to_numpy()[horizon - 1]),
        weights=made.weights,
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
    if made.redrawn:
        forecast = forecast.with_attrs(**{PERIOD_REDRAWN: 1})
    alone = not share and bool(model.predictive.other_share)
    for record in evidence_records(posterior.evidence, alone=alone):
        forecast = forecast.with_record(record)
    forecast = forecast.zero(*panel.zero) if panel.zero else forecast
    return forecast.with_base("posterior", {"horizon": horizon, "seed": number, "n_draws": n_draws})


def horizon_in(model: FactorModel, panel: Panel, horizon: int | str | dt.date) -> int:
    """Periods of a horizon: their number, or what ``bdfm.data.periods.horizon_of`` reads."""
    if not isinstance(horizon, str | dt.date):
        return _checks.at_least(horizon, 1, what="horizon", where="forecast")
    return horizon_of(horizon, model.panel.period, panel.origin, where="forecast: horizon").periods


def made_forecasts(
    posterior: Fitted, horizons: Iterable[int | str | dt.date], *, seed: object, n_draws: int
) -> dict[str, Forecast]:
    """Forecasts of a posterior by label of their horizons, as ``Posterior.forecasts`` describes it."""
    period, origin = posterior.model.panel.period, posterior.panel.origin
    number = _checks.seed_number(seed, where="forecasts")
    asked = horizons_of(horizons, period, origin, where="forecasts: horizons")
    n_assets, n_known = len(posterior.panel.assets), days_known(posterior.model, posterior.evidence)
    with _blocks.beside(len(asked)):
        check_forecast(n_draws, n_assets, n_posterior=posterior.n_draws, n_known=n_known)
        return {h.label: made_forecast(posterior, h.periods, seed=number, n_draws=n_draws) for h in asked}


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

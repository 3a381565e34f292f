"""Leave-future-out: each period judged by the model fitted to the periods before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import logsumexp

from bdfm import _checks
from bdfm._seeds import either_seed
from bdfm._statistics import mean_error
from bdfm._strict import strict
from bdfm.data.panel import Panel
from bdfm.errors import DataError
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import at_periods, model_data
from bdfm.model.parts.dynamics import step
from bdfm.names import (
    CHARACTERISTICS,
    CHARACTERISTICS_PATH,
    FACTOR_SCALE,
    FACTORS,
    PERIOD,
    PERIOD_START,
    RETURNS,
    ROLLING_COVARIANCE,
)
from bdfm.posterior.fit import fit
from bdfm.posterior.posterior import Posterior

Floats = NDArray[np.float64]

MIN_PATHS: Final = 20_000  # factor paths that a density is a mean over
MAX_REFITS: Final = 60  # unless told otherwise
OF_THE_ORIGIN: Final = (
    CHARACTERISTICS,
    ROLLING_COVARIANCE,
)  # made at the panel's origin: earlier, a look ahead


@dataclass(frozen=True, repr=False, eq=False)
class LeaveFutureOut:
    """Log predictive density of each return given the periods before it; made by ``leave_future_out``.

    Attributes
    ----------
    elpd_i
        (period, asset) log density of the log return under the forecast of its period, factors and
        parameters integrated out; NaN where there is no return.
    """

    elpd_i: xr.DataArray

    @property
    def elpd(self) -> float:
        """Sum over returns."""
        return float(self.elpd_i.sum())

    @property
    def se(self) -> float:
        """Standard error of the sum: periods are the observations, neighbours may be alike; NaN of few."""
        by_period = self.elpd_i.sum("asset").to_numpy()
        return len(by_period) * mean_error(by_period)

    def __repr__(self) -> str:
        n = int(self.elpd_i.notnull().sum())
        return (
            f"<bdfm.LeaveFutureOut: {n} returns in {self.elpd_i.sizes[PERIOD]} periods, elpd {self.elpd:.1f}"
            f" (se {self.se:.1f}), each period refitted>"
        )


@either_seed
@strict
def leave_future_out(
    posterior: Posterior,
    *,
    seed: int,
    min_periods: int | None = None,
    settings: SamplerSettings | None = None,
    max_refits: int = MAX_REFITS,
) -> LeaveFutureOut:
    """Exact leave-future-out: the model is fitted anew to the past of each period, and forecasts it.

    What ``leave_one_out`` cannot say: how well the model forecasts. There the other returns of a period stay
    and tell its factors, so a large Pareto k is common for a return that decides a factor alone, and for one
    in a tail that few draws foresee. Weights that carry a posterior over whole periods are no way out: a
    period brings factors of its own, and k would be beyond 0.7 at once. Hence refits. ArviZ's ``lfo_cv``
    takes one joint density a period; with as many returns as there are assets, and factors to integrate out,
    it has no finite-variance estimate, so densities are of each return alone, as log scores are.

    Parameters
    ----------
    posterior
        Its model and panel; nothing else of it is used.
    seed
        Of fits and paths.
    min_periods
        Periods in the shortest fit; half of them unless given. The later ones are forecast one by one.
    settings
        Of the fits; those of the posterior unless given.
    max_refits
        Most fits; more are refused before the first.

    Raises
    ------
    DataError
        Evidence; a model that uses what is known only at the panel's origin (characteristics that do not
        move, a rolling covariance); too few or too many periods.
    """
    where = "leave future out"
    panel, model = posterior.panel, posterior.model
    if posterior.evidence:
        raise DataError(f"{where}: the fit has evidence on the period after its origin. Fit without.")
    if model.predictive.shares(()):
        raise DataError(
            f"{where}: forecasts of model {model.name!r} are pooled ([predictive]); this judges the model's"
            " own. Take a model without [predictive], or bdfm.backtest for the pool."
        )
    moving = {CHARACTERISTICS} if CHARACTERISTICS_PATH in model.needs else set()
    used = [name for name in OF_THE_ORIGIN if name in model.needs - moving]
    if used:
        raise DataError(
            f"{where}: model {model.name!r} uses {used[0]}, known at the origin {panel.origin:%Y-%m-%d} and"
            " not before. Use bdfm.backtest, which makes a panel for each origin."
        )
    first = panel.n_history // 2 if min_periods is None else min_periods
    _checks.at_least(first, model.n_lags + 2, what="min_periods", where=where)
    n = panel.n_history - first
    if not 0 < n <= max_refits:
        raise DataError(
            f"{where}: {max(n, 0)} refits, periods after the first {first} of {panel.n_history};"
            f" 1 to {max_refits} are possible. Choose min_periods, or a larger max_refits."
        )
    own = settings or SamplerSettings.model_validate_json(str(posterior.attrs["settings"]))
    seeds = np.random.SeedSequence(_checks.seed_number(seed, where=where)).spawn(n)
    rows = []
    for (past, came), child in zip(pasts(panel, first), seeds, strict=True):
        fitted = fit(model, past, seed=child, settings=own, accept=None)
        rows.append(predictive_log_density(fitted, came, seed=int(child.generate_state(2)[1])))
    template = panel.history[RETURNS].isel({PERIOD: slice(first, None)})
    return LeaveFutureOut(template.copy(data=np.array(rows)).rename("elpd_i"))


def pasts(panel: Panel, first: int) -> Iterator[tuple[Panel, Floats]]:
    """Panels of the first ``first``, first + 1, ... periods, each with the returns (asset,) of its next one.

    Features of a period are known at its start, so the next period's stay; its returns do not.
    """
    whole = panel.to_dataset()
    kept = [v for v in whole.data_vars if v not in OF_THE_ORIGIN or v == CHARACTERISTICS]
    for t in range(first, panel.n_history):
        part = whole[kept].isel({PERIOD: slice(0, t + 1)}).copy(deep=True)
        came = part[RETURNS].to_numpy()[t].copy()
        part[RETURNS][{PERIOD: t}] = np.nan
        if CHARACTERISTICS_PATH in part:  # those of this origin are known
            part[CHARACTERISTICS] = part[CHARACTERISTICS_PATH][{PERIOD: t}].drop_vars([PERIOD, PERIOD_START])
        origin = pd.Timestamp(part[PERIOD].to_numpy()[t - 1])
        part.attrs = {**whole.attrs, "n_history": t, "origin": f"{origin:%Y-%m-%d}"}
        yield Panel.from_dataset(part), came


@either_seed
@strict
def predictive_log_density(posterior: Posterior, came: Floats, *, seed: int) -> Floats:
    """Log density (asset,) of log returns of the period after the origin, NaN where none came.

    The mean over posterior draws and paths of the factors of the noise's density.
    """
    model = posterior.model
    p = posterior.parameters()
    data = at_periods(model_data(model, posterior.panel, future=True), slice(1))
    past = p[FACTORS][:, p[FACTORS].shape[1] - model.n_lags :]
    n_paths = max(1, -(-MIN_PATHS // posterior.n_draws))
    rng = np.random.default_rng(seed)
    total = []
    for _ in range(n_paths):
        multiplier = model.multipliers_ahead(p, data, posterior.n_draws, rng)
        z = rng.standard_normal((posterior.n_draws, model.n_factors))
        factors = step(model.lags(p), past, multiplier[:, 0] * p[FACTOR_SCALE] * z)
        mu = model.expected_return(p, factors[:, None], data)
        deviation = np.asarray(model.volatility_ahead(p, 0.0, rng))
        log_scale = model.log_noise_scale(p, data) + (deviation[:, None] if deviation.ndim else 0.0)
        total.append(model.noise.log_density(came - mu, log_scale, p)[:, 0])
    values = np.concatenate(total)
    return np.asarray(logsumexp(values, axis=0) - np.log(len(values)))

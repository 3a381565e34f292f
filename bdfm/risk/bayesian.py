"""Risk models from the posterior of the dynamic factor model: every figure with its uncertainty."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._reading import counted
from bdfm._strict import strict
from bdfm.data.panel import Panel
from bdfm.data.settings import PanelSettings
from bdfm.errors import DataError
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import at_periods, model_data
from bdfm.model.factor_model import FactorModel
from bdfm.model.part import Data, Params
from bdfm.names import FACTOR_SCALE, FACTORS, LOADINGS, PERIOD, RETURNS
from bdfm.posterior.fit import fit
from bdfm.posterior.posterior import Posterior
from bdfm.posterior.predictive import MAX_LOG_RETURN
from bdfm.risk.base import RiskModel

Floats = NDArray[np.float64]

MAX_DRAWS: Final = 1000  # posterior draws kept: intervals of risk need no more
_CELLS: Final = 8_000_000  # returns (draw, period, asset) that are expected at a time


def forecast_covariance(
    model: FactorModel, p: Params, data: Data, step: int
) -> tuple[Floats, Floats, Floats]:
    """Loadings, factor covariance and noise variance of one future period (eq. 2, 3, 6, 7).

    The one place that knows how the model's parts make a covariance. Given the factors up to the origin:
    what is uncertain about the returns of that period within one posterior draw.

    Parameters
    ----------
    model, p
        Model, and posterior draws with one leading axis.
    data
        Features of the future periods, as ``bdfm.model.equations.model_data`` returns them.
    step
        Position of the period; 0 is the first after the origin.

    Returns
    -------
    tuple
        (draw, asset, factor), (draw, factor, factor), (draw, asset); log returns, squared decimals.
    """
    own = at_periods(data, slice(step, step + 1))
    loadings = np.asarray(p[LOADINGS])
    n_draws, n_assets, n_factors = loadings.shape
    # the root mean square of a scale that is not known at the origin
    log_scale = model.log_noise_scale(p, own)[:, 0] + model.volatility_variance_ahead(p, step)
    scale = np.exp(np.broadcast_to(log_scale, (n_draws, n_assets)))
    multiplier = model.factor_scale.variance_ahead(p, data, step)
    multiplier = multiplier if multiplier.ndim == 2 else np.broadcast_to(multiplier, n_draws)[:, None]
    variance = np.square(p[FACTOR_SCALE]) * multiplier
    # Heavy tails of the factors are cut where returns are: there, the asset that moves most with them is cut.
    largest = np.sqrt((np.square(loadings) * variance[:, None]).sum(axis=2).max(axis=1))
    with np.errstate(divide="ignore"):
        variance = variance * model.factor_noise.variance(p, MAX_LOG_RETURN / largest)[:, None]
    f = variance[:, :, None] * np.eye(n_factors)
    return loadings, f, np.square(scale) * model.noise.variance(p, MAX_LOG_RETURN / scale)


@strict
def bayesian_risk(posterior: Posterior, *, step: int = 1, n_draws: int = MAX_DRAWS) -> RiskModel:
    """Risk model of a future period, one (B, F, D) for each posterior draw (eq. R8).

    B are the loadings, F the covariance of the factor innovations and D the noise variance of that period,
    given its features: recent volatility and earnings raise or lower it. Factors are aligned over draws, so
    that contributions of factors can be read; sums over factors do not depend on it.

    Raises ``DataError`` for a ``step`` beyond the horizon of the panel.

    Parameters
    ----------
    posterior
        Fitted model.
    step
        Which period after the origin; 1 is the first. Later ones need a panel with that horizon.
    n_draws
        Draws at most, thinned evenly.

    Notes
    -----
    The variance is that of log returns; for periods of a few weeks that of simple returns differs by a few
    percent of it. What is uncertain about the mean is not in it. Noise is cut at ±5 (``Noise.variance``).
    """
    where = "Bayesian risk"
    step = _checks.at_least(step, 1, what="step", where=where)
    n_draws = _checks.at_least(n_draws, 1, what="n_draws", where=where)
    panel, model = posterior.panel, posterior.model
    if step > panel.n_future:
        raise DataError(
            f"{where}: period {step} after the origin is beyond the panel's {panel.n_future}."
            f" Build the panel with horizon={step}."
        )
    p = posterior.aligned().parameters()
    future = model_data(model, panel, future=True)
    index = np.linspace(0, posterior.n_draws - 1, min(n_draws, posterior.n_draws)).round().astype(int)
    b, f, d = forecast_covariance(model, {k: v[index] for k, v in p.items()}, future, step - 1)
    history = model_data(model, panel)
    periods = pd.DatetimeIndex(panel.history[PERIOD].to_numpy())
    names = [f"F{k + 1}" for k in range(model.n_factors)]
    expected = np.zeros_like(history[RETURNS])
    n_blocks = max(1, len(index) // 100, len(index) * expected.size // _CELLS)  # of draws, to spare memory
    for part in np.array_split(index, min(n_blocks, len(index))):
        q = {k: v[part] for k, v in p.items()}
        expected += model.expected_return(q, q[FACTORS], history).sum(axis=0) / len(index)
    return RiskModel.from_arrays(
        b,
        f,
        d,
        assets=panel.assets,
        factors=names,
        kind="Bayesian",
        origin=panel.origin,
        notes=(
            f"{counted(panel.n_history, 'period')}, model {model.name!r}, period {step} after the origin,"
            " log returns",
        ),
        factor_returns=pd.DataFrame(p[FACTORS][index].mean(axis=0), periods, names),
        specific_returns=pd.DataFrame(history[RETURNS] - expected, periods, list(panel.assets)),
    )


@dataclass(frozen=True, eq=False)
class BayesianEstimator:
    """Risk model by fitting the dynamic factor model to the prices up to the last return.

    A full fit each time: seconds to a minute. For one date ``bdfm.fit`` and ``bayesian_risk`` do the same.

    Parameters
    ----------
    prices, universe
        As ``Panel.from_prices`` takes them; prices after the last return are never looked at.
    model
        Model; its panel settings say how long periods are. They should be those of the returns, or the risk
        is over another number of days.
    seed
        Seed of the fit.
    settings
        Engine, chains, draws.
    panel
        Settings of the panel that differ from the model's, such as ``{"period": 7, "n_periods": 104}``.
    earnings
        Announcements; ``None`` for none.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, universe = bdfm.demo()
    >>> model = bdfm.FactorModel.from_preset("house")
    >>> estimator = risk.BayesianEstimator(prices, universe, model, seed=1, panel={"period": 7})
    >>> estimator.panel["period"]  # estimator.fit(returns) fits the model to the weeks of the returns
    7
    """

    prices: pd.DataFrame
    universe: pd.DataFrame
    model: FactorModel
    seed: int
    settings: SamplerSettings = field(default_factory=SamplerSettings)
    panel: Mapping[str, Any] = field(default_factory=dict)
    earnings: pd.DataFrame | None = None

    def fit(self, returns: pd.DataFrame) -> RiskModel:
        """Risk model of the period after the last day of the returns, for their assets.

        Raises ``UnknownLabelError`` for an asset of the returns that the universe lacks; ``DataError`` for
        a universe that is none.
        """
        origin = _checks.days(returns.index[-1:], where="Bayesian model")[0]
        universe = _checks.universe_table(self.universe)
        assets = [str(c) for c in returns.columns]
        _checks.known(assets, list(universe["symbol"]), what="asset", where="Bayesian model: universe")
        settings = PanelSettings(**{**json.loads(self.model.panel.model_dump_json()), **self.panel})
        panel = Panel.from_prices(
            self.prices.loc[: str(origin.date())],
            universe.set_index("symbol", drop=False).loc[assets].reset_index(drop=True),
            origin=origin,
            earnings=self.earnings,
            settings=settings,
        )
        model = self.model.model_copy(update={"panel": settings})
        return bayesian_risk(fit(model, panel, seed=self.seed, settings=self.settings))

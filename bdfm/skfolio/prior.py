"""Priors of skfolio made of forecasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _blocks, _checks
from bdfm._optional import optional
from bdfm.data.panel import Panel
from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast
from bdfm.inference.settings import SamplerSettings
from bdfm.model.factor_model import FactorModel
from bdfm.portfolio.scenarios import moments
from bdfm.posterior.fit import fit

# Its class is the base of ours: this module, unlike the package around it, cannot be imported without.
_prior = optional("skfolio.prior", what="bdfm.skfolio", extra="decisions")
_BasePrior: Any = _prior.BasePrior
_validation = optional("sklearn.utils.validation", what="bdfm.skfolio")

N_SCENARIOS: Final = 2000  # of the weighted draws: a convex optimiser solves a program in that many
N_DRAWS: Final = 20_000  # of the forecast that a model prior makes
DEFAULT_CLASS: Final = "asset"

Floats = NDArray[np.float64]


class ForecastPrior(_BasePrior):  # type: ignore[misc]
    """Prior whose scenarios are the weighted draws of a forecast, for any optimiser of skfolio.

    ``fit`` takes the columns of ``X`` by name from the forecast; their values play no part. Means and
    covariances are those of all draws under their weights, simple returns over the forecast's horizon, cut at
    their 0.01 % and 99.99 % quantiles. An asset that does not move (delisted) is not investable.

    Parameters
    ----------
    forecast
        Any forecast, edited and weighted by views as it may be.
    n_scenarios
        Most scenarios. Where the forecast has more draws, they are taken by their weights at even distances
        in random order.
    seed
        Of that order.

    Attributes
    ----------
    return_distribution_
        skfolio's ``ReturnDistribution``: ``mu`` (asset), ``covariance`` (asset, asset), ``returns``
        (scenario, asset) and ``sample_weight`` (scenario), None where all weigh the same.
    n_features_in_, feature_names_in_
        Of ``X``.

    Raises
    ------
    DataError
        On ``fit``: no forecast, or an ``X`` whose columns have no names.
    UnknownLabelError
        On ``fit``: a column that the forecast does not have.
    """

    def __init__(
        self, forecast: Forecast | None = None, n_scenarios: int = N_SCENARIOS, seed: int = 0
    ) -> None:
        self.forecast = forecast
        self.n_scenarios = n_scenarios
        self.seed = seed

    def __sklearn_clone__(self) -> Self:
        """Unfitted prior of the same forecast, which cannot change and is not copied."""
        return type(self)(**self.get_params(deep=False))

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Take the draws of the columns of ``X`` (observation, asset); ``y`` is not used."""
        where = type(self).__name__
        names = _column_names(self, X)
        if not isinstance(self.forecast, Forecast):
            raise DataError(
                f"{where}: forecast is {type(self.forecast).__name__}. Give a bdfm.Forecast,"
                " such as posterior.forecast(seed=1) or bdfm.Forecast.load(...)."
            )
        _checks.known(names, self.forecast.assets, what="asset", where=where)
        self.return_distribution_ = distribution(
            self.forecast, names, n_scenarios=self.n_scenarios, seed=self.seed
        )
        return self


class ModelPrior(_BasePrior):  # type: ignore[misc]
    """Prior whose scenarios are drawn by a model fitted to the returns that ``fit`` is given.

    ``X`` holds daily simple returns (day, asset) with their days as index, as ``skfolio.preprocessing.
    prices_to_returns`` makes them; missing ones are NaN. They become prices, a panel that ends on the last
    day, a fit and a forecast of the period after it; nothing after the last row is known. The horizon is the
    model's period (28 days in the presets), and so are ``mu`` and ``covariance``.

    Parameters
    ----------
    model
        Name of a preset, or a ``bdfm.FactorModel``.
    settings
        Of the sampler; the defaults of ``bdfm.fit`` unless given.
    asset_class
        Class by symbol; one class for all unless given.
    n_scenarios
        As in ``ForecastPrior``.
    seed
        Of fit, forecast and scenarios.

    Attributes
    ----------
    return_distribution_, n_features_in_, feature_names_in_
        As in ``ForecastPrior``.
    posterior_, forecast_
        The fit, and its forecast.

    Raises
    ------
    DataError
        On ``fit``: an ``X`` without names of columns or without days, returns at or below -1, too few
        periods, and what ``bdfm.Panel.from_prices`` and ``bdfm.fit`` refuse.
    """

    def __init__(
        self,
        model: str | FactorModel = "m6",
        settings: SamplerSettings | None = None,
        asset_class: Mapping[str, str] | None = None,
        n_scenarios: int = N_SCENARIOS,
        seed: int = 0,
    ) -> None:
        self.model = model
        self.settings = settings
        self.asset_class = asset_class
        self.n_scenarios = n_scenarios
        self.seed = seed

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Fit the model to daily returns ``X`` (day, asset), and forecast; ``y`` is not used."""
        names = _column_names(self, X)
        prices = prices_of(X, where=type(self).__name__)
        model = FactorModel.from_preset(self.model) if isinstance(self.model, str) else self.model
        known = dict(self.asset_class or {})
        classes = [known.get(name, DEFAULT_CLASS) for name in names]
        universe = pd.DataFrame({"symbol": names, "asset_class": classes})
        panel = Panel.from_prices(
            prices, universe, origin=prices.index[-1], settings=model.panel, accept=None
        )
        self.posterior_ = fit(model, panel, seed=self.seed, settings=self.settings, accept=None)
        self.forecast_ = self.posterior_.forecast(seed=self.seed, n_draws=N_DRAWS)
        self.return_distribution_ = distribution(
            self.forecast_, names, n_scenarios=self.n_scenarios, seed=self.seed
        )
        return self


def distribution(forecast: Forecast, assets: list[str], *, n_scenarios: int, seed: int) -> Any:
    """``ReturnDistribution`` of some assets of a forecast, in the order given."""
    n = _checks.at_least(n_scenarios, 2, what="n_scenarios", where="prior")
    weights = forecast.weights.to_numpy()
    rows, mass = np.flatnonzero(weights > 0), weights[weights > 0]
    if len(rows) > n:
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(weights))
        points = (np.arange(n) + rng.random()) / n * (1 - 1e-12)
        rows, counts = np.unique(
            order[np.searchsorted(np.cumsum(weights[order]), points)], return_counts=True
        )
        mass = counts / n
    columns = [forecast.assets.index(a) for a in assets]
    draws = forecast.draws.to_numpy()
    returns = np.asarray(draws[rows][:, columns], dtype=np.float64)
    low, high = _blocks.extremes(draws)
    fixed = (low == high)[columns]
    _blocks.release(draws)
    mean, covariance = moments(forecast, assets)
    mean[fixed], covariance[fixed], covariance[:, fixed] = np.nan, np.nan, np.nan
    equal = np.ptp(mass) < 1e-9 * mass.mean()
    return _prior.ReturnDistribution(
        mu=mean, covariance=covariance, returns=returns, sample_weight=None if equal else mass / mass.sum()
    )


def prices_of(returns: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """Prices (day, asset) that start at 1 the business day before, from daily simple returns."""
    if not isinstance(returns.index, pd.DatetimeIndex) or not returns.index.is_monotonic_increasing:
        raise DataError(f"{where}: X needs its days as index, ascending: a DatetimeIndex.")
    values = returns.to_numpy(dtype=np.float64)
    if np.isinf(values).any() or (values <= -1).any():
        raise DataError(f"{where}: X has returns at or below -1, or infinite. Give simple ones: 0.01 is 1 %.")
    closes = (1 + returns.fillna(0.0)).cumprod().where(returns.notna())
    before = returns.index[0] - pd.offsets.BDay(1)
    start = np.where(returns.iloc[0].notna(), 1.0, np.nan)[None]
    first = pd.DataFrame(start, index=[before], columns=returns.columns)
    return pd.concat([first, closes])


def _column_names(prior: Any, X: Any) -> list[str]:
    """Names of the columns of X, which sets what scikit-learn keeps of them."""
    _validation.validate_data(prior, X, ensure_all_finite="allow-nan")
    names = getattr(prior, "feature_names_in_", None)
    if names is None:
        raise DataError(
            f"{type(prior).__name__}: the columns of X have no names. Give a DataFrame whose columns are the"
            " symbols: assets meet a forecast by name, never by position."
        )
    return [str(n) for n in names]

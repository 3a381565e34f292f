"""Priors of skfolio made of forecasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np
import pandas as pd

from bdfm._optional import optional
from bdfm.data.panel import Panel
from bdfm.errors import DataError
from bdfm.inference.settings import SamplerSettings
from bdfm.model.factor_model import FactorModel
from bdfm.portfolio.prior import N_SCENARIOS, ForecastPrior, column_names, distribution
from bdfm.posterior.fit import fit

__all__ = ["ForecastPrior", "ModelPrior"]

_BasePrior: Any = optional("skfolio.prior", what="bdfm.skfolio", extra="decisions").BasePrior

N_DRAWS: Final = 20_000  # of the forecast that a model prior makes
DEFAULT_CLASS: Final = "asset"


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
        names = column_names(self, X)
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


def prices_of(returns: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """Prices (day, asset) from daily simple returns: 1 the day before an asset's first."""
    if not isinstance(returns.index, pd.DatetimeIndex) or not returns.index.is_monotonic_increasing:
        raise DataError(f"{where}: X needs its days as index, ascending: a DatetimeIndex.")
    values = returns.to_numpy(dtype=np.float64)
    if np.isinf(values).any() or (values <= -1).any():
        raise DataError(f"{where}: X has returns at or below -1, or infinite. Give simple ones: 0.01 is 1 %.")
    before = pd.DataFrame(np.nan, [returns.index[0] - pd.offsets.BDay(1)], returns.columns)
    padded = pd.concat([before, returns])
    known = padded.notna()
    known |= known.shift(-1, fill_value=False)  # a return is from one close to the next
    return (1 + padded.fillna(0.0)).cumprod().where(known)

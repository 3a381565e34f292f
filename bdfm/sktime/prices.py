"""Prices of several assets as an sktime forecaster."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._optional import optional, optional_base
from bdfm.backtest.protocol import Forecaster, History
from bdfm.backtest.simple import EWMA
from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.ranks import weighted_quantiles
from bdfm.portfolio.scenarios import scenarios

_BaseForecaster: Any = optional_base("sktime.forecasting.base", "BaseForecaster", what="bdfm.sktime")

N_SAMPLES: Final = 1000  # of the draws, in a distribution of skpro
_DAY: Final = pd.Timedelta(days=1)
_FIRST_DAY: Final = pd.Timestamp("2000-01-01")  # of the calendar that rows are laid on
_CLASS: Final = "asset"


class PriceForecaster(_BaseForecaster):  # type: ignore[misc]
    """Forecasts of prices, each step ahead by a forecaster of this package, for any tool of sktime.

    A row of ``y`` is one step, whatever its index: half-lives and windows of the forecaster count rows. A
    step's distribution is that of the price so many rows after the last one: the last price, times one plus
    the return over those rows. ``predict`` gives medians, ``predict_quantiles`` and ``predict_interval``
    quantiles of all draws, ``predict_proba`` skpro's ``Empirical``, in which the columns of one step belong
    together and steps do not.

    Parameters
    ----------
    forecaster
        A ``bdfm.backtest.Forecaster`` whose forecasts have draws and span what its history asks for: ``EWMA``
        with Student-t margins unless given, or ``HAR``, ``Shrinkage``, ``FilteredHistorical``, ``DCC`` and
        your own. The factor models forecast a period of their own length and are refused for other steps.
    n_samples
        Draws in a distribution of ``predict_proba``.
    seed
        Of all draws.

    Raises
    ------
    DataError
        On ``fit``: prices that are not positive. On ``predict``: a forecaster without draws, or of another
        span.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm.sktime import PriceForecaster
    >>> prices = bdfm.demo()[0].loc["2020":, ["XOM", "KO"]]
    >>> forecaster = PriceForecaster().fit(prices.reset_index(drop=True), fh=[1, 5])
    >>> forecaster.predict_quantiles(alpha=[0.05, 0.95]).shape
    (2, 4)
    """

    _tags: ClassVar[dict[str, Any]] = {
        "authors": ["bdfm"],
        "maintainers": ["bdfm"],
        "python_dependencies": ["skpro"],
        "capability:multivariate": True,
        "capability:exogenous": False,
        "capability:insample": False,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "capability:missing_values": True,
        "capability:update": True,
        "y_inner_mtype": "pd.DataFrame",
        "requires-fh-in-fit": False,
    }

    def __init__(
        self, forecaster: Forecaster | None = None, n_samples: int = N_SAMPLES, seed: int = 0
    ) -> None:
        self.forecaster = forecaster
        self.n_samples = n_samples
        self.seed = seed
        with warnings.catch_warnings():  # of a default that will change: ``update`` has rows of its own
            warnings.filterwarnings("ignore", ".*remember_data", FutureWarning)
            super().__init__()

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Settings for sktime's own checks."""
        return [
            {},
            {"forecaster": EWMA(volatility_half_life_days=10, n_draws=500), "n_samples": 50, "seed": 3},
        ]

    def _fit(self, y: pd.DataFrame, X: Any, fh: Any) -> Any:
        values = y.to_numpy(dtype=np.float64)
        if not (values[~np.isnan(values)] > 0).all():
            raise DataError("PriceForecaster: y has prices at or below 0. Give prices, not returns.")
        days = _FIRST_DAY + np.arange(len(y)) * _DAY
        names = [f"column {k}" for k in range(y.shape[1])]
        self._prices = pd.DataFrame(values, days, names)
        if len(names) == 1:  # a forecast is of two assets at least: one that moves up and down in turn
            self._prices["companion"] = np.where(np.arange(len(y)) % 2, 1.01, 1.0)
        self._columns = list(y.columns)
        self._forecasts: dict[int, Forecast] = {}
        self._seen, self._fitted_cutoff = y, self.cutoff
        return self

    def _update(self, y: pd.DataFrame, X: Any = None, update_params: bool = True) -> Any:
        """Fit again with the rows of ``y`` added, which costs what a fit costs: nothing."""
        self._seen = y.combine_first(self._seen)  # of an update without a fit too: the next one has all
        return self._fit(self._seen, X, None) if update_params else self

    def _forecast(self, step: int) -> Forecast:
        """Forecast of the return over so many rows after the last."""
        if step not in self._forecasts:
            made_by = EWMA() if self.forecaster is None else self.forecaster
            origin = self._prices.index[-1]
            names = list(self._prices.columns)
            universe = pd.DataFrame({"symbol": names, "asset_class": _CLASS, "name": names})
            history = History(self._prices, universe, None, origin, origin + step * _DAY, step)
            found = made_by.forecast(history, seed=self.seed)
            where = f"PriceForecaster, {made_by.name}, step {step}"
            if not isinstance(found, Forecast):
                raise DataError(f"{where}: it forecasts fifths without draws. Give a forecaster with draws.")
            if (found.origin, found.end) != (history.origin, history.end):
                raise DataError(
                    f"{where}: its forecast spans {(found.end - found.origin).days} rows, not {step}. Ask for"
                    " that step, or give a forecaster of any horizon, such as EWMA()."
                )
            self._forecasts[step] = found
        return self._forecasts[step]

    def _last(self) -> Any:
        """Last price (column,) of each column of ``y``."""
        return self._prices.ffill().iloc[-1].to_numpy()[: len(self._columns)]

    def _steps(self, fh: Any) -> list[int]:
        """Rows after the last that was fitted: ``update`` may have moved the cutoff on, and no more."""
        steps = fh.to_absolute(self.cutoff).to_relative(self._fitted_cutoff)
        return [int(step) for step in steps.to_numpy()]

    def _index(self, fh: Any) -> Any:
        return fh.to_absolute_index(self.cutoff)

    def _quantiles(self, fh: Any, levels: list[float]) -> Any:
        """Quantiles (step, column, level) of prices."""
        last = self._last()
        found = []
        for step in self._steps(fh):
            forecast = self._forecast(step)
            weights = forecast.weights.to_numpy()
            same = weights.min() == weights.max()
            draws = forecast.draws.to_numpy()[:, : len(last)]
            returns = weighted_quantiles(draws, levels, None if same else weights)
            found.append((1 + returns.astype(np.float64).T) * last[:, None])
        return np.stack(found)

    def _predict(self, fh: Any, X: Any) -> pd.DataFrame:
        return pd.DataFrame(self._quantiles(fh, [0.5])[:, :, 0], self._index(fh), self._columns)

    def _predict_quantiles(self, fh: Any, X: Any, alpha: list[float]) -> pd.DataFrame:
        names = self._get_varnames()
        columns = pd.MultiIndex.from_product([names, alpha])
        values = self._quantiles(fh, list(alpha))
        return pd.DataFrame(values.reshape(len(values), -1), self._index(fh), columns)

    def _predict_proba(self, fh: Any, X: Any, marginal: bool = True) -> Any:
        empirical = optional("skpro.distributions.empirical", what="bdfm.sktime").Empirical
        n = _checks.at_least(self.n_samples, 2, what="n_samples", where="PriceForecaster")
        last = self._last()
        index, names = self._index(fh), list(self._prices.columns)[: len(last)]
        samples = np.stack(
            [
                (1 + scenarios(self._forecast(step), names, n_scenarios=n, seed=self.seed)) * last
                for step in self._steps(fh)
            ]
        )  # (step, sample, column)
        n = samples.shape[1]
        rows = pd.MultiIndex.from_product([range(n), index], names=["sample", "time"])
        flat = samples.transpose(1, 0, 2).reshape(n * len(index), -1)
        table = pd.DataFrame(flat, rows, self._get_varnames())
        return empirical(table, index=index, columns=table.columns)

"""Prior of skfolio's optimisers made of a forecast. Imported where one is needed: skfolio must be there."""

from __future__ import annotations

from typing import Any, Final, Self

import numpy as np

from bdfm import _blocks, _checks
from bdfm._optional import optional
from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast
from bdfm.portfolio.scenarios import moments

# Its class is the base of ours: this module, unlike the package around it, cannot be imported without.
_prior = optional("skfolio.prior", what="bdfm.skfolio", extra="decisions")
_BasePrior: Any = _prior.BasePrior
_validation = optional("sklearn.utils.validation", what="bdfm.skfolio")

N_SCENARIOS: Final = 2000  # of the weighted draws: a convex optimiser solves a program in that many


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
        """Take the draws of the columns of ``X`` (observation, asset); ``y`` is not used.

        Raises ``UnknownLabelError`` for a column that the forecast lacks; ``DataError`` for a ``forecast``
        that is none, or columns without names.
        """
        where = type(self).__name__
        names = column_names(self, X)
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


def column_names(prior: Any, X: Any) -> list[str]:
    """Names of the columns of X, which sets what scikit-learn keeps of them."""
    _validation.validate_data(prior, X, ensure_all_finite="allow-nan")
    names = getattr(prior, "feature_names_in_", None)
    if names is None:
        raise DataError(
            f"{type(prior).__name__}: the columns of X have no names. Give a DataFrame whose columns are the"
            " symbols: assets meet a forecast by name, never by position."
        )
    return [str(n) for n in names]

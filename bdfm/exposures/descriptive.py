"""Descriptive statistics of daily returns of assets and factors."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from bdfm._strict import strict
from bdfm.errors import DataError
from bdfm.exposures.data import ExposureData

MARKET_DAYS: Final = 252
_RANGE: Final = ("mean", "median", "sd", "min", "max")


@strict
def describe(data: ExposureData) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Statistics of each series, and of their correlations.

    ``data`` hold returns and factors.

    Returns
    -------
    tuple
        (series) of factors and assets: ``mean``, ``sd``, ``min``, ``max`` a day, ``annual_mean`` (252 days)
        and ``annual_sd``, ``sharpe`` (their ratio; returns are excess ones where a risk-free rate was
        subtracted), ``skewness``, ``excess_kurtosis`` (0 for a normal), ``n_days``. And (pairs) ``mean``,
        ``median``, ``sd``, ``min`` and ``max`` of correlations among assets, and of assets with each factor,
        each over the days that both have.

    Raises
    ------
    DataError
        Data that are no table. A single asset has no correlations with others; that row is left out.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bdfm import exposures as ex
    >>> rng = np.random.default_rng(1)
    >>> days = pd.bdate_range("2020-01-01", periods=300)
    >>> market = rng.normal(0, 1, (300, 1))
    >>> shares = market * [0.5, 1.5] + rng.normal(0, 0.5, (300, 2))
    >>> data = ex.ExposureData.from_arrays(
    ...     shares / 100, market / 100, days=days, assets=["A", "B"], factor_names=["market"]
    ... )
    >>> series, pairs = ex.describe(data)
    >>> series["annual_sd"].round(2).to_dict()
    {('factor', 'market'): 0.15, ('asset', 'A'): 0.11, ('asset', 'B'): 0.23}
    """
    returns = data.returns.to_pandas()
    factors = data.factors.to_pandas()
    if not isinstance(returns, pd.DataFrame) or not isinstance(factors, pd.DataFrame):
        raise DataError("describe: returns are no table.")
    joined = pd.concat({"factor": factors, "asset": returns}, axis=1)
    table = pd.DataFrame(
        {
            "mean": joined.mean(),
            "sd": joined.std(),
            "min": joined.min(),
            "max": joined.max(),
            "annual_mean": MARKET_DAYS * joined.mean(),
            "annual_sd": np.sqrt(MARKET_DAYS) * joined.std(),
            "sharpe": np.sqrt(MARKET_DAYS) * joined.mean() / joined.std(),
            "skewness": joined.skew(),
            "excess_kurtosis": joined.kurt(),
            "n_days": joined.notna().sum(),
        }
    ).rename_axis(["kind", "series"])
    rows = {}
    values = returns.corr().to_numpy()
    if len(values) > 1:
        rows["assets"] = _spread(values[np.triu_indices(len(values), 1)])
    for name in factors:
        rows[f"assets with {name}"] = _spread(returns.corrwith(factors[name]).to_numpy())
    return table, pd.DataFrame(rows).T.rename_axis("pairs")


def _spread(values: np.ndarray) -> dict[str, float]:
    known = pd.Series(values).dropna()
    figures = (known.mean(), known.median(), known.std(), known.min(), known.max())
    return dict(zip(_RANGE, map(float, figures), strict=True))

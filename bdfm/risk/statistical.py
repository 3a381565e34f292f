"""Risk models by principal components of the returns themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks, _renamed
from bdfm._reading import counted, short
from bdfm.data.weighting import effective_size
from bdfm.errors import DataError
from bdfm.risk.base import RiskModel
from bdfm.risk.returns import examined, period_weights, returns_table, window_of

Floats = NDArray[np.float64]
Rule = Literal["bai_ng", "marchenko_pastur"]

MAX_FACTORS: Final = 20  # that Bai and Ng's criterion is computed for


@_renamed.fields(half_life="half_life_periods")
@dataclass(frozen=True, eq=False)
class StatisticalEstimator:
    """Principal components of the sample covariance (eq. R7).

    Exposures are eigenvectors of the sample covariance, scaled to a mean square of 1 over assets and signed
    so that they sum to a positive number; factors are portfolios of the assets. D is the variance that the
    components leave, with divisor T - 1 - K. A single asset is its own component, and D is 0.

    Parameters
    ----------
    n_factors
        A number; or ``"bai_ng"``, the minimum of their criterion IC_p2 (2002); or ``"marchenko_pastur"``, the
        number of eigenvalues of the correlation matrix above the largest that noise alone would give in a
        large table, (1 + sqrt(N/T))²; or a share of the variance, such as 0.6.
    standardise
        Whether components are those of the correlation matrix: every asset counts alike, and a few volatile
        ones cannot claim a component for themselves.
    window, half_life_periods
        As in ``TimeSeriesEstimator``.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> model = risk.StatisticalEstimator(3).fit(returns)
    >>> round(float(model.volatility({"XOM": 0.5, "KO": 0.5})), 4)
    0.0442
    """

    n_factors: float | Rule = "bai_ng"
    standardise: bool = False
    window: int | None = None
    half_life_periods: float | None = None

    def __post_init__(self) -> None:
        where, given = "statistical model", self.n_factors
        if isinstance(given, str):
            _checks.known([given], get_args(Rule), what="rule", where=f"{where}: n_factors")
        elif isinstance(given, bool) or not isinstance(given, int | float | np.number) or not given > 0:
            raise DataError(
                f"{where}: n_factors {short(repr(given))}, expected a whole number from 1 on, a share of the"
                f" variance below 1, or one of {', '.join(get_args(Rule))}."
            )
        elif given >= 1:
            _checks.at_least(cast(int, given), 1, what="n_factors", where=where)

    def fit(self, returns: pd.DataFrame) -> RiskModel:
        """Risk model from simple returns (period, asset) without gaps, made at their last period.

        Raises
        ------
        DataError
            Gaps, an asset that never moves, more factors than assets or periods allow.
        """
        where = "statistical model"
        whole = window_of(returns_table(returns, where=where), self.window, where=where)
        with examined():
            table = returns_table(whole, where=where, complete=True)
        table = table.loc[table.notna().all(axis=1)]
        weights = period_weights(len(table), self.half_life_periods, where=where)
        share = weights / weights.sum()
        values = table.to_numpy()
        centred = values - share @ values
        sd = np.sqrt(share @ np.square(centred))
        flat = [a for a, s in zip(table.columns, sd, strict=True) if s < 1e-12]
        if flat:
            raise DataError(f"{where}: {_checks.first(flat)} never moved in the window. Drop it.")
        n_periods = effective_size(weights)
        scale = sd if self.standardise else np.ones_like(sd)
        eigenvalues, vectors = _spectrum(np.sqrt(share)[:, None] * centred / scale)
        k, rule = self._number(centred / sd, eigenvalues, n_periods)
        n_assets = len(sd)
        alone = n_assets == 1 and k == 1  # the asset is its own component
        most = min(n_assets - 1, int(n_periods) - 2)  # one degree of freedom is left
        if not alone and not 1 <= k <= most:
            raise DataError(
                f"{where}: {k} factors for {n_assets} assets in {n_periods:.0f} periods. Give 1 to {most}."
            )
        sign = np.where(vectors[:, :k].sum(axis=0) < 0, -1.0, 1.0)
        basis = vectors[:, :k] * sign  # orthonormal
        factors = (centred / scale) @ basis / np.sqrt(n_assets)
        exposures = scale[:, None] * basis * np.sqrt(n_assets)
        specific = centred - factors @ exposures.T
        unbiased = n_periods / (n_periods - 1)
        names = [f"PC{j + 1}" for j in range(k)]
        return RiskModel.from_arrays(
            exposures,
            np.diag(eigenvalues[:k] / n_assets * unbiased),
            share @ np.square(specific) * n_periods / (n_periods - 1 - k),
            assets=list(table.columns),
            factors=names,
            kind="statistical",
            origin=whole.index[-1],
            notes=(f"{counted(len(table), 'period')}; {counted(k, 'component')}: {rule}",),
            factor_returns=pd.DataFrame(factors, table.index, names),
            specific_returns=pd.DataFrame(specific, table.index, table.columns),
        )

    def _number(self, standardised: Floats, eigenvalues: Floats, n_periods: float) -> tuple[int, str]:
        """Number of factors, and the rule in words."""
        given = self.n_factors
        if given == "bai_ng":
            return bai_ng(standardised), "Bai and Ng's IC_p2"
        if isinstance(given, str):
            return marchenko_pastur(standardised, n_periods), "beyond the Marchenko-Pastur edge"
        if 0 < float(given) < 1:
            reached = np.cumsum(eigenvalues) / eigenvalues.sum()
            return int(np.searchsorted(reached, given) + 1), f"{given:.0%} of the variance"
        return int(given), "given"


def _spectrum(values: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues, falling, and eigenvectors (column, component) of values' values (period, column)."""
    _, singular, right = np.linalg.svd(values, full_matrices=False)
    return np.square(singular), right.T


def bai_ng(standardised: Floats, *, max_factors: int | None = None) -> int:
    """Number of factors that minimises Bai and Ng's (2002) IC_p2, at least 1.

    log V(k) + k (N + T)/(N T) log min(N, T), with V(k) the mean square that k components leave of returns
    (period, asset) of mean 0 and unit variance. At most ``max_factors``, unless given 20 or a third of the
    smaller dimension: with few assets the criterion falls all the way to as many factors as assets.
    """
    t, n = standardised.shape
    most = max(1, min(MAX_FACTORS, min(n, t) // 3)) if max_factors is None else max_factors
    singular = np.linalg.svd(standardised, compute_uv=False)
    left = np.maximum(1 - np.cumsum(np.square(singular)) / np.square(singular).sum(), 1e-300)
    k = np.arange(1, min(most, n - 1, t - 1) + 1)
    criterion = np.log(left[: len(k)]) + k * (n + t) / (n * t) * np.log(min(n, t))
    return int(k[criterion.argmin()])


def marchenko_pastur(standardised: Floats, n_periods: float | None = None) -> int:
    """Number of eigenvalues of the correlation matrix above (1 + sqrt(N/T))², at least 1.

    ``standardised`` (period, asset) of mean 0 and unit variance; ``n_periods`` the effective number where
    periods are weighted. The edge is that of independent normal returns in a large table.
    """
    t, n = standardised.shape
    eigenvalues = np.square(np.linalg.svd(standardised, compute_uv=False)) / t
    return max(1, int((eigenvalues > (1 + np.sqrt(n / (n_periods or t))) ** 2).sum()))

"""Expected returns by factors: alphas and betas with their errors, and the test that all alphas are zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bdfm import _checks
from bdfm._reading import counted
from bdfm._statistics import p_text
from bdfm._strict import strict
from bdfm.errors import DataError
from bdfm.names import ASSET, FACTOR
from bdfm.risk.returns import examined, returns_table
from bdfm.risk.time_series import TimeSeriesEstimator, regressions

Floats = NDArray[np.float64]

DEPENDENT: Final = 1e-10  # smallest eigenvalue of the correlation of residuals below which it is rounding
SPANNED: Final = 1e-10  # of an asset's variance: what is left of a combination of the factors, by rounding


@dataclass(frozen=True, eq=False, repr=False)
class Pricing:
    """Regressions of ``price``.

    Attributes
    ----------
    alphas
        One row per asset: ``alpha`` per period, ``se``, ``t``, ``p_value``, ``r_squared``, ``n_periods``. An
        asset that is a combination of the factors has no alpha to test: t and p are NaN.
    betas
        One row per asset and factor: ``beta``, ``se``, ``t``, ``p_value``.
    premia
        One row per factor: ``mean`` per period, ``se``, ``t``.
    grs, grs_p_value, grs_freedom
        F statistic of Gibbons, Ross and Shanken that all alphas are zero, of the assets that have one to
        test, its p-value, and degrees of freedom; NaN where there are gaps or too few periods for so many.
    n_periods
        Periods with all returns, which the joint test is of.
    """

    alphas: pd.DataFrame
    betas: pd.DataFrame
    premia: pd.DataFrame
    grs: float
    grs_p_value: float
    grs_freedom: tuple[int, int]
    n_periods: int

    @property
    def spanned(self) -> list[str]:
        """Assets that are combinations of the factors, without an alpha to test."""
        return [str(a) for a in self.alphas.index[self.alphas["t"].isna()]]

    def __repr__(self) -> str:
        beyond = int((self.alphas["p_value"] < 0.05).sum())
        return (
            f"<Pricing of {counted(len(self.alphas), 'asset')}: {beyond} alphas with p < 5 %; all zero:"
            f" F{self.grs_freedom} = {self.grs:.2f}, {p_text(self.grs_p_value)}>"
        )

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>".replace("<Pricing", "&lt;Pricing") + self.alphas.to_html(
            max_rows=30, border=0
        )

    @strict
    def expected(self, risk_free: float = 0.0, *, premia: Mapping[str, float] | None = None) -> pd.DataFrame:
        """Expected return of each asset, R_f + Σ β_k premium_k (eq. R18): with one market factor, the CAPM.

        ``premia`` by factor, per period; means of the sample unless given. ``se`` counts the error of the
        betas, and of the premia where they are sample means, which is by far the larger.

        Raises ``UnknownLabelError`` for a factor of ``premia`` that is none; ``DataError`` for numbers that
        are none, or a factor without its premium.
        """
        rate = _checks.finite(risk_free, what="risk_free", where="expected returns")
        names = list(self.premia.index)
        if premia is None:
            mean, error = self.premia["mean"].to_numpy(), self.premia["covariance"].to_numpy()
            own = np.stack(list(error))
        else:
            _checks.known(premia, names, what="factor", where="expected returns: premia")
            missing = [n for n in names if n not in premia]
            if missing:
                raise DataError(
                    f"expected returns: no premium of {_checks.first(missing)}. Give all factors."
                )
            mean = np.array([_checks.finite(premia[n], what=n, where="expected returns") for n in names])
            own = np.zeros((len(names), len(names)))
        beta = self.betas["beta"].unstack()[names]
        se = self.betas["se"].unstack()[names].to_numpy()
        b = beta.to_numpy()
        # Betas of one asset are taken as uncorrelated with each other and with the premia.
        variance = np.square(se) @ np.square(mean) + ((b @ own) * b).sum(axis=1)
        table = {"expected": rate + b @ mean, "se": np.sqrt(variance)}
        return pd.DataFrame(table, index=beta.index).reindex(self.alphas.index)


def price(returns: pd.DataFrame, factors: pd.DataFrame, *, risk_free: pd.Series | None = None) -> Pricing:
    """Alphas and betas by least squares with errors, and the joint test of the alphas (eq. R17).

    Gibbons, Ross and Shanken (1989), Econometrica 57, 1121-1152. It is exact for independent normal errors
    and traded factors: excess returns or zero-cost portfolios.

    Parameters
    ----------
    returns
        (period, asset) simple returns, decimals; excess returns unless ``risk_free`` is given.
    factors
        (period, factor) factor returns, decimals, of at least these periods.
    risk_free
        (period,) rate that is subtracted from the returns.

    Raises
    ------
    DataError
        As ``TimeSeriesEstimator.fit``: collinear factors, too few returns, missing factor returns.
    """
    where = "pricing"
    table = returns_table(returns, where=where)
    estimator = TimeSeriesEstimator(factors, risk_free=risk_free)
    with examined():
        estimator.fit(table)  # all its checks
    excess, f = estimator.realised(table)
    kept = excess.notna().any(axis=1)
    excess, f = excess.loc[kept], f.loc[kept]
    names, y, values = [str(c) for c in f.columns], excess.to_numpy(), f.to_numpy()
    t, k = values.shape
    x = np.column_stack([np.ones(t), values])
    coefficients, residuals, _, errors = regressions(x, y, np.ones(t))
    known = np.isfinite(y)
    n = known.sum(axis=0)
    total = np.nansum(np.square(y - np.nanmean(y, axis=0)), axis=0)
    freedom = n - k - 1
    spanned = np.nansum(np.square(residuals), axis=0) <= SPANNED * total
    ratio = coefficients / np.where(spanned, np.nan, errors)  # of rounding, over rounding
    p = np.asarray(2 * special.stdtr(freedom, -np.abs(ratio)))
    assets = pd.Index([str(c) for c in excess.columns], name=ASSET)
    alphas = pd.DataFrame(
        {
            "alpha": coefficients[0],
            "se": errors[0],
            "t": ratio[0],
            "p_value": p[0],
            "r_squared": 1 - np.nansum(np.square(residuals), axis=0) / np.where(total > 0, total, np.nan),
            "n_periods": n,
        },
        index=assets,
    )
    index = pd.MultiIndex.from_product([assets, names], names=[ASSET, FACTOR])
    columns = {"beta": coefficients, "se": errors, "t": ratio, "p_value": p}
    betas = pd.DataFrame({c: v[1:].T.ravel() for c, v in columns.items()}, index=index)
    covariance = np.cov(values.T).reshape(k, k) / t
    se = np.sqrt(np.diag(covariance))
    premia = pd.DataFrame({"mean": values.mean(axis=0), "se": se}, index=pd.Index(names, name=FACTOR))
    premia["t"] = premia["mean"] / premia["se"]
    premia["covariance"] = list(covariance)
    whole = known[:, ~spanned].all(axis=1)
    grs, freedom_of = grs_statistic(y[whole][:, ~spanned], values[whole])
    return Pricing(
        alphas, betas, premia, grs, float(special.fdtrc(*freedom_of, grs)), freedom_of, int(whole.sum())
    )


def grs_statistic(excess: Floats, factors: Floats) -> tuple[float, tuple[int, int]]:
    """F statistic and degrees of freedom (eq. R17) of returns (period, asset) and factors (period, factor).

    NaN where there are not more periods than assets and factors together, and where what the factors leave of
    the assets is linearly dependent, as of an asset that is there twice.

    ``excess`` are returns above the risk-free rate.

    Examples
    --------
    >>> import numpy as np
    >>> from bdfm import risk
    >>> rng = np.random.default_rng(1)
    >>> market = rng.normal(0.005, 0.04, (120, 1))
    >>> F, freedom = risk.grs_statistic(market * [0.8, 1.2] + rng.normal(0, 0.03, (120, 2)), market)
    >>> round(F, 2), freedom
    (4.11, (2, 117))
    """
    (t, n), k = excess.shape, factors.shape[1]
    freedom = (n, t - n - k)
    if freedom[1] < 1 or n < 1:
        return float("nan"), freedom
    x = np.column_stack([np.ones(t), factors])
    coefficients = np.linalg.lstsq(x, excess, rcond=None)[0]
    residuals = excess - x @ coefficients
    alpha, mean = coefficients[0], factors.mean(axis=0)
    sigma = residuals.T @ residuals / t
    sd = np.sqrt(np.diag(sigma))
    if not (sd > 0).all() or np.linalg.eigvalsh(sigma / np.outer(sd, sd))[0] < DEPENDENT:
        return float("nan"), freedom
    omega = np.atleast_2d(np.cov(factors.T, bias=True))
    sharpe = float(mean @ np.linalg.solve(omega, mean))
    return float(freedom[1] / n * (alpha @ np.linalg.solve(sigma, alpha)) / (1 + sharpe)), freedom

"""Tests, forecasts and tails beside other calculations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from concepts import FACTORS, Data, row
from scipy import integrate, stats
from statsmodels.stats.diagnostic import acorr_ljungbox, het_arch
from statsmodels.stats.outliers_influence import variance_inflation_factor
from statsmodels.stats.stattools import jarque_bera

from bdfm import risk
from bdfm import validation as va
from bdfm.validation import statistics
from concept_rows.risk_rows import dense, regressions


def residuals(d: Data) -> np.ndarray:
    """Statsmodels' residuals (week, stock)."""
    return np.column_stack([m.resid for m in regressions(d)])


@row("t of exposures with Newey-West errors", "513 stocks, 104 weeks", "statsmodels HAC")
def hac(d: Data) -> tuple[Any, Any]:
    f = d.weekly_factors
    x = sm.add_constant(f[FACTORS].to_numpy())
    y = d.weekly.sub(f["RF"], axis=0).to_numpy()
    other = [
        sm.OLS(c, x).fit(cov_type="HAC", cov_kwds={"maxlags": 4, "use_correction": True}).tvalues for c in y.T
    ]
    return statistics.regress(x, y, lags=4).t.T, other


@row("variance inflation of factors", "three factors, 104 weeks", "statsmodels")
def inflation(d: Data) -> tuple[Any, Any]:
    x = sm.add_constant(d.weekly_factors[FACTORS].to_numpy())
    other = [variance_inflation_factor(x, j) for j in (1, 2, 3)]
    return statistics.variance_inflation(d.weekly_factors[FACTORS].to_numpy()), other


@row("Ljung-Box, 5 lags", "residuals of 513 stocks", "statsmodels")
def ljung_box(d: Data) -> tuple[Any, Any]:
    u = residuals(d)
    return statistics.ljung_box(u, 5), [acorr_ljungbox(c, 5)["lb_pvalue"].iloc[-1] for c in u.T]


@row("ARCH-LM, 5 lags", "residuals of 513 stocks", "statsmodels", 1e-8)
def arch_lm(d: Data) -> tuple[Any, Any]:
    u = residuals(d)
    return statistics.arch_lm(u, 5), [het_arch(c, nlags=5)[1] for c in u.T]


@row("Jarque-Bera", "residuals of 513 stocks", "statsmodels")
def normal(d: Data) -> tuple[Any, Any]:
    u = residuals(d)
    return statistics.jarque_bera(u), [jarque_bera(c)[1] for c in u.T]


@row("F test and R² of each asset, as the report counts them", "513 stocks, 104 weeks", "statsmodels")
def explained(d: Data) -> tuple[Any, Any]:
    f = d.weekly_factors
    y = d.weekly.sub(f["RF"], axis=0)
    words = va.validate(d.model, y, n_simulations=0).table.loc["explanatory power", "statistic"]
    r2, count = float(words.split()[1]), int(words.split(";")[1].split()[0])
    fits = regressions(d)
    left = np.square(residuals(d)).sum() / np.square(y - y.mean()).to_numpy().sum()
    p = np.sort([m.f_pvalue for m in fits])
    holm = np.cumprod(p * np.arange(len(p), 0, -1) < 0.05).sum()
    return [count, r2], [holm, round(1 - left, 2)]


@row("odd exposures: market beta outside 0.5 to 1.5", "513 stocks, 104 weeks", "statsmodels HAC, Holm")
def odd(d: Data) -> tuple[Any, Any]:
    f = d.weekly_factors
    y = d.weekly.sub(f["RF"], axis=0)
    found = va.validate(d.model, y, n_simulations=0, expected={"Mkt-RF": (0.5, 1.5)}).unexpected
    x = sm.add_constant(f[FACTORS].to_numpy())
    hac = {"maxlags": 4, "use_correction": True}
    fits = [sm.OLS(y[a].to_numpy(), x).fit(cov_type="HAC", cov_kwds=hac) for a in y]
    b, se = np.array([m.params[1] for m in fits]), np.array([m.bse[1] for m in fits])
    p = np.sort(stats.t.sf(np.maximum(0.5 - b, b - 1.5) / se, len(y) - 4))
    return len(found), np.cumprod(p * np.arange(len(p), 0, -1) < 0.05).sum()


@row("bias statistic and QLIKE out of sample", "100 stocks, 52 weeks", "refits and the dense matrix")
def unseen(d: Data) -> tuple[Any, Any]:
    table = risk.simple_returns(d.sp500.iloc[:, ::5].iloc[:, :100], period="1w").iloc[-156:]
    estimator = risk.StatisticalEstimator(3, standardise=True)
    w = pd.DataFrame([np.full(100, 0.01), np.linspace(-0.03, 0.03, 100)], ["long", "spread"], table.columns)
    ours = va.walk_forward(estimator, table, window=104, step=13, portfolios=w)
    z, loss = [], []
    for stop in range(104, 156, 13):
        s = dense(estimator.fit(table.iloc[stop - 104 : stop]))
        sd = np.sqrt(np.einsum("pi,ij,pj->p", w, s, w))
        r = table.iloc[stop : stop + 13].to_numpy() @ w.to_numpy().T
        z.append(r / sd)
        loss.append(np.log(sd**2) + (r / sd) ** 2)
    other = [np.sqrt(np.square(np.vstack(z)).mean(axis=0)), np.vstack(loss).mean(axis=0)]
    return [ours.bias()["bias"], ours.qlike()["qlike"]], other


@row("alphas out of sample: slope", "100 stocks, 13 origins", "NumPy regressions")
def lasting(d: Data) -> tuple[Any, Any]:
    from bdfm.risk.returns import compounded

    table = risk.simple_returns(d.sp500.iloc[:, ::5].iloc[:, :100], period="1w").iloc[-156:]
    f = compounded(d.daily_factors, table.index)
    found = va.forecast_alphas(table, f[FACTORS], risk_free=f["RF"], window=104, step=4)
    y, g, slopes = table.sub(f["RF"], axis=0).to_numpy(), f[FACTORS].to_numpy(), []
    for stop in range(104, 156, 4):
        x = np.column_stack([np.ones(104), g[stop - 104 : stop]])
        b = np.linalg.pinv(x) @ y[stop - 104 : stop]
        came = (y[stop : stop + 4] - g[stop : stop + 4] @ b[1:]).mean(axis=0)
        slopes.append(np.polyfit(b[0], came, 1)[0])
    return found.by_origin()["slope"], slopes


@row("expected shortfall of a Student-t tail", "volatility 2 %, 5 degrees", "SciPy quadrature", 1e-7)
def tail(d: Data) -> tuple[Any, Any]:
    ours = va.tail_of_volatility(0.02, level=0.95, dof=5)
    scale = 0.02 * np.sqrt(3 / 5)
    q = stats.t.ppf(0.05, 5, scale=scale)
    mean = integrate.quad(lambda x: x * stats.t.pdf(x, 5, scale=scale), -np.inf, q, epsabs=1e-13)[0]
    return list(ours), [-q, -mean / 0.05]


@row(
    "tests of Kupiec, Christoffersen, Acerbi-Szekely",
    "513 stocks alike, 150 weeks",
    "logs of counts",
)
def tails(d: Data) -> tuple[Any, Any]:
    r = risk.simple_returns(d.sp500, period="1w").mean(axis=1)
    sd = r.rolling(52).std().shift(1).dropna().iloc[-150:]
    r = r.loc[sd.index]
    var, es = va.tail_of_volatility(sd, level=0.95)
    ours = va.backtest_tail(r, var, es, level=0.95, n_simulations=200).table["statistic"]
    hit = (r < -var).to_numpy()
    n, x = len(hit), hit.sum()
    uc = 2 * (stats.binom.logpmf(x, n, x / n) - stats.binom.logpmf(x, n, 0.05))
    pairs = pd.crosstab(hit[:-1], hit[1:]).to_numpy().astype(float)
    free, tied = pairs / pairs.sum(axis=1, keepdims=True), pairs.sum(axis=0) / pairs.sum()
    ind = 2 * sum(
        k * np.log(p / q) for k, p, q in zip(pairs.ravel(), free.ravel(), [*tied, *tied], strict=True) if k
    )
    z = 1 - sum(-r[hit] / es[hit]) / (n * 0.05)
    return ours, [uc, ind, uc + ind, z]

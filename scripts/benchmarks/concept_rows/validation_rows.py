"""Tests, forecasts and tails beside other calculations."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import integrate, linalg, stats
from statsmodels.stats.diagnostic import acorr_ljungbox, het_arch
from statsmodels.stats.outliers_influence import variance_inflation_factor
from statsmodels.stats.stattools import jarque_bera

from bdfm import risk
from bdfm import validation as va
from bdfm.validation import statistics
from concept_rows.data import FACTORS, Data
from concept_rows.risk_rows import dense, regressions
from concept_rows.table import row


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


def sample_of(d: Data) -> pd.DataFrame:
    """Weekly returns of 100 stocks over three years."""
    return risk.simple_returns(d.sp500.iloc[:, ::5].iloc[:, :100], period="1w").iloc[-156:]


@row(
    "Mahalanobis, safest portfolio, R² out of sample",
    "100 stocks, 52 weeks",
    "the dense matrix, each stock left out of its regression",
)
def distances(d: Data) -> tuple[Any, Any]:
    table, estimator = sample_of(d), risk.StatisticalEstimator(3, standardise=True)
    found = va.walk_forward(estimator, table, window=104, step=13)
    ours = [found.mahalanobis()[0], found.minimum_variance_ratio()[0], found.total_r_squared()]
    far, safe, left, total = [], [], 0.0, 0.0
    for stop in range(104, 156, 13):
        model = estimator.fit(table.iloc[stop - 104 : stop])
        s = dense(model)
        b, root = model.exposures.to_numpy(), 1 / np.sqrt(model.specific_variance.to_numpy())
        w = np.linalg.solve(s, np.ones(100))
        w /= w.sum()
        for r in table.iloc[stop : stop + 13].to_numpy():
            far.append(r @ np.linalg.inv(s) @ r / 100)
            safe.append((w @ r) ** 2 / (w @ s @ w))
            for i in range(100):
                use = np.arange(100) != i
                g = np.linalg.lstsq(b[use] * root[use, None], r[use] * root[use], rcond=None)[0]
                left, total = left + (r[i] - b[i] @ g) ** 2, total + r[i] ** 2
    return ours, [np.mean(far), np.sqrt(np.mean(safe)), 1 - left / total]


@row(
    "QLIKE above the best model, and its error",
    "100 stocks, 52 weeks, three and one components",
    "statsmodels HAC",
)
def above(d: Data) -> tuple[Any, Any]:
    table, losses, found = sample_of(d), [], {}
    w = va.trial_portfolios(list(table.columns), seed=0).loc[["long only", "long-short"]]
    for k in (3, 1):
        estimator = risk.StatisticalEstimator(k, standardise=True)
        found[str(k)] = va.walk_forward(estimator, table, window=104, step=13, portfolios=w)
        own = []
        for stop in range(104, 156, 13):
            s = dense(estimator.fit(table.iloc[stop - 104 : stop]))
            v = np.einsum("pi,ij,pj->p", w, s, w)
            r = table.iloc[stop : stop + 13].to_numpy() @ w.to_numpy().T
            own.append((np.log(v) + r**2 / v).mean(axis=1))
        losses.append(np.concatenate(own))
    made = va.compare_forecasts(found)
    best = int(np.argmin([x.mean() for x in losses]))
    gap = losses[1 - best] - losses[best]
    hac = {"maxlags": int(4 * (len(gap) / 100) ** (2 / 9)), "use_correction": False}
    fit = sm.OLS(gap, np.ones(len(gap))).fit(cov_type="HAC", cov_kwds=hac)
    ours = made.loc[["QLIKE above the best", "its standard error"]].iloc[:, 1 - best]
    return ours, [fit.params[0], fit.bse[0]]


@row("bias by calm and turbulent weeks", "100 stocks, 52 weeks", "refits, pandas")
def regimes(d: Data) -> tuple[Any, Any]:
    table, estimator = sample_of(d), risk.StatisticalEstimator(3, standardise=True)
    report = va.validate(
        estimator.fit(table), table, estimator=estimator, window=104, step=13, n_simulations=0, seed=0
    )
    w = va.trial_portfolios(list(table.columns), seed=0).loc[["long only", "long-short"]]
    z = []
    for stop in range(104, 156, 13):
        s = dense(estimator.fit(table.iloc[stop - 104 : stop]))
        r = table.iloc[stop : stop + 13].to_numpy() @ w.to_numpy().T
        z.append(r / np.sqrt(np.einsum("pi,ij,pj->p", w, s, w)))
    squares = pd.DataFrame(np.square(np.vstack(z)), table.index[104:], w.index)
    before = table.mean(axis=1).rolling(15).std().shift(1).loc[squares.index]
    third = pd.qcut(before, 3, labels=False)
    other = np.sqrt(squares.T.groupby(level=0).mean().T.groupby(third).mean())
    return report.regimes[["bias, long only", "bias, long-short"]], other


@row("paths of purged cross-validation: bias", "100 stocks, 156 weeks, 4 folds", "folds by hand")
def purged(d: Data) -> tuple[Any, Any]:
    table, estimator = sample_of(d), risk.StatisticalEstimator(3, standardise=True)
    w = pd.DataFrame([np.full(100, 0.01)], ["equal"], table.columns)
    paths = va.cross_validate(
        estimator, table, n_folds=4, n_test_folds=2, purged_size=1, embargo_size=1, portfolios=w
    )
    ours = sorted(p.bias()["bias"].iloc[0] for p in paths)
    folds, squares = np.array_split(np.arange(len(table)), 4), {k: [] for k in range(4)}
    for pair in combinations(range(4), 2):
        tests = np.concatenate([folds[k] for k in pair])
        near = set(tests) | set(tests - 1) | set(tests + 1)  # purged on both sides
        near |= {t + 2 for t in tests if t + 1 not in tests}  # and an embargo after a test
        train = [t for t in range(len(table)) if t not in near]
        sd = np.sqrt(np.full(100, 0.01) @ dense(estimator.fit(table.iloc[train])) @ np.full(100, 0.01))
        for k in pair:
            squares[k].append(np.square(table.iloc[folds[k]].mean(axis=1) / sd).sum())
    other = [np.sqrt(sum(squares[k][j] for k in range(4)) / len(table)) for j in range(3)]
    return ours, sorted(other)


@row("change of exposures between halves, in errors", "513 stocks, 104 weeks", "statsmodels HC1 of each half")
def drift(d: Data) -> tuple[Any, Any]:
    f = d.weekly_factors
    y = d.weekly.sub(f["RF"], axis=0)
    words = va.validate(d.model, y, n_simulations=0).table.loc["stability of exposures", "statistic"]
    x, t = sm.add_constant(f[FACTORS].to_numpy()), []
    for a in y:
        one, two = (sm.OLS(y[a].to_numpy()[s], x[s]).fit(cov_type="HC1") for s in (slice(52), slice(52, 104)))
        t.append((two.params - one.params)[1:] / np.sqrt((one.bse**2 + two.bse**2)[1:]))
    return float(words.split()[-3]), round(float(np.abs(t).max()), 2)


@row("largest eigenvalue of residuals", "residuals of 513 stocks", "SciPy, the whole matrix")
def shared(d: Data) -> tuple[Any, Any]:
    u = residuals(d)
    return statistics.largest_eigenvalue(u), linalg.eigvalsh(np.corrcoef(u.T))[-1]


@row(
    "tails, autocorrelation, clusters: p-values",
    "residuals of 40 stocks, 104 weeks",
    "20,000 fresh series of each test",
    0.02,
)
def laws(d: Data) -> tuple[Any, Any]:
    u = residuals(d)[:, ::13][:, :40]
    fresh = np.random.default_rng(5).standard_normal((len(u), 20_000))

    def lagged(z: np.ndarray) -> np.ndarray:
        z = (z - z.mean(axis=0)) / z.std(axis=0)
        n = len(z)
        parts = [(z[k:] * z[:-k], (n - k) / n) for k in range(1, 6)]
        return np.asarray(sum((p.sum(axis=0) + m) ** 2 / (p**2).sum(axis=0) for p, m in parts))

    def scores(z: np.ndarray) -> np.ndarray:
        z = stats.norm.ppf((np.argsort(np.argsort(np.abs(z), axis=0), axis=0) + 0.625) / (len(z) + 0.25))
        z, n = z / z.std(axis=0), len(z)
        return np.asarray(
            sum((z[k:] * z[:-k]).mean(axis=0) ** 2 * (n - k) ** 2 / n**2 / (n - k) for k in range(1, 6))
        )

    def tails_of(z: np.ndarray) -> np.ndarray:
        return np.asarray(stats.normaltest(z).statistic)

    ours = [f(u) for f in (statistics.normality,)]
    ours += [f(u, 5) for f in (statistics.robust_autocorrelation, statistics.volatility_clusters)]
    other = [(f(fresh)[:, None] >= f(u)).mean(axis=0) for f in (tails_of, lagged, scores)]
    return ours, other


@row("candidate factors alone and at the margin: R²", "100 stocks, 156 weeks", "statsmodels OLS")
def candidates(d: Data) -> tuple[Any, Any]:
    from bdfm.risk.returns import compounded

    table = sample_of(d)
    f = compounded(d.daily_factors, table.index)[FACTORS]
    found = va.select_factors(table, f, n_bootstrap=0, seed=1).factors[["alone", "marginal"]]

    def r2(names: list[str]) -> float:
        x = sm.add_constant(f[names].to_numpy())
        return float(np.mean([sm.OLS(table[a].to_numpy(), x).fit().rsquared for a in table]))

    whole = r2(FACTORS)
    return found, [[r2([k]), whole - r2([x for x in FACTORS if x != k])] for k in FACTORS]


@row("value at risk of a risk model, walk-forward", "100 stocks alike, 52 weeks", "refits, the dense matrix")
def said(d: Data) -> tuple[Any, Any]:
    table, estimator = sample_of(d), risk.StatisticalEstimator(3, standardise=True, window=104)
    w = pd.Series(0.01, list(table.columns))
    found = va.tail_of_model(estimator, table, w, start=104, every=13)
    other = []
    for stop in range(104, 156, 13):
        sd = np.sqrt(w @ dense(estimator.fit(table.iloc[:stop])) @ w)
        tail = stats.norm(scale=sd)
        at = tail.ppf(0.05)
        other += 13 * [[-at, -tail.expect(lambda x: x, ub=at, conditional=True)]]
    return found[["value_at_risk", "expected_shortfall"]], other


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

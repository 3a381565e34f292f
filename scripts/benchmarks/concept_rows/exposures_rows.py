"""Time-varying exposures beside other calculations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from arch import arch_model
from scipy import stats
from sklearn.decomposition import PCA
from statsmodels.tsa.statespace.kalman_filter import KalmanFilter

from bdfm import exposures as ex
from bdfm.exposures.dcc import fit_dcc, garch_margin
from concept_rows.data import Data
from concept_rows.table import row


@row("rolling betas, 250 days", "12 stocks, daily", "statsmodels OLS of each window")
def rolling(d: Data) -> tuple[Any, Any]:
    found = ex.RollingOLS(window_days=250, refresh_days=1).fit(d.sample).exposures[-2:]
    y, f = d.sample.returns.to_numpy(), sm.add_constant(d.sample.factors.to_numpy())
    n = len(y)
    other = [
        [sm.OLS(y[t - 249 : t + 1, i], f[t - 249 : t + 1]).fit().params[1:] for i in range(y.shape[1])]
        for t in range(n - 2, n)
    ]
    return found, other


@row(
    "betas of stocks that left the index",
    "S&P members, entries and exits",
    "statsmodels, the days that there are",
)
def leavers(d: Data) -> tuple[Any, Any]:
    prices = pd.read_csv(d.folder / "sp500_pit" / "prices.csv.gz", index_col=0, parse_dates=True)
    market = np.log(prices).diff().mean(axis=1).iloc[1:]
    last = {c: prices[c].last_valid_index() for c in prices if pd.notna(prices[c].iloc[0])}
    ended = [c for c, day in last.items() if pd.Timestamp("2016-12-01") < day < pd.Timestamp("2017-12-01")][
        :8
    ]
    table = prices[ended]
    data = ex.ExposureData.from_prices(table, market.to_frame("market"), accept=("stale-end",))
    found = ex.RollingOLS(window_days=500, refresh_days=1).fit(data)
    at = {a: int(np.flatnonzero(np.isfinite(data.returns.sel(asset=a)))[-1]) for a in data.assets}
    ours = [float(found.exposures.sel(asset=a)[t, 0]) for a, t in at.items()]
    f = sm.add_constant(data.factors.to_numpy())
    other = []
    for a, t in at.items():
        y = data.returns.sel(asset=a).to_numpy()[t - 499 : t + 1]
        there = np.isfinite(y)
        other.append(sm.OLS(y[there], f[t - 499 : t + 1][there]).fit().params[1])
    return ours, other


@row("random-walk betas and their likelihood", "AAPL, daily, in percent", "statsmodels' Kalman filter", 1e-8)
def kalman(d: Data) -> tuple[Any, Any]:
    y = 100 * d.sample.returns.sel(asset="AAPL").to_numpy()
    f = 100 * d.sample.factors.to_numpy()
    steps = np.array([3e-4, 1e-4, 2e-4])
    loglik, mean, _ = ex.kalman_betas(y, f, noise_variance=1.5, step_variance=steps)
    k = 1 + f.shape[1]
    one = KalmanFilter(1, k, loglikelihood_burn=0)
    one.bind(y[:, None])
    one["design"] = np.column_stack([np.ones(len(y)), f]).T[None]
    one["transition"], one["selection"] = np.eye(k), np.eye(k)
    one["state_cov"], one["obs_cov"] = np.diag([0.0, *steps]), np.array([[1.5]])
    one.initialize_known(np.zeros(k), np.diag([1.0] + [100.0] * 3))
    out = one.filter()
    return [loglik, *mean.ravel()], [out.llf_obs.sum(), *out.filtered_state.T.ravel()]


@row("GARCH(1,1) volatility", "AAPL, daily, in percent", "arch", 1e-6)
def garch(d: Data) -> tuple[Any, Any]:
    y = 100 * d.sample.returns.sel(asset="AAPL").to_numpy()
    fit = arch_model(y, mean="Constant", rescale=False).fit(disp="off")
    return np.sqrt(garch_margin(y, len(y)).variance[:-1]), fit.conditional_volatility


@row("dynamic correlation", "AAPL with the market", "a loop over days at our a and b", 1e-8)
def dcc(d: Data) -> tuple[Any, Any]:
    from bdfm.exposures.kernels import dcc_correlations

    y = 100 * d.sample.returns.sel(asset="AAPL").to_numpy()
    f = 100 * d.sample.factors.to_numpy()[:, 0]
    z = np.column_stack([garch_margin(x, len(x)).standardised for x in (y, f)])
    fit = fit_dcc(z)
    q = s = np.corrcoef(z.T)
    other = []
    for t in range(len(z)):
        other.append(q[0, 1] / np.sqrt(q[0, 0] * q[1, 1]))
        q = (1 - fit.a - fit.b) * s + fit.a * np.outer(z[t], z[t]) + fit.b * q
    return np.asarray(dcc_correlations(z, fit.target, fit.a, fit.b))[: len(z), 0, 1], other


@row("skewness, kurtosis, annual Sharpe ratio", "12 stocks, daily", "SciPy")
def described(d: Data) -> tuple[Any, Any]:
    table = ex.describe(d.sample)[0].loc["asset"]
    r = d.sample.returns.to_numpy()
    other = [stats.skew(r, bias=False), stats.kurtosis(r, bias=False),
             np.sqrt(252) * r.mean(axis=0) / r.std(axis=0, ddof=1)]  # fmt: skip
    return table[["skewness", "excess_kurtosis", "sharpe"]].to_numpy().T, other


@row("correlations among stocks: mean, median", "12 stocks, daily", "SciPy, pair by pair")
def correlations(d: Data) -> tuple[Any, Any]:
    found = ex.describe(d.sample)[1].loc["assets", ["mean", "median"]]
    r = d.sample.returns.to_numpy()
    pairs = [stats.pearsonr(r[:, i], r[:, j]).statistic for i in range(12) for j in range(i)]
    return found, [np.mean(pairs), np.median(pairs)]


@row("risk model of moving exposures", "12 stocks, rolling betas", "sums over days")
def in_use(d: Data) -> tuple[Any, Any]:
    paths = ex.RollingOLS(window_days=250).fit(d.sample)
    returns = d.sample.returns.to_pandas()
    ours = ex.exposures_risk(paths, returns).covariance()
    b, a = paths.exposures.to_numpy(), paths.dataset["intercept"].to_numpy()
    f, r = d.sample.factors.to_numpy(), returns.to_numpy()
    n = len(f)
    w = 0.5 ** (np.arange(n)[::-1] / 63)
    second = sum(w[t] * np.outer(f[t], f[t]) for t in range(n)) / w.sum()
    error = np.array([r[t] - a[t - 1] - b[t - 1] @ f[t] for t in range(1, n)])
    there = np.isfinite(error)
    total = (w[1:, None] * np.where(there, error, 0.0) ** 2).sum(axis=0)
    specific = total / (w[1:, None] * there).sum(axis=0)
    return ours, b[-1] @ second @ b[-1].T + np.diag(specific)


@row("factor hedge of a book", "12 stocks, rolling betas", "statsmodels OLS of the book", 1e-8)
def hedge(d: Data) -> tuple[Any, Any]:
    paths = ex.RollingOLS(window_days=250, refresh_days=1).fit(d.sample)
    w = pd.Series(np.linspace(-0.2, 0.5, 12), list(d.sample.assets))
    ours = ex.factor_hedge(paths, w).iloc[-20:]
    book = d.sample.returns.to_numpy() @ w.to_numpy()
    f, n = sm.add_constant(d.sample.factors.to_numpy()), len(book)
    return ours, [
        -sm.OLS(book[t - 249 : t + 1], f[t - 249 : t + 1]).fit().params[1:] for t in range(n - 20, n)
    ]


@row("volatility of a book, known the day before", "12 stocks, rolling betas", "sums over days")
def book_volatility(d: Data) -> tuple[Any, Any]:
    paths = ex.RollingOLS(window_days=250).fit(d.sample)
    returns = d.sample.returns.to_pandas()
    w = np.linspace(-0.2, 0.5, 12)
    ours = ex.exposures_volatility(paths, returns, pd.Series(w, list(d.sample.assets))).iloc[-3:]
    b, a = paths.exposures.to_numpy(), paths.dataset["intercept"].to_numpy()
    f, r, other = d.sample.factors.to_numpy(), returns.to_numpy(), []
    error = np.array([r[t] - a[t - 1] - b[t - 1] @ f[t] for t in range(1, len(f))])
    for last in range(len(f) - 4, len(f) - 1):  # the day before
        weight = 0.5 ** (np.arange(last + 1)[::-1] / 63)
        x = w @ b[last]
        common = sum(k * (x @ g) ** 2 for k, g in zip(weight, f, strict=False)) / weight.sum()
        there = np.isfinite(error[:last, 0])
        k = weight[1:][there]
        own = (k[:, None] * error[:last][there] ** 2).sum(axis=0) / k.sum()
        other.append(np.sqrt(common + own @ w**2))
    return ours, other


@row("principal components: errors of reconstruction", "12 stocks, the test days", "scikit-learn PCA")
def components(d: Data) -> tuple[Any, Any]:
    found = ex.PrincipalComponents(3).fit(d.sample)
    ours = ex.compare({"pca": found}, d.sample).table()[["reconstruction_standardised", "reconstruction_raw"]]
    training, test = d.sample.days_of("training"), d.sample.days_of("test")
    r = d.sample.returns.to_numpy()
    mean, sd = r[training].mean(axis=0), r[training].std(axis=0)
    x = (r - mean) / sd
    pca = PCA(3, svd_solver="full").fit(x[training])
    left = x[test] - pca.inverse_transform(pca.transform(x[test]))
    return ours, [np.square(left).mean(), np.square(left * sd).mean()]


@row("errors of prediction and their difference", "12 stocks, rolling and constant betas", "statsmodels HAC")
def predicted(d: Data) -> tuple[Any, Any]:
    found = {"rolling": ex.RollingOLS(250).fit(d.sample), "constant": ex.ConstantBetas().fit(d.sample)}
    made = ex.compare(found, d.sample)
    ours = [*made.table()["prediction_standardised"], *made.against("constant").iloc[0]]
    r, f, test = d.sample.returns.to_numpy(), d.sample.factors.to_numpy(), d.sample.days_of("test")
    sd, losses = r[d.sample.days_of("training")].std(axis=0), []
    for one in found.values():
        b, a = one.exposures.to_numpy(), one.dataset["intercept"].to_numpy()
        own = [((r[t] - a[t - 1] - b[t - 1] @ f[t]) / sd) ** 2 for t in range(len(r))[test]]
        losses.append(np.mean(own, axis=1))
    gap = losses[0] - losses[1]
    hac = {"maxlags": 5, "use_correction": True}
    fit = sm.OLS(gap, np.ones(len(gap))).fit(cov_type="HAC", cov_kwds=hac)
    return ours, [losses[0].mean(), losses[1].mean(), fit.params[0], fit.bse[0], fit.tvalues[0]]


@row("latents on factors: slopes, t, R²", "3 components of 12 stocks, the test days", "NumPy, HAC by hand")
def latents(d: Data) -> tuple[Any, Any]:
    found = ex.LatentAnalysis(ex.PrincipalComponents(3).fit(d.sample), d.sample, "test")
    ours = found.regressions()[["slope", "t", "r_squared", "correlation"]]
    f = 100 * d.sample.factors.to_numpy()[d.sample.days_of("test")]
    other = []
    for z in found.latents().to_numpy().T:
        for g in f.T:
            x = np.column_stack([np.ones(len(g)), g])
            inverse = np.linalg.inv(x.T @ x)
            slope = inverse @ x.T @ z
            u = x * (z - x @ slope)[:, None]
            meat = u.T @ u
            for lag in range(1, 6):
                meat += (1 - lag / 6) * (u[lag:].T @ u[:-lag] + u[:-lag].T @ u[lag:])
            se = np.sqrt((inverse @ meat @ inverse)[1, 1])
            rho = np.corrcoef(z, g)[0, 1]
            other.append([slope[1], slope[1] / se, rho**2, rho])
    return ours, other

"""Risk models, sorts, components and hedges beside other calculations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import optimize, stats
from sklearn.decomposition import PCA
from statsmodels.tsa.api import VAR

from bdfm import risk
from bdfm.risk.statistical import bai_ng
from concept_rows.data import FACTORS, LAST, Data
from concept_rows.table import row


def regressions(data: Data) -> list[Any]:
    """Statsmodels' regressions of each stock's weekly excess return."""
    f = data.weekly_factors
    x = sm.add_constant(f[FACTORS].to_numpy())
    return [sm.OLS(data.weekly[a].to_numpy() - f["RF"].to_numpy(), x).fit() for a in data.weekly]


def dense(model: risk.RiskModel) -> np.ndarray:
    """B F B' + diag(D)."""
    b, f, d = (np.asarray(x) for x in (model.exposures, model.factor_covariance, model.specific_variance))
    return b @ f @ b.T + np.diag(d)


@row("betas of excess returns, three factors", "513 stocks, 104 weeks", "statsmodels OLS")
def betas(d: Data) -> tuple[Any, Any]:
    return d.model.exposures.to_numpy(), [m.params[1:] for m in regressions(d)]


@row("alphas, errors, t, p, R²", "513 stocks, 104 weeks", "statsmodels OLS")
def alphas(d: Data) -> tuple[Any, Any]:
    f = d.weekly_factors
    found = risk.price(d.weekly, f[FACTORS], risk_free=f["RF"]).alphas
    other = [(m.tvalues[0], m.params[0], m.bse[0], m.pvalues[0], m.rsquared) for m in regressions(d)]
    return found[["t", "alpha", "se", "p_value", "r_squared"]], other


@row("joint test of alphas (GRS)", "25 portfolios, 678 months", "difference of squared Sharpe ratios")
def grs(d: Data) -> tuple[Any, Any]:
    assets, factors = d.monthly
    ours = risk.price(assets, factors[FACTORS], risk_free=factors["RF"]).grs
    f, r = factors[FACTORS].to_numpy(), assets.sub(factors["RF"], axis=0).to_numpy()

    def best(x: np.ndarray) -> float:
        return float(x.mean(axis=0) @ np.linalg.solve(np.cov(x.T, bias=True), x.mean(axis=0)))

    (t, n), k = r.shape, f.shape[1]
    return ours, (t - n - k) / n * (best(np.hstack([r, f])) - best(f)) / (1 + best(f))


@row("CAPM expected return", "25 portfolios, 678 months", "statsmodels OLS")
def capm(d: Data) -> tuple[Any, Any]:
    assets, factors = d.monthly
    market = factors[["Mkt-RF"]]
    ours = risk.price(assets, market, risk_free=factors["RF"]).expected(0.003)["expected"]
    x = sm.add_constant(market.to_numpy())
    slopes = [sm.OLS((assets[a] - factors["RF"]).to_numpy(), x).fit().params[1] for a in assets]
    return ours, 0.003 + np.array(slopes) * float(market.mean().iloc[0])


@row("volatility of 20 market days", "513 stocks", "pandas")
def market_days(d: Data) -> tuple[Any, Any]:
    ours = risk.simple_returns(d.sp500, period="20d", window=40).std()
    own = d.sp500.iloc[::-20][:41].iloc[::-1]
    return ours, (own / own.shift(1) - 1).std()


@row("divisor of the textbook, T - 1", "513 stocks, 104 weeks", "statsmodels residuals")
def divisor(d: Data) -> tuple[Any, Any]:
    f = d.weekly_factors
    found = risk.TimeSeriesEstimator(f[FACTORS], f["RF"], divisor="textbook").fit(d.weekly)
    return found.specific_variance, [np.var(m.resid, ddof=1) for m in regressions(d)]


@row("Vasicek shrinkage to 1", "513 stocks, 104 weeks", "statsmodels errors, by hand")
def vasicek(d: Data) -> tuple[Any, Any]:
    f = d.weekly_factors
    found = risk.TimeSeriesEstimator(f[["Mkt-RF"]], f["RF"], shrink_to={"Mkt-RF": 1.0}).fit(d.weekly)
    x = sm.add_constant(f["Mkt-RF"].to_numpy())
    fits = [sm.OLS(d.weekly[a].to_numpy() - f["RF"].to_numpy(), x).fit() for a in d.weekly]
    b, se = np.array([m.params[1] for m in fits]), np.array([m.bse[1] for m in fits])
    prior = np.mean((b - 1) ** 2)
    return found.exposures, (b / se**2 + 1 / prior) / (1 / se**2 + 1 / prior)


@row("portfolio variance and its parts by asset", "513 stocks", "the dense matrix")
def variance(d: Data) -> tuple[Any, Any]:
    w = np.linspace(-0.002, 0.006, len(d.model.assets))
    return d.model.decompose(pd.Series(w, list(d.model.assets))).by_asset, w * (dense(d.model) @ w)


@row("parts of portfolio variance by factor", "513 stocks", "statsmodels OLS, covariance of factors")
def by_factor(d: Data) -> tuple[Any, Any]:
    w = np.linspace(-0.002, 0.006, len(d.model.assets))
    ours = d.model.decompose(pd.Series(w, list(d.model.assets))).by_factor
    x = w @ np.array([m.params[1:] for m in regressions(d)])
    return ours, x * (np.cov(d.weekly_factors[FACTORS].T) @ x)


@row("betas with a half-life of 26 weeks", "513 stocks, 104 weeks", "statsmodels WLS")
def half_life(d: Data) -> tuple[Any, Any]:
    f = d.weekly_factors
    found = risk.TimeSeriesEstimator(f[FACTORS], f["RF"], half_life_periods=26).fit(d.weekly)
    x, w = sm.add_constant(f[FACTORS].to_numpy()), 0.5 ** (np.arange(len(f))[::-1] / 26)
    y = d.weekly.sub(f["RF"], axis=0)
    return found.exposures, [sm.WLS(y[a].to_numpy(), x, weights=w).fit().params[1:] for a in y]


@row("betas to a fund", "M6 assets to IVV", "the dense matrix")
def to_fund(d: Data) -> tuple[Any, Any]:
    s, at = dense(d.m6_model), d.m6_model.assets.index("IVV")
    return d.m6_model.beta_to({"IVV": 1.0}), s[at] / s[at, at]


@row("volatility of the next four weeks", "M6 book", "the dense matrix, four times")
def scaled(d: Data) -> tuple[Any, Any]:
    s, w = 4 * dense(d.m6_model), d.book.to_numpy()
    return d.m6_model.scale_to(4).volatility(d.book), np.sqrt(w @ s @ w)


@row("marginal contributions to risk", "M6 book", "finite differences", 1e-6)
def marginal(d: Data) -> tuple[Any, Any]:
    s, w = dense(d.m6_model), d.book.to_numpy()
    step = 1e-6
    up = [np.sqrt((w + e) @ s @ (w + e)) - np.sqrt((w - e) @ s @ (w - e)) for e in step * np.eye(len(w))]
    return risk.marginal_risk(d.m6_model, d.book), np.array(up) / (2 * step)


@row("minimum-variance hedge", "M6 book with IVV, IEF, GSG", "BFGS on the dense matrix", 1e-5)
def hedged(d: Data) -> tuple[Any, Any]:
    tools = [x for x in ("IVV", "IEF", "GSG") if x in d.m6_model.assets]
    s, w = dense(d.m6_model), d.book.to_numpy()
    pick = np.eye(len(w))[[d.m6_model.assets.index(x) for x in tools]]

    def loss(h: np.ndarray) -> float:
        x = w + h @ pick
        return float(1e4 * x @ s @ x)

    return risk.hedge(d.m6_model, d.book, tools).ratios, optimize.minimize(
        loss, np.zeros(len(tools)), options={"gtol": 1e-12}
    ).x


@row("hedge under limits", "M6 book, each instrument short by 10 % at most", "SLSQP", 1e-4)
def limited(d: Data) -> tuple[Any, Any]:
    tools = [x for x in ("IVV", "IEF", "GSG") if x in d.m6_model.assets]
    s, w = dense(d.m6_model), d.book.to_numpy()
    pick = np.eye(len(w))[[d.m6_model.assets.index(x) for x in tools]]
    found = optimize.minimize(
        lambda h: 1e6 * (w + h @ pick) @ s @ (w + h @ pick), np.full(len(tools), -0.05), method="SLSQP",
        bounds=[(-0.1, 0.0)] * len(tools), options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    return risk.hedge(d.m6_model, d.book, tools, limits=(-0.1, 0.0)).ratios, found.x


@row("tracking error, active beta", "M6 book against IVV", "the dense matrix")
def active(d: Data) -> tuple[Any, Any]:
    s, w = dense(d.m6_model), d.book.to_numpy()
    b = (np.asarray(d.m6_model.assets) == "IVV").astype(float)
    ours = risk.active_risk(d.m6_model, d.book, {"IVV": 1.0})[["active_volatility", "beta"]]
    return ours, [np.sqrt((w - b) @ s @ (w - b)), (w @ s @ b) / (b @ s @ b)]


@row("linked specific risk", "GOOG and GOOGL", "correlation of statsmodels residuals")
def linked(d: Data) -> tuple[Any, Any]:
    found = risk.link_specific(d.model, {"Alphabet": ["GOOG", "GOOGL"]}).covariance(["GOOG", "GOOGL"])
    fits = dict(zip(d.weekly, regressions(d), strict=True))
    one, two = fits["GOOG"], fits["GOOGL"]
    f = np.cov(d.weekly_factors[FACTORS].T)
    rho = np.corrcoef(one.resid, two.resid)[0, 1]
    common = one.params[1:] @ f @ two.params[1:]
    return found[0, 1], common + rho * np.sqrt(one.mse_resid * two.mse_resid)


@row("cross-section with sectors, one half and half", "100 stocks, 60 weeks", "KKT system")
def cross_section(d: Data) -> tuple[Any, Any]:
    names = list(d.weekly.columns[::4][:100])
    returns = d.weekly[names].iloc[-60:]
    sectors = pd.read_csv(d.folder / "sp500" / "sectors.csv").set_index("symbol")["gics_sector"].loc[names]
    few = sectors.map(sectors.value_counts()) < 6
    shares = pd.get_dummies(sectors.where(~few, "other"), dtype=float)
    shares.loc[names[0]] = 0.0
    shares.loc[names[0], shares.columns[:2]] = [0.7, 0.3]
    size = pd.Series(np.linspace(1.0, 4.0, 100), names)
    day = pd.DataFrame([size], [returns.index[0] - pd.Timedelta(days=30)])
    universe = names[:90]
    model = risk.CrossSectionalEstimator(
        None, {"sector": shares}, universe=universe, weights=np.sqrt(day), capitalisation=day
    ).fit(returns)
    x = np.column_stack([np.ones(90), shares.loc[universe].to_numpy()])
    c = np.concatenate([[0.0], size.loc[universe].to_numpy() @ shares.loc[universe].to_numpy()])
    w = np.sqrt(size.loc[universe].to_numpy())[:, None]
    k = x.shape[1]
    system = np.block([[x.T @ (w * x), c[:, None]], [c[None], np.zeros((1, 1))]])
    right = np.vstack([x.T @ (w * returns[universe].T.to_numpy()), np.zeros((1, len(returns)))])
    return model.history["factor_returns"], np.linalg.solve(system, right)[:k].T


@row("momentum of stocks", "513 stocks at 2022-02-04", "pandas")
def momentum(d: Data) -> tuple[Any, Any]:
    found = risk.price_styles(d.sp500, pd.DatetimeIndex([LAST]), styles=["momentum"])
    return found, np.log(d.sp500.iloc[-22] / d.sp500.iloc[-253])


@row("volatility, beta, reversal of stocks", "513 stocks at 2022-02-04", "pandas and SciPy")
def styles(d: Data) -> tuple[Any, Any]:
    names = ["volatility", "beta", "reversal"]
    found = risk.price_styles(d.sp500, pd.DatetimeIndex([LAST]), styles=names)
    logs = np.log(d.sp500).diff().iloc[-252:]
    market = logs.mean(axis=1)
    slopes = [stats.linregress(market, logs[a]).slope for a in logs]
    other = [np.log(logs.iloc[-63:].std()), slopes, -np.log(d.sp500.iloc[-1] / d.sp500.iloc[-22])]
    return found, np.array(other).T


@row("decile portfolios by momentum", "513 stocks, 25 months", "pandas qcut")
def deciles(d: Data) -> tuple[Any, Any]:
    monthly = d.sp500.resample("ME").last().iloc[:-1]
    score = (monthly.shift(1) / monthly.shift(12) - 1).iloc[12:]
    returns = (monthly / monthly.shift(1) - 1).loc[score.index]
    found = risk.sort_portfolios(returns, risk.Sort("MOM", score, "deciles")).portfolios
    other = []
    for before, day in zip(score.index[:-1], score.index[1:], strict=True):
        group = pd.qcut(score.loc[before], 10, labels=False)
        other.append(returns.loc[day].groupby(group).mean())
    return found, other


@row("value-weighted market", "companies with shares, 2013 to 2017", "pandas")
def market(d: Data) -> tuple[Any, Any]:
    r, cap = d.company_returns.loc["2013-01-01":"2017-12-31"], d.capitalisation
    ours = risk.market_return(r, cap)
    w = cap.shift(1).loc[ours.index].where(r.loc[ours.index].notna())
    return ours, (w * r.loc[ours.index]).sum(axis=1) / w.sum(axis=1)


def by_hand(d: Data, within: bool) -> pd.DataFrame:
    """SMB and HML of value-weighted 2×3 sorts by pandas alone."""
    r, cap, rows = d.company_returns, d.capitalisation, {}
    for june in d.june.size.index:
        size, value = d.june.size.loc[june], d.june.book_to_market.loc[june].dropna()
        size = size.loc[value.index]
        small = size <= size.median()
        group = pd.Series(index=value.index, dtype=object)
        for part in (small, ~small) if within else (small | ~small,):
            low, high = value[part].quantile([0.3, 0.7])
            own = value[part]
            group[part] = np.where(own <= low, "G", np.where(own <= high, "N", "V"))
        label = np.where(small, "S", "B") + group
        for day in r.loc[june : june + pd.DateOffset(years=1)].index[1:13]:
            w = cap.shift(1).loc[day, label.index].where(r.loc[day, label.index].notna())
            p = (w * r.loc[day, label.index]).groupby(label).sum() / w.groupby(label).sum()
            smb = p[["SV", "SN", "SG"]].mean() - p[["BV", "BN", "BG"]].mean()
            rows[day] = (smb, p[["SV", "BV"]].mean() - p[["SG", "BG"]].mean())
    return pd.DataFrame(rows, ["SMB", "HML"]).T


@row("SMB and HML, independent 2×3 sorts", "companies, July 2013 to January 2018", "pandas")
def independent(d: Data) -> tuple[Any, Any]:
    ours = risk.double_sort(d.company_returns, d.june, weights=d.capitalisation).factors
    return ours, by_hand(d, within=False).loc[ours.index]


@row("SMB and HML, sorted within size", "companies, July 2013 to January 2018", "pandas")
def inside(d: Data) -> tuple[Any, Any]:
    ours = risk.double_sort(d.company_returns, d.june, weights=d.capitalisation, within=True).factors
    return ours, by_hand(d, within=True).loc[ours.index]


@row("SMB of a single sort by size", "companies, July 2013 to January 2018", "pandas")
def single(d: Data) -> tuple[Any, Any]:
    ours = risk.single_sorts(d.company_returns, d.june)[0].factors["SMB"]
    other = {}
    for june in d.june.size.index:
        size = d.june.size.loc[june].dropna()
        small = size <= size.quantile(0.1)
        for day in d.company_returns.loc[june : june + pd.DateOffset(years=1)].index[1:13]:
            r = d.company_returns.loc[day, size.index]
            other[day] = r[small].mean() - r[~small].mean()
    return ours, [other[day] for day in ours.index]


@row("statements as they were known", "448 companies at 2015-04-30", "a loop")
def known(d: Data) -> tuple[Any, Any]:
    items = ["symbol", "period_ending", "total_equity", "net_income"]
    panel = risk.FundamentalsPanel.from_table(d.statements[items], lag_days=120)
    day = pd.Timestamp("2015-04-30")
    ours = panel.as_of(day)[["total_equity", "net_income"]]
    other = []
    for symbol in ours.index:
        own = d.statements[d.statements["symbol"] == symbol].sort_values("period_ending")
        age = (day - own["period_ending"]).dt.days
        own = own[(age >= 120) & (age <= 550)]
        other.append([own[c].dropna().iloc[-1] if len(own[c].dropna()) else 0 for c in ours])
    return ours.fillna(0), other


@row("size, value, earnings yield, quality, leverage", "companies at 2015-04-30 and 2016-04-29", "a loop")
def characteristics(d: Data) -> tuple[Any, Any]:
    items = ["total_equity", "net_income", "total_assets", "total_liabilities"]
    table = d.statements[["symbol", "period_ending", *items]]
    panel = risk.FundamentalsPanel.from_table(table, lag_days=120)
    days, cap = [pd.Timestamp("2015-04-30"), pd.Timestamp("2016-04-29")], d.capitalisation
    found = panel.characteristics(days, market_cap=cap)
    names, ours, other = ["size", "book_to_market", "earnings_yield", "quality", "leverage"], [], []
    for day in days:
        worth = cap.loc[: day + pd.Timedelta(days=3)].loc[:day].iloc[-1]
        for symbol in cap:
            own = table[table["symbol"] == symbol].sort_values("period_ending")
            age = (day - own["period_ending"]).dt.days
            own = own[(age >= 120) & (age <= 550)]
            e, i, a, o = (own[c].dropna().iloc[-1] if len(own[c].dropna()) else np.nan for c in items)
            m = worth[symbol]
            other += [np.log(m), e / m if e > 0 else np.nan, i / m, i / e if e > 0 else np.nan, o / a]
            ours += [found[name].loc[day, symbol] for name in names]
    known = np.isfinite(other)
    assert (known == np.isfinite(ours)).all()
    return np.array(ours)[known], np.array(other)[known]


@row("share of variance of components", "513 stocks, daily", "scikit-learn PCA")
def shares(d: Data) -> tuple[Any, Any]:
    returns = risk.simple_returns(d.sp500)
    other = PCA(50, svd_solver="full").fit(returns.to_numpy())
    return risk.components(returns).table["share"].iloc[:50], other.explained_variance_ratio_


@row("number of factors, Bai and Ng", "513 stocks, 104 weeks", "scikit-learn PCA, residuals one by one")
def number(d: Data) -> tuple[Any, Any]:
    x = stats.zscore(d.weekly.to_numpy())
    t, n = x.shape
    pca = PCA(20).fit(x)
    scores = pca.transform(x)
    value = [
        np.log(np.square(x - scores[:, :k] @ pca.components_[:k]).mean())
        + k * (n + t) / (n * t) * np.log(min(n, t))
        for k in range(1, 21)
    ]
    return bai_ng(x), np.argmin(value) + 1


@row("components beyond Marchenko and Pastur's edge", "M6 assets, 104 weeks", "eigenvalues of correlations")
def edge(d: Data) -> tuple[Any, Any]:
    table = risk.simple_returns(d.m6, period="1w").iloc[-104:].dropna(axis=1)
    values = np.linalg.eigvalsh(np.corrcoef(table.T))
    return (
        len(risk.StatisticalEstimator("marchenko_pastur", standardise=True).fit(table).factors),
        (values > (1 + np.sqrt(table.shape[1] / 104)) ** 2).sum(),
    )


@row("VAR(1) of factors: five weeks ahead", "3 components of M6 assets", "statsmodels VAR")
def autoregression(d: Data) -> tuple[Any, Any]:
    from bdfm.model.factor_model import FactorModel
    from bdfm.model.parts.dynamics import VAR1
    from bdfm.names import FACTOR_SCALE, FACTORS, VAR_MATRIX

    table = risk.simple_returns(d.m6, period="1w").iloc[-104:].dropna(axis=1)
    path = PCA(3).fit_transform(stats.zscore(table.to_numpy()))
    fit = VAR(path).fit(1, trend="n")
    sd = np.sqrt(np.diag(fit.sigma_u))
    model = FactorModel(n_factors=3, dynamics=(VAR1(),))
    p, ours = {VAR_MATRIX: fit.coefs[0] * sd / sd[:, None], FACTOR_SCALE: sd}, []
    for _ in range(5):
        ours.append(model.expected_factors(p | {FACTORS: path}))
        path = np.vstack([path, ours[-1]])
    return ours, fit.forecast(path[[-6]], 5)


@row("number of parameters, N = 1,000, m = 10", "none", "counted one by one")
def parameters(d: Data) -> tuple[Any, Any]:
    full = len(np.tril_indices(1000)[0])
    return risk.parameter_counts(1000, 10)["parameters"], [full, 10_000 + len(np.tril_indices(10)[0]) + 1000]


@row("realised over said volatility of the safest portfolio", "simulated, N/T = 0.2", "1/(1 - N/T)", 0.05)
def estimation(d: Data) -> tuple[Any, Any]:
    table = risk.estimation_error((250,), (50,), (1.0,), n_simulations=20, seed=1)
    return table.xs("sample", level="estimate")["minimum_variance"], 1 / (1 - 50 / 250)


@row("inverse through the factors", "M6 assets", "the dense inverse")
def inverse(d: Data) -> tuple[Any, Any]:
    ones = np.ones(len(d.m6_model.assets))
    return d.m6_model.solve(ones), np.linalg.solve(dense(d.m6_model), ones)

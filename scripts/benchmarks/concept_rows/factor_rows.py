"""Macroeconomic surprises, shares of sectors and moving characteristics beside other calculations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from statsmodels.tsa.api import VAR, AutoReg

from bdfm import risk
from concept_rows.data import LAST, Data
from concept_rows.table import row

INDUSTRIES = ("1963-03-01", "2016-12-31")  # months that both of the long files have


def surprises(series: pd.DataFrame) -> pd.DataFrame:
    """What the last value of each series did not say of the next one: residuals of a regression on it."""
    known = series.iloc[:-1].to_numpy()
    found = {
        name: series[name].to_numpy()[1:]
        - np.polyval(np.polyfit(known[:, i], series[name].iloc[1:], 1), known[:, i])
        for i, name in enumerate(series)
    }
    return pd.DataFrame(found, series.index[1:])


@row("surprises in term premium and bill rate", "43 industries, 644 months", "statsmodels AutoReg and OLS")
def macro(d: Data) -> tuple[Any, Any]:
    folder = d.folder / "long_monthly"
    read = {"index_col": 0, "parse_dates": True}
    classes = pd.read_csv(folder / "global_asset_classes_monthly.csv", **read).loc[slice(*INDUSTRIES)]
    industries = pd.read_csv(folder / "ff49_monthly_pct.csv.gz", **read).loc[slice(*INDUSTRIES)] / 100
    rate = classes["RF"]
    series = pd.DataFrame({"term": classes["USA30yearGovBond"] - rate, "bill": rate.diff()}).iloc[1:]
    market = (classes["MKT"] - rate).rename("market")
    factors = surprises(series).join(market)
    whole = industries.loc[factors.index].dropna(axis=1)
    model = risk.TimeSeriesEstimator(factors, rate, accept=("factor-unit:bill",)).fit(whole)  # no return
    x = [AutoReg(series[c].to_numpy(), 1).fit().resid for c in series]
    x = sm.add_constant(np.column_stack([*x, market.loc[factors.index]]))
    fits = [sm.OLS((whole[a] - rate.loc[whole.index]).to_numpy(), x).fit() for a in whole]
    other = np.array([[*m.params[1:], m.mse_resid] for m in fits])
    return np.column_stack([model.exposures, model.specific_variance]), other


@row("surprises in oil, gold, credit, term and volatility", "M6 stocks, 104 weeks", "statsmodels VAR and OLS")
def from_prices(d: Data) -> tuple[Any, Any]:
    table = risk.simple_returns(d.m6, period="1w").iloc[-105:].dropna(axis=1)
    series = pd.DataFrame({
        "oil": table["GSG"], "gold": table["IAU"], "credit": table["HYG"] - table["IEF"],
        "term": table["TLT"] - table["SHY"], "volatility": table["VXX"],
    })  # fmt: skip
    x = np.column_stack([np.ones(104), series.to_numpy()[:-1]])
    left = series.to_numpy()[1:] - x @ np.linalg.lstsq(x, series.to_numpy()[1:], rcond=None)[0]
    factors = pd.DataFrame(left, series.index[1:], series.columns)
    own = pd.read_csv(d.folder / "m6" / "universe.csv").set_index("symbol")["asset_class"]
    stocks = table.iloc[1:][[c for c in table if own[c] == "stock"]]
    model = risk.TimeSeriesEstimator(factors).fit(stocks)
    other = sm.add_constant(VAR(series.to_numpy()).fit(1).resid)
    fits = [sm.OLS(stocks[a].to_numpy(), other).fit() for a in stocks]
    b, f = np.array([m.params[1:] for m in fits]), np.cov(other[:, 1:].T)
    return model.covariance(), b @ f @ b.T + np.diag([m.mse_resid for m in fits])


@row(
    "shares of sectors: two lists",
    "132 companies, 18 half and half, 60 weeks",
    "statsmodels GLM with constraints",
)
def shares_of_sectors(d: Data) -> tuple[Any, Any]:
    one = pd.read_csv(d.folder / "fundamentals" / "securities.csv").set_index("symbol")["gics_sector"]
    two = pd.read_csv(d.folder / "sp500" / "sectors.csv").set_index("symbol")["gics_sector"]
    both = [s for s in d.weekly if s in one.index and s in two.index]
    moved = [s for s in both if one[s] != two[s]]
    names = [*moved, *[s for s in both if s not in moved][::3]]
    # Between the lists Communication Services was made, and took some companies in
    tables = [pd.get_dummies(x[names], dtype=float) for x in (one, two)]
    columns = sorted({*tables[0], *tables[1]})
    shares = sum(t.reindex(columns=columns, fill_value=0.0) for t in tables) / 2
    returns = d.weekly[names].iloc[-60:]
    model = risk.CrossSectionalEstimator(None, {"sector": shares}).fit(returns)
    x = pd.DataFrame(np.column_stack([np.ones(len(names)), shares]), names, ["market", *columns])
    zero = np.concatenate([[0.0], shares.sum().to_numpy()])
    found = [
        sm.GLM(returns.loc[day].to_numpy(), x.to_numpy()).fit_constrained((zero[None], [0.0])).params
        for day in returns.index
    ]
    return model.history["factor_returns"], found


@row(
    "exposures of moving characteristics", "103 stocks, 103 weeks", "statsmodels, factors and slopes in turn"
)
def instrumented(d: Data) -> tuple[Any, Any]:
    prices = d.sp500.iloc[:, ::5]
    weekly = risk.simple_returns(prices, period="1w").iloc[-104:]
    styles = risk.price_styles(prices, weekly.index)
    found = risk.InstrumentedEstimator(styles, 2).estimate(weekly)
    z = styles.to_numpy()
    z = (z - z.mean(axis=1, keepdims=True)) / z.std(axis=1, keepdims=True)
    x = [np.column_stack([np.ones(len(one)), one]) for one in z[:-1]]
    r, slopes = weekly.to_numpy()[1:], found.slopes.to_numpy()
    factors = np.array([sm.OLS(b, a @ slopes).fit().params for a, b in zip(x, r, strict=True)])
    rows = np.vstack([np.kron(a, f) for a, f in zip(x, factors, strict=True)])
    again = sm.OLS(r.ravel(), rows).fit().params.reshape(slopes.shape)
    last = np.column_stack([np.ones(len(z[-1])), z[-1]]) @ again
    ours = [found.slopes.to_numpy().ravel(), found.model.exposures.to_numpy().ravel()]
    assert weekly.index[-1] == LAST
    b, f = found.model.exposures.to_numpy(), found.model.factor_covariance.to_numpy()
    return np.concatenate([*ours, (b @ f @ b.T).ravel()]), np.concatenate(
        [again.ravel(), last.ravel(), (last @ np.cov(factors.T) @ last.T).ravel()]
    )

"""Stress of books beside other calculations."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm

from bdfm import risk
from concept_rows.data import FACTORS, LAST, Data
from concept_rows.risk_rows import dense
from concept_rows.table import row

BOOK = "52 stocks, 104 weeks, by files"


@row("factor shock with the others conditional", "market down 10 %", "statsmodels OLS on the market")
def shock(d: Data) -> tuple[Any, Any]:
    weights = pd.Series(1 / len(d.model.assets), list(d.model.assets))
    ours = risk.shock_factors(d.model, {"Mkt-RF": -0.1}, weights)
    f = d.weekly_factors[FACTORS]
    x = sm.add_constant(f["Mkt-RF"].to_numpy())
    moves = -0.1 * np.array([sm.OLS(f[c].to_numpy(), x).fit().params[1] for c in FACTORS])
    mean = float((d.model.exposures.to_numpy() @ moves).mean())
    return [*ours.factors, ours.table["return"].iloc[0]], [*moves, mean]


@row("replay of March 2020", "513 stocks, equal weights", "product by hand")
def replay(d: Data) -> tuple[Any, Any]:
    weights = pd.Series(1 / len(d.model.assets), list(d.model.assets))
    ours = risk.replay(d.model, d.daily_factors, weights, windows={"crash": ("2020-02-20", "2020-03-23")})
    x = d.model.exposures.to_numpy().mean(axis=0)
    moves = d.daily_factors.loc["2020-02-20":"2020-03-23", FACTORS].to_numpy() @ x
    return ours["return"], np.prod(1 + moves) - 1


@row("March 2020 with the weights of today", "M6 book, own returns", "value of the holdings day by day")
def held(d: Data) -> tuple[Any, Any]:
    returns = risk.simple_returns(d.m6[list(d.book.index)].loc["2020"])
    found = risk.replay_held(returns, d.book, windows={"crash": ("2020-03-01", "2020-03-31")})
    value, low, top = 1.0, 0.0, 1.0
    for _, r in returns.loc["2020-03"].iterrows():
        value *= 1 + sum(w * r[a] for a, w in d.book.items())
        top = max(top, value)
        low = min(low, value / top - 1)
    return found[["return", "drawdown"]], [value - 1, low]


@row("factor returns that assets imply", "M6 assets, 104 weeks", "statsmodels WLS of each week")
def implied(d: Data) -> tuple[Any, Any]:
    table = risk.simple_returns(d.m6, period="1w").iloc[-104:].dropna(axis=1)
    b, w = d.m6_model.exposures.to_numpy(), 1 / d.m6_model.specific_variance.to_numpy()
    other = [sm.WLS(r, b, weights=w).fit().params for r in table.to_numpy()]
    return risk.implied_factor_returns(d.m6_model, table), other


@cache
def under_stress(d: Data) -> tuple[list[float], list[float]]:
    """A book's files as `bdfm stress` takes them, and NumPy from prices on: history, shock, reverse."""
    from bdfm.report.book import Request, book_of
    from bdfm.report.stress import stress_of_book

    prices, factors = d.sp500.iloc[:, ::10], d.daily_factors
    w = np.linspace(-0.01, 0.05, prices.shape[1])
    with tempfile.TemporaryDirectory() as place:
        files = [Path(place) / name for name in ("prices.csv", "book.csv", "factors.csv")]
        prices.to_csv(files[0])
        pd.DataFrame({"symbol": prices.columns, "weight": w}).to_csv(files[1], index=False)
        factors.to_csv(files[2])
        asked = risk.Scenarios(windows={"crash": ("2020-02-20", "2020-03-23")}, loss=0.15,
                               shocks=[({"Mkt-RF": -0.1}, frozenset())])  # fmt: skip
        own = stress_of_book(book_of(Request(files[0], files[1], factors=files[2])), asked)
    ours = [own.replay["return"].xs("time-series", level="model").iloc[0], own.replay["return"].iloc[-1]]
    of = [t.xs("time-series", level="model") for t in (own.shocks, own.reverse, own.reverse_factors)]
    ours += [*of[0][["return", "volatility"]].iloc[0], *of[1]["distance"], *of[2]["move"]]
    ends = LAST - pd.to_timedelta(7 * np.arange(104, -1, -1), unit="D")
    at = prices.ffill().reindex(prices.index.union(ends)).ffill().loc[ends].to_numpy()
    grown = np.log1p(factors).cumsum()
    grown = grown.reindex(grown.index.union(ends)).ffill().loc[ends].to_numpy()
    f = np.expm1(np.diff(grown, axis=0))
    x, y = np.column_stack([np.ones(104), f[:, :3]]), at[1:] / at[:-1] - 1 - f[:, [3]]
    b = np.linalg.lstsq(x, y, rcond=None)[0]
    v = 4 * np.square(y - x @ b).sum(axis=0) / 100
    c, e = 4 * np.cov(f[:, :3].T), b[1:] @ w
    days = slice("2020-02-20", "2020-03-23")
    other = [np.prod(1 + factors.loc[days, FACTORS].to_numpy() @ e) - 1]
    other += [np.prod(1 + prices.pct_change(fill_method=None).loc[days].to_numpy() @ w) - 1]
    rest, total = c - np.outer(c[0], c[0]) / c[0, 0], e @ c @ e + w**2 @ v
    other += [-0.1 * c[0] @ e / c[0, 0], np.sqrt(e @ rest @ e + w**2 @ v)]
    return ours, [*other, 0.15 / np.sqrt(total), *(-0.15 * c @ e / total)]


def part(d: Data, which: slice) -> tuple[Any, Any]:
    """Some of the figures of a book under stress, both ways."""
    ours, other = under_stress(d)
    return ours[which], other[which]


@row("bdfm stress, March 2020: factors, own returns", BOOK, "NumPy, from prices")
def stress_history(d: Data) -> tuple[Any, Any]:
    return part(d, slice(0, 2))


@row("bdfm stress, market down 10 %: return, what is left", BOOK, "NumPy, from prices")
def stress_shock(d: Data) -> tuple[Any, Any]:
    return part(d, slice(2, 4))


@row("bdfm stress, losing 15 %: volatilities, factor moves", BOOK, "NumPy, from prices")
def stress_reverse(d: Data) -> tuple[Any, Any]:
    return part(d, slice(4, None))


@row("reverse stress, loss of 10 %", "M6 book", "KKT system of the dense matrix")
def reverse(d: Data) -> tuple[Any, Any]:
    s, w = dense(d.m6_model), d.book.to_numpy()
    n = len(w)
    system = np.block([[np.linalg.inv(s), w[:, None]], [w[None], np.zeros((1, 1))]])
    right = np.concatenate([np.zeros(n), [-0.1]])
    return risk.reverse_stress(d.m6_model, d.book, 0.1).assets["move"], np.linalg.solve(system, right)[:n]


@row("correlations half of the way to 1", "M6 assets", "the dense correlation matrix")
def correlation(d: Data) -> tuple[Any, Any]:
    s = dense(d.m6_model)
    sd = np.sqrt(np.diag(s))
    other = np.outer(sd, sd) * (0.5 * s / np.outer(sd, sd) + 0.5)
    return risk.shock_risk(d.m6_model, correlation=0.5).covariance(), other

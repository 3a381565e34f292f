"""Draws of a forecast beside other calculations: risk, decisions, ranks, scores."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

import bdfm
from bdfm import risk
from bdfm.scoring.calibration import Calibration
from bdfm.scoring.scores import crps, energy_score
from concept_rows.data import LAST, Data
from concept_rows.table import row

STOCKS = ["XOM", "JPM", "PG", "AMZN", "UNH", "PPL", "KR", "HST"]
DAYS = 20


@cache
def draws(d: Data) -> tuple[pd.DataFrame, np.ndarray, bdfm.Forecast]:
    """Returns over four weeks to each day since 2018, weights that grow, and both as a forecast."""
    prices = d.m6[STOCKS].dropna().loc["2018":]
    table = (prices / prices.shift(DAYS) - 1).iloc[DAYS:].astype(np.float32)
    p = np.linspace(1.0, 3.0, len(table))
    forecast = bdfm.Forecast.from_draws(
        table.to_numpy(), assets=list(table), asset_class=["stock"] * table.shape[1], origin=LAST,
        end=LAST + pd.Timedelta(weeks=4), weights=p,
    )  # fmt: skip
    return table.astype(float), p / p.sum(), forecast


def book(d: Data) -> pd.Series[float]:
    """An unequal portfolio of the stocks, one short."""
    names = list(draws(d)[0])
    return pd.Series(np.linspace(-0.1, 0.4, len(names)), names)


@row("value at risk, expected shortfall of draws", "M6 book, four-week returns", "sorted losses, by hand")
def tails(d: Data) -> tuple[Any, Any]:
    table, p, forecast = draws(d)
    found = bdfm.portfolio_risk(forecast, book(d), level=0.95).table["value"]
    losses = -(table @ book(d)).to_numpy()
    order = np.argsort(losses)[::-1]
    mass = np.cumsum(p[order])
    at = int(np.flatnonzero(mass >= 0.05 - 1e-12)[0])
    share = np.append(p[order][:at], 0.05 - mass[at - 1])
    other = [losses[order[at]], share @ losses[order[: at + 1]] / 0.05, p @ (losses > 0)]
    return found[["value_at_risk", "expected_shortfall", "probability_of_loss"]], other


@row("mean returns given a loss of 5 %", "M6 book, four-week returns", "pandas")
def given_loss(d: Data) -> tuple[Any, Any]:
    table, p, forecast = draws(d)
    bad = (table @ book(d) <= -0.05).to_numpy()
    other = table[bad].mul(p[bad], axis=0).sum() / p[bad].sum()
    return risk.forecast_given_loss(forecast, book(d), 0.05)["given_loss"], other


def covariance(d: Data) -> np.ndarray:
    """Covariance of the draws by their weights."""
    table, p, _ = draws(d)
    return np.cov(table.T, aweights=p, ddof=0)


@row("minimum-variance weights", "8 M6 stocks, four-week returns", "SLSQP", 1e-3)
def safest(d: Data) -> tuple[Any, Any]:
    forecast, s = draws(d)[2], 1e4 * covariance(d)
    n = len(s)
    found = optimize.minimize(
        lambda w: w @ s @ w, np.full(n, 1 / n), jac=lambda w: 2 * s @ w, method="SLSQP", bounds=[(0, 1)] * n,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, options={"ftol": 1e-14, "maxiter": 1000},
    )  # fmt: skip
    return bdfm.decide(forecast, method="minimum_variance", exposure=1.0).weights, found.x


@row("weights of risk parity", "8 M6 stocks, four-week returns", "a root of equal contributions", 1e-3)
def parity(d: Data) -> tuple[Any, Any]:
    forecast, s = draws(d)[2], 1e4 * covariance(d)
    n = len(s)
    found = optimize.root(lambda x: np.exp(x) * (s @ np.exp(x)) - 1, np.full(n, -1.0), tol=1e-13)
    w = np.exp(found.x)
    return bdfm.decide(forecast, method="risk_parity", exposure=1.0).weights, w / w.sum()


@row("utility of mean and CVaR at its best", "8 M6 stocks, 500 four-week returns", "a linear program", 1e-4)
def best_tail(d: Data) -> tuple[Any, Any]:
    table = draws(d)[0].iloc[-500:]
    forecast = bdfm.Forecast.from_draws(
        table.to_numpy(), assets=list(table), asset_class=["stock"] * table.shape[1], origin=LAST,
        end=LAST + pd.Timedelta(weeks=4),
    )  # fmt: skip
    r, (t, n), tail = table.to_numpy(), table.shape, 0.05
    # variables: weights, value at risk, losses beyond it
    cost = np.concatenate([-r.mean(axis=0), [1.0], np.full(t, 1 / (tail * t))])
    beyond = np.hstack([-r, -np.ones((t, 1)), -np.eye(t)])
    total = np.concatenate([np.ones(n), np.zeros(t + 1)])[None]
    bounds = [(0, 1)] * n + [(None, None)] + [(0, None)] * t
    best = optimize.linprog(cost, beyond, np.zeros(t), total, [1.0], bounds)
    chosen = bdfm.decide(forecast, method="mean_cvar", exposure=1.0, n_scenarios=t).weights
    x = r @ chosen.to_numpy()
    worst = np.sort(x)[: round(tail * t)]
    return x.mean() + worst.mean(), -best.fun


@row("probabilities of fifths", "8 M6 stocks, four-week returns", "pandas ranks of each draw")
def fifths(d: Data) -> tuple[Any, Any]:
    table, p, forecast = draws(d)
    n = table.shape[1]
    rank = table.rank(axis=1).to_numpy() - 1  # no ties
    low, high = rank * 5 / n, (rank + 1) * 5 / n
    other = [p @ (np.clip(np.minimum(high, q + 1) - np.maximum(low, q), 0, None) * n / 5) for q in range(5)]
    return forecast.quantile_probabilities(), np.array(other).T


@row("ranked probability score", "8 M6 stocks, four weeks to 2022-02-04", "Brier scores of four thresholds")
def ranked(d: Data) -> tuple[Any, Any]:
    table, _, forecast = draws(d)
    outcome = bdfm.outcome_quantiles(table.iloc[-1])
    p = forecast.quantile_probabilities().to_numpy()
    other = [np.square(p[:, :k].sum(axis=1) - outcome[:, :k].sum(axis=1)) for k in range(1, 5)]
    return bdfm.ranked_probability_score(p, outcome), np.sum(other, axis=0) / 5


@row("CRPS of weighted draws", "8 M6 stocks, four weeks to 2022-02-04", "the integral of squared gaps")
def continuous(d: Data) -> tuple[Any, Any]:
    table, p, _ = draws(d)
    r, y = table.to_numpy(), table.iloc[-1].to_numpy()
    other = []
    for x, came in zip(r.T, y, strict=True):
        order = np.argsort(np.append(x, came))
        at, mass = np.append(x, came)[order], np.append(p, 0.0)[order]
        below, known = np.cumsum(mass)[:-1], (at >= came)[:-1]
        gap = np.diff(at)
        spread = gap @ (below * (1 - below))  # E|X - X'| / 2 over all pairs, each draw with itself too
        whole = gap @ np.square(below - known)
        other.append(whole + spread - spread / (1 - np.square(p).sum()))
    return crps(r, y, weights=p), other


@row("energy score of weighted draws", "8 M6 stocks, four weeks to 2022-02-04", "a loop over pairs")
def joint(d: Data) -> tuple[Any, Any]:
    table, p, _ = draws(d)
    r, w = table.to_numpy()[-400:], p[-400:] / p[-400:].sum()
    y = r[0] + 0.01
    far = np.sqrt(np.square(r[:, None] - r[None]).sum(axis=2))
    pairs = w[:, None] * w[None] * (1 - np.eye(len(w)))
    near = sum(k * np.sqrt(np.square(x - y).sum()) for k, x in zip(w, r, strict=True))
    return energy_score(r, y, seed=1, weights=w, block=400), near - (pairs * far).sum() / pairs.sum() / 2


@row("information ratio", "M6 book, four weeks to 2022-02-04", "SciPy's variation")
def ratio(d: Data) -> tuple[Any, Any]:
    prices = d.m6[list(book(d).index)].loc["2022-01-07":]
    logs = np.log1p(prices.pct_change(fill_method=None).iloc[1:] @ book(d))
    ours = bdfm.information_ratio(d.m6, book(d), "2022-01-07", LAST)
    return ours, len(logs) / stats.variation(logs, ddof=1)


@row("reliability in six bins", "95 M6 assets, 24 four-week origins to 2022-02-04", "pandas, counted")
def reliability(d: Data) -> tuple[Any, Any]:
    prices = d.m6.loc["2018":].dropna(axis=1)
    prices = prices.iloc[:, : prices.shape[1] // 5 * 5]
    ends = [LAST - pd.Timedelta(weeks=4 * k) for k in range(24, -1, -1)]
    at = prices.reindex(prices.index.union(ends)).ffill().loc[ends]
    made, cells = [], []
    for k, (start, end) in enumerate(pairwise(ends)):
        past = prices.loc[:start].iloc[-500:]
        rows = (past / past.shift(DAYS) - 1).iloc[DAYS::7]
        came = at.loc[end] / at.loc[start] - 1
        forecast = bdfm.Forecast.from_draws(
            rows.to_numpy(), assets=list(rows), asset_class=["x"] * rows.shape[1], origin=start, end=end
        )
        made.append((forecast, came))
        p = forecast.quantile_probabilities().to_numpy()
        cells.append(pd.DataFrame(p, rows.columns).assign(origin=k, fifth=outcome_of(came)))
    ours = Calibration.from_forecasts(made, seed=1, n_simulations=20).reliability()
    table = pd.concat(cells)
    other = []
    for q in range(5):
        table["bin"] = pd.qcut(table[q].rank(method="first"), 6, labels=False)
        came = (table["fifth"] == q).groupby(table["bin"]).mean()
        other.append(np.column_stack([table.groupby("bin")[q].mean(), came]))
    return ours[["probability", "frequency"]], np.vstack(other)


def outcome_of(came: pd.Series[float]) -> np.ndarray:
    """Fifth (asset,) of each return by its rank, 0 to 4; the number of assets is a multiple of five."""
    return np.asarray((came.rank().to_numpy() - 1) * 5 // len(came), dtype=int)

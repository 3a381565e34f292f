"""Value at risk and expected shortfall of portfolios of M6 assets, backtested for six ways to say them.

    python scripts/benchmarks/tail_risk.py --prices FILE --universe FILE --french FILE --out DIR

Every four weeks up to 2022-02-04: four risk models (time series, cross-section, statistical; weekly returns
of two years, scaled to four weeks, normal tails; Bayesian, normal tails), the draws of the Bayesian forecast,
and those of DCC-GARCH. Assets are those with prices since 2007. What was said at an origin is kept in DIR, so
that a run that was stopped goes on, the newest origin first. Makes DIR/tails.csv, pictures and a table in the
form of docs/risk.md.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd

import bdfm
from bdfm.backtest import MarketData, origin_dates
from bdfm.backtest.dcc import DCC
from bdfm.forecast.forecast import Forecast
from bdfm.portfolio.risk import portfolio_risk
from bdfm.risk import (
    CrossSectionalEstimator,
    RiskModel,
    StatisticalEstimator,
    TimeSeriesEstimator,
    bayesian_risk,
    compounded,
    price_styles,
    simple_returns,
)
from bdfm.validation import TailBacktest, backtest_tail, plot_tails, tail_of_volatility, tail_table

WEEKS, SINCE, LAST = 104, "2007-01-31", "2022-01-07"
LEVELS = (0.9, 0.95)
SAMPLER = bdfm.SamplerSettings(engine="gibbs", draws=200, tune=200, chains=2)


def portfolios(returns: pd.DataFrame, classes: pd.Series) -> pd.DataFrame:
    """Weights (portfolio, asset) known at the origin: the last two years choose the calm and the volatile."""
    stocks = [a for a in returns if classes[a] == "stock"]
    bonds = [a for a in returns if classes[a] == "fixed_income_etf"]
    equity = [a for a in returns if classes[a] == "equity_etf"]
    volatility = returns[stocks].std()
    calm, wild = volatility.nsmallest(10).index, volatility.nlargest(10).index
    table = {
        "stocks": pd.Series(1 / len(stocks), stocks),
        "equity funds": pd.Series(1 / len(equity), equity),
        "60/40": pd.concat([pd.Series(0.6 / len(stocks), stocks), pd.Series(0.4 / len(bonds), bonds)]),
        "calm less volatile": pd.concat([pd.Series(0.1, calm), pd.Series(-0.1, wild)]),
    }
    return pd.DataFrame(table).T.reindex(columns=list(returns)).fillna(0.0)


def of_model(model: RiskModel, weights: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Value at risk and expected shortfall by portfolio of a normal law with the model's variance."""
    variance = model.variance(weights)
    variance = variance.mean("draw") if model.n_draws else variance
    found = {}
    for name, v in zip(weights.index, variance.to_numpy(), strict=True):
        found[name] = {f"{level:g}": tail_of_volatility(float(np.sqrt(v)), level=level) for level in LEVELS}
    return found


def of_forecast(forecast: Forecast, weights: pd.DataFrame) -> dict[str, dict[str, tuple[float, float]]]:
    """The same of a forecast's draws."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for name, w in weights.iterrows():
        for level in LEVELS:
            table = portfolio_risk(forecast, w[w != 0], level=level).table["value"]
            pair = (float(table["value_at_risk"]), float(table["expected_shortfall"]))
            found.setdefault(str(name), {})[f"{level:g}"] = pair
    return found


def at_origin(origin: pd.Timestamp, data: MarketData, groups: pd.Series, french: pd.DataFrame) -> dict:
    """What all six say at an origin, and what came."""
    history = data.history(origin, period=28)
    prices = history.prices
    weekly = simple_returns(prices, period="1w", window=WEEKS, accept=None).dropna(axis=1)
    classes = history.universe.set_index("symbol")["asset_class"]
    weights = portfolios(weekly, classes)
    ends = pd.DatetimeIndex(weekly.index)
    factors = compounded(french.loc[:origin], ends, accept=None)
    styles = price_styles(prices[list(weekly)], ends)
    own = groups[list(weekly)]
    own = own.where(own.map(own.value_counts()) >= 4, "other")  # one stock alone would be its sector
    fitted = {
        "time-series": TimeSeriesEstimator(factors.drop(columns="RF"), risk_free=factors["RF"]),
        "cross-sectional": CrossSectionalEstimator(styles, {"group": own}),
        "statistical": StatisticalEstimator("bai_ng", standardise=True),
    }
    said = {name: of_model(e.fit(weekly).scale_to(4), weights) for name, e in fitted.items()}
    model = bdfm.FactorModel.from_preset("m6")
    panel = bdfm.Panel.from_prices(
        prices[list(weekly)],
        history.universe.set_index("symbol", drop=False).loc[list(weekly)].reset_index(drop=True),
        origin=origin,
        settings=model.panel,
        accept=None,
    )
    posterior = bdfm.fit(model, panel, seed=1, settings=SAMPLER)
    said["Bayesian risk"] = of_model(bayesian_risk(posterior), weights)
    said["Bayesian forecast"] = of_forecast(posterior.forecast(seed=2, n_draws=20_000), weights)
    said["DCC-GARCH"] = of_forecast(DCC().forecast(history, seed=3), weights)
    came = (
        data.prices.loc[: history.end, list(weekly)].ffill().iloc[-1] / prices[list(weekly)].ffill().iloc[-1]
        - 1
    )
    return {"end": f"{history.end:%Y-%m-%d}", "said": said, "realised": (weights @ came).to_dict()}


def results(folder: Path, level: float) -> dict[tuple[str, str], TailBacktest]:
    """Backtests by portfolio and model of what the folder keeps."""
    rows: dict[tuple[str, str], dict[pd.Timestamp, tuple[float, float, float]]] = {}
    for path in sorted(folder.glob("2*.json")):
        kept = json.loads(path.read_text())
        for model, by_portfolio in kept["said"].items():
            for portfolio, tails in by_portfolio.items():
                var, es = tails[f"{level:g}"]
                row = (kept["realised"][portfolio], var, es)
                rows.setdefault((portfolio, model), {})[pd.Timestamp(kept["end"])] = row
    found = {}
    for key in sorted(rows, key=lambda k: list(dict.fromkeys(p for p, _ in rows)).index(k[0])):
        table = pd.DataFrame(rows[key], index=["realised", "value_at_risk", "expected_shortfall"]).T
        found[key] = backtest_tail(*(table[c] for c in table), level=level, tail_shape=0.1)
    return found


def main() -> None:
    """Do what is not done, then say what it shows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("prices", "universe", "french", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--origins", type=int, default=78)
    parser.add_argument("--only-show", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.only_show:
        prices = bdfm.read_prices(args.prices)
        old = prices.columns[prices.loc[:SINCE].notna().any()]
        universe = bdfm.read_universe(args.universe)
        universe = universe[universe["symbol"].isin(old)].reset_index(drop=True)
        whole = pd.read_csv(args.universe).set_index("symbol")
        groups = whole["group"].where(whole["asset_class"] == "stock", whole["asset_class"])
        data = MarketData(prices[list(universe["symbol"])], universe, None)
        french = pd.read_csv(args.french, index_col="date", parse_dates=True) / 100
        first = pd.Timestamp(LAST) - pd.Timedelta(days=28 * (args.origins - 1))
        for origin in origin_dates(first, LAST)[::-1]:
            path = args.out / f"{origin:%Y-%m-%d}.json"
            if path.exists():
                continue
            found = at_origin(origin, data, groups, french)
            part = path.with_suffix(".part")
            part.write_text(json.dumps(found))
            os.replace(part, path)
            print(f"{origin:%Y-%m-%d}", flush=True)
    tables = {}
    for level in LEVELS:
        found = results(args.out, level)
        tables[level] = tail_table(found)
        plot_tails(found).savefig(args.out / f"tails_{level:g}.png", dpi=110)
    joined = pd.concat(tables, names=["level"])
    joined.to_csv(args.out / "tails.csv")
    for level, table in tables.items():
        print(f"\nlevel {level:g}\n| portfolio | model | beyond | expected | number | clusters | both | ES |")
        print("|---|---|---|---|---|---|---|---|")
        for (portfolio, model), row in table.iterrows():
            p = (row[c] for c in ("kupiec", "independence", "christoffersen", "expected_shortfall"))
            print(
                f"| {portfolio} | {model} | {row['exceedances']:.0f} | {row['expected']:.1f} | "
                + " | ".join(f"{x:.3f}" for x in p)
                + " |"
            )


if __name__ == "__main__":
    main()

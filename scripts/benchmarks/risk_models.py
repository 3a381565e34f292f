"""Four risk models on the same stocks: rolling two-year windows, and portfolios with posterior intervals.

    python scripts/benchmarks/risk_models.py rolling --prices FILE --sectors FILE --french FILE --out DIR
    python scripts/benchmarks/risk_models.py portfolios --prices FILE --universe FILE --earnings FILE \
        --french FILE --out DIR [--docs docs/risk.md]
    python scripts/benchmarks/risk_models.py alphas --prices FILE --french FILE --out DIR

``rolling``: weekly returns of some of the stocks, models refitted every four weeks to the last 104 weeks,
each judged on the four weeks that follow. ``portfolios``: the 100 M6 assets at one origin, five portfolios,
risk over four weeks; ``--docs`` writes them into the page, between its markers. ``alphas``: whether alphas of
two years last over the next four weeks, and exposures that are not what a stock's should be, all stocks, up
to 2022-02-04.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from page_tables import write_table

import bdfm
from bdfm.risk import (
    BayesianEstimator,
    CrossSectionalEstimator,
    StatisticalEstimator,
    TimeSeriesEstimator,
    bayesian_risk,
    compare,
    price_styles,
    simple_returns,
)
from bdfm.risk.returns import compounded
from bdfm.validation import compare_forecasts, forecast_alphas, trial_portfolios, validate, walk_forward

WEEKS = 104


def french_weekly(path: Path, ends: pd.DatetimeIndex) -> tuple[pd.DataFrame, pd.Series]:
    """Weekly factor returns and risk-free returns for periods that end on the days given."""
    daily = pd.read_csv(path, index_col="date", parse_dates=True) / 100
    weekly = compounded(daily, ends)
    return weekly[["Mkt-RF", "SMB", "HML"]], weekly["RF"]


def rolling(args: argparse.Namespace) -> None:
    """Out-of-sample table of the four models."""
    prices = bdfm.read_prices(args.prices)
    sectors = pd.read_csv(args.sectors).set_index("symbol")["gics_sector"]
    rng = np.random.default_rng(args.seed)
    members = sorted(rng.choice(prices.columns, args.assets, replace=False))
    prices, sectors = prices[members], sectors.loc[members]
    returns = simple_returns(prices, period_days=7)
    factors, risk_free = french_weekly(args.french, returns.index)
    styles = price_styles(prices, returns.index[returns.index >= prices.index[252]])
    universe = pd.DataFrame({"symbol": members, "asset_class": "stock"})
    settings = bdfm.SamplerSettings(chains=2, draws=250, tune=500, thin=4, cores=1)
    estimators = {
        "time-series (Fama-French)": TimeSeriesEstimator(factors, risk_free),
        "cross-sectional (sectors, styles)": CrossSectionalEstimator(styles, {"sector": sectors}),
        "statistical (Bai-Ng)": StatisticalEstimator("bai_ng", standardise=True),
        "Bayesian (m6)": BayesianEstimator(
            prices, universe, bdfm.FactorModel.from_preset("m6"), seed=args.seed, settings=settings,
            panel={"period": 7, "n_periods": WEEKS},
        ),
    }  # fmt: skip
    portfolios = trial_portfolios(members, seed=args.seed)
    results = {}
    for name, estimator in estimators.items():
        begun = time.perf_counter()
        results[name] = walk_forward(
            estimator, returns, window=WEEKS, step=args.step, start=args.start, portfolios=portfolios,
            progress=True,
        )  # fmt: skip
        print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)
    one = next(iter(results.values()))
    print(f"{len(members)} stocks, {len(one.realised)} weeks {one.realised.index[0]:%Y-%m-%d} to "
          f"{one.realised.index[-1]:%Y-%m-%d}, {one.origins.nunique()} origins")  # fmt: skip
    table = compare_forecasts(results)
    print(table.to_string(float_format="{:.3f}".format))
    args.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(args.out / "rolling.csv")
    halves = {"to 2022-02-04": slice(None, "2022-02-04"), "after": slice("2022-02-05", None)}
    for label, part in halves.items():
        rows = {
            n: np.sqrt((r.standardised.loc[part] ** 2).mean()).groupby(level=0).mean()
            for n, r in results.items()
        }
        print(f"bias statistics, {label}")
        print(pd.DataFrame(rows).to_string(float_format="{:.3f}".format))


def portfolios(args: argparse.Namespace) -> None:
    """Risk of five portfolios by the four models."""
    origin = pd.Timestamp(args.origin)
    prices = bdfm.read_prices(args.prices).loc[:origin]
    universe = bdfm.read_universe(args.universe)
    assets = list(universe["symbol"])
    classes = universe.set_index("symbol")["asset_class"]
    args.out.mkdir(parents=True, exist_ok=True)
    if args.posterior is None:
        model = bdfm.FactorModel.from_preset("m6")
        earnings = bdfm.read_earnings(args.earnings)
        panel = bdfm.Panel.from_prices(
            prices, universe, origin=origin, earnings=earnings, settings=model.panel
        )
        begun = time.perf_counter()
        posterior = bdfm.fit(model, panel, seed=args.seed)
        print(f"fit {time.perf_counter() - begun:.0f} s; {posterior.diagnose().verdict}", flush=True)
        posterior.save(args.out / "posterior.nc")
    else:
        posterior = bdfm.Posterior.load(args.posterior)

    weekly = simple_returns(prices[assets], period_days=7).iloc[-WEEKS:]
    old = [a for a in assets if weekly[a].notna().all()]
    young = [a for a in assets if a not in old]
    print(f"left out by the statistical model for missing weeks: {', '.join(young) or 'none'}")
    factors, risk_free = french_weekly(args.french, weekly.index)
    styles = price_styles(prices[assets], weekly.index)
    table = universe.set_index("symbol")
    groups = table["group"].where(
        table["asset_class"] == "stock", table["asset_class"]
    )  # sectors; kinds of fund
    fitted = {
        "time-series": TimeSeriesEstimator(factors, risk_free).fit(weekly),
        "cross-sectional": CrossSectionalEstimator(styles.sel(asset=old), {"group": groups}).fit(weekly[old]),
        "statistical": StatisticalEstimator("bai_ng", standardise=True).fit(weekly[old]),
    }
    models = {name: m.scale_to(4) for name, m in fitted.items()}
    models["Bayesian"] = bayesian_risk(posterior)
    stocks = [a for a in old if classes[a] == "stock"]
    bonds = [a for a in old if classes[a] == "fixed_income_etf"]
    volatility = weekly[stocks].std()
    calm, wild = volatility.nsmallest(10).index, volatility.nlargest(10).index
    table = pd.DataFrame(
        {
            "all assets, equal": pd.Series(1 / len(old), old),
            "stocks, equal": pd.Series(1 / len(stocks), stocks),
            "60 % stocks, 40 % bonds": pd.concat(
                [pd.Series(0.6 / len(stocks), stocks), pd.Series(0.4 / len(bonds), bonds)]
            ),
            "10 calmest stocks": pd.Series(0.1, calm),
            "long calm, short volatile stocks": pd.concat([pd.Series(0.1, calm), pd.Series(-0.1, wild)]),
        }
    ).T.fillna(0.0)
    result = compare(models, table)
    print(f"risk over 4 weeks at {origin:%Y-%m-%d}")
    print((100 * result).to_string(float_format="{:.2f}".format))
    result.to_csv(args.out / "portfolios.csv")
    if args.docs is not None:
        write_table(args.docs, "portfolios", as_markdown(100 * result, posterior.diagnose().verdict))


def as_markdown(result: pd.DataFrame, verdict: str) -> str:
    """How the fit of the Bayesian model went, and volatilities in percent, as on the page."""
    models = ["time-series", "cross-sectional", "statistical"]
    rows = [
        f"The fit {verdict}.",
        "",
        f"| portfolio | {' | '.join(models)} | Bayesian |",
        "|---" * (len(models) + 2) + "|",
    ]
    for name, table in result.groupby(level="portfolio", sort=False):
        volatility = table.droplevel("portfolio")
        low, middle, high = (
            f"{volatility.at['Bayesian', f'volatility{x}']:.2f}" for x in ("_low", "", "_high")
        )
        others = " | ".join(f"{volatility.at[m, 'volatility']:.2f}" for m in models)
        rows.append(f"| {name} | {others} | {middle} ({low} to {high}) |")
    return "\n".join(rows)


def alphas(args: argparse.Namespace) -> None:
    """Alphas out of sample, and exposures to the market that are odd for a stock."""
    prices = bdfm.read_prices(args.prices).loc[:"2022-02-04"]
    prices = prices.loc[:, prices.notna().all()]
    days = pd.read_csv(args.french, index_col="date", parse_dates=True).index
    returns = simple_returns(prices.loc[days[0] :], period_days=7)
    factors, risk_free = french_weekly(args.french, returns.index)
    found = forecast_alphas(returns, factors, risk_free=risk_free, window=WEEKS, step=4)
    print(f"{returns.shape[1]} stocks, {len(found.forecast)} origins from {found.forecast.index[0]:%Y-%m-%d}")
    print(found.table.to_string(float_format="{:.4f}".format))
    args.out.mkdir(parents=True, exist_ok=True)
    found.table.to_csv(args.out / "alphas.csv")
    model = TimeSeriesEstimator(factors, risk_free, window=WEEKS).fit(returns)
    report = validate(model, returns, expected={"Mkt-RF": (0.0, 3.0)}, n_simulations=0)
    print(report.table.loc[["explanatory power", "expected exposures"], ["statistic", "flagged"]].to_string())


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    first = commands.add_parser("rolling")
    first.set_defaults(run=rolling)
    first.add_argument("--sectors", type=Path, required=True)
    first.add_argument("--assets", type=int, default=100)
    first.add_argument("--step", type=int, default=4)
    first.add_argument("--start", type=int, default=WEEKS)
    second = commands.add_parser("portfolios")
    second.set_defaults(run=portfolios)
    second.add_argument("--universe", type=Path, required=True)
    second.add_argument("--earnings", type=Path, required=True)
    second.add_argument("--origin", default="2022-02-04")
    second.add_argument("--posterior", type=Path, help="a posterior made before, instead of a fit")
    second.add_argument("--docs", type=Path, help="page whose table is made anew")
    third = commands.add_parser("alphas")
    third.set_defaults(run=alphas)
    for command in (first, second, third):
        command.add_argument("--prices", type=Path, required=True)
        command.add_argument("--french", type=Path, required=True)
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()

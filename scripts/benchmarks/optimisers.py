"""Optimisers of skfolio on a forecast, beside skfolio's own priors, month by month.

    python scripts/benchmarks/optimisers.py --data DIR --out FILE.json [--months 40] [--last 2022-02-04]

``--data`` holds prices.csv.gz, universe.csv and earnings.csv of M6. Assets are its stocks that had prices for
three years at the first origin; five funds (IVV, IWM, TLT, HYG, GSG) are the factors of skfolio's factor
model, and stand beside the stocks in the model of this package, so that all know the same. Each month has
a posterior that goes on from the month before (``Posterior.update``), a forecast, and ``ForecastPrior``.
Weights are held for 28 days, rebalanced daily; realised variance is that of daily returns.

Also written: FILE.csv, the table. Options were set before the first run, but for the thresholds of the
sampler: 750 days of returns for skfolio's priors, the preset ``house``, long only. None of the objectives
asks for expected returns, which ``house`` does not forecast.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from skfolio import RiskMeasure
from skfolio.moments import LedoitWolf
from skfolio.optimization import HierarchicalRiskParity, MaximumDiversification, MeanRisk, RiskBudgeting
from skfolio.preprocessing import prices_to_returns
from skfolio.prior import EmpiricalPrior, TimeSeriesFactorModel

import bdfm
from bdfm.backtest import diebold_mariano
from bdfm.skfolio import ForecastPrior

PERIOD = 28
TRAIN = 750  # days of returns that skfolio's priors see
FUNDS = ["IVV", "IWM", "TLT", "HYG", "GSG"]
OPTIMISERS: dict[str, Any] = {
    "least variance": lambda prior: MeanRisk(risk_measure=RiskMeasure.VARIANCE, prior_estimator=prior),
    "least CVaR": lambda prior: MeanRisk(risk_measure=RiskMeasure.CVAR, prior_estimator=prior),
    "risk parity": lambda prior: RiskBudgeting(prior_estimator=prior),
    "most diversified": lambda prior: MaximumDiversification(prior_estimator=prior),
    "hierarchical risk parity": lambda prior: HierarchicalRiskParity(prior_estimator=prior),
}
SETTINGS = bdfm.SamplerSettings(max_rhat=1.03, min_ess=200)  # enough for weights; 40 fits are to be quick
OURS, BASE = "bdfm", "empirical"


def forecasts(data: Path, stocks: list[str], origins: list[pd.Timestamp]) -> Any:
    """Origin, forecast of stocks and funds, R-hat of the fit, for each origin in turn."""
    prices = bdfm.read_prices(data / "prices.csv.gz")
    universe = pd.read_csv(data / "universe.csv")
    universe = universe[universe["symbol"].isin([*stocks, *FUNDS])]
    earnings = bdfm.read_earnings(data / "earnings.csv")
    earnings = earnings[earnings["symbol"].isin(universe["symbol"])]
    model = bdfm.FactorModel.from_preset("house")
    posterior = None
    for k, origin in enumerate(origins):
        panel = bdfm.Panel.from_prices(
            prices, universe, origin=origin, earnings=earnings, settings=model.panel, accept=["earnings"]
        )
        posterior = (
            bdfm.fit(model, panel, seed=k, settings=SETTINGS)
            if posterior is None
            else posterior.update(panel, seed=k)
        )
        yield origin, posterior.forecast(seed=k, n_draws=50_000), posterior.diagnose().max_rhat


def month(returns: pd.DataFrame, forecast: bdfm.Forecast, origin: pd.Timestamp) -> dict[str, Any]:
    """Weights and what came of them, by prior and optimiser."""
    stocks = [s for s in returns if s not in FUNDS]
    past = returns.loc[:origin].iloc[-TRAIN:]
    ahead = returns.loc[origin + pd.Timedelta(days=1) : origin + pd.Timedelta(days=PERIOD), stocks]
    priors = {
        BASE: EmpiricalPrior(),
        "Ledoit-Wolf": EmpiricalPrior(covariance_estimator=LedoitWolf()),
        "factor model": TimeSeriesFactorModel(),
        OURS: ForecastPrior(forecast),
    }
    found: dict[str, Any] = {}
    for prior_name, prior in priors.items():
        known = {"factors": past[FUNDS]} if prior_name == "factor model" else {}
        for name, make in OPTIMISERS.items():
            fitted = make(prior).fit(past[stocks], **known)
            weights = pd.Series(fitted.weights_, stocks)
            daily = ahead.to_numpy() @ weights.to_numpy()
            found[f"{prior_name}|{name}"] = {
                "weights": weights.round(6).to_dict(),
                "variance": float(np.mean(daily**2)),
                "return": float(np.prod(1 + daily) - 1),
            }
    return found


def table(months: dict[str, Any]) -> pd.DataFrame:
    """Volatility a year, log variance against the empirical prior, mean return, turnover."""
    rows = []
    for name in OPTIMISERS:
        base = np.array([m[f"{BASE}|{name}"]["variance"] for m in months.values()])
        for prior in dict.fromkeys(k.split("|")[0] for k in next(iter(months.values()))):
            own = [m[f"{prior}|{name}"] for m in months.values()]
            variance = np.array([x["variance"] for x in own])
            gain = np.log(variance / base) / 2
            came = np.array([x["return"] for x in own])
            weights = pd.DataFrame([x["weights"] for x in own])
            rows.append(
                {
                    "optimiser": name,
                    "prior": prior,
                    "volatility a year, %": 100 * np.sqrt(252 * variance.mean()),
                    "log volatility against empirical, %": 100 * gain.mean(),
                    "se": 100 * diebold_mariano(gain - gain.mean()).se if prior != BASE else 0.0,
                    "return a month, %": 100 * came.mean(),
                    "se of it": 100 * came.std(ddof=1) / np.sqrt(len(came)),
                    "turnover a month, %": 100 * weights.diff().abs().sum(axis=1).iloc[1:].mean() / 2,
                }
            )
    return pd.DataFrame(rows).set_index(["optimiser", "prior"])


def main() -> None:
    """Run the months that are not in the file yet, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--months", type=int, default=40)
    parser.add_argument("--last", default="2022-02-04", help="last day of the last month")
    args = parser.parse_args()
    last = pd.Timestamp(args.last)
    origins = [last - pd.Timedelta(days=PERIOD * j) for j in range(args.months, 0, -1)]
    universe = pd.read_csv(args.data / "universe.csv")
    prices = bdfm.read_prices(args.data / "prices.csv.gz").loc[:last]
    alive = prices.columns[prices.loc[: origins[0]].iloc[-TRAIN - 10 :].notna().mean() > 0.9]
    stocks = [s for s in universe.loc[universe["asset_class"] == "stock", "symbol"] if s in alive]
    returns = prices_to_returns(prices[[*stocks, *FUNDS]].dropna(how="all").ffill().dropna())
    months: dict[str, Any] = {}
    begun = time.process_time()
    rhats = []
    for origin, forecast, rhat in forecasts(args.data, stocks, origins):
        months[f"{origin:%Y-%m-%d}"] = month(returns, forecast, origin)
        rhats.append(rhat)
        print(f"{origin:%Y-%m-%d} R-hat {rhat:.3f}, {time.process_time() - begun:.0f} CPU s", flush=True)
        args.out.write_text(json.dumps({"rhat": rhats, "months": months}), encoding="utf-8")
    print(f"{len(stocks)} stocks, {len(months)} months; worst R-hat {max(rhats):.3f}")
    found = table(months)
    found.round(4).to_csv(args.out.with_suffix(".csv"))
    print(found.round(2).to_string())


if __name__ == "__main__":
    main()

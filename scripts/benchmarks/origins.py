"""Score a model on past origins: fit, forecast and compare with what happened, one line an origin.

    python scripts/benchmarks/origins.py --prices FILE --universe FILE [--earnings FILE]
        [--model m6] [--first 2021-02-05] [--last 2022-01-07] [--every 28] [--seed 1] [--json FILE]

Each origin's fit sees nothing after the origin; the outcome is the simple return over the next period.
The ranked probability score of equal fifths is 0.16.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

import bdfm


def score_origin(
    model: bdfm.FactorModel,
    prices: pd.DataFrame,
    universe: pd.DataFrame,
    earnings: pd.DataFrame | None,
    origin: pd.Timestamp,
    seed: int,
) -> dict[str, Any]:
    """One origin: score, verdict, seconds, and the PIT value of each asset."""
    begun = time.perf_counter()
    # The universe of an origin holds the assets that have prices by then.
    listed = prices.loc[:origin].iloc[-250:].notna().sum() >= 60
    alive = universe[universe["symbol"].isin(listed.index[listed])]
    panel = bdfm.Panel.from_prices(prices, alive, origin=origin, earnings=earnings, settings=model.panel)
    posterior = bdfm.fit(model, panel, seed=seed)
    forecast = posterior.forecast(seed=seed)
    realised = bdfm.period_returns(prices[list(panel.assets)], origin, forecast.end)
    outcome = bdfm.outcome_quantiles(realised.to_numpy())
    rps = bdfm.ranked_probability_score(forecast.quantile_probabilities().to_numpy(), outcome)
    below = forecast.draws.to_numpy() < realised.to_numpy()
    diagnosis = posterior.diagnose()
    return {
        "origin": f"{origin:%Y-%m-%d}",
        "n_assets": len(panel.assets),
        "rps": float(np.mean(rps)),
        "pit": [round(float(x), 4) for x in below.mean(axis=0)],
        "max_rhat": diagnosis.max_rhat,
        "min_ess": min(diagnosis.min_ess_bulk, diagnosis.min_ess_tail),
        "seconds": time.perf_counter() - begun,
    }


def main(
    prices: Path,
    universe: Path,
    earnings: Path | None = None,
    model: str = "m6",
    first: str = "2021-02-05",
    last: str = "2022-01-07",
    every: int = 28,
    seed: int = 1,
    as_json: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Score a model on past origins."""
    spec = (
        bdfm.FactorModel.from_toml(Path(model))
        if model.endswith(".toml")
        else bdfm.FactorModel.from_preset(model)
    )
    table, members = bdfm.read_prices(prices), bdfm.read_universe(universe)
    calendar = None if earnings is None else bdfm.read_earnings(earnings)
    rows = []
    for origin in pd.date_range(first, last, freq=f"{every}D"):
        row = score_origin(spec, table, members, calendar, origin, seed)
        rows.append(row)
        print(
            f"{row['origin']}  {row['n_assets']:4d} assets  RPS {row['rps']:.5f}"
            f"  worst R-hat {row['max_rhat']:.3f}  min ESS {row['min_ess']:.0f}  {row['seconds']:.0f} s",
            flush=True,
        )
    scores = np.array([row["rps"] for row in rows])
    error = scores.std(ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else np.nan
    print(f"mean of {len(scores)} origins: RPS {scores.mean():.5f} (standard error {error:.5f})")
    if as_json:
        as_json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

"""Score a model on past origins: fit, forecast and compare with what happened, one line an origin.

    python scripts/benchmarks/origins.py --prices FILE --universe FILE [--earnings FILE]
        [--model m6] [--first 2021-02-05] [--last 2022-01-07] [--every 28] [--seed 1] [--json FILE]
        [--plots FOLDER]

Each origin's fit sees nothing after the origin; the outcome is the simple return over the next period.
The ranked probability score of equal fifths is 0.16.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

import bdfm
from bdfm.checking import Calibration

Pair = tuple[bdfm.Forecast, pd.Series]


def alive(prices: pd.DataFrame, universe: pd.DataFrame, origin: pd.Timestamp) -> pd.DataFrame:
    """Members of the universe with at least 60 prices in the 250 rows up to the origin."""
    listed = prices.loc[:origin].iloc[-250:].notna().sum() >= 60
    return universe[universe["symbol"].isin(listed.index[listed])]


def forecasts(
    model: bdfm.FactorModel,
    prices: pd.DataFrame,
    universe: pd.DataFrame,
    earnings: pd.DataFrame | None,
    origins: pd.DatetimeIndex,
    seed: int,
    rows: list[dict[str, Any]],
) -> Iterator[Pair]:
    """Forecast of each origin with the returns that came; prints a line and appends to ``rows``."""
    for origin in origins:
        begun = time.perf_counter()
        members = alive(prices, universe, origin)
        panel = bdfm.Panel.from_prices(
            prices, members, origin=origin, earnings=earnings, settings=model.panel
        )
        posterior = bdfm.fit(model, panel, seed=seed)
        forecast = posterior.forecast(seed=seed)
        realised = bdfm.period_returns(prices[list(panel.assets)], origin, forecast.end)
        rps = bdfm.ranked_probability_score(
            forecast.quantile_probabilities().to_numpy(), bdfm.outcome_quantiles(realised.to_numpy())
        )
        diagnosis = posterior.diagnose()
        row = {
            "origin": f"{origin:%Y-%m-%d}",
            "n_assets": len(panel.assets),
            "rps": float(rps.mean()),
            "max_rhat": diagnosis.max_rhat,
            "min_ess": min(diagnosis.min_ess_bulk, diagnosis.min_ess_tail),
            "seconds": time.perf_counter() - begun,
        }
        rows.append(row)
        print(
            f"{row['origin']}  {row['n_assets']:4d} assets  RPS {row['rps']:.5f}"
            f"  worst R-hat {row['max_rhat']:.3f}  min ESS {row['min_ess']:.0f}  {row['seconds']:.0f} s",
            flush=True,
        )
        yield forecast, realised


def main(
    prices: Annotated[Path, typer.Option()],
    universe: Annotated[Path, typer.Option()],
    earnings: Path | None = None,
    model: str = "m6",
    first: str = "2021-02-05",
    last: str = "2022-01-07",
    every: int = 28,
    seed: int = 1,
    as_json: Annotated[Path | None, typer.Option("--json")] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for pictures of the calibration.")] = None,
) -> None:
    """Score a model on past origins."""
    known = bdfm.FactorModel.from_toml(Path(model)) if model.endswith(".toml") else None
    spec = known or bdfm.FactorModel.from_preset(model)
    table, members = bdfm.read_prices(prices), bdfm.read_universe(universe)
    calendar = None if earnings is None else bdfm.read_earnings(earnings)
    origins = pd.date_range(first, last, freq=f"{every}D")
    rows: list[dict[str, Any]] = []
    calibration = Calibration.from_forecasts(
        forecasts(spec, table, members, calendar, origins, seed, rows), seed=seed
    )
    scores = np.array([row["rps"] for row in rows])
    error = scores.std(ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else np.nan
    print(f"mean of {len(scores)} origins: RPS {scores.mean():.5f} (standard error {error:.5f})")
    print(calibration)
    if plots:
        plots.mkdir(parents=True, exist_ok=True)
        calibration.plot_pit().savefig(plots / "pit.png", dpi=120)
        calibration.plot_reliability().savefig(plots / "reliability.png", dpi=120)
    if as_json:
        as_json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

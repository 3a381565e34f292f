"""Twelve months of a ledger, from one run file by ``roll``, ``run`` and ``track``, beside ``backtest``.

    python scripts/benchmarks/routine.py --data DIR --out DIR [--months 12] [--last 2022-02-04] [--quick]

``--data`` holds prices.csv.gz, universe.csv and earnings.csv. Two people say the same each month and are
kept by ``roll``: one that stocks beat long bonds, one that they do not. The book is held under a mandate with
turnover and costs, and begins in equal weights of the stocks. Every command is run as a user runs it. What is
printed, and written to routine.json: scores by month, how far they are from those of the same forecasts in a
backtest, people, turnover and costs. ``--quick`` makes short fits and few draws: the routine, not the scores.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

import bdfm
from bdfm.backtest import History, MarketData, walk_forward
from bdfm.backtest.walk import origin_seed
from bdfm.portfolio.decisions import Decision

PERIOD = 28
QUICK = """\
n_draws = 20_000

[sampler]
draws = 200
tune = 300
"""
FIRST = """\
seed = {seed}
model = "{model}"
ledger = "book"
outputs = ["submission", "report"]
{more}
[data]
prices = "{data}/prices.csv.gz"
universe = "universe.csv"
earnings = "{data}/earnings.csv"
origin = {origin}

[[views]]
kind = "ordering"
above = "IVV"
below = "TLT"
probability = 0.65
semantics = "constraint"
by = "Ann"

[[views]]
kind = "ordering"
above = "TLT"
below = "IVV"
probability = 0.65
semantics = "constraint"
by = "Ben"

[mandate]
objective = "expected_utility"
risk_aversion = 4.0
nav = 10_000_000
cash = [0.0, 0.1]
max_weight = 0.1
turnover = 0.2
cost_bps = 5

[holdings]
"""


def command(*words: object, folder: Path) -> str:
    """Output of ``bdfm WORDS``; ends the script where it fails (3, the alarm of track, is no failure)."""
    run = [sys.executable, "-m", "bdfm", *map(str, words)]
    done = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        sys.exit(
            f"bdfm {' '.join(map(str, words))} ended with {done.returncode}:\n{done.stderr}{done.stdout}"
        )
    return done.stdout


def months(args: argparse.Namespace) -> list[pd.Timestamp]:
    """Run the months that are not there yet; returns their origins."""
    last = pd.Timestamp(args.last)
    origins = [last - pd.Timedelta(days=PERIOD * j) for j in range(args.months, 0, -1)]
    prices = bdfm.read_prices(args.data / "prices.csv.gz").loc[: origins[0]]
    universe = pd.read_csv(args.data / "universe.csv")
    listed = prices.columns[prices.iloc[-20:].notna().any()]
    universe = universe[universe["symbol"].isin(listed)]
    universe.to_csv(args.out / "universe.csv", index=False)
    stocks = universe.loc[universe["asset_class"] == "stock", "symbol"]
    for k, origin in enumerate(origins):
        file = args.out / f"{origin:%Y-%m-%d}.toml"
        if not file.exists():
            if k == 0:
                given = {"seed": 1, "model": args.model, "more": QUICK if args.quick else ""}
                text = FIRST.format(**given, data=args.data.resolve(), origin=f"{origin:%Y-%m-%d}")
                text += "".join(f"{s} = {1 / len(stocks):.6f}\n" for s in stocks)
                file.write_text(text, encoding="utf-8")
            else:
                before = f"{origins[k - 1]:%Y-%m-%d}.toml"
                command("roll", before, "--origin", f"{origin:%Y-%m-%d}", "--keep", "all", folder=args.out)
            # the seed that a backtest gives this origin
            seed = f"seed = {origin_seed(args.seed, origin)}"
            text = re.sub(r"(?m)^seed = \d+", seed, file.read_text(encoding="utf-8"), count=1)
            file.write_text(text, encoding="utf-8")
        if not (args.out / "book" / f"{origin:%Y-%m-%d}" / "forecast.nc").exists():
            command("run", file.name, "--quiet", folder=args.out)
            print(f"{origin:%Y-%m-%d} done", flush=True)
    return origins


def traded(folder: Path) -> dict[str, float]:
    """Turnover and cost of a month's decision, as parts of the money, and what binds."""
    decision = Decision.of(bdfm.Forecast.load(folder / "forecast.nc"))
    assert decision is not None
    return {"turnover": decision.turnover, "cost": decision.cost, "binding": len(decision.binding)}


@dataclass(frozen=True)
class Replay:
    """The forecasts of a ledger as a forecaster of a backtest."""

    book: Path
    name: str = "ledger"

    @property
    def settings(self) -> dict[str, str]:
        """Where they are."""
        return {"book": str(self.book)}

    def forecast(self, history: History, *, seed: int) -> bdfm.Forecast:
        """That of the origin."""
        return bdfm.Forecast.load(self.book / f"{history.origin:%Y-%m-%d}" / "forecast.nc")


def backtested(args: argparse.Namespace, origins: list[pd.Timestamp]) -> pd.DataFrame:
    """Scores (origin) of the ledger's forecasts in a backtest."""
    prices = bdfm.read_prices(args.data / "prices.csv.gz")
    universe = bdfm.read_universe(args.out / "universe.csv")
    with TemporaryDirectory() as folder:
        found = walk_forward(
            Replay(args.out.resolve() / "book"),
            MarketData.of(prices, universe),
            origins,
            folder,
            period=PERIOD,
        )
        return found.scores


def main() -> None:
    """Run the months, track them, backtest the same origins."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--last", default="2022-02-04", help="last day of the last month")
    parser.add_argument("--model", default="house")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="short fits and few draws")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    origins = months(args)
    prices = args.data.resolve() / "prices.csv.gz"
    found: dict[str, Any] = json.loads(
        command("track", "book", "--prices", prices, "--json", folder=args.out)
    )
    table = pd.DataFrame(found["months"]).set_index("origin")
    tested = backtested(args, origins)
    tested.index = pd.Index([f"{pd.Timestamp(d):%Y-%m-%d}" for d in tested.index])
    apart = (tested[["rps", "crps"]] - table[["rps", "crps"]]).abs().max()
    trading = pd.DataFrame({f"{o:%Y-%m-%d}": traded(args.out / "book" / f"{o:%Y-%m-%d}") for o in origins}).T
    means, people = pd.DataFrame(found["means"]).set_index("score"), pd.DataFrame(found["people"])
    views = pd.DataFrame(found["views"]).groupby("by")[["rps_gain", "log_gain"]].sum()
    last = people[people["origin"] == people["origin"].max()].set_index("by")["share_after"]
    for shown in (table, means, people.groupby("by")["rps"].mean(), last, views, trading):
        print(shown.to_string(), "\n")
    print(
        f"largest difference between track and backtest: {apart.to_dict()}; alarm: {found['alarm']['raised']}"
    )
    figures = {"track": found, "apart": apart.to_dict(), "trading": trading.reset_index().to_dict("records")}
    (args.out / "routine.json").write_text(json.dumps(figures, default=str, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()

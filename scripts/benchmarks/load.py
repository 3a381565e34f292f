"""Load: a backtest of 2,000 origins, 200 forecasts in one process, 10,000 views; for ``docs/scale.md``.

``python scripts/benchmarks/load.py`` prints a table; ``--origins``, ``--forecasts`` and ``--views`` make it
smaller, and 0 leaves one out.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from bdfm.backtest.run import load_runs
from bdfm.data.panel import Panel
from bdfm.data.sources import DEMO_ORIGIN, demo
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.view_texts import parse
from bdfm.inference.settings import SamplerSettings
from bdfm.model.find import find_model
from bdfm.posterior.fit import fit

N_ASSETS = 20


def resident() -> float:
    """Megabytes of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def backtest(n_origins: int) -> None:
    """``bdfm backtest`` of two cheap forecasters over simulated prices, an origin each day."""
    rng = np.random.default_rng(1)
    days = pd.bdate_range(end="2021-12-31", periods=n_origins + 600, name="date")
    common, own = rng.standard_t(5, (len(days), 1)), rng.standard_t(5, (len(days), N_ASSETS))
    logs = 0.006 * (common + own).cumsum(axis=0)
    symbols = [f"S{k}" for k in range(N_ASSETS)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prices = pd.DataFrame(50 * np.exp(logs - logs.mean(axis=0)), days, symbols)
        prices.round(4).to_csv(folder / "prices.csv")
        pd.DataFrame({"symbol": symbols, "asset_class": "stock"}).to_csv(folder / "universe.csv", index=False)
        last = days[-1] - pd.Timedelta(days=30)
        first = last - pd.Timedelta(days=n_origins - 1)
        words = "backtest equal historical --prices prices.csv --universe universe.csv --period-days 1"
        begun = cpu()
        code = (
            "import sys, resource; from bdfm.cli import app\n"
            "try: app.main()\n"
            "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)"
        )
        arguments = [*words.split(), "--first", f"{first:%F}", "--last", f"{last:%F}"]
        arguments += ["--out", "runs"]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"the backtest ended with {done.returncode}: {done.stderr}")
        for run in load_runs([folder / "runs"]):
            print(
                f"| backtest, {run.name} | {len(run.scores)} origins | RPS {run.scores['rps'].mean():.4f} |"
            )
        print(f"| backtest, both | {cpu() - begun:.0f} CPU s | peak {done.stderr.split()[-1]} MB |")


def forecasts(number: int) -> None:
    """Fits and forecasts one after the other, each with views; what stays in memory after each fourth."""
    prices, universe = demo()
    model = find_model("m6", folder=Path())
    panel = Panel.from_prices(prices, universe, origin=DEMO_ORIGIN, settings=model.panel)
    settings = SamplerSettings(draws=10, tune=10, chains=2, cores=1)
    begun, seen = cpu(), []
    for k in range(1, number + 1):
        forecast = fit(model, panel, seed=k, settings=settings).forecast(seed=k, n_draws=2000)
        forecast.quantile_probabilities(5)
        if k % max(1, number // 4) == 0:
            gc.collect()
            seen.append(resident())
            print(f"| forecasts | {k} | {seen[-1]:.0f} MB resident |", flush=True)
    print(f"| forecasts | {number} | {(cpu() - begun) / number:.2f} CPU s each |")


def views(number: int) -> None:
    """Views of a forecast of 10,000 draws and 100 assets, one evaluated after the other."""
    rng = np.random.default_rng(2)
    symbols = [f"S{k}" for k in range(100)]
    draws = 0.04 * (rng.standard_normal((10_000, 1)) + rng.standard_normal((10_000, 100)))
    forecast = Forecast.from_draws(
        draws, assets=symbols, asset_class=["stock"] * 100, origin="2021-12-31", end="2022-01-28"
    )
    begun = cpu()
    for k in range(1, number + 1):
        a, b = rng.choice(symbols, 2, replace=False)
        text = f"{a} - {b} = {rng.normal(0, 1):.2f}% +- 3%"
        forecast.with_views(parse(text, semantics="evidence")).quantile_probabilities()
        if k % max(1, number // 4) == 0:
            gc.collect()
            print(f"| views | {k} | {resident():.0f} MB resident |", flush=True)
    print(f"| views | {number} | {1000 * (cpu() - begun) / number:.1f} CPU ms each |")


def main() -> None:
    """Run the three."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, usual in (("origins", 2000), ("forecasts", 200), ("views", 10_000)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    given = parser.parse_args()
    print("| what | number | cost |\n|---|---|---|")
    for work, number in ((views, given.views), (backtest, given.origins), (forecasts, given.forecasts)):
        if number:
            work(number)


if __name__ == "__main__":
    main()

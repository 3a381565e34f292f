"""What a month costs as the universe grows: seconds, memory, effective draws, and how they grow.

    python scripts/benchmarks/large.py --out FOLDER [--sizes 250,500,1000,3000] [--periods 104] [--factors 10]

Options: --memory 8GB  --n-draws N  --draws N|auto  --tune N  --seed N  --markdown

For each number of assets: prices of a simulated market are written to a file, and `bdfm run` makes a month of
it as a user would, in a process of its own: from the files to submission, posterior, picture, report, and a
decision whose risk table is the risk figure. Seconds and peak memory are the operating system's.
FOLDER/large.json keeps what is done: sizes found there are not run again, so that a table can be made of runs
at several times. Growth is the slope of the logarithm against that of the
number of assets, between the smallest and the largest size.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import tomli_w
import typer
from rich.console import Console
from rich.table import Table

import bdfm

ORIGIN = pd.Timestamp("2022-02-04")
N_CLASSES = 11  # as many as sectors
N_LATE = 20  # of a hundred assets: those that list within the history
COLUMNS = {  # head, key, digits, whether growth is told
    "assets": ("assets", 0, False),
    "wall, s": ("wall", 0, True),
    "processor, s": ("processor", 0, True),
    "sampling, s": ("sample", 0, True),
    "ms a sweep": ("sweep_ms", 2, True),
    "sweeps a chain": ("sweeps", 0, False),
    "R-hat": ("rhat", 3, False),
    "least ESS": ("ess", 0, False),
    "peak, GiB": ("peak_gib", 2, True),
    "files, MB": ("files_mb", 0, True),
    "page, MB": ("page_mb", 1, True),
}

Row = dict[str, Any]


def market(n_assets: int, n_periods: int, n_factors: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulated prices (day, symbol) up to the origin, and the universe: factors, volatility that moves."""
    rng = np.random.default_rng([seed, n_assets])
    days = pd.bdate_range(ORIGIN - pd.Timedelta(days=28 * n_periods + 300), ORIGIN)
    classes = np.arange(n_assets) % N_CLASSES
    level = np.zeros(len(days))
    for t in range(1, len(days)):  # log volatility of the market, half gone in 35 days
        level[t] = 0.98 * level[t - 1] + 0.07 * rng.standard_normal()
    sd = 0.01 * 0.75 ** np.arange(n_factors)
    factors = np.exp(level)[:, None] * sd * rng.standard_t(6, (len(days), n_factors)) / np.sqrt(1.5)
    loadings = 0.6 * rng.standard_normal((n_assets, n_factors))
    loadings[:, 0] += 1
    own = 0.011 * np.exp(0.3 * rng.standard_normal(n_assets) + 0.1 * rng.standard_normal(N_CLASSES)[classes])
    noise = own * np.exp(0.5 * level)[:, None] * rng.standard_t(5, (len(days), n_assets)) / np.sqrt(5 / 3)
    prices = 100 * np.exp(np.cumsum(factors @ loadings.T + noise, axis=0))
    late = np.flatnonzero(rng.random(n_assets) < N_LATE / 100)
    for i, first in zip(late, rng.integers(0, len(days) // 2, len(late)), strict=True):
        prices[:first, i] = np.nan
    symbols = [f"A{k:04d}" for k in range(n_assets)]
    universe = pd.DataFrame(
        {"symbol": symbols, "asset_class": [f"sector_{c + 1}" for c in classes], "name": symbols}
    )
    return pd.DataFrame(prices, days.strftime("%Y-%m-%d"), symbols).rename_axis("date"), universe


def timed(command: list[str]) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak memory (GiB) of a command, which must succeed."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "bdfm", *command])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"bdfm {' '.join(command)}: exit code {process.returncode}")
    return time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def month(n_assets: int, folder: Path, shape: tuple[int, int], run: Row) -> Row:
    """Figures of a month of so many assets, its files in a folder; ``run``: more of its run file."""
    folder.mkdir(parents=True, exist_ok=True)
    prices, universe = market(n_assets, *shape, run["seed"])
    prices.round(4).to_csv(folder / "prices.csv")
    universe.to_csv(folder / "universe.csv", index=False)
    house = bdfm.FactorModel.from_preset("house")
    panel = house.panel.model_copy(update={"n_periods": shape[0]})
    model = house.model_copy(update={"n_factors": shape[1], "name": f"house-{shape[1]}", "panel": panel})
    (folder / "model.toml").write_text(model.to_toml(), encoding="utf-8")
    data = {"origin": ORIGIN.date(), "prices": "prices.csv", "universe": "universe.csv"}
    table = {**run, "model": "model.toml", "data": data}
    (folder / "month.toml").write_text(tomli_w.dumps(table), encoding="utf-8")
    wall, processor, peak = timed(["run", f"{folder / 'month.toml'}"])
    out = folder / "out"
    facts = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    found, seconds = facts["diagnostics"], facts["seconds"]
    attrs = bdfm.Posterior.load(out / "posterior.nc").attrs
    settings = bdfm.SamplerSettings.model_validate_json(attrs["settings"])
    sweeps = int(attrs.get("sweeps", settings.tune + settings.thin * settings.n_fixed))
    return {
        "assets": n_assets,
        "wall": wall,
        "processor": processor,
        "peak_gib": peak,
        "seconds": seconds,
        "sample": seconds["sample"],
        "sweeps": sweeps,
        # Of one chain on one core: chains run beside each other on the cores there are.
        "sweep_ms": 1000
        * seconds["sample"]
        * min(settings.cores, settings.chains)
        / (settings.chains * sweeps),
        "rhat": found["max_rhat"],
        "ess": min(found["min_ess_bulk"], found["min_ess_tail"]),
        "files_mb": sum(f.stat().st_size for f in out.iterdir()) / 1e6,
        "page_mb": (out / "report.html").stat().st_size / 1e6,
    }


def cells(rows: list[Row]) -> list[list[str]]:
    """Cells of the table: one row for each size, and one of growth."""
    table = [[f"{row[key]:,.{digits}f}" for key, digits, _ in COLUMNS.values()] for row in rows]
    if len(rows) > 1:
        first, last = rows[0], rows[-1]
        ratio = np.log(last["assets"] / first["assets"])
        growth = [
            f"{np.log(last[key] / first[key]) / ratio:.2f}" if told else ""
            for key, _, told in COLUMNS.values()
        ]
        table.append(["growth", *growth[1:]])
    return table


def main(
    out: Annotated[Path, typer.Option(help="Folder of the files and of what is done.")],
    sizes: str = "250,500,1000,3000",
    periods: int = 104,
    factors: int = 10,
    memory: str | None = None,
    n_draws: int | None = None,
    draws: str = "auto",
    tune: int = bdfm.SamplerSettings().tune,
    seed: int = 1,
    as_markdown: Annotated[bool, typer.Option("--markdown")] = False,
) -> None:
    """Run the months, and show what they cost."""
    wanted = [int(x) for x in sizes.split(",")]
    kept = out / "large.json"
    rows: dict[str, Row] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    sampler = {"draws": draws if draws == "auto" else int(draws), "tune": tune}
    run: Row = {"seed": seed, "sampler": sampler, "decision": {"method": "equal"}}
    run |= {k: x for k, x in (("memory", memory), ("n_draws", n_draws)) if x is not None}
    for n in wanted:
        if str(n) not in rows:
            rows[str(n)] = month(n, out / f"{n}", (periods, factors), run)
            kept.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    shown = cells([rows[str(n)] for n in sorted(wanted)])
    table = Table(*COLUMNS, box=None, title=f"{periods} periods, {factors} factors")
    for line in shown:
        table.add_row(*line)
    Console(width=160).print(table)
    if as_markdown:
        lines = [[*COLUMNS], ["---:"] * len(COLUMNS), *shown]
        print("".join(f"| {' | '.join(line)} |\n" for line in lines), end="")


if __name__ == "__main__":
    typer.run(main)

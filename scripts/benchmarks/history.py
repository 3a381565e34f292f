"""How long things take, commit by commit: one row for each in docs/benchmark_history.jsonl, and a picture.

    python scripts/benchmarks/history.py [COMMIT ...] [--repeat 3] [--only-show]

Each commit, HEAD unless named, is taken out of the repository into a folder of its own and does the same
work with the public names of bdfm alone, on the included data, one thread: a first time to compile, then
``--repeat`` times more, of which the row has medians. Seconds are those of the processor. ``yardstick`` is
what ten million steps of a Python loop took in the same process; the picture divides by it, so that rows of
slow and fast moments, or of two machines, can stand side by side. What a commit cannot do is null.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "benchmark_history.jsonl"
PICTURE = ROOT / "docs" / "images" / "benchmark_history.png"
MEASURED = {
    "start": "import, data, and a fit of 20 sweeps in a new process",
    "sweep": "a thousand sweeps of m6",
    "verdict": "fit of house until its verdict",
    "forecast": "100,000 draws of a forecast",
    "fifths": "their fifths",
}

WORK = """
import json, sys, time, warnings

def seconds(do):
    start = time.process_time()
    made = do()
    return made, time.process_time() - start

def loop():
    for _ in range(10_000_000):
        pass

warnings.simplefilter("ignore")
row = {"yardstick": seconds(loop)[1]}
begun = time.process_time()
import bdfm
prices, universe = bdfm.demo()

def panel_of(model):
    return bdfm.Panel.from_prices(prices, universe, origin="2021-12-31", settings=model.panel)

def m6():
    model = bdfm.FactorModel.from_preset("m6")
    fixed = bdfm.SamplerSettings(engine="gibbs", draws=100, tune=500, chains=1, thin=5)
    few = bdfm.SamplerSettings(engine="gibbs", draws=10, tune=10, chains=1, thin=1)
    panel = panel_of(model)
    bdfm.fit(model, panel, seed=2, settings=few)
    row["start"] = time.process_time() - begun
    posterior, row["sweep"] = seconds(lambda: bdfm.fit(model, panel, seed=1, settings=fixed))
    forecast, row["forecast"] = seconds(lambda: posterior.forecast(seed=2, n_draws=100_000))
    row["fifths"] = seconds(forecast.quantile_probabilities)[1]

def house():
    model = bdfm.FactorModel.from_preset("house")
    panel = panel_of(model)
    posterior, took = seconds(lambda: bdfm.fit(model, panel, seed=1))
    row["verdict"] = took if posterior.diagnose().converged else None

for work in (m6, house):
    try:
        work()
    except Exception as error:
        row.setdefault("failed", {})[work.__name__] = f"{type(error).__name__}: {error}"[:200]
print(json.dumps(row))
"""


def git(*words: str) -> str:
    """What git prints."""
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def measured(commit: str, repeat: int) -> dict[str, Any]:
    """Row of a commit: medians of ``repeat`` runs after a first one, which compiles."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", commit], capture_output=True, check=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        own = {
            "PYTHONPATH": folder,
            "NUMBA_CACHE_DIR": f"{folder}/.numba",
            "PYTENSOR_FLAGS": f"base_compiledir={folder}/.pytensor",
        }
        env = os.environ | own | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        runs = []
        for _ in range(1 + repeat):
            done = subprocess.run(
                [sys.executable, "-c", WORK], env=env, cwd=folder, capture_output=True, text=True, check=True
            )
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    found: dict[str, Any] = {"commit": git("rev-parse", "--short", commit)}
    found["day"] = git("show", "-s", "--format=%cs", commit)
    for name in ("yardstick", *MEASURED):
        values = [r[name] for r in runs[1:] if r.get(name) is not None]
        found[name] = round(median(values), 4) if len(values) == repeat else None
    return found


def rows() -> list[dict[str, Any]]:
    """Rows of the file, in the order of their commits."""
    lines = FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else []
    found = {row["commit"]: row for row in map(json.loads, lines)}
    return sorted(found.values(), key=lambda row: (row["day"], row["number"]))


def draw(table: list[dict[str, Any]]) -> None:
    """The picture: a panel for each thing measured, in units of the yardstick."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(MEASURED), 1, figsize=(8, 1.7 * len(MEASURED)), sharex=True, layout="constrained"
    )
    at = range(len(table))
    for axis, (name, title) in zip(axes, MEASURED.items(), strict=True):
        values = [row[name] / row["yardstick"] if row[name] is not None else float("nan") for row in table]
        axis.plot(at, values, "o-", color="#2b6cb0", markersize=4)
        axis.set_ylim(0, 1.15 * max(v for v in values if v == v))
        axis.set_title(title, loc="left", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xticks(at, [f"{row['commit']}\n{row['day'][5:]}" for row in table], fontsize=7)
    figure.supylabel("processor time, in ten million steps of a loop", fontsize=9)
    figure.savefig(PICTURE, dpi=100)
    plt.close(figure)


def main() -> None:
    """Measure, keep, show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commits", nargs="*", metavar="COMMIT", help="HEAD unless named")
    parser.add_argument(
        "--repeat", type=int, default=3, help="runs after the first, of which medians are kept"
    )
    parser.add_argument("--only-show", action="store_true", help="measure nothing")
    given = parser.parse_args()
    for commit in [] if given.only_show else given.commits or ["HEAD"]:
        row = measured(commit, given.repeat) | {"number": int(git("rev-list", "--count", commit))}
        table = [r for r in rows() if r["commit"] != row["commit"]] + [row]
        FILE.write_text("".join(json.dumps(r) + "\n" for r in table), encoding="utf-8")
        print(json.dumps(row), flush=True)
    table = rows()
    FILE.write_text("".join(json.dumps(r) + "\n" for r in table), encoding="utf-8")
    draw(table)


if __name__ == "__main__":
    main()

"""What a sweep of the daily model costs, update by update, and how fast its chains come to agree.

    python scripts/benchmarks/daily.py --prices FILE --universe FILE [--earnings FILE] [--origin DAY]
        [--factors N] [--assets N] [--minutes M] [--chains N] [--seed N] [--json FILE]

The first table has the milliseconds of each update within whole sweeps, on one core, after some hundred
sweeps of adaptation. Then ``bdfm.fit`` runs with its stopping rule (R-hat at most 1.01, at least 400
effective draws of all identified quantities) for as many sweeps as fit into ``--minutes`` of the processor;
the second table has, for each kind of quantity, the largest R-hat and the fewest effective draws, which
element has them, and sweeps of a chain for an effective draw. ``--minutes 0`` leaves the fit out.
"""

import json
import os
import resource
import time
import warnings
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

import bdfm
from bdfm.gibbs.sweep import make_chain, sweep_of
from bdfm.inference.engine import gibbs_spec

NONE = np.empty((0, 0))  # no draw is kept
ADAPT, REPEAT = 200, 20  # sweeps before, and those that are timed
FEWEST_SWEEPS = 600  # of a chain, however little time there is


def load(
    prices: Path,
    universe: Path,
    earnings: Path | None,
    origin: str,
    factors: int | None,
    assets: int | None,
    horizon: int = 1,
) -> tuple[bdfm.FactorModel, bdfm.Panel]:
    """The preset, with another number of factors where one is given, and the panel of its first assets."""
    model = bdfm.FactorModel.from_preset("daily")
    if factors is not None:
        model = model.model_copy(update={"n_factors": factors})
    members, table = bdfm.read_universe(universe), bdfm.read_prices(prices)
    if assets is not None:
        members = members.iloc[:assets]
        table = table[[c for c in table.columns if c in set(members["symbol"])]]
    panel = bdfm.Panel.from_prices(
        table,
        members,
        origin=origin,
        earnings=None if earnings is None else bdfm.read_earnings(earnings),
        settings=model.panel,
        horizon=horizon,
    )
    return model, panel


def cost(model: bdfm.FactorModel, panel: bdfm.Panel, seed: int) -> dict[str, float]:
    """Milliseconds of each update within a sweep; an update that comes twice counts twice."""
    spec = gibbs_spec(model, panel)
    chain = make_chain(spec, np.random.default_rng(seed))
    updates = sweep_of(spec, chain.data)
    chain.scratch.tuning.adapting[0] = True
    chain.sample(chain.compiled(updates), ADAPT, 1, NONE)
    chain.scratch.tuning.adapting[0] = False
    addresses = [chain.compiled([update]) for update in updates]
    total = np.zeros(len(updates))
    for _ in range(REPEAT):
        for j, address in enumerate(addresses):
            begun = time.thread_time()
            chain.sample(address, 1, 1, NONE)
            total[j] += time.thread_time() - begun
    found: dict[str, float] = {}
    for update, seconds in zip(updates, total, strict=True):
        found[update.__name__] = found.get(update.__name__, 0.0) + 1000 * seconds / REPEAT
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def converge(
    model: bdfm.FactorModel, panel: bdfm.Panel, seed: int, chains: int, sweeps: int
) -> tuple[dict[str, Any], pd.DataFrame]:
    """What a fit of at most so many sweeps a chain took, and its diagnosis by kind of quantity."""
    tune = min(bdfm.SamplerSettings().tune, sweeps // 3)
    settings = bdfm.SamplerSettings(
        chains=chains, cores=min(chains, os.cpu_count() or 1), tune=tune, max_sweeps=sweeps
    )
    begun, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        posterior = bdfm.fit(model, panel, seed=seed, settings=settings)
    seconds = {"seconds": time.perf_counter() - begun, "processor": time.process_time() - cpu}
    found = posterior.diagnose()
    made = int(posterior.attrs["sweeps"])
    rows = []
    for name, group in found.elements.groupby("quantity", sort=False):
        ess = np.minimum(group["ess_bulk"], group["ess_tail"])
        worst, apart = ess.argmin(), group["rhat"].argmax()
        rows.append(
            {
                "quantity": name,
                "number": len(group),
                "rhat": float(group["rhat"].max()),
                "rhat_at": str(group["label"].iloc[apart]),
                "ess": float(ess.min()),
                "ess_median": float(ess.median()),
                "ess_at": str(group["label"].iloc[worst]),
                "sweeps_a_draw": float(chains * (made - tune) / ess.min()),
            }
        )
    summary = seconds | {
        "chains": chains,
        "sweeps": made,
        "rhat": found.max_rhat,
        "ess": min(found.min_ess_bulk, found.min_ess_tail),
        "converged": found.converged,
        "begun_again": found.begun_again,
    }
    return summary, pd.DataFrame(rows).sort_values("ess")


def main(
    prices: Annotated[Path, typer.Option()],
    universe: Annotated[Path, typer.Option()],
    earnings: Path | None = None,
    origin: str = "2022-01-07",
    factors: int | None = None,
    assets: int | None = None,
    minutes: float = 5.0,
    chains: int = 2,
    seed: int = 1,
    as_json: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Cost of a sweep, and convergence within a bound."""
    console = Console(width=140)
    model, panel = load(prices, universe, earnings, origin, factors, assets)
    ms = cost(model, panel, seed)
    sweep = sum(ms.values())
    table = Table("update", "ms", "share", box=None)
    for name, x in ms.items():
        table.add_row(name, f"{x:.2f}", f"{x / sweep:.0%}")
    console.print(table)
    size = f"{len(panel.assets)} assets, {panel.n_history} days, {model.n_factors} factors"
    console.print(f"{size}: {sweep:.1f} ms a sweep")
    result: dict[str, Any] = {"size": size, "sweep_ms": sweep, "updates_ms": ms}
    if minutes > 0:
        sweeps = max(FEWEST_SWEEPS, int(60_000 * minutes / (sweep * chains)))
        summary, quantities = converge(model, panel, seed, chains, sweeps)
        table = Table("quantity", "number", "R-hat", "at", "ESS", "median", "at", "sweeps a draw", box=None)
        for row in quantities.itertuples():
            table.add_row(
                row.quantity, f"{row.number:,}", f"{row.rhat:.3f}", row.rhat_at, f"{row.ess:.0f}",
                f"{row.ess_median:.0f}", row.ess_at, f"{row.sweeps_a_draw:.0f}",
            )  # fmt: skip
        console.print(table)
        console.print(
            f"{summary['sweeps']:,} sweeps of each of {chains} chains in {summary['processor']:.0f} s of the"
            f" processor ({summary['seconds']:.0f} s): R-hat {summary['rhat']:.3f}, least effective draws"
            f" {summary['ess']:.0f}; begun again: {summary['begun_again'] or 'none'}"
        )
        result |= summary | {"quantities": quantities.to_dict("records")}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    console.print(f"peak memory {peak:.2f} GiB")
    if as_json:
        result["peak_gib"] = peak
        as_json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

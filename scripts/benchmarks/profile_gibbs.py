"""Where a sweep of the Gibbs sampler spends its time, and how far that is from what the processor allows.

    python scripts/benchmarks/profile_gibbs.py --prices FILE --universe FILE [--earnings FILE] [--origin DAY]
        [--model m6] [--json FILE]

Each update of a sweep is repeated alone, from a state in the middle of a run, on one core. Its time is then
compared with the *floor*: the operations that the update cannot do without (multiply-adds of the linear
algebra, exponentials, logarithms, gamma and normal variates), each at the speed that the same core reaches on
long arrays of nothing else (dense matrix products by BLAS; the package's vectorised functions; NumPy's
generator).
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numba
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import bdfm
from bdfm.gibbs.adapt import MIN_LEVERAGE, begin_sweep
from bdfm.gibbs.random import exp_in_place, gamma_fill, log_in_place
from bdfm.gibbs.sweep import Chain, Update, make_chain, sweep_of
from bdfm.inference.engine import gibbs_spec

NONE = np.empty((0, 0))  # no draw is kept
# Updates by kind; those of a sweep in none of them cost next to nothing.
KINDS = {
    "regression coefficients": ("refresh_information", "draw_mean_hierarchies", "draw_mean_coefficients"),
    "loadings": ("draw_loadings", "draw_loading_mixing", "draw_loading_slopes", "draw_drift"),
    "factor path": ("draw_factor_path", "draw_factor_periods", "refresh_residuals"),
    "orbits": ("shear_factors", "rescale_factors", "shift_factors", "draw_premia"),
    "factor scales": ("switch_factors", "switch_paths"),
    "dynamics and scale": (
        "draw_rho",
        "draw_lag_coefficients",
        "refresh_innovations",
        "draw_scale_slopes",
        "draw_h",
        "draw_phi",
        "rescale_h",
        "shift_h",
        "refresh_band",
    ),
    "residual move": ("move_along_residuals",),
    "log-volatility, assets": ("move_asset_coefficients",),
    "log-volatility, groups": ("move_group_means", "move_groups", "draw_hierarchies"),
    "degrees of freedom": ("draw_nu", "move_sigma_nu", "draw_sigma_nu"),
    "precisions": ("draw_mixing",),
}
REPEAT = 300


def per_call(run: Callable[[int], Any], n: int) -> float:
    """Median microseconds of one of the ``n`` calls that ``run(n)`` makes."""
    run(1)
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        run(n)
        times.append((time.perf_counter() - begun) / n)
    return 1e6 * float(np.median(times))


def units(rng: np.random.Generator) -> dict[str, float]:
    """Microseconds of one elementary operation on this core, on arrays that fit into its cache."""
    size = 4096
    x, bits = np.linspace(0.1, 0.9, size), np.zeros(size, np.int64)

    @numba.njit(nogil=True)
    def exps(n: int) -> None:
        for _ in range(n):
            x_own = x.copy()
            exp_in_place(x_own, bits.copy())

    @numba.njit(nogil=True)
    def logs(n: int) -> None:
        for _ in range(n):
            x_own = x.copy()
            log_in_place(x_own, bits.copy())

    @numba.njit(nogil=True)
    def gammas(rng: np.random.Generator, n: int) -> None:
        out = np.empty(size)
        for _ in range(n):
            gamma_fill(rng, out, 4.0)

    @numba.njit(nogil=True)
    def normals(rng: np.random.Generator, n: int) -> float:
        total = 0.0
        for _ in range(n * size):
            total += rng.standard_normal()
        return total

    a = rng.standard_normal((600, 600))

    def products(n: int) -> None:
        for _ in range(n):
            a @ a

    return {
        "multiply-add": per_call(products, 3) / 600**3,
        "exp": per_call(exps, 50) / size,
        "log": per_call(logs, 50) / size,
        "gamma": per_call(lambda n: gammas(rng, n), 10) / size,
        "normal": per_call(lambda n: normals(rng, n), 10) / size,
    }


def steps(chain: Chain, sweep: Sequence[Update]) -> dict[str, Callable[[int], None]]:
    """Updates of a sweep by kind, as functions that repeat them."""

    def repeated(part: list[Update]) -> Callable[[int], None]:
        addresses = chain.compiled([begin_sweep, *part])  # it counts: some updates take turns
        return lambda n: chain.sample(addresses, n, 1, NONE)

    parts: dict[str, list[Update]] = {kind: [] for kind in KINDS}
    for update in sweep:
        name = update.__name__
        kind = next((k for k, names in KINDS.items() if name in names), None)
        if kind is not None:
            parts[kind].append(update)
    return {kind: repeated(part) for kind, part in parts.items() if part}


def floors(chain: Chain, sweep: Sequence[Update]) -> dict[str, dict[str, float]]:
    """Operations that an update cannot do without."""
    returns, s = chain.data.returns, chain.state
    n, t = returns.values.shape
    k, m, j = len(s.factors.scale), len(s.mean.b), len(s.volatility.b)
    pairs = k * (k + 1) / 2
    moved = int((chain.scratch.tuning.leverage > MIN_LEVERAGE).sum())
    # an evaluation of the likelihood: sum over j of regressors, square, score, gradient
    likelihood = n * t * (2 * j + 5)
    runs = len(returns.run_weight)
    switches = sum(u.__name__.startswith("switch_") for u in sweep)
    logs = n * runs if 8 * runs <= t else n * t
    return {
        "regression coefficients": {
            "multiply-add": n * t * (m * (m + 1) / 2 + 3 * m),
            "log": 30 * n,
            "normal": n * m,
        },
        "loadings": {"multiply-add": n * t * (pairs + 2 * k + 1), "normal": n * k, "gamma": n * k},
        "factor path": {
            "multiply-add": n * t * (pairs + 2 * k + m) + t * (k**3 * 7 / 6),
            "normal": t * k,
        },
        "orbits": {"multiply-add": k * k * (3 * n + t) + 8 * k * (n + t), "gamma": n * k},
        "factor scales": {
            "multiply-add": 4 * n * t * k * switches,
            "normal": n * k * switches,
            "log": 5 * k * switches,
        },
        "dynamics and scale": {"multiply-add": 4 * k * t, "exp": 2 * t, "normal": 1},
        "residual move": {"multiply-add": moved * n * (4 * t + k)},
        "log-volatility, assets": {"multiply-add": 2 * likelihood, "exp": n * t, "log": 2 * logs},
        # means and single hierarchies in turns
        "log-volatility, groups": {
            "multiply-add": 0.5 * (1 + j) * likelihood,
            "exp": 0.5 * j * n * t,
            "log": 0.5 * (1 + j) * logs,
        },
        "degrees of freedom": {"multiply-add": n * t * (7 * 0.5 + 4), "log": 5.5 * logs},
        "precisions": {"multiply-add": 3 * n * t, "gamma": n * t},
    }


def main(
    prices: Annotated[Path, typer.Option()],
    universe: Annotated[Path, typer.Option()],
    earnings: Path | None = None,
    origin: str = "2022-01-07",
    model: str = "m6",
    as_json: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Profile a sweep."""
    spec = bdfm.FactorModel.from_preset(model)
    panel = bdfm.Panel.from_prices(
        bdfm.read_prices(prices),
        bdfm.read_universe(universe),
        origin=origin,
        earnings=None if earnings is None else bdfm.read_earnings(earnings),
        settings=spec.panel,
    )
    gibbs = gibbs_spec(spec, panel)
    rng = np.random.default_rng(1)
    chain = make_chain(gibbs, rng)
    updates = sweep_of(gibbs, chain.data)
    whole = chain.compiled(updates)
    chain.scratch.tuning.adapting[0] = True
    chain.sample(whole, 1000, 1, NONE)
    chain.scratch.tuning.adapting[0] = False
    sweep = per_call(lambda n: chain.sample(whole, n, 1, NONE), REPEAT)

    unit = units(rng)
    floor = floors(chain, updates)
    rows = []
    for name, run in steps(chain, updates).items():
        parts = {op: count * unit[op] for op, count in floor[name].items()}
        rows.append({"update": name, "us": per_call(run, REPEAT), "floor_us": sum(parts.values()), **parts})
    total = sum(row["us"] for row in rows)
    table = Table("update", "us", "share", "floor us", "us / floor", "of the floor", box=None)
    for row in sorted(rows, key=lambda r: -r["us"]):
        parts = ", ".join(
            f"{op} {row[op] / row['floor_us']:.0%}" for op in unit if row.get(op, 0) > 0.05 * row["floor_us"]
        )
        ratio = f"{row['us'] / row['floor_us']:.1f}"
        share = f"{row['us'] / total:.0%}"
        table.add_row(row["update"], f"{row['us']:.0f}", share, f"{row['floor_us']:.0f}", ratio, parts)
    floor_total = sum(row["floor_us"] for row in rows)
    by_kind = {op: sum(row.get(op, 0.0) for row in rows) for op in unit}
    console = Console(width=120)
    console.print(table)
    console.print(
        f"a whole sweep {sweep:.0f} us; sum of the updates {total:.0f} us, of their floors"
        f" {floor_total:.0f} us: {total / floor_total:.1f} times the floor"
    )
    console.print("floor: " + ", ".join(f"{op} {x / floor_total:.0%}" for op, x in by_kind.items()))
    console.print("one operation: " + ", ".join(f"{op} {1000 * x:.3g} ns" for op, x in unit.items()))
    if as_json:
        result = {"sweep_us": sweep, "units_us": unit, "updates": rows}
        as_json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

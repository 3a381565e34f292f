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
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numba
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import bdfm
from bdfm.gibbs.random import exp_in_place, gamma_fill, log_in_place
from bdfm.gibbs.sampler import GibbsSettings, _allocate, make_data, make_work, start_state
from bdfm.gibbs.sweep import Kept
from bdfm.inference import gibbs_dynamics, gibbs_factors, gibbs_mean, gibbs_noise, gibbs_sweep
from bdfm.inference.engine import gibbs_spec

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


def steps(rng: np.random.Generator, d: Any, s: Any, w: Any) -> dict[str, Callable[[int], None]]:
    """Each update of a sweep, as a function that repeats it."""
    n_effects = len(s.vol_b)

    def repeated(source: str) -> Callable[[int], None]:
        names = {**vars(gibbs_mean), **vars(gibbs_factors), **vars(gibbs_dynamics), **vars(gibbs_noise)}
        scope = {**names, "n_effects": n_effects}
        body = "\n".join(f"        {line}" for line in source.split("; "))
        exec(f"def loop(rng, d, s, w, n):\n    for turn in range(n):\n{body}\n", scope)
        compiled = numba.njit(nogil=True, error_model="numpy")(scope["loop"])
        return lambda n: compiled(rng, d, s, w, n)

    return {
        "regression coefficients": repeated(
            "effect_systems(d, s, w); draw_mean_hypers(rng, d, s, w); draw_effects(rng, d, s, w)"
        ),
        "loadings": repeated("draw_loadings(rng, d, s, w, 0.0)"),
        "factor path": repeated("draw_factor_path(rng, d, s, w, 0.0); residuals(d, s, w)"),
        "orbits": repeated("move_along_orbits(rng, d, s, w); draw_loadings_mix(rng, d, s)"),
        "dynamics and scale": repeated("draw_dynamics(rng, d, s, w); draw_multiplier(rng, d, s, w)"),
        "residual move": repeated("move_along_residuals(rng, d, s, w, 0.0)"),
        "log-volatility, assets": repeated("norms(d, s, w); move_asset_coefficients(rng, d, s, w)"),
        "log-volatility, groups": repeated(
            "for j in range(n_effects): move_groups(rng, d, s, w, j); "
            "for j in range(n_effects): draw_hypers(rng, d, s, w, j)"
        ),
        "degrees of freedom": repeated(
            "draw_nu(rng, d, s, w, turn); move_sigma_nu(rng, d, s, w, 0.0); draw_sigma_nu(rng, d, s)"
        ),
        "precisions": repeated("draw_precisions(rng, d, s, w)"),
    }


def floors(d: Any, s: Any, w: Any) -> dict[str, dict[str, float]]:
    """Operations that an update cannot do without."""
    n, t = d.y.shape
    k, m, j = s.loadings.shape[1], len(s.mean_b), len(s.vol_b)
    pairs = k * (k + 1) / 2
    moved = int((w.leverage > gibbs_noise.MIN_LEVERAGE).sum())
    # an evaluation of the likelihood: sum over j of regressors, square, score, gradient
    likelihood = n * t * (2 * j + 5)
    logs = n * len(d.chunk_weight) if 8 * len(d.chunk_weight) <= t else n * t
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
        "dynamics and scale": {"multiply-add": 4 * k * t, "exp": 2 * t, "normal": 1},
        "residual move": {"multiply-add": moved * n * (4 * t + k)},
        "log-volatility, assets": {"multiply-add": 2 * likelihood, "exp": n * t, "log": 2 * logs},
        "log-volatility, groups": {"multiply-add": j * likelihood, "exp": (j - 1) * n * t, "log": j * logs},
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
    d = make_data(gibbs)
    s = start_state(gibbs, d, rng)
    w = make_work(d, s)
    none = Kept(*(x[0, :0] for x in _allocate(s, GibbsSettings(chains=1, draws=1))))
    gibbs_sweep.run(rng, d, s, w, none, 0, 1000, 1)
    sweep = per_call(lambda n: gibbs_sweep.run(rng, d, s, w, none, 1000, n, 1), REPEAT)

    unit = units(rng)
    floor = floors(d, s, w)
    rows = []
    for name, run in steps(rng, d, s, w).items():
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

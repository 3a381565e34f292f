"""Time to trust of the engines, in one run, and how well their answers agree.

    python scripts/benchmarks/inference.py demo
    python scripts/benchmarks/inference.py m6 --prices FILE --universe FILE [--earnings FILE] [--origin DAY]
    python scripts/benchmarks/inference.py synthetic [--sizes 125,250,500,1000] [--engines gibbs]

Options: --engines reference,nuts,gibbs  --budget SECONDS  --cold  --agreement  --seed N  --json FILE

Time to trust: wall seconds, compilation included, of the shortest run of 4 chains whose worst R-hat is at
most 1.01 and whose least effective sample size (bulk and tail) is at least 400, over the identified
quantities. Each engine starts with a short run and doubles its length until it gets there. An engine that has
not got there within its budget is marked ">": it was stopped, and the time is a lower bound. `reference` is
the preset as a textbook writes it (gathered observations, centred hierarchies, pm.sample with its defaults);
the others are the package's own. Each engine runs in a process of its own; --cold gives it an empty
compilation cache.

--agreement compares the posterior means of the identified quantities between the last runs of the engines, in
Monte Carlo standard errors of their difference.
"""

import json
import multiprocessing as mp
import os
import resource
import tempfile
import time
import warnings
from pathlib import Path
from queue import Empty
from typing import Annotated, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import typer
import xarray as xr
from rich.console import Console
from rich.table import Table

import bdfm
from bdfm.inference.diagnostics import ESS_MIN, RHAT_MAX, diagnose
from bdfm.inference.ess import mcse_mean
from bdfm.inference.identified import identified
from bdfm.model.equations import model_data
from bdfm.model.simulate import simulate

FIRST_THIN = 3  # gibbs: sweeps for each of 4 x 1,000 kept draws in the first run
FIRST_DRAWS = 1_000  # nuts: draws of each chain in the first run, which is PyMC's default
DECIMALS = {
    "compile": 1,
    "sample": 1,
    "step_ms": 3,
    "rhat": 3,
    "ess": 0,
    "s_per_100_ess": 2,
    "cpu_per_100_ess": 2,
    "peak_gib": 2,
}

Row = dict[str, Any]


def textbook(model: bdfm.FactorModel, panel: bdfm.Panel) -> pm.Model:
    """The preset `m6` in plain PyMC, equation by equation, one row for each observation."""
    x = model_data(model, panel)
    t, i = np.nonzero(x["observed"])
    c = x["class_index"]
    coords = {
        "period": panel.history["period"].to_numpy(),
        "asset": list(panel.assets),
        "asset_class": list(panel.asset_classes),
        "factor": np.arange(1, model.n_factors + 1),
    }
    with pm.Model(coords=coords) as textbook_model:
        rho = pm.TruncatedNormal("rho", 0, 0.2, lower=-1, upper=1)
        scale = pm.HalfNormal("factor_scale", 0.03, dims="factor")
        first = pm.Normal.dist(0, scale[:, None] / pt.sqrt(1 - rho**2), shape=(model.n_factors, 1))
        path = pm.AR(
            "path",
            rho,
            sigma=scale,
            init_dist=first,
            ar_order=1,
            steps=panel.n_history - 1,
            dims=("factor", "period"),
        )
        w = pm.StudentT("loadings", nu=10, mu=0, sigma=1, dims=("asset", "factor"))
        alpha = pm.StudentT("alpha", nu=10, mu=0, sigma=pm.HalfNormal("sigma_alpha", 0.005), dims="asset")

        def by_class(name: str, nu: float | None, mean: float, mean_sd: float, sd: float) -> Any:
            mu = pm.Normal(f"mu_{name}", mean, mean_sd, dims="asset_class")
            sigma = pm.HalfNormal(f"sigma_{name}", sd, dims="asset_class")
            if nu is None:
                return pm.Normal(name, mu[c], sigma[c], dims="asset")
            return pm.StudentT(name, nu=nu, mu=mu[c], sigma=sigma[c], dims="asset")

        beta_rr = by_class("beta_rr", 10, 0, 0.005, 0.005)
        theta = by_class("theta", 10, -3, 1, 0.5)
        beta_rv = by_class("beta_rv", None, 0, 0.5, 0.25)
        mu_e, sigma_e = pm.Normal("mu_beta_earnings", 0, 0.5), pm.HalfNormal("sigma_beta_earnings", 0.25)
        beta_e = pm.Normal("beta_earnings", mu_e, sigma_e, dims="asset")
        nu = pm.Gamma("nu", mu=7, sigma=pm.Gamma("sigma_nu", mu=3, sigma=1), dims="asset")
        mu = alpha[i] + (w[i] * path.T[t]).sum(axis=-1) + beta_rr[i] * x["recent_return"][t, i]
        log_sigma = theta[i] + beta_rv[i] * x["recent_volatility"][t, i, 0] + beta_e[i] * x["earnings"][t, i]
        law = pm.StudentT.dist(nu=nu[i], mu=mu, sigma=pm.math.exp(log_sigma))
        log_density = pm.logp(law, x["log_returns"][t, i])
        pm.Potential("likelihood", (x["period_weights"][t] * log_density).sum())
    return textbook_model


def run_reference(
    model: bdfm.FactorModel, panel: bdfm.Panel, draws: int, seed: int
) -> tuple[xr.Dataset, xr.Dataset, dict[str, float]]:
    """Textbook model, sampled with the defaults of PyMC but for the number of draws."""
    begun = time.perf_counter()
    with textbook(model, panel), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = pm.sample(
            draws, chains=4, random_seed=seed, progressbar=False, compute_convergence_checks=False, quiet=True
        )
    posterior = tree["posterior"].to_dataset()
    sampling = float(posterior.attrs["sampling_time"])
    seconds = {"compile": time.perf_counter() - begun - sampling, "sample": sampling}
    return posterior, tree["sample_stats"].to_dataset(), seconds


def run(engine: str, model: bdfm.FactorModel, panel: bdfm.Panel, length: int, seed: int) -> tuple[Row, Any]:
    """One run, ``length`` times as long as the first; its figures and the identified quantities."""
    begun = time.process_time()
    if engine == "reference":
        draws, stats, seconds = run_reference(model, panel, length * FIRST_DRAWS, seed)
        settings = bdfm.SamplerSettings(draws=length * FIRST_DRAWS)
    else:
        size = {"thin": length * FIRST_THIN} if engine == "gibbs" else {"draws": length * FIRST_DRAWS}
        settings = bdfm.SamplerSettings(engine=engine, **size)
        posterior = bdfm.fit(model, panel, seed=seed, settings=settings)
        draws, stats = posterior.draws, posterior.tree["sample_stats"].to_dataset()
        seconds = posterior.seconds
    # Processor time of all threads: less at the mercy of other work on the machine than wall time.
    processor = time.process_time() - begun
    quantities = identified(draws)
    result = diagnose(quantities, stats)
    ess = min(result.min_ess_bulk, result.min_ess_tail)
    if engine == "gibbs":
        steps = settings.chains * (settings.tune + settings.thin * settings.draws)
    else:  # steps of the tuning are not recorded: taken to be as many for each draw
        steps = int(stats["n_steps"].sum()) * (1 + settings.tune / settings.draws)
    row = {
        "compile": seconds["compile"],
        "sample": seconds["sample"],
        "steps": int(steps),
        "step_ms": 1000 * seconds["sample"] * min(settings.cores, settings.chains) / steps,
        "rhat": result.max_rhat,
        "ess": ess,
        "s_per_100_ess": 100 * seconds["sample"] / ess,
        "cpu_per_100_ess": 100 * processor / ess,
        "trusted": bool(result.max_rhat <= RHAT_MAX and ess >= ESS_MIN),
    }
    return row, quantities


def climb(queue: Any, engine: str, case: tuple[Any, ...], seed: int, folder: str, agreement: bool) -> None:
    """Runs of doubling length until one is to be trusted; figures go to the queue, means to a file."""
    model, panel = synthetic(*case[1:]) if case[0] == "synthetic" else load(*case)
    length, compile_seconds = 1, 0.0
    while True:
        row, quantities = run(engine, model, panel, length, seed)
        compile_seconds = max(compile_seconds, row["compile"])  # later runs of a process find it done
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        row |= {"compile": compile_seconds, "trust": compile_seconds + row["sample"], "peak_gib": peak}
        if agreement:
            save_means(Path(folder) / f"{engine}.npz", quantities)
        queue.put(row | {"assets": len(panel.assets), "periods": panel.n_history})
        if row["trusted"]:
            return
        length *= 2


def save_means(file: Path, quantities: xr.Dataset) -> None:
    """Posterior means and their Monte Carlo errors, by variable, whole or not at all."""
    arrays = {}
    for name, variable in quantities.data_vars.items():
        x = variable.transpose("chain", "draw", ...).to_numpy()
        arrays[f"{name}:mean"] = x.mean(axis=(0, 1)).ravel()
        arrays[f"{name}:mcse"] = np.ravel(mcse_mean(x))
        arrays[f"{name}:sd"] = x.std(axis=(0, 1)).ravel()
    part = file.with_suffix(".part.npz")
    np.savez(part, **arrays)
    part.replace(file)


def measure(
    engine: str, case: tuple[Any, ...], seed: int, budget: float, folder: str, agreement: bool
) -> Row:
    """Figures of the last run of an engine, stopped when its budget is used up."""
    context = mp.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=climb, args=(queue, engine, case, seed, folder, agreement))
    begun = time.perf_counter()
    process.start()
    row: Row = {"trusted": False}
    while not row["trusted"]:
        left = budget - (time.perf_counter() - begun)
        try:  # the table of each run is a line of progress
            row = queue.get(timeout=max(0.0, min(1.0, left)))
        except Empty:
            if left > 0 and process.is_alive():
                continue
            if left > 0:
                raise SystemExit(f"{engine}: its process ended with code {process.exitcode}") from None
            process.kill()
            break
    process.join()
    if not row["trusted"]:
        row["trust"] = time.perf_counter() - begun
    return row | {"engine": engine}


def agree(folder: str, one: str, other: str) -> Table:
    """Differences of posterior means in Monte Carlo errors, by kind of quantity."""
    a, b = (np.load(Path(folder) / f"{name}.npz") for name in (one, other))
    table = Table(
        "quantity", "number", "largest |z|", "share |z| > 2", "largest gap, sd", box=None,
        title=f"{one} and {other}: differences of posterior means in Monte Carlo errors",
    )  # fmt: skip
    z_all = []
    for name in sorted({key.split(":")[0] for key in a} & {key.split(":")[0] for key in b}):
        gap = a[f"{name}:mean"] - b[f"{name}:mean"]
        z = np.abs(gap) / np.hypot(a[f"{name}:mcse"], b[f"{name}:mcse"])
        z_all.append(z)
        far = np.max(np.abs(gap) / a[f"{name}:sd"])
        table.add_row(name, f"{z.size:,}", f"{z.max():.2f}", f"{np.mean(z > 2):.1%}", f"{far:.3f}")
    z = np.concatenate(z_all)
    table.add_row("all", f"{z.size:,}", f"{z.max():.2f}", f"{np.mean(z > 2):.1%}", "")
    return table


def synthetic(
    n_assets: int, *, n_periods: int = 120, n_factors: int = 10
) -> tuple[bdfm.FactorModel, bdfm.Panel]:
    """Simulated panel with a market and weaker factors."""
    rng = np.random.default_rng(1)
    model = bdfm.FactorModel(n_factors=n_factors)
    shape = (n_periods, n_assets)
    features = {
        "recent_return": rng.standard_normal(shape),
        "recent_volatility": 0.4 * rng.standard_normal((*shape, 1)),
        "earnings": (rng.random(shape) < 0.3).astype(float),
    }
    truth = {
        "rho": np.float64(0.05),
        "factor_scale": 0.04 * 0.75 ** np.arange(n_factors),
        "loadings": rng.standard_normal((n_assets, n_factors)) + (np.arange(n_factors) == 0),
        "alpha": 0.003 * rng.standard_normal(n_assets),
        "beta_rr": 0.002 * rng.standard_normal(n_assets),
        "theta": -2.8 + 0.3 * rng.standard_normal(n_assets),
        "beta_rv": 0.3 + 0.1 * rng.standard_normal((n_assets, 1)),
        "beta_earnings": 0.3 + 0.1 * rng.standard_normal(n_assets),
        "nu": rng.gamma(6, 1.2, n_assets),
    }
    classes = [f"class_{k % 5}" for k in range(n_assets)]
    empty = bdfm.Panel.from_arrays(np.zeros(shape), asset_class=classes, **features)
    returns = simulate(model, truth, model_data(model, empty), rng=rng).log_returns
    return model, bdfm.Panel.from_arrays(returns, asset_class=classes, **features)


def load(
    panel: str, prices: Path | None, universe: Path | None, earnings: Path | None, origin: str
) -> tuple[bdfm.FactorModel, bdfm.Panel]:
    """Preset m6 and the panel named."""
    model = bdfm.FactorModel.from_preset("m6")
    if panel == "demo":
        table, members = bdfm.demo()
        return model, bdfm.Panel.from_prices(table, members, origin="2022-12-23", settings=model.panel)
    if prices is None or universe is None:
        raise typer.BadParameter("give demo, synthetic, or a name with --prices and --universe")
    calendar = None if earnings is None else bdfm.read_earnings(earnings)
    return model, bdfm.Panel.from_prices(
        bdfm.read_prices(prices),
        bdfm.read_universe(universe),
        origin=origin,
        earnings=calendar,
        settings=model.panel,
    )


def show(rows: list[Row], title: str) -> Table:
    """Table of the figures."""
    table = Table("assets", "engine", *DECIMALS, "time to trust", title=title, box=None)
    for row in rows:
        numbers = [f"{row[name]:.{digits}f}" if name in row else "" for name, digits in DECIMALS.items()]
        trust = f"{'' if row['trusted'] else '> '}{row['trust']:.1f}"
        table.add_row(str(row.get("assets", "")), row["engine"], *numbers, trust)
    return table


def main(
    panel: str,
    prices: Path | None = None,
    universe: Path | None = None,
    earnings: Path | None = None,
    origin: str = "2022-01-07",
    engines: str = "reference,nuts,gibbs",
    sizes: str = "125,250,500,1000",
    budget: float = 1200.0,
    cold: bool = False,
    agreement: bool = False,
    seed: int = 1,
    as_json: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Compare engines by their time to trust."""
    if panel == "synthetic":
        cases: list[tuple[Any, ...]] = [("synthetic", int(n)) for n in sizes.split(",")]
    else:
        cases = [(panel, prices, universe, earnings, origin)]
        load(*cases[0])  # a wrong file ends here
    names = engines.split(",")
    console, rows = Console(width=130), []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            for engine in names:
                if cold:
                    os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(dir=folder)
                    os.environ["PYTENSOR_FLAGS"] = f"compiledir={tempfile.mkdtemp(dir=folder)}"
                rows.append(measure(engine, case, seed, budget, folder, agreement))
                console.print(show(rows[-1:], f"{panel}, seconds unless named"))
        console.print(show(rows, f"{panel}, seconds unless named"))
        done = [name for name in names if agreement and (Path(folder) / f"{name}.npz").exists()]
        for i, one in enumerate(done):
            for other in done[i + 1 :]:
                console.print(agree(folder, one, other))
    if as_json:
        as_json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

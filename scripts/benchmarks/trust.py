"""Time to trust: from data to draws that one may believe, by ours, by NUTS and by a textbook, in one run.

    python scripts/benchmarks/trust.py [--prices FILE --universe FILE [--earnings FILE] [--origin DAY]]

Without files: the demo. Options: --engines ours-cold,ours,nuts,numpyro,textbook  --minutes 30  --agreement
--seed N  --json FILE  --markdown

Time to trust: wall seconds, compilation included, of the shortest run of 4 chains of the preset `m6` whose
worst R-hat is at most 1.01 and whose least effective sample size (bulk and tail) is at least 400, over the
identified quantities. The Gibbs sampler stops by itself; the others start with a short run and double its
length. One that has not got there within its minutes is stopped and marked ">", with the draws that it had
made. `ours-cold` has empty caches of compiled code, `ours` those that `ours-cold` left. `nuts` is the model
of the package sampled by nutpie, `numpyro` by NumPyro where it is installed; `textbook` is the preset as a
textbook writes it (gathered observations, centred hierarchies, pm.sample with its defaults). Each runs in a
process of its own.

--agreement compares the posterior means of the identified quantities between the last runs of the engines, in
Monte Carlo standard errors of their difference.
"""

import json
import os
import queue
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import typer
import xarray as xr
from rich.console import Console
from rich.table import Table

import bdfm
from bdfm.inference.choices import ESS_MIN, RHAT_MAX
from bdfm.inference.diagnostics import diagnose
from bdfm.inference.ess import mcse_mean
from bdfm.inference.identified import identified
from bdfm.model.equations import model_data

FIRST_DRAWS = {"nuts": 250, "numpyro": 250, "textbook": 1000}  # of each chain; 1,000 is PyMC's default
NAMES = {
    "ours-cold": "ours, cold",
    "ours": "ours, warm",
    "nuts": "NUTS by nutpie",
    "numpyro": "NUTS by NumPyro",
    "textbook": "textbook, PyMC's NUTS",
}
DECIMALS = {"compile": 1, "sample": 1, "processor": 0, "draws": 0, "rhat": 3, "ess": 0, "peak_gib": 2}
HEADS = ("compile, s", "sample, s", "processor, s", "draws a chain", "R-hat", "least ESS", "peak, GiB")

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


def run_textbook(model: bdfm.FactorModel, panel: bdfm.Panel, draws: int, seed: int, tell: Any) -> Any:
    """Textbook model, sampled with PyMC's defaults but for the number of draws; our names and dims."""
    begun = time.perf_counter()
    made = 0

    def count(trace: Any, draw: Any) -> None:
        nonlocal made
        made += 1
        if made % 100 == 0:
            tell({"reached": f"{made:,} of {4 * (1000 + draws):,} draws, tuning included"})

    with textbook(model, panel), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = pm.sample(
            draws,
            chains=4,
            random_seed=seed,
            progressbar=False,
            compute_convergence_checks=False,
            quiet=True,
            callback=count,
        )
    posterior = tree["posterior"].to_dataset()
    sampling = float(posterior.attrs["sampling_time"])
    seconds = {"compile": time.perf_counter() - begun - sampling, "sample": sampling}
    posterior = posterior.rename(path="factors").transpose("chain", "draw", "period", "factor", ...)
    windows = model.coords(panel)["window"]
    by_window = [name for name in posterior.data_vars if str(name).endswith("beta_rv")]
    posterior = posterior.assign({n: posterior[n].expand_dims(window=windows, axis=-1) for n in by_window})
    return posterior, tree["sample_stats"].to_dataset(), seconds


def run(
    engine: str, model: bdfm.FactorModel, panel: bdfm.Panel, length: int, seed: int, tell: Any
) -> tuple[Row, Any]:
    """One run, ``length`` times as long as the first; its figures and the identified quantities."""
    if engine == "textbook":
        draws, stats, seconds = run_textbook(model, panel, length * FIRST_DRAWS[engine], seed, tell)
    else:
        settings = bdfm.SamplerSettings(engine="gibbs")
        if not engine.startswith("ours"):
            sampler: Any = "nutpie" if engine == "nuts" else "numpyro"
            settings = bdfm.SamplerSettings(
                engine="nuts", sampler=sampler, draws=length * FIRST_DRAWS[engine]
            )
        posterior = bdfm.fit(model, panel, seed=seed, settings=settings)
        draws, stats = posterior.draws, posterior.tree["sample_stats"].to_dataset()
        seconds = posterior.seconds
    quantities = identified(draws, model, panel)
    result = diagnose(quantities, stats)
    ess = min(result.min_ess_bulk, result.min_ess_tail)
    row = {
        **seconds,
        "draws": draws.sizes["draw"],
        "rhat": result.max_rhat,
        "ess": ess,
        "trusted": bool(result.max_rhat <= RHAT_MAX and ess >= ESS_MIN),
    }
    return row, quantities


def told(row: Row) -> None:
    """Figures as a line of the output of this process."""
    print(json.dumps(row), file=sys.__stdout__, flush=True)


def climb(engine: str, case: list[Any], seed: int, folder: str, agreement: bool) -> None:
    """Runs of doubling length until one is to be trusted; figures go to the output, means to a file."""
    model, panel = load(*case)
    length, compile_seconds = 1, 0.0
    while True:
        row, quantities = run(engine, model, panel, length, seed, told)
        compile_seconds = max(compile_seconds, row["compile"])  # later runs of a process find it done
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        row["sample"] += row.pop("diagnose", 0.0)  # to find that draws are enough is part of it
        row |= {"compile": compile_seconds, "trust": compile_seconds + row["sample"], "peak_gib": peak}
        if agreement:
            save_means(Path(folder) / f"{engine}.npz", quantities)
        told(row)
        if row["trusted"] or engine.startswith("ours"):
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
    """Figures of the last run of an engine, stopped when its budget of seconds is used up."""
    child = json.dumps([engine, case, seed, folder, agreement], default=str)
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [sys.executable, __file__, "--child", child],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    lines: queue.Queue[str] = queue.Queue()

    def gather() -> None:
        for line in process.stdout or ():
            lines.put(line)

    threading.Thread(target=gather, daemon=True).start()
    row: Row = {"trusted": False, "engine": engine}
    try:
        while not row["trusted"]:
            left = budget - (time.perf_counter() - begun)
            try:
                row |= json.loads(lines.get(timeout=max(0.0, min(1.0, left))))
            except queue.Empty:
                if left > 0 and process.poll() is None:
                    continue
                if left > 0 and "trust" not in row:
                    raise SystemExit(f"{engine}: its process ended with code {process.returncode}") from None
                break
        if not row["trusted"]:
            row["trust"] = time.perf_counter() - begun
    except BaseException:
        row["trusted"] = False  # such as Ctrl-C
        raise
    finally:
        if not row["trusted"]:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with its workers
        process.wait()
    if "reached" not in row or row["trusted"]:  # those of workers that were stopped are not known
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        row["processor"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return row


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


def load(
    prices: str | None, universe: str | None, earnings: str | None, origin: str
) -> tuple[bdfm.FactorModel, bdfm.Panel]:
    """Preset m6 and the panel of the files, or of the demo."""
    model = bdfm.FactorModel.from_preset("m6")
    if prices is None or universe is None:
        table, members = bdfm.demo()
        return model, bdfm.Panel.from_prices(table, members, origin="2022-12-23", settings=model.panel)
    calendar = None if earnings is None else bdfm.read_earnings(earnings)
    return model, bdfm.Panel.from_prices(
        bdfm.read_prices(prices),
        bdfm.read_universe(universe),
        origin=origin,
        earnings=calendar,
        settings=model.panel,
    )


def cells(row: Row) -> list[str]:
    """Cells of a row of the table: name, figures, time to trust."""
    if "missing" in row:
        return [NAMES[row["engine"]], *["" for _ in DECIMALS], row["missing"]]
    figures = [f"{row[name]:,.{digits}f}" if name in row else "" for name, digits in DECIMALS.items()]
    trust = f"{row['trust']:.1f}" if row["trusted"] else f"> {row['trust']:,.0f}"
    if not row["trusted"] and "rhat" not in row and "reached" in row:
        trust += f" ({row['reached']})"
    return [NAMES[row["engine"]], *figures, trust]


def show(rows: list[Row], title: str) -> Table:
    """Table of the figures."""
    table = Table("", *HEADS, "time to trust, s", title=title, box=None)
    for row in rows:
        table.add_row(*cells(row))
    return table


def markdown(rows: list[Row]) -> str:
    """The same as a table of a page."""
    heads = ["", *HEADS, "time to trust, s"]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *(cells(row) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(
    prices: Path | None = None,
    universe: Path | None = None,
    earnings: Path | None = None,
    origin: str = "2022-01-07",
    engines: str = ",".join(NAMES),
    minutes: float = 30.0,
    agreement: bool = False,
    seed: int = 1,
    as_json: Annotated[Path | None, typer.Option("--json")] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown")] = False,
) -> None:
    """Compare engines by their time to trust."""
    case: tuple[Any, ...] = (*(None if x is None else str(x) for x in (prices, universe, earnings)), origin)
    _, panel = load(*case)  # a wrong file ends here
    title = f"{len(panel.assets)} assets, {panel.n_history} periods, model m6"
    console, rows = Console(width=150), []
    # In the order of ``NAMES``: a cold run of ours comes first, since it leaves what makes the next one warm.
    asked = {*engines.split(","), *(["ours-cold"] if "ours" in engines.split(",") else [])}
    if unknown := asked - set(NAMES):
        raise typer.BadParameter(f"--engines: {', '.join(sorted(unknown))} unknown; {', '.join(NAMES)} are.")
    names = [name for name in NAMES if name in asked]
    with tempfile.TemporaryDirectory() as folder:
        # Caches of this run alone, so that the first to compile is cold and what it leaves makes others warm.
        os.environ["NUMBA_CACHE_DIR"] = os.environ["BDFM_CACHE_DIR"] = f"{folder}/numba"
        os.environ["PYTENSOR_FLAGS"] = f"compiledir={folder}/pytensor"
        for engine in names:
            if engine == "numpyro" and find_spec("numpyro") is None:
                rows.append({"engine": engine, "missing": "not installed"})
            else:
                rows.append(measure(engine, case, seed, 60 * minutes, folder, agreement))
            console.print(show(rows[-1:], title))
            if as_json:
                as_json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        console.print(show(rows, title))
        if as_markdown:
            print(markdown(rows), end="")
        done = [name for name in names if agreement and (Path(folder) / f"{name}.npz").exists()]
        for i, one in enumerate(done):
            for other in done[i + 1 :]:
                console.print(agree(folder, one, other))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.stdout = sys.stderr  # the output is for figures
        climb(*json.loads(sys.argv[2]))
    else:
        typer.run(main)

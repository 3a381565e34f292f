"""Time to trust of the engines, on one panel and in one run.

    python scripts/benchmarks/inference.py demo [--engines reference,nuts,gibbs] [--json FILE]
    python scripts/benchmarks/inference.py m6 --prices FILE --universe FILE [--earnings FILE] [--origin DAY]
    python scripts/benchmarks/inference.py synthetic [--sizes 125,250,500,1000] [--engines gibbs]

Time to trust: wall seconds, compilation included, of a run of 4 chains whose worst R-hat is at most 1.01 and
whose least effective sample size is at least 400 over the identified quantities. A run that falls short is
marked ">": its time is a lower bound. `reference` is the preset as a textbook writes it (gathered
observations, centred hierarchies, pm.sample with its defaults); the others are the package's own.
"""

import json
import resource
import time
import warnings
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
from bdfm.inference.diagnostics import ESS_MIN, RHAT_MAX, diagnose
from bdfm.inference.identified import identified
from bdfm.model import model_data
from bdfm.simulate import simulate

COLUMNS = (
    "assets",
    "engine",
    "compile",
    "sample",
    "step_ms",
    "rhat",
    "ess",
    "trust",
    "s_per_100_ess",
    "peak_gib",
)


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
    model: bdfm.FactorModel, panel: bdfm.Panel, seed: int
) -> tuple[xr.Dataset, xr.Dataset, dict]:
    """Textbook model, sampled with the defaults of PyMC."""
    begun = time.perf_counter()
    built = textbook(model, panel)
    with built, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = pm.sample(chains=4, random_seed=seed, progressbar=False, compute_convergence_checks=False)
    draws = tree["posterior"].to_dataset()
    sampling = float(draws.attrs["sampling_time"])
    return (
        draws,
        tree["sample_stats"].to_dataset(),
        {
            "compile": time.perf_counter() - begun - sampling,
            "sample": sampling,
        },
    )


def measure(engine: str, model: bdfm.FactorModel, panel: bdfm.Panel, seed: int) -> dict[str, Any]:
    """One engine on one panel."""
    settings = bdfm.SamplerSettings(engine="auto" if engine == "reference" else engine)
    if engine == "reference":
        draws, stats, seconds = run_reference(model, panel, seed)
        quantities = identified(draws)
    else:
        posterior = bdfm.fit(model, panel, seed=seed, settings=settings)
        seconds, stats = posterior.seconds, posterior.tree["sample_stats"].to_dataset()
        # The same quantities for all engines: those that need no features.
        quantities = identified(posterior.draws)
    result = diagnose(quantities, stats)
    ess = min(result.min_ess_bulk, result.min_ess_tail)
    if engine == "gibbs":
        steps = settings.chains * (settings.tune + settings.thin * settings.draws)
    else:
        # Tuning steps are not recorded; they are taken to be as long as the others.
        steps = 2 * int(stats["n_steps"].sum())
    trusted = result.max_rhat <= RHAT_MAX and ess >= ESS_MIN
    total = seconds["compile"] + seconds["sample"]
    return {
        "assets": len(panel.assets),
        "engine": engine,
        "compile": seconds["compile"],
        "sample": seconds["sample"],
        "step_ms": 1000 * seconds["sample"] * min(settings.cores, settings.chains) / steps,
        "rhat": result.max_rhat,
        "ess": ess,
        "trust": total,
        "trusted": bool(trusted),
        "s_per_100_ess": 100 * seconds["sample"] / ess,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


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


def main(
    panel: str,
    prices: Path | None = None,
    universe: Path | None = None,
    earnings: Path | None = None,
    origin: str = "2022-01-07",
    engines: str = "reference,nuts,gibbs",
    sizes: str = "125,250,500,1000",
    seed: int = 1,
    as_json: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Compare engines by their time to trust."""
    model = bdfm.FactorModel.from_preset("m6")
    if panel == "synthetic":
        cases = [synthetic(int(n)) for n in sizes.split(",")]
    elif panel == "demo":
        table, members = bdfm.demo()
        cases = [(model, bdfm.Panel.from_prices(table, members, origin="2022-12-23", settings=model.panel))]
    elif prices is not None and universe is not None:
        calendar = None if earnings is None else bdfm.read_earnings(earnings)
        made = bdfm.Panel.from_prices(
            bdfm.read_prices(prices),
            bdfm.read_universe(universe),
            origin=origin,
            earnings=calendar,
            settings=model.panel,
        )
        cases = [(model, made)]
    else:
        raise typer.BadParameter("give demo, synthetic, or a name with --prices and --universe")
    rows = [measure(engine, m, p, seed) for m, p in cases for engine in engines.split(",")]
    shown = Table(*COLUMNS, title=f"{panel}: {cases[0][1].n_history} periods, seconds unless named", box=None)
    for row in rows:
        trust = f"{'' if row['trusted'] else '>'}{row['trust']:.1f}"
        cells = (row["compile"], row["sample"], row["step_ms"], row["rhat"], row["ess"])
        formats = ("{:.1f}", "{:.1f}", "{:.3f}", "{:.3f}", "{:.0f}")
        numbers = [f.format(x) for f, x in zip(formats, cells, strict=True)]
        ends = (trust, f"{row['s_per_100_ess']:.2f}", f"{row['peak_gib']:.2f}")
        shown.add_row(str(row["assets"]), row["engine"], *numbers, *ends)
    Console(width=120).print(shown)
    if as_json:
        as_json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

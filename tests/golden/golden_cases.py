"""Cases of the golden records: a small simulated panel, the presets cut to its size, and their fits.

Only public names of the package are used, so that files of the package may move without touching the tests.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from golden_records import Draws, Entry, Numbers, Result, Text
from scipy import stats

import bdfm

ROOT = Path(bdfm.__file__).parents[1]

ORIGIN = pd.Timestamp("2019-12-06")
N_PERIODS = 36
WINDOWS = (5, 20)
HORIZON = 2  # two steps ahead, so that the dynamics are used beyond the first
CLASSES = {f"S{i}": "stock" for i in range(1, 6)} | {f"B{i}": "bond_etf" for i in range(1, 4)}
GONE = "S5"  # delisted: ends half a year before the origin, and returns zero

GIBBS_PRESETS = (
    "m6",
    "house",
    "momentum",
    "dynamic_loadings",
    "instrumented",
    "dynamic_instrumented",
    "market_volatility",
    "stochastic_volatility",
)
PRESETS = (*GIBBS_PRESETS, "var")  # NUTS alone covers var
EVIDENCE = (bdfm.Evidence("S2", 0.08, 0.02), bdfm.Evidence("B1", -0.01, 0.005))
WITH_EVIDENCE = ("m6", "stochastic_volatility")

SEED = 16  # of the first twenty the one with the least drift
N_DRAWS = 2000
SETTINGS = bdfm.SamplerSettings(engine="gibbs", draws=20, tune=20, thin=2, chains=2, cores=1)


def prices() -> pd.DataFrame:
    """Daily closes with a common factor, a late listing, a suspension, single gaps and a delisting."""
    rng = np.random.default_rng(20191206)
    days = pd.bdate_range(ORIGIN - pd.Timedelta(days=28 * N_PERIODS + 7 * 20), ORIGIN)
    symbols = list(CLASSES)
    market = 0.008 * rng.standard_t(6, len(days)) * np.exp(0.4 * np.sin(np.arange(len(days)) / 60))
    beta = [*np.linspace(1.3, 0.8, 5), -0.2, -0.1, 0.1]
    noise = np.repeat([0.010, 0.003], [5, 3]) * np.linspace(0.8, 1.4, 8)
    steps = market[:, None] * beta + noise * rng.standard_normal((len(days), 8)) + 0.0002
    table = pd.DataFrame(50 * np.exp(np.cumsum(steps, axis=0)), index=days, columns=symbols).round(4)
    table.loc[: days[0] + pd.Timedelta(days=420), "S3"] = np.nan  # listed late
    table.loc["2018-06-01":"2018-09-20", "B2"] = np.nan  # suspended
    table.loc[ORIGIN - pd.Timedelta(days=180) :, GONE] = np.nan
    return table.mask(rng.random(table.shape) < 0.01)  # single days without a close


def universe() -> pd.DataFrame:
    """The assets, with names and groups."""
    groups = ["tech", "tech", "energy", "energy", "tech", "bonds", "bonds", "bonds"]
    return pd.DataFrame(
        {
            "symbol": list(CLASSES),
            "asset_class": list(CLASSES.values()),
            "name": [f"Name of {symbol}" for symbol in CLASSES],
            "group": groups,
        }
    )


def earnings() -> pd.DataFrame:
    """Announcements of the stocks, every 91 days, also after the origin."""
    rows = [
        (symbol, ORIGIN + pd.Timedelta(days=7 * k + 3 - 91 * j))
        for k, (symbol, kind) in enumerate(CLASSES.items())
        if kind == "stock"
        for j in range(-1, 12)
    ]
    return pd.DataFrame(rows, columns=["symbol", "date"])


def small(preset: str) -> bdfm.FactorModel:
    """A preset with two factors, two volatility windows and the periods of the panel."""
    model = bdfm.FactorModel.from_preset(preset)
    panel = model.panel.model_copy(update={"n_periods": N_PERIODS, "volatility_windows": WINDOWS})
    return model.model_copy(update={"n_factors": 2, "panel": panel})


def panel_of(model: bdfm.FactorModel, **changes: Any) -> bdfm.Panel:
    """The simulated panel with the settings of a model, some of them changed."""
    return bdfm.Panel.from_prices(
        prices(),
        universe(),
        origin=ORIGIN,
        earnings=earnings(),
        settings=model.panel.model_copy(update=changes),
        horizon=HORIZON,
        zero=[GONE],
        accept=["no-new-price"],
    )


# What a case says


def panel_case() -> Result:
    """Panels of three settings: features relative to the past, in levels, and of calendar months."""
    m6 = small("m6")
    panels = {
        "relative": panel_of(m6),
        "level": panel_of(small("house"), earnings_gaps="seasonal"),
        "month": panel_of(m6, period="month", min_past_weeks=13, recent_return_days=10),
    }
    result: dict[str, Entry] = {}
    for name, panel in panels.items():
        data = panel.dataset
        result |= {f"{name}/{v}": Numbers(data[v].to_numpy()) for v in data.data_vars}
        result[f"{name}/structure"] = structure(data)
        result[f"{name}/labels"] = {str(c): data[c].astype(str).values.tolist() for c in data.coords}
        result[f"{name}/summary"] = json.loads(panel.summary().astype(str).to_json())
        result[f"{name}/repr"] = repr(panel)
    return result


def density_case(preset: str, evidence: tuple[bdfm.Evidence, ...] = ()) -> Result:
    """Log density of each variable of the PyMC model at four points, by name of the variable.

    The first point is PyMC's initial one, rounded; the others are at random offsets from it, which the names
    of the variables fix.
    """
    model = small(preset)
    built = model.build(panel_of(model), evidence=evidence)
    start = {name: np.round(value, 6) for name, value in built.initial_point().items()}
    # The mode is stated because tests and scripts have different defaults, and sums in another order.
    density = built.compile_logp(sum=False, mode="FAST_COMPILE")
    terms = []
    for size in (0.0, 0.1, 0.3, 1.0):
        point = {}
        for name, value in start.items():
            rng = np.random.default_rng(zlib.crc32(f"{name} {size}".encode()))
            point[name] = value + size * rng.standard_normal(np.shape(value))
        terms.append([float(np.sum(term)) for term in density(point)])
    assert np.isfinite(terms).all()
    terms = np.transpose(terms)
    names = [variable.name for variable in (*built.basic_RVs, *built.potentials)]
    shapes = {name: list(np.shape(value)) for name, value in start.items()}
    dims = {name: None if d is None else list(d) for name, d in built.named_vars_to_dims.items()}
    by_name = {f"terms/{name}": Numbers(column) for name, column in zip(names, terms, strict=True)}
    return {"points/shapes": shapes, "points/dims": dims, "terms/order": names, **by_name}


def fit_case(preset: str, evidence: tuple[bdfm.Evidence, ...] = ()) -> Result:
    """A short Gibbs fit and all that follows from it."""
    model = small(preset)
    posterior = bdfm.fit(model, panel_of(model), seed=SEED, settings=SETTINGS, evidence=evidence)
    diagnosis = posterior.diagnose()
    table = diagnosis.table
    counts = [table["elements"].to_list(), diagnosis.n_constant, diagnosis.n_chains, diagnosis.n_draws]
    places = table[[c for c in table.columns if c.endswith("_at")]]
    return {
        **_posterior(posterior),
        "diagnosis/quantities": [table.index.to_list(), *counts],
        "diagnosis/max_rhat": Numbers(table["max_rhat"].to_numpy(), rtol=0.05),
        "diagnosis/min_ess_bulk": Numbers(table["min_ess_bulk"].to_numpy(), rtol=0.5),
        "diagnosis/min_ess_tail": Numbers(table["min_ess_tail"].to_numpy(), rtol=0.5),
        "diagnosis/converged": diagnosis.converged,
        "diagnosis/verdict": Text(diagnosis.verdict, "identified"),
        "diagnosis/advice": Text(diagnosis.advice, "identified"),
        "diagnosis/worst": Text(places.to_dict("index"), "identified"),
    }


def made_case() -> Result:
    """Preset ``var``, which only NUTS covers, with made-up draws for a fit: everything that follows from one.

    NUTS itself is left out: its compilation takes half a minute to a minute and a half.
    """
    model = small("var")
    panel = panel_of(model)
    rng = np.random.default_rng(20)
    coords = {
        "chain": range(2),
        "draw": range(10),
        "asset": list(panel.assets),
        "asset_class": list(panel.asset_classes),
        "factor": [1, 2],
        "factor_before": [1, 2],
        "period": panel.history["period"].to_numpy(),
        "window": list(WINDOWS),
    }

    def normal(*dims: str, mean: float = 0.0, sd: float = 1.0) -> tuple[tuple[str, ...], np.ndarray]:
        dims = ("chain", "draw", *dims)
        return dims, mean + sd * rng.standard_normal([len(coords[d]) for d in dims])

    def positive(*dims: str, scale: float) -> tuple[tuple[str, ...], np.ndarray]:
        dims, x = normal(*dims)
        return dims, scale * np.exp(0.2 * x)

    draws = xr.Dataset(
        {
            "loadings": normal("asset", "factor"),
            "factors": normal("period", "factor", sd=0.03),
            "factor_scale": positive("factor", scale=0.03),
            "var_matrix": normal("factor", "factor_before", sd=0.2),
            "alpha": normal("asset", sd=0.005),
            "sigma_alpha": positive(scale=0.005),
            "beta_rr": normal("asset", sd=0.005),
            "mu_beta_rr": normal("asset_class", sd=0.005),
            "sigma_beta_rr": positive("asset_class", scale=0.005),
            "theta": normal("asset", mean=-3.5, sd=0.3),
            "mu_theta": normal("asset_class", mean=-3.5, sd=0.3),
            "sigma_theta": positive("asset_class", scale=0.5),
            "beta_rv": normal("asset", "window", mean=0.2, sd=0.1),
            "mu_beta_rv": normal("asset_class", "window", mean=0.2, sd=0.1),
            "sigma_beta_rv": positive("asset_class", "window", scale=0.2),
            "beta_earnings": normal("asset", mean=0.3, sd=0.1),
            "mu_beta_earnings": normal(mean=0.3, sd=0.1),
            "sigma_beta_earnings": positive(scale=0.2),
            "nu": positive("asset", scale=7.0),
            "sigma_nu": positive(scale=3.0),
        },
        coords=coords,
    )
    attrs = {
        "model_name": model.name,
        "model_toml": model.to_toml(),
        "engine": "made up",
        "seed": 1,
        "settings": SETTINGS.model_dump_json(),
        "evidence": "[]",
        "versions": "{}",
        "seconds": "{}",
    }
    result = _posterior(bdfm.Posterior.from_draws(draws, xr.Dataset(), model, panel, attrs))
    return {name: entry for name, entry in result.items() if not name.startswith("draws/")}


def _posterior(posterior: bdfm.Posterior) -> Result:
    """Draws, identified quantities, likelihood, orientation, forecasts and files of a posterior."""
    draws, aligned = posterior.draws, posterior.aligned()
    turned = [n for n in draws.data_vars if not np.array_equal(draws[n], aligned.draws[n])]
    total = posterior.log_likelihood().sum(("period", "asset"))
    result: dict[str, Entry] = {f"draws/{n}": Draws(x.to_numpy()) for n, x in draws.data_vars.items()}
    found = posterior.identified()
    result |= {
        f"identified/{n}": Draws(x.to_numpy()) for n, x in found.data_vars.items() if n not in draws.data_vars
    }
    result["identified/structure"] = structure(found)
    result["identified/effective_periods"] = Numbers([posterior.effective_periods])
    noise = posterior.identified(full=True)["noise_scale"]
    result["identified/all_noise_scales"] = Draws(noise.to_numpy(), last=False)
    result["likelihood/total"] = Draws(total.to_numpy())
    result["aligned/turned"] = turned
    result |= {f"aligned/{n}": Draws(aligned.draws[n].to_numpy()) for n in turned}
    forecast = posterior.forecast(HORIZON, seed=3, n_draws=N_DRAWS)
    result |= _forecast(forecast)
    result |= _forecast(posterior.forecast(seed=4, n_draws=N_DRAWS), "first_step")
    with TemporaryDirectory() as folder:
        path = posterior.save(Path(folder) / "posterior.nc")
        loaded = bdfm.Posterior.load(path)
        xr.testing.assert_identical(loaded.draws, draws)
        xr.testing.assert_identical(loaded.panel.dataset, posterior.panel.dataset)
        assert loaded.model == posterior.model
        assert loaded.evidence == posterior.evidence
        again = loaded.forecast(HORIZON, seed=3, n_draws=N_DRAWS)
        np.testing.assert_array_equal(again.draws, forecast.draws)
        result["files/posterior"] = stored(path)
        result["files/forecast"] = saved(forecast, Path(folder))
    result["files/repr"] = repr(posterior)
    return result


def _forecast(forecast: bdfm.Forecast, group: str = "forecast") -> dict[str, Entry]:
    """Draws and tables of a forecast. Draws are rounded, so last digits may move one by a whole step."""
    step, few = 2.0**-17, 3 / forecast.n_draws
    table, submission = forecast.summary(), forecast.to_submission()
    moments = ["mean", "sd", "5%", "50%", "95%"]
    text = [c for c in table.columns if table[c].dtype.kind in "OUT"]
    ranks = [c for c in submission.columns if c.startswith("Rank")]
    return {
        f"{group}/draws": Numbers(forecast.draws.to_numpy(), atol=step, rows=25),
        f"{group}/weights": Numbers(forecast.weights.to_numpy(), rows=25),
        f"{group}/probabilities": Numbers(forecast.quantile_probabilities().to_numpy(), atol=few),
        f"{group}/summary": Numbers(table[moments].to_numpy(), atol=step),
        f"{group}/submission": Numbers(submission[ranks].to_numpy(), atol=few),
        f"{group}/decisions": Numbers(submission["Decision"].to_numpy()),
        f"{group}/labels": {
            "summary": [table.index.name, *table.columns],
            "texts": table[text].to_dict("index"),
            "submission": [*submission.columns],
            "ID": submission["ID"].to_list(),
        },
        f"{group}/history": forecast.history().to_dict("records"),
        f"{group}/attrs": forecast.attrs,
        f"{group}/repr": repr(forecast),
    }


def changes_case() -> Result:
    """Edits, views, risk and a decision on a simulated forecast."""
    rng = np.random.default_rng(8)
    common = 0.04 * rng.standard_normal((N_DRAWS, 1))
    scale = np.linspace(0.03, 0.01, len(CLASSES))
    draws = np.expm1(common * np.linspace(1.2, -0.2, len(CLASSES)) + scale * rng.standard_t(5, (N_DRAWS, 8)))
    plain = bdfm.Forecast.from_draws(
        draws,
        assets=list(CLASSES),
        asset_class=list(CLASSES.values()),
        origin="2019-12-06",
        end="2020-01-03",
        posterior_draw=np.arange(N_DRAWS) % 40,
        attrs={"source": "simulated"},
    )
    edited = (
        plain.zero(GONE)
        .acquired_for_cash("S4", offer=52.5, price=50.0, probability=0.8, seed=2)
        .acquired_for_stock(
            "S3", "S1", ratio=0.5, price=20.0, acquirer_price=45.0, cash=1.0, probability=0.9, seed=3
        )
        .halted("B3", probability=0.1, seed=4)
        .shift("S2", 0.01)
        .scale("B1", 1.5)
        .cap("S1", lower=-0.3, upper=0.3)
        .replace("B2", stats.norm(0.002, 0.02), keep_ranks=True, seed=5)
    )
    seen = edited.with_views(
        bdfm.views.Absolute(asset="S1", mean=0.02, sd=0.05, semantics="evidence"),
        bdfm.views.Relative(asset="S2", over="B1", mean=0.005, semantics="constraint"),
        bdfm.views.Ordering(above="B1", below="B2", probability=0.6, semantics="constraint"),
        bdfm.views.Quantile(asset="B3", quantile=3, probability=0.5, semantics="constraint"),
    )
    risk = bdfm.portfolio_risk(seen, {"S1": 0.3, "S2": 0.2, "B1": -0.1})
    decision = bdfm.decide(seen)
    with TemporaryDirectory() as folder:
        files = saved(seen, Path(folder))
    return {
        **_forecast(plain, "plain"),
        **_forecast(edited, "edited"),
        **_forecast(seen, "seen"),
        "seen/effective_draws": Numbers([seen.effective_draws]),
        "seen/file": files,
        "risk/table": Numbers(risk.table.to_numpy()),
        "risk/contributions": Numbers(risk.contributions.to_numpy()),
        "risk/labels": [*risk.table.index, *risk.table.columns, *risk.contributions.columns],
        "risk/decision": Numbers(decision.weights.to_numpy()),
        "risk/left_out": decision.left_out,
        "risk/repr": Text([repr(risk), repr(decision)], "risk"),
    }


def demo_case() -> Result:
    """The demo by the command line: printed text, files and what they hold."""
    code = "from bdfm.cli import main; main()"
    # Draws written whole are those of the posterior in double precision.
    options = ["demo", "--draws", "100", "--tune", "100", "--chains", "2", "--keep-draws", "--out", "results"]
    environment = {k: v for k, v in os.environ.items() if k != "FORCE_COLOR"}
    environment |= {"PYTHONPATH": str(ROOT), "COLUMNS": "120", "NO_COLOR": "1", "MPLBACKEND": "Agg"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    with TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, "-c", code, *options],
            cwd=folder,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert run.returncode == 0, run.stderr
        results = Path(folder) / "results"
        files = sorted(str(x.relative_to(results)) for x in results.rglob("*"))
        submission = pd.read_csv(results / "submission.csv")
        facts = json.loads((results / "summary.json").read_text(encoding="utf-8"))
        posterior = bdfm.Posterior.load(results / "posterior.nc")
        forecast = bdfm.Forecast.load(results / "forecast.nc")
        structures = {f"files/{x}": stored(results / f"{x}.nc") for x in ("posterior", "forecast")}
    facts = {k: v for k, v in facts.items() if k not in ("seconds", "versions")}
    diagnostics = facts.pop("diagnostics")
    ess = [diagnostics["min_ess_bulk"], diagnostics["min_ess_tail"]]
    lines = [x for x in run.stdout.splitlines() if not x.startswith("Seconds")]
    # The verdict and its advice hang on last digits.
    verdict = next(k for k, x in enumerate(lines) if "converged:" in x)
    places = next(k for k, x in enumerate(lines) if x.startswith("results"))
    form = [re.sub(r"\d+\.\d+", "#.#", x) for x in lines[:verdict] + lines[places:]]
    ranks = [c for c in submission.columns if c.startswith("Rank")]
    probabilities = forecast.quantile_probabilities().to_numpy()
    # Of 600,000 draws; the file has five digits.
    return {
        "draws/order": [str(x) for x in posterior.draws.data_vars],
        **{f"draws/{n}": Draws(x.to_numpy(), last=False) for n, x in posterior.draws.data_vars.items()},
        "forecast/probabilities": Numbers(probabilities, atol=1e-4),
        "forecast/submission": Numbers(submission[ranks].to_numpy(), atol=1e-4),
        "forecast/decisions": Numbers(submission["Decision"].to_numpy()),
        "forecast/labels": [[*submission.columns], submission["ID"].to_list()],
        "forecast/repr": repr(forecast),
        "summary/facts": facts,
        "summary/diagnostics": [*diagnostics, diagnostics["converged"], diagnostics["divergences"]],
        "summary/max_rhat": Numbers([diagnostics["max_rhat"]], rtol=0.05),
        "summary/min_ess": Numbers(ess, rtol=0.5),
        "printed/form": form,
        "printed/all": Text(lines, "draws"),
        "printed/errors": run.stderr,
        "files/names": files,
        **structures,
    }


def structure(data: xr.Dataset) -> dict[str, Any]:
    """Dims, type and shape of every variable of a Dataset."""
    # Texts are fixed-length or objects, as versions of xarray please.
    kinds = {"U": "text", "S": "text", "O": "text", "T": "text"}
    return {
        str(name): [[str(d) for d in x.dims], kinds.get(x.dtype.kind, x.dtype.str), list(x.shape)]
        for name, x in data.variables.items()
    }


def stored(path: Path) -> dict[str, Any]:
    """Groups of a NetCDF file as any reader finds them, without what hangs on the machine."""
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        return {
            node.path: structure(node.to_dataset(inherit=False))
            | {
                "(attributes)": {
                    # The number of cores is one of the sampler's settings.
                    str(k): re.sub(r'"cores":\d+,', "", v) if isinstance(v, str) else np.asarray(v).tolist()
                    for k, v in node.attrs.items()
                    if k not in ("seconds", "versions")
                }
            }
            for node in tree.subtree
        }


def saved(forecast: bdfm.Forecast, folder: Path) -> dict[str, Any]:
    """Contents of a forecast's file, from which the same forecast comes back."""
    path = forecast.save(folder / "forecast.nc")
    loaded = bdfm.Forecast.load(path)
    np.testing.assert_array_equal(loaded.draws, forecast.draws)
    np.testing.assert_array_equal(loaded.weights, forecast.weights)
    np.testing.assert_array_equal(loaded.quantile_probabilities(), forecast.quantile_probabilities())
    pd.testing.assert_frame_equal(loaded.summary(), forecast.summary())
    pd.testing.assert_frame_equal(loaded.history(), forecast.history())
    assert loaded.attrs == forecast.attrs
    return stored(path)


CASES: dict[str, Callable[[], Result]] = {
    "panel": panel_case,
    **{f"density_{p}": partial(density_case, p) for p in PRESETS},
    **{f"density_{p}_evidence": partial(density_case, p, EVIDENCE) for p in WITH_EVIDENCE},
    **{f"fit_{p}": partial(fit_case, p) for p in GIBBS_PRESETS},
    **{f"fit_{p}_evidence": partial(fit_case, p, EVIDENCE) for p in WITH_EVIDENCE},
    "made_var": made_case,
    "changes": changes_case,
    "demo": demo_case,
}

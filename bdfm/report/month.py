"""A month as one file: data, model, sampler, edits, views, decision and outputs, checked and run."""

from __future__ import annotations

import datetime as dt
import json
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bdfm import _checks, _files
from bdfm.data.panel import Panel
from bdfm.data.sources import demo, read_earnings, read_prices, read_universe
from bdfm.errors import DataError
from bdfm.forecast.changes import Changes, ViewsMethod
from bdfm.forecast.forecast import Forecast
from bdfm.inference.engine import choose
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import model_data
from bdfm.model.factor_model import FactorModel
from bdfm.names import FORECAST_FILE, POSTERIOR_FILE, REPORT_FILE, RUN_FILE, SUMMARY_FILE
from bdfm.portfolio.decisions import Decision, DecisionSettings, decide
from bdfm.posterior.changed import forecast_with_changes
from bdfm.posterior.door import package_versions
from bdfm.posterior.fit import fit
from bdfm.posterior.posterior import N_PREDICTIVE_DRAWS, Posterior
from bdfm.report.page import report_html

Output = Literal["submission", "posterior", "picture", "report"]
OUTPUTS: Final[tuple[Output, ...]] = ("submission", "posterior", "picture", "report")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataTable(_Table):
    """``[data]``: files, relative to the run file, or ``demo = true``; and the origin."""

    origin: dt.date | str
    prices: Path | None = None
    universe: Path | None = None
    earnings: Path | None = None
    demo: bool = False
    zero: tuple[str, ...] = ()  # delisted assets
    accept_jumps: tuple[str, ...] = ()  # assets whose newest prices jump, and rightly so


class RunFile(_Table):
    """Contents of a run file."""

    data: DataTable
    model: str = "m6"  # a preset, or a TOML file relative to the run file
    seed: Annotated[int, Field(ge=0)] = 1
    n_draws: Annotated[int, Field(ge=2)] = N_PREDICTIVE_DRAWS
    views_method: ViewsMethod = "auto"
    sampler: SamplerSettings = SamplerSettings()
    edits: tuple[dict[str, Any], ...] = ()
    views: tuple[dict[str, Any], ...] = ()
    shares: dict[str, float] | None = None
    decision: DecisionSettings = DecisionSettings()
    outputs: tuple[Output, ...] = OUTPUTS
    out: Path = Path("out")  # folder, relative to the run file


@dataclass(frozen=True)
class Month:
    """A run file with its data read and everything checked that can be without a fit."""

    run: RunFile
    text: str
    path: Path
    model: FactorModel
    panel: Panel
    changes: Changes
    closes: pd.Series[float]

    @property
    def out(self) -> Path:
        """Folder of the results."""
        return self.path.parent / self.run.out


def read_month(path: str | Path) -> Month:
    """Month of a run file; reads data and checks all that can be checked without a fit.

    Raises
    ------
    FileError
        The run file or a file that it names is missing.
    DataError, ModelError, UnknownLabelError
        Keys, numbers, symbols, prices, features, edits or views that cannot be used; the message names them.
    """
    path = _checks.existing_file(Path(path), what="run file")
    text = path.read_text(encoding="utf-8")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{path}: not valid TOML: {error}.") from error
    run = _run_file(table, path)
    model = FactorModel.from_toml(path.parent / run.model) if run.model.endswith(".toml") else None
    model = model or FactorModel.from_preset(run.model)
    prices, universe = _data(run.data, path)
    origin = _checks.as_date(run.data.origin, where=f"{path}, [data]: origin")
    _checks.known(run.data.zero, list(universe["symbol"]), what="symbol", where=f"{path}, [data]: zero")
    known = list(universe["symbol"])
    _checks.known(run.data.accept_jumps, known, what="symbol", where=f"{path}, [data]: accept_jumps")
    jumps = _checks.price_jumps(prices[[s for s in known if s in prices.columns]], origin)
    questioned = {s: line for s, line in jumps.items() if s not in run.data.accept_jumps}
    if questioned:
        raise DataError(
            f"{path}: {_checks.jump_message(questioned, origin)} Correct them, or say that they are right"
            f" with accept_jumps = {json.dumps(list(questioned))} in [data]."
        )
    earnings = None if run.data.earnings is None else read_earnings(path.parent / run.data.earnings)
    panel = Panel.from_prices(
        prices, universe, origin=origin, earnings=earnings, settings=model.panel, inactive=run.data.zero
    )
    model_data(model, panel)
    choose(run.sampler, model)
    changes = Changes.from_dict({"edits": list(run.edits), "views": list(run.views)}, where=str(path))
    changes = Changes(changes.steps, run.shares)
    closes = _checks.price_table(prices, until=origin).ffill().iloc[-1]
    classes = [panel.asset_classes[c] for c in panel.class_index]
    changes.check(panel.assets, classes, prices=closes)
    return Month(run, text, path, model, panel, changes, closes)


def _run_file(table: Mapping[str, Any], path: Path) -> RunFile:
    given = dict(table)
    try:
        if isinstance(given.get("decision"), Mapping):
            given["decision"] = DecisionSettings(**given["decision"])
        return RunFile(**given)
    except ValidationError as error:
        raise _checks.settings_error(error, RunFile, where=str(path)) from None
    except DataError as error:
        raise DataError(f"{path}, [decision]: {error}") from None


def _data(data: DataTable, path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Prices and universe."""
    if data.demo:
        if data.prices is not None or data.universe is not None:
            raise DataError(
                f"{path}, [data]: demo has its own prices and universe. Leave out one or the other."
            )
        return demo()
    if data.prices is None or data.universe is None:
        raise DataError(f"{path}, [data]: give prices and universe, or demo = true.")
    return read_prices(path.parent / data.prices), read_universe(path.parent / data.universe)


def run_month(
    month: Month, *, progress: bool = False, say: Callable[[str], None] = lambda _: None
) -> tuple[Posterior, Forecast, Decision]:
    """Fit, forecast, change, decide, and write the results to ``month.out``, all of them or none.

    Parameters
    ----------
    month
        From ``read_month``.
    progress
        Whether to show the sampler's progress bar.
    say
        Called with a line about each stage as it begins.
    """
    run, begun = month.run, time.perf_counter()
    with _files.OutputFolder(month.out) as folder:
        say(f"Sampling {run.sampler.chains} chains ...")
        posterior = fit(month.model, month.panel, seed=run.seed, settings=run.sampler, progress=progress)
        say("Forecast, edits and views ...")
        started = time.perf_counter()
        posterior, forecast = forecast_with_changes(
            posterior,
            month.changes,
            seed=run.seed,
            n_draws=run.n_draws,
            views_method=run.views_method,
            prices=month.closes,
            progress=progress,
        )
        if posterior.evidence:
            say("Views too strong for the draws went into the model: it was fitted again with them.")
        decision = decide(forecast, run.decision)
        forecast = decision.save_in(forecast)
        seconds = posterior.seconds | {"forecast": time.perf_counter() - started}
        forecast.save(folder / FORECAST_FILE)
        if "submission" in run.outputs:
            forecast.write_submission(folder / "submission.csv", decision.weights)
        if "posterior" in run.outputs:
            posterior.save(folder / POSTERIOR_FILE)
        if "picture" in run.outputs:
            forecast.plot_quantiles().savefig(folder / "quantiles.png", dpi=150)
        facts = summary(posterior, forecast, seconds=seconds | {"total": time.perf_counter() - begun})
        facts["views_method"] = "model" if posterior.evidence else "reweight"
        _files.write_text(folder / SUMMARY_FILE, json.dumps(facts, indent=2) + "\n")
        _files.write_text(folder / RUN_FILE, month.text)
        if "report" in run.outputs:
            say("Report ...")
            page = report_html(forecast, posterior=posterior, summary=facts, run=month.text)
            _files.write_text(folder / REPORT_FILE, page)
    return posterior, forecast, decision


def summary(posterior: Posterior, forecast: Forecast, *, seconds: Mapping[str, float]) -> dict[str, Any]:
    """What ``summary.json`` holds: settings, versions, seconds, diagnostics."""
    panel, diagnosis = posterior.panel, posterior.diagnose()
    return {
        "model": posterior.model.name,
        "origin": f"{panel.origin:%Y-%m-%d}",
        "end": f"{forecast.end:%Y-%m-%d}",
        "n_assets": len(panel.assets),
        "n_periods": panel.n_history,
        "seed": int(posterior.attrs["seed"]),
        "zero": list(panel.inactive),
        "evidence": [list(e) for e in posterior.evidence],
        "versions": package_versions(),
        "seconds": {k: round(v, 2) for k, v in seconds.items()},
        "diagnostics": {
            "converged": diagnosis.converged,
            "max_rhat": diagnosis.max_rhat,
            "min_ess_bulk": diagnosis.min_ess_bulk,
            "min_ess_tail": diagnosis.min_ess_tail,
            "divergences": diagnosis.divergences or 0,  # a Gibbs sampler has none
        },
    }

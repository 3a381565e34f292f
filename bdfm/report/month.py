"""A month from its run file: data read, everything checked, fitted, changed, decided and written.

The commands demo, forecast and run all make a run file and go this way.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bdfm import _blocks, _checks, _files, _folders, _json, _memory
from bdfm._symbols import check_aliases
from bdfm._threads import import_ahead
from bdfm.data.doubts.door import doubt_aliases, kept, record
from bdfm.data.doubts.finding import Finding
from bdfm.data.panel import Panel
from bdfm.data.periods import Horizon
from bdfm.data.reading.excel import split_sheet
from bdfm.data.sources import demo, read_earnings, read_prices, read_universe, read_volatility
from bdfm.errors import DataError, FileError
from bdfm.forecast.changes import Changes
from bdfm.forecast.event_edits import Drop
from bdfm.forecast.forecast import Forecast
from bdfm.inference.engine import choose
from bdfm.inference.stopping import FIRST_DRAWS
from bdfm.ledger.ledger import Ledger, check_free
from bdfm.model.equations import model_data
from bdfm.model.evidence import Evidence, check_evidence
from bdfm.model.factor_model import FactorModel
from bdfm.model.find import find_model, with_outside_volatility, with_period
from bdfm.names import (
    FORECAST_FILE,
    MADE_FILE,
    POSTERIOR_FILE,
    REPORT_FILE,
    RUN_FILE,
    SUMMARY_FILE,
)
from bdfm.portfolio.decisions import Decision, check_mandate, decide
from bdfm.portfolio.terms import weights_by_asset
from bdfm.posterior import memory
from bdfm.posterior.changed import forecast_with_changes
from bdfm.posterior.door import package_versions
from bdfm.posterior.posterior import Posterior
from bdfm.posterior.sampled import Before, sampled
from bdfm.posterior.told import evidence_values
from bdfm.report.earlier import start_of
from bdfm.report.horizons import evidence_in, file_of, horizons_in, lasting
from bdfm.report.page import report_html
from bdfm.report.results import previous_in_ledger
from bdfm.report.run_file import DataTable, RunFile, read_run_file


@dataclass(frozen=True)
class Month:
    """A run file with its data read and everything checked that can be without a fit.

    Attributes
    ----------
    run, text, path
        The run file; its text; where it lies, so that its paths can be followed.
    kept_as
        Name of its copy among the results.
    model, panel, changes
        What it says, read and checked.
    closes
        Close of each asset at the origin.
    universe
        With all its columns, which a mandate may limit.
    horizons
        Of its forecasts; views, decision and ledger are about the first.
    evidence
        Evidence inside the model, each over its horizon.
    tables
        What was read of its files: each says how in ``.attrs["reading"]``.
    sums
        SHA-256 of each data file as it was read, by its key of ``[data]``: it may be another one later.
    doubts
        What is doubtful in its data, accepted or warned of.
    warm_from
        Posterior of an earlier month, whose draws are moved on (``Posterior.update``).
    """

    run: RunFile
    text: str
    path: Path
    kept_as: str
    model: FactorModel
    panel: Panel
    changes: Changes
    closes: pd.Series[float]
    universe: pd.DataFrame
    horizons: tuple[Horizon, ...]
    evidence: tuple[Evidence, ...] = ()
    tables: tuple[pd.DataFrame, ...] = ()
    sums: Mapping[str, str] = field(default_factory=dict)
    doubts: tuple[Finding, ...] = ()
    warm_from: Posterior | None = None

    @property
    def out(self) -> Path:
        """Folder of the results."""
        return self.path.parent / self.run.out


class Results(NamedTuple):
    """What a month gives; ``decision`` is None where none was asked for, ``summary`` is that of its file.

    ``forecast`` is over the first horizon, ``further`` holds those over others by their labels.
    """

    posterior: Posterior
    forecast: Forecast
    decision: Decision | None
    summary: dict[str, Any]
    further: Mapping[str, Forecast]


def read_month(path: str | Path, *, befores: Sequence[Path] = ()) -> Month:
    """Month of a run file; reads data and checks all that can be checked without a fit.

    ``befores``: run files of months that are to be made first, in order, from one of which it goes on: the
    one that ``warm_from`` names, or those of its folder. Of their posteriors is known what they say.

    Raises
    ------
    FileError
        The run file or a file that it names is missing.
    DataError, ModelError, UnknownLabelError
        Keys, numbers, symbols, prices, features, evidence, edits or views that cannot be used; the message
        names them.
    """
    path = _checks.path_of(path, what="run file")
    run, text = read_run_file(path)
    tables = {"evidence": "[[evidence]]", "warm_from": "warm_from"}
    month = _checked(run, path, lambda key: f"{path}, {tables.get(key, f'[data]: {key}')}", befores)
    here = month.out.resolve() == path.parent.resolve()
    return replace(month, text=text, kept_as=path.name if here else RUN_FILE)


def make_month(run: RunFile, options: Mapping[str, str] | None = None) -> Month:
    """Month of a run file that does not lie anywhere yet, its paths seen from the working folder.

    It will lie among its results, as ``run.toml``, and there say the same.

    Parameters
    ----------
    run
        The run file.
    options
        For messages: what the user calls a key of ``[data]``.

    Raises
    ------
    FileError, DataError, ModelError, UnknownLabelError
        As ``read_month``.
    """
    names = options or {}
    month = _checked(run, Path(MADE_FILE), lambda key: names.get(key, key))
    note = f"# Made by bdfm; bdfm run {MADE_FILE} makes these results again.\n"
    if month.warm_from is not None:  # of a folder of months the file names the folder, as its user did
        note += f"# Draws went on from those of {month.warm_from.panel.origin:%Y-%m-%d}.\n"
    return replace(month, text=note + month.run.moved(month.out).to_toml())


def _checked(run: RunFile, path: Path, place: Callable[[str], str], befores: Sequence[Path] = ()) -> Month:
    """Month with its data read and checked, and what is doubtful in them."""
    with kept() as found, _memory.within(run.memory):
        month = _read_and_checked(run, path, place, befores)
    return replace(month, doubts=tuple(found))


def _read_and_checked(
    run: RunFile, path: Path, place: Callable[[str], str], befores: Sequence[Path]
) -> Month:
    model = with_period(find_model(run.model, folder=path.parent), run.data.period, where=place("period"))
    date_format = run.data.date_format
    origin = _checks.as_date(run.data.origin, where=place("origin"), date_format=date_format)
    aliases = check_aliases(run.aliases, where=f"{path}, [aliases]")
    sums = _sums(run.data, path)
    prices, universe = _data(run.data, path, aliases)
    earnings = None
    if run.data.earnings is not None:
        earnings = read_earnings(path.parent / run.data.earnings, date_format=date_format, aliases=aliases)
    volatility = None
    if run.data.volatility is not None:
        forms = {"date_format": date_format, "decimal_mark": run.data.decimal_mark}
        volatility = read_volatility(path.parent / run.data.volatility, aliases=aliases, **forms)
        model = with_outside_volatility(model)
    changed = [k for k, x in _sums(run.data, path).items() if x != sums.get(k)]
    if changed:
        raise FileError(f"{place(changed[0])}: the file changed while it was read. Run the same again.")
    doubt_aliases(aliases, accept=run.accept)
    known = list(universe["symbol"])
    _checks.known(run.data.zero, known, what="symbol", where=place("zero"))
    horizons = horizons_in(run, model, origin, place)
    evidence = evidence_in(run, model, origin, horizons, place)
    model.check_evidence(evidence)
    classes = list(_checks.universe_table(universe)["asset_class"])
    panel = Panel.from_prices(
        prices,
        universe,
        origin=origin,
        earnings=earnings,
        volatility=volatility,
        settings=model.panel,
        horizon=max(x for x in (*(h.periods for h in horizons), *(e.horizon for e in evidence))),
        zero=run.data.zero,
        accept=run.accept,
        sized=lambda n, _: _check_memory(run, model, _of_size(n, classes, model), evidence, len(horizons)),
    )
    _check_ledger(run, path)
    model_data(model, panel)
    choose(run.sampler, model)
    _folders.OutputFolder(path.parent / run.out, made_by="month").check()
    evidence = check_evidence(evidence, panel, accept=run.accept)
    changes = Changes.from_dict({"edits": list(run.edits), "views": list(run.views)}, where=str(path))
    changes = Changes(changes.steps, run.shares, run.pool)
    closes = _checks.price_table(prices, symbols=panel.assets, until=origin).ffill().iloc[-1]
    changes.check(panel.assets, classes, prices=closes, accept=run.accept)
    _check_decision(run, path, panel, changes, universe, closes)
    warm = None
    if run.warm_from is not None:
        warm = start_of(run, path, model, panel, befores, _to_be_made, where=place("warm_from"))
    _check_memory(run, model, panel, evidence, len(horizons), update=run.warm_from is not None)
    tables = tuple(t for t in (prices, universe, earnings, volatility) if t is not None)
    tables = () if run.data.demo else tables
    rest: dict[str, Any] = {"tables": tables, "sums": sums, "evidence": evidence, "warm_from": warm}
    return Month(run, "", path, path.name, model, panel, changes, closes, universe, horizons, **rest)


def _of_size(n_periods: int, asset_class: Sequence[str], model: FactorModel) -> Panel:
    """Panel of so many periods without anything in it, by which memory is known before features are."""
    empty = np.zeros((n_periods, len(asset_class)))
    return Panel.from_arrays(empty, asset_class=asset_class, settings=model.panel)


def _check_memory(
    run: RunFile, model: FactorModel, panel: Panel, evidence: Sequence[Evidence], n_horizons: int, *,
    update: bool = False,
) -> None:  # fmt: skip
    """Raise ``DataError`` where a fit or an update and its forecasts need more memory than there is."""
    memory.check_fit(model, panel, run.sampler, evidence=evidence, update=update)
    with _blocks.beside(n_horizons):
        memory.check_forecast(
            run.n_draws,
            len(panel.assets),
            n_posterior=run.sampler.chains * FIRST_DRAWS,
            n_known=memory.days_known(model, evidence),
            whole=run.keep_draws or "posterior" not in run.outputs,
        )


def _sums(data: DataTable, path: Path) -> dict[str, str]:
    """SHA-256 of each data file that is there, by its key of ``[data]``."""
    given = {k: getattr(data, k) for k in ("prices", "universe", "earnings", "volatility")}
    files = {k: split_sheet(path.parent / x)[0] for k, x in given.items() if x is not None}
    there = {k: x for k, x in files.items() if os.path.isfile(x)}
    return {k: sha256(_checks.existing_bytes(x, what=k)).hexdigest() for k, x in there.items()}


def _check_ledger(run: RunFile, path: Path) -> None:
    """Raise ``ThereError`` where a month of a ledger would be written over, ``DataError`` elsewhere."""
    out = path.parent / run.out
    if run.ledger is None:
        check_free(out)
        return
    ledger = path.parent / run.ledger
    if out.resolve().parent != ledger.resolve():
        raise DataError(
            f"{path}: out {run.out} is no folder in the ledger {run.ledger}. Leave out, or one of both."
        )
    _folders.settle_each(ledger)  # a run may have been killed while the files of its month took their names
    other = _files.next_to(run.out).as_posix()
    check_free(out, ledger=ledger, instead=f'Give another out, such as out = "{other}".')


def _check_decision(
    run: RunFile,
    path: Path,
    panel: Panel,
    changes: Changes,
    universe: pd.DataFrame,
    closes: pd.Series[float],
) -> None:
    """Raise where holdings or a mandate name what is not there, or limits conflict whatever the draws."""
    gone = {s for e in changes.edits if isinstance(e, Drop) for s in e.assets}
    left = zip(panel.assets, panel.class_of, strict=True)
    assets, classes = zip(*(x for x in left if x[0] not in gone), strict=True)
    held = run.holdings
    weights_by_asset(held, assets, where=f"{path}, [holdings]")
    if run.mandate is not None:
        known: dict[str, Any] = {
            "holdings": held,
            "universe": universe,
            "prices": closes,
            "zero": run.data.zero,
        }
        check_mandate(run.mandate, assets, classes, **known)


def _decision(month: Month, forecast: Forecast) -> Decision | None:
    """What the run file asks for."""
    if month.run.decided is None:
        return None
    held, universe = month.run.holdings, month.universe
    return decide(forecast, month.run.decided, holdings=held, universe=universe, prices=month.closes)


def _to_be_made(path: Path) -> Before:
    """What is known of the posterior of a month before it is made; of that month's warnings it tells."""
    run = read_run_file(path)[0].model_copy(update={"warm_from": None})
    with warnings.catch_warnings(action="ignore"):
        month = _checked(run, path, str)
    return Before(month.model, month.panel.origin, month.panel.assets)


def _data(data: DataTable, path: Path, aliases: dict[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Prices and universe."""
    if data.demo:
        if data.prices is not None or data.universe is not None:
            raise DataError(
                f"{path}, [data]: demo has its own prices and universe. Leave out one or the other."
            )
        return demo()
    if data.prices is None or data.universe is None:
        raise DataError(f"{path}, [data]: give prices and universe, or demo = true.")
    prices = read_prices(
        path.parent / data.prices,
        date_format=data.date_format,
        decimal_mark=data.decimal_mark,
        aliases=aliases,
    )
    return prices, read_universe(path.parent / data.universe, aliases=aliases)


def run_month(
    month: Month, *, progress: bool = False, say: Callable[[str], None] = lambda _: None
) -> Results:
    """Fit, forecast, change, decide, and write the results to ``month.out``, all of them or none.

    Parameters
    ----------
    month
        From ``read_month`` or ``make_month``.
    progress
        Whether to show the sampler's progress bar.
    say
        Called with a line about each stage as it begins.
    """
    run, begun = month.run, time.perf_counter()
    with (
        _memory.within(run.memory),
        _blocks.beside(len(month.horizons)),
        _folders.OutputFolder(month.out, made_by="month") as folder,
    ):
        _check_ledger(run, month.path)  # again: another run may have been there since, and none can be now
        if "picture" in run.outputs:
            import_ahead("matplotlib.pyplot")
        say(f"Sampling {run.sampler.chains} chains ...")
        made = sampled(
            month.model,
            month.panel,
            seed=run.seed,
            settings=run.sampler,
            evidence=month.evidence,
            progress=progress,
            accept=run.accept,
            earlier=None if month.warm_from is None else month.warm_from.as_earlier(),
        )
        first = Posterior.from_draws(**made)
        # What is written has to make the same draws again.
        compact = not run.keep_draws and "posterior" in run.outputs
        if compact:
            first = first.in_single_precision()
        say("Forecast, edits and views ...")
        started = time.perf_counter()
        posterior, forecast = forecast_with_changes(
            first,
            month.changes,
            seed=run.seed,
            horizon=month.horizons[0].periods,
            n_draws=run.n_draws,
            views_method=run.views_method,
            prices=month.closes,
            progress=progress,
            accept=run.accept,
        )
        again = posterior is not first
        if again:
            how = "as evidence on its paths" if month.model.conditions_paths else "which was fitted again"
            say(f"Views too strong for the draws went into the model, {how}.")
        forecast = forecast.with_closes(month.closes)
        decision = _decision(month, forecast)
        forecast = forecast if decision is None else decision.save_in(forecast)
        seconds = posterior.seconds | {"forecast": time.perf_counter() - started}
        told = record(month.doubts)
        for verdict, found in told.items():
            if found:
                forecast = forecast.with_attrs(**{f"doubts_{verdict}": "; ".join(f["seen"] for f in found)})
        if "posterior" in run.outputs:
            posterior.save(folder / POSTERIOR_FILE)
        weights = None if decision is None else decision.weights
        _write(month, folder, forecast, weights, compact=compact)
        further = {}
        for horizon in month.horizons[1:]:
            # Of the fit without views, which are about the first horizon; the file holds the one with them.
            further[horizon.label] = own = _further(month, first, horizon)
            _write(month, folder, own, None, compact=compact and not again, label=horizon.label)
        facts = summary(posterior, forecast, seconds=seconds | {"total": time.perf_counter() - begun})
        facts["doubts"] = told
        if further:
            facts["horizons"] = {h.label: h.periods for h in month.horizons}
        if month.changes.views:
            facts["views_method"] = "model" if again else "reweight"
        facts["files"] = dict(month.sums)
        if decision is not None and run.holdings:
            facts["turnover"] = decision.turnover
        _files.write_text(folder / SUMMARY_FILE, _json.text(facts, indent=2) + "\n")
        _files.write_text(folder / month.kept_as, month.text)
        if "report" in run.outputs:
            say("Report ...")
            before = None
            if run.ledger is not None:
                before = previous_in_ledger(month.path.parent / run.ledger, forecast.origin)
            parts: dict[str, Any] = {"posterior": posterior, "summary": facts, "run": month.text}
            page = report_html(forecast, **parts, previous=before)
            _files.write_text(folder / REPORT_FILE, page)
            for label, own in further.items():
                _files.write_text(folder / file_of(REPORT_FILE, label), report_html(own, **parts))
    if run.ledger is not None:
        Ledger(month.path.parent / run.ledger).enter(month.out)
    return Results(posterior, forecast, decision, facts, further)


def _further(month: Month, posterior: Posterior, horizon: Horizon) -> Forecast:
    """Forecast over another horizon than the first, with the edits that hold over any."""
    run = month.run
    made = posterior.forecast(horizon.periods, seed=run.seed, n_draws=run.n_draws)
    found = lasting(month.changes).apply(made, prices=month.closes, accept=run.accept)
    return found.with_closes(month.closes)


def _write(
    month: Month,
    folder: _folders.OutputFolder,
    forecast: Forecast,
    weights: pd.Series[float] | None,
    *,
    compact: bool,
    label: str = "",
) -> None:
    """Forecast, submission and picture of one horizon; the label of a further one is in their names."""

    def named(name: str) -> Path:
        return folder / (file_of(name, label) if label else name)

    forecast.save(named(FORECAST_FILE), made_from=folder / POSTERIOR_FILE if compact else None)
    if "submission" in month.run.outputs:
        forecast.write_submission(named("submission.csv"), weights)
    if "picture" in month.run.outputs:
        forecast.plot_quantiles().savefig(named("quantiles.png"), dpi=150)


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
        "zero": list(panel.zero),
        "evidence": evidence_values(posterior.evidence),
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

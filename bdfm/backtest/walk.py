"""Walk-forward backtest: at each origin a forecast from what was known then, scored by what came.

Each origin is a task of its own, or each stretch of origins whose forecasts go on from one another. Its
random numbers hang on the seed and the date alone, its result is written when done, so that neither the order
nor the number of workers nor a kill in between matters.
"""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bdfm import _checks, _files, _renamed, _sealed
from bdfm._kinds import of_kind
from bdfm._reading import PACKAGE
from bdfm._seeds import either_seed
from bdfm._strict import strict
from bdfm._workers import Failure, spread
from bdfm.backtest.protocol import Forecaster, History, MarketData, QuantileForecast, check_forecaster
from bdfm.backtest.run import (
    MANIFEST,
    ORIGINS,
    SCHEMA,
    Run,
    add_seconds,
    evaluate,
    failure_file,
    identity,
    origin_file,
    read_manifest,
    save_result,
)
from bdfm.backtest.stretches import SequentialForecaster, stretch_length, stretches, way_to
from bdfm.data.periods import Period, period_edges
from bdfm.data.weighting import OLD_HALF_LIVES
from bdfm.errors import DataError, DataWarning, FileError
from bdfm.forecast.forecast import Forecast
from bdfm.posterior.door import package_versions
from bdfm.scoring.m6 import information_ratio, period_returns

log = logging.getLogger(__name__)

WINDOW_DAYS: Final = 60  # of prices around a period that its returns are read from
KEPT: Final = "Finished origins are kept; the same call goes on from there, with a scheduler or without."
MAX_SHORT_DAYS: Final = 6  # calendar days that prices may stop before the end of the last period: holidays

Decide = Callable[[Forecast], Mapping[str, float]]


@strict
def origin_dates(first: object, last: object, *, every: Period = 28) -> pd.DatetimeIndex:
    """Origins from ``first`` to at most ``last``, every so many days or ``"month"``.

    Raises ``DataError`` when ``last`` is before ``first`` or a date is none.

    Examples
    --------
    >>> from bdfm.backtest import origin_dates
    >>> [f"{day:%m-%d}" for day in origin_dates("2021-01-01", "2021-04-01")]
    ['01-01', '01-29', '02-26', '03-26']
    """
    begin, stop = _checks.as_date(first, where="first origin"), _checks.as_date(last, where="last origin")
    if stop < begin:
        raise DataError(f"origins: the last one {stop:%Y-%m-%d} is before the first one {begin:%Y-%m-%d}.")
    step = every if isinstance(every, int) else {"month": 28, "day": 1}[every]
    edges = period_edges(begin, period=every, n_past=0, n_future=(stop - begin).days // step + 1)
    return edges[edges <= stop]


def origin_seed(seed: int, origin: pd.Timestamp) -> int:
    """Seed of an origin: it hangs on the run's seed and the date, not on the order of work."""
    sequence = np.random.SeedSequence([seed, origin.toordinal()])
    return int(sequence.generate_state(1)[0] >> 1)  # 31 bits, which every sampler takes


@dataclass(frozen=True)
class _Job:
    """All that a worker needs besides the origin."""

    forecaster: Forecaster
    data: MarketData
    period: Period
    history_days: int | None
    seed: int
    decide: Decide | None


class _Done(NamedTuple):
    origin: pd.Timestamp
    result: xr.Dataset | Failure
    seconds: float = 0.0


def _run_stretch(job: _Job, origins: tuple[pd.Timestamp, ...]) -> list[_Done]:
    """Forecast and score origins of one stretch, each going on from the one before.

    What is not asked for on the way is forecast all the same, so that results do not depend on what is. A
    stretch begins where there are prices enough; one that fails later ends it, and the same call tries again.
    """
    forecaster = job.forecaster
    if stretch_length(forecaster) == 1 or not isinstance(forecaster, SequentialForecaster):
        return [_run_origin(origin, partial(_scored, job)) for origin in origins]
    earlier: object | None = None

    def scored(origin: pd.Timestamp) -> xr.Dataset:
        nonlocal earlier
        history, seed = _history(job, origin), origin_seed(job.seed, origin)
        forecast, earlier = forecaster.forecast_next(history, earlier, seed=seed)
        return _score(job, forecast, history, seed) if origin in origins else xr.Dataset()

    done: list[_Done] = []
    for origin in way_to(origins[-1], period=job.period, length=forecaster.stretch):
        made = _run_origin(origin, scored)
        done.append(made)
        failed = made.result if isinstance(made.result, Failure) else None
        if failed and not (earlier is None and failed.error == DataError.__name__):
            reason = f"its forecast goes on from {origin:%Y-%m-%d}, which failed: {failed.message}"
            later = [o for o in origins if o > origin]
            done += [_Done(o, failed._replace(message=reason)) for o in later]
            break
    return [made for made in done if made.origin in origins]


def _run_origin(origin: pd.Timestamp, scored: Callable[[pd.Timestamp], xr.Dataset]) -> _Done:
    """Forecast and score one origin; what goes wrong in it comes back as a failure."""
    begun = time.perf_counter()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = scored(origin)
    except Exception as error:  # an origin that fails must not lose the others
        return _Done(origin, Failure.of(error))
    result.attrs["warnings"] = json.dumps(sorted({str(w.message) for w in caught}))
    return _Done(origin, result, time.perf_counter() - begun)


def _lost(origins: tuple[pd.Timestamp, ...], failure: Failure) -> list[_Done]:
    return [_Done(origin, failure) for origin in origins]


def _scored(job: _Job, origin: pd.Timestamp) -> xr.Dataset:
    history, seed = _history(job, origin), origin_seed(job.seed, origin)
    return _score(job, job.forecaster.forecast(history, seed=seed), history, seed)


def _history(job: _Job, origin: pd.Timestamp) -> History:
    return job.data.history(origin, period=job.period, history_days=job.history_days)


def _score(job: _Job, forecast: Forecast | QuantileForecast, history: History, seed: int) -> xr.Dataset:
    """Scores of a forecast. The outcome is known here; nothing of it goes back."""
    origin = history.origin
    window = slice(origin - pd.Timedelta(days=WINDOW_DAYS), history.end + pd.Timedelta(days=WINDOW_DAYS))
    prices = job.data.prices.loc[window, list(history.assets)]
    realised = period_returns(prices, origin, history.end)
    result = evaluate(forecast, history, realised, seed=seed)
    if job.decide is not None:
        if not isinstance(forecast, Forecast):
            raise DataError(f"decisions: {job.forecaster.name} gives no draws to decide by.")
        result.attrs["information_ratio"] = information_ratio(
            prices, job.decide(forecast), origin, history.end
        )
    return result


@either_seed
@strict
def walk_forward(
    forecaster: Forecaster,
    data: MarketData,
    origins: Sequence[object] | pd.DatetimeIndex,
    folder: str | Path,
    *,
    period: Period = 28,
    history_days: int | None = None,
    seed: int = 1,
    workers: int = 1,
    scheduler: str | None = None,
    decide: Decide | None = None,
    progress: bool = False,
) -> Run:
    """Backtest of a forecaster over origins; finished origins found in the folder are not done again.

    Parameters
    ----------
    forecaster
        Ours (``ModelForecaster``), a baseline (``bdfm.backtest.baselines``) or yours: see ``Forecaster``.
    data
        Prices, universe and earnings; at each origin the forecaster sees what was known then.
    origins
        Dates on which forecasts are made, such as ``origin_dates`` gives.
    folder
        Folder of the run: a manifest, and one file for each origin, written when it is done, or when all of
        its stretch are (``SequentialForecaster``). After a kill the same call goes on where it stopped, and
        the results are those of an undisturbed run. New origins may be added later.
    period
        Length of each period to forecast: days, or ``"month"``.
    history_days
        Calendar days of history that the forecaster sees, a rolling window; None for all, an expanding one.
    seed
        Equal seeds give equal results, on any number of workers.
    workers
        Local processes. With one, all runs in this process. A Gibbs sampler uses threads of its own: let
        workers times its ``cores`` be the cores of the machine.
    scheduler
        Address of a Dask scheduler, such as ``tcp://host:8786``: its workers do the work, and need this
        package and the forecaster's code; files are written here. Needs the extra ``dask``.
    decide
        Function of a forecast that gives portfolio weights by symbol, to score decisions by their
        information ratio.
    progress
        Whether to show a progress bar with the time left.

    Returns
    -------
    Run
        All that is done. Origins that failed are in ``run.failures``; the same call tries them again.

    Raises
    ------
    DataError
        No or repeated origins; outcomes that the prices do not reach; a folder that holds a run with other
        settings or data; every origin failed; forecasts that go on from each other over periods of months; a
        scheduler that is not there, or went away in the middle of the work.
    FileError
        Results cannot be written.
    MissingDependencyError
        A scheduler is given and Dask is not installed.

    Warns
    -----
    DataWarning
        Origins that failed; a run resumed with other versions of packages.
    """
    folder = _checks.path_of(folder, what="folder")
    workers = _checks.at_least(workers, 1, what="workers", where="backtest")
    seed = _checks.at_least(seed, 0, what="seed", where="backtest")
    if history_days is not None:
        history_days = _checks.at_least(history_days, 1, what="history_days", where="backtest")
    check_forecaster(forecaster)
    hint = "Make it of prices and universe by MarketData.of."
    of_kind(data, MarketData, what="data", where="backtest", hint=hint)
    dates = _checked_origins(origins, data, period)
    length = stretch_length(forecaster)
    stretches(dates, period=period, length=length)  # raises before a folder is made
    job = _Job(forecaster, data, period, history_days, seed, decide)
    _prepare(folder, job, dates)
    todo = [d for d in dates if not _sealed.is_intact(origin_file(folder, d))]
    if todo:
        log.info("%s: %d of %d origins to do", forecaster.name, len(todo), len(dates))
        columns = (TextColumn(forecaster.name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TimeRemainingColumn(), disable=not progress) as bar:
            task = bar.add_task("", total=len(dates), completed=len(dates) - len(todo))
            spreading: dict[str, Any] = {"workers": workers, "scheduler": scheduler}
            spreading |= {"what": "backtest", "kept": KEPT}
            pieces = stretches(todo, period=period, length=length)
            for piece in spread(_run_stretch, job, pieces, lost=_lost, **spreading):
                for done in piece:
                    _write(folder, done)
                    bar.advance(task)
    run = Run.load(folder)
    _report_failures(run)
    return run


def _checked_origins(
    origins: Sequence[object] | pd.DatetimeIndex, data: MarketData, period: Period
) -> list[pd.Timestamp]:
    where = "origins"
    dates = sorted(_checks.as_date(d, where=where) for d in origins)
    if not dates:
        raise DataError(f"{where}: none given. Give at least one date.")
    _checks.unique([f"{d:%Y-%m-%d}" for d in dates], what="date", where=where)
    first, last = data.prices.index[0], data.prices.index[-1]
    ends = [period_edges(d, period=period, n_past=0, n_future=1)[1] for d in dates]
    beyond = [d for d, end in zip(dates, ends, strict=True) if (end - last).days > MAX_SHORT_DAYS]
    beyond += [d for d in dates if d < first]
    if beyond:
        raise DataError(
            f"{where}: {len(beyond)} of {len(dates)} have no outcome or no history in the prices, which run"
            f" from {first:%Y-%m-%d} to {last:%Y-%m-%d} ({_checks.first(f'{d:%Y-%m-%d}' for d in beyond)})."
            " Choose others, or add prices."
        )
    days = data.prices.index
    closed = [d for d, end in zip(dates, ends, strict=True) if not ((days > d) & (days <= end)).any()]
    if closed:
        warnings.warn(
            f"{where}: {len(closed)} of {len(dates)} begin a period without a price"
            f" ({_checks.first(f'{d:%Y-%m-%d}' for d in closed)}): the market is closed, and all returns are"
            " zero. Take longer periods.",
            DataWarning,
            skip_file_prefixes=(PACKAGE,),
        )
    return dates


def _prepare(folder: Path, job: _Job, dates: Sequence[pd.Timestamp]) -> None:
    """Make the folder and its manifest, or check that they belong to the same run."""
    own = identity(
        job.forecaster,
        fingerprint=job.data.fingerprint,
        period=job.period,
        history_days=job.history_days,
        seed=job.seed,
    )
    own["decide"] = None if job.decide is None else getattr(job.decide, "__qualname__", repr(job.decide))
    _files.nameable(folder)
    try:
        (folder / ORIGINS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be made ({error.strerror}). Choose another folder.") from error
    with _files.in_turn(folder):  # of two at once, the second sees the manifest of the first
        asked = _asked(folder, own, dates)
        manifest = {"schema": SCHEMA, "identity": own, "origins": asked, "versions": package_versions()}
        _files.write_text(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def _asked(folder: Path, own: Mapping[str, Any], dates: Sequence[pd.Timestamp]) -> list[str]:
    """Origins asked for, now and before; raises ``DataError`` where those before are of another run."""
    asked = {f"{d:%Y-%m-%d}" for d in dates}
    if not os.path.exists(folder / MANIFEST):
        return sorted(asked)
    manifest = read_manifest(folder)
    # Settings of before may have names that were changed since; of one's own forecaster they have them still.
    before, now = (_renamed.everywhere(dict(x), OLD_HALF_LIVES) for x in (manifest["identity"], own))
    other = [k for k in now if before.get(k) != now[k]]
    if other:
        told = "; ".join(f"{k}: {_short(before.get(k))}, now {_short(now[k])}" for k in other)
        raise DataError(
            f"{folder}: holds a run with other {_checks.first(other)} ({told}). Use another folder, or"
            " delete this one."
        )
    if manifest["versions"] != package_versions():
        warnings.warn(
            f"{folder}: begun with other versions of packages, so that origins may not compare."
            " Delete the folder to compute all anew.",
            DataWarning,
            skip_file_prefixes=(PACKAGE,),
        )
    return sorted(asked | set(manifest["origins"]))


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _write(folder: Path, done: _Done) -> None:
    failed = failure_file(folder, done.origin)
    if isinstance(done.result, Failure):
        record = {"origin": f"{done.origin:%Y-%m-%d}"} | done.result._asdict()
        _files.write_text(failed, json.dumps(record, indent=1) + "\n")
        return
    save_result(done.result, origin_file(folder, done.origin))
    add_seconds(folder, done.origin, done.seconds)
    failed.unlink(missing_ok=True)


def _report_failures(run: Run) -> None:
    if not len(run.failures):
        return
    reasons: dict[str, list[str]] = {}  # most fail for one reason, which is told once
    for r in run.failures.itertuples():
        reasons.setdefault(f"{r.error}, {r.message}", []).append(str(r.origin))
    named = _checks.first((f"{_checks.first(days)}: {why}" for why, days in reasons.items()), whole=True)
    text = f"backtest of {run.name}: {len(run.failures)} of {len(run.manifest['origins'])} origins failed"
    if not run.results:
        raise DataError(f"{text} ({named}). Tracebacks are in {run.folder / ORIGINS}.")
    warnings.warn(
        f"{text} ({named}). The others are done; the same call tries these again.",
        DataWarning,
        skip_file_prefixes=(PACKAGE,),
    )

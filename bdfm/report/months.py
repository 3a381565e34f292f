"""Several months, each whole or not at all: on local processes or a cluster, errors of one left to it."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from bdfm import _checks, _memory
from bdfm._folders import BusyError, file_in
from bdfm._workers import Failure, spread
from bdfm.errors import BdfmError, DataError
from bdfm.inference.diagnostics import measures_in_words
from bdfm.ledger.ledger import Ledger, ThereError
from bdfm.names import FORECAST_FILE, SUMMARY_FILE
from bdfm.report.earlier import holds_posterior, start_folder
from bdfm.report.month import read_month, run_month
from bdfm.report.results import read_summary
from bdfm.report.run_file import read_run_file

PATIENCE: Final = 120.0  # seconds that one waits for a folder to which a run that was given up still writes
KEPT: Final = (
    "Months that are done are kept, and workers may still finish what they have in hand. Run the others"
    " again, with a scheduler or without."
)


class Outcome(NamedTuple):
    """What came of one month.

    Attributes
    ----------
    path, out
        Its run file, and the folder of its results.
    n_assets, seconds
        Number of its assets, and wall seconds of all of it; 0 and what was used where it failed.
    verdict
        On convergence; empty where nothing was fitted.
    converged
        Whether the verdict is good.
    error
        Message of the error that ended it; empty where it is done.
    warnings
        What it warned of.
    there
        Whether the error is that its folder holds a month of a ledger already.
    """

    path: Path
    out: Path
    n_assets: int = 0
    seconds: float = 0.0
    verdict: str = ""
    converged: bool = False
    error: str = ""
    warnings: tuple[str, ...] = ()
    there: bool = False


class _Job(NamedTuple):
    """What the months share: whether they are checked alone, and the budget of each, in bytes.

    ``patience``: seconds that one waits for a folder in which another run is at work. ``home``: folder from
    which paths are seen, since a worker of a cluster has a working folder of its own.
    """

    check: bool
    memory: int | None
    patience: float = 0.0
    home: Path = Path()


class _Task(NamedTuple):
    """A run file, the folder of its results, and the folder from whose posterior it starts.

    ``posterior``: whether it writes one. ``befores``: run files of the months of the same call that it starts
    from, or may: of a folder of months all before its ``origin``, in order. ``shares``: whether it keeps to
    its share of the budget, since its run file gives none.

    ``ledger`` is that of a month that was not there when the call began: what is there later, of the same run
    file, was made in it, by a worker that died or was given up after it had entered the month.
    """

    path: Path
    out: Path
    source: Path | None = None
    ledger: Path | None = None
    posterior: bool = True
    origin: pd.Timestamp | None = None
    befores: tuple[Path, ...] = ()
    shares: bool = False


def run_months(
    paths: Sequence[str | Path],
    *,
    workers: int = 1,
    scheduler: str | None = None,
    check: bool = False,
    memory: str | int | None = None,
    on_done: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Months of several run files; the outcome of each, in their order.

    A month that goes wrong writes nothing, and ends no other. One that starts from the posterior of another
    of them (``warm_from``) waits for it, and is not begun where that fails, unless a ledger had it already.
    One that goes on from a folder of months waits for those of them that are written there and lie before
    its origin, and goes on from what is there then.

    Parameters
    ----------
    paths
        Run files.
    workers
        Local processes; with one, all months run in this process, one after the other.
    scheduler
        Address of a Dask scheduler, whose workers do the work and must find the files by the same paths.
        Needs the extra ``dask``.
    check
        Read and check each; fit nothing.
    memory
        Budget of all local workers together, for months whose run files give none; half of the machine by
        default. Each has an equal part, of as many as work at once. On a scheduler, of each month.
    on_done
        Called with each outcome as it comes.

    Raises
    ------
    DataError
        One file twice, two months with one folder of results, months that start from each other, less memory
        than the libraries of all workers take (a check asks for none), or a scheduler that is not there or
        went away.
    FileError
        A run file that is not there.
    """
    workers = _checks.at_least(workers, 1, what="workers", where="run")
    # Read alone: a run file that cannot be understood is an outcome of its own, not the end of the others.
    tasks = [_task(_checks.path_of(p, what="run file")) for p in paths]
    hint = "Give each month a file and a folder of its own."
    _checks.unique([f"{t.path.resolve()}" for t in tasks], what="run file", where="run", hint=hint)
    _checks.unique([f"{t.out.resolve()}" for t in tasks], what="folder of results", where="run", hint=hint)
    with _memory.within(memory, where="memory"):
        budget = _memory.budget()
    waves = [*_waves(tasks)]
    if scheduler is None and budget is not None:
        at_once = max((sum(t.shares for t in wave) for wave in waves), default=0)
        n_sharing = min(workers, max(1, at_once))
        if memory is not None and not check and budget // n_sharing < _memory.LEAST:
            least = _memory.readable(n_sharing * _memory.LEAST)
            raise DataError(
                f"memory: {_memory.readable(budget)} for {n_sharing} workers are too little; the libraries"
                f" alone take more. Give at least {least}, or fewer workers."
            )
        budget = max(_memory.LEAST, budget // n_sharing)
    alone = check or (workers == 1 and scheduler is None)
    share = None if scheduler is not None and memory is None else budget
    home = Path() if scheduler is None else Path.cwd()
    job = _Job(check, share, 0.0 if alone else PATIENCE, home)
    where: dict[str, Any] = {"workers": workers, "scheduler": scheduler, "what": "run", "kept": KEPT}
    done: dict[Path, Outcome] = {}
    writes = {t.path: t.posterior for t in tasks}
    for wave in waves:
        begun = []
        for task in wave:
            why = _not_begun(task, done, writes)
            if not why:
                begun.append(task._replace(befores=tuple(b for b in task.befores if not done[b].error)))
                continue
            done[task.path] = Outcome(task.path, task.out, error=why)
            on_done(done[task.path])
        for outcome in spread(_outcome, job, begun, lost=_lost, **where):
            done[outcome.path] = outcome
            on_done(outcome)
    return [done[t.path] for t in tasks]


def _not_begun(task: _Task, done: Mapping[Path, Outcome], writes: Mapping[Path, bool]) -> str:
    """Why a month cannot start from the one of the same call that it names; blank if it can.

    One that goes on from a folder is begun whatever came of the others: it may have other months to take.
    """
    for before in task.befores:
        out, there = done[before].out, done[before].there
        if out.resolve() != task.source or (there and holds_posterior(out)):
            continue
        begins = f"not begun: it starts from the posterior of {before}, which"
        if done[before].error:
            return f"{begins} failed"
        if not writes[before]:
            return f'{begins} writes none. Add "posterior" to the outputs there.'
    return ""


def table(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """One row for each month: assets, seconds, and its verdict or error."""
    rows = [
        (f"{o.path}", "failed" if o.error else "done", o.n_assets, round(o.seconds, 1), o.error or o.verdict)
        for o in outcomes
    ]
    return pd.DataFrame(rows, columns=["month", "state", "assets", "seconds", "verdict"])


def _task(path: Path) -> _Task:
    _checks.existing_file(path, what="run file")
    try:
        run = read_run_file(path)[0]
    except BdfmError:  # its own outcome says why; its name keeps it apart from others
        return _Task(path, path)
    source = None if run.warm_from is None else start_folder(run, path)
    out, ledger = path.parent / run.out, None
    if run.ledger is not None and not os.path.exists(file_in(out, FORECAST_FILE)):
        ledger = path.parent / run.ledger
    origin = None
    with suppress(BdfmError):  # as above
        origin = _checks.as_date(run.data.origin, where="origin", date_format=run.data.date_format)
    return _Task(path, out, source, ledger, "posterior" in run.outputs, origin, shares=run.memory is None)


def _waves(tasks: Sequence[_Task]) -> Iterator[list[_Task]]:
    """Tasks in groups, each of which may run at once; those that go on from others come after these."""
    left = [t._replace(befores=_befores(t, tasks)) for t in tasks]
    while left:
        paths = {t.path for t in left}
        ready = [t for t in left if not paths & {*t.befores}]
        if not ready:
            named = _checks.first(f"{t.path}" for t in left)
            raise DataError(f"run: {named} start from each other's posteriors (warm_from). Leave out one.")
        left = [t for t in left if t not in ready]
        yield ready


def _befores(task: _Task, tasks: Sequence[_Task]) -> tuple[Path, ...]:
    """Run files of the months that one goes on from: the one it names, or the earlier ones of a folder.

    Which of a folder is the nearest is known once they are there.
    """
    if task.source is None or task.source == task.out.resolve():
        return ()
    named = [t.path for t in tasks if t.out.resolve() == task.source]
    if named or holds_posterior(task.source):
        return tuple(named)
    inside = [t for t in tasks if t.out.resolve().parent == task.source and t.posterior]
    earlier = [(t.origin, t.path) for t in inside if t.origin and task.origin and t.origin < task.origin]
    return tuple(path for _, path in sorted(earlier))


def _outcome(job: _Job, task: _Task) -> Outcome:
    """Outcome of one month; what goes wrong in it is in it."""
    begun = time.perf_counter()
    outcome = Outcome(task.path, task.out)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with _memory.within(job.memory):
                outcome = _made(job, task)
        except BdfmError as error:
            outcome = outcome._replace(error=str(error), there=isinstance(error, ThereError))
        except Exception as error:  # a month that fails must not lose the others
            outcome = outcome._replace(error=f"{type(error).__name__}: {error}")
    told = tuple(dict.fromkeys(str(w.message) for w in caught))
    return outcome._replace(seconds=time.perf_counter() - begun, warnings=told)


def _made(job: _Job, task: _Task) -> Outcome:
    """Outcome of a month that is made now, or was in this call; raises what goes wrong."""
    begun = time.monotonic()
    while True:
        try:
            return _checked_or_run(job, task)
        except ThereError:
            found = _entered(job, task)
            if found is None:
                raise
            return found
        except BusyError:  # of a worker that stalls, or whose scheduler went: it may end soon, or be ended
            if time.monotonic() - begun >= job.patience:
                raise
            time.sleep(min(1.0, job.patience))


def _checked_or_run(job: _Job, task: _Task) -> Outcome:
    befores = [job.home / before for before in task.befores] if job.check else []  # a run has made them
    month = read_month(job.home / task.path, befores=befores)
    n_assets = len(month.panel.assets)
    if job.check:
        return Outcome(task.path, task.out, n_assets, verdict="in order, nothing fitted")
    diagnosis = run_month(month).posterior.diagnose()
    verdict, converged = diagnosis.verdict, diagnosis.converged
    return Outcome(task.path, task.out, n_assets, verdict=verdict, converged=converged)


def _entered(job: _Job, task: _Task) -> Outcome | None:
    """Outcome of a month that was entered in this call, as its folder has it; None where it is another."""
    if task.ledger is None:
        return None
    text = read_run_file(job.home / task.path)[1]
    entries = Ledger.open(job.home / task.ledger).entries()
    if not any(e.folder == task.out.name and e.run == text for e in entries):
        return None
    facts = read_summary(job.home / task.out / SUMMARY_FILE) or {}
    told = facts.get("diagnostics", {})
    converged = bool(told.get("converged"))
    measures = [told.get(k) for k in ("max_rhat", "min_ess_bulk", "min_ess_tail")]
    verdict = "converged" if converged else "not converged"
    if all(isinstance(x, float) for x in measures):
        verdict += f": {', '.join(measures_in_words(*measures))}"
    return Outcome(task.path, task.out, facts.get("n_assets", 0), verdict=verdict, converged=converged)


def _lost(task: _Task, failure: Failure) -> Outcome:
    return Outcome(task.path, task.out, error=failure.message)

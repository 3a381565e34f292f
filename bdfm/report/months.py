"""Several months, each whole or not at all: on local processes or a cluster, errors of one left to it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from bdfm import _checks, _memory
from bdfm._workers import Failure, spread
from bdfm.errors import BdfmError, DataError
from bdfm.names import POSTERIOR_FILE
from bdfm.report.month import read_month, run_month
from bdfm.report.run_file import read_run_file

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
    """

    path: Path
    out: Path
    n_assets: int = 0
    seconds: float = 0.0
    verdict: str = ""
    converged: bool = False
    error: str = ""
    warnings: tuple[str, ...] = ()


class _Job(NamedTuple):
    """What the months share: whether they are checked alone, and the budget of each, in bytes."""

    check: bool
    memory: int | None


class _Task(NamedTuple):
    """A run file, the folder of its results, and the folder from whose posterior it starts."""

    path: Path
    out: Path
    source: Path | None = None


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
    of them (``warm_from``) waits for it.

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
        default. On a scheduler, of each month.
    on_done
        Called with each outcome as it comes.

    Raises
    ------
    DataError
        One file twice, two months with one folder of results, or a scheduler that is not there or went away.
    FileError
        A run file that is not there.
    """
    workers = _checks.at_least(workers, 1, what="workers", where="run")
    # Read alone: a run file that cannot be understood is an outcome of its own, not the end of the others.
    tasks = [_task(Path(p)) for p in paths]
    hint = "Give each month a file and a folder of its own."
    _checks.unique([f"{t.path.resolve()}" for t in tasks], what="run files", where="run", hint=hint)
    _checks.unique([f"{t.out.resolve()}" for t in tasks], what="folders of results", where="run", hint=hint)
    with _memory.within(memory, where="memory"):
        budget = _memory.budget()
    if scheduler is None and budget is not None:
        budget = max(_memory.LEAST, budget // min(workers, max(1, len(tasks))))
    job = _Job(check, None if scheduler is not None and memory is None else budget)
    where: dict[str, Any] = {"workers": workers, "scheduler": scheduler, "what": "run", "kept": KEPT}
    done: dict[Path, Outcome] = {}
    for wave in _waves(tasks):
        failed = {o.out.resolve(): o.path for o in done.values() if o.error}
        for task in tuple(wave):
            if task.source is None or task.source not in failed:
                continue
            wave.remove(task)
            why = f"not begun: it starts from the posterior of {failed[task.source]}, which failed"
            done[task.path] = Outcome(task.path, task.out, error=why)
            on_done(done[task.path])
        for outcome in spread(_outcome, job, wave, lost=_lost, **where):
            done[outcome.path] = outcome
            on_done(outcome)
    return [done[t.path] for t in tasks]


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
    source = None
    if run.warm_from is not None:
        given = path.parent / run.warm_from
        source = (given.parent if given.name == POSTERIOR_FILE else given).resolve()
    return _Task(path, path.parent / run.out, source)


def _waves(tasks: Sequence[_Task]) -> Iterator[list[_Task]]:
    """Tasks in groups, each of which may run at once; those that go on from others come after these."""
    left = list(tasks)
    while left:
        outs = {t.out.resolve(): t for t in left}
        ready = [t for t in left if t.source is None or outs.get(t.source, t) is t]
        if not ready:
            named = _checks.first(f"{t.path}" for t in left)
            raise DataError(f"run: {named} start from each other's posteriors (warm_from). Leave out one.")
        left = [t for t in left if t not in ready]
        yield ready


def _outcome(job: _Job, task: _Task) -> Outcome:
    """Outcome of one month; what goes wrong in it is in it."""
    begun = time.perf_counter()
    outcome = Outcome(task.path, task.out)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with _memory.within(job.memory):
                month = read_month(task.path)
                n_assets = len(month.panel.assets)
                if job.check:
                    outcome = outcome._replace(n_assets=n_assets, verdict="in order, nothing fitted")
                else:
                    diagnosis = run_month(month).posterior.diagnose()
                    outcome = outcome._replace(
                        n_assets=n_assets, verdict=diagnosis.verdict, converged=diagnosis.converged
                    )
        except BdfmError as error:
            outcome = outcome._replace(error=str(error))
        except Exception as error:  # a month that fails must not lose the others
            outcome = outcome._replace(error=f"{type(error).__name__}: {error}")
    told = tuple(dict.fromkeys(str(w.message) for w in caught))
    return outcome._replace(seconds=time.perf_counter() - begun, warnings=told)


def _lost(task: _Task, failure: Failure) -> Outcome:
    return Outcome(task.path, task.out, error=failure.message)

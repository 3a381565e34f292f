"""Work spread over local processes or a Dask cluster: pieces that are lost come back as failures."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

from bdfm._optional import optional
from bdfm.errors import DataError

log = logging.getLogger(__name__)

SCHEDULER_TIMEOUT: Final = "15s"  # to be reached
CLEANING: Final = 5.0  # seconds that a worker has to remove what is half made
SCATTERS: Final = 3  # tries to send data to workers, some of which may go, and to begin what a cluster lost

HUSHED: Final = (
    "distributed.client",
    "distributed.core",
    "distributed.comm",
    "tornado.application",
    "asyncio",
)


class Failure(NamedTuple):
    """What went wrong with a piece of work."""

    error: str
    message: str
    traceback: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """That of an exception which is being handled."""
        return cls(type(error).__name__, str(error), traceback.format_exc())


def spread[J, T, R](
    work: Callable[[J, T], R],
    job: J,
    items: Sequence[T],
    *,
    lost: Callable[[T, Failure], R],
    what: str,
    kept: str,
    workers: int = 1,
    scheduler: str | None = None,
) -> Iterator[R]:
    """Results of ``work(job, item)`` for all items, in the order in which they are done.

    Parameters
    ----------
    work
        Function of a module, so that other processes find it; what goes wrong in it is its own to catch.
    job
        What all items share; it is sent to each worker once.
    lost
        Result of an item that its worker did not carry through, such as one whose process was killed.
    what
        For messages: whose work it is.
    kept
        For messages: a sentence on what stays of work that a lost cluster ends, and on what to do.
    workers
        Local processes. With one, all runs in this process.
    scheduler
        Address of a Dask scheduler, whose workers do the work in the place of local ones.

    Raises
    ------
    DataError
        No such scheduler, or one that went away, or whose workers did.
    """
    if not items:
        return iter(())
    if scheduler is not None:
        return _on_dask(work, job, items, lost, what, kept, scheduler)
    if workers == 1:
        return (work(job, item) for item in items)
    return _on_processes(work, job, items, lost, min(workers, len(items)))


_task_of_process: tuple[Callable[[Any, Any], Any], Any] | None = None  # set once in each worker
_asked_to_end = threading.Event()  # by a signal, while at work
_at_work = False  # whether this process, a worker, has a piece of work in hand


def _start_process(work: Callable[[Any, Any], Any], job: Any) -> None:
    global _task_of_process
    _task_of_process = work, job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal's Ctrl-C the parent tells them in its way
    signal.signal(signal.SIGTERM, _end_work)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_work(number: int, _: object) -> None:
    """End the piece of work as after an error, so that it removes what is half made; then the process."""
    if not _at_work:
        os._exit(128 + number)
    _asked_to_end.set()
    raise SystemExit(128 + number)


def _end_with_parent() -> None:
    """End this process when its parent is killed, since nobody waits for its work then."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        if _asked_to_end.is_set():  # it asked before it went: what is half made is being removed
            time.sleep(CLEANING)
        os._exit(1)


def _run_in_process(item: Any) -> Any:
    if _task_of_process is None:
        raise RuntimeError("the worker was not started to do this work")
    global _at_work
    work, job = _task_of_process
    _at_work = True
    try:
        return work(job, item)
    except SystemExit as stop:  # the loop around this would take it for the work's error and go on
        os._exit(stop.code if isinstance(stop.code, int) else 1)
    finally:
        _at_work = False


def _pool(work: Callable[[Any, Any], Any], job: Any, workers: int) -> ProcessPoolExecutor:
    # Spawned, because forked processes inherit the locks of threads that are not there.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start_process, initargs=(work, job))


def _on_processes[J, T, R](
    work: Callable[[J, T], R], job: J, items: Sequence[T], lost: Callable[[T, Failure], R], workers: int
) -> Iterator[R]:
    left = list(items)
    pool = _pool(work, job, workers)
    try:
        waiting = {pool.submit(_run_in_process, item): item for item in items}
        for future in as_completed(waiting):
            result: R = future.result()
            left.remove(waiting[future])
            yield result
    except BrokenProcessPool:
        # A process was killed, as by the system when memory runs out, and nobody knows at which item.
        log.warning("a worker process died; the %d pieces of work left are done one at a time", len(left))
        yield from _one_at_a_time(work, job, left, lost)
    except BaseException:  # an interrupt, or whoever takes the results gave up
        _end(pool)
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _end(pool: ProcessPoolExecutor) -> None:
    """Ask the processes of a pool to leave their work."""
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        with suppress(OSError, ValueError):
            process.terminate()


def _one_at_a_time[J, T, R](
    work: Callable[[J, T], R], job: J, items: Sequence[T], lost: Callable[[T, Failure], R]
) -> Iterator[R]:
    """Items in one process after the other, so that the one that kills its process is known."""
    pool = _pool(work, job, 1)
    try:
        for item in items:
            try:
                yield pool.submit(_run_in_process, item).result()
            except BrokenProcessPool:
                message = "the worker process died, probably for lack of memory. Use fewer workers or draws."
                yield lost(item, Failure("BrokenProcessPool", message, ""))
                pool = _pool(work, job, 1)
    except BaseException:
        _end(pool)
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _on_dask[J, T, R](
    work: Callable[[J, T], R],
    job: J,
    items: Sequence[T],
    lost: Callable[[T, Failure], R],
    what: str,
    kept: str,
    scheduler: str,
) -> Iterator[R]:
    """Results as workers of a cluster give them; what the cluster loses is begun anew.

    When the scheduler goes, or every worker that has the data, Dask cancels all that is left. Where a round
    of work leads to nothing, one item alone is tried next: if it takes its workers along, it is lost.
    """
    distributed = optional("distributed", what=f"{what} with a scheduler")
    left, rounds, vain = list(items), 0, 0
    with _hushed():
        while left:
            with _client(distributed, scheduler, what, kept if rounds else "") as client:
                shared = _scattered(client, job, what, kept, scheduler)
                done = 0
                for item, result, final in _round(
                    distributed, client, work, shared, left[: 1 if vain else None]
                ):
                    if isinstance(result, Failure):
                        if not final and (not vain or client.status != "running"):
                            continue
                        result = lost(item, result)
                    left.remove(item)
                    done += 1
                    yield result
            rounds, vain = rounds + 1, 0 if done else vain + 1
            if vain >= SCATTERS:
                raise DataError(f"{what}: {_gone(scheduler)}. {kept}")


def _round[T](
    distributed: Any, client: Any, work: Callable[..., Any], shared: Any, items: Sequence[T]
) -> Iterator[tuple[T, Any, bool]]:
    """Each item with its result or a ``Failure``, and whether that is its own and not the cluster's."""
    try:
        # Not pure: what failed is tried again by the next call.
        futures = {client.submit(work, shared, item, pure=False): item for item in items}
    except CancelledError:  # the data are lost already
        return
    except Exception:
        if client.status == "running":
            raise
        return
    for future in distributed.as_completed(futures):
        result: Any
        try:
            result = future.result()
        except CancelledError:
            result = Failure("CancelledError", "its workers died, probably at it.", "")
        except Exception as error:  # the work's own is caught in it
            result = Failure.of(error)
        # What is done and cannot be fetched, since a connection broke, is none of its own.
        yield futures[future], result, future.status == "error"


def _client(distributed: Any, scheduler: str, what: str, kept: str) -> Any:
    """Client of a scheduler; ``kept`` tells what is, where there was one before."""
    try:
        return distributed.Client(scheduler, timeout=SCHEDULER_TIMEOUT)
    except (OSError, ValueError) as error:
        if kept:
            raise DataError(f"{what}: {_gone(scheduler)}. {kept}") from error
        raise DataError(
            f"{what}: no Dask scheduler at {scheduler} ({error}). Start one with `dask scheduler`."
        ) from error


def _gone(scheduler: str) -> str:
    return f"the Dask scheduler at {scheduler}, or all of its workers, went away in the middle of the work"


def _scattered(client: Any, job: object, what: str, kept: str, scheduler: str) -> Any:
    """What all items share, a copy on every worker: one may die, also while it is being sent."""
    tries = 1
    while True:
        try:
            return client.scatter(job, broadcast=True, hash=False)
        except Exception as error:  # of many kinds: a closed connection, no workers, one that lost its copy
            log.info("data could not be sent to the workers of %s: %s", scheduler, error)
            if tries == SCATTERS:
                raise DataError(
                    f"{what}: the data could not be sent to the workers of {scheduler}"
                    f" ({type(error).__name__}: {error}). See to it that it has workers. {kept}"
                ) from error
            tries += 1


@contextmanager
def _hushed() -> Iterator[None]:
    """Nothing from Dask's client within: it says at length, with tracebacks, what an error here says.

    Its loop does so too where the call that it works for is interrupted.
    """
    loggers = [logging.getLogger(name) for name in HUSHED]
    before = [x.level for x in loggers]
    for each in loggers:
        each.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for each, level in zip(loggers, before, strict=True):
            each.setLevel(level)

"""Work on threads, in pieces that do not depend on how many threads there are."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from threading import Thread


def cores() -> int:
    """Number of cores that this process may use."""
    return os.process_cpu_count() or 1


def each[*T](work: Callable[[*T], None], *arguments: Iterable[object]) -> None:
    """Do the work for each set of arguments; the first error is raised, after what has begun.

    NumPy lets go of the interpreter while it computes, so threads suffice. Results do not depend on the order
    in which pieces are done where each writes to its own part, and draws from its own generator.
    """
    for _ in in_order(work, *arguments):
        pass


def in_order[R](work: Callable[..., R], *arguments: Iterable[object]) -> Iterator[R]:
    """Results of the work for each set of arguments, in their order, few of them in memory at a time."""
    pieces = zip(*arguments, strict=True)
    if cores() == 1:
        yield from (work(*piece) for piece in pieces)
        return
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(max_workers=cores()) as pool:
        try:
            for piece in pieces:
                waiting.append(pool.submit(work, *piece))
                if len(waiting) > 2 * cores():
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def import_ahead(*modules: str) -> None:
    """Import modules that are needed later while this thread waits for compiled code.

    A module that cannot be imported says so where it is needed.
    """

    def work() -> None:
        with suppress(ImportError):
            for module in modules:
                import_module(module)

    Thread(target=work, name="imports").start()

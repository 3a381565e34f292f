"""Work on threads, in pieces that do not depend on how many threads there are."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from itertools import islice
from threading import Thread


def cores() -> int:
    """Number of cores that this process may use."""
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
    ahead = deque(islice(pieces, 2))
    alone = len(ahead) < 2  # threads would cost more than a small piece does

    def all_of_them() -> Iterator[tuple[object, ...]]:
        while ahead:  # let go of each: a piece may be large
            yield ahead.popleft()
        yield from pieces

    if alone or cores() == 1:
        yield from (work(*piece) for piece in all_of_them())
        return
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(max_workers=cores()) as pool:
        try:
            for piece in all_of_them():
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
        with suppress(Exception):
            for module in modules:
                import_module(module)

    Thread(target=work, name="imports").start()

"""A second process that compiles updates while this one does, where there is a second core.

Numba compiles on one core of a process at a time, and a first fit has twenty seconds of it. The second
process goes through the updates from the last to the first, this one from the first to the last, until they
meet. They tell each other what is done by the files of the cache alone; whatever becomes of the second
process, this one has compiled or loaded all in the end.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from bdfm import _threads
from bdfm.gibbs.compiling import address, signature
from bdfm.gibbs.data import make_data
from bdfm.gibbs.scratch import make_scratch
from bdfm.gibbs.spec import GibbsSpec
from bdfm.gibbs.state import start_state
from bdfm.gibbs.sweep import START, UPDATES, Update

_FEW: Final = 4  # updates that are compiled in less time than a process takes to start
_PROGRAM: Final = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer);"
    " from bdfm.gibbs.beside import compile_from_the_last; compile_from_the_last()"
)


class Beside:
    """Updates that a second process may have compiled; ``wait_for`` is called before each is asked for."""

    def __init__(self, missing: list[Update], process: subprocess.Popen[bytes] | None) -> None:
        self.missing, self.process = missing, process

    def wait_for(self, update: Update) -> None:
        """Wait while the other process is at work on this update: it is so where the next one is done."""
        if self.process is None or update not in self.missing or on_disk(update):
            return
        after = self.missing[self.missing.index(update) + 1 :]
        if after and on_disk(after[0]):
            self.process.wait()


@contextmanager
def compiling_beside(spec: GibbsSpec, sweep: Iterable[Update], *, cores: int) -> Iterator[Beside]:
    """Start the second process where several updates are not on disk yet; it ends with the block."""
    wanted = dict.fromkeys([*START, *sweep])  # in the order in which they are compiled here
    missing = [u for u in wanted if not on_disk(u)]
    process = None
    if len(missing) > _FEW and min(cores, _threads.cores()) > 1 and _is_python():
        process = _started(spec, [name for u in missing for name, x in UPDATES.items() if x is u])
    try:
        yield Beside(missing, process)
    finally:
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def on_disk(update: Any) -> bool:
    """Whether the cache has a compiled form of an update; True where there is no cache to look at."""
    folder = getattr(getattr(update, "_cache", None), "cache_path", None)
    if folder is None:
        return True
    function = update.py_func
    stem = Path(function.__code__.co_filename).stem
    return any(Path(folder).glob(f"{stem}.{function.__qualname__}-*.nbi"))


def compile_from_the_last() -> None:
    """Program of the second process: compile what standard input names, as long as it is not on disk."""
    spec, names = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    data, rng = make_data(spec), np.random.default_rng(0)
    _, state = start_state(spec, data, rng)
    types = signature(rng, data, state, make_scratch(data, state))
    for name in reversed(names):
        if on_disk(UPDATES[name]):
            return
        address(UPDATES[name], types)


def _end_with_the_first() -> None:
    """The first process holds the other end of standard input open for as long as it lives."""
    os.read(sys.stdin.fileno(), 1)  # past Python's buffer, whose lock would be held while this process ends
    os._exit(0)


def _is_python() -> bool:
    """Whether this is Python by itself, and no program that has it inside and would be started again."""
    return bool(sys.executable) and Path(sys.executable).stem.lower().startswith(("python", "pypy"))


def _started(spec: GibbsSpec, names: list[str]) -> subprocess.Popen[bytes] | None:
    """The second process at work; None where it cannot be had, which costs time and nothing else."""
    with suppress(OSError):
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdin is not None
        try:
            process.stdin.write(pickle.dumps(sys.path) + pickle.dumps((spec, names)))
            process.stdin.flush()
        except OSError:  # it has ended
            process.kill()
            process.wait()
            return None
        return process
    return None

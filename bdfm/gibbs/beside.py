"""A second process that compiles updates while this one does, where there is a second core.

Numba compiles on one core of a process at a time, and a first fit has twenty seconds of it. The second
process goes through the updates from the last to the first, this one from the first to the last, until they
meet. They tell each other what is done by the files of the cache alone; whatever becomes of the second
process, this one has compiled or loaded all in the end.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from bdfm import _threads
from bdfm.gibbs.compiling import address, signature
from bdfm.gibbs.data import make_data
from bdfm.gibbs.scratch import make_scratch
from bdfm.gibbs.spec import Effect, GibbsSpec, NoiseFamily
from bdfm.gibbs.state import start_state
from bdfm.gibbs.sweep import START, UPDATES, Update
from bdfm.gibbs.updates.noise import NORMAL

_PATIENCE: Final = 60.0  # seconds for one update, which takes three
_FEW: Final = 4  # updates that are compiled in less time than a process takes to start
_PROGRAM: Final = "from bdfm.gibbs.beside import compile_from_the_last; compile_from_the_last()"


class Beside:
    """Updates that a second process may have compiled; ``wait_for`` is called before each is asked for."""

    def __init__(self, missing: list[Update], process: subprocess.Popen[bytes] | None) -> None:
        self.missing, self.process = missing, process

    def wait_for(self, update: Update) -> None:
        """Wait while the other process is at work on this update: it is so where the next one is done."""
        if self.process is None or update not in self.missing or on_disk(update):
            return
        after = self.missing[self.missing.index(update) + 1 :]
        until = time.monotonic() + _PATIENCE
        while after and on_disk(after[0]) and not on_disk(update) and self.process.poll() is None:
            if time.monotonic() > until:
                self.process.kill()
            time.sleep(0.02)


@contextmanager
def compiling_beside(sweep: Iterable[Update], *, cores: int) -> Iterator[Beside]:
    """Start the second process where several updates are not on disk yet; it ends with the block."""
    wanted = dict.fromkeys([*START, *sweep])  # in the order in which they are compiled here
    missing = [u for u in wanted if not on_disk(u)]
    process = None
    alone = multiprocessing.parent_process() is None  # workers have others beside them that compile
    if alone and len(missing) > _FEW and min(cores, _threads.cores()) > 1 and _is_python():
        process = _started([name for u in missing for name, x in UPDATES.items() if x is u])
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
    """Program of the second process: compile the updates named, as long as they are not on disk."""
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    types = types_of_any()
    for name in reversed(sys.argv[1:]):
        if on_disk(UPDATES[name]):
            return
        address(UPDATES[name], types)


def types_of_any() -> tuple[Any, ...]:
    """Types of the arguments of an update, those of any specification (``tests/gibbs/test_beside.py``)."""
    nothing = np.zeros((3, 2))
    effects = (Effect("theta", np.ones_like(nothing), scale_sd=1.0),)
    return types_of(GibbsSpec(nothing, n_factors=1, log_volatility=effects, noise=NoiseFamily(NORMAL)))


def types_of(spec: GibbsSpec) -> tuple[Any, ...]:
    """Types of the arguments of an update, without a chain that is ready to go."""
    data, rng = make_data(spec), np.random.default_rng(0)
    _, state = start_state(spec, data, rng)
    return signature(rng, data, state, make_scratch(data, state))


def _end_with_the_first() -> None:
    """The first process holds the other end of standard input open for as long as it lives."""
    os.read(sys.stdin.fileno(), 1)  # past Python's buffer, whose lock would be held while this process ends
    os._exit(0)


def _is_python() -> bool:
    """Whether this is Python by itself, and no program that has it inside and would be started again."""
    return bool(sys.executable) and Path(sys.executable).stem.lower().startswith(("python", "pypy"))


def _started(names: list[str]) -> subprocess.Popen[bytes] | None:
    """The second process at work; None where it cannot be had, which costs time and nothing else."""
    with suppress(OSError):
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, *names],  # -P: no module of the folder where a user works
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    return None

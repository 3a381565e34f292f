"""A Dask cluster of processes that tests may kill, stop and start, and what they wait by."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bdfm.data.sources import demo

ROOT = Path(__file__).parents[1]


def write_tables(folder: Path, first: str, last: str) -> None:
    """Files of prices of six assets of the demo, and of their universe, small enough for many fits."""
    prices, universe = demo()
    members = universe.head(6)
    prices.loc[first:last, list(members["symbol"])].to_csv(folder / "prices.csv")
    members.to_csv(folder / "universe.csv", index=False)


class Cluster:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, *places: Path, preload: str = "", **settings: str) -> None:
        """``places`` are those of modules that workers need, ``preload`` one that they load first."""
        self.path = os.pathsep.join(str(p) for p in (*places, ROOT))
        self.preload = preload
        self.settings = {f"DASK_DISTRIBUTED__{name}": value for name, value in settings.items()}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.port, self.address = str(port), f"tcp://127.0.0.1:{port}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.begin()

    def begin(self) -> None:
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", self.port, "--no-dashboard"
        )
        self.workers = [self.add_worker() for _ in range(2)]

    def _start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            **self.settings,
            "PYTHONPATH": self.path,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{what}", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self.processes.append(process)
        return process

    def add_worker(self) -> subprocess.Popen[bytes]:
        options = ("--no-nanny", "--nthreads", "1", "--no-dashboard", "--death-timeout", "20")
        if self.preload:
            options = (*options, "--preload", self.preload)
        return self._start("worker", self.address, *options)

    def client(self) -> Any:
        from distributed import Client

        return Client(self.address, timeout=60)

    def ready(self, n: int) -> None:
        with self.client() as client:
            client.wait_for_workers(n, timeout=60)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def meanwhile(work: Callable[[], object]) -> Callable[[], Sequence[BaseException]]:
    """Do something on a thread, and tell of its errors."""
    told: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            told.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def join() -> Sequence[BaseException]:
        thread.join()
        return told

    return join


def until(holds: Callable[[], object], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def stopped(folder: Path, words: Sequence[str], at: Callable[[], object], number: int) -> tuple[int, str]:
    """Exit code and standard error of a command that gets a signal once something holds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bdfm", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: at() or process.poll() is not None)
        process.send_signal(number)
        _, told = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, told

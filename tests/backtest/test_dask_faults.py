"""A Dask cluster that loses workers while data are sent to it, or has two clients on one folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from forecasters import Naive, Slow

from bdfm import _workers
from bdfm.backtest import Run, walk_forward
from bdfm.errors import DataError

pytest.importorskip("distributed")
HERE = Path(__file__).parent
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # of Dask, whose processes are killed


def same(a: Run, b: Run) -> bool:
    assert len(a.results) == len(b.results) > 0
    content = [[x.assign_attrs(seconds=0.0) for x in run.results] for run in (a, b)]
    return all(x.identical(y) for x, y in zip(*content, strict=True))


class Cluster:
    """A scheduler and workers, each a process of its own."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"
        )
        self.workers = [self.add_worker() for _ in range(2)]

    def _start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])]),
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
        return self._start("worker", self.address, *options)

    def ready(self, n: int) -> None:
        from distributed import Client

        with Client(self.address, timeout=60) as client:
            client.wait_for_workers(n, timeout=60)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster():
    made = Cluster()
    try:
        made.ready(2)
        yield made
    finally:
        made.close()


def meanwhile(work):
    """Do something on a thread, and tell of its errors."""
    told: list[BaseException] = []

    def run():
        try:
            work()
        except BaseException as error:
            told.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def join():
        thread.join()
        return told

    return join


def test_a_worker_that_dies_while_data_are_sent(run, data, origins, tmp_path, cluster, monkeypatch):
    from distributed import Client

    scatter, tries = Client.scatter, []

    def killed_before(client, *args, **kwargs):
        tries.append(1)
        if len(tries) == 1:
            cluster.workers[0].kill()  # the scheduler does not know it yet
        return scatter(client, *args, **kwargs)

    monkeypatch.setattr(Client, "scatter", killed_before)
    found = walk_forward(Slow(seconds=0.0), data, origins, tmp_path / "run", scheduler=cluster.address)
    assert same(found, run)


def test_no_worker_is_there_to_send_data_to(data, origins, tmp_path, cluster, monkeypatch):
    import dask
    from distributed import Client

    scatter, tries = Client.scatter, []

    def counted(client, *args, **kwargs):
        tries.append(1)
        return scatter(client, *args, **kwargs)

    monkeypatch.setattr(Client, "scatter", counted)
    for worker in cluster.workers:
        worker.kill()
        worker.wait()
    with dask.config.set({"distributed.comm.timeouts.connect": "2s"}):
        with pytest.raises(DataError, match="could not be sent to the workers"):
            walk_forward(Slow(seconds=0.0), data, origins[:2], tmp_path / "run", scheduler=cluster.address)
    assert len(tries) == _workers.SCATTERS > 1


def test_two_clients_on_one_folder(run, data, origins, tmp_path, cluster):
    folder, found = tmp_path / "run", []

    def other():
        found.append(walk_forward(Slow(seconds=0.1), data, origins, folder, scheduler=cluster.address))

    join = meanwhile(other)
    mine = walk_forward(Slow(seconds=0.1), data, origins, folder, scheduler=cluster.address)
    assert not join()
    assert same(mine, run)
    assert same(found[0], run)
    assert same(walk_forward(Naive(), data, origins, tmp_path / "alone"), run)

"""A Dask cluster that loses its scheduler or workers, has one that stalls, or two clients on one folder.

Tests wait for files and processes, not for seconds: those here are bounds.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from dask_cluster import Cluster, meanwhile, stopped, until, write_tables
from forecasters import Naive, Slow, Stalling

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


@pytest.fixture
def cluster():
    made = Cluster(HERE)
    try:
        made.ready(2)
        yield made
    finally:
        made.close()


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


def contents(folder: Path) -> dict[str, bytes]:
    """Files by name, those with clocks left out."""
    found = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    clocks = ("seconds.jsonl", "summary.json", "report.html")
    return {k: p.read_bytes() for k, p in found.items() if p.name not in clocks}


@pytest.fixture
def words(tmp_path):
    """Words of a backtest of many origins."""
    write_tables(tmp_path, "2019", "2020")
    data = ["--prices", str(tmp_path / "prices.csv"), "--universe", str(tmp_path / "universe.csv")]
    span = ["--first", "2020-02-03", "--last", "2020-11-30", "--period-days", "1"]
    return ["backtest", "equal", *data, *span, "--out"]


def goes_on(bdfm_command, words, folder, left):
    """Hold what is left of a backtest, and the same command again, to one that nobody disturbs."""
    assert not [name for name in left if name.endswith((".failed.json", ".tmp"))]
    assert bdfm_command(*words, folder)[0] == 0
    assert bdfm_command(*words, folder.parent / "whole")[0] == 0
    whole = contents(folder.parent / "whole")
    assert contents(folder) == whole
    assert left.items() <= whole.items()
    assert 1 < len(left) < len(whole)


def test_a_scheduler_that_is_killed_in_a_backtest(cluster, tmp_path, words, bdfm_command, monkeypatch):
    monkeypatch.setattr(_workers, "SCHEDULER_TIMEOUT", "2s")
    folder = tmp_path / "runs"

    def kill():
        until(lambda: any(folder.rglob("*.npz")))
        cluster.scheduler.kill()

    join = meanwhile(kill)
    code, _, err = bdfm_command(*words, folder, "--scheduler", cluster.address)
    assert not join()
    assert code == 2
    assert err.count("Error: ") == 1
    assert "Traceback" not in err
    assert f"scheduler at {cluster.address}, or all of its workers, went away" in " ".join(err.split())
    assert "Finished origins are kept; the same call goes on from there" in " ".join(err.split())
    goes_on(bdfm_command, words, folder, contents(folder))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal(cluster, tmp_path, words, bdfm_command, number):
    folder = tmp_path / "runs"
    call = [*words, str(folder), "--scheduler", cluster.address]
    code, err = stopped(tmp_path, call, lambda: any(folder.rglob("*.npz")), number)
    assert code == 128 + number
    *before, last = err.splitlines()
    assert last.startswith("Stopped")
    assert all(line.startswith("Warning: ") for line in before)  # of the data: weekends are no periods
    goes_on(bdfm_command, words, folder, contents(folder))


def test_a_scheduler_that_comes_back_at_once(run, data, origins, tmp_path, cluster):
    def restart():
        until(lambda: any(tmp_path.rglob("*.npz")))
        for process in cluster.processes:
            process.kill()
            process.wait()
        cluster.begin()

    join = meanwhile(restart)
    found = walk_forward(Slow(seconds=0.3), data, origins, tmp_path / "run", scheduler=cluster.address)
    assert not join()
    assert same(found, run)
    assert not found.missing


def test_all_workers_die_and_others_come(run, data, origins, tmp_path, cluster):
    def renew():
        until(lambda: any(tmp_path.rglob("*.npz")))
        for worker in cluster.workers:
            worker.kill()
        cluster.add_worker()

    join = meanwhile(renew)
    found = walk_forward(Slow(seconds=0.3), data, origins, tmp_path / "run", scheduler=cluster.address)
    assert not join()
    assert same(found, run)


def test_a_worker_that_stalls_and_comes_back(run, data, origins, tmp_path):
    place, folder, day = tmp_path / "place", tmp_path / "run", f"{origins[1]:%Y-%m-%d}"
    place.mkdir()
    forecaster = Stalling(at=day, place=str(place))
    cluster = Cluster(HERE, SCHEDULER__WORKER_TTL="15s")
    stalled = []

    def stall():
        until((place / "at").exists)
        stalled.append(int((place / "at").read_text()))
        os.kill(stalled[0], signal.SIGSTOP)  # as a machine that sleeps

    try:
        cluster.ready(2)
        join = meanwhile(stall)
        found = walk_forward(forecaster, data, origins, folder, scheduler=cluster.address)
        assert not join()
        assert same(found, run)  # its work was done by the other
        before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
        (place / "go").touch()
        os.kill(stalled[0], signal.SIGCONT)
        worker = next(w for w in cluster.workers if w.pid == stalled[0])
        until(lambda: worker.poll() is not None)  # it finds that nobody waits for it
        assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before
    finally:
        (place / "go").touch()
        cluster.close()
    lines = (folder / "seconds.jsonl").read_text().splitlines()
    assert len(lines) == len(origins)  # each written once

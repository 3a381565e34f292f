"""Months on a Dask cluster that loses its scheduler or a worker, or has one that stalls: nothing is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from dask_cluster import Cluster, meanwhile, stopped, until, write_tables

from bdfm import _workers
from bdfm.ledger.ledger import Ledger

pytest.importorskip("distributed")
HERE = Path(__file__).parent
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # of Dask, whose processes are killed
RUN = """
seed = {seed}
n_draws = 2000
model = "m6"
out = "{ledger}/{seed}"
ledger = "{ledger}"
decision = false
outputs = ["submission", "posterior"]
[data]
prices = "prices.csv"
universe = "universe.csv"
origin = 2020-11-20
[sampler]
draws = {draws}
tune = 20
chains = 2
"""


@pytest.fixture
def months(tmp_path):
    """Write run files that enter months of other seeds in a ledger."""
    write_tables(tmp_path, "2017", "2020")

    def write(ledger: str, n: int, draws: int = 20) -> list[Path]:
        (tmp_path / ledger).mkdir()
        paths = [tmp_path / f"{ledger}-{k}.toml" for k in range(n)]
        for k, path in enumerate(paths):
            path.write_text(RUN.format(seed=k, ledger=ledger, draws=draws))
        return paths

    return write


@pytest.fixture
def faults(tmp_path, monkeypatch):
    """Folder whose files say what workers suffer; they find it by their environment."""
    place = tmp_path / "faults"
    place.mkdir()
    monkeypatch.setenv("BDFM_FAULTS", str(place))
    return place


@pytest.fixture
def cluster(faults):
    """Two workers with the faults; one that stalls is given up after 15 seconds."""
    made = Cluster(HERE, preload="month_faults", SCHEDULER__WORKER_TTL="15s")
    try:
        made.ready(2)
        yield made
    finally:
        (faults / "go").touch()
        made.close()


def results(ledger: Path) -> dict[str, bytes]:
    """Draws and probabilities of all months of a ledger."""
    wanted = ("forecast.nc", "posterior.nc", "submission.csv")
    return {p.relative_to(ledger).as_posix(): p.read_bytes() for p in ledger.rglob("*") if p.name in wanted}


def hidden(ledger: Path) -> list[Path]:
    return [p for p in ledger.rglob("*") if p.name.startswith(".bdfm-")]


def same_as_undisturbed(bdfm_command, months, ledger: Path, n: int, draws: int = 20) -> None:
    """Hold all results, and the index, to those of a run in one process that nobody disturbs."""
    assert bdfm_command("run", *months("whole", n, draws))[0] == 0
    whole = ledger.parent / "whole"
    found = results(ledger)
    assert len(found) == 3 * n
    assert found == results(whole)
    entries = [Ledger.open(x).entries() for x in (ledger, whole)]
    seals = [{e.folder: e.seal for e in x} for x in entries]
    assert seals[0] == seals[1]
    assert len(entries[0]) == n


def test_a_scheduler_that_is_killed(months, cluster, tmp_path, bdfm_command, monkeypatch):
    monkeypatch.setattr(_workers, "SCHEDULER_TIMEOUT", "2s")
    ledger, files = tmp_path / "ledger", months("ledger", 6, 600)

    def kill():
        until(lambda: any(ledger.glob("*/forecast.nc")))
        cluster.scheduler.kill()

    join = meanwhile(kill)
    code, out, err = bdfm_command("run", *files, "--scheduler", cluster.address)
    assert not join()
    said = " ".join(err.split())
    assert code == 2
    assert err.count("Error: ") == 1
    assert "Traceback" not in err
    assert f"run: the Dask scheduler at {cluster.address}, or all of its workers, went away" in said
    assert "Months that are done are kept" in said
    assert len(said) < 2000
    until(lambda: all(w.poll() is not None for w in cluster.workers))  # they finish what they have in hand
    done = {p.parent.name for p in ledger.glob("*/forecast.nc")}
    assert 0 < len(done) < len(files)
    assert out.count(": done in ") <= len(done)
    left = results(ledger)
    code, out, err = bdfm_command("run", *files)  # those that are done are refused, and left as they are
    assert code == 2
    assert err.count("holds a month already") == len(done)
    assert f"{len(files) - len(done)} of {len(files)} months are done" in out
    assert left.items() <= results(ledger).items()
    assert not hidden(ledger)
    same_as_undisturbed(bdfm_command, months, ledger, len(files), 600)


def test_a_worker_that_dies_after_it_entered_its_month(months, cluster, faults, tmp_path, bdfm_command):
    (faults / "dies").touch()
    code, out, err = bdfm_command("run", *months("ledger", 3), "--scheduler", cluster.address)
    assert len([w for w in cluster.workers if w.poll() is not None]) == 1
    assert (code, "failed" in err) == (0, False), err
    assert "3 of 3 months are done" in out
    same_as_undisturbed(bdfm_command, months, tmp_path / "ledger", 3)


def test_a_worker_that_stalls_while_it_holds_the_folder(months, cluster, faults, tmp_path, bdfm_command):
    (faults / "stalls").touch()
    stalled = []

    def stall():
        until(lambda: any(faults.glob("stalls.*")))
        stalled.append(int(next(faults.glob("stalls.*")).suffix[1:]))
        os.kill(stalled[0], signal.SIGSTOP)  # as a machine that sleeps
        until((faults / "waits").exists)  # the other, which was given its month
        (faults / "go").touch()
        os.kill(stalled[0], signal.SIGCONT)

    join = meanwhile(stall)
    code, out, err = bdfm_command("run", *months("ledger", 3), "--scheduler", cluster.address)
    assert not join()
    assert (code, "failed" in err) == (0, False), err
    assert "3 of 3 months are done" in out
    same_as_undisturbed(bdfm_command, months, tmp_path / "ledger", 3)
    assert not hidden(tmp_path / "ledger")


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (
            signal.SIGINT,
            "Stopped. Months that are done are kept; the others may still be finished by workers",
        ),
        (signal.SIGTERM, "Stopped from outside."),
    ],
)
def test_a_signal(months, cluster, tmp_path, bdfm_command, number, told):
    ledger, files = tmp_path / "ledger", [p.name for p in months("ledger", 5, 600)]
    words = ["run", *files, "--scheduler", cluster.address]
    code, err = stopped(tmp_path, words, lambda: any(ledger.glob("*/forecast.nc")), number)
    assert code == 128 + number
    assert " ".join(err.split()).startswith(told)
    assert "Traceback" not in err
    assert err.count("\n") == 1
    with cluster.client() as client:  # what workers have in hand they finish, and begin no other
        until(lambda: not any(client.call_stack().values()))
    done = len([*ledger.glob("*/forecast.nc")])
    assert 0 < done < len(files)
    code, _, err = bdfm_command("run", *(tmp_path / f for f in files), "--workers", "2")
    assert (code, err.count("holds a month already")) == (2, done)
    same_as_undisturbed(bdfm_command, months, ledger, len(files), 600)

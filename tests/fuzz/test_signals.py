"""Stopped commands: files whole or as they were, nothing left for long, the same results in the end.

The fast test takes a sample of the table of commands, signals and moments, the long one two rows more of it;
the slow one takes all of it, and
``python tests/fuzz/signal_table.py`` writes it down.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from few import few

if not Path("/proc/self/stat").exists():
    pytest.skip("processes are watched by /proc", allow_module_level=True)

import fuzz_world as world
import stopped

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SAMPLE = {
    "view": [("SIGKILL", 1.0), ("SIGTERM", 0.5)],
    "decide": [("SIGKILL", 1.0), ("SIGINT", 0.8)],
    "roll": [("SIGKILL", 1.0)],
    "run, ledger": [("SIGKILL", 0.9)],
    "backtest, resumed": [("SIGKILL", 0.6), ("SIGINT", 0.3)],
    "track": [("SIGINT twice", 1.0)],
}


@pytest.mark.parametrize("name", few(SAMPLE, {*SAMPLE} - {"run, ledger", "backtest, resumed"}))
def test_a_stopped_command_leaves_all_whole_and_ends_the_same(name, base, tmp_path):
    whole = stopped.undisturbed(base, tmp_path / "whole", name)
    assert whole.ended.steps > 1
    for number, (stop, share) in enumerate(SAMPLE[name]):
        moment = ("step", max(1.0, round(share * whole.ended.steps)))
        folder = tmp_path / str(number)
        found, where = stopped.stopped(base, folder, name, whole, stop, moment)
        assert not found, found
        assert where == "stopped"
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", stopped.COMMANDS)
def test_the_whole_table(name, base, tmp_path):
    table = stopped.row(base, tmp_path, name, n_clock=5, n_steps=5)
    assert not [x for cell in table.values() for x in cell.found]
    assert all(cell.trials == 10 for cell in table.values())


@pytest.mark.long
def test_two_at_once_into_one_ledger_are_both_entered(base, tmp_path):
    folder = tmp_path / "x"
    stopped.prepare(base, folder)
    children = [stopped.Child(folder, ["run", f"{name}.toml"]) for name in ("second", "third")]
    ended = [c.wait() for c in children]
    assert [e.code for e in ended] == [0, 0], ended
    found = stopped.state(folder)
    assert all(f"'{place}'".encode() in found["ledger/ledger.sqlite"] for place in ("two", "three"))
    assert not stopped.left_over(found)


@pytest.mark.parametrize(
    "name", few(["run, ledger", "backtest", "view", "roll"], ("backtest", "view", "roll"))
)
def test_two_at_once_into_one_place(name, base, tmp_path):
    whole = stopped.undisturbed(base, tmp_path / "whole", name)
    folder = tmp_path / "both"
    stopped.prepare(base, folder)
    children = [stopped.Child(folder, stopped.words_of(name)) for _ in range(2)]
    ended = [c.wait() for c in children]
    assert {e.code for e in ended} <= {0, 2}, ended
    assert 0 in {e.code for e in ended}, ended
    found = stopped.state(folder)
    assert not stopped.left_over(found)
    if name == "view":  # each has its own file
        assert [e.code for e in ended] == [0, 0]
        assert found["out/forecast_1.nc"] == found.pop("out/forecast_2.nc")
    assert found == whole.after


@pytest.mark.long
def test_a_month_that_another_run_entered_meanwhile_stays(base, tmp_path):
    folder = tmp_path / "x"
    stopped.prepare(base, folder)
    third = (folder / "third.toml").read_text()
    (folder / "third.toml").write_text(third.replace("ledger/three", "ledger/two"))
    children = [stopped.Child(folder, ["run", f"{name}.toml"]) for name in ("second", "third")]
    ended = sorted((c.wait() for c in children), key=lambda e: e.code)
    assert [e.code for e in ended] == [0, 2], ended
    again = stopped.Child(folder, ["track", "ledger", "--prices", "prices.csv"]).wait()
    assert again.code == 0, again


def _turn_into_nobody():
    import webbrowser  # noqa: F401  # of Plotly: nobody may not be allowed to read the libraries

    import plotly.io  # noqa: F401

    os.setuid(65534)


READ_ONLY = {
    name: words
    for name, words in stopped.COMMANDS.items()
    if name not in ("run, ledger", "run, several", "forecast, again", "demo")
}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs a user to turn into")
@pytest.mark.parametrize("name", READ_ONLY)
def test_a_read_only_folder_is_told_before_the_work(name, base):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "x"
        stopped.prepare(base, folder)
        before = stopped.state(folder)
        os.chmod(place, 0o755)
        for path in (folder, *folder.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o555 if path.is_dir() else 0o444)
        child = stopped.Child(folder, stopped.words_of(name), before=_turn_into_nobody)
        ended = child.wait()
        assert ended.code == 2, ended
        assert ended.text.count("Error: ") == 1, ended
        assert "no permission to write there" in " ".join(ended.text.split()), ended
        assert "Sampling" not in ended.text
        assert stopped.state(folder) == before


READS = {
    "score": "score --submission submission.csv --prices prices.csv"
    f" --origin {world.ORIGIN} --end {world.END}",
    "check": "check --prices prices.csv",
    "risk": "risk --prices prices.csv --portfolio book.csv --model statistical",
    "stress": "stress --prices prices.csv --portfolio book.csv --model statistical --loss 0.1",
    "compare": "compare runs",
}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs a user to turn into")
@pytest.mark.parametrize("name", READS)
def test_what_only_reads_needs_no_folder_to_write_to(name, base):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "x"
        stopped.prepare(base, folder)
        os.chmod(place, 0o755)
        for path in (folder, *folder.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o555 if path.is_dir() else 0o444)
        ended = stopped.Child(folder, READS[name].split(), before=_turn_into_nobody).wait()
        assert ended.code in (0, 1 if name == "check" else 0), ended

"""Work on other processes: what a process takes with it when it dies is told, and no more is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bdfm._workers import spread

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("how", [{}, {"workers": 2}, {"scheduler": "tcp://127.0.0.1:9"}])
def test_no_work_is_no_error(how):
    assert list(spread(dies_at_two, None, [], lost=lambda i, f: i, what="run", kept="", **how)) == []


def dies_at_two(job, item):
    if item == 2:
        os._exit(1)
    return item


def test_a_worker_that_dies_loses_its_own_piece_alone():
    lost = {}
    found = spread(
        dies_at_two, None, [1, 2, 3], lost=lambda i, f: lost.setdefault(i, f), what="run", kept="", workers=2
    )
    done = list(found)
    assert sorted(x for x in done if isinstance(x, int)) == [1, 3]
    assert [*lost] == [2]
    assert "lack of memory" in lost[2].message


def says_and_sleeps(folder, item):
    """Leave a file with the number of this process while it works, as what is half made."""
    own = Path(folder) / f"{item}"
    try:
        own.with_suffix(".new").write_text(str(os.getpid()))
        own.with_suffix(".new").replace(own)
        time.sleep(120)
    finally:
        own.unlink()
    return item


def runs(number: int) -> bool:
    """Whether a process is at work: one that has ended may wait for its parent to ask."""
    try:
        return "Z" not in Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def within(seconds: float, holds) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not holds():
        time.sleep(0.05)
    return holds()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the processes of Linux")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_process_that_started_them(tmp_path, number):
    """Killed, it can tell them nothing; interrupted, they remove what is half made."""
    code = (
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in a background
        "from bdfm._workers import spread\nfrom tests.test_workers import says_and_sleeps\n"
        f"how = dict(lost=print, what='run', kept='', workers=2)\n"
        f"list(spread(says_and_sleeps, {str(tmp_path)!r}, [1, 2], **how))"
    )
    begin = [sys.executable, "-c", f"if __name__ == '__main__':\n exec({code!r})"]
    with subprocess.Popen(begin, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=-3) as parent:
        assert within(60, lambda: {x.name for x in tmp_path.iterdir()} == {"1", "2"})
        workers = [int((tmp_path / name).read_text()) for name in ("1", "2")]
        assert all(map(runs, workers))
        parent.send_signal(number)
        assert within(20, lambda: not any(map(runs, workers)))
    if number == signal.SIGINT:
        assert not list(tmp_path.iterdir())

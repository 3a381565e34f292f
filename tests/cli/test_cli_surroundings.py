"""What lies around a command: its streams, variables of the environment, settings of libraries."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from few import few

from bdfm.cli import app
from bdfm.forecast.forecast import Forecast

DAYS = [f"2022-03-{day:02d}" for day in (4, 7, 8, 9, 10, 11)]


@pytest.fixture
def folder(tmp_path):
    closes = [f"{day},{100 + k},{100 - k}" for k, day in enumerate(DAYS)]
    (tmp_path / "prices.csv").write_text("\n".join(["date,A,B", *closes]))
    rows = [f"{name},0.2,0.2,0.2,0.2,0.2,{weight}" for name, weight in (("A", 0.2), ("B", -0.1))]
    (tmp_path / "submission.csv").write_text("\n".join(["ID,Rank1,Rank2,Rank3,Rank4,Rank5,Decision", *rows]))
    return tmp_path


SCORE = "score --submission submission.csv --prices prices.csv --origin 2022-03-04 --end 2022-03-11"


def shell(folder, line, **variables):
    """A command as a shell runs it: ``bdfm`` in the line is this package's."""
    line = line.replace("bdfm", f"'{sys.executable}' -m bdfm", 1)
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | variables
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def program(folder, code):
    """A program of one's own, in a process of its own."""
    (folder / "program.py").write_text(code)
    return shell(folder, f"'{sys.executable}' program.py")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full here")
@pytest.mark.parametrize("command", few([SCORE, f"{SCORE} --json", "models", "--help"], (SCORE, "--help")))
def test_output_that_cannot_be_written_is_one_message(folder, command):
    done = shell(folder, f"bdfm {command} > /dev/full")
    assert done.returncode == 2
    assert done.stderr.count("Error: ") == 1
    assert "output: it cannot be written (No space left on device)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", few([f"{SCORE} --json", SCORE], (SCORE,)))
def test_whoever_stops_reading_is_no_error(folder, command):
    done = shell(folder, f"bdfm {command} | true")
    assert done.stderr.replace("read: ", "").count("Error") == 0
    assert "Exception ignored" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", few([">&-", "<&-", "2>&-", "<&- >&- 2>&-"], ("<&- >&- 2>&-",)))
def test_closed_streams(folder, closed):
    assert shell(folder, f"bdfm {SCORE} {closed}").returncode == 0


@pytest.mark.long
def test_settings_of_pictures_in_the_folder_are_not_a_commands(folder):
    """They may run LaTeX, ask for a window, or for pictures that fill the disk."""
    command = "check --prices prices.csv --out"
    plain = shell(folder, f"bdfm {command} plain")
    rc = "backend: Nonsense\ntext.usetex: True\nsavefig.dpi: 3000\nfont.size: 300\nfigure.facecolor: red\n"
    (folder / "matplotlibrc").write_text(rc)
    found = shell(folder, f"bdfm {command} odd", MPLBACKEND="Nonsense")
    assert found.returncode == plain.returncode
    assert (folder / "odd" / "coverage.png").read_bytes() == (folder / "plain" / "coverage.png").read_bytes()


@pytest.mark.parametrize("form", ["no text", "pipe"])
def test_settings_of_pictures_that_cannot_be_read_are_told_first(folder, form):
    """The library reads them while it is imported, which may be after the fit."""
    if form == "pipe":
        os.mkfifo(folder / "matplotlibrc")
    else:
        (folder / "matplotlibrc").write_bytes(b"font.size: 300 # \xff\n")
    done = shell(folder, "timeout 60 bdfm check --prices prices.csv --out new")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: matplotlibrc: ")
    assert not (folder / "new").exists()


def test_an_interrupt_before_the_command_runs(folder):
    """While options are made of signatures, which takes a tenth of a second."""
    code = (
        "import os, signal, sys, typer.main\n"
        "from bdfm.cli import app\n"
        "made = typer.main.get_command\n"
        "def interrupted(*given):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return made(*given)\n"
        "typer.main.get_command = interrupted\n"
        "sys.argv = ['bdfm', 'models']\n"
        "app.main()\n"
    )
    done = program(folder, code)
    assert done.returncode == 130
    assert done.stderr == "Stopped before it began.\n"


@pytest.mark.parametrize("number", ["0", "-3"])
def test_no_threads(folder, number):
    done = shell(folder, f"bdfm {SCORE}", NUMBA_NUM_THREADS=number)
    assert done.returncode == 2
    assert f"NUMBA_NUM_THREADS: {number} is no number of threads" in done.stderr


@pytest.mark.parametrize("number", ["+-5", "--1", "many", "1.5", "9" * 5000])
def test_what_is_no_number_of_threads(folder, number):
    """Or a longer one than Python reads."""
    done = shell(folder, "bdfm models", NUMBA_NUM_THREADS=number)
    assert done.returncode == 2
    assert "is no number of threads. Give 1 or more, or unset it." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", few(["", " ", "2", "+2", " 2 "], ("+2",)))
def test_a_number_of_threads(folder, number):
    assert shell(folder, "bdfm models", NUMBA_NUM_THREADS=number).returncode == 0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer here")
def test_an_interrupt_while_output_waits_for_its_reader():
    """The command is done, and its last words do not fit into the pipe."""
    code = (
        "import os, signal, sys\n"
        "from bdfm.cli import app\n"
        "def done():\n"
        "    os.set_blocking(1, False)\n"
        "    try:\n"
        "        while True:\n"
        "            os.write(1, b'x' * 4096)\n"
        "    except BlockingIOError:\n"
        "        os.set_blocking(1, True)\n"
        "    sys.stdout.write('the end')\n"
        "    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))\n"
        "    signal.setitimer(signal.ITIMER_REAL, 0.2)\n"
        "app._program = lambda: done\n"
        "app.main()\n"
    )
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": ""}
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], env=env, stdout=pipe, stderr=pipe) as process:
        try:
            assert process.wait(30) == 130
        finally:
            process.kill()
        told = process.stderr.read()
    assert told == b"Stopped while its output was read. What it wrote to files is whole.\n"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ECHILD, errno.ENOTCONN, errno.ENOMEM, None])
def test_only_what_a_write_raises_is_told_of_the_output(monkeypatch, capsys, number):
    def failing():
        raise OSError(number, "something else") if number else OSError("something else")

    monkeypatch.setattr(app, "_program", lambda: failing)
    with pytest.raises(OSError, match="something else"):
        app.main()
    assert "output" not in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("held", ["held", "held.me = held"], ids=["once", "in a circle"])
def test_what_complains_while_a_stopped_command_is_taken_down_is_silent(folder, number, held):
    """As a file does that was half open: its frame lives as long as the error that ends the command."""
    code = (
        "import os, sys, time\n"
        "from bdfm.cli import app\n"
        "class File:\n"
        "    def __del__(self):\n"
        "        raise OSError('half open')\n"
        "def work():\n"
        "    held = File()\n"
        f"    {held}\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    time.sleep(10)\n"
        "app._program = lambda: work\n"
        "app.main()\n"
    )
    done = program(folder, code)
    assert done.returncode == 128 + number
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Stopped ")


def test_what_complains_in_a_command_that_is_not_stopped_is_told(folder):
    code = (
        "from bdfm.cli import app\n"
        "class File:\n"
        "    def __del__(self):\n"
        "        raise OSError('half open')\n"
        "app._program = lambda: lambda: File() and None\n"
        "app.main()\n"
    )
    done = program(folder, code)
    assert done.returncode == 0
    assert "half open" in done.stderr


def test_an_interrupt_after_the_command_has_ended(folder):
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background ignores it
        "from bdfm import __main__\n"
        "from bdfm.cli import app\n"
        "app.main = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "__main__.main()\n"
    )
    done = program(folder, code)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_that_a_library_turns_into_another_error_is_a_stop(folder, number):
    """HDF5's locks are of compiled code, which has its own word for an error in an odd place."""
    code = (
        "import os, sys, time\n"
        "from bdfm.cli import app\n"
        "from bdfm.errors import FileError\n"
        "def work():\n"
        "    try:\n"
        f"        os.kill(os.getpid(), {int(number)})\n"
        "        time.sleep(10)\n"
        "    except BaseException:\n"
        "        raise FileError('x: its content is none that bdfm writes (SystemError)') from None\n"
        "app._program = lambda: work\n"
        "app.main()\n"
    )
    done = program(folder, code)
    assert done.returncode == 128 + number
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Stopped ")


@pytest.mark.parametrize("columns", few(["0", "00", "1", "-5", "abc"], ("1",)))
def test_any_width_of_a_terminal(folder, columns):
    done = shell(folder, "bdfm models", COLUMNS=columns)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout) > (100 if columns == "1" else 500)


@pytest.mark.long
def test_a_file_larger_than_the_memory(folder):
    with open(folder / "large.csv", "wb") as file:
        file.truncate(2**43)  # no bytes of the disk
    done = shell(folder, "bdfm check --prices large.csv")
    assert done.returncode == 2
    assert "Error: prices: large.csv has 8796.1 GB, and " in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_working_folder_that_is_gone(folder):
    """Relative paths lead nowhere then, whatever a library makes of it."""
    made(folder / "f.nc")
    gone = "mkdir gone && cd gone && rmdir ../gone"
    done = shell(folder, f"{gone} && bdfm edit '{folder}/f.nc' 'zero A' --out v.nc")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert done.stderr.splitlines()[-1].startswith("Error: the working folder is gone. ")


def made(path):
    """File of a small forecast."""
    draws = np.random.default_rng(1).normal(0, 0.05, (50, 2))
    days = {"origin": "2022-02-04", "end": "2022-03-04"}
    Forecast.from_draws(draws, assets=["A", "B"], asset_class=["x", "x"], **days).save(path)


def test_words_that_the_terminal_does_not_read(folder):
    """A file may be called so; a view may not, and a library stumbled over it."""
    plain = {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    done = shell(folder, "bdfm view f.nc --constraint 'Ü = 2%'", **plain)
    assert done.returncode == 2
    assert r"--constraint: '\udcc3\udc9c = 2%' is no text in the encoding" in " ".join(done.stderr.split())
    done = shell(folder, f"bdfm {SCORE.replace('prices.csv', 'Ü.csv')}", **plain)
    assert "does not exist" in done.stderr


@pytest.mark.parametrize("error", [MemoryError(), pa.ArrowMemoryError("malloc of size 12 failed")])
def test_a_lack_of_memory_is_told_as_such(folder, error, monkeypatch, capfd):
    """Neither a damaged file nor a traceback, where a library reads it."""

    def fail(*_, **__):
        raise error

    (folder / "p.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(pd, "read_parquet", fail)
    made(folder / "f.nc")
    monkeypatch.setattr(h5py, "File", fail)
    for words in (("check", "--prices", folder / "p.parquet"), ("edit", folder / "f.nc", "zero A")):
        monkeypatch.setattr(sys, "argv", ["bdfm", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            app.main()
        assert stop.value.code == 2
        assert capfd.readouterr().err.startswith("Error: memory: there is less than this needs. ")

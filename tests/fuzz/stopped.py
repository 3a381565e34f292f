"""Commands that are stopped by signals: at which moment, what is left, and what the same command makes of it.

A command runs in a forked process of its own, as a user's would: its signals, its exit code, its streams are
real. Moments are of two kinds: shares of the processor time that the command needs undisturbed, and steps at
which it is about to change the file system (an audit hook of Python sees each) or the index of a ledger.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import shutil
import signal
import sqlite3
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fuzz_world as world

from bdfm._folders import file_in
from bdfm.cli import app

STOPS = {
    "SIGKILL": (signal.SIGKILL,),
    "SIGTERM": (signal.SIGTERM,),
    "SIGINT": (signal.SIGINT,),
    "SIGINT twice": (signal.SIGINT, signal.SIGINT),
}
CHANGES = {"os.rename", "os.link", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "sqlite3.connect"}
TABLES = "--prices prices.csv --universe universe.csv"
# Long or writing commands, by name; each leaves what it writes in the folder where it runs.
COMMANDS = {
    "forecast": f"forecast {TABLES} --origin {world.ORIGIN} --out new",
    "forecast, again": f"forecast {TABLES} --origin {world.ORIGIN} --seed 5 --out out",
    "run": "run month.toml",
    "run, ledger": "run second.toml",
    "run, several": "run second.toml third.toml",
    "demo": "demo --out new",
    "view": "view out --constraint A=1%",
    "edit": "edit out zero~B",
    "decide": "decide out --submission sub.csv --out new.nc",
    "report": "report out --excel",
    "roll": f"roll month.toml --origin {world.NEXT} --drop all",
    "track": "track ledger --prices prices.csv",
    "backtest": f"backtest equal historical {TABLES} --first 2021-01-08 --last 2021-05-14 --out new",
    "backtest, resumed": f"backtest equal ewma-t {TABLES} --first 2020-12-11 --last 2021-05-14 --out runs",
    "compare": "compare runs --out new.html",
    "risk": "risk --prices prices.csv --portfolio book.csv --model statistical --out new",
    "stress": "stress --prices prices.csv --portfolio book.csv --model statistical --loss 0.1 --out new",
    "check": "check --prices prices.csv --out new",
    "exposures": "exposures --prices prices.csv --factors factors.csv --unit decimal"
    " --method constant --method rolling --window-days 100 --out new",
}
CLOCKS = ("seconds", "entered", "seconds_by_stage")


def words_of(name: str) -> list[str]:
    return [w.replace("~", " ") for w in COMMANDS[name].split()]


def prepare(base: Path, folder: Path) -> None:
    """Copy of the world with two run files that write into its ledger."""
    shutil.copytree(base, folder, symlinks=True)
    for name, seed, place in (("second", 4, "two"), ("third", 5, "three")):
        text = world.MONTH.replace("seed = 3", f'seed = {seed}\nout = "ledger/{place}"\nledger = "ledger"')
        (folder / f"{name}.toml").write_text(text)


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, or minus a signal; what it printed; steps it made; CPU seconds."""

    code: int
    text: str
    steps: int
    seconds: float


class Child:
    """A command in a process of its own, which may send itself signals at a step."""

    def __init__(
        self,
        folder: Path,
        words: Sequence[str],
        *,
        signals: Sequence[int] = (),
        step: int = 0,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self.log, self.count = folder.with_name(f"{folder.name}.log"), folder.with_name(f"{folder.name}.n")
        self.log, self.count = self._free(self.log), self._free(self.count)
        self.begun = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads of a test runner are at rest
            self.pid = os.fork()
        if self.pid == 0:
            self._work(folder, words, tuple(signals), step, before)

    @staticmethod
    def _free(path: Path) -> Path:
        while path.exists():
            path = path.with_name(path.name + "x")
        path.touch()
        return path

    def _work(
        self, folder: Path, words: Sequence[str], signals: tuple[int, ...], step: int, before: Any
    ) -> None:
        code = 1
        try:
            for each in (signal.SIGINT, signal.SIGTERM):
                signal.signal(each, signal.SIG_DFL if each == signal.SIGTERM else signal.default_int_handler)
            output = os.open(self.log, os.O_WRONLY | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            faulthandler.enable(output)  # says where it was, if it does not end
            sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # the process's own
            sys.stderr = open(2, "w", encoding="utf-8", closefd=False)
            os.chdir(folder)
            self._count_steps(signals, step)
            before()
            sys.argv = ["bdfm", *words]
            warnings.resetwarnings()
            warnings.simplefilter("ignore")
            app.main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _count_steps(self, signals: tuple[int, ...], at: int) -> None:
        counter = os.open(self.count, os.O_WRONLY | os.O_APPEND)
        made = 0

        def step(*, in_sqlite: bool = False) -> None:
            nonlocal made
            made += 1
            os.write(counter, b".")
            # Handlers run between two lines of Python: none is inside SQLite.
            if made == at and not (in_sqlite and signals[0] != signal.SIGKILL):
                for each in signals:
                    os.kill(os.getpid(), each)

        place = os.getcwd()

        def inside(name: Any) -> bool:
            """Whether a file is the command's: caches of compiled code are written by the first run alone."""
            return isinstance(name, int) or os.path.abspath(os.fsdecode(name)).startswith(place)

        def hook(event: str, args: tuple[Any, ...]) -> None:
            writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
            if (writes or event in CHANGES) and inside(args[0]):
                step()

        sys.addaudithook(hook)
        connect = sqlite3.connect

        def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            index = connect(*args, **kwargs)
            index.set_trace_callback(lambda _: step(in_sqlite=True))
            return index

        sqlite3.connect = traced  # this process ends with the command

    def seconds(self) -> float:
        """CPU seconds used so far."""
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop_at(self, seconds: float, signals: Sequence[int]) -> None:
        """Send signals once so much processor time was used, or when it has ended."""
        while self.seconds() < seconds and not self._over():
            time.sleep(0.002)
        for each in signals:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, each)
            time.sleep(0.005)

    def _over(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self, limit: float = 300.0) -> Ended:
        """How it ended; one that does not end is killed, which no invariant allows."""
        while not self._over():
            if time.monotonic() - self.begun > limit:
                used = self.seconds()
                os.kill(self.pid, signal.SIGABRT)
                os.waitpid(self.pid, 0)
                told = self.log.read_text(errors="replace")[-4000:]
                return Ended(-999, f"no end after {limit} s, {used:.1f} s of CPU\n{told}", 0, 0.0)
            time.sleep(0.002)
        _, status, usage = os.wait4(self.pid, 0)
        ended = Ended(
            os.waitstatus_to_exitcode(status),
            self.log.read_text(errors="replace"),
            self.count.stat().st_size,
            usage.ru_utime + usage.ru_stime,
        )
        self.log.unlink()
        self.count.unlink()
        return ended


def _without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_clocks(x) for k, x in value.items() if k not in CLOCKS}
    return [_without_clocks(x) for x in value] if isinstance(value, list) else value


def state(folder: Path) -> dict[str, bytes | None]:
    """What is in a folder, clocks left out: bytes by path, rows of a ledger, None for folders."""
    found = dict(world.contents(folder))
    for path, data in found.items():
        if data is None:
            continue
        if path.endswith("seconds.jsonl"):
            found[path] = b""
        elif path.endswith(".json"):
            found[path] = json.dumps(_without_clocks(json.loads(data))).encode()
        elif path.endswith(".sqlite"):
            with contextlib.closing(sqlite3.connect(folder / path)) as index:
                assert index.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                rows: list[Any] = []
                if index.execute("SELECT name FROM sqlite_master WHERE name = 'months'").fetchone():
                    months = index.execute("SELECT folder, origin, run, changes, decision, seal FROM months")
                    rows = sorted(months.fetchall())
                found[path] = "\n".join(map(repr, rows)).encode()
    # An index without entries is as good as none: the next look makes it.
    empty = {k for k, v in found.items() if k.endswith(".sqlite") and not v}
    return {k: v for k, v in found.items() if k not in empty and not k.endswith("-journal")}


def left_over(found: dict[str, bytes | None]) -> list[str]:
    return [k for k in found if any(p.startswith(".bdfm-") for p in Path(k).parts) or k.endswith(".tmp")]


def visible(found: dict[str, bytes | None]) -> dict[str, bytes | None]:
    """Without what a killed process left hidden."""
    hidden = set(left_over(found))
    return {k: v for k, v in found.items() if k not in hidden}


@dataclass(frozen=True)
class Undisturbed:
    """What a command finds, makes, and needs when nobody stops it."""

    before: dict[str, bytes | None]
    after: dict[str, bytes | None]
    ended: Ended


def undisturbed(base: Path, folder: Path, name: str) -> Undisturbed:
    prepare(base, folder)
    before = state(folder)
    ended = Child(folder, words_of(name)).wait()
    assert ended.code in (0, 1 if name == "check" else 0), ended
    return Undisturbed(before, state(folder), ended)


def moments(whole: Undisturbed, n_clock: int, n_steps: int) -> list[tuple[str, float]]:
    """Shares of the time, and steps spread over all; more of the time where a command has fewer steps."""
    steps = {1 + round(k * (whole.ended.steps - 1) / max(1, n_steps - 1)) for k in range(n_steps)}
    n_clock += n_steps - len(steps)
    shares = [("clock", whole.ended.seconds * (k + 1) / (n_clock + 1)) for k in range(n_clock)]
    return shares + [("step", float(s)) for s in sorted(steps)]


def stopped(
    base: Path, folder: Path, name: str, whole: Undisturbed, stop: str, moment: tuple[str, float]
) -> tuple[list[str], str]:
    """What does not hold after a stop at a moment, empty where all does; and where it was stopped."""
    prepare(base, folder)
    kind, at = moment
    signals = STOPS[stop]
    if kind == "step":
        child = Child(folder, words_of(name), signals=signals, step=int(at))
    else:
        child = Child(folder, words_of(name))
        child.stop_at(at, signals)
    ended = child.wait()
    number = signals[0]
    done = {0, 1} if name == "check" else {0}
    found = []
    if ended.code not in {-number if number == signal.SIGKILL else 128 + number, *done}:
        found.append(f"exit code {ended.code}: {ended.text[-3000:]}")
    if "Traceback" in ended.text or "Exception ignored" in ended.text:
        found.append(f"a traceback: {ended.text[-3000:]}")
    if len(ended.text) > 20_000:
        found.append(f"a message of {len(ended.text)} characters")
    left = state(folder)
    mixed = name in SEVERAL or (number == signal.SIGKILL and _settles(folder, whole))
    found += _not_whole(whole, left, several=mixed)
    if number != signal.SIGKILL and len(signals) == 1 and left_over(left):
        found.append(f"left over after {stop}: {left_over(left)}")
    where = "ended" if ended.code in done else "stopped"
    found += [f"then {x}" for x in _next_run(folder, name, whole, left)]
    return [f"{name}, {stop} at {kind} {at:g}: {x}" for x in found], where


SEVERAL = {
    "decide",
    "report",
    "backtest",
    "backtest, resumed",
    "run, several",
    "run, ledger",
    "track",
}  # results of which each is whole


def _settles(folder: Path, whole: Undisturbed) -> bool:
    """Whether who reads a folder of results that a killed run left finds all of the run, hidden as it was."""
    copy = folder.with_name("settled")
    shutil.copytree(folder, copy, symlinks=True)
    for path in copy.rglob(".bdfm-????????"):
        file_in(path.parent, "forecast.nc")
    found = state(copy)
    shutil.rmtree(copy)
    return found == whole.after


def _not_whole(whole: Undisturbed, left: dict[str, bytes | None], *, several: bool) -> list[str]:
    """Files that are neither as before nor as after, and results of which a part alone is there."""
    found, seen = [], visible(left)
    old = new = 0
    for path in sorted(whole.before.keys() | whole.after.keys() | seen.keys()):
        now, was, becomes = (x.get(path, b"-") for x in (seen, whole.before, whole.after))
        if path.endswith(".sqlite") and now and becomes and {*now.splitlines()} <= {*becomes.splitlines()}:
            continue  # whole, and entries that lack are entered by the next look
        if now not in (was, becomes):
            found.append(f"{path} is neither as before nor as after")
        elif was != becomes and None not in (was, becomes):
            old, new = old + (now == was), new + (now == becomes)
    if old and new and not several:
        found.append(f"{new} files are new, {old} are not")
    return found


def _next_run(folder: Path, name: str, whole: Undisturbed, left: dict[str, bytes | None]) -> list[str]:
    """What does not hold after the same command again, undisturbed."""
    if visible(left) == whole.after and not left_over(left):
        return []
    for path in left_over(left):  # files of a killed process are young for a minute
        with contextlib.suppress(FileNotFoundError):
            os.utime(folder / path, (1e9, 1e9))
    complete = visible(left) == whole.after
    ended = Child(folder, words_of(name)).wait()
    again = state(folder)
    found = [f"left over: {left_over(again)}"] if left_over(again) else []
    if complete:  # the same command may make another file, or say that it is there
        return found
    there = ended.code == 2 and "holds a month already" in " ".join(ended.text.split())
    if ended.code not in {0, whole.ended.code} and not there:  # a ledger's months are never made again
        found.append(f"exit code {ended.code}: {ended.text[-2000:]}")
    differ = sorted(k for k in again.keys() | whole.after.keys() if again.get(k) != whole.after.get(k))
    lines = {k: [*map(bytes.splitlines, (again.get(k) or b"", whole.after.get(k) or b""))] for k in differ}
    # A look at a ledger also enters months that were there before.
    differ = [k for k in differ if not (k.endswith(".sqlite") and {*lines[k][0]} >= {*lines[k][1]})]
    return found + ([f"other results: {differ}"] if differ else [])


@dataclass(frozen=True)
class Cell:
    """Trials of a command and a kind of stop: how many, how many held, and what did not hold."""

    trials: int
    held: int
    found: tuple[str, ...]


def row(base: Path, place: Path, name: str, *, n_clock: int, n_steps: int) -> dict[str, Cell]:
    """All kinds of stops of a command, each at so many moments."""
    whole = undisturbed(base, place / "whole", name)
    shutil.rmtree(place / "whole")
    table = {}
    for stop in STOPS:
        found: list[str] = []
        held = trials = 0
        for moment in moments(whole, n_clock, n_steps):
            folder = place / "trial"
            said, _ = stopped(base, folder, name, whole, stop, moment)
            shutil.rmtree(folder)
            trials, held, found = trials + 1, held + (not said), found + said
        table[stop] = Cell(trials, held, tuple(found))
    return table

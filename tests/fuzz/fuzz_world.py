"""Where fuzzed commands run: a folder with all files of a small month, and what must hold afterwards."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
import os
import shutil
import signal
import sys
import time
import tomllib
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import typer
from matplotlib.figure import Figure
from short_runs import replace_fits, short_runs

from bdfm import _netcdf, _sealed
from bdfm.cli import app
from bdfm.errors import ModelError
from bdfm.forecast.forecast import Forecast
from bdfm.inference.engine import choose
from bdfm.inference.settings import SamplerSettings
from bdfm.posterior.posterior import Posterior
from bdfm.risk.base import RiskModel

ORIGIN, END, NEXT = "2021-05-14", "2021-06-11", "2021-06-11"
SYMBOLS = tuple("ABCDEF")
LONGEST = 2000  # characters of a message
COMPILING = 1800.0  # seconds in which the first of all fits is through, on a busy machine too
MAX_SECONDS = 20.0  # CPU seconds of a command; the slowest, a fit and its page, take two
CODES = {"check": {0, 1, 2}, "track": {0, 2, 3}}  # of the others: 0 and 2

MONTH = f"""
seed = 3
n_draws = 200
[data]
origin = "{ORIGIN}"
prices = "prices.csv"
universe = "universe.csv"
[sampler]
draws = 10
tune = 10
chains = 2
[[edits]]
kind = "shift"
asset = "A"
by = 0.01
[[views]]
kind = "absolute"
asset = "B"
mean = 0.01
semantics = "constraint"
[decision]
method = "equal"
"""
MODEL = """
name = "own"
n_factors = 2
[loadings]
kind = "static"
[noise]
kind = "normal"
[[log_volatility]]
kind = "intercept"
[[log_volatility]]
kind = "recent_volatility"
[weights]
kind = "half_life"
half_life_periods = 52.0
"""


def short_fits(set_attribute: Callable[[object, str, object], None]) -> None:
    """Fits of ten draws by the Gibbs sampler; NUTS, which compiles for a minute, ends as a fit may end."""
    short_runs(set_attribute, draws=10, predictive=200)
    set_attribute(
        typer.main, "get_command", functools.cache(typer.main.get_command)
    )  # made of texts each time
    set_attribute(Figure, "savefig", _blank(Figure.savefig))  # what pictures show is tested elsewhere
    set_attribute(os, "fsync", lambda _: None)  # no power is lost here, and disks may be busy

    def no_nuts(short):
        def fit(model, panel, *, settings=None, **others):
            if choose(settings or SamplerSettings(), model) == "nuts":
                raise ModelError("fuzz: NUTS is left out.")
            return short(model, panel, settings=settings, **others)

        return fit

    replace_fits(set_attribute, no_nuts)


def _blank(save: Callable[..., None]) -> Callable[..., None]:
    """A picture is made and saved, and not drawn."""

    def blank(_: Figure, where: object, **how: object) -> None:
        save(Figure(figsize=(1, 1)), where, **how | {"dpi": 10})

    return blank


def make_world(folder: Path) -> None:
    """Write the files, and fit once: forecast, posterior, a ledger of one month, two backtests."""
    rng = np.random.default_rng(1)
    days = pd.bdate_range("2019-02-01", "2021-06-30", name="date")
    market, own = rng.standard_t(5, size=(len(days), 1)), rng.standard_t(5, size=(len(days), 6))
    logs = (0.008 * market * np.linspace(0.5, 1.5, 6) + 0.008 * own).cumsum(axis=0)
    prices = pd.DataFrame(np.linspace(20, 200, 6) * np.exp(logs), days, list(SYMBOLS)).round(3)
    prices.to_csv(folder / "prices.csv")
    classes = ["stock"] * 4 + ["etf"] * 2
    tables = {
        "universe": {"symbol": SYMBOLS, "asset_class": classes},
        "book": {"symbol": SYMBOLS[:3], "weight": [0.3, 0.3, 0.4]},
        "sectors": {"symbol": SYMBOLS, "sector": ["x", "x", "y", "y", "x", "y"]},
        "earnings": {"symbol": ["A", "B", "A", "C"], "date": [*days[[100, 300, 400, 600]].astype(str)]},
        "aliases": {"old": ["AA"], "new": ["A"]},
    }
    for name, table in tables.items():
        pd.DataFrame(table).to_csv(folder / f"{name}.csv", index=False)
    pd.DataFrame(0.008 * np.hstack([market, own[:, :1]]), days, ["Mkt-RF", "SMB"]).round(5).to_csv(
        folder / "factors.csv"
    )
    pd.DataFrame(0.2 + 0.05 * rng.random((len(days), 6)), days, list(SYMBOLS)).round(4).to_csv(
        folder / "volatility.csv"
    )
    (folder / "month.toml").write_text(MONTH)
    (folder / "model.toml").write_text(MODEL)
    statements = MONTH[MONTH.index("[[edits]]") : MONTH.index("[decision]")]
    (folder / "changes.toml").write_text(statements)
    (folder / "link").symlink_to("nowhere")
    with contextlib.chdir(folder):
        for words in (
            f"forecast --prices prices.csv --universe universe.csv --origin {ORIGIN} --out out --keep-draws",
            f"forecast --prices prices.csv --universe universe.csv --origin {ORIGIN} --out ledger/one",
            *(
                f"backtest {name} --prices prices.csv --universe universe.csv --first 2021-02-05"
                " --last 2021-05-14 --out runs"
                for name in ("equal", "ewma-t")
            ),
        ):
            done = command(words.split(), limit=COMPILING)
            assert done.code == 0, done
    shutil.copy(folder / "out" / "submission.csv", folder / "submission.csv")
    run = folder / "ledger" / "one" / "run.toml"
    run.write_text('ledger = ".."\n' + run.read_text())  # or its results were made for no ledger


class Place:
    """A copy of the folder, ``case`` below a parent of its own, that is put back as it was made.

    Cases one after the other share it: to copy and to remove thirty files takes longer than most commands.
    """

    def __init__(self, base: Path, parent: Path) -> None:
        self.folder = parent / "case"
        shutil.copytree(base, self.folder, symlinks=True)
        self.made = contents(parent)

    def put_back(self) -> None:
        """Remove what is new, and write again what is another."""
        link = self.folder / "link"
        assert os.readlink(link) == "nowhere"  # a command writes where it points to, and leaves it
        parent, now = self.folder.parent, contents(self.folder.parent)
        for name in sorted(now, reverse=True):  # what is in a folder before it
            kept = name in self.made and (now[name] is None) == (self.made[name] is None)
            if not kept:
                (parent / name).unlink() if now[name] is not None else (parent / name).rmdir()
        for name, data in self.made.items():
            if data is None:
                (parent / name).mkdir(parents=True, exist_ok=True)
            elif now.get(name) != data:
                (parent / name).unlink(missing_ok=True)  # with its rights
                (parent / name).write_bytes(data)
        if not link.is_symlink():  # it was a file as long as it pointed to one
            link.symlink_to("nowhere")


@dataclass(frozen=True)
class Done:
    """What a command did."""

    words: tuple[str, ...]
    code: int | None
    out: str
    err: str
    seconds: float
    crash: str = ""


class TooLongError(BaseException):
    """Raised where a command does not end."""


@contextlib.contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooLongError(f"no end after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _stream() -> io.TextIOWrapper:
    """What a user's terminal is to a command: strict UTF-8."""
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8")


def _shown(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode()  # type: ignore[attr-defined]


def command(words: list[str], *, limit: float = 6 * MAX_SECONDS) -> Done:
    """Run ``bdfm WORDS`` in this process as a user would, and say what came of it; an end after ``limit``."""
    out, err = _stream(), _stream()
    argv, term, begun = sys.argv, signal.getsignal(signal.SIGTERM), time.process_time()
    sys.argv = ["bdfm", *words]
    code, crash = None, ""
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
            _bounded(limit),
        ):
            warnings.resetwarnings()
            warnings.simplefilter("ignore")  # what a library mutters shows no user; ours are switched on
            try:
                app.main()
                code = 0
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
            except BaseException:
                crash = traceback.format_exc()
    finally:
        sys.argv = argv
        signal.signal(signal.SIGTERM, term)
    return Done(tuple(words), code, _shown(out), _shown(err), time.process_time() - begun, crash)


def contents(folder: Path) -> dict[str, bytes | None]:
    """Bytes of each file below a folder, by its path; None for folders."""
    found: dict[str, bytes | None] = {}
    left = [""]
    while left:
        inside = left.pop()
        with os.scandir(os.path.join(folder, inside)) as entries:
            for entry in entries:
                name = os.path.join(inside, entry.name)
                if entry.is_dir():
                    found[name] = None
                    left.append(name)
                elif entry.is_file():  # no link to nowhere
                    with open(entry.path, "rb") as file:
                        found[name] = file.read()
    return found


def faults(
    done: Done,
    folder: Path,
    before: dict[str, bytes | None],
    after: dict[str, bytes | None] | None = None,
) -> list[str]:
    """What does not hold after a command that found ``before`` in a folder and left ``after``."""
    if done.crash:
        return [f"crash: {done.crash}"]
    found = []
    allowed = CODES.get(done.words[0] if done.words else "", {0, 2})
    if done.code not in allowed:
        found.append(f"exit code {done.code}")
    if done.seconds > MAX_SECONDS:
        found.append(f"{done.seconds:.1f} CPU seconds")
    if "Traceback (most recent call last)" in done.out + done.err:
        found.append("a traceback is shown")
    warned = [x for x in done.err.splitlines() if x.startswith("Warning: ")]
    said = "\n".join(x for x in done.err.splitlines() if not x.startswith("Warning: "))
    found += [f"a warning of {len(w)} characters" for w in warned if len(w) > LONGEST]
    if len(said) > LONGEST:
        found.append(f"a message of {len(said)} characters")
    several = done.words[:1] == ("run",) and ": failed: " in said  # each of several months has its own line
    if done.code == 2 and not several and "Error: " not in said and done.words[:1] != ("check",):
        found.append(f"no message: {said!r}")
    if said.count("Error: ") > 1 and not several:
        found.append("more than one message")
    after = contents(folder) if after is None else after
    for path, data in after.items():
        if Path(path).name.startswith(".bdfm-") or path.endswith(".tmp"):
            found.append(f"left over: {path}")
        elif data is not None and before.get(path) != data:
            found += [f"{path}: {x}" for x in unsound(folder / path)]
    changed = {p for p in before.keys() | after.keys() if before.get(p, b"-") != after.get(p, b"-")}
    keeps = done.words[:1] == ("backtest",) or several or done.words[:1] == ("track",)
    if done.code == 2 and not keeps and changed:
        found.append(f"failed, and changed {sorted(changed)}")
    return found


def unsound(path: Path) -> list[str]:
    """What is wrong with a file that a command wrote: cut off, not readable, or sums that are wrong."""
    try:
        if path.read_bytes()[:15].lower() == b"<!doctype html>":  # a page, whatever it is called
            return [] if b"</html>" in path.read_bytes()[-200:] else ["cut off"]
        if path.suffix == ".nc" or path.read_bytes()[:4] == b"\x89HDF":  # whatever it is called
            return _unsound_nc(path)
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".toml":
            tomllib.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".html":
            if "</html>" not in path.read_text(encoding="utf-8")[-200:]:
                return ["cut off"]
        elif path.suffix == ".csv":
            rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
            if rows[0][:2] == ["ID", "Rank1"]:
                sums = [sum(map(float, row[1:6])) for row in rows[1:]]
                if not sums or max(abs(x - 1) for x in sums) > 1e-9:
                    return [f"ranks sum to {sums}"]
        elif path.stat().st_size == 0:
            return ["empty"]
    except Exception as error:
        return [f"cannot be read: {error!r}"]
    return []


_read: dict[tuple[bytes, bytes], Forecast] = {}


def forecast_of(path: Path) -> Forecast:
    """Forecast of a file, which two look at one after the other: read once, with the posterior beside it."""
    beside = path.with_name("posterior.nc")
    key = path.read_bytes(), beside.read_bytes() if beside.is_file() else b""
    if key not in _read:
        found = Forecast.load(path)
        _read.clear()
        _read[key] = found
    return _read[key]


def _unsound_nc(path: Path) -> list[str]:
    if path.name.startswith("exposures"):
        return []
    kind = _netcdf.read_dataset(io.BytesIO(path.read_bytes())).attrs[_sealed.KIND]
    for known, read in (("posterior", Posterior.load), ("risk_model", RiskModel.load)):
        if kind == known:
            read(path)
            return []
    forecast = forecast_of(path)
    probabilities = forecast.quantile_probabilities(5).to_numpy()
    if not np.isfinite(probabilities).all() or (probabilities < -1e-12).any():
        return [f"probabilities {probabilities}"]
    worst = max(np.abs(probabilities.sum(axis=k) - t).max() for k, t in ((1, 1), (0, len(probabilities) / 5)))
    if worst > 1e-6:
        return [f"probabilities miss their sums by {worst:g}"]
    if not np.isfinite(forecast.draws.to_numpy()).all():
        return ["draws that are not finite"]
    return []

"""The ledger: a folder of months with an index, in which nothing is ever changed."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import tomllib
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pandas as pd

from bdfm import _checks, _files, _json, _made, _sealed
from bdfm._folders import settle_each
from bdfm._reading import PACKAGE
from bdfm.errors import DataError, DataWarning, FileError
from bdfm.forecast.forecast import Forecast
from bdfm.names import ASSET, FORECAST_FILE, LEDGER_FILE, MADE_FILE, RUN_FILE, SUMMARY_FILE
from bdfm.portfolio.decisions import Decision

_WAIT: Final = 60.0  # seconds that one waits for another who enters at the same time
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS months (
    number INTEGER PRIMARY KEY AUTOINCREMENT, entered TEXT NOT NULL, folder TEXT NOT NULL UNIQUE,
    origin TEXT NOT NULL, end TEXT NOT NULL, model TEXT NOT NULL, run TEXT NOT NULL, changes TEXT NOT NULL,
    decision TEXT NOT NULL, knew TEXT NOT NULL, seal TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS judged (seal TEXT PRIMARY KEY, found TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS no_change BEFORE UPDATE ON months
    BEGIN SELECT RAISE(ABORT, 'an entry of a ledger is never changed'); END;
CREATE TRIGGER IF NOT EXISTS no_removal BEFORE DELETE ON months
    BEGIN SELECT RAISE(ABORT, 'an entry of a ledger is never removed'); END;
"""

# In the order of the fields of ``Entry``
_ENTRIES: Final = (
    "SELECT number, entered, folder, origin, end, model, run, changes, decision, knew, seal FROM months"
    " ORDER BY number"
)


@dataclass(frozen=True)
class Entry:
    """One month of a ledger.

    Attributes
    ----------
    number, entered
        Position from 1, and time (UTC).
    folder
        Folder of the results, relative to the ledger's.
    origin, end
        Day of the forecast, and last day of its span.
    model
        Name of the model.
    run
        Text of the run file; empty where there was none.
    changes, decision, knew
        JSON: records of edits and views; the decision or null; seed, versions, data files with their sums.
    seal
        SHA-256 of the forecast's file, by which a later change is noticed.
    """

    number: int
    entered: str
    folder: str
    origin: str
    end: str
    model: str
    run: str
    changes: str
    decision: str
    knew: str
    seal: str


@dataclass(frozen=True)
class Ledger:
    """A folder of months, each a folder of results of ``bdfm run``, and their index beside them.

    The index is one SQLite file, without a server. A month is entered from its folder, in one transaction,
    after its files are complete: who is killed leaves a whole ledger, and the next look enters what is there.
    """

    path: Path

    @classmethod
    def open(cls, folder: str | Path) -> Ledger:
        """Ledger of a folder, with all months in it entered; its index is made with the first of them.

        Months are results whose run file names a ledger; others are entered by ``enter`` alone.

        Raises
        ------
        FileError
            The folder or its index cannot be read or written, or a month in it is damaged.

        Warns
        -----
        DataWarning
            A folder that is not entered: it holds a part of a month alone, a copy of one, or results of no
            ledger.
        """
        ledger = cls(_checks.path_of(folder, what="ledger"))
        _checks.existing_folder(ledger.path, what="ledger", hint="Give the one that holds the months.")
        settle_each(ledger.path)
        known = {e.folder for e in ledger.entries()}
        found = sorted(f.parent for f in ledger.path.glob(f"*/{FORECAST_FILE}"))
        new = {m: _meant(m) for m in found if m.name not in known and os.path.isfile(m / SUMMARY_FILE)}
        for month in _originals_first([m for m, meant in new.items() if meant]):
            entry = ledger.enter(month)
            if entry.folder != month.name:
                file = ledger.path / entry.folder / FORECAST_FILE
                _warn(
                    f"{month} holds the forecast of the month {entry.folder}, and is left out as its copy."
                    " Keep copies elsewhere"
                    if _sum_of(file) == entry.seal
                    else f"{month} holds the forecast that was entered as {entry.folder}, whose file is"
                    f" another now. Copy {month / FORECAST_FILE} over {file}, and keep copies elsewhere"
                )
        _warn_of_parts(ledger.path, known)
        for month in (m for m, meant in new.items() if not meant and ledger.entries()):
            _warn(
                f"the results in {month} are left out, since their run file names no ledger. Enter them by"
                " Ledger.enter in Python, or move them elsewhere"
            )
        return ledger

    def enter(self, month: str | Path) -> Entry:
        """Enter the results in a folder of the ledger; the same results twice are one entry.

        A copy of a month that is still there gives the entry of that month.

        Raises
        ------
        DataError
            The folder is not inside the ledger's, or was entered with another forecast.
        FileError
            A file of the results is missing or damaged.
        """
        month = _checks.path_of(month, what="month")
        if month.resolve().parent != self.path.resolve():
            raise DataError(f"ledger: {month} does not lie in {self.path}. Let the run write there (out).")
        seal = _sum_of(month / FORECAST_FILE)
        row = _row(month)
        with self._index() as index:
            index.execute("BEGIN IMMEDIATE")  # nobody enters the same forecast from another folder meanwhile
            every = [Entry(*x) for x in index.execute(_ENTRIES).fetchall()]
            for known in (e for e in every if e.seal == seal and e.folder != month.name):
                if os.path.isfile(self.path / known.folder / FORECAST_FILE):
                    return known
            index.execute(
                f"INSERT OR IGNORE INTO months (entered, folder, {', '.join(row)}, seal) VALUES (?, ?,"
                f" {', '.join('?' * len(row))}, ?)",
                (f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", month.name, *row.values(), seal),
            )
        entry = next(e for e in self.entries() if e.folder == month.name)
        if entry.seal != seal:
            raise DataError(
                f"ledger: {month} was entered on {entry.entered} with another forecast. Nothing in a ledger"
                " is written over: put the new results into a folder of their own."
            )
        return entry

    def entries(self) -> list[Entry]:
        """All entries, oldest first; none where no index is made yet."""
        if not os.path.lexists(self.path / LEDGER_FILE):
            return []
        with self._index() as index:
            rows = index.execute(_ENTRIES).fetchall()
        return [Entry(*row) for row in rows]

    def table(self) -> pd.DataFrame:
        """One row for each entry: number, entered, folder, origin, end, model, edits, views, decision."""
        rows = []
        for e in self.entries():
            kinds = [r["kind"] for r in json.loads(e.changes)]
            decision = json.loads(e.decision)
            row: dict[str, Any] = {
                k: getattr(e, k) for k in ("number", "entered", "folder", "origin", "end", "model")
            }
            row["views"] = kinds.count("view")
            row["edits"] = len([k for k in kinds if k not in ("view", "pool", "evidence")])
            row["decision"] = Decision.name_in(decision)
            rows.append(row)
        return pd.DataFrame(rows).set_index("number") if rows else pd.DataFrame()

    def forecast(self, entry: Entry) -> Forecast:
        """Forecast of an entry, as it was entered; raises as ``check`` does."""
        return Forecast.load(self.check(entry))

    def assets(self, entry: Entry) -> tuple[str, ...]:
        """Assets of an entry's forecast, whose draws are not made for it; raises as ``check`` does."""
        labels = _sealed.load_dataset(self.check(entry), kind="forecast")[ASSET]
        return tuple(map(str, labels.values.tolist()))

    def check(self, entry: Entry) -> Path:
        """File of an entry's forecast, as it was entered.

        Raises ``DataError`` where it is another one now, ``FileError`` where it is gone or damaged.
        """
        file = self.path / entry.folder / FORECAST_FILE
        if not os.path.lexists(file):
            raise FileError(
                f"ledger: {file} is gone, of the month that was entered on {entry.entered}. Restore it from a"
                f" copy. If the month shall not count any more, move {self.path / LEDGER_FILE} away, and keep"
                " it: the next look makes an index of the months that are there, as entered on that day;"
                " the old one alone proves since when they are there and that nobody changed them."
            )
        if _sum_of(file) != entry.seal:
            raise DataError(
                f"ledger: {file} is not the forecast that was entered on {entry.entered}. Restore it; a later"
                " forecast belongs into a folder of its own."
            )
        return file

    def judged(self, entry: Entry) -> str | None:
        """What was found of an entry's month when it was judged last (``bdfm.ledger.judge``)."""
        with self._index() as index:
            row = index.execute("SELECT found FROM judged WHERE seal = ?", (entry.seal,)).fetchone()
        return None if row is None else str(row[0])

    def keep_judged(self, entry: Entry, found: str) -> None:
        """Keep what was found of an entry's month: no part of the record, it can be found again."""
        with self._index() as index:
            index.execute("INSERT OR REPLACE INTO judged VALUES (?, ?)", (entry.seal, found))

    @contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        """Connection to the index, committed where nothing is raised."""
        if _checks.there(self.path / LEDGER_FILE):
            _checks.existing_file(self.path / LEDGER_FILE, what="ledger")
        try:
            index = sqlite3.connect(self.path / LEDGER_FILE, timeout=_WAIT)
            try:
                with index:
                    index.executescript(_SCHEMA)
                with index:
                    yield index
            finally:
                index.close()
        except sqlite3.Error as error:
            if not os.access(self.path, os.W_OK):  # SQLite tells no reason
                denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
                raise _files.write_error(self.path / LEDGER_FILE, denied) from error
            raise FileError(
                f"ledger: its index {self.path / LEDGER_FILE} cannot be used ({error}). The months beside it"
                " are whole. Restore it from a copy. Without the file, the next look makes an index of them,"
                " as they are and as entered on that day: their dates and seals of before are lost."
            ) from error


class ThereError(FileError):
    """A folder that holds a month of a ledger."""


def check_free(folder: Path, *, ledger: Path | None = None, instead: str = "Give another folder.") -> None:
    """Raise ``ThereError`` where a forecast written into a folder would replace a month of a ledger.

    Parameters
    ----------
    folder
        Where the forecast goes. A month is what the ledger around it has entered, or would enter.
    ledger
        The one that the forecast is made for: then nothing that has its place is replaced, entered or not.
    instead
        What to do, for the message.
    """
    if not os.path.exists(folder / FORECAST_FILE):
        return
    around = folder.resolve().parent if ledger is None else ledger
    book = Ledger(around)
    entered = {e.folder for e in book.entries()}
    if ledger is None:
        if not os.path.exists(around / LEDGER_FILE):
            return
        if not _meant(folder) and folder.resolve().name not in entered:
            return
    elif folder.name not in entered and os.path.isfile(folder / SUMMARY_FILE):
        book.enter(folder)  # the run that made it was killed before; no other month is touched
    raise ThereError(
        f"{folder}: holds a month already, of the ledger {around.resolve().name}, in which nothing is written"
        f" over. {instead}"
    )


def _warn_of_parts(folder: Path, known: Collection[str]) -> None:
    """Warn of folders that are no entries, since a file of their month is gone."""
    for month in sorted(p for p in folder.iterdir() if p.name not in known and p.is_dir()):
        forecast, summary = (os.path.lexists(month / name) for name in (FORECAST_FILE, SUMMARY_FILE))
        gone = SUMMARY_FILE if forecast and not summary else FORECAST_FILE
        made_here = forecast or FORECAST_FILE in _made.listed(month).get("month", {})
        if made_here and not (forecast and summary):
            _warn(
                f"the month in {month} is left out, since its {gone} is gone. Restore it from a copy, or run"
                " the month again in a folder of its own"
            )


def _warn(text: str) -> None:
    warnings.warn(f"ledger: {text}.", DataWarning, skip_file_prefixes=(PACKAGE,))


def _originals_first(months: list[Path]) -> list[Path]:
    """Months in order, but of those with one forecast the one first whose run names its folder."""
    seals = {m: _sum_of(m / FORECAST_FILE) for m in months}
    first = {seal: min(m for m in months if seals[m] == seal) for seal in seals.values()}
    return sorted(months, key=lambda m: (first[seals[m]], not _named(m), m))


def _named(month: Path) -> bool:
    """Whether a folder is called as its run says: by ``out``, or else by the origin."""
    try:
        run = tomllib.loads(_checks.existing_text(_runs(month)[0], what="run file"))
        named = run["out"] if "out" in run else run["data"]["origin"]
    except (FileError, ValueError, RecursionError, LookupError, TypeError):
        return False
    return Path(str(named)).name == month.name


def _runs(month: Path) -> list[Path]:
    """Run files of a month, its own first."""
    runs = [f for f in (month / RUN_FILE, month / MADE_FILE) if os.path.exists(f)]
    return runs + sorted(f for f in month.glob("*.toml") if f not in runs)


def _meant(month: Path) -> bool:
    """Whether results were made for a ledger: their run file names one."""
    try:
        texts = [_checks.existing_text(f, what="run file") for f in _runs(month)]
        return any("ledger" in tomllib.loads(text) for text in texts)
    except (FileError, ValueError, RecursionError):
        return True  # to enter it says what is wrong


def _row(month: Path) -> dict[str, str]:
    """Columns of the index that the results in a folder give."""
    forecast = Forecast.load(month / FORECAST_FILE)
    try:
        summary = _json.table(_checks.existing_bytes(month / SUMMARY_FILE, what="summary"))
    except ValueError as error:
        raise FileError(
            f"ledger: {month / SUMMARY_FILE} cannot be read ({error}). Run the month again."
        ) from error
    runs = _runs(month)
    return {
        "origin": f"{forecast.origin:%Y-%m-%d}",
        "end": f"{forecast.end:%Y-%m-%d}",
        "model": str(summary.get("model", "")),
        "run": _checks.existing_text(runs[0], what="run file") if runs else "",
        "changes": json.dumps([r.to_dict() for r in forecast.records]),
        "decision": str(forecast.attrs.get("decision", "null")),
        "knew": json.dumps({k: summary[k] for k in ("seed", "versions", "files", "doubts") if k in summary}),
    }


def _sum_of(file: Path) -> str:
    return sha256(_checks.existing_bytes(file, what="ledger")).hexdigest()

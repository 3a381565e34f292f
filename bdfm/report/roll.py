"""Roll: the run file of the next month, from that of the last."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._kinds import texts
from bdfm.data.periods import span_of
from bdfm.errors import DataError
from bdfm.forecast.edits import EDITS
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.statements import read
from bdfm.forecast.views import KINDS
from bdfm.names import FORECAST_FILE
from bdfm.portfolio.decisions import Decision
from bdfm.report.earlier import months_in
from bdfm.report.run_file import RunFile, read_run_file
from bdfm.scoring.m6 import period_returns

LASTING: Final = frozenset({"zero", "drop"})  # edits that hold on: who was delisted stays so
ALL: Final = "all"


@dataclass(frozen=True)
class Rolled:
    """Next month's run file, and what became of the last one's statements.

    Attributes
    ----------
    run
        The file's contents.
    kept, dropped
        Edits, views and evidence in words.
    note
        Where the holdings come from, if not from the last month's decision; else blank.
    """

    run: RunFile
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    note: str = ""


def roll(
    last: str | Path,
    origin: object,
    prices: pd.DataFrame,
    *,
    keep: Collection[str] = (),
    drop: Collection[str] = (),
) -> Rolled:
    """Run file of a month that follows another.

    Data, model, sampler, decision and ledger stay; the origin moves. Edits that hold on (``zero``, ``drop``)
    stay, and other edits were about the last span and are dropped. A horizon that was a date becomes as many
    market days. Views and evidence were about it too, but
    a person may hold on to them: each is kept or dropped as told. ``holdings`` are the weights of the last
    decision, drifted by the returns to the new origin; where the last month was not run, those of its file,
    and a note says so. The draws go on from the last posterior
    (``warm_from``) where the last month wrote one and the file did so before; a folder of months stays.

    Parameters
    ----------
    last
        Run file of the last month.
    origin
        Day of the next forecast, after the last one's.
    prices
        (day, symbol) adjusted closes that cover both origins.
    keep, drop
        Statements by number, such as ``"view 1"`` or ``"edit 2"``; ``"views"``, ``"edits"``, ``"evidence"``;
        or ``"all"``.

    Raises
    ------
    DataError
        An origin that is not after the last one, a statement about which nothing was said, one that is both
        kept and dropped.
    UnknownLabelError
        A statement that is not there.
    """
    path = _checks.path_of(last, what="run file")
    keep, drop = texts(keep), texts(drop)
    run, _ = read_run_file(path)
    before = _checks.as_date(run.data.origin, where=f"{path}: origin", date_format=run.data.date_format)
    now = _checks.as_date(origin, where="roll: origin")
    if now <= before:
        raise DataError(f"roll: the origin {now:%Y-%m-%d} is not after that of {path}, {before:%Y-%m-%d}.")
    found = _statements(run)
    chosen = _chosen(found, keep, drop)
    tables: dict[str, list[dict[str, Any]]] = {"edits": [], "views": [], "evidence": []}
    for (name, table, _), stays in zip(found, chosen, strict=True):
        if stays:
            tables[_GROUP[name.split()[0]]].append(table)
    settings = run.model_dump(exclude_unset=True)
    settings["data"]["origin"] = now.date()

    def over(value: Any, what: str) -> Any:
        """A horizon, or several, that are as far from the new origin as from the last one."""
        if value is None or isinstance(value, tuple | list):
            return value if value is None else tuple(over(x, what) for x in value)
        return span_of(value, before, where=f"{path}: {what}", date_format=run.data.date_format)

    if "horizon" in settings["data"]:
        settings["data"]["horizon"] = over(run.data.horizon, "horizon")
    for statement in tables["evidence"]:
        statement["horizon"] = over(statement["horizon"], f"evidence on {statement['asset']}")
    settings |= {k: tuple(x) for k, x in tables.items()}
    for key in ("edits", "views", "evidence"):
        if not settings[key]:
            del settings[key]
    if run.ledger is not None or "out" in settings:
        settings["out"] = _next_out(run, path, before, now)
    if run.shares is not None:
        people = {str(t.get("by", "")) for t in tables["views"]}
        settings["shares"] = {p: x for p, x in run.shares.items() if p in people} or None
    held, note = _holdings(path, run, prices, before, now)
    if held is None:
        settings.pop("holdings", None)
    else:
        settings["holdings"] = held
    if run.warm_from is not None and not months_in(path.parent / run.warm_from):
        settings["warm_from"] = run.out
    words = [(f"{name}: {text}", stays) for (name, _, text), stays in zip(found, chosen, strict=True)]
    return Rolled(
        RunFile(**settings),
        tuple(w for w, stays in words if stays),
        tuple(w for w, stays in words if not stays),
        note,
    )


_GROUP: Final = {"edit": "edits", "view": "views", "evidence": "evidence"}


def _statements(run: RunFile) -> list[tuple[str, dict[str, Any], str]]:
    """Name such as "view 1", table and words of each statement."""
    found: list[tuple[str, dict[str, Any], str]] = []
    for n, table in enumerate(run.edits, 1):
        plain = {k: x for k, x in table.items() if k != "step"}
        found.append((f"edit {n}", dict(table), read(plain, EDITS, where=f"edit {n}").where))
    for n, table in enumerate(run.views, 1):
        plain = {k: x for k, x in table.items() if k != "step"}
        found.append((f"view {n}", dict(table), str(read(plain, KINDS, where=f"view {n}"))))
    for n, e in enumerate(run.evidence, 1):
        words = f"{e.asset} returns {100 * e.mean:.4g} % ± {100 * e.sd:.4g} %"
        words += "" if e.horizon is None else f" over {e.horizon}"
        found.append((f"evidence {n}", e.model_dump(), words))
    return found


def _chosen(
    found: Sequence[tuple[str, dict[str, Any], str]], keep: Collection[str], drop: Collection[str]
) -> list[bool]:
    """Whether each statement is kept; raises where nothing was said of a view or of evidence."""
    names = [name for name, _, _ in found]
    _checks.known([*keep, *drop], [*names, *_GROUP.values(), ALL], what="statement", where="roll")

    def named(name: str, some: Collection[str]) -> int:
        """How exactly a statement is named: 2 by itself, 1 by its group or with all, 0 not."""
        group = _GROUP[name.split()[0]]
        return 2 if name in some else int(group in some or ALL in some)

    chosen, open_ones = [], []
    for name, table, text in found:
        stays, goes = named(name, keep), named(name, drop)
        if stays == goes and stays:
            raise DataError(f"roll: {name} is both kept and dropped. Say one of them.")
        if not stays and not goes and not name.startswith("edit"):
            open_ones.append(f"{name} ({text})")
        lasts = table.get("kind") in LASTING
        chosen.append(stays > goes or (lasts and not goes))
    if open_ones:
        first = open_ones[0].split(" (")[0]
        raise DataError(
            f"roll: these were about the last month, and nothing was said of them: {'; '.join(open_ones)}."
            f' Say --keep "{first}" or --drop "{first}" of each, or --keep all, or --drop all.'
        )
    return chosen


def _next_out(run: RunFile, path: Path, before: pd.Timestamp, now: pd.Timestamp) -> Path:
    """Folder of the next results: the last one's name with the other date, or the new date beside it."""
    # A run file among its results says out = ".".
    last = run.out if run.out.name else Path("..", path.resolve().parent.name)
    name = last.name
    for form in ("%Y-%m-%d", "%Y-%m", "%Y%m%d"):
        if f"{before:{form}}" in name and f"{before:{form}}" != f"{now:{form}}":
            return last.with_name(name.replace(f"{before:{form}}", f"{now:{form}}"))
    return last.with_name(f"{now:%Y-%m-%d}")


def _holdings(
    path: Path, run: RunFile, prices: pd.DataFrame, before: pd.Timestamp, now: pd.Timestamp
) -> tuple[dict[str, float] | None, str]:
    """Weights held after the returns since, of the money there is now, or None; and a note on whose they are.

    They are those of the last decision. A month that was not run traded nothing: its file's are held on.
    """
    file = path.parent / run.out / FORECAST_FILE
    if run.decided is None:
        return None, ""
    note = ""
    if os.path.isfile(file):
        decision = Decision.of(Forecast.load(file))
        weights = pd.Series(dtype=float) if decision is None else decision.weights
    else:
        weights = pd.Series(dict(run.holdings or {}), dtype=float)
        whose = "the holdings are those of its file" if len(weights) else "there are no holdings"
        note = f"{path.name} has no forecast in {run.out}, so that nothing was decided there: {whose}"
    held = weights[weights != 0]
    if held.empty:
        return None, note
    where, hint = f"roll, prices of {path}", "The book holds it: add its prices."
    _checks.known([str(s) for s in held.index], list(prices.columns), what="asset", where=where, hint=hint)
    growth = 1 + period_returns(prices[list(held.index)], before, now)[held.index]
    total = 1 + float(np.dot(held.to_numpy(), growth.to_numpy() - 1))
    if total <= 0:
        raise DataError(f"roll: the book of {path} lost everything by {now:%Y-%m-%d}. Begin a new file.")
    return {str(s): float(w) for s, w in (held * growth / total).items()}, note


def to_text(rolled: Rolled, last: Path) -> str:
    """The file's text: a note on what was kept and dropped, and the settings."""
    notes = [f"# Rolled from {last.name}."]
    notes += [f"# Kept {text}" for text in rolled.kept]
    notes += [f"# Dropped {text}" for text in rolled.dropped]
    notes += [f"# {rolled.note}"] if rolled.note else []
    return "\n".join(notes) + "\n" + rolled.run.to_toml()

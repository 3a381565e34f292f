"""Dates as people write them, in files and as options: what has one meaning is read, what has two is refused.

One parser for both. A column is read as a whole: 31.01.2022 in one row says how 01.02.2022 in another is
meant.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from bdfm._date_forms import (
    FIRST_YEAR,
    FORMS,
    LAST_YEAR,
    MONTHLY,
    USUAL,
    WHOLE,
    bare_of,
    calendar_days,
    family_of,
    shape_of,
    stamps_of,
    whole_days,
    year_of,
)
from bdfm._reading import cut
from bdfm._zones import check_zones
from bdfm.errors import DataError

HINT: Final = "Write it as 2022-03-04."
ORDERS: Final = {"dmy": "day first", "mdy": "month first", "ymd": "year first"}
USUAL_FORM: Final = "2022-01-31"


class Days(NamedTuple):
    """Parsed column: days, the form they had, and remarks."""

    days: pd.DatetimeIndex
    form: str
    notes: tuple[str, ...] = ()


def order_of(date_format: str | None, *, where: str = "date format") -> str | None:
    """Check a date format: a word of ``ORDERS`` or a strptime pattern; ``DataError`` when it is neither."""
    if date_format is None or date_format.lower() in ORDERS:
        return None if date_format is None else date_format.lower()
    if _kept(date_format) is None:
        raise DataError(
            f"{where}: {cut(date_format)} says nothing about dates. Give dmy, mdy or ymd, or a pattern"
            " such as %d/%m/%Y."
        )
    return date_format


# Days that no two forms write alike: neither the first nor the last of a month, of two centuries
_PROBES: Final = (dt.datetime(2022, 1, 30), dt.datetime(1997, 11, 17))


def _kept(pattern: str) -> str | None:
    """What a strptime pattern keeps of a date, by which it is found again: its day, its month, or nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of days without a year, which are none
            texts = [d.strftime(pattern) for d in _PROBES]
            found = [dt.datetime.strptime(t, pattern) for t in texts]
            column = pd.Series(texts, dtype=object)  # of a file: by the same function as all of them
            again = pd.to_datetime(column, format=pattern, errors="coerce")
    except (ValueError, re.error):
        return None
    for what, form in (("day", "%Y-%m-%d"), ("month", "%Y-%m")):
        if all(
            not pd.isna(x) and {f"{d:{form}}", f"{x:{form}}"} == {f"{p:{form}}"}
            for p, d, x in zip(_PROBES, found, again, strict=True)
        ):
            return what
    return None


def families(texts: Iterable[object]) -> np.ndarray[Any, Any]:
    """Family of the form of each text (``FORMS``); blank for blank and for what is no date at all."""
    texts = list(texts)
    if texts and _all_usual(texts):
        return np.full(len(texts), "iso", dtype=object)
    codes, uniques = pd.factorize(pd.Series(texts, dtype=object).astype(str))
    known = np.array([family_of(bare_of(u)) for u in uniques], dtype=object)
    return known[codes] if len(known) else np.empty(0, dtype=object)


def looks_like_a_day(text: str) -> bool:
    """Whether a text is a date by itself: not a bare number that could be a serial number or a year."""
    return family_of(bare_of(text)) in (*WHOLE, *MONTHLY)


def across(names: Sequence[object]) -> str:
    """What to do with a table whose columns are days, for a message; blank where they are not."""
    days = [looks_like_a_day(str(n)) for n in names[1:]]
    said = " The days stand across the top: turn the table round, a row for each day."
    return said if days and all(days) else ""


def names_a_day(text: str) -> bool:
    """Whether a text is a date with day, month and year."""
    return family_of(bare_of(text)) in WHOLE


def one_day(value: object, *, where: str, date_format: str | None = None) -> pd.Timestamp:
    """Value as a day; ``DataError`` when it is none, names no day, or means two."""
    if isinstance(value, pd.Period):
        if value.freqstr in ("D", "B"):
            return value.to_timestamp().normalize()
        raise DataError(f"{where}: {value!s} names no day. {HINT}")
    if isinstance(value, pd.Timestamp | dt.date | np.datetime64):
        stamp = pd.Timestamp(value)
        if pd.isna(stamp):
            raise DataError(f"{where}: the date is empty. {HINT}")
        return stamp.tz_localize(None).normalize()
    if value is None or value is pd.NaT or (isinstance(value, str) and not value.strip()):
        raise DataError(f"{where}: the date is empty. {HINT}")
    if isinstance(value, bool) or not isinstance(value, str | int | np.integer):
        if isinstance(value, float) and np.isnan(value):
            raise DataError(f"{where}: the date is empty. {HINT}")
        raise DataError(f"{where}: {cut(value)} is not a date. {HINT}")
    text = str(value).strip()
    pattern = order_of(date_format)
    if pattern is not None and pattern not in ORDERS and (found := _by_pattern([text], pattern)) is not None:
        return found[0]
    family = family_of(bare_of(text))
    if family in ("year", *MONTHLY):
        raise DataError(f"{where}: {text} is incomplete, it names no day. {HINT}")
    if family not in WHOLE:
        raise DataError(f"{where}: {cut(value)} is not a date. {HINT}")
    return parse([text], where=where, date_format=date_format, typed=True).days[0]


def parse(
    values: Iterable[object],
    *,
    where: str,
    date_format: str | None = None,
    typed: bool = False,
    exact: bool = False,
) -> Days:
    """Column of dates as days without time of day or zone; the day is that of the zone it is written in.

    Parameters
    ----------
    values
        Texts, numbers, dates or periods; a period is taken as its last day.
    where
        For messages.
    date_format
        How to read what has two meanings: dmy, mdy, ymd, or a strptime pattern.
    typed
        Whether it is one date that was typed, for messages.
    exact
        Whether something happens on these days, such as an announcement: months and quarters are refused,
        which are else taken as their last days.

    Raises
    ------
    DataError
        Names the first that is no date, the row in which the form changes, and two dates that one text means.
    """
    pattern = order_of(date_format)
    index: Any = pd.Index(values)
    notes: tuple[str, ...] = ()
    if isinstance(index, pd.PeriodIndex):
        if exact and len(index) and index.freqstr not in ("D", "B"):
            raise DataError(_no_days(f"{index[0]!s} in row 1", where))
        form = "of periods, taken as their last days"
        return Days(whole_days(pd.DatetimeIndex(index.to_timestamp(how="end"))), form)
    if not isinstance(index, pd.DatetimeIndex):
        if not (len(index) and all(isinstance(x, pd.Timestamp | dt.date) for x in index)):
            usual = _of_usual_texts(index.tolist()) if pattern is None else None
            return usual or _in_zones(_of_texts(index, where, pattern, typed, exact), index, where, exact)
        zoned = list(map(pd.Timestamp, index))
        index = pd.DatetimeIndex([x.tz_localize(None) for x in zoned])
        notes = _in_zones(Days(index.normalize(), ""), zoned, where, exact).notes
    missing = np.flatnonzero(index.isna())
    if len(missing):
        raise DataError(
            f"{where}: {len(missing)} of {len(index)} dates cannot be read, first '' in row {missing[0] + 1}."
            " Fill it, or drop the row."
        )
    return Days(whole_days(index), USUAL_FORM, notes)


def _in_zones(found: Days, values: Iterable[object], where: str, exact: bool) -> Days:
    """Days with a remark on the time zones of the values they are of; raises where these leave days open."""
    daily = not exact and found.days.is_unique
    return found._replace(notes=(*found.notes, *check_zones(set(map(str, values)), daily, where=where)))


def _all_usual(values: list[Any]) -> bool:
    """Whether all are texts like 2022-01-31, be there such a day or not: so are most columns of dates."""
    return all(isinstance(x, str) and USUAL.match(x) for x in values)


def _of_usual_texts(values: list[Any]) -> Days | None:
    """What ``_of_texts`` gives, a tenth as long, where all are days like 2022-01-31; None otherwise."""
    if not values or not _all_usual(values):
        return None
    try:
        days = pd.DatetimeIndex(np.array(values, dtype="datetime64[D]")).as_unit(_unit())
    except ValueError:  # there is no such day: the other way says which
        return None
    within = (days.year >= FIRST_YEAR) & (days.year <= LAST_YEAR)
    return Days(days, USUAL_FORM) if within.all() else None


def _no_days(first: str, where: str) -> str:
    return f"{where}: {first} is incomplete, it names no day. Write the days themselves, such as 2022-03-04."


def _of_texts(index: pd.Index[Any], where: str, pattern: str | None, typed: bool, exact: bool) -> Days:
    """Days of texts; each different text is looked at once."""
    codes, uniques = pd.factorize(pd.Series(index, dtype=object).map(_text))
    texts = [str(u) for u in uniques]
    first = np.full(len(texts), -1)
    first[codes[::-1]] = np.arange(len(codes))[::-1]

    def at(k: int) -> str:
        return cut(texts[k]) + ("" if typed else f" in row {first[k] + 1}")

    if pattern is not None and pattern not in ORDERS:
        found = _by_pattern(texts, pattern)
        if found is not None:
            if exact and _kept(pattern) != "day":
                raise DataError(_no_days(at(0), where))
            return Days(found[codes], pattern)
    bare = [bare_of(t) for t in texts]
    kinds = np.array([family_of(b) for b in bare], dtype=object)
    shapes = np.array([shape_of(b, k) for b, k in zip(bare, kinds, strict=True)], dtype=object)
    unreadable = np.flatnonzero(kinds == "")
    if len(unreadable):
        bad = int(np.isin(codes, unreadable).sum())
        raise DataError(
            f"{where}: {bad} of {len(codes)} dates cannot be read, first"
            f" {at(int(min(unreadable, key=first.__getitem__)))}. Write them as 2022-03-04{_asking(pattern)}."
        )
    counts = pd.Series(shapes[codes]).value_counts()
    if len(counts) > 1:
        usual, odd = counts.index[0], np.flatnonzero(shapes != counts.index[0])
        k = int(min(odd, key=first.__getitem__))
        like = int(np.flatnonzero(shapes == usual)[0])
        raise DataError(
            f"{where}: dates of more than one form: {at(k)}, where others are like {cut(texts[like])}."
            " Write all of them alike, such as 2022-03-04."
        )
    kind = kinds[0]
    if kind == "year":
        raise DataError(
            f"{where}: dates are years ({at(0)}); no day or month is named. Give daily or monthly rows."
        )
    if exact and kind in MONTHLY:
        raise DataError(_no_days(at(0), where))
    if kind == "parts":
        return _of_parts(bare, codes, pattern, where, at)
    stamps, form = stamps_of(bare, kind)
    _real(stamps, at, where)
    timed = bare != texts and any(":" in t and "00:00" not in t for t in texts)
    return Days(pd.DatetimeIndex(stamps)[codes], form, ("times of day left out",) if timed else ())


def _of_parts(bare: list[str], codes: np.ndarray[Any, Any], pattern: str | None, where: str, at: Any) -> Days:
    """Days of three numbers, the year last or perhaps first, in the one order that fits all."""
    matches = [FORMS["parts"].match(b) for b in bare]
    groups = [m.groups() for m in matches if m is not None]
    short = len(groups[0][3]) == 2
    sep = groups[0][1]
    readings: dict[str, pd.DatetimeIndex] = {
        "dmy": calendar_days([(year_of(c), int(b), int(a)) for a, _, b, c in groups]),
        "mdy": calendar_days([(year_of(c), int(a), int(b)) for a, _, b, c in groups]),
    }
    if short:
        readings["ymd"] = calendar_days([(year_of(a.zfill(2)), int(b), int(c)) for a, _, b, c in groups])
    year = "22" if short else "2022"
    forms = {"dmy": f"31{sep}01{sep}{year}", "mdy": f"01{sep}31{sep}{year}", "ymd": f"{year}{sep}01{sep}31"}
    if pattern is not None:
        if pattern not in readings:
            raise DataError(
                f"{where}: the date format {pattern} does not fit {at(0)}. Write the dates as 2022-03-04, or"
                " give the format that they have."
            )
        _real(readings[pattern], at, where, f" as {ORDERS[pattern]}")
        return Days(readings[pattern][codes], forms[pattern])
    fitting = {order: stamps for order, stamps in readings.items() if not stamps.isna().any()}
    if not fitting:
        best = max(readings, key=lambda o: np.count_nonzero(readings[o].notna()))
        wrong = int(np.flatnonzero(readings[best].isna())[0])
        right = np.flatnonzero(readings[best].notna())
        like = f" if {at(int(right[0]))} is {ORDERS[best]}" if len(right) else ""
        raise DataError(f"{where}: {at(wrong)} is no date{like}. Write the dates as 2022-03-04.")
    order, stamps = next(iter(fitting.items()))
    if any(not stamps.equals(other) for other in fitting.values()):
        alone = "" if len(codes) == 1 else ", and no other date settles it"
        k = next(i for i in range(len(bare)) if len({s[i] for s in fitting.values()}) > 1)
        meant = [s[k] for s in fitting.values()]
        meanings = " or ".join(f"{d.day} {d:%B %Y}" for d in meant)
        plain = " or ".join(f"{d:%Y-%m-%d}" for d in meant)
        raise DataError(
            f"{where}: {at(k)} has two meanings, {meanings}{alone}."
            " Say which: --date-format dmy, mdy or a pattern such as %d/%m/%Y (date_format in Python and run"
            f" files), or write {plain}."
        )
    return Days(stamps[codes], forms[order])


def _real(stamps: pd.DatetimeIndex, at: Any, where: str, how: str = "") -> None:
    """Raise ``DataError`` for the first text that the calendar does not have."""
    bad = np.flatnonzero(stamps.isna())
    if len(bad):
        raise DataError(
            f"{where}: {len(bad)} of {len(stamps)} dates cannot be read{how}, first {at(int(bad[0]))}: there"
            f" is no such day in the years {FIRST_YEAR} to {LAST_YEAR}. Correct it."
        )


@functools.cache
def _unit() -> Any:
    """Unit of days that pandas makes of numbers; it differs between its versions."""
    return calendar_days([(2022, 1, 31)]).unit


def _by_pattern(texts: list[str], pattern: str) -> pd.DatetimeIndex | None:
    """Days of texts by a strptime pattern; None unless it fits all of them."""
    for given in (texts, [bare_of(t) for t in texts]):
        found = pd.DatetimeIndex(
            pd.to_datetime(pd.Series(given, dtype=object), format=pattern, errors="coerce")
        )
        if not found.isna().any():
            days = whole_days(found)
            return days if _kept(pattern) == "day" else days + pd.offsets.MonthEnd(0)
    return None


def _text(value: object) -> str:
    """Text of a cell: days as 2022-01-31, whole numbers without a point."""
    if isinstance(value, str):
        return value.strip()
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, pd.Timestamp | dt.date):
        return value.isoformat()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _asking(pattern: str | None) -> str:
    return "" if pattern is not None else ", or give their format (--date-format, date_format)"

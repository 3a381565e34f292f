"""Forms of single dates: what family a text is of, and which days texts of one family mean."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import pandas as pd

FIRST_YEAR, LAST_YEAR = 1800, 2199  # digits outside are no year
LONGEST_DATE: Final = 40
_PIVOT = 69  # of years of two digits: 69 is 1969, 68 is 2068, as in POSIX
_EXCEL_ZERO = pd.Timestamp("1899-12-30")

# English, German, French, Spanish, Italian, Portuguese, Dutch; without points and accents
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar janv janvier ene enero gen gennaio janeiro januari",
            "feb february februar fev fevr fevrier febrero febbraio fevereiro februari",
            "mar march marz maerz mars marzo marco mrt maart mrz",
            "apr april avr avril abr abril aprile",
            "may mai mayo mag maggio maio mei",
            "jun june juni juin junio giu giugno junho",
            "jul july juli juil juillet julio lug luglio julho",
            "aug august aout ago agosto augustus",
            "sep sept september septembre septiembre set sett settembre setembro",
            "oct october okt oktober octobre octubre ott ottobre out outubro",
            "nov november novembre noviembre novembro",
            "dec december dez dezember decembre dic diciembre dicembre dezembro",
        ),
        1,
    )
    for name in names.split()
}
_PLAIN: Final = str.maketrans("äáàâçéèêëíïôóöûúùü", "aaaaceeeeiiooouuuu")
_WEEKDAY = re.compile(
    r"^(?:mon|tue|tues|wed|thu|thur|thurs|fri|sat|sun)(?:day|nesday|sday|rsday|urday)?[.,]?\s+", re.I
)
_CLOCK = re.compile(
    r"(?:[T\s,]+(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-6]\d(?:[.,]\d+)?)?|(?<=\d{8})[T ]\d{4}(?:\d{2})?(?=Z?$))"
    r"\s*(?:[ap]\.?m\.?)?\s*(?:Z|UTC|GMT|[A-Z]{2,4}|[+-]\d{2}:?\d{2})?$",
    re.I,
)
USUAL: Final = re.compile(r"^\d{4}-\d{2}-\d{2}\Z")  # as most dates are
_SEP = r"([-/. ])"
_NAME = r"([^\W\d_]+)\.?"
# Family of forms to its pattern; groups are read in stamps_of
FORMS: Final = {
    "iso": re.compile(rf"^(\d{{4}}){_SEP}(\d{{1,2}})\2(\d{{1,2}})$"),
    "compact": re.compile(r"^(1[89]|2[01])(\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"),
    "parts": re.compile(rf"^(\d{{1,2}}){_SEP}(\d{{1,2}})\2(\d{{4}}|\d{{2}})$"),
    "day-name": re.compile(
        rf"^(\d{{1,2}})(?:st|nd|rd|th|er|º)?\.?[-/ ]*(?:de )?{_NAME}[-/, ]*(?:de )?(\d{{4}}|\d{{2}})$"
    ),
    "name-day": re.compile(rf"^{_NAME}[-/ ]*(\d{{1,2}})(?:st|nd|rd|th)?[-/, ]+(\d{{4}})$"),
    "year-name": re.compile(rf"^(\d{{4}})[-/ ]?{_NAME}[-/ ]?(\d{{1,2}})$"),
    "month": re.compile(r"^(\d{4})[-/.](\d{1,2})$"),
    "compact month": re.compile(r"^((?:1[89]|2[01])\d{2})(?:M)?(0[1-9]|1[0-2])$"),
    "name month": re.compile(rf"^{_NAME}[-/, ]*(\d{{4}})$"),
    "quarter": re.compile(r"^(\d{4})[-/ ]?Q([1-4])$", re.I),
    "serial": re.compile(r"^[1-7]\d{4}(?:\.\d+)?$"),
    "epoch": re.compile(r"^(?:\d{9,10}|\d{12,13}|\d{15,16}|\d{18,19})(?:\.\d+)?$"),
    "year": re.compile(r"^(?:1[89]|2[01])\d{2}$"),
}
WHOLE: Final = ("iso", "compact", "parts", "day-name", "name-day", "year-name")  # name a day by themselves
MONTHLY: Final = ("month", "compact month", "name month", "quarter")


def bare_of(text: str) -> str:
    """Text without weekday and time of day."""
    if USUAL.match(text):  # as most are
        return text
    text = _WEEKDAY.sub("", text.strip())
    if re.fullmatch(r"\d+\.0+", text):
        return text.partition(".")[0]
    if re.fullmatch(r"\d+e-\d+", text):  # a number of a spreadsheet, whose text has no decimal mark
        return repr(float(text)) if float(text) >= 10_000 else text  # 202201e-2 is no January
    return _CLOCK.sub("", text).strip()


def family_of(bare: str) -> str:
    """Family of the form of a text (``FORMS``), blank when it is no date."""
    if not bare or len(bare) > LONGEST_DATE:
        return ""
    for name, form in FORMS.items():
        m = form.match(bare)
        if m is None:
            continue
        if name in ("day-name", "year-name") and not _month(m.group(2)):
            continue
        if name in ("name-day", "name month") and not _month(m.group(1)):
            continue
        return name
    return ""


def shape_of(bare: str, kind: str) -> str:
    """What must be alike in a column: the family, its separator, and the digits of the year."""
    if kind in ("iso", "parts"):
        sep = next(x for x in bare if not x.isdigit())
        return f"{kind}{sep}{len(bare.rpartition(sep)[2]) if kind == 'parts' else ''}"
    if kind == "epoch":
        return f"{kind}{len(bare.partition('.')[0]) > 10}{len(bare.partition('.')[0]) > 13}"
    return kind


def _month(name: str) -> int:
    return _MONTHS.get(name.lower().translate(_PLAIN), 0)


def year_of(digits: str) -> int:
    """Year of two or four digits."""
    year = int(digits)
    if len(digits) > 2:
        return year
    return 1900 + year if year >= _PIVOT else 2000 + year


def stamps_of(bare: list[str], kind: str) -> tuple[pd.DatetimeIndex, str]:
    """Days of texts of one family with one meaning, NaT where the calendar has no such day; and the form."""
    if kind == "serial":
        whole = np.floor(np.array([float(b) for b in bare])).astype("timedelta64[D]")
        return pd.DatetimeIndex(_EXCEL_ZERO.to_datetime64() + whole), "as Excel's serial numbers"
    if kind == "epoch":
        digits = len(bare[0].partition(".")[0])
        unit = "s" if digits <= 10 else "ms" if digits <= 13 else "us" if digits <= 16 else "ns"
        name = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}[unit]
        numbers = np.array([int(b.partition(".")[0]) for b in bare], dtype=np.int64)
        stamps = pd.DatetimeIndex(numbers.astype(f"datetime64[{unit}]"))
        return whole_days(stamps), f"as {name} since 1970 (UTC)"
    rows = []
    for b in bare:
        m = FORMS[kind].match(b)
        assert m is not None
        g = m.groups()
        if kind == "iso":
            rows.append((int(g[0]), int(g[2]), int(g[3])))
        elif kind == "compact":
            rows.append((int(g[0] + g[1]), int(g[2]), int(g[3])))
        elif kind == "day-name":
            rows.append((year_of(g[2]), _month(g[1]), int(g[0])))
        elif kind == "name-day":
            rows.append((int(g[2]), _month(g[0]), int(g[1])))
        elif kind == "year-name":
            rows.append((int(g[0]), _month(g[1]), int(g[2])))
        elif kind == "quarter":
            rows.append((int(g[0]), 3 * int(g[1]), 1))
        elif kind == "name month":
            rows.append((int(g[1]), _month(g[0]), 1))
        else:
            rows.append((int(g[0]), int(g[1]), 1))
    stamps = calendar_days(rows)
    if kind in MONTHLY:
        noun = "quarters" if kind == "quarter" else "months"
        return stamps + pd.offsets.MonthEnd(0), f"of {noun} ({bare[0]}), taken as their last days"
    m = FORMS[kind].match(bare[0])
    sep = m.group(2) if m is not None and kind == "iso" else ""
    form = {
        "iso": f"2022{sep}01{sep}31",
        "compact": "20220131",
        "day-name": "31 Jan 2022",
        "name-day": "Jan 31, 2022",
        "year-name": "2022 Jan 31",
    }[kind]
    return stamps, form


def calendar_days(rows: list[tuple[int, int, int]]) -> pd.DatetimeIndex:
    """Days of (year, month, day); NaT where the calendar has none."""
    parts = pd.DataFrame(rows, columns=["year", "month", "day"])
    within = parts["year"].between(FIRST_YEAR, LAST_YEAR)
    return pd.DatetimeIndex(pd.to_datetime(parts.where(within), errors="coerce"))


def whole_days(index: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Days without time of day or zone."""
    return index.tz_localize(None).normalize()

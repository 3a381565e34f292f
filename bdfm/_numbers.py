"""Numbers as people write them: decimal comma, thousands, currency, percent, codes for missing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from bdfm._numerals import DASHES
from bdfm._reading import Reading, counted, cut, short
from bdfm.errors import DataError

MARKS: Final = {".": "point", ",": "comma"}
# What stands for no number, in any case; spreadsheets, terminals and libraries
MISSING: Final = frozenset(
    "|na|n/a|n.a.|n.a|nan|-nan|null|none|nil|nat|<na>|-|--|---|.|..|...|–|—|#n/a|#n/a n/a|#na|#value!|#ref!"
    "|#div/0!|#name?|#num!|#null!|#n/a field not applicable|#n/a invalid security|#n/a invalid field|#n/a"
    " history"
    "|#n/a requesting data...|#error|#error!|@na".split("|")
)
SHEET_ERRORS: Final = frozenset(x for x in MISSING if x[:1] == "#")  # of a spreadsheet: no name of anything
# Of formulas that failed, which are told
_FAILED: Final = frozenset(x for x in SHEET_ERRORS if not x.startswith("#n") or x[-1] in "?!")
# Codes for missing in tables of returns, in percent or decimals; no return is any of them
CODES: Final = (
    -99.0,
    -99.9,
    -99.99,
    -99.999,
    -999.0,
    -999.9,
    -999.99,
    -9999.0,
    -99999.0,
    99.99,
    999.0,
    999.99,
    9999.0,
    99999.0,
)
CODES_AS_DECIMALS: Final = (-0.9999, -9.99)  # -99.99 and -999, divided by 100 with the rest of a table

_CURRENCY = (
    r"US\$|C\$|A\$|HK\$|[$€£¥₹₩₽]|(?:USD|EUR|GBP|GBX|GBp|CHF|JPY|CAD|AUD|NZD|SEK|NOK|DKK|HKD|CNY|CNH|INR|SGD|ZAR|ZAc|BRL|MXN"
    r"|KRW"
    r"|TWD|PLN|CZK|HUF|TRY|ILS|RUB|THB|IDR|MYR|PHP|SAR|AED)(?![A-Za-z])"
)
_MONEY = re.compile(rf"^([+-]?)\s*({_CURRENCY})?\s*(.*?)\s*({_CURRENCY})?$")
_POINT = re.compile(r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$")
_CLEARLY_POINT = re.compile(r"^-?\d+\.(?:\d{1,2}|\d{4,})$")
_ONE_POINT = re.compile(r"^-?\d+\.\d+$")
_INFINITE = re.compile(r"^[+-]?inf(?:inity)?$", re.I)
_SPACES = str.maketrans(
    {"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2007": " ", "’": "'"} | dict.fromkeys(DASHES, "-")
)


def refuse_errors(labels: Iterable[object], *, where: str) -> None:
    """Raise ``DataError`` for names that are errors of a spreadsheet, such as #REF!; blank as cells."""
    bad = [x for x in labels if isinstance(x, str) and x.strip().lower() in SHEET_ERRORS]
    if bad:
        raise DataError(
            f"{where}: {counted(len(bad), 'name is an error', 'names are errors')} of a spreadsheet"
            f" ({', '.join(bad[:5])}). Correct its"
            " formulas, or write the names."
        )


def _grouped(mark: str, group: str) -> re.Pattern[str]:
    """Digits in groups of three, or none, before a decimal mark."""
    return re.compile(
        rf"^[+-]?(?:\d+|\d{{1,3}}(?:{group}\d{{3}})+)?(?:{re.escape(mark)}\d*)?(?:[eE][+-]?\d+)?$"
    )


_GROUPED: Final = {
    ".": [_grouped(".", g) for g in (",", " ", "'")],
    ",": [_grouped(",", g) for g in (r"\.", " ", "'")],
}


def mark_of(cells: Iterable[str]) -> tuple[str, str, str]:
    """Decimal mark that cells show, blank where none; the first cell that could be either; its mark.

    1.234,5 and 1,5 have a decimal comma, 1,234.5 and 1.5 a point; 1,234 and 1.234 show nothing by themselves.
    Raises ``DataError`` where one cell shows a comma and another a point.
    """
    shown: dict[str, str] = {}
    unclear = ("", "")
    for cell in cells:
        if "," not in cell and "." not in cell:
            continue
        if "." in shown and (_ONE_POINT if unclear[0] else _CLEARLY_POINT).match(cell):
            continue  # it says nothing new
        core = _core(cell)[0]
        mark, clear = _shown(core)
        if not mark:
            continue
        if clear:
            shown.setdefault(mark, cell)
            if len(shown) == 2:
                raise DataError(
                    f"decimal marks differ: {cut(shown['.'])} has a point, {cut(shown[','])} a comma."
                    " Write all numbers alike."
                )
        elif not unclear[0]:
            unclear = (cell, mark)
    return next(iter(shown), ""), *unclear


def is_number(cell: str) -> bool:
    """Whether a cell is a number, with either decimal mark, or stands for none."""
    core = _core(cell)[0]
    return cell.strip().lower() in MISSING or any(_number(core, mark) is not None for mark in MARKS)


def _shown(core: str) -> tuple[str, bool]:
    """Decimal mark of a number, and whether it can be no other; blank for no number and for whole numbers."""
    if not re.fullmatch(r"[+-]?[\d.,' ]*\d[\d.,' ]*(?:[eE][+-]?\d+)?", core):
        return "", False
    digits = re.split(r"[eE]", core)[0].lstrip("+-")
    points, commas = digits.count("."), digits.count(",")
    if points and commas:
        last = "." if digits.rindex(".") > digits.rindex(",") else ","
        return (last, True) if digits.count(last) == 1 else ("", False)
    mark = "." if points else "," if commas else ""
    if not mark:
        return "", False
    if points + commas > 1:  # groups: the other one is the decimal mark
        return ("," if points else "."), True
    before, _, after = digits.partition(mark)
    could_be_a_group = (
        len(after) == 3
        and 1 <= len(before) <= 3
        and before[0] != "0"
        and "'" not in before
        and " " not in before
    )
    return mark, not could_be_a_group


def floats(
    table: pd.DataFrame,
    *,
    where: str,
    decimal_mark: str | None = None,
    separator: str = "",
    reading: Reading | None = None,
    percent_columns: set[object] | None = None,
    labels: pd.Series[Any] | None = None,
) -> pd.DataFrame:
    """Table as floats, missing as NaN.

    Parameters
    ----------
    table
        Of numbers or texts; its index says the day, for messages.
    where
        For messages.
    decimal_mark
        Point or comma; found in the texts, if not given.
    separator
        Of the file, which settles what the numbers leave open: 1,234 in a file with semicolons is 1.234.
    reading
        Told of percent, currency and decimal comma.
    percent_columns
        Filled with the columns whose cells carry a percent sign; their values are decimals.
    labels
        Name of each row for messages, where that of the column says nothing.

    Raises
    ------
    DataError
        Texts that are no numbers, by column and day; a number with two meanings; a column that mixes percent
        and plain numbers, or two currencies.
    """
    if all(is_numeric_dtype(t) and not is_bool_dtype(t) for t in set(table.dtypes)):
        return table.astype(np.float64)
    texts: dict[int, pd.Series[Any]] = {}
    columns: dict[int, Any] = {}
    for j in range(table.shape[1]):
        column = table.iloc[:, j]
        if is_numeric_dtype(column) and not is_bool_dtype(column):
            columns[j] = column.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            texts[j] = column.where(column.notna(), "").astype(str).str.strip()
    mark = decimal_mark or _settled(texts, where, separator)
    offenders: list[str] = []
    for j, text in texts.items():
        label = table.columns[j]
        columns[j], bad, percent, money = _column(text, mark, f"{where}: {short(label)}")
        offenders += [
            f"{short(label if labels is None else labels.iloc[i])} "
            f"{_place(table.index, i)}: {cut(text.iloc[i])}"
            for i in bad[:6]
        ]
        offenders += [""] * (len(bad) - 6)
        if percent and percent_columns is not None:
            percent_columns.add(label)
        if reading is not None and percent:
            reading.note("percent signs read as hundredths")
        if reading is not None and money:
            reading.note(f"currency {money} left out")
        if reading is not None:
            for cell in text[np.isnan(columns[j])].str.upper():
                if cell.lower() in _FAILED:
                    reading.codes[cell] = reading.codes.get(cell, 0) + 1
    if offenders:
        named = [x for x in offenders if x]
        more = f" and {len(offenders) - 5} more" if len(offenders) > 5 else ""
        plural = "s are" if len(offenders) > 1 else " is"
        raise DataError(
            f"{where}: {len(offenders)} value{plural} not a number ({', '.join(named[:5])}{more})."
            " Correct the file; leave missing values blank."
        )
    if reading is not None and mark == ",":
        reading.decimal_mark = MARKS[mark]
    ordered = {j: columns[j] for j in range(table.shape[1])}
    return pd.DataFrame(ordered, index=table.index).set_axis(table.columns, axis=1)


def _settled(texts: dict[int, pd.Series[Any]], where: str, separator: str) -> str:
    """Decimal mark of texts, with the file's separator where they leave it open."""
    try:
        mark, cell, unclear = mark_of(c for text in texts.values() for c in text)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    if mark or not cell:
        return mark or "."
    if (unclear == "," and separator == ";") or (unclear == "." and separator != ";"):
        return unclear
    whole = "".join(x for x in cell if x not in ".,")
    raise DataError(
        f"{where}: {cut(cell)} has two meanings, {whole} or {cell.replace(',', '.')}, and no other number"
        " settles it. Say which: --decimal-mark . or , (decimal_mark in Python and run files)."
    )


def _column(text: pd.Series[Any], mark: str, where: str) -> tuple[Any, list[int], bool, str]:
    """Numbers of a column of texts, positions of what is none, whether they are percent, and the currency."""
    values = np.full(len(text), np.nan)
    given = text.to_numpy(dtype=object)
    plain = text.str.fullmatch(_POINT).to_numpy(dtype=bool, copy=True)
    if mark == ",":  # a point is then a separator of thousands
        plain &= ~text.str.contains(".", regex=False).to_numpy(dtype=bool)
    values[plain] = given[plain].astype(np.float64)
    bad: list[int] = []
    signs: dict[bool, int] = {}
    currencies: dict[str, int] = {}
    for i in np.flatnonzero(~plain):
        cell = given[i]
        if cell.lower() in MISSING:
            continue
        core, percent, currency = _core(cell)
        if core.lower() in MISSING and core != cell:
            continue
        number = _number(core, mark, percent=percent)
        if number is None:
            bad.append(int(i))
            continue
        signs.setdefault(percent, int(i))
        if currency:
            currencies.setdefault(currency, int(i))
        values[i] = number
    if True in signs and (plain.any() or False in signs):
        other = signs.get(False, int(np.flatnonzero(plain)[0]) if plain.any() else 0)
        raise DataError(
            f"{where} mixes percent and plain numbers ({cut(given[signs[True]])}, {cut(given[other])})."
            " Write all of its cells alike."
        )
    if len(currencies) > 1:
        raise DataError(
            f"{where} has more than one currency ({', '.join(cut(given[i]) for i in currencies.values())})."
            " Convert to one."
        )
    return values, bad, True in signs, next(iter(currencies), "")


def _core(cell: str) -> tuple[str, bool, str]:
    """Cell without parentheses, percent sign and currency; whether it is percent; the currency."""
    text = cell.translate(_SPACES).strip()
    negative = text.startswith("(") and text.endswith(")")
    if negative:
        text = text[1:-1].strip()
    percent = text.endswith("%")
    if percent:
        text = text[:-1].strip()
    m = _MONEY.match(text) if len(text) < 100 else None
    currency = ""
    if m is not None and (m.group(2) or m.group(4)):
        currency = m.group(2) or m.group(4)
        text = m.group(1) + m.group(3)
    if re.fullmatch(r"[\d.,' ]+-", text):  # the sign behind, as in ledgers
        text = f"-{text[:-1].strip()}"
    return (f"-{text}" if negative else text), percent, currency


def _number(core: str, mark: str, *, percent: bool = False) -> float | None:
    """Number of a text whose decimal mark is known, a hundredth of it for percent; None when it is none."""
    if _INFINITE.match(core):
        return float(core)
    if not any(x.isdigit() for x in core) or len(core) > 60:
        return None
    if not any(form.match(core) for form in _GROUPED[mark]):
        return None
    digits = core.replace(" ", "").replace("'", "")
    digits = digits.replace(".", "").replace(",", ".") if mark == "," else digits.replace(",", "")
    try:
        return float(Decimal(digits).scaleb(-2)) if percent else float(digits)  # 12.34% is 0.1234 exactly
    except (ValueError, InvalidOperation):
        return None


def replace_codes(
    table: pd.DataFrame, reading: Reading | None = None, *, decimals: bool = False
) -> pd.DataFrame:
    """Table of returns with the cells that hold a code for missing, such as -99.99, as NaN."""
    values = table.to_numpy(dtype=np.float64, copy=True)
    for code in (*CODES, *(CODES_AS_DECIMALS if decimals else ())):
        hit = values == code
        if hit.any():
            values[hit] = np.nan
            if reading is not None:
                reading.codes[f"{code:g}" if abs(code) < 1e5 else str(int(code))] = int(hit.sum())
    return pd.DataFrame(values, table.index, table.columns)


def _place(index: pd.Index[Any], i: int) -> str:
    return f"on {index[i]:%Y-%m-%d}" if isinstance(index, pd.DatetimeIndex) else f"in row {i + 1}"

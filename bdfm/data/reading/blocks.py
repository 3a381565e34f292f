"""Tables that stand side by side, a column of dates for each symbol, as terminals give them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import pandas as pd

from bdfm import _columns, _dates, _numbers
from bdfm._reading import Reading, cut
from bdfm.errors import DataError

_SAMPLE: Final = 20  # rows that say whether columns hold dates or numbers
_ABOVE: Final = 15  # rows, at most, above the first row of dates
_DATE_BEHIND: Final = re.compile(r"[\s_.-]+(dates?|datum)$", re.I)
Row = Sequence[str]


class Block(NamedTuple):
    """One symbol's columns: of its dates and of its price, its name, and what the price is called."""

    dates: int
    price: int
    symbol: str
    field: str  # blank where nothing says it


def blocks_of(rows: Sequence[Row], reading: Reading, *, what: str) -> tuple[list[Block], int]:
    """Blocks of rows, and the first row of dates; none where the rows are one table.

    They are blocks where two columns or more hold dates, each with a column of numbers between it and the
    next, and nothing else is in the rows.
    """
    for first in range(min(len(rows) - 1, _ABOVE)):
        starts = _days(rows, first)
        if len(starts) > 1 and (held := _numbers_after(rows[first : first + _SAMPLE], starts)):
            found = [_block(rows[:first], b, own, reading, what) for b, own in zip(starts, held, strict=True)]
            named = [b for b in found if b.field]
            _columns.check_one_price(
                {_columns.field_of(b.field) for b in named}, [f"{b.symbol} {b.field}" for b in named], what
            )
            _columns.tell_currencies({b.symbol: b.field for b in found}, reading)
            return found, first
    return [], 0


def _numbers_after(body: Sequence[Row], starts: list[int]) -> list[list[int]]:
    """Columns of numbers after each column of dates; none where there are other cells, or no numbers."""
    width = max(len(r) for r in body)
    if any(r[j] for r in body for j in range(min(starts[0], len(r)))):
        return []
    found = []
    for begin, end in zip(starts, [*starts[1:], width], strict=True):
        held = {j: [r[j] for r in body if len(r) > j and r[j]] for j in range(begin + 1, end)}
        held = {j: cells for j, cells in held.items() if cells}
        if not held or not all(_numbers.is_number(c) for cells in held.values() for c in cells):
            return []
        found.append(sorted(held))
    return found


def _days(rows: Sequence[Row], k: int) -> list[int]:
    """Columns with a day in this row and the next."""
    return [
        j
        for j, c in enumerate(rows[k][: len(rows[k + 1])])
        if c and not c.isdigit() and _dates.names_a_day(c) and _dates.names_a_day(rows[k + 1][j])
    ]


def _block(above: Sequence[Row], begin: int, held: list[int], reading: Reading, what: str) -> Block:
    """Block of a column of dates and the columns of numbers after it, from the names above them."""
    fields, symbols = {}, []
    for row in reversed(above):
        for j in (*held, begin):
            cell = row[j] if len(row) > j else ""
            if not cell or (j in fields and _columns.is_field(cell)):
                continue
            pair = _columns.split_name(cell)
            if _columns.is_field(cell):
                fields[j] = cell
            elif pair is not None and j != begin:
                fields.setdefault(j, pair[1])
                symbols.append(pair[0])
            elif _columns.key(cell) not in _columns.DATE_NAMES:
                symbols.append(_DATE_BEHIND.sub("", cell) if j == begin else cell)
    if not symbols:
        raise DataError(
            f"{what}: column {begin + 1} holds dates and {held[0] + 1} numbers, but no symbol stands above"
            " them. Write it there."
        )
    wanted = _columns.find_price([fields[j] for j in held if j in fields], what, reading)
    price = next((j for j in held if wanted is not None and fields.get(j) == wanted), held[0])
    if fields and wanted is None:
        raise DataError(
            f"{what}: {symbols[0]} has {', '.join(fields.values())}, and none of them is a price. Expected"
            " Adj Close, PX_LAST or Close."
        )
    return Block(begin, price, symbols[0], fields.get(price, ""))


def long_form(rows: Sequence[Row], blocks: list[Block], reading: Reading, *, what: str) -> pd.DataFrame:
    """Rows of all blocks below one another: date, symbol, and the price, as texts."""
    names = pd.Index([b.symbol for b in blocks])
    if names.has_duplicates:
        double = cut(names[names.duplicated()][0])
        raise DataError(f"{what}: {double} has more than one column of dates. Keep one of each.")
    cells: list[tuple[str, str, str]] = []
    for b in blocks:
        for r in rows:
            if len(r) > b.dates and r[b.dates]:
                cells.append((r[b.dates], b.symbol, r[b.price] if len(r) > b.price else ""))
    reading.layout = "a column of dates for each symbol"
    return pd.DataFrame(cells, columns=["date", "symbol", blocks[0].field or "price"], dtype=object)

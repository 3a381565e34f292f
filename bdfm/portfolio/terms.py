"""A mandate put to the assets of a forecast: arrays by asset, and each limit as rows with words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks, _columns, _labels
from bdfm._symbols import is_cash
from bdfm._toml import key
from bdfm.data.sources import CLASS_NAMES, SECTOR_NAMES
from bdfm.errors import DataError
from bdfm.portfolio.mandate import MOST, Mandate

Floats = NDArray[np.float64]
Of = Literal["weights", "absolute", "trades", "active"]
NUMBERS: Final = ("cost_bps", "daily_volume", "lot")  # columns of a universe that go before the mandate's
CLASS: Final = "asset_class"
_GIVE: Final = "Other columns are those of a universe that you give, such as bdfm decide --universe."
NAMED: Final = 4  # assets that the words of a limit name


@dataclass(frozen=True)
class Limit:
    """One limit: ``rows`` times what it is ``of``, against ``bound``.

    Attributes
    ----------
    words
        What it is called, with its number: "asset_class Stock at most 20 %".
    of
        Weights; absolute weights; absolute trades; or active, for the tracking error, which has no rows.
    rows
        (row, asset). A limit of each asset has a row for each.
    bound
        (row,).
    sense
        Of each row: at most, at least, or exactly.
    ask
        The same words with {} for the number.
    value, step
        The number in the words, and how it moves with the bound: cash of at least 5 % is a net exposure of
        at most 95 %, so that 1 % more room is 1 % less cash.
    """

    words: str
    of: Of
    rows: Any
    bound: Floats
    sense: Literal["<=", ">=", "=="]
    ask: str
    value: float
    step: float = 1.0


@dataclass(frozen=True)
class Terms:
    """A mandate on assets; arrays are by asset, in shares of the money unless said otherwise.

    ``fixed`` marks assets whose return is the same in every draw: they are held as they are. ``years`` is the
    length of the span; ``benchmark`` is zero where there is none, ``lots``, the weight of one lot, and
    ``prices`` are NaN.
    """

    mandate: Mandate
    assets: tuple[str, ...]
    held: Floats
    fixed: NDArray[np.bool_]
    columns: pd.DataFrame
    benchmark: Floats
    cost: Floats
    volume: Floats
    lots: Floats
    prices: Floats
    years: float

    @property
    def cash_return(self) -> float:
        """Return of cash over the span."""
        return float((1 + self.mandate.cash_rate_annual) ** self.years - 1)

    def impact(self, sd: Floats) -> Floats:
        """Cost of |trade|^1.5 (asset,), eq. B2, from the sd of returns over the span."""
        m = self.mandate
        if not m.impact:
            return np.zeros(len(self.assets))
        days = max(1.0, self.years * 252)
        return np.asarray(m.impact * sd / np.sqrt(days) * np.sqrt((m.nav or 1.0) / self.volume))

    def costs(self, weights: Floats, sd: Floats) -> Floats:
        """Cost of trading from what is held to ``weights``, by asset, eq. B2."""
        size = np.abs(weights - self.held)
        return np.asarray(self.cost * size + self.impact(sd) * size**1.5)


def terms_of(
    mandate: Mandate,
    assets: Sequence[str],
    asset_class: Sequence[str],
    *,
    years: float,
    holdings: Mapping[str, float] | pd.Series[float] | None = None,
    universe: pd.DataFrame | None = None,
    prices: Mapping[str, float] | pd.Series[float] | None = None,
    fixed: NDArray[np.bool_] | None = None,
) -> Terms:
    """Terms of a mandate; parameters as ``decide`` has them, ``years`` of the span.

    Raises
    ------
    UnknownLabelError
        A symbol, column or value of a column that is not there.
    DataError
        Weights, costs, volumes or prices that are no numbers or are missing where they are needed.
    """
    where, names = "mandate", tuple(assets)
    columns = _by_asset(names, asset_class, universe)
    values = {str(c): list(dict.fromkeys(columns[c].astype(str))) for c in columns}
    _known(mandate.weights, names, "weights", names, values)
    said = {column: _column_of(column, list(values)) for column in mandate.limits}
    _known({said[c]: x for c, x in mandate.limits.items()}, list(values), "limits", names, values)
    for column, table in mandate.limits.items():
        other = ""
        if said[column] == CLASS and _columns.key(column) in SECTOR_NAMES:
            other = f"Without a column {column}, {CLASS} is meant. {_GIVE}"
        _known(table, values[said[column]], f"limits.{column}", names, values, other)
    twice = next((a for a, b in combinations(said, 2) if said[a] == said[b]), None)
    if twice is not None:
        both = " and ".join(f"limits.{a}" for a in said if said[a] == said[twice])
        raise DataError(f"{where}: {both} are one column, {said[twice]}. Write its limits in one table.")
    mandate = mandate.model_copy(update={"limits": {said[c]: t for c, t in mandate.limits.items()}})
    n = len(names)
    prices_of = np.full(n, np.nan)
    if prices is not None:
        prices_of = np.array([float(prices.get(a, np.nan)) for a in names])
    lots = _numbers(columns, "lot", mandate.lot)
    if np.isfinite(lots).any() and mandate.nav is None:
        raise DataError(f"{where}: lot needs nav, the money of the book.")
    lacking = [a for a, lot, p in zip(names, lots, prices_of, strict=True) if np.isfinite(lot) and not p > 0]
    if lacking:
        raise DataError(
            f"{where}: lots need the price of {_checks.first(lacking)}. Give prices, or leave out lot."
        )
    volume = _numbers(columns, "daily_volume", mandate.daily_volume)
    missing = [a for a, v in zip(names, volume, strict=True) if not v > 0]
    if mandate.impact and missing:
        raise DataError(
            f"{where}: impact needs the daily volume of {_checks.first(missing)}. Give daily_volume here"
            " or as a column of the universe."
        )
    given = mandate.benchmark or {}
    given = {a: 1 / n for a in names} if given == "equal" else given
    return Terms(
        mandate=mandate,
        assets=names,
        held=weights_by_asset({} if holdings is None else holdings, names, where="holdings"),
        fixed=np.zeros(n, dtype=bool) if fixed is None else fixed,
        columns=columns,
        benchmark=weights_by_asset(given, names, where=f"{where}, [benchmark]"),
        cost=np.nan_to_num(_numbers(columns, "cost_bps", mandate.cost_bps)) / 1e4,
        volume=volume,
        lots=lots * prices_of / (mandate.nav or np.nan),
        prices=prices_of,
        years=years,
    )


def weights_by_asset(
    given: Mapping[str, float] | pd.Series[float], assets: Sequence[str], *, where: str
) -> Floats:
    """Weights (asset,) of a table by symbol; cash is left out. ``DataError`` for percent and amounts."""
    found = _labels.by_symbol(given, where=where)
    found = {s: w for s, w in found.items() if not is_cash(s, assets)}
    _checks.known(list(found), assets, what="asset", where=where)
    return np.array([found.get(a, 0.0) for a in assets])


def _by_asset(
    assets: Sequence[str], asset_class: Sequence[str], universe: pd.DataFrame | None
) -> pd.DataFrame:
    """Columns of the universe (asset, column), the class among them, in the order of the assets."""
    classes = pd.DataFrame({CLASS: list(asset_class)}, index=list(assets))
    if universe is None:
        return classes
    table = universe if "symbol" not in universe else universe.set_index("symbol")
    table = table.set_axis(table.index.astype(str))
    hint = "" if "symbol" in universe else "Read a file with bdfm.read_universe(path)."
    _checks.known(list(assets), list(table.index), what="asset", where="universe", hint=hint)
    rest = table.loc[list(assets)].drop(columns=[CLASS, "name"], errors="ignore")
    return pd.concat([classes, rest], axis=1)


def _column_of(name: str, columns: Sequence[str]) -> str:
    """Column of the universe that a limit names, by its own name or as the header of a file has it.

    As files of a universe are read: case and spaces do not matter, and a heading such as Anlageklasse is the
    class, unless another column has that name. Sector and its like are the class too, of a universe without
    a column of that kind. The name itself where there is no such column.
    """
    if name in columns:
        return name
    known = {_columns.key(c): c for c in reversed(columns)}
    own = _columns.key(name)
    sectors = SECTOR_NAMES & known.keys()
    is_class = own in CLASS_NAMES and not (own in SECTOR_NAMES and sectors)
    return known.get(own, CLASS if is_class else name)


def _numbers(columns: pd.DataFrame, name: str, default: float | None) -> Floats:
    """Numbers (asset,) of a column, or one number for all; NaN where neither is."""
    value = np.full(len(columns), np.nan if default is None else default, dtype=float)
    if name not in columns:
        return value
    own = pd.to_numeric(columns[name], errors="coerce")
    wrong = own.isna() & columns[name].notna() & (columns[name].astype(str).str.strip() != "")
    wrong |= own < 0
    if wrong.any():
        bad = columns.loc[wrong, name].astype(str)
        raise DataError(
            f"universe: {name} of {_checks.first(bad.index)} is {bad.iloc[0]!r}, expected a"
            " number, 0 or more."
        )
    return np.where(own.notna(), own, value)


def percent(x: float) -> str:
    """Share as people say it: 12.5 %."""
    return f"{100 * x + 0.0:.6g} %" if abs(x) >= 5e-9 else "0 %"  # solvers leave dust, of either sign


def _known(
    labels: Iterable[str],
    allowed: Sequence[str],
    table: str,
    assets: Sequence[str],
    values: Mapping[str, Sequence[str]],
    other: str = "",
) -> None:
    """Raise ``UnknownLabelError`` unless all are known; it says where a label belongs, or ``other``."""
    label = next((x for x in labels if x not in allowed), "")
    inside = labels[label] if isinstance(labels, Mapping) and label else None
    points = [f"{label}.{x}" for x in inside] if isinstance(inside, Mapping) else []
    column = next((c for c, held in values.items() if label in held), None)
    hint = other
    if label in assets:
        hint = f"{label} is an asset: give weights.{key(label)} = [lowest, highest]."
    elif whole := next((x for x in points if x in assets), ""):
        hint = f"{whole} is an asset: give weights.{key(whole)} = [lowest, highest]."
    elif column is not None:
        hint = f"{label} is a value of {column}: give limits.{key(column)}.{key(label)} = [lowest, highest]."
    elif label in values:
        hint = f"{label} is a column: give limits.{key(label)}.VALUE = [lowest, highest]."
    elif table == "limits":
        hint = _GIVE
    what = "asset" if table == "weights" else "column" if table == "limits" else "value"
    _checks.known(labels, allowed, what=what, where=f"mandate, [{table}]", hint=hint)


def limits_of(terms: Terms) -> list[Limit]:
    """Each limit of a mandate, eq. B3 to B7, in the order in which it is read."""
    from scipy import sparse  # takes a while, and only a mandate needs it

    m, n = terms.mandate, len(terms.assets)
    every: Any = sparse.eye_array(n, format="csr")
    one = np.ones((1, n))
    free = every[np.flatnonzero(~terms.fixed)]
    made: list[Limit] = []

    def add(words: str, of: Of, rows: Any, low: float | None, high: float | None) -> None:
        """A limit with a lowest and a highest number, said as two unless they are one."""
        bound = np.ones(rows.shape[0])
        if low is not None and low == high:
            made.append(
                Limit(f"{words} exactly {percent(low)}", of, rows, bound * low, "==", f"{words} {{}}", low)
            )
            return
        if low is not None:
            text = f"{words} at least {{}}"
            made.append(Limit(text.format(percent(low)), of, rows, bound * low, ">=", text, low))
        if high is not None:
            text = f"{words} at most {{}}"
            made.append(Limit(text.format(percent(high)), of, rows, bound * high, "<=", text, high))

    def as_cash(limit: Limit) -> Limit:
        """A limit of the net exposure as one of cash, which is what is not invested."""
        rest = 1 - limit.value
        text = {"<=": "cash at least {}", ">=": "cash at most {}", "==": "cash {}"}[limit.sense]
        words = f"cash exactly {percent(rest)}" if limit.sense == "==" else text.format(percent(rest))
        return replace(limit, words=words, ask=text, value=rest, step=-1.0)

    low, high = (None if abs(x) >= MOST else x for x in m.net_range or (-MOST, MOST))
    add("net exposure", "weights", one, low, high)
    if m.net is None and m.cash is not None:  # called as the manager calls it
        made = [as_cash(limit) for limit in made]
    if m.gross is not None:
        if m.gross[0] > 0:  # long only, so that gross and net are one
            add("gross exposure", "weights", one, m.gross[0], None)
        add("gross exposure", "absolute", one, None, m.gross[1])
    if m.objective == "risk_parity":  # any multiple of it is one too
        most = [x for x in (high, None if m.gross is None else m.gross[1]) if x is not None]
        if most and low != high:
            add("invested by risk parity, as much as allowed:", "weights", one, min(most), min(most))
    if m.long_only:
        zero = np.zeros(free.shape[0])
        made.append(Limit("no short positions", "weights", free, zero, ">=", "each asset at least {}", 0.0))
    if m.max_weight is not None:
        add("each asset", "weights", free, None if m.long_only else -m.max_weight, m.max_weight)
    for symbol, (lowest, highest) in m.weights.items():
        row = every[[terms.assets.index(symbol)]]
        add(symbol, "weights", row, None if m.long_only and lowest <= 0 < highest else lowest, highest)
    for column, table in m.limits.items():
        for value, (lowest, highest) in table.items():
            members = (terms.columns[column].astype(str) == value).to_numpy(dtype=float)[None, :]
            lowest_said = None if m.long_only and lowest <= 0 < highest else lowest
            add(f"{column} {value}", "weights", members, lowest_said, highest)
    if m.turnover is not None:
        add("turnover", "trades", one / 2, None, m.turnover)
    if m.tracking_error_annual is not None:
        te, root = m.tracking_error_annual, float(np.sqrt(terms.years))
        text = "tracking error at most {} a year"
        bound = np.array([te * root])
        made.append(Limit(text.format(percent(te)), "active", one, bound, "<=", text, te, 1 / root))
    if terms.fixed.any():
        names = [a for a, f in zip(terms.assets, terms.fixed, strict=True) if f]
        words = f"{_checks.first(names, NAMED)} not traded, the return being fixed"
        rows = every[np.flatnonzero(terms.fixed)]
        made.append(Limit(words, "weights", rows, terms.held[terms.fixed], "==", words, np.nan))
    return made

"""Names of columns: which are days, symbols and prices, and what is one column of each symbol among many."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from bdfm import _dates
from bdfm._reading import Reading, counted
from bdfm.errors import DataError

_LOOKED_AT: Final = 1000  # different cells of a column that say what it holds

# Names of columns, as ``key`` spells them; the first that is there is taken
DATE_NAMES: Final = (
    "date dates datum fecha day timestamp datetime date_time time trade_date trading_date tradedate"
    " trading_day stichtag handelstag data"
    " as_of as_of_date asof price_date pricing_date observation_date datadate caldt month period time_period"
).split()
_CERTAIN_DATES: Final = DATE_NAMES[:3]  # no ticker is called so, as DATA and DAY are
SYMBOL_NAMES: Final = (
    "symbol ticker tickers symbols tic ric isin sedol cusip permno secid sec_id security_id instrument asset"
    " security bbg_ticker bloomberg_ticker id code kürzel wkn symbole símbolo simbolo fund fonds wertpapier"
    " titel titre título titolo valeur valor name nom nombre nome"
).split()
PRICE_NAMES: Final = (
    "adjusted_close adj_close adjclose close_adj closeadj adjusted adj_price adjusted_price"
    " bereinigter_schlusskurs schlusskurs_bereinigt bereinigter_kurs"
    " adjusted_closing_price price px_last close"
    " closing_price close_price close_last last last_price settle nav net_asset_value value prc prccd"
    " schlusskurs schlußkurs schluss schluß schlusspreis kurs zuletzt preis"
    " clôture cloture cours_de_clôture dernier cours cierre último precio chiusura ultimo prezzo"
    " fechamento preço"
).split()
CURRENCY_NAMES: Final = (
    "currency ccy currency_code currency_cd curcd curcdd price_currency trading_currency quote_currency"
    " whg währung waehrung devise divisa"
).split()
WEIGHT_NAMES: Final = (
    "weight weights weight_% weight_(%) weights_% weight_pct weight_percent %_weight w wgt holding holdings"
    " share allocation allocation_% gewicht gewicht_% gewichtung anteil anteil_%"
).split()
PERCENT: Final = "bdfm_percent"  # attribute of a table: columns whose own names say that they are percent
_PERCENT_NAME: Final = re.compile(r"%|(?:^|_)(?:pct|percent)(?:_|$)")
_CURRENCY_END: Final = re.compile(
    r"_(in_|en_)?(\()?(eur|euro|usd|gbp|gbx|chf|jpy|cad|aud|sek|nok|dkk|€|\$|£)\)?$"
)
_CURRENCY_SIGNS: Final = {"euro": "eur", "€": "eur", "$": "usd", "£": "gbp"}
# Fields that no fund is called by, as "World Value EUR" and "Climate Change USD" are
_NO_FUND: Final = re.compile(
    r"close|closing|clôture|cloture|schlu(?:ss|ß)|kurs|cierre|chiusura|fechamento|^px_|^prc"
    r"|^(?:adj_)?(?:open|high|low|volume)(?:_price)?$|^(?:volumen|volumes|umsatz|umsätze)$"
)
_STYLES: Final = frozenset({"value"})  # which funds are called by as well as prices
_OTHER_FIELDS: Final = (
    "open high low volume vol dividends stock_splits capital_gains change change_% chg_% vwap trades turnover"
    " open_interest px_open px_high px_low px_volume open_price high_price low_price adj_open adj_high"
    " adj_low"
    " adj_volume split_factor div_cash unadjusted_close raw_close +/_% var_% %_var var% variation_%"
    " veränderung_% umsatz umsätze volumes"
).split()
# What one symbol's file has beside its closing price, in six languages
_BARS: Final = frozenset(
    (
        "open high low volume vol px_open px_high px_low px_volume"
        " eröffnung eröffn eroffnung hoch tief volumen volumes umsatz umsätze"
        " ouverture ouv plus_haut plus_bas apertura máximo mínimo maximo minimo massimo"
        " abertura máxima mínima"
    ).split()
)
_NO_PRICES: Final = frozenset(
    "volume volumes volumen umsatz umsätze px_volume dividends stock_splits capital_gains".split()
)
# What people call the parts of a date, which a table may have beside its days
_PARTS: Final = {
    name: part
    for part, names in {
        "year": "year jahr année annee año ano anno",
        "quarter": "quarter quartal",
        "month": "month monat mois mes mês mese month_number",
        "week": "week weeknum kw woche",
        "day": "day day_of_month day_of_year weekday day_of_week dayofweek dow tag wochentag jour dia día"
        " giorno",
        "any": "period time_period",
    }.items()
    for name in names.split()
}
_LEVELS: Final = frozenset(
    (
        "",
        *"price ticker tickers symbol symbols security securities attribute attributes field fields".split(),
        *"instrument name names ric isin variable".split(),
        *DATE_NAMES,
    )
)
FIELDS: Final = frozenset((*PRICE_NAMES, *_OTHER_FIELDS, *_BARS))


def key(name: object) -> str:
    """Name of a column without what people vary: case, spaces, points, stars."""
    return re.sub(r"[\s_.-]+", "_", str(name).strip().strip("*:").lower()).strip("_")


def find(names: Iterable[object], wanted: Iterable[str]) -> Any:
    """First column that has one of the wanted names, best name first; None where there is none."""
    keys = {key(n): n for n in reversed(list(names))}
    return next((keys[w] for w in wanted if w in keys), None)


def field_of(name: object) -> str:
    """Name of a column as ``key`` spells it, without the currency of a price, as in "Kurs in EUR"."""
    plain = without_currency(name)
    return plain if plain in FIELDS else key(name)


def without_currency(name: object) -> str:
    """Name of a column as ``key`` spells it, without a currency at its end."""
    return _CURRENCY_END.sub("", key(name))


def _currency_of(name: object) -> str:
    """Currency at the end of the name of a column, in one spelling; blank where there is none."""
    found = _CURRENCY_END.search(key(name))
    return "" if found is None else _CURRENCY_SIGNS.get(found[3], found[3])


def _field_behind(tail: object) -> str:
    """As ``field_of``, of what stands behind a symbol: a fund may be called World Value EUR.

    A currency is one in brackets or after "in", or where the word before it names no fund.
    """
    plain, found = field_of(tail), _CURRENCY_END.search(key(tail))
    sure = found is None or found[1] or found[2] or _NO_FUND.search(plain)
    return plain if sure else key(tail)


def find_price(names: Iterable[object], where: str, reading: Reading) -> Any:
    """First column of a price, best name first, also where its name has the currency, as "Close (USD)".

    The name without a currency is taken before others. Raises ``DataError`` where the best name comes in more
    than one currency.
    """
    every = list(names)
    fields = [field_of(n) for n in every]
    best = next((w for w in PRICE_NAMES if w in fields), None)
    if best is None:
        return None
    found = [n for n, f in zip(every, fields, strict=True) if f == best]
    taken = _one_currency(found, found, best, where)
    gone = [str(n) for j, n in enumerate(found) if j not in taken]
    if gone:
        reading.warn(f"{', '.join(gone)} left out beside {found[taken[0]]}")
    return found[taken[0]]


def _one_currency(
    names: Sequence[object], spelled: Sequence[object], field: str, where: str
) -> Sequence[int]:
    """Positions of the columns of one price that are taken: those that name no currency, or the only one.

    ``names`` are for messages, ``spelled`` is the part of each that names the price.
    """
    keys = [key(x) for x in spelled]
    exact = [j for j, k in enumerate(keys) if k == field]
    if exact:
        return exact
    if len(set(keys)) > 1:
        raise DataError(
            f"{where}: one price in more than one currency ({', '.join(map(str, names))}). Keep one of them."
        )
    return range(len(keys))


def check_one_price(fields: Collection[str], names: Sequence[str], where: str) -> None:
    """Raise ``DataError`` where symbols have different prices, adjusted and as they were, say.

    ``fields``: as ``field_of`` has them, blank where no name says it; ``names`` are for the message.
    """
    if len({*fields} - {""}) > 1:
        raise DataError(
            f"{where}: symbols have different prices ({', '.join(names[:5])}). Give the same one for each."
        )


def tell_currencies(spelled: Mapping[str, object], reading: Reading) -> None:
    """Remark on prices of symbols in different currencies, where the names of their columns say so."""
    first: dict[str, str] = {}
    for symbol, name in spelled.items():
        first.setdefault(_currency_of(name).upper(), symbol)
    first.pop("", None)
    if len(first) > 1:
        told = ", ".join(f"{s} in {c}" for c, s in first.items())
        reading.warn(f"prices in {len(first)} currencies ({told}), taken as they are")


def date_column(
    names: Sequence[object], cells: Callable[[int], Sequence[str]], *, beside: bool = False
) -> int | None:
    """Position of the column of dates, by its name; None where no name says it.

    A ticker may be called as a date is in some language (DATA, DAY): a column is taken whose cells may be
    dates. Beside days that need no name, in the first column or in the index, it must be called date, or its
    cells be whole days.

    Parameters
    ----------
    names
        Of the columns.
    cells
        Gives the first cells of a column by its position, as texts, without blank ones.
    beside
        Whether the index holds days.
    """
    keys = [key(n) for n in names]
    named = sorted((DATE_NAMES.index(k), j) for j, k in enumerate(keys) if k in DATE_NAMES)
    begins = cells(0) if keys else ()
    nameless = len(keys) > 1 and not keys[0] and bool(begins) and all(map(_dates.looks_like_a_day, begins))
    for _, j in named:
        texts = cells(j)
        if keys[j] in _CERTAIN_DATES:
            return j
        if beside or nameless:
            if texts and all(map(_dates.names_a_day, texts)):
                return j
        elif not texts or (_dates.families(texts) != "").any():
            return j
    if nameless and not beside:
        return 0
    if beside or not named:
        return None
    first_has_days = len(begins) > 0 and bool((_dates.families(begins) != "").all())
    return 0 if first_has_days else named[0][1]


def parts_of_days(table: pd.DataFrame) -> list[int]:
    """Positions of columns of dates, or of parts of the days of the index: month, day, weekday.

    The name and all cells say so: DAY is a ticker too, whose prices are no days of a month.
    """
    days = pd.DatetimeIndex(table.index)
    if table.columns.nlevels > 1 or len(days) < 2:
        return []
    return [
        j for j, c in enumerate(table.columns) if may_be_part(c) and _again(table.iloc[:, j], days, key(c))
    ]


def may_be_part(name: object) -> bool:
    """Whether a column may be called so that says a part of the date."""
    return key(name) in _PARTS or key(name) in DATE_NAMES


def _again(column: pd.Series[Any], days: pd.DatetimeIndex, name: str) -> bool:
    """Whether all cells are dates, or the part of the day of their row that the name says."""
    texts = column.astype(str).str.strip().str.casefold()
    known = column.notna().to_numpy() & (texts != "").to_numpy()
    column, texts, days = column[known], texts[known], days[known]
    if not len(texts):
        return False
    if texts.str.fullmatch(r"\d{8}").all():  # other dates are texts, which no prices are taken for
        return all(map(_dates.names_a_day, texts.unique()[:_LOOKED_AT]))
    if _dates.names_a_day(texts.iloc[0]):
        try:
            return _dates.parse(column, where=name).days.equals(days)
        except DataError:
            return False
    weekday = days.day_of_week
    parts: dict[str, list[Any]] = {
        "year": [days.year],
        "quarter": [days.quarter],
        "month": [days.month, days.year * 100 + days.month],
        "week": [days.isocalendar().week],
        "day": [days.day, days.day_of_year, weekday, weekday + 1, (weekday + 1) % 7, (weekday + 1) % 7 + 1],
    }
    kind = _PARTS.get(name)
    of_kind = [p for k, given in parts.items() if kind in (k, "any") for p in given]
    cells = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)
    if any(np.array_equal(cells, np.asarray(part, dtype=float)) for part in of_kind):
        return True
    full = {"day": days.day_name, "month": days.month_name}.get(str(kind))
    words = None if full is None else full().str.casefold()
    return words is not None and any(np.array_equal(texts, w) for w in (words, words.str[:3]))


def is_level(cell: str) -> bool:
    """Whether a text may stand at the left of a row of column names that is not the last one."""
    return key(cell) in _LEVELS


def is_field(name: object) -> bool:
    """Whether a column name says what of a symbol its numbers are."""
    return field_of(name) in FIELDS


def two_level(columns: pd.Index[Any]) -> pd.Index[Any]:
    """Columns as two levels, where texts such as "('Close', 'AAPL')" hide them; more are reduced."""
    if columns.nlevels == 1:
        hidden = [c for c in columns if isinstance(c, str) and re.match(r"^\(['\"].*['\"]\)$", c)]
        if not hidden or len(hidden) < len(columns) - 1:
            return columns
        try:
            pairs = [ast.literal_eval(c) if c in set(hidden) else (c, "") for c in columns]
            columns = pd.MultiIndex.from_tuples(pairs)
        except (ValueError, SyntaxError, TypeError):
            return columns
    while columns.nlevels > 2:
        same = [i for i in range(columns.nlevels) if columns.get_level_values(i).nunique() == 1]
        if not same:
            break
        columns = columns.droplevel(same[:1])  # type: ignore[arg-type]
    return columns


def record_columns(table: pd.DataFrame, wanted: Mapping[str, Iterable[str]]) -> pd.DataFrame:
    """Table whose columns have this package's names: ``wanted`` says which other names each goes by."""
    if not wanted:
        return table
    keys = [key(c) for c in table.columns]
    new = dict(zip(table.columns, keys, strict=True))
    for name, others in wanted.items():
        if name in keys:
            continue
        taken = next((o for o in others if o in keys and new[table.columns[keys.index(o)]] == o), None)
        if taken is not None:
            new[table.columns[keys.index(taken)]] = name
    made = table.rename(columns=new)
    made.attrs[PERCENT] = [
        new[c] for c, k in zip(table.columns, keys, strict=True) if _PERCENT_NAME.search(k)
    ]
    return made


def one_field(table: pd.DataFrame, where: str, reading: Reading) -> pd.DataFrame:
    """Table of one column for each symbol, from two levels: fields and symbols, in either order."""
    columns = table.columns
    if columns.nlevels > 2:
        raise DataError(
            f"{where}: {columns.nlevels} levels of column names; expected one, or price and symbol."
        )
    shares = [np.mean([is_field(x) for x in columns.get_level_values(i).unique()]) for i in range(2)]
    level = int(np.argmax(shares))
    if shares[level] < 1:
        fields = ", ".join(str(x) for x in columns.get_level_values(0).unique()[:5])
        raise DataError(
            f"{where}: two levels of column names, neither of which is prices ({fields}). Expected Adj"
            " Close or"
            " Close and symbols."
        )
    names, symbols = columns.get_level_values(level), columns.get_level_values(1 - level)
    keys = [field_of(n) for n in names]
    everyone = list(dict.fromkeys(symbols))
    for wanted in PRICE_NAMES:
        here = [j for j, k in enumerate(keys) if k == wanted]
        if {symbols[j] for j in here} == set(everyone):
            taken = []
            for symbol in everyone:
                own = [j for j in here if symbols[j] == symbol]
                told = [f"{symbol} {names[j]}" for j in own]
                kept = _one_currency(told, [names[j] for j in own], wanted, where)
                taken += [own[i] for i in kept]
            taken.sort()
            gone = list(dict.fromkeys(str(names[j]) for j in here if j not in set(taken)))
            if gone:
                reading.warn(f"{', '.join(gone)} left out beside {names[taken[0]]}")
            tell_currencies({str(symbols[j]): names[j] for j in taken}, reading)
            reading.layout = "two-level columns"
            reading.column = str(names[taken[0]])
            return table.iloc[:, taken].set_axis([str(symbols[j]) for j in taken], axis=1)
    raise DataError(
        f"{where}: no price that all {counted(len(everyone), 'symbol has', 'symbols have')}; found"
        f" {', '.join(dict.fromkeys(map(str, names)))}."
        " Expected Adj Close or Close for each."
    )


def kind_of(table: pd.DataFrame) -> str:
    """What the columns of a table without symbols are: ohlcv, price, pairs or wide."""
    names = [str(c) for c in table.columns]
    keys = [field_of(n) for n in names]
    if keys and all(k in FIELDS for k in keys):
        marked = [bool(re.search(r"\)\s*$| in | en ", n)) for n in names]
        plain = [m or key(n) in FIELDS for m, n in zip(marked, names, strict=True)]
        if len(set(keys)) < len(keys) and any(marked) and all(plain):
            return "ohlcv"  # one price in two currencies; "Close EUR" may be that of an asset EUR
        if len(keys) == 1:
            return "price" if keys[0] in PRICE_NAMES else "wide"
        if len(set(keys) & _BARS) + (len(set(keys) & set(PRICE_NAMES)) > 0) >= 2 and len(
            set(keys) & set(PRICE_NAMES)
        ):
            return "ohlcv"
    if len(keys) > 1 and set(keys) <= FIELDS and len(set(keys) & _BARS) > 1:
        return "bars"
    pairs = _split_names(names)
    split = [p for p in pairs if p is not None]
    if not split:
        return "wide"
    if len(split) == len(names):
        return "pairs"
    alone = {n for n, p in zip(names, pairs, strict=True) if p is None}
    counts = pd.Series([s for s, _ in split]).value_counts()
    return "pairs" if any(s in alone for s, _ in split) or (counts > 1).any() else "wide"


def split_name(name: str) -> tuple[str, str] | None:
    """Symbol and field of a column such as AAPL_Close or Close.AAPL; None for a plain symbol."""
    cuts = [m.start() for m in re.finditer(r"[\s_.|/:-]+", name)]
    for place in cuts:  # the longest field at the end first
        head, tail = name[:place], name[place:].lstrip(" _.|/:-")
        if head and _field_behind(tail) in FIELDS:
            return head.strip(), tail
    for place in reversed(cuts):
        head, tail = name[:place], name[place:].lstrip(" _.|/:-")
        if tail and is_field(head):
            return tail.strip(), head
    return None


def _split_names(names: Sequence[str]) -> list[tuple[str, str] | None]:
    """``split_name`` of columns that stand together: World Value beside World, its price, is another fund."""
    pairs = [split_name(n) for n in names]
    alone = {n for n, p in zip(names, pairs, strict=True) if p is None}
    funds = [p is not None and n == f"{p[0]} {p[1]}" and p[0] in alone and key(p[1]) in _STYLES
             for n, p in zip(names, pairs, strict=True)]  # fmt: skip
    return [None if is_fund else p for is_fund, p in zip(funds, pairs, strict=True)]


def one_per_symbol(table: pd.DataFrame, where: str, reading: Reading, name: str) -> pd.DataFrame:
    """Table of one price column for each symbol, from open, high, low, close and volume of it."""
    kind = kind_of(table)
    names = [str(c) for c in table.columns]
    if kind == "bars":
        raise DataError(
            f"{where} (ohlcv): the columns are one symbol's ({', '.join(names[:6])}), and none of them is its"
            " closing price. Expected Adj Close or Close."
        )
    if kind in ("ohlcv", "price"):
        price = find_price(names, where, reading)
        if not name:
            if kind == "price":
                return table
            raise DataError(
                f"{where} (ohlcv): the columns are one symbol's prices and volume"
                f" ({', '.join(names[:6])}), not"
                f" assets. Give the column of its price under the symbol's name:"
                f" table[[{price!r}]].rename(columns={{{price!r}: 'SYMBOL'}})."
            )
        reading.layout, reading.column = "one symbol's file", price
        reading.note(f"taken as the asset {name}, after the file")
        return table[[price]].set_axis([name], axis=1)
    if kind == "wide":
        none = [n for n in names if key(n) in _NO_PRICES]
        if none:
            raise DataError(f"{where} (ohlcv): the column {none[0]} is no asset's price. Leave it out.")
        return table
    pairs = dict(zip(names, _split_names(names), strict=True))
    by_symbol: dict[str, dict[str, list[str]]] = {}
    for n, pair in pairs.items():
        symbol, field = (n, "") if pair is None else pair
        by_symbol.setdefault(symbol, {}).setdefault(_field_behind(field), []).append(n)
    taken, spelled, fields = {}, {}, set()
    for symbol, own in by_symbol.items():
        best = next((w for w in ("", *PRICE_NAMES) if w in own), None)
        if best is None:
            every = ", ".join(n for given in own.values() for n in given)
            raise DataError(
                f"{where} (ohlcv): {every} are columns of {symbol}, and none of them is a price. Expected its"
                " Adj Close or Close."
            )
        heads = [(pairs[n] or ("", ""))[1] for n in own[best]]
        one = _one_currency(own[best], heads, best, where)[0]
        taken[symbol], spelled[symbol] = own[best][one], heads[one]
        fields.add(best)
    check_one_price(fields, list(taken.values()), f"{where} (ohlcv)")
    tell_currencies(spelled, reading)
    reading.layout, reading.column = "a column for each symbol and price", next(iter(spelled.values()))
    gone = [n for n in names if n not in set(taken.values())]
    if gone:
        more = f" and {len(gone) - 5} more" if len(gone) > 5 else ""
        reading.warn(
            f"{counted(len(gone), 'other column')} of these symbols left out ({', '.join(gone[:5])}{more})"
        )
    return table[list(taken.values())].set_axis(list(taken), axis=1)


def stem(path: Path) -> str:
    """Symbol that a file of one symbol is named after: its name without endings, or that of its sheet."""
    text = re.sub(r"^.+\.xls[xm]#", "", path.name, flags=re.I)
    for _ in range(2):
        text = re.sub(r"\.(csv|txt|tsv|gz|zip|bz2|xz|parquet|pq|xlsx|xlsm)$", "", text, flags=re.I)
    return text

"""What commands would refuse about tables, beyond what rules find: their doors are tried, not their fits."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Final

import pandas as pd

from bdfm.backtest.protocol import MarketData
from bdfm.data.doubts.door import examine
from bdfm.data.doubts.finding import Finding, Findings
from bdfm.data.doubts.tables import Purpose, Tables
from bdfm.data.panel import Panel
from bdfm.data.risk_free import split_risk_free
from bdfm.data.settings import PanelSettings
from bdfm.errors import BdfmError
from bdfm.exposures.data import ExposureData
from bdfm.risk.choices import Kind
from bdfm.risk.from_files import estimator_from_files, returns_to_fit
from bdfm.risk.spans import one_span, usual_span

WINDOW: Final = 104  # periods of bdfm risk, if not given
LEAST: Final = 2  # assets that are worth a look
RULE: Final = "command"  # name of what no rule finds and a command refuses; nothing accepts it


def refused_by_commands(tables: Tables, found: Findings, accept: Collection[str]) -> Iterator[Finding]:
    """Findings about what the commands that take these tables would refuse, and rules have not.

    ``forecast`` is tried where there are a universe and an origin, of monthly prices by calendar months,
    ``backtest`` with a universe alone, ``exposures`` with factors, ``risk`` with a portfolio or factors, or
    with prices alone. All of them refuse: so does the finding; if one takes the tables, it warns. What rules
    refuse is left out first, so that one look tells all.
    """
    doors = dict(_doors(tables))
    told: list[tuple[Purpose, Finding]] = []
    for name in doors:
        known = {(f.rule, f.labels) for f in found if f.severity == "refuse"}
        rules = () if name == "risk" else examine(_seen_by(tables, name), accept=accept).of("refuse")
        told += [(name, f) for f in rules if (f.rule, f.labels) not in known]
        rest = _without(tables, (*rules, *found.of("refuse")))
        if rest is None:
            continue  # its reader would only say the same in other words
        door = dict(_doors(rest))[name]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                door()
        except BdfmError as error:
            told.append(
                (name, Finding(RULE, "refuse", "prices", (), (), str(error), "", "", acceptable=False))
            )
    all_of_them = {name for name, _ in told} == set(doors)
    for command, f in told:
        seen = f"bdfm {command} refuses this: {f.seen.rstrip('.')}"
        yield replace(f, severity="refuse" if all_of_them else "warn", seen=seen)


def _without(tables: Tables, refused: Collection[Finding]) -> Tables | None:
    """Tables without what these findings name; None where one is about a table, or where little is left."""
    if not refused:
        return tables
    prices, universe, factors, book = tables.prices, tables.universe, tables.factors, tables.portfolio
    labels = {label for f in refused for label in f.labels}
    named = {str(x) for t in (prices, factors) if t is not None for x in t.columns}
    if prices is None or not all(named.intersection(f.labels) for f in refused):
        return None
    left = [c for c in prices.columns if str(c) not in labels]
    known = None if factors is None else factors[[c for c in factors.columns if str(c) not in labels]]
    members = None if universe is None else universe[~universe["symbol"].astype(str).isin(labels)]
    if len(left) < LEAST or (known is not None and known.empty):
        return None
    if members is not None and len(members) < LEAST:
        return None
    return replace(
        tables,
        prices=prices[left],
        factors=known,
        universe=members,
        portfolio=None if book is None else book[[c for c in book.columns if str(c) not in labels]],
        inactive=[x for x in tables.inactive if x not in labels],
    )


def _doors(tables: Tables) -> Iterator[tuple[Purpose, Callable[[], object]]]:
    """Commands that take tables as these, and what reads them there."""
    prices, universe, factors, origin = tables.prices, tables.universe, tables.factors, tables.origin
    if prices is None:
        return
    closes, calendar = prices, tables.earnings
    if origin is not None:
        closes = prices.loc[prices.index <= origin]
        factors = None if factors is None else factors.loc[factors.index <= origin]
    mine = [c for c in closes.columns if universe is None or str(c) in set(universe["symbol"])]
    if universe is not None and origin is not None:
        usual = PanelSettings(period="month") if _monthly(closes) else PanelSettings()
        yield (
            "forecast",
            lambda: Panel.from_prices(
                prices,
                universe,
                origin=origin,
                earnings=calendar,
                settings=usual,
                zero=tables.inactive,
                accept=None,
            ),
        )
    elif universe is not None:
        yield "backtest", lambda: MarketData.of(prices, universe, calendar, accept=None)
    if factors is not None:
        known, rate = split_risk_free(factors)
        yield "exposures", lambda: ExposureData.from_prices(closes[mine], known, risk_free=rate, accept=None)
    if tables.portfolio is not None or factors is not None or universe is None:
        yield "risk", lambda: _risk(closes, factors, tables.portfolio)


def _monthly(prices: pd.DataFrame) -> bool:
    """Whether prices are monthly, which a forecast takes by calendar months alone."""
    try:
        return usual_span(prices, accept=("*",)).unit == "months"
    except BdfmError:
        return False  # what is wrong with them, the door says


def _risk(prices: pd.DataFrame, factors: pd.DataFrame | None, portfolio: pd.DataFrame | None) -> None:
    length = one_span(prices, period=None, period_days=None, calendar_months=False, accept=("*",))
    symbols = {str(c) for c in prices.columns}
    weights = pd.DataFrame() if portfolio is None else portfolio
    held = [str(c) for c in weights.columns[(weights != 0).any()] if str(c) in symbols]
    returns = returns_to_fit(prices, length, WINDOW, held=held, accept=None).returns
    kind = Kind.STATISTICAL if factors is None else Kind.TIME_SERIES
    estimator_from_files(kind, prices, returns, None, factors=factors, accept=("*",)).fit(returns)


def _seen_by(tables: Tables, name: Purpose) -> Tables:
    """Tables as a command looks at them: for exposures, the days that prices and factors share."""
    if name != "exposures" or tables.prices is None or tables.factors is None:
        return replace(tables, purpose=name)
    days = tables.prices.index[tables.prices.index.isin(tables.factors.index)]
    low, high = (days.min(), days.max()) if len(days) else (None, None)
    return replace(
        tables, purpose=name, prices=tables.prices.loc[low:high], factors=tables.factors.loc[low:high]
    )

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
from bdfm.errors import BdfmError
from bdfm.exposures.data import ExposureData
from bdfm.risk.choices import Kind
from bdfm.risk.from_files import estimator_from_files, returns_to_fit
from bdfm.risk.spans import one_span

WINDOW: Final = 104  # periods of bdfm risk, if not given
RULE: Final = "command"  # name of what no rule finds and a command refuses; nothing accepts it


def refused_by_commands(tables: Tables, found: Findings, accept: Collection[str]) -> Iterator[Finding]:
    """Findings about what the commands that take these tables would refuse, and rules have not.

    ``forecast`` is tried where there are a universe and an origin, ``backtest`` with a universe alone,
    ``exposures`` with factors, ``risk`` with a portfolio or factors, or with prices alone. All of them
    refuse: so does the finding; if one takes the tables, it warns.
    """
    doors = dict(_doors(tables))
    told: list[tuple[Purpose, Finding]] = []
    for name, door in doors.items():
        known = {(f.rule, f.labels) for f in found if f.severity == "refuse"}
        rules = () if name == "risk" else examine(_seen_by(tables, name), accept=accept).of("refuse")
        told += [(name, f) for f in rules if (f.rule, f.labels) not in known]
        if rules or found.of("refuse"):
            continue  # its reader would only say the same in other words
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
        yield (
            "forecast",
            lambda: Panel.from_prices(
                prices, universe, origin=origin, earnings=calendar, inactive=tables.inactive, accept=None
            ),
        )
    elif universe is not None:
        yield "backtest", lambda: MarketData.of(prices, universe, calendar, accept=None)
    if factors is not None:
        known, rate = split_risk_free(factors)
        yield "exposures", lambda: ExposureData.from_prices(closes[mine], known, risk_free=rate, accept=None)
    if tables.portfolio is not None or factors is not None or universe is None:
        yield "risk", lambda: _risk(closes, factors, tables.portfolio)


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

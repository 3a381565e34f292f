"""A book's risk from files: one way from prices, portfolio and settings to models, for every command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._reading import counted, cut
from bdfm._symbols import Aliases, check_aliases, did_you_mean
from bdfm.data.doubts.door import doubt_aliases, doubt_beside
from bdfm.data.factor_files import read_factors
from bdfm.data.periods import trading_days_between
from bdfm.data.risk_free import split_risk_free
from bdfm.data.sources import read_prices, read_universe
from bdfm.errors import DataError
from bdfm.exposures.choices import Unit
from bdfm.exposures.result import Exposures
from bdfm.exposures.risk import exposures_risk
from bdfm.names import DAY
from bdfm.posterior.posterior import Posterior
from bdfm.risk.base import RiskModel
from bdfm.risk.choices import Kind
from bdfm.risk.from_files import (
    Fits,
    equal_weights,
    estimator_from_files,
    fit_each,
    prices_until,
    read_portfolios,
    returns_to_fit,
    risk_from_posterior,
    told_of_cash,
)
from bdfm.risk.group_files import Groups, read_groups
from bdfm.risk.returns import examined
from bdfm.risk.spans import Span, one_span, usual_horizon

BAYESIAN = "Bayesian"


@dataclass(frozen=True)
class Request:
    """Files and settings of a book's risk, as the options of ``bdfm risk`` say them.

    ``benchmark`` is a file like ``portfolio``, of one portfolio, or a symbol of the prices. ``kinds`` empty
    takes all models that the files allow. ``instruments`` of a hedge are assets to keep, as if held.
    ``horizon`` in periods is one period of a length that was chosen, four weeks or a month where none was.
    """

    prices: Path
    portfolio: Path | None = None
    benchmark: str | None = None
    kinds: tuple[Kind, ...] = ()
    only: tuple[str, ...] = ()
    universe: Path | None = None
    origin: str | None = None
    period: str | None = None
    period_days: int | None = None
    calendar_months: bool = False
    window: int = 104
    half_life_periods: float | None = None
    horizon: float | None = None
    factors: Path | None = None
    unit: Unit = Unit.decimal
    sectors: Path | None = None
    countries: Path | None = None
    estimation: Path | None = None
    posterior: Path | None = None
    exposures: Path | None = None
    date_format: str | None = None
    decimal_mark: str | None = None
    aliases: Aliases = field(default_factory=lambda: check_aliases({}))
    accept: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()


class Book(NamedTuple):
    """Portfolios, returns and models made of a request.

    ``models`` are over the horizon, the Bayesian one over its own period; those of ``fits`` over one period.
    ``told`` says what of the portfolios is cash. ``prices`` end at the origin; ``factors`` are daily,
    in decimals, perhaps with a risk-free rate.
    """

    models: dict[str, RiskModel]
    fits: Fits
    returns: pd.DataFrame
    weights: pd.DataFrame
    benchmark: pd.Series[float] | None
    prices: pd.DataFrame
    factors: pd.DataFrame | None
    groups: Groups
    length: Span
    left_out: list[str]
    without_risk: list[str]
    told: list[str]
    request: Request
    posterior: Posterior | None

    @property
    def horizon(self) -> float:
        """Periods that the models' risk is over."""
        return _horizon(self.request, self.length)

    @property
    def span(self) -> str:
        """Horizon in words, such as "28 days"."""
        return self.length.words(self.horizon)

    @property
    def held(self) -> list[str]:
        """Assets that a portfolio or the benchmark holds."""
        names = [str(c) for c in self.weights.columns[(self.weights != 0).any()]]
        more = [] if self.benchmark is None else [str(a) for a in self.benchmark.index]
        return list(dict.fromkeys([*names, *more, *self.request.instruments]))


def book_of(request: Request, *, say: Callable[..., None] = lambda *_: None) -> Book:
    """Models of the assets of a price file, and portfolios of them; ``say`` is called with the tables read.

    Raises
    ------
    FileError, DataError, UnknownLabelError
        Files that are no tables, options that exclude each other, portfolios of unknown assets, an origin
        outside of the prices, a held asset without returns, no model that can be made.
    """
    r = request
    forms = {"date_format": r.date_format, "decimal_mark": r.decimal_mark}
    last = (
        None if r.origin is None else _checks.as_date(r.origin, where="--origin", date_format=r.date_format)
    )
    whole = read_prices(r.prices, **forms, aliases=r.aliases)
    say(whole)
    table = prices_until(whole, last)
    length = one_span(
        table,
        period=r.period,
        period_days=r.period_days,
        calendar_months=r.calendar_months,
        accept=r.accept,
    )
    symbols = [str(c) for c in table.columns]
    weights = None
    if r.portfolio is not None:
        weights = read_portfolios(
            r.portfolio, symbols, aliases=r.aliases, decimal_mark=r.decimal_mark, accept=r.accept
        )
    against = None if r.benchmark is None else _benchmark(r, r.benchmark, symbols)
    members = None if r.universe is None else read_universe(r.universe, aliases=r.aliases)
    known = None if r.factors is None else read_factors(r.factors, unit=r.unit.value, **forms, accept=None)
    _files_without_a_model(r)
    say(weights, members, known)
    groups = read_groups(r.sectors, r.countries, r.estimation, symbols=symbols, aliases=r.aliases, say=say)
    taken = [*r.only, *([] if members is None else members["symbol"])]
    doubt_aliases(r.aliases, accept=r.accept)
    owned = [] if weights is None else [str(c) for c in weights.columns[(weights != 0).any()]]
    held = [c for c in owned if c in set(symbols)]  # not cash
    held = list(dict.fromkeys([*held, *([] if against is None else against.index), *r.instruments]))
    _checks.known(r.instruments, symbols, what="symbol", where="--hedge", alias=True)
    chosen = returns_to_fit(table, length, r.window, only=taken, held=held, accept=r.accept)
    returns = chosen.returns
    if known is not None:
        doubt_beside(table[list(returns.columns)], known, accept=r.accept)
    silent = {s for s in chosen.still if against is not None and s in against.index} | {
        s for s in chosen.still if s in r.instruments
    }
    if silent:
        raise DataError(
            f"risk: {_checks.first(sorted(silent))}, of the benchmark or the hedge, never moves: it has no"
            " risk. Leave it out."
        )
    kinds = list(r.kinds or [k for k in Kind if k is not Kind.TIME_SERIES or r.factors is not None])
    make = {
        kind.value: partial(
            estimator_from_files,
            kind,
            table,
            returns,
            r.half_life_periods,
            factors=known,
            groups=groups,
            accept=r.accept,
        )
        for kind in kinds
    }
    fits = fit_each(make, returns, needed=r.posterior is None and r.exposures is None)
    models = {name: own.scale_to(_horizon(r, length)) for name, own in fits.models.items()}
    portfolios = equal_weights(returns) if weights is None else weights
    told = told_of_cash(portfolios, chosen)
    if lost := [s for s in chosen.still if s not in held]:
        told.insert(0, f"Left out, since their prices never move: {', '.join(lost)}.")
    portfolios = portfolios[[c for c in portfolios.columns if c in set(returns.columns)]]
    posterior = None
    if r.posterior is not None:
        posterior = Posterior.load(r.posterior)
        every = pd.DatetimeIndex(whole.index)
        models[BAYESIAN] = risk_from_posterior(
            posterior, portfolios, table.index[-1], days=every, where=r.posterior.name
        )
        more = [] if against is None else list(against.index)
        _checks.known([*more, *r.instruments], models[BAYESIAN].assets, what="asset", where=r.posterior.name)
    if r.exposures is not None:
        found = _moving(r, r.exposures, table, known, length)
        own = [str(c) for c in portfolios.columns[(portfolios != 0).any()]]
        more = [*([] if against is None else against.index), *r.instruments]
        _checks.known([*own, *more], found.assets, what="asset", where=r.exposures.name)
        models[found.kind] = found
    return Book(
        models,
        fits,
        returns,
        portfolios,
        against,
        table,
        known,
        groups,
        length,
        chosen.left_out,
        chosen.still,
        told,
        request,
        posterior,
    )


def _horizon(r: Request, length: Span) -> float:
    chosen = r.period is not None or r.period_days is not None or r.calendar_months
    return usual_horizon(length, chosen=chosen) if r.horizon is None else r.horizon


def _files_without_a_model(r: Request) -> None:
    """Refuse files that no model asked for would read."""
    files = {"--sectors": r.sectors, "--countries": r.countries, "--estimation": r.estimation}
    given = [name for name, path in files.items() if path is not None]
    if given and r.kinds and Kind.CROSS_SECTIONAL not in r.kinds:
        raise DataError(
            f"{', '.join(given)}: for the cross-sectional model alone, which --model leaves out. Add --model"
            f" {Kind.CROSS_SECTIONAL.value}, or leave the file out."
        )
    if r.factors is not None and r.kinds and Kind.TIME_SERIES not in r.kinds and r.exposures is None:
        raise DataError(
            "--factors: for the time-series model and --exposures, which are left out. Add --model"
            f" {Kind.TIME_SERIES.value}, or leave the file out."
        )


def _moving(
    r: Request, path: Path, prices: pd.DataFrame, factors: pd.DataFrame | None, length: Span
) -> RiskModel:
    """Risk model over the horizon of exposures that move, of a file of ``bdfm exposures``."""
    exposures = Exposures.load(path)
    every = exposures.dataset[DAY].to_index()
    days = every[every <= prices.index[-1]]
    last = prices.index[-1]
    if not len(days) or len(trading_days_between(days[-1], last, pd.DatetimeIndex(prices.index))):
        raise DataError(
            f"{path.name}: exposures run from {every[0]:%Y-%m-%d} to {every[-1]:%Y-%m-%d}, and the other"
            f" models use prices up to {last:%Y-%m-%d}. Choose an --origin among their days."
        )
    _checks.known(exposures.assets, [str(c) for c in prices.columns], what="asset", where=path.name)
    # The first of their days has no day before it among them: its return is missing, and is not needed.
    logs = np.log(prices[exposures.assets].reindex(days).to_numpy(dtype=float))
    returns = pd.DataFrame(np.diff(logs, axis=0, prepend=np.nan), days, exposures.assets)
    rate = None if factors is None else split_risk_free(factors)[1]
    if rate is not None:
        returns = returns.sub(pd.Series(np.log1p(rate.reindex(days).fillna(0.0).to_numpy()), days), axis=0)
    part = replace(exposures, dataset=exposures.dataset.sel({DAY: days}))
    in_days = {"market days": 1.0, "days": 5 / 7, "months": 21.0}[length.unit]
    with examined():  # as prices, with what was accepted of them
        model = exposures_risk(part, returns)
    return model.scale_to(_horizon(r, length) * length.size * in_days)


def _benchmark(r: Request, given: str, symbols: list[str]) -> pd.Series[float]:
    if given in symbols:
        return pd.Series({given: 1.0})
    path = Path(given)
    if not _checks.there(path):
        raise DataError(
            f"--benchmark: {cut(given)} is neither a file nor a symbol of the prices."
            f"{did_you_mean(given, symbols)}"
        )
    table = read_portfolios(
        path,
        symbols,
        aliases=r.aliases,
        decimal_mark=r.decimal_mark,
        accept=r.accept,
        what="benchmark",
    )
    if len(table) != 1:
        raise DataError(
            f"--benchmark: {path.name} holds {counted(len(table), 'portfolio')}"
            f" ({_checks.first(table.index)})."
            " Keep one."
        )
    row = table.iloc[0]
    return row[row != 0].astype(float)

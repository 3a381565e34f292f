"""Options of the commands that make risk models of a book, in one place: ``with_options`` spreads them."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from bdfm.cli.options import (
    Accept,
    Alias,
    CalendarMonths,
    Countries,
    DateFormat,
    DecimalMark,
    Estimation,
    ExposuresFile,
    Factors,
    FactorUnit,
    HalfLife,
    Horizon,
    Kinds,
    Members,
    Only,
    Origin,
    Period,
    PeriodDays,
    PosteriorFile,
    Sectors,
    Window,
    aliases_of,
)
from bdfm.exposures.choices import Unit

if TYPE_CHECKING:
    from bdfm.report.book import Request


@dataclass(frozen=True)
class BookOptions:
    """How the risk models of a book are made: each field is an option, in the order of ``--help``."""

    model: Kinds = None
    only: Only = None
    universe: Members = None
    origin: Origin = None
    period: Period = None
    period_days: PeriodDays = None
    calendar_months: CalendarMonths = False
    window: Window = 104
    half_life_periods: HalfLife = None
    horizon: Horizon = None
    factors: Factors = None
    unit: FactorUnit = Unit.decimal
    sectors: Sectors = None
    countries: Countries = None
    estimation: Estimation = None
    posterior: PosteriorFile = None
    exposures: ExposuresFile = None
    date_format: DateFormat = None
    decimal_mark: DecimalMark = None
    alias: Alias = None
    accept: Accept = None

    def given(self, *but: str) -> dict[str, bool]:
        """Names of options, and whether each has another value than its default; without those named."""
        return {
            f"--{f.name.replace('_', '-')}": getattr(self, f.name) != f.default
            for f in fields(self)
            if f.name not in but
        }

    def request(
        self,
        prices: Path,
        portfolio: Path | None,
        *,
        benchmark: str | None = None,
        instruments: tuple[str, ...] = (),
    ) -> Request:
        """What ``book_of`` makes models and portfolios of."""
        from bdfm.report.book import Request

        given: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        renamed: dict[str, Any] = {
            "kinds": tuple(given.pop("model") or ()),
            "only": tuple(given.pop("only") or ()),
            "accept": tuple(given.pop("accept") or ()),
            "aliases": aliases_of(given.pop("alias")),
        }
        return Request(prices, portfolio, benchmark, instruments=instruments, **given, **renamed)


def with_options(group: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Command whose one parameter of the type ``group``, a dataclass, becomes an option for each field."""

    def spread(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(command, include_extras=True)
        own = get_type_hints(group, include_extras=True)
        options = {f.name: MISSING if f.default is MISSING else f.default for f in fields(group)}
        parameters: list[inspect.Parameter] = []
        for p in inspect.signature(command).parameters.values():
            if hints[p.name] is group:
                at = p.name
                rows = [(name, own[name], default) for name, default in options.items()]
            else:
                rows = [(p.name, hints[p.name], p.default)]
            parameters += [
                inspect.Parameter(
                    name,
                    inspect.Parameter.KEYWORD_ONLY,
                    annotation=hint,
                    default=inspect.Parameter.empty if default is MISSING else default,
                )
                for name, hint, default in rows
            ]

        @functools.wraps(command)
        def run(**given: Any) -> None:
            command(**{at: group(**{name: given.pop(name) for name in options})}, **given)

        # What typer reads instead of the command's own
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        annotations = {p.name: p.annotation for p in parameters} | {"return": None}
        run.__annotations__ = annotations
        if sys.version_info >= (3, 14):  # functools.wraps carries on these, not the ones that are set
            run.__annotate__ = lambda _: annotations
        return run

    return spread

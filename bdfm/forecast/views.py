"""Views: statements about the forecast period that change the weights of the draws, never the draws.

All kinds of them in one place, for users (``bdfm.views``). What all share, and what evidence and constraints
mean, says ``view``; a new view is a class in ``return_views``, ``event_views`` or
``tail_views`` and a name in ``AnyView``.

Returns are simple, over the forecast horizon, as decimals. Everything here works on plain arrays; users meet
it as ``Forecast.with_views``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field

from bdfm._strict import strict
from bdfm.forecast.choices import FORMS
from bdfm.forecast.event_views import EventView, Ordering, Quantile
from bdfm.forecast.records import Record
from bdfm.forecast.return_views import (
    Absolute,
    Correlation,
    Portfolio,
    Relative,
    ReturnView,
    Volatility,
)
from bdfm.forecast.statements import by_kind, read
from bdfm.forecast.tail_views import Below, Shortfall, TailView, ValueAtRisk
from bdfm.forecast.view import View
from bdfm.forecast.view_texts import parse

__all__ = [
    "FORMS",
    "KINDS",
    "Absolute",
    "AnyView",
    "Below",
    "Correlation",
    "EventView",
    "Ordering",
    "Portfolio",
    "Quantile",
    "Relative",
    "ReturnView",
    "Shortfall",
    "TailView",
    "ValueAtRisk",
    "View",
    "Volatility",
    "from_record",
    "make_view",
    "parse",
]

AnyView = Annotated[
    Absolute
    | Relative
    | Portfolio
    | Volatility
    | Correlation
    | Ordering
    | Quantile
    | Below
    | ValueAtRisk
    | Shortfall,
    Field(discriminator="kind"),
]
KINDS: Final[dict[str, type[View]]] = by_kind(AnyView)


@strict
def make_view(settings: Mapping[str, Any], *, where: str = "view") -> View:
    """View of a table of settings, such as one of TOML; ``kind`` says which. ``where``: for messages.

    Examples
    --------
    >>> from bdfm import views
    >>> table = {"kind": "ordering", "above": "XLE", "below": "XLU", "probability": 0.7}
    >>> str(views.make_view({**table, "semantics": "evidence"}))
    'XLE above XLU with probability 0.7 (evidence)'
    """
    return read(settings, KINDS, where=where)


def from_record(record: Record) -> View:
    """View of a record that ``View.record`` made.

    Examples
    --------
    >>> from bdfm import views
    >>> view = views.parse("TLT = 2% +- 10%", semantics="evidence")
    >>> views.from_record(view.record(0)) == view
    True
    """
    settings = dict(record.parameters)
    settings.pop("step", None)
    return KINDS[str(settings.pop("view"))].from_parameters(settings)

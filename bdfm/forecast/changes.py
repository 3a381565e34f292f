"""Changes: edits and views as a file, read, checked without draws, applied, and written again from records.

A file of changes is TOML with tables ``[[edits]]`` and ``[[views]]``, and ``[shares]`` of the people whose
views are pooled. The keys of a table are the fields of the class in ``bdfm.forecast.edits`` or
``bdfm.forecast.views`` that ``kind`` names. Edits come first, in the order of the file; then the views hold
together. Where another order matters, ``step = 2`` and so on say which come later.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import pandas as pd
import tomli_w

from bdfm import _checks, _toml
from bdfm._strict import strict, strict_fields
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.finding import Findings
from bdfm.data.doubts.tables import Tables
from bdfm.errors import DataError
from bdfm.forecast import views
from bdfm.forecast.actions import ALL_FIXED, warn_again
from bdfm.forecast.edit import Edit
from bdfm.forecast.edits import EDITS
from bdfm.forecast.edits import parse_edits as parse_edits
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.records import Record
from bdfm.forecast.return_views import Absolute
from bdfm.forecast.statements import Statement, read
from bdfm.forecast.view import View
from bdfm.forecast.views import KINDS
from bdfm.forecast.weigh import Pool, check_views, fixed_returns, known_people, pool_shares

ViewsMethod = Literal["auto", "reweight", "model"]


@dataclass(frozen=True)
class Step:
    """Edits, one after the other, and then views that hold together."""

    edits: tuple[Edit, ...] = ()
    views: tuple[View, ...] = ()


@strict_fields
@dataclass(frozen=True)
class Changes:
    r"""Edits and views of a file, in ``steps``; ``shares`` of the people whose views are pooled, and how.

    ``pool`` is linear, or log for the geometric mean of their weights.

    Examples
    --------
    >>> import bdfm
    >>> text = '[[edits]]\nkind = "shift"\nasset = "XOM"\nby = 0.02'
    >>> bdfm.Changes.from_toml(text).edits[0].by
    0.02
    """

    steps: tuple[Step, ...] = ()
    shares: Mapping[str, float] | None = None
    pool: Pool = "linear"

    @classmethod
    def from_toml(cls, source: str | Path) -> Changes:
        """Changes of a TOML file (a path) or of a TOML text."""
        where, text = _toml.source_text(source, what="changes")
        return cls.from_dict(_toml.parsed(text, where=where), where=where)

    @classmethod
    @strict
    def from_dict(cls, table: Mapping[str, Any], *, where: str = "changes") -> Changes:
        """Changes of a table with the keys ``edits``, ``views``, ``shares``, ``pool``; all may be missing.

        Raises ``UnknownLabelError`` for a key that is none of these; ``DataError`` for an edit, a view or
        shares that cannot be.
        """
        _checks.known(list(table), ("edits", "views", "shares", "pool"), what="table", where=where)
        edits = _statements(table, "edits", EDITS, where=where)
        seen = _statements(table, "views", KINDS, where=where)
        steps = [Step(tuple(edits.get(n, ())), tuple(seen.get(n, ()))) for n in sorted({*edits, *seen})]
        shares = table.get("shares")
        if shares is not None and not isinstance(shares, Mapping):
            raise DataError(
                f"{where}: shares must be a table of numbers by person. Write [shares] above them."
            )
        pool = str(table.get("pool", "linear"))
        _checks.known([pool], get_args(Pool), what="pool", where=where)
        return cls(tuple(steps), shares, cast(Pool, pool))

    @classmethod
    def from_records(cls, records: Sequence[Record]) -> Changes:
        """Changes that a forecast's records describe, to be applied to the draws of another month.

        Raises ``DataError`` for a replacement by given draws, which a record does not hold, and where views
        of different calls were pooled in ways that one table of shares cannot say.
        """
        steps: list[Step] = []
        calls: list[object] = []  # of the views of each step: with which call they came
        last: object = None
        pooled: dict[object, tuple[dict[str, float] | None, Pool]] = {}
        for record in records:
            if record.kind == "pool":
                pooled[dict(record.parameters).get("step", 0)] = _pool_of(record)
                continue
            statement = _replayed(record)
            if isinstance(statement, Edit):
                if not steps or steps[-1].views:
                    steps.append(Step())
                    calls.append(None)
                steps[-1] = replace(steps[-1], edits=(*steps[-1].edits, statement))
            else:
                group = dict(record.parameters).get("step", 0)
                if not steps or (steps[-1].views and group != last):
                    steps.append(Step())
                    calls.append(None)
                steps[-1] = replace(steps[-1], views=(*steps[-1].views, statement))
                calls[-1] = last = group
        shares = {p: x for found, _ in pooled.values() for p, x in (found or {}).items()}
        made = cls(tuple(steps), shares or None, next((how for _, how in pooled.values()), "linear"))
        for step, call in zip(steps, calls, strict=True):
            if step.views and pooled.get(call, (None, "linear")) != (made._shares(step.views), made.pool):
                raise DataError(
                    "records: views of one call were pooled with shares, or in a manner, that those of"
                    " another were not, and one table of shares cannot say both. Write the changes of each"
                    " in a file of its own, and apply one after the other."
                )
        return made

    def to_toml(self) -> str:
        """TOML text from which ``from_toml`` makes equal changes."""
        tables: dict[str, Any] = {} if self.pool == "linear" else {"pool": self.pool}
        tables |= {"edits": [], "views": [], "shares": dict(self.shares or {})}
        for number, step in enumerate(self.steps, 1):
            order = {"step": number} if number > 1 else {}
            tables["edits"] += [e.to_dict() | order for e in step.edits]
            tables["views"] += [v.to_dict() | order for v in step.views]
        return tomli_w.dumps({k: x for k, x in tables.items() if x})

    @property
    def edits(self) -> tuple[Edit, ...]:
        """Edits of all steps."""
        return tuple(e for s in self.steps for e in s.edits)

    @property
    def views(self) -> tuple[View, ...]:
        """Views of all steps."""
        return tuple(v for s in self.steps for v in s.views)

    def check(
        self,
        assets: Sequence[str],
        asset_class: Sequence[str],
        *,
        prices: pd.Series[float] | None = None,
        accept: Collection[str] | None = (),
    ) -> Findings:
        """Raise for what can be known to be wrong before there are draws; what is doubtful comes back.

        Edits are tried on a stand-in of a few small returns, so that every check of theirs runs; of views,
        symbols, numbers and subjects are checked. Whether views can hold depends on the draws. ``accept`` as
        in ``apply``.
        """
        found = self._doubt(prices, accept)
        rng = np.random.default_rng(0)
        stand_in = Forecast.from_draws(
            0.01 * rng.standard_normal((64, len(assets))),
            assets=assets,
            asset_class=asset_class,
            origin="2000-01-03",
            end="2000-01-31",
        )
        again: list[Record] = []
        perhaps: set[str] = set()  # fixed in these few draws alone, where the edit is not certain
        for step in self.steps:
            for edit in (e.priced(prices) for e in step.edits):
                stand_in, twice = stand_in._edited([edit])
                again += twice
                if getattr(edit, "probability", 1) < 1:
                    perhaps |= set(stand_in.records[-1].symbols)
            fixed = fixed_returns(stand_in.draws.to_numpy(), stand_in.assets, step.views)
            fixed = {s: x for s, x in fixed.items() if s not in perhaps}
            check_views(step.views, stand_in.assets, fixed=fixed)
            pool_shares(step.views, self._shares(step.views))
        _something_left(stand_in)
        warn_again(again)
        return found

    def _doubt(self, prices: pd.Series[float] | None, accept: Collection[str] | None) -> Findings:
        """Findings about the numbers of edits and views, and about prices beside the closes."""
        said = [x for e in self.edits for x in e.priced(prices).said_beside(prices)]
        said += [x for v in self.views for x in v.said]
        return doubt(Tables("forecast", said=said), accept=accept)

    @strict
    def apply(
        self,
        forecast: Forecast,
        *,
        prices: pd.Series[float] | None = None,
        few: Literal["warn", "refuse"] = "warn",
        accept: Collection[str] | None = (),
    ) -> Forecast:
        """Forecast after all changes.

        Parameters
        ----------
        forecast
            Before the changes.
        prices
            Close of each symbol at the origin, for edits that leave out a price; prices given are compared.
            By default those that the forecast knows.
        few
            As in ``Forecast.with_views``.
        accept
            As in ``Forecast.edit``.

        Raises
        ------
        DataError
            Among others, an edit or a view that the forecast has already.
        """
        prices = forecast.closes if prices is None else prices
        self._doubt(prices, accept)
        given = forecast
        again: list[Record] = []
        for step in self.steps:
            edited, twice = forecast._edited(e.priced(prices) for e in step.edits)
            again += twice
            given.check_new(edited.records[len(forecast.records) :])
            forecast = edited
            if step.views:
                shares = self._shares(step.views)
                forecast = forecast.with_views(
                    *step.views, shares=shares, pool=self.pool, few=few, accept=None
                )
        if not given.is_fixed:
            _something_left(forecast)
        warn_again(again)
        return forecast

    def _shares(self, some: Sequence[View]) -> dict[str, float] | None:
        """Shares of those people of whom there are views; the rest must not hear of the others."""
        if self.shares is None:
            return None
        people = {v.by for v in self.views}
        known_people(self.shares, sorted(people))
        there = {v.by for v in some}
        return {p: s for p, s in self.shares.items() if p in there} or None


def _something_left(forecast: Forecast) -> None:
    """Raise ``DataError`` where no asset is left whose return is not fixed."""
    if forecast.is_fixed:
        raise DataError(f"edits: {ALL_FIXED}")


def _statements[S: Statement](
    table: Mapping[str, Any], name: str, kinds: Mapping[str, type[S]], *, where: str
) -> dict[int, list[S]]:
    """Statements of ``[[name]]`` by step."""
    entries = table.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(e, Mapping) for e in entries):
        raise DataError(f"{where}: {name} must be tables. Write [[{name}]] above each.")
    steps: dict[int, list[S]] = {}
    for n, given in enumerate(entries, 1):
        entry, place = dict(given), f"{where}: {name[:-1]} {n}"
        number = _checks.at_least(entry.pop("step", 1), 1, what="step", where=place)
        steps.setdefault(number, []).append(read(entry, kinds, where=place))
    return steps


def _pool_of(record: Record) -> tuple[dict[str, float] | None, Pool]:
    """Shares and manner of a record of pooled views; those of before 0.2 hold shares by the person's name."""
    parameters: dict[str, Any] = {k: x for k, x in record.parameters if k != "step"}
    pool = (
        cast(Pool, parameters.pop("pool", "linear")) if record.text.startswith("Views pooled (") else "linear"
    )
    return {k.removeprefix("shares."): x for k, x in parameters.items()} or None, pool


def _replayed(record: Record) -> Edit | View:
    """Edit or view that a record describes."""
    if record.kind == "view":
        return views.from_record(record)
    if record.kind == "evidence":  # inside the model
        settings = dict(record.parameters)
        return Absolute(asset=record.symbols[0], semantics="evidence", **settings)
    _checks.known([record.kind], list(EDITS), what="kind of record", where="records")
    return EDITS[record.kind].from_record(record)

"""Edits and views as a file: read, checked without draws, applied, tracked, and written again from a record.

A file of changes is TOML with tables ``[[edits]]`` and ``[[views]]``, and ``[shares]`` of the people whose
views are pooled. The keys of an edit are the arguments of the method of ``Forecast`` that ``kind`` names, the
keys of a view the fields of the class in ``bdfm.forecast.views``. Edits come first, in the order of the
file; then the views hold together. Where another order matters, ``step = 2`` and so on say which come later.
"""

from __future__ import annotations

import inspect
import re
import tomllib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
import pandas as pd
import tomli_w

from bdfm import _checks
from bdfm.errors import DataError, DataWarning
from bdfm.forecast.edits import Effect, Record
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.ranks import weighted_quantiles
from bdfm.forecast.views import Absolute, Sample, View, from_record, make_view
from bdfm.forecast.weigh import check_views, pool_shares

ViewsMethod = Literal["auto", "reweight", "model"]

EDITS: Final = (
    "zero",
    "set_return",
    "acquired_for_cash",
    "acquired_for_stock",
    "halted",
    "suspended",
    "like",
    "shift",
    "scale",
    "cap",
    "replace",
    "drop",
)
N_TRACKED: Final = 8  # assets that the effect of a change names, besides those it is about
PRICE_TOLERANCE: Final = 0.05  # a price this far from the last close is questioned
_SEVERAL = ("zero", "drop")  # kinds that take several symbols
_PRICES = {"price": "symbol", "acquirer_price": "acquirer"}  # keys that the price file can fill, and whose


@dataclass(frozen=True)
class Edit:
    """An edit of a file: the name of a method of ``Forecast`` and its arguments."""

    kind: str
    settings: Mapping[str, Any]
    where: str = "edit"

    @classmethod
    def of(cls, table: Mapping[str, Any], *, where: str) -> Self:
        """Edit of a table; raises for an unknown kind or key, or one that is missing."""
        settings = dict(table)
        kind = settings.pop("kind", None)
        if kind is None:
            raise DataError(f"{where}: the key kind is missing. Give one of {', '.join(EDITS)}.")
        _checks.known([str(kind)], EDITS, what="kind of edit", where=where)
        where = f"{where}, {kind}"
        if kind == "replace" and "draws" in settings:
            raise DataError(f'{where}: give distribution, such as "norm(0.02, 0.1)"; a file holds no draws.')
        allowed, needed = _keys(str(kind))
        _checks.known(list(settings), allowed, what="key", where=where)
        missing = [k for k in needed if k not in settings]
        if missing:
            raise DataError(f"{where}: the key {missing[0]} is missing.")
        return cls(str(kind), settings, where)

    def apply(self, forecast: Forecast, prices: pd.Series[float] | None = None) -> Forecast:
        """Forecast after the edit; ``prices`` by symbol are the closes at the origin."""
        settings = dict(self.settings)
        for key, owner in _PRICES.items():
            if key in _keys(self.kind)[0]:
                settings[key] = self._price(key, settings[owner], settings.get(key), prices)
        positional: Sequence[Any] = ()
        if self.kind in _SEVERAL:
            symbols = settings.pop("symbols")
            if isinstance(symbols, str) or not all(isinstance(s, str) for s in symbols):
                raise DataError(f"{self.where}: symbols must be a list of texts, got {symbols!r}.")
            positional = symbols
        if self.kind == "replace":
            settings["draws"] = distribution(settings.pop("distribution"), where=self.where)
        changed: Forecast = getattr(forecast, self.kind)(*positional, **settings)
        return changed

    def _price(self, key: str, symbol: str, given: Any, prices: pd.Series[float] | None) -> Any:
        close = None if prices is None or symbol not in prices.index else float(prices[symbol])
        if close is None or not np.isfinite(close):
            if given is None:
                raise DataError(
                    f"{self.where}: the key {key} is missing, and no close of {symbol} is at hand."
                )
            return given
        if given is None:
            return close
        number = _checks.positive(given, what=key, where=self.where)
        if abs(number / close - 1) > PRICE_TOLERANCE:
            warnings.warn(
                f"{self.where}: {key} {number:g} of {symbol} is not near its last close {close:g}. Left from"
                " another month? Leave the key out to take the close.",
                DataWarning,
                stacklevel=2,
            )
        return number

    def to_dict(self) -> dict[str, Any]:
        """Table that ``of`` reads."""
        return {"kind": self.kind, **self.settings}


def _keys(kind: str) -> tuple[list[str], list[str]]:
    """Keys that an edit may and must have."""
    if kind in _SEVERAL:
        return ["symbols"], ["symbols"]
    parameters = list(inspect.signature(getattr(Forecast, kind)).parameters.values())[1:]
    names = ["distribution" if p.name == "draws" else p.name for p in parameters]
    needed = [n for n, p in zip(names, parameters, strict=True) if p.default is p.empty and n not in _PRICES]
    return names, needed


def distribution(text: Any, *, where: str) -> Any:
    """Frozen ``scipy.stats`` distribution of a text such as ``"t(4, loc=0.01, scale=0.05)"``."""
    from scipy import stats

    found = re.fullmatch(r"\s*(\w+)\((.*)\)\s*", str(text))
    family = getattr(stats, found[1], None) if found else None
    if found is None or not isinstance(family, stats.rv_continuous):
        raise DataError(
            f"{where}: {text!r} is no continuous distribution of scipy.stats with its parameters, such as"
            ' "norm(0.02, 0.1)".'
        )
    args, keywords = [], {}
    for part in filter(None, (x.strip() for x in found[2].split(","))):
        name, equals, number = part.rpartition("=")
        value = _checks.finite(number, what=f"{part!r}", where=where)
        if equals:
            keywords[name.strip()] = value
        else:
            args.append(value)
    try:
        frozen = family(*args, **keywords)
    except TypeError as error:
        raise DataError(f"{where}: {text!r}: {error}.") from error
    if not np.isfinite(frozen.median()):
        raise DataError(f"{where}: {text!r} has parameters that {found[1]} does not allow.")
    return frozen


@dataclass(frozen=True)
class Step:
    """Edits, one after the other, and then views that hold together."""

    edits: tuple[Edit, ...] = ()
    views: tuple[View, ...] = ()


@dataclass(frozen=True)
class Changes:
    """Edits and views of a file, in steps; ``shares`` of the people whose views are pooled."""

    steps: tuple[Step, ...] = ()
    shares: Mapping[str, float] | None = None

    @classmethod
    def from_toml(cls, source: str | Path) -> Changes:
        """Changes of a TOML file (a path) or of a TOML text."""
        where, text = "changes", str(source)
        if isinstance(source, Path):
            where = str(source)
            text = _checks.existing_file(source, what="changes").read_text(encoding="utf-8")
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise DataError(f"{where}: not valid TOML: {error}.") from error
        _checks.known(list(table), ("edits", "views", "shares"), what="table", where=where)
        return cls.from_dict(table, where=where)

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], *, where: str = "changes") -> Changes:
        """Changes of a table with the keys ``edits``, ``views``, ``shares``; any of them may be missing."""
        steps: dict[int, tuple[list[Edit], list[View]]] = {}

        def at(entry: dict[str, Any], place: str) -> tuple[list[Edit], list[View]]:
            number = _checks.at_least(entry.pop("step", 1), 1, what="step", where=place)
            return steps.setdefault(number, ([], []))

        for what in ("edits", "views"):
            entries = table.get(what, [])
            if not isinstance(entries, list) or not all(isinstance(e, Mapping) for e in entries):
                raise DataError(f"{where}: {what} must be tables. Write [[{what}]] above each.")
            for n, given in enumerate(entries, 1):
                entry, place = dict(given), f"{where}: {what[:-1]} {n}"
                step = at(entry, place)
                if what == "edits":
                    step[0].append(Edit.of(entry, where=place))
                else:
                    step[1].append(make_view(entry, where=place))
        shares = table.get("shares")
        if shares is not None and not isinstance(shares, Mapping):
            raise DataError(
                f"{where}: shares must be a table of numbers by person. Write [shares] above them."
            )
        return cls(tuple(Step(tuple(e), tuple(v)) for _, (e, v) in sorted(steps.items())), shares)

    @classmethod
    def from_records(cls, records: Sequence[Record]) -> Changes:
        """Changes that a forecast's records describe, to be applied to the draws of another month.

        Raises ``DataError`` for a replacement by given draws, which a record does not hold.
        """
        steps: list[Step] = []
        last: object = None  # with which call the views of the newest step came
        shares: dict[str, float] | None = None
        for record in records:
            settings = dict(record.parameters)
            if record.kind == "pool":
                found: dict[str, Any] = {k: x for k, x in settings.items() if k != "step"}
                if shares is not None and shares != found:
                    raise DataError(
                        "records: views were pooled twice, with different shares. Replay one of them."
                    )
                shares = found
                continue
            if record.kind in ("view", "evidence"):
                view = _evidence_view(record) if record.kind == "evidence" else from_record(record)
                group = settings.get("step", 0)
                if steps and (not steps[-1].views or group == last):
                    steps[-1] = replace(steps[-1], views=(*steps[-1].views, view))
                else:
                    steps.append(Step((), (view,)))
                last = group
                continue
            edit = _edit(record)
            if not steps or steps[-1].views:
                steps.append(Step((edit,)))
            else:
                steps[-1] = replace(steps[-1], edits=(*steps[-1].edits, edit))
        return cls(tuple(steps), shares)

    def to_toml(self) -> str:
        """TOML text from which ``from_toml`` makes equal changes."""
        edits, views = [], []
        for number, step in enumerate(self.steps, 1):
            order = {"step": number} if number > 1 else {}
            edits += [{**e.to_dict(), **order} for e in step.edits]
            views += [
                {"kind": getattr(v, "kind", "")} | v.model_dump(exclude_defaults=True) | order
                for v in step.views
            ]
        table = {"edits": edits, "views": views, "shares": dict(self.shares or {})}
        return tomli_w.dumps({k: x for k, x in table.items() if x})

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
    ) -> None:
        """Raise for what can be known to be wrong before there are draws.

        Edits are tried on a stand-in of a few small returns, so that every check of theirs runs; of views,
        symbols, numbers and subjects are checked. Whether views can hold depends on the draws.
        """
        rng = np.random.default_rng(0)
        stand_in = Forecast.from_draws(
            0.01 * rng.standard_normal((64, len(assets))),
            assets=assets,
            asset_class=asset_class,
            origin="2000-01-03",
            end="2000-01-31",
        )
        for step in self.steps:
            for edit in step.edits:
                stand_in = edit.apply(stand_in, prices)
            check_views(step.views, stand_in.assets)
            pool_shares(step.views, self._shares(step.views))

    def apply(
        self, forecast: Forecast, *, prices: pd.Series[float] | None = None, track: bool = True
    ) -> Forecast:
        """Forecast after all changes.

        Parameters
        ----------
        forecast
            Before the changes.
        prices
            Close of each symbol at the origin, for edits that leave out a price; prices given are compared.
        track
            Whether to note the effect of each change in its record. That ranks all draws once a change, about
            2 s for 600,000 draws of 100 assets. The effect of a view is that of adding it to those before it.
        """
        tracker = _Tracker(forecast) if track else None
        for step in self.steps:
            for edit in step.edits:
                forecast = edit.apply(forecast, prices)
                if tracker is not None:
                    forecast = tracker.note(forecast, 1)
            if step.views:
                forecast = self._see(forecast, step.views, tracker)
        return forecast

    def _see(self, forecast: Forecast, views: tuple[View, ...], tracker: _Tracker | None) -> Forecast:
        seen = forecast.with_views(*views, shares=self._shares(views))
        if tracker is None:
            return seen
        effects = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # those of all views together have been given
            for n in range(1, len(views) + 1):
                some = (
                    seen
                    if n == len(views)
                    else forecast.with_views(*views[:n], shares=self._shares(views[:n]))
                )
                effects.append(tracker.effect(some, views[n - 1].symbols))
        new = list(seen.records)
        for k, effect in enumerate(effects, len(forecast.records)):
            new[k] = replace(new[k], effect=effect)
        return replace(seen, records=tuple(new))

    def _shares(self, views: Sequence[View]) -> dict[str, float] | None:
        """Shares of those people of whom there are views; the rest must not hear of the others."""
        if self.shares is None:
            return None
        people = {v.by for v in self.views}
        _checks.known(list(self.shares), sorted(people), what="person", where="shares")
        there = {v.by for v in views}
        return {p: s for p, s in self.shares.items() if p in there}


class _Tracker:
    """Effects of changes, one after the other; ranks each state once."""

    def __init__(self, forecast: Forecast) -> None:
        self._state = _State(forecast)

    def effect(self, forecast: Forecast, symbols: Sequence[str]) -> Effect:
        """Effect of the change that led to ``forecast``, which becomes the state to compare the next with."""
        before, after = self._state, _State(forecast)
        self._state = after
        both = [a for a in after.forecast.assets if a in before.probabilities.index]
        moved = (after.probabilities.loc[both] - before.probabilities.loc[both]).abs().sum(axis=1)
        named = [s for s in symbols if s in both][:N_TRACKED]
        others = [str(s) for s in moved.sort_values(ascending=False, kind="stable").index if s not in named]
        chosen = [*named, *others[:N_TRACKED]]
        return Effect(
            forecast.effective_draws,
            {s: before.measures(s) for s in chosen},
            {s: after.measures(s) for s in chosen},
        )

    def note(self, forecast: Forecast, n_records: int) -> Forecast:
        """Forecast whose newest records carry the effect."""
        records = list(forecast.records)
        effect = self.effect(forecast, records[-1].symbols)
        records[-n_records:] = [replace(r, effect=effect) for r in records[-n_records:]]
        return replace(forecast, records=tuple(records))


@dataclass(frozen=True)
class _State:
    forecast: Forecast

    @cached_property
    def probabilities(self) -> pd.DataFrame:
        """Probabilities (asset, 2) of the lowest and highest fifth."""
        p = self.forecast.quantile_probabilities().to_numpy()
        return pd.DataFrame(p[:, [0, -1]], index=list(self.forecast.assets))

    def measures(self, symbol: str) -> tuple[float, ...]:
        """``edits.MEASURES`` of an asset; the sd is of cut returns, as in views."""
        f = self.forecast
        draws, weights = f.draws.to_numpy(), f.weights.to_numpy()
        x = Sample(draws, f.assets).cut({symbol: 1.0})
        mean = float(weights @ x)
        low, high = self.probabilities.loc[symbol].to_numpy()
        sd = float(np.sqrt(weights @ np.square(x - mean)))
        return float(weighted_quantiles(x, 0.5, weights)), sd, float(low), float(high)


def _edit(record: Record) -> Edit:
    settings: dict[str, Any] = {k: x for k, x in record.parameters if x is not None}
    _checks.known([record.kind], EDITS, what="kind of record", where="records")
    if record.kind in _SEVERAL:
        settings["symbols"] = list(record.symbols)
    elif record.kind != "suspended":
        settings["symbol"] = record.symbols[0]
    if record.kind == "replace":
        source = settings.pop("source")
        if source == "array":
            raise DataError(
                f"records: the draws that replaced {record.symbols[0]} were given as numbers, which a record"
                " does not hold. Replace by a distribution, or repeat the edit by hand."
            )
        settings["distribution"] = source
    return Edit.of({"kind": record.kind, **settings}, where="records")


def _evidence_view(record: Record) -> View:
    numbers = dict(record.parameters)
    return Absolute(asset=record.symbols[0], mean=numbers["mean"], sd=numbers["sd"], semantics="evidence")


def parse_edits(texts: Sequence[str]) -> Iterator[Edit]:
    """Edits of short texts, as on the command line: ``"acquired_for_cash ATVI offer=95 price=81"``.

    The kind, the symbols, and settings as key=value.
    """
    for text in texts:
        where = f"edit {text!r}"
        kind, *words = text.split()
        _checks.known([kind], EDITS, what="kind of edit", where=where)
        named = [w for w in words if "=" not in w or "(" in w.split("=")[0]]
        settings: dict[str, Any] = {}
        for word in words:
            if word not in named:
                key, _, value = word.partition("=")
                settings[key] = _value(value)
        if kind in _SEVERAL:
            settings["symbols"] = named
        else:
            first = [k for k in _keys(kind)[0] if k in ("symbol", "asset_class", "other", "acquirer")]
            if len(named) > len(first):
                raise DataError(f"{where}: {named[len(first)]!r} is not of the form key=value.")
            settings |= dict(zip(first, named, strict=False))
        yield Edit.of({"kind": kind, **settings}, where=where)


def _value(text: str) -> Any:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)

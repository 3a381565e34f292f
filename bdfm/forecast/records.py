"""Records: what was done to a forecast, and what it did, in plain types that its file keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Scalar = str | int | float | bool | None

# Of an effect: simple returns, and probabilities of the end fifths.
MEASURES: Final = ("median", "sd", "P1", "P5")


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change did to the assets it moved most.

    Attributes
    ----------
    effective_draws
        Effective number of draws after it.
    before, after
        By symbol, the ``MEASURES``; the assets moved most come first.
    """

    effective_draws: float
    before: Mapping[str, tuple[float, ...]]
    after: Mapping[str, tuple[float, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Effect as plain types that JSON can hold."""
        rows = {s: [list(x), list(self.after[s])] for s, x in self.before.items()}
        return {"effective_draws": self.effective_draws, "assets": rows}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Effect:
        """Effect from ``to_dict``."""
        rows = data["assets"]
        before, after = ({s: tuple(pair[k]) for s, pair in rows.items()} for k in (0, 1))
        return cls(data["effective_draws"], before, after)


@dataclass(frozen=True, slots=True)
class Record:
    """One change of a forecast: what was done, to which assets, with which parameters, in one sentence.

    ``effect`` is there once it was worked out (``Forecast.effects``, ``save``); two records that differ in
    nothing else are equal.
    """

    kind: str  # of the edit or view
    symbols: tuple[str, ...]  # assets concerned
    parameters: tuple[tuple[str, Scalar], ...]
    text: str  # one sentence
    effect: Effect | None = field(default=None, compare=False)

    @classmethod
    def of(cls, kind: str, symbols: Sequence[str], text: str, **parameters: Scalar) -> Record:
        """Record with its parameters given by name."""
        return cls(kind, tuple(symbols), tuple(parameters.items()), text)

    @property
    def is_random(self) -> bool:
        """Whether it used random numbers: it has a seed of its own."""
        return any(name == "seed" for name, _ in self.parameters)

    def says_the_same(self, other: Record) -> bool:
        """Whether both records are of one statement, whenever it was made."""

        def said(record: Record) -> object:
            parameters = sorted((k, x) for k, x in record.parameters if k != "step" and x is not None)
            return record.kind, record.symbols, parameters

        return said(self) == said(other)

    def to_dict(self) -> dict[str, Any]:
        """Record as plain types that JSON can hold."""
        plain: dict[str, Any] = {
            "kind": self.kind,
            "symbols": list(self.symbols),
            "parameters": dict(self.parameters),
            "text": self.text,
        }
        return plain if self.effect is None else plain | {"effect": self.effect.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """Record from ``to_dict``."""
        effect = Effect.from_dict(data["effect"]) if "effect" in data else None
        parameters = tuple(data["parameters"].items())
        return cls(data["kind"], tuple(data["symbols"]), parameters, data["text"], effect)

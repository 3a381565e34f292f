"""Edits of one asset's draws, as pure functions of arrays, and the record of what was done.

An edit changes draws and never weights. All returns are simple, over the forecast horizon, as decimals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdfm._checks import first
from bdfm.errors import DataError
from bdfm.forecast.ranks import weighted_quantiles

Scalar = str | int | float | bool | None
Floats = NDArray[np.float64]

TOTAL_LOSS = -1.0
_ROUNDING = 1e-6  # single precision rounds a return near -1 by less than this


@runtime_checkable
class Distribution(Protocol):
    """What is used of a frozen ``scipy.stats`` distribution."""

    def rvs(self, size: Any = ..., random_state: Any = ...) -> Any:
        """Random values."""

    def ppf(self, q: Any) -> Any:
        """Quantiles."""


MEASURES: Final = (
    "median",
    "sd",
    "P1",
    "P5",
)  # of an effect: simple returns, probabilities of the end fifths


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

    ``effect`` is there only where the change was tracked (``changes.apply``); two records that differ in
    nothing else are equal.
    """

    kind: str
    symbols: tuple[str, ...]
    parameters: tuple[tuple[str, Scalar], ...]
    text: str
    effect: Effect | None = field(default=None, compare=False)

    @classmethod
    def of(cls, kind: str, symbols: Sequence[str], text: str, **parameters: Scalar) -> Record:
        """Record with its parameters given by name."""
        return cls(kind, tuple(symbols), tuple(parameters.items()), text)

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


def check_returns(returns: NDArray[Any], labels: Sequence[str], *, where: str, remedy: str) -> None:
    """Raise ``DataError`` unless ``returns`` (draw, asset) are finite and not below -1."""
    bad = ~np.isfinite(returns)
    if bad.any():
        names = first(np.asarray(labels)[bad.any(axis=0)])
        raise DataError(
            f"{where}: {bad.sum()} of {returns.size} returns are NaN or infinite ({names}). {remedy}"
        )
    low = returns < TOTAL_LOSS - _ROUNDING
    if low.any():
        names = first(np.asarray(labels)[low.any(axis=0)])
        raise DataError(
            f"{where}: {low.sum()} of {returns.size} simple returns are below -1 ({names}; lowest"
            f" {returns.min():.4g}); nobody loses more than everything. {remedy}"
        )


def scale_about_median(returns: Floats, factor: float, weights: Floats | None = None) -> Floats:
    """Draws (draw,) whose distance from their weighted median is multiplied by ``factor``."""
    median = weighted_quantiles(returns, 0.5, weights)
    return np.asarray(median + factor * (returns - median))


def sample(distribution: Distribution, n_draws: int, *, seed: int, symbol: str) -> Floats:
    """Independent draws (draw,) of a distribution.

    The symbol is part of the seed: two assets replaced with one seed must not get the same random numbers,
    or they would move together.
    """
    rng = np.random.default_rng([seed, *symbol.encode()])
    return np.asarray(distribution.rvs(size=n_draws, random_state=rng), dtype=np.float64)


def empirical_quantiles(values: ArrayLike) -> Callable[[Floats], Floats]:
    """Quantile function of equally weighted values, without interpolation."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))

    def quantile(u: Floats) -> Floats:
        return ordered[np.minimum((u * len(ordered)).astype(np.intp), len(ordered) - 1)]

    return quantile


def map_by_ranks(
    returns: Floats, quantile: Callable[[Floats], Floats], *, weights: Floats, seed: int
) -> Floats:
    """Draws (draw,) with the ranks of ``returns`` and the distribution of ``quantile``.

    The k-th lowest draw becomes the k-th lowest of the new distribution, so that dependence with other
    assets, as far as ranks carry it, is kept. Equal draws are ordered at random.
    """
    n = len(returns)
    order = np.lexsort((np.random.default_rng(seed).random(n), returns))
    below = np.cumsum(weights[order])
    u = np.empty(n)
    u[order] = (below - weights[order] / 2) / below[-1]
    # Draws without weight would otherwise reach quantile 0 or 1, infinite for many distributions.
    return np.asarray(quantile(np.clip(u, 0.5 / n, 1 - 0.5 / n)), dtype=np.float64)


def happens(probability: float, weights: Floats, *, seed: int, symbol: str) -> NDArray[np.bool_]:
    """Draws (draw,) in which an event of its own happens, independent of all returns.

    Draws are taken in random order until their weights sum to ``probability``, so that the weighted share is
    exact to one draw. The symbol is part of the seed, as in ``sample``.
    """
    order = np.random.default_rng([seed, *symbol.encode()]).permutation(len(weights))
    below = np.cumsum(weights[order]) - weights[order] / 2
    chosen = np.zeros(len(weights), dtype=bool)
    chosen[order] = below < probability
    return chosen


def offer_return(offer: float, price: float) -> float:
    """Simple return from the price at the origin to a cash offer."""
    return offer / price - 1


def exchange_returns(
    acquirer: Floats, *, ratio: float, acquirer_price: float, price: float, cash: float, spread: float
) -> Floats:
    """Simple returns (draw,) of a target that trades ``spread`` below ``ratio`` acquirer shares plus cash."""
    value = ratio * acquirer_price * (1 + acquirer) + cash
    return np.asarray(value * (1 - spread) / price - 1)

"""Arithmetic of one asset's draws: pure functions of arrays, and distributions that draws are taken from.

All returns are simple, over the forecast horizon, as decimals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdfm import _blocks, _checks, _numerals
from bdfm._reading import quoted, short
from bdfm.errors import DataError
from bdfm.forecast.ranks import weighted_quantiles

Floats = NDArray[np.float64]

TOTAL_LOSS: Final = -1.0
GIVE_SIMPLE: Final = "Give simple returns as decimals: exp(log return) - 1, 0.01 for 1 %."
_SOME, _GAIN = 20, 0.5  # draws of which no asset has a loss, and their median from which they are no returns
_BYTES: Final = 256  # how many there are
_ROUNDING: Final = 1e-6  # single precision rounds a return near -1 by less than this


@runtime_checkable
class Distribution(Protocol):
    """What is used of a frozen ``scipy.stats`` distribution."""

    def rvs(self, size: Any = ..., random_state: Any = ...) -> Any:
        """Random values."""

    def ppf(self, q: Any) -> Any:
        """Quantiles."""


def check_returns(returns: NDArray[Any], labels: Sequence[str], *, where: str, remedy: str) -> None:
    """Raise ``DataError`` unless ``returns`` (draw, asset) are finite and not below -1."""
    bad, low = np.zeros((2, returns.shape[1]), dtype=np.int64)
    lowest = np.inf
    for here in _blocks.blocks(returns):
        block = returns[here]
        bad += (~np.isfinite(block)).sum(axis=0)
        low += (block < TOTAL_LOSS - _ROUNDING).sum(axis=0)
        lowest = min(lowest, float(block.min()))
    if bad.any():
        names = _checks.first(np.asarray(labels)[bad > 0])
        raise DataError(
            f"{where}: {bad.sum()} of {returns.size} returns are NaN or infinite ({names}). {remedy}"
        )
    if low.any():
        names = _checks.first(np.asarray(labels)[low > 0])
        raise DataError(
            f"{where}: {low.sum()} of {returns.size} simple returns are below -1 ({names}; lowest"
            f" {lowest:.4g}); nobody loses more than everything. {remedy}"
        )


def check_no_gross_returns(returns: NDArray[Any], *, where: str, remedy: str) -> None:
    """Raise ``DataError`` for draws (draw, asset) of which none is a loss and the median a gain of half."""
    some = returns[:_SOME]
    if len(some) < _SOME or not (some > 0).all() or float(np.median(some)) < _GAIN:
        return
    if all((returns[here] > 0).all() for here in _blocks.blocks(returns)):
        raise DataError(
            f"{where}: none of {returns.size:,} simple returns is a loss, and half of them are gains of"
            f" {float(np.median(some)):.4g} and more: they are gross returns, 1 + r, or prices. {remedy}"
        )


def scale_about_median(returns: Floats, factor: float, weights: Floats | None = None) -> Floats:
    """Draws (draw,) whose distance from their weighted median is multiplied by ``factor``."""
    median = weighted_quantiles(returns, 0.5, weights)
    return np.asarray(median + factor * (returns - median))


def random_numbers(seed: int, *, symbol: str, nth: int = 0) -> np.random.Generator:
    """Random numbers of one asset, others for its ``nth`` use after the first.

    Both are part of the seed. Two assets that are edited with one seed must not get the same numbers, or they
    would move together; nor two events of one asset, or they would happen in the same draws.
    """
    more = [_BYTES + nth] if nth else []  # which no symbol begins with
    return np.random.default_rng([seed, *more, *symbol.encode()])


def sample(distribution: Distribution, n_draws: int, *, seed: int, symbol: str) -> Floats:
    """Independent draws (draw,) of a distribution."""
    rng = random_numbers(seed, symbol=symbol)
    return np.asarray(distribution.rvs(size=n_draws, random_state=rng), dtype=np.float64)


def empirical_quantiles(values: ArrayLike) -> Callable[[Floats], Floats]:
    """Quantile function of equally weighted values, without interpolation."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))

    def quantile(u: Floats) -> Floats:
        return ordered[np.minimum((u * len(ordered)).astype(np.intp), len(ordered) - 1)]

    return quantile


def map_by_ranks(
    returns: Floats, quantile: Callable[[Floats], Floats], *, weights: Floats, seed: int, symbol: str
) -> Floats:
    """Draws (draw,) with the ranks of ``returns`` and the distribution of ``quantile``.

    The k-th lowest draw becomes the k-th lowest of the new distribution, so that dependence with other
    assets, as far as ranks carry it, is kept. Equal draws are ordered at random.
    """
    n = len(returns)
    order = np.lexsort((random_numbers(seed, symbol=symbol).random(n), returns))
    below = np.cumsum(weights[order])
    u = np.empty(n)
    u[order] = (below - weights[order] / 2) / below[-1]
    # Draws without weight would otherwise reach quantile 0 or 1, infinite for many distributions.
    return np.asarray(quantile(np.clip(u, 0.5 / n, 1 - 0.5 / n)), dtype=np.float64)


def happens(
    probability: float, weights: Floats, *, seed: int, symbol: str, nth: int = 0
) -> NDArray[np.bool_]:
    """Draws (draw,) in which an event of its own happens, independent of all returns.

    Draws are taken in random order until their weights sum to ``probability``, so that the weighted share is
    exact to one draw. ``nth``: number of events of the asset before it, of which it is independent too.
    """
    order = random_numbers(seed, symbol=symbol, nth=nth).permutation(len(weights))
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


# -- distributions -----------------------------------------------------------------------------------------

NUMBERS: Final = "array"  # what a record calls given draws


class Numbers:
    """Given draws (draw,) in the place of a distribution."""

    def __init__(self, draws: ArrayLike, *, where: str) -> None:
        try:
            self.values = np.asarray(draws, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{where}: draws must be numbers, one for each draw, or a frozen distribution such as"
                f" scipy.stats.t(4, loc=0.01, scale=0.05), got {short(repr(draws))}."
            ) from error
        self.where = where

    def check(self, symbol: str, n_draws: int) -> None:
        """Raise ``DataError`` unless there is one possible return for each draw."""
        if self.values.shape != (n_draws,):
            raise DataError(f"{self.where}: draws have shape {self.values.shape}, expected ({n_draws},).")
        check_returns(self.values[:, None], [symbol], where=self.where, remedy=GIVE_SIMPLE)

    def rvs(self, size: Any = None, random_state: Any = None) -> Floats:
        """The numbers as they were given."""
        return self.values

    def ppf(self, q: Any) -> Floats:
        """Their quantiles, without interpolation."""
        return empirical_quantiles(self.values)(q)


def distribution(text: str, *, where: str) -> Any:
    """Frozen ``scipy.stats`` distribution of a text such as ``"t(4, loc=0.01, scale=0.05)"``."""
    from scipy import stats

    found = re.fullmatch(r"\s*(\w+)\((.*)\)\s*", text)
    family = getattr(stats, found[1], None) if found else None
    if found is None or not isinstance(family, stats.rv_continuous):
        raise DataError(
            f"{where}: {quoted(text)} is no continuous distribution of scipy.stats with its parameters, such"
            ' as "norm(0.02, 0.1)".'
        )
    args, keywords = [], {}
    for part in (x.strip() for x in found[2].split(",") if found[2].strip()):
        name, equals, number = part.rpartition("=")
        value = _numerals.number(number)
        if value is None or not np.isfinite(value):
            raise DataError(f"{where}: {quoted(part)} of {quoted(text)} is no number.")
        if equals:
            keywords[name.strip()] = value
        else:
            args.append(value)
    try:
        frozen = family(*args, **keywords)
    except TypeError as error:
        raise DataError(f"{where}: {quoted(text)}: {error}.") from error
    if not np.isfinite(frozen.median()):
        raise DataError(f"{where}: {quoted(text)} has parameters that {found[1]} does not allow.")
    return frozen


def describe(distribution: Distribution) -> str:
    """Name and parameters of a frozen SciPy distribution, as it would be written."""
    if isinstance(distribution, Numbers):
        return NUMBERS
    family = getattr(getattr(distribution, "dist", None), "name", type(distribution).__name__)
    args = [f"{_shortest(a)}" for a in getattr(distribution, "args", ())]
    args += [f"{k}={_shortest(v)}" for k, v in getattr(distribution, "kwds", {}).items()]
    return f"{family}({', '.join(args)})"


def _shortest(value: float) -> str:
    """Number in the fewest digits that give it back exactly: records can be replayed."""
    number = float(value)
    return f"{number:g}" if float(f"{number:g}") == number else repr(number)

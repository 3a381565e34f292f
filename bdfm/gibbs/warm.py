"""States that go on from draws of an earlier run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdfm import names
from bdfm.gibbs.adapt import PLAIN
from bdfm.gibbs.data import Data, Floats
from bdfm.gibbs.draws import named_views
from bdfm.gibbs.scratch import Scratch, Tuning
from bdfm.gibbs.spec import GibbsSpec
from bdfm.gibbs.state import State, state_views

# Logs of volatilities by period, which persist: a new period begins with what the last one had.
_PERSISTENT: Final = (names.LOG_MULTIPLIER, names.FACTOR_VOLATILITY, names.VOLATILITY_STATE)


class Adaptation(NamedTuple):
    """What tuning found, the mean of all chains."""

    log_step_nu: float  # log step of the joint random walk of sigma_nu and all nu
    leverage: Floats  # (asset) share of each asset in what is known of the factors; NaN where unknown


class WarmStart(NamedTuple):
    """Where each chain starts, and with what adaptation; None where it is not known.

    ``draws``: of each chain one draw by variable name, as in ``GibbsResult`` without chain and draw; NaN
    where nothing is known.
    """

    draws: tuple[Mapping[str, NDArray[np.float64]], ...]
    adaptation: Adaptation | None = None


class Places(NamedTuple):
    """Where the parts of a draw stand in the values of a state: views with axes chain and draw of size 1."""

    state: State
    by_name: Mapping[str, Floats]  # variables that are parts of the state, and not computed from it


def places_of(spec: GibbsSpec, data: Data, values: Floats) -> Places:
    """Places in ``values``, found once for many draws."""
    state = state_views(values[None, None], data, spec.n_factors)
    views = named_views(spec, state)
    return Places(state, {name: x for name, x in views.items() if np.shares_memory(x, values)})


def place_draw(spec: GibbsSpec, places: Places, draw: Mapping[str, Floats]) -> NDArray[np.bool_]:
    """Write a draw into the values of a state that has its start values: what is NaN keeps these.

    But start values of factors and loadings have a rotation of their own. So unknown loadings are in the
    middle of their prior, 0 or what characteristics say, and unknown factors have their mean, until
    ``draw_new_factors``. Log volatilities of new periods are those of the last known one; of loadings that
    walk over other blocks of periods, all have what the last block has beyond its characteristics. Returns of
    which periods (period) factors are unknown.
    """
    state = places.state
    draw = dict(draw)
    around = np.zeros(state.loadings.values.shape[2:]).swapaxes(1, 2)  # (block, asset, factor)
    if spec.characteristics is not None:
        slopes = state.loadings.slopes[0, 0].T
        told = draw.get(names.LOADING_SLOPES, slopes)
        around = around + spec.characteristics.values @ np.where(np.isfinite(told), told, slopes)
    for name, middle in ((names.LOADINGS, around[-1]), (names.LOADINGS_PATH, around)):
        if name in draw:
            draw[name] = np.where(np.isfinite(draw[name]), draw[name], middle)
    if spec.loading_blocks is not None and names.LOADINGS_PATH not in draw and names.LOADINGS in draw:
        draw[names.LOADINGS_PATH] = draw[names.LOADINGS] + around - around[-1]
    for name in _PERSISTENT:
        if name in draw:
            draw[name] = _carried_on(draw[name])
    for name, view in places.by_name.items():
        # Others are computed from the state, and turned back below.
        if name in draw:
            _write(view, draw[name])
    factors, own = state.factors, state.loadings
    if names.PREMIUM in draw:
        _write(factors.premium, draw[names.PREMIUM] * factors.scale)
    if names.LOADING_DRIFT in draw and spec.loading_blocks is not None:
        _write(own.delta, draw[names.LOADING_DRIFT][..., None] * spec.loading_blocks.unit)
    path = np.full(factors.path.shape[-1:] + factors.path.shape[2:3], np.nan)
    history = draw[names.FACTORS]
    path[: len(history)] = history
    if spec.evidence and names.FACTORS_NEXT in draw:
        path[-1] = draw[names.FACTORS_NEXT]
    factors.path[0, 0] = np.nan_to_num(path).T + factors.premium[0, 0, :, None]
    return np.asarray(np.isnan(path).any(axis=1))


def draw_new_factors(
    data: Data, state: State, scratch: Scratch, periods: NDArray[np.bool_], rng: np.random.Generator
) -> None:
    """Draw the factors of ``periods`` (period) given the returns, all taken as normal (eq. 1).

    A start for a period that an earlier draw does not know: beside factors of their prior its returns would
    look like outliers. Residuals and ``noise.precision`` must be current, and are not afterwards.
    """
    factors = state.factors
    for t in np.flatnonzero(periods):
        loadings = state.loadings.values[np.searchsorted(data.loadings.cut, t, side="right") - 1]
        weight = scratch.noise.precision[:, t] * data.returns.seen[:, t] * data.returns.weight[:, t]
        unexplained = scratch.residuals[:, t] + factors.path[:, t] @ loadings
        prior = factors.scale**-2.0
        precision = (loadings * weight) @ loadings.T + np.diag(prior)
        root = np.linalg.cholesky(precision)
        mean = np.linalg.solve(precision, loadings @ (weight * unexplained) + prior * factors.premium)
        factors.path[:, t] = mean + np.linalg.solve(root.T, rng.standard_normal(len(mean)))


def _carried_on(path: Floats) -> Floats:
    """A path (period, ...) whose unknown last periods have the values of the last known one."""
    known = np.isfinite(path)
    last = len(path) - 1 - known[::-1].argmax(axis=0)  # the last period for a column without any
    rows = np.minimum(np.arange(len(path)).reshape(-1, *([1] * (path.ndim - 1))), last)
    return np.asarray(np.take_along_axis(path, rows, axis=0))


def knows_all(draws: Mapping[str, Floats]) -> bool:
    """Whether draws (chain, draw, ...) lack nothing but factors and log volatilities of new periods."""
    found = (names.FACTORS, names.FACTORS_NEXT, names.FACTOR_MIXING, *_PERSISTENT)
    return all(bool(np.isfinite(x[:, -1]).all()) for name, x in draws.items() if name not in found)


def place_adaptation(tuning: Tuning, adaptation: Adaptation) -> None:
    """Go on with what an earlier tuning found, after as many sweeps as a start takes to settle."""
    tuning.log_step_nu[0] = adaptation.log_step_nu
    _write(tuning.leverage, adaptation.leverage)
    tuning.sweeps[0] = PLAIN


def found_adaptation(tunings: list[Tuning]) -> Adaptation:
    """What tuning found, the mean of all chains."""
    return Adaptation(
        float(np.mean([t.log_step_nu[0] for t in tunings])), np.mean([t.leverage for t in tunings], axis=0)
    )


def _write(into: Floats, x: Floats) -> None:
    np.copyto(into, x, where=np.isfinite(x))

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
from bdfm.gibbs.scratch import Tuning
from bdfm.gibbs.spec import GibbsSpec
from bdfm.gibbs.state import state_views

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


def place_draws(
    spec: GibbsSpec, data: Data, values: Floats, draws: Mapping[str, Floats]
) -> NDArray[np.bool_]:
    """Write draws (draw, ...) by name into ``values`` (draw, value) of states: what is NaN keeps these.

    But start values of factors and loadings have a rotation of their own. So unknown loadings are in the
    middle of their prior, 0 or what characteristics say, and unknown factors have their mean, until
    ``begin_new_factors``. Log volatilities of new periods are those of the last known one; of loadings that
    walk over other blocks of periods, all have what the last block has beyond its characteristics. Returns of
    which periods (draw, period) factors are unknown.
    """
    state = state_views(values[None], data, spec.n_factors)
    draws = dict(draws)
    around = np.zeros(state.loadings.values.shape[1:]).swapaxes(2, 3)  # (draw, block, asset, factor)
    if spec.characteristics is not None:
        slopes = state.loadings.slopes[0].swapaxes(1, 2)
        told = draws.get(names.LOADING_SLOPES, slopes)
        told = np.where(np.isfinite(told), told, slopes)
        around = around + spec.characteristics.values @ told[:, None]
    for name, middle in ((names.LOADINGS, around[:, -1]), (names.LOADINGS_PATH, around)):
        if name in draws:
            draws[name] = np.where(np.isfinite(draws[name]), draws[name], middle)
    if spec.loading_blocks is not None and names.LOADINGS_PATH not in draws and names.LOADINGS in draws:
        draws[names.LOADINGS_PATH] = draws[names.LOADINGS][:, None] + around - around[:, -1:]
    for name in _PERSISTENT:
        if name in draws:
            draws[name] = _carried_on(draws[name])
    for name, view in named_views(spec, state).items():
        # Others are computed from the state, and turned back below.
        if name in draws and np.may_share_memory(view, values):
            _write(view, draws[name])
    factors, own = state.factors, state.loadings
    if names.PREMIUM in draws:
        _write(factors.premium, draws[names.PREMIUM] * factors.scale)
    if names.LOADING_DRIFT in draws and spec.loading_blocks is not None:
        _write(own.delta, draws[names.LOADING_DRIFT][..., None] * spec.loading_blocks.unit)
    path = np.full(factors.path.shape[1:], np.nan)  # (draw, factor, period)
    history = draws[names.FACTORS].swapaxes(1, 2)
    path[..., : history.shape[2]] = history
    if spec.evidence and names.FACTORS_NEXT in draws:
        path[..., -1] = draws[names.FACTORS_NEXT]
    factors.path[0] = np.nan_to_num(path) + factors.premium[0, ..., None]
    return np.asarray(np.isnan(path).any(axis=1))


def _carried_on(paths: Floats) -> Floats:
    """Paths (draw, period, ...) whose unknown last periods have the values of the last known one."""
    known = np.isfinite(paths)
    last = paths.shape[1] - 1 - known[:, ::-1].argmax(axis=1)  # the last period for one without any
    periods = np.arange(paths.shape[1]).reshape(-1, *([1] * (paths.ndim - 2)))
    return np.asarray(np.take_along_axis(paths, np.minimum(periods, last[:, None]), axis=1))


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

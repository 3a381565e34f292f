"""Chains that go on from draws of an earlier run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdfm import names
from bdfm.gibbs.adapt import PLAIN
from bdfm.gibbs.data import Data, Floats
from bdfm.gibbs.draws import named_views
from bdfm.gibbs.scratch import Tuning
from bdfm.gibbs.spec import GibbsSpec
from bdfm.gibbs.state import state_views


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


def place_draw(
    spec: GibbsSpec, data: Data, values: Floats, draw: Mapping[str, Floats], rng: np.random.Generator
) -> None:
    """Write a draw into the values of a state that has its start values: what is NaN keeps these.

    But start values of factors and loadings have a rotation of their own. So unknown factors are drawn anew,
    of their scale, and unknown loadings are 0, in the middle of their prior.
    """
    state = state_views(values[None, None], data, spec.n_factors)
    draw = dict(draw)
    for name in (names.LOADINGS, names.LOADINGS_PATH):
        if name in draw:
            draw[name] = np.nan_to_num(draw[name])
    for name, view in named_views(spec, state).items():
        # Others are computed from the state, and turned back below.
        if name in draw and np.shares_memory(view, values):
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
    fresh = rng.standard_normal(path.shape) * factors.scale[0, 0]
    path = np.where(np.isfinite(path), path, fresh)
    factors.path[0, 0] = path.T + factors.premium[0, 0, :, None]


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

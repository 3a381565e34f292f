"""One sweep of the sampler: which updates a specification needs, in which order, and the loop over them.

Updates are compiled one by one and called through their addresses, so that a specification compiles what it
needs and nothing else, and none is compiled twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bdfm.gibbs.adapt import begin_sweep
from bdfm.gibbs.compiling import (
    address,
    call_update,
    entry,
    forget_stale_kernels,
    kernel,
    reference,
    signature,
)
from bdfm.gibbs.data import Data, Floats, Ints, make_data
from bdfm.gibbs.quantities import refresh_band, refresh_innovations, refresh_precision, refresh_residuals
from bdfm.gibbs.scratch import Scratch, make_scratch
from bdfm.gibbs.spec import GibbsSpec
from bdfm.gibbs.state import State, start_state
from bdfm.gibbs.updates.asset_volatility import (
    draw_asset_paths,
    draw_path_hierarchies,
    draw_path_parameters,
    rescale_asset_paths,
)
from bdfm.gibbs.updates.collapsed_path import draw_collapsed_paths
from bdfm.gibbs.updates.degrees_of_freedom import draw_nu, draw_sigma_nu, move_sigma_nu
from bdfm.gibbs.updates.dynamics import draw_lag_coefficients, draw_rho
from bdfm.gibbs.updates.evidence import draw_evidence
from bdfm.gibbs.updates.factor_days import (
    draw_factor_days,
    move_along_residual_days,
    rescale_factor_days,
    shear_factor_days,
    switch_factor_days,
)
from bdfm.gibbs.updates.factor_mixing import draw_factor_mixing
from bdfm.gibbs.updates.factor_path import begin_new_factors, draw_factor_path, draw_factor_periods
from bdfm.gibbs.updates.factor_scales import switch_factors, switch_paths
from bdfm.gibbs.updates.factor_volatility import (
    draw_factor_volatilities,
    draw_factor_volatility_parameters,
    rescale_factor_volatilities,
    shift_factor_volatilities,
)
from bdfm.gibbs.updates.group_means import move_group_means
from bdfm.gibbs.updates.hierarchies import draw_hierarchies, move_groups
from bdfm.gibbs.updates.latent_scale import draw_h, draw_phi, rescale_h, shift_h
from bdfm.gibbs.updates.loading_hypers import (
    draw_drift,
    draw_loading_mixing,
    draw_loading_slopes,
    move_loading_slopes,
    rescale_drift,
    rescale_loading_rest,
)
from bdfm.gibbs.updates.loadings import draw_loadings
from bdfm.gibbs.updates.log_volatility import move_asset_coefficients
from bdfm.gibbs.updates.mean_effects import (
    draw_mean_coefficients,
    draw_mean_hierarchies,
    draw_mean_mixing,
    refresh_information,
)
from bdfm.gibbs.updates.multiplier import draw_scale_slopes
from bdfm.gibbs.updates.noise import draw_mixing, refresh_log_likelihood
from bdfm.gibbs.updates.orbits import rescale_factors, shear_factors, shift_factors
from bdfm.gibbs.updates.path_hierarchies import move_path_hierarchies
from bdfm.gibbs.updates.premium import draw_premia
from bdfm.gibbs.updates.residual_move import move_along_residuals
from bdfm.gibbs.warm import Adaptation, place_adaptation, place_draws

type Update = Callable[[np.random.Generator, Data, State, Scratch], None]

# What the updates of a sweep find current, in an order in which each reads what is already so.
REFRESH: Final[tuple[Update, ...]] = (refresh_band, refresh_residuals, refresh_precision)
START: Final[tuple[Update, ...]] = (*REFRESH, draw_mixing)  # what a new chain begins with
# Mixing variables that draws do not keep: a state that is placed has them drawn given the rest.
_FORGOTTEN: Final[tuple[Update, ...]] = (draw_mean_mixing, draw_loading_mixing)

# Further rounds of moves that turn factors on and off, each along other axes. Where a factor goes on and off
# the least effective number of draws a second is 1.4 times as large with two of them; more gain nothing.
MORE_SWITCHES: Final = 2

_UPDATES: Final[tuple[Update, ...]] = (
    begin_sweep,
    refresh_information,
    draw_mean_hierarchies,
    draw_mean_coefficients,
    draw_mean_mixing,
    draw_loadings,
    draw_loading_mixing,
    draw_loading_slopes,
    draw_drift,
    move_loading_slopes,
    rescale_loading_rest,
    rescale_drift,
    draw_factor_path,
    draw_factor_periods,
    begin_new_factors,
    shear_factors,
    rescale_factors,
    shift_factors,
    draw_premia,
    draw_rho,
    draw_lag_coefficients,
    draw_factor_mixing,
    draw_scale_slopes,
    draw_h,
    draw_phi,
    rescale_h,
    shift_h,
    draw_factor_days,
    shear_factor_days,
    rescale_factor_days,
    draw_factor_volatilities,
    draw_factor_volatility_parameters,
    rescale_factor_volatilities,
    shift_factor_volatilities,
    switch_factors,
    switch_paths,
    switch_factor_days,
    move_along_residual_days,
    draw_collapsed_paths,
    draw_asset_paths,
    move_path_hierarchies,
    rescale_asset_paths,
    draw_path_parameters,
    draw_path_hierarchies,
    move_along_residuals,
    move_asset_coefficients,
    move_group_means,
    move_groups,
    draw_hierarchies,
    draw_nu,
    move_sigma_nu,
    draw_sigma_nu,
    draw_mixing,
    draw_evidence,
    refresh_band,
    refresh_innovations,
    refresh_residuals,
    refresh_precision,
    refresh_log_likelihood,
)
# All updates by name, so that each can be called alone.
UPDATES: Final[dict[str, Update]] = {u.__name__: u for u in _UPDATES}


def sweep_of(spec: GibbsSpec, data: Data, *, alone: bool = True) -> list[Update]:
    """Updates of one sweep, in order: each parameter of the specification is updated at least once.

    ``alone``: of a chain, which has to come by all states by itself. Many draws that are moved on have them
    between them, and do without the moves that only make a chain come by them sooner.
    """
    lags = spec.lags.number if spec.lags else 0
    static = spec.loading_blocks is None
    prior_of_loadings: list[Update] = []
    if spec.loadings_dof is not None:
        prior_of_loadings.append(draw_loading_mixing)
    if spec.characteristics is not None:
        prior_of_loadings.append(draw_loading_slopes)
    if not static:
        prior_of_loadings.append(draw_drift)

    sweep: list[Update] = [begin_sweep]
    if spec.mean:
        sweep += [refresh_information, draw_mean_hierarchies, draw_mean_coefficients, draw_mean_mixing]
    sweep += [draw_loadings, *prior_of_loadings]
    if not static:  # here, where the residuals are current
        if spec.characteristics is not None:
            sweep += [move_loading_slopes, rescale_loading_rest]
        sweep.append(rescale_drift)
    if spec.factor_volatility is not None:
        return [*sweep, *_factor_days(spec, data, prior_of_loadings), *_noise(spec, data)]
    sweep.append(draw_factor_path if lags <= 1 else draw_factor_periods)
    if spec.n_factors > 1:
        sweep.append(shear_factors)
    sweep.append(rescale_factors)
    if data.mean.has_intercept and static:
        sweep.append(shift_factors)
    if spec.premium_sd is not None:
        sweep.append(draw_premia)
    sweep += prior_of_loadings
    if lags > 0:
        sweep.append(draw_rho if lags == 1 else draw_lag_coefficients)
    moving = (spec.factor_noise, spec.scale_regression, spec.latent_scale)
    if any(x is not None for x in moving):
        sweep.append(refresh_innovations)
    if spec.factor_noise is not None:
        sweep.append(draw_factor_mixing)
    if spec.scale_regression is not None:
        sweep.append(draw_scale_slopes)
    if spec.latent_scale is not None:
        sweep += [draw_h, draw_phi, rescale_h, shift_h]
    sweep += [refresh_band, refresh_residuals]
    if static:
        sweep.append(switch_factors)
        if lags == 0:
            sweep.append(switch_paths)
            turn: list[Update] = [shear_factors] if spec.n_factors > 1 else []
            sweep += [*turn, switch_factors, switch_paths] * (MORE_SWITCHES if alone else 0)
        if alone and data.volatility.has_intercept and spec.asset_volatility is None:
            sweep.append(move_along_residuals)
    return sweep + _noise(spec, data)


def _factor_days(spec: GibbsSpec, data: Data, prior_of_loadings: list[Update]) -> list[Update]:
    """Updates of factors that each have a volatility of their own, after the loadings."""
    turn: list[Update] = [shear_factor_days] if spec.n_factors > 1 else []
    sweep: list[Update] = [draw_factor_days, *turn, rescale_factor_days, *prior_of_loadings]
    sweep += [
        draw_factor_volatilities,
        draw_factor_volatility_parameters,
        rescale_factor_volatilities,
        shift_factor_volatilities,
        refresh_residuals,
    ]
    sweep += [switch_factors, *turn, switch_factor_days]
    if spec.asset_volatility is not None:
        return [*sweep, draw_collapsed_paths]
    return [*sweep, move_along_residual_days] if data.volatility.has_intercept else sweep


def _noise(spec: GibbsSpec, data: Data) -> list[Update]:
    """Updates of what belongs to single assets and their noise."""
    sweep: list[Update] = []
    if spec.asset_volatility is not None:
        sweep += [
            draw_asset_paths,
            move_path_hierarchies,
            rescale_asset_paths,
            draw_path_parameters,
            draw_path_hierarchies,
        ]
    sweep.append(move_asset_coefficients)
    if len(data.sums.shared) > 1:
        sweep.append(move_group_means)
    sweep += [move_groups, draw_hierarchies]
    if spec.noise.dof is not None:
        sweep += [draw_nu, move_sigma_nu, draw_sigma_nu]
    sweep.append(draw_mixing)
    if spec.evidence:
        sweep.append(draw_evidence)
    return sweep


@kernel
def call_all(addresses: Ints, rng: Any, data: Any, state: Any, scratch: Any) -> None:
    """Call updates one after the other, with references to the named tuples."""
    for j in range(addresses.shape[0]):
        call_update(addresses[j], rng, data, state, scratch)


@entry
def run(
    rng: np.random.Generator,
    data: Data,
    state: State,
    scratch: Scratch,
    sweep: Ints,
    at_draw: Ints,
    n_sweeps: int,
    thin: int,
    values: Floats,
    kept: Floats,
) -> None:
    """Call the updates at the addresses ``sweep`` one after the other, ``n_sweeps`` times.

    After every ``thin`` sweeps, those at ``at_draw`` are called too, and the first part of ``values``, the
    vector of the whole state, is copied to the next row of ``kept``, if there is one left.
    """
    d, s, w = reference(data), reference(state), reference(scratch)
    draw = 0
    for r in range(n_sweeps):
        call_all(sweep, rng, d, s, w)
        if (r + 1) % thin == 0 and draw < kept.shape[0]:
            call_all(at_draw, rng, d, s, w)
            copy_first(values, kept[draw])
            draw += 1


@entry
def move(
    rng: np.random.Generator,
    data: Data,
    state: State,
    scratch: Scratch,
    new: Ints,
    settle: Ints,
    sweep: Ints,
    at_draw: Ints,
    start: Floats,
    unknown: NDArray[np.bool_],
    values: Floats,
    kept: Floats,
    first: int,
) -> None:
    """Make sweeps of each of many draws, ``kept`` (draw, state, value), from its state ``first`` on.

    There is a sweep for each further state. A draw that begins has the values that draws keep, and ``start``
    for all others. The updates at ``new`` are called where it has ``unknown`` periods (draw, period), then
    those at ``settle``, and those at ``at_draw`` before each state is kept, that of the beginning too.
    """
    d, s, w = reference(data), reference(state), reference(scratch)
    for j in range(kept.shape[0]):
        copy_first(start, values)
        for c in range(kept.shape[2]):
            values[c] = kept[j, first, c]
        some = False
        for t in range(unknown.shape[1]):
            scratch.path.unknown[t] = 1.0 if unknown[j, t] else 0.0
            some = some or unknown[j, t]
        if some:
            call_all(new, rng, d, s, w)
        call_all(settle, rng, d, s, w)
        for r in range(first, kept.shape[1]):
            if r > first:
                call_all(sweep, rng, d, s, w)
            call_all(at_draw, rng, d, s, w)
            copy_first(values, kept[j, r])


@kernel
def copy_first(values: Floats, target: Floats) -> None:
    """Fill ``target`` with the first of ``values``."""
    for c in range(target.shape[0]):
        target[c] = values[c]


@dataclass(frozen=True, eq=False)
class Beginning:
    """How a chain goes to a draw; addresses of updates."""

    values: Floats  # of the whole state, where a draw knows nothing
    new: Ints  # where factors of periods are unknown
    settle: Ints


@dataclass(frozen=True, eq=False)
class Chain:
    """One chain: its random numbers, data, state and memory, shared with no other."""

    rng: np.random.Generator
    data: Data
    values: Floats  # all of the state in one vector, what draws keep first
    state: State
    scratch: Scratch

    @cached_property
    def signature(self) -> tuple[Any, ...]:
        """Types of the arguments of an update, found once: sweeps come in many batches."""
        return signature(self.rng, self.data, self.state, self.scratch)

    @cached_property
    def at_draw(self) -> Ints:
        """What is called where a draw is kept, found once too."""
        return self.compiled([refresh_log_likelihood])

    def compiled(self, updates: Iterable[Update], *, before: Callable[[Update], None] | None = None) -> Ints:
        """Addresses of updates, compiled or loaded from the cache; ``before`` is called for each first."""
        found = []
        for one in updates:
            if before is not None:
                before(one)
            found.append(address(one, self.signature))
        return np.array(found, dtype=np.int64)

    def apply(self, updates: Iterable[Update], times: int = 1) -> None:
        """Make these updates, compiled, ``times`` times over."""
        self._run(self.compiled(updates), self.compiled([]), times, 1, np.empty((0, 0)))

    def sample(self, sweep: Ints, n_sweeps: int, thin: int, kept: Floats) -> None:
        """Make ``n_sweeps`` sweeps, and keep every ``thin``-th state in a row of ``kept``.

        ``sweep`` holds the addresses of its updates (``compiled``).
        """
        self._run(sweep, self.at_draw, n_sweeps, thin, kept)

    def beginning(self, spec: GibbsSpec) -> Beginning:
        """What ``begin_at`` needs, found once for many draws."""
        swept = sweep_of(spec, self.data)
        settle = self.compiled([*START, *(u for u in _FORGOTTEN if u in swept)])
        return Beginning(self.values.copy(), self.compiled([*REFRESH, begin_new_factors]), settle)

    def begin_at(self, kept: Floats, beginning: Beginning, unknown: NDArray[np.bool_] | None = None) -> None:
        """Go to a state of which ``kept`` has the values that draws keep.

        All else has its start value. Factors of ``unknown`` periods (period) are drawn given the returns, and
        mixing variables given the rest, so that a draw from the posterior is one still.
        """
        none = np.empty(0, dtype=np.int64)
        self.move(none, kept[None, None].copy(), beginning, None if unknown is None else unknown[None])

    def move(
        self,
        sweep: Ints,
        kept: Floats,
        beginning: Beginning,
        unknown: NDArray[np.bool_] | None = None,
        *,
        first: int = 0,
    ) -> None:
        """Go to state ``first`` of each draw of ``kept`` (draw, state, value), and sweep to the later ones.

        As ``begin_at``, with the ``unknown`` periods of each draw (draw, period). All states are kept.
        """
        rng, data, state, scratch = self.rng, self.data, self.state, self.scratch
        if unknown is None:
            unknown = np.zeros((len(kept), 0), dtype=np.bool_)
        where = beginning.new, beginning.settle, sweep, self.at_draw
        move(rng, data, state, scratch, *where, beginning.values, unknown, self.values, kept, first)

    def _run(self, sweep: Ints, at_draw: Ints, n_sweeps: int, thin: int, kept: Floats) -> None:
        rng, data, state, scratch = self.rng, self.data, self.state, self.scratch
        run(rng, data, state, scratch, sweep, at_draw, n_sweeps, thin, self.values, kept)


def make_chain(
    spec: GibbsSpec,
    rng: np.random.Generator,
    draw: Mapping[str, Floats] | None = None,
    adaptation: Adaptation | None = None,
) -> Chain:
    """A chain at its start, or at a draw of an earlier run; all is current, mixing variables are drawn."""
    data = make_data(spec)
    values, state = start_state(spec, data, rng)
    chain = Chain(rng, data, values, state, make_scratch(data, state))
    if adaptation is not None:
        place_adaptation(chain.scratch.tuning, adaptation)
    if draw is None:
        chain.apply(START)
    else:
        placed = values[None].copy()
        unknown = place_draws(spec, data, placed, {name: x[None] for name, x in draw.items()})
        chain.begin_at(placed[0], chain.beginning(spec), unknown[0])
        chain.scratch.tuning.path_centre[:] = state.asset_volatility.mu
    return chain


forget_stale_kernels([run, move, *UPDATES.values()])

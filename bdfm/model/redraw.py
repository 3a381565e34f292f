"""The forecast period of a fit with evidence, drawn anew for each path (eq. 12).

A posterior draw holds one state of the forecast period: its factors and the returns that evidence is about.
If all paths of the draw shared it, their common part would be luck of the period and knowledge of the
parameters in one. Here that state moves on from path to path by a Markov chain that leaves its distribution
given the parameters and the evidence as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdfm import _blocks
from bdfm.data.panel import Panel
from bdfm.model.equations import Equations, at_periods
from bdfm.model.evidence import Evidence
from bdfm.model.part import Data, Params
from bdfm.model.simulate import principal_axes, simulate_ahead
from bdfm.names import (
    CLASS_INDEX,
    EVIDENCE_RETURN,
    FACTOR_MIXING_NEXT,
    FACTOR_SCALE,
    FACTORS_NEXT,
    LOADINGS,
    LOG_MULTIPLIER_NEXT,
    PERIOD_WEIGHTS,
)

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Density = Callable[[Floats, Rows], Floats]  # of values (row, ...) of the draws with these numbers

_EVERY: Final = 4  # updates of the period's state from one antithetic pair of paths to the next
_APART: Final = 40  # updates between the two halves of the pairs, whose means are then independent
_REDRAWN: Final = frozenset({FACTORS_NEXT, EVIDENCE_RETURN, FACTOR_MIXING_NEXT, LOG_MULTIPLIER_NEXT})


class Paths(NamedTuple):
    """Log returns as of ``simulate_ahead``, and whether the forecast period differs between halves."""

    log_returns: NDArray[Any]
    redrawn: bool


def paths_given_evidence(
    model: Equations,
    p: Params,
    past: Floats,
    data: Data,
    panel: Panel,
    evidence: Sequence[Evidence],
    *,
    n_paths: int,
    rng: np.random.Generator,
    totals: NDArray[np.float32] | None = None,
) -> Paths:
    """Paths after the origin of a fit with evidence; arguments and result as of ``simulate_ahead``.

    The paths of a posterior draw come in two halves, pairs 0, 2, 4, ... and pairs 1, 3, 5, ...: given the
    parameters, the forecast period of one half is independent of the other's, so that the covariance over
    draws of the two halves' means is the variance that ignorance of the parameters makes
    (``bdfm.portfolio.risk``). Where a part of the model has a variable of that period which is not
    known here, all paths share the posterior draw's period, and ``redrawn`` is False.
    """
    index = np.array([panel.assets.index(e.asset) for e in evidence])
    known = {v.name for v in model.variables_ahead if v.stored} <= _REDRAWN
    n_pairs = n_paths // 2
    shape = (n_paths if totals is None else 0, len(past), len(data[PERIOD_WEIGHTS]), len(panel.assets))
    out = np.empty(shape, dtype=np.float32)
    period = _Period(model, p, at_periods(data, slice(0, 1)), index, evidence, rng)
    halves = ([*range(0, n_pairs, 2)], [*range(1, n_pairs, 2)])
    for half, pairs in enumerate(halves):
        for place, pair in enumerate(pairs):
            if known:
                period.move(_EVERY if place else _APART * half)
            state = period.state
            own = simulate_ahead(model, {**p, **state}, past, data, n_paths=2, rng=rng, axes=period.axes)
            own[:, :, 0, index] = state[EVIDENCE_RETURN]
            if totals is None:
                out[2 * pair : 2 * pair + 2] = own
            else:
                rows = totals[2 * pair * len(past) : 2 * (pair + 1) * len(past)]
                rows[:] = own.sum(axis=2).reshape(rows.shape)
                _blocks.release(rows)
    return Paths(out if totals is None else totals, known and n_pairs > 1)


class _Period:
    """State of the forecast period of every posterior draw: factors, multipliers, returns with evidence.

    Each update leaves p(state | parameters, evidence) of every draw as it is; the posterior draw's own state
    is the start, and so every later state is a draw of it too.
    """

    def __init__(
        self,
        model: Equations,
        p: Params,
        ahead: Data,
        index: NDArray[np.intp],
        evidence: Sequence[Evidence],
        rng: np.random.Generator,
    ) -> None:
        self.model, self.ahead, self.rng = model, ahead, rng
        self.all = np.arange(len(p[LOADINGS]))
        self.p = {k: v for k, v in p.items() if k not in _REDRAWN}
        self.multipliers = {k: np.asarray(p[k]) for k in (LOG_MULTIPLIER_NEXT, FACTOR_MIXING_NEXT) if k in p}
        self.expected = np.asarray(model.expected_factors(p), dtype=float)  # (draw, factor)
        self.axes = principal_axes(p[LOADINGS] * p[FACTOR_SCALE][:, None])
        self.sd = self._sd(self.multipliers)
        self.z = (np.asarray(p[FACTORS_NEXT]) - self.expected) / self.sd
        self.returns = np.array(p[EVIDENCE_RETURN], dtype=float)  # (draw, evidence)
        self.stated = np.array([e.mean for e in evidence])
        self.error = np.array([e.sd for e in evidence])
        # μ is linear in the factors (eq. 2): its value at zero, and its slopes.
        n_draws, k = self.z.shape
        zero = np.zeros((n_draws, 1, k))
        self.level = self._mu(zero, index)
        unit = [self._mu(zero + np.eye(k)[j], index) - self.level for j in range(k)]
        self.slopes = np.stack(unit, axis=-1)  # (draw, evidence, factor)
        scale = np.broadcast_to(model.log_noise_scale(p, ahead), (n_draws, 1, len(ahead[CLASS_INDEX])))
        self.log_scale = scale[:, 0, index]
        self.noise = {name: np.asarray(p[name])[..., index] for name in model.noise.parameters}

    @property
    def factors(self) -> Floats:
        """Factors (draw, factor) of the period."""
        return np.asarray(self.expected + self.sd * self.z)

    @property
    def state(self) -> dict[str, Floats]:
        """Variables of the period by name, as a posterior holds them."""
        return {FACTORS_NEXT: self.factors, EVIDENCE_RETURN: self.returns, **self.multipliers}

    def move(self, n: int) -> None:
        """Update the state ``n`` times.

        Two ways to see the returns with evidence, as data and as mean plus noise, take turns: one mixes fast
        where evidence is sharp, the other where it is vague (Yu and Meng 2011, interweaving).
        """
        for _ in range(n):
            self._move_factors(self._given_returns)
            self._move_returns()
            residual = self.returns - self._mean(self.z, self.sd, self.all)
            self._move_factors(partial(self._given_noise, residual))
            self.returns = self._mean(self.z, self.sd, self.all) + residual

    # -- densities -------------------------------------------------------------------------------------

    def _mu(self, factors: Floats, index: NDArray[np.intp]) -> Floats:
        return np.asarray(self.model.expected_return(self.p, factors, self.ahead))[:, 0, index]

    def _sd(self, multipliers: Params) -> Floats:
        sd = self.model.factor_sd_next({**self.p, **multipliers}, self.ahead)
        return np.broadcast_to(np.asarray(sd, dtype=float), self.expected.shape)

    def _mean(self, z: Floats, sd: Floats, rows: Rows) -> Floats:
        """Expected log returns (row, evidence) of innovations and their scales (row, factor)."""
        factors = self.expected[rows] + sd * z
        return np.asarray(self.level[rows] + (self.slopes[rows] @ factors[..., None])[..., 0])

    def _noise(self, residual: Floats, rows: Rows) -> Floats:
        own = {name: x[rows] for name, x in self.noise.items()}
        density = self.model.noise.log_density(residual[:, None], self.log_scale[rows][:, None], own)
        return np.asarray(density)[:, 0]

    def _evidence(self, returns: Floats) -> Floats:
        """Log likelihood (row, evidence) of what is stated, given log returns (eq. 12)."""
        with np.errstate(over="ignore"):  # a trial far out in a heavy tail has density zero
            return np.asarray(-0.5 * np.square((np.expm1(returns) - self.stated) / self.error))

    def _given_returns(self, z: Floats, sd: Floats, rows: Rows) -> Floats:
        return np.asarray(self._noise(self.returns[rows] - self._mean(z, sd, rows), rows).sum(axis=1))

    def _given_noise(self, residual: Floats, z: Floats, sd: Floats, rows: Rows) -> Floats:
        return np.asarray(self._evidence(self._mean(z, sd, rows) + residual[rows]).sum(axis=1))

    # -- updates ---------------------------------------------------------------------------------------

    def _move_factors(self, log_likelihood: Callable[[Floats, Floats, Rows], Floats]) -> None:
        """Innovations by elliptical slice sampling (Murray, Adams and MacKay 2010), then the multipliers.

        New multipliers are proposed from their law given the parameters, and accepted by the likelihood.
        """
        # Along the principal axes, as ``simulate_ahead``: however factors turn, equal seeds draw alike.
        raw = self.rng.standard_normal(self.z.shape)
        other = (self.axes @ raw[..., None])[..., 0]
        self.z = elliptical_slice(
            self.rng, lambda z, rows: log_likelihood(z, self.sd[rows], rows), self.z, other
        )
        if not self.multipliers:
            return
        proposed = self._new_multipliers()
        sd = self._sd(proposed)
        gain = log_likelihood(self.z, sd, self.all) - log_likelihood(self.z, self.sd, self.all)
        taken = np.log(self.rng.random(len(gain))) < gain
        self.multipliers = {k: np.where(taken, proposed[k], v) for k, v in self.multipliers.items()}
        self.sd = np.where(taken[:, None], sd, self.sd)

    def _new_multipliers(self) -> dict[str, Floats]:
        n_draws, found = len(self.z), {}
        if LOG_MULTIPLIER_NEXT in self.multipliers:
            path = self.model.factor_scale.simulate_ahead(self.p, self.ahead, n_draws, self.rng)
            found[LOG_MULTIPLIER_NEXT] = path[:, 0]
        if FACTOR_MIXING_NEXT in self.multipliers:
            drawn = self.model.factor_noise.simulate_ahead(self.p, self.ahead, n_draws, self.rng)
            found[FACTOR_MIXING_NEXT] = drawn[:, 0] ** -2.0
        return found

    def _move_returns(self) -> None:
        mean = self._mean(self.z, self.sd, self.all)
        precision = np.exp(-2.0 * self.log_scale) + np.square((1.0 + self.stated) / self.error)
        self.returns = slice_steps(
            self.rng,
            lambda r, rows: self._noise(r - mean[rows], rows) + self._evidence(r),
            self.returns,
            3.0 / np.sqrt(precision),
        )


def elliptical_slice(
    rng: np.random.Generator, log_likelihood: Density, z: Floats, other: Floats | None = None
) -> Floats:
    """One update of standard normal variables (draw, variable) for each draw, given a log likelihood (draw,).

    ``other`` are fresh ones that span the ellipse with them; drawn here, if not given.

    Murray, Adams and MacKay (2010), Elliptical slice sampling, AISTATS 9, 541-548: no width to choose.
    """
    if other is None:
        other = rng.standard_normal(z.shape)
    rows = np.arange(len(z))  # those whose new value is not found yet: densities are of these alone
    height = log_likelihood(z, rows) + np.log(rng.random(len(z)))
    angle = rng.uniform(0.0, 2.0 * np.pi, len(z))
    low, high = angle - 2.0 * np.pi, angle.copy()
    new = z.copy()
    while len(rows):
        at = angle[rows, None]
        trial = z[rows] * np.cos(at) + other[rows] * np.sin(at)
        inside = log_likelihood(trial, rows) > height[rows]
        new[rows[inside]] = trial[inside]
        rows = rows[~inside & (high[rows] - low[rows] > 1e-12)]  # or the ellipse shrank to where it began
        low, high = np.where(angle < 0, angle, low), np.where(angle < 0, high, angle)
        angle = rng.uniform(low, high)
    return new


def slice_steps(rng: np.random.Generator, log_density: Density, x: Floats, width: Floats) -> Floats:
    """One slice update of each element of ``x`` (draw, ...), independent of each other (Neal 2003).

    With stepping out.
    """
    every = np.arange(len(x))
    height = log_density(x, every) + np.log(rng.random(x.shape))
    low = x - width * rng.random(x.shape)
    high = low + width
    for end, step in ((low, -width), (high, width)):
        rows = every
        while len(rows):
            out = log_density(end[rows], rows) > height[rows]
            end[rows] += np.where(out, step[rows], 0.0)
            rows = rows[out.any(axis=1)]
    new, open_, rows = x.copy(), np.ones(x.shape, dtype=bool), every
    while len(rows):
        trial = np.where(open_, rng.uniform(low, high), new)
        inside = np.zeros(x.shape, dtype=bool)
        inside[rows] = open_[rows] & (log_density(trial[rows], rows) > height[rows])
        new = np.where(inside, trial, new)
        open_ &= ~inside & (high - low > 1e-15)
        low, high = np.where(trial < x, trial, low), np.where(trial < x, high, trial)
        rows = every[open_.any(axis=1)]
    return new

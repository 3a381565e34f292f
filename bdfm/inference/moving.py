"""When draws of an earlier posterior, moved on by sweeps given new data, are draws of the new posterior.

R-hat and effective draws cannot tell: all draws come from one population, and where it still moves, all of it
does. So each quantity is regressed over the draws, its value after the last sweep on that after an earlier
one. The slope is the memory that is left of where draws began, and the line meets the diagonal where sweeps
would bring their mean in the end: the mean of the draws kept must be near it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bdfm.gibbs.sampler import KEPT_MOVES, MOVES, STATES, Look, last_moves
from bdfm.inference.diagnostics import labels_of
from bdfm.inference.ess import rhat_and_ess
from bdfm.inference.stopping import StoppingRule
from bdfm.names import CHAIN, DRAW

MOST_MOVES: Final = 12  # sweeps of every draw, before chains take over
DRIFT_MAX: Final = 0.2  # posterior sd: two chains as far apart have R-hat 1.01
_MOST_MEMORY: Final = 0.99  # slope
_LEAST_MEMORY: Final = 1e-9  # of a sweep

Floats = NDArray[np.float64]


class Drift(NamedTuple):
    """How far the mean of a quantity is from where sweeps would bring it, its standard error, and its memory.

    In posterior standard deviations; ``label`` such as ``theta[XOM]``. ``memory``: the share of a drift that
    a further sweep leaves.
    """

    label: str
    left: float
    error: float
    memory: float

    def __str__(self) -> str:
        return f"{self.label} {self.left:+.2f} ± {self.error:.2f} sd"

    @property
    def proven(self) -> float:
        """What is left beyond two standard errors."""
        return abs(self.left) - 2 * self.error

    @property
    def sweeps_to_go(self) -> float:
        """Sweeps until no more than ``DRIFT_MAX`` is proven; infinite where none will do."""
        if self.proven <= DRIFT_MAX:
            return 0.0
        if not np.isfinite(self.left) or not self.memory < 1.0:
            return np.inf
        share = (DRIFT_MAX + 2 * self.error) / abs(self.left)
        return max(1.0, float(np.ceil(np.log(share) / np.log(max(self.memory, _LEAST_MEMORY)))))


class DriftLeft(NamedTuple):
    """Drift that is left of quantities, its standard error, and the share of it that a sweep leaves."""

    left: Floats  # (quantity)
    error: Floats
    memory: Floats


def drift_left(begun: Floats, first: Floats, last: Floats, kept: Floats, *, sweeps: int) -> DriftLeft:
    """Drift that is left of each quantity and its standard error, in posterior standard deviations.

    Of x'' = c + r x' + e, over draws, the mean in the end is m = c / (1 - r), and the drift is the mean of
    ``kept`` less m. Its standard error is that of m, by the delta method. Of two regressions of ``last`` on
    ``first`` the one is told whose drift is more beyond its error:

    - by least squares, precise where the quantity has one time scale;
    - with ``begun`` as instrument. What is fast is noise in a regressor, and would hide that something slow
      under it has not arrived: a sweep earlier it is noise of its own.

    Not on ``begun``: of what a first sweep brings to its place at once, such as factors of returns that are
    new, the mean says nothing of the rest.

    Parameters
    ----------
    begun, first, last
        Quantities of each draw where it begins, after the first sweep and after the last (draw, quantity).
    kept
        Means of the draws that are kept (quantity).
    sweeps
        From ``first`` to ``last``, at least one.

    Returns
    -------
    DriftLeft
        Each (quantity); 0 with an infinite error for a quantity that does not vary, infinite drift for one
        that is not finite.
    """
    finite = np.isfinite(begun).all(axis=0) & np.isfinite(first).all(axis=0) & np.isfinite(last).all(axis=0)
    begun, first, last = (np.where(finite, x, 0.0) for x in (begun, first, last))
    varies = (last != last[0]).any(axis=0) & (first != first[0]).any(axis=0)
    sd = np.where(varies, last.std(axis=0), 1.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        plain, instrumented = found = [_end(first, last, x) for x in (first, begun)]
    drifts = np.array([(np.where(finite, kept, 0.0) - x.mean) / sd for x in found])
    errors = np.array([x.error / sd for x in found])
    unknown = ~(np.isfinite(drifts) & np.isfinite(errors))
    drifts, errors = np.where(unknown, 0.0, drifts), np.where(unknown, 0.0, errors)
    which = (np.abs(drifts) - 2 * errors).argmax(axis=0)[None]
    left, error = (np.take_along_axis(x, which, axis=0)[0] for x in (drifts, errors))
    left, error = np.where(varies, left, 0.0), np.where(varies, error, np.inf)
    proven = np.fmax(plain.slope, instrumented.slope - 2 * instrumented.slope_error)
    memory = np.clip(np.where(varies, proven, 0.0), 0.0, 1.0) ** (1 / sweeps)
    return DriftLeft(np.where(finite, left, np.inf), np.where(finite, error, 0.0), memory)


class _End(NamedTuple):
    """Mean (quantity) where x'' = c + r x' + e meets the diagonal and its standard error; r and its own."""

    mean: Floats
    error: Floats
    slope: Floats
    slope_error: Floats


def _end(x: Floats, last: Floats, instrument: Floats) -> _End:
    """The line of ``last`` on ``x`` (draw, quantity) by an instrument, ``x`` itself for least squares."""
    n = len(x)
    before, after, z = x.mean(axis=0), last.mean(axis=0), instrument - instrument.mean(axis=0)
    covariance = (z * (x - before)).sum(axis=0)
    slope = np.minimum((z * (last - after)).sum(axis=0) / covariance, _MOST_MEMORY)
    noise = ((last - after - slope * (x - before)) ** 2).sum(axis=0) / (n - 2)
    of_slope = noise * (z**2).sum(axis=0) / covariance**2
    variance = noise / n / (1 - slope) ** 2 + (after - before) ** 2 * of_slope / (1 - slope) ** 4
    return _End((after - slope * before) / (1 - slope), np.sqrt(variance), slope, np.sqrt(of_slope))


class MovingRule:
    """Judge of ``move_draws``: no quantity drifts, and the thresholds of a fit hold for the draws kept.

    Draws are ``apart`` where two looks find that ``most`` sweeps of each would not end a quantity's largest
    drift: one look may be mistaken, and chains cost more than another sweep. The thresholds need no margin,
    since looks at draws that drift no more are few. ``drift`` is the largest of the last look, beyond its
    standard errors; ``moved`` the sweeps of each draw.
    """

    def __init__(self, rule: StoppingRule, *, most: int = MOST_MOVES) -> None:
        self.rule, self.most = rule, most
        self.drift: Drift | None = None
        self.moved = MOVES - 1
        self._slow: set[str] = set()  # what the last look found to take too long
        self._begun: dict[str, Floats] = {}  # (draw, where it begins and after the first sweep, quantity)

    def __call__(self, draws: Mapping[str, NDArray[Any]], stats: Mapping[str, NDArray[Any]]) -> Look:
        """Whether these draws, (chain, draw x state, ...) by name, are enough."""
        self.rule.diagnosis = None
        self.moved += 1
        quick = self.rule.quick(draws, stats)
        drawn = {str(n): x for n, x in quick.data_vars.items() if {CHAIN, DRAW} <= set(x.dims)}
        drifts = [self._largest(name, x) for name, x in drawn.items()]
        self.drift = max(drifts, key=lambda d: d.proven)
        before, self._slow = self._slow, {d.label for d in drifts if self.moved + d.sweeps_to_go > self.most}
        if not self.drift.proven <= DRIFT_MAX:
            return Look(False, apart=bool(before & self._slow))
        kept, told = (
            {n: np.stack([last_moves(chain) for chain in x]) for n, x in d.items()} for d in (draws, stats)
        )
        max_rhat, min_ess = self.rule.max_rhat, self.rule.min_ess
        for known in told.values():  # the log-likelihood: most often the slowest, and looked at in no time
            apart, *effective = rhat_and_ess(known)
            if not (apart <= max_rhat and min(effective) >= min_ess):
                return Look(False)
        return Look(self.rule.whole(kept, told).meets(max_rhat=max_rhat, min_ess=min_ess))

    def _largest(self, name: str, quantity: xr.DataArray) -> Drift:
        """The drift of one quantity's element that is the largest beyond its standard errors."""
        quantity = quantity.transpose(CHAIN, DRAW, ...)
        x = quantity.to_numpy()
        x = x.reshape(-1, STATES, int(np.prod(x.shape[2:], dtype=int)))
        begun = self._begun.setdefault(name, x[:, :2].copy())
        kept = x[:, STATES - KEPT_MOVES :].mean(axis=(0, 1))
        found = drift_left(begun[:, 0], begun[:, 1], x[:, -1], kept, sweeps=self.moved - 1)
        worst = int((np.abs(found.left) - 2 * found.error).argmax())
        label = labels_of(quantity)[worst]
        return Drift(f"{name}[{label}]" if label else name, *(float(y[worst]) for y in found))

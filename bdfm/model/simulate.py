"""Forward simulation from parameters, vectorised over draws: prior predictive, forecasts, tests.

It calls the same equations as the fitted density (``Equations`` and its parts), with NumPy arrays
that carry leading draw axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdfm import _blocks
from bdfm._threads import each
from bdfm.data.panel import Panel
from bdfm.errors import ModelError
from bdfm.model import copula
from bdfm.model.equations import Equations, at_periods, model_data, scaled
from bdfm.model.evidence import Evidence
from bdfm.model.part import Data, Params
from bdfm.model.parts.dynamics import simulate_path, step
from bdfm.model.parts.factor_volatility import FactorVolatilityScale
from bdfm.model.parts.predictive import CovariancePool, HistoricalPool
from bdfm.names import (
    CLASS_INDEX,
    FACTOR_SCALE,
    FACTORS,
    FACTORS_NEXT,
    LOADINGS,
    OBSERVED,
    PERIOD_WEIGHTS,
    RETURNS,
    ROLLING_COVARIANCE,
)

Floats = NDArray[np.float64]
# Called with step, first row, and log returns (row, asset) from the origin to the end of that step.
Watch = Callable[[int, int, NDArray[np.float32]], None]


class Simulation(NamedTuple):
    """Simulated factors (..., period, factor) and log returns (..., period, asset), decimals per period."""

    factors: Floats
    log_returns: Floats


def simulate(model: Equations, p: Params, data: Data, *, rng: np.random.Generator) -> Simulation:
    """Return histories simulated from parameters with any leading draw axes (eq. 1 to 7).

    ``p`` holds arrays (..., asset) and so on by the names of ``bdfm.names``; ``data`` the features
    (period, asset[, window]) as ``bdfm.model.equations.model_data`` returns them. Missing cells are
    simulated too. Mixing variables of the factors that ``p`` lacks are drawn (eq. 3f).
    """
    n_periods = len(data[PERIOD_WEIGHTS])
    p = model.factor_noise.with_history(p, n_periods, rng)
    factor_sd = model.factor_sd(p, data)
    shape = (*factor_sd.shape[:-2], n_periods, model.n_factors)
    innovations = factor_sd * model.factor_scale.correlated(p, rng.standard_normal(shape))
    factors = simulate_path(model.lags(p), innovations, factor_sd[..., 0, :])
    return Simulation(factors, model.draw_returns(p, factors, data, rng=rng))


def simulate_ahead(
    model: Equations,
    p: Params,
    past: Floats,
    data: Data,
    *,
    n_paths: int,
    rng: np.random.Generator,
    dtype: type[np.floating[Any]] = np.float32,
    totals: NDArray[np.float32] | None = None,
    watch: Watch | None = None,
    axes: Floats | None = None,
) -> NDArray[Any]:
    """Return log returns of the periods after the origin, several paths for each posterior draw (eq. 11).

    ``p`` holds posterior draws with one leading axis (draw, ...); ``past`` (draw, lag, factor) the last
    factors, newest last; ``data`` the features of the future periods (step, asset[, window]).
    Returns (n_paths, draw, step, asset), decimals; or fills ``totals`` (path and draw, asset), path after
    path, with the sums over the steps, and returns it: an array that may lie in a file. ``watch`` sees each
    pair of paths on its way there, from any thread.

    Paths come in antithetic pairs: the normal innovations of factors and noise (z, e) return as (-z, -e),
    with the mixing variables of Student-t noise and factors in common, so that up and down balance exactly
    and do not decide ranks; flipping only one of the two adds nothing. Factor innovations are drawn
    along the principal axes of the draw's common covariance (``axes``, where they are known), so that equal
    seeds give equal returns however the factors are rotated, signed or ordered. With ``factors_next`` among
    the parameters, as in a fit with evidence, the first step's factors are those, and only noise is drawn.
    Factors that each have a volatility of their own, which singles out a rotation, are drawn one by one. Each
    pair has random numbers of its own, and threads share the pairs: equal seeds give equal returns on any
    number of cores.
    """
    if n_paths % 2:
        raise ValueError(f"n_paths must be even (antithetic pairs), got {n_paths}")
    n_draws, n_steps, n_assets = past.shape[0], len(data[PERIOD_WEIGHTS]), len(data[CLASS_INDEX])
    lags = model.lags(p)
    log_scale = np.broadcast_to(model.log_noise_scale(p, data), (n_draws, n_steps, n_assets))
    noise_scale = np.exp(log_scale)
    own = model.factor_scale if isinstance(model.factor_scale, FactorVolatilityScale) else None
    steps = [at_periods(data, slice(t, t + 1)) for t in range(n_steps)]
    if axes is None:
        axes = principal_axes(p[LOADINGS] * p[FACTOR_SCALE][:, None])
    sign = np.array([1.0, -1.0])[:, None, None]
    out = np.empty((n_paths if totals is None else 0, n_draws, n_steps, n_assets), dtype=dtype)

    def fill(pair: int, rng: np.random.Generator) -> None:
        path = np.broadcast_to(past, (2, *past.shape))
        deviation: Any = 0.0
        if own is not None:
            moving = _Moving(own, p)
        else:
            multiplier = model.multipliers_ahead(p, data, n_draws, rng)
        for t in range(n_steps):
            if own is not None:
                eta = moving.step(sign, rng)
            else:
                z = rng.standard_normal((n_draws, model.n_factors, 1))
                eta = sign * (multiplier[:, t] * p[FACTOR_SCALE] * (axes @ z)[..., 0])
            if t == 0 and FACTORS_NEXT in p:
                factors = np.broadcast_to(p[FACTORS_NEXT], eta.shape)
            else:
                factors = step(lags, path, eta)
            path = np.concatenate([path, factors[:, :, None]], axis=2)
            mu = model.expected_return(p, factors[:, :, None], steps[t])[:, :, 0]
            deviation = model.volatility_ahead(p, deviation, rng)
            scale = noise_scale[:, t] if isinstance(deviation, float) else np.exp(log_scale[:, t] + deviation)
            noise = model.noise.standard_draws(p, (n_draws, n_assets), rng)
            came = scaled(mu, scale, noise, sign=sign)
            if totals is None:
                out[pair : pair + 2, :, t] = came
                continue
            rows = totals[pair * n_draws : (pair + 2) * n_draws]
            if t == 0:
                rows[:] = came.reshape(rows.shape)
            else:
                rows += came.reshape(rows.shape).astype(rows.dtype)
            if watch is not None:
                watch(t, pair * n_draws, rows)
        if totals is not None:
            _blocks.release(rows)

    pairs = range(0, n_paths, 2)
    each(fill, pairs, rng.spawn(len(pairs)))
    return out if totals is None else totals


class _Moving:
    """Factors of an antithetic pair of paths whose scales move each by itself, with leverage (eq. D2, D3).

    Leverage ties the volatility to the sign of the factor: the two paths share the other shocks to it.
    """

    def __init__(self, scale: FactorVolatilityScale, p: Params) -> None:
        self.scale, self.p = scale, p
        self.h, self.z = scale.start_ahead(p)

    def step(self, sign: Floats, rng: np.random.Generator) -> Floats:
        """Factors (2, draw, factor) one period on."""
        shape = np.shape(self.p[FACTOR_SCALE])
        self.h = self.scale.step_ahead(self.p, self.h, self.z, rng.standard_normal(shape))
        self.z = sign * rng.standard_normal(shape)
        return np.asarray(self.p[FACTOR_SCALE] * np.exp(self.h) * self.z)


def resample_past(
    model: Equations,
    p: Params,
    data: Data,
    *,
    n: int,
    n_steps: int = 1,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return log returns as they came in past periods, of all assets jointly (eq. 11a).

    Row j belongs to posterior draw j modulo the number of draws: ``n_steps`` periods in a row. Every start is
    taken equally often, up to one row. An asset without a return in a period gets one from the model, given
    the draw's parameters and its factors of that period. ``data`` holds the history, ``p`` posterior draws
    with one leading axis. Returns (n, step, asset), decimals per period.
    """
    observed, returns = data[OBSERVED], data[RETURNS]
    n_draws, n_starts = len(p[FACTORS]), len(returns) - n_steps + 1
    start = rng.permutation(np.arange(n) % n_starts)
    draw = np.arange(n) % n_draws
    out = np.empty((n, n_steps, returns.shape[1]), dtype=np.float32)
    for t in range(len(returns)):
        row, step_ = np.nonzero(start[:, None] + np.arange(n_steps) == t)
        out[row, step_] = returns[t]
        if observed[t].all() or not len(row):
            continue
        here = at_periods(data, slice(t, t + 1))
        q = {name: x[draw[row]] for name, x in p.items() if name != FACTORS}
        drawn = model.draw_returns(q, p[FACTORS][draw[row], t : t + 1], here, rng=rng)[:, 0]
        out[row, step_] = np.where(observed[t], returns[t], drawn)
    return out


def other_draws(
    model: Equations,
    p: Params,
    panel: Panel,
    *,
    n: int,
    n_steps: int,
    rng: np.random.Generator,
    evidence: Sequence[Evidence] = (),
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Log returns (n, asset) over ``n_steps`` periods of what the model's forecast is pooled with.

    Past returns (eq. 11a), or draws of the rolling covariance (eq. 11b): over several periods they sum
    independent ones, of which evidence concerns the first. ``p`` holds posterior draws with one leading axis.
    They are put into ``out``, where it is given.
    """
    out = np.empty((n, len(panel.assets)), dtype=np.float32) if out is None else out
    predictive = model.predictive
    if isinstance(predictive, HistoricalPool):
        came = resample_past(model, p, model_data(model, panel), n=n, n_steps=n_steps, rng=rng)
        return np.sum(came, axis=1, out=out)
    if not isinstance(predictive, CovariancePool):
        raise ModelError(f"[predictive]: {type(predictive).__name__} has no draws of its own.")
    covariance = panel.dataset[ROLLING_COVARIANCE].to_numpy()
    stated = [(panel.assets.index(e.asset), e.mean, e.sd) for e in evidence]
    for step_ in range(n_steps):
        given = stated if step_ == 0 else ()
        into = out if step_ == 0 else _blocks.empty_like(out)
        copula.log_returns(covariance, into, dof=predictive.dof, rng=rng, evidence=given)
        for here in _blocks.blocks(out, into):
            if step_:
                out[here] += into[here]
    return out


def principal_axes(scaled: Floats) -> Floats:
    """Orthonormal axes (draw, factor, axis) of scaled loadings (draw, asset, factor), variances ascending.

    Their signs make the loadings on each axis sum to a positive number over assets.
    """
    axes = np.linalg.eigh(scaled.swapaxes(-1, -2) @ scaled).eigenvectors
    total = (scaled.sum(axis=-2)[..., None, :] @ axes)[..., 0, :]
    return np.asarray(axes * np.where(total < 0, -1.0, 1.0)[..., None, :])

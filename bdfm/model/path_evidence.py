"""Paths of days given evidence on returns over horizons (eq. D9).

Given the volatilities and mixing variables of its days, the sum of a path's log returns is normal. So paths
come in two steps: volatilities from their law, with the density of the evidence given them as the path's
weight; and the shocks of its days from their exact law given that the sum is what was stated. Evidence may be
as sharp as it likes: a path need not come near it by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdfm import _blocks
from bdfm._threads import each
from bdfm.data.panel import Panel
from bdfm.model.equations import Equations, at_periods
from bdfm.model.evidence import Evidence
from bdfm.model.part import Data, Params
from bdfm.model.parts.factor_volatility import FactorVolatilityScale
from bdfm.model.simulate import Watch
from bdfm.names import CLASS_INDEX, FACTOR_PHI, FACTOR_SCALE, FACTOR_VOLATILITY_SD, LEVERAGE, LOADINGS

Floats = NDArray[np.float64]


def paths_given_returns(
    model: Equations,
    p: Params,
    data: Data,
    panel: Panel,
    evidence: Sequence[Evidence],
    *,
    n_steps: int,
    n_paths: int,
    rng: np.random.Generator,
    totals: NDArray[np.float32],
    watch: Watch | None = None,
) -> Floats:
    """Log weights (path and draw) of paths after the origin, given evidence on returns over horizons.

    ``totals`` (path and draw, asset) is filled with log returns over ``n_steps`` periods, path after path.
    ``data`` holds the features of as many periods as the furthest horizon, of forecast or evidence, needs.
    What is stated is a simple return with a normal error (eq. 12): shocks are drawn given its logarithm, and
    weights make good for the difference. Equal seeds give equal paths however many steps are asked for.
    Each path has random numbers of its own.
    """
    assert isinstance(model.factor_scale, FactorVolatilityScale)  # Equations.conditions_paths
    about = _About.of(evidence, panel)
    n_draws = len(p[FACTOR_SCALE])
    weights = np.empty((n_paths, n_draws))
    steps = [at_periods(data, slice(t, t + 1)) for t in range(max(n_steps, int(about.horizon.max())))]

    def fill(path: int, own: np.random.Generator) -> None:
        rows = totals[path * n_draws : (path + 1) * n_draws]
        weights[path] = _path(model, p, steps, about, n_steps, own, rows, path * n_draws, watch)
        _blocks.release(rows)

    each(fill, range(n_paths), rng.spawn(n_paths))
    return weights.reshape(-1)


class _About(NamedTuple):
    """What is stated, of several returns (evidence,): asset, mean, sd and horizon."""

    asset: NDArray[np.intp]
    mean: Floats
    sd: Floats
    horizon: NDArray[np.intp]

    @classmethod
    def of(cls, evidence: Sequence[Evidence], panel: Panel) -> _About:
        asset = np.array([panel.assets.index(e.asset) for e in evidence])
        mean, sd = (np.array([getattr(e, k) for e in evidence], dtype=float) for k in ("mean", "sd"))
        return cls(asset, mean, sd, np.array([e.horizon for e in evidence]))


def _path(
    model: Equations,
    p: Params,
    steps: Sequence[Data],
    about: _About,
    n_steps: int,
    rng: np.random.Generator,
    rows: NDArray[np.float32],
    first_row: int,
    watch: Watch | None,
) -> Floats:
    """Log weight (draw,) of one path of each posterior draw, whose sums fill ``rows``."""
    scale: Any = model.factor_scale
    n_draws, n_factors = np.shape(p[FACTOR_SCALE])
    n_assets, n_known = len(steps[0][CLASS_INDEX]), int(about.horizon.max())
    phi, sd, leverage = p[FACTOR_PHI], p[FACTOR_VOLATILITY_SD], p[LEVERAGE]

    # Volatilities of the days that evidence is on. Each is known before the factors: leverage then says where
    # a day's factor lies, given the shock to the volatility of the next one (eq. D3).
    h, last = scale.start_ahead(p)
    log_factor, shock = [], []
    for t in range(n_known):
        u = rng.standard_normal((n_draws, n_factors))
        h = scale.step_ahead(p, h, last, u) if t == 0 else phi * h + sd * u
        log_factor.append(h)
        shock.append(u)
    ahead = np.array([*shock[1:], np.zeros((n_draws, n_factors))])
    centre = leverage * ahead
    spread = np.broadcast_to(np.sqrt(1.0 - np.square(leverage)), ahead.shape).copy()
    spread[-1] = 1.0  # the volatility of the day after is open
    x = rng.standard_normal(ahead.shape)

    deviation: Any = 0.0
    noise_scale, noises = [], []
    for t in range(n_known):
        deviation = model.volatility_ahead(p, deviation, rng)
        noise_scale.append(_noise_scale(model, p, steps[t], deviation, n_draws, n_assets))
        noises.append(model.noise.standard_draws(p, (n_draws, n_assets), rng))
    move = p[FACTOR_SCALE] * np.exp(np.array(log_factor))  # (step, draw, factor)

    # What is stated, as a sum of the shocks: its gains by factor shock and by noise shock of each day.
    inside = (np.arange(n_known)[:, None] < about.horizon).astype(float)  # (step, evidence)
    of_factor = np.asarray(p[LOADINGS])[:, about.asset]  # (draw, evidence, factor)
    by_factor = np.einsum("te,dek,tdk->tdek", inside, of_factor, move * spread)
    by_noise = np.array(
        [s[:, about.asset] * n.multiplier[:, about.asset] for s, n in zip(noise_scale, noises, strict=True)]
    )
    by_noise *= inside[:, None]  # (step, draw, evidence)
    same = about.asset[:, None] == about.asset
    covariance = np.einsum("tdek,tdfk->def", by_factor, by_factor)
    covariance += np.einsum("tde,tdf->def", by_noise, by_noise) * same
    expected = np.einsum("te,dek,tdk->de", inside, of_factor, move * centre)
    zero = np.zeros((n_draws, 1, n_factors))
    for t in range(n_known):
        level = np.asarray(model.expected_return(p, zero, steps[t]))[:, 0, about.asset]
        middle = noises[t].centre
        if not isinstance(middle, float):
            level = level + noise_scale[t][:, about.asset] * np.asarray(middle)[:, about.asset]
        expected = expected + inside[t] * level
    normal = np.array([n.normal[:, about.asset] for n in noises])
    came = expected + np.einsum("tdek,tdk->de", by_factor, x) + np.einsum("tde,tde->de", by_noise, normal)

    # The shocks given the sum: drawn without it, and moved by what is missing (Matheron's rule).
    target, error = np.log1p(about.mean), about.sd / (1.0 + about.mean)
    known = covariance + np.diag(np.square(error))
    missing = target - came - error * rng.standard_normal(came.shape)
    pull = np.linalg.solve(known, missing[..., None])[..., 0]
    x += np.einsum("tdek,de->tdk", by_factor, pull)
    for t in range(n_known):
        for e, asset in enumerate(about.asset):
            noises[t].normal[:, asset] += by_noise[t, :, e] * pull[:, e]
    got = came + np.einsum("def,df->de", covariance, pull)
    apart = target - expected
    fit = np.einsum("de,de->d", apart, np.linalg.solve(known, apart[..., None])[..., 0])
    weight = -0.5 * (fit + np.linalg.slogdet(known)[1])
    with np.errstate(over="ignore"):  # a trial far out has weight zero
        stated = np.square((np.expm1(got) - about.mean) / about.sd)
    weight -= 0.5 * (stated - np.square((got - target) / error)).sum(axis=1)

    z = centre + spread * x
    h = log_factor[-1]
    for t in range(n_steps):
        if t < n_known:
            eta, noise, own = move[t] * z[t], noises[t], noise_scale[t]
            last = z[t]
        else:
            h = scale.step_ahead(p, h, last, rng.standard_normal(h.shape))
            last = rng.standard_normal(h.shape)
            eta = p[FACTOR_SCALE] * np.exp(h) * last
            deviation = model.volatility_ahead(p, deviation, rng)
            own = _noise_scale(model, p, steps[t], deviation, n_draws, n_assets)
            noise = model.noise.standard_draws(p, (n_draws, n_assets), rng)
        mu = np.asarray(model.expected_return(p, eta[:, None], steps[t]))[:, 0]
        came = mu + own * (noise.centre + noise.multiplier * noise.normal)
        if t == 0:
            rows[:] = came
        else:
            rows += came.astype(rows.dtype)
        if watch is not None:
            watch(t, first_row, rows)
    return np.asarray(weight)


def _noise_scale(
    model: Equations, p: Params, step: Data, deviation: Any, n_draws: int, n_assets: int
) -> Floats:
    """Noise scale (draw, asset) of a day whose log deviates from what the origin expects."""
    log_scale = np.asarray(model.log_noise_scale(p, step))[..., 0, :]
    return np.asarray(np.exp(np.broadcast_to(log_scale, (n_draws, n_assets)) + deviation))

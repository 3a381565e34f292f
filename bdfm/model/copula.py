"""Draws of log returns with a given covariance and heavy-tailed margins (eq. 11b), also given evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bdfm._threads import each

Floats = NDArray[np.float64]

_KNOTS: Final = np.linspace(-6.5, 6.5, 4001)  # of a normal variable, for its map to a Student-t
_BLOCK: Final = 10_000  # pairs of draws made at a time: the split decides the numbers, so it is fixed
_PROPOSALS: Final = 4  # of an evidence draw that is kept
_PROPOSAL_DOF: Final = 5.0


def simulated_normal(correlation: Floats, n_draws: int, rng: np.random.Generator) -> Floats:
    """Correlated standard normal variables (draw, asset): one half of the draws, then its mirror image."""
    half = rng.standard_normal((-(-n_draws // 2), len(correlation))) @ np.linalg.cholesky(correlation).T
    return np.concatenate([half, -half])


def simulated_student(
    correlation: Floats, n_draws: int, dof: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Student-t variables of unit variance (draw, asset), copula of a normal; one half mirrors the other.

    In blocks on threads, each with random numbers of its own: the same on any number of cores.
    """
    n_pairs, root = -(-n_draws // 2), np.linalg.cholesky(correlation).T
    out = np.empty((2, n_pairs, len(correlation)), dtype=np.float32)
    starts = range(0, n_pairs, _BLOCK)

    def fill(start: int, own: np.random.Generator) -> None:
        rows = out[:, start : start + _BLOCK]
        rows[0] = to_student(own.standard_normal(rows.shape[1:]) @ root, dof)
        np.negative(rows[0], out=rows[1])

    each(fill, starts, rng.spawn(len(starts)))
    return out.reshape(2 * n_pairs, -1)


def to_student(normal: Floats, dof: float) -> Floats:
    """Map standard normal variables to Student-t ones of unit variance, in place: a Gaussian copula."""
    heights = student_heights(dof)
    place = (normal - _KNOTS[0]) / (_KNOTS[1] - _KNOTS[0])  # knots are evenly spaced: no search
    np.clip(place, 0, len(_KNOTS) - 1, out=place)
    below = np.minimum(place.astype(np.intp), len(_KNOTS) - 2)
    place -= below
    low = heights[below]
    np.multiply(place, heights[below + 1] - low, out=place)
    normal[:] = place + low
    return normal


def student_heights(dof: float) -> Floats:
    """Student-t values of unit variance at the knots of a normal variable."""
    return np.asarray(special.stdtrit(dof, special.ndtr(_KNOTS)) * np.sqrt((dof - 2) / dof))


def log_returns(
    covariance: Floats,
    n_draws: int,
    *,
    dof: float,
    rng: np.random.Generator,
    evidence: Sequence[tuple[int, float, float]] = (),
) -> NDArray[np.float32]:
    """Log returns (draw, asset) of mean 0 with Student-t margins joined by a Gaussian copula (eq. 11b).

    Parameters
    ----------
    covariance
        (asset, asset), of log returns over the period.
    n_draws
        Rows, at least; one more where it is odd.
    dof
        Degrees of freedom of the margins, above 2.
    evidence
        Position of an asset, and mean and sd of a simple return that was measured so (eq. 12). Draws are
        then from the distribution given these measurements: exact but for resampling.
    """
    scale = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(scale, scale)
    if not evidence:
        draws = simulated_student(correlation, n_draws, dof, rng)
        return np.multiply(draws, scale.astype(np.float32), out=draws)
    index = np.array([i for i, _, _ in evidence])
    own = correlation[np.ix_(index, index)]
    known = _given_evidence(own, scale[index], evidence, -(-n_draws // 2) * 2, dof, rng)
    slope = np.linalg.solve(own, correlation[index]).T  # (asset, evidence)
    rest = correlation - slope @ correlation[index]
    values, vectors = np.linalg.eigh((rest + rest.T) / 2)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    half = rng.standard_normal((len(known) // 2, len(correlation))) @ root.T
    z = known @ slope.T + np.concatenate([half, -half])
    z[:, index] = known
    return np.asarray(to_student(z, dof) * scale, dtype=np.float32)


def _given_evidence(
    correlation: Floats,
    scale: Floats,
    evidence: Sequence[tuple[int, float, float]],
    n_draws: int,
    dof: float,
    rng: np.random.Generator,
) -> Floats:
    """Standard normal variables (draw, evidence) behind the returns, given the measurements of these.

    Importance resampling from a Student-t around the mode; systematic, so that equal weights give each once.
    """
    from scipy import optimize  # slow to import, and seldom needed

    heights = student_heights(dof)
    mean, sd = (np.array([e[k] for e in evidence]) for k in (1, 2))
    precision = np.linalg.inv(correlation)

    def log_density(z: Floats) -> Floats:
        simple = np.expm1(np.minimum(np.interp(z, _KNOTS, heights) * scale, 5.0))
        prior = -0.5 * np.einsum("...i,ij,...j->...", z, precision, z)
        return np.asarray(prior - 0.5 * (((mean - simple) / sd) ** 2).sum(axis=-1))

    # Started where each measurement alone puts its return; a flat start would not see a sharp one far out.
    first = np.interp(np.log1p(np.maximum(mean, -0.99)) / scale, heights, _KNOTS)
    slope = scale * np.exp(first * scale) * 0.9
    gain = slope**2 / (slope**2 + sd**2)

    def negative(z: Floats) -> float:
        return -float(log_density(z))

    start = [float(z) for z in first * gain]
    mode = np.asarray(optimize.minimize(negative, x0=start, method="Nelder-Mead").x)
    spread = np.linalg.inv(precision + np.diag((scale * np.exp(mode * scale) / sd) ** 2))
    root = np.linalg.cholesky(1.5 * spread)
    n = _PROPOSALS * n_draws
    tails = np.sqrt(_PROPOSAL_DOF / rng.chisquare(_PROPOSAL_DOF, n))[:, None]
    step = rng.standard_normal((n, len(mode))) * tails
    z = mode + step @ root.T
    proposal = -0.5 * (_PROPOSAL_DOF + len(mode)) * np.log1p((step**2).sum(axis=1) / _PROPOSAL_DOF)
    log_weight = log_density(z) - proposal
    weight = np.cumsum(np.exp(log_weight - log_weight.max()))
    points = (np.arange(n_draws) + rng.random()) / n_draws * weight[-1]
    return np.asarray(rng.permutation(z[np.searchsorted(weight, points)]))

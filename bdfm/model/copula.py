"""Draws of log returns with a given covariance and heavy-tailed margins (eq. 11b), also given evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bdfm import _blocks
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


def fill_student(
    out: NDArray[np.float32], correlation: Floats, scale: Floats, dof: float, rng: np.random.Generator
) -> None:
    """Fill ``out`` (draw, asset) with Student-t variables of a scale each, copula of a normal.

    One half mirrors the other. In blocks on threads, each with random numbers of its own: the same on any
    number of cores.
    """
    n_draws, n_assets = out.shape
    n_pairs, root = -(-n_draws // 2), np.linalg.cholesky(correlation).T
    starts = range(0, n_pairs, _BLOCK)
    at_once = min(_BLOCK, _blocks.rows_at_once(n_assets))

    def fill(start: int, own: np.random.Generator) -> None:
        stop = min(start + _BLOCK, n_pairs)
        for first in range(start, stop, at_once):
            n = min(at_once, stop - first)
            rows = to_student(own.standard_normal((n, n_assets)) @ root, dof).astype(np.float32)
            rows *= scale.astype(np.float32)
            out[first : first + n] = rows
            mirrored = out[n_pairs + first : n_pairs + first + n]  # one less where their number is odd
            np.negative(rows[: len(mirrored)], out=mirrored)
            _blocks.release(out[first : first + n])
            _blocks.release(mirrored)

    each(fill, starts, rng.spawn(len(starts)))


def to_student(normal: Floats, dof: float) -> Floats:
    """Map standard normal variables to Student-t ones of unit variance, in place: a Gaussian copula."""
    heights = student_heights(dof)
    place = (normal - _KNOTS[0]) / (_KNOTS[1] - _KNOTS[0])  # knots are evenly spaced: no search
    np.clip(place, 0, len(_KNOTS) - 1, out=place)
    below = np.minimum(place.astype(np.intp), len(_KNOTS) - 2)
    place -= below
    low = heights[below]
    np.multiply(place, heights[below + 1] - low, out=place)
    np.add(place, low, out=normal)
    return normal


def student_heights(dof: float) -> Floats:
    """Student-t values of unit variance at the knots of a normal variable."""
    return np.asarray(special.stdtrit(dof, special.ndtr(_KNOTS)) * np.sqrt((dof - 2) / dof))


def log_returns(
    covariance: Floats,
    out: NDArray[np.float32],
    *,
    dof: float,
    rng: np.random.Generator,
    evidence: Sequence[tuple[int, float, float]] = (),
) -> None:
    """Fill ``out`` with log returns of mean 0, Student-t margins joined by a Gaussian copula (eq. 11b).

    Parameters
    ----------
    covariance
        (asset, asset), of log returns over the period.
    out
        (draw, asset), which may lie in a file.
    dof
        Degrees of freedom of the margins, above 2.
    evidence
        Position of an asset, and mean and sd of a simple return that was measured so (eq. 12). Draws are
        then from the distribution given these measurements: exact but for resampling.
    """
    scale = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(scale, scale)
    if not evidence:
        fill_student(out, correlation, scale, dof, rng)
        return
    index = np.array([i for i, _, _ in evidence])
    own = correlation[np.ix_(index, index)]
    n_pairs = -(-len(out) // 2)
    known = _given_evidence(own, scale[index], evidence, 2 * n_pairs, dof, rng)
    slope = np.linalg.solve(own, correlation[index]).T  # (asset, evidence)
    rest = correlation - slope @ correlation[index]
    values, vectors = np.linalg.eigh((rest + rest.T) / 2)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    at_once = min(n_pairs, _blocks.rows_at_once(len(correlation)))
    for first in range(0, n_pairs, at_once):
        half = rng.standard_normal((min(at_once, n_pairs - first), len(correlation))) @ root.T
        for sign, begin in ((1.0, first), (-1.0, n_pairs + first)):
            rows = out[begin : begin + len(half)]
            own = known[begin : begin + len(rows)]
            z = own @ slope.T + sign * half[: len(rows)]
            z[:, index] = own
            rows[:] = to_student(z, dof) * scale
            _blocks.release(rows)


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

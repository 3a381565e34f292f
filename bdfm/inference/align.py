"""Alignment of posterior draws of a factor model, on plain arrays.

Factors are identified only up to rotation, sign and order, and each draw may come in an orientation of its
own: posterior means of raw loadings and factors mean nothing, and their R-hat is large however good the
fit. :func:`align` turns all draws of all chains to one common orientation without changing any product of
loadings and factors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdfm._checks import at_least, first
from bdfm.errors import DataError, ModelError

type Array = NDArray[np.float64]

_TOLERANCE: Final = 1e-6  # relative change of the reference below which the iteration has converged
_MAX_SWEEPS: Final = 1000  # of varimax over all pairs of factors; most draws need 5 to 20
_FLOOR: Final = 1e-12  # of the largest factor scale: below it a column of loadings is rounding error


@dataclass(frozen=True, eq=False)
class Alignment:
    """Draws in one orientation; made by :func:`align`, in the leading axes of its input.

    Attributes
    ----------
    loadings
        (..., asset, factor), dimensionless; after a rotation of unit root mean square over assets.
    factors
        (..., period, factor), in the unit of the factors given.
    factor_scale
        (..., factor), same unit; after a rotation the root mean square over assets of the scaled loadings.
    coefficients
        Name to (..., factor), in the new order.
    rotation
        (..., factor, factor), orthogonal: scaled loadings and standardised factors, each times
        ``rotation``, are those of the aligned draw. A signed permutation without rotation.
    reference
        (asset, factor): mean of the aligned scaled loadings, or the reference given.
    iterations, converged
        Iterations of the reference, and whether it settled.
    factor_map
        (..., factor, factor): aligned factors are ``factors @ factor_map``.
    """

    loadings: Array
    factors: Array
    factor_scale: Array
    coefficients: Mapping[str, Array]
    rotation: Array
    reference: Array
    iterations: int
    converged: bool
    factor_map: Array

    def __repr__(self) -> str:
        *lead, n_asset, n_factor = self.loadings.shape
        state = "converged" if self.converged else "not converged"
        return (
            f"<bdfm.inference.Alignment: {' x '.join(map(str, lead))} draws, {n_asset} assets,"
            f" {n_factor} factors, {state} after {self.iterations} iterations>"
        )

    def apply(self, factors: ArrayLike) -> Array:
        """Further factor values of the same draws, (..., factor) or (..., rows, factor), aligned.

        For instance the factors of the next period. Unit and leading axes are those of the factors given
        to :func:`align`.

        Raises ``DataError`` for factors of another shape than the draws.
        """
        values = np.asarray(factors, dtype=float)
        lead = self.factor_map.shape[:-2]
        n_factor = self.factor_map.shape[-1]
        if values.shape[: len(lead)] != lead or values.ndim == len(lead) or values.shape[-1] != n_factor:
            raise DataError(
                f"apply: factors of shape {values.shape} do not fit draws of shape {lead} and {n_factor}"
                " factors. Give (..., factor) or (..., rows, factor), with the leading axes of the draws."
            )
        rows = values.reshape(*lead, -1, n_factor)
        result: Array = (rows @ self.factor_map).reshape(values.shape)
        return result


def align(
    loadings: ArrayLike,
    factors: ArrayLike,
    factor_scale: ArrayLike,
    *,
    rotate: bool = True,
    method: Literal["procrustes", "rsp"] = "procrustes",
    coefficients: Mapping[str, ArrayLike] | None = None,
    reference: ArrayLike | None = None,
    max_iterations: int = 200,
) -> Alignment:
    """All draws of all chains in one orientation of the factors.

    Works on scaled loadings ``loadings * factor_scale`` and standardised factors ``factors / factor_scale``:
    an orthogonal rotation of both leaves every product ``loadings @ factors`` and the common covariance
    ``sum_k w_ik w_jk factor_scale_k**2`` unchanged, and the likelihood as well when all factors share
    their dynamics coefficients. The prior may tell rotations apart; the aligned draws then describe the
    posterior of the rotated factors, not of the parameters as the prior names them.

    The reference starts at the draw of median condition number and is replaced by the mean of the draws
    aligned to it until it settles; draws that are a fixed point already stay as they are. Orientation of the
    result: varimax of the mean scaled loadings (``rsp``: of each draw) without Kaiser's normalisation of
    rows, which would give assets that load on nothing a full say; factors by falling posterior mean of
    ``factor_scale``, each with a positive sum of mean scaled loadings. Nothing is random.

    Parameters
    ----------
    loadings
        (..., asset, factor) with leading axes (draw,) or (chain, draw); dimensionless.
    factors
        (..., period, factor), in any unit.
    factor_scale
        (..., factor), above zero, in the unit of the factors.
    rotate
        False for signed permutations only: for models whose factors have dynamics of their own.
    method
        How draws are brought to the reference when ``rotate``: ``procrustes``, the closest orthogonal
        rotation; ``rsp``, varimax within each draw, then the closest signed permutation.
    coefficients
        Per-factor coefficients (..., factor), only without ``rotate``.
    reference
        (asset, factor) scaled loadings to align to as they are, for instance the reference of another
        fit; its order, signs and orientation are kept.
    max_iterations
        Of the reference; whether they were enough is in the result.

    Returns
    -------
    Alignment
        With ``rotate`` the factor scale is defined anew, as the root mean square over assets of the rotated
        scaled loadings, so that aligned loadings have unit root mean square.

    Raises
    ------
    DataError
        Shapes that do not fit, values that are not finite, a scale that is not above zero.
    ModelError
        Per-factor coefficients together with ``rotate``.

    Notes
    -----
    ``rsp`` is Rotation-Sign-Permutation (Papastamoulis and Ntzoufras 2022, arXiv 2004.05105) with the signed
    permutation found exactly by one assignment per draw, and MatchAlign (Poworoznek et al. 2025) with an
    iterated reference. ``procrustes`` follows Aßmann, Boysen-Hogrefe and Pape (2016). On simulated posteriors
    their worst R-hat differs by at most 0.014; ``procrustes`` leaves less spread around the mean and is
    several times faster.
    """
    coefficients = {} if coefficients is None else coefficients
    w, lam, scale, extra = _checked(loadings, factors, factor_scale, coefficients)
    at_least(max_iterations, 1, what="max_iterations", where="align")
    if method not in ("procrustes", "rsp"):
        raise DataError(f'align: method must be "procrustes" or "rsp", got {method!r}.')
    if rotate and extra:
        raise ModelError(
            f"align: {first(extra)} differ{'s' if len(extra) == 1 else ''} between factors, so a rotation"
            " would mix factors that are told apart by their dynamics. Pass rotate=False."
        )
    lead = scale.shape[:-1]
    n_asset, n_factor = w.shape[-2:]
    scale = scale.reshape(-1, n_factor)
    scaled = w.reshape(-1, n_asset, n_factor) * scale[:, None, :]

    match = _closest_rotation if rotate and method == "procrustes" else _closest_signed_permutation
    rotation, settled = np.tile(np.eye(n_factor), (len(scaled), 1, 1)), True
    if rotate and method == "rsp":
        rotation, settled = _varimax(scaled, tolerance=1e-4)
    turned = scaled @ rotation

    if reference is not None:
        target = np.array(reference, dtype=float)
        if target.shape != (n_asset, n_factor) or not np.isfinite(target).all():
            raise DataError(
                f"align: the reference must hold {n_asset} x {n_factor} finite scaled loadings,"
                f" got shape {target.shape}."
            )
        rotation = rotation @ match(turned, target)
        iterations = 1
    else:
        step, target, iterations, converged = _iterate(turned, match, max_iterations)
        settled = settled and converged
        rotation = rotation @ step
        if rotate and method == "procrustes":
            final, _ = _varimax(target[None], tolerance=1e-12)
            rotation, target = rotation @ final[0], target @ final[0]
        order = _order(target, _scales(scaled, scale, rotation, rotate).mean(axis=0))
        rotation, target = rotation @ order, target @ order

    new_scale = _scales(scaled, scale, rotation, rotate)
    # Entries of a signed permutation stay exactly 0 and 1: equal scales cancel without rounding.
    loading_map = rotation * (scale[:, :, None] / new_scale[:, None, :])
    factor_map = rotation * (new_scale[:, None, :] / scale[:, :, None])
    return Alignment(
        loadings=(w.reshape(scaled.shape) @ loading_map).reshape(w.shape),
        factors=(lam.reshape(len(scaled), -1, n_factor) @ factor_map).reshape(lam.shape),
        factor_scale=new_scale.reshape(*lead, n_factor),
        coefficients={
            name: (value.reshape(-1, 1, n_factor) @ np.abs(rotation)).reshape(value.shape)
            for name, value in extra.items()
        },
        rotation=rotation.reshape(*lead, n_factor, n_factor),
        reference=target,
        iterations=iterations,
        converged=settled,
        factor_map=factor_map.reshape(*lead, n_factor, n_factor),
    )


def _checked(
    loadings: ArrayLike, factors: ArrayLike, factor_scale: ArrayLike, coefficients: Mapping[str, ArrayLike]
) -> tuple[Array, Array, Array, dict[str, Array]]:
    w, lam, scale = (np.asarray(x, dtype=float) for x in (loadings, factors, factor_scale))
    extra = {name: np.asarray(value, dtype=float) for name, value in coefficients.items()}
    if w.ndim < 3 or 0 in w.shape:
        raise DataError(f"align: loadings must be (..., draw, asset, factor), got shape {w.shape}.")
    per_factor = (*w.shape[:-2], w.shape[-1])
    wrong = [
        f"{name} {x.shape}" for name, x in {"factor_scale": scale, **extra}.items() if x.shape != per_factor
    ]
    if lam.ndim != w.ndim or (*lam.shape[:-2], lam.shape[-1]) != per_factor:
        wrong.insert(0, f"factors {lam.shape}")
    if wrong:
        raise DataError(
            f"align: {first(wrong)} do not fit loadings {w.shape}. Expected (..., period, factor) for factors"
            f" and {per_factor} for the others."
        )
    named = {"loadings": w, "factors": lam, "factor_scale": scale, **extra}
    bad = [name for name, value in named.items() if not np.isfinite(value).all()]
    if bad:
        raise DataError(f"align: {first(bad)} must be finite in every draw.")
    if (scale <= 0).any():
        raise DataError(f"align: factor_scale must be above 0 in every draw, got {scale.min():g}.")
    return w, lam, scale, extra


def _iterate(
    draws: Array, match: Callable[[Array, Array], Array], max_iterations: int
) -> tuple[Array, Array, int, bool]:
    """Rotation of each draw, their mean and the iterations needed, matching to the mean until it settles."""
    n_draw, n_asset, n_factor = draws.shape
    side_by_side = np.ascontiguousarray(draws.transpose(1, 0, 2)).reshape(n_asset, -1)

    def step(reference: Array) -> tuple[Array, Array, float]:
        rotation = match(draws, reference)
        mean = side_by_side @ rotation.reshape(-1, n_factor) / n_draw
        size = float(np.linalg.norm(mean))
        change = float(np.linalg.norm(mean - reference)) / size if size else np.inf
        return rotation, mean, change

    reference = draws.mean(axis=0)
    if step(reference)[2] < _TOLERANCE:
        return np.broadcast_to(np.eye(n_factor), (n_draw, n_factor, n_factor)), reference, 0, True
    reference = draws[_pivot(draws)]
    change, iteration = np.inf, 0
    while change >= _TOLERANCE and iteration < max_iterations:
        rotation, reference, change = step(reference)
        iteration += 1
    return rotation, reference, iteration, change < _TOLERANCE


def _pivot(draws: Array) -> int:
    """Draw of median condition number: neither a collapsed factor nor an unusually clear one."""
    spectrum = np.linalg.eigvalsh(draws.transpose(0, 2, 1) @ draws)
    condition = spectrum[:, 0] / np.maximum(spectrum[:, -1], np.finfo(float).tiny)
    return int(np.argsort(condition, kind="stable")[len(condition) // 2])


def _closest_rotation(draws: Array, reference: Array) -> Array:
    """Orthogonal Procrustes rotation of each draw to the reference."""
    left, _, right = np.linalg.svd(draws.transpose(0, 2, 1) @ reference)
    rotation: Array = left @ right
    return rotation


def _closest_signed_permutation(draws: Array, reference: Array) -> Array:
    """Signed permutation of each draw's columns that brings it closest to the reference."""
    gain = draws.transpose(0, 2, 1) @ reference
    size = np.abs(gain)
    column = size.argmax(axis=2)
    # Where the largest entries of the rows lie in different columns they are the best assignment.
    contested = (np.sort(column, axis=1) != np.arange(size.shape[2])).any(axis=1)
    if contested.any():
        from scipy.optimize import linear_sum_assignment  # slow to import, and seldom needed
    for draw in np.flatnonzero(contested):
        column[draw] = linear_sum_assignment(size[draw], maximize=True)[1]
    chosen = column[:, :, None]
    sign = np.where(np.take_along_axis(gain, chosen, axis=2) < 0, -1.0, 1.0)
    result = np.zeros_like(gain)
    np.put_along_axis(result, chosen, sign, axis=2)
    return result


def _scales(scaled: Array, scale: Array, rotation: Array, rotate: bool) -> Array:
    """Factor scale (draw, factor) after the rotation: defined anew, or in its new order."""
    if not rotate:
        return (scale[:, None, :] @ np.abs(rotation))[:, 0]
    size = np.sqrt(np.square(scaled @ rotation).mean(axis=1))
    floor = _FLOOR * size.max(axis=1, keepdims=True)
    return np.maximum(size, np.maximum(floor, np.finfo(float).tiny))


def _order(reference: Array, mean_scale: Array) -> Array:
    """Signed permutation to falling scale and positive column sums of the reference."""
    total = reference.sum(axis=0)
    largest = np.take_along_axis(reference, np.abs(reference).argmax(axis=0)[None], axis=0)[0]
    # A contrast may sum to nothing but rounding error; then its largest loading decides.
    clear = np.abs(total) > _FLOOR * np.abs(reference).sum(axis=0)
    sign = np.where(np.where(clear, total, largest) < 0, -1.0, 1.0)
    by_scale = np.argsort(-mean_scale, kind="stable")
    return (np.eye(len(sign)) * sign)[:, by_scale]


def _varimax(loadings: Array, *, tolerance: float) -> tuple[Array, bool]:
    """Varimax rotation (draw, factor, factor) of each draw, and whether every draw settled.

    Kaiser's (1958) plane rotations, pair by pair, for all draws at once: each angle has a closed form. A
    draw is settled when a sweep over all pairs turns none by more than ``tolerance`` (radians), and is
    not turned by less.
    """
    n_draw, _, n_factor = loadings.shape
    result = np.empty((n_factor, n_draw, n_factor))
    turn = np.repeat(np.eye(n_factor)[:, None, :], n_draw, axis=1)  # (column, draw, row)
    column = np.ascontiguousarray(loadings.transpose(2, 0, 1))  # (column, draw, asset)
    active = np.arange(n_draw)
    for _ in range(_MAX_SWEEPS):
        largest = np.zeros(len(active))
        for p in range(n_factor - 1):
            for q in range(p + 1, n_factor):
                angle = _plane_angle(column[p], column[q])
                angle[np.abs(angle) <= tolerance] = 0.0
                largest = np.maximum(largest, np.abs(angle))
                cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
                for stack in (column, turn):
                    stack[p], stack[q] = cos * stack[p] + sin * stack[q], cos * stack[q] - sin * stack[p]
        settled = largest == 0
        result[:, active[settled]] = turn[:, settled]
        active, column, turn = active[~settled], column[:, ~settled], turn[:, ~settled]
        if not len(active):
            break
    result[:, active] = turn
    return result.transpose(1, 2, 0), not len(active)


def _plane_angle(x: Array, y: Array) -> Array:
    """Angle (draw,) that maximises the varimax criterion of the columns ``x`` and ``y`` (draw, asset)."""
    n_asset = x.shape[1]
    u, v = x * x - y * y, 2 * x * y
    sum_u, sum_v = u.sum(axis=1), v.sum(axis=1)
    uv = np.einsum("di,di->d", u, v)
    squares = np.einsum("di,di->d", u, u) - np.einsum("di,di->d", v, v)
    sine = 2 * uv - 2 * sum_u * sum_v / n_asset
    cosine = squares - (sum_u**2 - sum_v**2) / n_asset
    angle: Array = np.arctan2(sine, cosine) / 4
    return angle

"""Linear algebra on small arrays for the kernels of the Gibbs sampler."""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.compiling import kernel
from bdfm.gibbs.data import Floats
from bdfm.gibbs.random import normal

_LEFT = 1e-13  # least pivot, of what is taken off it: what is smaller is mostly rounding


@kernel
def dot(a: Floats, b: Floats) -> float:
    """Sum of products of two vectors."""
    total = 0.0
    for t in range(a.shape[0]):
        total += a[t] * b[t]
    return total


@kernel
def fill_zero(a: Floats) -> None:
    """Set a matrix to 0; slice assignment would compile string formatting for its error message."""
    for r in range(a.shape[0]):
        for c in range(a.shape[1]):
            a[r, c] = 0.0


@kernel
def eliminate(a: Floats, h: Floats, start: int, stop: int) -> None:
    """Cholesky factor of columns ``start`` to ``stop`` of the lower triangle of ``a``, in place.

    ``h`` is solved along. Rows from ``stop`` on hold the Schur complement, and its right-hand side. Where one
    direction is known 1e13 times as well as another, as where the noise of a return is nearly 0, rounding may
    leave nothing of a pivot, or less. It is no smaller than that, so that the other direction hardly moves.
    """
    size = a.shape[0]
    for c in range(start, stop):
        pivot = 1.0 / math.sqrt(a[c, c])
        a[c, c] *= pivot
        h[c] *= pivot
        for r in range(c + 1, size):
            a[r, c] *= pivot
            h[r] -= a[r, c] * h[c]
        for r in range(c + 1, size):
            for q in range(c + 1, r):
                a[r, q] -= a[r, c] * a[q, c]
            known = a[r, c] * a[r, c]
            a[r, r] = max(a[r, r] - known, _LEFT * known)


@kernel
def solve_transposed(a: Floats, x: Floats) -> None:
    """Replace ``x`` by the solution of L' z = x, L the lower triangle of ``a``."""
    for c in range(x.shape[0] - 1, -1, -1):
        x[c] /= a[c, c]
        for r in range(c):
            x[r] -= a[c, r] * x[c]


@kernel
def dots(x: Floats, rows: Floats, first: int, last: int, out: Floats) -> None:
    """Fill ``out`` with the sums of products of ``x`` with each row, from place ``first`` to before ``last``.

    Four rows at a time: ``x`` is loaded once for them. Slices, since an index that might be negative keeps a
    loop from becoming vector instructions.
    """
    n_rows = rows.shape[0]
    whole = n_rows - n_rows % 4
    y = x[first:last]
    for r in range(0, whole, 4):
        x0, x1 = rows[r, first:last], rows[r + 1, first:last]
        x2, x3 = rows[r + 2, first:last], rows[r + 3, first:last]
        total0, total1, total2, total3 = 0.0, 0.0, 0.0, 0.0
        for t in range(y.shape[0]):
            total0 += y[t] * x0[t]
            total1 += y[t] * x1[t]
            total2 += y[t] * x2[t]
            total3 += y[t] * x3[t]
        out[r], out[r + 1], out[r + 2], out[r + 3] = total0, total1, total2, total3
    for r in range(whole, n_rows):
        out[r] = dot(y, rows[r, first:last])


@kernel
def add_four(
    target: Floats,
    a: tuple[float, float, float, float],
    x0: Floats,
    x1: Floats,
    x2: Floats,
    x3: Floats,
) -> None:
    """Add four multiples of vectors to another, which is loaded and stored once for them."""
    a0, a1, a2, a3 = a
    for t in range(target.shape[0]):
        target[t] += (a0 * x0[t] + a1 * x1[t]) + (a2 * x2[t] + a3 * x3[t])


@kernel
def add_rows(target: Floats, factor: float, a: Floats, rows: Floats, first: int, last: int) -> None:
    """Add ``factor`` times the sum of ``a[r]`` times row r to places ``first`` to before ``last``."""
    n_rows = rows.shape[0]
    whole = n_rows - n_rows % 4
    y = target[first:last]
    for r in range(0, whole, 4):
        add_four(
            y,
            (factor * a[r], factor * a[r + 1], factor * a[r + 2], factor * a[r + 3]),
            rows[r, first:last],
            rows[r + 1, first:last],
            rows[r + 2, first:last],
            rows[r + 3, first:last],
        )
    for r in range(whole, n_rows):
        add_scaled(y, factor * a[r], rows[r, first:last])


@kernel
def add_scaled(target: Floats, a: float, x: Floats) -> None:
    """Add ``a * x`` to a vector in place."""
    for t in range(target.shape[0]):
        target[t] += a * x[t]


@kernel
def draw_tridiagonal(
    rng: np.random.Generator,
    precision: Floats,
    gradient: Floats,
    coupling: Floats,
    relax: float,
    inverse: Floats,
    vector: Floats,
    ahead: Floats,
    change: Floats,
) -> None:
    """Draw the change of a normal vector of n blocks with K entries each, by block Cholesky forward and back.

    ``precision`` (n, K, K) holds the lower triangles of the diagonal blocks, and is overwritten; ``coupling``
    (n, K) minus the diagonal of the block that couples a block with the one before it, the rest of which is
    0. ``gradient`` (K, n) of the log density at the current value, overwritten. The change has mean
    (1 + relax) times the step to the centre, and variance (1 - relax^2) times that of the distribution.
    ``inverse`` (K, K), ``vector`` (K) and ``ahead`` (K) are scratch memory.
    """
    n_blocks, size = coupling.shape
    spread = math.sqrt(1.0 - relax * relax)
    for b in range(n_blocks):
        a = precision[b]
        for k in range(size):
            vector[k] = gradient[k, b]
        if b > 0 and coupling[b, 0] != 0.0:
            # inverse holds L^-1 of the block before: S^-1 = L^-T L^-1
            for k in range(size):
                total = 0.0
                for r in range(k, size):
                    total += inverse[r, k] * gradient[r, b - 1]
                vector[k] += coupling[b, k] * total
                for j in range(k + 1):
                    total = 0.0
                    for r in range(k, size):
                        total += inverse[r, k] * inverse[r, j]
                    a[k, j] -= coupling[b, k] * coupling[b, j] * total
        eliminate(a, vector, 0, size)
        for k in range(size):
            gradient[k, b] = vector[k]
        if b + 1 < n_blocks and coupling[b + 1, 0] != 0.0:
            for c in range(size):
                inverse[c, c] = 1.0 / a[c, c]
                for r in range(c + 1, size):
                    total = 0.0
                    for q in range(c, r):
                        total += a[r, q] * inverse[q, c]
                    inverse[r, c] = -total / a[r, r]
    for b in range(n_blocks - 1, -1, -1):
        a = precision[b]
        for k in range(size):  # L^-1 of the coupling with the block ahead
            total = coupling[b + 1, k] * ahead[k] if b + 1 < n_blocks else 0.0
            for r in range(k):
                total -= a[k, r] * vector[r]
            vector[k] = total / a[k, k]
        for k in range(size):
            vector[k] += (1.0 + relax) * gradient[k, b] + spread * normal(rng)
        solve_transposed(a, vector)
        for k in range(size):
            ahead[k] = vector[k]
            change[k, b] = vector[k]

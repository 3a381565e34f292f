"""Prior of one coefficient of a hierarchy around its location."""

from __future__ import annotations

import math

from bdfm.gibbs.compiling import kernel


@kernel
def prior_value(b: float, mu: float, sigma: float, student: bool, dof: float) -> float:
    """Log prior density of a coefficient at ``b``, up to a constant."""
    z = (b - mu) / sigma
    if student:
        return -0.5 * (dof + 1.0) * math.log1p(z * z / dof)
    return -0.5 * z * z


@kernel
def prior_slope(b: float, mu: float, sigma: float, student: bool, dof: float) -> float:
    """Derivative of ``prior_value`` in ``b``."""
    z = (b - mu) / sigma
    if student:
        return -(dof + 1.0) * z / ((dof + z * z) * sigma)
    return -z / sigma

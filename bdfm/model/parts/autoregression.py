"""First-order autoregressions with a coefficient for each series, in NumPy and PyTensor (eq. D3, D4)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bdfm.model.part import Array

_DOUBLINGS: Final = 12  # paths in PyTensor have at most 2^12 periods


def autoregression(phi: Array, sd: Array, z: Array) -> Array:
    """Stationary paths (period, series) of standard normal z: x_t = φ x_t-1 + ς z_t (PyTensor).

    x_1 = ς z_1 / sqrt(1 - φ²). By doubling: Σ_j φ^j e_t-j over j < 2^m follows from that over j < 2^(m-1).
    """
    import pytensor.tensor as pt

    path = pt.concatenate([sd * z[:1] / pt.sqrt(1.0 - phi**2), sd * z[1:]], axis=0)
    number = pt.arange(z.shape[0])[:, None]
    length = z.type.shape[0]
    steps = _DOUBLINGS if length is None else max(1, int(np.ceil(np.log2(max(2, length)))))
    for reach in (2**m for m in range(steps)):
        path = path + phi ** float(reach) * pt.where(number >= reach, pt.roll(path, reach, axis=0), 0.0)
    return path


def from_normals(phi: Array, sd: Array, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same (..., period, series) of arrays."""
    path = np.empty_like(z)
    x = sd / np.sqrt(1.0 - np.square(phi)) * z[..., 0, :]
    path[..., 0, :] = x
    for t in range(1, z.shape[-2]):
        x = phi * x + sd * z[..., t, :]
        path[..., t, :] = x
    return path


def to_normals(phi: Array, sd: Array, path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of ``from_normals``."""
    phi, sd = phi[..., None, :], sd[..., None, :]
    first = path[..., :1, :] * np.sqrt(1.0 - np.square(phi)) / sd
    later = (path[..., 1:, :] - phi * path[..., :-1, :]) / sd
    return np.concatenate([first, later], axis=-2)

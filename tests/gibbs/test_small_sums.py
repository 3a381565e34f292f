"""Sums over four rows at a time, for numbers of rows and assets that four does not divide."""

from types import SimpleNamespace

import numpy as np
import pytest

from bdfm.gibbs.compiling import plain
from bdfm.gibbs.linear import add_rows, dots
from bdfm.gibbs.updates.factor_path import set_path_information


@pytest.mark.parametrize("n", [1, 3, 4, 5, 7])
def test_dots_and_rows(n, rng):
    rows, x, a = rng.standard_normal((n, 9)), rng.standard_normal(9), rng.standard_normal(n)
    out, target = np.zeros(n), x.copy()
    plain(dots)(x, rows, 2, 8, out)
    np.testing.assert_allclose(out, rows[:, 2:8] @ x[2:8], rtol=1e-12, atol=1e-14)
    plain(add_rows)(target, -0.5, a, rows, 2, 8)
    x[2:8] -= 0.5 * (a @ rows[:, 2:8])
    np.testing.assert_allclose(target, x, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7])
def test_information_on_the_path_counts_each_asset_once(n, rng):
    k, t, cut = 3, 6, np.array([0, 2, 6])
    w, u, e = rng.standard_normal((2, k, n)), rng.random((n, t)), rng.standard_normal((n, t))
    scale, band = rng.random(k) + 0.5, rng.random((1, t))
    z = np.zeros
    own = SimpleNamespace(
        pair=z((6, t)), weighted=z((4, t)), gradient=z((k, t)), precision=z((t, k, k)), path_sums=z(k)
    )
    plain(set_path_information)(w, cut, u, e, scale, band, own)
    for at in range(t):
        block = w[int(at >= 2)]
        expected = block * u[:, at] @ block.T + np.diag(band[0, at] / scale**2)
        np.testing.assert_allclose(np.tril(own.precision[at]), np.tril(expected), rtol=1e-12)
        np.testing.assert_allclose(own.gradient[:, at], block @ (u[:, at] * e[:, at]), rtol=1e-12)

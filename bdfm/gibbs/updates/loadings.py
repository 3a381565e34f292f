"""Loadings of each asset, over all blocks of periods that have loadings of their own (eq. 4).

The prior of the loadings is a product of independent normals in *coordinates*, which are linear in the
loadings: what characteristics leave of the first block (precision mixing / tau^2), changes of what they
leave from block to block (1 / delta^2), and the slopes on characteristics. Static loadings are their own
coordinates.
"""

from __future__ import annotations

import numpy as np

from bdfm.gibbs.compiling import update
from bdfm.gibbs.data import Data
from bdfm.gibbs.linear import add_rows, dots, draw_tridiagonal
from bdfm.gibbs.quantities import left_over
from bdfm.gibbs.scratch import Scratch
from bdfm.gibbs.state import State


@update
def draw_loadings(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S4: draw the loadings of each asset on all factors in all blocks together.

    One normal vector an asset, block-tridiagonal in the blocks. Over-relaxed (Adler 1981) by
    ``tuning.relax``: x' = m - r (x - m) + sqrt(1 - r^2) z keeps the conditional Normal(m, V), and moves
    against the old value instead of forgetting it.

    Reads u, the factors, mixing, slopes, tau, delta and residuals, which must be current; changes the
    loadings, and keeps the residuals current.
    """
    own, work, cut, path = state.loadings, scratch.normal, data.loadings.cut, state.factors.path
    loadings, mixing, characteristics = own.values, own.mixing, data.loadings.characteristics
    pair, precision, weighted, change = work.pair, work.precision, work.weighted[0], work.change
    n_blocks, n_factors, n_assets = loadings.shape
    n_periods = path.shape[1]
    relax = scratch.tuning.relax[0]
    q = 0
    for k in range(n_factors):
        for j in range(k + 1):
            for t in range(n_periods):
                pair[q, t] = path[k, t] * path[j, t]
            q += 1
    step = 1.0 / own.delta[0] ** 2 if n_blocks > 1 else 0.0
    tau = 1.0 / own.tau[0] ** 2
    coupling, rest = work.coupling[:n_blocks], scratch.slopes.rest
    for i in range(n_assets):
        u, e, seen = state.u[i], scratch.residuals[i], data.returns.seen[i]
        for t in range(n_periods):
            weighted[t] = u[t] * e[t]
        for b in range(n_blocks):
            for k in range(n_factors):
                rest[b, k] = left_over(own, characteristics, b, k, i)
        for b in range(n_blocks):
            a = precision[b]
            first, last = cut[b], cut[b + 1]
            inner = (step if b > 0 else 0.0) + (step if b + 1 < n_blocks else 0.0)
            dots(u, pair, first, last, work.pair_sums)
            dots(weighted, path, first, last, work.path_sums)
            q = 0
            for k in range(n_factors):
                for j in range(k + 1):
                    a[k, j] = work.pair_sums[q]
                    q += 1
                a[k, k] += inner
                gradient = work.path_sums[k]
                if b == 0:
                    a[k, k] += mixing[k, i] * tau
                    gradient -= mixing[k, i] * tau * rest[0, k]
                else:
                    gradient -= step * (rest[b, k] - rest[b - 1, k])
                if b + 1 < n_blocks:
                    gradient += step * (rest[b + 1, k] - rest[b, k])
                work.gradient[k, b] = gradient
                coupling[b, k] = step if b > 0 else 0.0
        draw_tridiagonal(
            rng, precision, work.gradient, coupling, relax, work.inverse, work.vector, work.ahead, change
        )
        for b in range(n_blocks):
            for k in range(n_factors):
                loadings[b, k, i] += change[k, b]
                work.path_sums[k] = change[k, b]
            add_rows(e, -1.0, work.path_sums, path, cut[b], cut[b + 1])
        for t in range(n_periods):
            e[t] *= seen[t]

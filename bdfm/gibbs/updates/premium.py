"""Means of the factors."""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.compiling import update
from bdfm.gibbs.data import Data
from bdfm.gibbs.linear import dot
from bdfm.gibbs.quantities import band_product
from bdfm.gibbs.random import normal
from bdfm.gibbs.scratch import Scratch
from bdfm.gibbs.state import State


@update
def draw_premia(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S11: draw the mean of each factor given its path; both have the precision 1 / scale^2 in common.

    The path holds the mean already, so that it acts on returns through the loadings of each period, whether
    these change or not, and no residual changes. Reads paths, factor scales and ``path.band``, which must be
    current.
    """
    factors, path = state.factors, scratch.path
    band_product(path.band, path.ones, path.product)
    precision = dot(path.product, path.ones) + 1.0 / data.factors.premium_sd**2
    for k in range(factors.premium.shape[0]):
        spread = factors.scale[k] / math.sqrt(precision)
        factors.premium[k] = dot(path.product, factors.path[k]) / precision + spread * normal(rng)

"""Start values from principal components.

Random starts leave the chains in different rotations and the sampler long on its way; the default start of
PyMC, all loadings and innovations at zero, is a saddle with zero gradient that nutpie refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray

from bdfm.gibbs.start import MIN_SCALE, principal_components
from bdfm.names import CLASS_INDEX, FACTOR_SCALE, FACTORS, LOADINGS, RETURNS, THETA

Floats = NDArray[np.float64]

JITTER = 0.1  # sd of start noise, in units of the prior scale, so that chains start apart


def pca_start(model: pm.Model, data: Mapping[str, NDArray[Any]], n_factors: int) -> dict[str, Any]:
    """Start values of a model's free variables by name, with noise that differs between chains.

    Values are PyTensor expressions with random parts: each chain's seed gives it its own start. Variables
    that principal components say nothing about start at their prior centre plus noise.
    """
    loadings, factors, residual = principal_components(data[RETURNS], n_factors)
    scale = np.maximum(np.sqrt((loadings**2).mean(axis=0)), MIN_SCALE)
    theta = np.log(residual)
    index = data[CLASS_INDEX]
    classes = range(int(index.max()) + 1)
    mu_theta = np.array([theta[index == c].mean() for c in classes])
    sigma_theta = np.array([max(float(theta[index == c].std()), 0.1) for c in classes])

    located: dict[str, Any] = {
        LOADINGS: loadings / scale,
        f"{FACTORS}_z": factors,
        f"mu_{THETA}": mu_theta,
        f"{THETA}_z": (theta - mu_theta[index]) / sigma_theta[index],
    }
    positive: dict[str, Any] = {FACTOR_SCALE: scale, f"sigma_{THETA}": sigma_theta}
    start: dict[str, Any] = {}
    for name, (centre, sd) in _prior_location(model).items():
        # Sizes are constants: a start value may not refer to the model's own variables.
        rng = pt.random.shared_rng(seed=None)  # seeded for each chain when the start is evaluated
        noise = JITTER * pt.random.normal(size=centre.shape, rng=rng, return_next_rng=True)[1]
        if name in located:
            start[name] = located[name] + noise
        elif name in positive:
            start[name] = positive[name] * pt.exp(noise)
        else:
            start[name] = centre + sd * noise
    return start


def _prior_location(model: pm.Model, n_draws: int = 100) -> dict[str, tuple[Floats, Floats]]:
    """Median and sd of each free variable's prior by name, from a few draws."""
    names = [rv.name for rv in model.free_RVs]
    draws = pm.draw(model.free_RVs, draws=n_draws, random_seed=0, mode="FAST_COMPILE")
    return {
        name: (np.median(values, axis=0), np.std(values, axis=0))
        for name, values in zip(names, draws, strict=True)
    }

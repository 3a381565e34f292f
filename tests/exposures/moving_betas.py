"""Small data on which every method runs in a moment: exposures that move, a known truth."""

import numpy as np

N_DAYS, N_ASSETS = 400, 6


def simulated(seed=0, n_days=N_DAYS, n_assets=N_ASSETS):
    """Returns, factors and true betas (day, asset, factor) that walk; asymmetric: sign errors show."""
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((n_days, 2)) * [0.010, 0.006] + [0.0005, -0.0002]
    steps = rng.standard_normal((n_days, n_assets, 2)) * [0.02, 0.01]
    steps[0] = np.column_stack([np.linspace(0.5, 1.5, n_assets), np.linspace(-0.3, 0.9, n_assets)])
    betas = steps.cumsum(axis=0)
    alpha = np.linspace(-0.0005, 0.001, n_assets)
    noise = 0.008 * rng.standard_normal((n_days, n_assets))
    returns = alpha + np.einsum("tik,tk->ti", betas, factors) + noise
    return returns, factors, betas

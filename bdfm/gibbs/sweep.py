"""One sweep of the Gibbs sampler, and the loop that repeats it and keeps the draws."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bdfm.gibbs.arrays import (
    Data,
    Floats,
    State,
    Work,
    entry_kernel,
    forget_stale_kernels,
    kernel,
)
from bdfm.gibbs.dynamics import draw_dynamics, draw_multiplier, set_band, set_multiplier
from bdfm.gibbs.factors import (
    draw_factor_path,
    draw_loading_hypers,
    draw_loadings,
    draw_loadings_mix,
    move_along_orbits,
    residuals,
    switch_factors,
    switch_paths,
)
from bdfm.gibbs.mean import draw_effects, draw_mean_hypers, effect_systems
from bdfm.gibbs.noise import (
    draw_evidence,
    draw_hypers,
    draw_nu,
    draw_precisions,
    draw_sigma_nu,
    log_likelihood,
    move_along_residuals,
    move_asset_coefficients,
    move_group_means,
    move_groups,
    move_sigma_nu,
    norms,
)

_RELAX = 0.8  # strength of over-relaxation, in [0, 1); 0.8 to 0.9 gave the largest worst ESS on the M6 panel
_PLAIN = 50  # first sweeps without over-relaxation, which would carry a far start on
_TUNING_DECAY = 0.6  # gain of adaptation after n sweeps: (n + 1)^-0.6


class Kept(NamedTuple):
    """Kept draws of one chain, or a slice of them; D draws."""

    loadings: Floats  # (D, B, K, N)
    slopes: Floats  # (D, K, L)
    factors: Floats  # (D, K, T)
    premium: Floats  # (D, K)
    factor_scale: Floats  # (D, K)
    scale_slopes: Floats  # (D, W)
    h: Floats  # (D, T)
    mean_b: Floats  # (D, M, N)
    mean_mu: Floats  # (D, M, G)
    mean_sigma: Floats  # (D, M, G)
    vol_b: Floats  # (D, J, N)
    vol_mu: Floats  # (D, J, G)
    vol_sigma: Floats  # (D, J, G)
    nu: Floats  # (D, N)
    evidence: Floats  # (D, E)
    scalars: Floats  # (D, N_SCALARS)
    log_likelihood: Floats  # (D), weighted


@kernel
def copy(target: Floats, source: Floats) -> None:
    """Copy a vector; slice assignment would compile string formatting for its error message."""
    for r in range(source.shape[0]):
        target[r] = source[r]


@kernel
def copy_rows(target: Floats, source: Floats) -> None:
    """Copy a matrix."""
    for r in range(source.shape[0]):
        for c in range(source.shape[1]):
            target[r, c] = source[r, c]


@entry_kernel
def run(
    rng: np.random.Generator, d: Data, s: State, w: Work, kept: Kept, first: int, n_tune: int, thin: int
) -> None:
    """Run sweeps of one chain, each of which updates every parameter once.

    Sweeps ``first`` to ``first + n_tune`` of the adaptation come first; then ``thin`` sweeps for each draw
    that fits into ``kept``. All is in one function because code of callees is optimised anew in each caller.
    """
    set_multiplier(d, s, w)
    set_band(d, s, w)
    residuals(d, s, w)
    if first == 0:
        draw_precisions(rng, d, s, w)
    for r in range(n_tune + thin * kept.nu.shape[0]):
        tuning = (first + r + 1.0) ** -_TUNING_DECAY if r < n_tune else 0.0
        relax = _RELAX if first + r >= _PLAIN or r >= n_tune else 0.0
        effect_systems(d, s, w)
        draw_mean_hypers(rng, d, s, w)
        draw_effects(rng, d, s, w)
        draw_loadings(rng, d, s, w, relax)
        draw_factor_path(rng, d, s, w, relax)
        move_along_orbits(rng, d, s, w)
        draw_loadings_mix(rng, d, s)
        draw_loading_hypers(rng, d, s, w)
        draw_dynamics(rng, d, s, w)
        draw_multiplier(rng, d, s, w)
        residuals(d, s, w)
        if s.loadings.shape[0] == 1:
            switch_factors(rng, d, s, w)
            if d.n_lags == 0:
                switch_paths(rng, d, s, w)
        if d.vol_intercept >= 0 and s.loadings.shape[0] == 1:
            move_along_residuals(rng, d, s, w, tuning)
        norms(d, s, w)
        move_asset_coefficients(rng, d, s, w)
        if d.vol_shared.shape[0] > 1:
            move_group_means(rng, d, s, w)
        for j in range(s.vol_b.shape[0]):
            move_groups(rng, d, s, w, j)
            draw_hypers(rng, d, s, w, j)
        if d.nu_mean > 0.0:
            draw_nu(rng, d, s, w, r)
            move_sigma_nu(rng, d, s, w, tuning)
            draw_sigma_nu(rng, d, s)
        draw_precisions(rng, d, s, w)
        if d.evidence_asset.shape[0] > 0:
            draw_evidence(rng, d, s, w)
        n = (r + 1 - n_tune) // thin - 1
        if r >= n_tune and (r + 1 - n_tune) % thin == 0:
            for b in range(s.loadings.shape[0]):
                copy_rows(kept.loadings[n, b], s.loadings[b])
            copy_rows(kept.slopes[n], s.slopes)
            copy(kept.scale_slopes[n], s.scale_slopes)
            copy(kept.h[n], s.h)
            copy_rows(kept.factors[n], s.factors)
            copy(kept.premium[n], s.premium)
            copy(kept.factor_scale[n], s.factor_scale)
            copy_rows(kept.mean_b[n], s.mean_b)
            copy_rows(kept.mean_mu[n], s.mean_mu)
            copy_rows(kept.mean_sigma[n], s.mean_sigma)
            copy_rows(kept.vol_b[n], s.vol_b)
            copy_rows(kept.vol_mu[n], s.vol_mu)
            copy_rows(kept.vol_sigma[n], s.vol_sigma)
            copy(kept.nu[n], s.nu)
            copy(kept.evidence[n], s.evidence)
            copy(kept.scalars[n], s.scalars)
            kept.log_likelihood[n] = log_likelihood(d, s, w)


forget_stale_kernels(run)

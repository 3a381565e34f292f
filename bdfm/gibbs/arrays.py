"""Arrays of the blocked Gibbs sampler and the decorators that compile its kernels.

Kernels work on plain arrays, asset-major so that the inner loop over periods is contiguous. Sizes:
N assets, T periods, K factors, M effects on the mean, J effects on the log-volatility, G the largest
number of groups of a hierarchy, Q = K (K + 1) / 2, B blocks of periods with loadings of their own,
L characteristics, W regressors of the log factor scales, P lags, E returns with evidence on them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]

# nnan and ninf are left out on purpose: a proposal with an infinite density must still be rejected.
_FASTMATH: Final = {"reassoc", "contract", "arcp", "nsz"}

# Columns of ``Data.mean_prior`` and ``Data.vol_prior``
LOC_MEAN: Final = 0
LOC_SD: Final = 1  # 0: the location is known, and equals LOC_MEAN
SCALE_SD: Final = 2  # of the half-normal prior of the scale
DOF: Final = 3  # of the asset coefficients around the location; 0: normal

# Positions in ``State.scalars``
RHO: Final = 0
SIGMA_NU: Final = 1
STEP_NU: Final = 2  # log step of the joint random walk of sigma_nu and all nu
BETA: Final = 3  # momentum
TAU: Final = 4  # scale of the loadings around what characteristics say; 1 without characteristics
DELTA: Final = 5  # sd of the change of loadings from one block to the next
PHI: Final = 6  # persistence of the latent log multiplier
SIGMA_H: Final = 7  # sd of its innovations
N_SCALARS: Final = 8

# Rows of ``Work.accepted``, each (accepted, proposed); row N_FIXED + j: the joint move of hierarchy j
ASSET_MOVE: Final = 0
NU_MOVE: Final = 1
RHO_MOVE: Final = 2
N_FIXED: Final = 3


def kernel[F: Callable[..., Any]](function: F) -> F:
    """Compiled function: cached on disk, releases the interpreter lock, sums in any order."""
    compiled: F = numba.njit(
        cache=True,
        nogil=True,
        error_model="numpy",
        fastmath=_FASTMATH,
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
    )(function)
    return compiled


def entry_kernel[F: Callable[..., Any]](function: F) -> F:
    """Compiled function that Python calls; the others do without code that unpacks arguments."""
    compiled: F = numba.njit(
        cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH, no_cfunc_wrapper=True
    )(function)
    return compiled


def exact_kernel[F: Callable[..., Any]](function: F) -> F:
    """Compiled function whose floating-point operations keep their order.

    The option has to be set: a function without it takes over that of the kernel that calls it first.
    """
    compiled: F = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})(function)
    return compiled


def forget_stale_kernels(entry: Any) -> None:
    """Delete the compiled kernels on disk when the source of any of them has changed.

    The cache of Numba looks at the file of the function that Python calls alone, and would go on with old
    versions of the functions in other files that are compiled into it.
    """
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    try:
        folder = Path(entry._cache.cache_path)
        stamp = folder / "gibbs.sha256"
        if stamp.exists() and stamp.read_text() == digest.hexdigest():
            return
        for file in folder.glob("*.nb[ci]"):
            file.unlink(missing_ok=True)
        stamp.write_text(digest.hexdigest())
    except (OSError, AttributeError):  # no cache: nothing is kept, or nothing can be changed
        return


class Data(NamedTuple):
    """What stays fixed while sampling."""

    y: Floats  # (N, T) log returns, 0 where missing
    seen: Floats  # (N, T) 1 where a return is known, else 0
    weight: Floats  # (N, T) period weight where a return is known, else 0
    total_weight: Floats  # (N) sum of ``weight``
    chunk: Ints  # (C + 1) bounds of runs of periods of one weight
    chunk_weight: Floats  # (C) that weight
    mean_x: Floats  # (M, N, T) regressors of the mean
    mean_group: Ints  # (M, N) group of each asset in the hierarchy of an effect
    mean_groups: Ints  # (M) number of groups
    mean_prior: Floats  # (M, 4), see LOC_MEAN to DOF
    mean_intercept: int  # the effect whose regressor is 1 everywhere, or -1
    vol_x: Floats  # (J, N, T) regressors of the log-volatility
    vol_group: Ints  # (J, N)
    vol_groups: Ints  # (J)
    vol_prior: Floats  # (J, 4)
    vol_intercept: int  # the effect whose regressor is 1 everywhere, or -1
    vol_shared: Ints  # effects with an unknown location and one grouping, that of the first of them
    vol_sum: Floats  # (N, J) weighted sums of regressors over periods
    vol_info: Floats  # (N, J, J) weighted sums of their products
    evidence_asset: Ints  # (E) assets with evidence on their return of the last period, which is not known
    evidence: Floats  # (E, 2) mean and sd of what is said about the simple return
    cut: Ints  # (B + 1) bounds of the blocks of periods with the same loadings
    characteristics: Floats  # (L, N)
    loadings_dof: float  # 0: normal
    slope_sd: float  # of the normal prior of slopes on characteristics
    tau_sd: float  # of the half-normal prior; 0: tau is 1
    delta_sd: float  # of the half-normal prior
    factor_scale_sd: float  # of the half-normal prior
    scale_x: Floats  # (W, T) regressors of the log factor scales
    scale_slope_sd: float  # of the normal prior of their slopes
    h_sd: float  # of the half-normal prior of sigma_h; 0: no latent multiplier
    phi_mean: float  # of the truncated normal prior
    phi_sd: float
    premium_sd: float  # of the normal prior of a factor's mean over its scale; 0: the factors have mean 0
    n_lags: int  # 0, 1, or more with the momentum polynomial
    rho_sd: float
    beta_sd: float
    nu_mean: float  # 0: normal noise
    sigma_nu_shape: float  # of its gamma prior
    sigma_nu_rate: float


class State(NamedTuple):
    """The parameters and the mixing variables of one chain; kernels change them in place."""

    loadings: Floats  # (B, K, N)
    loadings_mix: Floats  # (K, N) deviations of the first block ~ Normal(0, tau / sqrt(mix))
    slopes: Floats  # (K, L) of loadings on characteristics
    factors: Floats  # (K, T) with their mean
    premium: Floats  # (K) mean of each factor
    factor_scale: Floats  # (K)
    scale_slopes: Floats  # (W) of the log factor scales
    h: Floats  # (T) latent log multiplier; 0 where there is none
    mean_b: Floats  # (M, N) coefficients
    mean_mix: Floats  # (M, N)
    mean_mu: Floats  # (M, G)
    mean_sigma: Floats  # (M, G)
    vol_b: Floats  # (J, N)
    vol_mu: Floats  # (J, G)
    vol_sigma: Floats  # (J, G)
    nu: Floats  # (N)
    scalars: Floats  # see RHO to SIGMA_H
    evidence: Floats  # (E) log returns of the last period with evidence on them; ``Data.y`` holds them too
    u: Floats  # (N, T) precision of a return given its mixing variable; 0 where missing


class Work(NamedTuple):
    """Memory that kernels reuse, and counters of accepted moves."""

    e: Floats  # (N, T) residuals, 0 where missing
    precision: Floats  # (N, T) 1 / sigma_it^2 at the current coefficients, always up to date
    precision_new: Floats  # (N, T)
    gradient: Floats  # (N, J) of the log-likelihood of an asset in its log-volatility coefficients
    gradient_new: Floats  # (N, J)
    norm: Floats  # (N) weighted log normalising constants
    loglik: Floats  # (N) weighted, normalised
    loglik_new: Floats  # (N)
    multiplier: Floats  # (T) log of the factors' scale over its average, always up to date
    rows: Floats  # (T, P + 1) rows of A, see ``gibbs_dynamics``
    start: Floats  # (T) 1 / v_t^2
    band: Floats  # (P + 1, T) of the prior precision of a path, always up to date
    deviation: Floats  # (K, T) scratch memory: factors less their mean
    energy: Floats  # (T) squared innovations, summed over factors
    coordinates: Floats  # (K, B N + L) see ``gibbs_factors``
    coordinate_precision: Floats  # (K, B N + L)
    coupling: Floats  # (T, K)
    change: Floats  # (K, T)
    switch: Floats  # (5, max(N, T)) prior precision, gradient, information, prior mean, value of products
    pair: Floats  # (Q, T) products of factors, then precisions of the factor path
    path_rhs: Floats  # (K, T)
    path_chol: Floats  # (T, K, K)
    gram: Floats  # (N, K + M, K + M)
    rhs: Floats  # (N, K + M)
    small: Floats  # (3, n, n), n the largest of K, M, J, L and 4
    vectors: Floats  # (4, max(T, N, n))
    bits: Ints  # (T)
    logs: Floats  # (T)
    groups: Floats  # (G, 12)
    leverage: Floats  # (N) share of an asset in the information on the factors, a running mean
    accepted: Floats  # (N_FIXED + J, 2)

"""Memory that updates reuse, what they keep current for one another, and what adaptation changes."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from bdfm.gibbs.data import Bools, Data, Floats, Ints
from bdfm.gibbs.state import State

CHUNK: Final = 64  # periods whose small matrices are factored together, so that they stay in the cache
LANES: Final = 32  # paths beside each other: two blocks of what returns say of 1,000 days lie in the cache
PARTS: Final = 10  # normal densities of a mixture, at most
_START_STEP: Final = 0.2  # of the joint random walk of sigma_nu and all nu, on the log scale


class PathScratch(NamedTuple):
    """Prior of a factor path; ``multiplier`` and ``band`` are kept current."""

    multiplier: Floats  # (T) log of the factors' scale over its average, with that of mixing variables
    band: Floats  # (P + 1, T) band of Q, row j holds the entries of periods t and t - j
    rows: Floats  # (T, P + 1) rows of A, own period first
    start: Floats  # (T) 1 / v_t^2
    deviation: Floats  # (K, T) factors less their mean
    energy: Floats  # (T) squared innovations in units of scale and start, summed over factors
    product: Floats  # (T)
    ones: Floats  # (T) 1
    unknown: Floats  # (T) 1 for the periods whose factors ``begin_new_factors`` draws


class NormalScratch(NamedTuple):
    """Joint normal draws of the factor path, or of the loadings of one asset over all blocks."""

    weighted: Floats  # (4, T) precisions times residuals, of one asset or of four
    pair: Floats  # (Q, T) products of factors, or of loadings with precisions; Q = K (K + 1) / 2
    pair_sums: Floats  # (Q)
    path_sums: Floats  # (K)
    precision: Floats  # (T, K, K) diagonal blocks, lower triangles
    gradient: Floats  # (K, T)
    coupling: Floats  # (T, K)
    change: Floats  # (K, T)
    inverse: Floats  # (K, K)
    vector: Floats  # (K)
    ahead: Floats  # (K)


class RegressionScratch(NamedTuple):
    """Information on the coefficients of the mean."""

    gram: Floats  # (N, M, M)
    rhs: Floats  # (N, M)
    weighted: Floats  # (T)
    matrix: Floats  # (M, M)
    vector: Floats  # (M)
    information: Floats  # (N) of one coefficient, the others integrated out
    linear: Floats  # (N)
    mixing: Floats  # (N)


class OrbitScratch(NamedTuple):
    """Loadings in the coordinates in which their prior is a product, and products of the factors."""

    coordinates: Floats  # (K, B N + L)
    precision: Floats  # (K, B N + L)
    products: Floats  # (K, K) lambda_k' Q lambda_j, the factors' means included


class SlopeScratch(NamedTuple):
    """Slopes of the loadings of one factor on characteristics."""

    precision: Floats  # (L, L)
    vector: Floats  # (L)
    change: Floats  # (L)
    rest: Floats  # (B, K) what characteristics leave of the loadings of one asset


class ProductScratch(NamedTuple):
    """Products of a factor scale with what it multiplies; each array is max(N, T) long."""

    precision: Floats  # of the prior
    gradient: Floats  # of the log-likelihood at the current product
    information: Floats
    mean: Floats  # of the prior
    value: Floats  # current product
    share: Floats  # information over prior precision
    gain: Floats  # squared gradient over prior precision
    moved: Floats  # change of the product, once drawn
    logs: Floats
    bits: Ints


class ResidualMoveScratch(NamedTuple):
    """Residual move of one asset."""

    information: Floats  # (K, K) on the factors of a period, on average
    chol: Floats  # (K, K)
    direction: Floats  # (K)
    mean_u: Floats  # (N)
    shift: Floats  # (T)
    filtered: Floats  # (T)


class NoiseScratch(NamedTuple):
    """Likelihood of each asset; ``precision`` is kept current."""

    precision: Floats  # (N, T) 1 / sigma_it^2 at the current coefficients
    norm: Floats  # (N) weighted log normalising constants
    loglik: Floats  # (N) weighted, normalised
    gradient: Floats  # (N, J) of the log-likelihood of an asset in its log-volatility coefficients
    new_precision: Floats  # (N, T) at a proposal, and so on
    new_loglik: Floats  # (N)
    new_gradient: Floats  # (N, J)
    score: Floats  # (T)
    logs: Floats  # (T)
    bits: Ints  # (T)


class ProposalScratch(NamedTuple):
    """Proposals of log-volatility coefficients."""

    chol: Floats  # (J, J)
    step: Floats  # (J)
    noise: Floats  # (J)
    back: Floats  # (J)
    now: Floats  # (J)
    new: Floats  # (J)
    mixing: Floats  # (N)


class GroupScratch(NamedTuple):
    """Proposals of (mu, sigma) of each group of one hierarchy; each array is (G)."""

    slope_mu: Floats
    slope_sigma: Floats
    chol_mu: Floats  # (mu, mu) of the precision of (mu, sigma), then of its Cholesky factor
    chol_cross: Floats
    chol_sigma: Floats
    mu: Floats  # proposed
    sigma: Floats
    new_slope_mu: Floats
    new_slope_sigma: Floats
    log_ratio: Floats
    accepted: Bools


class DofScratch(NamedTuple):
    """Degrees of freedom."""

    ratio: Floats  # (T) (e / sigma)^2
    nu: Floats  # (N) proposed


class FactorDaysScratch(NamedTuple):
    """Prior of the factors of each period given their volatilities; of size 0 where they have none."""

    mean: Floats  # (K, T)
    precision: Floats  # (K, T)
    none: Floats  # (1, T) 0


class Parts(NamedTuple):
    """Parts of a mixture of normal densities near that of a log square (eq. S31)."""

    number: Ints  # (1) of them, J
    mean: Floats  # (10) the first J
    precision: Floats  # (10)
    log_weight: Floats  # (10) of the weight times the density at its mode


class VolatilityPathScratch(NamedTuple):
    """Draw of one path of a log volatility, of an asset or a factor."""

    log_scale: Floats  # (T) of the noise without the path
    ratio: Floats  # (T) squares over that scale
    target: Floats  # (T) their logs, not below a floor
    parts: Parts  # of the mixture for the log squares of the noise
    weights: Floats  # (10, T) of the parts of the mixture
    total: Floats  # (T)
    diagonal: Floats  # (T)
    coupling: Floats  # (T)
    linear: Floats  # (T)
    proposal: Floats  # (T)
    information: Floats  # (T) what the returns say of each state: precision
    pull: Floats  # (T) and precision times mean
    logs: Floats  # (T)
    bits: Ints  # (T)


class LaneScratch(NamedTuple):
    """Up to ``LANES`` paths beside each other, each in its lane; of size 0 where no asset has a path."""

    member: Ints  # (L) assets
    now: Floats  # (2, L) logit phi and log sd
    mu: Floats  # (2, L) of their priors
    sigma: Floats  # (2, L)
    logit_phi: Floats  # (L) where a density is asked for
    log_sd: Floats  # (L)
    value: Floats  # (L) and the density
    phi: Floats  # (L)
    square: Floats  # (L) of the sd
    inner: Floats  # (L) diagonal of the states' precision times that
    inverse: Floats  # (L) of a pivot
    linear: Floats  # (L)
    quadratic: Floats  # (L)
    product: Floats  # (L) of pivots
    inverses: Floats  # (T, L)
    linears: Floats  # (T, L)
    noise: Floats  # (L)
    step: Floats  # (2, L) direction of a slice update
    x: Floats  # (L) and where it is
    low: Floats  # (L)
    high: Floats  # (L)
    level: Floats  # (L)
    stage: Ints  # (L)
    shrunk: Ints  # (L)


class PathGroupScratch(NamedTuple):
    """Paths of assets together, in blocks of ``LANES``; of size 0 where no asset has a path."""

    ratio: Floats  # (N, T) squares over the noise scale without the path
    target: Floats  # (N, T) their logs, not below a floor
    log_ratio: Floats  # (N) exact likelihood over that by the mixture, after less before
    member: Ints  # (N) assets in the order of their lanes
    now: Floats  # (2, N) logit phi and log sd, in that order
    z: Floats  # (2, N) the same, standardised
    told: Floats  # (5, N) what parts of the mixture say of both: precisions, off the diagonal, times mean
    information: Floats  # (B, T, L) what the returns say of each state: precision
    pull: Floats  # (B, T, L) and precision times mean
    path: Floats  # (B, T, L) proposed


class CollapsedScratch(NamedTuple):
    """Path of one asset with its residuals integrated out; of size 0 where no asset has a path.

    Arrays over periods are those of the asset's own, from its first return on, but for the first five.
    """

    direction: Floats  # (K, T) in which factors move with the asset's common return
    variance: Floats  # (T) of the common return by what all others say
    gap: Floats  # (T) their mean of it less its value
    residual: Floats  # (T)
    loading: Floats  # (K)
    centre: Floats  # (T) return less the others' mean
    log_variance: Floats  # (T) of the noise without the path, given the mixing variable
    curvature: Floats  # (T) precision of the likelihood of a state, as proposals take it
    pull: Floats  # (T) and precision times mean
    mode: Floats  # (T)
    proposal: Floats  # (T)
    values: Floats  # (T)
    bits: Ints  # (T)
    chol: Floats  # (Q, C) Cholesky factors of C periods
    solved: Floats  # (K, C)
    rest: Floats  # (K, C)
    weight: Floats  # (C)
    pulled: Floats  # (C)


class Tuning(NamedTuple):
    """What sweeps count and adapt."""

    sweeps: Ints  # (1) begun so far
    adapting: Bools  # (1) whether steps and leverages are being adapted
    gain: Floats  # (1) of adaptation in this sweep
    relax: Floats  # (1) strength of over-relaxation in this sweep
    log_step_nu: Floats  # (1) log step of the joint random walk of sigma_nu and all nu
    leverage: Floats  # (N) share of an asset in the information on the factors, a running mean
    path_centre: Floats  # (2, G) locations of logit phi and log sd of the assets' paths, running means


class Moves(NamedTuple):
    """Metropolis-Hastings moves made: (accepted, proposed)."""

    asset: Floats  # (2) log-volatility coefficients of an asset
    nu: Floats  # (2) sigma_nu with all nu
    rho: Floats  # (2)
    group: Floats  # (J, 2) mu and sigma of a group with its coefficients
    factor_path: Floats  # (2) blocks of the volatility of a factor
    asset_path: Floats  # (2) path of the volatility of an asset
    path_group: Floats  # (2) paths of a group with their hierarchies
    collapsed_path: Floats  # (2) blocks of such a path, residuals integrated out


class Scratch(NamedTuple):
    """All memory of one chain besides its state."""

    residuals: Floats  # (N, T) returns less their mean, 0 where missing; kept current but for a factor draw
    path: PathScratch
    normal: NormalScratch
    regression: RegressionScratch
    orbit: OrbitScratch
    slopes: SlopeScratch
    products: ProductScratch
    residual_move: ResidualMoveScratch
    noise: NoiseScratch
    proposal: ProposalScratch
    group: GroupScratch
    dof: DofScratch
    days: FactorDaysScratch
    volatility_path: VolatilityPathScratch
    path_group: PathGroupScratch
    lanes: LaneScratch
    collapsed: CollapsedScratch
    tuning: Tuning
    moves: Moves


def make_scratch(data: Data, state: State) -> Scratch:
    """Memory of one chain; ``sweep.refresh`` fills in what is kept current."""
    n, t = data.returns.values.shape
    b, k, _ = state.loadings.values.shape
    m, j, known = len(data.mean.x), len(data.volatility.x), data.loadings.characteristics.shape[1]
    lags, groups = data.dynamics.n_lags + 1, state.volatility.mu.shape[1]
    larger, steps = max(n, t), max(b, t)
    own_k = k if data.factor_volatility.present else 0
    own_n = n if data.asset_volatility.present else 0
    own_t = t if data.factor_volatility.present or data.asset_volatility.present else 0
    blocks = -(-own_n // LANES)
    z = np.zeros
    return Scratch(
        residuals=z((n, t)),
        path=PathScratch(
            z(t),
            z((lags, t)),
            z((t, lags)),
            z(t),
            z((k, t)),
            z(t),
            product=z(t),
            ones=np.ones(t),
            unknown=z(t),
        ),
        normal=NormalScratch(
            weighted=z((4, t)),
            pair=z((k * (k + 1) // 2, t)),
            pair_sums=z(k * (k + 1) // 2),
            path_sums=z(k),
            precision=z((steps, k, k)),
            gradient=z((k, steps)),
            coupling=z((steps, k)),
            change=z((k, steps)),
            inverse=z((k, k)),
            vector=z(k),
            ahead=z(k),
        ),
        regression=RegressionScratch(z((n, m, m)), z((n, m)), z(t), z((m, m)), z(m), z(n), z(n), z(n)),
        orbit=OrbitScratch(z((k, b * n + known)), z((k, b * n + known)), z((k, k))),
        slopes=SlopeScratch(z((known, known)), z(known), z(known), z((b, k))),
        products=ProductScratch(
            precision=z(larger),
            gradient=z(larger),
            information=z(larger),
            mean=z(larger),
            value=z(larger),
            share=z(larger),
            gain=z(larger),
            moved=z(larger),
            logs=z(larger),
            bits=z(larger, dtype=np.int64),
        ),
        residual_move=ResidualMoveScratch(z((k, k)), z((k, k)), z(k), z(n), z(t), z(t)),
        noise=NoiseScratch(
            precision=z((n, t)),
            norm=z(n),
            loglik=z(n),
            gradient=z((n, j)),
            new_precision=z((n, t)),
            new_loglik=z(n),
            new_gradient=z((n, j)),
            score=z(t),
            logs=z(t),
            bits=z(t, dtype=np.int64),
        ),
        proposal=ProposalScratch(z((j, j)), z(j), z(j), z(j), z(j), z(j), z(n)),
        group=GroupScratch(
            z(groups),
            z(groups),
            z(groups),
            z(groups),
            z(groups),
            z(groups),
            z(groups),
            z(groups),
            z(groups),
            z(groups),
            accepted=z(groups, dtype=np.bool_),
        ),
        dof=DofScratch(z(t), z(n)),
        days=FactorDaysScratch(z((own_k, t)), z((own_k, t)), z((1, t * (own_k > 0)))),
        volatility_path=VolatilityPathScratch(
            log_scale=z(own_t),
            ratio=z(own_t),
            target=z(own_t),
            parts=Parts(z(1, dtype=np.int64), z(PARTS), z(PARTS), z(PARTS)),
            weights=z((PARTS, own_t)),
            total=z(own_t),
            diagonal=z(own_t),
            coupling=z(own_t),
            linear=z(own_t),
            proposal=z(own_t),
            information=z(own_t),
            pull=z(own_t),
            logs=z(own_t),
            bits=z(own_t, dtype=np.int64),
        ),
        path_group=PathGroupScratch(
            ratio=z((own_n, t)),
            target=z((own_n, t)),
            log_ratio=z(own_n),
            member=z(own_n, dtype=np.int64),
            now=z((2, own_n)),
            z=z((2, own_n)),
            told=z((5, own_n)),
            information=z((blocks, t, LANES)),
            pull=z((blocks, t, LANES)),
            path=z((blocks, t, LANES)),
        ),
        lanes=_lanes(t, LANES if blocks else 0),
        collapsed=_collapsed(k, t) if own_k > 0 and data.asset_volatility.present else _collapsed(0, 0),
        tuning=Tuning(
            sweeps=z(1, dtype=np.int64),
            adapting=z(1, dtype=np.bool_),
            gain=z(1),
            relax=z(1),
            log_step_nu=np.full(1, np.log(_START_STEP)),
            leverage=z(n),
            path_centre=state.asset_volatility.mu.copy(),
        ),
        moves=Moves(z(2), z(2), z(2), z((j, 2)), z(2), z(2), z(2), z(2)),
    )


def _lanes(t: int, width: int) -> LaneScratch:
    z = np.zeros
    return LaneScratch(
        member=z(width, dtype=np.int64),
        now=z((2, width)),
        mu=z((2, width)),
        sigma=z((2, width)),
        logit_phi=z(width),
        log_sd=z(width),
        value=z(width),
        phi=z(width),
        square=z(width),
        inner=z(width),
        inverse=z(width),
        linear=z(width),
        quadratic=z(width),
        product=z(width),
        inverses=z((t, width)),
        linears=z((t, width)),
        noise=z(width),
        step=z((2, width)),
        x=z(width),
        low=z(width),
        high=z(width),
        level=z(width),
        stage=z(width, dtype=np.int64),
        shrunk=z(width, dtype=np.int64),
    )


def _collapsed(k: int, t: int) -> CollapsedScratch:
    z = np.zeros
    return CollapsedScratch(
        direction=z((k, t)),
        variance=z(t),
        gap=z(t),
        residual=z(t),
        loading=z(k),
        centre=z(t),
        log_variance=z(t),
        curvature=z(t),
        pull=z(t),
        mode=z(t),
        proposal=z(t),
        values=z(t),
        bits=z(t, dtype=np.int64),
        chol=z((k * (k + 1) // 2, CHUNK)),
        solved=z((k, CHUNK)),
        rest=z((k, CHUNK)),
        weight=z(CHUNK),
        pulled=z(CHUNK),
    )

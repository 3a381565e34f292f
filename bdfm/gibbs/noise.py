"""Updates of the noise (eq. 6 to 8): log-volatility coefficients, degrees of freedom, mixing variables.

The likelihood of a return with weight omega, t(e; nu, sigma)^omega, has the kernel
(1 + e^2 / (nu sigma^2))^-a with a = omega (nu + 1) / 2: a mixture over u ~ Gamma(a, rate
(nu sigma^2 + e^2) / 2) of exp(-u e^2 / 2). There is no factor sqrt(u), so that normal updates of the mean
take u as precision, and u is drawn from that gamma. Log-volatility and nu are updated with u integrated out;
u is redrawn after them.

Coefficients b of a hierarchy b_i = mu + sigma z_i are updated in both forms (interweaving, Yu and Meng 2011):
mu and sigma given b, and all b of a group together, with z fixed. Moves take Newton steps with the expected
information of the t density, weight * 2 nu / (nu + 3) * x x', which does not depend on b.
"""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.arrays import (
    ASSET_MOVE,
    DOF,
    LOC_MEAN,
    LOC_SD,
    N_FIXED,
    NU_MOVE,
    SCALE_SD,
    SIGMA_NU,
    STEP_NU,
    Data,
    Floats,
    Ints,
    State,
    Work,
    kernel,
)
from bdfm.gibbs.dynamics import band_product, set_deviation
from bdfm.gibbs.linear import dot, eliminate, solve_transposed
from bdfm.gibbs.random import MAX_SHRINK, exp_in_place, gamma_fill, log_in_place, scale_draw

_RIDGE = 0.125  # d log sigma / d log nu along the ridge of the t likelihood, 1 / (nu + 1) at nu = 7
MIN_LEVERAGE = 0.1  # share of an asset in what is known about the factors, from which its noise moves along
_SHORT_RUN = 8  # runs of equal weights shorter than this on average are not worth a product of their own
_RANDOM_WALK = 0.1  # share of random-walk moves, so that a chain in a far tail cannot stick
_NU_TARGET = 0.3  # acceptance rate that the step of sigma_nu is tuned to
_LOG_PI = math.log(math.pi)
_LOG_2PI = math.log(2.0 * math.pi)


@kernel
def t_norm(nu: float) -> float:
    """Log of the normalising constant of the standard Student-t density."""
    return math.lgamma(0.5 * (nu + 1.0)) - math.lgamma(0.5 * nu) - 0.5 * (math.log(nu) + _LOG_PI)


@kernel
def log_sum(
    chunk: Ints, chunk_weight: Floats, weight: Floats, ratio: Floats, factor: float, logs: Floats, bits: Ints
) -> float:
    """Sum over periods of weight_t log(1 + factor * ratio_t).

    One logarithm a run of equal weights, of a product; where runs are short, all logarithms at once. ``logs``
    and ``bits`` are scratch memory; missing periods have ratio 0.
    """
    n_periods = ratio.shape[0]
    total = 0.0
    if _SHORT_RUN * chunk_weight.shape[0] > n_periods:
        for t in range(n_periods):
            logs[t] = 1.0 + factor * ratio[t]
        log_in_place(logs[:n_periods], bits)
        for t in range(n_periods):
            total += weight[t] * logs[t]
        return total
    for c in range(chunk_weight.shape[0]):
        product = 1.0
        for t in range(chunk[c], chunk[c + 1]):
            product *= 1.0 + factor * ratio[t]
        total += chunk_weight[c] * math.log(product)
    return total


@kernel
def set_precision(x: Floats, i: int, b: Floats, precision: Floats, bits: Ints) -> None:
    """Fill ``precision`` with 1 / sigma^2 of asset i by period, at log-volatility coefficients ``b``."""
    for t in range(precision.shape[0]):
        precision[t] = 0.0
    for j in range(b.shape[0]):
        c = -2.0 * b[j]
        for t in range(precision.shape[0]):
            precision[t] += c * x[j, i, t]
    exp_in_place(precision, bits)


@kernel
def likelihood_terms(
    x: Floats,
    i: int,
    weight: Floats,
    chunk: Ints,
    chunk_weight: Floats,
    e: Floats,
    precision: Floats,
    nu: float,
    score: Floats,
    gradient: Floats,
    logs: Floats,
    bits: Ints,
) -> float:
    """Sum of -weight (nu + 1) / 2 log(1 + e^2 / (nu sigma^2)) of asset i over periods.

    Also fills ``gradient``, that of the whole log-likelihood in the log-volatility coefficients. ``nu`` 0
    stands for normal noise. Arrays come one by one, because handing over a whole ``Data`` costs as much
    as the sum itself.
    """
    n_periods = score.shape[0]
    for t in range(n_periods):
        score[t] = e[t] * e[t] * precision[t]
    value = 0.0
    if nu > 0.0:
        value = -0.5 * (nu + 1.0) * log_sum(chunk, chunk_weight, weight, score, 1.0 / nu, logs, bits)
        product = nu * (nu + 1.0)
        for t in range(n_periods):
            score[t] = weight[t] * (nu - product / (nu + score[t]))
    else:
        for t in range(n_periods):
            value -= 0.5 * weight[t] * score[t]
        for t in range(n_periods):
            score[t] = weight[t] * (score[t] - 1.0)
    for j in range(gradient.shape[0]):
        total = 0.0
        for t in range(n_periods):
            total += score[t] * x[j, i, t]
        gradient[j] = total
    return value


@kernel
def norms(d: Data, s: State, w: Work) -> None:
    """Fill ``Work.norm``, the weighted log normalising constants of the noise of each asset."""
    for i in range(w.norm.shape[0]):
        c = t_norm(s.nu[i]) if d.nu_mean > 0.0 else -0.5 * _LOG_2PI
        w.norm[i] = c * d.total_weight[i]


@kernel
def information_factor(nu: float) -> float:
    """Expected information of one return about its log scale; 2 where the noise is normal."""
    return 2.0 * nu / (nu + 3.0)


@kernel
def prior_term(b: float, mu: float, sigma: float, dof: float) -> tuple[float, float]:
    """Log prior density of a coefficient at ``b``, up to a constant, and its derivative."""
    z = (b - mu) / sigma
    if dof == 0.0:
        return -0.5 * z * z, -z / sigma
    return -0.5 * (dof + 1.0) * math.log1p(z * z / dof), -(dof + 1.0) * z / ((dof + z * z) * sigma)


@kernel
def move_along_residuals(rng: np.random.Generator, d: Data, s: State, w: Work, tuning: float) -> None:
    """Scale the noise of single assets together with their residuals, given all mixing variables.

    Where one asset says most about some direction of the factors, its residuals follow its noise scale and
    the noise scale follows the residuals. The move multiplies both by c: lambda_t += (1 - c) e_it v / w_i'v,
    theta_i += log c, u_i / c^2; the likelihood of the asset does not change, and all other terms are
    quadratic in c. The direction v = (information on the factors)^-1 w_i disturbs the other assets least;
    it does not depend on c. Residuals and ``Work.precision`` must be current, and stay so.

    It is done for the assets whose leverage, averaged over the adaptation, is above a threshold; it needs
    loadings that do not change over time.
    """
    n_factors, n_periods = s.factors.shape
    n_assets = s.u.shape[0]
    first = d.vol_intercept
    loadings = s.loadings[0]
    information = w.small[0]
    chol = w.small[1]
    mean_u = w.vectors[1]
    shift = w.vectors[2]
    for k in range(n_factors):
        for j in range(k + 1):
            information[k, j] = 0.0
        information[k, k] = 1.0 / s.factor_scale[k] ** 2
    for i in range(n_assets):
        mean_u[i] = 0.0
        for t in range(n_periods):
            mean_u[i] += s.u[i, t]
        mean_u[i] /= n_periods
        for k in range(n_factors):
            for j in range(k + 1):
                information[k, j] += mean_u[i] * loadings[k, i] * loadings[j, i]
    direction = w.small[2, 0, :n_factors]
    for i in range(n_assets):
        if tuning == 0.0 and w.leverage[i] < MIN_LEVERAGE:
            continue
        for k in range(n_factors):
            for j in range(k + 1):
                chol[k, j] = information[k, j]
            direction[k] = loadings[k, i]
        eliminate(chol[:n_factors, :n_factors], direction, 0, n_factors)
        along = dot(direction, direction)
        solve_transposed(chol[:n_factors, :n_factors], direction)
        if tuning > 0.0:
            w.leverage[i] += tuning * (mean_u[i] * along - w.leverage[i])
            if w.leverage[i] < MIN_LEVERAGE:
                continue
        for k in range(n_factors):
            direction[k] /= along
        e = w.e[i]
        # cost of the move: square * (1 - c)^2 / 2 - linear * (1 - c)
        square = 0.0
        linear = 0.0
        for r in range(n_assets):
            if r == i:
                continue
            share = 0.0
            for k in range(n_factors):
                share += loadings[k, r] * direction[k]
            part = 0.0
            squares = 0.0
            for t in range(n_periods):
                x = s.u[r, t] * e[t]
                squares += x * e[t]
                part += x * w.e[r, t]
            square += share * share * squares
            linear += share * part
        filtered = w.vectors[3, :n_periods]
        band_product(w.band, e, filtered)
        energy = dot(filtered, e)
        set_deviation(s, w)
        for k in range(n_factors):
            c = direction[k] / s.factor_scale[k] ** 2
            square += c * direction[k] * energy
            linear -= c * dot(w.deviation[k], filtered)
        power = -d.total_weight[i]
        for t in range(n_periods):
            power += d.seen[i, t]
        group = d.vol_group[first, i]
        b, mu, sigma = s.vol_b[first, i], s.vol_mu[first, group], s.vol_sigma[first, group]
        dof = d.vol_prior[first, DOF]
        now = residual_density(0.0, power, square, linear, b, mu, sigma, dof)
        level = now + math.log(1.0 - rng.random())
        width = 1.0
        low = -width * rng.random()
        high = low + width
        while residual_density(low, power, square, linear, b, mu, sigma, dof) > level:
            low -= width
        while residual_density(high, power, square, linear, b, mu, sigma, dof) > level:
            high += width
        log_c = 0.0
        for _ in range(MAX_SHRINK):
            new = low + (high - low) * rng.random()
            if residual_density(new, power, square, linear, b, mu, sigma, dof) >= level:
                log_c = new
                break
            if new < 0.0:
                low = new
            else:
                high = new
        c = math.exp(log_c)
        s.vol_b[first, i] += log_c
        for t in range(n_periods):
            shift[t] = (1.0 - c) * e[t]
            s.u[i, t] /= c * c
            w.precision[i, t] /= c * c
        for k in range(n_factors):
            for t in range(n_periods):
                s.factors[k, t] += direction[k] * shift[t]
        for r in range(n_assets):
            share = 0.0
            for k in range(n_factors):
                share += loadings[k, r] * direction[k]
            for t in range(n_periods):
                w.e[r, t] -= share * shift[t] * d.seen[r, t]
        change = mean_u[i] * (1.0 / (c * c) - 1.0)
        for k in range(n_factors):
            for j in range(k + 1):
                information[k, j] += change * loadings[k, i] * loadings[j, i]


@kernel
def residual_density(
    log_c: float, power: float, square: float, linear: float, b: float, mu: float, sigma: float, dof: float
) -> float:
    """Log density of log c in ``move_along_residuals``."""
    rest = 1.0 - math.exp(log_c)
    return prior_term(b + log_c, mu, sigma, dof)[0] + power * log_c - rest * (0.5 * square * rest - linear)


@kernel
def move_asset_coefficients(rng: np.random.Generator, d: Data, s: State, w: Work) -> None:
    """One Metropolis-Hastings step for the log-volatility coefficients of each asset.

    Leaves precision, gradient and log-likelihood of all assets in ``w``.
    """
    n_effects, n_assets = s.vol_b.shape
    a = w.small[0, :n_effects, :n_effects]
    step = w.small[1, 0, :n_effects]
    noise = w.small[1, 1, :n_effects]
    now = w.small[1, 2, :n_effects]
    new = w.small[1, 3, :n_effects]
    score = w.vectors[0, : w.e.shape[1]]
    for i in range(n_assets):
        information = information_factor(s.nu[i]) if d.nu_mean > 0.0 else 2.0
        prior_now = 0.0
        for j in range(n_effects):
            now[j] = s.vol_b[j, i]
        nu = s.nu[i] if d.nu_mean > 0.0 else 0.0
        # precision is still that of the current coefficients
        w.loglik[i] = w.norm[i] - dot(d.vol_sum[i], now)
        w.loglik[i] += likelihood_terms(
            d.vol_x,
            i,
            d.weight[i],
            d.chunk,
            d.chunk_weight,
            w.e[i],
            w.precision[i],
            nu,
            score,
            w.gradient[i],
            w.logs,
            w.bits,
        )
        for j in range(n_effects):
            dof = d.vol_prior[j, DOF]
            group = d.vol_group[j, i]
            value, slope = prior_term(now[j], s.vol_mu[j, group], s.vol_sigma[j, group], dof)
            prior_now += value
            step[j] = w.gradient[i, j] + slope
            noise[j] = rng.standard_normal()
            for r in range(j + 1):
                a[j, r] = information * d.vol_info[i, j, r]
            spread = (dof + 1.0) / (dof + 3.0) if dof > 0.0 else 1.0
            a[j, j] += spread / s.vol_sigma[j, group] ** 2
        eliminate(a, step, 0, n_effects)
        walk = rng.random() < _RANDOM_WALK
        forward = 0.0
        for j in range(n_effects):
            forward -= 0.5 * noise[j] * noise[j]
            step[j] = noise[j] if walk else step[j] + noise[j]
        solve_transposed(a, step)
        for j in range(n_effects):
            new[j] = now[j] + step[j]
        set_precision(d.vol_x, i, new, w.precision_new[i], w.bits)
        loglik = w.norm[i] - dot(d.vol_sum[i], new)
        loglik += likelihood_terms(
            d.vol_x,
            i,
            d.weight[i],
            d.chunk,
            d.chunk_weight,
            w.e[i],
            w.precision_new[i],
            nu,
            score,
            w.gradient_new[i],
            w.logs,
            w.bits,
        )
        prior_new = 0.0
        backward = 0.0
        for j in range(n_effects):
            group = d.vol_group[j, i]
            value, slope = prior_term(new[j], s.vol_mu[j, group], s.vol_sigma[j, group], d.vol_prior[j, DOF])
            prior_new += value
            step[j] = w.gradient_new[i, j] + slope
        # noise of the way back: L'(now - new) - L^-1 gradient at new
        for j in range(n_effects):
            for r in range(j):
                step[j] -= a[j, r] * step[r]
            step[j] /= a[j, j]
        for j in range(n_effects):
            z = -step[j]
            for r in range(j, n_effects):
                z += a[r, j] * (now[r] - new[r])
            backward -= 0.5 * z * z
        ratio = loglik + prior_new - w.loglik[i] - prior_now
        if not walk:
            ratio += backward - forward
        w.accepted[ASSET_MOVE, 1] += 1.0
        if math.log(1.0 - rng.random()) < ratio:
            w.accepted[ASSET_MOVE, 0] += 1.0
            accept(w, i, loglik)
            for j in range(n_effects):
                s.vol_b[j, i] = new[j]


@kernel
def accept(w: Work, i: int, loglik: float) -> None:
    """Make the proposed precision, gradient and log-likelihood of asset i the current ones."""
    w.loglik[i] = loglik
    for t in range(w.precision.shape[1]):
        w.precision[i, t] = w.precision_new[i, t]
    for j in range(w.gradient.shape[1]):
        w.gradient[i, j] = w.gradient_new[i, j]


@kernel
def move_groups(rng: np.random.Generator, d: Data, s: State, w: Work, j: int) -> None:
    """Move mu and sigma of each group of hierarchy j, and its coefficients along, b_i = mu + sigma z_i.

    One Newton-type Metropolis-Hastings step a group. sigma may cross 0: the sign of sigma and of all z
    together is arbitrary, so that the half-normal prior extends to a normal one, and |sigma| is kept.
    """
    n_effects, n_assets = s.vol_b.shape
    n_groups = d.vol_groups[j]
    mean, sd, scale_sd = d.vol_prior[j, LOC_MEAN], d.vol_prior[j, LOC_SD], d.vol_prior[j, SCALE_SD]
    b = w.small[1, 0, :n_effects]
    score = w.vectors[0, : w.e.shape[1]]
    table = w.groups
    for group in range(n_groups):
        for r in range(5):
            table[group, r] = 0.0
    for i in range(n_assets):
        row = table[d.vol_group[j, i]]
        z = (s.vol_b[j, i] - s.vol_mu[j, d.vol_group[j, i]]) / s.vol_sigma[j, d.vol_group[j, i]]
        information = (information_factor(s.nu[i]) if d.nu_mean > 0.0 else 2.0) * d.vol_info[i, j, j]
        row[0] += w.gradient[i, j]
        row[1] += w.gradient[i, j] * z
        row[2] += information
        row[3] += information * z
        row[4] += information * z * z
    for group in range(n_groups):
        row = table[group]
        mu, sigma = s.vol_mu[j, group], s.vol_sigma[j, group]
        # lower triangle of the precision of (mu, sigma), then its Cholesky factor
        if sd > 0.0:
            row[0] -= (mu - mean) / sd**2
            l00 = math.sqrt(row[2] + 1.0 / sd**2)
        else:
            row[0] = 0.0
            row[3] = 0.0
            l00 = 1.0
        l10 = row[3] / l00
        l11 = math.sqrt(row[4] + 1.0 / scale_sd**2 - l10 * l10)
        row[1] -= sigma / scale_sd**2
        z0, z1 = rng.standard_normal(), rng.standard_normal()
        if sd == 0.0:
            z0 = 0.0
        step1 = ((row[1] - l10 * row[0] / l00) / l11 + z1) / l11
        step0 = (row[0] / l00 + z0 - l10 * step1) / l00
        row[2], row[3], row[4] = l00, l10, l11
        row[5], row[6] = mu + step0, sigma + step1
        row[7] = 0.5 * (z0 * z0 + z1 * z1)  # then the log acceptance ratio
        if sd > 0.0:
            row[7] += 0.5 * ((mu - mean) ** 2 - (row[5] - mean) ** 2) / sd**2
        row[7] += 0.5 * (sigma**2 - row[6] ** 2) / scale_sd**2
        row[8], row[9] = 0.0, 0.0  # gradient at the proposal
    for i in range(n_assets):
        group = d.vol_group[j, i]
        row = table[group]
        z = (s.vol_b[j, i] - s.vol_mu[j, group]) / s.vol_sigma[j, group]
        for r in range(n_effects):
            b[r] = s.vol_b[r, i]
        b[j] = row[5] + row[6] * z
        if j == d.vol_intercept:
            factor = math.exp(2.0 * (s.vol_b[j, i] - b[j]))
            for t in range(w.e.shape[1]):
                w.precision_new[i, t] = factor * w.precision[i, t]
        else:
            set_precision(d.vol_x, i, b, w.precision_new[i], w.bits)
        nu = s.nu[i] if d.nu_mean > 0.0 else 0.0
        w.loglik_new[i] = w.norm[i] - dot(d.vol_sum[i], b)
        w.loglik_new[i] += likelihood_terms(
            d.vol_x,
            i,
            d.weight[i],
            d.chunk,
            d.chunk_weight,
            w.e[i],
            w.precision_new[i],
            nu,
            score,
            w.gradient_new[i],
            w.logs,
            w.bits,
        )
        row[7] += w.loglik_new[i] - w.loglik[i]
        row[8] += w.gradient_new[i, j]
        row[9] += w.gradient_new[i, j] * z
    for group in range(n_groups):
        row = table[group]
        l00, l10, l11 = row[2], row[3], row[4]
        back0, back1 = s.vol_mu[j, group] - row[5], s.vol_sigma[j, group] - row[6]
        slope0 = row[8] - (row[5] - mean) / sd**2 if sd > 0.0 else 0.0
        slope1 = row[9] - row[6] / scale_sd**2
        z0 = l00 * back0 + l10 * back1 - slope0 / l00
        z1 = l11 * back1 - (slope1 - l10 * slope0 / l00) / l11
        row[7] -= 0.5 * (z0 * z0 + z1 * z1)
        w.accepted[N_FIXED + j, 1] += 1.0
        row[10] = 0.0
        if math.log(1.0 - rng.random()) < row[7]:
            w.accepted[N_FIXED + j, 0] += 1.0
            row[10] = 1.0
    for i in range(n_assets):
        group = d.vol_group[j, i]
        row = table[group]
        if row[10] == 1.0:
            z = (s.vol_b[j, i] - s.vol_mu[j, group]) / s.vol_sigma[j, group]
            s.vol_b[j, i] = row[5] + row[6] * z
            accept(w, i, w.loglik_new[i])
    for group in range(n_groups):
        if table[group, 10] == 1.0:
            s.vol_mu[j, group] = table[group, 5]
            s.vol_sigma[j, group] = abs(table[group, 6])


@kernel
def move_group_means(rng: np.random.Generator, d: Data, s: State, w: Work) -> None:
    """Move the means of all hierarchies of one grouping, and their coefficients along, a group at a time.

    One Newton-type Metropolis-Hastings step a group for all of them together: regressors such as volatilities
    over several windows are collinear, so that one mean at a time would move slowly.
    """
    n_effects, n_assets = s.vol_b.shape
    shared = d.vol_shared
    n = shared.shape[0]
    b = w.small[1, 0, :n_effects]
    noise = w.small[1, 1, :n]
    shift = w.small[1, 2, :n]
    back = w.small[1, 3, :n]
    a = w.small[0, :n, :n]
    score = w.vectors[0, : w.e.shape[1]]
    for group in range(d.vol_groups[shared[0]]):
        log_ratio = 0.0
        for r in range(n):
            j = shared[r]
            for c in range(r + 1):
                a[r, c] = 0.0
            a[r, r] = 1.0 / d.vol_prior[j, LOC_SD] ** 2
            shift[r] = -(s.vol_mu[j, group] - d.vol_prior[j, LOC_MEAN]) / d.vol_prior[j, LOC_SD] ** 2
        for i in range(n_assets):
            if d.vol_group[shared[0], i] == group:
                factor = information_factor(s.nu[i]) if d.nu_mean > 0.0 else 2.0
                for r in range(n):
                    shift[r] += w.gradient[i, shared[r]]
                    for c in range(r + 1):
                        a[r, c] += factor * d.vol_info[i, shared[r], shared[c]]
        eliminate(a, shift, 0, n)
        for r in range(n):
            noise[r] = rng.standard_normal()
            log_ratio += 0.5 * noise[r] * noise[r]
            shift[r] += noise[r]
        solve_transposed(a, shift)
        for r in range(n):
            j = shared[r]
            now = s.vol_mu[j, group] - d.vol_prior[j, LOC_MEAN]
            new = now + shift[r]
            log_ratio += 0.5 * (now * now - new * new) / d.vol_prior[j, LOC_SD] ** 2
            back[r] = -new / d.vol_prior[j, LOC_SD] ** 2
        for i in range(n_assets):
            if d.vol_group[shared[0], i] != group:
                continue
            for j in range(n_effects):
                b[j] = s.vol_b[j, i]
            for r in range(n):
                b[shared[r]] += shift[r]
            set_precision(d.vol_x, i, b, w.precision_new[i], w.bits)
            w.loglik_new[i] = w.norm[i] - dot(d.vol_sum[i], b)
            w.loglik_new[i] += likelihood_terms(
                d.vol_x,
                i,
                d.weight[i],
                d.chunk,
                d.chunk_weight,
                w.e[i],
                w.precision_new[i],
                s.nu[i] if d.nu_mean > 0.0 else 0.0,
                score,
                w.gradient_new[i],
                w.logs,
                w.bits,
            )
            log_ratio += w.loglik_new[i] - w.loglik[i]
            for r in range(n):
                back[r] += w.gradient_new[i, shared[r]]
        # noise of the way back: L' (-shift) - L^-1 gradient
        for r in range(n):
            for c in range(r):
                back[r] -= a[r, c] * back[c]
            back[r] /= a[r, r]
        for r in range(n):
            total = back[r]
            for c in range(r, n):
                total += a[c, r] * shift[c]
            log_ratio -= 0.5 * total * total
        if math.log(1.0 - rng.random()) < log_ratio:
            for r in range(n):
                s.vol_mu[shared[r], group] += shift[r]
            for i in range(n_assets):
                if d.vol_group[shared[0], i] == group:
                    for r in range(n):
                        s.vol_b[shared[r], i] += shift[r]
                    accept(w, i, w.loglik_new[i])


@kernel
def draw_hypers(rng: np.random.Generator, d: Data, s: State, w: Work, j: int) -> None:
    """Draw mu and sigma of each group of hierarchy j given its coefficients (the centred form)."""
    mean, sd, dof = d.vol_prior[j, LOC_MEAN], d.vol_prior[j, LOC_SD], d.vol_prior[j, DOF]
    n_assets = s.vol_b.shape[1]
    mix = w.vectors[1, :n_assets]
    if dof > 0.0:
        gamma_fill(rng, mix, 0.5 * (dof + 1.0))
    for i in range(n_assets):
        group = d.vol_group[j, i]
        z = (s.vol_b[j, i] - s.vol_mu[j, group]) / s.vol_sigma[j, group]
        mix[i] = mix[i] / (0.5 * (dof + z * z)) if dof > 0.0 else 1.0
    for group in range(d.vol_groups[j]):
        n = 0.0
        total = 0.0
        linear = 0.0
        for i in range(n_assets):
            if d.vol_group[j, i] == group:
                n += 1.0
                total += mix[i]
                linear += mix[i] * s.vol_b[j, i]
        if sd > 0.0:
            variance = s.vol_sigma[j, group] ** 2
            precision = total / variance + 1.0 / sd**2
            s.vol_mu[j, group] = (
                linear / variance + mean / sd**2 + math.sqrt(precision) * rng.standard_normal()
            ) / precision
        squares = 0.0
        for i in range(n_assets):
            if d.vol_group[j, i] == group:
                squares += mix[i] * (s.vol_b[j, i] - s.vol_mu[j, group]) ** 2
        now = math.log(s.vol_sigma[j, group])
        prior = 0.5 / d.vol_prior[j, SCALE_SD] ** 2
        s.vol_sigma[j, group] = math.exp(scale_draw(rng, now, 1.0 - n, prior, 0.5 * squares))


@kernel
def nu_density(
    shift: float,
    nu: float,
    ridge: float,
    ratio: Floats,
    chunk: Ints,
    chunk_weight: Floats,
    weight: Floats,
    total_weight: float,
    shape: float,
    rate: float,
    logs: Floats,
    bits: Ints,
) -> float:
    """Log density of an asset at log nu + shift, log sigma moved along by ``ridge * shift``.

    ``ratio`` holds (e / sigma)^2 before the move. The prior of log sigma is left out.
    """
    new = nu * math.exp(shift)
    factor = math.exp(-2.0 * ridge * shift) / new
    value = shape * math.log(new) - rate * new + (t_norm(new) - ridge * shift) * total_weight
    return value - 0.5 * (new + 1.0) * log_sum(chunk, chunk_weight, weight, ratio, factor, logs, bits)


@kernel
def draw_nu(rng: np.random.Generator, d: Data, s: State, w: Work, turn: int) -> None:
    """Slice update of nu, for every second asset in turn: it costs much and moves well.

    Two times of four it moves along the ridge on which nu trades off with the noise scale, and two times
    alone, for assets whose noise scale is held tight by its prior.
    """
    n_periods = w.e.shape[1]
    shape = (d.nu_mean / s.scalars[SIGMA_NU]) ** 2
    rate = shape / d.nu_mean
    ratio = w.vectors[0, :n_periods]
    j = d.vol_intercept
    ridge = _RIDGE if j >= 0 and turn & 2 else 0.0
    b, mu, sigma, dof = 0.0, 0.0, 1.0, 0.0
    for i in range(turn & 1, s.nu.shape[0], 2):
        if j >= 0:
            group = d.vol_group[j, i]
            b, mu, sigma, dof = s.vol_b[j, i], s.vol_mu[j, group], s.vol_sigma[j, group], d.vol_prior[j, DOF]
        for t in range(n_periods):
            ratio[t] = w.e[i, t] ** 2 * w.precision[i, t]
        # the four points of the slice: start, both ends, proposals
        level = math.log(1.0 - rng.random())
        low = -1.5 * rng.random()
        high = low + 1.5
        shift = 0.0
        stage = 0
        for _ in range(MAX_SHRINK):
            value = nu_density(
                shift,
                s.nu[i],
                ridge,
                ratio,
                d.chunk,
                d.chunk_weight,
                d.weight[i],
                d.total_weight[i],
                shape,
                rate,
                w.logs,
                w.bits,
            )
            if ridge > 0.0:
                value += prior_term(b + ridge * shift, mu, sigma, dof)[0]
            if stage == 0:
                level += value
                stage, shift = 1, low
            elif stage == 1:
                if value > level:
                    low -= 1.5
                    shift = low
                else:
                    stage, shift = 2, high
            elif stage == 2:
                if value > level:
                    high += 1.5
                    shift = high
                else:
                    stage, shift = 3, low + (high - low) * rng.random()
            elif value >= level:
                break
            else:
                if shift < 0.0:
                    low = shift
                else:
                    high = shift
                shift = low + (high - low) * rng.random()
        s.nu[i] *= math.exp(shift)
        if ridge > 0.0:
            s.vol_b[j, i] += ridge * shift
            factor = math.exp(-2.0 * ridge * shift)
            for t in range(n_periods):
                w.precision[i, t] *= factor


@kernel
def sigma_nu_density(d: Data, s: State, log_sigma: float) -> float:
    """Log density of log sigma_nu given all nu."""
    sigma = math.exp(log_sigma)
    shape = (d.nu_mean / sigma) ** 2
    rate = shape / d.nu_mean
    value = d.sigma_nu_shape * log_sigma - d.sigma_nu_rate * sigma
    logs = 0.0
    total = 0.0
    for i in range(s.nu.shape[0]):
        logs += math.log(s.nu[i])
        total += s.nu[i]
    value += s.nu.shape[0] * (shape * math.log(rate) - math.lgamma(shape)) + shape * logs - rate * total
    return float(value)


@kernel
def draw_sigma_nu(rng: np.random.Generator, d: Data, s: State) -> None:
    """Slice update of sigma_nu given all nu."""
    now = math.log(s.scalars[SIGMA_NU])
    level = sigma_nu_density(d, s, now) + math.log(1.0 - rng.random())
    low = now - 0.5 * rng.random()
    high = low + 0.5
    while sigma_nu_density(d, s, low) > level:
        low -= 0.5
    while sigma_nu_density(d, s, high) > level:
        high += 0.5
    for _ in range(MAX_SHRINK):
        new = low + (high - low) * rng.random()
        if sigma_nu_density(d, s, new) >= level:
            s.scalars[SIGMA_NU] = math.exp(new)
            break
        if new < now:
            low = new
        else:
            high = new


@kernel
def move_sigma_nu(rng: np.random.Generator, d: Data, s: State, w: Work, tuning: float) -> None:
    """Random walk of sigma_nu with all nu moved along, each at a fixed normal score.

    The score is that of Wilson and Hilferty (1931): the cube root of a gamma variable is nearly normal.
    Log-likelihoods must be current. ``tuning`` > 0 is the gain with which the step is adapted.
    """
    n_assets, n_periods = w.e.shape
    ratio = w.vectors[0, :n_periods]
    new_nu = w.vectors[1]
    sigma = s.scalars[SIGMA_NU]
    new_sigma = sigma * math.exp(math.exp(s.scalars[STEP_NU]) * rng.standard_normal())
    shape, new_shape = (d.nu_mean / sigma) ** 2, (d.nu_mean / new_sigma) ** 2
    log_ratio = d.sigma_nu_shape * math.log(new_sigma / sigma) - d.sigma_nu_rate * (new_sigma - sigma)
    log_ratio += n_assets * (
        new_shape * math.log(new_shape / d.nu_mean)
        - math.lgamma(new_shape)
        - shape * math.log(shape / d.nu_mean)
        + math.lgamma(shape)
        + 0.5 * math.log(shape / new_shape)
    )
    for i in range(n_assets):
        root = (s.nu[i] / d.nu_mean) ** (1.0 / 3.0)
        z = (root - 1.0 + 1.0 / (9.0 * shape)) * math.sqrt(shape / new_shape)
        new_root = 1.0 - 1.0 / (9.0 * new_shape) + z
        if new_root <= 0.0:
            log_ratio = -math.inf
            break
        nu = d.nu_mean * new_root**3
        new_nu[i] = nu
        log_ratio += (new_shape - 1.0) * math.log(nu) - (shape - 1.0) * math.log(s.nu[i])
        log_ratio += (nu * -new_shape + s.nu[i] * shape) / d.nu_mean + 2.0 * math.log(new_root / root)
        for t in range(n_periods):
            ratio[t] = w.e[i, t] ** 2 * w.precision[i, t]
        log_ratio += (t_norm(nu) - t_norm(s.nu[i])) * d.total_weight[i]
        log_ratio -= (
            0.5 * (nu + 1.0) * log_sum(d.chunk, d.chunk_weight, d.weight[i], ratio, 1.0 / nu, w.logs, w.bits)
        )
        log_ratio += (
            0.5
            * (s.nu[i] + 1.0)
            * log_sum(d.chunk, d.chunk_weight, d.weight[i], ratio, 1.0 / s.nu[i], w.logs, w.bits)
        )
    w.accepted[NU_MOVE, 1] += 1.0
    if math.log(1.0 - rng.random()) < log_ratio:
        w.accepted[NU_MOVE, 0] += 1.0
        s.scalars[SIGMA_NU] = new_sigma
        for i in range(n_assets):
            s.nu[i] = new_nu[i]
    if tuning > 0.0:
        s.scalars[STEP_NU] += tuning * (min(1.0, math.exp(min(log_ratio, 0.0))) - _NU_TARGET)


@kernel
def draw_precisions(rng: np.random.Generator, d: Data, s: State, w: Work) -> None:
    """Draw u, the precision of each return given its mixing variable; 0 where missing."""
    n_assets, n_periods = w.e.shape
    for i in range(n_assets):
        u = s.u[i]
        if d.nu_mean == 0.0:
            for t in range(n_periods):
                u[t] = d.weight[i, t] * w.precision[i, t]
            continue
        nu = s.nu[i]
        for c in range(d.chunk_weight.shape[0]):
            gamma_fill(rng, u[d.chunk[c] : d.chunk[c + 1]], 0.5 * d.chunk_weight[c] * (nu + 1.0))
        for t in range(n_periods):
            p = w.precision[i, t]
            u[t] *= 2.0 * p * d.seen[i, t] / (nu + w.e[i, t] ** 2 * p)


@kernel
def evidence_density(r: float, mean: float, precision: float, stated: float, sd: float) -> float:
    """Log density of a log return given its mixing variable and what is said about the simple return."""
    return -0.5 * precision * (r - mean) ** 2 - 0.5 * ((math.expm1(r) - stated) / sd) ** 2


@kernel
def draw_evidence(rng: np.random.Generator, d: Data, s: State, w: Work) -> None:
    """Slice update of each return of the forecast period that there is evidence on (eq. 12).

    Such a return is data that are not known: all other updates take its value as seen. Residuals and
    precisions must be current, and stay so.
    """
    last = w.e.shape[1] - 1
    for r in range(d.evidence_asset.shape[0]):
        i = d.evidence_asset[r]
        stated, sd = d.evidence[r, 0], d.evidence[r, 1]
        precision = s.u[i, last]
        now = s.evidence[r]
        mean = now - w.e[i, last]
        width = 3.0 / math.sqrt(precision + math.exp(2.0 * now) / sd**2)
        level = evidence_density(now, mean, precision, stated, sd) + math.log(1.0 - rng.random())
        low = now - width * rng.random()
        high = low + width
        while evidence_density(low, mean, precision, stated, sd) > level:
            low -= width
        while evidence_density(high, mean, precision, stated, sd) > level:
            high += width
        for _ in range(MAX_SHRINK):
            new = low + (high - low) * rng.random()
            if evidence_density(new, mean, precision, stated, sd) >= level:
                s.evidence[r] = new
                d.y[i, last] = new
                w.e[i, last] = new - mean
                break
            if new < now:
                low = new
            else:
                high = new


@kernel
def log_likelihood(d: Data, s: State, w: Work) -> float:
    """Weighted log-likelihood of all returns; residuals and ``Work.precision`` must be current."""
    n_effects, n_assets = s.vol_b.shape
    n_periods = w.e.shape[1]
    ratio = w.vectors[0, :n_periods]
    norms(d, s, w)
    total = 0.0
    for i in range(n_assets):
        total += w.norm[i]
        for j in range(n_effects):
            total -= d.vol_sum[i, j] * s.vol_b[j, i]
        for t in range(n_periods):
            ratio[t] = w.e[i, t] ** 2 * w.precision[i, t]
        if d.nu_mean > 0.0:
            total -= (
                0.5
                * (s.nu[i] + 1.0)
                * log_sum(d.chunk, d.chunk_weight, d.weight[i], ratio, 1.0 / s.nu[i], w.logs, w.bits)
            )
        else:
            total -= 0.5 * dot(d.weight[i], ratio)
    return total

"""Noise around the expected return (eq. 6, 6a): pointwise log densities and standardised draws."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat
from scipy.special import betainc, betaln, gammainc

from bdfm.gibbs.spec import DegreesOfFreedom, NoiseFamily
from bdfm.model.part import Array, Block, Data, Params, Part, Variable, functions_for, unwritten
from bdfm.names import ASSET, NU


class StandardNoise(NamedTuple):
    """Noise of unit scale, as centre + multiplier times a normal draw.

    The antithetic partner of a draw is centre - multiplier * normal: symmetric noise has the centre 0.
    """

    normal: NDArray[np.float64]
    multiplier: NDArray[np.float64]
    centre: NDArray[np.float64] | float = 0.0


class Noise(Part):
    """Distribution of the noise of unit scale (eq. 6).

    ``parameters`` names what the density depends on beside location and scale, one number an asset each.
    """

    slot: ClassVar[str] = "noise"
    claims: ClassVar[frozenset[str]] = frozenset({"noise"})
    parameters: ClassVar[tuple[str, ...]] = ()

    def log_density(self, noise: Array, log_scale: Array, p: Params) -> Array:
        """Log density of the noise r - μ (..., period, asset) with log scale of the same shape (eq. 6)."""
        raise unwritten(self, "log_density")

    def standard_draws(self, p: Params, shape: tuple[int, ...], rng: np.random.Generator) -> StandardNoise:
        """Noise of unit scale of ``shape`` (..., asset); parameters in ``p`` are broadcast to it."""
        raise unwritten(self, "standard_draws")

    def variance(self, p: Params, limit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Variance (..., asset) of noise of unit scale, cut at ± ``limit`` in units of the scale.

        A forecast cuts log returns, and heavy tails may have no variance without that.
        """
        raise unwritten(self, "variance")

    def standard_variable(self, name: str, p: Params, index: NDArray[np.intp], *, dims: str) -> Array:
        """Noise of unit scale of the assets at ``index``, as a random variable of the model (eq. 12)."""
        raise unwritten(self, "standard_variable")


class StudentTNoise(Noise):
    """Student-t noise with degrees of freedom by asset (eq. 6): ν_i ~ Gamma(mean ``nu_mean``, sd σ_ν).

    Mean 7 is the heaviness of monthly stock returns once volatility is modelled. σ_ν ~ Gamma with mean
    ``nu_sd_mean`` and sd ``nu_sd_sd``: away from zero, because at σ_ν = 0 all assets would share one ν, a
    corner that monthly data cannot rule out and a sampler cannot explore.
    """

    kind: Literal["student_t"] = "student_t"
    nu_mean: PositiveFloat = 7.0
    nu_sd_mean: PositiveFloat = 3.0
    nu_sd_sd: PositiveFloat = 1.0
    parameters: ClassVar[tuple[str, ...]] = (NU,)
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(f"sigma_{NU}", "σ_ν", (), "1", "Spread of the degrees of freedom, σ of eq. 6"),
        Variable(NU, "ν_i", (ASSET,), "1", "Degrees of freedom of the noise, ν"),
    )

    def params(self, data: Data) -> Params:
        """Degrees of freedom ν (asset) and the sd of their distribution (scalar)."""
        import pymc as pm

        sigma = pm.Gamma(f"sigma_{NU}", mu=self.nu_sd_mean, sigma=self.nu_sd_sd)
        return {f"sigma_{NU}": sigma, NU: pm.Gamma(NU, mu=self.nu_mean, sigma=sigma, dims=ASSET)}

    def block(self, data: Data) -> Block:
        """The family, and priors of its degrees of freedom."""
        from bdfm.gibbs.updates.noise import STUDENT_T  # compiles: for fits alone

        prior = DegreesOfFreedom(self.nu_mean, self.nu_sd_mean, self.nu_sd_sd)
        return {"noise": NoiseFamily(STUDENT_T, prior)}

    def log_density(self, noise: Array, log_scale: Array, p: Params) -> Array:
        """Log density of the noise r - μ (..., period, asset) with log scale of the same shape (eq. 6).

        Terms that depend on ν alone are computed once per asset, not once per observation; the log-gamma
        functions and their gradients would otherwise dominate the cost of the fit.
        """
        f = functions_for(noise, log_scale, p[NU])
        nu = p[NU][..., None, :]
        constant = f.gammaln((nu + 1.0) / 2.0) - f.gammaln(nu / 2.0) - f.log(nu * np.pi) / 2.0
        squared = noise * noise * f.exp(-2.0 * log_scale) / nu
        return constant - log_scale - (nu + 1.0) / 2.0 * f.log1p(squared)

    def standard_draws(self, p: Params, shape: tuple[int, ...], rng: np.random.Generator) -> StandardNoise:
        """Normal draws over the root of gamma draws with mean 1."""
        nu = np.broadcast_to(p[NU], shape)
        mixing = rng.standard_gamma(nu / 2.0) / (nu / 2.0)
        return StandardNoise(rng.standard_normal(shape), 1.0 / np.sqrt(mixing))

    def standard_variable(self, name: str, p: Params, index: NDArray[np.intp], *, dims: str) -> Array:
        """Noise of unit scale of the assets at ``index``, as a random variable of the model (eq. 12)."""
        import pymc as pm

        return pm.StudentT(name, nu=p[NU][index], mu=0.0, sigma=1.0, dims=dims)

    def variance(self, p: Params, limit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Variance (..., asset) of unit noise cut at ± ``limit``: E[T²; |T| < a] + a² P(|T| > a).

        A Student-t of ν ≤ 2 degrees of freedom, which the posterior allows some assets, has no variance; cut,
        it has one for every ν, an incomplete beta function. For ν well above 2 it is ν / (ν - 2).
        """
        nu = np.where(np.abs(p[NU] - 2) < 1e-6, 2 + 1e-6, p[NU])
        a2 = np.square(limit)
        x = a2 / (nu + a2)
        b = nu / 2 - 1  # B(x; 3/2, b) by the recurrence in b, which also serves -1 < b < 0
        log_norm = betaln(0.5, nu / 2)
        above = betainc(1.5, b + 1, x) * np.exp(betaln(1.5, b + 1) - log_norm)
        power = np.exp(1.5 * np.log(x) + b * np.log1p(-x) - log_norm)
        inside = nu * ((1.5 + b) * above - power) / b
        tail = betainc(nu / 2, 0.5, nu / (nu + a2))
        return np.asarray(inside + a2 * tail)


class NormalNoise(Noise):
    """Normal noise (eq. 6a), for comparison and for checks against exact Gaussian results."""

    kind: Literal["normal"] = "normal"

    def params(self, data: Data) -> Params:
        """No parameters."""
        return {}

    def block(self, data: Data) -> Block:
        """The family, which has no parameters."""
        from bdfm.gibbs.updates.noise import NORMAL

        return {"noise": NoiseFamily(NORMAL)}

    def log_density(self, noise: Array, log_scale: Array, p: Params) -> Array:
        """Normal log density of the noise (..., period, asset)."""
        f = functions_for(noise, log_scale)
        return -0.5 * np.log(2.0 * np.pi) - log_scale - 0.5 * noise * noise * f.exp(-2.0 * log_scale)

    def standard_draws(self, p: Params, shape: tuple[int, ...], rng: np.random.Generator) -> StandardNoise:
        """Normal draws with unit multipliers."""
        return StandardNoise(rng.standard_normal(shape), np.ones(shape))

    def standard_variable(self, name: str, p: Params, index: NDArray[np.intp], *, dims: str) -> Array:
        """Noise of unit scale of the assets at ``index``, as a random variable of the model (eq. 12)."""
        import pymc as pm

        return pm.Normal(name, 0.0, 1.0, dims=dims)

    def variance(self, p: Params, limit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Variance 1: the limit is far out."""
        return np.ones_like(limit)


class LaplaceNoise(Noise):
    """Laplace (double exponential) noise, exp(-|ε| / σ) / 2σ (eq. 6a); its variance is 2σ², its kurtosis 6.

    A sharp peak and exponential tails, heavier than normal ones and lighter than a Student-t's. Medians take
    the part of means: a far return pulls no more than a near one.
    """

    kind: Literal["laplace"] = "laplace"
    # whose updates take the noise for a mixture of normals
    refuses: ClassVar[frozenset[tuple[str, str]]] = frozenset({("log_volatility", "stochastic_volatility")})

    def params(self, data: Data) -> Params:
        """No parameters."""
        return {}

    def block(self, data: Data) -> Block:
        """The family, which has no parameters."""
        from bdfm.gibbs.updates.noise import LAPLACE

        return {"noise": NoiseFamily(LAPLACE)}

    def log_density(self, noise: Array, log_scale: Array, p: Params) -> Array:
        """Laplace log density of the noise (..., period, asset)."""
        f = functions_for(noise, log_scale)
        return -np.log(2.0) - log_scale - f.abs(noise) * f.exp(-log_scale)

    def standard_draws(self, p: Params, shape: tuple[int, ...], rng: np.random.Generator) -> StandardNoise:
        """Normal draws times roots of exponential draws with mean 2, their variances."""
        variance = 2.0 * rng.standard_exponential(shape)
        return StandardNoise(rng.standard_normal(shape), np.sqrt(variance))

    def standard_variable(self, name: str, p: Params, index: NDArray[np.intp], *, dims: str) -> Array:
        """Noise of unit scale of the assets at ``index``, as a random variable of the model (eq. 12)."""
        import pymc as pm

        return pm.Laplace(name, 0.0, 1.0, dims=dims)

    def variance(self, p: Params, limit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Variance (..., asset) of unit noise cut at ± ``limit`` = a: 2 (1 - (1 + a) exp(-a))."""
        return np.asarray(2.0 * gammainc(2.0, limit))

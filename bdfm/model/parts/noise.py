"""Noise around the expected return (eq. 6): pointwise log densities and standardised draws."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
import pymc as pm
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from bdfm.model.part import Array, Component, Data, Params, functions_for
from bdfm.names import ASSET, NU


class StudentTNoise(Component):
    """Student-t noise with degrees of freedom by asset (eq. 6): ν_i ~ Gamma(mean ``nu_mean``, sd σ_ν).

    Mean 7 is the heaviness of monthly stock returns once volatility is modelled. σ_ν ~ Gamma with mean
    ``nu_sd_mean`` and sd ``nu_sd_sd``: away from zero, because at σ_ν = 0 all assets would share one ν, a
    corner that monthly data cannot rule out and a sampler cannot explore.
    """

    kind: Literal["student_t"] = "student_t"
    nu_mean: PositiveFloat = 7.0
    nu_sd_mean: PositiveFloat = 3.0
    nu_sd_sd: PositiveFloat = 1.0
    claims: ClassVar[frozenset[str]] = frozenset({"noise"})
    parameters: ClassVar[tuple[str, ...]] = (NU,)  # what the density depends on beside location and scale

    def params(self, data: Data) -> Params:
        """Degrees of freedom ν (asset) and the sd of their distribution (scalar)."""
        sigma = pm.Gamma(f"sigma_{NU}", mu=self.nu_sd_mean, sigma=self.nu_sd_sd)
        return {f"sigma_{NU}": sigma, NU: pm.Gamma(NU, mu=self.nu_mean, sigma=sigma, dims=ASSET)}

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

    def standard_draws(
        self, p: Params, shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Normal draws and positive multipliers, both of ``shape``, whose product is noise of unit scale.

        Kept apart so that a forecast can flip the sign of one and reuse the other (antithetic draws).
        """
        nu = np.broadcast_to(p[NU], shape)
        mixing = rng.standard_gamma(nu / 2.0) / (nu / 2.0)
        return rng.standard_normal(shape), 1.0 / np.sqrt(mixing)

    def standard_variable(self, name: str, p: Params, index: NDArray[np.intp], *, dims: str) -> Array:
        """Noise of unit scale of the assets at ``index``, as a random variable of the model (eq. 12)."""
        return pm.StudentT(name, nu=p[NU][index], mu=0.0, sigma=1.0, dims=dims)


class NormalNoise(Component):
    """Normal noise, for comparison and for checks against exact Gaussian results."""

    kind: Literal["normal"] = "normal"
    claims: ClassVar[frozenset[str]] = frozenset({"noise"})
    parameters: ClassVar[tuple[str, ...]] = ()

    def params(self, data: Data) -> Params:
        """No parameters."""
        return {}

    def log_density(self, noise: Array, log_scale: Array, p: Params) -> Array:
        """Normal log density of the noise (..., period, asset)."""
        f = functions_for(noise, log_scale)
        return -0.5 * np.log(2.0 * np.pi) - log_scale - 0.5 * noise * noise * f.exp(-2.0 * log_scale)

    def standard_draws(
        self, p: Params, shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Normal draws and unit multipliers, both of ``shape``."""
        return rng.standard_normal(shape), np.ones(shape)

    def standard_variable(self, name: str, p: Params, index: NDArray[np.intp], *, dims: str) -> Array:
        """Noise of unit scale of the assets at ``index``, as a random variable of the model (eq. 12)."""
        return pm.Normal(name, 0.0, 1.0, dims=dims)


Noise = Annotated[StudentTNoise | NormalNoise, Field(discriminator="kind")]

"""Linear effects: one coefficient an asset times a regressor, shrunk by a hierarchy (eq. 5 and 8).

The mean and the log-volatility are sums of such effects. An effect says what its coefficient is called, what
it multiplies and what it is drawn from; density, prior, Gibbs block and pictures follow from that.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, override

import numpy as np

from bdfm.errors import ModelError
from bdfm.gibbs.spec import Effect
from bdfm.model.part import Array, Block, Data, Params, Part, Variable, hierarchy_variables, unwritten
from bdfm.names import ASSET, ASSET_CLASS, CLASS_INDEX, RETURNS


class Hierarchy(NamedTuple):
    """Prior of the coefficients b_i ~ StudentT(``dof``, μ, σ), or Normal(μ, σ) where ``dof`` is None.

    σ ~ half-normal(``scale``); μ ~ Normal(``location``, ``location_sd``), or known where that is None.
    """

    scale: float
    dof: float | None = None
    location: float = 0.0
    location_sd: float | None = None


class LinearEffect(Part):
    """One coefficient an asset, times a regressor.

    Class attributes
    ----------------
    coefficient
        The coefficients b (asset[, ...]); further dims are those of the regressor, and are summed over.
    regressor
        Name of the regressor (period, asset[, ...]) in the model's data; None: 1 everywhere.
    by_class
        Whether each asset class has a location and a scale of its own.

    ``variables`` is ``hierarchy_variables`` of the coefficient.
    """

    coefficient: ClassVar[Variable]
    regressor: ClassVar[str | None] = None
    by_class: ClassVar[bool] = False

    @property
    def hierarchy(self) -> Hierarchy:
        """Prior of the coefficients."""
        raise unwritten(self, "hierarchy")

    @override
    def check_declared(self) -> None:
        who = f"part {type(self).__name__}"
        if not hasattr(self, "coefficient"):
            raise unwritten(self, "coefficient")
        located = self.hierarchy.location_sd is not None
        asked = {v.name for v in hierarchy_variables(self.coefficient, location=located)}
        declared = {v.name for v in self.declared}
        if not asked <= declared or f"mu_{self.coefficient.name}" in declared - asked:
            raise ModelError(
                f"{who}: its variables are {', '.join(sorted(declared)) or 'none'}, and its hierarchy has"
                f" {', '.join(sorted(asked))}. Write variables = hierarchy_variables(COEFFICIENT,"
                f" location={located})."
            )
        known = {*self.feature_dims, *self.needs}
        if self.regressor is not None and self.regressor not in known:
            raise ModelError(
                f"{who}: its regressor {self.regressor!r} is neither in its feature_dims nor in its needs"
                f" ({', '.join(sorted(known)) or 'both empty'}). Give it one name in both places."
            )

    def params(self, data: Data) -> Params:
        """Coefficients, and the location (where unknown) and scale that they are drawn from.

        In non-centred form, b = μ + σ z: most coefficients are weakly informed by their own asset, where the
        centred form has a funnel towards a scale of zero.
        """
        import pymc as pm

        name, dims, prior = self.coefficient.name, self.coefficient.dims, self.hierarchy
        own: dict[str, Array] = {}
        location: Any = prior.location
        if prior.location_sd is not None:
            location = pm.Normal(
                f"mu_{name}", prior.location, prior.location_sd, dims=self.dims(f"mu_{name}") or None
            )
            own[f"mu_{name}"] = location
        spread = pm.HalfNormal(f"sigma_{name}", prior.scale, dims=self.dims(f"sigma_{name}") or None)
        own[f"sigma_{name}"] = spread
        if prior.dof is None:
            z = pm.Normal(f"{name}_z", 0.0, 1.0, dims=dims)
        else:
            z = pm.StudentT(f"{name}_z", nu=prior.dof, mu=0.0, sigma=1.0, dims=dims)
        centre, width = self._by_asset(location, data), self._by_asset(spread, data)
        return {**own, name: pm.Deterministic(name, centre + width * z, dims=dims)}

    def _by_asset(self, hyper: Array, data: Data) -> Array:
        """Location or scale of each asset, from that of its class."""
        return hyper[data[CLASS_INDEX]] if self.by_class and not isinstance(hyper, float) else hyper

    def standardised(self, p: Params, data: Data) -> Params:
        """Standardised coefficients z = (b - μ) / σ."""
        name = self.coefficient.name
        extra = (None,) * len(self.coefficient.dims)

        def by_asset(hyper: Array) -> Array:
            if not self.by_class:
                return hyper[(..., *extra)]
            return hyper[:, data[CLASS_INDEX]]

        location: Any = self.hierarchy.location
        if f"mu_{name}" in p:
            location = by_asset(p[f"mu_{name}"])
        return {f"{name}_z": (p[name] - location) / by_asset(p[f"sigma_{name}"])}

    def effect(self, p: Params, data: Data) -> Array:
        """Term of eq. 2 or 7: coefficient times regressor, broadcastable to (..., period, asset)."""
        b = p[self.coefficient.name]
        if self.regressor is None:
            return b[..., None, :]
        if self.coefficient.dims == (ASSET,):
            return b[..., None, :] * data[self.regressor]
        x = data[self.regressor]
        if not (isinstance(b, np.ndarray) and isinstance(x, np.ndarray)):
            return (b[..., None, :, :] * x).sum(axis=-1)
        total = b[..., None, :, 0] * x[..., 0]  # the same sum, without an array of all products
        for w in range(1, x.shape[-1]):
            total += b[..., None, :, w] * x[..., w]
        return total

    def block(self, data: Data) -> Block:
        """One effect of the Gibbs engine."""
        prior = self.hierarchy
        x = np.ones(data[RETURNS].shape) if self.regressor is None else data[self.regressor]
        groups = data[CLASS_INDEX].astype(np.int64) if self.by_class else None
        effect = Effect(
            self.coefficient.name,
            x,
            scale_sd=prior.scale,
            loc_sd=prior.location_sd,
            loc_mean=prior.location,
            groups=groups,
            dof=prior.dof,
        )
        return {self.slot: (effect,)}


def class_groups(coefficient: Variable) -> tuple[str, ...]:
    """Dims of the location and scale of each class: the class in the place of the asset."""
    return (ASSET_CLASS, *coefficient.dims[1:])

"""Factor loadings (eq. 4): how much each asset moves with each factor."""

from __future__ import annotations

from typing import ClassVar, Literal

import pymc as pm
from pydantic import PositiveFloat

from bdfm.components.base import Array, Component, Data, Params
from bdfm.dims import ASSET, FACTOR, LOADINGS


class StaticLoadings(Component):
    """Loadings that stay the same over time (eq. 4): w_ki ~ StudentT(``nu``, 0, 1).

    The unit scale is not a choice: it hands the scale of the factors to σ_λ. Degrees of freedom of 10
    allow an asset a few outlying loadings, and make the prior not quite invariant to rotation.
    """

    kind: Literal["static"] = "static"
    nu: PositiveFloat = 10.0
    claims: ClassVar[frozenset[str]] = frozenset({"loadings"})

    def params(self, data: Data) -> Params:
        """Loadings w (asset, factor), dimensionless."""
        return {LOADINGS: pm.StudentT(LOADINGS, nu=self.nu, mu=0.0, sigma=1.0, dims=(ASSET, FACTOR))}

    def common(self, p: Params, factors: Array) -> Array:
        """Common part of the expected return, Σ_k w_ki λ_kt of eq. 2.

        ``factors`` (..., period, factor), decimal per period. Returns (..., period, asset).
        """
        return factors @ p[LOADINGS].swapaxes(-1, -2)


Loadings = StaticLoadings

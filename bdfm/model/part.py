"""Common ground of the components: record type, hierarchies, array libraries."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from scipy.special import gammaln

from bdfm._settings import Settings
from bdfm.errors import ModelError
from bdfm.names import ASSET, CLASS_INDEX

# An ndarray in simulations, a PyTensor variable in a model: the equations do not care which.
Array = Any
Params = Mapping[str, Array]
Data = Mapping[str, Array]

_NUMPY = SimpleNamespace(
    exp=np.exp,
    log=np.log,
    log1p=np.log1p,
    sqrt=np.sqrt,
    gammaln=gammaln,
    abs=np.abs,
    concatenate=np.concatenate,
)
_PYTENSOR = SimpleNamespace(
    exp=pt.exp,
    log=pt.log,
    log1p=pt.log1p,
    sqrt=pt.sqrt,
    gammaln=pt.gammaln,
    abs=pt.abs,
    concatenate=pt.concatenate,
)


def functions_for(*arrays: Array) -> SimpleNamespace:
    """Elementary functions of the library that the arrays belong to."""
    return _PYTENSOR if any(isinstance(a, Variable) for a in arrays) else _NUMPY


class Component(Settings):
    """A part of the model: fields are settings, ``params`` makes its random variables.

    ``needs`` names the panel variables that the part reads; ``claims`` names the effects that it
    identifies: two parts of one model may not share a claim.
    """

    error_kind = ModelError
    needs: ClassVar[frozenset[str]] = frozenset()
    claims: ClassVar[frozenset[str]] = frozenset()

    def params(self, data: Data) -> Params:
        """Random variables of the part, created in the model on the PyMC context stack."""
        raise NotImplementedError(f"{type(self).__name__} has no params method")


def class_hierarchy(
    name: str, data: Data, *, mu: Array, sigma: Array, nu: float | None, dims: tuple[str, ...] = (ASSET,)
) -> Array:
    """Coefficients by asset, drawn around the mean of their asset class, in non-centred form (eq. 5, 8).

    ``mu`` and ``sigma`` (asset_class[, window]) are class means and scales; ``nu`` the degrees of freedom of
    a Student-t, or None for a normal. Non-centred because most of these coefficients are weakly informed
    by their own asset, where the centred form has a funnel towards a zero scale.
    """
    index = data[CLASS_INDEX]
    z = _standard(f"{name}_z", nu, dims)
    return pm.Deterministic(name, mu[index] + sigma[index] * z, dims=dims)


def common_hierarchy(
    name: str, *, mu: Array, sigma: Array, nu: float | None, dims: tuple[str, ...] = (ASSET,)
) -> Array:
    """Coefficients by asset, drawn around one mean for all assets, in non-centred form."""
    return pm.Deterministic(name, mu + sigma * _standard(f"{name}_z", nu, dims), dims=dims)


def _standard(name: str, nu: float | None, dims: tuple[str, ...]) -> Array:
    if nu is None:
        return pm.Normal(name, 0.0, 1.0, dims=dims)
    return pm.StudentT(name, nu=nu, mu=0.0, sigma=1.0, dims=dims)

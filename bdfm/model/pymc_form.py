"""The PyMC form of a model: the definition of its density, with data that can be changed (eq. 1 to 12)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor.raise_op import Assert

from bdfm import _checks
from bdfm.data.panel import Panel
from bdfm.errors import ModelError
from bdfm.model.equations import EVIDENCE_Z, FACTORS_Z, RETURNS_DATA, Equations, model_data, scaled
from bdfm.model.evidence import Evidence
from bdfm.model.part import Array, Params
from bdfm.model.parts.dynamics import innovation_path, step
from bdfm.model.parts.weights import EqualWeights
from bdfm.names import (
    ASSET,
    BLOCK,
    EVIDENCE,
    EVIDENCE_RETURN,
    FACTOR,
    FACTORS,
    FACTORS_NEXT,
    LOADING_BLOCK,
    PERIOD,
    PERIOD_WEIGHTS,
    RETURNS,
)

PERIOD_WEIGHTING = "period_weighting"  # potential that makes a period count less than once


def build(model: Equations, panel: Panel, evidence: tuple[Evidence, ...]) -> pm.Model:
    """PyMC model of a panel's history, as ``FactorModel.build`` says."""
    model.check_evidence(evidence)
    if evidence and model.conditions_paths:
        raise ModelError(
            f"model {model.name!r}: its PyMC form is of the history, and evidence conditions forecasts made"
            " of its draws. Build it without, and give the evidence to Posterior.from_trace."
        )
    arrays = model_data(model, panel)
    with pm.Model(coords=model.coords(panel), model=None) as built:  # no part of a model that is open
        data = {name: pm.Data(name, arrays[name], dims=dims) for name, dims in model.data_dims.items()}
        data[LOADING_BLOCK] = arrays[LOADING_BLOCK]  # which blocks there are decides the graph
        # PyMC takes no container with NaN when it is made, and any afterwards.
        returns = pm.Data(RETURNS_DATA, np.zeros(arrays[RETURNS].shape), dims=(PERIOD, ASSET))
        returns.set_value(arrays[RETURNS])
        p: dict[str, Array] = {}
        for part in model.parts:
            p |= part.params(data)
        z = pm.Normal(FACTORS_Z, 0.0, 1.0, dims=(PERIOD, FACTOR))
        scale = model.factor_sd(p, data)
        path = innovation_path(model.lags(p), scale * model.factor_scale.correlated(p, z), scale[0])
        factors = pm.Deterministic(FACTORS, path, dims=(PERIOD, FACTOR))
        mu = model.expected_return(p, factors, data)
        _add_likelihood(model, p, mu, model.log_noise_scale(p, data), data, returns)
        if evidence:
            _add_evidence(model, p, factors, panel, evidence)
    return built


def _add_likelihood(
    model: Equations, p: Params, mu: Array, log_scale: Array, data: dict[str, Array], returns: Array
) -> None:
    """Likelihood of the returns that are known (eq. 6), and the weights of their periods (eq. 9, 10)."""
    noise = model.noise
    names = noise.parameters
    periods = [x.shape[0] for name, x in data.items() if model.data_dims.get(name, ())[:1] == (PERIOD,)]
    same = [pt.eq(n, returns.shape[0]) for n in periods]
    mu = Assert(
        f"the data containers of the model differ in their number of periods; {RETURNS_DATA} and all features"
        " change together, as FactorModel.set_panel does"
    )(mu, *same)

    def logp(value: Array, mu: Array, log_scale: Array, *noise_params: Array) -> Array:
        # Parameters come as (1, asset), since PyMC gives all arguments the same number of axes.
        q = {name: x[0] for name, x in zip(names, noise_params, strict=True)}
        # Missing returns are filled before anything is computed of them, so that no gradient meets their NaN:
        # where JAX differentiates, NaN times zero is NaN.
        known = ~pt.isnan(value)
        density = noise.log_density(pt.where(known, value, 0.0) - mu, log_scale, q)
        return pt.where(known, density, 0.0)

    def random(mu: Array, log_scale: Array, *noise_params: Array, rng: Any, size: Any) -> NDArray[np.float64]:
        q = dict(zip(names, noise_params, strict=True))
        shape = np.broadcast_shapes(mu.shape, log_scale.shape) if size is None else tuple(size)
        return scaled(mu, np.exp(log_scale), noise.standard_draws(q, shape, rng))

    arguments = (mu, log_scale, *(p[name] for name in names))
    observed = pm.CustomDist(
        RETURNS, *arguments, logp=logp, random=random, observed=returns, dims=(PERIOD, ASSET)
    )
    if not isinstance(model.weights, EqualWeights):
        density = pm.logp(observed, returns)
        pm.Potential(PERIOD_WEIGHTING, ((data[PERIOD_WEIGHTS] - 1.0)[:, None] * density).sum())


def _add_evidence(
    model: Equations, p: Params, factors: Array, panel: Panel, evidence: tuple[Evidence, ...]
) -> None:
    """Forecast period T+1 as far as the evidence speaks of it (eq. 12)."""
    pm.modelcontext(None).add_coord(EVIDENCE, [e.asset for e in evidence])
    ahead = model_data(model, panel, future=True)
    innovation = pm.Normal(f"{FACTORS_NEXT}_z", 0.0, 1.0, dims=FACTOR)
    eta = model.factor_sd_next(p, ahead) * innovation
    state = pm.Deterministic(FACTORS_NEXT, step(model.lags(p), factors, eta), dims=FACTOR)
    index = np.array([panel.assets.index(e.asset) for e in evidence])
    mu = model.expected_return(p, state[None, :], ahead)[0, index]
    log_scale = model.log_noise_scale(p, ahead)[0, index]
    standard = model.noise.standard_variable(EVIDENCE_Z, p, index, dims=EVIDENCE)
    returns = pm.Deterministic(EVIDENCE_RETURN, mu + pm.math.exp(log_scale) * standard, dims=EVIDENCE)
    pm.Normal(
        f"{EVIDENCE}_mean",
        mu=pm.math.expm1(returns),
        sigma=np.array([e.sd for e in evidence]),
        observed=np.array([e.mean for e in evidence]),
        dims=EVIDENCE,
    )


def set_panel(model: Equations, built: pm.Model, panel: Panel) -> None:
    """Give ``built`` the data of another panel, as ``FactorModel.set_panel`` says."""
    where = f"set_panel: model {model.name!r}"
    if EVIDENCE in built.coords:
        raise ModelError(f"{where} holds evidence, which belongs to one panel. Build it anew.")
    new = model.coords(panel)
    for dim, values in new.items():
        if dim != PERIOD and list(values) != list(built.coords[dim]):
            raise ModelError(
                f"{where}: the panel's {dim} labels ({_checks.first(values)}) are not those that it was built"
                f" with ({_checks.first(built.coords[dim])}). Build it anew."
            )
    before, after = len(built.coords[PERIOD]), len(new[PERIOD])
    if BLOCK in new and before != after:  # the graph holds which block each period belongs to
        raise ModelError(
            f"{where} has loadings that change from block to block of periods: the panel has {after} periods,"
            f" and it was built with {before}. Build it anew."
        )
    arrays = model_data(model, panel)
    arrays[RETURNS_DATA] = arrays[RETURNS]
    built.set_dim(PERIOD, len(new[PERIOD]), coord_values=tuple(new[PERIOD]))
    for name in (*model.data_dims, RETURNS_DATA):
        built[name].set_value(arrays[name].astype(built[name].dtype))

"""ArviZ's groups of a posterior, made on demand: prior, replicates, pointwise densities, forecasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks, _memory
from bdfm.data.panel import Panel
from bdfm.forecast.forecast import Forecast
from bdfm.model.equations import model_data, values_of_a_draw
from bdfm.model.factor_model import FactorModel
from bdfm.model.simulate import Simulation, simulate
from bdfm.names import (
    ASSET,
    CHAIN,
    DRAW,
    FACTORS,
    LOG_LIKELIHOOD,
    OBSERVED_DATA,
    PERIOD,
    PERIOD_WEIGHTS,
    RETURNS,
)
from bdfm.posterior.predictive import MAX_LOG_RETURN, Fitted

CELL: Final = "cell"  # a return that is known: one period of one asset
PRIOR: Final = "prior"
PRIOR_PREDICTIVE: Final = "prior_predictive"
POSTERIOR_PREDICTIVE: Final = "posterior_predictive"
LOG_PRIOR: Final = "log_prior"
PREDICTIONS: Final = "predictions"
GROUPS: Final = (
    PRIOR,
    PRIOR_PREDICTIVE,
    POSTERIOR_PREDICTIVE,
    OBSERVED_DATA,
    LOG_LIKELIHOOD,
    LOG_PRIOR,
    PREDICTIONS,
)
N_PRIOR_DRAWS: Final = 500
SIMPLE_RETURNS: Final = "returns"  # of predictions: simple, over the horizon
# Arrays in double precision, of draws and returns: what is kept, and the work on it.
ARRAYS: Final = 3  # of the posterior
PRIOR_ARRAYS: Final = 8  # of the prior, measured by tests/test_memory.py; its variables are kept this often:
PRIOR_COPIES: Final = 3
PATHS_OF_A_DRAW: Final = 20  # of which one is a prediction, so that a pool has its share of them

Floats = NDArray[np.float64]


class Source(Fitted, Protocol):
    """What the groups are made of: a posterior."""

    @property
    def tree(self) -> xr.DataTree:
        """Draws with all free variables of the PyMC model, and what was kept beside them."""

    @property
    def draws(self) -> xr.Dataset:
        """Posterior draws (chain, draw, ...)."""

    def forecast(self, horizon: int = 1, *, seed: object, n_draws: int) -> Forecast:
        """Forecast of simple returns."""


def with_groups(
    posterior: Source,
    groups: Sequence[str] | str | None,
    *,
    seed: object,
    n_prior_draws: int,
    horizon: int,
    weighted: bool,
) -> xr.DataTree:
    """Tree of a posterior with groups added, as ``Posterior.to_datatree`` says."""
    where = "to_datatree"
    names = [groups] if isinstance(groups, str) else list(GROUPS if groups is None else groups)
    _checks.known(names, GROUPS, what="group", where=where)
    n_prior_draws = _checks.at_least(n_prior_draws, 1, what="n_prior_draws", where=where)
    number = _checks.seed_number(seed, where=where)
    _check_memory(posterior, names, n_prior_draws)
    # Each group has random numbers of its own: equal seeds give equal draws whatever else is asked for.
    of_prior, of_replicates, of_forecast = np.random.SeedSequence(number).spawn(3)
    tree = posterior.tree
    made = {OBSERVED_DATA: _observed(posterior.panel)}
    if {PRIOR, PRIOR_PREDICTIVE} & set(names):
        rng = np.random.default_rng(of_prior)
        prior = _prior(posterior.model, posterior.panel, n_prior_draws, rng)
        made |= {name: x for name, x in prior.items() if name in names}
    if POSTERIOR_PREDICTIVE in names:
        made[POSTERIOR_PREDICTIVE] = _replicated(posterior, np.random.default_rng(of_replicates))
    if LOG_LIKELIHOOD in names:
        made[LOG_LIKELIHOOD] = _log_likelihood(posterior, weighted=weighted)
    if LOG_PRIOR in names:
        made[LOG_PRIOR] = _log_prior(posterior, tree)
    if PREDICTIONS in names:
        made[PREDICTIONS] = _predictions(posterior, horizon, of_forecast)
    for name, group in made.items():
        tree[name] = xr.DataTree(group)
    return tree


def prior_bytes(model: FactorModel, panel: Panel, n_draws: int) -> int:
    """Bytes that draws from the prior and their histories take while they are made."""
    values = values_of_a_draw(model, model.coords(panel))
    return 8 * n_draws * (PRIOR_COPIES * values + PRIOR_ARRAYS * _n_returns(panel))


def _n_returns(panel: Panel) -> int:
    return int(np.isfinite(panel.history[RETURNS]).sum())


def _check_memory(posterior: Source, names: Sequence[str], n_prior_draws: int) -> None:
    """Raise ``DataError`` where groups that hold all returns for each draw would not fit into memory."""
    n_returns = _n_returns(posterior.panel)
    of_prior = prior_bytes(posterior.model, posterior.panel, 1)
    taken = 0  # by what is made first
    for groups, n, each, of, fewer in (
        ((PRIOR, PRIOR_PREDICTIVE), n_prior_draws, of_prior, "prior draws", "lower n_prior_draws"),
        (
            (POSTERIOR_PREDICTIVE, LOG_LIKELIHOOD),
            posterior.n_draws,
            8 * ARRAYS * n_returns,
            "draws",
            "fit with fewer draws",
        ),
    ):
        large = [name for name in groups if name in names]
        if not large:
            continue
        needs = partial(_bytes_beside, taken, each)
        taken = needs(n)
        _memory.check(
            taken,
            where="to_datatree",
            what=f"{n:,} {of} of {n_returns:,} returns",
            advice=f"Leave out {' and '.join(large)}, or {fewer}"
            f"{_memory.would_fit((_memory.most(n, needs), 1, '{:,}'), form=': {}')}.",
        )


def _bytes_beside(taken: int, each: int, n: int) -> int:
    """Bytes of ``n`` draws of ``each``, beside what is taken already."""
    return taken + n * each


def _cells(values: NDArray[Any], panel: Panel, lead: Mapping[str, Any]) -> xr.Dataset:
    """Log returns (..., cell) of arrays (..., period, asset): those that the panel knows."""
    period, asset = np.nonzero(np.isfinite(panel.history[RETURNS].to_numpy()))
    coords: dict[str, Any] = dict(lead) | {
        PERIOD: (CELL, panel.history[PERIOD].to_numpy()[period]),
        ASSET: (CELL, np.array(panel.assets)[asset]),
    }
    return xr.Dataset({RETURNS: ((*lead, CELL), values[..., period, asset])}, coords)


def _observed(panel: Panel) -> xr.Dataset:
    return _cells(panel.history[RETURNS].to_numpy(), panel, {})


def _by_chain(values: NDArray[Any], posterior: Source) -> NDArray[Any]:
    """Array (chain, draw, ...) of one (draw, ...)."""
    sizes = posterior.draws.sizes
    return values.reshape(sizes[CHAIN], sizes[DRAW], *values.shape[1:])


def _lead(posterior: Source) -> dict[str, Any]:
    return {dim: posterior.draws[dim].to_numpy() for dim in (CHAIN, DRAW)}


# -- prior -------------------------------------------------------------------------------------------------


def prior_draws(
    model: FactorModel, panel: Panel, n_draws: int, rng: np.random.Generator
) -> tuple[dict[str, NDArray[Any]], Simulation]:
    """Parameters (draw, ...) drawn from the prior, and the history that each simulates, cut at ±5."""
    import pymc as pm  # takes a second, and only these groups need it

    graph = model.build(panel)
    variables = [graph[v.name] for v in model.variables if v.stored and v.name != FACTORS]
    # Interpreted: the graph is evaluated a few hundred times, and compiling it would take longer.
    drawn = pm.draw(variables, draws=n_draws, random_seed=int(rng.integers(2**31)), mode="FAST_COMPILE")
    if n_draws == 1:  # PyMC leaves out the axis of draws
        drawn = [np.asarray(values)[None] for values in drawn]
    p = {str(v.name): np.asarray(values) for v, values in zip(variables, drawn, strict=True)}
    return p, replicated_history(model, panel, p, rng)


def replicated_history(
    model: FactorModel, panel: Panel, p: Mapping[str, NDArray[Any]], rng: np.random.Generator
) -> Simulation:
    """History simulated from parameters, with new factors; log returns cut at ±5 like a forecast's."""
    # A prior draw of nearly no degrees of freedom overflows.
    with np.errstate(divide="ignore", over="ignore"):
        simulated = simulate(model, p, model_data(model, panel), rng=rng)
    cut = np.clip(simulated.log_returns, -MAX_LOG_RETURN, MAX_LOG_RETURN)
    return simulated._replace(log_returns=cut)


def _prior(model: FactorModel, panel: Panel, n_draws: int, rng: np.random.Generator) -> dict[str, xr.Dataset]:
    p, history = prior_draws(model, panel, n_draws, rng)
    p = p | {FACTORS: history.factors}
    values = p | {n: x for n, x in model.standardised(p, panel).items() if n not in p}
    coords = model.coords(panel)
    lead = {CHAIN: [0], DRAW: np.arange(n_draws)}
    dims = {v.name: v.dims for v in model.variables}
    found = {n: ((CHAIN, DRAW, *dims[n]), x[None]) for n, x in values.items()}
    used = {d for ds, _ in found.values() for d in ds}
    labels = {d: x for d, x in (lead | coords).items() if d in used}
    return {
        PRIOR: xr.Dataset(found, labels),
        PRIOR_PREDICTIVE: _cells(history.log_returns[None], panel, lead),
    }


def _log_prior(posterior: Source, tree: xr.DataTree) -> xr.Dataset:
    """Log prior density (chain, draw, ...) of each free variable of the PyMC model."""
    from pymc.stats import compute_log_prior

    model = posterior.model.build(posterior.panel, evidence=posterior.model.in_fit(posterior.evidence))
    alone = xr.DataTree.from_dict({"posterior": tree["posterior"].to_dataset()})
    with model:
        made = compute_log_prior(alone, progressbar=False)
    group: xr.Dataset = made[LOG_PRIOR].to_dataset()
    return group.drop_attrs()


# -- posterior ---------------------------------------------------------------------------------------------


def _replicated(posterior: Source, rng: np.random.Generator) -> xr.Dataset:
    """Returns drawn anew given parameters and factors of each draw, as ``log_likelihood`` is given them."""
    p, data = posterior.parameters(), model_data(posterior.model, posterior.panel)
    returns = posterior.model.draw_returns(p, p[FACTORS], data, rng=rng)
    cut = np.clip(returns, -MAX_LOG_RETURN, MAX_LOG_RETURN)
    return _cells(_by_chain(cut, posterior), posterior.panel, _lead(posterior))


def log_likelihood(posterior: Source, observed: xr.Dataset) -> xr.DataArray:
    """Pointwise log-likelihood (chain, draw, period, asset), with the labels of the returns observed."""
    values = posterior.model.log_likelihood(
        posterior.parameters(), model_data(posterior.model, posterior.panel)
    )
    return xr.DataArray(
        _by_chain(values, posterior),
        dims=(CHAIN, DRAW, PERIOD, ASSET),
        coords={c: posterior.draws[c] for c in (CHAIN, DRAW)} | {c: observed[c] for c in (PERIOD, ASSET)},
        name=RETURNS,
    )


def _log_likelihood(posterior: Source, *, weighted: bool) -> xr.Dataset:
    data = model_data(posterior.model, posterior.panel)
    values = posterior.model.log_likelihood(posterior.parameters(), data)
    if weighted:
        values = values * data[PERIOD_WEIGHTS][:, None]
    return _cells(_by_chain(values, posterior), posterior.panel, _lead(posterior))


def _predictions(posterior: Source, horizon: int, seed: np.random.SeedSequence) -> xr.Dataset:
    """Simple returns (chain, draw, asset) over the horizon: one draw of the forecast a posterior draw."""
    forecast = posterior.forecast(horizon, seed=seed, n_draws=PATHS_OF_A_DRAW * posterior.n_draws)
    order = np.random.default_rng(seed.spawn(1)[0]).permutation(forecast.n_draws)
    draws = forecast.draws
    _, first = np.unique(draws["posterior_draw"].to_numpy()[order], return_index=True)
    values = draws.to_numpy()[order[first]].astype(np.float64)
    coords = _lead(posterior) | {ASSET: list(forecast.assets)}
    result = xr.Dataset({SIMPLE_RETURNS: ((CHAIN, DRAW, ASSET), _by_chain(values, posterior))}, coords)
    return result.assign_attrs(origin=f"{forecast.origin:%Y-%m-%d}", end=f"{forecast.end:%Y-%m-%d}")

"""Simulation-based calibration: whether fits of simulated data recover what the data were simulated from.

Parameters are drawn from the prior, a history is simulated from them, the model is fitted to it, and the true
value of each identified quantity is ranked among posterior draws. If density, simulation and sampler agree,
ranks are uniform (Talts et al. 2018, arXiv 1804.06788); a mistake in any of the three bends them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import xarray as xr
from numpy.typing import NDArray
from rich.progress import track

from bdfm import _checks
from bdfm._figures import pyplot
from bdfm._html import opening
from bdfm._seeds import either_seed
from bdfm._statistics import p_text
from bdfm._strict import strict
from bdfm.data.panel import Panel
from bdfm.errors import DataError, ModelError
from bdfm.gibbs.sampler import GibbsSettings, sample_gibbs
from bdfm.inference import uniform_ranks
from bdfm.inference.engine import choose, gibbs_spec
from bdfm.inference.ess import ess_bulk
from bdfm.inference.identified import (
    COMMON_COVARIANCE,
    COMMON_VARIANCE,
    EXPECTED_RETURN_NEXT,
    NOISE_SCALE,
    PAIR,
)
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import RETURNS_DATA, Equations, model_data
from bdfm.model.expects import check_panel
from bdfm.model.factor_model import FactorModel
from bdfm.model.part import Params
from bdfm.model.simulate import simulate
from bdfm.names import (
    ASSET,
    CLASS_INDEX,
    FACTOR,
    FACTOR_BEFORE,
    FACTOR_SCALE,
    FACTORS,
    LOADING_BLOCK,
    LOADINGS,
    LOG_LIKELIHOOD,
    OBSERVED,
    PERIOD,
    PERIOD_WEIGHTS,
    POSTERIOR,
    RETURNS,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

type Floats = NDArray[np.float64]
type Sampler = Callable[[Floats, int, int, int], Params]  # returns (period, asset), seed, draws, stretch

REPLICATE: Final = "replicate"
COMMON_RETURN: Final = "common_return"  # sum_k w_ki lambda_kT (asset), decimal log return in the last period
PROB: Final = 0.99  # of the bands, under uniform ranks

_STRIDE: Final = 5  # draws are ranked one in so many, and all of them judge the effective number
_STRETCH: Final = (1, 4, 16)  # a chain with too few effective draws is made anew, so many times as long
_THIN: Final = {"gibbs": 4, "nuts": 2}  # sweeps or draws for each draw, before the stretch
_MAX_LOG_RETURN: Final = 10.0


@dataclass(frozen=True, repr=False, eq=False)
class SBC:
    """Ranks of true values among posterior draws; made by :func:`calibrate`.

    Judged by the largest deviation of the ranks' ECDF from uniform, against simultaneous bands for all
    evaluation points of one scalar (Säilynoja, Bürkner and Vehtari 2022, Statistics and Computing 32, 32). A
    quantity of several scalars (``mu_theta`` of two classes) is judged by its worst, with their number n
    allowed for: p-values are multiplied by n (Bonferroni). That holds for each named quantity by itself: of q
    quantities, q (1 - prob) are expected outside their band by chance.
    """

    _ranks: xr.Dataset
    _ess: xr.Dataset
    n_draws: int
    engine: str
    n_left_out: int

    @property
    def ranks(self) -> xr.Dataset:
        """Number of posterior draws below the true value, 0 to ``n_draws``: (replicate, ...)."""
        return self._ranks.copy(deep=False)

    @property
    def ess(self) -> xr.Dataset:
        """Effective number of the draws that the ranked ones were thinned from: (replicate, ...)."""
        return self._ess.copy(deep=False)

    @property
    def n_replicates(self) -> int:
        """Number of simulated histories."""
        return self._ranks.sizes[REPLICATE]

    def summary(self) -> pd.DataFrame:
        """One row a scalar, indexed by its label.

        ``quantity`` is the name it belongs to; ``p_value`` the probability that uniform ranks deviate as
        much somewhere; ``mean`` of the ranks in (0, 1), uniform 0.5; ``spread`` their sd over a uniform's,
        above 1 where posteriors are too narrow; ``ess_median`` and ``ess_min`` over replicates.
        """
        rows = []
        for (quantity, label, ranks), (_, _, ess) in zip(
            _scalars(self._ranks), _scalars(self._ess), strict=True
        ):
            u = (ranks + 0.5) / (self.n_draws + 1)
            rows.append(
                {
                    "scalar": label,
                    "quantity": quantity,
                    "p_value": uniform_ranks.p_value(ranks, self.n_draws),
                    "mean": u.mean(),
                    "spread": u.std() * np.sqrt(12.0),
                    "ess_median": np.median(ess),
                    "ess_min": ess.min(),
                }
            )
        return pd.DataFrame(rows).set_index("scalar")

    def p_values(self) -> pd.Series[float]:
        """P-value of each named quantity: the smallest of its scalars, times their number (at most 1)."""
        by_quantity = self.summary().groupby("quantity", sort=False)["p_value"]
        return (by_quantity.min() * by_quantity.size()).clip(upper=1.0)

    def inside(self, prob: float = PROB) -> pd.Series[bool]:
        """Whether the ranks of each named quantity stay inside their simultaneous band.

        Raises ``DataError`` for a ``prob`` not between 0 and 1.
        """
        if not 0.0 < prob < 1.0:
            raise DataError(f"inside: prob must be above 0 and below 1, got {prob!r}.")
        return self.p_values() > 1.0 - prob

    @property
    def worst(self) -> str:
        """Quantity with the smallest p-value."""
        return str(self.p_values().idxmin())

    def plot(self, prob: float = PROB) -> Figure:
        """Figure of each scalar's ECDF of ranks minus that of uniform ranks, with its simultaneous band.

        Bands are those of ``inside``. A line outside is red. Above the band at the left: true values are low
        among the draws too often; an arch up, then down: the posterior is too narrow.
        """
        plt = pyplot()

        scalars = list(_scalars(self._ranks))
        sizes = pd.Series([quantity for quantity, _, _ in scalars]).value_counts()
        columns = 6
        rows = -(-len(scalars) // columns)
        figure: Figure = plt.figure(figsize=(2.2 * columns, 1.7 * rows + 0.5), layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        x = np.arange(1, self.n_draws + 1) / (self.n_draws + 1)
        for ax in axes[len(scalars) :]:
            ax.set_axis_off()
        for ax, (quantity, label, ranks) in zip(axes, scalars, strict=False):
            alone = 1.0 - (1.0 - prob) / int(sizes[quantity])
            low, high = uniform_ranks.band(self.n_replicates, self.n_draws, alone)
            ecdf = uniform_ranks.below(ranks, self.n_draws) / self.n_replicates
            out = ((ecdf < low) | (ecdf > high)).any()
            ax.fill_between(x, low - x, high - x, step="mid", color="0.87", linewidth=0)
            ax.plot(x, ecdf - x, drawstyle="steps-mid", linewidth=1, color="tab:red" if out else "tab:blue")
            ax.set_title(label, fontsize=7)
            ax.tick_params(labelsize=7)
        figure.suptitle(
            f"ECDF of ranks minus uniform, {prob:.0%} simultaneous bands: {self.n_replicates} replicates,"
            f" engine {self.engine}",
            fontsize=9,
        )
        plt.close(figure)
        return figure

    def __repr__(self) -> str:
        p = self.p_values()
        outside = int((p <= 1.0 - PROB).sum())
        return (
            f"<bdfm.SBC: {self.n_replicates} replicates by {self.engine}, ranks among {self.n_draws} draws,"
            f" {outside} of {len(p)} quantities outside the {PROB:.0%} band"
            f" ({len(p) * (1 - PROB):.1f} expected by chance), worst {p.idxmin()} with {p_text(p.min())}>"
        )

    def _repr_html_(self) -> str:
        table = self.summary().to_html(float_format=lambda x: f"{x:.3g}")
        return opening(self) + table


@either_seed
@strict
def calibrate(
    model: FactorModel,
    panel: Panel,
    *,
    seed: int,
    n_replicates: int = 1000,
    n_draws: int = 99,
    engine: Literal["gibbs", "nuts"] = "gibbs",
    tune: int = 500,
    cores: int = 1,
    progress: bool = False,
) -> SBC:
    """Ranks of true values among posterior draws, over histories simulated from the prior.

    Quantities: every hyper-parameter and dynamics coefficient; for the panel's first asset each coefficient,
    its degrees of freedom, its common variance, its common return and noise scale in the last period and its
    expected return in the next one, where the model has any; the common covariance of the first asset with
    the second, and with the first of each further class; and the log-likelihood. One asset stands for all of
    its class: they are exchangeable, and ranks of several in one replicate would not be independent.

    Parameters
    ----------
    model
        Model to calibrate; all period weights must be 1.
    panel
        Gives features, classes, and which returns are missing; its returns do not enter.
    seed
        Of prior draws, simulated histories and fits. Equal seeds give equal ranks, on any number of cores.
    n_replicates
        Number of histories; below 100 only gross mistakes show. Histories with a log return beyond 10, which
        overflow, are left out and replaced: a condition on data alone leaves ranks uniform.
    n_draws
        Ranks run from 0 to this. A fit is made longer, up to 16 times, until 5 ``n_draws`` draws have
        an effective number of ``n_draws`` for every scalar; every 5th of them is ranked.
    engine
        ``gibbs`` or ``nuts``. Either is compiled once, and given other data for each replicate.
    tune
        First draws of each fit that are thrown away; with ``gibbs`` more where a fit is made longer.
    cores
        Number of fits that run side by side.
    progress
        Whether to show a progress bar.

    Returns
    -------
    SBC

    Raises
    ------
    ModelError
        Period weights other than 1; parts that the Gibbs sampler does not cover.
    UnknownLabelError
        An unknown ``engine``.
    """
    where = "calibrate"
    for what, value, minimum in (
        ("n_replicates", n_replicates, 10),
        ("n_draws", n_draws, 9),
        ("tune", tune, 10),
        ("cores", cores, 1),
    ):
        _checks.at_least(value, minimum, what=what, where=where)
    check_panel(model, panel)
    data, ahead = model_data(model, panel), model_data(model, panel, future=True)
    if (data[PERIOD_WEIGHTS] != 1.0).any():
        raise ModelError(
            f"calibrate: model {model.name!r} has period weights below 1 ({type(model.weights).__name__})."
            " A likelihood to a power is not the law that histories are simulated from, so its posterior"
            ' is not calibrated. Set [weights] kind = "equal".'
        )
    make = {"gibbs": _gibbs_sampler, "nuts": _nuts_sampler}
    _checks.known([engine], list(make), what="engine", where=where)
    choose(SamplerSettings(engine=engine), model)
    streams = np.random.SeedSequence(seed).generate_state(2 + n_replicates).tolist()
    truth, returns, n_left_out = _histories(model, panel, data, n_replicates, streams[:2])
    expected = _quantities(model, truth, {**data, RETURNS: returns}, ahead)
    sampler = make[engine](model, panel, tune)

    def replicate(r: int) -> tuple[Floats, Floats]:
        """Ranks and effective numbers of draws of all scalars in one replicate."""
        for stretch in _STRETCH:
            p = sampler(returns[r], streams[2 + r], _STRIDE * n_draws, stretch)
            values = _quantities(model, p, {**data, RETURNS: returns[r]}, ahead)
            drawn = _pack({name: values[name] for name in expected})
            ess = ess_bulk(drawn[None])
            if ess.min() >= n_draws:
                break
        return (drawn[_STRIDE - 1 :: _STRIDE] < true[r]).sum(axis=0), ess

    true = _pack(expected)
    with ThreadPoolExecutor(max_workers=cores) as pool:
        fits = pool.map(replicate, range(n_replicates))
        done = list(track(fits, "calibrating", total=n_replicates, disable=not progress))
    ranks, ess = (np.stack(x) for x in zip(*done, strict=True))
    ranked, effective = (_unpack(x, expected, model, panel) for x in (ranks, ess))
    return SBC(ranked, effective, n_draws, engine, n_left_out)


# -- what is fitted, and what is ranked ----------------------------------------------------------------


def _histories(
    model: FactorModel, panel: Panel, data: Mapping[str, Any], n: int, seeds: Sequence[int]
) -> tuple[dict[str, Floats], Floats, int]:
    """Parameters (n, ...), their histories (n, period, asset), and how many histories were left out."""
    n_drawn = n + n // 4 + 10
    p = _prior_draws(model, panel, n_drawn, seed=seeds[0])
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        simulated = simulate(model, p, data, rng=np.random.default_rng(seeds[1]))
    returns = np.where(data[OBSERVED], simulated.log_returns, np.nan)
    beyond = (data[OBSERVED] & ~(np.abs(returns) <= _MAX_LOG_RETURN)).any(axis=(1, 2))
    use = np.flatnonzero(~beyond)[:n]
    if len(use) < n:
        raise ModelError(
            f"calibrate: {beyond.sum()} of {n_drawn} histories simulated from the prior of model"
            f" {model.name!r} have a log return beyond {_MAX_LOG_RETURN:g}. Tighten its priors."
        )
    truth = {name: x[use] for name, x in {**p, FACTORS: simulated.factors}.items()}
    return truth, returns[use], int(beyond[: use[-1]].sum())


def _prior_draws(model: FactorModel, panel: Panel, n: int, *, seed: int) -> dict[str, Floats]:
    """Draws of the parameters from the prior of the PyMC model, (n, ...) by name; without factors."""
    built = model.build(panel)
    names = [v.name for v in model.variables if v.stored and v.name != FACTORS]
    draws = pm.draw([built[x] for x in names], draws=n, random_seed=seed, mode="FAST_COMPILE")
    return dict(zip(names, draws, strict=True))


def _quantities(
    model: Equations, p: Params, data: Mapping[str, Any], ahead: Mapping[str, Any]
) -> dict[str, Floats]:
    """Identified quantities (draw, ...) by name, of parameters with one leading axis.

    ``data`` holds returns (period, asset), or (draw, period, asset), NaN where missing.
    """
    values: dict[str, Floats] = {}
    dims_of = _dims(model)
    for name, x in p.items():
        dims = dims_of[name]
        if name == FACTORS or {FACTOR, FACTOR_BEFORE} & set(dims):
            continue
        # One asset stands for all, and the last period.
        x = x[:, -1:] if PERIOD in dims else x
        values[name] = x if ASSET not in dims else x[:, :, :1] if PERIOD in dims else x[:, :1]
    scaled = p[LOADINGS] * p[FACTOR_SCALE][:, None, :]
    covariance = np.einsum("dk,dik->di", scaled[:, 0], scaled)
    values[COMMON_VARIANCE] = covariance[:, :1]
    values[COMMON_COVARIANCE] = covariance[:, _partners(data[CLASS_INDEX])]
    factors = p[FACTORS]
    last = {LOADING_BLOCK: data[LOADING_BLOCK][-1:]}
    values[COMMON_RETURN] = model.loadings.common(p, factors[:, -1:], last)[:, 0, :1]
    if model.mean or model.n_lags:  # else it is 0 in every draw, which has no rank
        next_factors = model.expected_factors(p)[:, None]
        values[EXPECTED_RETURN_NEXT] = model.expected_return(p, next_factors, ahead)[:, 0, :1]
    log_scale = model.log_noise_scale(p, data)
    values[NOISE_SCALE] = np.exp(log_scale[:, -1, :1])
    values[LOG_LIKELIHOOD] = np.nansum(model.log_likelihood(p, data), axis=(1, 2))
    return values


def _dims(model: Equations) -> dict[str, tuple[str, ...]]:
    """Dims of the stored variables by name."""
    return {v.name: v.dims for v in model.variables if v.stored}


def _partners(class_index: NDArray[np.int64]) -> list[int]:
    """Second asset, and the first asset of each class but the first asset's own."""
    others = [int(np.flatnonzero(class_index == c)[0]) for c in range(1, int(class_index.max()) + 1)]
    return list(dict.fromkeys([*([1] if len(class_index) > 1 else []), *others]))


def _pack(values: Mapping[str, Floats]) -> Floats:
    """Scalars of all quantities side by side, (draw, scalar)."""
    packed = np.concatenate([x.reshape(len(x), -1) for x in values.values()], axis=1)
    if not np.isfinite(packed).all():
        bad = [name for name, x in values.items() if not np.isfinite(x).all()]
        raise DataError(f"calibrate: {_checks.first(bad)} not finite in some draws.")
    return packed


def _unpack(packed: NDArray[Any], like: Mapping[str, Floats], model: Equations, panel: Panel) -> xr.Dataset:
    """Dataset (replicate, ...) of scalars side by side, (replicate, scalar), with locked arrays."""
    assets = panel.assets
    labels: dict[str, Any] = {
        **model.coords(panel),
        ASSET: [assets[0]],
        PERIOD: panel.history[PERIOD].to_numpy()[-1:],
        PAIR: [f"{assets[0]}~{assets[i]}" for i in _partners(panel.class_index)],
    }
    dims_of = _dims(model)
    packed.flags.writeable = False
    variables: dict[str, Any] = {}
    first = 0
    for name, x in like.items():
        core = x.shape[1:]
        size = int(np.prod(core))
        dims = dims_of.get(name, () if not core else (PAIR,) if name == COMMON_COVARIANCE else (ASSET,))
        variables[name] = ((REPLICATE, *dims), packed[:, first : first + size].reshape(-1, *core))
        first += size
    used = {d for dims, _ in variables.values() for d in dims[1:]}
    return xr.Dataset(variables, coords={d: x for d, x in labels.items() if d in used})


def _scalars(dataset: xr.Dataset) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """Quantity, label and values (replicate) of each scalar."""
    for name, values in dataset.data_vars.items():
        dims = values.dims[1:]
        for index in np.ndindex(values.shape[1:]):
            where = ", ".join(str(values[d].to_numpy()[i]) for d, i in zip(dims, index, strict=True))
            yield str(name), f"{name}[{where}]" if where else str(name), values.to_numpy()[:, *index]


# -- engines -------------------------------------------------------------------------------------------


def _gibbs_sampler(model: FactorModel, panel: Panel, tune: int) -> Sampler:
    spec = gibbs_spec(model, panel)

    def sample(returns: Floats, seed: int, draws: int, stretch: int) -> Params:
        settings = GibbsSettings(draws, stretch * tune, stretch * _THIN["gibbs"], chains=1, cores=1)
        result = sample_gibbs(replace(spec, returns=returns), settings, seed=seed)
        return {name: x[0] for name, x in result.draws.items()}

    return sample


def _nuts_sampler(model: FactorModel, panel: Panel, tune: int) -> Sampler:
    built = model.build(panel)
    compiled = nutpie.compile_pymc_model(built, freeze_model=False)

    def sample(returns: Floats, seed: int, draws: int, stretch: int) -> Params:
        thin = stretch * _THIN["nuts"]
        tree = nutpie.sample(
            compiled.with_data(**{RETURNS_DATA: returns}),
            draws=thin * draws,
            tune=tune,
            chains=1,
            cores=1,
            seed=seed,
            progress_bar=False,
            save_warmup=False,
        )
        draws_of_chain = tree[POSTERIOR].to_dataset().isel(chain=0, draw=slice(thin - 1, None, thin))
        return {name: draws_of_chain[name].to_numpy() for name in _dims(model)}

    return sample

"""Checks of the model against data: predictive checks, leave-one-out.

Predictive checks compare statistics of the history with those of replicated histories. Leave-one-out
judges each return by the model fitted to all others. Forecasts against what came:
``bdfm.scoring.calibration``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._figures import new_figure
from bdfm._html import opening
from bdfm.data.panel import Panel
from bdfm.errors import DataError
from bdfm.model.equations import model_data
from bdfm.model.factor_model import FactorModel
from bdfm.model.simulate import simulate
from bdfm.names import (
    ASSET,
    CHAIN,
    CLASS_OF,
    DRAW,
    EARNINGS,
    FACTOR,
    FACTORS,
    LOG_LIKELIHOOD,
    OBSERVED,
    PERIOD,
    PERIOD_WEIGHTS,
    POSTERIOR,
    RECENT_VOLATILITY,
    RECENT_VOLATILITY_MISSING,
    RETURNS,
)
from bdfm.posterior.posterior import MAX_LOG_RETURN, Posterior
from bdfm.scoring.calibration import FLAGGED, tail_probability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

STATISTIC: Final = "statistic"
N_REPLICATES: Final = 500
MIN_OVERLAP: Final = 12  # periods that two assets share before their correlation counts
TAIL: Final = 3.0  # robust standard deviations beyond which a return is in the tails
_MAD_TO_SD: Final = 1.4826  # of a normal distribution
_BLOCK: Final = 50  # replicates whose statistics are computed at a time: bounds memory
_MAX_PAIRED_CLASSES: Final = 4  # with more, correlations between classes are one statistic


# -- replicated histories ----------------------------------------------------------------------------------


def prior_predictive(
    model: FactorModel, panel: Panel, *, n_draws: int = N_REPLICATES, seed: int
) -> xr.Dataset:
    """Histories replicated from the prior (eq. 1 to 8), on the panel's own features.

    Parameters
    ----------
    model, panel
        Model whose prior is drawn from; panel whose features, classes and missing cells the replicates share.
    n_draws
        Number of replicates.
    seed
        Equal seeds give equal replicates.

    Returns
    -------
    xarray.Dataset
        ``log_returns`` (draw, period, asset), decimal, cut at ±5, NaN where the panel has no return, and
        ``factors`` (draw, period, factor).
    """
    n_draws = _checks.at_least(n_draws, 1, what="n_draws", where="prior predictive")
    rng = np.random.default_rng(seed)
    graph = model.build(panel)
    variables = [graph[v.name] for v in model.variables if v.stored and v.name != FACTORS]
    # Interpreted: the graph is evaluated a few hundred times, and compiling it would take longer.
    drawn = pm.draw(variables, draws=n_draws, random_seed=int(rng.integers(2**31)), mode="FAST_COMPILE")
    if n_draws == 1:  # PyMC leaves out the axis of draws
        drawn = [np.asarray(values)[None] for values in drawn]
    p = {v.name: np.asarray(values) for v, values in zip(variables, drawn, strict=True)}
    return _replicates(model, panel, p, rng)


def posterior_predictive(posterior: Posterior, *, n_draws: int = N_REPLICATES, seed: int) -> xr.Dataset:
    """Histories replicated from posterior draws, with new factors and new noise (eq. 1 to 7).

    Features are those of the panel: recent returns and volatilities are not simulated along, so that what
    depends on them is judged given the true ones.

    Parameters
    ----------
    posterior
        Its draws are thinned evenly to ``n_draws``; beyond their number some serve twice.
    n_draws, seed
        As in ``prior_predictive``.

    Returns
    -------
    xarray.Dataset
        As ``prior_predictive``, with the coordinate ``posterior_draw`` (draw).
    """
    n_draws = _checks.at_least(n_draws, 1, what="n_draws", where="posterior predictive")
    index = np.linspace(0, posterior.n_draws - 1, n_draws).round().astype(int)
    p = {name: values[index] for name, values in posterior.parameters().items() if name != FACTORS}
    result = _replicates(posterior.model, posterior.panel, p, np.random.default_rng(seed))
    return result.assign_coords(posterior_draw=(DRAW, index))


def _replicates(
    model: FactorModel, panel: Panel, p: Mapping[str, NDArray[Any]], rng: np.random.Generator
) -> xr.Dataset:
    data = model_data(model, panel)
    # A prior draw of nearly no degrees of freedom overflows; like a forecast, a replicate is cut.
    with np.errstate(divide="ignore", over="ignore"):
        simulated = simulate(model, p, data, rng=rng)
    returns = np.clip(simulated.log_returns, -MAX_LOG_RETURN, MAX_LOG_RETURN)
    returns = np.where(data[OBSERVED], returns, np.nan)
    return xr.Dataset(
        {RETURNS: ((DRAW, PERIOD, ASSET), returns), FACTORS: ((DRAW, PERIOD, FACTOR), simulated.factors)},
        coords={
            DRAW: np.arange(len(returns)),
            PERIOD: panel.history[PERIOD].to_numpy(),
            ASSET: list(panel.assets),
            FACTOR: np.arange(1, model.n_factors + 1),
        },
    )


# -- statistics --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _History:
    """What the statistics know of a panel: which cells count, and how they are grouped."""

    observed: Bools  # (period, asset)
    classes: tuple[str, ...]
    class_index: NDArray[np.int64]  # (asset,)
    after_turmoil: Bools  # (period, asset), recent volatility in its top quarter
    after_calm: Bools  # (period, asset), in the other three
    announced: Bools  # (period, asset)

    @classmethod
    def of(cls, panel: Panel) -> _History:
        history = panel.history
        observed = np.isfinite(history[RETURNS].to_numpy())
        # The shortest window: the same question for any number of windows.
        recent = history[RECENT_VOLATILITY].to_numpy()[..., 0]
        known = observed & ~history[RECENT_VOLATILITY_MISSING].to_numpy()[..., 0]
        high = known & (recent >= (np.quantile(recent[known], 0.75) if known.any() else 0.0))
        announced = history[EARNINGS].to_numpy() > 0
        return cls(observed, panel.asset_classes, panel.class_index, high, known & ~high, announced)


def statistics(log_returns: xr.DataArray, panel: Panel) -> xr.DataArray:
    """Statistics (draw, statistic) of histories on one panel: what a model of its returns should replicate.

    By asset class c: ``mean c``, ``sd c`` (means over assets of the assets' own); ``tails c`` (share of
    returns beyond 3 robust sd of their asset); ``correlation c`` and ``correlation c, d`` (means over pairs
    of assets that share at least 12 periods); ``after high volatility c`` (ratio of the mean absolute return,
    in units of each asset's own mean, in the asset-periods of the highest quarter of recent volatility, to
    the others).

    For all assets: ``earnings``, the same ratio of periods with and without announcements, over assets that
    have both; ``dispersion`` and ``dispersion, its variation``, mean and sd over periods of the log
    cross-sectional sd of returns, each asset's divided by its own sd. For the first principal component of
    standardised returns, positive where most assets rise: ``component 1 ...`` ``share`` of variance,
    ``autocorrelation``, ``autocorrelation of size`` (of absolute values), ``skewness``, ``largest move``
    (in its own sd); ``components 1-3 autocorrelation``, mean over three.

    Parameters
    ----------
    log_returns
        (draw, period, asset) or (period, asset), decimal. Cells where the panel has no return are left out,
        whatever they hold: replicates are masked like the data.
    panel
        Must have exactly these periods and assets.

    Raises
    ------
    DataError
        Other labels than the panel's, or missing values where the panel has a return.
    """
    where = "statistics"
    observed = panel.history[RETURNS].reset_coords(drop=True)
    try:
        aligned, _ = xr.align(log_returns, observed, join="exact", exclude={DRAW})
    except ValueError as error:
        raise DataError(
            f"{where}: returns and panel have different periods or assets. Reindex one."
        ) from error
    values = aligned.transpose(..., PERIOD, ASSET).to_numpy()
    values = values[None] if values.ndim == 2 else values
    history = _History.of(panel)
    lacking = int((history.observed & ~np.isfinite(values)).sum())
    if lacking:
        raise DataError(f"{where}: {lacking} returns are missing where the panel has one.")
    blocks = [_statistics(values[i : i + _BLOCK], history) for i in range(0, len(values), _BLOCK)]
    names = list(blocks[0])
    table = np.concatenate([np.column_stack([block[name] for name in names]) for block in blocks])
    return xr.DataArray(
        table, dims=(DRAW, STATISTIC), coords={DRAW: np.arange(len(table)), STATISTIC: names}, name="value"
    )


def _statistics(values: Floats, history: _History) -> dict[str, Floats]:
    """Statistics (draw,) by name of returns (draw, period, asset)."""
    observed = history.observed
    x = np.where(observed, values, 0.0)
    n = observed.sum(axis=0)
    usable = n >= 3
    count = np.maximum(n, 1)
    mean = x.sum(axis=1) / count
    centred = np.where(observed, x - mean[:, None], 0.0)
    sd = np.sqrt(np.square(centred).sum(axis=1) / np.maximum(n - 1, 1))
    z = np.where(observed & usable, centred / np.where(sd > 0, sd, 1.0)[:, None], 0.0)
    beyond = _beyond(values, observed)
    correlation = _correlations(x, observed)
    size = np.abs(x)
    size = size / np.maximum(size.sum(axis=1) / count, 1e-300)[:, None]

    members = {name: (history.class_index == c) & usable for c, name in enumerate(history.classes)}
    members = {name: own for name, own in members.items() if own.any()}
    result: dict[str, Floats] = {}
    for what, by_asset in (("mean", mean), ("sd", sd)):
        result |= {f"{what} {name}": by_asset[:, own].mean(axis=1) for name, own in members.items()}
    for name, own in members.items():
        result[f"tails {name}"] = beyond[:, :, own].sum(axis=(1, 2)) / observed[:, own].sum()
    result |= _mean_correlations(correlation, members)
    for name, own in members.items():
        ratio = _ratio(size, history.after_turmoil & own, history.after_calm & own)
        if ratio is not None:
            result[f"after high volatility {name}"] = ratio
    both = (history.announced & observed).any(axis=0) & (~history.announced & observed).any(axis=0)
    ratio = _ratio(size, history.announced & observed & both, ~history.announced & observed & both)
    if ratio is not None:
        result["earnings"] = ratio
    return result | _dispersion(z, observed & usable) | _components(z)


def _beyond(values: Floats, observed: Bools) -> Bools:
    """Whether a return (draw, period, asset) is further from its asset's median than 3 robust sd."""
    median = _median(values, observed)
    distance = np.abs(values - median[:, None])
    limit = TAIL * _MAD_TO_SD * _median(distance, observed)
    return np.asarray((distance > limit[:, None]) & observed)


def _median(values: Floats, observed: Bools) -> Floats:
    """Median (draw, asset) over the observed periods; 0 where there are none."""
    n = observed.sum(axis=0)
    # Infinity sorts last, so that the observed ones come first; far faster than nanmedian.
    ordered = np.sort(np.where(observed, values, np.inf), axis=1)
    asset = np.arange(len(n))
    middle = (
        ordered[:, np.maximum(n - 1, 0) // 2, asset]
        + ordered[:, np.minimum(n // 2, len(observed) - 1), asset]
    ) / 2
    return np.where(n > 0, middle, 0.0)


def _correlations(x: Floats, observed: Bools) -> Floats:
    """Correlation (draw, asset, asset) over the periods that two assets share; NaN if they are too few.

    ``x`` (draw, period, asset) is 0 where not observed.
    """
    m = observed.astype(np.float64)
    n = m.T @ m
    xt = x.swapaxes(-1, -2)
    total = xt @ m  # of asset i over the periods in which j is known too
    square = np.square(xt) @ m
    cross = xt @ x
    safe = np.maximum(n, 1)
    covariance = cross - total * total.swapaxes(-1, -2) / safe
    variance = square - np.square(total) / safe
    scale = np.sqrt(np.clip(variance * variance.swapaxes(-1, -2), 1e-300, None))
    return np.where(n >= MIN_OVERLAP, covariance / scale, np.nan)


def _mean_correlations(correlation: Floats, members: Mapping[str, Bools]) -> dict[str, Floats]:
    """Mean (draw,) over pairs of assets within each class and between classes."""
    upper = np.triu(np.isfinite(correlation).all(axis=0), k=1)
    pairs = {f"correlation {name}": np.outer(own, own) for name, own in members.items()}
    between = {f"correlation {a}, {b}": np.outer(members[a], members[b]) for a, b in combinations(members, 2)}
    if len(members) > _MAX_PAIRED_CLASSES:
        between = {"correlation between classes": np.any(list(between.values()), axis=0)}
    chosen = {name: (pair | pair.T) & upper for name, pair in (pairs | between).items()}
    return {name: correlation[:, pair].mean(axis=1) for name, pair in chosen.items() if pair.any()}


def _ratio(size: Floats, part: Bools, others: Bools) -> Floats | None:
    """Ratio (draw,) of mean sizes (draw, period, asset); None where a group is empty."""
    if not part.any() or not others.any():
        return None
    return np.asarray(size[:, part].mean(axis=1) / size[:, others].mean(axis=1))


def _dispersion(z: Floats, counted: Bools) -> dict[str, Floats]:
    """Mean and variation over periods of the log cross-sectional sd of standardised returns."""
    n = counted.sum(axis=1)
    rows = n >= 5
    if rows.sum() < 3:
        return {}
    z, counted, n = z[:, rows], counted[rows], n[rows]
    mean = z.sum(axis=2) / n
    square = np.where(counted, np.square(z - mean[..., None]), 0.0).sum(axis=2) / (n - 1)
    log_sd = 0.5 * np.log(np.maximum(square, 1e-300))
    return {
        "dispersion": np.exp(log_sd.mean(axis=1)),
        "dispersion, its variation": log_sd.std(axis=1, ddof=1),
    }


def _components(z: Floats) -> dict[str, Floats]:
    """Principal components of standardised returns (draw, period, asset), 0 where missing, over periods."""
    values, vectors = np.linalg.eigh(z @ z.swapaxes(-1, -2))
    scores = vectors[..., ::-1][..., :3]  # (draw, period, component), of unit length
    first = scores[..., 0]
    first = first * np.where((first * z.sum(axis=2)).sum(axis=1) < 0, -1.0, 1.0)[:, None]
    standard = (first - first.mean(axis=1, keepdims=True)) / first.std(axis=1, keepdims=True)
    return {
        "component 1 share": values[:, -1] / values.sum(axis=1),
        "component 1 autocorrelation": _autocorrelation(first),
        "component 1 autocorrelation of size": _autocorrelation(np.abs(standard)),
        "component 1 skewness": (standard**3).mean(axis=1),
        "component 1 largest move": np.abs(standard).max(axis=1),
        "components 1-3 autocorrelation": _autocorrelation(scores.swapaxes(-1, -2)).mean(axis=1),
    }


def _autocorrelation(x: Floats) -> Floats:
    """First-order autocorrelation along the last axis."""
    x = x - x.mean(axis=-1, keepdims=True)
    return np.asarray((x[..., 1:] * x[..., :-1]).sum(axis=-1) / np.square(x).sum(axis=-1))


# What it means that the data lie above or below the replicates, by how a statistic's name begins.
_MEANING: Final = (
    ("mean", "returns drift {} than in the model", "higher", "lower"),
    ("sd", "returns vary {} than in the model", "more", "less"),
    ("tails", "tails are {} than in the model", "heavier", "lighter"),
    ("correlation", "assets move together {} than in the model", "more", "less"),
    ("after high", "volatility persists {} than in the model", "more", "less"),
    ("earnings", "announcements move returns {} than in the model", "more", "less"),
    ("dispersion, its", "the spread between assets changes {} over time than in the model", "more", "less"),
    ("dispersion", "assets differ {} within a period than in the model", "more", "less"),
    ("component 1 share", "one factor explains {} than in the model", "more", "less"),
    (
        "component 1 autocorrelation of size",
        "large market moves cluster {} than in the model",
        "more",
        "less",
    ),
    ("component 1 autocorrelation", "the market trends {} than in the model", "more", "less"),
    ("component 1 skewness", "the market is skewed to {} beyond what the model allows", "gains", "losses"),
    ("component 1 largest", "the largest market move is {} than in the model", "larger", "smaller"),
    ("components 1-3", "the common components trend {} than in the model", "more", "less"),
)


# -- predictive checks -------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False, eq=False)
class PredictiveCheck:
    """Statistics of the history against those of replicated histories; made by ``check``, ``check_prior``.

    Attributes
    ----------
    kind
        ``posterior`` or ``prior``.
    model_name
        Name of the model.
    observed
        (statistic) of the data.
    replicated
        (draw, statistic) of the replicates.
    """

    kind: str
    model_name: str
    observed: xr.DataArray
    replicated: xr.DataArray

    def __post_init__(self) -> None:
        for array in (self.observed, self.replicated):
            array.values.flags.writeable = False

    @property
    def table(self) -> pd.DataFrame:
        """One row per statistic: observed, 5, 50 and 95 % quantile of the replicates, tail probability.

        The tail probability is the share of replicates beyond the data, on the side where they are fewer,
        ties by half: 0.5 at best.
        """
        replicated, observed = self.replicated.to_numpy(), self.observed.to_numpy()
        low, median, high = np.quantile(replicated, [0.05, 0.5, 0.95], axis=0)
        return pd.DataFrame(
            {
                "observed": observed,
                "5%": low,
                "50%": median,
                "95%": high,
                "tail_probability": tail_probability(observed, replicated),
            },
            index=pd.Index(self.observed[STATISTIC].to_numpy(), name=STATISTIC),
        )

    @property
    def flags(self) -> tuple[str, ...]:
        """Statistics with a tail probability below 0.01, and what it means, in plain language.

        About one statistic in fifty would be flagged by chance, fewer for a posterior check: the data had a
        say in the replicates.
        """
        table = self.table
        return tuple(
            f"{name}: {row['observed']:.3g} in the data, {row['5%']:.3g} to {row['95%']:.3g} in replicates:"
            f" {_meaning(str(name), above=row['observed'] > row['50%'])}."
            for name, row in table[table["tail_probability"] < FLAGGED].iterrows()
        )

    def __repr__(self) -> str:
        n_statistics = self.observed.sizes[STATISTIC]
        return (
            f"<bdfm.PredictiveCheck of the {self.kind} of model {self.model_name!r}: {len(self.flags)} of"
            f" {n_statistics} statistics flagged, {self.replicated.sizes[DRAW]} replicates>"
        )

    def _repr_html_(self) -> str:
        return opening(self, self.flags) + self.table.to_html(float_format="{:.3g}".format, border=0)

    def plot(self) -> Figure:
        """Histogram of each statistic over replicates, the data as a line; red where it is flagged."""
        table = self.table
        n_columns = min(4, len(table))
        n_rows = -(-len(table) // n_columns)
        figure, axes = new_figure(n_rows, n_columns, figsize=(2.5 * n_columns, 0.5 + 1.35 * n_rows))
        for axis in axes.ravel()[len(table) :]:
            axis.remove()
        for axis, (name, row) in zip(axes.ravel(), table.iterrows(), strict=False):
            values = self.replicated.sel({STATISTIC: name}).to_numpy()
            # A few extreme replicates of a prior shall not hide where the others are.
            low, high = np.quantile(values, [0.005, 0.995])
            margin = 0.05 * (high - low) or 1e-9
            ends = (min(low, row["observed"]) - margin, max(high, row["observed"]) + margin)
            axis.hist(
                np.clip(values, *ends), bins=30, range=(low - margin, high + margin), color="C0", alpha=0.5
            )
            flagged = row["tail_probability"] < FLAGGED
            axis.axvline(row["observed"], color="C3" if flagged else "black", lw=1.8 if flagged else 1.2)
            axis.set_xlim(*ends)
            axis.set_title(str(name), fontsize=7, color="C3" if flagged else "black")
            axis.set_yticks([])
            axis.locator_params(axis="x", nbins=4)
            axis.tick_params(labelsize=6.5)
            axis.spines[["top", "right", "left"]].set_visible(False)
        figure.suptitle(
            f"{self.kind.capitalize()} predictive check of model {self.model_name}: replicates, line: data",
            fontsize=10,
        )
        return figure


def check(posterior: Posterior, *, n_draws: int = N_REPLICATES, seed: int) -> PredictiveCheck:
    """Whether histories replicated from the posterior look like the history fitted; see ``statistics``."""
    replicates = posterior_predictive(posterior, n_draws=n_draws, seed=seed)
    return _check("posterior", posterior.model, posterior.panel, replicates)


def check_prior(
    model: FactorModel, panel: Panel, *, n_draws: int = N_REPLICATES, seed: int
) -> PredictiveCheck:
    """Whether the prior allows for a history like the panel's; see ``statistics``.

    A prior should be wider than the data; only statistics that it all but rules out are flagged.
    """
    return _check("prior", model, panel, prior_predictive(model, panel, n_draws=n_draws, seed=seed))


def _check(kind: str, model: FactorModel, panel: Panel, replicates: xr.Dataset) -> PredictiveCheck:
    observed = statistics(panel.history[RETURNS].reset_coords(drop=True), panel)[0].drop_vars(DRAW)
    return PredictiveCheck(kind, model.name, observed, statistics(replicates[RETURNS], panel))


def _meaning(name: str, *, above: bool) -> str:
    text, high, low = next(words for start, *words in _MEANING if name.startswith(start))
    return text.format(high if above else low)


# -- leave one out -----------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False, eq=False)
class LeaveOneOut:
    """Predictive density and PIT of each return given all others; made by ``leave_one_out``.

    Attributes
    ----------
    elpd
        ArviZ's ``ELPDData``: expected log predictive density over all observed returns, which
        ``arviz.compare`` takes.
    pit, pareto_k
        (period, asset): PIT, uniform if the noise is right, and the reliability of its importance weights,
        doubtful above 0.7 (less with few draws). NaN where there is no return.
    """

    elpd: Any
    pit: xr.DataArray
    pareto_k: xr.DataArray

    @property
    def n_doubtful(self) -> int:
        """Number of returns with a Pareto k above ``elpd.good_k``."""
        return int((self.pareto_k > self.elpd.good_k).sum())

    def __repr__(self) -> str:
        return (
            f"<bdfm.LeaveOneOut: {int(self.pit.notnull().sum())} returns, elpd {float(self.elpd.elpd):.1f}"
            f" (se {float(self.elpd.se):.1f}), {self.n_doubtful} doubtful>"
        )

    def plot(self) -> Figure:
        """ECDF of the PIT less the diagonal by asset class, with ArviZ's p-value of uniformity (``pot_c``).

        Given the factors, returns are independent: the test applies here, as it does not to forecasts.
        """
        import arviz_plots
        from matplotlib import pyplot as plt

        classes = list(dict.fromkeys(self.pit[CLASS_OF].values.tolist()))
        values = {name: self.pit.where(self.pit[CLASS_OF] == name).to_numpy().ravel() for name in classes}
        known = {name: x[np.isfinite(x)] for name, x in values.items()}
        data = xr.Dataset({name: ((f"{name}_cell",), x) for name, x in known.items()})
        plots = arviz_plots.plot_ecdf_pit(
            xr.DataTree.from_dict({POSTERIOR: data}),
            group=POSTERIOR,
            sample_dims=[str(d) for d in data.dims],
            figure_kwargs={
                "figsize": (3.2 * min(len(known), 4), 2.8 * -(-len(known) // 4)),
                "figsize_units": "inches",
            },
            backend="matplotlib",
        )
        figure: Figure = plots.viz["figure"].item()
        figure.set_layout_engine("constrained")
        plt.close(figure)
        figure.suptitle("Leave-one-out PIT: ECDF less diagonal, by asset class", fontsize=10)
        return figure


def leave_one_out(posterior: Posterior, *, n_draws: int = 1000, seed: int) -> LeaveOneOut:
    """Leave-one-out by Pareto-smoothed importance sampling (Vehtari et al. 2017), one return at a time.

    A return is left out, the others of its period stay and tell its factors: this judges noise and
    volatility, not the forecast of factors. Importance ratios are those of the weighted likelihood (eq. 9): a
    return of weight ω entered the posterior with its density to the power of ω.

    Parameters
    ----------
    posterior
        Its draws are thinned evenly to at most ``n_draws``; 10,000 returns in 1,000 draws take 10 s.
    n_draws
        At least 100.
    seed
        For the replicated noise that the PIT counts.
    """
    import arviz_stats

    where = "leave one out"
    n_draws = _checks.at_least(n_draws, 100, what="n_draws", where=where)
    model, panel = posterior.model, posterior.panel
    data = model_data(model, panel)
    step = max(1, -(-posterior.n_draws // n_draws))
    p = {name: values[::step] for name, values in posterior.parameters().items()}
    density = model.log_likelihood(p, data)
    replicated = model.draw_returns(p, p[FACTORS], data, rng=np.random.default_rng(seed))

    observed = data[OBSERVED]
    cells = (CHAIN, DRAW, "cell")
    tree = xr.DataTree.from_dict(
        {
            POSTERIOR: xr.Dataset({"draw_": ((CHAIN, DRAW), np.zeros((1, len(density))))}),
            LOG_LIKELIHOOD: xr.Dataset({RETURNS: (cells, density[None, :, observed])}),
            "posterior_predictive": xr.Dataset({RETURNS: (cells, replicated[None, :, observed])}),
            "observed_data": xr.Dataset({RETURNS: (("cell",), data[RETURNS][observed])}),
        }
    )
    weight = xr.DataArray(
        np.broadcast_to(data[PERIOD_WEIGHTS][:, None], observed.shape)[observed], dims="cell"
    )
    likelihood = tree[LOG_LIKELIHOOD][RETURNS]
    log_weights, k = (likelihood * weight).azstats.psislw(r_eff=1.0, dim=[CHAIN, DRAW])
    with warnings.catch_warnings():
        # Doubtful importance weights are counted in the result.
        warnings.filterwarnings("ignore", category=UserWarning, module="arviz_stats")
        elpd = arviz_stats.loo(
            tree, var_name=RETURNS, pointwise=True, reff=1.0, log_weights=log_weights, pareto_k=k
        )
    values, _ = tree["posterior_predictive"][RETURNS].azstats.loo_pit(
        tree["observed_data"][RETURNS], log_weights=log_weights, pareto_k=k, sample_dims=[CHAIN, DRAW]
    )
    # Half a draw away from 0 and 1: ArviZ's test takes an exact 0 for impossible, and its plot takes anything
    # above 1, if by rounding alone, for ranks to be rescaled.
    values = (np.clip(values, 0, 1) * len(density) + 0.5) / (len(density) + 1)
    template = panel.history[RETURNS]
    return LeaveOneOut(elpd, _on_panel(values, template, observed), _on_panel(k, template, observed))


def _on_panel(cells: xr.DataArray, template: xr.DataArray, observed: Bools) -> xr.DataArray:
    """Values of the observed cells in their places (period, asset)."""
    result = np.full(observed.shape, np.nan)
    result[observed] = cells.to_numpy()
    return template.copy(data=result)

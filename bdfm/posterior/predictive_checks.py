"""Predictive checks: statistics of the history against those of histories that the model replicates.

Each return judged by the model fitted to all others: ``bdfm.posterior.leave_one_out``. Forecasts against what
came: ``bdfm.scoring.calibration``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
import xarray as xr

from bdfm import _checks
from bdfm._figures import new_figure
from bdfm._html import opening
from bdfm._seeds import either_seed
from bdfm._strict import strict
from bdfm.data.panel import Panel
from bdfm.model.factor_model import FactorModel
from bdfm.model.simulate import Simulation
from bdfm.names import ASSET, DRAW, FACTOR, FACTOR_MIXING, FACTORS, PERIOD, RETURNS
from bdfm.posterior.groups import prior_draws, replicated_history
from bdfm.posterior.history_statistics import STATISTIC, meaning, statistics
from bdfm.posterior.posterior import Posterior
from bdfm.scoring.calibration import FLAGGED, tail_probability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_REPLICATES: Final = 500


# -- replicated histories ----------------------------------------------------------------------------------


@either_seed
@strict
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
    _, simulated = prior_draws(model, panel, n_draws, np.random.default_rng(seed))
    return _replicates(model, panel, simulated)


@either_seed
@strict
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
    anew = (FACTORS, FACTOR_MIXING)  # the mixing variables are part of the factors' innovations
    p = {name: values[index] for name, values in posterior.parameters().items() if name not in anew}
    rng = np.random.default_rng(seed)
    simulated = replicated_history(posterior.model, posterior.panel, p, rng)
    result = _replicates(posterior.model, posterior.panel, simulated)
    return result.assign_coords(posterior_draw=(DRAW, index))


def _replicates(model: FactorModel, panel: Panel, simulated: Simulation) -> xr.Dataset:
    known = np.isfinite(panel.history[RETURNS].to_numpy())
    returns = np.where(known, simulated.log_returns, np.nan)
    return xr.Dataset(
        {RETURNS: ((DRAW, PERIOD, ASSET), returns), FACTORS: ((DRAW, PERIOD, FACTOR), simulated.factors)},
        coords={
            DRAW: np.arange(len(returns)),
            PERIOD: panel.history[PERIOD].to_numpy(),
            ASSET: list(panel.assets),
            FACTOR: np.arange(1, model.n_factors + 1),
        },
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
            f" {meaning(str(name), above=row['observed'] > row['50%'])}."
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


@either_seed
@strict
def check(posterior: Posterior, *, n_draws: int = N_REPLICATES, seed: int) -> PredictiveCheck:
    """Whether histories replicated from the posterior look like the history fitted; see ``statistics``."""
    replicates = posterior_predictive(posterior, n_draws=n_draws, seed=seed)
    return _check("posterior", posterior.model, posterior.panel, replicates)


@either_seed
@strict
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

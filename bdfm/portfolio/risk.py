"""Risk of any portfolio under the weighted draws of a forecast, with its errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _blocks, _checks, _labels
from bdfm._figures import pyplot
from bdfm._reading import counted
from bdfm._statistics import with_error
from bdfm._strict import strict
from bdfm._symbols import is_cash
from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.ranks import weighted_quantiles
from bdfm.forecast.sample import BLOCK, Sample
from bdfm.names import PERIOD_REDRAWN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
_N_BATCHES: Final = 50  # of consecutive draws, whose means give the Monte Carlo error

# What a reader is told of a posterior error that is NaN
BLANK_ERROR: Final = (
    "A posterior error that is blank is not known: it is too small to be told from the noise of the draws, or"
    " the draws do not say which posterior draw they came from."
)


@dataclass(frozen=True, repr=False, eq=False)
class PortfolioRisk:
    """Risk of a portfolio over the span of a forecast.

    Attributes
    ----------
    table
        One row for each measure: ``value``; ``mc_error``, the standard error from the finite number of draws,
        NaN where one draw has all the weight;
        ``posterior_error``, the standard deviation over the posterior of the measure's expectation given the
        parameters, to first order: what better knowledge of the parameters could change. It is NaN where it
        cannot be told from zero, as it is too small beside the noise of the draws; where the
        draws do not say which posterior draw they came from, or only two came from each; and with evidence
        in a forecast of an earlier version, where the paths of a posterior draw share what the period's own
        factors and returns were drawn to be, so that their spread is not that of the parameters.
    contributions
        One row for each asset held: ``weight``, and its parts of ``volatility`` and ``expected_shortfall``,
        which sum to the measures.
    level
        Of value at risk and expected shortfall.
    """

    table: pd.DataFrame
    contributions: pd.DataFrame
    level: float

    def __repr__(self) -> str:
        rows = ", ".join(
            f"{name} {with_error(row['value'], row['mc_error'], '{:.2%}'.format)}"
            for name, row in self.table.iterrows()
        )
        return f"<PortfolioRisk of {counted(len(self.contributions), 'asset')}: {rows}>"

    def _repr_html_(self) -> str:
        percent = "{:.2%}".format
        return self.table.to_html(float_format=percent, border=0) + self.contributions.to_html(
            float_format=percent, max_rows=20, border=0, escape=True
        )

    def plot(self, *, n_assets: int = 25) -> Figure:
        """Contributions to volatility and expected shortfall of the assets that contribute most."""
        plt = pyplot()

        order = self.contributions["volatility"].abs().sort_values().index[-n_assets:]
        shown = self.contributions.loc[order]
        figure: Figure
        figure, axis = plt.subplots(figsize=(6, 1 + 0.22 * len(shown)), layout="constrained")
        plt.close(figure)
        place = np.arange(len(shown))
        axis.barh(place + 0.2, 100 * shown["volatility"], 0.4, label="volatility")
        axis.barh(place - 0.2, 100 * shown["expected_shortfall"], 0.4, label="expected shortfall")
        axis.set_yticks(place, [str(s) for s in shown.index], fontsize=7)
        axis.set_xlabel("contribution, %")
        axis.legend(frameon=False)
        return figure


@strict
def portfolio_risk(
    forecast: Forecast, weights: Mapping[str, float] | pd.Series[float], *, level: float = 0.95
) -> PortfolioRisk:
    """Risk of a portfolio: mean, volatility, value at risk, expected shortfall, probability of loss.

    Parameters
    ----------
    forecast
        Any forecast, edited and weighted as it may be.
    weights
        Weight by symbol, negative for short; cash (``CASH``) and what is not invested earn nothing.
    level
        Of value at risk and expected shortfall: 0.95 looks at the worst twentieth. Losses are positive.

    Raises
    ------
    UnknownLabelError, DataError
        An unknown symbol, weights that are no mapping, a weight that is no number, no weight at all, a level
        outside (0, 1).

    Notes
    -----
    Errors come from the influence function of each measure: to first order a measure is its value plus the
    weighted mean of the influence of each draw. Its batch means over consecutive posterior draws
    give the Monte Carlo error, autocorrelation of the sampler included; the covariance, over posterior draws,
    of the means of two halves of the paths of each gives the posterior variance, free of the paths' noise.
    Expected shortfall has no Monte Carlo error (NaN) where fewer than two draws lie in the tail.
    Mean and volatility are of returns cut as in ``Sample.cut``.
    """
    where = "risk"
    given = _labels.by_symbol(weights, where=where)
    given = {s: w for s, w in given.items() if not is_cash(s, forecast.assets)}
    _checks.known(list(given), forecast.assets, what="asset", where=where)
    held = {s: w for s, w in given.items() if w}
    if not held:
        raise DataError(f"{where}: no asset is held. Give at least one weight that is not zero.")
    level = _checks.finite(level, what="level", where=where)
    if not 0 < level < 1:
        raise DataError(f"{where}: level must be between 0 and 1, got {level:g}.")
    p = forecast.weights.to_numpy()
    sample = Sample(forecast.draws.to_numpy(), forecast.assets)
    raw, cut = sample.portfolio(held), sample.cut(held)
    inside = any(record.kind == "evidence" for record in forecast.records)
    shared = inside and not forecast.attrs.get(PERIOD_REDRAWN)
    clusters = forecast.draws.coords.get("posterior_draw")
    errors = Errors(p, None if clusters is None else clusters.to_numpy())
    table = measured(raw, cut, p, errors, level)
    if shared:
        table["posterior_error"] = np.nan
    return PortfolioRisk(table, _contributions(sample, held, raw, cut, p, table["value"]), level)


def measured(raw: Floats, cut: Floats, p: Floats, errors: Errors, level: float) -> pd.DataFrame:
    """Table of ``PortfolioRisk`` of portfolio returns (draw,) with weights ``p``; ``cut``: their ends cut."""
    values, influences = _measures(raw, cut, p, level)
    chance = {k: errors.monte_carlo(h) for k, h in influences.items()}
    if ((p > 0) & (-raw >= values["value_at_risk"])).sum() < 2:  # of one draw nobody knows how far it may be
        chance["expected_shortfall"] = float("nan")
    return pd.DataFrame(
        {
            "value": values,
            "mc_error": chance,
            "posterior_error": {k: errors.posterior(h) for k, h in influences.items()},
        }
    )


def _measures(
    raw: Floats, cut: Floats, p: Floats, level: float
) -> tuple[dict[str, float], dict[str, Floats]]:
    """Measures of portfolio returns (draw,) and their influence functions (draw,)."""
    mean = float(p @ cut)
    deviation = cut - mean
    volatility = float(np.sqrt(p @ np.square(deviation)))
    at_risk = -float(weighted_quantiles(raw, 1 - level, p))
    excess = np.maximum(-raw - at_risk, 0)
    shortfall = at_risk + float(p @ excess) / (1 - level)
    loss = (raw < 0).astype(np.float64)
    chance = float(p @ loss)
    values = {
        "mean": mean,
        "volatility": volatility,
        "value_at_risk": at_risk,
        "expected_shortfall": shortfall,
        "probability_of_loss": chance,
    }
    zero = np.zeros_like(raw)
    width = 0.2 * volatility if volatility > 0 else 1.0
    density = float(p @ (np.abs(-raw - at_risk) < width)) / (2 * width)
    beyond = np.asarray((-raw > at_risk) - (1 - level), dtype=np.float64)
    influences: dict[str, Floats] = {
        "mean": deviation,
        "volatility": (np.square(deviation) - volatility**2) / (2 * volatility or 1),
        "value_at_risk": beyond / density if density > 0 else zero,
        "expected_shortfall": at_risk + excess / (1 - level) - shortfall,
        "probability_of_loss": loss - chance,
    }
    return values, influences


class Errors:
    """Standard errors of a measure from its influence function (draw,), see ``portfolio_risk``.

    ``clusters`` (draw,) are the posterior draws that draws came from, None where that is not known.
    """

    def __init__(self, p: Floats, clusters: NDArray[np.int64] | None) -> None:
        self.p = p
        if clusters is not None and clusters.max() >= len(p):  # few draws of many: counted, not by position
            clusters = np.unique(clusters, return_inverse=True)[1]
        self.clusters = clusters
        key = np.arange(len(p)) if clusters is None else clusters
        n = int(key.max()) + 1
        self.batch = key * min(_N_BATCHES, n) // n
        if clusters is not None:
            # Two halves of the paths of each posterior draw. Antithetic pairs are neighbours: kept together.
            order = np.argsort(clusters, kind="stable")
            starts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
            position = np.empty(len(p), dtype=np.int64)
            position[order] = np.arange(len(p)) - np.repeat(starts, np.diff([*starts, len(p)]))
            self.half = position // 2 % 2

    def monte_carlo(self, influence: Floats) -> float:
        """Standard error from batches of consecutive draws; NaN where one of them has all the weight."""
        if (np.bincount(self.batch, self.p) > 0).sum() < 2:
            return float("nan")
        sums = np.bincount(self.batch, self.p * influence)
        return float(np.sqrt(np.square(sums).sum() * len(sums) / max(len(sums) - 1, 1)))

    def posterior(self, influence: Floats) -> float:
        """Standard deviation, over the posterior, of the mean given the parameters."""
        if self.clusters is None:
            return float("nan")
        index = self.clusters * 2 + self.half
        size = 2 * (int(self.clusters.max()) + 1)
        mass = np.bincount(index, self.p, minlength=size).reshape(-1, 2)
        total = np.bincount(index, self.p * influence, minlength=size).reshape(-1, 2)
        both = (mass > 0).all(axis=1)
        if both.sum() < 2:
            return float("nan")
        means = total[both] / mass[both]
        share = mass[both].sum(axis=1) / mass[both].sum()
        means -= share @ means
        variance = float(share @ means.prod(axis=1))
        return float(np.sqrt(variance)) if variance > 0 else float("nan")  # not "0": lost in the paths' noise


def _contributions(
    sample: Sample,
    held: Mapping[str, float],
    raw: Floats,
    cut: Floats,
    p: Floats,
    values: Mapping[str, float] | pd.Series[float],
) -> pd.DataFrame:
    """Parts of volatility and expected shortfall by asset held."""
    inside = p * (raw == cut)  # parts add up where no return was cut
    inside = inside / inside.sum()
    pull = inside * (raw - inside @ raw)
    tail = p * (-raw >= values["value_at_risk"])
    both = np.stack([pull, -tail])
    sums = np.zeros((2, len(sample.assets)))
    for here in _blocks.blocks(sample.draws, most=BLOCK):
        sums += both[:, here] @ sample.draws[here].astype(np.float64)
    parts = np.array(list(held.values())) * sums[:, [sample.assets.index(s) for s in held]]
    table = pd.DataFrame(
        {"weight": held, "volatility": parts[0], "expected_shortfall": parts[1]}, index=list(held)
    )
    for measure in ("volatility", "expected_shortfall"):
        total = table[measure].sum()
        table[measure] *= values[measure] / total if total else 0.0
    return table.rename_axis("symbol")

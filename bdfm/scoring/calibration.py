"""Calibration: forecasts against what came, with what chance allows when assets move together."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bdfm import _checks, _labels
from bdfm._figures import new_figure
from bdfm._html import opening
from bdfm._reading import PACKAGE, counted
from bdfm._seeds import either_seed
from bdfm._statistics import MIN_ORIGINS, p_text
from bdfm.errors import DataError, DataWarning
from bdfm.forecast.forecast import N_RANKS, Forecast
from bdfm.forecast.ranks import normalised_weights, outcome_quantiles
from bdfm.names import ASSET, DRAW
from bdfm.scoring.outcomes import returns_that_came
from bdfm.scoring.scores import in_precision_of, turned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

FLAGGED: Final = 0.01  # share of simulations beyond the data, on one side, below which something is flagged
LEVELS: Final = (0.5, 0.8, 0.9, 0.95)  # central intervals whose coverage is counted
BAND: Final = 0.95  # probability that the whole curve of a calibrated forecast lies in its band
N_SIMULATIONS: Final = 1000
TOO_NARROW: Final = "Bands take them for independent and are too narrow."
_RANKED_DRAWS: Final = 20_000  # draws that simulated outcomes are ranked among: an error of 0.004 at most
_GRID: Final = np.linspace(0.01, 0.99, 99)


def warn_of_overlap(spans: Iterable[tuple[pd.Timestamp, pd.Timestamp]], *, then: str, where: str) -> None:
    """``DataWarning`` where forecasts of these spans (origin, end) begin before another one ends.

    ``then`` says what takes them for independent all the same.
    """
    given = sorted(spans)
    overlaps = [f"{b[0]:%Y-%m-%d}" for a, b in pairwise(given) if b[0] < a[1]]
    if overlaps:
        warnings.warn(
            f"{where}: {len(overlaps)} of {len(given)} forecasts begin before another one ends"
            f" ({_checks.first(overlaps)}). {then}",
            DataWarning,
            skip_file_prefixes=(PACKAGE,),
        )


@either_seed
def pit(
    draws: ArrayLike | xr.DataArray,
    realised: ArrayLike | xr.DataArray,
    *,
    weights: ArrayLike | None = None,
    seed: int | None = None,
) -> Floats:
    """Probability integral transform (asset,): the forecast probability of a return below the one that came.

    Uniform over many forecasts if they are calibrated: crowding at both ends means forecasts too narrow, in
    the middle too wide, on one side a bias.

    Parameters
    ----------
    draws
        (draw, asset) predictive draws, such as ``forecast.draws``.
    realised
        (asset,) what came, in the same unit; assets that both name must be the same in the same order.
    weights
        (draw,), of any sum; ``None`` for equal ones.
    seed
        ``None`` counts draws equal to the return by half. With a seed a random share of them counts
        (randomised PIT), so that it is uniform also where draws tie, as for an asset set to zero.

    Raises
    ------
    DataError
        Shapes or labels that differ, missing values, or weights that cannot be used.
    """
    where = "pit"
    draws = turned(draws, (DRAW, ASSET))
    values = np.asarray(draws)
    outcome = np.asarray(realised)
    if values.ndim != 2 or outcome.shape != values.shape[1:]:
        raise DataError(
            f"{where}: draws of shape {values.shape} and returns of shape {outcome.shape},"
            " expected (draw, asset) and (asset,)."
        )
    _labels.same_labels(draws, realised, axes=(1, 0), what="what came", where=where)
    if not np.isfinite(values).all() or not np.isfinite(outcome).all():
        raise DataError(
            f"{where}: draws and realised returns must be finite. Drop the assets without a return."
        )
    outcome = in_precision_of(values, outcome)
    w = normalised_weights(weights, len(values), where=where, of=draws)
    below, equal = w @ (values < outcome), w @ (values == outcome)
    share = 0.5 if seed is None else np.random.default_rng(seed).random(len(outcome))
    return np.asarray(np.clip(below + share * equal, 0.0, 1.0))


@dataclass(frozen=True, repr=False, eq=False)
class Calibration:
    """How forecasts compare with what came, over one or several origins; made by ``from_forecasts``.

    What a calibrated forecast would show by chance is simulated: at each origin one of the forecast's own
    draws, all assets together, takes the place of the outcome. Assets of one origin thus depend on each other
    as the forecast says, and only origins are independent. Bands that take each asset for an independent
    observation, binomial ones or those of ``arviz_plots.plot_ecdf_pit``, are far too narrow here.

    Attributes
    ----------
    probabilities, outcomes
        (cell, quantile) forecast probability of each fifth, and the fifth that came (fractional if tied).
    simulated_pit
        (simulation, cell) PIT of simulated outcomes.
    simulated_outcomes
        (simulation, cell, quantile) fifths of simulated outcomes.
    """

    _cells: pd.DataFrame
    probabilities: Floats
    outcomes: Floats
    simulated_pit: NDArray[np.float32]
    simulated_outcomes: NDArray[np.float32]

    def __post_init__(self) -> None:
        for array in (self.probabilities, self.outcomes, self.simulated_pit, self.simulated_outcomes):
            array.flags.writeable = False

    @classmethod
    @either_seed
    def from_forecasts(
        cls,
        forecasts: Iterable[tuple[Forecast, Mapping[str, float] | pd.Series[float]]],
        *,
        seed: int,
        n_simulations: int = N_SIMULATIONS,
    ) -> Calibration:
        """Calibration of forecasts against realised returns.

        Parameters
        ----------
        forecasts
            Pairs of a forecast and the simple returns that came, by symbol, such as ``period_returns`` gives;
            returns of other symbols are not used. One pair is held at a time: a generator saves memory.
        seed
            For simulated outcomes and for ties.
        n_simulations
            Number of simulated outcomes of each origin.

        Raises
        ------
        DataError
            No forecasts, an asset without a realised return, or returns in another unit than the forecast.

        Warns
        -----
        DataWarning
            Spans of forecasts overlap, so that origins are not independent and bands too narrow.
        """
        where = "calibration"
        n_simulations = _checks.at_least(n_simulations, 20, what="n_simulations", where=where)
        rng = np.random.default_rng(seed)
        parts: list[tuple[pd.DataFrame, Floats, Floats, NDArray[np.float32], NDArray[np.float32]]] = []
        spans: list[tuple[pd.Timestamp, pd.Timestamp]] = []
        for forecast, realised in forecasts:
            returns = returns_that_came(forecast, realised, where=where)
            draws, weights = forecast.draws.to_numpy(), forecast.weights.to_numpy()
            cells = pd.DataFrame(
                {
                    "origin": forecast.origin,
                    "asset": forecast.assets,
                    "asset_class": forecast.asset_class,
                    "realised": returns,
                    "pit": pit(draws, returns, weights=weights, seed=int(rng.integers(2**31))),
                }
            )
            simulated = simulated_outcomes(draws, weights, n_simulations, rng)
            probabilities = forecast.quantile_probabilities(N_RANKS).to_numpy()
            parts.append((cells, probabilities, outcome_quantiles(returns, N_RANKS), *simulated))
            spans.append((forecast.origin, forecast.end))
        if not parts:
            raise DataError(f"{where}: no forecasts given. Give pairs of a forecast and realised returns.")
        warn_of_overlap(spans, then=TOO_NARROW, where=where)
        tables, probabilities_, outcomes, pits, fifths = zip(*parts, strict=True)
        return cls(
            pd.concat(tables, ignore_index=True),
            np.concatenate(probabilities_),
            np.concatenate(outcomes),
            np.concatenate(pits, axis=1),
            np.concatenate(fifths, axis=1),
        )

    @property
    def cells(self) -> pd.DataFrame:
        """One row per outcome (a copy): origin, asset, asset_class, realised (simple return), pit."""
        return self._cells.copy()

    @property
    def n_origins(self) -> int:
        """Number of origins."""
        return int(self._cells["origin"].nunique())

    # Results

    @cached_property
    def _band(self) -> tuple[Floats, Floats, Floats, float]:
        """ECDF of the PIT, its simultaneous band (lower, upper), the grid, and the p-value of the curve.

        Curves are ordered by extremal depth (Narisetty and Nair 2016; the extreme rank length of Myllymäki et
        al. 2017); the band holds the 95 % least extreme of the simulated ones.
        """
        curve = _ecdf(self._cells["pit"].to_numpy()[None])
        simulated = _ecdf(self.simulated_pit)
        place = _extremeness(simulated)
        kept = simulated[place > (1 - BAND) * len(simulated)]
        p_value = float(_extremeness(np.concatenate([curve, simulated]))[0]) / (len(simulated) + 1)
        return curve[0], np.stack([kept.min(axis=0), kept.max(axis=0)]), _GRID, p_value

    @property
    def uniformity(self) -> float:
        """P-value of the PIT curve: the share of calibrated forecasts whose curve would be as far off."""
        return self._band[3]

    def coverage(self) -> pd.DataFrame:
        """Coverage of central intervals by level.

        Columns: ``observed``; ``5%`` and ``95%``, what chance allows a calibrated forecast;
        ``tail_probability``, the share of calibrated forecasts beyond, on the side where they are fewer.
        """
        distance = np.abs(self._cells["pit"].to_numpy() - 0.5)
        simulated = np.abs(self.simulated_pit - 0.5)
        rows = [
            {"observed": (distance <= x / 2).mean()}
            | _chance((distance <= x / 2).mean(), (simulated <= x / 2).mean(axis=1))
            for x in LEVELS
        ]
        return pd.DataFrame(rows, index=pd.Index(LEVELS, name="level"))

    def reliability(self, n_bins: int = 6) -> pd.DataFrame:
        """Reliability by quantile and bin of equally many forecasts.

        Columns: ``probability``, mean forecast; ``frequency``, how often it came true; ``n``, number of
        forecasts; ``5%`` and ``95%``, what chance allows a calibrated forecast.
        """
        n_bins = _checks.at_least(n_bins, 1, what="n_bins", where="reliability")
        rows = []
        for q in range(N_RANKS):
            order = np.argsort(self.probabilities[:, q], kind="stable")
            for b, members in enumerate(np.array_split(order, min(n_bins, len(order))), start=1):
                low, high = np.quantile(self.simulated_outcomes[:, members, q].mean(axis=1), [0.05, 0.95])
                rows.append(
                    {
                        "quantile": q + 1,
                        "bin": b,
                        "probability": self.probabilities[members, q].mean(),
                        "frequency": self.outcomes[members, q].mean(),
                        "n": len(members),
                        "5%": low,
                        "95%": high,
                    }
                )
        return pd.DataFrame(rows).set_index(["quantile", "bin"])

    def slopes(self) -> pd.DataFrame:
        """Slope of outcome on forecast probability by quantile: 1 if calibrated, below 1 if overconfident.

        Columns: ``slope``; ``se``, robust to dependence within an origin (NaN with fewer than eight); ``5%``,
        ``95%`` and ``tail_probability`` as in ``coverage``. NaN where all forecasts are equal.
        """
        table = reliability_slopes(self.probabilities, self.outcomes, self._cells["origin"])
        centred = self.probabilities - self.probabilities.mean(axis=0)
        for q, row in table[table["slope"].notna()].iterrows():
            x = centred[:, int(str(q)) - 1]
            simulated = self.simulated_outcomes[:, :, int(str(q)) - 1] @ x / float(x @ x)
            for name, value in _chance(row["slope"], simulated).items():
                table.loc[q, name] = value
        return table.reindex(columns=["slope", "se", "5%", "95%", "tail_probability"])

    @property
    def flags(self) -> tuple[str, ...]:
        """What one calibrated forecast in fifty would show, in plain language."""
        flags = []
        if self.uniformity < 2 * FLAGGED:
            flags.append(f"PIT: its distribution is not uniform ({p_text(self.uniformity)}).")
        coverage, slopes = self.coverage(), self.slopes()
        for level, row in coverage[coverage["tail_probability"] < FLAGGED].iterrows():
            flags.append(
                f"central {level:.0%} intervals cover {row['observed']:.1%}, chance allows"
                f" {row['5%']:.1%} to {row['95%']:.1%}: forecasts are too"
                f" {'narrow' if row['observed'] < row['5%'] else 'wide'}."
            )
        for q, row in slopes[slopes["tail_probability"] < FLAGGED].iterrows():
            flags.append(
                f"quantile {q}: reliability slope {row['slope']:.2f}, chance allows {row['5%']:.2f} to"
                f" {row['95%']:.2f}: its probabilities are"
                f" {'over' if row['slope'] < row['5%'] else 'under'}confident."
            )
        return tuple(flags)

    def __repr__(self) -> str:
        return (
            f"<bdfm.Calibration: {counted(self.n_origins, 'origin')}, {counted(len(self._cells), 'outcome')},"
            f" PIT uniform with {p_text(self.uniformity)}, {counted(len(self.flags), 'flag')}>"
        )

    def _repr_html_(self) -> str:
        return (
            opening(self, self.flags)
            + self.coverage().to_html(float_format="{:.3f}".format, border=0)
            + self.slopes().to_html(float_format="{:.2f}".format, border=0)
        )

    # Pictures

    def plot_pit(self) -> Figure:
        """Histogram of the PIT, and its ECDF less the diagonal, each with what chance allows."""
        values = self._cells["pit"].to_numpy()
        edges = np.linspace(0, 1, 11)
        figure, axes = new_figure(1, 2, figsize=(9, 3.4))
        bars, curve_axis = axes[0]
        share = np.histogram(values, edges)[0] / len(values)
        simulated = np.stack([np.histogram(row, edges)[0] for row in self.simulated_pit]) / len(values)
        low, high = np.quantile(simulated, [0.05, 0.95], axis=0)
        bars.bar(edges[:-1], share, 0.1, align="edge", color="C0", alpha=0.5, edgecolor="white")
        bars.vlines(
            edges[:-1] + 0.05, low, high, color="black", alpha=0.25, lw=6, label="90 % by chance, each bar"
        )
        bars.axhline(0.1, color="black", lw=0.8)
        bars.set_ylabel("share of outcomes", fontsize=8)
        curve, (lower, upper), grid, p_value = self._band
        curve_axis.fill_between(
            grid,
            lower - grid,
            upper - grid,
            color="black",
            alpha=0.12,
            lw=0,
            label=f"{100 * BAND:.0f} % by chance, whole curve",
        )
        curve_axis.plot(grid, curve - grid, color="C0", lw=1.4)
        curve_axis.axhline(0, color="black", lw=0.8)
        curve_axis.set_ylabel("ECDF less diagonal", fontsize=8)
        for axis in (bars, curve_axis):
            axis.set_xlim(0, 1)
            axis.set_xlabel("PIT", fontsize=8)
            axis.tick_params(labelsize=7)
        figure.legend(loc="outside lower center", ncols=2, fontsize=7.5, frameon=False)
        figure.suptitle(
            f"{counted(self.n_origins, 'origin')}, {counted(len(values), 'outcome')}; uniform with"
            f" {p_text(p_value)}",
            fontsize=10,
        )
        return figure

    def plot_reliability(self, n_bins: int = 6) -> Figure:
        """Frequency against forecast probability for each fifth: best on the diagonal.

        A bin holds equally many forecasts. Its vertical bar holds 90 % of the frequencies that calibrated
        forecasts would show, with the dependence between assets as forecast (see the class).
        """
        table, slopes = self.reliability(n_bins), self.slopes()
        figure, axes = new_figure(1, N_RANKS, figsize=(12, 2.9), sharex=True, sharey=True)
        top = 1.08 * float(table[["probability", "frequency", "95%"]].to_numpy().max())
        for q, axis in enumerate(axes[0], start=1):
            part = table.loc[q]
            axis.plot([0, top], [0, top], color="black", lw=0.8)
            axis.vlines(part["probability"], part["5%"], part["95%"], color="black", alpha=0.2, lw=5)
            axis.plot(part["probability"], part["frequency"], "o-", color="C0", ms=4, lw=1)
            row = slopes.loc[q]
            axis.set_title(
                f"fifth {q}: slope {row['slope']:.2f} (chance {row['5%']:.2f} to {row['95%']:.2f})",
                fontsize=7.5,
            )
            axis.set_xlim(0, top)
            axis.set_ylim(0, top)
            axis.set_aspect("equal")
            axis.tick_params(labelsize=7)
        figure.supxlabel("forecast probability", fontsize=8)
        figure.supylabel("frequency", fontsize=8)
        figure.suptitle(
            f"Reliability: fifth 1 is the lowest; {counted(self.n_origins, 'origin')}", fontsize=10
        )
        return figure


def reliability_slopes(
    probabilities: Floats, outcomes: Floats, origins: ArrayLike | pd.Series[Any]
) -> pd.DataFrame:
    """Slope of outcome on forecast probability by quantile: 1 if calibrated, below 1 if overconfident.

    ``probabilities`` and ``outcomes`` (cell, quantile), ``origins`` (cell). Columns: ``slope``, NaN where all
    forecasts are equal; ``se``, robust to dependence within an origin, NaN with fewer than eight.
    """
    origin = pd.factorize(np.asarray(origins))[0]
    n_origins = int(origin.max()) + 1
    rows = []
    for q in range(probabilities.shape[1]):
        x = probabilities[:, q] - probabilities[:, q].mean()
        total = float(x @ x)
        if total < 1e-12:
            rows.append({"slope": np.nan, "se": np.nan})
            continue
        slope = float(x @ outcomes[:, q]) / total
        residual = outcomes[:, q] - outcomes[:, q].mean() - slope * x
        score = np.bincount(origin, weights=x * residual)
        spread = float(score @ score) * n_origins / max(n_origins - 1, 1)
        rows.append({"slope": slope, "se": np.sqrt(spread) / total if n_origins >= MIN_ORIGINS else np.nan})
    return pd.DataFrame(rows, index=pd.RangeIndex(1, probabilities.shape[1] + 1, name="quantile"))


def simulated_outcomes(
    draws: NDArray[np.floating[Any]], weights: Floats, n: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Randomised PIT (simulation, asset) and fifths (simulation, asset, quantile) of draws as outcomes.

    What a calibrated forecast would show by chance: ``n`` of the draws (draw, asset), chosen by their weights
    (draw,), take the place of what came.
    """
    equal = weights.min() == weights.max()
    chance = None if equal else weights
    chosen = draws[rng.choice(len(draws), n, p=chance)]
    size = min(_RANKED_DRAWS, len(draws))
    # Equal weights: without replacement, so that all draws serve where they are few.
    ranked = np.sort(draws[rng.choice(len(draws), size, replace=not equal, p=chance)], axis=0)
    values = np.empty(chosen.shape, dtype=np.float32)
    for i in range(draws.shape[1]):
        below, upto = (np.searchsorted(ranked[:, i], chosen[:, i], side=s) for s in ("left", "right"))
        values[:, i] = (below + rng.random(n) * (upto - below)) / size
    fifths = np.stack([outcome_quantiles(row, N_RANKS) for row in chosen]).astype(np.float32)
    return values, fifths


def _chance(observed: float, simulated: NDArray[np.floating[Any]]) -> dict[str, float]:
    """What chance allows: 5 and 95 % of the simulated values (simulation,), and the tail probability."""
    low, high = np.quantile(simulated, [0.05, 0.95])
    tail = float(tail_probability(observed, simulated))
    return {"5%": float(low), "95%": float(high), "tail_probability": tail}


def _ecdf(values: NDArray[np.floating[Any]]) -> Floats:
    """Empirical distribution function (row, grid) of each row of values in [0, 1]."""
    ordered = np.sort(values, axis=1)
    counts = np.stack([np.searchsorted(row, _GRID, side="right") for row in ordered])
    return np.asarray(counts / values.shape[1])


def _extremeness(curves: Floats) -> NDArray[np.int64]:
    """How many curves (curve, point) are as extreme as each or more, itself counted.

    At a point a curve is as deep as there are curves at or beyond it, on the side where they are fewer. Of
    two curves the one with the less deep point is more extreme; if equal, the next least deep one decides.
    """
    from scipy.stats import rankdata  # slow to import, and seldom needed

    upto = rankdata(curves, method="max", axis=0)
    depth = np.minimum(upto, len(curves) + 1 - rankdata(curves, method="min", axis=0))
    keys = np.sort(depth, axis=1)
    order = np.lexsort(keys.T[::-1])
    new = np.any(np.diff(keys[order], axis=0) != 0, axis=1)
    # Equally extreme curves share the last place of their group.
    last = np.append(np.flatnonzero(new), len(curves) - 1)
    place = np.empty(len(curves), dtype=np.int64)
    place[order] = last[np.searchsorted(last, np.arange(len(curves)))] + 1
    return place


def tail_probability(observed: float | Floats, simulated: NDArray[np.floating[Any]]) -> Floats:
    """Share of simulated values (simulation, ...) beyond the observed, on the side where they are fewer."""
    above = (simulated > observed).mean(axis=0) + 0.5 * (simulated == observed).mean(axis=0)
    return np.asarray(np.minimum(above, 1 - above))

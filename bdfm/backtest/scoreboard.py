"""Scores of several runs over the origins that they share: means, differences, groups, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from bdfm._reading import counted
from bdfm._statistics import MIN_ORIGINS, p_text
from bdfm._strict import strict
from bdfm.backtest.choices import JOINT, SCORES, Score, unit_of
from bdfm.backtest.run import Run
from bdfm.backtest.significance import (
    CONFIDENCE,
    Difference,
    diebold_mariano,
    freedom,
    model_confidence_set,
    size_of,
)
from bdfm.errors import DataError
from bdfm.forecast.forecast import N_RANKS
from bdfm.scoring.calibration import LEVELS, reliability_slopes

Grouping = Literal["year", "asset_class", "volatility"]

REGIMES: Final = ("calm", "middling", "turbulent")  # thirds of origins by market volatility


@dataclass(frozen=True, eq=False, repr=False)
class Scoreboard:
    """Scores of runs over common origins: all that can be said in numbers.

    Attributes
    ----------
    names, runs
        Forecasters, and their runs.
    origins
        Origins that all runs have.
    score
        What they are compared by; lower is better.
    """

    names: tuple[str, ...]
    runs: tuple[Run, ...]
    origins: pd.DatetimeIndex
    score: Score
    _reference: str | None
    _n_lags: int | None
    _seed: int

    @cached_property
    def losses(self) -> pd.DataFrame:
        """Score (origin, forecaster), mean over assets."""
        columns = {
            n: r.scores[self.score].loc[self.origins] for n, r in zip(self.names, self.runs, strict=True)
        }
        return pd.DataFrame(columns)

    @cached_property
    def reference(self) -> str:
        """Forecaster that the others are compared to."""
        return self._reference or str(self.losses.mean().idxmin())

    @cached_property
    def sharing(self) -> int:
        """Most origins whose periods share a day; 0 where none begins before another one ends."""
        return self.runs[0].sharing_of(self.origins)

    @cached_property
    def confidence_set(self) -> pd.Series[float]:
        """P-value (forecaster) in the model confidence set; above 0.1: among the best with 90 % certainty.

        NaN from fewer than eight origins, or fewer than two for each of those that share a day.
        """
        return model_confidence_set(self.losses, seed=self._seed, sharing=self.sharing)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a forecaster, best first.

        ``score``, the mean; ``difference`` from the reference, its standard error ``se`` and ``p_value``
        (Diebold-Mariano, two-sided); ``mcs_p_value``; ``wins``, the share of origins on which it beats the
        reference; the means of all other scores, and of ``seconds`` an origin.
        """
        rows = []
        for name, run in zip(self.names, self.runs, strict=True):
            gap = self.losses[name] - self.losses[self.reference]
            test = self._test(self.losses[name], self.losses[self.reference])
            own = run.scores.loc[self.origins]
            row = {
                "score": self.losses[name].mean(),
                "difference": test.mean,
                "se": test.se,
                "p_value": test.p_value if name != self.reference else np.nan,
                "mcs_p_value": self.confidence_set[name],
                "wins": (gap < 0).mean() if name != self.reference else np.nan,
            }
            row |= {k: own[k].mean() if k in own else np.nan for k in (*SCORES, "information_ratio")}
            rows.append(row | {"seconds": own["seconds"].mean()})
        table = pd.DataFrame(rows, index=pd.Index(self.names, name="forecaster"))
        return table.sort_values("score", kind="stable")

    def _test(self, own: pd.Series[float], other: pd.Series[float]) -> Difference:
        """Test of the difference of the scores of two forecasters."""
        one, two = (x.to_numpy(dtype=np.float64) for x in (own, other))
        size = size_of(one, two)
        return diebold_mariano(one - two, n_lags=self._n_lags, sharing=self.sharing, size=size)

    @property
    def _fewest(self) -> int:
        """Origins from which an error, a test and a confidence set are told."""
        return max(MIN_ORIGINS, 0 if self._n_lags is not None else 2 * self.sharing)

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the errors of mean differences over all origins."""
        return freedom(len(self.origins), self.sharing, self._n_lags)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Mean difference, se and p-value of each ordered pair: ``forecaster`` less ``other``, best first."""
        order = list(self.table.index)
        rows = [
            {
                "forecaster": a,
                "other": b,
                **self._test(self.losses[a], self.losses[b])._asdict(),
            }
            for a in order
            for b in order
            if a != b
        ]
        return pd.DataFrame(rows).set_index(["forecaster", "other"])

    @cached_property
    def market_volatility(self) -> pd.Series[float]:
        """Annual volatility of the market (origin), as known then."""
        return self.runs[0].scores["market_volatility"].loc[self.origins]

    @cached_property
    def regimes(self) -> pd.Series[str]:
        """Volatility regime (origin): thirds of the origins by market volatility known then."""
        if len(self.origins) < len(REGIMES):
            return pd.Series(REGIMES[0], index=self.origins)
        ranks = self.market_volatility.rank(method="first")
        return pd.cut(ranks, len(REGIMES), labels=list(REGIMES)).astype(str)

    @strict
    def by(self, group: Grouping) -> pd.DataFrame:
        """Scores by year, asset class, or volatility regime.

        Columns by (group, forecaster): ``score``; ``difference`` from the reference; ``se`` and ``p_value``
        (not adjusted for the number of groups); ``n``, origins. By class the score is the mean over its
        assets, ranked among all; joint scores (``energy_score`` and its like) have no classes.
        """
        if group == "asset_class":
            return self._by_class()
        labels = pd.Series(self.origins.year, self.origins) if group == "year" else self.regimes
        values = sorted(labels.unique()) if group == "year" else [r for r in REGIMES if (labels == r).any()]
        parts = {str(v): self.losses[(labels == v).to_numpy()] for v in values}
        return self._grouped(parts, group)

    def _by_class(self) -> pd.DataFrame:
        if self.score in JOINT:
            raise DataError(
                f"by: the {SCORES[self.score]} score is joint over all assets and has no classes."
            )
        parts: dict[str, pd.DataFrame] = {}
        tables = [r.cells.groupby(["asset_class", "origin"])[self.score].mean() for r in self.runs]
        for name in dict.fromkeys(self.runs[0].cells["asset_class"]):
            part = pd.DataFrame({n: t.loc[name] for n, t in zip(self.names, tables, strict=True)})
            parts[str(name)] = part[part.index.isin(self.origins)]
        return self._grouped(parts, "asset_class")

    def _grouped(self, parts: dict[str, pd.DataFrame], group: str) -> pd.DataFrame:
        rows = []
        for label, losses in parts.items():
            for name in self.table.index:
                test = self._test(losses[name], losses[self.reference])
                rows.append(
                    {
                        group: label,
                        "forecaster": name,
                        "score": losses[name].mean(),
                        "difference": test.mean,
                        "se": test.se,
                        "p_value": test.p_value if name != self.reference else np.nan,
                        "n": test.n,
                    }
                )
        return pd.DataFrame(rows).set_index([group, "forecaster"])

    @cached_property
    def decomposition(self) -> pd.DataFrame:
        """RPS (forecaster, boundary): its four parts, at the boundaries of the fifths, that sum to it.

        The outer ones reward knowing who will move far, the inner ones, and the difference of the outer two,
        knowing the direction.
        """
        columns = [f"rps_{k}" for k in range(1, N_RANKS)]
        parts = {
            n: r.scores.loc[self.origins, columns].mean() / N_RANKS
            for n, r in zip(self.names, self.runs, strict=True)
        }
        table = pd.DataFrame(parts).T.loc[self.table.index]
        return table.set_axis(pd.Index([f"{20 * k} %" for k in range(1, N_RANKS)], name="boundary"), axis=1)

    @cached_property
    def calibration(self) -> pd.DataFrame:
        """Calibration of each forecaster, over all its origins.

        ``slope_1``, ``slope_5``: reliability slopes of the lowest and highest fifth, with ``se``: 1 is
        calibrated, below is overconfident; ``pit_p_value``, of uniformity; ``coverage_50`` to ``coverage_95``
        of central intervals. NaN where the forecaster has no draws or the same probabilities for all.
        """
        rows = []
        for name in self.table.index:
            run = self.runs[self.names.index(name)]
            p, y = (
                np.concatenate([x[k].to_numpy() for x in run.results]) for k in ("probability", "outcome")
            )
            slopes = reliability_slopes(p, y, run.cells["origin"])
            row: dict[str, Any] = {}
            for q in (1, N_RANKS):
                row |= {f"slope_{q}": slopes.loc[q, "slope"], f"slope_{q}_se": slopes.loc[q, "se"]}
            if run.has_draws:
                covered = run.calibration.coverage()["observed"]
                row |= {"pit_p_value": run.calibration.uniformity}
                row |= {f"coverage_{100 * x:.0f}": covered[x] for x in LEVELS}
            rows.append(row)
        columns = ["slope_1", "slope_1_se", "slope_5", "slope_5_se", "pit_p_value"]
        columns += [f"coverage_{100 * x:.0f}" for x in LEVELS]
        return pd.DataFrame(rows, columns=columns, index=self.table.index)

    @property
    def verdict(self) -> str:
        """Who is best and how sure that is, in two sentences."""
        table = self.table
        best = str(table.index[0])
        second = str(table.index[1])
        gap = self._test(self.losses[best], self.losses[second])
        unit = unit_of(self.score)
        begin = (
            f"Best is {best}: mean {SCORES[self.score]} {table['score'].iloc[0]:.5f} over"
            f" {counted(len(self.origins), 'origin')}, better than {second} by {unit.shown(-gap.mean)}"
        )
        if not np.isfinite(gap.se):
            shared = f", {self.sharing} of which share a day" if self._fewest > MIN_ORIGINS else ""
            return (
                f"{begin}. Whether that is more than chance cannot be said from {len(self.origins)}"
                f" origins{shared}: an"
                f" error and a test need {self._fewest}, a confidence set too. Run them over more origins."
            )
        begin = f"{begin} ± {unit.shown(gap.se)} ({p_text(gap.p_value)})."
        among = [str(n) for n in table.index[table["mcs_p_value"] > 1 - CONFIDENCE]]
        if not among:  # errors of so many lags are told, and no set is
            return begin
        return f"{begin} The {CONFIDENCE:.0%} model confidence set holds {', '.join(among)}."

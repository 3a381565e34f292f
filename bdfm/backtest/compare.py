"""Comparison of backtests: who is better, by how much, with what certainty, and when.

Forecasters are compared origin by origin, since what makes a period hard makes it hard for all of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd
from rich.table import Table
from scipy import stats

from bdfm import _checks
from bdfm.backtest.protocol import Floats
from bdfm.backtest.run import Run
from bdfm.errors import DataError, DataWarning, MissingDependencyError
from bdfm.forecast.forecast import N_RANKS
from bdfm.scoring.calibration import LEVELS, reliability_slopes

Figure = Any  # of Plotly, which is optional
Score = Literal["rps", "log_score", "crps", "energy_score"]
Grouping = Literal["year", "asset_class", "volatility"]

SCORES: Final[dict[str, str]] = {
    "rps": "RPS",
    "log_score": "log score",
    "crps": "CRPS",
    "energy_score": "energy",
}
CONFIDENCE: Final = 0.9  # of the model confidence set
N_BOOTSTRAP: Final = 10_000
REGIMES: Final = ("calm", "middling", "turbulent")  # thirds of origins by market volatility
MIN_ORIGINS: Final = 8  # that an error of a mean difference is computed from
UNIT: Final = 1e-5  # in which differences of scores are shown


class Difference(NamedTuple):
    """Mean difference of two scores, its standard error, and the two-sided p-value of no difference."""

    mean: float
    se: float
    p_value: float
    n: int


def diebold_mariano(differences: Floats, *, n_lags: int | None = None) -> Difference:
    """Test of Diebold and Mariano (1995) that two forecasters score alike.

    The variance of the mean difference counts autocorrelation up to ``n_lags`` by Bartlett's kernel (Newey
    and West 1987); the statistic is compared to a t distribution of n - 1 degrees of freedom, since origins
    are few (Harvey, Leybourne and Newbold 1997).

    Parameters
    ----------
    differences
        (origin,) differences of two scores, in order of time.
    n_lags
        Lags; floor(4 (n / 100)^(2/9)) unless given. Where periods overlap, give at least the number of
        origins that share a day.

    Returns
    -------
    Difference
        NaN errors with fewer than eight origins; a p-value of 1 where there is no difference at all.
    """
    d = np.asarray(differences, dtype=np.float64)
    n = len(d)
    mean = float(d.mean()) if n else float("nan")
    if n < MIN_ORIGINS:
        return Difference(mean, float("nan"), float("nan"), n)
    if np.ptp(d) < 1e-15:
        return Difference(mean, 0.0, 1.0 if abs(mean) < 1e-15 else 0.0, n)
    try:
        from arch.covariance.kernel import Bartlett
    except ImportError as error:
        raise _missing("arch") from error
    lags = int(4 * (n / 100) ** (2 / 9)) if n_lags is None else n_lags
    lags = min(_checks.at_least(lags, 0, what="n_lags", where="compare"), n - 1)
    long_run = float(np.squeeze(Bartlett(d, bandwidth=lags, df_adjust=1).cov.long_run))
    se = float(np.sqrt(long_run / n))
    return Difference(mean, se, float(2 * stats.t.sf(abs(mean) / se, n - 1)), n)


def model_confidence_set(
    losses: pd.DataFrame, *, seed: int, n_bootstrap: int = N_BOOTSTRAP
) -> pd.Series[float]:
    """P-value of each forecaster in the model confidence set (Hansen, Lunde and Nason 2011).

    The set of confidence 1 - a holds those with a p-value above a: the best one is among them with at least
    that probability. Range statistic, stationary bootstrap with blocks of n^(1/3) origins on average.

    Parameters
    ----------
    losses
        (origin, forecaster), lower is better.
    seed
        Of the bootstrap.
    """
    try:
        from arch.bootstrap import MCS
    except ImportError as error:
        raise _missing("arch") from error
    # Forecasters that score the same to the last digit would have a difference without variance.
    groups: dict[bytes, list[Any]] = {}
    for name in losses:
        groups.setdefault(losses[name].to_numpy().tobytes(), []).append(name)
    first = [names[0] for names in groups.values()]
    if len(first) == 1:
        return pd.Series(1.0, index=losses.columns)
    mcs = MCS(
        losses[first].to_numpy(),
        size=1 - CONFIDENCE,
        reps=n_bootstrap,
        block_size=max(2, round(len(losses) ** (1 / 3))),
        seed=seed,
    )
    mcs.compute()
    found = mcs.pvalues["Pvalue"]
    values = {n: float(found[k]) for k, names in enumerate(groups.values()) for n in names}
    return pd.Series(values).reindex(losses.columns)


def compare(
    runs: Sequence[Run],
    *,
    reference: str | None = None,
    score: Score = "rps",
    n_lags: int | None = None,
    seed: int = 1,
) -> Comparison:
    """Comparison of runs over the origins that all of them have.

    Parameters
    ----------
    runs
        At least two, of the same universe and outcomes. Runs of one name are told apart by their folders.
    reference
        Name of the forecaster that the others are compared to; the best one, unless given.
    score
        What to compare by: ``rps``, ``log_score`` of fifths, ``crps`` of log returns, or ``energy_score``,
        that of all assets' log returns jointly. Lower is better in all.
    n_lags
        See ``diebold_mariano``.
    seed
        Of the bootstrap of the model confidence set.

    Raises
    ------
    DataError
        Fewer than two runs, no common origin, outcomes that differ, or a run without that score.
    UnknownLabelError
        An unknown reference.

    Warns
    -----
    DataWarning
        Origins that only some of the runs have, and that are left out.
    """
    where = "compare"
    if len(runs) < 2:
        raise DataError(f"{where}: {len(runs)} run given. Give at least two.")
    if score not in SCORES:
        raise DataError(f"{where}: no score {score!r}. Known: {', '.join(SCORES)}.")
    names = _names(runs)
    if reference is not None:
        _checks.known([reference], names, what="forecaster", where=where)
    lacking = [n for n, r in zip(names, runs, strict=True) if score not in r.scores]
    if lacking:
        raise DataError(
            f"{where}: {_checks.first(lacking)} have no draws and so no {SCORES[score]}. Leave them out."
        )
    common = runs[0].origins
    for run in runs[1:]:
        common = common.intersection(run.origins)
    if common.empty:
        raise DataError(f"{where}: no origin that all runs have. Run them over the same origins.")
    every = len(set().union(*(run.origins for run in runs)))
    if len(common) < every:
        warnings.warn(
            f"{where}: {every - len(common)} of {every} origins are not in all runs and are left out.",
            DataWarning,
            stacklevel=2,
        )
    _check_outcomes(runs, names, common)
    return Comparison(tuple(names), tuple(runs), common, score, reference, n_lags, seed)


def _names(runs: Sequence[Run]) -> list[str]:
    names = [r.name for r in runs]
    if len(set(names)) < len(names):
        names = [r.name if names.count(r.name) == 1 else f"{r.name} ({r.folder.name})" for r in runs]
    _checks.unique(names, what="runs", where="compare", hint="Give each run once.")
    return names


def _check_outcomes(runs: Sequence[Run], names: Sequence[str], common: pd.DatetimeIndex) -> None:
    """All runs must have forecast the same assets and seen the same returns."""
    key = ["origin", "symbol"]
    tables = [r.cells.set_index(key)["realised"].loc[common] for r in runs]
    for name, table in zip(names[1:], tables[1:], strict=True):
        if not table.index.equals(tables[0].index) or not np.array_equal(table, tables[0]):
            raise DataError(
                f"compare: {names[0]} and {name} were run on different universes or prices. Run them on the"
                " same data."
            )


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Runs over common origins; made by ``compare``.

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

    # Scores

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
    def confidence_set(self) -> pd.Series[float]:
        """P-value (forecaster) in the model confidence set; above 0.1: among the best with 90 % certainty."""
        if len(self.origins) < MIN_ORIGINS:
            return pd.Series(np.nan, index=list(self.names))
        return model_confidence_set(self.losses, seed=self._seed)

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
            test = self._test(gap.to_numpy())
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

    def _test(self, differences: Floats) -> Difference:
        return diebold_mariano(differences, n_lags=self._n_lags)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Mean difference, se and p-value of each ordered pair: ``forecaster`` less ``other``, best first."""
        order = list(self.table.index)
        rows = [
            {
                "forecaster": a,
                "other": b,
                **self._test((self.losses[a] - self.losses[b]).to_numpy())._asdict(),
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

    def by(self, group: Grouping) -> pd.DataFrame:
        """Scores by year, asset class, or volatility regime.

        Columns by (group, forecaster): ``score``; ``difference`` from the reference; ``se`` and ``p_value``
        (not adjusted for the number of groups); ``n``, origins. By class the score is the mean over its
        assets, ranked among all; the energy score is joint and has no classes.
        """
        if group == "asset_class":
            return self._by_class()
        if group not in ("year", "volatility"):
            raise DataError(f"by: no grouping {group!r}. Known: year, asset_class, volatility.")
        labels = pd.Series(self.origins.year, self.origins) if group == "year" else self.regimes
        values = sorted(labels.unique()) if group == "year" else [r for r in REGIMES if (labels == r).any()]
        parts = {str(v): self.losses[(labels == v).to_numpy()] for v in values}
        return self._grouped(parts, group)

    def _by_class(self) -> pd.DataFrame:
        if self.score == "energy_score":
            raise DataError("by: the energy score is joint over all assets and has no classes.")
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
                test = self._test((losses[name] - losses[self.reference]).to_numpy())
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

    # Words and tables

    @property
    def verdict(self) -> str:
        """Who is best and how sure that is, in two sentences."""
        table = self.table
        best = str(table.index[0])
        second = str(table.index[1])
        gap = self._test((self.losses[best] - self.losses[second]).to_numpy())
        among = [str(n) for n in table.index[~(table["mcs_p_value"] <= 1 - CONFIDENCE)]]
        return (
            f"Best is {best}: mean {SCORES[self.score]} {table['score'].iloc[0]:.5f} over"
            f" {len(self.origins)} origins, better than {second} by {-gap.mean / UNIT:.1f}e-5 ±"
            f" {gap.se / UNIT:.1f}e-5 (p = {gap.p_value:.3f})."
            f" The {CONFIDENCE:.0%} model confidence set holds {', '.join(among)}."
        )

    def _display(self) -> pd.DataFrame:
        """Table for people: texts only."""
        t = self.table

        def number(column: str, form: str, scale: float = 1.0) -> list[str]:
            return ["" if np.isnan(x) else format(x / scale, form) for x in t[column]]

        columns = {
            SCORES[self.score]: number("score", ".5f"),
            "diff 1e-5": [
                "reference" if n == self.reference else x
                for n, x in zip(t.index, number("difference", "+.1f", UNIT), strict=True)
            ],
            "± se": [
                "" if n == self.reference else x
                for n, x in zip(t.index, number("se", ".1f", UNIT), strict=True)
            ],
            "p": number("p_value", ".3f"),
            "MCS p": number("mcs_p_value", ".3f"),
            "wins": number("wins", ".0%"),
        }
        others = {k: v for k, v in SCORES.items() if k != self.score}
        columns |= {v: number(k, ".3f" if k == "energy_score" else ".4f") for k, v in others.items()}
        if t["information_ratio"].notna().any():
            columns["IR"] = number("information_ratio", ".3f")
        return pd.DataFrame(columns, index=t.index)

    def __rich__(self) -> Table:
        shown = self._display()
        caption = f"{len(self.origins)} origins, {self.origins[0]:%Y-%m-%d} to {self.origins[-1]:%Y-%m-%d}"
        table = Table(
            title=None,
            caption=caption,
            caption_justify="left",
            box=None,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        # In a narrow terminal, or a file, headings wrap and figures stay whole.
        table.add_column(
            "forecaster", min_width=max(len(_plain(str(n))) for n in (*shown.index, "forecaster"))
        )
        for column in map(str, shown):
            width = max(map(len, (*shown[column], *column.split())))
            table.add_column(column, justify="right", min_width=width)
        within_set = (self.table["mcs_p_value"] > 1 - CONFIDENCE).tolist()
        for (name, row), within in zip(shown.iterrows(), within_set, strict=True):
            table.add_row(_plain(str(name)), *row, style="bold" if within else None)
        return table

    def __repr__(self) -> str:
        return f"<bdfm.backtest.Comparison of {len(self.names)} forecasters: {self.verdict}>"

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.verdict)}</p>" + self._display().to_html(border=0, escape=True)

    # Pictures and page

    def plot_differences(self) -> Figure:
        """Mean difference from the reference with 90 and 95 % intervals; left is better."""
        from bdfm.backtest import page

        return page.differences(self)

    def plot_cumulative(self) -> Figure:
        """Sum of differences from the reference over time; a line that falls gains on it."""
        from bdfm.backtest import page

        return page.cumulative(self)

    def plot_groups(self, group: Grouping) -> Figure:
        """Difference from the reference by group and forecaster, with its t-statistic."""
        from bdfm.backtest import page

        return page.groups(self, group)

    def plot_decomposition(self) -> Figure:
        """Difference of RPS from the reference at each boundary of the fifths."""
        from bdfm.backtest import page

        return page.decomposition(self)

    def plot_calibration(self) -> Figure:
        """Reliability of the outer fifths, and the PIT less the diagonal."""
        from bdfm.backtest import page

        return page.calibration(self)

    def write_html(self, path: str | Path) -> Path:
        """Write one self-contained page with tables and pictures; returns its path, ``FileError`` if not."""
        from bdfm.backtest import page

        return page.write(self, Path(path))


def _plain(name: str) -> str:
    """Name as text, not as markup of rich."""
    from rich.markup import escape as rich_escape

    return rich_escape(name)


def _missing(package: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"compare: needs {package}, which is not installed. Install it with: pip install 'bdfm[backtest]'"
    )

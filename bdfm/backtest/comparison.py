"""Comparison of backtests: who is better, by how much, with what certainty, and when.

Forecasters are compared origin by origin, since what makes a period hard makes it hard for all of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._kinds import of_kind
from bdfm._reading import PACKAGE, counted
from bdfm._seeds import either_seed
from bdfm._sheet import Sheet
from bdfm._strict import strict
from bdfm.backtest import page
from bdfm.backtest.choices import SCORES, Score
from bdfm.backtest.run import Run
from bdfm.backtest.scoreboard import Grouping, Scoreboard
from bdfm.backtest.significance import CONFIDENCE
from bdfm.errors import DataError, DataWarning

Figure = Any  # of Plotly, which is optional


@either_seed
@strict
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
        What to compare by: ``rps``, ``log_score`` of fifths, ``crps`` of log returns; or, of all assets' log
        returns jointly, ``energy_score``, ``variogram_score`` or ``dawid_sebastiani_score``
        (``bdfm.scoring.joint``). Lower is better in all.
    n_lags
        See ``diebold_mariano``. Where periods overlap and it is not given, errors rest on few cosines; there
        are none where fewer than two origins come on each that share a day. The confidence set does so
        whatever it is.
    seed
        Of the bootstrap of the model confidence set, or of its rotations.

    Raises
    ------
    DataError
        Fewer than two runs, no common origin, outcomes that differ, or a run without that score.
    UnknownLabelError
        An unknown score or reference.

    Warns
    -----
    DataWarning
        Origins that only some of the runs have, and that are left out.
    """
    where = "compare"
    hint = "walk_forward(...) gives one; bdfm.backtest.load_runs([folder]) those of a folder."
    for run in [runs] if isinstance(runs, str | Path | Run) else runs:
        of_kind(run, Run, what="each of the runs", where=where, hint=hint)
    if len(runs) < 2:
        raise DataError(f"{where}: {len(runs)} run given. Give at least two.")
    names = _names(runs)
    if reference is not None:
        _checks.known([reference], names, what="forecaster", where=where)
    lacking = [n for n, r in zip(names, runs, strict=True) if score not in r.scores]
    if lacking:
        raise DataError(
            f"{where}: {_checks.first(lacking)} have no {SCORES[score]} score: no draws, or an earlier"
            " release made the run. Leave them out, or run them again."
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
            skip_file_prefixes=(PACKAGE,),
        )
    _check_outcomes(runs, names, common)
    return Comparison(tuple(names), tuple(runs), common, score, reference, n_lags, seed)


def _names(runs: Sequence[Run]) -> list[str]:
    names = [r.name for r in runs]
    if len(set(names)) < len(names):
        names = [r.name if names.count(r.name) == 1 else f"{r.name} ({r.folder.name})" for r in runs]
    _checks.unique(names, what="run", where="compare", hint="Give each run once.")
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
class Comparison(Scoreboard):
    """Runs over common origins, as tables, pictures and a page; made by ``compare``.

    Attributes
    ----------
    names, runs
        Forecasters, and their runs.
    origins
        Origins that all runs have.
    score
        What they are compared by; lower is better.
    """

    def __rich__(self) -> Sheet:
        shown = page.texts(self)
        caption = (
            f"{counted(len(self.origins), 'origin')}, {self.origins[0]:%Y-%m-%d} to"
            f" {self.origins[-1]:%Y-%m-%d}"
        )
        sheet = Sheet("", ["forecaster"], list(map(str, shown)), caption=caption)
        within_set = (self.table["mcs_p_value"] > 1 - CONFIDENCE).tolist()
        for (name, row), within in zip(shown.iterrows(), within_set, strict=True):
            sheet.add_row(str(name), *row, style="bold" if within else "")
        return sheet

    def __repr__(self) -> str:
        return f"<bdfm.backtest.Comparison of {len(self.names)} forecasters: {self.verdict}>"

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.verdict)}</p>" + page.texts(self).to_html(border=0, escape=True)

    # Pictures and page

    def plot_differences(self) -> Figure:
        """Mean difference from the reference with 90 and 95 % intervals; left is better."""
        return page.differences(self)

    def plot_cumulative(self) -> Figure:
        """Sum of differences from the reference over time; a line that falls gains on it."""
        return page.cumulative(self)

    @strict
    def plot_groups(self, group: Grouping) -> Figure:
        """Difference from the reference by group and forecaster, with its t-statistic."""
        return page.groups(self, group)

    def plot_decomposition(self) -> Figure:
        """Difference of RPS from the reference at each boundary of the fifths."""
        return page.decomposition(self)

    def plot_calibration(self) -> Figure:
        """Reliability of the outer fifths, and the PIT less the diagonal."""
        return page.calibration(self)

    def write_html(self, path: str | Path) -> Path:
        """Write one self-contained page with tables and pictures; returns its path, ``FileError`` if not."""
        return page.write(self, _checks.path_of(path))

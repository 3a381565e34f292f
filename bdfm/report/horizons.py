"""Several horizons of one run: what they are, over which one evidence is, and the files of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bdfm.data.periods import Horizon, horizon_of, horizons_of
from bdfm.errors import DataError
from bdfm.forecast.changes import Changes, Step
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.report.roll import LASTING
from bdfm.report.run_file import RunFile


def horizons_in(
    run: RunFile, model: FactorModel, origin: pd.Timestamp, place: Callable[[str], str]
) -> tuple[Horizon, ...]:
    """Horizons that a run file asks for; the first one is that of its views, decision and ledger."""
    form, where = run.data.date_format, place("horizon")
    return horizons_of(run.data.horizon, model.panel.period, origin, where=where, date_format=form)


def evidence_in(
    run: RunFile,
    model: FactorModel,
    origin: pd.Timestamp,
    horizons: Sequence[Horizon],
    place: Callable[[str], str],
) -> tuple[Evidence, ...]:
    """Evidence of a run file, each over its horizon.

    Unless it names one, that is the run's in a model of market days, and the first period in others.
    """
    found = []
    for e in run.evidence:
        where = f"{place('evidence')} on {e.asset}"
        periods = 1
        if e.horizon is not None:
            form = run.data.date_format
            periods = horizon_of(e.horizon, model.panel.period, origin, where=where, date_format=form).periods
        elif model.conditions_paths:
            if len(horizons) > 1:
                raise DataError(
                    f"{where}: over which horizon? Of several, name one, as in"
                    f" {e.asset}={e.mean:g},{e.sd:g},{horizons[-1].label}."
                )
            periods = horizons[0].periods
        found.append(Evidence(e.asset, e.mean, e.sd, periods))
    return tuple(found)


def lasting(changes: Changes) -> Changes:
    """Edits that hold over any horizon; others, and views, are about one."""
    kept = (tuple(e for e in step.edits if e.kind in LASTING) for step in changes.steps)
    return replace(changes, steps=tuple(Step(edits) for edits in kept if edits), shares=None)


def file_of(name: str, label: str) -> str:
    """Name of the file of a further horizon: forecast_5d.nc."""
    path = Path(name)
    return f"{path.stem}_{label}{path.suffix}"

"""The files of a month as a report needs them, the month before among them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bdfm import _checks, _json
from bdfm._folders import file_in
from bdfm._reading import counted
from bdfm.errors import FileError
from bdfm.forecast.forecast import Forecast
from bdfm.ledger.ledger import Ledger
from bdfm.names import FORECAST_FILE, LEDGER_FILE, MADE_FILE, POSTERIOR_FILE, RUN_FILE, SUMMARY_FILE
from bdfm.posterior.posterior import Posterior


@dataclass(frozen=True)
class MonthFiles:
    """Forecast of a folder, and what lies beside it; None where it is not there."""

    folder: Path
    file: str
    forecast: Forecast
    posterior: Posterior | None
    summary: dict[str, Any] | None
    run: str | None
    previous: Forecast | None


def read_results(folder: str | Path, *, previous: str | Path | None = None) -> MonthFiles:
    """Read a folder of results, or another forecast in such a folder.

    ``previous`` is the folder of the month before, or its forecast; that of the ledger around the folder
    unless given. Raises ``FileError`` for what is not there or cannot be read.
    """
    folder, file = _checks.path_of(folder, what="folder"), FORECAST_FILE
    if os.path.isfile(folder):
        folder, file = folder.parent, folder.name
    _checks.existing_folder(folder, what="report", hint="Give the folder that a run or forecast wrote.")
    forecast = Forecast.load(file_in(folder, file))
    if previous is None:
        before = previous_in_ledger(folder.resolve().parent, forecast.origin)
    else:
        before = Forecast.load(file_in(previous, FORECAST_FILE))
    posterior = None
    if os.path.exists(folder / POSTERIOR_FILE):
        posterior = Posterior.load(folder / POSTERIOR_FILE)
        _check_one_month(forecast, posterior, folder)
    files = [f for f in (folder / RUN_FILE, folder / MADE_FILE) if os.path.exists(f)]
    return MonthFiles(
        folder,
        file,
        forecast,
        posterior,
        read_summary(folder / SUMMARY_FILE),
        _checks.existing_text(files[0], what="run file") if files else None,
        before,
    )


def _check_one_month(forecast: Forecast, posterior: Posterior, folder: Path) -> None:
    """Raise ``FileError`` where a posterior cannot be the one that a forecast beside it was made from."""
    panel, attrs = posterior.panel, forecast.attrs
    own = {"model": posterior.attrs["model_name"], "seed": posterior.attrs["seed"]}
    other = {"model": attrs.get("model", own["model"]), "seed": attrs.get("fit_seed", own["seed"])}
    same = all(str(own[k]) == str(other[k]) for k in own)
    if panel.origin != forecast.origin or not {*forecast.assets} <= {*panel.assets} or not same:
        one, two = (
            f"{of['model']}, seed {of['seed']}, origin {x.origin:%Y-%m-%d}, {counted(len(x.assets), 'asset')}"
            for of, x in ((own, panel), (other, forecast))
        )
        raise FileError(
            f"report: {folder / POSTERIOR_FILE} is of another fit ({one}) than the forecast beside it"
            f" ({two}). Make the month again, or take the posterior away."
        )


def previous_in_ledger(folder: Path, origin: pd.Timestamp) -> Forecast | None:
    """Forecast of the newest month of a ledger before an origin; None without one."""
    if not os.path.exists(folder / LEDGER_FILE):
        return None
    ledger = Ledger(folder)
    earlier = [e for e in ledger.entries() if pd.Timestamp(e.origin) < origin]
    return ledger.forecast(max(earlier, key=lambda e: (e.origin, e.number))) if earlier else None


def read_summary(path: Path) -> dict[str, Any] | None:
    """Table of a ``summary.json``; None where there is none. Raises ``FileError`` for what is no table."""
    if not _checks.there(path):
        return None
    try:
        return _json.table(_checks.existing_bytes(path, what="summary"))
    except ValueError as error:
        raise FileError(f"{path}: not valid JSON ({error}). Delete it, or run the month again.") from error

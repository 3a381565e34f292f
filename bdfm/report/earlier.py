"""The month of a folder whose posterior is the nearest to a new one, so that an update of it is short."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from bdfm import _checks
from bdfm._reading import counted
from bdfm.data.panel import Panel
from bdfm.errors import BdfmError, DataError, FileError
from bdfm.model.factor_model import FactorModel
from bdfm.names import PERIOD, POSTERIOR_FILE, SUMMARY_FILE
from bdfm.posterior.posterior import Posterior
from bdfm.posterior.sampled import Earlier, check_earlier
from bdfm.report.results import read_summary
from bdfm.report.run_file import RunFile

# In a row: probabilities of m6 were then 1.8 times as far from a cold fit's as two of these are apart
# (docs/scale.md, "Updates").
MANY_UPDATES: Final = 10


def earlier_month(
    folder: str | Path, model: FactorModel, panel: Panel, *, leave_out: Path | None = None
) -> Path:
    """Folder of the month from whose posterior an update takes the fewest sweeps.

    Periods of four weeks that end on a Monday share no return with those that end on the Tuesday after: all
    returns change from one day to the next, and only one in a hundred from one period to the next. So it is
    the latest month that ends where a period of the panel ends; where there is none, the latest of all.

    Parameters
    ----------
    folder
        Holds folders of results, such as a ledger.
    model, panel
        Of the new posterior.
    leave_out
        Folder of results that is no choice, such as that of the new month.

    Returns
    -------
    pathlib.Path
        Folder of a month of the same model, before the panel's origin, with one of its assets at least.

    Raises
    ------
    DataError
        There is no such month; the message says what is wrong with the nearest one.
    FileError
        The folder is not there, or a file in it is damaged.
    """
    folder = _checks.path_of(folder, what="folder")
    _checks.existing_folder(folder, what="warm_from", hint="Give the folder that a run or forecast wrote.")
    months = [m for m in months_in(folder) if leave_out is None or m.resolve() != leave_out.resolve()]
    known: list[tuple[bool, pd.Timestamp, str, Path]] = []
    for month in months:
        origin = _origin(month)
        if origin < panel.origin:
            known.append((_ends_with_a_period(origin, panel), origin, month.name, month))
    if not known:
        raise DataError(
            f"warm_from: {folder} holds {counted(len(months), 'month')}, and none before the origin"
            f" {panel.origin:%Y-%m-%d}. Fit without it, or name the folder of a month."
        )
    refused: list[str] = []
    for *_, month in sorted(known, reverse=True):
        try:
            check_earlier(Posterior.load(month).as_earlier().before, model, panel, "gibbs")
        except FileError:
            raise
        except BdfmError as error:
            refused.append(f"{month.name}: {str(error).removeprefix('warm_from: ')}")
        else:
            return month
    raise DataError(f"warm_from: no month in {folder} can be moved on. The nearest, {refused[0]}")


def months_in(folder: Path) -> list[Path]:
    """Folders of results in a folder, which keep their posteriors; none where it holds results itself."""
    if _checks.there(folder / POSTERIOR_FILE):
        return []
    found = (file.parent for file in folder.glob(f"*/{POSTERIOR_FILE}"))
    return sorted(month for month in found if not month.name.startswith("."))  # runs work in hidden ones


def start_of(
    run: RunFile, path: Path, model: FactorModel, panel: Panel, *, where: str
) -> tuple[RunFile, Posterior]:
    """Run file whose ``warm_from`` names one month, where it names a folder of several too; its posterior."""
    assert run.warm_from is not None
    folder, out = path.parent / run.warm_from, path.parent / run.out
    if folder.resolve() == out.resolve():
        raise DataError(f"{where}: {folder} is the folder of the results too. Give another one.")
    if months_in(folder):
        month = earlier_month(folder, model, panel, leave_out=out)
        run = run.model_copy(update={"warm_from": run.warm_from / month.name})
        folder = month
    return run, Posterior.load(folder)


def start_in_words(earlier: Earlier, panel: Panel) -> str:
    """From which origin draws go on to a panel, whether that is far, and how often they did before."""
    origin = earlier.origin
    text = f"Draws go on from those of {origin:%Y-%m-%d}"
    if origin == panel.origin or _ends_with_a_period(origin, panel):
        text += "."
    else:
        text += (
            ", where none of these periods ends: all returns are others, and chains may have to take over."
            " A month that lies whole periods back takes less."
        )
    if earlier.updates >= MANY_UPDATES:
        text += (
            f" These are of {earlier.updates} updates in a row, over which what is slow adds up: fit cold."
        )
    return text


def _ends_with_a_period(origin: pd.Timestamp, panel: Panel) -> bool:
    """Whether one of the periods up to a panel's origin ends on a day."""
    return bool((panel.history[PERIOD].to_numpy() == origin.to_datetime64()).any())


def _origin(month: Path) -> pd.Timestamp:
    """Origin of a month, by its summary where there is one."""
    summary = read_summary(month / SUMMARY_FILE)
    if summary is None:
        return Posterior.load(month).panel.origin
    return _checks.as_date(summary.get("origin"), where=f"{month / SUMMARY_FILE}: origin")

"""The month of a folder whose posterior is the nearest to a new one, so that an update of it is short."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from bdfm import _checks, _folders
from bdfm._reading import counted
from bdfm.data.panel import Panel
from bdfm.data.periods import NEAR_DAYS, one_market_day
from bdfm.errors import BdfmError, DataError, FileError, ModelError
from bdfm.inference.engine import choose
from bdfm.model.factor_model import FactorModel
from bdfm.names import PERIOD, POSTERIOR_FILE, SUMMARY_FILE
from bdfm.posterior.posterior import Posterior
from bdfm.posterior.sampled import Before, Earlier, check_earlier
from bdfm.report.results import read_summary
from bdfm.report.run_file import RunFile, read_run_file

# In a row: probabilities of m6 were then 1.8 times as far from a cold fit's as two of these are apart
# (docs/scale.md, "Updates").
MANY_UPDATES: Final = 10
MOST_BACK: Final = 13  # periods; a year of four-week months


def earlier_month(
    folder: str | Path, model: FactorModel, panel: Panel, *, leave_out: Path | None = None
) -> Path:
    """Folder of the month from whose posterior an update takes the fewest sweeps.

    Periods of four weeks that end on a Monday share no return with those that end on the Tuesday after: all
    returns change from one day to the next, and only one in a hundred from one period to the next. So it is
    the latest month that ends where one of the panel's last ``MOST_BACK`` periods ends; where there is none,
    the latest of all. Months that had not converged are taken where there are no others.

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
    return _nearest(folder, months_in(folder), model, panel, [] if leave_out is None else [leave_out])[0]


def _nearest(
    folder: Path, months: list[Path], model: FactorModel, panel: Panel, leave_out: Collection[Path]
) -> tuple[Path, Posterior]:
    """The nearest of the months in a folder, and its posterior."""
    left_out = {path.resolve() for path in leave_out}
    months = [m for m in months if m.resolve() not in left_out]
    known = [m for m in map(_Month.read, months) if m.origin < panel.origin]
    if not known:
        raise DataError(
            f"warm_from: {folder} holds {counted(len(months), 'month')}, and none before the origin"
            f" {panel.origin:%Y-%m-%d}. Fit without it, or name the folder of a month."
        )
    refused: list[str] = []
    for month in sorted(known, key=lambda m: m.nearness(panel), reverse=True):
        if month.model not in (None, model.name):  # without its posterior, which may be large
            refused.append(f"{month.folder.name}: it is of model {month.model!r}, not {model.name!r}.")
            continue
        posterior = Posterior.load(month.folder)
        try:
            check_earlier(posterior.as_earlier().before, model, panel, "gibbs")
        except (DataError, ModelError) as error:
            refused.append(f"{month.folder.name}: {str(error).removeprefix('warm_from: ')}")
        else:
            return month.folder, posterior
    raise DataError(f"warm_from: no month in {folder} can be moved on. The nearest, {refused[0]}")


class _Month(NamedTuple):
    """What the summary of a month says of it; its model is None where it has none."""

    folder: Path
    origin: pd.Timestamp
    model: str | None
    converged: bool

    @classmethod
    def read(cls, folder: Path) -> _Month:
        """The month in a folder of results."""
        path = folder / SUMMARY_FILE
        summary = read_summary(path)
        if summary is None:
            return cls(folder, Posterior.load(folder).panel.origin, None, True)
        model, verdict = summary.get("model"), summary.get("diagnostics")
        return cls(
            folder,
            _checks.as_date(summary.get("origin"), where=f"{path}: origin"),
            model if isinstance(model, str) else None,
            not isinstance(verdict, dict) or verdict.get("converged") is not False,
        )

    def nearness(self, panel: Panel) -> tuple[bool, bool, pd.Timestamp, str]:
        """What the nearest one has most of."""
        back = _periods_back(self.origin, panel)
        return self.converged, back is not None and back <= MOST_BACK, self.origin, self.folder.name


def holds_posterior(folder: Path) -> bool:
    """Whether a folder of results keeps its posterior; what a killed run has left in it is settled first."""
    return _checks.there(_folders.file_in(folder, POSTERIOR_FILE))


def months_in(folder: Path) -> list[Path]:
    """Folders of results in a folder, which keep their posteriors; none where it holds results itself.

    What a run that was killed has left in them is settled, as whoever reads results does.
    """
    if holds_posterior(folder):
        return []
    _folders.settle_each(folder)
    found = (file.parent for file in folder.glob(f"*/{POSTERIOR_FILE}"))
    return sorted(month for month in found if not month.name.startswith("."))  # runs work in hidden ones


def start_folder(run: RunFile, path: Path) -> Path:
    """Folder that ``warm_from`` names, of a month or of several; of a posterior that it names, its folder."""
    assert run.warm_from is not None
    given = path.parent / run.warm_from
    return (given.parent if given.name == POSTERIOR_FILE else given).resolve()


def start_of(
    run: RunFile,
    path: Path,
    model: FactorModel,
    panel: Panel,
    befores: Sequence[Path],
    to_be_made: Callable[[Path], Before],
    *,
    where: str,
) -> Posterior | None:
    """Posterior from which a month goes on: of the month that ``warm_from`` names, or of the nearest in it.

    ``befores``: run files of months that are to be made first, in order, of which ``to_be_made`` tells what
    is known. None where it goes on from one of them. In a folder of months what is there already is a start
    too, but for what they will be written over.

    Raises ``DataError`` or ``ModelError`` where it is the folder of the results, or no month can be moved
    on; ``FileError`` where there is no posterior.
    """
    engine = choose(run.sampler, model)
    refused: list[BdfmError] = []
    for before in reversed(befores):
        try:
            check_earlier(to_be_made(before), model, panel, engine)
        except (DataError, ModelError) as error:
            refused.append(error)
        else:
            return None
    made = [(b.parent / read_run_file(b)[0].out).resolve() for b in befores]
    if start_folder(run, path) in made:
        raise refused[0]
    try:
        posterior = _there(run, path, model, panel, made, where=where)
        check_earlier(posterior.as_earlier().before, model, panel, engine)
    except BdfmError:
        if refused:  # the latest of the months to be made says more than what is there
            raise refused[0] from None
        raise
    return posterior


def _there(
    run: RunFile, path: Path, model: FactorModel, panel: Panel, leave_out: list[Path], *, where: str
) -> Posterior:
    """Posterior that is there, of what ``warm_from`` names."""
    assert run.warm_from is not None
    folder, out = path.parent / run.warm_from, path.parent / run.out
    if folder.resolve() == out.resolve():
        raise DataError(f"{where}: {folder} is the folder of the results too. Give another one.")
    _checks.existing(folder, what=where)
    if months := months_in(folder):
        return _nearest(folder, months, model, panel, [out, *leave_out])[1]
    if folder.name != POSTERIOR_FILE and os.path.isdir(folder) and not holds_posterior(folder):
        raise FileError(
            f"{where}: {folder} holds no posterior, nor a month that has one. Give the folder of an earlier"
            " forecast, or leave it out for the first one."
        )
    return Posterior.load(folder)


def start_in_words(earlier: Earlier, panel: Panel) -> str:
    """From which origin draws go on to a panel, whether that is far, and how often they did before."""
    text = f"Draws go on from those of {earlier.origin:%Y-%m-%d}"
    if _periods_back(earlier.origin, panel) is not None:
        text += "."
    else:
        text += (
            ", where none of these periods ends: all returns are others, and chains may have to take over."
            " A month that lies whole periods back takes less."
        )
    if earlier.updates >= MANY_UPDATES:
        text += (
            f" They are of {earlier.updates} updates in a row, over which what is slow adds up: leave out"
            " --warm-from (warm_from) now and then."
        )
    return text


def _periods_back(origin: pd.Timestamp, panel: Panel) -> int | None:
    """How many periods before a panel's origin a day lies; None where none of them ends on its prices."""
    ends = pd.DatetimeIndex(panel.history[PERIOD].to_numpy())
    near: list[int] = np.flatnonzero(np.abs((ends - origin).days) <= NEAR_DAYS).tolist()
    found = [k for k in near if one_market_day(ends[k], origin)]
    return None if not found else len(ends) - 1 - max(found)

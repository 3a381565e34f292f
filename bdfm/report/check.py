"""A look at the data alone: what is doubtful in files, as findings, a page and a picture of coverage."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from bdfm import _checks, _files, _folders
from bdfm._figures import new_figure
from bdfm._symbols import check_aliases
from bdfm.data.doubts.door import examine
from bdfm.data.doubts.finding import Findings
from bdfm.data.doubts.tables import Tables
from bdfm.data.factor_files import read_factors
from bdfm.data.periods import period_edges
from bdfm.data.settings import PanelSettings
from bdfm.data.sources import read_earnings, read_prices, read_universe
from bdfm.errors import DataError
from bdfm.report.doors import refused_by_commands
from bdfm.risk.from_files import read_portfolios

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_files(
    *,
    prices: Path,
    universe: Path | None = None,
    factors: Path | None = None,
    unit: Literal["percent", "decimal"] = "decimal",
    earnings: Path | None = None,
    portfolio: Path | None = None,
    origin: str | None = None,
    inactive: Collection[str] = (),
    accept: Collection[str] = (),
    date_format: str | None = None,
    decimal_mark: str | None = None,
    aliases: Mapping[str, str] | None = None,
) -> tuple[Tables, Findings]:
    """Tables of files, and what all rules and the commands' doors find in them; raises what cannot be read.

    With an ``origin`` they are looked at as for a forecast made there, otherwise as they are. Files are read
    as by ``bdfm.read_prices``.
    """
    day = None if origin is None else _checks.as_date(origin, where="--origin", date_format=date_format)
    names = check_aliases(aliases)
    closes = read_prices(prices, date_format=date_format, decimal_mark=decimal_mark, aliases=names)
    known = held = None
    if factors is not None:
        known = read_factors(
            factors, unit=unit, date_format=date_format, decimal_mark=decimal_mark, accept=None
        )
    if portfolio is not None:
        held = read_portfolios(
            portfolio,
            [str(c) for c in closes.columns],
            aliases=names,
            decimal_mark=decimal_mark,
            accept=None,
        )
    members = None if universe is None else read_universe(universe, aliases=names)
    dates = None if earnings is None else read_earnings(earnings, date_format=date_format, aliases=names)
    tables = Tables(
        "check",
        prices=closes,
        universe=members,
        factors=known,
        earnings=dates,
        aliases=names.unused,
        portfolio=held,
        origin=day,
        inactive=inactive,
        edges=() if day is None else tuple(_usual_edges(day)),
    )
    found = examine(tables, accept=accept)
    return tables, Findings([*found, *refused_by_commands(tables, found, accept)])


def _usual_edges(origin: pd.Timestamp) -> pd.DatetimeIndex:
    """Ends of the periods of a forecast, of the usual length."""
    usual = PanelSettings()
    return period_edges(origin, period=usual.period, n_past=usual.n_periods, n_future=0)


def write_check(tables: Tables, found: Findings, folder: Path) -> None:
    """Write ``findings.json``, ``findings.html`` and ``coverage.png``, all of them or none."""
    page = f"<!doctype html><html><meta charset=utf-8><title>Doubts</title>{found._repr_html_()}</html>"
    with _folders.OutputFolder(folder, made_by="check") as files:
        _files.write_text(files / "findings.json", found.to_json() + "\n")
        _files.write_text(files / "findings.html", page + "\n")
        coverage(tables).savefig(files / "coverage.png", dpi=120)


def coverage(tables: Tables) -> Figure:
    """Figure of the share of days in each month on which each asset has a price, and a new one."""
    series = tables.price_series
    if series is None:
        raise DataError("coverage: there are no prices to show. Give prices.")
    month = series.days.year.to_numpy() * 12 + series.days.month.to_numpy() - 1
    starts = np.flatnonzero(np.diff(month, prepend=-1))
    size = np.diff(np.append(starts, len(month)))[:, None]
    moved = series.known & (np.nan_to_num(series.steps, nan=1.0) != 0)
    share = np.add.reduceat(series.known.astype(float), starts) / size
    fresh = np.add.reduceat(moved.astype(float), starts) / size
    n = len(series.names)
    figure, axes = new_figure(1, 2, figsize=(13, float(np.clip(0.16 * n, 2.5, 16)) + 1), sharey=True)
    edges = np.append(series.days[starts].to_numpy(), series.days[-1:].to_numpy() + np.timedelta64(1, "D"))
    for axis, values, title in zip(
        axes[0], (share, fresh), ("a price", "a price that differs from the one before"), strict=True
    ):
        mesh = axis.pcolormesh(edges, np.arange(n + 1) - 0.5, values.T, cmap="Greens", vmin=0, vmax=1)
        axis.set_title(f"Share of the month's days with {title}", fontsize=10)
    step = max(1, n // 100)
    axes[0, 0].set_yticks(range(0, n, step), [series.names[i].replace("$", r"\$") for i in range(0, n, step)])
    axes[0, 0].tick_params(axis="y", labelsize=7)
    axes[0, 0].invert_yaxis()
    figure.colorbar(mesh, ax=axes[0].tolist(), shrink=0.8)
    return figure

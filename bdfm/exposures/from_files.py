"""Exposures from files of prices and factors to files of results."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from bdfm import _checks, _files, _folders, _json
from bdfm._symbols import check_aliases
from bdfm.data.doubts.door import doubt_aliases
from bdfm.data.factor_files import read_factors
from bdfm.data.risk_free import split_risk_free
from bdfm.data.sources import read_prices, read_universe
from bdfm.errors import DataError, DataWarning
from bdfm.exposures.choices import GAMMA, N_LATENTS, WINDOW_DAYS, Method, Unit
from bdfm.exposures.comparison import Comparison
from bdfm.exposures.data import ExposureData, choose_assets
from bdfm.exposures.dcc import DCCGarch
from bdfm.exposures.factor_vae import FactorVAE
from bdfm.exposures.kalman import KalmanBetas
from bdfm.exposures.pca import PrincipalComponents
from bdfm.exposures.random_walk import BayesianRandomWalk
from bdfm.exposures.regression import ConstantBetas, RollingOLS
from bdfm.exposures.result import ExposureMethod, Exposures


class CheckedMethod(ExposureMethod, Protocol):
    """A method that says beforehand whether data will do."""

    def check(self, data: ExposureData) -> None:
        """Raise what ``fit`` would, ``DataError`` say, before anything is fitted."""
        ...


def method_of(
    name: Method,
    *,
    window_days: int = WINDOW_DAYS,
    n_latents: int = N_LATENTS,
    gamma: float = GAMMA,
    smoothed: bool = False,
) -> CheckedMethod:
    """Method of a name; the settings are those of the methods that have them."""
    methods: dict[Method, CheckedMethod] = {
        Method.constant: ConstantBetas(smoothed),
        Method.rolling: RollingOLS(window_days=window_days),
        Method.kalman: KalmanBetas(smoothed),
        Method.dcc: DCCGarch(smoothed),
        Method.bayes: BayesianRandomWalk(smoothed=smoothed),
        Method.pca: PrincipalComponents(n_latents, smoothed),
        Method.vae: FactorVAE(n_latents=n_latents, gamma=gamma, smoothed=smoothed),
    }
    return methods[name]


def methods_of(names: Iterable[Method], data: ExposureData, **settings: Any) -> dict[Method, CheckedMethod]:
    """Methods by name, as ``method_of``; what keeps one of them from these data is raised before any fit."""
    methods = {name: method_of(name, **settings) for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # of the fit, which looks again
        for method in methods.values():
            method.check(data)
    return methods


def data_from_files(
    prices: Path,
    factors: Path,
    *,
    unit: Unit,
    universe: Path | None = None,
    n_assets: int | None = None,
    start: str | None = None,
    end: str | None = None,
    seed: int = 1,
    date_format: str | None = None,
    decimal_mark: str | None = None,
    aliases: Mapping[str, str] | None = None,
    accept: Collection[str] = (),
    say: Callable[[pd.DataFrame], None] = lambda _: None,
) -> ExposureData:
    """Daily returns of assets and factors, from files.

    Parameters
    ----------
    prices, factors
        Daily closes, and daily factor returns. A risk-free rate among them is subtracted from the returns of
        assets (``split_risk_free``).
    unit
        Of the factor returns.
    universe
        CSV with columns symbol and asset_class: which assets to take, and their sectors.
    n_assets
        Size of a random sample over all classes of the universe; all, unless given.
    start, end
        First and last day of returns.
    seed
        Of the sample.
    date_format, decimal_mark, aliases
        As in ``bdfm.read_prices``; the date format is also for ``start`` and ``end``.
    accept
        As in ``ExposureData.from_prices``.
    say
        Called with each table that is read.
    """
    names = check_aliases(aliases)
    table = read_prices(prices, date_format=date_format, decimal_mark=decimal_mark, aliases=names)
    say(table)
    known = read_factors(
        factors, unit=unit.value, date_format=date_format, decimal_mark=decimal_mark, accept=None
    )
    say(known)
    returns, rate = split_risk_free(known)
    sectors: pd.Series[Any] | None = None
    if universe is not None:
        members = read_universe(universe, aliases=names)
        say(members)
        _checks.known(members["symbol"], list(table.columns), what="symbol", where="universe", alias=True)
        sectors = members.set_index("symbol")["asset_class"]
        table = table[list(sectors.index)]
    doubt_aliases(names, accept=accept)
    if n_assets is not None:
        if sectors is None:
            raise DataError("options: --assets draws from the classes of a universe. Give --universe too.")
        table = table[choose_assets(sectors, n_assets, seed=seed)]
    first, last = (
        None if day is None else _checks.as_date(day, where=f"--{name}", date_format=date_format)
        for name, day in (("start", start), ("end", end))
    )
    return ExposureData.from_prices(
        table, returns, sectors=sectors, risk_free=rate, start=first, end=last, accept=accept
    )


def write_comparison(
    comparison: Comparison,
    results: Mapping[str, Exposures],
    data: ExposureData,
    folder: _folders.OutputFolder,
    *,
    seed: int,
) -> None:
    """Write ``comparison.csv``, a picture of it, and ``summary.json``: data, settings, seconds."""
    _files.write_table(folder / "comparison.csv", comparison.table())
    comparison.plot().savefig(folder / "comparison.png", dpi=150)
    summary = {
        "assets": list(data.assets),
        "factors": list(data.factor_names),
        "days": {
            part: data.days_of(part).stop - data.days_of(part).start
            for part in ("training", "validation", "test")
        },
        "test": [f"{comparison.days[0]:%Y-%m-%d}", f"{comparison.days[-1]:%Y-%m-%d}"],
        "seed": seed,
        "methods": {name: dict(result.details) for name, result in results.items()},
    }
    _files.write_text(folder / "summary.json", _json.text(summary, indent=2) + "\n")

"""Command ``bdfm risk``: risk of portfolios by several models, from a price file."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from bdfm import _checks, _files
from bdfm.data.sources import read_prices
from bdfm.errors import DataError
from bdfm.posterior.posterior import Posterior
from bdfm.risk.base import Estimator, RiskModel, compare
from bdfm.risk.bayesian import bayesian_risk
from bdfm.risk.cross_section import CrossSectionalEstimator
from bdfm.risk.returns import compounded, simple_returns
from bdfm.risk.statistical import StatisticalEstimator
from bdfm.risk.styles import YEAR, price_styles
from bdfm.risk.time_series import TimeSeriesEstimator
from bdfm.validation.report import validate

out = Console(highlight=False)

EQUAL = "equal"


class Kind(StrEnum):
    """Models that the command can make from prices."""

    TIME_SERIES = "time-series"
    CROSS_SECTIONAL = "cross-sectional"
    STATISTICAL = "statistical"


def risk(
    prices: Annotated[
        Path, typer.Option(help="Daily adjusted closes: wide or long CSV, .csv.gz or Parquet.")
    ],
    portfolio: Annotated[
        Path | None,
        typer.Option(
            help="CSV with columns symbol, weight and optionally portfolio; equal weights without it."
        ),
    ] = None,
    model: Annotated[
        list[Kind] | None, typer.Option(help="Which models, repeatable; all that the files allow without it.")
    ] = None,
    origin: Annotated[str | None, typer.Option(help="Last day used, such as 2022-02-04.")] = None,
    period_days: Annotated[int, typer.Option(min=1, help="Days of a period.")] = 7,
    window: Annotated[int, typer.Option(min=20, help="Periods used.")] = 104,
    half_life: Annotated[
        float | None, typer.Option(min=1, help="Periods after which one counts half.")
    ] = None,
    horizon: Annotated[float, typer.Option(min=0.01, help="Periods that the risk is over.")] = 4,
    factors: Annotated[
        Path | None,
        typer.Option(help="Time-series model: CSV of daily factor returns, decimals, with a column date."),
    ] = None,
    sectors: Annotated[
        Path | None, typer.Option(help="Cross-sectional model: CSV with columns symbol, sector.")
    ] = None,
    posterior: Annotated[
        Path | None, typer.Option(help="posterior.nc of bdfm forecast: adds the Bayesian model.")
    ] = None,
    check: Annotated[bool, typer.Option("--validate", help="Validate each model; takes longer.")] = False,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for models, tables and pictures.")
    ] = None,
) -> None:
    """Risk of portfolios by up to four models, and where it comes from."""
    table = read_prices(prices)
    if origin is not None:
        table = table.loc[: _checks.as_date(origin, where="--origin")]
    returns = simple_returns(table, period_days=period_days).iloc[-window:]
    weights = _weights(portfolio, returns)
    kinds = list(model or [k for k in Kind if k is not Kind.TIME_SERIES or factors is not None])
    estimators = {
        kind.value: _estimator(kind, table, returns, half_life, factors=factors, sectors=sectors)
        for kind in kinds
    }
    models: dict[str, RiskModel] = {name: e.fit(returns).scale_to(horizon) for name, e in estimators.items()}
    if posterior is not None:
        models["Bayesian"] = _from_posterior(posterior, weights)
    result = compare(models, weights)
    _print(result, models, period_days * horizon)
    reports = {}
    if check:
        for name, estimator in estimators.items():
            size = max(20, len(returns) // 2)
            report = validate(
                estimator.fit(returns),
                returns,
                estimator=estimator,
                window=size,
                step=4,
                progress=out.is_terminal,
            )
            reports[name] = report.conclusion
            out.print(f"[bold]{name}[/bold]: {report.conclusion}")
    if out_dir is not None:
        with _files.OutputFolder(out_dir) as folder:
            for name, own in models.items():
                own.save(folder / f"{name.lower()}.nc")
                own.decompose(weights).plot().savefig(folder / f"{name.lower()}.png", dpi=150)
            _files.write_text(folder / "risk.csv", result.to_csv())
            summary: dict[str, Any] = {
                "models": {n: repr(m) for n, m in models.items()},
                "validation": reports,
            }
            _files.write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
        out.print(
            f"Models, pictures, risk.csv and summary.json are in {out_dir}.", markup=False, soft_wrap=True
        )


def _weights(path: Path | None, returns: pd.DataFrame) -> pd.DataFrame:
    """Weights (portfolio, asset); equal ones without a file."""
    where = "portfolio"
    if path is None:
        return pd.DataFrame(1 / returns.shape[1], index=[EQUAL], columns=returns.columns)
    given = pd.read_csv(_checks.existing_file(path, what=where), dtype=str, keep_default_na=False)
    _checks.has_columns(given, ("symbol", "weight"), where=f"{where} {path.name}")
    number = pd.to_numeric(given["weight"], errors="coerce")
    bad = given[number.isna()]
    if len(bad):
        named = [f"{s} {w!r}" for s, w in zip(bad["symbol"], bad["weight"], strict=True)]
        raise DataError(f"{where}: weights of {len(bad)} rows are no numbers ({_checks.first(named)}).")
    given["weight"] = number
    if "portfolio" not in given:
        given["portfolio"] = path.stem
    double = given[given.duplicated(["portfolio", "symbol"])]
    if len(double):
        raise DataError(f"{where}: {_checks.first(double['symbol'])} given twice. Add the weights up.")
    _checks.known(given["symbol"], list(returns.columns), what="symbol", where=where)
    wide = given.pivot(index="portfolio", columns="symbol", values="weight").fillna(0.0)
    return wide.loc[list(dict.fromkeys(given["portfolio"]))]


def _estimator(
    kind: Kind,
    prices: pd.DataFrame,
    returns: pd.DataFrame,
    half_life: float | None,
    *,
    factors: Path | None,
    sectors: Path | None,
) -> Estimator:
    if kind is Kind.STATISTICAL:
        return StatisticalEstimator("marchenko_pastur", standardise=True, half_life=half_life)
    if kind is Kind.TIME_SERIES:
        if factors is None:
            raise DataError("--model time-series needs --factors, a file of daily factor returns.")
        daily = pd.read_csv(_checks.existing_file(factors, what="factors"))
        _checks.has_columns(daily, ("date",), where="factors")
        weekly = compounded(daily.set_index("date"), pd.DatetimeIndex(returns.index))
        return TimeSeriesEstimator(weekly, half_life=half_life)
    days = pd.DatetimeIndex(returns.index)
    styles = price_styles(prices, days[days >= prices.index[min(YEAR, len(prices) - 1)]])
    if sectors is None:
        return CrossSectionalEstimator(styles, half_life=half_life)
    table = pd.read_csv(_checks.existing_file(sectors, what="sectors"), dtype=str, keep_default_na=False)
    _checks.has_columns(table, ("symbol", "sector"), where="sectors")
    _checks.unique(table["symbol"], what="symbols", where="sectors")
    return CrossSectionalEstimator(
        styles, {"sector": table.set_index("symbol")["sector"]}, half_life=half_life
    )


def _from_posterior(path: Path, weights: pd.DataFrame) -> RiskModel:
    """Bayesian risk, over the posterior's own period."""
    found = bayesian_risk(Posterior.load(path))
    _checks.known([str(c) for c in weights.columns], found.assets, what="asset", where=f"{path.name}")
    return found


def _print(result: pd.DataFrame, models: dict[str, RiskModel], days: float) -> None:
    for name, own in models.items():
        out.print(f"{name}: {len(own.assets)} assets, {len(own.factors)} factors; {'; '.join(own.notes)}")
    table = Table(title=f"Volatility over {days:g} days (Bayesian: over its own period), %")
    for column in ("portfolio", "model"):
        table.add_column(column)
    for column in ("volatility", "90 % interval", "systematic", "specific", "systematic share"):
        table.add_column(column, justify="right")
    ends = result.reindex(columns=["volatility_low", "volatility_high"])
    names = [(str(p), str(m)) for p, m in result.index]
    for (portfolio, model), (_, row), (low, high) in zip(
        names, result.iterrows(), ends.to_numpy(), strict=True
    ):
        interval = "" if np.isnan(low) else f"{100 * low:.2f} to {100 * high:.2f}"
        table.add_row(
            portfolio,
            model,
            f"{100 * row['volatility']:.2f}",
            interval,
            f"{100 * row['systematic_volatility']:.2f}",
            f"{100 * row['specific_volatility']:.2f}",
            f"{100 * row['systematic_share']:.0f}",
        )
    out.print(table)

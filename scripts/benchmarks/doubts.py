"""False alarms and cost of the doubts: all rules over real data, and over large simulated tables.

Usage: python scripts/benchmarks/doubts.py DATA [--until 2022-02-04]

DATA holds one folder for each data set, as the tests' fixtures name them (m6, sp500, uk, europe, sp500_pit,
french, long_monthly); those that are absent are skipped. Nothing after --until is read.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from bdfm.data.doubts.door import examine
from bdfm.data.doubts.finding import SEVERITIES, Findings
from bdfm.data.doubts.tables import Purpose, Tables
from bdfm.data.factor_files import read_factors
from bdfm.data.sources import read_earnings, read_prices, read_universe


def data_sets(root: Path) -> Iterator[tuple[str, Purpose, Callable[[], Tables]]]:
    """Name, purpose and reader of each table."""

    def table(file: Path) -> pd.DataFrame:
        return pd.read_parquet(file) if file.suffix == ".parquet" else read_prices(file)

    def priced(folder: str, purpose: Purpose, file: str = "prices.csv.gz") -> Tables:
        prices = table(root / folder / file)
        universe, earnings = root / folder / "universe.csv", root / folder / "earnings.csv"
        return Tables(
            purpose,
            prices=prices.set_axis(pd.DatetimeIndex(prices.index)).loc[:UNTIL],
            universe=read_universe(universe) if universe.exists() else None,
            earnings=read_earnings(earnings) if earnings.exists() else None,
            origin=UNTIL if purpose == "forecast" else None,
        )

    def monthly(file: str, unit: float) -> Tables:
        found = pd.read_csv(root / file, index_col=0)
        months = found.index.astype(str).str.replace(r"^(\d{4})(\d\d)$", r"\1-\2", regex=True)
        days = pd.PeriodIndex(months, freq="M").to_timestamp("M").normalize()
        returns = (found * unit).set_axis(days).loc[:UNTIL]
        return Tables("check", factors=returns.dropna(), prices=(1 + returns).cumprod())

    for purpose in ("forecast", "backtest"):
        yield "m6", purpose, lambda p=purpose: priced("m6", p)
    yield "uk", "forecast", lambda: priced("uk", "forecast")
    yield "europe", "forecast", lambda: priced("europe", "forecast")
    yield "sp500_pit", "backtest", lambda: priced("sp500_pit", "backtest")
    yield "sp500", "risk", lambda: priced("sp500", "risk", "adjusted_close.parquet")
    daily = root / "french" / "ff3_daily.csv"
    yield (
        "french/ff3_daily",
        "exposures",
        lambda: Tables("exposures", factors=read_factors(daily, unit="percent").loc[:UNTIL]),
    )
    yield "french/ff3_monthly", "check", lambda: monthly("french/ff3_monthly.csv", 0.01)
    yield "french/ff25_monthly", "check", lambda: monthly("french/ff25_monthly.csv", 0.01)
    yield "long_monthly/ff49", "check", lambda: monthly("long_monthly/ff49_monthly_pct.csv.gz", 0.01)
    yield (
        "long_monthly/classes",
        "check",
        lambda: monthly("long_monthly/global_asset_classes_monthly.csv", 1.0),
    )


def show(name: str, purpose: str, found: Findings, seconds: float) -> None:
    """Findings of one data set."""
    counts = ", ".join(f"{len(found.of(s))} {s}" for s in SEVERITIES)
    print(f"\n{name} ({purpose}): {counts}; {seconds:.2f} s")
    for f in found:
        print(f"  {f.severity:6} {f.rule:17} {f.table}: {f.seen}")


def cost(n_days: int, n_assets: int) -> None:
    """Seconds over simulated prices with gaps."""
    rng = np.random.default_rng(1)
    steps = 0.01 * rng.standard_normal((n_days, n_assets)) + 0.008 * rng.standard_normal((n_days, 1))
    prices = pd.DataFrame(100 * np.exp(steps.cumsum(axis=0)), pd.bdate_range("2000-01-03", periods=n_days))
    prices = prices.rename(columns=lambda c: f"A{c}")
    prices = prices.mask(rng.random(prices.shape) < 0.002)
    begun = time.perf_counter()
    found = examine(Tables("forecast", prices=prices, origin=prices.index[-1]))
    print(f"\n{n_assets} assets, {n_days} days: {time.perf_counter() - begun:.2f} s, {found!r}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--until", default="2022-02-04")
    options = parser.parse_args()
    UNTIL = pd.Timestamp(options.until)
    for name, purpose, read in data_sets(options.data):
        if not (options.data / name.partition("/")[0]).is_dir():
            print(f"\n{name}: absent")
            continue
        tables = read()
        begun = time.perf_counter()
        show(name, purpose, examine(tables), time.perf_counter() - begun)
    cost(252 * 20, 100)
    cost(252 * 10, 5000)

"""The data of all rows."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

import bdfm
from bdfm import exposures as ex
from bdfm import risk

LAST = pd.Timestamp("2022-02-04")
FACTORS = ["Mkt-RF", "SMB", "HML"]


class Data:
    """The files, read once, up to 2022-02-04."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def sp500(self) -> pd.DataFrame:
        """Daily prices of 513 stocks."""
        return pd.read_parquet(self.folder / "sp500" / "adjusted_close.parquet").loc[:LAST]

    @cached_property
    def weekly(self) -> pd.DataFrame:
        """Weekly returns of the last 104 weeks of 513 stocks."""
        return risk.simple_returns(self.sp500, period="1w").iloc[-104:]

    @cached_property
    def daily_factors(self) -> pd.DataFrame:
        """French's three factors and RF, decimals a day."""
        path = self.folder / "french" / "ff3_daily.csv"
        return (pd.read_csv(path, index_col="date", parse_dates=True) / 100).loc[:LAST]

    @cached_property
    def weekly_factors(self) -> pd.DataFrame:
        """The same over the weeks."""
        from bdfm.risk.returns import compounded

        return compounded(self.daily_factors, self.weekly.index)

    @cached_property
    def model(self) -> risk.RiskModel:
        """Fama-French model of the weekly returns."""
        f = self.weekly_factors
        return risk.TimeSeriesEstimator(f[FACTORS], f["RF"]).fit(self.weekly)

    @cached_property
    def monthly(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """French's 25 portfolios and factors, decimals a month, July 1963 to December 2019."""
        folder = self.folder / "french"
        names = {"index_col": 0, "skipinitialspace": True}
        assets = pd.read_csv(folder / "ff25_monthly.csv", **names) / 100
        factors = pd.read_csv(folder / "ff3_monthly.csv", **names) / 100
        assets.index = pd.to_datetime(assets.index.astype(str), format="%Y%m") + pd.offsets.MonthEnd(0)
        factors.index = pd.to_datetime(factors.index.astype(str)) + pd.offsets.MonthEnd(0)
        factors.columns = [c.strip() for c in factors.columns]
        span = slice("1963-07-01", "2019-12-31")
        return assets.loc[span], factors.loc[span]

    @cached_property
    def statements(self) -> pd.DataFrame:
        """Statements of 448 companies."""
        return pd.read_csv(self.folder / "fundamentals" / "fundamentals.csv", parse_dates=["period_ending"])

    @cached_property
    def months(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Month-end closes and adjusted closes of the companies."""
        table = pd.read_csv(self.folder / "fundamentals" / "monthly_close.csv.gz", parse_dates=["month"])
        close, adjusted = (table.pivot(index="month", columns="symbol", values=c)
                           for c in ("close", "adjusted_close"))  # fmt: skip
        return close, adjusted

    @cached_property
    def capitalisation(self) -> pd.DataFrame:
        """Market capitalisation at month ends."""
        known = self.statements[self.statements["shares_outstanding"] > 0]  # four are not
        return risk.market_capitalisation(known, *self.months)

    @cached_property
    def company_returns(self) -> pd.DataFrame:
        """Monthly returns of the companies."""
        adjusted = self.months[1]
        return (adjusted / adjusted.shift(1) - 1).iloc[1:]

    @cached_property
    def june(self) -> risk.Characteristics:
        """Size and book-to-market at the Junes of 2013 to 2017."""
        book = self.statements.rename(columns={"total_equity": "book_equity"})
        return risk.june_characteristics(book, self.capitalisation, years=range(2013, 2018))

    @cached_property
    def sample(self) -> ex.ExposureData:
        """Daily excess returns of twelve stocks, with gaps at leavers, and factors."""
        table = self.sp500[["AAPL", "AMZN", "XOM", "JPM", "KO", "PFE", "BA", "NEE", "T", "CAT", "PLD", "LIN"]]
        factors = self.daily_factors
        return ex.ExposureData.from_prices(table, factors[FACTORS], risk_free=factors["RF"])

    @cached_property
    def m6(self) -> pd.DataFrame:
        """Daily prices of the M6 assets."""
        return bdfm.read_prices(self.folder / "m6" / "prices.csv.gz").loc[:LAST]

    @cached_property
    def m6_model(self) -> risk.RiskModel:
        """Components of the M6 assets' weekly returns."""
        table = risk.simple_returns(self.m6, period="1w").iloc[-104:].dropna(axis=1)
        return risk.StatisticalEstimator(5, standardise=True).fit(table)

    @cached_property
    def book(self) -> pd.Series[float]:
        """An unequal portfolio, long and short, of the M6 model's assets."""
        names = list(self.m6_model.assets)
        return pd.Series(np.linspace(-0.01, 0.03, len(names)), names)

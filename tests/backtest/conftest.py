"""Small backtests: ten assets of the demo, four years of prices, cheap forecasters."""

import pandas as pd
import pytest
from forecasters import Naive

from bdfm.backtest import MarketData, origin_dates, walk_forward
from bdfm.data.sources import demo


@pytest.fixture(scope="session")
def data() -> MarketData:
    prices, universe = demo()
    members = pd.concat([universe.head(7), universe.tail(3)])
    earnings = pd.DataFrame(
        {
            "symbol": list(members["symbol"][:3]) * 2,
            "date": pd.date_range("2020-01-20", periods=6, freq="91D"),
        }
    )
    return MarketData.of(prices.loc["2017":"2020", list(members["symbol"])], members, earnings)


@pytest.fixture(scope="session")
def origins() -> pd.DatetimeIndex:
    return origin_dates("2019-12-20", "2020-07-31")


@pytest.fixture(scope="session")
def run(data, origins, tmp_path_factory):
    """An undisturbed run, to compare others with; not to be written to."""
    return walk_forward(Naive(), data, origins, tmp_path_factory.mktemp("runs") / "naive")

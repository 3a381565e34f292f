"""Data and settings that no panel can be made of, told before it is made."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from panel_case import make, prices_of_days, same, universe_of_classes

from bdfm.errors import DataError, DataWarning, UnknownLabelError


@pytest.fixture
def prices():
    return prices_of_days()


@pytest.fixture
def universe():
    return universe_of_classes()


def test_symbols_outside_the_universe_are_ignored(prices, universe, caplog):
    extra = prices.assign(ZZ=-1.0, QQ="text")
    with caplog.at_level("INFO", logger="bdfm"):
        same(make(extra, universe), make(prices, universe))
    assert "2 symbols outside the universe are ignored (QQ, ZZ)" in caplog.text


def test_symbols_without_prices_are_named(prices, universe):
    message = r"prices: 2 of 5 assets of the universe have no column \(BB, YY\)\. Add their prices"
    with pytest.raises(UnknownLabelError, match=message):
        make(prices.drop(columns=["BB", "YY"]), universe)


def test_unknown_inactive_symbol(prices, universe):
    with pytest.raises(UnknownLabelError, match="zero: unknown symbol ZZ"):
        make(prices, universe, zero=["ZZ"])


def test_repeated_days_and_symbols(prices, universe):
    other = prices.iloc[[2]] * 2
    with pytest.raises(DataError, match=r"prices: 5 given more than once with .* \(AA on 2018-01-03: "):
        make(pd.concat([prices, other]), universe)
    with pytest.raises(DataError, match=r"prices: 1 symbol given more than once \(AA\)"):
        make(pd.concat([prices, prices[["AA"]]], axis=1), universe)
    with pytest.raises(DataError, match=r"universe: 1 symbol given more than once \(BB\)"):
        make(prices, pd.concat([universe, universe.iloc[[1]]]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, r"CC on 2018-01-03: 0\. Prices must be positive and finite.*\[missing-code\]"),
        (-3, r"CC on 2018-01-03: -3"),
        (np.inf, r"CC on 2018-01-03: inf"),
        ("abc", r"prices: 1 value is not a number \(CC on 2018-01-03: 'abc'\)"),
        (True, r"1 value is not a number \(CC on 2018-01-03: 'True'\)"),
    ],
)
def test_values_that_are_no_prices(prices, universe, value, message):
    table = prices.astype({"CC": object})
    table.iloc[2, 2] = value
    with pytest.raises(DataError, match=message):
        make(table, universe)


def test_index_that_is_no_date(prices, universe):
    with pytest.raises(DataError, match=r"prices: no column date, and no days as index; found AA, BB"):
        make(prices.reset_index(drop=True), universe)


def test_time_zones_and_hours_are_dropped(prices, universe):
    shifted = prices.set_axis(prices.index.tz_localize("America/New_York") + pd.Timedelta(hours=16))
    same(make(shifted, universe, origin="2022-01-07T23:00"), make(prices, universe))
    texts = prices.set_axis(prices.index.strftime("%Y-%m-%d"))
    same(make(texts.astype(str), universe), make(prices, universe))


def test_assets_that_end_long_before_the_origin(prices, universe):
    prices.loc["2021-12-08":, "BB"] = np.nan
    prices.loc["2021-12-08":, "XX"] = prices.loc["2021-12-07", "XX"]
    with pytest.raises(DataError) as caught:
        make(prices, universe)
    gone, still = str(caught.value).splitlines()[1:]
    assert "BB has no price in the 31 days before the origin 2022-01-07" in gone
    assert "the price of XX has not changed in 31 days" in still
    assert "Drop it, or pass --zero for a delisted asset." in gone
    with pytest.raises(DataError, match=r"XX has not changed .*\[constant-price\]$"):
        make(prices, universe, zero=["BB"])
    with pytest.raises(DataError, match=r"1 of 5 assets have no fresh price .* \(XX\)"):
        make(prices, universe, zero=["BB"], accept=None)
    prices.loc["2021-12-09":, "BB"] = np.nan
    prices.loc["2021-12-09":, "XX"] = np.nan
    prices.loc["2021-12-09", ["BB", "XX"]] = 1.01 * prices.loc["2021-12-07", ["BB", "XX"]]  # 29 days before
    with pytest.warns(DataWarning, match=r"BB has no price in the 29 days .*; XX .*\[stale-end\]"):
        panel = make(prices, universe)
    assert np.isnan(panel.history.log_returns.values[-1, [1, 3]]).all()


def test_origin_outside_the_data(prices, universe):
    with pytest.raises(DataError, match="the origin 2017-12-31 is before the first price"):
        make(prices, universe, origin="2017-12-31")
    message = r"origin 2022-02-01 is 11 days after the last price \(2022-01-21\)\. .*Choose an earlier origin"
    with pytest.raises(DataError, match=message):
        make(prices, universe, origin="2022-02-01")
    with pytest.warns(DataWarning, match="10 days after the last price"):
        assert make(prices, universe, origin="2022-01-31").origin == pd.Timestamp("2022-01-31")
    with pytest.raises(DataError, match="origin: 'yesterday' is not a date"):
        make(prices, universe, origin="yesterday")


def test_too_few_periods(prices, universe):
    assert make(prices.loc["2020-02-28":], universe).n_history == 24
    message = "prices: 23 usable periods of 28 days before the origin 2022-01-07, at least 24 needed"
    with pytest.raises(DataError, match=message):
        make(prices.loc["2020-03-09":], universe)


def test_an_asset_without_a_return(prices, universe):
    prices.loc[:"2021-12-13", "AA"] = np.nan
    with pytest.raises(
        DataError, match=r"prices: 1 of 5 have no return .* before 2022-01-07 \(AA\)\. Drop them"
    ):
        make(prices, universe)


@pytest.mark.parametrize("bad", ["", "  ", None, np.nan])
def test_universe_without_a_class(prices, universe, bad):
    universe.loc[[1, 3], "asset_class"] = bad
    with pytest.raises(DataError, match=r"universe: 2 of 5 assets have no class \(BB, XX\)"):
        make(prices, universe)


def test_universe_without_what_it_needs(prices, universe):
    with pytest.raises(DataError, match="universe: missing column asset_class; found symbol"):
        make(prices, universe[["symbol"]])
    with pytest.raises(DataError, match="universe: no assets"):
        make(prices, universe.iloc[:0])
    universe.loc[1, "symbol"] = None
    with pytest.raises(DataError, match="universe: no symbol in row 2"):
        make(prices, universe)


def test_a_class_of_one_asset_works_with_a_warning(prices, universe):
    universe.loc[4, "asset_class"] = "gold"
    message = r"universe: 2 of 3 asset classes have one asset \(bond_etf, gold\)"
    with pytest.warns(DataWarning, match=message):
        panel = make(prices, universe)
    assert panel.asset_classes == ("stock", "bond_etf", "gold")


def test_earnings_outside_the_universe_are_counted(prices, universe):
    earnings = pd.DataFrame({"symbol": ["ZZ", "AA", "ZZ", "QQ"], "date": ["2021-12-15"] * 4})
    message = r"earnings: 3 announcements of 2 symbols outside the universe are ignored \(ZZ, QQ\)"
    with pytest.warns(DataWarning, match=message) as told:
        panel = make(prices, universe, earnings=earnings)
    assert [Path(w.filename).name for w in told] == ["panel_case.py"]  # the caller's line
    assert panel.dataset.earnings.sum() == 1
    other = earnings.assign(symbol=earnings["symbol"].str.lower())[1:2]
    message = (
        r"1 announcement of 1 symbol outside the universe is ignored \(aa\)\. None of its assets has one"
    )
    with pytest.warns(DataWarning, match=message):
        make(prices, universe, earnings=other)


def test_bad_earnings(prices, universe):
    good = pd.DataFrame({"symbol": ["AA", "BB"], "date": ["2021-12-15", "2021-12-15"]})
    with pytest.raises(DataError, match="earnings: missing column date"):
        make(prices, universe, earnings=good[["symbol"]])
    with pytest.raises(DataError, match=r"earnings: dates of more than one form: '15/12/2021' in row 2"):
        make(prices, universe, earnings=good.assign(date=["2021-12-15", "15/12/2021"]))
    with pytest.raises(DataError, match="earnings: no symbol in row 1"):
        make(prices, universe, earnings=good.assign(symbol=["", "BB"]))


def test_bad_horizon(prices, universe):
    with pytest.raises(DataError, match="panel: horizon must be a whole number of at least 1, got 0"):
        make(prices, universe, horizon=0)

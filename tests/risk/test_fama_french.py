"""Sorts: an example by hand with ties and a negative book value, and the published factors."""

import numpy as np
import pandas as pd
import pytest

from bdfm.errors import DataError, DataWarning
from bdfm.risk import double_sort, june_characteristics, market_capitalisation, single_sorts

ASSETS = list("abcdefghijkl")
# l has a negative book value and takes no part. Of the 11 others the median size is 5, which three share:
# they are small. The 30th percentile of book-to-market is 0.3, shared by three (growth), the 70th 0.8, shared
# by two (neutral).
SIZE = dict(zip(ASSETS, [1, 2, 3, 4, 5, 5, 5, 8, 9, 10, 11, 50], strict=True))
RATIO = dict(zip(ASSETS, [0.1, 0.3, 0.6, 1.0, 0.2, 0.8, 1.1, 0.3, 0.7, 0.8, 0.3, -0.5], strict=True))
SORTED = dict(
    zip(ASSETS, ["SG", "SG", "SN", "SV", "SG", "SN", "SV", "BG", "BN", "BN", "BG", ""], strict=True)
)
RETURNS = dict(
    zip(ASSETS, [0.01, 0.03, 0.02, 0.05, 0.02, 0.04, 0.01, 0.02, 0.01, 0.03, 0.06, 0.9], strict=True)
)


@pytest.fixture
def example():
    """The same companies every year; market equity halves from December to June."""
    months = pd.date_range("2011-12-31", "2013-12-31", freq="ME")
    cap = pd.DataFrame({a: 2.0 * s for a, s in SIZE.items()}, months)
    cap.loc["2012-01":"2012-11"] /= 2
    cap.loc["2013-01":] /= 2
    book = pd.DataFrame(
        [
            (a, f"{year}-{month:02d}-30", RATIO[a] * 2 * SIZE[a] * wrong)
            for year in (2011, 2012)
            for a in ASSETS
            # an earlier fiscal year end of the same calendar year must lose against the later one
            for month, wrong in ((3, 7.0), (9, 1.0))
        ],
        columns=["symbol", "period_ending", "book_equity"],
    )
    returns = pd.DataFrame({a: [r, 2 * r] + [0.0] * 11 + [r] for a, r in RETURNS.items()}, months[5:19])
    return book, cap, returns


# A universe without big value cannot form SMB; one more asset makes it whole.
def with_big_value(book, cap, returns):
    extra = pd.DataFrame(
        [("m", f"{y}-09-30", 0.0) for y in (2011, 2012)], columns=["symbol", "period_ending", "book_equity"]
    )
    cap = cap.assign(m=cap["k"] / 11 * 12)
    extra["book_equity"] = 24 * 0.9
    return pd.concat([book, extra]), cap, returns.assign(m=returns["k"] / 0.06 * 0.07)


def test_membership_by_hand(example):
    book, cap, _ = example
    found = june_characteristics(book, cap, years=[2012, 2013])
    assert list(found.size.index) == [pd.Timestamp("2012-06-30"), pd.Timestamp("2013-06-30")]
    np.testing.assert_allclose(found.size.iloc[0].drop("l"), list(SIZE.values())[:-1])
    np.testing.assert_allclose(found.book_to_market.iloc[1].drop("l"), list(RATIO.values())[:-1])
    assert found.left_out.to_numpy().tolist() == [
        [pd.Timestamp("2012-06-30"), "l", "book equity not above zero"],
        [pd.Timestamp("2013-06-30"), "l", "book equity not above zero"],
    ]


def test_sort_needs_members_in_every_corner(example):
    book, cap, returns = example
    found = june_characteristics(book, cap, years=[2012])
    with pytest.raises(DataError, match=r"no asset in BV at 2012-06-30, of 11 with all"):
        double_sort(returns, found)


def test_double_sort_by_hand(example):
    """With m (size 12, ratio 0.9) 12 assets are sorted: breakpoints 5, 0.3 and 0.8; m is big value."""
    book, cap, returns = with_big_value(*example)
    found = june_characteristics(book, cap, years=[2012, 2013])
    equal = double_sort(returns, found)
    expected = SORTED | {"m": "BV"}
    assert equal.members.loc["2012-06-30"].to_dict() == expected
    assert equal.counts.loc["2012-06-30"].to_dict() == {"SG": 3, "SN": 2, "SV": 2, "BG": 2, "BN": 2, "BV": 1}
    # May and June 2012 end before the first formation's period; July 2012 is the first month.
    assert equal.factors.index[0] == pd.Timestamp("2012-07-31")
    assert len(equal.factors) == 12
    june = equal.portfolios.loc["2013-06-30"]
    means = {"SG": 0.02, "SN": 0.03, "SV": 0.03, "BG": 0.04, "BN": 0.02, "BV": 0.07}
    for name, value in means.items():
        assert june[name] == pytest.approx(value, abs=1e-12)
    smb = (0.02 + 0.03 + 0.03) / 3 - (0.04 + 0.02 + 0.07) / 3
    hml = (0.03 + 0.07) / 2 - (0.02 + 0.04) / 2
    assert equal.factors.loc["2013-06-30"].tolist() == pytest.approx([smb, hml], abs=1e-12)
    value = double_sort(returns, found, weights=cap)
    weighted = {
        "SG": (1 * 0.01 + 2 * 0.03 + 5 * 0.02) / 8,
        "SN": (3 * 0.02 + 5 * 0.04) / 8,
        "SV": (4 * 0.05 + 5 * 0.01) / 9,
        "BG": (8 * 0.02 + 11 * 0.06) / 19,
        "BN": (9 * 0.01 + 10 * 0.03) / 19,
        "BV": 0.07,
    }
    for name, expected_return in weighted.items():
        assert value.portfolios.loc["2013-06-30", name] == pytest.approx(expected_return, abs=1e-12)


def test_membership_is_fixed_until_the_next_june(example):
    book, cap, returns = with_big_value(*example)
    book.loc[(book["symbol"] == "a") & (book["period_ending"] == "2012-09-30"), "book_equity"] = 1.2 * 2
    book.loc[(book["symbol"] == "m") & (book["period_ending"] == "2012-09-30"), "book_equity"] = 1.3 * 24
    book = book[~((book["symbol"] == "c") & book["period_ending"].str.startswith("2012"))]
    found = june_characteristics(book, cap, years=[2012, 2013])
    members = double_sort(returns, found).members
    assert (members.loc["2012-06-30", "a"], members.loc["2013-06-30", "a"]) == ("SG", "SV")
    assert members.loc["2013-06-30", "c"] == ""
    assert "no book equity of the previous year" in set(found.left_out["reason"])


def test_missing_return_leaves_its_share_to_the_others(example):
    book, cap, returns = with_big_value(*example)
    returns.loc["2013-06-30", "a"] = np.nan
    found = june_characteristics(book, cap, years=[2012])
    assert double_sort(returns, found).portfolios.loc["2013-06-30", "SG"] == pytest.approx(0.025)


def test_single_sorts_by_hand(example):
    book, cap, returns = example
    found = june_characteristics(book, cap, years=[2012])
    size, value = single_sorts(returns, found)
    r = pd.Series(RETURNS)
    # 10 % of 12, l too, whose book value matters to HML alone: breakpoint 2.1, so a and b are small.
    small, big = list("ab"), list("cdefghijkl")
    assert size.factors.loc["2013-06-30", "SMB"] == pytest.approx(r[small].mean() - r[big].mean(), abs=1e-12)
    high, low = list("dg"), list("abehk")
    assert value.factors.loc["2013-06-30", "HML"] == pytest.approx(r[high].mean() - r[low].mean(), abs=1e-12)
    assert "FactorPortfolios" in repr(size)
    assert "small" in size._repr_html_()
    value.plot().draw_without_rendering()


def test_capitalisation_survives_a_split():
    months = pd.date_range("2012-11-30", periods=4, freq="ME")
    adjusted = pd.DataFrame({"a": [9.0, 10, 11, 12], "b": [1.0, 1, 1, 1]}, months)
    close = pd.DataFrame({"a": [90.0, 100, 11, 12], "b": [1.0, 1, 1, 1]}, months)  # 10 for 1 in January
    shares = pd.DataFrame({"symbol": ["a"], "period_ending": ["2012-12-28"], "shares_outstanding": [5.0]})
    found = market_capitalisation(shares, close, adjusted)
    np.testing.assert_allclose(found["a"], [np.nan, 500, 550, 600])
    assert found["b"].isna().all()


@pytest.mark.shared_data
def test_factors_resemble_the_published_ones(shared_data):
    folder = shared_data("fundamentals")
    fundamentals = pd.read_csv(folder / "fundamentals.csv", parse_dates=["period_ending"])
    closes = pd.read_csv(folder / "monthly_close.csv.gz", parse_dates=["month"])
    raw, adjusted = (
        closes.pivot(index="month", columns="symbol", values=v) for v in ("close", "adjusted_close")
    )
    with pytest.warns(DataWarning, match="PRU 2012-12-31"):
        cap = market_capitalisation(fundamentals, raw, adjusted)
    book = fundamentals.rename(columns={"total_equity": "book_equity"})
    found = june_characteristics(book, cap, years=range(2013, 2018))
    assert (found.left_out["reason"] == "book equity not above zero").sum() > 20
    returns = (adjusted / adjusted.shift(1) - 1).iloc[1:]
    own = double_sort(returns, found, weights=cap).factors
    assert len(own) == 55
    text = pd.read_csv(shared_data("french") / "ff3_monthly.csv", dtype=str)
    french = text.rename(columns=str.strip).set_index("month").astype(float)
    french.index = pd.PeriodIndex([m.strip() for m in french.index], freq="M")
    french = french.loc[own.index.to_period("M")]
    smb, hml = (np.corrcoef(own[k], french[k])[0, 1] for k in ("SMB", "HML"))
    assert smb > 0.45  # 0.460 and 0.739: large companies alone have little of the size effect
    assert hml > 0.5


def test_shares_not_above_zero_are_named_and_left_out():
    months = pd.date_range("2012-11-30", periods=4, freq="ME")
    close = pd.DataFrame({"a": [9.0, 10, 11, 12], "b": [1.0, 1, 1, 1]}, months)
    shares = pd.DataFrame(
        {
            "symbol": ["a", "a", "b"],
            "period_ending": ["2012-12-28", "2013-01-31", "2012-12-31"],
            "shares_outstanding": [5.0, -7.0, 0.0],
        }
    )
    with pytest.warns(DataWarning, match="2 numbers of shares are not above zero"):
        found = market_capitalisation(shares, close, close)
    np.testing.assert_allclose(found["a"], [np.nan, 50, 55, 60])  # of the good number, carried on
    assert found["b"].isna().all()

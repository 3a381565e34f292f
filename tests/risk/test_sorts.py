"""Sorts by any characteristic against pandas' own cuts, and characteristics as they were known."""

import numpy as np
import pandas as pd
import pytest

from bdfm.errors import DataError, UnknownLabelError
from bdfm.risk import (
    Characteristics,
    CrossSectionalEstimator,
    FundamentalsPanel,
    Sort,
    double_sort,
    market_return,
    sort_portfolios,
)
from bdfm.risk.sorts import quantile_groups

N = 60
ASSETS = [f"A{i:02d}" for i in range(N)]
MONTHS = pd.date_range("2020-01-31", periods=13, freq="ME")


@pytest.fixture
def data(rng):
    size = pd.DataFrame(np.exp(rng.normal(3, 1, (2, N))), MONTHS[[0, 6]], ASSETS)
    ratio = pd.DataFrame(rng.normal(0.5, 0.2, (2, N)), MONTHS[[0, 6]], ASSETS)
    returns = pd.DataFrame(rng.normal(0.01, 0.05, (13, N)), MONTHS, ASSETS)
    cap = pd.DataFrame(np.exp(rng.normal(3, 1, (13, N))), MONTHS, ASSETS)
    return size, ratio, returns, cap


@pytest.mark.parametrize(
    ("breaks", "n"), [("deciles", 10), ("quartiles", 4), ("quintiles", 5), ((0.2, 0.9), 3), ("halves", 2)]
)
def test_single_sorts_are_those_of_pandas(data, breaks, n):
    _, ratio, returns, cap = data
    found = sort_portfolios(returns, Sort("v", ratio, breaks), weights=cap)
    assert list(found.portfolios) == [str(j + 1) for j in range(n)]
    for day, formed, start in (("2020-03-31", 0, "2020-02-29"), ("2020-10-31", 6, "2020-09-30")):
        values = ratio.loc[MONTHS[formed]]
        edges = [0, *Sort("v", ratio, breaks).quantiles, 1]
        groups = pd.qcut(values, edges, labels=False)
        r, w = returns.loc[day], cap.loc[start]
        by_hand = (r * w).groupby(groups).sum() / w.groupby(groups).sum()
        np.testing.assert_allclose(found.portfolios.loc[day], by_hand, rtol=1e-12)
        assert found.factors.loc[day, "v"] == pytest.approx(by_hand.iloc[-1] - by_hand.iloc[0])
    assert found.counts.to_numpy().sum() == 2 * N


@pytest.mark.parametrize("within", [False, True])
def test_double_sorts_are_independent_or_within_groups(data, within):
    size, ratio, returns, cap = data
    found = sort_portfolios(
        returns,
        Sort("SMB", size, "halves", ("S", "B"), low_less_high=True),
        Sort("HML", ratio, "30/40/30", ("G", "N", "V")),
        within=within,
        weights=cap,
    )
    day, start = "2020-09-30", "2020-08-31"
    s, v = size.iloc[1], ratio.iloc[1]
    big = s > s.median()
    cut = lambda x: pd.qcut(x, [0, 0.3, 0.7, 1], labels=["G", "N", "V"]).astype(str)  # noqa: E731
    value = pd.concat([cut(v[big]), cut(v[~big])])[ASSETS] if within else cut(v)
    r, w = returns.loc[day], cap.loc[start]
    p = {
        (a, g): np.average(
            r[(big == (a == "B")) & (value == g)], weights=w[(big == (a == "B")) & (value == g)]
        )
        for a in "SB"
        for g in "GNV"
    }
    for (a, g), expected in p.items():
        assert found.portfolios.loc[day, f"{a}/{g}"] == pytest.approx(expected, rel=1e-12)
    smb = np.mean([p["S", g] for g in "GNV"]) - np.mean([p["B", g] for g in "GNV"])
    hml = (p["S", "V"] + p["B", "V"] - p["S", "G"] - p["B", "G"]) / 2
    assert found.factors.loc[day, "SMB"] == pytest.approx(smb)
    assert found.factors.loc[day, "HML"] == pytest.approx(hml)
    classic = double_sort(returns, Characteristics(size, ratio, pd.DataFrame()), weights=cap, within=within)
    pd.testing.assert_frame_equal(classic.factors, found.factors, rtol=1e-12)
    if within:
        counts = found.counts.iloc[1]
        assert counts[["S/G", "S/N", "S/V"]].tolist() == counts[["B/G", "B/N", "B/V"]].tolist() == [9, 12, 9]


@pytest.mark.parametrize("at", [-1.3, 0.0, 0.7])
def test_a_value_at_its_breakpoint_belongs_below(at):
    values = np.array([at - 1, at, at, at, at + 1, at + 2, np.nan])
    assert quantile_groups(values, [0.5]).tolist() == [0, 0, 0, 0, 1, 1, -1]


def test_breakpoints_of_some_assets_sort_all(data):
    _, ratio, returns, _ = data
    some = ASSETS[:20]
    found = sort_portfolios(returns, Sort("v", ratio, "terciles", breakpoints_from=some))
    edges = np.quantile(ratio.iloc[0][some], [1 / 3, 2 / 3])
    by_hand = 1 + np.searchsorted(edges, ratio.iloc[0].to_numpy())
    assert found.members.iloc[0].astype(int).tolist() == by_hand.tolist()
    assert found.counts.iloc[0].sum() == N
    with pytest.raises(UnknownLabelError, match="ZZ"):
        sort_portfolios(returns, Sort("v", ratio, breakpoints_from=["ZZ"]))
    blank = ratio.assign(**{a: np.nan for a in some})
    with pytest.raises(DataError, match="none of the assets that make them has a value"):
        sort_portfolios(returns, Sort("v", blank, breakpoints_from=some))


def test_the_newest_values_before_a_formation_count(data):
    """The second sort's values may come on other days; a gap in one leaves the asset out."""
    size, ratio, returns, _ = data
    monthly = pd.DataFrame(np.tile(np.arange(N), (7, 1)).astype(float), MONTHS[:7], ASSETS)
    monthly.iloc[6, 0] = np.nan
    found = sort_portfolios(returns, Sort("a", size, "halves"), Sort("b", monthly, "halves"))
    assert found.members.loc[MONTHS[6], "A00"] == ""
    assert found.members.loc[MONTHS[0], "A00"].endswith("/1")
    late = monthly.iloc[1:]
    with pytest.raises(DataError, match="no value on or before 2020-01-31"):
        sort_portfolios(returns, Sort("a", size, "halves"), Sort("b", late, "halves"))
    changed = returns.copy()
    changed.loc["2020-10-31":] = 0.5
    again = sort_portfolios(changed, Sort("v", ratio))
    pd.testing.assert_frame_equal(
        again.portfolios.loc[:"2020-09-30"],
        sort_portfolios(returns, Sort("v", ratio)).portfolios.loc[:"2020-09-30"],
    )


def test_the_market_is_weighted_by_capitalisation_at_the_start(data):
    _, _, returns, cap = data
    returns.iloc[4, 3] = np.nan
    found = market_return(returns, cap)
    r, w = returns.iloc[4].drop("A03"), cap.iloc[3].drop("A03")
    assert found.iloc[3] == pytest.approx(np.average(r, weights=w))
    assert found.index[0] == MONTHS[1]
    assert market_return(returns).iloc[0] == pytest.approx(returns.iloc[1].mean())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"breaks": (0.7, 0.3)}, "not rising"),
        ({"breaks": (0.0, 0.5)}, "not rising"),
        ({"breaks": "sevenths"}, "unknown breaks sevenths"),
        ({"breaks": "halves", "labels": ("a", "b", "c")}, "3 labels for 2 groups"),
    ],
)
def test_sorts_that_cannot_be(data, settings, message):
    _, ratio, returns, _ = data
    with pytest.raises((DataError, UnknownLabelError), match=message):
        sort_portfolios(returns, Sort("v", ratio, **settings))


# -- fundamentals --------------------------------------------------------------------------------------------

STATEMENTS = pd.DataFrame(
    [
        ("A", "2019-12-31", "2020-03-01", 100.0, 10.0),
        ("A", "2020-12-31", "2021-03-01", 120.0, np.nan),
        ("A", "2019-12-31", "2020-09-01", 90.0, 9.0),  # restated
        ("B", "2020-06-30", None, -5.0, 2.0),
    ],
    columns=["symbol", "period_ending", "published", "total_equity", "net_income"],
)


@pytest.fixture
def panel():
    return FundamentalsPanel.from_table(STATEMENTS, known_on="published")


@pytest.mark.parametrize(
    ("day", "equity", "income"),
    [
        ("2020-02-29", np.nan, np.nan),  # nobody knows yet
        ("2020-03-01", 100.0, 10.0),
        ("2020-08-31", 100.0, 10.0),  # the restatement comes the day after
        ("2020-09-01", 90.0, 9.0),
        ("2021-03-01", 120.0, 9.0),  # income is blank in the new one: the last one known goes on
        ("2021-07-03", 120.0, 9.0),  # 550 days after the old fiscal year
        ("2021-07-04", 120.0, np.nan),
        ("2022-09-01", np.nan, np.nan),
    ],
)
def test_what_was_known_on_a_day(panel, day, equity, income):
    found = panel.as_of(day).loc["A"]
    np.testing.assert_array_equal(found, [equity, income])


def test_without_a_day_of_publication_the_lag_counts(panel):
    assert np.isnan(panel.as_of("2020-10-27").loc["B", "net_income"])
    assert panel.as_of("2020-10-28").loc["B", "net_income"] == 2.0
    slow = FundamentalsPanel.from_table(STATEMENTS.drop(columns="published").drop(index=2), lag_days=180)
    assert np.isnan(slow.as_of("2020-06-27").loc["A", "total_equity"])
    assert slow.as_of("2020-06-28").loc["A", "total_equity"] == 100.0


def test_no_later_statement_changes_what_was_known(panel):
    later = STATEMENTS.copy()
    later.loc[[1, 2], ["total_equity", "net_income"]] = 1e9
    other = FundamentalsPanel.from_table(later, known_on="published")
    pd.testing.assert_frame_equal(other.as_of("2020-08-31"), panel.as_of("2020-08-31"))


def test_characteristics_by_hand(panel):
    cap = pd.DataFrame({"A": [200.0, 300.0], "B": [50.0, 40.0]}, pd.to_datetime(["2020-09-30", "2021-03-31"]))
    found = panel.characteristics(["2020-09-30", "2021-03-31"], market_cap=cap)
    assert set(found) == {"size", "book_to_market", "earnings_yield", "quality"}
    np.testing.assert_allclose(found["book_to_market"]["A"], [90 / 200, 120 / 300])
    assert found["book_to_market"]["B"].isna().all()  # negative equity is no value
    np.testing.assert_allclose(found["earnings_yield"].loc["2021-03-31"], [9 / 300, 2 / 40])
    np.testing.assert_allclose(found["size"].iloc[0], np.log([200, 50]))
    own = panel.characteristics(
        ["2021-03-31"],
        market_cap=cap,
        formulas={"value": lambda x: x["total_equity"] / x["market_cap"]},
        lag_months=6,
    )
    assert own["value"].loc["2021-03-31", "A"] == pytest.approx(120 / 200)
    assert panel.exposures(["2020-09-30"], market_cap=cap).dims == ("period", "asset", "factor")
    with pytest.raises(DataError, match="value needs the item goodwill"):
        panel.characteristics(["2020-09-30"], formulas={"value": "goodwill"})
    with pytest.raises(DataError, match="no market capitalisation on or before 2019"):
        panel.characteristics(["2019-09-30"], market_cap=cap)


def test_tables_that_are_no_fundamentals():
    with pytest.raises(DataError, match="comes twice"):
        FundamentalsPanel.from_table(STATEMENTS.drop(columns="published"))
    early = STATEMENTS.assign(published="2019-01-01")
    with pytest.raises(DataError, match="known before their fiscal year ends"):
        FundamentalsPanel.from_table(early.drop(index=2), known_on="published")
    with pytest.raises(DataError, match="missing column"):
        FundamentalsPanel.from_table(STATEMENTS.drop(columns="symbol"))
    with pytest.raises(DataError, match="no item"):
        FundamentalsPanel.from_table(STATEMENTS[["symbol", "period_ending"]])


@pytest.mark.shared_data
def test_sorts_and_cross_sections_of_real_fundamentals(shared_data):
    """Momentum quintiles and a cross-section of value and quality, against statsmodels and plain pandas."""
    import statsmodels.api as sm

    folder = shared_data("fundamentals")
    close = pd.read_csv(folder / "monthly_close.csv.gz", parse_dates=["month"])
    adjusted = close.pivot(index="month", columns="symbol", values="adjusted_close")
    raw = close.pivot(index="month", columns="symbol", values="close")
    table = pd.read_csv(folder / "fundamentals.csv").drop(columns="shares_outstanding")
    panel = FundamentalsPanel.from_table(table)
    returns = adjusted.pct_change(fill_method=None).iloc[1:].dropna(axis=1)
    days = returns.index[(returns.index >= "2014-06-30") & (returns.index <= "2016-12-31")]
    cap = raw[list(returns)] * 1e8  # shares are partly missing: one and the same number for all
    found = panel.characteristics(days, market_cap=cap)
    day = days[10]
    known = table[pd.to_datetime(table["period_ending"]) + pd.Timedelta(days=120) <= day]
    last = known.sort_values("period_ending").groupby("symbol").last().reindex(list(returns))
    fresh = pd.to_datetime(last["period_ending"]) >= day - pd.Timedelta(days=550)
    ratio = (last["net_income"] / last["total_equity"].where(last["total_equity"] > 0)).where(fresh)
    np.testing.assert_allclose(found["quality"].loc[day], ratio, rtol=1e-12)
    quality = sort_portfolios(returns.loc[days], Sort("quality", found["quality"].loc[[day]], "quintiles"))
    nxt = days[11]
    groups = pd.qcut(ratio, 5, labels=False)
    by_hand = returns.loc[nxt].groupby(groups).mean()
    np.testing.assert_allclose(quality.portfolios.loc[nxt], by_hand, rtol=1e-10)
    exposures = panel.exposures(
        days, market_cap=cap, formulas={"value": lambda x: x["net_income"] / x["market_cap"]}
    )
    there = list(returns.columns[np.isfinite(exposures.to_numpy()[..., 0]).all(axis=0)])
    assert len(there) > 200
    model = CrossSectionalEstimator(exposures.sel(asset=there)).fit(returns.loc[days, there])
    x = exposures.sel(asset=there, factor="value").to_numpy()[10]
    x = (x - x.mean()) / x.std()
    fit = sm.OLS(returns.loc[nxt, there].to_numpy(), sm.add_constant(x)).fit()
    np.testing.assert_allclose(model.history["factor_returns"].sel(period=nxt), fit.params, rtol=1e-9)

"""Data of exposures: alignment, split, sampling rule, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from bdfm.errors import DataError, DataWarning, FileError, UnknownLabelError
from bdfm.exposures import ExposureData, choose_assets, read_factors


@pytest.fixture
def tables():
    days = pd.bdate_range("2020-01-01", periods=121, name="date")
    rng = np.random.default_rng(0)
    prices = pd.DataFrame(
        100 * np.exp(0.01 * rng.standard_normal((121, 3)).cumsum(axis=0)), index=days, columns=["A", "B", "C"]
    )
    factors = pd.DataFrame(0.01 * rng.standard_normal((121, 2)), index=days, columns=["m", "s"])
    return prices, factors


def test_returns_and_split_are_exact(tables):
    prices, factors = tables
    data = ExposureData.from_prices(prices, factors, sectors={"A": "x", "B": "y", "C": "x"})
    assert data.n_days == 120
    np.testing.assert_allclose(data.returns.to_numpy(), np.log(prices).diff().iloc[1:].to_numpy())
    np.testing.assert_allclose(data.factors.to_numpy(), factors.iloc[1:].to_numpy())
    parts = [data.days_of(p) for p in ("training", "validation", "test")]
    assert [(p.start, p.stop) for p in parts] == [(0, 84), (84, 102), (102, 120)]
    np.testing.assert_allclose(data.standardised[:84].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(data.standardised[:84].std(axis=0), 1)
    assert data.sectors == ("x", "y", "x")
    assert "84 days" in repr(data)


def test_arrays_are_read_only(tables):
    data = ExposureData.from_prices(*tables)
    with pytest.raises(ValueError, match="read-only"):
        data.returns.to_numpy()[0, 0] = 1


def test_overlap_start_and_end(tables):
    prices, factors = tables
    data = ExposureData.from_prices(prices, factors.iloc[10:], end="2020-05-29")
    assert data.days[0] == factors.index[10]
    assert data.days[-1] == pd.Timestamp("2020-05-29")


def test_select_keeps_the_split(tables):
    data = ExposureData.from_prices(*tables)
    own = data.select(["C", "A"])
    np.testing.assert_array_equal(own.returns, data.returns.sel(asset=["C", "A"]))
    assert own.n_training == data.n_training
    with pytest.raises(UnknownLabelError, match="unknown asset X"):
        data.select(["X"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, f: (p, f.drop(f.index[60:75])), "15 days are in one of prices and factors only"),
        (lambda p, f: (p, f.assign(m=f["m"].where(f.index != f.index[50]))), r"factors of 1 of 2 .*\(m from"),
        (lambda p, f: (p, 100 * f), "Returns must be decimals"),
        (lambda p, f: (p.iloc[:50], f.iloc[:50]), "49 days, at least 60"),
        (lambda p, f: (p, f.set_axis(f.index + pd.Timedelta(days=900))), "no day in common"),
        (lambda p, f: (p.assign(C=5.0), f), r"the price of C has not changed .*\[constant-price\]"),
    ],
    ids=["calendar", "factor gap", "percent", "short", "overlap", "flat"],
)
def test_bad_tables_are_refused(tables, change, message):
    with pytest.raises(DataError, match=message):
        ExposureData.from_prices(*change(*tables))


def test_gaps_and_other_calendars_are_taken(tables):
    prices, factors = tables
    holed = prices.assign(B=prices["B"].where(prices.index != prices.index[50])).drop(prices.index[20])
    data = ExposureData.from_prices(holed, factors.drop(factors.index[80]))
    assert data.n_days == 118
    returns, known = data.returns.to_pandas(), data.factors.to_pandas()
    assert [str(d)[:10] for d in returns.index[returns["B"].isna()]] == [
        str(d)[:10] for d in prices.index[50:52]
    ]
    assert not returns[["A", "C"]].isna().any().any()
    days = prices.index
    # No price on day 20: the returns of day 21 run over two days, of assets and factors alike
    assert returns.loc[days[21], "A"] == pytest.approx(np.log(prices["A"].iloc[21] / prices["A"].iloc[19]))
    two = (1 + factors.iloc[20:22]).prod() - 1
    np.testing.assert_allclose(known.loc[days[21]], two, rtol=1e-12)
    # No factor on day 80: that day is left out, and the asset's return of day 81 runs over it
    assert days[80] not in returns.index
    assert returns.loc[days[81], "C"] == pytest.approx(np.log(prices["C"].iloc[81] / prices["C"].iloc[79]))
    np.testing.assert_array_equal(known.loc[days[81]], factors.iloc[81])


def test_assets_without_history_are_left_out_by_name(tables):
    prices, factors = tables
    young = prices.assign(B=prices["B"].where(prices.index >= prices.index[60]), D=np.nan)
    with pytest.warns(DataWarning, match=r"2 of 4 assets are left out .*\(B, D\)"):
        data = ExposureData.from_prices(young, factors)
    assert data.assets == ("A", "C")
    r, f = np.random.default_rng(0).standard_normal((2, 100, 2)) / 100
    r[:60, 1] = np.nan
    with pytest.raises(DataError, match=r"1 of 2 assets have too few returns .*\(A1\)"):
        ExposureData.from_arrays(r, f)


def test_the_risk_free_rate_comes_off_the_assets(tables):
    prices, factors = tables
    rate = pd.Series(0.00001 * np.arange(121), factors.index)
    plain, excess = (
        ExposureData.from_prices(prices, factors),
        ExposureData.from_prices(prices, factors, risk_free=rate),
    )
    expected = plain.returns.to_numpy() - np.log1p(rate.iloc[1:].to_numpy())[:, None]
    np.testing.assert_allclose(excess.returns, expected, atol=1e-15)
    np.testing.assert_array_equal(excess.factors, plain.factors)
    with pytest.raises(DataError, match="rates of 1 of 1"):
        ExposureData.from_prices(prices, factors, risk_free=rate.drop(rate.index[7]))


def test_bad_arrays_are_refused():
    r, f = np.random.default_rng(0).standard_normal((2, 100, 3)) / 100
    with pytest.raises(DataError, match="expected \\(day, asset\\)"):
        ExposureData.from_arrays(r, f[:50])
    with pytest.raises(DataError, match="2 assets given, the arrays have 3"):
        ExposureData.from_arrays(r, f, assets=["a", "b"])
    with pytest.raises(DataError, match="leave no test part"):
        ExposureData.from_arrays(r, f, training=0.9, validation=0.1)
    with pytest.raises(DataError, match="not ascending"):
        ExposureData.from_arrays(r, f, days=pd.bdate_range("2020-01-01", periods=100)[::-1])
    with pytest.raises(DataError, match="given more than once"):
        ExposureData.from_arrays(r, f, assets=["a", "a", "b"])


def test_factor_file(tmp_path, tables):
    factors = tables[1]
    path = tmp_path / "ff.csv"
    (100 * factors).assign(RF=0.01).to_csv(path)
    read = read_factors(path, unit="percent")
    np.testing.assert_allclose(read[["m", "s"]], factors)
    assert list(read.columns) == ["m", "s", "RF"]
    with pytest.raises(DataError, match="unit='percent'"):
        read_factors(path, unit="decimal")
    with pytest.raises(FileError, match="does not exist"):
        read_factors(tmp_path / "no.csv", unit="percent")
    path.write_text("when,m\nnever,1\n")
    with pytest.raises(DataError, match="has no column date"):
        read_factors(path, unit="percent")
    path.write_text("date,m\n2020-01-01,1\n2020-01-01,2\n")
    with pytest.raises(DataError, match=r"more than once with different values \(m on 2020-01-01: 1 and 2"):
        read_factors(path, unit="percent")
    path.write_text("date,m\n2020-01-01,x\n")
    with pytest.raises(DataError, match="not a number"):
        read_factors(path, unit="percent")


def test_sample_covers_all_sectors_in_proportion():
    sizes = {"a": 60, "b": 25, "c": 12, "d": 3}
    sectors = {f"{s}{i}": s for s, n in sizes.items() for i in range(n)}
    chosen = choose_assets(sectors, 20, seed=1)
    assert len(chosen) == len(set(chosen)) == 20
    counts = pd.Series([sectors[c] for c in chosen]).value_counts()
    # one each, 16 more by largest remainders of (9.83, 4, 1.83, 0.33)
    assert counts.to_dict() == {"a": 11, "b": 5, "c": 3, "d": 1}
    shuffled = dict(sorted(sectors.items(), key=lambda item: hash(item)))
    assert choose_assets(shuffled, 20, seed=1) == chosen
    assert choose_assets(sectors, 20, seed=2) != chosen
    assert sorted(choose_assets(sectors, 100, seed=1)) == sorted(sectors)
    with pytest.raises(DataError, match="at least 4"):
        choose_assets(sectors, 3, seed=1)
    with pytest.raises(DataError, match="100 given"):
        choose_assets(sectors, 101, seed=1)

"""Ten kinds of fault in files, in several guises: the right value, or one message that names its rule."""

import functools
import shutil

import numpy as np
import pandas as pd
import pytest
from case_tables import (
    ALIKE,
    BETAS,
    CODES,
    DAYS,
    FACTORS,
    FIELDS,
    LATE,
    MONTHS,
    NAMES,
    ONE,
    ORIGIN,
    PRICES,
    RATE,
    SCALES,
    SIZES,
    STILL,
    UNITS,
    UNIVERSE,
    WEEKS,
    N,
    by_hand,
    coded,
    ended,
    held_by,
    put,
    refused,
    still,
    times,
    volatility,
)

from bdfm.backtest import origin_dates
from bdfm.data.panel import Panel
from bdfm.data.periods import period_edges
from bdfm.data.settings import PanelSettings
from bdfm.errors import DataError, DataWarning, UnknownLabelError
from bdfm.exposures import ExposureData, Exposures, read_factors
from bdfm.forecast.forecast import Forecast
from bdfm.portfolio.risk import portfolio_risk
from bdfm.risk import RiskModel, StatisticalEstimator, TimeSeriesEstimator, simple_returns


@functools.cache
def text_of(kind):
    """The table that most tests hand in, as a file has it: written once."""
    table = {"prices": PRICES, "factors": FACTORS}[kind]
    return table.rename_axis(table.index.name or "date").to_csv()


@pytest.fixture
def door(bdfm_command, tmp_path, blank_pictures):
    """Function that writes files and runs a command on them: exit code, output, error."""

    def call(name, *options, prices=PRICES, factors=FACTORS, unit="decimal", held=None, origin=ORIGIN,
             dates=None, data=""):  # fmt: skip
        paths = {k: tmp_path / f"{k}.csv" for k in ("prices", "factors", "universe", "book")}
        if prices is PRICES and dates is None:
            paths["prices"].write_text(text_of("prices"))
        else:
            prices.rename_axis(prices.index.name or "date").to_csv(paths["prices"], date_format=dates)
        if factors is FACTORS:
            paths["factors"].write_text(text_of("factors"))
        else:
            factors.rename_axis("date").to_csv(paths["factors"])
        symbols = prices.columns if isinstance(prices, pd.DataFrame) else NAMES
        pd.DataFrame({"symbol": symbols, "asset_class": "x"}).to_csv(paths["universe"], index=False)
        if held is not None:
            pd.DataFrame({"symbol": held, "weight": 1 / len(held)}).to_csv(paths["book"], index=False)
        (tmp_path / "month.toml").write_text(
            f'[data]\norigin = "{origin}"\nprices = "prices.csv"\nuniverse = "universe.csv"\n{data}\n'
        )
        given, out = ("--prices", paths["prices"]), ("--out", tmp_path / "out")
        both = (*given, "--universe", paths["universe"])
        book = () if held is None else ("--portfolio", paths["book"])
        words = {
            "forecast": ("forecast", *both, "--origin", origin, *out),
            "run": ("run", tmp_path / "month.toml", "--check"),
            "risk": ("risk", *given, *book, "--model", "statistical", *out),
            "all risk": ("risk", *given, *book, *out),
            "factor risk": ("risk", *given, *book, "--model", "time-series", "--factors", paths["factors"],
                            "--unit", unit, *out),
            "exposures": ("exposures", *given, "--factors", paths["factors"], "--unit", unit, *out),
            "backtest": ("backtest", "equal", *both, "--first", "2021-09-03", "--last", "2021-10-29", *out),
            "check": ("check", *both, "--factors", paths["factors"], "--unit", unit, *book,
                      "--origin", origin, "--json"),
        }[name]  # fmt: skip
        if name == "exposures" and "--method" not in options:
            options = ("--method", "constant", *options)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)  # a command writes over its own results alone
        code, out, err = bdfm_command(*words, *options)
        return code, " ".join(out.split()), " ".join(err.split())

    return call


# A unit that changes, a split


@pytest.mark.parametrize("name", ["risk", "run", "exposures", "backtest", "check", "forecast"])
@pytest.mark.parametrize("case", UNITS)
def test_a_change_of_unit_is_refused(door, name, case):
    refused(door(name, prices=UNITS[case]()), "unit-step")


@pytest.mark.parametrize("case", UNITS)
def test_a_change_of_unit_is_refused_in_python(case):
    prices = UNITS[case]()
    universe = pd.DataFrame({"symbol": NAMES, "asset_class": "x"})
    for make in (
        lambda: Panel.from_prices(prices, universe, origin=ORIGIN),
        lambda: simple_returns(prices, period="1w"),
        lambda: ExposureData.from_prices(prices, FACTORS),
    ):
        with pytest.raises(DataError, match="unit-step"):
            make()


@pytest.mark.parametrize(("symbol", "factor", "told"), [
    ("E", 0.5, "2 for 1"), ("B", 1 / 3, "3 for 1"), ("F", 10, "1 for 10"),
])  # fmt: skip
def test_a_split_is_warned_of_and_refused_when_new(door, symbol, factor, told):
    prices = times(symbol, slice(LATE, None), factor)
    for name in ("risk", "run", "exposures"):
        code, out, err = door(name, prices=prices)
        assert code == 0, err
        assert "unit-step" in out + err
        assert told in out + err
    refused(door("run", prices=times(symbol, slice(-8, None), factor)), "unit-step", symbol, told)


# A code that means "missing"


@pytest.mark.parametrize("name", ["exposures", "factor risk"])
@pytest.mark.parametrize("unit", ["percent", "decimal"])
@pytest.mark.parametrize("case", CODES)
def test_a_code_in_a_file_of_factors_is_a_blank(door, tmp_path, name, case, unit):
    column, rows, value = CODES[case]
    code, out, err = door(name, factors=coded(case, 100 if unit == "percent" else 1), unit=unit)
    assert f"of {value:g} taken as missing" in out
    if name == "factor risk" and case in ("-99.99", "-99.99 at the start"):  # before the window of 104 weeks
        assert code == 0, err
        found = np.asarray(RiskModel.load(tmp_path / "out" / "time-series.nc").exposures)
        np.testing.assert_allclose(found, np.column_stack([BETAS, SIZES]), atol=0.25)
        return
    assert code == 2, err
    assert "missing" in err
    assert ("risk-free rate" if column == "RF" and name == "exposures" else column) in err
    assert f"{DAYS[rows][0]:%Y-%m-%d}" in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("case", CODES)
def test_a_code_among_factors_is_refused_in_python(case, tmp_path):
    for scale in (1, 0.01):
        with pytest.raises(DataError, match="missing-code"):
            ExposureData.from_prices(
                PRICES, (scale * coded(case)) if scale != 1 else put(FACTORS.assign(RF=RATE), *CODES[case])
            )
    coded(case).rename_axis("date").to_csv(tmp_path / "f.csv")
    read = read_factors(tmp_path / "f.csv", unit="percent")
    expected = put(FACTORS.assign(RF=0.00004), *CODES[case][:2], np.nan)
    np.testing.assert_allclose(read, expected, rtol=1e-9)


@pytest.mark.parametrize("value", [-99.99, -999.0, 0.0, 999.0, 9999.0])
@pytest.mark.parametrize("name", ["risk", "run", "exposures", "check"])
def test_a_code_among_prices_is_refused(door, name, value):
    refused(door(name, prices=put(PRICES, "C", [LATE], value)), "missing-code", "C")
    refused(door(name, prices=put(PRICES, "B", [LATE, LATE + 30], value)), "missing-code", "B")


# Decimals and percent


@pytest.mark.parametrize("name", ["exposures", "factor risk", "check"])
@pytest.mark.parametrize("case", SCALES)
def test_decimals_read_as_percent_are_refused(door, name, case):
    refused(door(name, factors=SCALES[case](FACTORS), unit="percent"), "factor-unit", "decimals")


@pytest.mark.parametrize("name", ["exposures", "factor risk", "check"])
@pytest.mark.parametrize("column", ["all", "Mkt-RF", "SMB", "RF"])
def test_percent_read_as_decimals_is_refused(door, name, column):
    factors = FACTORS.assign(RF=RATE)
    factors = 100 * factors if column == "all" else factors.assign(**{column: 100 * factors[column]})
    refused(door(name, factors=factors), "factor-unit", "percent")


def test_units_are_refused_in_python():
    weekly = simple_returns(PRICES, period="1w")
    own = FACTORS.rolling(5).sum().reindex(weekly.index)
    for scale in (0.01, 100):
        with pytest.raises(DataError, match="factor-unit"):
            ExposureData.from_prices(PRICES, scale * FACTORS)
        with pytest.raises(DataError, match="factor-unit"):
            TimeSeriesEstimator(scale * own).fit(weekly)


@pytest.mark.parametrize(("unit", "scale"), [("percent", 100), ("decimal", 1)])
def test_the_right_unit_gives_the_right_exposures(door, tmp_path, unit, scale):
    code, _, err = door("exposures", factors=scale * FACTORS, unit=unit)
    assert code == 0, err
    found = Exposures.load(tmp_path / "out" / "exposures_constant.nc")
    np.testing.assert_allclose(np.asarray(found.exposures)[-1, :, 0], BETAS, atol=0.06)
    np.testing.assert_allclose(np.asarray(found.exposures)[-1, :, 1], SIZES, atol=0.1)


# Factors that cannot be told apart


@pytest.mark.parametrize("method", ["constant", "rolling", "kalman", "dcc"])
@pytest.mark.parametrize("case", ALIKE)
def test_collinear_factors_are_refused(door, case, method):
    window = ("--window-days", 250) if method == "rolling" else ()
    found = door("exposures", "--method", method, *window, factors=ALIKE[case](FACTORS))
    refused(found, "collinear-factors")


@pytest.mark.parametrize("case", ALIKE)
def test_collinear_factors_of_risk_are_refused(door, case):
    refused(door("factor risk", factors=ALIKE[case](FACTORS)), "collinear")
    weekly = simple_returns(PRICES, period="1w")
    own = ALIKE[case](FACTORS.rolling(5).sum()).reindex(weekly.index)
    with pytest.raises(DataError, match="collinear"):
        TimeSeriesEstimator(own).fit(weekly)
    with pytest.raises(DataError, match="collinear"):
        ExposureData.from_prices(PRICES, ALIKE[case](FACTORS))


@pytest.mark.parametrize("case", ["still at first", "twice at first", "twice at last"])
def test_factors_that_are_collinear_for_a_window(door, tmp_path, case):
    fresh = 0.007 * np.random.default_rng(2).standard_normal(N)
    early = np.arange(N) < 400 if "first" in case else np.arange(N) >= 450
    base = np.zeros(N) if "still" in case else FACTORS["Mkt-RF"].to_numpy()
    factors = FACTORS.assign(NEW=np.where(early, base, fresh))
    found = door("exposures", "--method", "rolling", "--window-days", 250, factors=factors)
    refused(found, "collinear", "Mkt-RF, SMB, NEW", "though not on all days")
    code, _, err = door("exposures", "--method", "rolling", "--window-days", 600, factors=factors)
    assert code == 0, err  # longer than the days on which they are alike
    slopes = Exposures.load(tmp_path / "out" / "exposures_rolling.nc").exposures.to_numpy()[-1]
    np.testing.assert_allclose(slopes, np.column_stack([BETAS, SIZES, 0 * BETAS]), atol=0.1)
    if "first" in case:
        refused(door("exposures", factors=factors), "collinear")  # constant: of a growing past
        refused(door("exposures", "--method", "constant", factors=factors), "though not on all days")


# Open, high, low, close and volume


@pytest.mark.parametrize("case", ONE)
def test_fields_of_one_asset_are_no_assets(door, tmp_path, case):
    if case == "a volume without a name":
        refused(door("risk", prices=ONE[case](FIELDS)), "ohlcv", "X")
        return
    code, out, err = door("risk", prices=ONE[case](FIELDS))
    assert code == 0, err
    assert "read: prices.csv" in out
    assert volatility(tmp_path) == pytest.approx(by_hand(PRICES[held_by(case)]), rel=0.08)


@pytest.mark.parametrize("case", ["a volume without a name", "a volume among others"])
@pytest.mark.parametrize("name", ["risk", "run", "exposures", "backtest", "check"])
def test_fields_are_refused_by_every_command(door, name, case):
    prices = ONE[case](FIELDS) if case in ONE else PRICES.assign(V=FIELDS["Volume"])
    refused(door(name, prices=prices), "ohlcv", "X" if case in ONE else "V")


@pytest.mark.parametrize("case", ONE)
def test_fields_are_no_assets_in_python(case):
    prices = ONE[case](FIELDS)
    if case in ("a symbol in front", "a symbol and a point", "two symbols", "closes and volumes"):
        with pytest.warns(DataWarning, match="of these symbols left out"):
            found = simple_returns(prices, period="1w")
        assert list(found) == ["SPY", "QQQ"][: len(held_by(case))]
        np.testing.assert_allclose(found, simple_returns(PRICES[held_by(case)], period="1w"), rtol=1e-9)
        return
    universe = pd.DataFrame({"symbol": prices.columns, "asset_class": "x"})
    for make in (
        lambda: Panel.from_prices(prices, universe, origin=ORIGIN),
        lambda: simple_returns(prices, period="1w"),
        lambda: ExposureData.from_prices(prices, FACTORS),
    ):
        with pytest.raises(DataError, match="ohlcv"):
            make()


# A price that never moves


@pytest.mark.parametrize("case", STILL)
@pytest.mark.parametrize("name", ["run", "forecast", "check"])
def test_a_price_that_does_not_move_is_told_as_that(door, name, case):
    symbol, prices = still(case)
    refused(door(name, prices=prices), "constant-price", symbol, "--zero")


@pytest.mark.parametrize("case", STILL)
def test_an_asset_of_zero_return_is_taken_as_such(door, case):
    symbol, prices = still(case)
    code, _out, err = door("run", prices=prices, data=f'zero = ["{symbol}"]')
    assert code == 0, err
    universe = pd.DataFrame({"symbol": prices.columns, "asset_class": "x"})
    with pytest.raises(DataError, match="constant-price"):
        Panel.from_prices(prices, universe, origin=ORIGIN)
    panel = Panel.from_prices(prices, universe, origin=ORIGIN, zero=[symbol])
    assert panel.zero == (symbol,)


@pytest.mark.parametrize("model", ["risk", "all risk"])
@pytest.mark.parametrize("case", ["cash at 1", "cash at 100", "a peg"])
def test_a_price_that_does_not_move_is_held_without_risk(door, tmp_path, case, model):
    symbol, prices = still(case)
    other = "A" if symbol != "A" else "B"
    code, out, err = door(model, prices=prices, held=[other, symbol])
    assert code == 0, err
    assert f"book: counted as cash, without risk: {symbol} 50.0%." in out
    assert "[constant-price]" in err
    half = np.array([0.5 * (s == other) for s in NAMES])
    assert volatility(tmp_path) == pytest.approx(by_hand(PRICES, half), rel=0.05)
    code, out, err = door(model, prices=prices)  # equal weights of what moves
    assert code == 0, err
    assert f"Left out, since their prices never move: {symbol}." in out
    assert volatility(tmp_path) == pytest.approx(
        by_hand(PRICES.drop(columns=symbol, errors="ignore")), rel=0.05
    )
    refused(door("exposures", prices=prices), "constant-price", symbol)


CASH = {
    "a row CASH": ("A,0.5\nCASH,0.5", "CASH 50.0%", 0.5),
    "a row of cash by another name": ("A,0.5\n$Cash USD,0.5", "$Cash USD 50.0%", 0.5),
    "the rest": ("A,0.25\nB,0.25", "50.0% that is not invested", None),
    "both": ("A,0.5\nCASH,0.2", "CASH 20.0%, 30.0% that is not invested", 0.5),
}


@pytest.mark.parametrize("case", CASH)
def test_cash_of_a_portfolio_has_no_risk(door, tmp_path, case):
    rows, told, share = CASH[case]
    (tmp_path / "w.csv").write_text(f"symbol,weight\n{rows}\n")
    code, out, err = door("risk", "--portfolio", tmp_path / "w.csv")
    assert code == 0, err
    assert f"w: counted as cash, without risk: {told}." in out
    weights = np.array([0.25, 0.25, 0, 0, 0, 0]) if share is None else np.eye(6)[0] * share
    assert volatility(tmp_path) == pytest.approx(by_hand(PRICES, weights), rel=0.05)
    assert "[" not in err


def test_a_portfolio_of_cash_alone_an_asset_called_cash_and_a_loan(door, tmp_path):
    (tmp_path / "w.csv").write_text("symbol,weight,portfolio\nCASH,1,x\nA,1.3,y\n")
    code, out, err = door("risk", "--portfolio", tmp_path / "w.csv")
    assert code == 0, err
    assert "y: weights sum to 130.0%; 30.0% is borrowed." in out
    table = pd.read_csv(tmp_path / "out" / "risk.csv").set_index("portfolio")["volatility"]
    assert table["x"] == 0
    assert table["y"] == pytest.approx(by_hand(PRICES, np.eye(6)[0] * 1.3), rel=0.05)
    code, out, err = door(
        "risk", "--portfolio", tmp_path / "w.csv", prices=PRICES.rename(columns={"B": "CASH"})
    )
    assert code == 0, err
    assert "as cash" not in out
    table = pd.read_csv(tmp_path / "out" / "risk.csv").set_index("portfolio")["volatility"]
    assert table["x"] == pytest.approx(by_hand(PRICES, np.eye(6)[1]), rel=0.05)


def test_cash_in_python():
    model = StatisticalEstimator(2).fit(simple_returns(PRICES, period="1w"))
    half, all_in = model.volatility({"A": 0.5, "CASH": 0.5}), model.volatility({"A": 1.0})
    assert float(half) == pytest.approx(0.5 * float(all_in), rel=1e-12)
    assert float(model.decompose({"A": 0.5, "Cash": 0.5}).variance.item()) == pytest.approx(float(half) ** 2)
    with pytest.raises(UnknownLabelError, match="CASHEW"):
        model.volatility({"A": 0.5, "CASHEW": 0.5})
    rng = np.random.default_rng(0)
    draws = 0.05 * rng.standard_normal((500, 2))
    made = Forecast.from_draws(
        draws, assets=["A", "B"], asset_class=["x", "x"], origin="2020-01-03", end="2020-01-31"
    )
    risks = [
        portfolio_risk(made, w).table["value"]["volatility"] for w in ({"A": 0.5, "CASH": 0.5}, {"A": 0.5})
    ]
    assert risks[0] == risks[1]


def test_a_price_of_zero_throughout_is_a_code(door):
    for name in ("run", "risk", "exposures"):
        refused(door(name, prices=PRICES.assign(B=0.0)), "missing-code", "B")


# Monthly and weekly prices


@pytest.mark.parametrize("options", [(), ("--calendar-months",), ("--period", "1m")])
def test_risk_of_monthly_prices(door, tmp_path, options):
    code, _out, err = door("risk", "--window", 36, "--horizon", 1, *options, prices=MONTHS)
    assert code == 0, err
    returns = MONTHS.pct_change(fill_method=None).iloc[-36:]
    expected = float(returns.mean(axis=1).std())
    assert volatility(tmp_path) == pytest.approx(expected, rel=0.05)


def test_risk_of_weekly_prices(door, tmp_path):
    assert door("risk", prices=WEEKS)[0] == 0
    assert volatility(tmp_path) == pytest.approx(
        2 * float(WEEKS.pct_change(fill_method=None).iloc[-104:].mean(axis=1).std()), rel=0.05
    )
    for table, period, longer in ((MONTHS, "1w", "1m"), (WEEKS, "1d", "1w"), (MONTHS, "5d", "1m")):
        refused(
            door("risk", "--period", period, prices=table), "too few for periods", f"period, {longer} say"
        )
        assert door("risk", "--period", longer, "--window", 30, prices=table)[0] == 0


@pytest.mark.parametrize(
    ("table", "settings", "n"),
    [
        (MONTHS, PanelSettings(period="month"), 38),
        (WEEKS, PanelSettings(), 42),
        (WEEKS, PanelSettings(period="month"), 38),
    ],
)
def test_panels_of_sparse_prices(table, settings, n):
    panel = Panel.from_prices(table, UNIVERSE, origin=ORIGIN, settings=settings)
    returns = panel.history.log_returns.to_numpy()
    assert abs(len(returns) - n) <= 1
    expected = np.log(table["A"].iloc[-1] / table["A"].iloc[-2]) if table is MONTHS else None
    if expected is not None:
        assert returns[-1, 0] == pytest.approx(expected)
    assert np.isfinite(returns[2:]).all()
    assert np.isfinite(panel.future.recent_return[0]).all()


@pytest.mark.parametrize("origin", [ORIGIN, "2022-02-28", "2021-12-31"])
def test_run_files_of_monthly_prices(door, origin):
    refused(door("run", prices=MONTHS, origin=origin), "too few for periods of 28 days", 'period = "month"')
    code, out, err = door("run", prices=MONTHS, origin=origin, data='period = "month"')
    assert code == 0, err
    assert f"periods to {origin}, 6 assets" in out
    assert "Prices come about every 31 days" in out


# The end of a month

ENDS = {
    "2021-07-30": ["2021-04-30", "2021-05-31", "2021-06-30", "2021-07-30", "2021-08-31"],
    "2021-04-30": ["2021-01-31", "2021-02-28", "2021-03-31", "2021-04-30", "2021-05-31"],
    "2022-02-28": ["2021-11-30", "2021-12-31", "2022-01-31", "2022-02-28", "2022-03-31"],
    "2021-10-29": ["2021-07-31", "2021-08-31", "2021-09-30", "2021-10-29", "2021-11-30"],
}


@pytest.mark.parametrize("origin", ENDS)
def test_months_end_where_months_end(door, tmp_path, origin):
    expected = pd.DatetimeIndex(ENDS[origin])
    found = period_edges(pd.Timestamp(origin), period="month", n_past=3, n_future=1)
    assert list(found) == list(expected)
    later = origin_dates(origin, "2022-06-30", every="month")
    assert list(later[1:]) == [
        d for d in pd.date_range(origin, "2022-06-30", freq="ME") if d > later[0] + pd.Timedelta(days=5)
    ]
    panel = Panel.from_prices(PRICES, UNIVERSE, origin=origin, settings=PanelSettings(period="month"))
    closes = PRICES["C"]
    steps = np.log(closes.asof(expected[3]) / closes.asof(expected[2]))
    assert panel.history.log_returns.to_numpy()[-1, 2] == pytest.approx(steps)
    code, _out, err = door("risk", "--calendar-months", "--origin", origin, "--window", 20, "--horizon", 1)
    assert code == 0, err
    month_ends = pd.date_range(end=expected[2], periods=20, freq="ME").append(expected[3:4])
    returns = pd.DataFrame([PRICES.asof(d) for d in month_ends]).pct_change(fill_method=None).iloc[1:]
    assert volatility(tmp_path) == pytest.approx(float(returns.mean(axis=1).std()), rel=0.05)


# An asset that ended


@pytest.mark.parametrize("dead", [("F",), ("A",), ("A", "D")])
def test_an_asset_that_ended_and_is_not_held(door, tmp_path, dead):
    held = [s for s in NAMES if s not in dead][:2]
    for name in ("risk", "all risk"):
        code, out, err = door(name, prices=ended(*dead), held=held)
        assert code == 0, err
        assert f"Left out for want of returns in the last 104 periods: {', '.join(dead)}." in out
        assert volatility(tmp_path) == pytest.approx(by_hand(PRICES[held]), rel=0.1)


@pytest.mark.parametrize("dead", [("F",), ("A", "D")])
def test_an_asset_that_ended_elsewhere(door, tmp_path, dead):
    refused(door("risk", prices=ended(*dead), held=["B", *dead]), "held by a portfolio", *dead)
    refused(door("run", prices=ended(*dead)), "stale-end", *dead)
    assert door("run", prices=ended(*dead), data=f"zero = {list(dead)}")[0] == 0
    code, _out, err = door("exposures", prices=ended(*dead))
    assert code == 0, err
    found = Exposures.load(tmp_path / "out" / "exposures_constant.nc").exposures
    alive = [s for s in NAMES if s not in dead]
    slopes = found.isel(day=-1).sel(asset=alive).to_numpy()[:, 0]
    np.testing.assert_allclose(slopes, BETAS[[NAMES.index(s) for s in alive]], atol=0.06)


# Dates with slashes


@pytest.mark.parametrize("dates", ["%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d"])
def test_dates_that_have_one_meaning_are_read(door, tmp_path, dates):
    code, _, err = door("risk", prices=PRICES, dates=dates)
    assert code == 0, err
    assert volatility(tmp_path) == pytest.approx(by_hand(PRICES), rel=0.05)
    assert door("run", dates=dates)[0] == 0


@pytest.mark.parametrize("name", ["risk", "exposures", "run"])
def test_dates_with_two_meanings_are_refused(door, name):
    few = PRICES[(DAYS.day <= 12)]
    refused(door(name, prices=few, dates="%d/%m/%Y"), "two meanings", "--date-format")


@pytest.mark.parametrize("name", ["forecast", "run", "check", "risk"])
@pytest.mark.parametrize(
    ("day", "told"), [("02/01/2022", "two meanings"), ("2022", "incomplete"), ("01-02-2022", "two meanings"),
                      ("2022-02", "incomplete"), ("31/31/2022", "2022")],
)  # fmt: skip
def test_an_origin_with_two_meanings_is_refused(door, name, day, told):
    found = door(name, "--origin", day) if name == "risk" else door(name, origin=day)
    refused(found, told, day)

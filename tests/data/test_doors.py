"""Rules by doors: no door for data without its rules, and each cell of the table tried."""

import json
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import doubt_cases as cases
import numpy as np
import pandas as pd
import pytest

from bdfm._symbols import check_aliases
from bdfm.backtest.protocol import MarketData
from bdfm.data.doubts import calendar
from bdfm.data.doubts.rule import RULES
from bdfm.data.panel import Panel
from bdfm.data.sources import read_prices, read_universe
from bdfm.errors import DataError, DataWarning
from bdfm.exposures import ExposureData
from bdfm.forecast import edits, views
from bdfm.forecast.changes import Changes
from bdfm.forecast.forecast import Forecast
from bdfm.ledger.ledger import Ledger
from bdfm.ledger.track import track as tracked
from bdfm.model.evidence import Evidence, check_evidence
from bdfm.risk import StatisticalEstimator, TimeSeriesEstimator, compounded, simple_returns
from bdfm.risk.from_files import read_portfolios
from bdfm.scoring.m6 import score_submission


def base():
    """What goes through the doors when nothing is wrong."""
    return {
        "prices": cases.clean_prices(),
        "factors": cases.clean_factors(),
        "universe": cases.clean_universe(),
        "earnings": cases.clean_earnings(),
        "weight": 0.125,
        "mean": 0.02,
    }


def panel(t, accept):
    Panel.from_prices(
        t["prices"], t["universe"], origin=cases.ORIGIN, earnings=t["earnings"], accept=accept
    )  # fmt: skip


def backtest(t, accept):
    MarketData.of(t["prices"], t["universe"], t["earnings"], accept=accept)


def risk(t, accept):
    simple_returns(t["prices"], period_days=7, window=104, accept=accept)


def exposures(t, accept):
    ExposureData.from_prices(t["prices"], t["factors"], accept=accept)


def exposures_of_arrays(t, accept):
    ExposureData.from_arrays(
        0.01 * np.ones((cases.N_DAYS, 1)) * np.random.default_rng(0).standard_normal((cases.N_DAYS, 2)),
        t["factors"].to_numpy(), factor_names=list(t["factors"]), accept=accept,
    )  # fmt: skip


def weekly_factors(t, accept):
    compounded(t["factors"], t["factors"].index[4::5], accept=accept)


def time_series(t, accept):
    returns = cases.clean_prices().pct_change(fill_method=None).iloc[1:]
    TimeSeriesEstimator(t["factors"], accept=tuple(accept)).fit(returns)


def returns_of_estimators(t, accept):
    StatisticalEstimator(2).fit(t["prices"].pct_change(fill_method=None).iloc[1:])


def score(t, accept):
    rows = {"ID": cases.NAMES, **{f"Rank{k}": 0.2 for k in range(1, 6)}, "Decision": 0.1}
    end = cases.DAYS[-10]
    score_submission(pd.DataFrame(rows), t["prices"], cases.DAYS[-30], end, accept=accept)


def track(t, accept):
    """Of a month that is over; what is entered is made of clean prices."""
    draws = 0.05 * np.random.default_rng(0).standard_normal((400, len(cases.NAMES)))
    begin, end = cases.DAYS[-30], cases.DAYS[-10]
    made = Forecast.from_draws(
        draws, assets=cases.NAMES, asset_class=["x"] * len(cases.NAMES), origin=begin, end=end
    )
    with tempfile.TemporaryDirectory() as place:
        month = Path(place) / "month"
        month.mkdir()
        made.save(month / "forecast.nc")
        (month / "month.toml").write_text(f'ledger = "."\n[data]\norigin = {begin:%Y-%m-%d}\ndemo = true\n')
        summary = {"model": "toy", "seed": 1, "files": {"prices": "ab"}}
        (month / "summary.json").write_text(json.dumps(summary))
        tracked(Ledger.open(place), t["prices"], accept=accept)


def evidence(t, accept):
    clean = base()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Panel.from_prices(clean["prices"], clean["universe"], origin=cases.ORIGIN)
    check_evidence([Evidence("S0", t["mean"], 0.05)], made, accept=accept)


def forecast():
    draws = 0.05 * np.random.default_rng(0).standard_normal((4000, 2))
    return Forecast.from_draws(
        draws, assets=["S0", "S1"], asset_class=["x", "x"], origin="2020-01-03", end="2020-01-31"
    )


def edit(t, accept):
    forecast().edit(edits.SetReturn(asset="S0", value=t["mean"]), accept=accept)


def view(t, accept):
    view = views.Absolute(asset="S0", mean=t["mean"], sd=0.05 if t["mean"] < 1 else 0.9, semantics="evidence")
    forecast().with_views(view, accept=accept)


def changes(t, accept):
    Changes.from_dict({"edits": [{"kind": "shift", "asset": "S0", "by": t["mean"]}]}).check(
        ["S0", "S1"], ["x", "x"], accept=accept
    )


DOORS = {
    f.__name__: f
    for f in (panel, backtest, risk, exposures, exposures_of_arrays, weekly_factors, time_series, score,
              track, returns_of_estimators, evidence, edit, view, changes)
}  # fmt: skip


# Doors to the tables that they take as they come
TAKES = {
    "prices": ("panel", "backtest", "risk", "exposures", "score", "track"),
    "factors": ("exposures", "weekly_factors", "time_series"),
}


@pytest.mark.parametrize(("what", "door"), [(what, door) for what in TAKES for door in TAKES[what]])
def test_equal_rows_of_a_day_are_one_row(what, door):
    """As in files: a row that says the same is told of, one that contradicts the other is refused."""
    tables, day = base(), base()[what].iloc[[-40]]

    def through(factor):
        given = pd.concat([tables[what], factor * day]).sort_index() if factor else tables[what]
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            DOORS[door](tables | {what: given}, ())
        return {str(w.message) for w in told}

    (more,) = through(1) - through(0)
    named = "compounding" if door == "weekly_factors" else what
    assert more.endswith(f"{named}: 1 row given twice left out.")
    with pytest.raises(DataError, match="given more than once with different values"):
        through(1.01)


def priced(group, case):
    return lambda t: t | {"prices": group[case][1](t["prices"])}


def market_a_day_late(t):
    """Factors whose market is that of the prices, and all of a day later."""
    market = t["prices"].pct_change(fill_method=None).mean(axis=1)
    return t["factors"].assign(**{"Mkt-RF": market.shift(1).fillna(0.0)})


def middle(change, rows=slice(-70, None)):
    """Change of the newest prices, so that doors that look at few of them see it."""

    def make(t):
        prices = t["prices"].copy()
        prices.iloc[rows, 3] = change(prices.iloc[rows, 3])
        return t | {"prices": prices}

    return make


def means_at_the_end(t):
    prices = t["prices"].copy()
    prices.iloc[-1] = prices.iloc[:-1].mean()
    return t | {"prices": prices}


# a mistake for each rule, all of them within what every door looks at
FAULTS = {
    "unit-step": middle(lambda x: 100 * x, slice(-20, None)),
    "missing-code": middle(lambda x: 0 * x + 999, slice(-20, -19)),
    "missing-code of factors": lambda t: t | {"factors": cases.FACTORS["-99.99 of percent"][1](t["factors"])},
    "missing-code of returns": middle(lambda x: 1e-4 * x, slice(-20, None)),
    "far-return": lambda t: t | {"factors": cases.FACTORS["a misprint"][1](t["factors"])},
    "not-prices": priced(cases.PRICES, "gross returns"),
    "ohlcv": lambda t: {
        **t,
        "prices": t["prices"].rename(columns={"S0": "Open", "S1": "Close"}),
        "universe": t["universe"].replace({"S0": "Open", "S1": "Close"}),
    },
    "summary-row": means_at_the_end,
    "summary-column": lambda t: t | {"prices": t["prices"].assign(S7=t["prices"].iloc[:, :7].sum(axis=1))},
    "begun-anew": priced(cases.PRICES, "indices begun anew"),
    "smoothed": priced(cases.WARNED, "averages of five days"),
    "shifted-days": priced(cases.WARNED, "a day late"),
    "sampling": priced(cases.OF_A_PANEL, "one weekly asset"),
    "sampling of all": lambda t: t | {"prices": t["prices"].iloc[::5]},
    "time-zone": priced(cases.WARNED, "one Saturday"),
    "stale-end": priced(cases.OF_A_PANEL, "ended"),
    "constant-price": priced(cases.OF_A_PANEL, "cash"),
    "no-new-price": middle(lambda x: 0 * x + x.iloc[0], slice(-60, -40)),
    "no-new-price at the end": middle(lambda x: 0 * x + x.iloc[0], slice(-20, None)),
    "no-new-price, blank": middle(lambda x: np.nan * x, slice(-19, None)),
    "no-new-price for long": middle(lambda x: 0 * x + x.iloc[0], slice(-60, None)),
    "constant-price at the end": middle(lambda x: 0 * x + x.iloc[0], slice(-20, None)),
    "constant-price for long": middle(lambda x: 0 * x + x.iloc[0], slice(-60, None)),
    "stale-end, blank": middle(lambda x: np.nan * x, slice(-19, None)),
    "twins by name": lambda t: {
        **t,
        "prices": t["prices"].rename(columns={"S1": "s0"}),
        "universe": t["universe"].replace({"S1": "s0"}),
        "earnings": t["earnings"].replace({"S1": "s0"}),
    },
    "twins": priced(cases.PRICES, "a copy"),
    "factor-unit": lambda t: t | {"factors": 100 * t["factors"]},
    "factor-unit of decimals": lambda t: t | {"factors": t["factors"] / 100},
    "factor-unit of returns": lambda t: (
        t | {"prices": 100 * t["prices"].pct_change(fill_method=None).iloc[1:] + 1e4}
    ),
    "factor-unit of levels": lambda t: t | {"factors": t["factors"].cumsum() / 20},
    "shifted-days of factors": lambda t: t | {"factors": market_a_day_late(t)},
    "collinear-factors": lambda t: t | {"factors": t["factors"].assign(SPY=t["factors"]["SMB"])},
    "universe": lambda t: t | {"universe": t["universe"].iloc[:1]},
    "portfolio": lambda t: t | {"weight": 12.5},
    "earnings": lambda t: t | {"earnings": t["earnings"].assign(date=pd.Timestamp("2019-01-03"))},
    "statement-unit": lambda t: t | {"mean": 2.0},
    "future-days": lambda t: t,  # by the clock
    "future-days of factors": lambda t: t,
}
R, W, N = "refuse", "warn", "nothing"
PRICED = ("panel", "backtest", "risk", "exposures", "score", "track")
FACTORED = ("exposures", "exposures_of_arrays", "weekly_factors", "time_series")
SAID = ("evidence", "edit", "view", "changes")
# rule: what each door that concerns it says
EXPECTED = {
    "unit-step": dict.fromkeys(PRICED, R),
    "missing-code": dict.fromkeys(PRICED, R),
    "missing-code of factors": dict.fromkeys(FACTORED, R),
    "far-return": dict.fromkeys(FACTORED, R),
    "not-prices": dict.fromkeys(PRICED, R),
    "ohlcv": dict.fromkeys(("panel", "backtest", "risk", "exposures"), R),
    # a period that ended before that row does not use it
    "summary-row": dict.fromkeys(("panel", "backtest", "risk", "exposures"), R) | {"score": N, "track": N},
    "summary-column": dict.fromkeys(PRICED, R),
    "begun-anew": dict.fromkeys(("panel", "backtest", "risk", "exposures"), R),
    "smoothed": dict.fromkeys(("panel", "backtest", "risk", "exposures"), W),
    "shifted-days": dict.fromkeys(("panel", "backtest", "risk", "exposures"), W),
    "sampling": {"panel": R, "backtest": R, "risk": W},
    "sampling of all": {"panel": N, "backtest": N, "risk": N},
    "time-zone": {"panel": W, "backtest": W, "risk": W},
    "stale-end": {"panel": R, "backtest": N, "risk": N},
    "constant-price": {"panel": R, "backtest": N, "risk": W, "exposures": R, "score": N, "track": N},
    "no-new-price": dict.fromkeys(PRICED, W),
    # repeated, or blank, for three weeks up to the end: what a panel is made of says it in other words
    "no-new-price at the end": dict.fromkeys(("backtest", "risk", "exposures"), W),
    "no-new-price, blank": dict.fromkeys(("backtest", "risk", "exposures"), W),
    "no-new-price for long": {"backtest": W},
    "constant-price at the end": {"panel": W},
    "constant-price for long": {"panel": R, "risk": W, "exposures": W},
    "stale-end, blank": {"panel": W},
    "twins": {"panel": R, "backtest": R, "risk": W, "exposures": W, "score": N},
    "twins by name": {"panel": W, "backtest": W, "risk": W, "exposures": W},
    "factor-unit": dict.fromkeys(FACTORED, R),
    "factor-unit of decimals": dict.fromkeys(FACTORED, R),
    "collinear-factors": dict.fromkeys(FACTORED, R),
    "factor-unit of levels": dict.fromkeys(FACTORED, W),
    "shifted-days of factors": {"exposures": W},
    "universe": {"panel": R, "backtest": R},
    "earnings": {"panel": W, "backtest": W},
    "statement-unit": dict.fromkeys(SAID, R),
    "future-days": dict.fromkeys(PRICED, W),
    "future-days of factors": dict.fromkeys(("exposures", "weekly_factors", "time_series"), W),
}


@contextmanager
def quiet(but=None):
    """Without warnings, but for those of a rule, which fail."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if but is not None:
            warnings.filterwarnings("error", message=rf".*\[{but}\]")
        yield


CELLS = [(fault, door, said) for fault, row in EXPECTED.items() for door, said in row.items()]


@pytest.mark.parametrize("door", DOORS)
def test_nothing_is_doubted_of_clean_tables(door):
    DOORS[door](base(), ())


@pytest.mark.parametrize(("fault", "door", "said"), CELLS)
def test_every_door_asks_its_rules(fault, door, said, monkeypatch):
    rule, tables = fault.replace(",", "").partition(" ")[0], FAULTS[fault](base())
    if rule == "future-days":
        monkeypatch.setattr(calendar, "today", lambda: cases.DAYS[-20])
    if said == R:
        with quiet(), pytest.raises(DataError, match=rf"\[{rule}\]"):
            DOORS[door](tables, ())
    elif said == W:
        with pytest.warns(DataWarning, match=rf"\[{rule}\]"):
            DOORS[door](tables, ())
    if said == W or (
        said == R and fault in ("unit-step", "missing-code", "twins", "earnings", "statement-unit")
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if said == W:
                warnings.filterwarnings("error", message=rf".*\[{rule}\]")
            DOORS[door](tables, (rule,))  # accepted
    if said == N:
        DOORS[door](tables, ())


def test_the_means_of_a_whole_file_are_no_end_of_a_period():
    """Only sixty days before a period, and the window of risk, are looked at else."""
    prices, end = means_at_the_end(base())["prices"], cases.DAYS[-1]
    rows = pd.DataFrame({"ID": cases.NAMES, **{f"Rank{k}": 0.2 for k in range(1, 6)}, "Decision": 0.1})
    with quiet(), pytest.raises(DataError, match=r"\[summary-row\]"):
        score_submission(rows, prices, cases.DAYS[-20], end)
    with quiet(), pytest.raises(DataError, match=r"\[summary-row\]"):
        simple_returns(prices, window=10, period_days=7)
    simple_returns(prices.iloc[:-1], window=10, period_days=7)


@pytest.mark.parametrize("door", FACTORED)
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_return_is_refused_by_name(door, value):
    tables = base()
    factors = tables["factors"].copy()
    factors.iloc[-30, 1] = value
    with quiet(), pytest.raises(DataError, match=r"(infinite|missing).*\(.*SMB (on|from) [-\d]+"):
        DOORS[door](tables | {"factors": factors}, ("*",))  # not to be accepted


def test_one_rule_tells_of_one_price():
    """Whatever the stretch to the end of the prices: a warning, and one."""
    for door in ("backtest", "risk", "exposures"):
        for carried, blank in ((20, 0), (0, 20), (15, 10), (10, 15), (60, 0), (30, 12), (12, 12)):
            tables = base()
            still = slice(-carried - blank, None)
            tables = middle(lambda x: 0 * x + x.iloc[0], still)(tables) if carried else tables
            tables = middle(lambda x: np.nan * x, slice(-blank, None))(tables) if blank else tables
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                DOORS[door](tables, ())
            told = [str(w.message) for w in caught if "S3" in str(w.message)]
            assert len(told) == 1, (door, carried, blank, told)


def test_portfolios_pass_too(tmp_path):
    file = tmp_path / "book.csv"
    file.write_text("symbol,weight\n" + "".join(f"{n},12.5\n" for n in cases.NAMES))
    for accept in ((), ["portfolio"], ["*"]):  # nothing accepts percent: divided by 100 it is right
        with pytest.raises(DataError, match=r"sum to 100\. Weights are shares"):
            read_portfolios(file, cases.NAMES, accept=accept)
    file.write_text(f"symbol,weight\n{cases.NAMES[0]},8\n{cases.NAMES[1]},-7\n")
    with pytest.warns(DataWarning, match=r"sum to 15\. .*\[portfolio\]"):
        read_portfolios(file, cases.NAMES)
    assert read_portfolios(file, cases.NAMES, accept=["portfolio"]).to_numpy().sum() == 1
    file.write_text("symbol,weight\n")
    with pytest.raises(DataError, match="a header but no rows"):
        read_portfolios(file, cases.NAMES)


@pytest.mark.parametrize("read", [read_prices, read_universe])
def test_aliases_that_concern_nothing_are_told_in_python(read):
    table = cases.clean_prices() if read is read_prices else cases.clean_universe()
    for fine in ({"S0": "META"}, {"FB": "S0"}, {}):
        read(table, aliases=fine)
    with pytest.warns(DataWarning, match=r"no file has the symbol of FB = META, T = U\. .*\[alias\]"):
        read(table, aliases={"FB": "META", "T": "U", "S1": "V"})
    shared = check_aliases({"FB": "META", "S1": "V"})  # for several tables: told by who reads them
    read(table, aliases=shared)
    assert shared.unused == {"FB": "META"}


def test_the_table_covers_every_rule():
    assert {f.replace(",", "").partition(" ")[0] for f in EXPECTED} | {"portfolio", "alias"} == set(RULES)
    assert {d for row in EXPECTED.values() for d in row} | {"returns_of_estimators"} == set(DOORS)


def test_estimators_refuse_returns_in_percent():
    returns = 100 * cases.clean_prices().pct_change(fill_method=None).iloc[1:]
    with pytest.raises(DataError, match=r"\[factor-unit\]"):
        StatisticalEstimator(2).fit(returns)


def test_windows_are_looked_at_and_nothing_before_them():
    prices = cases.PRICES["pence from the middle on"][1](cases.clean_prices())
    simple_returns(prices, period_days=7, window=50)
    with pytest.raises(DataError, match="unit-step:S3"):
        simple_returns(prices, period_days=7, window=104)
    late = {"start": str(cases.DAYS[320].date())}
    ExposureData.from_prices(prices, cases.clean_factors(), **late)
    with pytest.raises(DataError, match="unit-step:S3"):
        ExposureData.from_prices(prices, cases.clean_factors())

"""Rules about the contents of tables, one by one."""

import json
import warnings
from pathlib import Path

import doubt_cases as cases
import numpy as np
import pandas as pd
import pytest

from bdfm._labels import BY_CHANCE
from bdfm.data.doubts.door import check_accept, doubt, examine, kept, record
from bdfm.data.doubts.rule import RULES
from bdfm.data.doubts.tables import Said, Tables
from bdfm.data.panel import Panel
from bdfm.data.settings import PanelSettings
from bdfm.errors import DataError, DataWarning, UnknownLabelError

NAMED = ("fields by name", "fields of one symbol", "a yield")  # of whole columns
PURPOSES = ("forecast", "backtest", "risk", "exposures", "score", "check")


def tables(purpose="forecast", **given):
    base = {"prices": cases.clean_prices()}
    if purpose == "forecast":
        base["origin"] = cases.ORIGIN
    return Tables(purpose, **base | given)


def of(found, rule, severity=None):
    return [f for f in found if f.rule == rule and severity in (None, f.severity)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("purpose", PURPOSES)
def test_clean_tables_raise_no_doubt(purpose, seed):
    clean = tables(
        purpose,
        prices=cases.clean_prices(seed),
        factors=cases.clean_factors(seed),
        universe=cases.clean_universe(),
        earnings=cases.clean_earnings(),
        portfolio=pd.DataFrame([[0.125] * 8], ["equal"], cases.NAMES),
    )
    assert list(examine(clean)) == []


@pytest.mark.parametrize("purpose", ["forecast", "backtest"])
@pytest.mark.parametrize("case", cases.PRICES)
def test_prices_that_are_refused(case, purpose):
    rule, change, label = cases.PRICES[case]
    found = examine(tables(purpose, prices=change(cases.clean_prices())))
    refused = of(found, rule, "refuse")
    assert refused, found.table()
    assert any(label in f.seen for f in refused)
    assert {f.rule for f in found.of("refuse")} == {rule}


@pytest.mark.parametrize("case", cases.OF_A_PANEL)
def test_prices_that_a_forecast_refuses_and_others_take(case):
    rule, change, label = cases.OF_A_PANEL[case]
    prices = change(cases.clean_prices())
    refused = of(examine(tables(prices=prices)), rule, "refuse")
    assert any(label in f.seen for f in refused)
    assert not examine(tables("risk", prices=prices)).of("refuse")
    assert of(examine(tables("risk", prices=prices)), rule)


@pytest.mark.parametrize("case", cases.WARNED)
def test_prices_that_are_warned_of(case):
    rule, change, label = cases.WARNED[case]
    prices = change(cases.clean_prices())
    found = examine(tables(prices=prices, origin=prices.index[-1]))
    assert any(label in f.seen for f in of(found, rule, "warn")), found.table()
    assert not found.of("refuse")


@pytest.mark.parametrize("case", cases.FACTORS)
def test_factors_that_are_refused(case):
    rule, change, label = cases.FACTORS[case]
    found = examine(tables("exposures", factors=change(cases.clean_factors())))
    assert any(label in f.seen for f in of(found, rule, "refuse")), found.table()
    assert {f.rule for f in found.of("refuse")} == {rule}


@pytest.mark.parametrize(
    ("rows", "sd", "refused"),
    [(1, 0.00019, True), (1, 0.00025, False), (1, 0.13, False), (1, 0.17, True), (21, 0.0006, True),
     (21, 0.0013, False), (21, 0.5, False), (21, 0.9, True)],
)  # fmt: skip
def test_units_of_factors_are_judged_by_the_length_of_their_periods(rows, sd, refused):
    rng = np.random.default_rng(0)
    days = cases.DAYS[:600] if rows == 1 else pd.date_range("1990-01-31", periods=300, freq="ME")
    factors = pd.DataFrame({"F": sd * rng.standard_normal(len(days))}, days)
    assert bool(of(examine(Tables("risk", factors=factors)), "factor-unit")) is refused


def test_assets_of_another_unit_than_the_factors():
    factors = cases.clean_factors() * 0.05  # the market has 0.05 % a day
    found = of(examine(tables("exposures", factors=factors)), "factor-unit")
    assert found
    assert "liveliest factor" in found[-1].seen or all(f.severity == "refuse" for f in found)


def test_returns_in_percent_and_with_codes():
    returns = cases.clean_prices().pct_change(fill_method=None).iloc[1:]
    assert not examine(Tables("risk", returns=returns))
    assert of(examine(Tables("risk", returns=100 * returns)), "factor-unit", "refuse")
    returns.iloc[50, 2] = -0.9999
    assert [f.labels for f in of(examine(Tables("risk", returns=returns)), "missing-code")] == [("S2",)]


@pytest.mark.parametrize(
    ("value", "severity"),
    [(-1.5, "refuse"), (25.0, "warn"), (1e6, "warn"), (-1.0, None), (3.0, "warn"), (0.9, None)],
)
def test_returns_that_cannot_be(value, severity):
    """A stock may be gone, and may rise tenfold, but lose no more than it is worth; sds here are 0.015."""
    returns = cases.clean_prices().pct_change(fill_method=None).iloc[1:]
    returns.iloc[50, 2] = value
    found = of(examine(Tables("risk", returns=returns)), "far-return")
    assert [f.severity for f in found] == ([severity] if severity else [])
    if severity:
        assert found[0].labels == ("S2",)
        assert found[0].days == (f"{returns.index[50]:%Y-%m-%d}",)
        assert f"S2 on {found[0].days[0]}: {value:.4g}," in found[0].seen


def test_the_crash_of_1987_is_no_misprint():
    factors = cases.clean_factors()
    factors.iloc[100, 0] = -25 * np.abs(factors["Mkt-RF"]).median() * 1.4826
    assert not of(examine(Tables("exposures", factors=factors)), "far-return")


def crash(kind):
    """An asset that jumps for real: a squeeze, a collapse, a leveraged fund."""
    rng = np.random.default_rng(8)
    steps = 0.03 * rng.standard_t(4, cases.N_DAYS)
    if kind == "squeeze":  # as a squeezed share in January 2021
        steps[500:512] = [0.41, 0.12, 0.17, 0.66, 0.85, -0.58, 0.52, -0.37, -0.92, 0.03, -0.55, 0.18]
    if kind == "collapse":  # as a coin that loses its peg
        steps[500:512] = [-0.15, -0.6, -1.3, -3.4, -4.6, 0.9, 1.2, -0.8, 0.5, -0.4, 0.3, -0.7]
    if kind == "volatility fund":
        steps[500:504] = [0.29, 0.55, -0.33, 0.2]
    if kind == "leveraged fund":
        steps *= 1.5
    if kind == "bank":
        steps[500:503] = [-0.76, -0.1, 0.15]
    if kind == "bad news":
        steps[500] = -0.85
    return 20 * np.exp(np.cumsum(steps))


@pytest.mark.parametrize(
    "kind", ["squeeze", "collapse", "volatility fund", "leveraged fund", "bank", "bad news"]
)
def test_assets_that_jump_for_real_are_not_refused(kind):
    found = examine(tables(prices=cases.clean_prices().assign(S4=crash(kind))))
    assert not found.of("refuse")
    if kind != "leveraged fund":
        assert of(found, "unit-step", "warn")


def test_a_peg_among_others_is_not_refused():
    rng = np.random.default_rng(2)
    prices = cases.clean_prices().assign(S4=1 + 0.004 * rng.standard_normal(cases.N_DAYS))
    found = examine(tables(prices=prices))
    assert not found.of("refuse")
    assert of(found, "not-prices", "warn")


def test_a_market_open_all_week_and_one_from_sunday_on():
    week = cases.clean_prices().set_axis(pd.date_range("2018-01-01", periods=cases.N_DAYS))
    assert not examine(Tables("forecast", prices=week, origin=week.index[-1]))
    found = examine(Tables("risk", prices=week[~week.index.day_of_week.isin([4, 5])]))
    assert [f.severity for f in of(found, "time-zone")] == ["warn"]


def test_entering_leaving_and_coming_back_is_no_jump():
    prices = cases.clean_prices()
    prices.iloc[200:400, 3] = np.nan
    prices.iloc[400:, 3] *= 3
    assert not of(examine(tables(prices=prices)), "unit-step")
    prices.iloc[400:, 3] *= 100 / 3
    assert of(examine(tables(prices=prices)), "unit-step", "refuse")


@pytest.mark.parametrize("blank", [False, True])
@pytest.mark.parametrize(
    ("first", "rows"), [(560, 8), (560, 12), (563, 9), (560, 19), (540, 60), (10, 40), (555, 12), (88, 19)]
)
def test_returns_that_a_still_price_loses_are_those_that_the_panel_has_not(first, rows, blank):
    prices, universe = cases.clean_prices(), cases.clean_universe()
    held = prices.copy()
    held.iloc[first + 1 : first + rows, 3] = np.nan if blank else held.iloc[first, 3]
    settings = PanelSettings(n_periods=30)
    made, found = [], []
    for table in (prices, held):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            panel = Panel.from_prices(table, universe, origin=cases.ORIGIN, settings=settings)
        made.append(panel.history["log_returns"].to_numpy())
        found.append([str(w.message) for w in caught if "[no-new-price]" in str(w.message)])
    missing = np.flatnonzero(np.isnan(made[1][:, 3]) & np.isfinite(made[0][:, 3]))
    assert not found[0]
    assert np.isfinite(made[1][:, [0, 1, 2, 4, 5, 6, 7]]).all()
    if not len(missing):
        assert not found[1]
        return
    first_end = pd.Timestamp(panel.history["period"].to_numpy()[missing[0]])
    number = "1 of its returns is" if len(missing) == 1 else f"{len(missing)} of its returns are"
    days = (held.index[first + rows] - held.index[first]).days
    assert f"S3 has no new price for {days} days, from {held.index[first]:%Y-%m-%d}" in found[1][0]
    assert f"{number} missing, that to {first_end:%Y-%m-%d} first" in found[1][0]


@pytest.mark.parametrize(("rows", "told"), [(7, False), (8, False), (9, True)])
def test_markets_are_closed_for_ten_days_at_most(rows, told):
    prices = cases.clean_prices()
    prices.iloc[301 : 300 + rows, 2] = np.nan  # from a Monday on
    assert bool(of(examine(Tables("backtest", prices=prices)), "no-new-price")) is told


@pytest.mark.parametrize(("rows", "told"), [(2, False), (6, False), (7, True)])
def test_two_months_may_end_at_one_price(rows, told):
    prices = cases.clean_prices().iloc[::20].set_axis(pd.date_range("2015-01-31", periods=35, freq="ME"))
    prices.iloc[10 : 10 + rows, 2] = prices.iloc[10, 2]
    assert bool(of(examine(Tables("backtest", prices=prices)), "no-new-price")) is told


@pytest.mark.parametrize("blank", [False, True])
@pytest.mark.parametrize(("rows", "told"), [(8, False), (9, True)])
def test_a_score_tells_of_an_end_without_a_new_price(rows, told, blank):
    """An outcome that is two weeks old; where a panel is made, other rules tell of it."""
    prices = cases.clean_prices()  # ends on a Friday
    prices.iloc[-rows:, 2] = np.nan if blank else prices.iloc[-rows - 1, 2]
    found = of(examine(Tables("score", prices=prices)), "no-new-price", "warn")
    assert bool(found) is told
    tested = of(examine(Tables("backtest", prices=prices)), "no-new-price", "warn")
    assert [(f.seen, f.labels, f.days) for f in tested] == [(f.seen, f.labels, f.days) for f in found]
    made = Tables("forecast", prices=prices, origin=prices.index[-1])
    assert not of(examine(made), "no-new-price")
    if told:
        first = "S2 has no new price in the 11 days to the end, 2020-08-24 to 2020-09-04"
        assert found[0].seen.startswith(first)
        # What comes of it differs: a score counts with the older close, a backtest has no return.
        assert found[0].usual.startswith("The last close stands for that of the end")
        assert tested[0].usual.startswith("A close older than 10 days is no price")


# Where and when


@pytest.mark.parametrize("case", [c for c in cases.PRICES | cases.WARNED if c not in NAMED])
def test_what_comes_after_the_origin_is_not_looked_at(case):
    _, change, _ = (cases.PRICES | cases.WARNED)[case]
    prices = cases.clean_prices()
    later = change(prices).copy()
    later.index = later.index + (prices.index[-1] - later.index[0]) + pd.Timedelta(days=1)
    whole = pd.concat([prices, later])
    before = examine(tables(prices=prices)).table()
    pd.testing.assert_frame_equal(examine(tables(prices=whole, origin=prices.index[-1])).table(), before)


def test_old_warnings_are_notes_and_old_refusals_stay():
    since = cases.DAYS[400]
    split = cases.WARNED["split"][1](cases.clean_prices())
    assert [f.severity for f in examine(tables(prices=split, since=since))] == ["note"]
    unit = cases.PRICES["pence from the middle on"][1](cases.clean_prices())
    assert examine(tables(prices=unit, since=since)).exit_code == 2


def test_assets_outside_the_universe_are_not_looked_at():
    prices = cases.PRICES["pence from the middle on"][1](cases.clean_prices())
    universe = cases.clean_universe()
    assert not examine(tables(prices=prices, universe=universe[universe["symbol"] != "S3"]))
    assert examine(tables(prices=prices, universe=universe)).exit_code == 2


def test_assets_set_to_zero_may_be_still_or_gone():
    prices = cases.clean_prices().assign(S5=1.0)
    prices.loc[prices.index[-60] :, "S2"] = np.nan
    assert len(examine(tables(prices=prices)).of("refuse")) == 2
    assert not examine(tables(prices=prices, inactive=("S5", "S2")))


@pytest.mark.parametrize(("days", "severity"), [(3, None), (6, "warn"), (12, "refuse")])
def test_tables_that_end_before_the_origin(days, severity):
    found = of(examine(tables(origin=cases.ORIGIN + pd.Timedelta(days=days))), "stale-end")
    assert [f.severity for f in found] == ([] if severity is None else [severity])


def test_tables_that_begin_after_the_origin():
    """Nothing of them may be looked at, and no price is known."""
    late = cases.clean_prices()
    before = late.index[0] - pd.Timedelta(days=1)
    for empty in (late, late.assign(S1=np.nan)):
        found = of(examine(tables(prices=empty, origin=before)), "stale-end")
        assert [(f.severity, f.labels, f.days) for f in found] == [
            ("refuse", (), (f"{late.index[0]:%Y-%m-%d}",))
        ]
        assert not found[0].acceptable
    assert not of(examine(tables(prices=late, origin=late.index[0])), "stale-end")
    # A column that is not the universe's may reach back further.
    earlier = pd.concat([pd.DataFrame({"ZZ": 1.0}, [before - pd.Timedelta(days=900)]), late])
    universe = pd.DataFrame({"symbol": late.columns, "asset_class": "stock"})
    (found,) = of(examine(tables(prices=earlier, universe=universe, origin=before)), "stale-end")
    assert found.days == (f"{late.index[0]:%Y-%m-%d}",)
    assert not examine(tables(prices=late * np.nan, origin=before))  # of which the reader says more


CHANGES = {
    "pence": lambda p: 100 * p,
    "thousands": lambda p: p / 1000,
    "rows": lambda p: p.iloc[::-1],
    "columns": lambda p: p[p.columns[::-1]],
    "any rows": lambda p: p.sample(frac=1, random_state=1),
    "texts": lambda p: p.set_axis(p.index.astype(str)),
    "zone": lambda p: p.set_axis(p.index.tz_localize("America/New_York")),
}


@pytest.mark.parametrize(
    "case",
    [
        c
        for c in cases.PRICES | cases.OF_A_PANEL | cases.WARNED
        if c not in ("a volume", "log returns of one")
    ],
)
def test_findings_do_not_hang_on_unit_or_order(case):
    _, make, _ = (cases.PRICES | cases.OF_A_PANEL | cases.WARNED)[case]
    prices = make(cases.clean_prices())
    origin = prices.index[-1]

    def said(p):
        found = examine(tables(prices=p, origin=origin))
        return {(f.rule, f.severity, frozenset(f.labels), f.days) for f in found}

    own = said(prices)
    assert own
    assert {name: said(change(prices)) for name, change in CHANGES.items()} == dict.fromkeys(CHANGES, own)


@pytest.mark.parametrize("case", [*cases.PRICES, *cases.OF_A_PANEL, *cases.WARNED])
def test_findings_do_not_hang_on_names_or_on_an_unrelated_column(case):
    _, make, _ = (cases.PRICES | cases.OF_A_PANEL | cases.WARNED)[case]
    prices = make(cases.clean_prices())
    if case in NAMED:
        names = {}
    else:
        names = {c: f"X-{c}.L" for c in prices.columns}
    rng = np.random.default_rng(9)
    walk = 50 * np.exp(np.cumsum(0.02 * rng.standard_normal(len(prices))))
    more = prices.rename(columns=names)
    if case not in ("one weekly asset", "returns", "gross returns", "100 + percent"):
        more["other"] = walk
    own = [(f.rule, f.severity, f.days) for f in examine(tables(prices=prices, origin=prices.index[-1]))]
    new = [(f.rule, f.severity, f.days) for f in examine(tables(prices=more, origin=prices.index[-1]))]
    assert sorted(own) == sorted(new)


# Universe, portfolio, earnings, statements


@pytest.mark.parametrize(
    ("universe", "severity", "seen"),
    [
        (cases.clean_universe().iloc[:1], "refuse", "one asset"),
        (cases.clean_universe().iloc[:4], "warn", "4 assets"),
        (cases.clean_universe().iloc[:5], None, ""),
        (cases.clean_universe().iloc[:6], "warn", "1 of 2 asset classes have one asset (fund)"),
    ],
)
def test_universes(universe, severity, seen):
    found = of(examine(tables(universe=universe)), "universe")
    assert [f.severity for f in found] == ([] if severity is None else [severity])
    assert all(seen in f.seen for f in found)


@pytest.mark.parametrize(
    ("weights", "severity"),
    [
        ([12.5] * 8, "refuse"),
        ([0.0] * 8, "refuse"),
        ([3.0, -3, 3, -3, 0, 0, 0, 0], "warn"),
        ([0.125] * 8, None),
        ([1.3, -0.3] * 4, None),
    ],
)
def test_portfolios(weights, severity):
    book = pd.DataFrame([weights, [0.125] * 8], ["book", "equal"], cases.NAMES)
    found = examine(Tables("risk", portfolio=book))
    assert [(f.severity, f.labels) for f in found] == ([] if severity is None else [(severity, ("book",))])


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda e: e.assign(date=e["date"].where(e.index != 2, pd.Timestamp("2205-01-01"))), "1 of"),
        (lambda e: e.assign(date=e["date"] - pd.Timedelta(days=4000)), "no date of S0"),
        (lambda e: pd.concat([e, e.assign(date=e["date"] + pd.Timedelta(days=30))]), "more than 6"),
        (lambda e: e.assign(date=pd.Timestamp("2019-01-03")), "are on 2019-01-03"),
    ],
)
def test_calendars(change, seen):
    found = of(examine(tables(earnings=change(cases.clean_earnings()))), "earnings", "warn")
    assert any(seen in f.seen for f in found)


@pytest.mark.parametrize(
    ("what", "value", "severity"),
    [
        ("return", 2.0, "refuse"), ("return", -1.0, "refuse"), ("return", 0.6, None), ("return", 1, "refuse"),
        ("sd", 10, "refuse"), ("sd", 0.9, None), ("sd", 0.0005, "warn"), ("sd", 1e-300, "refuse"),
        ("sd", 0.002, None), ("ratio", 3400 / 158, "refuse"), ("ratio", 0.95 / 95, "refuse"),
        ("ratio", 2.0, None), ("ratio", 0.4, None),
    ],
)  # fmt: skip
def test_statements(what, value, severity):
    found = examine(Tables("forecast", said=[Said("evidence on TLT", "TLT", what, value)]))
    assert [f.severity for f in found] == ([] if severity is None else [severity])


# Findings and the door


def two_faults():
    prices = cases.PRICES["pence from the middle on"][1](cases.clean_prices())
    return tables(prices=prices.assign(S7=2 * prices["S0"]))


def test_one_error_lists_all_refusals():
    with pytest.raises(DataError) as caught:
        doubt(two_faults())
    text = str(caught.value)
    assert text.startswith("2 doubts about the data refuse them:\n- ")
    assert "[unit-step]" in text
    assert "--accept unit-step:S3" in text
    assert "S0 and S7 have the same returns" in text
    assert "[twins]" in text


@pytest.mark.parametrize(
    ("accept", "left"),
    [
        (["unit-step:S3"], {"twins"}),
        (["unit-step"], {"twins"}),
        (["unit-step:S4"], {"twins", "unit-step"}),
        (["twins:S7"], {"unit-step"}),
        (["twins:S0", "unit-step:S3"], set()),
        (["*"], set()),
        ("twins", {"unit-step"}),
    ],
)
def test_what_is_accepted_is_recorded(accept, left):
    found = examine(two_faults(), accept=accept)
    assert {f.rule for f in found.of("refuse")} == left
    assert {f.rule for f in found.accepted} == {"twins", "unit-step"} - left
    assert found.exit_code == (2 if left else 0)


def test_what_no_one_can_use_cannot_be_accepted():
    prices = cases.PRICES["zero"][1](cases.clean_prices())
    with pytest.raises(DataError, match=r"S4 on .*: 0\..*\[missing-code\]"):
        doubt(tables(prices=prices), accept=["*"])


def test_unknown_rules_are_named():
    with pytest.raises(UnknownLabelError, match=r"unknown rule unit-stepp\. Did you mean unit-step"):
        check_accept(["unit-stepp:A"])


def test_warnings_are_one_line_a_kind():
    prices = cases.clean_prices()
    prices.iloc[300:, 3] /= 2
    prices.iloc[350:, 5] *= 3
    with pytest.warns(DataWarning) as caught:
        doubt(tables(prices=prices))
    assert len(caught) == 1
    text = str(caught[0].message)
    assert "2 found: S3" in text
    assert "S5" in text
    assert "\n" not in text
    doubt(tables(prices=prices), accept=["unit-step"])


def test_kept_findings_are_a_record():
    prices = cases.WARNED["split"][1](cases.clean_prices())
    with kept() as found:
        doubt(tables(prices=prices), accept=["unit-step:S3"])
        doubt(tables(prices=prices), accept=["unit-step:S3"])
    told = record(found)
    assert [f["labels"] for f in told["accepted"]] == [["S3"]]
    assert told["warned"] == []
    with kept() as empty:
        pass
    doubt(tables(prices=prices), accept=["unit-step:S3"])
    assert empty == []


def test_findings_as_table_json_and_html():
    found = examine(two_faults())
    table = found.table()
    assert list(table["rule"]) == [f.rule for f in found]
    parsed = json.loads(found.to_json())
    assert parsed["refuse"] == 2
    assert parsed["exit_code"] == 2
    assert {f["rule"] for f in parsed["findings"]} == {"unit-step", "twins"}
    assert found._repr_html_().count("<tr>") == 3
    assert len(found.rich_table().rows) == 2
    assert repr(found) == "<Findings: 2 refuse, 0 warn, 0 note, 0 accepted>"


def test_every_rule_says_what_it_doubts_and_is_tested():
    assert len(RULES) == 24
    for rule in RULES.values():
        assert len(rule.text) > 100, rule.name
    tried = {
        c[0]
        for group in (cases.PRICES, cases.OF_A_PANEL, cases.WARNED, cases.FACTORS)
        for c in group.values()
    }
    tried |= {"summary-row", "summary-column", "future-days"}  # in test_new_doubts
    assert tried | {"universe", "portfolio", "earnings", "statement-unit", "alias"} == set(RULES)


def test_large_tables_are_quick():
    import time

    rng = np.random.default_rng(1)
    steps = 0.01 * rng.standard_normal((5040, 100)) + 0.008 * rng.standard_normal((5040, 1))
    prices = pd.DataFrame(100 * np.exp(steps.cumsum(axis=0)), pd.bdate_range("2000-01-03", periods=5040))
    begun = time.process_time()
    examine(tables(prices=prices.rename(columns=str), origin=prices.index[-1]))
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    ("factor", "row", "severity"),
    [
        (0.5, -15, "refuse"),
        (1 / 1.8, -15, "warn"),
        (0.5, -40, "warn"),
        (1.95, -15, "refuse"),
        (1.5, -15, None),
    ],
)
def test_newest_prices_that_jump_are_refused_in_a_forecast(factor, row, severity):
    prices = cases.clean_prices()
    prices.iloc[row:, 3] *= factor
    assert prices.index[row] > cases.ORIGIN - pd.Timedelta(days=30) or row == -40
    assert [f.severity for f in of(examine(tables(prices=prices)), "unit-step")] == (
        [severity] if severity else []
    )
    assert not examine(tables("risk", prices=prices)).of("refuse")


def test_documents_and_registry_have_the_same_rules():
    text = (Path(__file__).parents[2] / "docs" / "doubts.md").read_text(encoding="utf-8")
    listed = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert sorted(listed) == sorted(RULES)


def test_names_that_are_nearly_one_have_one_list():
    text = (Path(__file__).parents[2] / "docs" / "doubts.md").read_text(encoding="utf-8")
    assert BY_CHANCE in text
    assert BY_CHANCE in RULES["universe"].text
    varied = ["R&D Labs", "r and d labs", "R-and-D lab", "Ｒ and D labs"]
    found = of(examine(Tables("risk", groups={"sector": varied})), "universe")
    assert [BY_CHANCE in f.seen for f in found] == [True]


def test_a_spike_of_two_days_and_a_step_of_a_wild_asset():
    prices = cases.clean_prices()
    prices.iloc[400:402, 5] *= 2.5
    assert [(f.severity, len(f.days)) for f in examine(tables(prices=prices))] == [("refuse", 2)]
    rng = np.random.default_rng(3)
    wild = np.exp(np.cumsum(0.1 * rng.standard_normal(cases.N_DAYS)) + 4.6 * (np.arange(cases.N_DAYS) > 400))
    assert not examine(tables(prices=cases.clean_prices().assign(S4=wild))).of("refuse")


def test_a_lively_asset_that_comes_back_after_a_long_gap_is_not_of_another_unit():
    rng = np.random.default_rng(4)
    lively = np.exp(np.cumsum(0.05 * rng.standard_normal(cases.N_DAYS)))
    lively[200:500] = np.nan
    lively[500:] *= 4 * lively[199] / lively[500]
    assert not of(examine(tables(prices=cases.clean_prices().assign(S4=lively))), "unit-step", "refuse")


EXTREMES = (np.inf, -np.inf, np.nan, 0.0, -1.0, 1e308, -1e308, 1e-308)


@pytest.mark.parametrize("where", ["a cell", "the last cell", "the last row", "a column", "all"])
@pytest.mark.parametrize("value", EXTREMES, ids=str)
@pytest.mark.parametrize("what", ["prices", "factors", "returns"])
def test_no_rule_stumbles_over_a_number(what, value, where):
    """Warnings of NumPy are errors here: rules find what they find, whatever number a cell holds."""
    table = cases.clean_prices() if what == "prices" else cases.clean_factors()
    rows, columns = {
        "a cell": (5, 2), "the last cell": (-1, -1), "the last row": (-1, slice(None)),
        "a column": (slice(None), 1), "all": (slice(None), slice(None)),
    }[where]  # fmt: skip
    table.iloc[rows, columns] = value
    if np.isinf(value):
        with pytest.raises(DataError, match=r"infinite .*inf"):
            examine(tables("check", **{what: table}))
        return
    found = examine(tables("check", **{what: table}))
    assert all(f.rule in RULES for f in found)


def stocks(seed=1, n=6, rows=300):
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 0.009, (rows, 1)) + rng.normal(0, 0.012, (rows, n))
    names = [f"T{i}" for i in range(n)]
    return pd.DataFrame(80 * np.exp(steps.cumsum(axis=0)), pd.bdate_range("2020-06-01", periods=rows), names)


def logs_named(prices):
    found = examine(Tables("risk", prices=prices))
    return [f.labels[0] for f in of(found, "not-prices", "warn") if "Logs of prices" in f.usual and f.labels]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("level", [30.0, 80.0, 3000.0])
def test_a_column_of_logs_among_closes_is_named(seed, level):
    prices = stocks(seed)
    assert logs_named(prices) == []
    assert logs_named(prices.assign(T2=np.log(prices["T2"] / 80 * level))) == ["T2"]
    both = prices.assign(T2=np.log(prices["T2"]), T4=np.log(prices["T4"]))
    assert logs_named(both) == ["T2", "T4"]


def test_what_is_calm_for_another_reason_is_not_taken_for_logs():
    prices, rng = stocks(), np.random.default_rng(7)
    own = np.exp(rng.normal(0, 0.003, len(prices)).cumsum())
    assert logs_named(prices.assign(CNY=6.7 * own)) == []  # it does not move with the others
    fund = np.exp(0.2 * np.log(prices["T0"]).diff().fillna(0).cumsum())
    assert logs_named(prices.assign(F=100 * fund)) == []  # no log has such a level
    assert logs_named(prices.assign(F=1.6 * fund)) == []  # logs move more, at this level
    assert logs_named(prices.assign(F=5 * fund)) == ["F"]  # as a fund of bonds at five pounds may be
    assert logs_named(prices.assign(F=5 * fund, G=100 * own)) == []  # beside another that is calm
    assert logs_named(prices.assign(T2=np.log(prices["T2"])).iloc[:50]) == []  # too few rows to tell


def test_columns_of_logs_at_the_command_line(bdfm_command, tmp_path):
    prices = stocks(rows=700)
    prices.assign(T2=np.log(prices["T2"])).to_csv(tmp_path / "p.csv")
    code, _, err = bdfm_command("risk", "--prices", tmp_path / "p.csv", "--out", tmp_path / "out")
    assert (code, "T2 has levels of" in err) == (0, True), err

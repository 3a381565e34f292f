"""Edits and views as a file: read, checked, applied, tracked, replayed; takeovers, halts, suspensions."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bdfm import views as v
from bdfm.data.doubts.door import examine
from bdfm.data.doubts.tables import Tables
from bdfm.errors import BdfmError, DataError, DataWarning, InfeasibleViewError, UnknownLabelError
from bdfm.forecast.changes import Changes, parse_edits
from bdfm.forecast.edits import EDITS
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.records import Effect, Record

ASSETS = ("ATVI", "MSFT", "XLNX", "AMD", "TLT", "SHY")
CLASSES = ["stock"] * 4 + ["bond"] * 2


def make(n=4000, *, seed=3, weights=None):
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((n, 1)) * 0.04
    loading = np.array([0.8, 1.0, 1.2, 1.5, -0.3, 0.05])
    returns = 0.004 + common * loading + rng.standard_normal((n, 6)) * 0.03
    return Forecast.from_draws(
        np.maximum(returns, -0.9),
        assets=ASSETS,
        asset_class=CLASSES,
        origin="2022-02-04",
        end="2022-03-04",
        weights=weights,
    )


@pytest.fixture(scope="module")
def forecast():
    return make()


@pytest.fixture(scope="module")
def weighted():
    return make(weights=np.random.default_rng(5).gamma(3, size=4000))


def column(f, symbol):
    return f.draws.sel(asset=symbol).to_numpy().astype(float)


# Edits for accidents


@pytest.mark.parametrize("prior", ["forecast", "weighted"])
def test_a_cash_offer_closes_with_its_probability(prior, request):
    f = request.getfixturevalue(prior)
    seen = f.acquired_for_cash("ATVI", offer=95, price=80, probability=0.8)
    closed = column(seen, "ATVI") == np.float32(95 / 80 - 1)
    assert f.weights.to_numpy()[closed].sum() == pytest.approx(0.8, abs=2 * f.weights.to_numpy().max())
    np.testing.assert_array_equal(column(seen, "ATVI")[~closed], column(f, "ATVI")[~closed])
    # Whether the deal closes has nothing to do with the market: 4 Monte Carlo errors.
    assert abs(np.corrcoef(closed, column(f, "MSFT"))[0, 1]) < 4 / np.sqrt(f.n_draws)
    np.testing.assert_array_equal(seen.draws.sel(asset="AMD"), f.draws.sel(asset="AMD"))
    assert seen.history()["text"][0] == "ATVI: bought for cash at 95, +18.7500% from 80 with probability 0.8."
    certain = f.acquired_for_cash("ATVI", offer=95, price=80)
    assert set(column(certain, "ATVI")) == {np.float32(0.1875)}
    never = f.acquired_for_cash("ATVI", offer=95, price=80, probability=0)
    np.testing.assert_array_equal(never.draws, f.draws)


def test_deals_of_two_assets_close_apart(forecast):
    seen = forecast.acquired_for_cash("ATVI", offer=95, price=80, probability=0.5)
    seen = seen.acquired_for_cash("XLNX", offer=95, price=80, probability=0.5)
    both = (column(seen, "ATVI") == np.float32(0.1875)) & (column(seen, "XLNX") == np.float32(0.1875))
    assert both.mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 4000))


BIDS = "acquired_for_cash ATVI offer=95 price=80 probability=0.5"
HIGHER = "acquired_for_cash ATVI offer=100 price=80 probability=0.5"
HALT = "halted ATVI probability=0.5"


@pytest.mark.parametrize(
    ("first", "value"), [(BIDS, 0.1875), ("replace ATVI distribution=norm(0.2,0.05)", None)]
)
@pytest.mark.parametrize("second", [HALT, HIGHER])
def test_two_events_of_one_asset_are_independent(forecast, tmp_path, first, value, second):
    """With one seed the second had happened in the draws of the first, of which nothing was left."""
    one, two = parse_edits([first, second])
    doors = [
        forecast.edit(one).edit(two),
        forecast.edit(one, two),
        Changes.from_dict({"edits": [one.to_dict(), two.to_dict()]}).apply(forecast),
        Changes.from_records(forecast.edit(one, two).records).apply(forecast),
        Forecast.load(forecast.edit(one).save(tmp_path / "f.nc")).edit(two),
    ]
    before = column(forecast.edit(one), "ATVI")
    for seen in doors:
        np.testing.assert_array_equal(seen.draws, doors[0].draws)
        happened = column(seen, "ATVI") == np.float32(0 if second == HALT else 0.25)
        assert happened.mean() == pytest.approx(0.5, abs=1e-3)
        assert abs(np.corrcoef(happened, before)[0, 1]) < 4 / np.sqrt(forecast.n_draws)
        if value is not None:
            left = (column(seen, "ATVI") == np.float32(value)).mean()
            assert left == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.25 / forecast.n_draws))


def test_a_stock_offer_moves_with_the_acquirer(forecast):
    seen = forecast.acquired_for_stock(
        "XLNX", "AMD", ratio=1.7234, price=190, acquirer_price=123, cash=2, spread=0.01
    )
    expected = (1.7234 * 123 * (1 + column(forecast, "AMD")) + 2) * 0.99 / 190 - 1
    np.testing.assert_allclose(column(seen, "XLNX"), expected, atol=1e-6)
    half = forecast.acquired_for_stock(
        "XLNX", "AMD", ratio=1.7234, price=190, acquirer_price=123, probability=0.5
    )
    assert 0.4 < (column(half, "XLNX") == column(forecast, "XLNX")).mean() < 0.6


def test_halts_and_suspensions(forecast):
    seen = forecast.halted("MSFT", probability=0.4)
    assert (column(seen, "MSFT") == 0).mean() == pytest.approx(0.4, abs=1e-3)
    closed = forecast.suspended("bond")
    assert not column(closed, "TLT").any()
    assert not column(closed, "SHY").any()
    np.testing.assert_array_equal(closed.draws[:, :4], forecast.draws[:, :4])
    p = closed.quantile_probabilities()
    np.testing.assert_array_equal(p.sel(asset="TLT"), p.sel(asset="SHY"))
    assert closed.history()["symbols"][0] == "TLT, SHY"


def test_jumps_of_the_newest_prices_are_found():
    days = pd.bdate_range("2022-01-03", "2022-02-11")
    prices = pd.DataFrame({"OK": 100.0, "SPLIT": 100.0, "UP": 10.0, "OLD": 1.0, "LATER": 1.0}, index=days)
    prices.loc["2022-01-27":, "SPLIT"] = 10.0
    prices.loc["2022-01-20", "SPLIT"] = np.nan  # a gap is no jump
    prices.loc["2022-02-01":, "UP"] = 19.5
    prices.loc["2022-01-04":, "OLD"] = 7.0
    prices.loc["2022-02-08":, "LATER"] = 9.0
    found = examine(Tables("forecast", prices=prices, origin=pd.Timestamp("2022-02-04")))
    steps = {f.labels[0]: (f.severity, f.seen) for f in found if f.rule == "unit-step"}
    assert steps == {
        "SPLIT": ("refuse", "SPLIT on 2022-01-27: -90.0%, like a split of 10 for 1"),
        "UP": ("refuse", "UP on 2022-02-01: +95.0%"),
        "OLD": ("warn", "OLD on 2022-01-04: +600.0%"),
    }


# Files

TEXT = """
[[edits]]
kind = "zero"
assets = ["SHY"]

[[edits]]
kind = "acquired_for_cash"
asset = "ATVI"
offer = 95.0
probability = 0.8

[[edits]]
kind = "replace"
asset = "MSFT"
distribution = "t(4, loc=0.01, scale=0.05)"
keep_ranks = true
seed = 3

[[views]]
kind = "portfolio"
weights = {AMD = 0.6, TLT = 0.4}
mean = 0.01
sd = 0.05
semantics = "evidence"

[[views]]
kind = "quantile"
asset = "AMD"
quantile = 5
probability = 0.45
semantics = "constraint"

[[edits]]
kind = "shift"
asset = "TLT"
by = 0.01
step = 2
"""
CLOSES = pd.Series({"ATVI": 80.0, "AMD": 120.0})


def test_a_file_does_what_its_methods_do(forecast):
    by_hand = (
        forecast.zero("SHY")
        .acquired_for_cash("ATVI", offer=95, price=80, probability=0.8)
        .replace("MSFT", stats.t(4, loc=0.01, scale=0.05), keep_ranks=True, seed=3)
        .with_views(
            v.Portfolio(weights={"AMD": 0.6, "TLT": 0.4}, mean=0.01, sd=0.05, semantics="evidence"),
            v.Quantile(asset="AMD", quantile=5, probability=0.45, semantics="constraint"),
        )
        .shift("TLT", 0.01)
    )
    seen = Changes.from_toml(TEXT).apply(forecast, prices=CLOSES)
    np.testing.assert_array_equal(seen.draws, by_hand.draws)
    np.testing.assert_array_equal(seen.weights, by_hand.weights)
    assert seen.records == by_hand.records


def test_records_are_replayed_on_next_months_draws(forecast):
    done = Changes.from_toml(TEXT).apply(forecast, prices=CLOSES)
    text = Changes.from_records(done.records).to_toml()
    again = Changes.from_toml(text)
    next_month = make(seed=11)
    direct = Changes.from_toml(TEXT).apply(next_month, prices=CLOSES)
    replayed = again.apply(next_month)
    np.testing.assert_array_equal(replayed.draws, direct.draws)
    np.testing.assert_array_equal(replayed.weights, direct.weights)
    assert replayed.records == direct.records
    assert again.to_toml() == text


def test_two_calls_with_views_stay_apart_in_a_replay(forecast):
    one = v.Absolute(asset="TLT", mean=0.01, semantics="constraint")
    two = v.Absolute(asset="TLT", mean=0.015, semantics="constraint")
    done = forecast.with_views(one).with_views(two)
    again = Changes.from_toml(Changes.from_records(done.records).to_toml()).apply(forecast)
    np.testing.assert_allclose(again.weights, done.weights, rtol=1e-12)
    assert len(Changes.from_records(done.records).steps) == 2


def test_people_and_shares_survive_a_replay(forecast):
    ann = v.Absolute(asset="TLT", mean=0.02, by="Ann", semantics="constraint")
    ben = v.Absolute(asset="TLT", mean=-0.01, by="Ben", confidence=0.5, semantics="constraint")
    done = forecast.with_views(ann, ben, shares={"Ann": 0.5, "Ben": 0.3})
    again = Changes.from_toml(Changes.from_records(done.records).to_toml()).apply(forecast)
    np.testing.assert_array_equal(again.weights, done.weights)
    assert again.records == done.records


def test_given_draws_cannot_be_replayed(forecast):
    done = forecast.replace("TLT", np.zeros(4000))
    with pytest.raises(DataError, match="draws that replaced TLT were given as numbers"):
        Changes.from_records(done.records)


def test_effects_are_tracked_and_saved(forecast, tmp_path):
    seen = Changes.from_toml(TEXT).apply(forecast, prices=CLOSES)
    effects = seen.effects()
    assert effects["change"].unique().tolist() == [1, 2, 3, 4, 5, 6]
    p = forecast.quantile_probabilities()
    first = effects[(effects["change"] == 1) & (effects["symbol"] == "SHY")].iloc[0]
    assert first["P1_before"] == pytest.approx(float(p.sel(asset="SHY", quantile=1)))
    assert first["sd_after"] == 0
    view = effects[(effects["change"] == 5) & (effects["symbol"] == "AMD")].iloc[0]
    assert view["P5_after"] == pytest.approx(0.45, abs=1e-9)
    assert view["P5_before"] < 0.45
    last = effects[effects["symbol"] == "TLT"].iloc[-1]
    assert last["median_after"] - last["median_before"] == pytest.approx(0.01, abs=1e-6)
    loaded = Forecast.load(seen.save(tmp_path / "f.nc"))
    pd.testing.assert_frame_equal(loaded.effects(), effects)
    assert forecast.effects().empty


def test_effects_round_trip():
    record = Record("zero", ("A",), (), "A.", Effect(10.0, {"A": (0.1, 0.2)}, {"A": (0.3, 0.4)}))
    again = Record.from_dict(record.to_dict())
    assert again == record
    assert again.effect == record.effect


def test_a_price_from_another_month_is_questioned(forecast):
    text = '[[edits]]\nkind = "acquired_for_cash"\nasset = "ATVI"\noffer = 95\nprice = 60\n'
    with pytest.warns(DataWarning, match="price 60 of ATVI is not near its last close 80"):
        Changes.from_toml(text).apply(forecast, prices=CLOSES)
    missing = text.replace("price = 60\n", "")
    with pytest.raises(DataError, match="the key price is missing, and no close of ATVI is at hand"):
        Changes.from_toml(missing).apply(forecast)


def test_texts_of_the_command_line(forecast):
    texts = ["zero SHY TLT", "acquired_for_cash ATVI offer=95 price=80", "like XLNX AMD spread=0.01"]
    texts += ["suspended stock", "replace MSFT distribution=norm(0.02,0.1) keep_ranks=true"]
    edits = list(parse_edits(texts))
    f = forecast
    for edit in edits[:3]:
        f = f.edit(edit)
    with pytest.warns(DataWarning, match="each of the assets has one return"):
        f = f.edit(edits[3])
    f = f.edit(edits[4])
    assert [r.kind for r in f.records] == ["zero", "acquired_for_cash", "like", "suspended", "replace"]
    with pytest.raises(DataError, match="'lots' is not of the form key=value"):
        list(parse_edits(["shift TLT lots"]))


@pytest.mark.parametrize("mark", ["'", '"'])
def test_symbols_with_spaces_stand_in_quotes(mark):
    texts = ["zero (A B) C (D E)", "like (A B) C spread=0.01", "like C other=(A B) spread=0.01"]
    texts += ["shift (A B) by=0.02", "replace (A B) distribution=norm(0,0.1)"]
    zero, like, other, shift, replace = parse_edits(
        [t.replace("(A B)", f"{mark}A B{mark}").replace("(D E)", f"{mark}D E{mark}") for t in texts]
    )
    assert zero.assets == ("A B", "C", "D E")
    assert (like.asset, like.other, like.spread) == ("A B", "C", 0.01)
    assert (other.asset, other.other) == ("C", "A B")
    assert (shift.asset, replace.asset) == ("A B", "A B")
    with pytest.raises(DataError, match="A symbol with spaces stands in quotes: 'AAPL US Equity'"):
        list(parse_edits(["shift AAPL US Equity by=0.02"]))


LONG_FORMS = ["{}", "A {}", "A B {}", "{} {}", "A {}=1", "{} by={}", "{} other={} spread={}"]


def test_a_very_long_word_of_an_edit_is_cut_in_messages():
    told = []
    for kind, words in itertools.product(EDITS, LONG_FORMS):
        try:
            list(parse_edits([f"{kind} {words}".replace("{}", "a" * 5000)]))
        except BdfmError as error:
            told.append((kind, words, len(str(error))))
    assert len(told) > 50
    assert [x for x in told if x[2] >= 2000] == []


@pytest.mark.parametrize("text", ["shift A by=2%", "shift A by='2%'", 'shift A by="2 %"', "shift A by=0.02"])
def test_percent_in_quotes_and_out_of_them(text):
    assert [e.by for e in parse_edits([text])] == [0.02]


# Twenty bad cases, each with its message


def table(name, settings):
    lines = []
    for key, value in settings.items():
        inline = isinstance(value, dict)
        text = ", ".join(f"{k} = {x}" for k, x in value.items()) if inline else json.dumps(value)
        lines.append(f"{key} = {{{text}}}" if inline else f"{key} = {text.replace('NaN', 'nan')}")
    return f"[[{name}]]\n" + "\n".join(lines) + "\n"


def view(**settings):
    return table("views", settings)


def edit(**settings):
    return table("edits", settings)


C = {"semantics": "constraint"}
E = {"semantics": "evidence"}
BAD = {
    "contradictory orderings": (
        view(kind="ordering", above="AMD", below="MSFT", probability=0.8, **C)
        + view(kind="ordering", above="MSFT", below="TLT", probability=0.8, **C)
        + view(kind="ordering", above="AMD", below="TLT", probability=0.2, **C),
        InfeasibleViewError,
        r"view 'AMD above TLT with probability 0\.2 \(constraint\)': contradicts the views .*: no"
        r" weighting .*The strongest attainable beside the others: AMD above TLT with probability 0\.6",
    ),
    "contradictory moments": (
        view(kind="absolute", asset="AMD", mean=0.02, **C)
        + view(kind="absolute", asset="MSFT", mean=0.02, **C)
        + view(kind="portfolio", weights={"AMD": 0.5, "MSFT": 0.5}, mean=0.0, **C),
        InfeasibleViewError,
        r"view '0\.5 AMD \+ 0\.5 MSFT returns 0 % .*contradicts the views 'AMD returns 2 %' and",
    ),
    "infeasible mean": (
        view(kind="absolute", asset="TLT", mean=0.9, **C),
        InfeasibleViewError,
        r"view 'TLT returns 90 % \(constraint\)': no weighting of the draws satisfies it; they run from .*"
        r" to .* The strongest attainable: TLT returns [\d.]+ %",
    ),
    "evidence far away": (
        view(kind="absolute", asset="TLT", mean=0.2, sd=0.001, **E),
        InfeasibleViewError,
        r"it leaves \d+ effective of 4,000 draws, at least 400 are needed\. .*put it into the model, with"
        r" evidence=\[Evidence\('TLT', 0\.2, 0\.001\)\]",
    ),
    "collapse": (
        view(kind="volatility", asset="TLT", times=3.0, **C),
        InfeasibleViewError,
        r"volatility of TLT is 3 times what it was .*leaves \d+ effective of 4,000 draws",
    ),
    "view on an edited asset": (
        edit(kind="zero", assets=["TLT"]) + view(kind="absolute", asset="TLT", mean=0.02, **C),
        InfeasibleViewError,
        r"TLT returns 0 % in every draw, set by an edit",
    ),
    "duplicate view": (
        view(kind="absolute", asset="TLT", mean=0.02, **C)
        + view(kind="absolute", asset="TLT", mean=0.03, **C),
        DataError,
        r"view 'TLT returns 3 %': on the same subject as the view 'TLT returns 2 %'\. Keep one of them",
    ),
    "duplicate in disguise": (
        view(kind="relative", asset="AMD", over="MSFT", mean=0.02, **C)
        + view(kind="relative", asset="MSFT", over="AMD", mean=0.01, **C),
        DataError,
        r"view 'MSFT beats AMD by 1 %': on the same subject as the view 'AMD beats MSFT by 2 %'",
    ),
    "misspelt asset": (
        view(kind="absolute", asset="MSTF", mean=0.02, **C),
        UnknownLabelError,
        r"view 'MSTF returns 2 %': unknown asset MSTF\. Did you mean MSFT\?",
    ),
    "misspelt kind": (
        view(kind="absolut", asset="TLT", mean=0.02, **C),
        UnknownLabelError,
        r"changes: view 1: unknown kind of view absolut\. Did you mean absolute\?",
    ),
    "misspelt key": (
        view(kind="absolute", asset="TLT", maen=0.02, **C),
        BdfmError,
        r"changes: view 1, view on TLT: (unknown key maen\. Did you mean mean\?|the key mean is missing)",
    ),
    "unknown semantics": (
        view(kind="absolute", asset="TLT", mean=0.02, semantics="hunch"),
        DataError,
        r"view on TLT: semantics should be 'evidence' or 'constraint', got 'hunch'",
    ),
    "NaN": (
        view(kind="absolute", asset="TLT", mean=np.nan, **C),
        DataError,
        r"view on TLT: mean should be a finite number, got nan",
    ),
    "zero sd": (
        view(kind="absolute", asset="TLT", mean=0.02, sd=0.0, **E),
        DataError,
        r"view on TLT: sd should be greater than 0, got 0\.0",
    ),
    "evidence without sd": (
        view(kind="absolute", asset="TLT", mean=0.02, **E),
        DataError,
        r"view 'TLT returns 2 %': evidence needs an sd, the error of the statement",
    ),
    "evidence on a volatility": (
        view(kind="volatility", asset="TLT", times=1.5, **E),
        DataError,
        r"a volatility is a property of all draws together; no single draw is evidence of it",
    ),
    "probability above 1": (
        view(kind="ordering", above="AMD", below="TLT", probability=70, **C),
        DataError,
        r"view on AMD, TLT: probability should be less than or equal to 1, got 70(\.0)?\. If 70 % is meant,"
        r" write 0\.7",
    ),
    "asset against itself": (
        view(kind="ordering", above="AMD", below="AMD", probability=0.7, **C),
        DataError,
        r"an asset cannot be above itself\. Name another one",
    ),
    "quantile that is none": (
        view(kind="quantile", asset="AMD", quantile=6, probability=0.3, **C),
        DataError,
        r"there are 5 quantiles\. Give one of 1 \(lowest\) to 5",
    ),
    "shares above 1": (
        view(kind="absolute", asset="TLT", mean=0.02, by="Ann", **C) + "[shares]\nAnn = 1.2\n",
        DataError,
        r"shares: Ann 1\.2 are not within 0 and 1 with a sum of at most 1",
    ),
    "share of nobody": (
        view(kind="absolute", asset="TLT", mean=0.02, by="Ann", **C) + "[shares]\nAnna = 0.5\n",
        UnknownLabelError,
        r"shares: unknown person Anna\. Did you mean Ann\?",
    ),
    "misspelt edit": (
        edit(kind="aquired_for_cash", asset="ATVI", offer=95.0),
        UnknownLabelError,
        r"changes: edit 1: unknown kind of edit aquired_for_cash\. Did you mean acquired_for_cash\?",
    ),
    "edit of nothing": (
        edit(kind="shift", asset="TLTT", by=0.01),
        UnknownLabelError,
        r"shift TLTT: unknown asset TLTT\. Did you mean TLT\?",
    ),
    "edit without its number": (
        edit(kind="acquired_for_cash", asset="ATVI", price=80.0),
        DataError,
        r"changes: edit 1, acquired_for_cash ATVI: the key offer is missing",
    ),
    "offer of nothing": (
        edit(kind="acquired_for_cash", asset="ATVI", offer=0.0, price=80.0),
        DataError,
        r"changes: edit 1, acquired_for_cash ATVI: offer should be greater than 0, got 0",
    ),
    "deal for sure and more": (
        edit(kind="acquired_for_cash", asset="ATVI", offer=95.0, price=80.0, probability=1.5),
        DataError,
        r"acquired_for_cash ATVI: probability should be less than or equal to 1, got 1\.5",
    ),
    "bought by itself": (
        edit(
            kind="acquired_for_stock", asset="AMD", acquirer="AMD", ratio=1.0, price=1.0, acquirer_price=1.0
        ),
        DataError,
        r"acquired_for_stock AMD: an asset cannot buy itself",
    ),
    "unknown class": (
        edit(kind="suspended", asset_class="bonds"),
        UnknownLabelError,
        r"suspended: unknown class bonds\. Did you mean bond\?",
    ),
    "the same asset twice": (
        edit(kind="zero", assets=["TLT", "TLT"]),
        DataError,
        r"zero: 1 asset given more than once \(TLT\)",
    ),
    "NaN edit": (
        edit(kind="shift", asset="TLT") + "by = nan\n",
        DataError,
        r"changes: edit 1, shift TLT: by should be a finite number, got nan",
    ),
    "distribution that is none": (
        edit(kind="replace", asset="TLT", distribution="import os"),
        DataError,
        r"'import os' is no continuous distribution of scipy\.stats",
    ),
    "not TOML": ("[[views]\n", DataError, r"changes: not valid TOML"),
}


def test_there_are_at_least_twenty_bad_cases():
    assert len(BAD) >= 20


@pytest.mark.parametrize("case", BAD)
def test_a_bad_case_has_its_message(case, forecast):
    text, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        Changes.from_toml(text).apply(forecast)


@pytest.mark.parametrize("case", [c for c in BAD if BAD[c][1] is not InfeasibleViewError])
def test_what_needs_no_draws_is_refused_by_the_check(case):
    text, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        Changes.from_toml(text).check(ASSETS, CLASSES)


HOLDS = {"semantics": "constraint"}


def test_shares_of_different_people_in_different_calls_are_replayed(forecast):
    table = {
        "views": [
            {"kind": "ordering", "above": "MSFT", "below": "TLT", "probability": 0.8, **HOLDS, "by": "Ann"},
            {
                "kind": "ordering",
                "above": "AMD",
                "below": "SHY",
                "probability": 0.9,
                **HOLDS,
                "by": "Ben",
                "step": 2,
            },
        ],
        "shares": {"Ann": 0.4, "Ben": 0.3},
    }
    changes = Changes.from_dict(table)
    changed = changes.apply(forecast)
    assert [r.kind for r in changed.records] == ["view", "pool", "view", "pool"]
    again = Changes.from_records(changed.records).apply(forecast)
    np.testing.assert_array_equal(again.weights, changed.weights)


@pytest.mark.parametrize("first", [{}, {"by": "Ann"}, {"by": "Ben"}])
def test_a_call_that_was_not_pooled_is_not_replayed_with_shares(first, forecast):
    plain = {"kind": "ordering", "above": "MSFT", "below": "TLT", "probability": 0.8, **HOLDS} | first
    pooled = {"kind": "ordering", "above": "AMD", "below": "SHY", "probability": 0.9, **HOLDS, "by": "Ann"}
    one = Changes.from_dict({"views": [plain]}).apply(forecast)
    both = Changes.from_dict({"views": [pooled], "shares": {"Ann": 0.3}}).apply(one)
    if first.get("by") == "Ann":
        with pytest.raises(DataError, match="one table of shares cannot say both"):
            Changes.from_records(both.records)
    else:
        again = Changes.from_records(both.records).apply(forecast)
        np.testing.assert_array_equal(again.weights, both.weights)
    log = Changes.from_dict({"views": [pooled], "shares": {"Ann": 0.3}, "pool": "log"}).apply(one)
    with pytest.raises(DataError, match="one table of shares cannot say both"):
        Changes.from_records(log.records)

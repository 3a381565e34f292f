"""All edits and all views through every door: Python, TOML, texts, records; and what each of them did."""

from __future__ import annotations

import copy
import inspect
import pickle
import tomllib

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bdfm import views as v
from bdfm.errors import DataError, InfeasibleViewError, UnknownLabelError
from bdfm.forecast import state as state_module
from bdfm.forecast.changes import Changes, Step, parse_edits
from bdfm.forecast.columns import Numbers
from bdfm.forecast.edits import EDITS, Replace
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.records import MEASURES, Record
from bdfm.forecast.statements import read
from bdfm.forecast.views import KINDS

ASSETS = ("ATVI", "MSFT", "XLNX", "AMD", "TLT", "BF.B")
CLASSES = ["stock"] * 4 + ["bond"] * 2


def make(n=2000, *, seed=3, weights=None):
    rng = np.random.default_rng(seed)
    common = 0.04 * rng.standard_normal((n, 1))
    returns = 0.004 + common * [0.8, 1.0, 1.2, 1.5, -0.3, 0.05] + 0.03 * rng.standard_normal((n, 6))
    return Forecast.from_draws(
        np.maximum(returns, -0.9),
        assets=ASSETS,
        asset_class=CLASSES,
        origin="2022-02-04",
        end="2022-03-04",
        weights=weights,
    )


@pytest.fixture(scope="module", params=["equal", "weighted"])
def forecast(request):
    weights = None if request.param == "equal" else np.random.default_rng(5).gamma(3, size=2000)
    return make(weights=weights)


# kind: table, text of the command line, method
CASES = {
    "zero": (
        'assets = ["ATVI", "TLT"]',
        "zero ATVI TLT",
        lambda f: f.zero("ATVI", "TLT"),
    ),
    "set_return": (
        'asset = "AMD"\nvalue = 0.12',
        "set_return AMD value=0.12",
        lambda f: f.set_return("AMD", 0.12),
    ),
    "acquired_for_cash": (
        'asset = "ATVI"\noffer = 95\nprice = 80.0\nprobability = 0.8\nseed = 2',
        "acquired_for_cash ATVI offer=95 price=80 probability=0.8 seed=2",
        lambda f: f.acquired_for_cash("ATVI", offer=95, price=80, probability=0.8, seed=2),
    ),
    "acquired_for_stock": (
        'asset = "XLNX"\nacquirer = "AMD"\nratio = 1.7\nprice = 190\nacquirer_price = 123\ncash = 2\n'
        "spread = 0.01\nprobability = 0.7\nseed = 4",
        "acquired_for_stock XLNX AMD ratio=1.7 price=190 acquirer_price=123 cash=2 spread=0.01"
        " probability=0.7 seed=4",
        lambda f: f.acquired_for_stock(
            "XLNX",
            "AMD",
            ratio=1.7,
            price=190,
            acquirer_price=123,
            cash=2,
            spread=0.01,
            probability=0.7,
            seed=4,
        ),
    ),
    "halted": (
        'asset = "MSFT"\nprobability = 0.4\nseed = 1',
        "halted MSFT probability=0.4 seed=1",
        lambda f: f.halted("MSFT", probability=0.4, seed=1),
    ),
    "suspended": ('asset_class = "bond"', "suspended bond", lambda f: f.suspended("bond")),
    "like": (
        'asset = "XLNX"\nother = "AMD"\nspread = -0.01',
        "like XLNX AMD spread=-0.01",
        lambda f: f.like("XLNX", "AMD", -0.01),
    ),
    "shift": ('asset = "TLT"\nby = -0.01', "shift TLT by=-1e-2", lambda f: f.shift("TLT", -0.01)),
    "scale": ('asset = "AMD"\nfactor = 1.5', "scale AMD factor=1.5", lambda f: f.scale("AMD", 1.5)),
    "cap": (
        'asset = "AMD"\nlower = -0.1\nupper = 0.05',
        "cap AMD lower=-0.1 upper=0.05",
        lambda f: f.cap("AMD", lower=-0.1, upper=0.05),
    ),
    "replace": (
        'asset = "MSFT"\ndistribution = "t(4, loc=0.01, scale=0.05)"\nkeep_ranks = true\nseed = 3',
        "replace MSFT distribution=t(4,loc=0.01,scale=0.05) keep_ranks=true seed=3",
        lambda f: f.replace("MSFT", stats.t(4, loc=0.01, scale=0.05), keep_ranks=True, seed=3),
    ),
    "drop": ('assets = ["BF.B"]', "drop BF.B", lambda f: f.drop("BF.B")),
}
VIEWS = {
    "absolute": v.Absolute(asset="TLT", mean=0.006, sd=0.04, semantics="evidence"),
    "relative": v.Relative(asset="AMD", over="MSFT", mean=0.003, confidence=0.7, semantics="constraint"),
    "portfolio": v.Portfolio(weights={"AMD": 0.6, "BF.B": 0.4}, mean=0.006, semantics="constraint"),
    "volatility": v.Volatility(asset="XLNX", times=1.1, semantics="constraint"),
    "correlation": v.Correlation(asset="ATVI", other="TLT", correlation=-0.1, semantics="constraint"),
    "ordering": v.Ordering(above="XLNX", below="ATVI", probability=0.55, by="Ann", semantics="constraint"),
    "quantile": v.Quantile(asset="BF.B", quantile=3, probability=0.45, semantics="constraint"),
    "below": v.Below(asset="AMD", level=-0.1, probability=0.05, semantics="constraint"),
    "value_at_risk": v.ValueAtRisk(
        weights={"AMD": 0.5, "MSFT": -0.5}, loss=0.06, sense="at_most", semantics="constraint"
    ),
    "shortfall": v.Shortfall(asset="MSFT", loss=0.1, level=0.9, semantics="constraint"),
}


def toml(kind: str) -> str:
    return f'[[edits]]\nkind = "{kind}"\n{CASES[kind][0]}\n'


def same(a: Forecast, b: Forecast) -> None:
    np.testing.assert_array_equal(a.draws, b.draws)
    np.testing.assert_array_equal(a.weights, b.weights)
    assert a.assets == b.assets
    assert a.records == b.records


# Doors


def test_every_statement_has_its_case():
    assert list(CASES) == list(EDITS)
    assert list(VIEWS) == list(KINDS)
    assert len(EDITS) == 12


@pytest.mark.parametrize("kind", CASES)
def test_python_toml_and_text_say_the_same(kind, forecast):
    _, text, method = CASES[kind]
    by_method = method(forecast)
    by_table = Changes.from_toml(toml(kind)).apply(forecast)
    by_text = forecast.edit(*parse_edits([text]))
    by_class = forecast.edit(read(tomllib.loads(toml(kind))["edits"][0], EDITS, where="here"))
    same(by_table, by_method)
    same(by_text, by_method)
    same(by_class, by_method)
    assert [r.kind for r in by_method.records] == [kind]
    if kind != "drop":
        assert (by_method.draws.to_numpy() != forecast.draws.to_numpy()).any()


@pytest.mark.parametrize("kind", CASES)
def test_an_edit_goes_from_toml_to_history_and_back(kind, forecast, tmp_path):
    changes = Changes.from_toml(toml(kind))
    done = changes.apply(forecast)
    loaded = Forecast.load(done.save(tmp_path / "f.nc"))
    again = Changes.from_records(loaded.records)
    assert again == changes
    text = again.to_toml()
    assert Changes.from_toml(text) == changes
    assert Changes.from_toml(text).to_toml() == text
    same(Changes.from_toml(text).apply(forecast), done)
    other = make(seed=11)
    same(again.apply(other), CASES[kind][2](other))


@pytest.mark.parametrize("kind", VIEWS)
def test_a_view_goes_from_toml_to_history_and_back(kind, forecast):
    view = VIEWS[kind]
    changes = Changes((Step((), (view,)),))
    assert Changes.from_toml(changes.to_toml()) == changes
    done = changes.apply(forecast)
    same(done, forecast.with_views(view))
    assert Changes.from_records(done.records) == changes
    assert read(view.to_dict(), KINDS, where="here") == view


@pytest.mark.parametrize("kind", CASES)
def test_a_method_has_the_arguments_that_its_record_has_fields(kind):
    fields = [f for f in EDITS[kind].model_fields if f != "kind"]
    arguments = list(inspect.signature(getattr(Forecast, kind)).parameters)[1:]
    assert ["distribution" if a == "draws" else a for a in arguments] == fields
    assert EDITS[kind].__doc__
    assert EDITS[kind].__doc__ != EDITS[kind].__mro__[1].__doc__


def test_a_record_holds_what_was_left_to_defaults_too(forecast):
    """A replay in a later release, with other defaults, shall do the same."""
    seen = forecast.acquired_for_cash("ATVI", offer=95, price=80).halted("MSFT").like("XLNX", "AMD")
    assert seen.history()["parameters"].tolist() == [
        {"offer": 95.0, "price": 80.0, "probability": 1.0, "seed": 0},
        {"probability": 1.0, "seed": 0},
        {"other": "AMD", "spread": 0.0},
    ]
    tables = tomllib.loads(Changes.from_records(seen.records).to_toml())["edits"]
    assert tables[1] == {"kind": "halted", "asset": "MSFT", "probability": 1.0, "seed": 0}


def test_all_together_in_one_file(forecast):
    text = "".join(toml(k) for k in CASES if k != "drop") + toml("drop") + "step = 2\n"
    changes = Changes.from_toml(text)
    by_hand = forecast
    for kind in CASES:
        by_hand = CASES[kind][2](by_hand)
    same(changes.apply(forecast), by_hand)
    assert Changes.from_records(by_hand.records).edits == changes.edits


def test_numbers_of_numpy_are_numbers(forecast):
    plain = forecast.acquired_for_cash("ATVI", offer=95, price=80, probability=0.5, seed=2)
    seen = forecast.acquired_for_cash(
        np.str_("ATVI"),
        offer=np.float32(95),
        price=np.int64(80),
        probability=np.float64(0.5),
        seed=np.int64(2),
    )
    same(seen, plain)
    assert [type(x) for _, x in seen.records[0].parameters] == [float, float, float, int]


def test_given_draws_come_back_as_they_were(forecast):
    values = np.linspace(-0.1, 0.2, forecast.n_draws)
    seen = forecast.replace("TLT", values)
    np.testing.assert_array_equal(seen.draws.sel(asset="TLT"), values.astype(np.float32))
    assert dict(seen.records[0].parameters)["source"] == "array"
    assert Replace.by("TLT", values) != Replace.by("TLT", values)  # which numbers, it does not look at
    assert Numbers(values, where="x").ppf(np.array([0.0, 0.999999])).tolist() == [-0.1, 0.2]


# Mistakes: one message each, whatever the door


@pytest.mark.parametrize("kind", CASES)
def test_an_unknown_key_gets_one_message(kind):
    with pytest.raises(
        UnknownLabelError, match=rf"changes: edit 1, {kind}.*: unknown key sead\..* Known: kind, "
    ):
        Changes.from_toml(toml(kind) + "sead = 3\n")
    with pytest.raises(UnknownLabelError, match=rf"edit '.*', {kind}.*: unknown key sead\."):
        list(parse_edits([CASES[kind][1] + " sead=3"]))


@pytest.mark.parametrize("kind", VIEWS)
def test_an_unknown_key_of_a_view_gets_one_message(kind):
    table = VIEWS[kind].to_dict() | {"meen": 0.1}
    with pytest.raises(
        UnknownLabelError, match=r"changes: view 1, view on .*: unknown key meen\..* Known: kind, "
    ):
        Changes.from_dict({"views": [table]})


@pytest.mark.parametrize("kind", CASES)
def test_each_key_that_is_needed_is_asked_for(kind):
    table = tomllib.loads(toml(kind))["edits"][0]
    needed = [k for k, f in EDITS[kind].model_fields.items() if f.is_required()]
    assert needed
    for key in needed:
        rest = {k: x for k, x in table.items() if k != key}
        with pytest.raises(DataError, match=rf"changes: edit 1, {kind}.*: the key {key} is missing\."):
            Changes.from_dict({"edits": [rest]})


@pytest.mark.parametrize("what", ["edits", "views"])
def test_kinds_are_asked_for_and_guessed(what):
    name = what[:-1]
    with pytest.raises(DataError, match=rf"changes: {name} 1: the key kind is missing\. Give one of "):
        Changes.from_dict({what: [{"asset": "A"}]})
    kind = {"edits": "zeroo", "views": "orderin"}[what]
    with pytest.raises(UnknownLabelError, match=rf"{name} 1: unknown kind of {name} {kind}\. Did you mean "):
        Changes.from_dict({what: [{"kind": kind}]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shift TLT by=much", r"edit 'shift TLT by=much', shift TLT: by should be a number, got 'much'\."),
        ("shift TLT by=nan", r"shift TLT: by should be a number, got 'nan'\."),
        ("halted TLT seed=1.5", r"halted TLT: seed should be a whole number, got '1.5'\."),
        ("replace TLT distribution=norm(0,0.1) keep_ranks=perhaps", r"keep_ranks should be true or false"),
        ("shift TLT AMD by=1", r"'AMD' is not of the form key=value"),
        ("shift TLT 2%", r"'2%' is not of the form key=value\. After asset, shift takes by=\."),
        ("shift TLT asset=AMD by=1", r"1 setting given more than once \(asset\)\. Give each once"),
        ("shift TLT by=1 by=2", r"1 setting given more than once \(by\)"),
        ("zero TLT assets=AMD", r"1 setting given more than once \(assets\)"),
        ("acquired_for_cash RRC offer=20%", r"offer should be a number, got '20%'"),
        ("zero", r"zero: no asset named\. Name at least one\."),
        ("", r"unknown kind of edit"),
    ],
)
def test_texts_that_say_nothing(text, message):
    with pytest.raises((DataError, UnknownLabelError), match=message):
        list(parse_edits([text]))


def test_symbols_are_a_list_of_texts():
    with pytest.raises(DataError, match=r"zero: assets should be a list, got 'TLT'\."):
        Changes.from_toml('[[edits]]\nkind = "zero"\nassets = "TLT"\n')
    with pytest.raises(DataError, match=r"zero, \[assets\]: 1 should be a text, got 3\."):
        Changes.from_dict({"edits": [{"kind": "zero", "assets": ["TLT", 3]}]})


def test_a_price_is_needed_before_anything_is_done(forecast):
    table = {"kind": "acquired_for_stock", "asset": "XLNX", "acquirer": "AMD", "ratio": 1.7, "price": 190.0}
    edit = read(table, EDITS, where="here")
    with pytest.raises(
        DataError, match="acquired_for_stock XLNX: the key acquirer_price is missing, and no close"
    ):
        forecast.edit(edit)
    closes = pd.Series({"AMD": 123.0, "XLNX": 191.0})
    filled = edit.priced(closes)
    assert (filled.price, filled.acquirer_price) == (190.0, 123.0)  # what is given stays


# Effects


def by_hand(before: Forecast, after: Forecast, symbol: str) -> list[float]:
    """Effective draws, and measures of an asset before and after, from public results; draws are uncut."""
    found = [after.effective_draws]
    for f in (before, after):
        row = f.summary().loc[symbol]
        found += [row["50%"], row["sd"], row["P1"], row["P5"]]
    return found


def told(effects: pd.DataFrame, change: int, symbol: str) -> list[float]:
    row = effects[(effects["change"] == change) & (effects["symbol"] == symbol)].iloc[0]
    return [row["effective_draws"], *(row[f"{m}_{w}"] for w in ("before", "after") for m in MEASURES)]


@pytest.mark.parametrize("kind", CASES)
def test_every_edit_says_what_it_did(kind, forecast, tmp_path):
    seen = CASES[kind][2](forecast)
    effects = seen.effects()
    assert set(effects["change"]) == {1}
    moved = effects["symbol"].tolist()
    for symbol in seen.assets:
        assert symbol in moved  # six assets: all are named
        assert told(effects, 1, symbol) == pytest.approx(by_hand(forecast, seen, symbol), abs=1e-12)
    if kind != "drop":
        assert moved[0] in seen.records[0].symbols
    for other in (
        Changes.from_toml(toml(kind)).apply(forecast),
        forecast.edit(*parse_edits([CASES[kind][1]])),
        Forecast.load(seen.save(tmp_path / "f.nc")),
        pickle.loads(pickle.dumps(CASES[kind][2](forecast))),
        copy.deepcopy(CASES[kind][2](forecast)),
        seen.with_attrs(note="x"),
        seen.with_record(Record.of("note", (), "Nothing was done.")),
    ):
        pd.testing.assert_frame_equal(other.effects(), effects, check_exact=True)


@pytest.mark.parametrize("kind", VIEWS)
def test_every_view_says_what_it_did(kind, forecast, tmp_path):
    view = VIEWS[kind]
    seen = forecast.with_views(view)
    effects = seen.effects()
    for symbol in forecast.assets:
        assert told(effects, 1, symbol) == pytest.approx(by_hand(forecast, seen, symbol), abs=1e-12)
    assert effects["symbol"].tolist()[: len(view.assets)] == list(view.assets)
    loaded = Forecast.load(seen.save(tmp_path / "f.nc"))
    pd.testing.assert_frame_equal(loaded.effects(), effects, check_exact=True)


def test_effects_of_a_long_story_are_those_of_its_parts(forecast, tmp_path):
    """Read at the end, read on the way, or read from files on the way: the same numbers."""
    ann = v.Absolute(asset="ATVI", mean=0.01, by="Ann", semantics="constraint")
    ben = v.Absolute(asset="ATVI", mean=0.0, by="Ben", confidence=0.5, semantics="constraint")
    steps = [
        *(CASES[k][2] for k in ("suspended", "halted", "drop", "shift")),
        lambda f: f.with_views(VIEWS["relative"], VIEWS["volatility"]),
        lambda f: f.with_record(Record.of("note", (), "A note.")),
        lambda f: f.with_views(ann, ben, shares={"Ann": 0.5, "Ben": 0.3}),
        lambda f: f.with_weights(np.arange(1, f.n_draws + 1), record=Record.of("view", ("AMD",), "AMD up.")),
        lambda f: f.drop("MSFT"),
        lambda f: f.scale("AMD", 0.5),
    ]
    silent = spoken = written = forecast
    states = [forecast]
    for step in steps:
        silent, spoken = step(silent), step(spoken)
        spoken.effects()
        written = Forecast.load(step(written).save(tmp_path / "f.nc"))
        states.append(silent)
    effects = silent.effects()
    pd.testing.assert_frame_equal(spoken.effects(), effects, check_exact=True)
    pd.testing.assert_frame_equal(written.effects(), effects, check_exact=True)
    assert spoken.records == silent.records == written.records
    # Records 7 and 10 are a note and the pool; 5 and 6, 8 and 9 are views of one call each.
    assert effects["change"].unique().tolist() == [1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13]
    for change, before, after in [
        (1, 0, 1),
        (2, 1, 2),
        (3, 2, 3),
        (4, 3, 4),
        (11, 7, 8),
        (12, 8, 9),
        (13, 9, 10),
    ]:
        assert told(effects, change, "AMD") == pytest.approx(by_hand(states[before], states[after], "AMD"))
    first = states[4].with_views(VIEWS["relative"])
    assert told(effects, 5, "AMD") == pytest.approx(by_hand(states[4], first, "AMD"))
    assert told(effects, 6, "XLNX") == pytest.approx(by_hand(first, states[5], "XLNX"))
    alone = states[6].with_views(ann, shares={"Ann": 0.5})
    assert told(effects, 8, "ATVI") == pytest.approx(by_hand(states[6], alone, "ATVI"))
    assert told(effects, 9, "ATVI") == pytest.approx(by_hand(alone, states[7], "ATVI"))


def test_a_view_that_does_nothing_says_so(forecast):
    seen = forecast.with_views(v.Absolute(asset="TLT", mean=0.02, confidence=0, semantics="constraint"))
    effects = seen.effects()
    assert len(effects) == 6
    for m in MEASURES:
        np.testing.assert_array_equal(effects[f"{m}_before"], effects[f"{m}_after"])
    assert forecast.with_record(Record.of("note", (), "A note.")).effects().empty


def test_a_view_that_holds_only_beside_another_does_nothing_alone(forecast, monkeypatch):
    seen = forecast.with_views(VIEWS["quantile"], VIEWS["relative"])
    truth = seen.effects()

    def refuse(draws, weights, assets, views, **_):
        raise InfeasibleViewError("alone it cannot be held")

    monkeypatch.setattr("bdfm.forecast.effects.view_weights", refuse)
    effects = seen.with_attrs(again=1).effects()
    first, second = (effects[effects["change"] == n] for n in (1, 2))
    np.testing.assert_array_equal(first["P1_before"], first["P1_after"])
    assert told(effects, 2, "BF.B")[5:] == told(truth, 2, "BF.B")[5:]
    assert len(second) == 6


def test_a_draw_is_ranked_when_asked_and_once(monkeypatch):
    counts = []
    rank = state_module.quantile_probabilities

    def counted(*args, **keywords):
        counts.append(1)
        return rank(*args, **keywords)

    monkeypatch.setattr(state_module, "quantile_probabilities", counted)
    f = make()
    seen = f.zero("TLT").shift("AMD", 0.01).with_views(VIEWS["relative"], VIEWS["quantile"])
    assert not counts
    seen.quantile_probabilities()
    seen.summary()
    seen.to_submission()
    seen.plot_quantiles()
    repr(seen)
    seen.with_attrs(note="x").summary()
    seen.with_record(Record.of("note", (), "A note.")).summary()
    assert len(counts) == 1
    seen.effects()
    assert len(counts) == 5  # before, after each of the edits, after one view; after both is known
    seen.effects()
    seen.cap("AMD", upper=0.2).effects()
    assert len(counts) == 6  # only the newest is new


def test_ranks_of_each_number_of_quantiles_are_their_own(forecast):
    for n in (5, 3, 5):
        found = forecast.quantile_probabilities(n)
        np.testing.assert_array_equal(found, make(weights=forecast.weights).quantile_probabilities(n))
        assert found.sizes["quantile"] == n


def test_the_median_of_a_scaled_asset_is_that_of_the_weights(forecast):
    """Distances from the weighted median are scaled, so it stays and the quartiles move apart."""
    before, after = (f.summary().loc["AMD"] for f in (forecast, forecast.scale("AMD", 1.5)))
    assert after["50%"] == pytest.approx(before["50%"], abs=1e-7)
    for end in ("5%", "95%"):
        assert after[end] - after["50%"] == pytest.approx(1.5 * (before[end] - before["50%"]), abs=1e-6)


def test_what_a_change_replaced_is_little():
    f = make(20_000)
    seen = (
        f.zero("TLT")
        .shift("AMD", 0.01)
        .with_views(VIEWS["relative"])
        .with_weights(np.ones(20_000), record=Record.of("view", (), "Equal."))
    )
    kept = [sum(x.nbytes for x in p.returns.values()) for p in seen._past]
    assert kept == [80_000, 80_000, 0, 0]  # a column in single precision
    assert seen._past[0].weights is seen._past[2].weights  # shared while they are the same


def test_probabilities_may_be_changed_without_harm(forecast):
    p = forecast.quantile_probabilities()
    before = p.to_numpy().copy()
    p[:] = 0
    np.testing.assert_array_equal(forecast.quantile_probabilities(), before)
    again = pickle.loads(pickle.dumps(forecast))
    np.testing.assert_array_equal(again.quantile_probabilities(), before)


def test_returns_and_chances_of_edits_may_be_in_percent():
    """A view on the same command line takes 2%, and so does an edit; prices are no shares of anything."""
    (shift,) = parse_edits(["shift TLT by=-2.5%"])
    assert shift.by == -0.025
    (deal,) = parse_edits(["acquired_for_cash RRC offer=20 price=17.6 probability=80%"])
    assert (deal.offer, deal.probability) == (20.0, 0.8)
    (cap,) = parse_edits(["cap TLT lower=-30% upper=30%"])
    assert (cap.lower, cap.upper) == (-0.3, 0.3)

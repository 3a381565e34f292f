from __future__ import annotations

import copy
import errno
import os
import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bdfm import _sealed
from bdfm.errors import DataError, FileError, UnknownLabelError
from bdfm.forecast import submission
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.records import Record
from bdfm.portfolio.risk import portfolio_risk

ASSETS = ("AA", "BB", "CC", "DD", "EE", "FF", "GG", "HH")
CLASSES = ("stock",) * 4 + ("bond",) * 2 + ("stock",) * 2
SPREAD = np.array([0.1, 0.08, 0.06, 0.05, 0.01, 0.02, 0.04, 0.03])


def make(n_draws: int = 400, *, seed: int = 5, **keywords) -> Forecast:
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n_draws, 1))
    returns = np.expm1(SPREAD * (0.8 * shared + 0.6 * rng.standard_normal((n_draws, 8))) + 0.004)
    options = {"assets": ASSETS, "asset_class": CLASSES, "origin": "2022-02-04", "end": "2022-03-04"}
    return Forecast.from_draws(returns, **(options | keywords))


@pytest.fixture
def forecast():
    return make()


@pytest.fixture
def weighted():
    return make(weights=np.random.default_rng(1).gamma(1, size=400))


def column(forecast: Forecast, symbol: str) -> np.ndarray:
    return forecast.draws.sel(asset=symbol).to_numpy().astype(float)


def same_draws(a: Forecast, b: Forecast, **tolerance: float) -> None:
    np.testing.assert_allclose(a.draws.to_numpy(), b.draws.to_numpy(), **({"rtol": 0, "atol": 0} | tolerance))


# Contents


def test_contents(forecast):
    assert forecast.n_draws == 400
    assert forecast.assets == ASSETS
    assert forecast.names == ASSETS
    assert (forecast.origin, forecast.end) == (pd.Timestamp("2022-02-04"), pd.Timestamp("2022-03-04"))
    assert forecast.draws.dims == ("draw", "asset")
    assert forecast.draws["class_of"].sel(asset="EE").item() == "bond"
    assert forecast.draws.dtype == np.float32
    assert forecast.weights.dims == ("draw",)
    assert forecast.weights.sum().item() == pytest.approx(1)
    assert forecast.effective_draws == pytest.approx(400)
    assert forecast.attrs == {}
    assert forecast.history().empty


def test_optional_contents():
    f = make(
        names=[f"Name {a}" for a in ASSETS],
        attrs={"model": "m6", "seed": np.int64(3)},
        posterior_draw=np.arange(400) // 2,
        weights=np.arange(400),
    )
    assert f.names[0] == "Name AA"
    assert f.attrs == {"model": "m6", "seed": 3}
    assert f.draws["posterior_draw"].to_numpy()[:4].tolist() == [0, 0, 1, 1]
    floats = make(posterior_draw=np.arange(400.0) // 2)
    assert floats.draws["posterior_draw"].dtype.kind == "i"
    assert f.weights.to_numpy()[0] == 0
    assert f.effective_draws == pytest.approx(np.arange(400).sum() ** 2 / (np.arange(400) ** 2).sum())


def test_input_arrays_are_copied_and_own_arrays_locked():
    returns, weights, index = np.zeros((4, 8), np.float32), np.ones(4), np.arange(4)
    f = make(4).from_draws(
        returns,
        assets=ASSETS,
        asset_class=CLASSES,
        origin="2022-02-04",
        end="2022-03-04",
        weights=weights,
        posterior_draw=index,
    )
    returns[:], weights[0], index[0] = 0.5, 9, 9
    assert not f.draws.to_numpy().any()
    assert f.weights.to_numpy().tolist() == [0.25] * 4
    assert f.draws["posterior_draw"].to_numpy()[0] == 0
    f.attrs["new"] = 1
    assert f.attrs == {}


@pytest.mark.parametrize("remake", [lambda f: f, copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
def test_nothing_can_be_changed(weighted, remake):
    f = remake(weighted.shift("AA", 0.01))
    for array in (f.draws, f.weights):
        with pytest.raises(ValueError, match="read-only"):
            array.values[0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.values.flags.writeable = True
    with pytest.raises(AttributeError):
        f.assets = ("X",)


def test_draws_come_labelled_too(forecast):
    options = {"assets": ASSETS, "asset_class": CLASSES, "origin": "2022-02-04", "end": "2022-03-04"}
    same_draws(Forecast.from_draws(forecast.draws.transpose("asset", "draw"), **options), forecast)
    counted = xr.DataArray(
        forecast.draws.values, dims=("draw", "asset"), coords={"asset": range(len(ASSETS))}
    )
    same_draws(Forecast.from_draws(counted, **options), forecast)  # a count names nothing
    with pytest.raises(DataError, match=r"others, or in another order\. Put it into their order"):
        Forecast.from_draws(forecast.draws[:, ::-1], **options)
    with pytest.raises(DataError, match="draws have dims"):
        Forecast.from_draws(forecast.draws.rename(draw="chain"), **options)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"assets": ASSETS[:7]}, r"draws have shape \(400, 8\), expected \(draw, 7 assets\)"),
        ({"assets": (*ASSETS[:7], "AA")}, r"1 symbol given more than once \(AA\). Keep one column"),
        ({"asset_class": CLASSES[:3]}, "3 asset classes for 8 assets"),
        ({"names": ["x"]}, "1 names for 8 assets"),
        ({"origin": "soon"}, "origin: 'soon' is not a date"),
        ({"end": "2022-02-04"}, "ends on 2022-02-04, not after its origin 2022-02-04"),
        ({"weights": np.ones(3)}, r"weights have shape \(3,\), expected one per draw, \(400,\)"),
        ({"weights": -np.ones(400)}, "400 of 400 weights are negative"),
        ({"posterior_draw": [1]}, r"posterior_draw has shape \(1,\), expected \(400,\)"),
        ({"attrs": {"a": [1]}}, r"attrs\['a'\] is a list. Give a text or a number"),
    ],
)
def test_parts_that_do_not_fit_are_refused(keywords, message):
    with pytest.raises(DataError, match=message):
        make(**keywords)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, r"1 of 16 returns are NaN or infinite \(CC\)"),
        (1e60, r"1 of 16 returns are NaN or infinite \(CC\)"),  # too large for single precision
        (-3.2, r"1 of 16 simple returns are below -1 \(CC; lowest -3.2\).*Give simple returns as decimals"),
    ],
)
def test_impossible_draws_are_refused(value, message):
    returns = np.zeros((2, 8))
    returns[0, 2] = value
    with pytest.raises(DataError, match=message):
        Forecast.from_draws(
            returns, assets=ASSETS, asset_class=CLASSES, origin="2022-02-04", end="2022-03-04"
        )


def test_one_asset_cannot_be_ranked():
    with pytest.raises(DataError, match=r"1 asset given\. Ranks need at least 2"):
        Forecast.from_draws([[0.0]], assets=["A"], asset_class=["s"], origin="2022-02-04", end="2022-03-04")


# Edits

EDITS = {
    "zero": lambda f: f.zero("AA", "CC"),
    "set_return": lambda f: f.set_return("AA", 0.12),
    "like": lambda f: f.like("AA", "BB", 0.01),
    "shift": lambda f: f.shift("AA", 0.02),
    "scale": lambda f: f.scale("AA", 1.5),
    "cap": lambda f: f.cap("AA", lower=-0.1, upper=0.05),
    "replace": lambda f: f.replace("AA", stats.norm(0.02, 0.1), seed=3),
    "drop": lambda f: f.drop("AA", "CC"),
}


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_changes_its_assets_only_and_is_recorded(weighted, kind):
    before = weighted.draws.to_numpy().copy()
    edited = EDITS[kind](weighted)
    assert (weighted.draws.to_numpy() == before).all()
    assert weighted.records == ()
    (record,) = edited.records
    assert record.kind == kind
    assert record.symbols == (("AA", "CC") if kind in ("zero", "drop") else ("AA",))
    assert "AA" in record.text
    others = [a for a in ASSETS if a not in record.symbols]
    assert (edited.draws.sel(asset=others).to_numpy() == weighted.draws.sel(asset=others).to_numpy()).all()
    assert (edited.weights.to_numpy() == weighted.weights.to_numpy()).all()
    if kind != "drop":
        assert (column(edited, "AA") != column(weighted, "AA")).any()


def test_values_of_edits(forecast):
    assert (column(forecast.zero("AA", "BB"), "BB") == 0).all()
    assert column(forecast.set_return("AA", 0.1), "AA") == pytest.approx(np.full(400, 0.1))
    assert column(forecast.like("AA", "BB", 0.02), "AA") == pytest.approx(
        column(forecast, "BB") + 0.02, abs=1e-7
    )
    assert (column(forecast.like("AA", "BB"), "AA") == column(forecast, "BB")).all()
    capped = column(forecast.cap("AA", lower=-0.1, upper=0.05), "AA")
    assert (capped.min(), capped.max()) == pytest.approx((-0.1, 0.05))
    assert column(forecast.cap("AA", lower=0.0), "AA").max() == column(forecast, "AA").max()
    scaled = column(forecast.scale("AA", 2), "AA")
    assert scaled.std() == pytest.approx(2 * column(forecast, "AA").std(), rel=1e-5)
    dropped = forecast.drop("AA", "EE")
    assert dropped.assets == ("BB", "CC", "DD", "FF", "GG", "HH")
    assert dropped.asset_class == ("stock", "stock", "stock", "bond", "stock", "stock")
    assert (dropped.draws.to_numpy() == forecast.draws.to_numpy()[:, [1, 2, 3, 5, 6, 7]]).all()


@given(st.floats(-0.3, 0.3), st.floats(0.2, 2.0))
@settings(max_examples=15, deadline=None)
def test_inverse_edits_return_to_the_start(by, factor):
    start = make(60)
    same_draws(start.shift("AA", by).shift("AA", -by), start, atol=2e-7)
    same_draws(start.scale("AA", factor).scale("AA", 1 / factor), start, atol=2e-6)


def test_neutral_edits_change_nothing(forecast):
    same_draws(forecast.shift("AA", 0).scale("BB", 1).cap("CC", upper=0.99), forecast, atol=1e-8)
    same_draws(forecast.replace("AA", column(forecast, "AA")), forecast)
    same_draws(forecast.replace("AA", column(forecast, "AA")[::-1], keep_ranks=True), forecast)


def test_edits_apply_in_order_and_history_lists_them(forecast):
    edited = forecast.shift("AA", 0.1).cap("AA", upper=0.1).zero("BB")
    assert column(edited, "AA").max() == pytest.approx(0.1)
    history = edited.history()
    assert history.columns.tolist() == ["kind", "symbols", "parameters", "text"]
    assert history["kind"].tolist() == ["shift", "cap", "zero"]
    assert history["parameters"].tolist() == [{"by": 0.1}, {"upper": 0.1}, {}]
    assert history["text"][0] == "AA: return shifted by +10.0000%."


def test_replacement_is_independent_unless_ranks_are_kept():
    f = make(4000)
    law = stats.t(5, loc=0.01, scale=0.05)
    free, kept = f.replace("AA", law), f.replace("AA", law, keep_ranks=True)
    before, lost, held = (np.corrcoef(column(x, "AA"), column(x, "BB"))[0, 1] for x in (f, free, kept))
    assert before > 0.5
    assert abs(lost) < 4 / np.sqrt(4000)
    assert held == pytest.approx(before, abs=0.05)
    assert (np.argsort(column(kept, "AA")) == np.argsort(column(f, "AA"))).all()
    assert stats.kstest(column(free, "AA"), law.cdf).pvalue > 1e-3
    assert stats.kstest(column(kept, "AA"), law.cdf).statistic < 1e-3
    assert "independent of the other assets" in free.records[0].text
    assert dict(free.records[0].parameters)["source"] == "t(5, loc=0.01, scale=0.05)"
    assert "ranks kept" in kept.records[0].text
    same_draws(f.replace("AA", law), free)
    assert (column(f.replace("AA", law, seed=1), "AA") != column(free, "AA")).any()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: f.zero("AAA"), r"zero AAA: unknown asset AAA\. Did you mean AA\?"),
        (lambda f: f.like("AA", "ZZZ"), "like AA: unknown asset ZZZ"),
        (lambda f: f.drop("AA", "aa"), "drop: unknown asset aa"),
        (lambda f: f.replace("XX", np.zeros(400)), "replace XX: unknown asset XX"),
    ],
)
def test_unknown_assets_are_refused(forecast, edit, message):
    with pytest.raises(UnknownLabelError, match=message):
        edit(forecast)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: f.zero(), "zero: no asset named"),
        (lambda f: f.zero("AA", "AA"), r"zero: 1 asset given more than once \(AA\)"),
        (lambda f: f.drop(), "drop: no asset named"),
        (lambda f: f.drop(*ASSETS[1:]), "drop: 1 assets would be left"),
        (lambda f: f.set_return("AA", -1), "set_return AA: a return must be above -1, got -1"),
        (lambda f: f.set_return("AA", np.nan), "set_return AA: value should be a finite number, got nan"),
        (lambda f: f.set_return("AA", "much"), "value should be a number, got 'much'"),
        (lambda f: f.like("AA", "AA"), "like AA: an asset cannot follow itself"),
        (lambda f: f.like("AA", "BB", np.inf), "spread should be a finite number"),
        (
            lambda f: f.like("AA", "BB", -0.95),
            r"like AA: \d+ of 400 simple returns are below -1.*nearer to zero",
        ),
        (lambda f: f.shift("AA", np.nan), "shift AA: by should be a finite number"),
        (lambda f: f.shift("AA", 1e60), r"shift AA: a return of 1e\+60, which is \+1e\+62%.*statement-unit"),
        (lambda f: f.shift("AA", -1), r"shift AA: a return of -1, which is -100%.*\[statement-unit\]"),
        (lambda f: f.shift("AA", -0.99), r"shift AA: .*below -1.*Cap the asset at lower=-0\.01 first"),
        (lambda f: f.scale("AA", 0), "scale AA: factor should be greater than 0, got 0"),
        (lambda f: f.scale("AA", 20), r"scale AA: .*below -1.*Cap the asset at lower=-0\.0"),
        (lambda f: f.cap("AA"), "cap AA: no bound given"),
        (lambda f: f.cap("AA", 0.1, 0.1), "cap AA: bounds 0.1 to 0.1 leave no room"),
        (lambda f: f.cap("AA", upper=-1), "leave no room"),
        (lambda f: f.cap("AA", lower=np.nan), "lower should be a finite number"),
        (lambda f: f.replace("AA", np.zeros(3)), r"draws have shape \(3,\), expected \(400,\)"),
        (lambda f: f.replace("AA", np.full(400, np.nan)), r"400 of 400 returns are NaN or infinite \(AA\)"),
        (lambda f: f.replace("AA", stats.norm(0, 3)), "replace AA: .*below -1.*bounded at -1"),
        (
            lambda f: f.replace("AA", stats.norm(), seed=-1),
            "seed should be greater than or equal to 0, got -1",
        ),
    ],
)
def test_impossible_edits_are_refused(forecast, edit, message):
    with pytest.raises(DataError, match=message):
        edit(forecast)


def test_the_advice_of_refused_edits_works(forecast):
    factor, median = 20.0, np.quantile(column(forecast, "AA"), 0.5, method="inverted_cdf")
    assert (
        column(forecast.cap("AA", lower=median - (1 + median) / factor).scale("AA", factor), "AA").min() >= -1
    )
    assert column(forecast.cap("AA", lower=-0.05).shift("AA", -0.95), "AA").min() >= -1


def test_with_weights_leaves_draws_and_appends(forecast):
    record = Record.of("view", ("AA",), "AA up.", mean=0.1)
    seen = forecast.zero("BB").with_weights(np.arange(400), record=record)
    assert [r.kind for r in seen.records] == ["zero", "view"]
    assert seen.weights.to_numpy() == pytest.approx(np.arange(400) / np.arange(400).sum())
    same_draws(seen, forecast.zero("BB"))
    with pytest.raises(DataError, match=r"view: weights have shape \(2,\)"):
        forecast.with_weights([1, 2], record=record)


# Probabilities


def test_a_delisted_asset_is_not_in_the_middle_for_sure(forecast):
    p = forecast.zero("AA").quantile_probabilities().sel(asset="AA").to_numpy()
    assert p.sum() == pytest.approx(1)
    assert 0.15 < p[2] < 0.9
    assert (p[[1, 3]] > 0.02).all()


def test_two_delisted_assets_share_their_slots(forecast):
    p = forecast.zero("AA", "DD").quantile_probabilities()
    assert (p.sel(asset="AA") == p.sel(asset="DD")).all()
    np.testing.assert_allclose(p.sum("quantile"), 1)
    np.testing.assert_allclose(p.sum("asset"), 8 / 5)


def test_probabilities_are_labelled_and_weighted(weighted):
    p = weighted.quantile_probabilities(4)
    assert p.dims == ("asset", "quantile")
    assert p["quantile"].to_numpy().tolist() == [1, 2, 3, 4]
    order = np.argsort(np.argsort(weighted.draws.to_numpy(), axis=1), axis=1)
    assert p.sel(asset="AA", quantile=1).item() == pytest.approx(
        weighted.weights.to_numpy() @ (order[:, 0] < 2)
    )


def test_weights_act_like_repeated_draws(rng):
    counts = rng.integers(0, 4, 400)
    base = make()
    repeated = Forecast.from_draws(
        np.repeat(base.draws.to_numpy(), counts, axis=0),
        assets=ASSETS,
        asset_class=CLASSES,
        origin="2022-02-04",
        end="2022-03-04",
    )
    numbers = make(weights=counts).summary().select_dtypes("number")
    pd.testing.assert_frame_equal(numbers, repeated.summary().select_dtypes("number"))


def test_summary(forecast):
    table = forecast.summary()
    assert table.index.tolist() == list(ASSETS)
    assert table.columns.tolist() == [
        *("name", "asset_class", "mean", "sd", "5%", "50%", "95%"),
        *("P1", "P2", "P3", "P4", "P5"),
    ]
    x = column(forecast, "CC")
    assert table.loc["CC", ["mean", "sd"]].tolist() == pytest.approx([x.mean(), x.std()])
    assert table.loc["CC", "50%"] == np.quantile(x, 0.5, method="inverted_cdf")
    assert table.loc["CC", "P1":"P5"].sum() == pytest.approx(1)


# Display


def test_repr_is_short(forecast):
    assert repr(forecast) == "<Forecast 2022-02-04 to 2022-03-04: 8 assets, 400 draws>"
    record = Record.of("view", ("AA",), "AA up.")
    changed = forecast.zero("AA").with_weights(np.arange(400), record=record)
    assert repr(changed) == (
        "<Forecast 2022-02-04 to 2022-03-04: 8 assets, 400 draws (300 effective), 2 changes>"
    )


def test_html_escapes_names(forecast):
    html = (
        make(names=["<script>alert(1)</script>", *ASSETS[1:]], assets=("<b>", *ASSETS[1:]))
        .zero("<b>")
        ._repr_html_()
    )
    assert "<script>" not in html
    assert "<b></th>" not in html
    assert "&lt;b&gt;: return set to zero" in html
    assert "&lt;script&gt;" in html
    assert "<li>" not in forecast._repr_html_()


def test_heatmap_shows_each_probability_once_by_class(forecast):
    figure = forecast.plot_quantiles()
    axis = figure.axes[0]
    labels = [t.get_text() for t in axis.get_yticklabels() if t.get_text()]
    assert sorted(labels) == sorted(ASSETS)
    assert set(labels[-2:]) == {"EE", "FF"}  # bonds come last, as in the universe
    ends = forecast.quantile_probabilities().sel(quantile=[1, 5]).sum("quantile")
    for some in (labels[:6], labels[6:]):
        p = ends.sel(asset=some).to_numpy()
        assert (np.diff(p) <= 0).all()  # in a class from the most to the least dispersed
        assert p[0] > p[-1]
    cells = [t.get_text() for t in axis.texts]
    assert len(cells) == 8 * 5 + 2
    p = forecast.quantile_probabilities().sel(asset=labels[0]).to_numpy()
    assert cells[1:6] == [f"{100 * x:.0f}" for x in p]
    figure.canvas.draw()


# Submissions and files


@given(st.integers(3, 40), st.integers(0, 2**32 - 1), st.integers(1, 200))
@settings(max_examples=20, deadline=None)
def test_submission_rows_sum_to_one_exactly(n_assets, seed, n_draws):
    rng = np.random.default_rng(seed)
    f = Forecast.from_draws(
        rng.normal(size=(n_draws, n_assets)) * 0.01,
        assets=[f"A{i}" for i in range(n_assets)],
        asset_class=["x"] * n_assets,
        origin="2022-02-04",
        end="2022-03-04",
        weights=rng.gamma(1, size=n_draws),
    )
    table = f.to_submission()
    units = (table.iloc[:, 1:6] * 1e5).to_numpy()
    np.testing.assert_allclose(units, np.round(units), atol=1e-6)
    assert (np.round(units).sum(axis=1) == 100_000).all()
    assert (units >= 0).all()
    assert np.abs(units - 1e5 * f.quantile_probabilities().to_numpy()).max() < 1
    assert round(table["Decision"].sum() * 1e5) == 25_000


def test_submission_table_and_file(forecast, tmp_path):
    table = forecast.to_submission()
    assert (
        tuple(table.columns) == submission.COLUMNS == ("ID", *(f"Rank{k}" for k in range(1, 6)), "Decision")
    )
    assert table["ID"].tolist() == list(ASSETS)
    assert table["Decision"].tolist() == [0.03125] * 8
    assert forecast.write_submission(tmp_path / "s.csv") == tmp_path / "s.csv"
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert lines[0] == "ID,Rank1,Rank2,Rank3,Rank4,Rank5,Decision"
    assert len(lines) == 9
    assert all(len(number.split(".")[1]) == 5 for number in lines[1].split(",")[1:])
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "s.csv"), table, check_dtype=False)


def test_decisions(forecast):
    table = forecast.to_submission({"AA": -0.2, "CC": 1 / 3}).set_index("ID")["Decision"]
    assert table[table != 0].to_dict() == {"AA": -0.2, "CC": 0.33333}
    assert forecast.to_submission(pd.Series(0.125, ASSETS))["Decision"].tolist() == [0.125] * 8


@pytest.mark.parametrize(
    ("decisions", "error", "message"),
    [
        ({"AA": 0.1}, DataError, "absolute weights sum to 0.1, expected 0.25 to 1"),
        ({"AA": 0.8, "BB": -0.4}, DataError, "absolute weights sum to 1.2"),
        ({"AA": np.nan}, DataError, "decisions: AA must be a finite number"),
        ({"CCX": 0.5}, UnknownLabelError, r"decisions: unknown asset CCX\. Did you mean CC\?"),
        ({}, DataError, "sum to 0, expected"),
    ],
)
def test_impossible_decisions_are_refused(forecast, decisions, error, message):
    with pytest.raises(error, match=message):
        forecast.to_submission(decisions)


def full(attrs=None) -> Forecast:
    f = make(
        weights=np.random.default_rng(2).gamma(1, size=400),
        names=[f"Näme {a}" for a in ASSETS],
        attrs={"model": "m6", "seed": 3, "share": 0.1, "text": "x" * 200_000},
        posterior_draw=np.arange(400)[::-1],
    )
    for edit in EDITS.values():
        if edit is not EDITS["drop"]:
            f = edit(f)
    return f.drop("HH").with_weights(np.arange(1, 401), record=Record.of("view", (), "All up.", exact=True))


@pytest.mark.parametrize("original", [make(), full()], ids=["plain", "full"])
def test_a_file_keeps_everything(original, tmp_path):
    assert original.save(tmp_path / "f.nc") == tmp_path / "f.nc"
    loaded = Forecast.load(tmp_path / "f.nc")
    assert loaded.draws.identical(original.draws)
    assert loaded.weights.identical(original.weights)
    for name in ("assets", "asset_class", "names", "origin", "end", "records", "attrs"):
        assert getattr(loaded, name) == getattr(original, name), name
    pd.testing.assert_frame_equal(loaded.summary(), original.summary(), check_exact=True)
    with pytest.raises(ValueError, match="read-only"):
        loaded.weights.values[0] = 1


@pytest.mark.long
def test_many_records_fit_in_a_file(tmp_path):
    f = make(5)
    for k in range(650):  # 70 kB: an attribute of HDF5 holds 64
        f = f.shift("AA", 1e-4 + 1e-8 * k)
    f.save(tmp_path / "f.nc")
    assert Forecast.load(tmp_path / "f.nc").records == f.records


def test_files_stay_near_their_size_in_memory(tmp_path):
    f = make(20_000)
    assert f.save(tmp_path / "f.nc").stat().st_size < 20_000 * 8 * 4 * 1.1 + 50_000


def test_failed_save_keeps_the_old_file(forecast, tmp_path, monkeypatch):
    forecast.save(tmp_path / "f.nc")

    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(FileError, match="the disk is full"):
        forecast.zero("AA").save(tmp_path / "f.nc")
    same_draws(Forecast.load(tmp_path / "f.nc"), forecast)


@pytest.mark.parametrize("part", ["returns", "weights", "records", "attrs"])
def test_incomplete_forecast_files_are_refused(forecast, tmp_path, part):
    forecast.save(tmp_path / "f.nc")
    dataset = _sealed.load_dataset(tmp_path / "f.nc", kind="forecast")
    _sealed.save_dataset(dataset.drop_vars(part), tmp_path / "f.nc", kind="forecast")
    with pytest.raises(FileError, match=r"f\.nc: the forecast in this file is incomplete"):
        Forecast.load(tmp_path / "f.nc")


def test_a_posterior_is_no_forecast(tmp_path):
    _sealed.save_tree(xr.DataTree(), tmp_path / "p.nc", kind="posterior")
    with pytest.raises(FileError, match="holds a posterior, a forecast was expected"):
        Forecast.load(tmp_path / "p.nc")


def test_a_forecast_is_read_from_its_folder_as_on_the_command_line(tmp_path):
    forecast = make()
    forecast.save(tmp_path / "forecast.nc")
    same_draws(Forecast.load(tmp_path), forecast)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match=r"empty.forecast\.nc does not exist"):
        Forecast.load(tmp_path / "empty")


@pytest.mark.parametrize("weights", ["book.csv", [0.5, 0.5], 1.0])
def test_weights_of_a_portfolio_are_by_symbol(weights):
    with pytest.raises(DataError, match="weights by symbol were expected, such as"):
        portfolio_risk(make(), weights)

"""Labels that Python programs hand over, at every door that takes tables and names: in place, or refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bdfm import (
    Forecast,
    Panel,
    _labels,
    _sealed,
    demo,
    information_ratio,
    outcome_quantiles,
    quantile_probabilities,
    ranked_probability_score,
    risk,
)
from bdfm._symbols import check_aliases, did_you_mean
from bdfm.data.doubts.door import examine
from bdfm.data.doubts.tables import Tables
from bdfm.errors import DataError, FileError
from bdfm.exposures.data import ExposureData
from bdfm.portfolio.decisions import decide
from bdfm.portfolio.mandate import Mandate
from bdfm.portfolio.risk import portfolio_risk
from bdfm.risk.base import RiskModel
from bdfm.scoring.calibration import pit
from bdfm.scoring.joint import dawid_sebastiani_score, joint_pit, variogram_score
from bdfm.scoring.scores import crps, energy_score, log_score

A = list("ABCDEF")
X = 0.05 * np.random.default_rng(3).standard_normal((300, 6)) + np.arange(6) / 100


def forecast(returns=X, assets=A, asset_class=("s",) * 6, **more):
    return Forecast.from_draws(
        returns, assets=assets, asset_class=asset_class, origin="2022-01-07", end="2022-02-04", **more
    )


def panel(returns=X, assets=A, asset_class=("s",) * 6):
    return Panel.from_arrays(returns, assets=assets, asset_class=asset_class)


def model(loadings=X[:6, :2], assets=A, covariance=None):
    f = np.eye(2) if covariance is None else covariance
    return RiskModel.from_arrays(loadings, f, np.ones(6), assets=assets, factors=["F", "G"])


def exposures(returns=X, assets=A, factors=X[:, :2], **more):
    return ExposureData.from_arrays(returns, factors, assets=assets, factor_names=["F", "G"], **more)


DOORS = {"forecast": forecast, "panel": panel, "exposures": exposures}


@pytest.mark.parametrize("door", [*DOORS.values(), model])
@pytest.mark.parametrize(
    "assets",
    ["ABCDEF", set(A), dict.fromkeys(A), [*A[:5], None], [*A[:5], np.nan], [*A[:5], pd.NaT], [*A[:5], pd.NA],
     ["", *A[1:]], [" ", *A[1:]], [x.encode() for x in A], [True, *A[1:]], [np.True_, *A[1:]]],
)  # fmt: skip
def test_what_is_no_list_of_names(door, assets):
    with pytest.raises(DataError, match=r"assets (must be a list of names|has \d of 6 that are no names)"):
        door(assets=assets)


@pytest.mark.parametrize("door", [*DOORS.values(), model])
@pytest.mark.parametrize("form", [tuple, iter, np.array, pd.Index, pd.Categorical, pd.Series])
def test_any_list_of_names(door, form):
    assert tuple(door(assets=form(A)).assets) == tuple(A)


@pytest.mark.parametrize("door", DOORS)
def test_a_table_in_another_order(door):
    """Its columns were taken by place, so that each asset had the returns of another one."""
    make, table = DOORS[door], pd.DataFrame(X, columns=A)
    for wrong in (table[A[::-1]], table.rename(columns={"F": "Z"})):
        with pytest.raises(DataError, match="others, or in another order"):
            make(wrong)
    for right in (table, pd.DataFrame(X), table.set_axis(range(3, 9), axis=1)):
        assert tuple(make(right).assets) == tuple(A)


def test_tables_of_a_risk_model_in_another_order():
    loadings = pd.DataFrame(X[:6, :2], A, ["F", "G"])
    for wrong in (loadings[::-1], loadings[["G", "F"]]):
        with pytest.raises(DataError, match=r"exposures is by .* in another order"):
            model(wrong)
    with pytest.raises(DataError, match="factor_covariance is by G, F"):
        model(covariance=pd.DataFrame(np.diag([1, 2]), ["G", "F"], ["G", "F"]))
    assert model(loadings).assets == tuple(A)


def test_factors_and_sectors_of_exposures_in_another_order():
    with pytest.raises(DataError, match="factors is by G, F"):
        exposures(factors=pd.DataFrame(X[:, :2], columns=["G", "F"]))
    with pytest.raises(DataError, match="sectors is by F, E"):
        exposures(sectors=pd.Series(list("xyzxyz"), A[::-1]))


@pytest.mark.parametrize("door", [forecast, panel])
def test_classes_by_asset_in_another_order(door):
    classes = list("xxxyyy")
    for wrong in (
        "s",
        dict.fromkeys(A, "s"),
        pd.Series(classes, A[::-1]),
        [*classes[:5], ""],
        [*classes[:5], None],
    ):
        with pytest.raises(DataError, match="asset_class"):
            door(asset_class=wrong)
    for right in (pd.Series(classes, A), pd.Series(classes, range(10, 16)), pd.Categorical(classes)):
        found = door(asset_class=right)
        assert found.assets[0] == "A"


def test_a_symbol_twice_in_weights():
    """The last one counted."""
    twice = pd.Series([0.5, 0.3], ["A", "A"])
    made, prices = forecast(), demo()[0]
    doors = (
        lambda w: portfolio_risk(made, w),
        lambda w: decide(made, Mandate(objective="minimum_variance"), holdings=w),
        lambda w: risk.forecast_given_loss(made, w, 0.01),
        lambda w: information_ratio(prices, w.set_axis(["XOM", "XOM"]), "2021-12-31", "2022-01-28"),
        lambda w: model().volatility(w),
    )
    for door in doors:
        with pytest.raises(DataError, match="given more than once"):
            door(twice)


@pytest.mark.parametrize(
    ("one", "other"),
    [("stock", "Stock"), ("equity etf", "equity  etf"), ("equity_etf", "equity-etf"), ("stock", "\uff53tock"),
     ("Stra\u00dfe", "STRASSE")],
)  # fmt: skip
@pytest.mark.parametrize("column", ["asset_class", "sector"])
def test_groups_that_are_nearly_one(one, other, column):
    table = pd.DataFrame({"symbol": A, "asset_class": "s"})
    clean = pd.DataFrame({"symbol": A, "asset_class": "s"})
    table[column], clean[column] = [one, other] * 3, [one, "other"] * 3
    found = [f for f in examine(Tables("check", universe=table)) if "nothing but capitals" in f.seen]
    assert [f.seen.split(" differ")[0] for f in found] == [f"{column}: {one}, {other}"]
    assert not [f for f in examine(Tables("check", universe=clean)) if "nothing but capitals" in f.seen]


def test_every_feature_is_in_the_order_of_the_assets():
    returns = pd.DataFrame(0.01 * np.random.default_rng(0).standard_normal((30, 3)), columns=["A", "B", "C"])
    turned = returns[["C", "B", "A"]]
    panel = Panel.from_arrays(returns, asset_class=pd.Series("s", ["A", "B", "C"]), recent_return=returns)
    assert panel.assets == ("A", "B", "C")  # the columns', where no assets are given
    for name in ("recent_return", "recent_volatility", "earnings", "market_risk", "outside_volatility"):
        with pytest.raises(DataError, match=f"{name} is by C, B, A"):
            Panel.from_arrays(returns, asset_class=["s"] * 3, **{name: turned})
        one = turned.iloc[0] if name != "earnings" else turned.iloc[0] > 0
        with pytest.raises(DataError, match=f"next_{name} is by C, B, A"):
            Panel.from_arrays(returns, asset_class=["s"] * 3, **{f"next_{name}": one})


def test_what_has_an_order_is_a_list():
    classes = dict.fromkeys("ABC", "s")
    for given in (classes.keys(), ("A", "B", "C"), pd.Index(list("ABC")), xr.DataArray(list("ABC"))):
        assert _labels.names_of(given, what="assets", where="x") == ("A", "B", "C")
    for given, told in ((classes, "a table by label"), ({"A", "B"}, "has no order"), ("AB", "one text")):
        with pytest.raises(DataError, match=told):
            _labels.names_of(given, what="assets", where="x")
    turned = pd.DataFrame(np.zeros((2, 3))).iloc[:, ::-1]
    with pytest.raises(DataError, match="r is by 2, 1, 0"):
        _labels.in_order(turned, ("0", "1", "2"), axis=1, what="r", where="x")


def test_an_alias_twice_in_python():
    with pytest.raises(DataError, match="A symbol has one name"):
        check_aliases({"FB": "META", " FB": "FACE"})


def test_what_is_alike():
    assert _labels.nearly_one(["A", "A-", "BBB", "BBB-", "-1", "1"]) == []  # ratings, codes
    assert _labels.nearly_one(["a", "A", "b", "b-c", "B_C", "a"]) == [["a", "A"], ["b-c", "B_C"]]
    assert _labels.nearly_one(["a", "ab", "abc"]) == []
    assert _labels.nearly_one(["Oil & Gas", "Stock", "oil and gas", "Stocks"]) == [
        ["Oil & Gas", "oil and gas"],
        ["Stock", "Stocks"],
    ]
    assert _labels.nearly_one(["A", "As", "gas", "ga", "glass", "glas", "class"]) == []


def test_a_file_of_another_kind_stays(tmp_path):
    made = forecast()
    path = made.save(tmp_path / "f.nc")
    content = _sealed.load_dataset(path, kind="forecast")
    before = path.read_bytes()
    with pytest.raises(FileError, match="holds a forecast, and is left as it is: a posterior was"):
        _sealed.save_dataset(content, path, kind="posterior")
    assert path.read_bytes() == before
    made.save(path)
    path.write_bytes(before[:-100])  # a broken one has nothing to lose
    _sealed.save_dataset(content, path, kind="posterior")
    assert list(tmp_path.iterdir()) == [path]


def scores_of(draws, came):
    """Every score of draws, by name."""
    return {
        "pit": lambda: pit(draws, came),
        "crps": lambda: crps(draws, came),
        "energy": lambda: energy_score(draws, came, seed=1),
        "variogram": lambda: variogram_score(draws, came),
        "dawid_sebastiani": lambda: dawid_sebastiani_score(draws, came),
        "joint_pit": lambda: joint_pit(draws, came, seed=1),
    }


SERIES = pd.Series(X[0] + [0.1, 0, -0.1, 0.2, 0, 0], index=A)
X_BY_A = pd.DataFrame(X, columns=A)
FORMS = {
    "Series": lambda s: s,
    "DataArray": lambda s: xr.DataArray(s.to_numpy(), dims="asset", coords={"asset": list(s.index)}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("score", scores_of(X, X[0]))
def test_a_score_of_assets_in_another_order(form, score):
    """They met by place: the score was that of other assets, without a word."""
    draws = forecast().draws
    right = scores_of(draws, FORMS[form](SERIES))[score]()
    np.testing.assert_array_equal(right, scores_of(draws, SERIES.to_numpy())[score]())
    np.testing.assert_array_equal(right, scores_of(draws.to_numpy(), SERIES[::-1].to_numpy()[::-1])[score]())
    np.testing.assert_array_equal(right, scores_of(draws.T, SERIES)[score]())
    np.testing.assert_array_equal(right, scores_of(draws, pd.Series(SERIES.to_numpy()))[score]())
    for wrong in (SERIES[::-1], SERIES.rename({"F": "Z"})):
        with pytest.raises(DataError, match=r"what came is by .* others, or in another order"):
            scores_of(draws, FORMS[form](wrong))[score]()
        with pytest.raises(DataError, match=r"what came is by .* others, or in another order"):
            scores_of(pd.DataFrame(X, columns=A), FORMS[form](wrong))[score]()


COUNTED = {
    "RangeIndex": pd.RangeIndex(6),
    "Index": pd.Index(range(6)),
    "small": pd.Index(np.arange(6, dtype="uint8")),
    "objects": pd.Index(list(range(6)), dtype=object),
}


@pytest.mark.parametrize("counted", COUNTED)
@pytest.mark.parametrize("score", scores_of(X, X[0]))
def test_counted_labels_name_nothing_on_either_side(counted, score):
    """ArviZ counts what has no coordinates, in an index that is no RangeIndex."""
    index = COUNTED[counted]
    right = scores_of(X, SERIES.to_numpy())[score]()
    tables = {
        "DataFrame": pd.DataFrame(X, columns=index),
        "DataArray": xr.DataArray(X, dims=("draw", "asset"), coords={"asset": index.to_numpy()}),
    }
    for table in tables.values():
        np.testing.assert_allclose(scores_of(table, SERIES)[score](), right, rtol=1e-12)
    came = pd.Series(SERIES.to_numpy(), index)
    np.testing.assert_allclose(scores_of(pd.DataFrame(X, columns=A), came)[score](), right, rtol=1e-12)


TOKYO = ["1301", "1332", "1605", "1721", "1801", "1925"]
OTHERS = ["7203", "6758", "9984", "8306", "6861", "8035"]


def test_numbers_that_are_texts_are_names():
    """Tickers of Tokyo are digits: others than the assets were taken by place."""
    table = pd.DataFrame(X, columns=OTHERS)
    with pytest.raises(DataError, match=r"draws is by 7203, 6758.* others, or in another order"):
        forecast(table, assets=TOKYO)
    assert forecast(table.set_axis(TOKYO, axis=1), assets=TOKYO).assets == tuple(TOKYO)
    assert forecast(table.set_axis(map(int, TOKYO), axis=1), assets=TOKYO).assets == tuple(TOKYO)
    assert forecast(table.set_axis(range(3, 9), axis=1), assets=TOKYO).assets == tuple(TOKYO)


@pytest.mark.parametrize("kind", [str, int])
@pytest.mark.parametrize("score", scores_of(X, X[0]))
def test_scores_of_other_numbers(kind, score):
    """Of one kind on both sides they are names; integers beside names of another kind are rows."""
    table = pd.DataFrame(X, columns=[kind(x) for x in OTHERS])
    came = pd.Series(SERIES.to_numpy(), [kind(x) for x in TOKYO])
    with pytest.raises(DataError, match=r"what came is by 1301, 1332.* others, or in another order"):
        scores_of(table, came)[score]()
    with pytest.raises(DataError, match=r"what came is by 8035, 6861.* others, or in another order"):
        scores_of(table, came.set_axis([int(x) for x in OTHERS[::-1]]))[score]()
    right = scores_of(X, SERIES.to_numpy())[score]()
    np.testing.assert_allclose(scores_of(table, came.set_axis(table.columns))[score](), right, rtol=1e-12)
    rows = [*range(10, 16)]
    np.testing.assert_allclose(scores_of(X_BY_A, came.set_axis(rows))[score](), right, rtol=1e-12)
    np.testing.assert_allclose(scores_of(X_BY_A.set_axis(rows, axis=1), SERIES)[score](), right, rtol=1e-12)


@pytest.mark.parametrize("score", scores_of(X, X[0]))
def test_shapes_are_told_before_labels(score):
    """A table without columns ended in an IndexError; the numbers of draws were told as labels."""
    chains = xr.DataArray(
        X.reshape(3, 100, 6),
        dims=("chain", "draw", "asset"),
        coords={"chain": range(3), "draw": range(5, 105), "asset": A},
    )
    for draws in (SERIES, chains[0, 0], chains):
        with pytest.raises(DataError, match=r"draws of shape .* and returns of shape"):
            scores_of(draws, SERIES)[score]()
    for came in (X_BY_A, chains):
        with pytest.raises(DataError, match=r"draws of shape .* and returns of shape"):
            scores_of(X_BY_A, came)[score]()


def test_an_axis_that_a_table_has_not():
    for table in (SERIES, xr.DataArray(X[0], dims="asset", coords={"asset": A}), xr.DataArray(1.0)):
        assert _labels.own_labels(table, axis=1) is None
        assert _labels.own_labels(table, axis=-2) is None
    assert _labels.own_labels(SERIES, axis=-1) == (tuple(A), False)
    assert _labels.own_labels(SERIES.set_axis(range(1, 7)), axis=0) == (tuple("123456"), True)
    with pytest.raises(DataError, match=r"draws have shape \(6,\)"):
        forecast(SERIES)


@pytest.mark.parametrize("score", [ranked_probability_score, log_score])
def test_a_score_of_fifths_whose_quantiles_are_in_another_order(score):
    """Fifths from highest to lowest were scored as if the lowest came first."""
    probabilities, outcome = forecast().quantile_probabilities(), outcome_quantiles(SERIES)
    right = score(probabilities, outcome)
    for turned in (
        outcome[:, ::-1],
        outcome[:, ::-1].to_pandas(),
        outcome.assign_coords(quantile=range(2, 7)),
    ):
        with pytest.raises(DataError, match=r"what came is by (5, 4|2, 3), .* in another order"):
            score(probabilities, turned)
        with pytest.raises(DataError, match=r"what came is by 1, 2, .* in another order"):
            score(turned, outcome)
    for unnamed in (outcome.drop_vars("quantile"), outcome.assign_coords(quantile=range(5))):
        np.testing.assert_allclose(score(probabilities, unnamed), right, rtol=1e-12)
    table = probabilities.to_pandas().set_axis([f"Rank{k}" for k in range(1, 6)], axis=1)
    np.testing.assert_allclose(score(table, outcome), right, rtol=1e-12)


@pytest.mark.parametrize("score", [ranked_probability_score, log_score])
def test_a_score_of_fifths_in_another_order(score):
    probabilities = forecast().quantile_probabilities()
    outcome = outcome_quantiles(SERIES)
    assert list(outcome["asset"].to_numpy()) == A
    assert list(outcome["quantile"].to_numpy()) == [1, 2, 3, 4, 5]
    right = score(probabilities, outcome)
    np.testing.assert_array_equal(
        right, score(probabilities.to_numpy(), outcome_quantiles(SERIES.to_numpy()))
    )
    np.testing.assert_array_equal(right, score(probabilities.T, outcome.T))
    np.testing.assert_array_equal(right, score(probabilities, outcome.to_pandas()))
    for wrong in (outcome_quantiles(SERIES[::-1]), outcome[:, :][::-1].to_pandas()):
        with pytest.raises(DataError, match=r"what came is by F, E.* in another order"):
            score(probabilities, wrong)
    with pytest.raises(DataError, match=r"2 of 6 rows of outcome are not within 0 and 1 with sum 1"):
        score(probabilities, np.where(np.arange(6)[:, None] < 2, 0.9, outcome))


@pytest.mark.parametrize("form", [lambda x: pd.DataFrame(x, columns=A), lambda x: forecast(x).draws])
def test_quantiles_of_draws_keep_their_assets(form):
    made = quantile_probabilities(form(X))
    assert made.dims == ("asset", "quantile")
    assert list(made["asset"].to_numpy()) == A
    np.testing.assert_array_equal(made, quantile_probabilities(X.astype(form(X).to_numpy().dtype)))
    assert isinstance(quantile_probabilities(X), np.ndarray)
    assert isinstance(outcome_quantiles(pd.Series([0.1, 0.2])), np.ndarray)  # counted rows name nothing


@pytest.mark.parametrize("door", ["panel", "exposures"])
def test_a_data_array_in_another_order(door):
    table = xr.DataArray(X, dims=("day", "asset"), coords={"asset": A})
    assert tuple(DOORS[door](table).assets) == tuple(A)
    with pytest.raises(DataError, match="others, or in another order"):
        DOORS[door](table[:, ::-1])


def test_data_arrays_of_a_risk_model_in_another_order():
    loadings = xr.DataArray(X[:6, :2], dims=("asset", "factor"), coords={"asset": A, "factor": ["F", "G"]})

    def of(table):
        n = table.sizes.get("draw")
        covariance, variance = (
            (np.eye(2), np.ones(6)) if n is None else (np.eye(2)[None].repeat(n, 0), np.ones((n, 6)))
        )
        return RiskModel.from_arrays(table, covariance, variance, assets=A, factors=["F", "G"])

    for table in (loadings, loadings.expand_dims(draw=3)):
        assert tuple(of(table).assets) == tuple(A)
        for wrong in (table.isel(asset=slice(None, None, -1)), table.isel(factor=slice(None, None, -1))):
            with pytest.raises(DataError, match=r"exposures is by .* in another order"):
                of(wrong)


# -- weights of draws --------------------------------------------------------------------------------------

TABLE = pd.DataFrame(np.random.default_rng(2).normal(0, 0.05, (6, 3)), columns=list("ABC"))
NAMED = TABLE.set_axis(list("uvwxyz"))
WEIGHTS = pd.Series([0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
WEIGHED = {
    "from_draws": lambda d, w: forecast_of(d, weights=w),
    "posterior_draw": lambda d, w: forecast_of(d, posterior_draw=w.rank(method="first").astype(int)),
    "quantile_probabilities": lambda d, w: quantile_probabilities(d, weights=w),
    "pit": lambda d, w: pit(d, pd.Series(0.0, list("ABC")), weights=w),
    "crps": lambda d, w: crps(d, pd.Series(0.0, list("ABC")), weights=w),
    "energy_score": lambda d, w: energy_score(d, pd.Series(0.0, list("ABC")), weights=w, seed=1),
}


def forecast_of(draws, **given):
    return Forecast.from_draws(
        draws, assets=list("ABC"), asset_class=["x"] * 3, origin="2022-01-07", end="2022-02-04", **given
    )


@pytest.mark.parametrize("door", WEIGHED)
def test_weights_meet_draws_by_label_or_are_refused(door):
    call = WEIGHED[door]
    for draws in (TABLE, TABLE.to_numpy()):
        call(draws, WEIGHTS)
        with pytest.raises(DataError, match=r"is? ?by 5, 4, 3, 2, 1 and 1 more, and the labels are 0, 1"):
            call(draws, WEIGHTS[::-1])
    if door == "posterior_draw":
        return
    call(NAMED, WEIGHTS.set_axis(NAMED.index))
    call(NAMED, WEIGHTS)  # counted, names nothing
    call(NAMED, WEIGHTS.to_numpy())
    call(TABLE.to_numpy(), WEIGHTS.set_axis(NAMED.index))
    for wrong in (WEIGHTS.set_axis(NAMED.index)[::-1], WEIGHTS.set_axis(list("uvwxyq"))):
        with pytest.raises(DataError, match="the labels are u, v, w, x, y and 1 more: others"):
            call(NAMED, wrong)
    array = xr.DataArray(WEIGHTS[::-1], dims="draw", coords={"draw": WEIGHTS.index[::-1]})
    with pytest.raises(DataError, match="in another order"):
        call(TABLE, array)


def test_weights_that_are_no_numbers():
    for wrong in (["a"] * 6, [None, {}, 1, 1, 1, 1], "x"):
        with pytest.raises(DataError, match="weights"):
            forecast_of(TABLE, weights=wrong)


def test_names_in_letters_that_look_the_same_are_alike():
    assert _labels.nearly_one(["stock", "st\u043eck", "fund"]) == [["stock", "st\u043eck"]]


@pytest.mark.parametrize(("one", "other"), [("CAF\u00c9", "CAFE\u0301"), ("\ud55c", "\u1112\u1161\u11ab")])
def test_names_of_the_same_letters_composed_otherwise(one, other):
    """An accent that is a character of its own: the search for the odd letter ended in an error."""
    for known, asked in ((one, other), (other, one)):
        assert "composed otherwise" in did_you_mean(asked, [known, "XOM"])


def test_aliases_as_any_pairs():
    """Pairs of a view, a set or a table of two columns were refused."""
    for given in ({"A": "B"}.items(), {("A", "B")}, np.array([["A", "B"]]), iter([("A", "B")])):
        assert dict(check_aliases(given)) == {"A": "B"}
    for given in (["AB"], "AB", [["A", "B", "C"]], 5, [5]):
        with pytest.raises((DataError, FileError)):
            check_aliases(given)

"""Things of another kind at the doors of Python: each is read, or refused with what to give."""

from __future__ import annotations

import importlib
import inspect
import os
from pathlib import PurePath

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bdfm
from bdfm import exposures, risk, validation
from bdfm._kinds import of_kind, tables, taken
from bdfm.backtest import MarketData, QuantileForecast, compare, look_ahead, walk_forward
from bdfm.errors import DataError, FileError, ModelError, UnknownLabelError
from bdfm.forecast import edits
from bdfm.model.evidence import check_evidence

PRICES, UNIVERSE = bdfm.demo()
SYMBOLS = ["AAPL", "JPM", "KO", "PG", "XOM"]
HOUSE = bdfm.FactorModel.from_preset("house")


def panel(prices=PRICES, universe=UNIVERSE, **more):
    return bdfm.Panel.from_prices(prices, universe, **({"origin": "2021-12-31"} | more))


READERS = (bdfm.read_prices, bdfm.read_universe, bdfm.read_earnings, bdfm.read_volatility)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("given", [None, {"A": 1}, 5, np.zeros((3, 2))])
def test_readers_of_what_is_no_table(reader, given):
    with pytest.raises(DataError, match=r"the table must be a path or a DataFrame, got \w+.* Give the path"):
        reader(given)


def test_series_of_prices():
    """Of one asset, and long: day and symbol as index."""
    known = PRICES[SYMBOLS].iloc[-50:]
    one = bdfm.read_prices(known["KO"])
    assert list(one.columns) == ["KO"]
    assert (one["KO"] == known["KO"]).all()
    long = known.rename_axis(index="date", columns="symbol").stack().rename("price")
    pd.testing.assert_frame_equal(
        bdfm.read_prices(long)[SYMBOLS], known, check_names=False, check_freq=False, check_index_type=False
    )


@pytest.mark.parametrize("form", [list, tuple, pd.Index, np.array, pd.Series])
def test_a_list_of_symbols_is_a_universe(form):
    given = form(SYMBOLS)
    assert panel(universe=given).asset_classes == ("asset",)
    table = bdfm.read_universe(given)
    assert list(table["symbol"]) == SYMBOLS
    assert set(table["asset_class"]) == {"asset"}
    assert tuple(MarketData.of(PRICES, given).universe["symbol"]) == tuple(SYMBOLS)


def test_classes_by_symbol_are_a_universe():
    classes = pd.Series(["tech", "bank", "food", "food", "tech"], index=SYMBOLS)
    assert panel(universe=classes, accept=["universe"]).class_of == ("tech", "bank", "food", "food", "tech")
    assert list(bdfm.read_universe(classes)["asset_class"]) == ["tech", "bank", "food", "food", "tech"]


@pytest.mark.parametrize("rows", [[0, 2, 4], [4, 0, 2], [3, 4]])
def test_symbols_filtered_from_a_table_are_a_list(rows):
    """The numbers of its rows became the symbols, and the symbols their classes."""
    taken = pd.DataFrame({"symbol": SYMBOLS, "asset_class": "s"})["symbol"].iloc[rows]
    for given in (
        taken,
        taken.set_axis(taken.index.astype("uint32")),
        taken.set_axis(taken.index.astype("O")),
    ):
        table = bdfm.read_universe(given)
        assert list(table["symbol"]) == [SYMBOLS[i] for i in rows]
        assert set(table["asset_class"]) == {"asset"}
        assert tuple(MarketData.of(PRICES, given).universe["symbol"]) == tuple(table["symbol"])


@pytest.mark.parametrize(
    "given",
    [
        [("AAPL", "stock"), ("KO", "stock")],
        [{"symbol": "AAPL", "asset_class": "stock"}],
        pd.MultiIndex.from_tuples([("AAPL", "stock"), ("KO", "stock")]),
        pd.Series(["s", "t"], pd.MultiIndex.from_tuples([("AAPL", "x"), ("KO", "x")])),
        ["AAPL", True],
        ["AAPL", b"KO"],
    ],
)
def test_what_is_no_symbol_in_a_list(given):
    """A pair became the symbol "('AAPL', 'stock')"."""
    for door in (bdfm.read_universe, lambda u: MarketData.of(PRICES, u)):
        with pytest.raises(DataError, match=r"universe: [12] of [12] in a list .* neither text nor number"):
            door(given)


def test_symbols_that_are_numbers_or_missing():
    assert list(bdfm.read_universe([10107, np.int64(14593)])["symbol"]) == ["10107", "14593"]
    for blank in (None, np.nan, pd.NA):
        with pytest.raises(DataError, match="no symbol in row 2"):
            bdfm.read_universe(["AAPL", blank])


class Place:
    """A path that is no ``pathlib.Path``, as of ``os.scandir`` or ``importlib.resources``."""

    def __init__(self, text):
        self.text = text

    def __fspath__(self):
        return self.text


def test_paths_of_any_kind(tmp_path):
    prices, universe, names = (tmp_path / f"{x}.csv" for x in ("KO", "universe", "aliases"))
    PRICES[["KO"]].iloc[-5:].rename(columns={"KO": "close"}).rename_axis("date").to_csv(prices)
    pd.DataFrame({"symbol": ["KO"], "asset_class": ["s"]}).to_csv(universe, index=False)
    names.write_text("old,new\nKO,COKE\n")
    for form in (PurePath, lambda p: Place(str(p)), lambda p: Place(os.fsencode(p))):
        assert list(bdfm.read_prices(form(prices)).columns) == ["KO"]
        assert list(bdfm.read_universe(form(universe), aliases=form(names))["symbol"]) == ["COKE"]


def test_classes_are_told_by_the_name_that_users_have():
    kinds = (MarketData, bdfm.Panel, bdfm.FactorModel, risk.StatisticalEstimator, exposures.ExposureData)
    for kind in kinds:
        with pytest.raises(DataError, match="x must be") as told:
            of_kind(None, kind, what="x", where="here", hint="")
        module, _, name = str(told.value).split("must be ")[1].split(",")[0].rpartition(".")
        assert getattr(importlib.import_module(module), name) is kind


def test_settings_of_a_panel():
    with pytest.raises(
        DataError, match=r"settings must be bdfm.PanelSettings, got FactorModel\. .*model.panel"
    ):
        panel(settings=HOUSE)


def test_a_fit_of_other_things():
    made = panel(universe=SYMBOLS, settings=HOUSE.panel)
    with pytest.raises(DataError, match=r"model must be bdfm.FactorModel, got str 'house'\. .*from_preset"):
        bdfm.fit("house", made, seed=1)
    with pytest.raises(DataError, match=r"model must be bdfm.FactorModel, got the class FactorModel itself"):
        bdfm.fit(bdfm.FactorModel, made, seed=1)
    with pytest.raises(DataError, match=r"panel must be bdfm.Panel, got DataFrame\. .*from_prices"):
        bdfm.fit(HOUSE, PRICES, seed=1)
    with pytest.raises(DataError, match=r"settings must be bdfm.SamplerSettings, got dict"):
        bdfm.fit(HOUSE, made, seed=1, settings={"draws": 100})
    with pytest.raises(DataError, match=r"warm_from must be bdfm.Posterior, got str 'out'"):
        bdfm.fit(HOUSE, made, seed=1, warm_from="out")


def test_a_part_in_the_slot_of_another():
    with pytest.raises(ModelError, match=r"\[noise\]: StaticLoadings is a part for the slot loadings, not"):
        HOUSE.model_copy(update={"noise": HOUSE.loadings})


class Flat:
    name = "flat"
    settings: dict[str, int] = {}

    def forecast(self, history, *, seed):
        n = len(history.assets)
        return QuantileForecast(history.assets, np.full((n, 5), 0.2))


def test_what_is_no_forecaster(tmp_path):
    data, origins = MarketData.of(PRICES[SYMBOLS], SYMBOLS), ["2021-11-26", "2021-12-31"]

    def doors(forecaster):
        yield lambda: walk_forward(forecaster, data, origins, tmp_path / "run")
        yield lambda: look_ahead(forecaster, data, origins[:1])

    nameless = type("Nameless", (), {"settings": {}, "forecast": Flat.forecast})()
    blank, array = Flat(), Flat()
    blank.name, array.settings = " ", {"window": np.array([5, 22])}
    for wrong, message in (
        (blank, r"the forecaster's name is blank\."),
        (array, r"settings of flat cannot be kept in a file: .*ndarray.*Give numbers, texts"),
        ("ewma-t-5d", r"'ewma-t-5d' is a name, not a forecaster\. .*baselines\(\)"),
        (Flat, r"Flat is a class\. Give an object of it"),
        (nameless, r"a Nameless is no forecaster, for want of name\."),
        (None, r"a NoneType is no forecaster, for want of name and settings and forecast\."),
    ):
        for door in doors(wrong):
            with pytest.raises(DataError, match=message):
                door()
    assert not (tmp_path / "run").exists()
    with pytest.raises(DataError, match=r"data must be bdfm\.backtest\.MarketData, got DataFrame"):
        walk_forward(Flat(), PRICES, origins, tmp_path / "run")
    assert look_ahead(Flat(), data, origins[:1]).to_numpy().all()


def test_a_forecaster_that_gives_no_forecast(tmp_path):
    data = MarketData.of(PRICES[SYMBOLS], SYMBOLS)

    class Draws(Flat):
        def forecast(self, history, *, seed):
            return np.zeros((10, 5))

    message = r"forecast\(\) gave ndarray; a bdfm.Forecast \(Forecast.from_draws\)"
    with pytest.raises(DataError, match=message):
        walk_forward(Draws(), data, ["2021-12-31"], tmp_path / "run")
    with pytest.raises(DataError, match=message):
        look_ahead(Draws(), data, ["2021-12-31"])


def test_choices_that_there_are_not():
    """Another pool than linear was the logarithmic one, whatever it was called."""
    draws = np.random.default_rng(1).normal(size=(4000, 5)) * 0.05
    made = bdfm.Forecast.from_draws(
        draws, assets=SYMBOLS, asset_class=["s"] * 5, origin="2022-01-07", end="2022-02-04"
    )
    view = bdfm.views.parse("KO = 1% +- 5%", semantics="evidence")
    with pytest.raises(UnknownLabelError, match=r"with_views: unknown pool geo\. Known: linear, log"):
        made.with_views(view, pool="geo")
    with pytest.raises(UnknownLabelError, match=r"with_views: unknown few ignore\. Known: warn, refuse"):
        made.with_views(view, few="ignore")
    for text in ("normal", ["a"], [None, "x"]):
        with pytest.raises(DataError, match=r"replace KO: draws must be numbers, one for each draw"):
            made.replace("KO", text)
    for numbers, shape in ((None, r"\(\)"), ([0.1, 0.2], r"\(2,\)")):
        with pytest.raises(DataError, match=rf"replace KO: draws have shape {shape}, expected \(4000,\)"):
            made.replace("KO", numbers)


def test_tables_of_risk_and_exposures():
    returns = risk.simple_returns(PRICES[SYMBOLS], period_days=7).iloc[-60:]
    estimator = risk.StatisticalEstimator(1)
    message = "the table of returns must be DataFrame, got ndarray"
    with pytest.raises(DataError, match=message):
        estimator.fit(returns.to_numpy())
    with pytest.raises(DataError, match=message):
        validation.validate(estimator.fit(returns), returns.to_numpy(), estimator=estimator)
    factors = PRICES[["MTUM"]].pct_change(fill_method=None).iloc[1:]
    with pytest.raises(DataError, match="factors has no rows"):
        exposures.ExposureData.from_prices(PRICES[SYMBOLS], factors.iloc[:0])
    data = exposures.ExposureData.from_prices(PRICES[SYMBOLS].iloc[:400], factors.iloc[:399])
    with pytest.raises(DataError, match=r"compare: results must be a table by name, got \[\]"):
        exposures.compare([], data)


ROOMS = ("bdfm", "bdfm.backtest", "bdfm.risk", "bdfm.exposures", "bdfm.validation")
PAGED = ("inference.sbc", "ledger.track", "posterior.leave_future_out", "posterior.leave_one_out")
PAGED += ("posterior.predictive_checks", "report.page")


def public_functions():
    modules = [importlib.import_module(room) for room in ROOMS]
    found = {getattr(m, name) for m in modules for name in m.__all__}
    for name in PAGED:
        module = importlib.import_module(f"bdfm.{name}")
        found |= {f for f in vars(module).values() if getattr(f, "__module__", "") == module.__name__}
    found = {f for f in found if inspect.isfunction(f) and not f.__name__.startswith("_")}
    return sorted(found, key=lambda f: (f.__module__, f.__name__))


def test_public_functions_look_at_what_they_are_given():
    """A path in the place of a forecast, a posterior, a run was an AttributeError deep inside."""
    own = {"fit", "pasts", "verdict", "walk_forward"}  # which say it themselves, or are handed what is theirs
    looked_at = 0
    for function in public_functions():
        if not taken(function) or function.__name__ in own:
            continue
        needed = [
            name
            for name, p in inspect.signature(function).parameters.items()
            if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        ]
        first = next(iter(taken(function)))
        with pytest.raises(DataError, match=rf"{function.__name__}: \w+ must be bdfm\.[\w.]+.*, got str"):
            function(**{name: "a/path" for name in {*needed, first}})
        looked_at += 1
    assert looked_at > 25


def test_objects_by_name():
    with pytest.raises(DataError, match=r"models must be bdfm.risk.RiskModel by name, got int 1\. .*mine"):
        risk.stress_test(1, {"KO": 1.0})
    with pytest.raises(DataError, match=r"models must be bdfm.risk.RiskModel, got int 1\."):
        risk.stress_test({"a": 1}, {"KO": 1.0})


@pytest.mark.parametrize("runs", ["runs", ["runs/a", "runs/b"]])
def test_folders_in_the_place_of_runs(runs):
    with pytest.raises(DataError, match=r"bdfm.backtest.Run, got str 'runs.*load_runs\(\[folder\]\)"):
        compare(runs)


def small_forecast():
    draws = np.random.default_rng(1).normal(0, 0.05, (200, 2))
    days = {"origin": "2022-02-04", "end": "2022-03-04"}
    return bdfm.Forecast.from_draws(draws, assets=["A", "B"], asset_class=["s", "s"], **days)


@pytest.mark.parametrize("settings", ["minimum_variance", {"max_weight": 0.3}])
def test_a_method_or_a_table_in_the_place_of_a_mandate(settings):
    with pytest.raises(DataError, match=r'bdfm.Mandate or DecisionSettings, got .*method="minimum_variance"'):
        bdfm.decide(small_forecast(), settings)


def test_what_is_no_weights(tmp_path):
    made = small_forecast()
    with pytest.raises(DataError, match=r"weights by symbol, got str 'equal'\. Such as decision.weights"):
        made.write_submission(tmp_path / "s.csv", "equal")
    with pytest.raises(DataError, match=r"got DataFrame\. A row of a table is table.iloc\[0\]"):
        bdfm.portfolio_risk(made, pd.DataFrame({"A": [0.5, 1], "B": [0.5, 0]}))
    with pytest.raises(DataError, match=r"got str 'book.csv'\. .*bdfm.risk.read_portfolios reads a file"):
        bdfm.portfolio_risk(made, "book.csv")


def test_paths_where_tables_are_taken():
    with pytest.raises(DataError, match=r"got str 'p.csv'\. Read a file with bdfm.read_prices\(path\)"):
        panel("p.csv")
    with pytest.raises(DataError, match=r"got str 'u.csv'\. Read a file with bdfm.read_universe\(path\)"):
        panel(universe="u.csv")
    for table in ("earnings", "volatility"):
        message = rf"{table}: it must be a DataFrame, got str 'e.csv'\. Read .* bdfm.read_{table}\(path\)"
        for door in (panel, lambda **given: MarketData.of(PRICES, UNIVERSE, **given)):
            with pytest.raises(DataError, match=message):
                door(**{table: "e.csv"})


@pytest.mark.parametrize(
    ("record", "values", "message"),
    [
        (bdfm.SamplerSettings, (100,), r"1 value without a name, first 100\. .*SamplerSettings\("),
        (bdfm.views.Absolute, ("XOM", 0.03), r"2 values .*first 'XOM'\. .*semantics=.*mean=.*asset="),
        (edits.Shift, ("XOM", 0.03), r"Say which it is: Shift\(asset=\.\.\., by=\.\.\.\)\."),
        (bdfm.Mandate, (0.3,), r"1 value without a name"),
    ],
)
def test_values_without_their_names(record, values, message):
    with pytest.raises(TypeError, match=message):
        record(*values)


def test_what_a_missing_key_may_be():
    with pytest.raises(DataError, match=r"semantics is missing\. Give .*evidence.* or .constraint."):
        bdfm.views.Absolute(asset="XOM", mean=0.03, sd=0.02)


def test_the_path_of_a_model_or_of_changes_may_be_a_text(tmp_path):
    """A path as a text was read as TOML; a file in the place of a preset was told to be given as it was."""
    file = tmp_path / "own.toml"
    file.write_text('name = "own"\nn_factors = 2\n')
    assert bdfm.FactorModel.from_toml(str(file)) == bdfm.FactorModel.from_toml(file)
    for read in (bdfm.FactorModel.from_toml, bdfm.Changes.from_toml):
        with pytest.raises(FileError, match=r"nothing\.toml does not exist"):
            read(str(tmp_path / "nothing.toml"))
    with pytest.raises(UnknownLabelError, match=r"unknown preset own.toml\..*FactorModel.from_toml\(path\)"):
        bdfm.FactorModel.from_preset("own.toml")


def test_one_name_where_several_may_stand():
    """The letters of "CF" were taken for the symbols C and F: two others were set to zero."""
    prices = PRICES[SYMBOLS].set_axis(["C", "F", "CF", "PG", "X"], axis=1)
    made = panel(prices, list(prices.columns), zero="CF")
    assert made.zero == ("CF",)
    assert made.select("CF").assets == ("CF",)
    model = risk.StatisticalEstimator(1).fit(risk.simple_returns(prices, period_days=7).iloc[-60:])
    assert model.select("CF").assets == ("CF",)
    assert list(risk.hedge(model, {"PG": 1.0}, "CF").ratios.index) == ["CF"]


def test_evidence_that_is_one_or_none():
    made = panel(universe=SYMBOLS, settings=HOUSE.panel)
    (one,) = check_evidence(bdfm.Evidence("XOM", 0.02, 0.1), made)
    assert one.asset == "XOM"
    with pytest.raises(DataError, match=r"each must be bdfm.Evidence, got str 'XOM = 2%'"):
        check_evidence(["XOM = 2%"], made)


class DataFrame:
    """A table of polars, as far as a message tells."""


DataFrame.__module__ = "polars.dataframe.frame"
TABLES = {
    "polars": (DataFrame(), r"DataFrame of polars \(\.to_pandas\(\) makes one of pandas\)"),
    "xarray": (xr.Dataset({"A": ("day", [1.0, 2.0])}), r"Dataset of xarray \(\.to_dataframe\(\) makes one"),
    "DataArray": (
        xr.DataArray(np.ones((3, 2)), dims=("day", "symbol")),
        r"DataArray of xarray \(\.to_pandas",
    ),
    "numpy": (np.ones((3, 2)), "got ndarray"),
}
FACTORS = PRICES[["KO"]].pct_change().iloc[1:]
TAKING = {
    "prices of a panel": panel,
    "universe": lambda t: panel(universe=t),
    "earnings": lambda t: panel(earnings=t),
    "volatility": lambda t: panel(volatility=t),
    "file of prices": bdfm.read_prices,
    "file of a universe": bdfm.read_universe,
    "market data": lambda t: MarketData.of(t, UNIVERSE),
    "prices of returns": risk.simple_returns,
    "returns": lambda t: risk.StatisticalEstimator(2).fit(t),
    "prices of exposures": lambda t: exposures.ExposureData.from_prices(t, FACTORS),
    "factors of exposures": lambda t: exposures.ExposureData.from_prices(PRICES, t),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("door", TAKING)
def test_tables_of_other_packages_are_told_what_makes_one_of_pandas(door, kind):
    table, told = TABLES[kind]
    with pytest.raises(DataError, match=told):
        TAKING[door](table)


def test_public_functions_tell_of_a_table_of_another_package():
    """By its annotations, whatever a function does with the table."""
    tried = 0
    for function in public_functions():
        for name in tables(function) if hasattr(function, "is_strict") else ():
            with pytest.raises(
                DataError, match=f"{name} must be a DataFrame of pandas, got DataFrame of pol"
            ):
                function(**{name: TABLES["polars"][0]})
            tried += 1
    assert tried > 8


def long_form():
    """Day, symbol and price of what a reader gave: attributes of that go along."""
    return (
        PRICES.loc["2017":]
        .rename_axis("date")
        .reset_index()
        .melt("date", var_name="symbol", value_name="price")
    )


FRAMES = {
    "as read": lambda: PRICES.loc["2017":],
    "long": long_form,
    "long of categories": lambda: long_form().astype({"symbol": "category"}),
    "two levels of rows": lambda: long_form().set_index(["date", "symbol"]),
    "two levels of rows, without names": lambda: (
        long_form().set_index(["symbol", "date"]).rename_axis([None, None])
    ),
    "two levels of columns": lambda: pd.concat({"Close": PRICES.loc["2017":]}, axis=1),
    "levels the other way": lambda: pd.concat({"Close": PRICES.loc["2017":]}, axis=1).swaplevel(axis=1),
    "categories": lambda: PRICES.loc["2017":].set_axis(pd.CategoricalIndex(PRICES.columns), axis=1),
    "periods": lambda: PRICES.loc["2017":].set_axis(PRICES.loc["2017":].index.to_period("D")),
    "of Arrow": lambda: PRICES.loc["2017":].astype("float64[pyarrow]"),
    "objects": lambda: PRICES.loc["2017":].astype(object),
}


@pytest.mark.parametrize("form", FRAMES)
def test_what_is_made_of_a_table_that_was_read(form):
    """Any shape of it gives the same panel: how it was read says nothing of what became of it."""
    assert "reading" in PRICES.attrs
    found, known = panel(FRAMES[form]()), panel(FRAMES["as read"]())
    np.testing.assert_array_equal(found.dataset["log_returns"], known.dataset["log_returns"])


@pytest.mark.parametrize("name", [None, np.nan, pd.NA, "", "  "])
def test_a_column_without_a_name(name):
    for given in (PRICES.rename(columns={"KO": name}), PRICES.copy().rename(columns={"KO": name})):
        given.attrs = {}
        for door in (panel, bdfm.read_prices):
            with pytest.raises(DataError, match=r"prices: no name for column 1[0-9]"):
                door(given)


def test_columns_that_come_twice_or_are_in_the_index():
    twice = pd.concat([UNIVERSE, UNIVERSE[["symbol"]]], axis=1)
    for door in (lambda u: panel(universe=u), bdfm.read_universe):
        with pytest.raises(DataError, match="universe: the column symbol comes twice"):
            door(twice)
    days = pd.DataFrame({"symbol": ["KO"], "date": ["2021-01-05"]}).set_index(["symbol", "date"])
    with pytest.raises(DataError, match=r"earnings: missing columns .*found none.* use \.reset_index\(\)"):
        panel(earnings=days)

"""Things of another kind at the doors of Python: each is read, or refused with what to give."""

from __future__ import annotations

import importlib
import os
from pathlib import PurePath

import numpy as np
import pandas as pd
import pytest

import bdfm
from bdfm import exposures, risk, validation
from bdfm._kinds import of_kind
from bdfm.backtest import MarketData, QuantileForecast, look_ahead, walk_forward
from bdfm.errors import DataError, ModelError, UnknownLabelError

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
    for wrong, message in (
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
    factors = PRICES[["MTUM"]].pct_change().iloc[1:]
    with pytest.raises(DataError, match="factors has no rows"):
        exposures.ExposureData.from_prices(PRICES[SYMBOLS], factors.iloc[:0])
    data = exposures.ExposureData.from_prices(PRICES[SYMBOLS].iloc[:400], factors.iloc[:399])
    with pytest.raises(DataError, match=r"results must be Mapping, got list\. Such as \{m.name"):
        exposures.compare([], data)

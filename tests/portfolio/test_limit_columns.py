"""Columns that a mandate limits are named as a reader of the universe's file sees them, at every door."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bdfm.data.sources import CLASS_NAMES, SECTOR_NAMES, read_universe
from bdfm.errors import DataError, UnknownLabelError
from bdfm.forecast.forecast import Forecast
from bdfm.portfolio.decisions import check_mandate, decide
from bdfm.portfolio.mandate import Mandate

pytest.importorskip("cvxpy")

ASSETS = ("A", "B", "C", "D")
FILE = "Kürzel;Anlageklasse;Gross Land\nA;Aktien;DE\nB;Aktien;US\nC;Anleihen;DE\nD;Anleihen;US\n"
AT_LEAST = {"Aktien": (0.5, 1.0)}


@pytest.fixture(scope="module")
def forecast():
    draws = np.random.default_rng(1).normal(0.01, 0.03, (300, 4)) * [1.2, 1.0, 0.4, 0.5]
    classes = ["Aktien", "Aktien", "Anleihen", "Anleihen"]
    span = {"origin": "2022-02-04", "end": "2022-03-04"}
    return Forecast.from_draws(draws, assets=ASSETS, asset_class=classes, **span)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("universe") / "Anlagen.csv"
    path.write_text(FILE, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["Anlageklasse", "anlageklasse", "Asset Class", "Sector", "class"])
@pytest.mark.parametrize("with_file", [True, False])
def test_a_heading_that_is_read_as_the_class_limits_the_class(name, with_file, forecast, file):
    universe = read_universe(file) if with_file else None
    plain = decide(
        forecast, Mandate(objective="minimum_variance", limits={"asset_class": AT_LEAST}), universe=universe
    )
    named = decide(
        forecast, Mandate(objective="minimum_variance", limits={name: AT_LEAST}), universe=universe
    )
    pd.testing.assert_series_equal(named.weights, plain.weights)
    pd.testing.assert_frame_equal(named.binding, plain.binding)
    pd.testing.assert_frame_equal(named.trades, plain.trades)
    assert named.weights[["A", "B"]].sum() == pytest.approx(0.5, abs=1e-6)  # it binds


def test_other_columns_have_the_name_of_their_heading(forecast, file):
    universe = read_universe(file)
    for name in ("Gross Land", "gross land", "gross_land"):
        made = decide(
            forecast,
            Mandate(objective="minimum_variance", limits={name: {"US": (0.0, 0.2)}}),
            universe=universe,
        )
        assert made.weights[["B", "D"]].sum() <= 0.2 + 1e-6
        assert "gross_land" in made.trades


def test_a_column_of_that_name_goes_before_the_class(forecast):
    table = pd.DataFrame({"symbol": ASSETS, "asset_class": "fund", "Sector": ["oil", "tech", "oil", "tech"]})
    for universe in (table, read_universe(table)):
        made = decide(
            forecast,
            Mandate(objective="minimum_variance", limits={"sector": {"oil": (0.0, 0.1)}}),
            universe=universe,
        )
        assert made.weights[["A", "C"]].sum() <= 0.1 + 1e-6


def test_two_names_of_one_column_are_refused(forecast):
    mandate = Mandate(limits={"Anlageklasse": AT_LEAST, "asset_class": {"Anleihen": (0.0, 0.9)}})
    told = r"limits\.Anlageklasse and limits\.asset_class are one column, asset_class"
    with pytest.raises(DataError, match=told):
        decide(forecast, mandate)
    with pytest.raises(DataError, match=told):  # before a fit
        check_mandate(mandate, ASSETS, forecast.asset_class)


def test_what_is_not_there_is_told_as_it_was_written(forecast, file):
    universe = read_universe(file)
    with pytest.raises(UnknownLabelError, match=r"\[limits\.Anlageklasse\]: unknown value Aktie\."):
        decide(
            forecast,
            Mandate(objective="minimum_variance", limits={"Anlageklasse": {"Aktie": (0.0, 0.3)}}),
            universe=universe,
        )
    with pytest.raises(UnknownLabelError, match="unknown column Rating"):
        decide(
            forecast,
            Mandate(objective="minimum_variance", limits={"Rating": {"AA": (0.0, 0.3)}}),
            universe=universe,
        )


def test_a_table_without_symbols_says_how_a_universe_is_read(forecast, file):
    with pytest.raises(UnknownLabelError, match=r"bdfm\.read_universe\(path\)"):
        decide(forecast, Mandate(), universe=pd.read_csv(file, sep=";"))


def test_a_mandate_in_a_file_beside_a_file_with_foreign_headings(forecast, file, tmp_path, bdfm_command):
    saved, mandate = forecast.save(tmp_path / "forecast.nc"), tmp_path / "mandate.toml"
    mandate.write_text(
        '[mandate]\nobjective = "minimum_variance"\nlimits.Anlageklasse.Aktien = [0.5, 1.0]\n',
        encoding="utf-8",
    )
    given = ("decide", saved, "--mandate", mandate, "--universe", file, "--out", tmp_path / "decided.nc")
    code, out, err = bdfm_command(*map(str, given))
    assert code == 0, out + err
    assert "asset_class Aktien at least 50 %" in " ".join(out.split())


ENERGY = Mandate(objective="minimum_variance", limits={"Sector": {"Energy": (0.0, 0.1)}})


def test_a_sector_that_is_no_class_is_told_of_the_universe(forecast, file):
    for universe in (None, read_universe(file)):
        with pytest.raises(UnknownLabelError) as told:
            decide(forecast, ENERGY, universe=universe)
        assert "[limits.Sector]: unknown value Energy. Known: Aktien, Anleihen." in str(told.value)
        assert "Without a column Sector, asset_class is meant." in str(told.value)
        assert "a universe that you give, such as bdfm decide --universe." in str(told.value)


@pytest.mark.parametrize("name", ["Sector", "industry", "Branche", "category"])
def test_beside_a_column_of_sectors_no_sector_is_the_class(name, forecast):
    """A limit on a value that both have would bound the class without a word."""
    sectors = ["Aktien", "tech", "Aktien", "tech"]
    universe = pd.DataFrame({"symbol": ASSETS, "asset_class": forecast.asset_class, "Sector": sectors})
    mandate = Mandate(objective="minimum_variance", limits={name: {"Aktien": (0.0, 0.1)}})
    if name == "Sector":
        made = decide(forecast, mandate, universe=universe)
        assert made.weights[["A", "C"]].sum() <= 0.1 + 1e-6
        return
    with pytest.raises(UnknownLabelError, match=f"unknown column {name}. Known: asset_class, Sector"):
        decide(forecast, mandate, universe=universe)
    plain = Mandate(objective="minimum_variance", limits={"Anlageklasse": AT_LEAST})  # which is nothing else
    assert decide(forecast, plain, universe=universe).weights[["A", "B"]].sum() >= 0.5 - 1e-6


def test_headings_that_may_be_of_another_column_are_headings_of_the_class():
    assert set(CLASS_NAMES) > SECTOR_NAMES

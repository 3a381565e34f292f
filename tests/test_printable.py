"""Characters that no page or file shows as they are: one rule for labels, whatever door they come through."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bdfm import FactorModel, Forecast, Panel
from bdfm._checks import universe_table
from bdfm.errors import DataError
from bdfm.exposures.data import ExposureData
from bdfm.risk.base import RiskModel
from bdfm.risk.statistical import StatisticalEstimator

A = list("ABCDEF")
X = 0.05 * np.random.default_rng(3).standard_normal((900, 6))
DAYS = pd.bdate_range("2020-01-01", periods=900)
PRICES = pd.DataFrame(100 * np.exp(X.cumsum(axis=0)), DAYS, A)
CLASSES = ["s"] * 6

ODD = {
    "right to left": "A\u202eB",
    "left to right": "A\u200e",
    "isolated": "\u2067A\u2069",
    "no width": "A\u200bB",
    "joined": "A\u200dB",
    "soft hyphen": "A\u00adB",
    "mark of bytes": "\ufeffA",
    "NUL": "A\x00B",
    "half a pair": "A\ud800",
    "tab": "A\tB",
    "hard space": "A\u00a0B",
    "mathematics": "$A$",
}


def draws(assets=A, asset_class=CLASSES, **more):
    return Forecast.from_draws(
        X, assets=assets, asset_class=asset_class, origin="2022-01-07", end="2022-02-04", **more
    )


def prices(universe):
    return Panel.from_prices(PRICES.set_axis(list(universe["symbol"]), axis=1), universe, origin="2023-05-26")


def table(**columns):
    return pd.DataFrame({"symbol": A, "asset_class": CLASSES} | columns, dtype=object)


DOORS = {
    "draws, assets": lambda x: draws(assets=[x, *A[1:]]),
    "draws, classes": lambda x: draws(asset_class=[x, *CLASSES[1:]]),
    "panel, assets": lambda x: Panel.from_arrays(X, assets=[x, *A[1:]], asset_class=CLASSES),
    "panel, classes": lambda x: Panel.from_arrays(X, assets=A, asset_class=[x, *CLASSES[1:]]),
    "prices, symbols": lambda x: prices(table(symbol=[x, *A[1:]])),
    "prices, classes": lambda x: prices(table(asset_class=[x, *CLASSES[1:]])),
    "risk, assets": lambda x: RiskModel.from_arrays(
        X[:6, :2], np.eye(2), np.ones(6), assets=[x, *A[1:]], factors=["F", "G"]
    ),
    "risk, factors": lambda x: RiskModel.from_arrays(
        X[:6, :2], np.eye(2), np.ones(6), assets=A, factors=[x, "G"]
    ),
    "estimator": lambda x: StatisticalEstimator(n_factors=2).fit(pd.DataFrame(X, DAYS, [x, *A[1:]])),
    "exposures, assets": lambda x: ExposureData.from_arrays(X, X[:, :2], assets=[x, *A[1:]]),
    "exposures, factors": lambda x: ExposureData.from_arrays(X, X[:, :2], factor_names=[x, "G"]),
    "exposures, sectors": lambda x: ExposureData.from_arrays(X, X[:, :2], sectors=[x, *A[1:]]),
    "model": lambda x: FactorModel(name=x),
}


IN_FRAMES = ("prices, symbols", "prices, classes", "estimator")  # pandas' texts hold no half of a pair
CASES = [(door, odd) for door in DOORS for odd in ODD if door not in IN_FRAMES or odd != "half a pair"]


@pytest.mark.parametrize(("door", "odd"), CASES)
def test_a_label_that_cannot_be_shown_is_refused(door, odd):
    """Some doors took it: a table read backwards, and a file could not be written after the fit."""
    with pytest.raises(DataError, match=r"cannot be shown|broken characters") as told:
        DOORS[door](ODD[odd])
    assert str(told.value).isprintable()


def test_names_of_assets_are_mended(tmp_path):
    """Nothing meets by them, and they are often copied from pages: what is invisible is left out."""
    names = [
        "Soci\u00e9t\u00e9\u00a0G\u00e9n\u00e9rale",
        "\u202eA\x00 \tplc",
        "B\ud800",
        "",
        "\ufeff",
        "F & Sons",
    ]
    made = draws(names=names)
    made.save(tmp_path / "f.nc")
    assert made.names == ("Soci\u00e9t\u00e9 G\u00e9n\u00e9rale", "A plc", "B", "", "", "F & Sons")
    assert Forecast.load(tmp_path / "f.nc").names == made.names
    of_a_table = universe_table(table(name=names))["name"]
    assert tuple(of_a_table) == (*made.names[:3], "D", "E", "F & Sons")


def test_a_model_of_a_file_has_a_name_that_can_be_shown():
    with pytest.raises(DataError, match="cannot be shown"):
        FactorModel.from_toml('name = "a\\u202Eb"\n')

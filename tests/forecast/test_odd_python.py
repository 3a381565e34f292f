"""What Python programs hand over for tables, lists and numbers: right, or one error of the package."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from bdfm import Forecast, Panel, demo
from bdfm._checks import at_least
from bdfm.data.doubts.door import check_accept
from bdfm.errors import DataError
from bdfm.forecast import edits

ASSETS = list("ABCDEF")
DRAWS = 0.05 * np.random.default_rng(0).standard_normal((500, 6))


def made(draws=DRAWS, **given):
    usual = {"assets": ASSETS, "asset_class": ["s"] * 6, "origin": "2022-01-07", "end": "2022-02-04"}
    return Forecast.from_draws(draws, **usual | given)


@pytest.mark.parametrize(
    "change",
    [np.ma.array, lambda d: d.astype(object), lambda d: d.tolist(), pd.DataFrame,
     np.asfortranarray, lambda d: pd.DataFrame(d).astype("Float64")],
)  # fmt: skip
def test_draws_that_are_right(change):
    found = made(change(DRAWS)).quantile_probabilities(5)
    assert np.array_equal(found, made().quantile_probabilities(5))


@pytest.mark.parametrize(
    ("draws", "message"),
    [
        (np.ma.array(DRAWS, mask=DRAWS > 0.1), "finite"),
        (DRAWS + 0j, "of type complex128"),
        (DRAWS > 0, "of type bool"),
        (DRAWS.astype(str), "of type <U"),
        ([[1, 2], [1]], "no table of numbers"),
        ([["x"] * 6], "of type <U1"),
        ([[None, object(), 1, 2, 3, 4]], "no table of numbers"),
    ],
)
def test_draws_that_are_none(draws, message):
    with pytest.raises(DataError, match=message):
        made(draws)


@pytest.mark.parametrize("what", ["assets", "asset_class"])
def test_labels_that_are_no_list(what):
    with pytest.raises(DataError, match=f"{what} must be a list of names, got None"):
        made(**{what: None})


@pytest.mark.parametrize("statement", ["zero A", None, 5, (x for x in "ab"), [edits.Zero(assets=("A",))]])
def test_what_is_no_statement(statement):
    with pytest.raises(DataError, match="not an edit"):
        made().edit(statement)
    with pytest.raises(DataError, match="not a view"):
        made().with_views(statement)


@pytest.mark.parametrize("universe", [{"symbol": ["A"]}, "A", 5, None])
def test_a_universe_that_is_no_table(universe):
    with pytest.raises(DataError, match="a table with the columns symbol, asset_class was expected"):
        Panel.from_prices(demo()[0], universe, origin="2021-12-31")


def test_prices_of_several_levels_or_complex():
    prices, universe = demo()
    several = prices.set_axis(pd.MultiIndex.from_product([["x"], prices.columns]), axis=1)
    for table, message in ((several, "two levels of column names"), (prices + 0j, "are complex")):
        with pytest.raises(DataError, match=message):
            Panel.from_prices(table, universe, origin="2021-12-31")


@pytest.mark.parametrize("value", [True, np.True_, "2", None, 2.5, 1, -1, float("nan"), Decimal("2.5")])
def test_what_is_no_whole_number(value):
    with pytest.raises(DataError, match="n_draws must be a"):
        at_least(value, 2, what="n_draws", where="forecast")


@pytest.mark.parametrize("value", [2, 2.0, np.int8(2), Decimal(2), np.array(2)])
def test_what_is_a_whole_number(value):
    assert at_least(value, 2, what="n_draws", where="forecast") == 2


@pytest.mark.parametrize("value", [5, None, 0.5])
def test_what_accepts_nothing(value):
    with pytest.raises(DataError, match="a list of RULE or RULE:SYMBOL was expected"):
        check_accept(value)


@pytest.mark.parametrize("made", [lambda r: 1 + r, lambda r: 100 * (1 + r)], ids=["gross returns", "prices"])
def test_draws_that_are_gross_returns_or_prices(made):
    rng = np.random.default_rng(1)
    returns = np.clip(0.05 * rng.standard_normal((400, 5)), -0.5, None)
    given = {"assets": list("ABCDE"), "asset_class": ["x"] * 5, "origin": "2022-02-04", "end": "2022-03-04"}
    with pytest.raises(DataError, match=r"none of 2,000 simple returns is a loss.*1 \+ r, or prices\. Give"):
        Forecast.from_draws(made(returns), **given)
    for right in (returns, np.abs(returns), 0.4 + returns, (1 + returns)[:10]):
        Forecast.from_draws(right, **given)


def test_one_of_anything_is_told_as_one():
    given = {"assets": list("AB"), "asset_class": ["x"] * 2, "origin": "2022-02-04", "end": "2022-03-04"}
    assert "2 assets, 1 draw>" in repr(Forecast.from_draws(np.array([[0.01, 0.02]]), **given))

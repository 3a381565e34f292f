"""Mandates, shares and labels that cannot be: refused before the choice, with what would be right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from mandate_case import ASSETS, UNIVERSE, make

from bdfm.errors import DataError, UnknownLabelError
from bdfm.forecast.forecast import Forecast
from bdfm.portfolio.decisions import decide
from bdfm.portfolio.mandate import Mandate

pytest.importorskip("cvxpy")


@pytest.fixture(scope="module")
def forecast():
    return make()


@pytest.mark.parametrize(
    ("mandate", "kind", "words"),
    [
        ({"objective": "risk_parity", "long_only": False}, DataError, "holds no short positions"),
        ({"gross": (0.25, 1.0), "long_only": False}, DataError, "lowest gross exposure, 0.25"),
        ({"objective": "minimum_regret"}, DataError, "minimum_regret needs a benchmark"),
        ({"objective": "risk_parity", "risk_aversion": 2.0}, DataError, "no effect on risk_parity, only on"),
        (
            {"objective": "minimum_variance", "n_scenarios": 300},
            DataError,
            "n_scenarios = 300 has no effect on minimum_variance, only on mean_cvar, expected_utility",
        ),
        ({"objective": "risk_parity", "seed": 5}, DataError, "seed = 5 has no effect on risk_parity"),
        ({"daily_volume": 1e6, "nav": 1e6}, DataError, "daily_volume has no effect without impact"),
        ({"tracking_error_annual": 0.1}, DataError, "tracking_error_annual needs a benchmark"),
        ({"lot": 5}, DataError, "lot needs nav"),
        ({"net": (0.5, 0.1)}, DataError, r"net should be \[lowest, highest\]"),
        ({"limits": {"asset_class": {"stock": (2.0, 1.0)}}}, DataError, r"should be \[lowest, highest\]"),
        ({"max_weight": float("nan")}, DataError, "max_weight"),
        ({"max_wait": 0.1}, UnknownLabelError, "max_wait"),
        ({"objective": "minimum_variance", "risk_aversion": 0.0}, DataError, "looks at costs alone"),
    ],
)
def test_mandates_that_cannot_be(mandate, kind, words):
    with pytest.raises(kind, match=words):
        Mandate(**mandate)


@pytest.mark.parametrize(
    ("mandate", "kind", "words"),
    [
        ({"weights": {"Q": (0.0, 1.0)}}, UnknownLabelError, "unknown asset Q"),
        ({"limits": {"country": {"US": (0.0, 1.0)}}}, UnknownLabelError, "unknown column country"),
        ({"limits": {"sector": {"teck": (0.0, 1.0)}}}, UnknownLabelError, "unknown value teck"),
        ({"benchmark": {"Q": 1.0}}, UnknownLabelError, "benchmark.*unknown asset Q"),
        ({"lot": 5, "nav": 100.0}, DataError, "lots need the price of A, B"),
        ({"impact": 1.0, "nav": 100.0}, DataError, "impact needs the daily volume of A, B"),
    ],
)
def test_mandates_that_do_not_fit_the_assets(mandate, kind, words, forecast):
    with pytest.raises(kind, match=words):
        decide(forecast, Mandate(**mandate), universe=UNIVERSE)


def test_holdings_that_are_not_there(forecast):
    with pytest.raises(UnknownLabelError, match="holdings: unknown asset Q"):
        decide(forecast, Mandate(), holdings={"Q": 1.0})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"tracking_error_annual": 4, "benchmark": "equal"}, r"tracking_error_annual = 4 is more than 100 %"),
        ({"max_weight": 10}, r"max_weight is 10, 1000 % .* was 0\.1 meant\?"),
        ({"turnover": 20}, r"turnover is 20, 2000 %"),
        ({"weights": {"A": (0, 5)}}, r"weights\.A is 5, 500 %"),
        ({"limits": {"asset_class": {"stock": (20, 60)}}}, r"limits\.asset_class\.stock is 60"),
        ({"weights": {"A": (-20, 0)}, "long_only": False, "gross": (0, 2)}, r"weights\.A is -20"),
        ({"gross": (25, 100)}, r"gross is 100"),
        ({"gross": (0, 100), "max_weight": 10}, r"gross is 100"),
        ({"net": (90, 100)}, r"net is 100, 10000 %"),
        ({"cash": (0, 50)}, r"cash is 50"),
    ],
)
def test_shares_in_percent_limit_nothing_and_are_refused(given, told):
    with pytest.raises(DataError, match=told):
        Mandate(**given)


def test_shares_that_a_book_can_reach_are_taken():
    Mandate(max_weight=1.0, turnover=1.0, weights={"A": (0, 1)}, tracking_error_annual=1.0, benchmark="equal")
    Mandate(max_weight=2.0, net=(1.0, 3.0))  # levered
    Mandate(max_weight=10, long_only=False, net=(-1, 1))
    Mandate(max_weight=1.5, gross=(0, 2), net=(0, 2), turnover=3.0)
    Mandate(max_weight=2.0, long_only=False, net=(1, 1), gross=(0, 3), turnover=7.0)
    Mandate(
        max_weight=1.5, limits={"sector": {"Tech": (0, 1.5)}}, turnover=5.0
    )  # limit nothing, and are none in percent


def test_a_book_that_is_levered_may_be_held(forecast):
    mandate = Mandate(objective="minimum_variance", long_only=False, gross=(0, 30), net=(1, 1))
    for held in ({"A": 3.0, "B": -2.5}, {"A": 12.0, "B": -11.0}):
        assert np.isfinite(decide(forecast, mandate, holdings=held).weights).all()


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"A": 0.3, "B": 0.2, "H": 30}, "weights sum to 30.5"),
        ({"A": 4, "B": 4, "C": 8, "D": 8, "E": 8, "F": 8, "CASH": 60}, "weights sum to 100"),
        ({"A": -60}, "weights sum to -60"),
        (dict.fromkeys(ASSETS[:6], 9.0) | {"G": 6.0}, "weights sum to 60"),
        (dict.fromkeys(ASSETS, 12.5), "weights sum to 100"),
    ],
)
def test_holdings_and_a_benchmark_in_percent_are_refused(forecast, weights, told):
    with pytest.raises(DataError, match=rf"\[benchmark\]: {told}.*Divide them by 100"):
        decide(forecast, Mandate(benchmark=weights, tracking_error_annual=0.1))
    with pytest.raises(DataError, match=f"holdings: {told}"):
        decide(forecast, Mandate(objective="minimum_variance"), holdings=weights)


def test_what_a_benchmark_may_be_is_told_in_the_words_of_a_file(tmp_path):
    path = tmp_path / "mandate.toml"
    path.write_text('[mandate]\nbenchmark = "index.csv"\ntracking_error_annual = 0.04\n')
    with pytest.raises(DataError) as caught:
        Mandate.from_toml(path)
    assert "[mandate]: benchmark should be a table, or 'equal', got 'index.csv'" in str(caught.value)


def test_a_file_of_holdings_in_percent_is_refused_as_in_python(forecast, bdfm_command, tmp_path):
    forecast.save(tmp_path / "forecast.nc")
    (tmp_path / "held.csv").write_text("symbol,weight\nA,60\nB,40\n")
    (tmp_path / "m.toml").write_text('[mandate]\nobjective = "minimum_variance"\n')
    words = ("decide", tmp_path, "--mandate", tmp_path / "m.toml", "--holdings", tmp_path / "held.csv")
    code, _, err = bdfm_command(*words)
    assert code == 2
    assert "holdings: weights sum to 100." in " ".join(err.split())
    assert "--accept" not in err  # which decide does not have
    (tmp_path / "held.csv").write_text("symbol,weight\nA,0.6\nB,0.4\n")
    assert bdfm_command(*words)[0] == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("limits.x = 0.2", r"x should be a table, got 0.2. Such as limits.asset_class.stock = \[0.0, 0.4\]"),
        ("limits = 0.2", r"limits should be a table, got 0.2. Such as limits.asset_class.stock = "),
        ("limits.sector.tech = 0.2", r"tech should be a list, got 0.2. Such as limits.asset_class.stock = "),
        ("weights.A = 0.2", r"A should be a list, got 0.2. Such as weights.SYMBOL = \[0.0, 0.05\]"),
        ("weights.A = [0.4, 0.3]", r"weights should be .*, got {'A': \[0.4, 0.3\]}. Such as weights.SYMBOL"),
        ("cash = 0.2", r"cash should be a list, got 0.2. Such as cash = \[0.0, 0.1\]"),
        ("benchmark = 3", r"benchmark should be a table, or 'equal', got 3. Such as benchmark.SYMBOL = 0.6"),
    ],
)
def test_a_limit_of_another_form_is_told_with_one_that_is_right(tmp_path, line, told):
    path = tmp_path / "mandate.toml"
    path.write_text(f"[mandate]\n{line}\n")
    with pytest.raises(DataError, match=told):
        Mandate.from_toml(path)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"limits": {"A": {"x": (0, 1)}}}, r"A is an asset: give weights.A = \[lowest, highest\]"),
        ({"limits": {"tech": {"x": (0, 1)}}}, r"tech is a value of sector: give limits.sector.tech = "),
        ({"limits": {"sector": {"A": (0, 1)}}}, r"A is an asset: give weights.A = "),
        ({"limits": {"country": {"US": (0, 1)}}}, "Other columns are those of a universe that you give"),
        ({"weights": {"tech": (0, 1)}}, r"tech is a value of sector: give limits.sector.tech = "),
        ({"weights": {"sector": (0, 1)}}, r"sector is a column: give limits.sector.VALUE = "),
    ],
)
def test_a_label_in_another_place_is_told_where_it_belongs(forecast, limits, told):
    sectors = pd.DataFrame({"symbol": ASSETS, "asset_class": "stock", "sector": ["tech", "energy"] * 4})
    with pytest.raises(UnknownLabelError, match=told):
        decide(forecast, Mandate(**limits), universe=sectors)


def test_a_limit_of_a_symbol_with_a_point_is_told_its_quotes(forecast):
    """TOML makes tables of it: limits.BRK.B is a value B of a column BRK."""
    labels = ["BRK.B", *forecast.assets[1:]]
    made = Forecast.from_draws(
        forecast.draws.to_numpy(), assets=labels, asset_class=list(forecast.asset_class),
        origin=forecast.origin, end=forecast.end,
    )  # fmt: skip
    mandate = Mandate(limits={"BRK": {"B": (0.0, 0.2)}})
    with pytest.raises(UnknownLabelError, match=r'BRK\.B is an asset: give weights\."BRK\.B" = '):
        decide(made, mandate)

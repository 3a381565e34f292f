"""What came is in the unit of the forecast, by all doors that take both."""

import numpy as np
import pandas as pd
import pytest

from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast
from bdfm.scoring.alarm import month_pits
from bdfm.scoring.calibration import Calibration
from bdfm.scoring.outcomes import returns_that_came
from bdfm.validation import backtest_tail, tail_of_forecasts

N = 12
RNG = np.random.default_rng(1)
SYMBOLS = [f"A{i}" for i in range(N)]
DRAWS = 0.05 * RNG.standard_normal((400, N))
CAME = pd.Series(0.05 * RNG.standard_normal(N), SYMBOLS)
ENDS = pd.date_range("2021-01-29", periods=24, freq="28D")
MONTHS = pd.Series(0.05 * RNG.standard_normal(24), ENDS)


def forecast(end=ENDS[0], weights=None):
    return Forecast.from_draws(
        DRAWS,
        assets=SYMBOLS,
        asset_class=["x"] * N,
        origin=end - pd.Timedelta("28D"),
        end=end,
        weights=weights,
    )


DOORS = {
    "calibration": lambda f: Calibration.from_forecasts([(forecast(), f(CAME))], seed=1, n_simulations=20),
    "alarm": lambda f: month_pits(forecast(), f(CAME), seed=1),
    "tail of forecasts": lambda f: tail_of_forecasts([forecast(e) for e in ENDS], f(MONTHS), {"A0": 1.0}),
    "backtest of tails": lambda f: backtest_tail(f(MONTHS), 0 * MONTHS + 0.08, n_simulations=20),
    "backtest of tails, shortfall": lambda f: backtest_tail(
        f(MONTHS), 0 * MONTHS + 0.01, 0 * MONTHS + 0.1, n_simulations=20
    ),
}
LIKE = {"percent": "percent or prices", "gross": "gross returns", "prices": "percent or prices"}
WRONG = {"percent": lambda x: 100 * x, "gross": lambda x: 1 + x, "prices": lambda x: 80 * (1 + x)}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("wrong", WRONG)
def test_another_unit_is_refused(door, wrong):
    """All were taken for returns: every one beyond the forecast, or in its last draw."""
    DOORS[door](lambda x: x)
    with pytest.raises(DataError, match=rf"{door.split(',')[0]}.*{LIKE[wrong]}"):
        DOORS[door](WRONG[wrong])


@pytest.mark.parametrize("door", DOORS)
def test_a_crash_and_a_bad_forecast_are_none(door):
    DOORS[door](lambda x: x - 0.4)  # eight sds
    DOORS[door](lambda x: 4 * x)


@pytest.mark.parametrize("door", ["calibration", "alarm"])
def test_a_symbol_twice_and_a_loss_of_more_than_all_are_refused(door):
    with pytest.raises(DataError, match="A0"):
        DOORS[door](lambda x: pd.concat([x, x.iloc[:1]]))
    with pytest.raises(DataError, match=r"returns below -1 \(A3 -1.2\)"):
        DOORS[door](lambda x: x.where(x.index != "A3", -1.2))


@pytest.mark.parametrize("sd", [0.03, 0.05, 0.08, 0.10])
@pytest.mark.parametrize("n", [2, 3, 4, 6, 100])
def test_units_are_told_of_few_assets_and_wide_forecasts(n, sd):
    """Gross returns at an sd of 8 % had passed, as had everything of four assets."""
    rng = np.random.default_rng(n)
    names = [f"A{i}" for i in range(n)]
    made = Forecast.from_draws(
        sd * rng.standard_normal((2000, n)), assets=names, asset_class=["x"] * n, origin="2021-01-01",
        end="2021-01-29",
    )  # fmt: skip
    came = pd.Series(0.01 + sd * rng.choice([-1.2, -0.6, 0.6, 1.2], n), names)
    month_pits(made, came, seed=1)
    for wrong, make in WRONG.items():
        with pytest.raises(DataError, match=f"look like {LIKE[wrong]}"):
            month_pits(made, make(came), seed=1)
    # months of coins, and forecasts that were wrong: right all the same
    for gain in (0.45, 0.6, -0.6, 3 * sd, -5 * sd):
        month_pits(made, gain + sd * pd.Series(rng.standard_normal(n), names), seed=1)
    month_pits(made, pd.Series(0.6, names), seed=1)
    if n > 2 and sd == 0.10:  # no price falls by more than all: 1 + r is never negative
        month_pits(made, pd.Series([-0.1] + [1.02] * (n - 1), names), seed=1)


def test_a_year_that_doubled_is_none():
    """Of coins whose forecasts are as wide as that."""
    wide = Forecast.from_draws(
        np.expm1(0.8 * RNG.standard_normal((400, N))), assets=SYMBOLS, asset_class=["x"] * N,
        origin="2021-01-01", end="2021-12-31",
    )  # fmt: skip
    month_pits(wide, 1.0 + CAME, seed=1)


def test_a_loss_of_all_is_no_more_than_all_by_rounding():
    found = returns_that_came(forecast(), CAME.where(CAME.index != "A3", -1 - 1e-9), where="score")
    assert found.min() == -1
    with pytest.raises(DataError, match="below -1"):
        returns_that_came(forecast(), CAME.where(CAME.index != "A3", -1.001), where="score")


def test_the_sd_counts_weights():
    """Draws that a view made likely are as wide as what came."""
    wide = np.vstack([DRAWS, 20 * np.abs(DRAWS)])
    made = Forecast.from_draws(
        wide, assets=SYMBOLS, asset_class=["x"] * N, origin="2021-01-01", end="2021-01-29",
        weights=np.repeat([1e-6, 1.0], 400),
    )  # fmt: skip
    month_pits(made, 1.0 + CAME, seed=1)
    with pytest.raises(DataError, match="gross returns"):
        month_pits(
            made.with_weights(np.repeat([1.0, 1e-6], 400), record=made.zero("A0").records[0]),
            1.0 + CAME,
            seed=1,
        )

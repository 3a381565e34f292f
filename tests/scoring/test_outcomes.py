"""What came is in the unit of the forecast, by all doors that take both."""

import numpy as np
import pandas as pd
import pytest

from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast
from bdfm.scoring.alarm import month_pits
from bdfm.scoring.calibration import Calibration
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
WRONG = {"percent": lambda x: 100 * x, "gross": lambda x: 1 + x, "prices": lambda x: 80 * (1 + x)}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("wrong", WRONG)
def test_another_unit_is_refused(door, wrong):
    """All were taken for returns: every one beyond the forecast, or in its last draw."""
    DOORS[door](lambda x: x)
    with pytest.raises(DataError, match=rf"{door.split(',')[0]}.*percent, gross returns or prices"):
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

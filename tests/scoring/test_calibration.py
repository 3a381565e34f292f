"""Calibration of forecasts: PIT, coverage, reliability, what chance allows when assets move together."""

import re

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import xarray as xr
from matplotlib import pyplot as plt
from scipy import stats

from bdfm._statistics import with_error
from bdfm.errors import DataError, DataWarning
from bdfm.forecast.forecast import Forecast
from bdfm.scoring.calibration import Calibration, _extremeness, pit, reliability_slopes, simulated_outcomes


def test_extremeness_by_hand():
    curves = np.array([[0, 0, 9], [1, 1, 1], [2, 2, 2], [3, 3, 3], [4, 4, 4]])
    # Depths: 1 1 1, 2 2 1, 3 3 2, 2 2 3, 1 1 2: the first is most extreme, the middle one least.
    assert _extremeness(curves).tolist() == [1, 3, 5, 4, 2]
    assert _extremeness(np.array([[0, 1], [1, 0], [0, 1]])).tolist() == [3, 1, 3]


def test_pit_by_hand():
    draws = np.array([[0.0, 1.0], [0.0, 2.0], [0.1, 3.0], [0.2, 4.0]])
    np.testing.assert_allclose(pit(draws, [0.0, 2.5]), [0.25, 0.5])  # half of the two that tie
    np.testing.assert_allclose(pit(draws, [0.0, 2.5], weights=[0, 1, 1, 2]), [0.125, 0.25])
    np.testing.assert_allclose(pit(draws, [-1.0, 9.0]), [0, 1])


def test_weights_mean_repeated_draws(rng):
    draws, outcome, counts = rng.normal(size=(20, 5)), rng.normal(size=5), rng.integers(0, 4, 20)
    np.testing.assert_allclose(
        pit(draws, outcome, weights=counts), pit(np.repeat(draws, counts, axis=0), outcome), atol=1e-14
    )


def test_randomised_pit_is_uniform_where_all_draws_tie():
    values = pit(np.zeros((3, 2000)), np.zeros(2000), seed=1)
    assert stats.kstest(values, "uniform").pvalue > 0.01
    np.testing.assert_array_equal(pit(np.zeros((3, 4)), np.zeros(4)), 0.5)


def test_simulated_outcomes_are_uniform_where_all_draws_tie(rng):
    draws = np.column_stack([np.zeros(500), rng.normal(size=500)])
    values, fifths = simulated_outcomes(draws, np.full(500, 1 / 500), 2000, rng)
    for by_asset in values.T:
        assert stats.kstest(by_asset, "uniform").pvalue > 0.01
    np.testing.assert_allclose(fifths.sum(axis=2), 1, rtol=1e-6)


def test_pit_compares_in_the_precision_of_the_draws():
    draws = np.full((4, 1), 0.1, dtype=np.float32)
    assert pit(draws, [0.1])[0] == 0.5
    whole = np.array([[0, 1], [1, 0]])  # of which a return is not rounded to a whole number
    np.testing.assert_array_equal(pit(whole, [0.5, 0.5]), 0.5)


def test_pit_refuses_what_does_not_fit(rng):
    draws = xr.DataArray(rng.normal(size=(5, 2)), dims=("draw", "asset"), coords={"asset": ["A", "B"]})
    with pytest.raises(DataError, match="what came is by A, C, and the labels are A, B"):
        pit(draws, xr.DataArray([0.0, 1.0], dims="asset", coords={"asset": ["A", "C"]}))
    with pytest.raises(DataError, match=r"shape \(5, 2\) and returns of shape \(3,\)"):
        pit(draws.values, np.zeros(3))
    with pytest.raises(DataError, match="must be finite"):
        pit(draws.values, [0.0, np.nan])


def forecast_of(rng, month, *, scale=1.0, n_draws=1500, n_assets=15):
    """Forecast with a strong common factor, and the generator of outcomes under scale 1."""
    sd = np.linspace(0.02, 0.1, n_assets)

    def draw(n, s):
        return np.clip(
            s * (0.05 * rng.standard_normal((n, 1)) + sd * rng.standard_normal((n, n_assets))), -0.9, None
        )

    origin = pd.Timestamp("2020-01-03") + pd.Timedelta(days=28 * month)
    assets = [f"A{i}" for i in range(n_assets)]
    forecast = Forecast.from_draws(
        draw(n_draws, scale),
        assets=assets,
        asset_class=["stock"] * n_assets,
        origin=origin,
        end=origin + pd.Timedelta(days=28),
    )
    return forecast, pd.Series(draw(1, 1.0)[0], index=assets)


def calibration_of(seed, n_origins=12, n_simulations=200, **kwargs):
    rng = np.random.default_rng(seed)
    pairs = (forecast_of(rng, m, **kwargs) for m in range(n_origins))
    return Calibration.from_forecasts(pairs, seed=seed, n_simulations=n_simulations)


@pytest.fixture(scope="module")
def calibration():
    return calibration_of(1)


def test_errors_of_slopes_need_eight_origins():
    rng = np.random.default_rng(2)
    origins = np.repeat(np.arange(9), 5)
    p, y = rng.dirichlet(np.ones(5), 45), np.tile(np.eye(5), (9, 1))
    for n in (1, 7, 8, 9):
        found = reliability_slopes(p[origins < n], y[origins < n], origins[origins < n])
        assert found["slope"].notna().all()
        assert found["se"].notna().all() == (n >= 8)


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [(0.1, 0.02, "+0.10 ± 0.02"), (-0.1, np.nan, "-0.10"), (np.nan, 0.1, ""), (0.1, np.inf, "+0.10")],
)
def test_an_error_is_told_where_it_is_known(mean, error, text):
    assert with_error(mean, error, "{:+.2f}".format) == text


def test_calibrated_forecasts_pass(calibration):
    assert calibration.flags == ()
    assert calibration.uniformity > 0.05
    assert calibration.n_origins == 12
    assert "12 origins, 180 outcomes" in repr(calibration)
    assert "<table" in calibration._repr_html_()


@pytest.mark.parametrize(("scale", "word"), [(0.5, "narrow"), (2.0, "wide")])
def test_wrong_width_is_named(scale, word):
    result = calibration_of(1, scale=scale)
    assert any(f"forecasts are too {word}" in flag for flag in result.flags)
    assert result.uniformity < 0.02


def test_p_values_are_uniform_though_assets_move_together():
    """Chance includes the dependence inside an origin: calibrated forecasts are not rejected too often."""
    p = np.array(
        [
            calibration_of(s, n_origins=2, n_simulations=60, n_draws=200, n_assets=6).uniformity
            for s in range(60)
        ]
    )
    assert stats.binomtest(int((p < 0.2).sum()), 60, 0.2, alternative="greater").pvalue > 0.01
    assert (p > 0.5).mean() > 0.25


def test_coverage_by_hand(calibration):
    table = calibration.coverage()
    distance = (calibration.cells["pit"] - 0.5).abs()
    for level in (0.5, 0.8, 0.9, 0.95):
        assert table.loc[level, "observed"] == pytest.approx((distance <= level / 2).mean())
    assert (table["5%"] < table.index).all()
    assert (table["95%"] > table.index).all()


def test_slopes_agree_with_statsmodels(calibration):
    table = calibration.slopes()
    groups = pd.factorize(calibration.cells["origin"])[0]
    assert len(table) == 5
    for q, row in table.iterrows():
        x, y = calibration.probabilities[:, q - 1], calibration.outcomes[:, q - 1]
        oracle = sm.OLS(y, sm.add_constant(x)).fit(
            cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
        )
        assert row["slope"] == pytest.approx(oracle.params[1])
        assert row["se"] == pytest.approx(oracle.bse[1] * np.sqrt(12 / 11))
        assert row["5%"] < 1 < row["95%"]


def test_reliability_bins(calibration):
    table = calibration.reliability(4)
    assert table["n"].groupby("quantile").sum().tolist() == [180] * 5
    for q in range(5):
        order = np.argsort(calibration.probabilities[:, q], kind="stable")
        top = order[-45:]
        assert table.loc[(q + 1, 4), "probability"] == pytest.approx(calibration.probabilities[top, q].mean())
        assert table.loc[(q + 1, 4), "frequency"] == pytest.approx(calibration.outcomes[top, q].mean())


def test_equal_seeds_give_equal_calibration(calibration):
    again = calibration_of(1)
    pd.testing.assert_frame_equal(calibration.cells, again.cells)
    pd.testing.assert_frame_equal(calibration.slopes(), again.slopes())


def test_weighted_forecasts_are_judged_by_their_weights(rng):
    """Draws twice too wide, with weights that make them right again."""
    pairs = []
    for month in range(12):
        forecast, outcome = forecast_of(rng, month, n_draws=6000, n_assets=6)
        draws = forecast.draws.to_numpy()
        far = np.abs(draws.mean(axis=1)) > 0.04
        kept = np.concatenate([draws, draws[far], draws[far]])
        weights = np.concatenate([np.where(far, 1 / 3, 1.0), np.full(2 * far.sum(), 1 / 3)])
        weighted = Forecast.from_draws(
            kept,
            assets=forecast.assets,
            asset_class=forecast.asset_class,
            origin=forecast.origin,
            end=forecast.end,
            weights=weights,
        )
        np.testing.assert_allclose(
            pit(kept, outcome, weights=weights), pit(draws, outcome.to_numpy()), atol=1e-12
        )
        pairs.append((weighted, outcome))
    result = Calibration.from_forecasts(pairs, seed=1, n_simulations=200)
    mean = result.simulated_pit.mean(axis=0)
    np.testing.assert_allclose(mean, 0.5, atol=0.1)
    spread = np.abs(result.simulated_pit - 0.5).mean()
    assert spread == pytest.approx(0.25, abs=0.015)


def test_calibration_refuses_and_warns(rng):
    forecast, outcome = forecast_of(rng, 0, n_draws=50)
    with pytest.raises(DataError, match=r"1 of 15 assets have no realised return \(A3\)"):
        Calibration.from_forecasts([(forecast, outcome.drop("A3"))], seed=1)
    with pytest.raises(DataError, match="no forecasts given"):
        Calibration.from_forecasts([], seed=1)
    with pytest.warns(DataWarning, match="1 of 2 forecasts begin before another one ends"):
        Calibration.from_forecasts([(forecast, outcome)] * 2, seed=1, n_simulations=20)


def test_one_origin_has_no_standard_error(rng):
    result = Calibration.from_forecasts([forecast_of(rng, 0, n_draws=100)], seed=1, n_simulations=20)
    assert result.slopes()["se"].isna().all()
    assert "1 origin," in repr(result)


def test_calibration_pictures(calibration):
    reliability = calibration.plot_reliability()
    assert len(reliability.axes) == 5
    assert reliability.axes[0].get_title().startswith("fifth 1: slope ")
    points = reliability.axes[4].lines[1].get_xydata()
    np.testing.assert_allclose(points, calibration.reliability().loc[5][["probability", "frequency"]])
    bars, curve = calibration.plot_pit().axes
    assert sum(patch.get_height() for patch in bars.patches) == pytest.approx(1)
    assert curve.get_ylabel() == "ECDF less diagonal"
    assert not plt.get_fignums()


def test_one_of_a_thing_is_told_as_one(rng):
    draws = rng.normal(size=(400, 5)) * 0.05
    made = Forecast.from_draws(
        draws, assets=list("ABCDE"), asset_class=["s"] * 5, origin="2022-01-07", end="2022-02-04"
    )
    one = Calibration.from_forecasts(
        [(made, dict(zip("ABCDE", draws[0], strict=True)))], seed=1, n_simulations=40
    )
    assert "1 origin, 5 outcomes" in repr(one)
    assert one.plot_pit().get_suptitle().startswith("1 origin, ")
    assert one.plot_reliability().get_suptitle().endswith("; 1 origin")
    assert not re.search(r"\b1 (origins|flags)", repr(one))

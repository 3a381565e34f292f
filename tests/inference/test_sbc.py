"""Simulation-based calibration of the whole model: density, simulation and sampler against each other."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from arviz_stats.ecdf_utils import ecdf_pit

from bdfm.data.panel import Panel
from bdfm.errors import DataError, ModelError, UnknownLabelError
from bdfm.inference import sbc, uniform_ranks
from bdfm.inference.engine import not_covered
from bdfm.inference.sbc import SBC, calibrate
from bdfm.model.factor_model import FactorModel, presets
from bdfm.model.parts.dynamics import VAR1, Momentum
from bdfm.model.parts.log_volatility import LogVolIntercept
from bdfm.model.parts.weights import EqualWeights, HalfLifeWeights, StepWeights
from bdfm.model.simulate import simulate
from bdfm.names import BETA_EARNINGS, BETA_RV, FACTOR_SCALE, RECENT_VOLATILITY, THETA

MODEL = FactorModel(n_factors=1)
N_QUANTITIES, N_SCALARS = 23, 30


@pytest.fixture(scope="module")
def panel():
    """24 periods of 8 assets in 2 classes, with a late start, an early end and gaps."""
    rng = np.random.default_rng(1)
    shape = (24, 8)
    returns = np.zeros(shape)
    returns[:6, 1] = np.nan
    returns[20:, 6] = np.nan
    returns[rng.random(shape) < 0.05] = np.nan
    return Panel.from_arrays(
        returns,
        asset_class=["stock"] * 5 + ["bond_etf"] * 3,
        recent_return=rng.standard_normal(shape),
        recent_volatility=0.7 * rng.standard_normal((*shape, 1)),
        earnings=rng.random(shape) < 0.3,
        next_recent_return=rng.standard_normal(8),
        next_recent_volatility=0.7 * rng.standard_normal((8, 1)),
        next_earnings=np.ones(8),
    )


@pytest.fixture(scope="module")
def calibrated(panel):
    return calibrate(MODEL, panel, seed=1, n_replicates=60, n_draws=49, tune=200)


# -- calibration ---------------------------------------------------------------------------------------


def test_gibbs_is_calibrated(calibrated):
    inside = calibrated.inside()
    assert len(inside) == N_QUANTITIES
    assert inside.all(), repr(calibrated)


def test_result_names_what_it_ranked(calibrated):
    summary = calibrated.summary()
    assert len(summary) == N_SCALARS
    assert {"rho", "mu_theta[bond_etf]", "beta_rv[A1, 5]", "common_covariance[A1~A6]"} <= set(summary.index)
    assert dict(calibrated.ranks.sizes) == {
        "replicate": 60, "asset": 1, "pair": 2, "asset_class": 2, "window": 1
    }  # fmt: skip
    assert calibrated.ranks["mu_beta_rv"].dims == ("replicate", "asset_class", "window")
    assert (calibrated.summary()["ess_median"] > 49).all()
    assert calibrated.worst == calibrated.p_values().idxmin()
    assert "60 replicates by gibbs, ranks among 49 draws, 0 of 23 quantities outside" in repr(calibrated)
    assert "<table" in calibrated._repr_html_()
    with pytest.raises(ValueError, match="read-only"):
        calibrated.ranks["rho"].to_numpy()[0] = 3


def flipped_recent_volatility(model, p, data, *, rng):
    """Simulate with the wrong sign in eq. 7."""
    return simulate(model, p, {**data, RECENT_VOLATILITY: -data[RECENT_VOLATILITY]}, rng=rng)


def variance_for_factor_sd(model, p, data, *, rng):
    """Simulate with the squared factor scale of eq. 3."""
    return simulate(model, {**p, FACTOR_SCALE: p[FACTOR_SCALE] ** 2}, data, rng=rng)


def variance_for_noise_sd(model, p, data, *, rng):
    """Simulate with the squared noise scale of eq. 6."""
    doubled = {name: 2 * p[name] for name in (THETA, BETA_RV, BETA_EARNINGS)}
    return simulate(model, {**p, **doubled}, data, rng=rng)


@pytest.mark.long
@pytest.mark.parametrize(
    ("wrong", "caught_in"),
    [
        (flipped_recent_volatility, "mu_beta_rv"),
        pytest.param(variance_for_factor_sd, "common_variance", marks=pytest.mark.slow),
        pytest.param(variance_for_noise_sd, "noise_scale", marks=pytest.mark.slow),
    ],
)
def test_a_mistake_in_the_simulation_is_caught(panel, monkeypatch, wrong, caught_in):
    monkeypatch.setattr(sbc, "simulate", wrong)
    result = calibrate(MODEL, panel, seed=1, n_replicates=40, n_draws=19, tune=100)
    assert not result.inside()[caught_in], repr(result)


def test_a_model_without_expected_returns_has_none_to_rank(panel):
    model = MODEL.model_copy(update={"dynamics": (), "mean": ()})
    result = calibrate(model, panel, seed=1, n_replicates=10, n_draws=9, tune=10)
    assert "expected_return_next" not in result.ranks
    assert "common_return" in result.ranks


@pytest.mark.slow
def test_gibbs_is_calibrated_over_a_thousand_replicates(panel):
    result = calibrate(MODEL, panel, seed=2, n_replicates=1000)
    assert result.inside().all(), result.summary().to_string()


@pytest.mark.slow
def test_nuts_is_calibrated(panel):
    result = calibrate(MODEL, panel, seed=3, n_replicates=300, engine="nuts")
    assert result.inside().all(), result.summary().to_string()


@pytest.mark.slow
def test_nuts_is_calibrated_with_momentum(panel):
    model = FactorModel(n_factors=1, dynamics=(Momentum(),))
    result = calibrate(model, panel, seed=4, n_replicates=200, engine="nuts")
    assert "beta_momentum" in result.p_values().index
    assert result.inside().all(), result.summary().to_string()


# -- uniformity ----------------------------------------------------------------------------------------


def ranks_of(values, n_draws):
    dataset = xr.Dataset({"x": (("replicate", "asset"), np.asarray(values))}, coords={"asset": ["A", "B"]})
    return SBC(dataset, dataset.astype(float), n_draws, "gibbs", 0)


@pytest.mark.long
def test_uniform_ranks_leave_the_band_as_often_as_stated():
    """10 % of ranks are outside the 90 % band of one scalar; of two, by Bonferroni, a little fewer."""
    rng = np.random.default_rng(5)
    ranks = rng.integers(0, 100, (1000, 200))
    p = np.array([uniform_ranks.p_value(r, 99) for r in ranks])
    assert abs((p <= 0.1).mean() - 0.1) < 3 * np.sqrt(0.09 / 1000)
    assert abs((p <= 0.5).mean() - 0.5) < 3 * np.sqrt(0.25 / 1000)
    pairs = np.array([ranks_of(r, 99).inside(0.9)["x"] for r in ranks.reshape(500, 2, 200).swapaxes(1, 2)])
    assert 0.9 - 3 * np.sqrt(0.09 / 500) < pairs.mean() < 0.95


def test_a_rank_is_inside_the_band_exactly_where_its_p_value_says_so():
    rng = np.random.default_rng(6)
    n_outside = 0
    for _ in range(300):
        ranks = rng.binomial(99, rng.beta(1.0, 1.15, size=150))
        low, high = uniform_ranks.band(150, 99, 0.9)
        ecdf = uniform_ranks.below(ranks, 99) / 150
        outside = bool(((ecdf < low) | (ecdf > high)).any())
        n_outside += outside
        assert outside == (uniform_ranks.p_value(ranks, 99) <= 0.1)
    assert 50 < n_outside < 250


def test_band_equals_that_of_arviz():
    """At n ranks among n - 1 draws, ArviZ evaluates its band at the same points."""
    n = 100
    _, _, low, high = ecdf_pit(np.linspace(0, 1, n), 0.99, 5000, rng=np.random.default_rng(0))
    mine = uniform_ranks.band(n, n - 1, 0.99)
    # Simulated quantiles of a discrete statistic: one count apart at most.
    np.testing.assert_allclose(mine, (low[1:-1], high[1:-1]), atol=1.01 / n)


@pytest.mark.parametrize(
    ("shape", "column", "least"),
    [((1.0, 1.4), "mean", 0.02), ((0.7, 0.7), "spread", 0.08), ((1.5, 1.5), "spread", 0.08)],
    ids=["shifted", "too narrow", "too wide"],
)
def test_ranks_that_are_not_uniform(shape, column, least):
    rng = np.random.default_rng(7)
    ranks = np.stack([rng.integers(0, 100, 400), (100 * rng.beta(*shape, 400)).astype(int)], axis=1)
    result = ranks_of(ranks, 99)
    assert not result.inside()["x"]
    summary = result.summary()
    assert summary["p_value"].idxmin() == "x[B]"
    centre = 0.5 if column == "mean" else 1.0
    assert abs(summary.loc["x[B]", column] - centre) > least
    assert abs(summary.loc["x[A]", column] - centre) < 0.06


def test_plot_draws_one_panel_a_scalar(calibrated):
    figure = calibrated.plot()
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles == list(calibrated.summary().index)
    lines = [ax.lines[0].get_color() for ax in figure.axes if ax.lines]
    assert set(lines) == {"tab:blue"}


# -- reproducible, and refused -------------------------------------------------------------------------


@pytest.mark.long
def test_equal_seeds_give_equal_ranks_on_any_number_of_cores(panel):
    first, second, other = (
        calibrate(MODEL, panel, seed=s, n_replicates=10, n_draws=9, tune=50, cores=c).ranks
        for s, c in ((1, 1), (1, 2), (2, 1))
    )
    xr.testing.assert_identical(first, second)
    assert not first.equals(other)


def test_returns_of_the_panel_do_not_enter(panel):
    dataset = panel.to_dataset()
    dataset["log_returns"] = dataset["log_returns"] + 0.3
    moved = Panel.from_dataset(dataset)
    first, second = (
        calibrate(MODEL, p, seed=1, n_replicates=10, n_draws=9, tune=50).ranks for p in (panel, moved)
    )
    xr.testing.assert_identical(first, second)


@pytest.mark.parametrize(
    "weights", [StepWeights(cutoff=dt.date(2019, 1, 1)), HalfLifeWeights(half_life_periods=20)]
)
def test_a_power_likelihood_is_refused(panel, weights):
    model = FactorModel(name="old", n_factors=1, weights=weights)
    with pytest.raises(
        ModelError, match=rf"model 'old' has period weights below 1 \({type(weights).__name__}\)"
    ):
        calibrate(model, panel, seed=1)


def test_what_cannot_run_is_refused(panel):
    with pytest.raises(ModelError, match=r"engine gibbs: .* does not cover \(VAR1\)"):
        calibrate(FactorModel(n_factors=1, dynamics=(VAR1(),)), panel, seed=1)
    with pytest.raises(UnknownLabelError, match=r"calibrate: unknown engine gibs\. Did you mean gibbs\?"):
        calibrate(MODEL, panel, seed=1, engine="gibs")
    with pytest.raises(DataError, match="calibrate: n_replicates must be a whole number of at least 10"):
        calibrate(MODEL, panel, seed=1, n_replicates=5)


def test_wild_priors_are_refused(panel):
    wild = FactorModel(n_factors=1, log_volatility=(LogVolIntercept(mean=2.0),))
    with pytest.raises(
        ModelError, match="histories simulated from the prior of model 'custom' have a log return"
    ):
        calibrate(wild, panel, seed=1, n_replicates=10)


def test_prob_out_of_range(calibrated):
    with pytest.raises(DataError, match="inside: prob must be above 0 and below 1, got 99"):
        calibrated.inside(99)
    assert isinstance(calibrated.inside(), pd.Series)


# -- every combination of parts that a preset uses -----------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(presets()))
def test_gibbs_is_calibrated_for_the_parts_of_each_preset(small_preset, name):
    """300 replicates of the preset's parts with equal weights, which alone have a law to simulate from."""
    model, panel = small_preset(name, n_periods=24, n_assets=6)
    model = model.model_copy(update={"n_factors": 1, "weights": EqualWeights()})
    if not_covered(model):
        pytest.skip("not covered by the Gibbs engine")
    result = calibrate(model, panel, seed=8, n_replicates=300, n_draws=49, tune=300, cores=2)
    print(name, repr(result))
    assert result.inside().all(), result.summary().to_string()

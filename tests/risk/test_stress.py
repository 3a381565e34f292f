"""Stress against hand calculations, the multivariate normal and a numerical optimiser."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from bdfm.errors import DataError, UnknownLabelError
from bdfm.forecast.forecast import Forecast
from bdfm.risk import RiskModel, TimeSeriesEstimator
from bdfm.risk.losses import forecast_given_loss, reverse_stress
from bdfm.risk.replays import WINDOWS, replay
from bdfm.risk.shocks import shock_factors, shock_risk

B = np.array([[1.0, 0.5], [0.8, -0.3], [1.4, 0.1]])
F = np.array([[0.04, 0.012], [0.012, 0.02]])
D = np.array([0.01, 0.02, 0.03])
W = {"A": 0.5, "B": 0.2, "C": -0.1}
w = np.array([0.5, 0.2, -0.1])
SIGMA = B @ F @ B.T + np.diag(D)


@pytest.fixture
def model():
    return RiskModel.from_arrays(B, F, D, assets=list("ABC"), factors=["market", "size"])


@pytest.fixture
def drawn():
    scale = np.array([1.0, 2.0])
    return RiskModel.from_arrays(
        np.stack([B, B]),
        scale[:, None, None] * F,
        scale[:, None] * D,
        assets=list("ABC"),
        factors=["market", "size"],
    )


def test_replay_compounds_the_exposures_of_today(model):
    days = pd.to_datetime(["2008-08-29", "2008-09-15", "2008-09-29", "2008-10-01"])
    factors = pd.DataFrame({"size": [0.2, 0.02, -0.01, 0.2], "market": [0.2, -0.10, 0.05, 0.2]}, days)
    windows = {"crash": ("2008-09-01", "2008-09-30")}
    found = replay(model, factors, W, windows=windows).loc[("crash", "portfolio")]
    x = w @ B
    first, second = x @ [-0.10, 0.02], x @ [0.05, -0.01]
    assert found["return"] == pytest.approx((1 + first) * (1 + second) - 1)
    assert found["worst_period"] == pytest.approx(first)
    assert found["drawdown"] == pytest.approx(first)
    assert found["n_periods"] == 2
    with pytest.raises(DataError, match="lack COVID"):
        replay(model, factors, W, windows={k: WINDOWS[k] for k in WINDOWS if "COVID" in k})
    with pytest.raises(UnknownLabelError, match="size"):
        replay(model, factors[["market"]], W)


def test_other_factors_take_their_conditional_mean(model):
    found = shock_factors(model, {"market": -0.2}, W)
    size = -0.2 * 0.012 / 0.04
    np.testing.assert_allclose(found.factors, [-0.2, size])
    assert found.table.loc["portfolio", "return"] == pytest.approx(w @ B @ [-0.2, size])
    np.testing.assert_allclose(found.assets, B @ [-0.2, size])
    left = (w @ B)[1] ** 2 * (0.02 - 0.012**2 / 0.04) + w**2 @ D
    assert found.table.loc["portfolio", "volatility"] == pytest.approx(np.sqrt(left))
    alone = shock_factors(model, {"market": -0.2}, W, others_move=False)
    np.testing.assert_allclose(alone.factors, [-0.2, 0])
    both = shock_factors(model, {"size": 0.1, "market": -0.2}, W)
    np.testing.assert_allclose(both.factors, [-0.2, 0.1])
    assert both.table.loc["portfolio", "volatility"] == pytest.approx(np.sqrt(w**2 @ D))
    with pytest.raises(UnknownLabelError, match="oil"):
        shock_factors(model, {"oil": 0.1}, W)


def test_factor_shock_with_draws_has_intervals(model, drawn):
    found = shock_factors(drawn, {"market": -0.2}, W).table.loc["portfolio"]
    one = shock_factors(model, {"market": -0.2}, W).table.loc["portfolio"]
    assert found["return"] == pytest.approx(one["return"])
    assert found["return_low"] == pytest.approx(found["return_high"])
    assert found["volatility_low"] < np.sqrt(1.5) * one["volatility"] < found["volatility_high"]


@pytest.mark.parametrize("c", [0.0, 0.3, 1.0, -0.4])
def test_shock_to_correlation_keeps_volatilities(model, c):
    new = shock_risk(model, correlation=c).covariance().to_numpy()
    sd = np.sqrt(np.diag(SIGMA))
    corr = SIGMA / np.outer(sd, sd)
    goal = np.ones((3, 3)) if c > 0 else np.eye(3)
    np.testing.assert_allclose(new, np.outer(sd, sd) * ((1 - abs(c)) * corr + abs(c) * goal), rtol=1e-12)


def test_shock_to_volatility(model, drawn):
    new = shock_risk(model.scale_to(4), factor_volatility={"market": 3.0}, specific_volatility=2.0)
    s = np.diag([3.0, 1.0])
    np.testing.assert_allclose(new.covariance(), 4 * (B @ s @ F @ s @ B.T + np.diag(4 * D)))
    assert new.periods == 4
    np.testing.assert_allclose(
        shock_risk(model, factor_volatility=2.0).covariance(), 4 * B @ F @ B.T + np.diag(D)
    )
    assert shock_risk(drawn, correlation=0.5).volatility({"A": 1.0}).to_numpy() == pytest.approx(
        drawn.volatility({"A": 1.0}).to_numpy()
    )
    with pytest.raises(DataError, match="correlation 2"):
        shock_risk(model, correlation=2)
    with pytest.raises(DataError, match="specific_volatility"):
        shock_risk(model, specific_volatility=-1)


def test_reverse_stress_is_the_most_likely_of_the_moves_that_lose_so_much(model):
    found = reverse_stress(model, W, 0.15)
    inverse = np.linalg.inv(SIGMA)
    best = optimize.minimize(
        lambda r: 100 * r @ inverse @ r, -np.ones(3) / 5,
        constraints={"type": "eq", "fun": lambda r: 10 * (w @ r + 0.15)}, tol=1e-14,
    )  # fmt: skip
    np.testing.assert_allclose(found.assets["move"], best.x, atol=1e-4)
    assert w @ found.assets["move"] == pytest.approx(-0.15)
    assert found.assets["loss"].sum() == pytest.approx(0.15)
    # Factors by the conditional mean of the joint normal of factors and portfolio.
    variance = w @ SIGMA @ w
    np.testing.assert_allclose(found.factors["move"], -0.15 * F @ B.T @ w / variance)
    np.testing.assert_allclose(found.factors["in_volatilities"], found.factors["move"] / np.sqrt(np.diag(F)))
    specific = 0.15 * (w**2 @ D) / variance
    assert found.factors["loss"].sum() == pytest.approx(0.15 - specific)
    assert found.distance == pytest.approx(0.15 / np.sqrt(variance))
    assert found.probability == pytest.approx(stats.norm(0, np.sqrt(variance)).cdf(-0.15))
    with pytest.raises(DataError, match="loss"):
        reverse_stress(model, W, -0.1)


def test_reverse_stress_with_draws_is_of_the_mean_covariance(model, drawn):
    whole = drawn.covariance().to_numpy()
    found = reverse_stress(drawn, W, 0.1)
    np.testing.assert_allclose(found.assets["move"], -0.1 * whole @ w / (w @ whole @ w))


def test_forecast_given_a_loss(rng):
    r = rng.multivariate_normal([0, 0, 0], SIGMA / 20, 40_000)
    probability = np.where(r[:, 0] > 0, 3.0, 1.0)
    f = Forecast.from_draws(
        r.clip(-0.9), assets=list("ABC"), asset_class=["x"] * 3, origin="2022-01-07", end="2022-02-04",
        weights=probability,
    )  # fmt: skip
    found = forecast_given_loss(f, W, 0.03)
    held = r.clip(-0.9) @ w
    tail = held <= -0.03
    expected = np.average(r.clip(-0.9)[tail], axis=0, weights=probability[tail])
    np.testing.assert_allclose(found["given_loss"], expected, rtol=1e-4)
    assert found["loss"].sum() == pytest.approx(found.attrs["expected_loss"], rel=1e-5)
    assert found.attrs["probability"] == pytest.approx(probability[tail].sum() / probability.sum(), rel=1e-4)
    with pytest.raises(DataError, match="effective draws"):
        forecast_given_loss(f, W, 0.8)


def test_normal_draws_and_the_model_agree_on_the_move(model, rng):
    """For normal returns the mean given a loss of at least x is the move of the loss expected there."""
    r = rng.multivariate_normal([0, 0, 0], SIGMA / 50, 200_000)
    f = Forecast.from_draws(
        r, assets=list("ABC"), asset_class=["x"] * 3, origin="2022-01-07", end="2022-02-04"
    )
    found = forecast_given_loss(f, W, 0.02)
    move = reverse_stress(model.scale_to(1 / 50), W, found.attrs["expected_loss"]).assets["move"]
    np.testing.assert_allclose(found["given_loss"], move, atol=0.0012)


def test_march_2020_through_the_exposures_of_a_real_portfolio(shared_data):
    """The market factor itself replays to its own compounded month."""
    daily = pd.read_csv(shared_data("french") / "ff3_daily.csv", index_col=0, parse_dates=True) / 100
    daily = daily.loc[:"2022-02-04"]
    factors = daily[["Mkt-RF", "SMB", "HML"]]
    noise = np.random.default_rng(2).normal(0, 1e-6, len(daily))
    returns = pd.DataFrame({"market": factors["Mkt-RF"] + noise})
    model = TimeSeriesEstimator(factors).fit(returns)
    windows = {k: v for k, v in WINDOWS.items() if "2008" not in k}
    found = replay(model, factors, {"market": 1.0}, windows=windows)["return"].to_numpy()
    exact = [(1 + daily["Mkt-RF"].loc[a:b]).prod() - 1 for a, b in windows.values()]
    np.testing.assert_allclose(found, exact, atol=1e-4)
    assert exact[0] < -0.1

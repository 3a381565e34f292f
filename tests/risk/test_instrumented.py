"""Exposures that follow moving characteristics, against other ways to the same least squares."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import optimize

from bdfm.data.sources import read_prices
from bdfm.errors import DataError
from bdfm.risk import CrossSectionalEstimator, InstrumentedEstimator, price_styles, simple_returns
from bdfm.validation.refits import walk_forward

T, N = 60, 12
ASSETS = [f"A{i:02d}" for i in range(N)]
NAMES = ["value", "size", "momentum"]
SLOPES = np.array([[0.9, 0.1], [0.3, -0.6], [-0.2, 0.5], [0.1, 0.6]])
DAYS = pd.bdate_range("2021-01-01", periods=T)


def world(rng, noise=0.01, n=N, t=T):
    """Characteristics that change each period, and returns of their slopes on two factors."""
    days, assets = pd.bdate_range("2021-01-01", periods=t), [f"A{i:02d}" for i in range(n)]
    z = rng.normal(size=(t, n, 3)) + rng.normal(size=(1, n, 3))
    f = rng.normal(0.002, [0.03, 0.015], (t, 2))
    returns = np.full((t, n), 0.0)
    returns[0] = rng.normal(0, 0.01, n)
    for i in range(1, t):
        x = np.column_stack([np.ones(n), z[i - 1]])
        returns[i] = x @ SLOPES @ f[i] + rng.normal(0, noise, n)
    coords = {"period": days, "asset": assets, "factor": NAMES}
    numeric = xr.DataArray(z, dims=("period", "asset", "factor"), coords=coords)
    return numeric, pd.DataFrame(returns, days, assets), f


def designs(numeric):
    """Characteristics known at the start of each period but the first, with a constant."""
    return [np.column_stack([np.ones(len(z)), z]) for z in numeric.to_numpy()[:-1]]


def loss(flat, x, r, k, weights=None):
    """Squares left by slopes when each period has its best factor returns; gaps are rows of zeros."""
    there = np.isfinite(r)
    own = np.where(there[..., None], np.asarray(x) @ flat.reshape(-1, k), 0.0)
    y = np.where(there, r, 0.0)[..., None]
    left = np.square(y - own @ np.linalg.pinv(own) @ y).sum((1, 2))
    return left.sum() if weights is None else left @ weights


def projector(slopes):
    return slopes @ np.linalg.pinv(slopes)


@pytest.mark.parametrize(("k", "gaps"), [(1, False), (1, True), (2, False), (2, True), (3, False)])
def test_slopes_are_those_of_another_least_squares(rng, k, gaps):
    numeric, returns, _ = world(rng)
    if gaps:
        returns = returns.mask(rng.random(returns.shape) < 0.1)
    found = InstrumentedEstimator(numeric, k, standardise=False).estimate(returns)
    x, r = designs(numeric), returns.to_numpy()[1:]
    best = min(
        (
            optimize.minimize(
                loss, rng.normal(size=4 * k), (x, 1e2 * r, k), method="BFGS", options={"gtol": 1e-9}
            )
            for _ in range(2)
        ),
        key=lambda one: one.fun,
    )
    slopes = found.slopes.to_numpy()
    assert loss(slopes, x, 1e2 * r, k) <= best.fun * (1 + 1e-9)
    np.testing.assert_allclose(projector(slopes), projector(best.x.reshape(-1, k)), atol=2e-5)
    np.testing.assert_allclose(slopes.T @ slopes, np.eye(k), atol=1e-12)
    f = found.model.history["factor_returns"].to_numpy()
    for a, b, own in zip(x, r, f, strict=True):
        there = np.isfinite(b)
        np.testing.assert_allclose(own, np.linalg.lstsq(a[there] @ slopes, b[there])[0], atol=1e-12)
    np.testing.assert_allclose(
        found.model.factor_covariance, np.cov(f.T).reshape(k, k), rtol=1e-10, atol=1e-18
    )
    spread = np.diag(found.model.factor_covariance)
    np.testing.assert_allclose(found.model.factor_covariance, np.diag(spread), atol=1e-12)
    assert (np.diff(spread) < 0).all()


def test_exposures_and_specific_variances_are_those_of_the_last_characteristics(rng):
    numeric, returns, _ = world(rng)
    found = InstrumentedEstimator(numeric, 2, standardise=False).estimate(returns)
    last = np.column_stack([np.ones(N), numeric.to_numpy()[-1]])
    np.testing.assert_allclose(found.model.exposures, last @ found.slopes, rtol=1e-12)
    assert (found.model.exposures.sum("asset") > 0).all()
    f = found.model.history["factor_returns"].to_numpy()
    squares = []
    for a, b, own in zip(designs(numeric), returns.to_numpy()[1:], f, strict=True):
        x = a @ found.slopes.to_numpy()
        u = b - x @ own
        squares.append(np.square(u) / (1 - np.diag(x @ np.linalg.inv(x.T @ x) @ x.T)))
    np.testing.assert_allclose(found.model.specific_variance, np.sum(squares, axis=0) / (T - 2), rtol=1e-10)
    day = DAYS[30]
    at = np.column_stack([np.ones(N), numeric.to_numpy()[30]])
    np.testing.assert_allclose(found.exposures(day), at @ found.slopes, rtol=1e-12)
    np.testing.assert_allclose(found.exposures(day), found.exposures(f"{day:%Y-%m-%d}"))
    with pytest.raises(DataError, match="begin on 2021-01-01, after 2020-12-31"):
        found.exposures("2020-12-31")


def test_as_many_factors_as_characteristics_is_the_cross_section(rng):
    numeric, returns, _ = world(rng)
    found = InstrumentedEstimator(numeric, 4).fit(returns)
    other = CrossSectionalEstimator(numeric).fit(returns)
    np.testing.assert_allclose(found.specific_variance, other.specific_variance, rtol=1e-9)
    np.testing.assert_allclose(
        found.covariance() - np.diag(found.specific_variance),
        other.covariance() - np.diag(other.specific_variance),
        rtol=1e-7,
        atol=1e-12,
    )


def test_the_truth_is_found_where_exposures_move(rng):
    numeric, returns, f = world(rng, noise=0.02, n=60, t=400)
    found = InstrumentedEstimator(numeric, 2, standardise=False).estimate(returns)
    np.testing.assert_allclose(projector(found.slopes.to_numpy()), projector(SLOPES), atol=0.02)
    last = np.column_stack([np.ones(60), numeric.to_numpy()[-1]]) @ SLOPES
    truth = last @ np.cov(f[1:].T) @ last.T
    ours = found.model.covariance() - np.diag(found.model.specific_variance)
    assert np.abs(ours - truth).max() < 0.1 * np.abs(truth).max()
    np.testing.assert_allclose(np.sqrt(found.model.specific_variance), 0.02, rtol=0.15)


def test_old_periods_count_less(rng):
    numeric, returns, _ = world(rng)
    life = InstrumentedEstimator(numeric, 2, standardise=False, half_life_periods=10).estimate(returns)
    w = 0.5 ** (np.arange(T - 2, -1, -1) / 10)
    x, r = designs(numeric), 1e2 * returns.to_numpy()[1:]

    start = life.slopes.to_numpy().ravel()
    begin = start + rng.normal(0, 0.1, 8)
    best = optimize.minimize(loss, begin, (x, r, 2, w), method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(projector(life.slopes.to_numpy()), projector(best.x.reshape(4, 2)), atol=2e-5)


def test_nothing_after_the_last_return_matters(rng):
    numeric, returns, _ = world(rng)
    before = InstrumentedEstimator(numeric, 2, window=30).fit(returns.iloc[:40])
    later = numeric.copy()
    later[40:] = rng.normal(size=later[40:].shape) * 100
    for changed in (later, numeric[:40]):
        after = InstrumentedEstimator(changed, 2, window=30).fit(returns.iloc[:40])
        for name in ("exposures", "factor_covariance", "specific_variance"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert before.origin == DAYS[39]


def few_on(returns, day):
    """Returns of two assets alone on one day."""
    table = returns.copy()
    table.loc[day, table.columns[2:]] = np.nan
    return table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z, r: (z, r, 5), "5 factors of 4 characteristics"),
        (lambda z, r: (z, r, 0), "n_factors"),
        (lambda z, r: (z[-5:], r, 1), "before 4 of 60 periods, at least 8"),
        (lambda z, r: (z, few_on(r, DAYS[9]), 2), "2021-01-14 2"),
        (lambda z, r: (z.where(z.period != DAYS[-1]), r, 2), "the same for all"),
        (
            lambda z, r: (z.where((z.period != DAYS[-1]) | (z.asset != "A03")), r, 2),
            "2021-03-25 are missing of 1",
        ),
        (lambda z, r: (z, r.assign(A01=r["A01"].where(r.index > DAYS[55])), 2), "A01 4"),
        (lambda z, r: (z.drop_sel(asset="A07"), r, 2), "1 asset has none"),
    ],
)
def test_what_it_cannot_be_made_of(rng, change, message):
    numeric, returns, _ = world(rng)
    z, r, k = change(numeric, returns)
    with pytest.raises(DataError, match=message):
        InstrumentedEstimator(z, k).fit(r)


def test_real_stocks_out_of_sample(m6_dir, rng):
    """It refits walk-forward as any estimator; memberships of classes may be characteristics too."""
    prices = read_prices(m6_dir / "prices.csv.gz").loc["2018":].iloc[:, :40].dropna(axis=1)
    weekly = simple_returns(prices, period="1w").iloc[-104:]
    styles = price_styles(prices, weekly.index)
    halves = pd.Series(["a", "b"] * (prices.shape[1] // 2), prices.columns)
    estimator = InstrumentedEstimator(styles, 3, {"half": halves})
    found = estimator.estimate(weekly)
    assert list(found.slopes.index[:3]) == ["market", "a", "b"]
    assert found.model.exposures.shape == (prices.shape[1], 3)
    out = walk_forward(estimator, weekly, window=80, step=8)
    equal = pd.Series(1 / prices.shape[1], prices.columns)
    own = (weekly @ equal).std()
    assert 0.7 * own < found.model.volatility(equal) < 1.3 * own
    assert out is not None

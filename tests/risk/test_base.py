"""The risk model: risk of portfolios without the N x N matrix, decompositions, files."""

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bdfm.errors import DataError, FileError, UnknownLabelError
from bdfm.forecast.forecast import Forecast
from bdfm.risk import RiskModel, compare

N, K, S = 6, 3, 40
ASSETS = [f"A{i}" for i in range(N)]
FACTORS = ["market", "size", "value"]


def arrays(rng, lead=()):
    b = rng.normal(0.5, 1, (*lead, N, K))
    root = rng.normal(0, 0.02, (*lead, K, K))
    return b, root @ np.swapaxes(root, -1, -2), rng.uniform(1e-4, 9e-4, (*lead, N))


@pytest.fixture
def point(rng):
    b, f, d = arrays(rng)
    days = pd.date_range("2020-01-31", periods=5, freq="ME")
    return RiskModel.from_arrays(
        b, f, d, assets=ASSETS, factors=FACTORS, origin="2020-05-31", notes=["made up"],
        factor_returns=pd.DataFrame(rng.normal(0, 0.02, (5, K)), days, FACTORS),
        specific_returns=pd.DataFrame(rng.normal(0, 0.02, (5, N)), days, ASSETS),
    )  # fmt: skip


@pytest.fixture
def drawn(rng):
    return RiskModel.from_arrays(*arrays(rng, (S,)), assets=ASSETS, factors=FACTORS, kind="Bayesian")


@pytest.fixture
def table(rng):
    return pd.DataFrame(rng.normal(0, 1, (3, N)), ["long", "short", "spread"], ASSETS)


def dense(model, draw=None):
    b, f, d = (x.values if draw is None else x.values[draw] for x in (
        model.exposures, model.factor_covariance, model.specific_variance))  # fmt: skip
    return b @ f @ b.T + np.diag(d)


def test_variance_is_that_of_the_full_covariance(point, drawn, table):
    w = table.to_numpy()
    np.testing.assert_allclose(point.variance(table), np.diag(w @ dense(point) @ w.T), rtol=1e-12)
    assert point.variance(table).dims == ("portfolio",)
    each = drawn.variance(table)
    assert each.dims == ("draw", "portfolio")
    for s in range(S):
        np.testing.assert_allclose(each[s], np.diag(w @ dense(drawn, s) @ w.T), rtol=1e-12)
    np.testing.assert_allclose(point.volatility(table) ** 2, point.variance(table))
    np.testing.assert_allclose(point.covariance(), dense(point), rtol=1e-12)
    np.testing.assert_allclose(
        drawn.covariance(), np.mean([dense(drawn, s) for s in range(S)], 0), rtol=1e-12
    )
    np.testing.assert_allclose(
        point.covariance(["A3", "A1"]), dense(point)[np.ix_([3, 1], [3, 1])], rtol=1e-12
    )


def test_decomposition_adds_up_exactly(point, drawn, table):
    for model in (point, drawn):
        parts = model.decompose(table)
        total = model.variance(table)
        np.testing.assert_allclose(parts.variance, total, rtol=1e-13)
        np.testing.assert_allclose(parts.by_factor.sum("factor") + parts.specific, total, rtol=1e-13)
        np.testing.assert_allclose(parts.by_asset.sum("asset"), total, rtol=1e-12)
        np.testing.assert_allclose(parts.systematic_by_asset.sum("asset"), parts.systematic, rtol=1e-11)
        np.testing.assert_allclose(parts.exposure, table.to_numpy() @ model.exposures.values, rtol=1e-13)
    w = table.loc["long"].to_numpy()
    np.testing.assert_allclose(point.decompose(table).by_asset[0], w * (dense(point) @ w), rtol=1e-12)
    factors = point.decompose(table).factors("long")
    assert list(factors.index) == [*FACTORS, "specific"]
    np.testing.assert_allclose(factors["share"].sum(), 1, rtol=1e-13)
    np.testing.assert_allclose(factors["volatility"].sum(), point.volatility(table)[0], rtol=1e-13)
    np.testing.assert_allclose(factors["variance"].sum(), point.variance(table)[0], rtol=1e-13)
    assets = point.decompose(table).assets("long")
    assert assets["variance"].is_monotonic_decreasing
    np.testing.assert_allclose(assets["volatility"].sum(), point.volatility(table)[0], rtol=1e-12)
    with pytest.raises(DataError, match="3 portfolios"):
        point.decompose(table).factors()


def test_decomposition_tables_of_draws_have_intervals(drawn, table):
    parts = drawn.decompose(table)
    volatility = drawn.volatility(table).values
    np.testing.assert_allclose(parts.table["volatility"], np.median(volatility, axis=0))
    np.testing.assert_allclose(parts.table["volatility_low"], np.quantile(volatility, 0.05, axis=0))
    np.testing.assert_allclose(parts.table["volatility_high"], np.quantile(volatility, 0.95, axis=0))
    assert "share_low" in parts.factors("short")


def test_weights_may_come_in_any_form(point, table):
    w = table.loc["long"]
    expected = float(point.variance(w))
    forms = (w.to_dict(), w[::-1], xr.DataArray(w.values, dims="asset", coords={"asset": ASSETS}))
    for form in forms:
        assert float(point.variance(form)) == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(point.variance(table[ASSETS[::-1]]), point.variance(table), rtol=1e-14)
    assert float(point.variance({"A2": 2.0})) == pytest.approx(4 * dense(point)[2, 2])
    with pytest.raises(UnknownLabelError, match="unknown asset A9"):
        point.variance({"A9": 1.0})
    with pytest.raises(UnknownLabelError, match="one portfolio in each row"):
        point.variance(table.T)
    with pytest.raises(DataError, match="not finite for A1"):
        point.variance({"A1": np.nan})
    with pytest.raises(DataError, match="portfolios given more than once"):
        point.variance(pd.concat([table, table]))


def test_beta(point, drawn, table):
    bench, other = np.full(N, 1 / N), table.loc["short"]
    sigma = dense(point)
    beta = point.beta_to(pd.Series(bench, ASSETS))
    np.testing.assert_allclose(beta, sigma @ bench / (bench @ sigma @ bench), rtol=1e-12)
    np.testing.assert_allclose(float(beta.values @ bench), 1)
    own = point.beta_to(pd.Series(bench, ASSETS), other)
    np.testing.assert_allclose(own, beta.values @ other.to_numpy(), rtol=1e-12)
    assert point.beta_to(pd.Series(bench, ASSETS), table).dims == ("portfolio",)
    assert drawn.beta_to(pd.Series(bench, ASSETS), table).dims == ("draw", "portfolio")
    fourth = dense(drawn, 3)
    expected = fourth @ bench / (bench @ fourth @ bench)
    np.testing.assert_allclose(drawn.beta_to(pd.Series(bench, ASSETS))[3], expected, rtol=1e-12)
    with pytest.raises(DataError, match="no variance"):
        point.beta_to({"A0": 0.0})


def test_scaling_over_time(point, table):
    month = point.scale_to(21)
    np.testing.assert_allclose(month.volatility(table), np.sqrt(21) * point.volatility(table), rtol=1e-14)
    assert month.periods == 21
    np.testing.assert_allclose(month.scale_to(1).variance(table), point.variance(table), rtol=1e-14)
    with pytest.raises(DataError, match="periods must be above 0"):
        point.scale_to(0)


def test_linear_algebra_goes_through_the_factors(point, drawn, rng):
    x = rng.normal(size=(N, 2))
    for model, sigma in ((point, dense(point)), (drawn, drawn.covariance().values)):
        np.testing.assert_allclose(model.solve(x), np.linalg.solve(sigma, x), rtol=1e-9)
        np.testing.assert_allclose(model.solve(x[:, 0]), np.linalg.solve(sigma, x[:, 0]), rtol=1e-9)
        assert model.log_determinant() == pytest.approx(np.linalg.slogdet(sigma)[1])
    bare = RiskModel.from_arrays(np.ones((2, 1)), [[1.0]], [0.0, 1.0], assets=["a", "b"], factors=["f"])
    with pytest.raises(DataError, match=r"no specific variance \(a\)"):
        bare.solve([1.0, 1.0])


def test_files_hold_every_digit(point, drawn, table, tmp_path):
    for model in (point.scale_to(3), drawn):
        loaded = RiskModel.load(model.save(tmp_path / "model.nc"))
        assert repr(loaded) == repr(model)
        assert (loaded.notes, loaded.origin, loaded.observed_factors) == (
            model.notes, model.origin, model.observed_factors)  # fmt: skip
        np.testing.assert_array_equal(loaded.variance(table), model.variance(table))
        if model.history is None:
            assert loaded.history is None
        else:
            xr.testing.assert_identical(loaded.history, model.history)
    Forecast.from_draws(
        np.zeros((2, 2)), assets=["a", "b"], asset_class=["x", "x"], origin="2020-01-01", end="2020-02-01"
    ).save(tmp_path / "forecast.nc")
    with pytest.raises(FileError, match="holds a forecast"):
        RiskModel.load(tmp_path / "forecast.nc")


def test_arrays_cannot_be_changed(point):
    for copy in (point, pickle.loads(pickle.dumps(point))):
        with pytest.raises(ValueError, match="read-only"):
            copy.exposures.values[0, 0] = 1


def test_select(point, table):
    part = point.select(["A4", "A0"])
    np.testing.assert_allclose(
        part.covariance(), point.covariance().sel(asset=["A4", "A0"], other_asset=["A4", "A0"])
    )
    assert list(part.history["asset"].values) == ["A4", "A0"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": np.ones((N, K + 1))}, "exposures has shape"),
        ({"f": np.diag([1.0, 1.0, -1.0])}, "smallest eigenvalue -1"),
        ({"f": np.triu(np.ones((K, K)))}, "asymmetry 1"),
        ({"d": np.array([1, 1, -1, 1, 1, 1.0])}, "specific variance of A2 is negative"),
        ({"d": np.full(N, np.nan)}, "specific_variance has 6 values that are not finite"),
    ],
)
def test_arrays_that_are_no_risk_model(rng, change, message):
    b, f, d = arrays(rng)
    given = {"b": b, "f": f, "d": d} | change
    with pytest.raises(DataError, match=message):
        RiskModel.from_arrays(given["b"], given["f"], given["d"], assets=ASSETS, factors=FACTORS)


def test_a_large_universe_needs_no_matrix_of_all_pairs(rng):
    n, k = 5000, 50
    model = RiskModel.from_arrays(
        rng.normal(size=(n, k)), np.eye(k) * 1e-4, np.full(n, 4e-4),
        assets=[f"S{i}" for i in range(n)], factors=[f"F{i}" for i in range(k)],
    )  # fmt: skip
    w = pd.Series(np.full(n, 1 / n), model.assets)
    model.variance(w)  # imports
    tracemalloc.start()
    try:
        model.variance(w)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 20e6, most  # the matrix has 200 MB, and takes a second in place of milliseconds


def test_compare(point, drawn, table):
    both = compare({"point": point, "Bayes": drawn}, table)
    assert list(both.index[:2]) == [("long", "point"), ("long", "Bayes")]
    assert both["volatility_low"].isna().sum() == 3
    with pytest.raises(DataError, match="no model"):
        compare({}, table)


def test_presentation(point, drawn, table):
    assert "3 factors" in repr(point)
    assert "made up" in point._repr_html_()
    assert "40 posterior draws" in repr(drawn)
    for model in (point, drawn):
        parts = model.decompose(table)
        assert "systematic" in repr(parts)
        assert "long" in parts._repr_html_()
        for figure in (model.plot_factors(), model.plot_exposures(n_assets=4), parts.plot(n_factors=2)):
            figure.draw_without_rendering()
    labels = [t.get_text() for t in point.decompose(table).plot(n_factors=2).legends[0].get_texts()]
    assert labels[-2:] == ["other factors", "specific"]

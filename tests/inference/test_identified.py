import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bdfm.errors import DataError, ModelError
from bdfm.inference.align import align
from bdfm.inference.identified import identified

CHAINS, DRAWS, PERIODS = 2, 7, 4
ENDS = pd.date_range("2020-01-03", periods=PERIODS + 1, freq="28D")  # the last is the forecast period
ASSETS = ["XOM", "TLT", "IVV", "OGN"]


@pytest.fixture
def posterior(rng):
    shape, n, k = (CHAINS, DRAWS), len(ASSETS), 3
    dims = ("chain", "draw")
    normal = rng.standard_normal
    return xr.Dataset(
        {
            "loadings": ((*dims, "asset", "factor"), normal((*shape, n, k))),
            "factors": ((*dims, "period", "factor"), normal((*shape, PERIODS, k))),
            "factor_scale": ((*dims, "factor"), rng.gamma(2, 0.02, (*shape, k))),
            "rho": (dims, normal(shape)),
            "alpha": ((*dims, "asset"), normal((*shape, n))),
            "theta": ((*dims, "asset"), normal((*shape, n)) - 3),
            "mu_theta": ((*dims, "asset_class"), normal((*shape, 2))),
            "sigma_alpha": (dims, normal(shape)),
            "beta_rv": ((*dims, "asset", "window"), normal((*shape, n, 2))),
            "beta_earnings": ((*dims, "asset"), normal((*shape, n))),
            "theta_z": ((*dims, "asset"), normal((*shape, n))),
        },
        coords={
            "asset": ASSETS,
            "window": [5, 21],
            "asset_class": ["a", "b"],
            "chain": range(CHAINS),
            "period": ENDS[:-1],
        },
    )


@pytest.fixture
def constant_data(rng):
    n = len(ASSETS)
    return xr.Dataset(
        {
            "recent_volatility": (("period", "asset", "window"), rng.standard_normal((len(ENDS), n, 2))),
            "earnings": (("period", "asset"), rng.integers(0, 2, (len(ENDS), n)).astype(float)),
        },
        coords={
            "asset": ASSETS,
            "window": [5, 21],
            "period": pd.date_range("2020-01-03", periods=5, freq="28D"),
        },
    )


def test_common_covariances_equal_a_loop(posterior):
    result = identified(posterior)
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    assert list(result["pair"].values) == [f"{ASSETS[i]}~{ASSETS[j]}" for i, j in pairs]
    for c in range(CHAINS):
        for d in range(DRAWS):
            draw = posterior.isel(chain=c, draw=d)
            w, scale = draw["loadings"].values, draw["factor_scale"].values
            covariance = w @ np.diag(scale**2) @ w.T
            found = result.isel(chain=c, draw=d)
            np.testing.assert_allclose(found["common_variance"], np.diag(covariance), rtol=1e-12)
            np.testing.assert_allclose(found["common_covariance"], [covariance[p] for p in pairs], rtol=1e-9)


def test_blocks_of_draws_do_not_matter(posterior, monkeypatch):
    whole = identified(posterior)
    monkeypatch.setattr("bdfm.inference.identified._BLOCK_BYTES", 8 * 16 * 3)
    xr.testing.assert_equal(identified(posterior), whole)


def test_parameters_are_passed_on_without_what_is_not_identified(posterior):
    result = identified(posterior)
    assert set(result.data_vars) == {
        "common_variance",
        "common_covariance",
        "rho",
        "alpha",
        "theta",
        "mu_theta",
        "sigma_alpha",
        "beta_rv",
        "beta_earnings",
    }
    xr.testing.assert_equal(result["mu_theta"], posterior["mu_theta"])
    per_factor = posterior.assign(rho=posterior["factor_scale"])
    assert "rho" not in identified(per_factor)
    assert set(identified(posterior[["theta"]]).data_vars) == {"theta"}


def test_noise_scale_follows_equation_7(posterior, constant_data):
    log_scale = (
        posterior["theta"]
        + (posterior["beta_rv"] * constant_data["recent_volatility"]).sum("window")
        + posterior["beta_earnings"] * constant_data["earnings"]
    ).transpose("chain", "draw", "period", "asset")
    result = identified(posterior, constant_data=constant_data)
    assert "noise_scale" not in result
    xr.testing.assert_allclose(
        result["noise_scale_next"], np.exp(log_scale.isel(period=-1, drop=True)), rtol=1e-12
    )
    xr.testing.assert_allclose(result["log_noise_scale"], log_scale.mean("period"), rtol=1e-10)
    full = identified(posterior, constant_data=constant_data, full=True)
    xr.testing.assert_allclose(full["noise_scale"], np.exp(log_scale), rtol=1e-12)
    assert "noise_scale_next" not in full


def test_model_without_regressors_has_a_constant_noise_scale(posterior, constant_data):
    plain = posterior.drop_vars(["beta_rv", "beta_earnings"])
    result = identified(plain, constant_data=constant_data)
    xr.testing.assert_allclose(result["noise_scale_next"], np.exp(plain["theta"]))
    xr.testing.assert_equal(result["log_noise_scale"], plain["theta"])
    full = identified(plain, constant_data=constant_data, full=True)["noise_scale"]
    assert full.sizes["period"] == len(ENDS)
    one_slope = posterior.drop_vars("beta_earnings")
    again = identified(one_slope, constant_data=constant_data.drop_vars("earnings"))
    assert not again["log_noise_scale"].equals(result["log_noise_scale"])


def test_order_of_dims_does_not_matter_and_input_stays(posterior, constant_data):
    before = posterior.copy(deep=True)
    moved = identified(posterior.transpose(..., "draw", "chain"), constant_data=constant_data)
    xr.testing.assert_allclose(moved, identified(posterior, constant_data=constant_data), rtol=1e-12)
    xr.testing.assert_identical(posterior, before)


def test_unchanged_by_alignment(posterior):
    aligned = align(
        *(posterior[name].to_numpy() for name in ("loadings", "factors", "factor_scale")), rotate=True
    )
    turned = posterior.assign(
        loadings=posterior["loadings"].copy(data=aligned.loadings),
        factor_scale=posterior["factor_scale"].copy(data=aligned.factor_scale),
    )
    assert not np.allclose(turned["loadings"], posterior["loadings"])
    for name in ("common_variance", "common_covariance"):
        old, new = identified(posterior)[name].values, identified(turned)[name].values
        assert np.abs(new - old).max() < 1e-10 * np.abs(old).max()


def test_errors(posterior, constant_data):
    moving = posterior.assign(factor_scale=posterior["factor_scale"].expand_dims(period=ENDS[:-1]))
    with pytest.raises(ModelError, match="factor_scale moves over time"):
        identified(moving)
    with pytest.raises(DataError, match="the posterior has no dimension draw"):
        identified(posterior.isel(draw=0))
    with pytest.raises(DataError, match="slopes on earnings, which the constant data lack; found recent_vol"):
        identified(posterior, constant_data=constant_data.drop_vars("earnings"))
    for other in (constant_data.isel(asset=slice(3)), constant_data.isel(asset=[1, 0, 2, 3])):
        with pytest.raises(DataError, match="assets or windows of the constant data are not those"):
            identified(posterior, constant_data=other)

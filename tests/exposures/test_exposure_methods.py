"""What every method must keep: timing, no look-ahead, files, symmetry; one registry, no exceptions."""

import re
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from few import few

from bdfm._optional import optional
from bdfm.errors import DataError, DataWarning, FileError, MissingDependencyError, UnknownLabelError
from bdfm.exposures import (
    BayesianRandomWalk,
    ConstantBetas,
    DCCGarch,
    ExposureData,
    ExposureMethod,
    Exposures,
    FactorVAE,
    KalmanBetas,
    PrincipalComponents,
    RollingOLS,
    compare,
    kalman_betas,
)

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed: make torch")

METHODS = [
    ConstantBetas(),
    RollingOLS(window_days=100, refresh_days=7),
    KalmanBetas(),
    DCCGarch(),
    BayesianRandomWalk(n_draws=4, n_burn=10, thin=2),
    PrincipalComponents(2),
    pytest.param(FactorVAE(n_latents=2, max_epochs=3, n_sd_draws=3), marks=needs_torch),
]
every_method = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
WITHOUT_CHANCE = [ConstantBetas(), RollingOLS(100, 7), KalmanBetas(), DCCGarch(), PrincipalComponents(2)]
FITTED: dict[str, Exposures] = {}


@pytest.fixture
def fitted(method, data):
    if method.name not in FITTED:
        FITTED[method.name] = method.fit(data, seed=3)
    return FITTED[method.name]


@every_method
def test_protocol_and_shapes(method, fitted, data):
    assert isinstance(method, ExposureMethod)
    assert fitted.method == method.name
    assert fitted.exposures.dims == ("day", "asset", "factor")
    assert fitted.assets == list(data.assets)
    known = np.isfinite(fitted.exposures.to_numpy()).all(axis=(1, 2))
    fitted_once = {"pca": data.n_training - 1, "factor_vae": data.n_training + data.n_validation - 1}
    start = 99 if isinstance(method, RollingOLS) else fitted_once.get(method.name, 124)
    assert not known[:start].any()
    assert known[start:].all()
    if fitted.exposure_sd is not None:
        sd = fitted.exposure_sd.to_numpy()[start:]
        assert (sd >= 0).all()
        assert (sd > 0).any()
    assert fitted.details["seconds"] > 0
    assert method.name in repr(fitted)
    assert len(fitted.summary()) == len(data.assets)


@every_method
def test_prediction_uses_the_day_before(fitted):
    d = fitted.dataset
    b, a = d["exposures"].to_numpy(), d["intercept"].to_numpy()
    seen, given = d["factor_values"].to_numpy(), d["factors_given"].to_numpy()
    reconstruction, prediction = fitted.reconstruction().to_numpy(), fitted.prediction().to_numpy()
    for t in (150, 360, len(b) - 1):
        np.testing.assert_allclose(reconstruction[t], a[t] + b[t] @ seen[t], atol=1e-12)
        np.testing.assert_allclose(prediction[t], a[t - 1] + b[t - 1] @ given[t], atol=1e-12)
    assert np.isnan(prediction[0]).all()


@every_method
@pytest.mark.parametrize("scale", few([1.0, 5.0], (1.0,)), ids=["noise", "wild"])
def test_nothing_after_a_day_changes_it(method, fitted, data, scale):
    _audit(method, fitted, data, scale, data.days_of("test").start + 15)
    # Inside the training part too: what is estimated there may not reach back
    for cut in (130, 200, 279):
        again = _audit(method, fitted, data, scale, cut)
        assert not again.exposures[cut + 1 :].equals(fitted.exposures[cut + 1 :])


def _audit(method, fitted, data, scale, cut):
    """Exposures with all returns from a day on replaced; those before it may not change by a bit."""
    rng = np.random.default_rng(8)
    returns, factors = data.returns.to_numpy().copy(), data.factors.to_numpy().copy()
    returns[cut:] = scale * 0.02 * rng.standard_normal(returns[cut:].shape)
    factors[cut:] = scale * 0.01 * rng.standard_normal(factors[cut:].shape)
    changed = ExposureData.from_arrays(
        returns, factors, days=data.days, factor_names=data.factor_names, sectors=data.sectors
    )
    again = method.fit(changed, seed=3)
    own = ["exposures", "intercept", "exposure_sd"]
    own = [name for name in own if name in fitted.dataset]
    for name in own:
        xr.testing.assert_identical(again.dataset[name][:cut], fitted.dataset[name][:cut])
    if cut > data.n_training + data.n_validation:
        xr.testing.assert_identical(again.dataset.isel(day=slice(cut)), fitted.dataset.isel(day=slice(cut)))
        xr.testing.assert_identical(again.parameters, fitted.parameters)
    assert not again.dataset.isel(day=slice(cut, None)).equals(fitted.dataset.isel(day=slice(cut, None)))
    return again


@every_method
@pytest.mark.parametrize("lost", [1, 23])
def test_days_that_have_not_come_yet_change_nothing(method, fitted, data, lost):
    """On the day itself the table ends there: exposures and their sd are the same to the bit."""
    n = len(data.days) - lost
    short = ExposureData.from_arrays(
        data.returns.to_numpy()[:n], data.factors.to_numpy()[:n], days=data.days[:n],
        factor_names=data.factor_names, sectors=data.sectors,
        training=(data.n_training + 0.1) / n, validation=data.n_validation / n,
    )  # fmt: skip
    assert (short.n_training, short.n_validation) == (data.n_training, data.n_validation)
    again = method.fit(short, seed=3)
    for name in ("exposures", "intercept", "exposure_sd"):
        if name in fitted.dataset:
            np.testing.assert_array_equal(again.dataset[name], fitted.dataset[name][:n], err_msg=name)


@every_method
def test_order_in_memory_changes_nothing(method, fitted, data):
    turned = ExposureData.from_arrays(
        np.asfortranarray(data.returns.to_numpy()),
        np.asfortranarray(data.factors.to_numpy()),
        days=data.days,
        factor_names=data.factor_names,
        sectors=data.sectors,
    )
    xr.testing.assert_identical(method.fit(turned, seed=3).exposures, fitted.exposures)


def test_smoothed_is_by_name_alone_and_ends_as_the_filtered_path(data):
    for make in (ConstantBetas, KalmanBetas, DCCGarch):
        filtered, smoothed = make().fit(data), make(smoothed=True).fit(data)
        assert smoothed.method == f"{filtered.method}_smoothed"
        assert np.isfinite(smoothed.exposures).all()
        late = slice(data.n_training - 1, None)
        np.testing.assert_array_equal(smoothed.exposures[late], filtered.exposures[late])
        assert not np.allclose(smoothed.exposures[130:200], filtered.exposures[130:200], atol=1e-6)


def gappy(data, asset=2):
    returns = data.returns.to_numpy().copy()
    returns[200:230, asset] = np.nan
    returns[370:380, asset] = np.nan
    return returns, ExposureData.from_arrays(returns, data.factors.to_numpy(), factor_names=data.factor_names)


@pytest.mark.parametrize("make", [ConstantBetas, KalmanBetas, DCCGarch])
def test_gaps_change_no_other_asset_and_are_skipped(make, data):
    returns, own = gappy(data)
    whole, result = make().fit(data), make().fit(own)
    others = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(result.exposures[:, others], whole.exposures[:, others], rtol=1e-9)
    assert np.isfinite(result.exposures[124:, 2]).all()
    assert not np.allclose(result.exposures[300:, 2], whole.exposures[300:, 2])
    # As if the missing days had never been
    known = np.isfinite(returns[:, 2])
    n = int(known[: data.n_training].sum())
    alone = ExposureData.from_arrays(
        returns[known][:, [2]],
        data.factors.to_numpy()[known],
        training=n / known.sum() + 1e-9,
        validation=0.1,
    )
    assert alone.n_training == n
    if make is ConstantBetas:
        again = make(smoothed=True).fit(alone).exposures[-1, 0]
        np.testing.assert_allclose(result.exposures[-1, 2], again, rtol=1e-9)
    if make is DCCGarch:
        np.testing.assert_array_equal(result.exposures[375, 2], result.exposures[369, 2])


def test_kalman_skips_missing_days_as_statsmodels_does(data):
    y, f = 100 * data.returns.to_numpy()[:, 0].copy(), 100 * data.factors.to_numpy()
    y[50:60] = np.nan
    loglik, mean, covariance = kalman_betas(y, f, noise_variance=0.6, step_variance=[4e-4, 1e-4])
    assert np.isfinite(loglik)
    np.testing.assert_array_equal(mean[50:60], np.repeat(mean[49:50], 10, axis=0))
    grown = np.diagonal(covariance[59] - covariance[49])
    np.testing.assert_allclose(grown, [0, 10 * 4e-4, 10 * 1e-4], atol=1e-12)
    short = kalman_betas(y[:50], f[:50], noise_variance=0.6, step_variance=[4e-4, 1e-4])[0]
    assert kalman_betas(y[:60], f[:60], noise_variance=0.6, step_variance=[4e-4, 1e-4])[0] == short


def test_methods_that_need_every_day_say_who_lacks_some(data):
    _, own = gappy(data)
    with pytest.raises(DataError, match=r"pca: 1 of 6 assets lack returns, days each: A2 40"):
        PrincipalComponents(2).fit(own)


def test_one_garch_that_fails_does_not_end_the_others(data, monkeypatch):
    import bdfm.exposures.dcc as module

    whole, margin = DCCGarch().fit(data), module.garch_margin
    bad = 100 * data.returns.to_numpy()[:, 3]

    def fail(returns, n_training):
        if len(returns) == len(bad) and np.array_equal(returns, bad):
            raise DataError("DCC-GARCH: a GARCH(1,1) did not converge (flag 9). Drop the series.")
        return margin(returns, n_training)

    monkeypatch.setattr(module, "garch_margin", fail)
    with pytest.warns(DataWarning, match=r"1 of 6 assets have no exposures, .* \(A3\)"):
        result = DCCGarch().fit(data)
    assert np.isnan(result.exposures[:, 3]).all()
    np.testing.assert_array_equal(result.exposures[:, 4], whole.exposures[:, 4])
    assert "flag 9" in result.details["failed"]["A3"]
    table = compare({"dcc": result, "constant": ConstantBetas().fit(data)}, data).table()
    rest = data.select(["A0", "A1", "A2", "A4", "A5"])
    np.testing.assert_allclose(
        table.loc["constant", "prediction_raw"],
        compare({"constant": ConstantBetas().fit(rest)}, rest).table().loc["constant", "prediction_raw"],
    )


@every_method
def test_file_holds_everything(fitted, tmp_path):
    path = fitted.save(tmp_path / "e.nc")
    loaded = Exposures.load(path)
    xr.testing.assert_identical(loaded.dataset, fitted.dataset)
    xr.testing.assert_identical(loaded.parameters, fitted.parameters)
    assert loaded.method == fitted.method
    # how long the fit took is not in the file: equal runs give equal files
    assert dict(loaded.details) == {k: x for k, x in fitted.details.items() if k != "seconds"}
    raw = path.read_bytes()
    path.write_bytes(raw[:-40])
    with pytest.raises(FileError, match=re.escape(str(path))):
        Exposures.load(path)


@pytest.mark.parametrize("method", WITHOUT_CHANCE, ids=lambda m: m.name)
def test_order_of_assets_does_not_matter(method, fitted, data):
    order = [str(a) for a in reversed(data.assets)]
    again = method.fit(data.select(order), seed=3)
    kept = [*fitted.dataset.data_vars] if not fitted.latent else ["intercept"]
    for name in kept:
        expected = fitted.dataset[name]
        expected = expected.sel(asset=order) if "asset" in expected.dims else expected
        np.testing.assert_allclose(again.dataset[name], expected, atol=1e-8)
    np.testing.assert_allclose(again.reconstruction(), fitted.reconstruction().sel(asset=order), atol=1e-8)


@every_method
def test_observed_exposures(fitted, data):
    betas = fitted.observed_exposures()
    assert list(betas["factor"].values) == list(data.factor_names)
    if not fitted.latent:
        assert betas.identical(fitted.exposures)
        return
    t, slopes = 300, fitted.parameters["factor_map"].to_numpy()
    np.testing.assert_allclose(betas.to_numpy()[t], fitted.exposures.to_numpy()[t] @ slopes, atol=1e-12)


@every_method
def test_plots(fitted):
    assert len(fitted.plot("A1").axes) == len(fitted.factor_names)
    assert fitted.plot_map(fitted.factor_names[0]).axes
    with pytest.raises(UnknownLabelError, match="unknown asset Z"):
        fitted.plot("Z")
    with pytest.raises(UnknownLabelError, match="unknown factor q"):
        fitted.plot_map("q")


def test_arrays_of_a_result_are_locked(data):
    with pytest.raises(ValueError, match="read-only"):
        ConstantBetas().fit(data).exposures.to_numpy()[0] = 1
    with pytest.raises(DataError, match=r"intercept has shape \(3,\)"):
        Exposures.from_arrays("x", data, np.zeros((400, 6, 2)), np.zeros(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RollingOLS(window_days=5), "window_days must be a whole number of at least 10"),
        (lambda: RollingOLS(refresh_days=0), "refresh_days"),
        (lambda: PrincipalComponents(0), "n_components"),
        (lambda: BayesianRandomWalk(n_draws=1), "n_draws"),
        (lambda: FactorVAE(gamma=-1), "gamma must not be negative"),
        (lambda: FactorVAE(hidden_units=()), "hidden_units"),
        (lambda: FactorVAE(learning_rate=0), "learning_rate must be above 0"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(DataError, match=message):
        make()


def test_settings_that_do_not_fit_the_data(data):
    with pytest.raises(DataError, match="a window of 750 days does not fit"):
        RollingOLS().fit(data)
    with pytest.raises(DataError, match="Ask for at most 6"):
        PrincipalComponents(7).fit(data)


def test_missing_package_names_the_extra(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr("bdfm._optional.import_module", absent)
    with pytest.raises(MissingDependencyError, match=r"FactorVAE: needs torch.*pip install 'bdfm\[torch\]'"):
        optional("torch", what="FactorVAE")
    with pytest.raises(MissingDependencyError, match=r"needs sklearn.*bdfm\[exposures\]"):
        optional("sklearn.cluster", what="regimes")


def test_rolling_ols_equals_statsmodels_rolling(data):
    from statsmodels.regression.rolling import RollingOLS as Oracle

    result = RollingOLS(window_days=100, refresh_days=7).fit(data)
    x = np.column_stack([np.ones(data.n_days), data.factors])
    refreshed = np.arange(99, data.n_days, 7)
    assert len(refreshed) == 43
    for i in range(len(data.assets)):
        oracle = Oracle(data.returns.to_numpy()[:, i], x, window=100).fit()
        for t in refreshed:
            for held in range(t, min(t + 7, data.n_days)):
                np.testing.assert_allclose(result.exposures[held, i], oracle.params[t, 1:], rtol=1e-8)
            np.testing.assert_allclose(result.exposure_sd[t, i], oracle.bse[t, 1:], rtol=1e-8)
            np.testing.assert_allclose(result.dataset["intercept"][t, i], oracle.params[t, 0], rtol=1e-7)


def test_pca_equals_the_eigenvectors_of_the_training_correlation(data):
    result = PrincipalComponents(2, smoothed=True).fit(data)
    x = data.standardised[: data.n_training]
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    projection = vectors[:, -2:] @ vectors[:, -2:].T
    expected = data.mean + data.sd * (data.standardised @ projection)
    np.testing.assert_allclose(result.reconstruction(), expected, atol=1e-12)
    np.testing.assert_allclose(
        result.parameters["explained_share"], values[::-1][:2] / values.sum(), rtol=1e-8
    )


def test_days_are_those_of_the_data(data):
    pd.testing.assert_index_equal(ConstantBetas().fit(data).dataset["day"].to_index(), data.days)


def test_equations_cited_are_in_the_document_and_all_are_cited():
    root = Path(__file__).resolve().parents[2]
    text = (root / "docs" / "exposures.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"E\d+", " ".join(re.findall(r"^### (Eqs?\. .*):", text, re.MULTILINE))))
    cited: set[str] = set()
    files = sorted((root / "bdfm" / "exposures").glob("*.py"))
    assert len(files) >= 10
    for file in files:
        for group in re.findall(r"\(eq\.([^)]*)\)", " ".join(file.read_text(encoding="utf-8").split())):
            numbers = [int(n) for n in re.findall(r"E(\d+)", group)]
            if " to " in group:
                numbers = list(range(min(numbers), max(numbers) + 1))
            cited |= {f"E{n}" for n in numbers}
    assert cited == documented
    assert len(documented) >= 20


OF_EACH_ASSET = [KalmanBetas(), DCCGarch(), BayesianRandomWalk(n_draws=2, n_burn=2, thin=1)]


@pytest.mark.parametrize("method", OF_EACH_ASSET, ids=lambda m: m.name)
def test_histories_too_short_for_a_method_are_refused(method, data):
    short = ExposureData.from_arrays(data.returns.to_numpy()[:70], data.factors.to_numpy()[:70])
    with pytest.raises(DataError, match=r"6 of 6 assets have fewer than 60 returns in the 49 days"):
        method.fit(short)


@pytest.mark.parametrize("method", OF_EACH_ASSET, ids=lambda m: m.name)
def test_an_asset_with_too_few_returns_is_named_and_has_no_numbers(method, data):
    returns = data.returns.to_numpy()[:110].copy()
    returns[:35, 2] = np.nan  # 42 of the 77 days of the training part
    short = ExposureData.from_arrays(returns, data.factors.to_numpy()[:110])
    with pytest.warns(DataWarning, match=r"1 of 6 assets have fewer than 60 returns .*\(A2 42\)") as told:
        found = method.fit(short)
    assert not any("converge" in str(w.message) for w in told)
    assert {w.filename for w in told if "60 returns" in str(w.message)} == {__file__}
    assert np.isnan(found.exposures.sel(asset="A2")).all()
    assert found.exposures.sel(asset="A1")[-1].notnull().all()
    for name, table in found.parameters.items():
        if "asset" in table.dims:
            assert np.isnan(table.sel(asset="A2")).all(), name
            assert np.isfinite(table.sel(asset="A1")).all(), name


@pytest.mark.parametrize("method", [ConstantBetas(), *OF_EACH_ASSET], ids=lambda m: m.name)
def test_factors_that_repeat_each_other_in_the_training_part_are_refused(method, data):
    factors = data.factors.to_numpy().copy()
    factors[: data.n_training, 1] = factors[: data.n_training, 0]
    given = ExposureData.from_arrays(data.returns.to_numpy(), factors)
    with pytest.raises(DataError, match="collinear from"):
        method.fit(given)


@pytest.mark.parametrize("method", [ConstantBetas(smoothed=True), *OF_EACH_ASSET], ids=lambda m: m.name)
@pytest.mark.parametrize(("moves", "told"), [(1, "on 1 day of"), (4, "on 4 days of"), (5, None)])
def test_a_factor_that_hardly_moves_in_the_training_part_is_told(method, moves, told, data):
    factors = data.factors.to_numpy().copy()
    factors[: data.n_training - moves, 1] = 0.0
    given = ExposureData.from_arrays(data.returns.to_numpy(), factors)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        method.check(given)
    found = [str(w.message) for w in seen if "moves so seldom" in str(w.message)]
    assert len(found) == (told is not None)
    assert all(told in text for text in found)


def test_an_asset_that_stands_still_in_a_window_is_quiet(data):
    returns = data.returns.to_numpy().copy()
    returns[320:, 0] = 0.0
    given = ExposureData.from_arrays(returns, data.factors.to_numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = RollingOLS(window_days=20).fit(given)
    assert (found.exposures[-1, 0] == 0).all()

"""Files of a month that are small: posteriors in single precision, forecasts whose draws are made anew."""

import numpy as np
import pytest
import xarray as xr

from bdfm.errors import FileError
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.view_texts import parse
from bdfm.inference.settings import SamplerSettings
from bdfm.posterior.fit import fit
from bdfm.posterior.posterior import Posterior


@pytest.fixture(scope="module")
def posterior(tiny_model, tiny_panel):
    return fit(
        tiny_model, tiny_panel, seed=5, settings=SamplerSettings(draws=200, tune=300, chains=2, thin=2)
    )


@pytest.fixture
def compact(posterior, tmp_path):
    """Posterior in single precision with its file, and a forecast of it with an edit."""
    single = posterior.in_single_precision()
    path = single.save(tmp_path / "posterior.nc")
    return single, path, single.forecast(seed=4, n_draws=4000).zero("A3")


def same_forecast(one, other):
    np.testing.assert_array_equal(one.draws.to_numpy(), other.draws.to_numpy())
    np.testing.assert_array_equal(one.weights.to_numpy(), other.weights.to_numpy())
    np.testing.assert_array_equal(one.quantile_probabilities(), other.quantile_probabilities())
    assert one.draws.coords.to_dataset().identical(other.draws.coords.to_dataset())
    assert one.attrs == other.attrs
    assert one.history().equals(other.history())


@pytest.mark.long
def test_single_precision_is_a_smaller_file_and_the_same_to_the_last_digit(posterior, compact, tmp_path):
    single, path, _ = compact
    loaded = Posterior.load(path)
    assert loaded.draws.identical(single.draws)
    assert all(x.dtype == np.float64 for x in loaded.draws.data_vars.values())
    assert not loaded.draws.identical(posterior.draws)
    for name, x in posterior.draws.data_vars.items():
        large = {"asset", "period"} & set(x.dims) and x.ndim > 3
        rtol = 2.0**-16 if large else 2.0**-24  # half of the last of 16 bits, of 24
        np.testing.assert_allclose(loaded.draws[name], x, rtol=rtol, atol=1e-30, err_msg=str(name))
        if large:
            assert not np.allclose(loaded.draws[name], x, rtol=1e-7, atol=0)
    whole = posterior.save(tmp_path / "whole.nc").stat().st_size
    assert path.stat().st_size < 0.7 * whole
    assert single.diagnose().verdict == posterior.diagnose().verdict
    assert loaded.diagnose().verdict == posterior.diagnose().verdict


def test_a_forecast_beside_its_posterior_keeps_only_what_changed(compact, tmp_path):
    _, path, forecast = compact
    whole = forecast.save(tmp_path / "whole.nc")
    small = forecast.save(tmp_path / "forecast.nc", made_from=path)
    assert small.stat().st_size < 0.2 * whole.stat().st_size + 30_000
    loaded = Forecast.load(small)
    same_forecast(loaded, forecast)
    same_forecast(Forecast.load(whole), forecast)
    with xr.open_dataset(small, engine="h5netcdf") as stored:
        assert stored["made_anew"].to_numpy().tolist() == [a != "A3" for a in forecast.assets]


def test_a_loaded_forecast_can_be_changed_and_saved_again(compact, tmp_path):
    _, path, forecast = compact
    forecast.save(tmp_path / "forecast.nc", made_from=path)
    again = Forecast.load(tmp_path / "forecast.nc").set_return("A0", 0.5).drop("A6")
    again.save(tmp_path / "forecast.nc")
    assert "made_from" in xr.load_dataset(tmp_path / "forecast.nc", engine="h5netcdf")
    same_forecast(Forecast.load(tmp_path / "forecast.nc"), again)
    (tmp_path / "elsewhere").mkdir()
    again.save(tmp_path / "elsewhere" / "forecast.nc")  # whole, where there is no posterior
    path.unlink()
    same_forecast(Forecast.load(tmp_path / "elsewhere" / "forecast.nc"), again)


def test_weights_of_views_are_kept(compact, tmp_path):
    _, path, forecast = compact
    told = forecast.with_views(parse("A0 = 1% +- 5%", semantics="evidence"))
    told.save(tmp_path / "forecast.nc", made_from=path)
    same_forecast(Forecast.load(tmp_path / "forecast.nc"), told)


def test_a_posterior_that_is_missing_or_another_is_told(posterior, compact, tmp_path):
    _, path, forecast = compact
    small = forecast.save(tmp_path / "forecast.nc", made_from=path)
    shifted = posterior.in_single_precision()
    draws = shifted.draws.assign(alpha=shifted.draws["alpha"] + 0.001)
    changed = Posterior.from_draws(
        draws, xr.Dataset(), posterior.model, posterior.panel, posterior.attrs
    ).in_single_precision()
    changed.save(path)
    with pytest.raises(FileError, match=r"posterior\.nc does not make the draws that this forecast had"):
        Forecast.load(small)
    path.unlink()
    with pytest.raises(FileError, match=r"made anew from posterior\.nc, which is not beside it"):
        Forecast.load(small)

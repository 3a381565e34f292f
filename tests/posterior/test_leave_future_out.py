"""Leave-future-out: densities against the normal case, refits against those by hand, no look-ahead."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from bdfm.data.panel import Panel
from bdfm.errors import DataError
from bdfm.inference.engine import labelled
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import model_data
from bdfm.model.factor_model import FactorModel
from bdfm.model.parts.noise import NormalNoise
from bdfm.model.parts.predictive import HistoricalPool
from bdfm.posterior.fit import fit
from bdfm.posterior.leave_future_out import leave_future_out, pasts, predictive_log_density
from bdfm.posterior.posterior import Posterior

SHORT = SamplerSettings(engine="gibbs", draws=100, tune=100, chains=2, thin=1)


def test_density_of_normal_noise_and_factors_is_the_normal_one(tiny_panel, tiny_truth):
    model = FactorModel(name="normal", n_factors=2, noise=NormalNoise())
    coords = model.coords(tiny_panel)
    shapes = {v.name: tuple(len(coords[d]) for d in v.dims) for v in model.variables if v.stored}
    values = {n: np.full(shape, 0.1) for n, shape in shapes.items()}
    values |= {k: v for k, v in tiny_truth.items() if k in shapes}
    values["factors"] = np.tile([0.03, -0.01], (tiny_panel.n_history, 1))
    arrays = {n: np.tile(v, (1, 400, *(1,) * np.ndim(v))) for n, v in values.items()}
    posterior = Posterior.from_draws(
        labelled(arrays, model, coords), xr.Dataset(), model, tiny_panel, {"seed": 0}
    )
    p = {k: v[:1] for k, v in posterior.parameters().items()}
    ahead = model_data(model, tiny_panel, future=True)
    rho, b = tiny_truth["rho"], tiny_truth["loadings"]
    mean = model.expected_return(p, rho * np.array([[[0.03, -0.01]]]), ahead)[0, 0]
    noise = np.exp(np.broadcast_to(model.log_noise_scale(p, ahead), mean[None, None].shape))[0, 0]
    sd = np.sqrt((b**2 @ tiny_truth["factor_scale"] ** 2) + noise**2)
    came = mean + np.linspace(-1.2, 1.6, len(mean)) * sd
    came[3] = np.nan
    found = predictive_log_density(posterior, came, seed=1)
    np.testing.assert_allclose(found, stats.norm.logpdf(came, mean, sd), atol=0.04)
    assert np.isnan(found[3])


def test_each_period_is_judged_by_a_fit_to_the_periods_before(tiny_model, tiny_panel):
    posterior = fit(tiny_model, tiny_panel, seed=5, settings=SHORT)
    first = tiny_panel.n_history - 2
    result = leave_future_out(posterior, seed=3, min_periods=first)
    assert result.elpd_i.dims == ("period", "asset")
    returns = tiny_panel.history["log_returns"].isel(period=slice(first, None))
    np.testing.assert_array_equal(result.elpd_i.isnull(), returns.isnull())
    child = np.random.SeedSequence(3).spawn(2)[1]
    whole = tiny_panel.to_dataset()
    short = whole.isel(period=slice(0, first + 2)).copy(deep=True)
    short["log_returns"][{"period": first + 1}] = np.nan
    origin = short["period"].to_numpy()[first]
    short.attrs |= {"n_history": first + 1, "origin": str(origin)[:10]}
    own = fit(tiny_model, Panel.from_dataset(short), seed=child, settings=SHORT)
    by_hand = predictive_log_density(own, returns.to_numpy()[1], seed=int(child.generate_state(2)[1]))
    np.testing.assert_array_equal(result.elpd_i.to_numpy()[1], by_hand)
    assert result.elpd == pytest.approx(np.nansum(result.elpd_i))
    assert "periods, elpd" in repr(result)


def test_nothing_of_a_period_or_after_it_enters_its_past(tiny_panel):
    first = tiny_panel.n_history - 4
    other = tiny_panel.to_dataset()
    for name in ("log_returns", "recent_return", "earnings", "market_volatility"):
        other[name][{"period": slice(first + 1, None)}] = 1.0
    other["log_returns"][{"period": slice(tiny_panel.n_history, None)}] = np.nan
    ours, _ = next(pasts(tiny_panel, first))
    theirs, _ = next(pasts(Panel.from_dataset(other), first))
    xr.testing.assert_identical(ours.dataset, theirs.dataset)
    assert (ours.n_history, ours.n_future) == (first, 1)
    assert ours.origin == tiny_panel.dataset["period"].to_index()[first - 1]


def test_what_cannot_be_judged_is_refused_before_a_fit(tiny_model, tiny_panel):
    posterior = fit(tiny_model, tiny_panel, seed=5, settings=SHORT)
    with pytest.raises(DataError, match=r"33 refits.*1 to 20"):
        leave_future_out(posterior, seed=1, min_periods=3, max_refits=20)
    with pytest.raises(DataError, match="min_periods"):
        leave_future_out(posterior, seed=1, min_periods=1)
    with pytest.raises(DataError, match="0 refits"):
        leave_future_out(posterior, seed=1, min_periods=tiny_panel.n_history)
    pooled = tiny_model.model_copy(update={"predictive": HistoricalPool(share=0.5)})
    with pytest.raises(DataError, match="pooled"):
        leave_future_out(fit(pooled, tiny_panel, seed=5, settings=SHORT), seed=1)


def test_characteristics_that_move_are_those_of_each_origin(tiny_panel):
    """So that a model that follows them has no look ahead, as one of characteristics that stay would."""
    n, n_assets = tiny_panel.n_history, len(tiny_panel.assets)
    z = np.random.default_rng(1).standard_normal((n + 1, n_assets, 2))
    panel = Panel.from_arrays(
        tiny_panel.history["log_returns"].to_numpy(),
        asset_class=tiny_panel.history["class_of"].to_numpy().tolist(),
        characteristics=z,
    )
    for t, (past, _) in zip((n - 2, n - 1), pasts(panel, n - 2), strict=True):
        np.testing.assert_array_equal(past.dataset["characteristics"], z[t])
        np.testing.assert_array_equal(past.dataset["characteristics_path"], z[: t + 1])
    own = {"panel": {"moving_characteristics": True}, "loadings": {"kind": "instrumented_walk", "every": 9}}
    posterior = fit(FactorModel(n_factors=2, **own), panel, seed=5, settings=SHORT)
    result = leave_future_out(posterior, seed=3, min_periods=n - 1)
    assert np.isfinite(result.elpd)

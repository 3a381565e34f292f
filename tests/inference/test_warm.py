"""A fit that goes on from the draws of an earlier one."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest
import xarray as xr
from months import ASSETS, small_market

from bdfm.data.panel import Panel
from bdfm.errors import ConvergenceWarning, DataError, ModelError
from bdfm.gibbs.data import make_data
from bdfm.gibbs.draws import named_draws
from bdfm.gibbs.state import start_state, state_sizes
from bdfm.gibbs.sweep import make_chain
from bdfm.gibbs.warm import Adaptation, place_draws
from bdfm.inference.engine import gibbs_spec, not_covered
from bdfm.inference.settings import SamplerSettings
from bdfm.inference.warm import as_text, warm_start
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel, presets
from bdfm.posterior.fit import fit

SETTINGS = SamplerSettings(engine="gibbs", draws=300, tune=200, chains=2, thin=2)


@pytest.fixture(scope="module")
def months():
    """Model, and the panels of two months in a row: A7 ends with the first, A0 is new in the second."""
    model, panel = small_market(41)
    first = panel(slice(0, 40), list(range(1, 8)), "2021-01-01")
    second = panel(slice(1, 41), list(range(7)), "2021-01-29")
    return model, first, second


@pytest.fixture(scope="module")
def earlier(months):
    model, first, _ = months
    return fit(model, first, seed=5, settings=SETTINGS)


@pytest.mark.parametrize("with_evidence", [False, True])
@pytest.mark.parametrize("name", [*sorted(presets()), "house with premia"])
def test_a_draw_that_is_placed_is_the_draw_of_the_state(name, with_evidence, small_preset):
    model, panel = small_preset(name.partition(" ")[0])
    if name.endswith("premia"):  # which no preset has: paths are kept without them
        model = FactorModel(**model.model_dump() | {"name": "premia", "mean": [{"kind": "factor_premium"}]})
    if not_covered(model):
        pytest.skip("the Gibbs sampler does not cover it")
    if with_evidence and not all(part.takes_evidence for part in model.parts):
        pytest.skip("a fit of it takes no evidence")
    evidence = (Evidence("A1", 0.02, 0.05),) if with_evidence else ()
    spec = gibbs_spec(model, panel, evidence)
    data = make_data(spec)
    kept = state_sizes(data, spec.n_factors)[1]
    rng = np.random.default_rng(1)
    values = np.abs(rng.standard_normal((1, 1, kept))) + 0.5
    draw = {n: x[0, 0] for n, x in named_draws(spec, data, values).items()}
    placed, _ = start_state(spec, data, rng)
    draws = {name: x[None] for name, x in draw.items()}
    assert not place_draws(spec, data, placed[None], draws).any()
    again = named_draws(spec, data, placed[None, None, :kept])
    for variable, x in draw.items():
        np.testing.assert_allclose(again[variable][0, 0], x, rtol=1e-12, err_msg=variable)


def test_draws_meet_another_panel_by_label(months, earlier):
    model, first, second = months
    coords = model.coords(second)
    warm = warm_start(earlier.draws, earlier.attrs["adaptation"], coords, 3)
    last = earlier.draws.isel(draw=-1)
    for c in (0, 1):
        start = warm.draws[c]
        np.testing.assert_array_equal(start["loadings"][1:], last["loadings"].sel(chain=c).values[:-1])
        assert np.isnan(start["loadings"][0]).all()
        np.testing.assert_array_equal(start["factors"][:-1], last["factors"].sel(chain=c).values[1:])
        assert np.isnan(start["factors"][-1]).all()
        classes = [earlier.panel.asset_classes.index(k) for k in second.asset_classes]
        np.testing.assert_array_equal(start["mu_theta"], last["mu_theta"].sel(chain=c).values[classes])
    # A third chain goes on from another draw than the first.
    np.testing.assert_array_equal(
        warm.draws[2]["theta"][1:], earlier.draws["theta"].isel(chain=0, draw=149).values[:-1]
    )
    assert warm.adaptation is not None
    np.testing.assert_array_equal(np.isnan(warm.adaptation.leverage), [True] + [False] * 6)
    # A panel that ends the next day takes the factors of the nearest periods.
    day = coords | {"period": first.history["period"].to_numpy() + np.timedelta64(1, "D")}
    start = warm_start(earlier.draws, None, day | {"asset": ASSETS[1:]}, 2).draws[1]
    np.testing.assert_array_equal(start["factors"], last["factors"].sel(chain=1).values)


def test_adaptation_goes_on(months):
    model, _, second = months
    spec = gibbs_spec(model, second)
    adaptation = Adaptation(-3.0, np.array([np.nan, *np.linspace(0.1, 0.6, 6)]))
    chain = make_chain(spec, np.random.default_rng(1), None, adaptation)
    tuning = chain.scratch.tuning
    assert tuning.log_step_nu[0] == -3.0
    assert tuning.sweeps[0] > 0
    np.testing.assert_array_equal(tuning.leverage, [0.0, *np.linspace(0.1, 0.6, 6)])
    text = as_text(Adaptation(-3.0, np.arange(7.0)), second.assets)
    empty = xr.Dataset({"x": (("chain", "draw"), np.zeros((1, 1)))})
    assert warm_start(empty, text, model.coords(second), 1).adaptation.leverage.tolist() == list(range(7))


def test_an_update_starts_where_the_earlier_chains_ended(months, earlier):
    """One sweep after the start, the factors of the same panel are those of the draw; a cold start's not."""
    model, first, _ = months
    warm = warm_start(earlier.draws, earlier.attrs["adaptation"], model.coords(first), 2)
    chain = make_chain(gibbs_spec(model, first), np.random.default_rng(1), warm.draws[1], warm.adaptation)
    now = chain.state.factors.path.T
    np.testing.assert_allclose(now, earlier.draws["factors"].isel(chain=1, draw=-1).values)


def test_an_update_gives_the_probabilities_of_a_cold_fit(months, earlier):
    model, _, second = months
    settings = SETTINGS.model_copy(update={"draws": 3000, "chains": 4})
    cold = fit(model, second, seed=8, settings=settings)
    warm = earlier.update(second, seed=9, settings=settings)
    assert warm.diagnose().max_rhat < 1.02
    p, q = (x.forecast(seed=1, n_draws=200_000).quantile_probabilities().to_numpy() for x in (cold, warm))
    # The largest of 35 differences was 0.0015 when this was written.
    assert np.abs(p - q).max() < 0.006
    assert warm.attrs["warm_from"] == "2021-01-01"
    assert "warm_from" not in cold.attrs
    assert warm.attrs["settings"] == cold.attrs["settings"]
    again = earlier.update(second, seed=9, settings=settings)
    np.testing.assert_array_equal(again.draws["loadings"], warm.draws["loadings"])


def test_a_warm_start_tunes_for_a_fifth(months, earlier):
    _, _, second = months
    settings = SamplerSettings(engine="gibbs", tune=250, chains=2, max_sweeps=600, thin=10)
    with pytest.warns(ConvergenceWarning, match="update: R-hat"):
        assert earlier.update(second, seed=1, settings=settings).attrs["sweeps"] <= 600
    with pytest.warns(ConvergenceWarning, match="update: R-hat"):
        short = earlier.update(second, seed=1, settings=settings.model_copy(update={"max_sweeps": 350}))
    assert short.n_draws == 2 * 30  # 350 sweeps, 50 of them to tune


def test_what_cannot_go_on_is_refused(months, earlier):
    model, first, second = months
    other = FactorModel(name="tiny", n_factors=1)
    with pytest.raises(ModelError, match=r"warm_from.*other settings"):
        fit(other, second, seed=1, settings=SETTINGS, warm_from=earlier)
    nuts = SamplerSettings(engine="nuts", draws=10, tune=10)
    with pytest.raises(ModelError, match="only the Gibbs sampler"):
        fit(model, second, seed=1, settings=nuts, warm_from=earlier)
    later = earlier.update(second, seed=1, settings=SETTINGS)
    with pytest.raises(DataError, match=r"2021-01-29, after the origin 2021-01-01"):
        later.update(first, seed=1, settings=SETTINGS)


@pytest.mark.slow
def test_an_interrupt_ends_nuts_with_no_posterior(tiny_model, tiny_panel):
    """PyMC's samplers return the draws that there are, and 100,000 take minutes longer than the interrupt."""
    settings = SamplerSettings(engine="nuts", draws=100_000, tune=100, chains=2)
    timer = threading.Timer(45, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(tiny_model, tiny_panel, seed=1, settings=settings)
        assert not timer.is_alive()
    finally:
        timer.cancel()


def test_an_update_needs_an_asset_in_common(earlier):
    model = earlier.model
    returns = np.random.default_rng(1).normal(0, 0.02, size=(40, 3))
    renamed = Panel.from_arrays(
        returns,
        asset_class=["stock"] * 3,
        assets=["X", "Y", "Z"],
        origin="2021-01-29",
        settings=model.panel,
    )
    with pytest.raises(DataError, match=r"has none of the assets here \(X, Y, Z\), but A1, A2"):
        earlier.update(renamed, seed=1, settings=SETTINGS)

"""When sweeps are enough: on chains of known autocorrelation, and on draws that no sampler made."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

from bdfm.errors import ConvergenceWarning
from bdfm.inference.choices import INDEPENDENT
from bdfm.inference.diagnostics import Diagnosis, diagnose
from bdfm.inference.engine import labelled, most_draws
from bdfm.inference.ess import rhat_and_ess
from bdfm.inference.identified import identified
from bdfm.inference.settings import SamplerSettings
from bdfm.inference.stopping import (
    ESS_MARGIN,
    FIRST_DRAWS,
    LEAST_GROWTH,
    MOST_GROWTH,
    StoppingRule,
    growth,
    meets,
)
from bdfm.names import LOG_LIKELIHOOD
from bdfm.posterior.fit import fit

MAX_RHAT, MIN_ESS = 1.01, 400.0


def stop(chains, *, max_rhat=MAX_RHAT, min_ess=MIN_ESS):
    """Draws of each chain at which looks at (chain, draw, quantity) end, or None."""
    n = FIRST_DRAWS
    while n <= chains.shape[1]:
        rhat, bulk, tail = rhat_and_ess(chains[:, :n])
        seen = rhat, np.minimum(bulk, tail)
        if meets(*seen, max_rhat=max_rhat, min_ess=min_ess):
            return n
        n = round(n * growth(*seen, max_rhat=max_rhat, min_ess=min_ess))
    return None


def autoregressive(rng, phi, n, *, n_chains=4, n_quantities=1):
    """Stationary chains (chain, draw, quantity) whose mean has (1 - phi) / (1 + phi) effective draws each."""
    noise = rng.standard_normal((n_chains, n, n_quantities))
    noise[:, 0] /= np.sqrt(1 - phi**2)
    return lfilter([1.0], [1.0, -phi], noise, axis=1)


@pytest.mark.parametrize("phi", [0.5, 0.9])
def test_stopping_at_the_first_good_look_does_not_stop_short(rng, phi):
    """Without a margin 18 to 33 % of runs stop short of 400 effective draws; with it next to none."""
    true = [
        4 * n * (1 - phi) / (1 + phi)
        for _ in range(60)
        if (n := stop(autoregressive(rng, phi, 8000))) is not None
    ]
    assert len(true) == 60
    assert np.mean(np.array(true) < MIN_ESS) <= 1 / 60
    assert np.median(true) < 3 * MIN_ESS  # and does not go on for ever


def test_the_estimate_at_the_end_is_not_biased_by_the_stop(rng):
    """Means of chains that stopped: as far from the truth as their effective draws allow."""
    phi, z = 0.9, []
    for _ in range(80):
        chains = autoregressive(rng, phi, 9000)
        n = stop(chains)
        assert n is not None
        sd = 1 / np.sqrt(1 - phi**2)
        z.append(chains[:, :n].mean() / (sd / np.sqrt(4 * n * (1 - phi) / (1 + phi))))
    assert abs(np.mean(z)) < 0.4
    assert 0.75 < np.std(z) < 1.25


def test_a_stuck_chain_never_passes(rng):
    chains = autoregressive(rng, 0.5, 20_000, n_quantities=3)
    chains[2, :, 1] = chains[2, 0, 1]
    assert stop(chains) is None


def test_a_chain_apart_never_passes(rng):
    chains = autoregressive(rng, 0.5, 20_000, n_quantities=3)
    chains[3, :, 2] += 0.5 * chains[..., 2].std()
    assert stop(chains) is None


def test_chains_on_their_way_from_far_starts_do_not_pass(rng):
    far = np.array([3.0, -3.0, 2.0, -2.0])[:, None] * np.exp(-np.arange(3000) / 400)
    n = stop(rng.standard_normal((4, 3000, 1)) + far[..., None])
    assert n is None or n > 1500


@pytest.mark.parametrize(
    ("rhat", "ess", "enough"),
    [
        (1.0099, ESS_MARGIN * 401, True),
        (1.0101, 1e6, False),
        (1.0, 1.1 * MIN_ESS, False),
        (np.nan, 1e6, False),
        (1.0, np.nan, False),
    ],
)
def test_effective_draws_have_a_margin_and_r_hat_none(rhat, ess, enough):
    good = np.array([1.0, rhat]), np.array([ess, 1e6])
    assert meets(*good, max_rhat=MAX_RHAT, min_ess=MIN_ESS) is enough


@pytest.mark.parametrize(
    ("rhat", "ess", "expected"),
    [
        (1.0, 1000.0, LEAST_GROWTH),
        (1.0, 400.0, 1.05 * 1.25),
        (1.012, 1000.0, 1.05 * 1.2),
        (1.012, 480.0, 1.05 * 1.2),
        (1.2, 1000.0, MOST_GROWTH),
        (1.0, 10.0, MOST_GROWTH),
        (np.nan, 1000.0, MOST_GROWTH),
        (1.0, np.nan, MOST_GROWTH),
    ],
)
def test_the_next_look_is_where_the_worst_measure_should_be_good(rhat, ess, expected):
    asked = {"max_rhat": MAX_RHAT, "min_ess": MIN_ESS}
    assert growth(np.array([rhat, 1.0]), np.array([5000.0, ess]), **asked) == pytest.approx(expected)


# -- the rule on draws of a model --------------------------------------------------------------------------


@pytest.fixture
def rule(tiny_model, tiny_panel):
    label = partial(labelled, model=tiny_model, coords=tiny_model.coords(tiny_panel))
    return StoppingRule(tiny_model, tiny_panel, label)


@pytest.fixture
def drawn(tiny_model, tiny_panel, random_draws):
    """Independent draws by name, and a log-likelihood."""
    draws = random_draws(tiny_model, tiny_panel, chains=4, draws=600)
    arrays = {str(n): x.to_numpy().copy() for n, x in draws.data_vars.items()}
    stats = {LOG_LIKELIHOOD: np.random.default_rng(1).standard_normal((4, 600))}
    return arrays, stats


def test_independent_draws_are_enough_and_their_diagnosis_is_that_of_the_posterior(
    rule, drawn, tiny_model, tiny_panel
):
    look = rule(*drawn)
    assert look.enough
    assert not look.apart
    assert rule.diagnosis is not None
    draws, stats = map(rule.label, drawn)
    total = stats[LOG_LIKELIHOOD]
    expected = diagnose(identified(draws, tiny_model, tiny_panel, log_likelihood=total))
    assert rule.diagnosis.elements.equals(expected.elements)
    own = identified(draws, tiny_model, tiny_panel)
    assert set(own) == set(identified(draws, tiny_model, tiny_panel, log_likelihood=total))
    # With evidence the sampler counts the period of it too, which a posterior's own does not.
    rule.with_evidence = True
    assert rule.whole(*drawn).elements.equals(diagnose(own).elements)


@pytest.mark.parametrize("name", ["alpha", "nu", "loadings", "theta", "log_likelihood"])
def test_one_chain_apart_is_not_enough(rule, drawn, name):
    """Of whatever is judged: the chain's loadings too, though they are identified in products only."""
    arrays, stats = drawn
    x = stats[name] if name == LOG_LIKELIHOOD else arrays[name]
    x[3] = x[3] + 3 * x.std() if name != "loadings" else 3 * x[3]
    look = rule(arrays, stats)
    assert not look.enough
    assert look.apart


def test_a_variable_that_never_moves_is_not_enough(rule, drawn):
    arrays, stats = drawn
    arrays["alpha"][:, :, 3] = 0.01
    assert not rule(arrays, stats).enough


def test_rotated_loadings_are_no_reason_to_go_on(rule, drawn):
    arrays, stats = drawn
    arrays["loadings"][2] = -arrays["loadings"][2]
    arrays["factors"][2] = -arrays["factors"][2]
    assert rule(arrays, stats).enough


def test_few_draws_meet_no_thresholds_however_good_they_are():
    """The largest R-hat of thousands of quantities is far from 1 where draws are few (docs/daily.md)."""
    rng = np.random.default_rng(1)
    few, many = (rhat_and_ess(rng.standard_normal((4, n, 5772))) for n in (142, 600))
    assert few[0].max() == pytest.approx(1.023, abs=0.004)
    assert min(few[1].min(), few[2].min()) == pytest.approx(280, abs=40)
    assert many[0].max() < MAX_RHAT
    assert min(many[1].min(), many[2].min()) > 3 * ESS_MARGIN * MIN_ESS


class Large:
    """A model of 100 assets on 1,000 days: what is kept of a draw has 0.9 MB."""

    variables = (
        SimpleNamespace(stored=True, dims=("day", "asset")),
        SimpleNamespace(stored=False, dims=("day",)),
    )


LARGE_COORDS = {"day": range(1000), "asset": range(115)}


def test_enough_draws_of_large_models_are_kept_for_the_thresholds():
    most = most_draws(Large, LARGE_COORDS, chains=4)
    few, many = (
        rhat_and_ess(np.random.default_rng(1).standard_normal((4, n, 5772))) for n in (most // 2, most)
    )
    assert many[0].max() < MAX_RHAT < few[0].max()  # just after thinning: not yet


@pytest.mark.parametrize("n", [200, 326, 400, 600])
def test_how_far_from_1_the_largest_r_hat_of_independent_draws_is(n):
    x = np.random.default_rng(n).standard_normal((4, n, 5772))
    assert rhat_and_ess(x)[0].max() - 1 == pytest.approx(INDEPENDENT / (4 * n), rel=0.2)


# -- the fit ---------------------------------------------------------------------------------------------


def test_a_fit_goes_on_until_it_has_converged(tiny_model, tiny_panel):
    settings = SamplerSettings(chains=2, tune=300, thin=2, max_rhat=1.05, min_ess=60)
    one, other = (
        fit(tiny_model, tiny_panel, seed=3, settings=settings.model_copy(update={"cores": c})) for c in (1, 2)
    )
    assert one.draws.identical(other.draws)
    diagnosis = one.diagnose()
    assert diagnosis.max_rhat <= 1.05
    assert min(diagnosis.min_ess_bulk, diagnosis.min_ess_tail) >= 60
    assert one.attrs["sweeps"] < settings.max_sweeps
    again = type(one)(one.tree).diagnose()  # made anew, from all that the posterior holds
    assert again.verdict == diagnosis.verdict
    # The sampler's log-likelihood spares the rule its own, and is the same.
    mine, its = (x.elements.set_index(["quantity", "label"]).sort_index() for x in (again, diagnosis))
    pd.testing.assert_frame_equal(mine, its, rtol=1e-9)


def test_a_fit_that_reaches_its_bound_says_so(tiny_model, tiny_panel):
    settings = SamplerSettings(chains=2, tune=50, thin=1, max_sweeps=400, max_rhat=1.0001)
    with pytest.warns(ConvergenceWarning, match=r"fit: R-hat 1.0001 and 400.*Raise max_sweeps") as told:
        posterior = fit(tiny_model, tiny_panel, seed=3, settings=settings)
    assert [Path(w.filename).name for w in told] == ["test_stopping.py"]  # of the caller's line, and once
    assert posterior.diagnose().verdict in str(told[0].message)
    assert posterior.attrs["sweeps"] <= 400
    assert posterior.draws.sizes["draw"] > 200
    assert not posterior.diagnose().converged
    assert posterior.diagnose().verdict.startswith("not converged")


def test_a_fixed_number_of_draws_is_what_was_asked_for(tiny_model, tiny_panel):
    settings = SamplerSettings(chains=2, tune=50, thin=1, draws=20)
    assert not fit(tiny_model, tiny_panel, seed=3, settings=settings).diagnose().converged


@pytest.mark.parametrize(
    ("max_rhat", "min_ess", "stuck", "good"),
    [(1.02, 90, (), True), (1.01, 90, (), False), (1.02, 101, (), False), (1.02, 90, ("nu",), False)],
)
def test_thresholds_that_a_diagnosis_meets(max_rhat, min_ess, stuck, good):
    elements = pd.DataFrame(
        {
            "quantity": "x",
            "label": ["a", "b"],
            "rhat": [1.0, 1.015],
            "ess_bulk": [100.0, 500],
            "ess_tail": 120.0,
        }
    )
    diagnosis = Diagnosis(elements, 0, 2, 500, None, None, stuck)
    assert diagnosis.meets(max_rhat=max_rhat, min_ess=min_ess) is good

"""Evidence on returns over days: conditioned paths are those that rejection of unconditioned ones keeps."""

from __future__ import annotations

import numpy as np
import pytest
from daily_draws import SYMBOLS, daily_posterior

from bdfm.errors import DataError, InfeasibleViewError, ModelError
from bdfm.forecast.changes import Changes
from bdfm.model.equations import model_data
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.model.path_evidence import paths_given_returns
from bdfm.model.simulate import simulate_ahead
from bdfm.portfolio.risk import portfolio_risk
from bdfm.posterior import memory
from bdfm.posterior.changed import forecast_with_changes

STEPS = 8


def paths(posterior, evidence, n_paths, *, seed, n_steps=STEPS):
    """Log returns (step, path, asset) from the origin, and their weights."""
    model, p, panel = posterior.model, posterior.parameters(), posterior.panel
    data = model_data(model, panel, future=True)
    kept = np.zeros((n_steps, n_paths * posterior.n_draws, len(SYMBOLS)), dtype=np.float32)

    def watch(step, first, rows):
        kept[step, first : first + len(rows)] = rows

    totals = np.empty(kept.shape[1:], dtype=np.float32)
    rest = {"n_paths": n_paths, "rng": np.random.default_rng(seed), "totals": totals, "watch": watch}
    if not evidence:
        simulate_ahead(model, p, p["factors"][:, :0], data, **rest)
        return kept.astype(float), np.full(kept.shape[1], 1 / kept.shape[1])
    log_weights = paths_given_returns(model, p, data, panel, evidence, n_steps=n_steps, **rest)
    weights = np.exp(log_weights - log_weights.max())
    return kept.astype(float), weights / weights.sum()


def statistics(x):
    """What is compared (statistic, path): sums, sizes of days, tails, and how days move together."""
    day = np.diff(x, axis=0, prepend=0)
    n_steps, _, n_assets = x.shape
    found = []
    for i in range(n_assets):
        for t in range(n_steps):
            found += [x[t, :, i], np.abs(day[t, :, i]), (x[t, :, i] < -0.05) * 1.0]
            found += [day[t, :, i] * day[t, :, (i + 1) % n_assets]]
            found += [day[t, :, i] * np.abs(day[(t + 1) % n_steps, :, i])]
    return np.array(found)


@pytest.fixture(scope="module")
def free():
    return paths(daily_posterior(), [], 1200, seed=1)[0]


@pytest.mark.long
@pytest.mark.parametrize(
    "evidence",
    [
        [Evidence("AAPL", -0.05, 0.01, 5)],
        [Evidence("AMD", 0.08, 0.03, 1)],
        [Evidence("AAPL", -0.04, 0.02, 5), Evidence("PEP", 0.02, 0.02, 3), Evidence("AAPL", -0.06, 0.02, 7)],
    ],
    ids=["a week", "a day", "three at once"],
)
def test_paths_are_those_that_rejection_keeps(free, evidence):
    """Rejection knows nothing of how paths are conditioned: it keeps a free path as often as it agrees."""
    log_weight = 0.0
    for e in evidence:
        came = np.expm1(free[e.horizon - 1, :, SYMBOLS.index(e.asset)])
        log_weight = log_weight - 0.5 * np.square((came - e.mean) / e.sd)
    kept = statistics(free[:, np.random.default_rng(2).random(free.shape[1]) < np.exp(log_weight)])
    assert kept.shape[1] > 2000
    made, w = paths(daily_posterior(), evidence, 60, seed=3)
    assert 1 / np.square(w).sum() > 0.2 * len(w)
    mine = statistics(made)
    mean = mine @ w
    error = np.square(mine - mean[:, None]) @ np.square(w) + kept.var(axis=1) / kept.shape[1]
    open_ = error > 0  # a tail that no path of either reaches
    assert open_.mean() > 0.9
    z = (kept.mean(axis=1) - mean)[open_] / np.sqrt(error[open_])
    assert np.abs(z).max() < 4.5
    assert np.square(z).mean() < 3.0  # statistics of one day are nearly one statistic


def test_evidence_may_be_sharp():
    """A hundredth of a percent: no free path comes near, and all conditioned ones are there."""
    made, w = paths(daily_posterior(), [Evidence("BAC", -0.07, 1e-4, 5)], 10, seed=1)
    came = np.expm1(made[4, :, SYMBOLS.index("BAC")])
    np.testing.assert_allclose(came, -0.07, atol=6e-4)
    assert 1 / np.square(w).sum() > 0.1 * len(w)


def test_the_first_days_do_not_hang_on_how_far_the_forecast_goes():
    evidence = [Evidence("AAPL", -0.05, 0.01, 5)]
    whole, w = paths(daily_posterior(), evidence, 4, seed=1)
    part, v = paths(daily_posterior(), evidence, 4, seed=1, n_steps=2)
    np.testing.assert_array_equal(part, whole[:2])
    np.testing.assert_array_equal(v, w)


def test_a_forecast_given_evidence():
    """Weights of its own, a record, a posterior error; and it is made again from a file."""
    plain = daily_posterior()
    given = plain.with_evidence(Evidence("AAPL", -0.05, 0.01, 5))
    forecasts = given.forecasts([1, 5, 8], seed=3, n_draws=8000)
    assert list(forecasts) == ["1d", "5d", "8d"]
    for forecast in forecasts.values():
        assert 500 < forecast.effective_draws < 0.99 * forecast.n_draws
        assert [r.kind for r in forecast.records] == ["evidence"]
    week = forecasts["5d"]
    mean = float(week.weights @ week.draws.sel(asset="AAPL"))
    assert mean == pytest.approx(-0.05, abs=0.006)
    assert float(week.weights @ week.draws.sel(asset="BAC")) < -0.02  # it moves with AAPL
    error = portfolio_risk(week, {"BAC": 1.0}).table["posterior_error"]
    assert np.isfinite(error).all()
    assert np.ptp(plain.forecast(5, seed=3, n_draws=8000).weights.to_numpy()) == 0


def test_evidence_is_saved_and_made_again(tmp_path):
    given = daily_posterior().with_evidence(Evidence("AAPL", -0.05, 0.01, 5), Evidence("AMD", 0.0, 0.02))
    given.save(tmp_path / "posterior.nc")
    again = type(given).load(tmp_path / "posterior.nc")
    assert again.evidence == given.evidence
    made = given.forecast(3, seed=1, n_draws=2000)
    made.save(tmp_path / "forecast.nc", made_from=tmp_path / "posterior.nc")
    loaded = type(made).load(tmp_path / "forecast.nc")
    np.testing.assert_array_equal(loaded.weights, made.weights)
    np.testing.assert_array_equal(loaded.draws, made.draws)


def test_a_view_that_the_draws_cannot_carry_conditions_the_paths():
    view = {"kind": "absolute", "asset": "PEP", "mean": -0.09, "sd": 0.001, "semantics": "evidence"}
    changes = Changes.from_dict({"views": [view]}, where="x")
    plain = daily_posterior()
    posterior, forecast = forecast_with_changes(plain, changes, seed=1, horizon=5, n_draws=8000)
    assert posterior.evidence == (Evidence("PEP", -0.09, 0.001, 5),)
    pep = forecast.draws.sel(asset="PEP").to_numpy()
    assert forecast.weights.to_numpy() @ pep == pytest.approx(-0.09, abs=0.002)
    with pytest.raises(InfeasibleViewError):
        forecast_with_changes(plain, changes, seed=1, horizon=5, n_draws=8000, views_method="reweight")


def test_what_is_refused():
    plain = daily_posterior()
    with pytest.raises(InfeasibleViewError, match=r"evidence \(PEP returns .* of .* draws would count"):
        plain.with_evidence(Evidence("PEP", -0.7, 0.001, 1)).forecast(1, seed=1, n_draws=2000)
    with pytest.raises(DataError, match="horizon 9 is beyond the panel's 8 future periods"):
        plain.with_evidence(Evidence("PEP", -0.05, 0.01, 9))
    with pytest.raises(DataError, match="PEP"):
        plain.with_evidence(Evidence("PEP", -0.05, 0.01, 5), Evidence("PEP", -0.04, 0.01, 5))
    with pytest.raises(ModelError, match="PyMC form is of the history"):
        plain.model.build(plain.panel, evidence=[Evidence("PEP", -0.05, 0.01)])
    other = FactorModel.from_preset("house")
    with pytest.raises(ModelError, match="on 5 periods, and a fit knows the first one"):
        other.check_evidence([Evidence("PEP", -0.05, 0.01, 5)])
    panel = plain.model.panel.model_copy(update={"rolling_covariance": other.panel.rolling_covariance})
    pooled = plain.model.model_copy(update={"predictive": other.predictive, "panel": panel})
    with pytest.raises(ModelError, match="pooled with other draws"):
        pooled.check_evidence([Evidence("PEP", -0.05, 0.01, 5)])


@pytest.mark.parametrize("days", [5, 8])
def test_the_days_that_evidence_is_about_count_as_memory(days, monkeypatch):
    """They are kept at once: where there is room for free paths alone, evidence is refused."""
    posterior = daily_posterior()
    size = {"n_posterior": posterior.n_draws}
    free = memory.forecast_bytes(2000, len(SYMBOLS), **size)
    known = memory.forecast_bytes(2000, len(SYMBOLS), **size, n_known=days)
    each = 8 * memory.DAY_WORK * posterior.n_draws * len(SYMBOLS)
    assert known - free >= days * each
    monkeypatch.setattr(memory._memory, "room", lambda: ((free + known) // 2, "is the budget"))
    posterior.forecast(2, seed=1, n_draws=2000)
    with pytest.raises(DataError, match="would fit"):
        posterior.with_evidence(Evidence("AAPL", -0.05, 0.02, days)).forecast(2, seed=1, n_draws=2000)

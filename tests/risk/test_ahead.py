"""Risk of the next days: against a simulation written out by hand, and against forecasts of each horizon."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from daily_draws import SYMBOLS, daily_posterior

from bdfm.errors import DataError, ModelError, UnknownLabelError
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.portfolio.risk import portfolio_risk
from bdfm.report.ahead import ahead_of, write_ahead_alone
from bdfm.risk.ahead import risk_ahead

DAYS, LEVEL = 6, 0.9
BOOKS = pd.DataFrame([[0.4, 0.3, 0.2, 0.1], [0.5, -0.5, 0.0, 0.3]], index=["long", "short"], columns=SYMBOLS)
MEASURES = ("volatility", "value_at_risk", "expected_shortfall")


@pytest.fixture(scope="module")
def found():
    return risk_ahead(daily_posterior(), BOOKS, seed=5, days=DAYS, level=LEVEL, n_draws=40_000)


@pytest.mark.parametrize("day", [1, 2, 6])
def test_each_day_is_the_risk_of_the_forecast_to_it(found, day):
    forecast = daily_posterior().forecast(day, seed=5, n_draws=40_000)
    for name, weights in BOOKS.iterrows():
        table = portfolio_risk(forecast, weights, level=LEVEL).table
        own = found.table.loc[(name, day)]
        for measure in MEASURES:
            assert own.loc[measure, "value"] == pytest.approx(table.loc[measure, "value"], abs=1e-5)
            for error in ("mc_error", "posterior_error"):
                assert own.loc[measure, error] == pytest.approx(table.loc[measure, error], rel=0.05)


def by_hand(n_paths, seed):
    """Gains (day, path, portfolio) by equations D1 to D8, step by step, one number after the other."""
    posterior, rng = daily_posterior(), np.random.default_rng(seed)
    p = {
        name: x.stack(z=("chain", "draw")).transpose("z", ...).to_numpy()
        for name, x in posterior.draws.items()
    }
    flags = posterior.panel.future["earnings"].to_numpy()
    gains = np.empty((DAYS, n_paths, len(BOOKS)))
    pick = rng.integers(posterior.n_draws, size=n_paths)
    q = {name: x[pick] for name, x in p.items()}
    h, v = q["factor_volatility"][:, -1], q["volatility_state"][:, -1]
    z = q["factors"][:, -1] / (q["factor_scale"] * np.exp(h))
    phi_v, sd_v = 1 / (1 + np.exp(-q["logit_phi"])), np.exp(q["log_volatility_sd"])
    total = np.zeros((n_paths, len(SYMBOLS)))
    for t in range(DAYS):
        own = np.sqrt(1 - q["leverage"] ** 2) * rng.standard_normal(h.shape)
        h = q["factor_phi"] * h + q["factor_volatility_sd"] * (q["leverage"] * z + own)
        z = rng.standard_normal(h.shape)
        v = phi_v * v + sd_v * rng.standard_normal(v.shape)
        scale = np.exp(q["theta"] + v + q["beta_earnings"] * flags[t])
        f = q["factor_scale"] * np.exp(h) * z
        for i in range(len(SYMBOLS)):
            total[:, i] += (q["loadings"][:, i] * f).sum(axis=1) + scale[:, i] * rng.standard_t(q["nu"][:, i])
        gains[t] = np.expm1(total) @ BOOKS.to_numpy().T
    return gains


@pytest.mark.long
def test_it_is_what_the_equations_say():
    """Volatility, value at risk and shortfall of every day, from paths that share no code with it."""
    n = 200_000
    made = risk_ahead(daily_posterior(), BOOKS, seed=7, days=DAYS, level=LEVEL, n_draws=n).table
    gains = by_hand(n, 6)
    z = []
    for b, name in enumerate(BOOKS.index):
        for t in range(DAYS):
            x, day = gains[t, :, b], np.diff(gains[: t + 1, :, b], axis=0, prepend=0)[-1]
            cut = np.quantile(x, 1 - LEVEL)
            theirs = {
                "daily_volatility": np.clip(day, *np.quantile(day, [1e-4, 1 - 1e-4])).std(),
                "volatility": np.clip(x, *np.quantile(x, [1e-4, 1 - 1e-4])).std(),
                "value_at_risk": -cut,
                "expected_shortfall": -x[x <= cut].mean(),
            }
            for measure, value in theirs.items():
                row = made.loc[(name, t + 1, measure)]
                error = np.hypot(
                    1.5 * row["mc_error"], 0.002 * value
                )  # theirs picks posterior draws by chance
                z.append((row["value"] - value) / error)
    assert len(z) == 4 * DAYS * len(BOOKS)
    assert np.abs(z).max() < 4.5


def test_posterior_errors_are_those_of_the_parameters():
    """Of the first day's volatility: the spread over draws of each draw's own, to first order."""
    posterior = daily_posterior()
    p = posterior.parameters()
    scale = posterior.model.factor_scale
    h, z = scale.start_ahead(p)
    expected = p["factor_phi"] * h + p["factor_volatility_sd"] * p["leverage"] * z
    log_variance = 2 * expected + 2 * (p["factor_volatility_sd"] ** 2 * (1 - p["leverage"] ** 2))
    factor = p["factor_scale"] ** 2 * np.exp(log_variance)
    phi = 1 / (1 + np.exp(-p["logit_phi"]))
    noise = 2 * (p["theta"] + phi * p["volatility_state"][:, -1]) + 2 * np.exp(2 * p["log_volatility_sd"])
    noise = np.exp(noise) * p["nu"] / (p["nu"] - 2)
    w = np.array([0.4, 0.3, 0.3, 0.0])  # not PEP, whose tails are the heaviest
    variance = np.square(np.einsum("i,dik->dk", w, p["loadings"])) * factor
    variance = variance.sum(axis=1) + noise @ np.square(w)
    value = np.sqrt(variance.mean())
    found = risk_ahead(posterior, dict(zip(SYMBOLS, w, strict=True)), seed=5, days=1, n_draws=100_000)
    row = found.table.loc[("portfolio", 1, "daily_volatility")]
    assert row["value"] == pytest.approx(value, rel=0.03)
    assert row["posterior_error"] == pytest.approx(variance.std() / (2 * value), rel=0.12)


def test_announcements_ahead(found):
    table = found.announcements
    assert list(table.index) == [(3, "AMD"), (5, "PEP")]
    assert list(table["end"].dt.strftime("%F")) == ["2020-11-25", "2020-11-27"]
    assert (table["volatility"] > 1.5 * table["without"]).all()
    assert table.loc[(3, "AMD"), "weight short"] == -0.5
    alone = found.measure("daily_volatility", "short")["value"].astype(float)
    assert alone[3] > 1.2 * alone[2]
    assert alone[4] < alone[3]
    calm = risk_ahead(daily_posterior(), {"BAC": 1.0}, seed=1, days=3, n_draws=2000)
    assert calm.announcements.empty
    assert "weight" not in repr(calm)


def volatility_by_hand(day, asset, flag):
    """Root of the mean variance, over posterior draws, of an asset's log return on a day (eq. D1 to D8)."""
    posterior = daily_posterior()
    p, i = posterior.parameters(), SYMBOLS.index(asset)
    h, v = p["factor_volatility"][:, -1], np.square(p["factor_volatility_sd"])
    z = p["factors"][:, -1] / (p["factor_scale"] * np.exp(h))
    mean = p["factor_phi"] * h + p["factor_volatility_sd"] * p["leverage"] * z
    variance = v * (1 - np.square(p["leverage"]))  # of tomorrow: today's shock is known
    for _ in range(day - 1):
        mean, variance = p["factor_phi"] * mean, np.square(p["factor_phi"]) * variance + v
    common = np.square(p["loadings"][:, i] * p["factor_scale"]) * np.exp(2 * mean + 2 * variance)
    phi, shock = 1 / (1 + np.exp(-p["logit_phi"][:, i])), np.exp(2 * p["log_volatility_sd"][:, i])
    state = phi**day * p["volatility_state"][:, -1, i]
    spread = sum(phi ** (2 * k) for k in range(day)) * shock
    usual = np.log(np.exp(p["theta"][:, i]) + 1e-4)  # the floor of a basis point
    log_scale = usual + state + spread + flag * p["beta_earnings"][:, i]
    nu = p["nu"][:, i]
    return np.sqrt((common.sum(axis=1) + np.exp(2 * log_scale) * nu / (nu - 2)).mean())


def test_volatility_of_an_announcement_and_without_it(found):
    for day, symbol in ((3, "AMD"), (5, "PEP")):
        row = found.announcements.loc[(day, symbol)]
        assert row["volatility"] == pytest.approx(volatility_by_hand(day, symbol, 1.0), rel=5e-3)
        assert row["without"] == pytest.approx(volatility_by_hand(day, symbol, 0.0), rel=5e-3)


def test_each_day_has_its_date(found):
    ends = found.measure("volatility")["end"].dt.strftime("%F").tolist()
    assert ends == ["2020-11-23", "2020-11-24", "2020-11-25", "2020-11-26", "2020-11-27", "2020-11-30"]


def test_evidence_is_in_it():
    given = daily_posterior().with_evidence(Evidence("AAPL", -0.06, 0.005, 3))
    tables = [
        risk_ahead(x, {"BAC": 1.0}, seed=1, days=4, n_draws=8000).measure("value_at_risk")["value"]
        for x in (daily_posterior(), given)
    ]
    free, fallen = (t.astype(float) for t in tables)
    assert fallen[3] > free[3] + 0.02


def test_picture_has_annual_volatility_and_errors_both_ways(found):
    left, right = found.plot().axes
    for axis, name, times in (
        (left, "daily_volatility", 100 * np.sqrt(252)),
        (right, "value_at_risk", 100.0),
    ):
        table = times * found.measure(name, "long")[["value", "posterior_error"]].astype(float)
        np.testing.assert_allclose(axis.lines[0].get_ydata(), table["value"])
        ends = axis.collections[0].get_paths()[0].vertices
        at = ends[ends[:, 0] == 4.0, 1]
        value, error = table.loc[4]
        np.testing.assert_allclose([at.min(), at.max()], [value - error, value + error])


def test_pictures_files_and_words(found, tmp_path):
    assert "2 portfolios" in repr(found)
    assert "daily_volatility" in found._repr_html_()
    assert len(found.plot().axes) == 2
    write_ahead_alone(found, tmp_path / "out")
    files = {x.name for x in (tmp_path / "out").iterdir()}
    assert files == {"ahead.csv", "ahead.png", "announcements.csv", "summary.json", ".bdfm.json"}
    read = pd.read_csv(tmp_path / "out" / "ahead.csv", index_col=[0, 1, 2])
    np.testing.assert_allclose(read["value"], found.table["value"].astype(float))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [row["value"] for row in summary["tables"]["ahead"]] == found.table["value"].tolist()
    assert summary["tables"]["announcements"][0]["end"] == f"{found.announcements['end'].iloc[0]:%Y-%m-%d}"
    assert (summary["origin"], summary["level"]) == (f"{found.origin:%Y-%m-%d}", found.level)
    assert summary["portfolios"] == found.portfolios


def test_what_is_refused():
    posterior = daily_posterior()
    with pytest.raises(DataError, match="day 9 is beyond the panel's 8 future days"):
        risk_ahead(posterior, BOOKS, seed=1, days=9)
    with pytest.raises(UnknownLabelError, match="XOM"):
        risk_ahead(posterior, {"XOM": 1.0}, seed=1, days=2)
    with pytest.raises(DataError, match="none holds no asset"):
        risk_ahead(posterior, pd.DataFrame({"PEP": [0.0]}, index=["none"]), seed=1, days=2)
    with pytest.raises(DataError, match="level must be between 0 and 1"):
        risk_ahead(posterior, {"PEP": 1.0}, seed=1, days=2, level=1.5)
    house = FactorModel.from_preset("house")
    panel = posterior.model.panel.model_copy(update={"rolling_covariance": house.panel.rolling_covariance})
    pooled = posterior.model.model_copy(update={"predictive": house.predictive, "panel": panel})
    for model, told in ((house, "no volatilities by market day"), (pooled, "are pooled")):
        with pytest.raises(ModelError, match=told):
            risk_ahead(_of(posterior, model), {"PEP": 1.0}, seed=1, days=2)
    assert (
        len(ahead_of(posterior, None, days=None, level=0.95, seed=1, n_draws=2000).measure("volatility")) == 8
    )


def _of(posterior, model):
    """The posterior as if another model had been fitted."""
    other = type(posterior)(posterior.tree)
    other.__dict__["model"] = model
    return other

"""Forecasts that go on from one another: the same whatever is asked for, and whoever does the work."""

import json

import numpy as np
import pandas as pd
import pytest
from forecasters import Counting, Naive, Remembering, Stumbling
from test_walk_forward import same

import bdfm
from bdfm.backtest import ModelForecaster, audit, look_ahead, walk_forward
from bdfm.backtest.models import BACKTEST_SAMPLER
from bdfm.backtest.stretches import stretch_length, stretches, way_to
from bdfm.backtest.walk import origin_seed
from bdfm.errors import DataError, DataWarning, ModelError


def test_stretches_hold_origins_in_a_row():
    dates = pd.date_range("2019-01-04", periods=40, freq="28D")
    mixed = [*dates, dates[5] + pd.Timedelta(days=3)]
    found = stretches(mixed, period=28, length=13)
    assert sorted(d for group in found for d in group) == sorted(mixed)
    assert (mixed[-1],) in found  # of another day of the period
    for group in found:
        way = way_to(group[-1], period=28, length=13)
        assert set(group) <= set(way)
        assert len(way) <= 13
        assert {way_to(d, period=28, length=13)[0] for d in group} == {way[0]}
        assert (np.diff(way) == np.timedelta64(28, "D")).all()
    assert max(len(group) for group in found) == 13
    assert stretches(dates, period="month", length=1) == [(d,) for d in dates]
    assert way_to(dates[3], period="month", length=1) == [dates[3]]
    with pytest.raises(DataError, match=r"period 'month' and warm: an update goes on from the origin"):
        stretches(dates, period="month", length=2)


def test_a_forecaster_without_memory_has_stretches_of_one():
    assert stretch_length(Naive()) == 1
    assert stretch_length(Remembering()) == 4


@pytest.mark.long
def test_what_comes_of_an_origin_does_not_hang_on_what_else_is_asked_for(data, origins, tmp_path):
    whole = walk_forward(Remembering(), data, origins, tmp_path / "whole")
    for origin, way in zip(whole.origins, whole.facts["way"], strict=True):
        expected = [(f"{d:%Y-%m-%d}", origin_seed(1, d)) for d in way_to(origin, period=28, length=4)]
        assert way == str(expected)
    alone = walk_forward(Remembering(), data, [origins[5]], tmp_path / "alone")
    assert alone.results[0].identical(whole.results[5])
    parts = walk_forward(Remembering(), data, origins[::2], tmp_path / "parts")
    assert len(parts.results) == len(origins[::2])
    assert same(walk_forward(Remembering(), data, origins, tmp_path / "parts", workers=2), whole)


def test_an_origin_that_fails_does_not_end_its_stretch(data, origins, tmp_path):
    """The first origins of a stretch may have too few prices: the rest begins anew."""
    dates, early = pd.date_range("2017-04-21", periods=13, freq="28D"), pd.Timestamp("2017-03-01")
    ways = [way_to(d, period=28, length=13) for d in dates]
    first, way = max(zip(dates, ways, strict=True), key=lambda x: (x[1][0] < early, x[0]))
    assert way[0] < early
    run = walk_forward(Remembering(stretch=13), data, [first], tmp_path)
    assert len(run.failures) == 0
    told = run.facts["way"].iloc[0]
    begun = json.loads(told.replace("'", '"').replace("(", "[").replace(")", "]"))
    assert begun[-1][0] == f"{first:%Y-%m-%d}"
    assert f"{way[0]:%Y-%m-%d}" < begun[0][0] < begun[-1][0]


@pytest.mark.long
def test_a_model_is_fitted_cold_once_a_stretch_and_updated_after(data, origins, tmp_path):
    model = bdfm.FactorModel.from_preset("m6").model_copy(update={"n_factors": 2})
    sampler = BACKTEST_SAMPLER.model_copy(update={"max_rhat": 1.05, "min_ess": 60.0, "tune": 100})
    warm = ModelForecaster(model, sampler=sampler, n_draws=400, warm=3)
    assert warm.settings["warm"] == 3
    assert "warm" not in ModelForecaster(model).settings
    chosen = origins[:4]
    run = walk_forward(warm, data, chosen, tmp_path / "warm")
    assert run.facts["settled"].all()
    posterior = None
    for origin in way_to(chosen[-1], period=28, length=3):
        made, posterior = warm.forecast_next(data.history(origin), posterior, seed=origin_seed(1, origin))
    np.testing.assert_array_equal(run.results[-1]["probability"], made.quantile_probabilities().to_numpy())
    place = [len(way_to(d, period=28, length=3)) for d in chosen]
    assert {1, 2, 3} <= set(place)
    cold = walk_forward(ModelForecaster(model, sampler=sampler, n_draws=400), data, chosen, tmp_path / "cold")
    for k, number in enumerate(place):
        one, other = run.results[k], cold.results[k]
        assert np.array_equal(one["probability"], other["probability"]) == (number == 1)
    assert look_ahead(warm, data, chosen[:1]).to_numpy().all()
    with pytest.raises(DataError, match="warm"):
        ModelForecaster(model, warm=0)


@pytest.mark.long
def test_the_command_updates_and_refuses_what_contradicts_it(bdfm_command, data, origins, tmp_path):
    data.prices.to_csv(tmp_path / "prices.csv")
    data.universe.to_csv(tmp_path / "universe.csv", index=False)
    (tmp_path / "tiny.toml").write_text('name = "tiny"\nn_factors = 1\n', encoding="utf-8")
    arguments = [
        *("backtest", tmp_path / "tiny.toml", "--out", tmp_path / "runs", "--warm", 3),
        *("--prices", tmp_path / "prices.csv", "--universe", tmp_path / "universe.csv"),
        *("--first", f"{origins[0]:%Y-%m-%d}", "--last", f"{origins[1]:%Y-%m-%d}"),
    ]
    for more, told in (
        (["--late", 1], "Leave out --warm"),
        (["--calendar-months"], "--warm: an update goes on from the origin a number of days before"),
    ):
        code, _, err = bdfm_command(*arguments, *more)
        assert code == 2
        assert told in err
    assert not (tmp_path / "runs" / "tiny").exists()
    code, out, err = bdfm_command(*arguments, "--min-ess", 60, "--n-draws", 400)
    assert code == 0, err
    assert "over 2 origins" in out
    manifest = json.loads((tmp_path / "runs" / "tiny" / "manifest.json").read_text())
    settings = manifest["identity"]["settings"]
    assert (settings["warm"], settings["sampler"]["min_ess"]) == (3, 60)


@pytest.mark.long
def test_an_origin_that_fails_ends_its_stretch_and_the_same_call_tries_again(data, origins, tmp_path):
    """The next one would go on from an origin that is not the one before, and stay so."""
    whole = walk_forward(Remembering(), data, origins, tmp_path / "whole")
    lengths = [len(way_to(d, period=28, length=4)) for d in origins]
    second = next(k for k, n in enumerate(lengths) if n == 2 and k + 2 < len(origins))
    at = f"{origins[second]:%Y-%m-%d}"
    for error in (ArithmeticError, DataError):
        folder = tmp_path / error.__name__
        with pytest.warns(DataWarning, match="3 of"):
            broken = walk_forward(Stumbling(at=at, error=error), data, origins, folder)
        assert list(broken.failures["origin"]) == [f"{d:%Y-%m-%d}" for d in origins[second : second + 3]]
        assert f"goes on from {at}, which failed: no luck today" in broken.failures["message"].iloc[-1]
        assert same(walk_forward(Stumbling(), data, origins, folder), whole)
    alone = tmp_path / "alone"  # an origin on the way that nobody asked for
    with pytest.raises(DataError, match=f"goes on from {at}"):
        walk_forward(Stumbling(at=at), data, [origins[second + 1]], alone)


def test_the_audit_goes_the_whole_way(data, origins):
    origin = next(d for d in origins if len(way_to(d, period=28, length=4)) == 3)
    found = audit._forecast(Counting(), data, origin, 28, None, 1)
    history = data.history(origin)
    plain = Naive().forecast(history, seed=origin_seed(1, origin)).draws.to_numpy()
    np.testing.assert_allclose(found, plain + 0.02, rtol=1e-5, atol=1e-7)
    assert look_ahead(Counting(), data, [origin]).to_numpy().all()


def test_what_cannot_have_stretches_is_told_before_anything_is_done(data, origins, tmp_path):
    for stretch in (0, -1, 2.5):
        with pytest.raises(DataError, match="stretch"):
            walk_forward(Remembering(stretch=stretch), data, origins, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    nuts = bdfm.SamplerSettings(engine="nuts")
    with pytest.raises(ModelError, match="need the Gibbs sampler"):
        ModelForecaster(bdfm.FactorModel.from_preset("m6"), sampler=nuts, warm=2)

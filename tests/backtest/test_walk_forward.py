"""The engine: what a run holds, resuming, failures, workers."""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from forecasters import Failing, Naive, Slow

import bdfm
from bdfm import _files, _workers
from bdfm.backtest import (
    Late,
    MarketData,
    ModelForecaster,
    QuantileForecast,
    Run,
    look_ahead,
    origin_dates,
    walk_forward,
)
from bdfm.backtest.models import BACKTEST_SAMPLER
from bdfm.backtest.run import MANIFEST, ORIGINS, failure_file, origin_file
from bdfm.backtest.walk import origin_seed
from bdfm.cli.backtest import _show_run
from bdfm.errors import ConvergenceWarning, DataError, DataWarning, FileError, UnknownLabelError
from bdfm.scoring.joint import joint_pit

HERE = Path(__file__).parent


def same(a: Run, b: Run) -> bool:
    """Whether two runs hold the same results, but for the time they took."""
    assert len(a.results) == len(b.results) > 0

    def content(x):
        return x.assign_attrs(seconds=0.0)

    return all(content(x).identical(content(y)) for x, y in zip(a.results, b.results, strict=True))


def files(folder: Path) -> list[Path]:
    return sorted((folder / ORIGINS).glob("*.npz"))


# -- what a run holds --------------------------------------------------------------------------------------


def test_where_all_assets_tie_scores_are_finite(tmp_path, data):
    """Nothing trades over a weekend: fifths are what came, and no unit is left to tell scores in."""
    with pytest.warns(DataWarning, match="1 of 1 begin a period without a price"):
        run = walk_forward(Naive(), data, ["2020-06-06"], tmp_path / "x", period=1)
    assert np.isfinite(run.cells[["rps", "rps_1"]].to_numpy()).all()
    assert run.scores["rps"].iloc[0] < 0.16


def test_scores_are_those_of_the_forecasts(run, data, origins):
    assert list(run.origins) == list(origins)
    origin = origins[3]
    history = data.history(origin)
    forecast = Naive().forecast(history, seed=origin_seed(1, origin))
    came = bdfm.period_returns(data.prices[list(history.assets)], origin, history.end)
    rps = bdfm.ranked_probability_score(
        forecast.quantile_probabilities().to_numpy(), bdfm.outcome_quantiles(came.to_numpy())
    )
    cells = run.cells[run.cells["origin"] == origin].set_index("symbol")
    np.testing.assert_allclose(cells["rps"], rps)  # ten assets: a multiple of five
    np.testing.assert_allclose(cells["realised"], came[cells.index])
    parts = cells[["rps_1", "rps_2", "rps_3", "rps_4"]].sum(axis=1) / 5
    np.testing.assert_allclose(parts, cells["rps"])
    assert run.scores.loc[origin, "rps"] == pytest.approx(rps.mean())
    assert run.facts.loc[origin, "scale"] == forecast.attrs["scale"]
    assert cells["pit"].between(0, 1).all()
    assert f"{len(origins)} of {len(origins)} origins" in repr(run)


def test_equal_fifths_score_016_whatever_the_number_of_assets(data, origins, tmp_path):
    from bdfm.backtest.simple import EqualFifths

    for n in (10, 8):
        some = MarketData.of(data.prices, data.universe.head(n))
        run = walk_forward(EqualFifths(), some, origins[:2], tmp_path / str(n))
        assert run.scores["rps"].to_numpy() == pytest.approx(0.16)
        assert not run.has_draws
        with pytest.raises(DataError, match="no draws"):
            _ = run.calibration


@pytest.mark.long
def test_crps_and_energy_score_are_of_log_returns(run, data, origins):
    import scoringrules

    origin = origins[0]
    history = data.history(origin)
    draws = np.log1p(
        Naive().forecast(history, seed=origin_seed(1, origin)).draws.to_numpy().astype(np.float64)
    )
    came = np.log1p(bdfm.period_returns(data.prices[list(history.assets)], origin, history.end).to_numpy())
    cells = run.cells[run.cells["origin"] == origin]
    expected = scoringrules.crps_ensemble(came, draws.T, estimator="fair")
    np.testing.assert_allclose(cells["crps"], expected, rtol=1e-6)
    energy = scoringrules.es_ensemble(came, draws, m_axis=0, v_axis=1, estimator="fair")
    assert run.scores.loc[origin, "energy_score"] == pytest.approx(float(energy), rel=0.02)
    variogram = scoringrules.vs_ensemble(came, draws, m_axis=0, v_axis=1)
    assert run.scores.loc[origin, "variogram_score"] == pytest.approx(float(variogram), rel=0.02)
    dawid = scoringrules.dssmv_ensemble(came, draws, m_axis=0, v_axis=1)
    assert run.scores.loc[origin, "dawid_sebastiani_score"] == pytest.approx(float(dawid), rel=1e-6)
    pits = run.joint_pits
    assert list(pits.columns) == ["average", "band_depth", "energy"]
    assert list(pits.index) == list(origins)
    assert pits.stack().between(0, 1).all()
    lead = [joint_pit(draws, came, pre_rank=k, seed=3) for k in pits.columns]
    np.testing.assert_allclose(pits.loc[origin], lead, atol=0.08)


def test_calibration_of_a_run(run):
    calibration = run.calibration
    assert calibration.n_origins == len(run.origins)
    assert 0 < calibration.uniformity <= 1
    assert calibration.coverage()["observed"].between(0, 1).all()


def test_universe_holds_the_assets_alive_then(data, origins):
    prices = data.prices.copy()
    young, dead, frozen, *others = prices.columns
    origin = origins[0]
    prices.loc[: origin - pd.Timedelta(days=60), young] = np.nan
    prices.loc[origin - pd.Timedelta(days=40) :, dead] = np.nan
    after = prices.index > origin - pd.Timedelta(days=40)
    prices.loc[after, frozen] = prices.loc[~after, frozen].iloc[-1]  # a vendor repeats the last close
    some = MarketData.of(prices, data.universe, accept=[f"no-new-price:{frozen}"])
    assert some.history(origin).assets == tuple(others)
    later = some.history(origin + pd.Timedelta(days=112))
    assert young in later.assets
    assert dead not in later.assets


def test_history_ends_at_the_origin(data, origins):
    history = data.history(origins[1], history_days=400)
    assert history.prices.index[-1] <= origins[1]
    assert history.prices.index[0] >= origins[1] - pd.Timedelta(days=400)
    assert history.end == origins[1] + pd.Timedelta(days=28)
    assert history.earnings["date"].max() <= history.end
    assert (data.earnings["date"] > history.end).any()
    assert 17 <= history.horizon_days <= 20.5
    before = history.earlier(1)
    assert (before.origin, before.end) == (origins[0], history.origin)
    assert before.prices.index[-1] <= origins[0]


def test_months(data, tmp_path):
    dates = origin_dates("2020-01-31", "2020-04-15", every="month")
    assert [f"{d:%m-%d}" for d in dates] == ["01-31", "02-29", "03-31"]
    run = walk_forward(Naive(), data, dates, tmp_path / "run", period="month")
    assert [x.attrs["end"] for x in run.results] == ["2020-02-29", "2020-03-31", "2020-04-30"]


def test_months_from_the_last_trading_day_go_on_at_month_ends(data, tmp_path):
    dates = origin_dates("2020-01-31", "2020-05-31", every="month")
    assert [f"{d:%m-%d}" for d in dates] == ["01-31", "02-29", "03-31", "04-30", "05-31"]
    dates = origin_dates("2020-05-29", "2020-07-31", every="month")  # a Friday, the 31st is a Sunday
    assert [f"{d:%m-%d}" for d in dates] == ["05-29", "06-30", "07-31"]
    run = walk_forward(Naive(), data, dates[:2], tmp_path / "run", period="month")
    assert [x.attrs["end"] for x in run.results] == ["2020-06-30", "2020-07-31"]


def test_late_is_the_forecast_made_one_period_before(data, origins):
    history = data.history(origins[2])
    late = Late(Naive()).forecast(history, seed=3)
    fresh = Naive().forecast(data.history(origins[1]), seed=3)
    assert (late.draws.to_numpy() == fresh.draws.to_numpy()).all()
    assert (late.origin, late.end) == (history.origin, history.end)
    assert Late(Naive()).name == "naive, 1 late"


def test_decisions_are_scored(data, origins, tmp_path):
    def equal(forecast):
        return dict.fromkeys(forecast.assets, 1 / len(forecast.assets))

    run = walk_forward(Naive(), data, origins[:2], tmp_path / "run", decide=equal)
    history = data.history(origins[0])
    expected = bdfm.information_ratio(
        data.prices[list(history.assets)], dict.fromkeys(history.assets, 0.1), origins[0], history.end
    )
    assert run.scores["information_ratio"].iloc[0] == pytest.approx(expected)


def test_the_factor_model(data, origins, tmp_path):
    model = bdfm.FactorModel.from_preset("m6").model_copy(update={"n_factors": 2})
    sampler = bdfm.SamplerSettings(draws=20, tune=20, chains=2, thin=1)
    forecaster = ModelForecaster(model, sampler=sampler, n_draws=400)
    run = walk_forward(forecaster, data, origins[:2], tmp_path / "run")
    assert run.name == "m6"
    assert {"max_rhat", "min_ess", "converged"} <= set(run.facts)
    assert run.scores["rps"].between(0.05, 0.4).all()
    other = ModelForecaster(model, sampler=sampler.model_copy(update={"cores": 1}), n_draws=400)
    assert other.settings == forecaster.settings  # cores change nothing but the time


@pytest.mark.long
def test_a_model_of_market_days_forecasts_the_period_of_the_backtest(data, tmp_path):
    """The same as by hand: weekdays up to the end of the period, from returns of days up to the origin."""
    model = bdfm.FactorModel.from_preset("daily")
    panel_settings = model.panel.model_copy(update={"n_periods": 60})
    model = model.model_copy(update={"n_factors": 1, "panel": panel_settings})
    sampler = bdfm.SamplerSettings(draws=10, tune=10, chains=1)
    forecaster = ModelForecaster(model, sampler=sampler, n_draws=400)
    origin = pd.Timestamp("2020-06-05")
    run = walk_forward(forecaster, data, [origin], tmp_path)
    panel = bdfm.Panel.from_prices(
        data.prices, data.universe, origin=origin, earnings=data.earnings, settings=model.panel, horizon=20
    )
    seed = origin_seed(1, origin)
    expected = bdfm.fit(model, panel, seed=seed, settings=sampler).forecast(
        "2020-07-03", seed=seed, n_draws=400
    )
    np.testing.assert_array_equal(run.results[0]["probability"], expected.quantile_probabilities().to_numpy())
    tuesday = walk_forward(forecaster, data, ["2020-05-29"], tmp_path / "months", period="month")
    assert tuesday.results[0].attrs["end"] == "2020-06-30"
    weekend = walk_forward(forecaster, data, ["2020-04-30"], tmp_path / "weekend", period="month")
    assert weekend.results[0].attrs["end"] == "2020-05-31"  # a Sunday: the draws are those of Friday
    with pytest.warns(ConvergenceWarning, match="R-hat"):
        assert look_ahead(forecaster, data, [origin]).to_numpy().all()


@pytest.mark.parametrize(("rhat", "bound"), [(1.05, 20_000), (1.005, 300)])
def test_an_origin_says_whether_its_chains_came_together(rhat, bound, data, origins, tmp_path, capsys):
    model = bdfm.FactorModel.from_preset("m6").model_copy(update={"n_factors": 2})
    sampler = BACKTEST_SAMPLER.model_copy(update={"max_rhat": rhat, "max_sweeps": bound, "tune": 200})
    run = walk_forward(ModelForecaster(model, sampler=sampler, n_draws=400), data, origins[:1], tmp_path)
    facts = run.facts.iloc[0]
    settled = bound > 300
    assert facts["settled"] == settled
    assert (facts["max_rhat"] <= rhat and facts["min_ess"] >= 50) == settled
    assert 200 < facts["sweeps"] <= bound
    told = [text for text in run.warnings if "The backtest asks for R-hat 1.005" in text]
    assert len(told) == (not settled)
    _show_run(run)
    said = " ".join(capsys.readouterr().out.split())
    assert (
        f"{int(settled)} of 1 fits meet the thresholds asked for: worst R-hat {facts['max_rhat']:.3f}" in said
    )
    assert f"{int(facts['converged'])} those of a single forecast (1.01 and 400)" in said
    assert (f"Not within the bound asked for: {origins[0]:%Y-%m-%d}. Raise --max-sweeps" in said) == (
        not settled
    )


# -- resuming ----------------------------------------------------------------------------------------------


def test_resume_does_what_is_missing_and_damaged(run, data, origins, tmp_path):
    folder = tmp_path / "run"
    walk_forward(Naive(), data, origins[::2], folder)  # some, in another order of work
    kept = origin_file(folder, origins[0])
    before = kept.stat().st_mtime_ns
    damaged = origin_file(folder, origins[2])
    damaged.write_bytes(damaged.read_bytes()[:-20])
    resumed = walk_forward(Naive(), data, origins, folder)
    assert same(resumed, run)
    assert kept.stat().st_mtime_ns == before


SCRIPT = """
import sys
sys.path.insert(0, {here!r})
import pickle
from forecasters import Slow
from bdfm.backtest import walk_forward
with open({data!r}, "rb") as file:
    data, origins = pickle.load(file)
walk_forward(Slow(), data, origins, {folder!r})
"""


def test_killed_run_goes_on_and_ends_the_same(data, origins, tmp_path):
    folder = tmp_path / "killed"
    (tmp_path / "data").write_bytes(pickle.dumps((data, origins)))
    code = SCRIPT.format(here=str(HERE), data=str(tmp_path / "data"), folder=str(folder))
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 240
    while len(files(folder)) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = len(files(folder))
    assert 2 <= done < len(origins)
    resumed = walk_forward(Slow(seconds=0.0), data, origins, folder)  # how slow is no setting
    undisturbed = walk_forward(Slow(seconds=0.0), data, origins, tmp_path / "whole")
    assert same(resumed, undisturbed)


def test_another_run_is_not_continued(data, origins, tmp_path):
    folder = tmp_path / "run"
    walk_forward(Naive(), data, origins[:1], folder)
    with pytest.raises(DataError, match=r"other seed \(seed: 1, now 2\)"):
        walk_forward(Naive(), data, origins[:1], folder, seed=2)
    with pytest.raises(DataError, match="other settings"):
        walk_forward(Naive(n_draws=100), data, origins[:1], folder)
    other = replace(data, prices=data.prices * 1.01)
    with pytest.raises(DataError, match="other data"):
        walk_forward(Naive(), other, origins[:1], folder)


def test_other_versions_are_told(data, origins, tmp_path):
    folder = tmp_path / "run"
    walk_forward(Naive(), data, origins[:1], folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["versions"]["numpy"] = "0.1"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.warns(DataWarning, match="other versions"):
        walk_forward(Naive(), data, origins[:2], folder)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(FileError, match="no run of a backtest"):
        Run.load(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(FileError, match="cannot be read"):
        Run.load(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("schema", "1", "schema is a str, not a int"),
        ("schema", True, "schema is a bool"),
        ("schema", 10**40, "written by a newer bdfm"),
        ("origins", [[]], "must be str|argument 1"),
        ("origins", ["2021-02-30"], "day is out of range|unconverted"),
        ("origins", ["x"], "does not match"),
        ("origins", [], "no origins"),
        ("origins", {"2021-02-05": 1}, "origins is a dict"),
        ("identity", [], "identity is a list"),
        ("identity", {"forecaster": None}, "forecaster is a NoneType"),
        ("versions", 1, "versions is a int"),
        (None, "[" * 100_000, "nested too deeply"),
        (None, "[]", "a table was expected, not a list"),
        (None, "\udcff", "cannot be read"),
        (None, "", "cannot be read"),
    ],
)
def test_a_manifest_with_something_else_in_it_is_refused(key, value, said, tmp_path):
    manifest = {"schema": 1, "identity": {"forecaster": "x"}, "origins": ["2021-02-05"], "versions": {}}
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    assert Run.load(tmp_path).missing == ("2021-02-05",)
    content = value if key is None else json.dumps(manifest | {key: value})
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(FileError, match=said) as told:
        Run.load(tmp_path)
    assert str(path) in str(told.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"[" * 100_000, b"\xff", b'{"origin": 1}'])
def test_a_note_of_a_failure_that_cannot_be_read_says_so(content, tmp_path):
    manifest = {"schema": 1, "identity": {"forecaster": "x"}, "origins": ["2021-02-05"], "versions": {}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    note = failure_file(tmp_path, pd.Timestamp("2021-02-05"))
    note.parent.mkdir()
    note.write_bytes(content)
    (found,) = Run.load(tmp_path).failures.to_dict("records")
    assert found["origin"] == "2021-02-05"
    assert "cannot be read" in found["message"]


def test_new_origins_may_be_added(data, origins, tmp_path):
    walk_forward(Naive(), data, origins[:2], tmp_path / "run")
    assert len(walk_forward(Naive(), data, origins[2:4], tmp_path / "run").results) == 4


# -- failures ----------------------------------------------------------------------------------------------


def test_a_failing_origin_does_not_lose_the_others(run, data, origins, tmp_path):
    bad = f"{origins[3]:%Y-%m-%d}"
    with pytest.warns(
        DataWarning, match=rf"1 of {len(origins)} origins failed \({bad}: ArithmeticError, no luck"
    ):
        partial = walk_forward(Failing(at=(bad,)), data, origins, tmp_path / "run")
    assert len(partial.results) == len(origins) - 1
    assert partial.missing == (bad,)
    assert "no luck today" in partial.failures["traceback"].iloc[0]
    mended = walk_forward(Failing(), data, origins, tmp_path / "run")
    assert same(mended, run)
    assert mended.failures.empty
    assert not list((tmp_path / "run" / ORIGINS).glob("*.json"))


def test_all_origins_failing_is_an_error(data, origins, tmp_path):
    at = tuple(f"{o:%Y-%m-%d}" for o in origins[:2])
    with pytest.raises(DataError, match="2 of 2 origins failed"):
        walk_forward(Failing(at=at), data, origins[:2], tmp_path / "run")


def test_forecasts_of_other_assets_fail(data, origins, tmp_path):
    class Dropping(Naive):
        def forecast(self, history, *, seed):
            return super().forecast(history, seed=seed).drop(history.assets[0])

    with pytest.raises(DataError, match="the forecast has 9 assets, expected the 10"):
        walk_forward(Dropping(), data, origins[:1], tmp_path / "run")


def test_origins_that_cannot_be_scored(data, tmp_path):
    with pytest.raises(DataError, match="1 of 2 have no outcome"):
        walk_forward(Naive(), data, ["2020-11-27", "2020-12-18"], tmp_path / "run")
    with pytest.raises(DataError, match="given more than once"):
        walk_forward(Naive(), data, ["2020-06-05", "2020-06-05"], tmp_path / "run")
    with pytest.raises(DataError, match="none given"):
        walk_forward(Naive(), data, [], tmp_path / "run")
    with pytest.raises(DataError, match="before the first one"):
        origin_dates("2020-02-01", "2020-01-01")
    assert not (tmp_path / "run").exists()


def test_data_are_checked(data):
    with pytest.raises(UnknownLabelError, match="unknown symbol"):
        MarketData.of(data.prices.iloc[:, 1:], data.universe)
    with pytest.raises(DataError, match="2 of 2 assets are alive"):
        MarketData.of(data.prices, data.universe.head(2)).history(pd.Timestamp("2020-01-17"))


def test_quantile_forecasts_are_checked():
    with pytest.raises(DataError, match="shape"):
        QuantileForecast(("A",), np.ones((1, 4)))
    with pytest.raises(DataError, match=r"rows of 1 asset .*\(B\)"):
        QuantileForecast(("A", "B"), [[0.2] * 5, [0.3] * 5])


# -- workers -----------------------------------------------------------------------------------------------


@pytest.mark.long  # a death in tests/test_workers.py, work on processes in tests/report/test_months.py too
def test_processes_give_the_same_and_survive_a_death(run, data, origins, tmp_path):
    bad = f"{origins[2]:%Y-%m-%d}"
    with pytest.warns(DataWarning, match="1 of .* failed .*the worker process died"):
        partial = walk_forward(
            Failing(at=(bad,), deadly=True), data, origins[:5], tmp_path / "run", workers=2
        )
    assert partial.missing == (bad,)
    assert len(partial.results) == 4
    assert same(walk_forward(Failing(), data, origins, tmp_path / "run"), run)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of Dask and its event loop, when a worker is killed
def test_dask_loses_a_worker_and_nothing_else(run, data, origins, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        victim = next(iter(cluster.workers.values())).pid
        killed = []

        def kill():
            deadline = time.monotonic() + 120
            while not files(tmp_path / "run") and time.monotonic() < deadline:
                time.sleep(0.02)
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)

        thread = threading.Thread(target=kill)
        thread.start()
        cluster.get_client().run(lambda: sys.path.insert(0, str(HERE)))
        found = walk_forward(
            Slow(seconds=0.2), data, origins, tmp_path / "run", scheduler=cluster.scheduler_address
        )
        thread.join()
    assert killed
    assert same(found, run)


def test_no_scheduler_there(data, origins, tmp_path, monkeypatch):
    # The package has a function of the module's name.
    monkeypatch.setattr(_workers, "SCHEDULER_TIMEOUT", "1s")
    with pytest.raises(DataError, match="no Dask scheduler at tcp"):
        walk_forward(Naive(), data, origins[:1], tmp_path / "run", scheduler="tcp://127.0.0.1:9")


def test_of_two_at_once_with_other_settings_the_second_is_refused(data, origins, tmp_path, monkeypatch):
    """The second comes while the first is about to write its manifest, so that it has seen none."""
    write, others = _files.write_text, []

    def other():
        with suppress(DataError):
            walk_forward(Naive(n_draws=200), data, origins[:1], tmp_path / "run")
            others.append("was not refused")

    def late(path, text, **kwargs):
        if path.name == MANIFEST and not threads:
            threads.append(threading.Thread(target=other))
            threads[0].start()
            threads[0].join(1.0)  # as long as it is kept waiting
        write(path, text, **kwargs)

    threads: list[threading.Thread] = []
    monkeypatch.setattr(_files, "write_text", late)
    mine = walk_forward(Naive(), data, origins[:1], tmp_path / "run")
    threads[0].join()
    assert not others
    assert mine.manifest["identity"]["settings"] == {"n_draws": 400}

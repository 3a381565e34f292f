"""Comparison, latents, regimes and the simulation study, each against a plain computation."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bdfm.backtest import model_confidence_set
from bdfm.errors import DataError, DataWarning, MissingDependencyError, UnknownLabelError
from bdfm.exposures import (
    BayesianRandomWalk,
    ConstantBetas,
    DCCGarch,
    ExposureData,
    Exposures,
    KalmanBetas,
    LatentAnalysis,
    MovingBetas,
    MovingBetasStudy,
    PrincipalComponents,
    Regimes,
    RollingOLS,
    compare,
)
from bdfm.exposures.plots import exposure_paths
from bdfm.exposures.simulation import jump_delay

# -- comparison ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(data):
    return {
        "constant": ConstantBetas().fit(data),
        "kalman": KalmanBetas().fit(data),
        "rolling": RollingOLS(window_days=100).fit(data),
        "pca": PrincipalComponents(2).fit(data),
    }


def test_errors_are_those_of_the_definition(results, data):
    table = compare(results, data).table()
    assert list(table.index) == list(results)
    span = data.days_of("test")
    actual = data.returns.to_numpy()[span]
    for name, result in results.items():
        for kind in ("reconstruction", "prediction"):
            error = getattr(result, kind)().to_numpy()[span] - actual
            assert table.loc[name, f"{kind}_raw"] == pytest.approx(np.mean(error**2))
            standardised = np.mean((error / data.sd) ** 2)
            assert table.loc[name, f"{kind}_standardised"] == pytest.approx(standardised)
    total = np.mean(((actual - data.mean) / data.sd) ** 2)
    expected = 1 - table.loc["kalman", "prediction_standardised"] / total
    assert table.loc["kalman", "prediction_r2"] == pytest.approx(expected)
    assert table.loc["kalman", "prediction_standardised"] < table.loc["constant", "prediction_standardised"]


def test_seeds_are_averaged_with_their_spread(results, data):
    pair = [results["constant"], results["kalman"]]
    table = compare({"both": pair, **results}, data).table()
    column = "prediction_standardised"
    values = table.loc[["constant", "kalman"], column]
    assert table.loc["both", column] == pytest.approx(values.mean())
    assert table.loc["both", "prediction_seed_sd"] == pytest.approx(values.std(ddof=1))
    assert table.loc["both", "n_seeds"] == 2
    assert np.isnan(table.loc["kalman", "prediction_seed_sd"])


def test_differences_and_confidence_set(results, data):
    comparison = compare(results, data)
    table = comparison.table()["prediction_standardised"]
    against = comparison.against("constant")
    assert list(against.index) == ["kalman", "rolling", "pca"]
    assert against.loc["kalman", "difference"] == pytest.approx(table["kalman"] - table["constant"])
    assert (against["standard_error"] > 0).all()
    np.testing.assert_allclose(against["t"], against["difference"] / against["standard_error"])
    chosen = comparison.confidence_set(seed=1)
    assert chosen.loc[table.idxmin(), "included"]
    assert chosen.loc[table.idxmin(), "p_value"] == 1
    losses = pd.DataFrame(
        {m: x["prediction", "standardised"].mean(axis=0) for m, x in comparison.losses.items()}
    )
    n = len(losses)
    blocks, shorter = (
        model_confidence_set(losses, seed=1, n_bootstrap=1000, n_block=b) for b in (int(n**0.5), None)
    )
    pd.testing.assert_series_equal(chosen["p_value"], blocks, check_names=False)
    assert not blocks.equals(shorter)  # days alike make for longer blocks
    assert len(comparison.plot().axes) == 1
    assert "test part" in repr(comparison)
    with pytest.raises(UnknownLabelError, match="unknown method nope"):
        comparison.against("nope")


def test_a_confidence_set_without_arch_names_the_extra_of_exposures(results, data, monkeypatch):
    comparison = compare(results, data)
    monkeypatch.setitem(sys.modules, "arch.bootstrap", None)
    with pytest.raises(MissingDependencyError, match=r"confidence set.*bdfm\[exposures\]"):
        comparison.confidence_set(seed=1)


def test_methods_that_say_the_same_and_few_days(results, data):
    one, other = results["constant"], results["rolling"]
    comparison = compare({"a": one, "b": one, "c": other}, data)
    same = comparison.against("a").loc["b"]
    assert same["difference"] == same["standard_error"] == 0
    assert np.isnan(same["t"])
    chosen = comparison.confidence_set(seed=1)
    assert chosen.loc["a"].equals(chosen.loc["b"])
    both = compare({"a": one, "b": one}, data).confidence_set(seed=1)
    assert both["included"].all()
    few = replace(
        comparison,
        losses={m: {k: v[:, :1] for k, v in x.items()} for m, x in comparison.losses.items()},
        days=comparison.days[:1],
    )
    assert np.isnan(few.against("a")["standard_error"]).all()
    with pytest.raises(DataError, match=r"1 day; a confidence set needs 8"):
        few.confidence_set(seed=1)


def test_comparison_refuses(results, data):
    with pytest.raises(DataError, match="no methods given"):
        compare({}, data)
    with pytest.raises(DataError, match="other assets or days"):
        compare({"kalman": results["kalman"]}, data.select(["A0"]))
    late = RollingOLS(window_days=370).fit(data)
    with pytest.warns(
        DataWarning, match="late has no estimate on 30 of 60 days of the test part, first on 2001-04"
    ):
        found = compare({"late": late, "kalman": results["kalman"]}, data)
    assert found.days.equals(data.days[-30:])
    full = compare({"kalman": results["kalman"]}, data)
    np.testing.assert_allclose(
        found.losses["kalman"]["prediction", "raw"], full.losses["kalman"]["prediction", "raw"][:, -30:]
    )
    never = RollingOLS(window_days=400).fit(data)
    with pytest.raises(DataError, match="never has no estimate"), pytest.warns(DataWarning):
        compare({"kalman": results["kalman"], "late": late, "never": never}, data, part="test")
    with pytest.raises(DataError, match="at least 2 methods"):
        compare({"kalman": results["kalman"]}, data).confidence_set()


# -- latents -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def analysis(results, data):
    return LatentAnalysis(results["pca"], data, "training")


def test_correlations_by_stock_and_sector(analysis, data):
    table = analysis.correlations()
    z = analysis.latents()
    assert len(z) == data.n_training
    r = data.returns.to_numpy()[: data.n_training]
    assert table.loc["A3", "pc2"] == pytest.approx(np.corrcoef(r[:, 3], z["pc2"])[0, 1])
    sectors = analysis.by_sector()
    assert sectors.loc["energy", "pc1"] == pytest.approx(table.loc[["A2", "A3"], "pc1"].mean())
    top = analysis.top_assets(2)
    assert len(top) == 4
    assert top.loc[0, "asset"] == table["pc1"].abs().idxmax()
    assert abs(top.loc[0, "correlation"]) >= abs(top.loc[1, "correlation"])


def test_regressions_equal_numpy(analysis, data):
    table = analysis.regressions(["size", "market"])
    z = analysis.latents()["pc1"].to_numpy()
    f = 100 * data.factors.sel(factor=["size", "market"]).to_numpy()[: data.n_training]
    joint = np.linalg.lstsq(np.column_stack([np.ones(len(z)), f]), z, rcond=None)[0]
    assert table.loc[("pc1", "market"), "slope_joint"] == pytest.approx(joint[2])
    assert table.loc[("pc1", "size"), "slope"] == pytest.approx(np.polyfit(f[:, 0], z, 1)[0])
    r = np.corrcoef(f[:, 0], z)[0, 1]
    assert table.loc[("pc1", "size"), "correlation"] == pytest.approx(r)
    assert table.loc[("pc1", "size"), "r_squared"] == pytest.approx(r**2)
    with pytest.raises(UnknownLabelError, match="unknown factor SMB"):
        analysis.regressions(["SMB"])


def test_components_are_uncorrelated(analysis):
    d = analysis.disentanglement()
    assert d.n_active == 2
    assert d.largest_correlation < 1e-10
    assert d.gaussian_total_correlation == pytest.approx(0, abs=1e-10)
    assert "2 active latents" in str(d)
    plane, share = analysis.plane()
    assert plane.shape == (len(analysis.latents()), 2)
    assert sum(share) == pytest.approx(1)


def test_latent_pictures(analysis, results):
    for figure in (
        analysis.plot_paths(),
        analysis.plot_correlations(),
        analysis.plot_sectors(),
        analysis.plot_plane(),
        analysis.plot_against("pc1", results["rolling"], "size"),
        exposure_paths(results, "A1"),
    ):
        assert figure.axes
    with pytest.raises(UnknownLabelError, match="unknown latent z9"):
        analysis.plot_against("z9", results["rolling"], "size")


def test_latent_analysis_refuses(results, data):
    with pytest.raises(DataError, match="published factors, no latents"):
        LatentAnalysis(results["kalman"], data)
    with pytest.raises(DataError, match="other assets or days"):
        LatentAnalysis(results["pca"], data.select(["A0", "A1"]))
    bare = ExposureData.from_arrays(data.returns, data.factors, days=data.days)
    with pytest.raises(DataError, match="no sectors"):
        LatentAnalysis(PrincipalComponents(2).fit(bare), bare).by_sector()


# -- regimes -------------------------------------------------------------------------------------------------


def test_regimes_find_a_turbulent_stretch():
    rng = np.random.default_rng(0)
    factors = 0.01 * rng.standard_normal((500, 1))
    factors[120:220] *= 4
    returns = factors @ np.ones((1, 4)) + 0.003 * rng.standard_normal((500, 4))
    data = ExposureData.from_arrays(returns, factors)
    for regimes in (
        Regimes.from_volatility(data, n_regimes=2, seed=0),
        Regimes.from_latents(PrincipalComponents(1).fit(data), data, n_regimes=2, seed=0),
    ):
        spell = regimes.spells(30).query("regime == 2")
        assert len(spell) == 1
        start, end = (data.days.get_loc(spell.iloc[0][k]) for k in ("start", "end"))
        assert 115 < start < 135
        assert 215 < end < 245
        assert regimes.summary()["volatility"].is_monotonic_increasing
        assert regimes.summary()["days"].sum() == len(regimes.labels)
        assert regimes.plot().axes
        assert "2 clusters" in repr(regimes)


def test_regimes_do_not_look_ahead(data):
    changed = data.returns.to_numpy().copy()
    cut = data.days_of("test").start
    changed[cut:] *= 5
    other = ExposureData.from_arrays(changed, data.factors, days=data.days)
    labels = [Regimes.from_volatility(d, seed=0).labels.loc[: data.days[cut - 1]] for d in (data, other)]
    pd.testing.assert_series_equal(*labels)
    with pytest.raises(DataError, match="n_regimes"):
        Regimes.from_volatility(data, n_regimes=1, seed=0)


# -- simulation ----------------------------------------------------------------------------------------------


def test_simulated_betas_are_the_stories():
    design = MovingBetas()
    data, betas = design.simulate(3)
    truth = design.market_betas()
    assert data.assets[:4] == tuple(truth)
    for i, path in enumerate(truth.values()):
        np.testing.assert_array_equal(betas[:, i, 0], path)
    error = data.returns.to_numpy() - np.einsum("tik,tk->ti", betas, data.factors.to_numpy())
    assert error.std() == pytest.approx(0.013, rel=0.02)
    assert data.returns.identical(design.simulate(3)[0].returns)
    with pytest.raises(DataError, match="The first must be inside the training part"):
        MovingBetas(jump_seen_day=1900)


def testjump_delay_waits_for_the_estimate_to_stay():
    truth = np.repeat([1.0, 2.0], [10, 20])
    path = np.full(30, 1.2)
    assert jump_delay(path, truth, 10) == np.inf
    path[12] = 1.9  # a spike does not count
    path[17:] = 1.6
    assert jump_delay(path, truth, 10) == 7
    assert jump_delay(3 - path, 3 - truth, 10) == 7


class Oracle:
    """Knows the true betas, some days late."""

    def __init__(self, days_late, design):
        self.days_late, self.design = days_late, design

    @property
    def name(self):
        return f"late {self.days_late}"

    def fit(self, data, *, seed=0, progress=False):
        betas = np.zeros((data.n_days, len(data.assets), 3))
        for i, path in enumerate(self.design.market_betas().values()):
            late = self.days_late
            betas[:, i, 0] = np.concatenate([np.full(late, path[0]), path[: len(path) - late]])
        return Exposures.from_arrays(self.name, data, betas, np.zeros(betas.shape[:2]))


def test_table_of_the_study_measures_delay():
    design = MovingBetas(n_days=800, n_assets=4, jump_seen_day=300, jump_new_day=600)
    study = MovingBetasStudy.run(
        [Oracle(0, design), Oracle(30, design), ConstantBetas()], n_replicates=2, seed=1, design=design
    )
    table = study.table()
    for story in ("jump in training", "jump after training"):
        assert table.loc["late 0", (story, "delay")] == 0
        assert table.loc["late 30", (story, "delay")] == 30
        assert table.loc["late 0", (story, "rmse")] == 0
        assert table.loc["constant", ("jump after training", "noticed")] == 0
    assert table.loc["late 30", ("drift", "delay")] == pytest.approx(30)
    assert table.loc["late 30", ("drift", "rmse")] == pytest.approx(30 / 799)
    assert table.loc["constant", ("constant", "rmse")] < 0.2
    assert len([a for a in study.plot().axes if a.get_visible()]) == 4
    assert "late 30" in repr(study)
    with pytest.raises(DataError, match="1 method given more than once"):
        MovingBetasStudy.run([ConstantBetas(), ConstantBetas()], n_replicates=1, seed=0)


@pytest.mark.slow
def test_speeds_of_adaptation_are_those_of_the_page():
    methods = [BayesianRandomWalk(), DCCGarch(), RollingOLS(), KalmanBetas()]
    table = MovingBetasStudy.run(methods, n_replicates=10, seed=0).table()
    page = " ".join((Path(__file__).parents[2] / "docs" / "exposures.md").read_text(encoding="utf-8").split())
    told = {"bayes_random_walk": "Bayesian random walk", "dcc_garch": "DCC-GARCH"}
    told |= {"rolling_ols": "rolling least squares", "kalman": "Kalman filter"}
    for name, words in told.items():
        row = table.loc[name]
        first, after = row["jump in training"], row["jump after training"]
        late = f"{after['delay']:.0f}"
        if not np.isfinite(after["delay"]):
            late = f"not noticed in {10 - round(10 * after['noticed'])} of 10"
        assert first["noticed"] == 1
        assert f"{words} {first['delay']:.0f}, {late}, {row['drift', 'rmse']:.2f}" in page
    assert table.loc["kalman", ("drift", "rmse")] < table.loc["rolling_ols", ("drift", "rmse")]

"""Comparison: tests of differences against other libraries, tables, page."""

import re
from copy import copy
from dataclasses import replace
from html import escape

import numpy as np
import pandas as pd
import pytest
from few import few
from forecasters import Naive
from rich.console import Console
from scipy import stats

from bdfm._statistics import p_text
from bdfm.backtest import (
    Late,
    MarketData,
    compare,
    diebold_mariano,
    lateness,
    load_runs,
    model_confidence_set,
    walk_forward,
)
from bdfm.backtest.page import texts
from bdfm.backtest.significance import freedom, that_share_a_day
from bdfm.backtest.simple import EWMA, EqualFifths
from bdfm.errors import DataError, DataWarning, UnknownLabelError

NASTY = "<script>alert(1)</script> [red]x[/red]"


@pytest.fixture(scope="module")
def runs(run, data, origins, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    others = [EqualFifths(), EWMA(label=NASTY, n_draws=400)]
    made = [walk_forward(f, data, origins, folder / str(i)) for i, f in enumerate(others)]
    return [run, *made]


@pytest.fixture(scope="module")
def comparison(runs):
    return compare(runs)


def test_diebold_mariano_is_the_regression_on_a_constant():
    import statsmodels.api as sm

    rng = np.random.default_rng(1)
    d = np.convolve(rng.standard_normal(140), [1, 0.6, 0.3], "valid")[:129] + 0.2
    for lags in (0, 4):
        fit = sm.OLS(d, np.ones(129)).fit(
            cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True}, use_t=True
        )
        found = diebold_mariano(d, n_lags=lags)
        assert found.mean == pytest.approx(fit.params[0])
        assert found.se == pytest.approx(fit.bse[0], rel=1e-6)
        assert found.p_value == pytest.approx(fit.pvalues[0], rel=1e-6)
    assert diebold_mariano(d) == diebold_mariano(d, n_lags=4)


def test_diebold_mariano_of_nothing():
    assert diebold_mariano(np.zeros(20)).p_value == 1
    assert np.isnan(diebold_mariano(np.ones(5)).se)
    with pytest.raises(DataError, match="n_lags"):
        diebold_mariano(np.arange(20.0), n_lags=-1)


@pytest.mark.slow
def test_size_of_the_test():
    rng = np.random.default_rng(2)
    p = np.array([diebold_mariano(rng.standard_normal(129)).p_value for _ in range(2000)])
    assert (p < 0.05).mean() == pytest.approx(0.06, abs=0.02)


def test_confidence_set_holds_the_best_and_not_the_worst():
    rng = np.random.default_rng(3)
    common = rng.standard_normal(129)
    losses = pd.DataFrame(
        {n: common + gap + 0.3 * rng.standard_normal(129) for n, gap in (("a", 0), ("b", 0), ("c", 0.4))}
    )
    losses["a again"] = losses["a"]
    p = model_confidence_set(losses, seed=1, n_bootstrap=500)
    assert p["c"] < 0.05
    assert max(p["a"], p["b"]) == 1
    assert p["a"] == p["a again"]
    assert p.equals(model_confidence_set(losses, seed=1, n_bootstrap=500))


def test_table(comparison, runs):
    table = comparison.table
    assert table["score"].is_monotonic_increasing
    assert comparison.reference == table.index[0]
    for run, name in zip(runs, comparison.names, strict=True):
        assert table.loc[name, "score"] == pytest.approx(run.scores["rps"].mean())
    gap = table["score"] - table.loc[comparison.reference, "score"]
    np.testing.assert_allclose(table["difference"], gap, atol=1e-12)
    assert table.loc["equal", "score"] == pytest.approx(0.16)
    assert np.isnan(table.loc["equal", "crps"])
    assert np.isnan(table.loc[comparison.reference, "p_value"])
    pair = comparison.pairs.loc[("equal", "naive")]
    back = comparison.pairs.loc[("naive", "equal")]
    assert pair["mean"] == -back["mean"]
    assert pair["p_value"] == pytest.approx(back["p_value"])


def test_who_is_better_is_found(run):
    gain = 0.002 + 0.0005 * np.random.default_rng(1).standard_normal(len(run.origins))
    better = replace(run, manifest={**run.manifest, "identity": {"forecaster": "better"}})
    better.__dict__["scores"] = run.scores.assign(rps=run.scores["rps"] - gain)  # a cached property
    found = compare([run, better], reference="naive")
    row = found.table.loc["better"]
    assert row["difference"] == pytest.approx(-0.002, abs=4e-4)
    assert row["p_value"] < 0.001
    assert row["wins"] == 1
    assert found.verdict.startswith("Best is better: mean RPS")
    assert "confidence set holds better." in found.verdict


def test_groups_add_up(comparison):
    n = len(comparison.origins)
    for group in ("year", "volatility"):
        table = comparison.by(group)
        one = table.xs("equal", level="forecaster")
        assert one["n"].sum() == n
        assert (one["score"] * one["n"]).sum() / n == pytest.approx(0.16)
    classes = comparison.by("asset_class")
    assert set(classes.index.get_level_values(0)) == set(comparison.runs[0].cells["asset_class"])
    with pytest.raises(UnknownLabelError, match=r"unknown group sector\. Known: year"):
        comparison.by("sector")
    calm, *_, turbulent = comparison.regimes.iloc[np.argsort(comparison.market_volatility.to_numpy())]
    assert (calm, turbulent) == ("calm", "turbulent")


def test_decomposition_adds_up_to_the_score(comparison):
    np.testing.assert_allclose(comparison.decomposition.sum(axis=1), comparison.table["score"])


def test_calibration_table(comparison):
    table = comparison.calibration
    assert np.isnan(table.loc["equal", "slope_1"])
    assert np.isnan(table.loc["equal", "coverage_90"])
    assert 0 <= table.loc["naive", "coverage_90"] <= 1
    own = comparison.runs[0].calibration.slopes()
    assert table.loc["naive", "slope_5"] == pytest.approx(own.loc[5, "slope"])


def test_other_scores(runs):
    drawn = [runs[0], runs[2]]
    for score in ("log_score", "crps", "energy_score", "variogram_score", "dawid_sebastiani_score"):
        found = compare(drawn, score=score)
        assert found.table["score"].iloc[0] == pytest.approx(min(r.scores[score].mean() for r in drawn))
    with pytest.raises(DataError, match="no classes"):
        found.by("asset_class")
    with pytest.raises(DataError, match="equal have no CRPS score: no draws"):
        compare(runs, score="crps")
    with pytest.raises(UnknownLabelError, match=r"unknown score luck\. Known: rps"):
        compare(runs, score="luck")


def test_few_origins_give_means_and_say_what_is_needed(comparison):
    found = comparison
    few = replace(found, origins=found.origins[:5])
    assert "Best is" in few.verdict
    assert "cannot be said from 5 origins: an error and a test need 8" in few.verdict
    assert "nan" not in few.verdict
    assert "±" in found.verdict


def test_runs_that_do_not_compare(run, runs, data, origins, tmp_path):
    with pytest.raises(DataError, match="at least two"):
        compare([run])
    other = MarketData.of(data.prices * np.linspace(1, 2, len(data.prices))[:, None], data.universe)
    wrong = walk_forward(Naive(label="other"), other, origins[:2], tmp_path / "other")
    with (
        pytest.warns(DataWarning, match="are left out"),
        pytest.raises(DataError, match="different universes or prices"),
    ):
        compare([run, wrong])
    with pytest.raises(UnknownLabelError, match="unknown forecaster"):
        compare(runs, reference="nobody")


def test_runs_of_one_name_are_told_apart(run, data, origins, tmp_path):
    twin = walk_forward(Naive(), data, origins, tmp_path / "twin", seed=2)
    found = compare([run, twin])
    assert set(found.names) == {"naive (naive)", "naive (twin)"}
    assert len(load_runs([tmp_path])) == 1


def test_lateness(run, data, origins, tmp_path):
    late = walk_forward(Late(Naive()), data, origins, tmp_path / "late")
    found = lateness(run, late)
    assert found.n == len(origins)
    assert found.mean == pytest.approx(late.scores["rps"].mean() - run.scores["rps"].mean())


def test_origins_that_share_days_are_not_counted_as_independent(run):
    """Weekly origins of four weeks: their scores are alike, and bands of calibration are too narrow."""
    assert run.sharing == 0
    weekly = pd.date_range("2019-12-20", periods=len(run.origins), freq="7D")
    dense = replace(
        run,
        results=[
            x.assign_attrs(origin=f"{o:%Y-%m-%d}", end=f"{o + pd.Timedelta(days=28):%Y-%m-%d}")
            for x, o in zip(run.results, weekly, strict=True)
        ],
    )
    assert dense.sharing == 4
    other = replace(dense, manifest={**run.manifest, "identity": {"forecaster": "other"}})
    noise = np.random.default_rng(1).standard_normal(len(weekly))
    other.__dict__["scores"] = dense.scores.assign(rps=dense.scores["rps"] + noise)
    found = compare([dense, other], reference="naive")
    gap = (found.losses["other"] - found.losses["naive"]).to_numpy()
    expected = diebold_mariano(gap, sharing=4)
    assert found.table.loc["other", "se"] == expected.se != diebold_mariano(gap).se
    assert found.table.loc["other", "p_value"] == expected.p_value
    assert found.freedom == len(gap) // 8
    assert lateness(dense, other).se == expected.se
    assert compare([dense, other], n_lags=1).pairs["se"].iloc[0] == pytest.approx(
        diebold_mariano(gap, n_lags=1).se
    )
    bars = found.plot_differences().data[0]
    half = stats.t.ppf(0.975, found.freedom) * found.table["se"].iloc[-1] * 1e5
    assert (bars.x[1] - bars.x[0]) / 2 == pytest.approx(half)
    assert "model confidence set holds" in found.verdict
    yearly = replace(run, results=[
        x.assign_attrs(origin=f"{o:%Y-%m-%d}", end=f"{o + pd.Timedelta(days=360):%Y-%m-%d}")
        for x, o in zip(run.results, weekly, strict=True)
    ])  # fmt: skip
    worse = replace(yearly, manifest=other.manifest)
    worse.__dict__["scores"] = other.scores
    untold = compare([yearly, worse], reference="naive")
    n = len(gap)
    assert f"from {n} origins, {n} of which share a day: an error and a test need {2 * n}," in untold.verdict
    assert untold.confidence_set.isna().all()
    assert "confidence set" not in compare([yearly, worse], n_lags=1).verdict
    pd.testing.assert_series_equal(
        found.confidence_set, model_confidence_set(found.losses, seed=1, sharing=4)
    )
    with pytest.warns(DataWarning, match=r"forecasts begin before another one ends .* too narrow"):
        _ = dense.calibration


@pytest.mark.parametrize(("n", "sharing"), [(30, 2), (30, 4), (60, 4), (120, 4), (60, 12), (120, 20)])
def test_size_of_the_test_where_origins_share_days(n, sharing):
    """Sums over as many independent days as origins share: no lags of Bartlett's kernel come below 10 %."""
    days = np.random.default_rng(3).standard_normal((1000, n + sharing - 1))
    x = np.lib.stride_tricks.sliding_window_view(days, sharing, axis=1).sum(axis=2)
    assert x.shape == (1000, n)
    p = np.array([diebold_mariano(row, sharing=sharing).p_value for row in x])
    assert 0.03 < (p < 0.05).mean() < 0.08


def overlapping(rng, n, sharing, n_forecasters):
    """Losses (origin, forecaster): sums over as many days as origins share, some forecasters rougher."""
    days = rng.standard_t(5, (n + sharing - 1, n_forecasters)) * np.linspace(0.5, 2, n_forecasters)
    days += rng.standard_normal((len(days), 1))  # what all have in common
    sums = np.lib.stride_tricks.sliding_window_view(days, sharing, axis=0).sum(axis=2)
    return pd.DataFrame(sums, columns=[f"f{k}" for k in range(n_forecasters)])


@pytest.mark.parametrize(
    "size", few([(30, 4, 2), (60, 12, 5), (120, 4, 5), (120, 20, 2)], [(60, 12, 5), (120, 20, 2)])
)
def test_coverage_of_the_set_where_origins_share_days(size):
    """Of forecasters alike all stay in it with 90 %; by blocks of the bootstrap it was 64 to 81 %."""
    n, sharing, n_forecasters = size
    rng = np.random.default_rng(4)
    n_tried = 500
    left_out = best = 0
    for k in range(n_tried):
        losses = overlapping(rng, n, sharing, n_forecasters)
        p = model_confidence_set(losses, seed=k, n_bootstrap=199, sharing=sharing)
        left_out += (p <= 0.1).any()
        better = losses.assign(f0=losses["f0"] - 0.3 * losses["f0"].std())
        best += model_confidence_set(better, seed=k, n_bootstrap=199, sharing=sharing)["f0"] > 0.1
    assert 0.06 < left_out / n_tried < 0.14
    assert best / n_tried > 0.95


def test_the_set_of_two_where_origins_share_days_is_the_test_of_both():
    rng = np.random.default_rng(5)
    for n, sharing in ((30, 4), (60, 4), (120, 20)):
        losses = overlapping(rng, n, sharing, 2)
        p = model_confidence_set(losses, seed=1, sharing=sharing)
        test = diebold_mariano((losses["f0"] - losses["f1"]).to_numpy(), sharing=sharing)
        assert p.min() == pytest.approx(test.p_value, abs=0.02)
        assert p.idxmax() == losses.mean().idxmin()


def test_the_set_where_origins_share_days_goes_from_the_worst_to_the_best():
    losses = overlapping(np.random.default_rng(6), 120, 4, 5)
    far = losses.add([0.0, 0.1, 40.0, 0.0, 20.0], axis=1)
    p = model_confidence_set(far.assign(again=far["f2"]), seed=1, sharing=4)
    assert p[["f2", "f4", "again"]].max() < 0.01
    assert p["f2"] == p["again"]
    assert p.max() == 1
    for other in (100 * far, far[far.columns[::-1]], far.add(losses.mean(axis=1) ** 2, axis=0)):
        again = model_confidence_set(other, seed=1, sharing=4)
        pd.testing.assert_series_equal(again.reindex(p.index.drop("again")), p.drop("again"), atol=0.02)
    assert model_confidence_set(far, seed=1, sharing=61).isna().all()
    blocks = model_confidence_set(far, seed=1, n_block=9, n_bootstrap=200)
    assert blocks.equals(model_confidence_set(far, seed=1, n_block=9, n_bootstrap=200, sharing=4))
    with pytest.raises(DataError, match="sharing"):
        model_confidence_set(far, seed=1, sharing=-1)


@pytest.mark.parametrize("sharing", [0, 4])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_losses_that_are_not_finite_are_named(bad, sharing):
    """They had ended in an index error, or in two forecasters left out with certainty."""
    losses = overlapping(np.random.default_rng(7), 40, 4, 3)
    losses.iloc[3, 2] = bad
    with pytest.raises(DataError, match="model confidence set: losses of f2 are not finite at every origin"):
        model_confidence_set(losses, seed=1, sharing=sharing)
    found = diebold_mariano((losses["f2"] - losses["f0"]).to_numpy(), sharing=sharing)
    assert np.isnan([found.se, found.p_value]).all()
    with pytest.raises(DataError, match="no column"):
        model_confidence_set(losses[[]], seed=1, sharing=sharing)


def test_no_p_value_of_the_set_is_below_that_of_one_that_left_before():
    """The last two alone differ more than all three do, which has been asked before."""
    losses = overlapping(np.random.default_rng(10), 60, 4, 3)
    p = model_confidence_set(losses, seed=1, sharing=4)
    assert p["f0"] == p["f1"] < p["f2"] == 1
    alone = [model_confidence_set(losses[[x, "f2"]], seed=1, sharing=4)[x] for x in ("f0", "f1")]
    assert min(alone) < 0.9 * p["f0"]


@pytest.mark.parametrize("size", [1.0, 1e-9, 1e4])
@pytest.mark.parametrize("sharing", [0, 4])
def test_forecasters_that_differ_by_rounding_are_alike(sharing, size):
    """One had been left out with certainty, or the bootstrap ended in an error of its own."""
    rng = np.random.default_rng(11)
    for seed in range(4):
        base = size * rng.normal(0.16, 0.01, 60)
        near = {"next": base + np.spacing(base), "other way": (base * 3 + size / 1e3) / 3 - size / 1e3 / 3}
        losses = pd.DataFrame({"base": base, **near, "worse": base + size * rng.normal(0.1, 0.01, 60)})
        p = model_confidence_set(losses, seed=seed, n_bootstrap=99, sharing=sharing)
        assert (p.drop("worse") == 1).all()
        assert p["worse"] < 0.05
        for other in near.values():
            assert diebold_mariano(other - base, sharing=sharing, size=base.max()).p_value == 1
        # What is little, and no rounding, is told apart.
        little = {"base": base, "little": base + size * rng.normal(1e-11, 1e-12, 60)}
        p = model_confidence_set(pd.DataFrame(little), seed=seed, n_bootstrap=99, sharing=sharing)
        assert p["little"] < 0.05


@pytest.mark.parametrize("size", [1.0, 1e4])
def test_tables_of_forecasters_that_differ_by_rounding(run, size):
    own, other = (replace(run, manifest={**run.manifest, "identity": {"forecaster": n}}) for n in "ab")
    scores = size * run.scores["rps"]
    own.__dict__["scores"] = run.scores.assign(rps=scores)
    other.__dict__["scores"] = run.scores.assign(rps=scores + np.spacing(scores))
    found = compare([own, other])
    assert (found.pairs["p_value"] == 1).all()
    assert (found.table["mcs_p_value"] == 1).all()
    assert lateness(own, other).p_value == 1


@pytest.mark.parametrize("sharing", [0, 2])
def test_a_set_and_a_test_are_told_from_as_many_origins(sharing):
    losses = pd.DataFrame(np.random.default_rng(12).normal([0.0, 5.0], 1.0, (8, 2)), columns=list("ab"))
    for n in (4, 7, 8):
        p = model_confidence_set(losses.head(n), seed=1, sharing=sharing)
        test = diebold_mariano((losses["a"] - losses["b"]).head(n).to_numpy(), sharing=sharing)
        assert np.isnan(test.p_value) == p.isna().all() == p.isna().any() == (n < 8)


def test_the_error_of_few_cosines():
    """By a sum over each of them, and the t distribution of as many degrees of freedom."""
    x = np.random.default_rng(2).normal(0.1, 1.0, 37)
    found = diebold_mariano(x, sharing=6)
    parts = []
    for k in (1, 2, 3):  # 37 / 12
        wave = [np.sqrt(2) * np.cos(np.pi * k * (t + 0.5) / 37) for t in range(37)]
        parts.append(sum(a * b for a, b in zip(wave, x, strict=True)) ** 2 / 37)
    assert found.se == pytest.approx(np.sqrt(np.mean(parts) / 37))
    assert found.p_value == pytest.approx(2 * stats.t.sf(found.mean / found.se, 3))
    assert freedom(1000, 2) == 39  # not 250, whose fastest waves are no mean's
    assert diebold_mariano(x, sharing=6, n_lags=2) == diebold_mariano(x, n_lags=2)
    assert diebold_mariano(x, sharing=1) == diebold_mariano(x)
    untold = diebold_mariano(x, sharing=19)
    assert np.isnan([untold.se, untold.p_value]).all()
    assert untold.mean == pytest.approx(x.mean())
    with pytest.raises(DataError, match="sharing"):
        diebold_mariano(x, sharing=-1)


@pytest.mark.parametrize(("days", "expected"), [(1, 0), (28, 0), (29, 2), (56, 2), (57, 3)])
def test_origins_of_a_day(days, expected):
    origins = pd.date_range("2020-01-03", periods=6, freq="28D")
    assert that_share_a_day(origins, origins + pd.Timedelta(days=days)) == expected
    assert that_share_a_day(origins[:0], origins[:0]) == 0


@pytest.mark.parametrize("step", [1, 7, 28])
def test_volatility_of_the_market_is_annual_whatever_the_prices(step):
    """Of weekly prices it was twice as high, of monthly ones more than four times."""
    n = 1600
    days = pd.bdate_range("2014-01-01", periods=n) if step == 1 else pd.date_range(
        "2014-01-03", periods=n // step, freq=f"{step}D"
    )  # fmt: skip
    own = 0.16 * np.sqrt((1 / 252) if step == 1 else step / 365.25)
    z = np.random.default_rng(1).standard_normal(len(days))
    prices = 50 * np.exp(np.cumsum(own * z))
    table = pd.DataFrame({f"A{i}": (i + 1) * prices for i in range(6)}, days)
    universe = pd.DataFrame({"symbol": table.columns, "asset_class": "x"})
    history = MarketData.of(table, universe, accept=None).history(days[-1], period=56)
    used = min(60, len(z) - 1)
    assert history.market_volatility() == pytest.approx(0.16 * np.sqrt(np.mean(z[-used:] ** 2)), rel=0.02)


def test_tables_and_page_escape_names(comparison, tmp_path):
    console = Console(width=200, record=True, file=open(tmp_path / "out", "w", encoding="utf-8"))
    console.print(comparison)
    console.file.close()
    assert "[red]x[/red]" in (tmp_path / "out").read_text(encoding="utf-8")
    assert "<script>" not in comparison._repr_html_()
    path = comparison.write_html(tmp_path / "page.html")
    page = path.read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert not re.search(r"""<(script|link|img)[^>]+(src|href)=["']https?:""", page)  # no network
    assert page.count('class="plotly-graph-div"') == 7
    assert "Plotly.newPlot" in page


def test_bars_of_differences_are_intervals_of_90_and_95_percent(comparison):
    """Thin ones of 95 % come first, in the order of the table from its end; then the thick ones."""
    table = comparison.table.iloc[::-1]
    free = len(comparison.origins) - 1
    bars = [line.x[1] - line.x[0] for line in comparison.plot_differences().data[:-1]]
    quantiles = np.repeat(stats.t.ppf([0.975, 0.95], free), len(table))
    np.testing.assert_allclose(bars, 2e5 * quantiles * np.tile(table["se"].fillna(0), 2), rtol=1e-9)
    assert max(bars) > 0


def test_pictures(comparison):
    figures = [
        comparison.plot_differences(),
        comparison.plot_cumulative(),
        comparison.plot_groups("volatility"),
        comparison.plot_decomposition(),
        comparison.plot_calibration(),
    ]
    assert all(len(f.data) for f in figures)
    shown = figures[0].data[-1]
    np.testing.assert_allclose(sorted(shown.x), comparison.table["difference"] * 1e5)


def test_differences_are_told_in_a_unit_of_the_score(runs):
    """Those of the variogram and Dawid-Sebastiani scores were tens of thousands of 1e-5."""
    many = [r for r in runs if r.has_draws]
    assert len(many) > 1
    for score, unit in (("crps", "e-5"), ("variogram_score", ""), ("dawid_sebastiani_score", "")):
        made = compare(many, score=score)
        best, second = made.table.index[:2]
        gap = abs(float((made.losses[best] - made.losses[second]).mean()))
        told = re.search(rf"better than {re.escape(second)} by ([\d.]+){unit}[ .]", made.verdict)
        assert float(told[1]) * (1e-5 if unit else 1) == pytest.approx(gap, abs=6e-7 if unit else 6e-4)
        assert f"diff {'1e-5' if unit else ''}".strip() in texts(made)
        axis = made.plot_differences().layout.xaxis.title.text
        assert ("1e-5" in axis) == bool(unit)
        shown = made.plot_groups("year").data[0]
        assert shown.colorbar.title.text == ("1e-5" if unit else "")


def test_no_p_value_is_zero():
    assert p_text(0.0) == "p < 0.001"
    assert p_text(0.0009999) == "p < 0.001"
    assert p_text(0.001) == "p = 0.001"
    assert p_text(0.952) == "p = 0.952"
    assert p_text(float("nan")) == ""
    assert p_text(0.0001, name="MCS p") == "MCS p < 0.001"


def test_small_p_values_wherever_they_are_shown(comparison, tmp_path):
    """Tables, what is shown at a point, and calibration: 0.000 is told nowhere."""
    made = copy(comparison)
    table = made.table.copy()
    table["mcs_p_value"] = 0.0002
    table.loc[table.index != made.reference, "p_value"] = 0.0001
    calibration = made.calibration.assign(pit_p_value=0.0003)
    vars(made).update(table=table, calibration=calibration)
    shown = texts(made)
    others = shown.index != made.reference
    assert set(shown["p"][others]) == {"< 0.001"}
    assert set(shown["p"][~others]) == {""}
    assert set(shown["MCS p"]) == {"< 0.001"}
    points = made.plot_differences().data[-1]
    told = {name: text for name, (_, text) in zip(points.y, points.customdata, strict=True)}
    reference = told.pop(escape(made.reference))
    assert reference == "MCS p &lt; 0.001"
    assert set(told.values()) == {"p &lt; 0.001, MCS p &lt; 0.001"}
    assert "customdata[1]" in points.hovertemplate
    page = made.write_html(tmp_path / "page.html").read_text(encoding="utf-8")
    cells = page[page.index("Calibration</h2>") :]
    assert cells.count("<td>&lt; 0.001</td>") == len(calibration)

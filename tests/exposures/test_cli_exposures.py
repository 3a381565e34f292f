"""`bdfm exposures` as a user runs it."""

import json
import re
import sys

import numpy as np
import pandas as pd
import pytest

from bdfm.exposures import ExposureData, Exposures, KalmanBetas

pytestmark = pytest.mark.usefixtures("blank_pictures")


@pytest.fixture
def files(tmp_path, data):
    days = [data.days[0] - pd.Timedelta(days=1), *data.days]
    closes = np.vstack([np.zeros(len(data.assets)), np.cumsum(data.returns.to_numpy(), axis=0)])
    prices = pd.DataFrame(
        100 * np.exp(closes), index=pd.DatetimeIndex(days, name="date"), columns=data.assets
    )
    prices.to_csv(tmp_path / "prices.csv")
    table = 100 * data.factors.to_pandas()
    table.rename_axis("date").assign(RF=0.01).to_csv(tmp_path / "factors.csv")
    universe = pd.DataFrame({"symbol": data.assets, "asset_class": data.sectors})
    universe.to_csv(tmp_path / "universe.csv", index=False)
    return tmp_path


@pytest.fixture
def arguments(files):
    return [
        *(
            "exposures",
            "--prices",
            files / "prices.csv",
            "--factors",
            files / "factors.csv",
            "--unit",
            "percent",
        ),
        *("--out", files / "out"),
    ]


@pytest.mark.drawn
def test_files_and_table(bdfm_command, arguments, files, data):
    code, out, err = bdfm_command(
        *arguments, "--method", "rolling", "--method", "kalman", "--method", "pca", "--latents", 2,
        "--window-days", 100, "--universe", files / "universe.csv", "--assets", 4,
    )  # fmt: skip
    assert code == 0, err
    folder = files / "out"
    assert sorted(p.name for p in folder.iterdir()) == [
        ".bdfm.json", "comparison.csv", "comparison.png", "exposures_kalman.nc", "exposures_pca.nc",
        "exposures_rolling.nc", "summary.json",
    ]  # fmt: skip
    table = pd.read_csv(folder / "comparison.csv", index_col="method")
    assert list(table.index) == ["rolling_ols", "kalman", "pca"]
    result = Exposures.load(folder / "exposures_kalman.nc")
    assert len(result.assets) == 4
    assert result.factor_names == ["market", "size"]  # the risk-free rate is no factor
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["days"] == {"training": 280, "validation": 60, "test": 60}
    assert set(summary["methods"]) == set(table.index)
    assert "of variance explained" in out


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--assets", 3], "Give --universe too"),
        (["--start", "soon"], "'soon' is not a date"),
        (["--start", "2030-01-01"], "no day in common"),
        (["--method", "rolling"], "a window of 750 days does not fit"),
    ],
)
def test_errors_are_one_message(bdfm_command, arguments, files, extra, message):
    code, _, err = bdfm_command(*arguments, *extra)
    assert code == 2
    assert message in " ".join(err.split())
    assert not (files / "out").exists()


def test_wrong_unit_is_told(bdfm_command, arguments):
    arguments[arguments.index("percent")] = "decimal"
    code, _, err = bdfm_command(*arguments)
    assert code == 2
    assert "Returns must be decimals" in " ".join(err.split())


@pytest.mark.long
def test_a_study_writes_every_table_and_picture(bdfm_command, arguments, files, data):
    pytest.importorskip("sklearn")
    pytest.importorskip("arch")
    options = ("--universe", files / "universe.csv", "--study", "--latents", 2, "--window-days", 100)
    code, out, err = bdfm_command(*arguments, *options)
    assert code == 0, err
    assert "study.html the study, with study_*.csv" in " ".join(out.split())
    folder = files / "out"
    made = {p.name.removeprefix("study_") for p in folder.glob("study_*")}
    tables = {
        "descriptive", "correlations", "errors", "against_constant", "confidence_set_prediction",
        "confidence_set_reconstruction", "independence_pca", "latents_on_factors_pca", "top_assets_pca",
        "regimes_volatility", "spells_volatility", "regimes_pca", "spells_pca",
    }  # fmt: skip
    assert {n.removesuffix(".csv") for n in made if n.endswith(".csv")} == tables
    pictures = {
        "errors", "latents_pca", "latent_correlations_pca", "latent_sectors_pca", "latent_plane_pca",
        "latent_against_market_pca", "latent_against_size_pca", "regimes_volatility", "regimes_pca", "paths",
        *(f"map_{m}" for m in ("constant", "rolling_ols", "kalman", "dcc_garch")),
    }  # fmt: skip
    assert {n.removesuffix(".png") for n in made if n.endswith(".png")} == pictures
    page = (folder / "study.html").read_text()
    assert page.count("<h2>") == len(tables) + len(pictures)
    assert sorted(re.findall(r'src="(study_\w+\.png)"', page)) == sorted(f"study_{n}.png" for n in pictures)
    own = ExposureData.from_arrays(
        data.returns, data.factors, days=data.days, assets=data.assets, factor_names=data.factor_names,
        sectors=data.sectors,
    )  # fmt: skip
    rate = np.log1p(0.0001)  # the risk-free rate of the file
    series = pd.read_csv(folder / "study_descriptive.csv", index_col=[0, 1])
    mean = float(own.returns[:, 1].mean()) - rate
    assert series.loc[("asset", "A1"), "mean"] == pytest.approx(mean, rel=1e-6)
    results = {n: Exposures.load(folder / f"exposures_{n}.nc") for n in ("constant", "pca")}
    constant = pd.read_csv(folder / "study_against_constant.csv", index_col="method")
    actual, sd = np.asarray(own.returns) - rate, np.asarray(own.returns)[: own.n_training].std(axis=0)
    gap = [
        float(np.square((np.asarray(results[n].prediction()) - actual)[-60:] / sd).mean())
        for n in ("pca", "constant")
    ]
    assert constant.loc["pca", "difference"] == pytest.approx(gap[0] - gap[1], rel=1e-4)
    top = pd.read_csv(folder / "study_top_assets_pca.csv")
    z = results["pca"].dataset["factor_values"].to_numpy()[:, 0]
    r = [np.corrcoef(z, own.returns[:, i])[0, 1] for i in range(len(own.assets))]
    assert top.loc[0, "correlation"] == pytest.approx(max(r, key=abs), rel=1e-4)
    regimes = pd.read_csv(folder / "study_regimes_volatility.csv", index_col="regime")
    assert list(regimes.index) == [1, 2, 3]
    assert regimes["volatility"].is_monotonic_increasing


@pytest.mark.parametrize("methods", [("constant",), ("constant", "rolling")])
def test_a_study_without_latents_or_rivals_has_what_there_is(bdfm_command, arguments, files, methods):
    chosen = [x for m in methods for x in ("--method", m)]
    window = ("--window-days", 100) if "rolling" in methods else ()
    code, _, err = bdfm_command(*arguments, "--study", *window, *chosen)
    assert code == 0, err
    tests = ("against_constant", "confidence_set_prediction", "confidence_set_reconstruction")
    names = ["descriptive", "correlations", "errors", "regimes_volatility", "spells_volatility"]
    names += tests if len(methods) > 1 else ()
    assert {p.name for p in (files / "out").glob("study_*.csv")} == {f"study_{n}.csv" for n in names}


def test_a_study_shows_how_a_network_was_trained(bdfm_command, arguments, files):
    pytest.importorskip("torch", reason="torch is not installed: make torch")
    code, _, err = bdfm_command(*arguments, "--study", "--method", "vae", "--latents", 2)
    assert code == 0, err
    made = {p.name for p in (files / "out").glob("study_*")}
    assert {
        "study_training_factor_vae.png",
        "study_kl_factor_vae.csv",
        "study_regimes_factor_vae.png",
    } <= made


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--method", "rolling"), "a window of 750 days does not fit 2 factors and 400 days"),
        (("--method", "pca"), "10 components of 6 assets"),
    ],
)
def test_a_method_that_cannot_be_is_refused_before_another_is_fitted(
    words, told, bdfm_command, arguments, files, monkeypatch
):
    monkeypatch.setattr(KalmanBetas, "fit", lambda *_, **__: pytest.fail("fitted"))
    code, _, err = bdfm_command(*arguments, "--method", "kalman", *words)
    assert code == 2
    assert told in " ".join(err.split())
    assert not (files / "out").exists()


def test_a_package_that_is_missing_is_told_before_another_is_fitted(bdfm_command, arguments, monkeypatch):
    monkeypatch.setattr(KalmanBetas, "fit", lambda *_, **__: pytest.fail("fitted"))
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, err = bdfm_command(*arguments, "--method", "kalman", "--method", "vae")
    assert (code, "torch" in err) == (2, True)


def test_a_factor_that_begins_to_move_after_the_training_part_is_refused(bdfm_command, arguments, files):
    table = pd.read_csv(files / "factors.csv", index_col="date")
    table["size"] = np.where(np.arange(len(table)) < 300, 0.0, table["size"])
    table.to_csv(files / "factors.csv")
    for method in ("constant", "kalman", "dcc", "bayes"):
        code, _, err = bdfm_command(*arguments, "--method", method)
        assert code == 2
        assert "are collinear from" in " ".join(err.split()), method
    assert not (files / "out").exists()

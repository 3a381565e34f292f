"""A given volatility, from its file into the forecast of a month, the run file and a backtest."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bdfm
from bdfm.backtest import MarketData, ModelForecaster, look_ahead
from bdfm.cli.app import app
from bdfm.data.sources import read_volatility
from bdfm.errors import DataError
from bdfm.inference.settings import SamplerSettings
from bdfm.model.find import with_outside_volatility

ORIGIN = "2020-06-26"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of eight of the included assets, with a volatility that is well above the past for one."""
    path = tmp_path_factory.mktemp("files")
    prices, universe = bdfm.demo()
    universe = universe.head(8)
    prices = prices[list(universe["symbol"])].loc["2017":]
    rng = np.random.default_rng(1)
    volatility = pd.DataFrame(
        0.25 * np.exp(0.1 * rng.standard_normal(prices.shape)), prices.index, prices.columns
    )
    volatility.loc["2020-06-22":, "AAPL"] = 1.5
    prices.to_csv(path / "prices.csv")
    universe.to_csv(path / "universe.csv", index=False)
    volatility.to_csv(path / "volatility.csv")
    long = volatility.rename_axis("date").melt(var_name="symbol", value_name="iv", ignore_index=False)
    long.reset_index().to_csv(path / "long.csv", index=False)
    return path


def test_wide_and_long_files_are_the_same(folder):
    wide, long = read_volatility(folder / "volatility.csv"), read_volatility(folder / "long.csv")
    pd.testing.assert_frame_equal(wide, long[wide.columns], check_freq=False)


@pytest.mark.long
def test_forecast_reads_it_and_the_run_file_repeats_it(folder, tmp_path):
    common = ["--prices", folder / "prices.csv", "--universe", folder / "universe.csv", "--origin", ORIGIN]
    common += ["--draws", 50, "--tune", 50, "--chains", 1, "--n-draws", 20_000]
    runner = CliRunner()

    def forecast(name, *more):
        words = ["forecast", *common, *more, "--out", tmp_path / name]
        result = runner.invoke(app, [str(w) for w in words])
        assert result.exit_code == 0, result.output
        return bdfm.Forecast.load(tmp_path / name / "forecast.nc").draws

    without, given = forecast("without"), forecast("with", "--volatility", folder / "volatility.csv")

    def spread(draws):  # of the model's draws, the first half: the others are of the rolling covariance
        x = draws.sel(asset="AAPL").to_numpy()
        return np.subtract(*np.quantile(x[: len(x) // 2], [0.9, 0.1]))

    assert spread(given) > 1.2 * spread(without)
    assert "volatility.csv" in (tmp_path / "with" / "run.toml").read_text()
    result = runner.invoke(app, ["run", str(tmp_path / "with" / "run.toml"), "--check"])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "with" / "summary.json").read_text())["model"] == "house"


def test_a_file_in_percent_is_refused_before_the_fit(folder, tmp_path):
    table = pd.read_csv(folder / "volatility.csv", index_col=0) * 100
    table.to_csv(tmp_path / "percent.csv")
    words = ["forecast", "--prices", folder / "prices.csv", "--universe", folder / "universe.csv"]
    words += ["--origin", ORIGIN, "--volatility", tmp_path / "percent.csv", "--out", tmp_path / "out"]
    result = CliRunner().invoke(app, [str(w) for w in words])
    assert result.exit_code != 0
    message = result.output if isinstance(result.exception, SystemExit) else str(result.exception)
    assert "median" in message


@pytest.mark.filterwarnings("ignore::bdfm.errors.ConvergenceWarning")
def test_a_backtest_sees_none_of_the_future_of_it(folder):
    data = MarketData.of(
        bdfm.read_prices(folder / "prices.csv"),
        bdfm.read_universe(folder / "universe.csv"),
        volatility=read_volatility(folder / "volatility.csv"),
    )
    bare = MarketData.of(data.prices, data.universe)
    assert data.fingerprint != bare.fingerprint
    origin = pd.Timestamp(ORIGIN)
    history = data.history(origin)
    assert history.volatility is not None
    assert history.volatility.index[-1] <= origin
    earlier = history.earlier(1)
    assert earlier.volatility is not None
    assert earlier.volatility.index[-1] <= earlier.origin
    model = with_outside_volatility(bdfm.FactorModel.from_preset("m6").model_copy(update={"n_factors": 2}))
    quick = SamplerSettings(chains=1, draws=20, tune=20)
    forecaster = ModelForecaster(model, quick, n_draws=200)
    assert look_ahead(forecaster, data, [origin]).to_numpy().all()
    with pytest.raises(DataError, match="volatility"):
        MarketData.of(data.prices, data.universe, volatility=data.prices)

"""Breaks on real dates: days counted on planted breaks, and rows of the table in docs/exposures.md."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bdfm import exposures as ex

pytest.importorskip("statsmodels")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def breaks(benchmark_script):
    return benchmark_script("breaks")


def test_planted_break_is_found_and_no_other(breaks):
    rng = np.random.default_rng(3)
    f = rng.normal(0, 0.01, (400, 2))
    betas = np.ones((400, 3, 2))
    betas[300:, 1, 1] = 2.0
    returns = np.einsum("tik,tk->ti", betas, f) + rng.normal(0, 0.002, (400, 3))
    days = pd.bdate_range("2019-01-01", periods=400)
    data = ex.ExposureData.from_arrays(
        returns, f, days=days, assets=["a", "b", "c"], factor_names=("market", "size")
    )
    found = breaks.moved(data, 300)
    assert list(found.index) == [("b", "size")]
    assert found.iloc[0].tolist() == pytest.approx([1.0, 2.0], abs=0.15)
    assert len(breaks.moved(data, 270)) == 0


def test_days_are_counted_from_the_break(breaks):
    path = np.full((200, 1, 1), 1.0)
    path[107:] = 1.8  # at the close of the eighth day of the new exposure
    paths = xr.DataArray(
        path, {"day": range(200), "asset": ["a"], "factor": ["market"]}, ["day", "asset", "factor"]
    )
    moved = pd.DataFrame({"old": [1.0], "new": [2.0]}, pd.MultiIndex.from_tuples([("a", "market")]))
    assert breaks.delays(paths, moved, 100).tolist() == [7.0]
    assert breaks.delays(paths.where(paths < 1.5, 1.4), moved, 100).tolist() == [np.inf]
    assert breaks.delays(paths.where(paths.day != 105), moved, 100).isna().all()


@pytest.mark.shared_data
def test_rows_of_the_table(breaks, shared_data, tmp_path, monkeypatch):
    folder = shared_data("sp500")
    monkeypatch.setattr(breaks, "methods", lambda: [ex.RollingOLS(window_days=60)])
    arguments = {
        "prices": folder / "adjusted_close.parquet", "sectors": folder / "sectors.csv",
        "factors": shared_data("french") / "ff3_daily.csv", "out": tmp_path, "seed": 1,
    }  # fmt: skip
    breaks.main(type("Arguments", (), arguments))
    found = pd.read_csv(tmp_path / "breaks.csv")
    assert found["exposures"].tolist() == [5, 1]
    assert found["noticed"].tolist() == [5, 1]
    assert found["within 21 days"].tolist() == [1, 1]
    assert found["median days"].tolist() == [27, 0]
    text = (ROOT / "docs" / "exposures.md").read_text(encoding="utf-8")
    assert "| rolling least squares, 60 days | 5 of 5 | 1 | 27 | 1 of 1 | 0 |" in text

"""`bdfm exposures` as a user runs it."""

import json

import numpy as np
import pandas as pd
import pytest

from bdfm.exposures import Exposures


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

"""The command `bdfm risk` as a user runs it."""

import json

import pandas as pd
import pytest

from bdfm.data.sources import demo
from bdfm.risk import RiskModel, simple_returns


@pytest.fixture
def run(bdfm_command):
    """Run `bdfm risk ...`."""
    return lambda *args: bdfm_command("risk", *args)


@pytest.fixture
def files(tmp_path):
    prices, _ = demo()
    prices = prices.loc["2019":"2022-06-30"]
    prices.to_csv(tmp_path / "prices.csv")
    stocks = list(prices.columns[:20])
    pd.DataFrame({"symbol": prices.columns, "sector": ["x", "y"] * 12 + ["x"]}).to_csv(
        tmp_path / "sectors.csv", index=False
    )
    rows = [("core", s, 0.05) for s in stocks]
    rows += [("tilt", stocks[0], 1.0), ("tilt", stocks[1], -0.5)]
    pd.DataFrame(rows, columns=["portfolio", "symbol", "weight"]).to_csv(tmp_path / "book.csv", index=False)
    market = prices.pct_change().iloc[1:].mean(axis=1)
    pd.DataFrame({"market": market}).rename_axis("date").to_csv(tmp_path / "factors.csv")
    return tmp_path


def test_models_agree_with_the_package(run, files):
    code, out, err = run(
        *("--prices", files / "prices.csv", "--portfolio", files / "book.csv"),
        *("--sectors", files / "sectors.csv", "--factors", files / "factors.csv"),
        *("--origin", "2022-02-04", "--out", files / "out"),
    )
    assert code == 0, err
    assert "Volatility over 28 days" in out
    table = pd.read_csv(files / "out" / "risk.csv", index_col=["portfolio", "model"])
    assert list(table.index) == [
        (p, m) for p in ("core", "tilt") for m in ("time-series", "cross-sectional", "statistical")
    ]
    prices, _ = demo()
    returns = simple_returns(prices.loc["2019":"2022-02-04"], period_days=7).iloc[-104:]
    core = pd.Series(0.05, prices.columns[:20])
    for name in ("time-series", "cross-sectional", "statistical"):
        model = RiskModel.load(files / "out" / f"{name}.nc")
        assert model.periods == 4
        assert model.origin == pd.Timestamp("2022-02-04")
        assert float(model.volatility(core)) == pytest.approx(table.loc[("core", name), "volatility"])
        realised = 2 * (returns[core.index] @ core).std()
        assert 0.8 * realised < table.loc[("core", name), "volatility"] < 1.2 * realised
        assert (files / "out" / f"{name}.png").stat().st_size > 5000
    assert set(json.loads((files / "out" / "summary.json").read_text())["models"]) == {
        "time-series", "cross-sectional", "statistical"}  # fmt: skip


def test_equal_weights_and_validation(run, files):
    code, out, err = run("--prices", files / "prices.csv", "--model", "statistical", "--validate")
    assert code == 0, err
    assert "equal" in out
    assert "checks" in out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("tilt,AAPL", "tilt,ZZZ"), "unknown symbol ZZZ"),
        (lambda t: t.replace("-0.5", "half"), "'half'"),
        (lambda t: t.replace("weight", "wait"), "missing column weight"),
        (lambda t: t + t.splitlines()[-1] + "\n", "given twice"),
    ],
)
def test_bad_portfolio(run, files, change, message):
    path = files / "book.csv"
    text = path.read_text()
    path.write_text(change(text))
    assert change(text) != text
    code, _, err = run("--prices", files / "prices.csv", "--portfolio", path, "--model", "statistical")
    assert code == 2
    assert message in err


def test_missing_files(run, files):
    code, _, err = run("--prices", files / "prices.csv", "--model", "time-series")
    assert (code, "needs --factors" in err) == (2, True)
    code, _, err = run("--prices", files / "nothing.csv")
    assert code == 2
    assert "does not exist" in err

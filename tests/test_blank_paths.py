"""A blank path is the working folder to Python: at every door that takes one it is refused by name."""

import re
from contextlib import nullcontext
from functools import cache

import numpy as np
import pandas as pd
import pytest

import bdfm
from bdfm import _checks, _files, _folders, _sealed
from bdfm.backtest import MarketData, baselines, load_runs, walk_forward
from bdfm.errors import BdfmError, DataError, FileError
from bdfm.exposures import Exposures
from bdfm.exposures.factor_vae import TrainedFactorVAE
from bdfm.ledger.ledger import Ledger
from bdfm.portfolio.mandate import Mandate
from bdfm.report.month import read_month
from bdfm.report.months import run_months
from bdfm.report.page import write_report, write_report_workbook
from bdfm.report.roll import roll
from bdfm.report.run_file import RunFile
from bdfm.risk import RiskModel, read_portfolios
from bdfm.scoring.m6 import read_submission

DOORS = {
    "read_prices": bdfm.read_prices,
    "read_universe": bdfm.read_universe,
    "read_earnings": bdfm.read_earnings,
    "read_submission": read_submission,
    "read_portfolios": lambda p: read_portfolios(p, ["A"], accept=None, what="holdings"),
    "aliases": lambda p: bdfm.read_universe(pd.DataFrame({"symbol": ["A"], "asset_class": ["x"]}), aliases=p),
    "Forecast.load": bdfm.Forecast.load,
    "Forecast.save": lambda p: made().save(p),
    "Forecast.save, made_from": lambda p: made().with_base("x", {}).save("forecast.nc", made_from=p),
    "Forecast.write_submission": lambda p: made().write_submission(p),
    "Posterior.load": bdfm.Posterior.load,
    "RiskModel.load": RiskModel.load,
    "Exposures.load": Exposures.load,
    "TrainedFactorVAE.load": TrainedFactorVAE.load,
    "Ledger.open": Ledger.open,
    "Ledger.enter": lambda p: Ledger(_checks.path_of(".")).enter(p),
    "Mandate.from_toml": Mandate.from_toml,
    "read_month": read_month,
    "run_months": lambda p: run_months([p]),
    "roll": lambda p: roll(p, "2022-01-07", pd.DataFrame()),
    "write_report": write_report,
    "write_report_workbook": write_report_workbook,
    "load_runs": lambda p: load_runs([p]),
    "walk_forward": lambda p: walk_forward(baselines()["equal"], market(), origins=["2020-06-05"], folder=p),
    "write_bytes": lambda p: _files.write_bytes(p, b""),
    "check_target": _files.check_target,
    "OutputFolder": _folders.OutputFolder,
    "save_arrays": lambda p: _sealed.save_arrays({}, {}, p, kind="x"),
    "load_arrays": lambda p: _sealed.load_arrays(p, kind="x"),
}


@cache
def market():
    return MarketData.of(*bdfm.demo()[:2])


@cache
def made():
    draws = np.random.default_rng(1).normal(0, 0.05, size=(200, 3))
    return bdfm.Forecast.from_draws(
        draws, assets=list("ABC"), asset_class=["x"] * 3, origin="2022-01-07", end="2022-02-04"
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return made().save(tmp_path_factory.mktemp("saved") / "forecast.nc").read_bytes()


@pytest.fixture
def folder(saved, tmp_path, monkeypatch):
    """The working folder; what it holds is not taken for a path that is none."""
    (tmp_path / "forecast.nc").write_bytes(saved)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("door", DOORS)
def test_no_door_takes_a_blank_path(door, folder):
    before = sorted(folder.iterdir())
    for blank in ("", "  "):
        with pytest.raises(FileError, match=r"the path is blank\. Give one"):
            DOORS[door](blank)
    for other in (5, True, b"x"):
        with pytest.raises(BdfmError, match="a path"):
            DOORS[door](other)
    assert sorted(folder.iterdir()) == before


HERE = "file:" + 3 * "/"
ODD = {
    "https://example.org/x.csv": "https://example.org/x.csv is an address, and files are",
    "s3://bucket/x.toml": "s3://bucket/x.toml is an address, and files are",
    f"{HERE}none/x%20y.csv": f"{HERE}none/x%20y.csv is an address of this machine.* path: /none/x y.csv",
    "~/x.nc": r"~ is a sign of the shell.* Write .*x\.nc",
    "circle": "links that lead to each other in a circle",
}


@pytest.mark.parametrize("path", ODD)
@pytest.mark.parametrize("door", [x for x in DOORS if "made_from" not in x])  # looked at on loading
def test_no_door_takes_an_address_or_the_sign_of_a_home(door, path, folder):
    """Neither does one make a folder of that name, nor say of a circle of links that it is not there."""
    (folder / "circle").symlink_to("other")
    (folder / "other").symlink_to("circle")
    before = sorted(folder.rglob("*"))
    with pytest.raises(BdfmError) as error:
        with DOORS[door](path) if door == "OutputFolder" else nullcontext(DOORS[door](path)):
            pass
    assert re.search(ODD[path], str(error.value)) or door == "Ledger.enter"  # which is of no ledger first
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "key", ["out", "ledger", "warm_from", "prices", "universe", "earnings", "volatility"]
)
@pytest.mark.parametrize("blank", ["", " \t"])
def test_run_files_refuse_it(key, blank):
    data = {"origin": "2020-12-18"}
    given = {key: blank} if key in RunFile.model_fields else {}
    data |= {key: blank} if not given else {"demo": True}
    with pytest.raises(DataError, match=rf"{key} should be a path, \. for this folder"):
        RunFile(data=data, **given)

"""Fixtures shared by all tests: a tiny simulated panel with known truth, the demo panel, real data."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytensor
import pytest

from bdfm.cli import app
from bdfm.data.panel import Panel
from bdfm.data.sources import DEMO_ORIGIN, demo
from bdfm.model.factor_model import FactorModel, model_data
from bdfm.model.simulate import simulate

# Graphs of tests are evaluated a few times at most: interpreted, not compiled. Samplers compile all the same.
pytensor.config.mode = "FAST_COMPILE"

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
N_PERIODS, N_ASSETS, N_FACTORS = 36, 8, 2


@pytest.fixture(scope="session")
def m6_dir() -> Path:
    """Real M6 data, which are not part of the repository."""
    path = SHARED_DATA / "m6"
    if not path.is_dir():
        pytest.skip(f"no M6 data at {path}")
    return path


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real data by name, none of which is part of the repository."""

    def folder(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.is_dir():
            pytest.skip(f"no {name} data at {path}")
        return path

    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20220204)


@pytest.fixture(scope="session")
def tiny_model() -> FactorModel:
    return FactorModel(name="tiny", n_factors=N_FACTORS)


@pytest.fixture(scope="session")
def tiny_truth() -> dict[str, np.ndarray]:
    """Parameters that the tiny panel is simulated from; asymmetric, so that sign errors show."""
    rng = np.random.default_rng(7)
    return {
        "rho": np.float64(0.3),
        "factor_scale": np.array([0.05, 0.02]),
        "loadings": np.column_stack([np.linspace(0.4, 1.4, N_ASSETS), rng.normal(0, 1, N_ASSETS)]),
        "alpha": np.linspace(0.0, 0.01, N_ASSETS),
        "beta_rr": np.linspace(-0.006, 0.0, N_ASSETS),
        "theta": np.log(np.linspace(0.01, 0.04, N_ASSETS)),
        "beta_rv": np.full((N_ASSETS, 1), 0.5),
        "beta_earnings": np.full(N_ASSETS, 0.4),
        "nu": np.full(N_ASSETS, 6.0),
    }


@pytest.fixture(scope="session")
def tiny_panel(tiny_model: FactorModel, tiny_truth: dict[str, np.ndarray]) -> Panel:
    """36 periods of 8 assets in 2 classes, with gaps, a late start and an early end."""
    rng = np.random.default_rng(11)
    shape = (N_PERIODS, N_ASSETS)
    features = {
        "recent_return": rng.standard_normal(shape),
        "recent_volatility": 0.5 * rng.standard_normal((*shape, 1)),
        "earnings": (rng.random(shape) < 0.25).astype(float),
        "next_recent_return": rng.standard_normal(N_ASSETS),
        "next_recent_volatility": 0.5 * rng.standard_normal((N_ASSETS, 1)),
        "next_earnings": (rng.random(N_ASSETS) < 0.25).astype(float),
    }
    assets = [f"A{i}" for i in range(N_ASSETS)]
    classes = ["stock"] * 5 + ["bond_etf"] * 3
    empty = Panel.from_arrays(np.zeros(shape), asset_class=classes, assets=assets, **features)
    returns = simulate(tiny_model, tiny_truth, model_data(tiny_model, empty), rng=rng).log_returns
    returns[:10, 1] = np.nan
    returns[30:, 6] = np.nan
    returns[rng.random(shape) < 0.05] = np.nan
    return Panel.from_arrays(returns, asset_class=classes, assets=assets, **features)


@pytest.fixture(scope="session")
def demo_panel() -> Panel:
    prices, universe = demo()
    return Panel.from_prices(prices, universe, origin=DEMO_ORIGIN)


@pytest.fixture
def bdfm_command(monkeypatch, capsys):
    """Run `bdfm ...` in this process; returns exit code, standard output and standard error."""

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["bdfm", *map(str, args)])
        try:
            app.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return call

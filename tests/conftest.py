"""Fixtures shared by all tests: a tiny simulated panel with known truth, the demo panel, real data."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType

import arviz_base  # noqa: F401  # before what it looks through, every module there is: seconds later on
import numpy as np
import pytensor
import pytest
import xarray as xr
from pytensor.compile.mode import Mode

from bdfm.cli import app
from bdfm.data.panel import Panel
from bdfm.data.sources import DEMO_ORIGIN, demo
from bdfm.gibbs.beside import on_disk, types_of_any
from bdfm.gibbs.compiling import address
from bdfm.gibbs.sweep import UPDATES
from bdfm.model.equations import model_data
from bdfm.model.factor_model import FactorModel
from bdfm.model.simulate import simulate

# Graphs of tests are evaluated a few times at most: as they are written, neither rewritten nor compiled, for
# that takes longer than all evaluations. Samplers compile all the same, and what states its mode has that.
pytensor.config.mode = Mode(linker="py", optimizer=None)
# Where in the source a node was made is for messages of errors; to look it up is a tenth of making a graph.
pytensor.config.traceback__limit = 0

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ALL_TESTS = 3000  # fewer are some of them, which may compile nothing
N_PERIODS, N_ASSETS, N_FACTORS = 36, 8, 2


class Backwards(pytest.Dir):
    """A folder that is gone through from its last file to its first."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        return reversed([*super().collect()])


def worker() -> int | None:
    """Number of this process among those of a run; None where it is the only one."""
    name = os.environ.get("PYTEST_XDIST_WORKER")
    return None if name is None else int(name.removeprefix("gw"))


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Let every other process read tests from the last to the first.

    In a fresh clone each would compile all of them at the same time, which takes seconds: so each compiles
    half, and finds the other half compiled.
    """
    if (worker() or 0) % 2 and not (path / "__init__.py").is_file():
        return Backwards.from_parent(parent, path=path)
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One order in all processes of a run, whichever way they read."""
    if worker() is not None:
        items.sort(key=lambda item: item.path.parts)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Spare what tests would do again and again.

    What is imported by now stays, so that the collector of garbage need not go through it every time: a tenth
    of all work. In a run of all tests the processes share out what compilation there is; each would otherwise
    compile the updates of the sampler as its own tests ask for them, most of them twice.
    """
    gc.freeze()
    number = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if number == 1 or len(session.items) < ALL_TESTS:
        return
    own = [*UPDATES.values()][worker() :: number]
    types = types_of_any()
    for update in own:
        if not on_disk(update):
            address(update, types)


@pytest.fixture(scope="session", autouse=True)
def no_loss_of_power() -> Iterator[None]:
    """Files of tests need not be on the disk before a test goes on; a busy one takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


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
def benchmark_script() -> Iterator[Callable[[str], ModuleType]]:
    """Importer of the modules in scripts/benchmarks by name."""
    place = str(Path(__file__).parents[1] / "scripts" / "benchmarks")
    sys.path.insert(0, place)
    yield importlib.import_module
    sys.path.remove(place)


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


@pytest.fixture(scope="session")
def small_preset():
    """Function that gives a preset with two factors, and a small panel with gaps that has all it needs."""

    def make(name, n_periods=30, n_assets=6):
        model = FactorModel.from_preset(name).model_copy(update={"n_factors": 2})
        rng = np.random.default_rng(20)
        shape, windows = (n_periods, n_assets), len(model.panel.volatility_windows)
        returns = 0.05 * rng.standard_normal(shape) + 0.04 * rng.standard_normal((n_periods, 1))
        returns[:6, 1] = np.nan
        returns[-4:, 4] = np.nan
        panel = Panel.from_arrays(
            returns,
            asset_class=["stock"] * (n_assets - 2) + ["bond_etf"] * 2,
            assets=[f"A{i}" for i in range(n_assets)],
            recent_return=rng.standard_normal(shape),
            recent_volatility=0.5 * rng.standard_normal((*shape, windows)),
            market_volatility=0.5 * rng.standard_normal((n_periods, windows)),
            characteristics=np.concatenate(
                [
                    np.random.default_rng(9).standard_normal((n_periods, n_assets, 3)),
                    rng.standard_normal((1, n_assets, 3)),
                ]
            ),
            earnings=(rng.random(shape) < 0.25).astype(float),
            next_recent_return=rng.standard_normal(n_assets),
            next_recent_volatility=0.5 * rng.standard_normal((n_assets, windows)),
            next_market_volatility=0.5 * rng.standard_normal(windows),
            next_earnings=(rng.random(n_assets) < 0.25).astype(float),
            rolling_covariance=0.0016 + 0.0025 * np.eye(n_assets) if model.panel.rolling_covariance else None,
            origin="2019-06-28",
            settings=model.panel,
        )
        return model, panel

    return make


@pytest.fixture(scope="session")
def random_draws():
    """Function that gives every variable of a model random draws with its dims and labels."""

    def draw(model, panel, *, chains=2, draws=7, seed=5, evidence=()):
        rng = np.random.default_rng(seed)
        coords = model.coords(panel, evidence) | {"chain": range(chains), "draw": range(draws)}
        found = {}
        for v in (*model.variables, *(model.variables_ahead if evidence else ())):
            if not v.stored:
                continue
            shape = (chains, draws, *(len(coords[d]) for d in v.dims))
            x = rng.standard_normal(shape)
            if v.name.startswith("sigma_") or v.name in ("factor_scale", "loading_drift"):
                x = rng.gamma(4, 0.02, shape)
            if v.name in ("factor_nu", "factor_mixing", "factor_mixing_next"):
                x = rng.gamma(4, 0.25, shape) * (8 if v.name == "factor_nu" else 1)
            x = {"theta": x - 3, "nu": 4 + rng.gamma(2, 2, shape), "factors": 0.05 * x}.get(v.name, x)
            if v.name in ("rho", "phi", "beta_momentum", "var_matrix"):
                x = np.tanh(x) / 20
            found[v.name] = (("chain", "draw", *v.dims), x)
        if "loadings_path" in found:
            found["loadings"] = (found["loadings"][0], found["loadings_path"][1][:, :, -1])
        used = {d for dims, _ in found.values() for d in dims}
        return xr.Dataset(found, coords={d: x for d, x in coords.items() if d in used})

    return draw


@pytest.fixture
def blank_pictures(request, monkeypatch):
    """Pictures are made and saved, and not drawn: a third of the time of a command that has several.

    For tests of numbers and messages; of whole files of such those that are marked ``drawn`` are left out.
    What pictures show is tested where they are made.
    """
    if request.node.get_closest_marker("drawn"):
        return
    from matplotlib.figure import Figure

    save = Figure.savefig

    def blank(figure, where, **kwargs):
        save(Figure(figsize=(1, 1)), where, **kwargs | {"dpi": 10})

    monkeypatch.setattr(Figure, "savefig", blank)


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

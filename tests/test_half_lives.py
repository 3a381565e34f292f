"""Half-lives of volatility and correlation are in market days, as their names say; the old ones are taken."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import pandas as pd
import pytest

from bdfm import FactorModel, Panel, Posterior, _sealed
from bdfm.backtest.filtered import FilteredHistorical
from bdfm.backtest.protocol import MarketData
from bdfm.backtest.run import MANIFEST
from bdfm.backtest.simple import EWMA, HAR
from bdfm.backtest.walk import walk_forward
from bdfm.data.settings import RollingCovariance
from bdfm.data.sources import demo
from bdfm.errors import DataError, RenamedWarning, UnknownLabelError

ROOT = Path(__file__).parents[1]
OLD = re.compile(r"(volatility|correlation)_half_life\b")
VOLATILITY, CORRELATION = "volatility_half_life", "correlation_half_life"


@pytest.mark.parametrize("name", [VOLATILITY, CORRELATION])
@pytest.mark.parametrize("kind", [RollingCovariance, EWMA, HAR, FilteredHistorical])
def test_the_old_name_is_taken_with_a_warning(kind, name):
    if kind is FilteredHistorical and name == CORRELATION:
        with pytest.raises(UnknownLabelError, match=name):
            kind(**{name: 30.0})
        return
    new = kind(**{f"{name}_days": 30.0})
    with pytest.warns(RenamedWarning, match=rf"{name} is called {name}_days now") as told:
        old = kind(**{name: 30.0})
    assert old == new
    assert new != kind()
    assert told[0].filename == __file__
    assert not any(OLD.fullmatch(field) for field in kind.model_fields)
    with pytest.warns(RenamedWarning, match=f"{name}_days"):
        assert getattr(new, name) == 30.0
    with pytest.raises(DataError, match=f"both {name} and {name}_days are given"):
        kind(**{name: 30.0, f"{name}_days": 30.0})


def test_a_model_file_of_the_version_before_is_read_and_written_with_new_names():
    house = FactorModel.from_preset("house")
    text = house.to_toml()
    assert not OLD.search(text)
    before = text.replace("_half_life_days", "_half_life")
    assert len(OLD.findall(before)) == 2
    with pytest.warns(RenamedWarning) as told:
        model = FactorModel.from_toml(before)
    assert [str(w.message).split(" now")[0] for w in told] == [
        f"panel.rolling_covariance: {name} is called {name}_days" for name in (VOLATILITY, CORRELATION)
    ]
    assert model == house
    assert model.to_toml() == text


def test_a_posterior_saved_before_is_read_without_a_word(small_preset, random_draws, tmp_path):
    model, panel = small_preset("house")
    draws = random_draws(model, panel)
    Posterior.from_draws(draws, draws[[]], model, panel, {"seed": 1}).save(tmp_path / "new.nc")
    tree = _sealed.load_tree(tmp_path / "new.nc", kind="posterior")
    tree.attrs["model_toml"] = re.sub("half_life_days", "half_life", tree.attrs["model_toml"])
    settings = tree["panel"].attrs["settings"]
    tree["panel"].attrs["settings"] = re.sub("half_life_days", "half_life", settings)
    assert OLD.search(tree["panel"].attrs["settings"])
    assert OLD.search(tree.attrs["model_toml"])
    _sealed.save_tree(tree, tmp_path / "old.nc", kind="posterior")
    with warnings.catch_warnings(action="error"):
        old, new = (Posterior.load(tmp_path / f"{name}.nc") for name in ("old", "new"))
        assert old.model == new.model == model
        assert old.panel.settings == new.panel.settings
        assert old.panel.settings.rolling_covariance is not None
        assert not OLD.search(old.model.to_toml())
        assert Panel.from_dataset(tree["panel"].to_dataset()).settings == panel.settings


def test_a_backtest_begun_before_goes_on(tmp_path):
    prices, universe = demo()
    data = MarketData.of(prices.iloc[-900:, :8], universe.iloc[:8])
    ewma = EWMA(volatility_half_life_days=30.0, n_draws=200)
    origins = pd.to_datetime(["2021-11-05", "2021-12-03"])
    walk_forward(ewma, data, origins[:1], tmp_path, seed=1)
    file = tmp_path / MANIFEST
    before = json.loads(file.read_text())
    file.write_text(file.read_text().replace("_half_life_days", "_half_life"))
    assert OLD.search(file.read_text())
    with warnings.catch_warnings(action="error"):
        walk_forward(ewma, data, origins, tmp_path, seed=1)
    assert json.loads(file.read_text())["identity"] == before["identity"]
    with pytest.raises(DataError, match="holds a run with other settings"):
        walk_forward(EWMA(n_draws=200), data, origins, tmp_path, seed=1)


class Own(EWMA):
    """A forecaster of somebody's own, whose settings happen to have a name that was ours."""

    @property
    def settings(self):
        return {"volatility_half_life": 30.0}


def test_a_forecaster_of_ones_own_keeps_its_names(tmp_path):
    prices, universe = demo()
    data = MarketData.of(prices.iloc[-900:, :8], universe.iloc[:8])
    origins = pd.to_datetime(["2021-11-05", "2021-12-03"])
    for n in (1, 2):
        run = walk_forward(Own(n_draws=200), data, origins[:n], tmp_path, seed=1)
    assert run.manifest["identity"]["settings"] == {"volatility_half_life": 30.0}


def test_pages_models_scripts_and_notebooks_have_the_new_names():
    """Records of old runs (``docs/skill_runs.jsonl``) stay as they were written."""
    files = [ROOT / "README.md", *(ROOT / "models").glob("*.toml"), *(ROOT / "scripts").rglob("*.py")]
    made = {"_build", "generated", "presets"}
    files += [p for p in (ROOT / "docs").rglob("*.md") if not made & set(p.parts)]
    files += (ROOT / "notebooks").glob("*.ipynb")
    assert len(files) > 80
    texts = {p: p.read_text(encoding="utf-8").partition("## Renamed")[0] for p in files}
    assert [p for p, text in texts.items() if OLD.search(text)] == []

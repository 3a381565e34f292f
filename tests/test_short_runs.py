"""Short fits of tests reach every door: nobody sees one at full length, but for the time it takes."""

import importlib
import re
from pathlib import Path

from short_runs import doors_of_fits, short_runs

import bdfm
from bdfm import Posterior

ROOT = Path(bdfm.__file__).parents[1]


def test_all_that_fits_is_a_door():
    calls = {
        ".".join(p.relative_to(ROOT).with_suffix("").parts)
        for p in (ROOT / "bdfm").rglob("*.py")
        if re.search(r"(?<!def )\bsampled\(", p.read_text(encoding="utf-8"))
    }
    assert calls == {*doors_of_fits()}
    assert {"bdfm.report.month", "bdfm.posterior.fit", "bdfm.backtest.models"} <= calls


def test_a_command_and_python_fit_few_draws(tmp_path, monkeypatch, bdfm_command, blank_pictures):
    short_runs(monkeypatch.setattr, draws=12, predictive=300)
    made = [importlib.import_module(name).sampled for name in doors_of_fits()]
    assert len({*map(id, made)}) == 1
    monkeypatch.chdir(tmp_path)
    code, _, err = bdfm_command("demo", "--out", "demo")
    assert code in (0, 3), err
    found = Posterior.load(tmp_path / "demo" / "posterior.nc").draws.sizes
    assert (found["chain"], found["draw"]) == (2, 12)

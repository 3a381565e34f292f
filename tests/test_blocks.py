"""Large arrays lie in a file where the budget is small, in blocks of any size, and give the same numbers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from few import few

import bdfm
from bdfm import _blocks, _memory, views
from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.ranks import moments, weighted_quantiles
from bdfm.portfolio.decisions import decide
from bdfm.posterior import memory
from bdfm.posterior.posterior import Posterior

N_DRAWS = 3000


@pytest.fixture
def small_blocks(monkeypatch):
    """Switch to arrays in files, and to blocks of a few rows and columns."""

    def switch(*, disk: bool, rows: int, columns: int) -> None:
        monkeypatch.setattr(_blocks, "SHARE", 0.0 if disk else 1.0)
        monkeypatch.setattr(_blocks, "_ROWS", rows)
        monkeypatch.setattr(_blocks, "BLOCK_BYTES", 1)
        monkeypatch.setattr(_blocks, "GATHER_BYTES", columns * 4 * N_DRAWS)

    return switch


def results(posterior: Posterior, folder) -> dict[str, object]:
    """All that a month makes of a posterior: edits, views, files, ranks, summary, risk."""
    forecast = posterior.forecast(seed=5, n_draws=N_DRAWS)
    assets = forecast.assets
    view = views.Absolute(asset=assets[0], mean=0.02, sd=0.05, semantics="evidence")
    changed = forecast.shift(assets[1], 0.01).zero(assets[2]).with_views(view).drop(assets[3])
    folder.mkdir()
    posterior.save(folder / "posterior.nc")
    changed.save(folder / "forecast.nc", made_from=folder / "posterior.nc")
    loaded = Forecast.load(folder / "forecast.nc")
    loaded.save(folder / "again.nc", made_from=folder / "posterior.nc")
    decisions = [decide(forecast), decide(loaded, method="minimum_variance")]
    return {
        "draws": forecast.draws.to_numpy(),
        "changed": changed.draws.to_numpy(),
        "loaded": loaded.draws.to_numpy(),
        "ranks": forecast.quantile_probabilities(5).to_numpy(),
        "changed ranks": changed.quantile_probabilities(3).to_numpy(),
        "weights": changed.weights.to_numpy(),
        "summaries": pd.concat([x.summary().iloc[:, 2:] for x in (forecast, loaded)]),
        "submission": loaded.to_submission().iloc[:, 1:],
        "effects": changed.effects().iloc[:, 3:],
        "risk": pd.concat([d.risk.table for d in decisions]),
        "parts": pd.concat([d.risk.contributions for d in decisions]),
    }


@pytest.mark.long
@pytest.mark.parametrize("preset", few(["house", "m6"], ("house",)))  # m6 is half of house
@pytest.mark.filterwarnings("ignore::bdfm.errors.DataWarning")
def test_disk_and_blocks_change_no_number(preset, small_preset, random_draws, small_blocks, tmp_path):
    model, panel = small_preset(preset)
    draws = random_draws(model, panel)
    posterior = Posterior.from_draws(draws, draws[[]], model, panel, {"seed": 1}).in_single_precision()
    expected = results(posterior, tmp_path / "memory")
    for case, (disk, rows, columns) in enumerate([(True, 7, 2), (False, 256, 1), (True, 1000, 100)]):
        small_blocks(disk=disk, rows=rows, columns=columns)
        found = results(posterior, tmp_path / str(case))
        for name, x in expected.items():
            if name in ("risk", "parts", "effects", "weights"):  # sums over assets in other orders
                np.testing.assert_allclose(found[name], x, rtol=1e-6, atol=1e-12, err_msg=name)
            else:
                np.testing.assert_array_equal(found[name], x, err_msg=name)


def test_arrays_above_their_share_lie_in_a_file_that_goes_with_them(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with _memory.within("1GB"):
        assert not _blocks.kept_on_disk(1_000_000, 100)
        assert _blocks.kept_on_disk(1_000_001, 100)
    with _memory.within(500_000_000):
        array = _blocks.empty(60_000, 1000)
    assert not list(tmp_path.iterdir())  # it has no name
    array[:] = np.arange(1000, dtype=np.float32)
    for here in _blocks.blocks(array):
        _blocks.release(array[here])
    np.testing.assert_array_equal(_blocks.column(array, 7), np.full(60_000, 7, dtype=np.float32))
    array[5, 3], array[59_999, 4] = -7, 9000
    low, high = _blocks.extremes(array)
    np.testing.assert_array_equal(low, [0, 1, 2, -7, *range(4, 1000)])
    np.testing.assert_array_equal(high, [0, 1, 2, 3, 9000, *range(5, 1000)])


def test_a_full_disk_is_one_message(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    monkeypatch.setattr(_blocks, "SHARE", 0.0)
    with pytest.raises(DataError, match=r"10 draws of 4 assets.*no room.*Lower n_draws.*TMPDIR"):
        _blocks.empty(10, 4)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("take_over", [False, True])
def test_changes_of_a_map_of_another_are_kept(kind, take_over, rng, tmp_path):
    """What was changed in a copy-on-write map is in memory alone, and not ours to hand back."""
    np.save(tmp_path / "x.npy", (0.01 * rng.standard_normal((3000, 3))).astype(kind))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="c")
    mapped *= 3
    expected = np.array(mapped)
    forecast = Forecast.from_draws(
        mapped, assets=["A", "B", "C"], asset_class=["x"] * 3, origin="2022-02-04", end="2022-03-04",
        take_over=take_over and kind is np.float32,
    )  # fmt: skip
    forecast.quantile_probabilities()
    np.testing.assert_array_equal(mapped, expected)
    np.testing.assert_array_equal(forecast.draws.to_numpy(), expected.astype(np.float32))


MEASURED = """
import re, numpy as np
from pathlib import Path
from bdfm import _blocks, _memory
from bdfm.forecast import ranks
_blocks.BLOCK_BYTES, _blocks.GATHER_BYTES = 4_000_000, 20_000_000
rng = np.random.default_rng(1)
def peak():  # not getrusage: after a fork it knows the parent's
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
with _memory.within("300MB"):
    array = _blocks.empty(250_000, 200)  # 200 MB
row = rng.standard_normal(200).astype(np.float32)
for here in _blocks.blocks(array):
    array[here] = row + np.arange(here.start, here.stop)[:, None]
ranks.moments(array, np.full(len(array), 1 / len(array)))
ranks.weighted_quantiles(array, [0.1, 0.9])
_blocks.copied(array, np.arange(3)); _blocks.extremes(array); _blocks.column(array, 3)
print(peak() - before)
"""


PAGE = """
import re, threading, time, numpy as np
from pathlib import Path
from bdfm import _blocks, _memory
from bdfm.forecast import views
from bdfm.forecast.forecast import Forecast
from bdfm.portfolio.decisions import decide
from bdfm.report.page import report_html
_blocks.BLOCK_BYTES, _blocks.GATHER_BYTES = 4_000_000, 20_000_000
rng, n = np.random.default_rng(1), 150
most = {}
def in_files():
    return int(re.search(r"RssFile:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
def watch():
    while True:
        most[stage] = max(most.get(stage, 0), in_files())
        time.sleep(0.005)
stage = "made"
with _memory.within("200MB"):
    array = _blocks.empty(100_000, n)
    for here in _blocks.blocks(array):
        array[here] = 0.05 * rng.standard_normal((here.stop - here.start, n))
    forecast = Forecast.from_draws(
        array, assets=[f"A{k}" for k in range(n)], asset_class=["x", "y", "z"] * 50,
        origin="2022-02-04", end="2022-03-04", take_over=True,
    )
    del array
    for here in _blocks.blocks(forecast.draws.to_numpy()): pass
    report_html(decide(forecast, method="equal").save_in(forecast))  # libraries, too, are files
    before = in_files()
    threading.Thread(target=watch, daemon=True).start()
    stage = "views"
    forecast = forecast.with_views(views.Absolute(asset="A1", mean=0.01, semantics="constraint"))
    stage = "decision"
    forecast = decide(forecast, method="equal", exposure=1.0).save_in(forecast)
    stage = "page"
    report_html(forecast, previous=forecast)
print(max(most.values()) - before, most)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is handed back on Linux alone")
def test_what_goes_through_an_array_in_a_file_needs_little_memory():
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100_000  # kilobytes; the array has 200,000


MONTH = r"""
import re, sys, threading, time
from pathlib import Path
from bdfm import _blocks
from bdfm.__main__ import main
_blocks.BLOCK_BYTES, _blocks.GATHER_BYTES, _blocks.SHARE = 4_000_000, 5_000_000, 0.0
most = [0]
def held():  # kilobytes in memory of the files without a name
    parts = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    files = [x for x in parts if x.partition("\n")[0].endswith("(deleted)")]
    return sum(int(re.search(r"(?m)^Rss:\s+(\d+)", x)[1]) for x in files)
def watch():
    while True:
        most[0] = max(most[0], held())
        time.sleep(0.002)
threading.Thread(target=watch, daemon=True).start()
sys.argv = ["bdfm", "run", "month.toml", "--quiet"]
try:
    main()
finally:
    Path("most.txt").write_text(str(most[0]))
"""

MONTH_FILE = """
model = "m6"
n_draws = 400_000
seed = 1

[data]
origin = 2022-01-07
prices = "prices.csv.gz"
universe = "universe.csv"

[sampler]
draws = 20
tune = 20
chains = 2

[decision]
method = "equal"

[[edits]]
kind = "zero"
assets = ["XOM"]

[[views]]
kind = "ordering"
above = "AAPL"
below = "BAC"
probability = 0.7
semantics = "constraint"
"""


@pytest.mark.long  # what a page is made of in the test above too
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is handed back on Linux alone")
def test_a_page_never_has_all_draws_in_memory():
    done = subprocess.run([sys.executable, "-c", PAGE], capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[0]) < 40_000, done.stdout  # kilobytes; the draws have 60,000


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is handed back on Linux alone")
def test_a_month_never_has_all_draws_in_memory(tmp_path):
    """From the files to submission, report and decision, with an edit and a view."""
    demo = Path(bdfm.__file__).parent / "data" / "demo"
    for name in ("prices.csv.gz", "universe.csv"):
        shutil.copy(demo / name, tmp_path)
    (tmp_path / "month.toml").write_text(MONTH_FILE)
    done = subprocess.run([sys.executable, "-c", MONTH], capture_output=True, text=True, cwd=tmp_path)
    assert (tmp_path / "out" / "submission.csv").exists(), done.stderr
    size = 4 * 400_000 * len(pd.read_csv(tmp_path / "universe.csv")) / 1024
    assert 0 < int((tmp_path / "most.txt").read_text()) < size / 3, size


def test_moments_and_quantiles_are_those_of_whole_columns(rng):
    draws = rng.standard_normal((501, 7)).astype(np.float32)
    weights = rng.random(501)
    weights /= weights.sum()
    mean, sd = moments(draws, weights)
    np.testing.assert_allclose(mean, weights @ draws.astype(float), rtol=1e-12)
    np.testing.assert_allclose(sd, np.sqrt(weights @ (draws - mean) ** 2), rtol=1e-12)
    expected = np.quantile(draws, [0.2, 0.8], axis=0, method="inverted_cdf")
    np.testing.assert_array_equal(weighted_quantiles(draws, [0.2, 0.8]), expected)


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4e9), ("4 GiB", 4 * 2**30), ("0.5g", 5e8), (10**9, 1e9), ("300mb", 3e8)]
)
def test_sizes_are_read_as_they_are_written(text, size):
    assert _memory.as_bytes(text, where="--memory") == size


@pytest.mark.parametrize("text", ["four", "4XB", "-1GB", "", True, "4 apples"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(DataError, match=r'--memory: .* is no size of memory. Give one such as "4GB"'):
        _memory.as_bytes(text, where="--memory")


def test_a_budget_below_what_the_libraries_take_is_refused():
    with (
        pytest.raises(DataError, match=r"memory: 4 MB is too little"),
        _memory.within("4MB"),
    ):
        pass


def test_the_budget_is_half_of_the_machine_unless_given(monkeypatch):
    monkeypatch.setattr(_memory, "total", lambda: 8_000_000_000)
    assert _memory.budget() == 4_000_000_000
    with _memory.within("3GB"):
        assert _memory.budget() == 3_000_000_000
        with _memory.within(None):
            assert _memory.budget() == 3_000_000_000
    assert _memory.budget() == 4_000_000_000
    monkeypatch.setattr(_memory, "total", lambda: None)
    assert _memory.budget() is None


def test_a_refusal_names_the_budget_and_what_would_fit(small_preset, random_draws):
    model, panel = small_preset("m6")
    draws = random_draws(model, panel)
    posterior = Posterior.from_draws(draws, draws[[]], model, panel, {"seed": 1})
    with _memory.within("1GB"):
        needed = memory.forecast_bytes(600_000, 3000, whole=True)
        assert needed > 3 * 4 * 600_000 * 3000
        with pytest.raises(DataError, match=r"1.0 GB is the budget .*n_draws = ([\d,]+) would fit") as caught:
            memory.check_forecast(600_000, 3000, whole=True)
        fitting = int(str(caught.value).split("n_draws = ")[1].split(" ")[0].replace(",", ""))
        memory.check_forecast(fitting, 3000, whole=True)
    with pytest.raises(DataError, match="is no size of memory"):
        posterior.forecast(seed=1, n_draws=100, memory="lots")

"""Compilation on a second core: what the two processes tell each other, and that draws are the same."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from gibbs_cases import CASES, PATHS, paths_spec, small_spec

import bdfm
from bdfm.gibbs import beside as beside_module
from bdfm.gibbs.beside import Beside, _started, on_disk, types_of
from bdfm.gibbs.sweep import make_chain

SECOND = """
import time
from bdfm.gibbs.beside import _started, on_disk
from bdfm.gibbs.sweep import UPDATES

names = ["refresh_band", "begin_sweep"]
assert not any(on_disk(UPDATES[n]) for n in names)
process = _started(names)
assert process.wait(120) == 0
process.stdin.close()
assert all(on_disk(UPDATES[n]) for n in names)
left = _started(["draw_loadings"])
time.sleep(0.5)
assert left.poll() is None
left.stdin.close()  # as when this process dies
assert left.wait(60) == 0
print(on_disk(UPDATES["draw_loadings"]))
"""

DRAWS = """
import hashlib, sys
from gibbs_cases import CASES, small_spec
from bdfm.gibbs.beside import Beside
from bdfm.gibbs.sampler import GibbsSettings, sample_gibbs
from bdfm.gibbs.sweep import UPDATES

met, wait_for = [], Beside.wait_for
def told(self, update):
    wait_for(self, update)
    met.append(self.process is not None)
Beside.wait_for = told
result = sample_gibbs(small_spec(CASES[3]), GibbsSettings(20, 20, 1, 2, int(sys.argv[1])), seed=1)
print(hashlib.sha256(b"".join(x.tobytes() for _, x in sorted(result.draws.items()))).hexdigest())
print(met[0], sum(sum(u.stats.cache_hits.values()) for u in UPDATES.values()))
"""


def run(program, cache, *args):
    path = os.pathsep.join([str(Path(bdfm.__file__).parents[1]), str(Path(__file__).parent)])
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": path}
    command = [sys.executable, "-W", "error", "-c", program, *args]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture
def updates(tmp_path):
    """Three updates of which none is on disk, and a function that puts one there."""

    def one():
        pass

    def place(update):
        (tmp_path / f"test_beside.{update.py_func.__qualname__}-1.py313.nbi").touch()

    found = []
    for name in ("first", "second", "third"):
        function = SimpleNamespace(__code__=one.__code__, __qualname__=name)
        found.append(SimpleNamespace(py_func=function, _cache=SimpleNamespace(cache_path=str(tmp_path))))
    return found, place


def test_what_is_on_disk(updates):
    (first, second, _), place = updates
    assert not on_disk(first)
    place(first)
    assert on_disk(first)
    assert not on_disk(second)
    assert on_disk(SimpleNamespace(py_func=first.py_func))  # no cache: nothing to wait for


def test_one_waits_where_the_other_is_at_work(updates):
    (first, second, third), place = updates
    waited = []

    def poll():
        """At work until it was asked twice."""
        waited.append(1)
        return None if len(waited) < 3 else 0

    beside = Beside([first, second, third], SimpleNamespace(poll=poll))
    beside.wait_for(first)
    assert not waited  # nothing is done yet: the other one is at the last, or still starting
    place(third)
    beside.wait_for(first)
    assert not waited
    beside.wait_for(second)  # the one before what is done
    assert len(waited) == 3
    place(second)
    beside.wait_for(second)
    beside.wait_for(third)
    assert len(waited) == 3
    Beside([first, second, third], None).wait_for(first)


def test_one_that_hangs_is_not_waited_for(updates, monkeypatch):
    (first, second, third), place = updates
    monkeypatch.setattr(beside_module, "_PATIENCE", 0.1)
    place(third)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"]) as process:
        Beside([first, second, third], process).wait_for(second)
        assert process.wait(10) != 0


def test_no_module_of_the_folder_where_a_user_works_is_loaded(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("open('loaded', 'w').close()")
    monkeypatch.chdir(tmp_path)
    process = _started([])
    assert process.wait(60) == 0
    process.stdin.close()
    assert not (tmp_path / "loaded").exists()


def test_all_specifications_have_arguments_of_the_same_types():
    """So that the second process need not know which one is fitted."""
    specs = [*map(small_spec, CASES), *map(paths_spec, PATHS.values())]
    assert len({types_of(spec) for spec in specs}) == 1
    assert types_of(specs[0]) == make_chain(specs[0], np.random.default_rng(1)).signature


def test_the_second_process_compiles_and_ends_with_the_first(tmp_path):
    assert run(SECOND, tmp_path) == ["False"]


@pytest.mark.slow
def test_draws_are_the_same_whoever_compiled(tmp_path):
    """With a second process, without one, and loaded."""
    beside = run(DRAWS, tmp_path / "a", "2")
    alone = run(DRAWS, tmp_path / "b", "1")
    loaded = run(DRAWS, tmp_path / "a", "2")
    assert beside[0] == alone[0] == loaded[0]
    if (os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()) > 1:
        assert beside[1] == "True"
        assert 0 < int(beside[2]) < int(loaded[2])
    assert alone[1] == loaded[1] == "False"

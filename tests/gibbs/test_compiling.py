"""Compiled kernels: the same draws compiled or cached, and no stale code."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest

import bdfm
from bdfm.gibbs.compiling import forget_stale_kernels, plain
from bdfm.gibbs.random import exp_in_place, log_in_place, normal, uniform

DRAWS = """
import hashlib, sys
import numpy as np
from gibbs_cases import CASES, small_spec
from bdfm.gibbs.sweep import REFRESH, UPDATES, make_chain, sweep_of

for number in map(int, sys.argv[1].split(",")):
    spec = small_spec(CASES[number], 60)  # long enough for vector instructions
    chain = make_chain(spec, np.random.default_rng(1))
    chain.scratch.tuning.leverage[:] = 1.0
    sweep = sweep_of(spec, chain.data)
    for _ in range(30):
        chain.apply(sweep)
    print(hashlib.sha256(chain.values.tobytes()).hexdigest())
print(sum(sum(u.stats.cache_hits.values()) for u in UPDATES.values()), "from the cache")
"""


def draws(cache, numbers):
    """Digest of the state of short chains in a new process, and whether it took kernels from the cache."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(Path(bdfm.__file__).parents[1]), str(here)])
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": path}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", DRAWS, numbers],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    *digests, hits = run.stdout.splitlines()
    return digests, int(hits.split()[0]) > 0


@pytest.mark.slow
def test_the_process_that_compiles_makes_the_draws_of_those_that_load(tmp_path):
    compiled, loaded = (draws(tmp_path, "0,3,8,10,13") for _ in range(2))
    assert (compiled[1], loaded[1]) == (False, True)
    assert compiled[0] == loaded[0]
    assert len(set(compiled[0])) == 5


def test_compiled_kernels_are_forgotten_when_a_source_changes(tmp_path):
    """The source of any kernel, in the folder of each cached update."""
    folders = [tmp_path / "gibbs", tmp_path / "updates"]
    entries = [SimpleNamespace(_cache=SimpleNamespace(cache_path=str(folder))) for folder in folders]
    kernels = [folders[0] / "sweep.run-1.py3.nbi", folders[1] / "loadings.draw_loadings-9.py3.1.nbc"]
    other = folders[1] / "ranks.nbi"
    for folder in folders:
        folder.mkdir()

    def left():
        for file in (*kernels, other):
            file.touch()
        forget_stale_kernels(entries)
        assert other.exists()
        return [file.exists() for file in kernels]

    assert left() == [False, False]  # of unknown age
    assert left() == [True, True]
    (folders[1] / "gibbs.sha256").write_text("that of other sources")
    assert left() == [True, False]


def test_updates_of_all_folders_are_watched():
    from bdfm.gibbs.sweep import UPDATES, run

    folders = {Path(u._cache.cache_path) for u in (run, *UPDATES.values())}
    assert len(folders) == 2
    assert all((folder / "gibbs.sha256").exists() for folder in folders)


@numba.njit
def both(x, y, bits):
    exp_in_place(x, bits)
    log_in_place(y, bits)


@pytest.mark.parametrize("compiled", [True, False])
def test_vectorised_functions_equal_those_of_numpy(compiled):
    n = 10_000 if compiled else 300
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(-700, 700, n), [0.0, -0.5, 1e-9]])
    y = np.concatenate([1 + 10.0 ** rng.uniform(-12, 12, n), [1.0, 2.0, np.sqrt(0.5)]])
    exp_x, log_y = x.copy(), y.copy()
    (both if compiled else plain(both))(exp_x, log_y, np.zeros(len(x), np.int64))
    np.testing.assert_allclose(exp_x, np.exp(x), rtol=1e-15)
    np.testing.assert_allclose(log_y, np.log(y), rtol=4e-16, atol=4e-16)


def test_variates_are_those_of_numpy():
    @numba.njit
    def variates(rng):
        return normal(rng), uniform(rng)

    assert variates(np.random.default_rng(3)) == plain(variates)(np.random.default_rng(3))

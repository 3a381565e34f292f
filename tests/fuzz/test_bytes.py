"""Equal runs give equal bytes, however many cores, threads, workers and processes make them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fuzz_world as world
import pytest
import stopped

import bdfm
from bdfm._made import RECORD
from bdfm.cli import app

TABLES = "--prices prices.csv --universe universe.csv"
SHORT = "--draws 10 --tune 10 --chains 2"
COMMANDS = f"""
forecast {TABLES} --origin {world.ORIGIN} {SHORT} --keep-draws --out new
run month.toml
view out --evidence A=1%~+-~5% --constraint vol(B)=1.1x
edit out shift~B~by=0.01 halted~C~probability=0.5
backtest ewma-t own.toml {TABLES} --first 2021-04-02 --last 2021-05-14 {SHORT} WORKERS CORES --out walked
"""
MORE = f"""
run second.toml third.toml WORKERS
edit out replace~D~distribution=t(4,loc=0.01,scale=0.05) --out replaced.nc
decide out --method minimum_variance --submission decided.csv
report out --excel
roll month.toml --origin {world.NEXT} --drop all
risk --prices prices.csv --portfolio book.csv --model statistical --out risk
stress --prices prices.csv --portfolio book.csv --model statistical --out stress
compare runs --out compared.html
track ledger --prices prices.csv --out track.html
"""
# One process takes all commands in: what it keeps of one must not matter to the next.
DRIVER = """
import sys
from bdfm.cli import app
for line in sys.stdin.read().splitlines():
    sys.argv = ["bdfm", *(w.replace("~", " ") for w in line.split())]
    try:
        app.main()
    except SystemExit as stop:
        assert not stop.code, (line, stop.code)
"""
ALONE = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PYTHONHASHSEED": "1", "TZ": "UTC"}
MANY = {"OMP_NUM_THREADS": "4", "NUMBA_NUM_THREADS": "3", "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}


def made(base, folder, commands, *, cores, workers, env):
    """What is in a folder after all commands, clocks left out, and where cores were asked for."""
    stopped.prepare(base, folder)
    for name in ("month", "second", "third"):
        text = (folder / f"{name}.toml").read_text()
        (folder / f"{name}.toml").write_text(text.replace("chains = 2", f"chains = 2\ncores = {cores}"))
    (folder / "own.toml").write_text(world.MODEL)
    given = commands.replace("WORKERS", f"--workers {workers}").replace("CORES", f"--cores {cores}")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DRIVER],
        input="\n".join(x for x in given.splitlines() if x),
        cwd=folder,
        env={k: x for k, x in os.environ.items() if k not in app.ONE_THREAD}
        | {"PYTHONPATH": str(Path(bdfm.__file__).parents[1])}
        | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = stopped.state(folder)
    shutil.rmtree(folder)
    said = f"cores = {cores}".encode()
    for k in [k for k in found if k.endswith(RECORD)]:  # digests of run files, which say the cores
        record = json.loads(found[k])
        for files in record.values():
            own = [n for n in files if said in (found[k.removesuffix(RECORD) + n] or b"")]
            files.update(dict.fromkeys(own, "says the cores"))
        found[k] = json.dumps(record).encode()
    return {k: x.replace(said, b"cores = N") if x else x for k, x in found.items()}


def differ(one, two):
    """Files that do not have the same bytes."""
    assert one.keys() == two.keys()
    return sorted(k for k in one if one[k] != two[k])


@pytest.mark.long  # draws of any number of cores are compared in tests/inference/test_sbc.py too
def test_cores_threads_and_hashes_do_not_matter(base, tmp_path):
    one = made(base, tmp_path / "x", COMMANDS, cores=1, workers=1, env=ALONE)
    two = made(base, tmp_path / "x", COMMANDS, cores=2, workers=1, env=MANY)
    assert len(one) > 50
    assert not differ(one, two)


@pytest.mark.slow
def test_workers_and_compiled_code_do_not_matter(base, tmp_path):
    one = made(base, tmp_path / "x", COMMANDS + MORE, cores=1, workers=1, env=ALONE)
    fresh = MANY | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    for cores in (1, 2):  # compiled anew, and loaded by other workers
        assert not differ(one, made(base, tmp_path / "x", COMMANDS + MORE, cores=cores, workers=2, env=fresh))

"""Where the time of a month goes: ``bdfm forecast``, stage by stage.

    python scripts/benchmarks/month.py --prices FILE --universe FILE [--earnings FILE] [--origin DAY]
        [--model house] [--repeat N] [--cold] [--json FILE]

Each run is a process of its own, with the command's own code in it: functions are timed where the command
calls them, and imports wherever they happen. Seconds are those of the processor, over all threads, and those
of the clock; a stage holds none of the seconds of the stages within it. ``--cold`` gives each run empty
folders for compiled code (Numba's, PyTensor's and Python's). With ``--repeat`` the table has medians.
"""

import builtins
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

# Stage, module in which the name is called, name: a function, or a method of a class.
STAGES = (
    ("data read and checked", "bdfm.report.month", "make_month"),
    ("updates compiled or loaded", "bdfm.gibbs.sampler", "_Run.__init__"),
    ("sweeps", "bdfm.gibbs.sampler", "_Run.tune"),
    ("sweeps", "bdfm.gibbs.sampler", "_Run.keep"),
    ("sweeps", "bdfm.gibbs.sampler", "_Run.begin_moves"),
    ("sweeps", "bdfm.gibbs.sampler", "_Run.move"),
    ("draws by name", "bdfm.gibbs.sampler", "_Run.draws"),
    ("stopping rule", "bdfm.inference.stopping", "StoppingRule.__call__"),
    ("posterior made of draws", "bdfm.posterior.fit", "Posterior.from_draws"),
    ("posterior made of draws", "bdfm.posterior.posterior", "Posterior.in_single_precision"),
    ("predictive draws", "bdfm.report.month", "forecast_with_changes"),
    ("diagnosis", "bdfm.posterior.posterior", "Posterior.diagnose"),
    ("ranks", "bdfm.forecast.forecast", "Forecast.quantile_probabilities"),
    ("files", "bdfm.posterior.posterior", "Posterior.save"),
    ("files", "bdfm.forecast.forecast", "Forecast.save"),
    ("files", "bdfm.forecast.forecast", "Forecast.write_submission"),
    ("picture", "bdfm.forecast.forecast", "Forecast.plot_quantiles"),
    ("picture", "matplotlib.figure", "Figure.savefig"),
    ("tables on the screen", "bdfm.cli.show", "show_quantiles"),
)
IMPORTS, REST, START = "imports", "the rest", "the interpreter"


class Clock:
    """Processor and wall seconds by stage, each without the stages within it."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.inner = [[0.0, 0.0]]

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs within."""
        begun = time.process_time(), time.perf_counter()
        self.inner.append([0.0, 0.0])
        try:
            yield
        finally:
            took = time.process_time() - begun[0], time.perf_counter() - begun[1]
            within, total = self.inner.pop(), self.seconds.setdefault(name, [0.0, 0.0])
            for j in (0, 1):
                total[j] += took[j] - within[j]
                self.inner[-1][j] += took[j]

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def run(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return function(*args, **kwargs)

        return run

    def watch_imports(self) -> None:
        """Time all imports from here on; one within another counts once."""
        plain, depth = builtins.__import__, [0]

        def imported(name: str, *args: Any, **kwargs: Any) -> Any:
            if depth[0]:
                return plain(name, *args, **kwargs)
            depth[0] += 1
            try:
                with self.stage(IMPORTS):
                    return plain(name, *args, **kwargs)
            finally:
                depth[0] -= 1

        builtins.__import__ = imported  # type: ignore[assignment]


def child(arguments: list[str], file: str) -> None:
    """Run the command in this process, and write its seconds by stage to a file."""
    clock, begun = Clock(), (time.process_time(), time.perf_counter())
    clock.watch_imports()
    with clock.stage(REST):
        from bdfm.cli.app import main

        for name, module, path in STAGES:
            with clock.stage(IMPORTS):
                owner: Any = importlib.import_module(module)
            *classes, last = path.split(".")
            for part in classes:
                owner = getattr(owner, part)
            found = owner.__dict__[last]
            if isinstance(found, classmethod):
                setattr(owner, last, classmethod(clock.timed(name, found.__func__)))
            else:
                setattr(owner, last, clock.timed(name, found))
        sys.argv = ["bdfm", "forecast", *arguments]
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise
    total = time.process_time() - begun[0], time.perf_counter() - begun[1]
    start = begun[0]  # of the interpreter, before this
    Path(file).write_text(json.dumps({"stages": clock.seconds | {START: [start, start]}, "total": total}))


def measure(arguments: list[str], *, cold: bool) -> dict[str, Any]:
    """One run in a process of its own: seconds by stage, those of the whole, and what it said last."""
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ)
        if cold:
            environment |= {
                "NUMBA_CACHE_DIR": f"{folder}/numba",
                "PYTENSOR_FLAGS": f"compiledir={folder}/pytensor",
                "PYTHONPYCACHEPREFIX": f"{folder}/bytecode",
            }
        file = Path(folder) / "seconds.json"
        command = [sys.executable, __file__, "--child", str(file), *arguments, "--out", f"{folder}/out"]
        begun = time.perf_counter(), os.times()
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        spent = os.times()
        found = json.loads(file.read_text())
        found["wall"] = time.perf_counter() - begun[0]
        found["cpu"] = sum(spent[j] - begun[1][j] for j in (2, 3))
        summary = json.loads((Path(folder) / "out" / "summary.json").read_text())
        found["diagnostics"] = summary["diagnostics"]
        found["said"] = next((x for x in said.splitlines() if "converged" in x), "")
        return found


def main(
    prices: Annotated[Path, typer.Option()],
    universe: Annotated[Path, typer.Option()],
    earnings: Path | None = None,
    origin: str = "2022-01-07",
    model: str = "house",
    repeat: int = 1,
    cold: bool = False,
    as_json: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Profile a month."""
    arguments = ["--prices", str(prices), "--universe", str(universe), "--origin", origin, "--model", model]
    arguments += [] if earnings is None else ["--earnings", str(earnings)]
    runs = [measure(arguments, cold=cold) for _ in range(repeat)]
    names = list(dict.fromkeys(name for run in runs for name in run["stages"]))
    medians = {
        name: [float(np.median([run["stages"].get(name, [0.0, 0.0])[j] for run in runs])) for j in (0, 1)]
        for name in names
    }
    table = Table("stage", "processor s", "wall s", title=f"{model}, {'cold' if cold else 'warm'}", box=None)
    for name, (cpu, wall) in sorted(medians.items(), key=lambda item: -item[1][0]):
        table.add_row(name, f"{cpu:.2f}", f"{wall:.2f}")
    totals = [float(np.median([run[key] for run in runs])) for key in ("cpu", "wall")]
    table.add_row("whole process", *(f"{x:.2f}" for x in totals))
    console = Console(width=110)
    console.print(table)
    console.print(runs[-1]["said"])
    if as_json:
        as_json.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--child":
        child(sys.argv[3:], sys.argv[2])
    else:
        typer.run(main)

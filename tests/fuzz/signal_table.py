"""Write the table of stopped commands: ``PYTHONPATH=. python tests/fuzz/signal_table.py [COMMAND ...]``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fuzz_world as world
import stopped

N_CLOCK, N_STEPS = 5, 5


def main(names: list[str]) -> int:
    """Print the table, a row a command; returns how many trials found something."""
    faults = 0
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        world.short_fits(patch.setattr)
        base = Path(place) / "base"
        base.mkdir()
        world.make_world(base)
        print("| command | " + " | ".join(stopped.STOPS) + " |")
        print("|---|" + "---|" * len(stopped.STOPS))
        for name in names or stopped.COMMANDS:
            row = stopped.row(base, Path(place) / "trials", name, n_clock=N_CLOCK, n_steps=N_STEPS)
            cells = [f"{c.held} of {c.trials}" for c in row.values()]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
            for cell in row.values():
                faults += len(cell.found)
                print(*cell.found, sep="\n", end="\n" if cell.found else "", file=sys.stderr)
    return faults


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))

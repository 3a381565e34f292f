"""Write the table of stopped commands, a row as each is through.

PYTHONPATH=. python tests/fuzz/signal_table.py [--moments CLOCK STEPS] [COMMAND ...]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fuzz_world as world
import stopped


def main(names: list[str], n_clock: int, n_steps: int) -> int:
    """Print the table, a row a command; returns how many trials found something."""
    faults = 0
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        world.short_fits(patch.setattr)
        base = Path(place) / "base"
        base.mkdir()
        world.make_world(base)
        print("| command | " + " | ".join(stopped.STOPS) + " | CPU s |")
        print("|---|" + "---|" * (len(stopped.STOPS) + 1), flush=True)
        for name in names:
            begun = sum(os.times()[:4])
            row = stopped.row(base, Path(place) / "trials", name, n_clock=n_clock, n_steps=n_steps)
            cells = [f"{c.held} of {c.trials}" for c in row.values()]
            print(f"| {name} | " + " | ".join(cells) + f" | {sum(os.times()[:4]) - begun:.0f} |", flush=True)
            for cell in row.values():
                faults += len(cell.found)
                print(*cell.found, sep="\n", end="\n" if cell.found else "", file=sys.stderr, flush=True)
    return faults


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=f"of {', '.join(stopped.COMMANDS)}")
    parser.add_argument("--moments", nargs=2, type=int, default=(5, 5), metavar=("CLOCK", "STEPS"))
    given = parser.parse_args()
    sys.exit(min(main(given.commands or list(stopped.COMMANDS), *given.moments), 1))

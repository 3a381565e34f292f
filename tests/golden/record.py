"""Write the golden records anew: ``python tests/golden/record.py``, or with names of cases some of them.

A first process makes the fits, so that the kernels are compiled and cached; this one loads them, because
the process that compiles gives other last digits. Look at ``git diff --stat tests/golden/records`` before
committing: what changed must be what was meant to change.
"""

from __future__ import annotations

import subprocess
import sys

from golden_cases import CASES
from golden_records import RECORDS, Record, save_fingerprint


def main(*names: str) -> None:
    """Record the cases named, or all."""
    RECORDS.mkdir(exist_ok=True)
    names = names or tuple(CASES)
    fits = [name for name in names if name.startswith("fit_")]
    if fits:
        code = f"from golden_cases import CASES\nfor name in {fits}: CASES[name]()"
        subprocess.run([sys.executable, "-c", code], cwd=RECORDS.parent, check=True)
    for name in names:
        Record.of(CASES[name]()).save(name)
        print(name)
    save_fingerprint()


if __name__ == "__main__":
    main(*sys.argv[1:])

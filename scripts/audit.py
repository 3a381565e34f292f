"""Audit: known vulnerabilities of locked versions, doubts about the code, licences of what is installed.

Tools that are not installed (pip-audit, bandit) are named, and are no failure. Exit code 1 where one
of them found something.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = {
    "pip_audit": ["--requirement", "requirements.lock", "--no-deps", "--disable-pip"],
    "bandit": ["--recursive", "bdfm", "--quiet", "--severity-level", "medium"],
}
FREE = (
    "mit",
    "bsd",
    "apache",
    "isc",
    "python",
    "psf",
    "mpl",
    "mozilla",
    "zlib",
    "unlicense",
    "cc0",
    "hpnd",
    "0bsd",
)


def licence(package: Distribution) -> str:
    """Licence of a package as its metadata say; empty where they do not."""
    told = dict(package.metadata)
    named = [c for c in package.metadata.get_all("Classifier") or () if c.startswith("License ::")]
    short = ", ".join(c.rpartition(" :: ")[2] for c in named)
    first = str(told.get("License", "")).strip().partition("\n")[0]
    return str(told.get("License-Expression") or short or first)[:60]


def main() -> int:
    """Run all three; the exit code."""
    failed = 0
    for module, options in TOOLS.items():
        if find_spec(module) is None:
            print(f"{module}: not installed, not run")
            continue
        print(f"{module}: {' '.join(options)}")
        failed |= (
            subprocess.run([sys.executable, "-m", module, *options], cwd=ROOT, check=False).returncode != 0
        )
    found = defaultdict(list)
    for package in distributions():
        found[licence(package) or "not stated"].append(str(package.metadata["Name"]))
    print("\nLicences of what is installed; with * those to look at:")
    for text, names in sorted(found.items()):
        mark = " " if any(word in text.lower() for word in FREE) else "*"
        print(
            f"{mark} {text}: {len(names)} ({', '.join(sorted(names)[:8])}{', ...' if len(names) > 8 else ''})"
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Concepts of risk and exposures on real data, each beside a calculation that shares no code with it.

    python scripts/benchmarks/concepts.py --data FOLDER [--docs docs/real_figures.md]

``--data``: folder with sp500, french, fundamentals, m6, sp500_pit. Nothing after 2022-02-04 is read. The
independent side is NumPy, SciPy, statsmodels, scikit-learn or pandas alone. Prints the table, or writes it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from concept_rows import (  # noqa: F401 - they register
    exposures_rows,
    factor_rows,
    portfolio_rows,
    risk_rows,
    stress_rows,
    validation_rows,
)
from concept_rows.data import Data
from concept_rows.table import ROWS, Found, found
from page_tables import write_table


def table_of(results: list[Found]) -> str:
    """Markdown table."""
    lines = ["| concept | data | calculated otherwise by | ours | otherwise | figures | largest difference |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for f in results:
        gap = "none" if f.difference == 0 else f"{f.difference:.0e}"
        lines.append(
            f"| {f.row.concept} | {f.row.data} | {f.row.otherwise} | {f.ours:.6g} | {f.other:.6g} | {f.n:,} |"
            f" {gap} |"
        )
    return "\n".join(lines)


def every(data: Data) -> list[Found]:
    """All rows, by room."""
    return [found(one, data) for one in ROWS]


def main() -> None:
    """Print or write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--docs", type=Path)
    args = parser.parse_args()
    results = every(Data(args.data))
    text = table_of(results)
    print(text)
    bad = [f.row.concept for f in results if not f.difference <= f.row.tolerance]
    if bad:
        sys.exit(f"beyond their tolerance: {', '.join(bad)}")
    if args.docs is not None:
        write_table(args.docs, "figures", text)


if __name__ == "__main__":
    main()

"""Blocks of code in the pages of the documentation, and the files that their commands read.

A comment right above a block says what is special about it:

``<!-- run: no, REASON -->``
    it is not run, and why;
``<!-- file: NAME -->``
    it is the content of a file that later commands read;
``<!-- output -->``
    what the command above it prints (``outputs.py`` writes it).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import bdfm

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


# A month in a ledger with two views, as the page on the routine has it.
MONTH = """ledger = "book"

[data]
prices = "prices.csv.gz"
universe = "universe.csv"
origin = 2022-02-04

[[views]]
kind = "absolute"
asset = "XOM"
mean = 0.02
sd = 0.1
semantics = "evidence"

[[views]]
kind = "ordering"
above = "CVX"
below = "KO"
probability = 0.7
semantics = "constraint"

[decision]
method = "minimum_variance"
"""


class Block(NamedTuple):
    """One fenced block.

    Attributes
    ----------
    line
        Of the page, where its text begins.
    language
        What stands after the fence.
    mark
        What the comment above it says; empty without one.
    text
        What is in it.
    """

    line: int
    language: str
    mark: str
    text: str

    @property
    def reason(self) -> str:
        """Why it is not run; empty where it is."""
        return self.mark.removeprefix("run: no, ") if self.mark.startswith("run: no, ") else ""


def pages() -> list[Path]:
    """Every page that is written by hand: of the repository's root, and of the documentation."""
    docs = ROOT / "docs"
    made = {docs / "commands.md", docs / "reference", docs / "notebooks", docs / "presets", docs / "_build"}
    own = [p for p in sorted(docs.rglob("*.md")) if not made & {p, *p.parents}]
    return [*sorted(ROOT.glob("*.md")), *own]


def blocks(page: Path) -> list[Block]:
    """Blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(text.count("\n", 0, m.start("text")) + 1, m["language"], m["mark"] or "", m["text"])
        for m in BLOCK.finditer(text)
    ]


def commands(block: Block) -> Iterator[list[str]]:
    """Words of each command of a console block, without comments."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


def write_files(folder: Path) -> None:
    """Write the files that pages call the reader's own, made of the included data."""
    prices, universe = bdfm.demo()
    prices.to_csv(folder / "prices.csv")
    prices.to_csv(folder / "prices.csv.gz")
    universe.to_csv(folder / "universe.csv", index=False)
    stocks = list(universe.symbol[universe.asset_class == "stock"])

    days = pd.date_range("2014-01-15", "2022-12-01", freq="91D")
    earnings = pd.DataFrame([(s, d + pd.Timedelta(days=k)) for k, s in enumerate(stocks) for d in days])
    earnings.set_axis(["symbol", "date"], axis=1).to_csv(folder / "earnings.csv", index=False)

    returns = prices.pct_change(fill_method=None)
    volatility = returns.rolling(20).std() * np.sqrt(252)
    volatility[stocks].dropna().to_csv(folder / "volatility.csv")

    factors = pd.DataFrame(
        {
            "Mkt-RF": returns["QUAL"],
            "SMB": returns["SIZE"] - returns["QUAL"],
            "HML": returns["VLUE"] - returns["MTUM"],
            "RF": 0.00001,
        }
    )
    for name in ("ff3_daily.csv", "french.csv"):
        (100 * factors.dropna()).to_csv(folder / name)

    (folder / "2022-02-04.toml").write_text(MONTH, encoding="utf-8")
    pd.DataFrame({"symbol": ["AAPL", "XOM", "KO"], "weight": [0.4, 0.3, 0.3]}).to_csv(
        folder / "book.csv", index=False
    )
    half = len(prices.columns) // 2
    sectors = ["one" if k < half else "two" for k in range(len(prices.columns))]
    pd.DataFrame({"symbol": prices.columns, "sector": sectors}).to_csv(folder / "sectors.csv", index=False)

"""Write what the commands of the tutorial print into it: ``python scripts/docs/outputs.py``.

A block below ``<!-- output HEAD TAIL -->`` gets the output of the commands above it: all of it, or its first
and last lines where the numbers say so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import blocks

PAGE = blocks.ROOT / "docs" / "tutorial.md"
WIDTH = 100


def printed(words: list[str], folder: Path) -> str:
    """What a command prints, both streams in order."""
    environment = os.environ | {"COLUMNS": str(WIDTH), "PYTHONPATH": str(blocks.ROOT), "NO_COLOR": "1"}
    run = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if run.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(words)}: {run.stdout}")
    return run.stdout


def cut(text: str, mark: str) -> str:
    """First and last lines of a text, as the mark above its block says."""
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    numbers = [int(word) for word in mark.split()[1:]]
    if numbers and len(lines) > sum(numbers):
        head, tail = numbers
        lines = [*lines[:head], "...", *lines[len(lines) - tail :]]
    return "\n".join(lines) + "\n"


def written() -> str:
    """The page, with what its commands print now."""
    text, last = PAGE.read_text(encoding="utf-8"), ""
    with tempfile.TemporaryDirectory() as name:
        blocks.write_files(Path(name))
        for block in blocks.blocks(PAGE):
            if block.language == "bash":
                last = "".join(printed(words, Path(name)) for words in blocks.commands(block))
            elif block.mark.startswith("output"):
                before, _, after = text.partition(f"<!-- {block.mark} -->\n```text\n{block.text}```\n")
                text = f"{before}<!-- {block.mark} -->\n```text\n{cut(last, block.mark)}```\n{after}"
    return text


def main() -> None:
    """Run the commands in order, and write their outputs."""
    PAGE.write_text(written(), encoding="utf-8")


if __name__ == "__main__":
    main()

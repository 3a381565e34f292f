"""Write docs/commands.md: every command with its arguments and options, from the application itself.

Run as ``python scripts/docs/commands.py``; a test holds the page to what this makes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from bdfm.cli.app import app

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
HEAD = """\
# Commands

`bdfm COMMAND --help` says the same. `python -m bdfm` is the same command. `bdfm --version` says which version
is here.

An error made by input is one message and exit code 2. Files are written whole or not at all. This page is
written by `python scripts/docs/commands.py`. What options are called
in run files and in Python: [names](names.md).
"""


def page() -> str:
    """Text of the page."""
    group: Any = typer.main.get_command(app)
    names = ", ".join(f"[`{name}`](#bdfm-{name})" for name in group.commands)
    return "\n".join([HEAD, f"Commands: {names}", *(section(n, c) for n, c in group.commands.items())])


def section(name: str, command: Any) -> str:
    """One command: what it does, and its arguments and options as ``--help`` has them."""
    context = typer.Context(command)
    records = [p.get_help_record(context) for p in command.params if not getattr(p, "hidden", False)]
    rows = [f"| `{_cell(call)}` | {_cell(text)} |" for call, text in filter(None, records)]
    text = " ".join((command.help or "").split())
    return "\n".join(
        ["", f"## bdfm {name}", "", text, "", "| argument or option | what |", "|---|---|", *rows]
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page() + "\n", encoding="utf-8")

"""Command on models: ``models``."""

from __future__ import annotations

import itertools
import re

from bdfm.cli.console import out


def models() -> None:
    """List the models that ship with the package."""
    from bdfm._sheet import Sheet
    from bdfm.model.factor_model import presets

    table = Sheet("", ["model"], texts=["what it is"])
    for name, path in presets().items():
        table.add_row(name, _opening(path.read_text(encoding="utf-8")))
    out.print(table)
    out.print("Parts, settings and reasons are in the TOML files; copy one and pass its path to --model:")
    out.print(f"{next(iter(presets().values())).parent}", markup=False, soft_wrap=True)


def _opening(text: str) -> str:
    """First sentence of the comment that a model file begins with."""
    lines = itertools.takewhile(lambda line: line.startswith("# "), text.splitlines())
    return re.split(r"\.\s+(?=[A-Z])", " ".join(line.removeprefix("# ") for line in lines))[0].rstrip(".")


COMMANDS = (models,)

"""Command on models: ``models``."""

from __future__ import annotations

from bdfm.cli.console import out


def models() -> None:
    """List the models that ship with the package."""
    from rich.table import Table

    from bdfm.model.factor_model import FactorModel, presets

    table = Table("model", "factors", "dynamics", "mean", "log volatility", "noise", "weights", box=None)
    for name, path in presets().items():
        m = FactorModel.from_toml(path)
        parts = [" + ".join(x.kind for x in slot) for slot in (m.dynamics, m.mean, m.log_volatility)]
        table.add_row(name, str(m.n_factors), *parts, m.noise.kind, m.weights.kind)
    out.print(table)
    out.print("Settings and reasons are in the TOML files; copy one, change it, pass its path to --model.")


COMMANDS = (models,)

"""A model as users meet it: assembled from parts, read from a file, built for PyMC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from bdfm import _checks, _toml
from bdfm._reading import counted
from bdfm.data.panel import Panel
from bdfm.errors import ModelError, UnknownLabelError
from bdfm.model.equations import Equations
from bdfm.model.evidence import Evidence, check_evidence

if TYPE_CHECKING:
    import pymc as pm


class FactorModel(Equations):
    """A Bayesian dynamic factor model, assembled from parts (eq. 1 to 12).

    Each field is a slot; a slot with several parts sums them. Parts that identify the same effect
    cannot stand together, and ``build`` refuses a panel that lacks what a part needs. A slot takes any part
    of its base class (``bdfm.model.parts``), also one that is defined outside the package.

    Examples
    --------
    >>> import bdfm
    >>> model = bdfm.FactorModel.from_preset("house")
    >>> model.n_factors, model.factor_scale.kind
    (7, 'market_volatility')
    >>> bdfm.FactorModel(name="small", n_factors=3).noise.kind
    'student_t'
    """

    # -- PyMC ------------------------------------------------------------------------------------------

    def build(self, panel: Panel, *, evidence: Sequence[Evidence] = ()) -> pm.Model:
        """Return a plain ``pm.Model`` of the panel's history, with named dims and coords.

        All data are in ``pm.Data`` containers, which ``set_panel`` changes together. The
        likelihood is the observed variable ``log_returns`` (period, asset), 0 where a return is missing;
        weights below 1 (eq. 9, 10) come in through the potential ``period_weighting``. ``evidence`` adds
        the forecast period T+1: its factors and the returns named (eq. 12).
        """
        from bdfm.model import pymc_form

        return pymc_form.build(self, panel, check_evidence(evidence, panel))

    def set_panel(self, built: pm.Model, panel: Panel) -> None:
        """Give a PyMC model that ``build`` made the data of another panel: returns, features and weights.

        What is compiled of it, a log density or a sampler, then serves the new data. Assets, classes and
        windows must be those that it was built with, and where loadings move the number of periods too;
        periods, gaps and values may differ. ``ModelError`` says which labels do not fit.
        """
        from bdfm.model import pymc_form

        pymc_form.set_panel(self, built, panel)

    # -- files -----------------------------------------------------------------------------------------

    @classmethod
    def from_toml(cls, source: str | Path) -> FactorModel:
        """Return the model of a TOML file (a path) or of a TOML text."""
        where, text = _toml.source_text(source, what="model")
        return cls.from_dict(_toml.parsed(text, where=where, kind=ModelError), where=where)

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], *, where: str = "model") -> FactorModel:
        """Return the model of a table of settings; an unknown key or kind is an error that names it."""
        try:
            return cls(**table)
        except (ModelError, UnknownLabelError) as error:
            raise type(error)(f"{where}, {error}") from None

    def to_toml(self) -> str:
        """TOML text from which ``from_toml`` makes an equal model."""
        return tomli_w.dumps(_plain(self.model_dump(mode="python")))

    @classmethod
    def from_preset(cls, name: str) -> FactorModel:
        """Return the named model that ships with the package, such as ``m6``.

        A model file of your own is read by ``from_toml``.

        Raises ``UnknownLabelError`` for a name that no preset has.
        """
        files = presets()
        file = "A file of yours is the option --model model.toml, or bdfm.FactorModel.from_toml(path)."
        _checks.known([name], list(files), what="preset", where="model", hint=file)
        return cls.from_toml(files[name])

    # -- notebooks -------------------------------------------------------------------------------------

    def _repr_html_(self) -> str:
        """Table of the variables that a posterior holds, and the settings as TOML."""
        rows = [(v.name, v.symbol, ", ".join(v.dims), v.unit, v.title) for v in self.variables if v.stored]
        head = ("variable", "symbol", "dims", "unit", "what it is")
        cells = "".join(f"<tr>{''.join(f'<td>{escape(x)}</td>' for x in row)}</tr>" for row in rows)
        factors = counted(self.n_factors, "factor")
        return (
            f"<p><b>FactorModel {escape(self.name)}</b>: {factors}, docs/model.md</p>"
            f'<table border="0"><thead><tr>{"".join(f"<th>{x}</th>" for x in head)}</tr></thead>'
            f"<tbody>{cells}</tbody></table>"
            f"<details><summary>settings</summary><pre>{escape(self.to_toml())}</pre></details>"
        )


def presets() -> dict[str, Path]:
    """Named models that ship with the package, name to TOML file.

    Examples
    --------
    >>> import bdfm
    >>> "house" in bdfm.presets()
    True
    """
    here = Path(__file__).parents[1]
    # An installed wheel holds them in the package, a checkout in its models/ folder.
    folder = here / "presets" if (here / "presets").is_dir() else here.parent / "models"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def _plain(value: Any) -> Any:
    """Settings as TOML can hold them: no None, lists for tuples."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value

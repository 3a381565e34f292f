"""Optional packages: imported where they are needed, with an error that names the extra that brings them."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from bdfm.errors import MissingDependencyError

# Package to the extras of bdfm that bring it; the first is named, unless the caller belongs to another.
EXTRAS: Final[dict[str, tuple[str, ...]]] = {
    "arch": ("exposures", "backtest"),
    "cvxpy": ("decisions",),
    "distributed": ("dask",),
    "openpyxl": ("excel",),
    "plotly": ("report", "backtest"),
    "skfolio": ("decisions", "validation"),
    "sklearn": ("exposures", "backtest"),
    "skpro": ("sktime",),
    "sktime": ("sktime",),
    "statsmodels": ("exposures",),
    "torch": ("torch",),
    "yfinance": ("yahoo",),
}


def optional_base(module: str, name: str, *, what: str, extra: str = "") -> Any:
    """Return a class of an optional module, to derive from; where absent, one whose objects cannot be made.

    So the classes that derive from it can be imported and documented without the extra. Parameters are those
    of ``optional``, and ``name``, the class. Making an object of such a class raises its error.
    """
    try:
        return getattr(optional(module, what=what, extra=extra), name)
    except MissingDependencyError:

        def refuse(cls: type, *_: object, **__: object) -> None:
            optional(module, what=what, extra=extra)

        return type(name, (), {"__new__": refuse, "__module__": module})


def optional(module: str, *, what: str, extra: str = "", instead: str = "") -> Any:
    """Return an optional module.

    Parameters
    ----------
    module
        Its name, with dots.
    what
        What needs it, for the message.
    extra
        Extra to name, where several bring the package; the first of ``EXTRAS`` unless given.
    instead
        What else to do, for the message: "or ...".

    Raises
    ------
    MissingDependencyError
        It is not installed.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        alternative = f", {instead}" if instead else ""
        raise MissingDependencyError(
            f"{what}: needs {package}, which is not installed. Install it with:"
            f" pip install 'bdfm[{extra or EXTRAS[package][0]}]'{alternative}"
        ) from error

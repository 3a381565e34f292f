"""Optional packages of this part, imported where they are needed, with an error that names the extra."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from bdfm.errors import MissingDependencyError

_EXTRA: Final = {"torch": "torch", "arch": "exposures", "statsmodels": "exposures", "sklearn": "exposures"}


def optional(module: str, *, what: str) -> Any:
    """Return an optional module; ``MissingDependencyError`` names the extra of bdfm that installs it.

    ``what`` is the thing that needs it, for the message.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"{what}: needs {package}, which is not installed. Install it with:"
            f" pip install 'bdfm[{_EXTRA[package]}]'"
        ) from error

"""Exceptions and warnings of the package.

Each message names the thing, what came, what was expected and what to do, with the first offenders by
label. The command line prints the message alone and exits with code 2.
"""

from __future__ import annotations

from typing import Final

_BEGIN: Final = 1200  # characters of a very long message: what it is about, and what to do
_END: Final = 500
_LONGEST: Final = _BEGIN + _END + 50


class BdfmError(Exception):
    """Base class of all errors raised on purpose by this package.

    Its text is cut in the middle where what it repeats, such as a value that was given, is very long;
    ``args`` holds the whole.
    """

    def __str__(self) -> str:
        # KeyError would print the repr of the message, quotes and all.
        text = str(self.args[0]) if self.args else ""
        if len(text) <= _LONGEST:
            return text
        return f"{text[:_BEGIN]} ... ({len(text)} characters) ... {text[-_END:]}"


class DataError(BdfmError, ValueError):
    """Prices, universe, earnings or draws that cannot be used as they came."""


class ModelError(BdfmError, ValueError):
    """A model whose parts do not fit together, or do not fit the panel."""


class UnknownLabelError(BdfmError, KeyError):
    """A symbol, class, key or name that does not exist where it was looked up."""


class InfeasibleViewError(BdfmError, ValueError):
    """A view that no weighting of the draws can satisfy, or that leaves too few effective draws."""


class FileError(BdfmError, OSError):
    """A file that cannot be read or written whole."""


class MissingDependencyError(BdfmError, ImportError):
    """An optional dependency that is not installed; the message names the extra that brings it."""


class BdfmWarning(UserWarning):
    """Base class of the package's warnings."""


class DataWarning(BdfmWarning):
    """Input that can be used, but not in the way its owner may think."""


class RenamedWarning(BdfmWarning, FutureWarning):
    """A name of an argument or an option that is another one now, and goes with the next minor version."""


class ConvergenceWarning(BdfmWarning):
    """Posterior draws that miss a threshold of the diagnostics."""

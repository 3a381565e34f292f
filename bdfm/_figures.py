"""What all pictures share: a figure that is shown once, and the colours of asset classes."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Sequence
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure


PLAIN: Final = "BDFM_PLAIN_PICTURES"  # set by a command, for itself and its workers


class _OwnSettings:
    """Finder of ``matplotlib`` that lets it read no settings but its own file of them while it is imported.

    It looks for a ``matplotlibrc`` in the working folder first, whatever variables say, and its import fails
    where that is no text, or has no end.
    """

    @staticmethod
    def find_spec(name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == "matplotlib" else None
        if spec is None or spec.loader is None or spec.origin is None:
            return None
        own, execute = Path(spec.origin).parent / "mpl-data" / "matplotlibrc", spec.loader.exec_module

        def opened(file: Any, *given: Any, **named: Any) -> Any:
            foreign = isinstance(file, str | os.PathLike) and Path(file).name == own.name
            return builtins.open(own if foreign else file, *given, **named)

        def with_own_settings(module: ModuleType) -> None:
            module.__dict__["open"] = opened
            try:
                execute(module)
            finally:
                del module.__dict__["open"]

        spec.loader.exec_module = with_own_settings  # type: ignore[method-assign]
        return spec


if os.environ.get(PLAIN):  # whichever module imports it first: all that do so import this one before
    os.environ.pop("MATPLOTLIBRC", None)
    sys.meta_path.insert(0, _OwnSettings)


@cache
def pyplot() -> Any:
    """``matplotlib.pyplot``, without which a notebook shows no figures.

    In a command its settings are the library's own: a ``matplotlibrc`` in the folder where a command runs may
    be anybody's, and may ask for LaTeX, or pictures of a gigabyte.
    """
    import matplotlib
    from matplotlib import pyplot as plt

    if os.environ.get(PLAIN):
        matplotlib.rcdefaults()
    return plt


def new_figure(rows: int = 1, columns: int = 1, **kwargs: Any) -> tuple[Figure, NDArray[Any]]:
    """Figure and its axes (row, column), known to pyplot no more: it is shown where it is returned, once."""
    plt = pyplot()
    figure, axes = plt.subplots(rows, columns, squeeze=False, layout="constrained", **kwargs)
    plt.close(figure)
    return figure, axes


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """Colour of each asset class, the same in all pictures of a panel."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return {name: to_hex(colormaps["tab10"](i % 10)) for i, name in enumerate(classes)}

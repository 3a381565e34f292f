"""What all pictures share: a figure that is shown once, and the colours of asset classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure


PLAIN: Final = "BDFM_PLAIN_PICTURES"  # set by a command, for itself and its workers


@cache
def pyplot() -> Any:
    """``matplotlib.pyplot``, without which a notebook shows no figures.

    In a command its settings are the library's own: a ``matplotlibrc`` in the folder where a command runs may
    be anybody's, and may ask for LaTeX, or pictures of a gigabyte.
    """
    plain = bool(os.environ.get(PLAIN))
    if plain:
        os.environ.pop("MATPLOTLIBRC", None)  # read while it is imported
    import matplotlib
    from matplotlib import pyplot as plt

    if plain:
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

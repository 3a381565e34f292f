"""What all pictures share: a figure that is shown once, and the colours of asset classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(rows: int = 1, columns: int = 1, **kwargs: Any) -> tuple[Figure, NDArray[Any]]:
    """Figure and its axes (row, column), known to pyplot no more: it is shown where it is returned, once."""
    from matplotlib import pyplot as plt  # the notebook shows figures only once pyplot is there

    figure, axes = plt.subplots(rows, columns, squeeze=False, layout="constrained", **kwargs)
    plt.close(figure)
    return figure, axes


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """Colour of each asset class, the same in all pictures of a panel."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return {name: to_hex(colormaps["tab10"](i % 10)) for i, name in enumerate(classes)}

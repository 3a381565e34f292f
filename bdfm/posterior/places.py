"""Places of assets on a map, and of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]


def scale_to_plane(distance: Floats, *, n_iterations: int = 300) -> tuple[Floats, float]:
    """Places (asset, 2) whose distances are closest to those given, and the relative error (stress).

    SMACOF (de Leeuw 1977) from classical scaling. Turned to its own principal axes, longest first, with a
    positive largest coordinate, so that equal distances give equal pictures.
    """
    n = len(distance)
    centring = np.eye(n) - 1 / n
    eigenvalues, vectors = np.linalg.eigh(-0.5 * centring @ distance**2 @ centring)
    place = vectors[:, :-3:-1] * np.sqrt(np.maximum(eigenvalues[:-3:-1], 0.0))
    if place.shape[1] < 2:
        place = np.column_stack([place, np.zeros(n)])
    for _ in range(n_iterations):
        ratio = -distance / np.maximum(distances(place), 1e-12)
        np.fill_diagonal(ratio, 0.0)
        np.fill_diagonal(ratio, -ratio.sum(axis=1))
        place = ratio @ place / n
    place = (place - place.mean(axis=0)) @ np.linalg.eigh(place.T @ centring @ place).eigenvectors[:, ::-1]
    largest = np.take_along_axis(place, np.abs(place).argmax(axis=0)[None], axis=0)[0]
    place = place * np.where(largest < 0, -1.0, 1.0)
    error = np.square(distance - distances(place)).sum() / max(np.square(distance).sum(), 1e-300)
    return place, float(np.sqrt(error))


def distances(place: Floats) -> Floats:
    """Distances (asset, asset) of places (asset, 2)."""
    return np.asarray(np.linalg.norm(place[:, None] - place[None], axis=-1))


def place_labels(
    axis: Axes,
    place: Floats,
    labels: Sequence[str],
    colours: Sequence[str],
    *,
    radius: Floats,
    fontsize: float,
) -> None:
    """Label each point where it covers the fewest points and labels so far; a thin line bridges a gap.

    ``place`` (point, 2) in units of the data, ``radius`` (point,) of its dot in typographic points.
    """
    figure = axis.get_figure(root=True)
    if figure is None:
        return
    figure.draw_without_rendering()  # settles the layout, and with it the pixels of the data
    pixels = axis.transData.transform(place)
    per_point = figure.dpi / 72
    unit, dot = fontsize * per_point, radius[:, None] * per_point
    frame = axis.get_window_extent()
    # Directions of a label's centre, ever farther away; of equally good ones the first, beside the point.
    angles = np.deg2rad([0, 180, 45, 135, -45, -135, 90, -90])
    reach = np.column_stack([np.cos(angles), np.sin(angles)])
    steps = np.array([0.15, 0.8, 1.7, 2.8, 4.2])
    taken = np.column_stack([pixels - dot, pixels + dot])  # boxes x0, y0, x1, y1
    for i in np.argsort(-_crowding(pixels), kind="stable"):
        half = unit * np.array([0.31 * len(labels[i]), 0.52])
        gap = dot[i] + unit * steps[:, None]
        centre = pixels[i] + (reach * (half + gap[..., None])).reshape(-1, 2)
        low, high = centre - half, centre + half
        side = np.minimum(taken[:, None, 2:], high) - np.maximum(taken[:, None, :2], low)
        overlap = np.clip(side, 0, None).prod(axis=-1).sum(axis=0) / unit**2
        outside = np.clip(frame.p0 - low, 0, None).sum(axis=1) + np.clip(high - frame.p1, 0, None).sum(axis=1)
        distance = np.repeat(steps, len(reach))
        best = int((overlap + outside + 0.12 * distance).argmin())
        taken = np.vstack([taken, np.concatenate([low[best], high[best]])])
        line = {"arrowstyle": "-", "lw": 0.5, "color": colours[i], "shrinkA": 0, "shrinkB": 1}
        axis.annotate(
            labels[i],
            (float(place[i, 0]), float(place[i, 1])),
            xytext=tuple((centre[best] - pixels[i]) / per_point),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=fontsize,
            arrowprops=line if distance[best] > 1 else None,
            in_layout=False,
        )


def _crowding(pixels: Floats) -> Floats:
    """How close the other points are: the most crowded are labelled first, while there is room."""
    distance = distances(pixels)
    np.fill_diagonal(distance, np.inf)
    return np.asarray((1 / np.maximum(distance, 1.0)).sum(axis=1))

"""Statistics of histories: what replicates of a model should have in common with the data.

Each is a number of one history of returns, computed for many histories at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bdfm.data.panel import Panel
from bdfm.errors import DataError
from bdfm.names import (
    ASSET,
    DRAW,
    EARNINGS,
    PERIOD,
    RECENT_VOLATILITY,
    RECENT_VOLATILITY_MISSING,
    RETURNS,
)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

STATISTIC: Final = "statistic"
MIN_OVERLAP: Final = 12  # periods that two assets share before their correlation counts
TAIL: Final = 3.0  # robust standard deviations beyond which a return is in the tails
_MAD_TO_SD: Final = 1.4826  # of a normal distribution
_BLOCK: Final = 50  # replicates whose statistics are computed at a time: bounds memory
_MAX_PAIRED_CLASSES: Final = 4  # with more, correlations between classes are one statistic


@dataclass(frozen=True)
class _History:
    """What the statistics know of a panel: which cells count, and how they are grouped."""

    observed: Bools  # (period, asset)
    classes: tuple[str, ...]
    class_index: NDArray[np.int64]  # (asset,)
    after_turmoil: Bools  # (period, asset), recent volatility in its top quarter
    after_calm: Bools  # (period, asset), in the other three
    announced: Bools  # (period, asset)

    @classmethod
    def of(cls, panel: Panel) -> _History:
        history = panel.history
        observed = np.isfinite(history[RETURNS].to_numpy())
        # The shortest window: the same question for any number of windows.
        recent = history[RECENT_VOLATILITY].to_numpy()[..., 0]
        known = observed & ~history[RECENT_VOLATILITY_MISSING].to_numpy()[..., 0]
        high = known & (recent >= (np.quantile(recent[known], 0.75) if known.any() else 0.0))
        announced = history[EARNINGS].to_numpy() > 0
        return cls(observed, panel.asset_classes, panel.class_index, high, known & ~high, announced)


def statistics(log_returns: xr.DataArray, panel: Panel) -> xr.DataArray:
    """Statistics (draw, statistic) of histories on one panel: what a model of its returns should replicate.

    By asset class c: ``mean c``, ``sd c`` (means over assets of the assets' own); ``tails c`` (share of
    returns beyond 3 robust sd of their asset); ``correlation c`` and ``correlation c, d`` (means over pairs
    of assets that share at least 12 periods); ``after high volatility c`` (ratio of the mean absolute return,
    in units of each asset's own mean, in the asset-periods of the highest quarter of recent volatility, to
    the others).

    For all assets: ``earnings``, the same ratio of periods with and without announcements, over assets that
    have both; ``dispersion`` and ``dispersion, its variation``, mean and sd over periods of the log
    cross-sectional sd of returns, each asset's divided by its own sd. For the first principal component of
    standardised returns, positive where most assets rise: ``component 1 ...`` ``share`` of variance,
    ``autocorrelation``, ``autocorrelation of size`` (of absolute values), ``skewness``, ``largest move``
    (in its own sd); ``components 1-3 autocorrelation``, mean over three.

    Parameters
    ----------
    log_returns
        (draw, period, asset) or (period, asset), decimal. Cells where the panel has no return are left out,
        whatever they hold: replicates are masked like the data.
    panel
        Must have exactly these periods and assets.

    Raises
    ------
    DataError
        Other labels than the panel's, or missing values where the panel has a return.
    """
    where = "statistics"
    observed = panel.history[RETURNS].reset_coords(drop=True)
    try:
        aligned, _ = xr.align(log_returns, observed, join="exact", exclude={DRAW})
    except ValueError as error:
        raise DataError(
            f"{where}: returns and panel have different periods or assets. Reindex one."
        ) from error
    values = aligned.transpose(..., PERIOD, ASSET).to_numpy()
    values = values[None] if values.ndim == 2 else values
    history = _History.of(panel)
    lacking = int((history.observed & ~np.isfinite(values)).sum())
    if lacking:
        raise DataError(f"{where}: {lacking} returns are missing where the panel has one.")
    blocks = [_statistics(values[i : i + _BLOCK], history) for i in range(0, len(values), _BLOCK)]
    names = list(blocks[0])
    table = np.concatenate([np.column_stack([block[name] for name in names]) for block in blocks])
    return xr.DataArray(
        table, dims=(DRAW, STATISTIC), coords={DRAW: np.arange(len(table)), STATISTIC: names}, name="value"
    )


def _statistics(values: Floats, history: _History) -> dict[str, Floats]:
    """Statistics (draw,) by name of returns (draw, period, asset)."""
    observed = history.observed
    x = np.where(observed, values, 0.0)
    n = observed.sum(axis=0)
    usable = n >= 3
    count = np.maximum(n, 1)
    mean = x.sum(axis=1) / count
    centred = np.where(observed, x - mean[:, None], 0.0)
    sd = np.sqrt(np.square(centred).sum(axis=1) / np.maximum(n - 1, 1))
    z = np.where(observed & usable, centred / np.where(sd > 0, sd, 1.0)[:, None], 0.0)
    beyond = _beyond(values, observed)
    correlation = _correlations(x, observed)
    size = np.abs(x)
    size = size / np.maximum(size.sum(axis=1) / count, 1e-300)[:, None]

    members = {name: (history.class_index == c) & usable for c, name in enumerate(history.classes)}
    members = {name: own for name, own in members.items() if own.any()}
    result: dict[str, Floats] = {}
    for what, by_asset in (("mean", mean), ("sd", sd)):
        result |= {f"{what} {name}": by_asset[:, own].mean(axis=1) for name, own in members.items()}
    for name, own in members.items():
        result[f"tails {name}"] = beyond[:, :, own].sum(axis=(1, 2)) / observed[:, own].sum()
    result |= _mean_correlations(correlation, members)
    for name, own in members.items():
        ratio = _ratio(size, history.after_turmoil & own, history.after_calm & own)
        if ratio is not None:
            result[f"after high volatility {name}"] = ratio
    both = (history.announced & observed).any(axis=0) & (~history.announced & observed).any(axis=0)
    ratio = _ratio(size, history.announced & observed & both, ~history.announced & observed & both)
    if ratio is not None:
        result["earnings"] = ratio
    return result | _dispersion(z, observed & usable) | _components(z)


def _beyond(values: Floats, observed: Bools) -> Bools:
    """Whether a return (draw, period, asset) is further from its asset's median than 3 robust sd."""
    median = _median(values, observed)
    distance = np.abs(values - median[:, None])
    limit = TAIL * _MAD_TO_SD * _median(distance, observed)
    return np.asarray((distance > limit[:, None]) & observed)


def _median(values: Floats, observed: Bools) -> Floats:
    """Median (draw, asset) over the observed periods; 0 where there are none."""
    n = observed.sum(axis=0)
    # Infinity sorts last, so that the observed ones come first; far faster than nanmedian.
    ordered = np.sort(np.where(observed, values, np.inf), axis=1)
    asset = np.arange(len(n))
    middle = (
        ordered[:, np.maximum(n - 1, 0) // 2, asset]
        + ordered[:, np.minimum(n // 2, len(observed) - 1), asset]
    ) / 2
    return np.where(n > 0, middle, 0.0)


def _correlations(x: Floats, observed: Bools) -> Floats:
    """Correlation (draw, asset, asset) over the periods that two assets share; NaN if they are too few.

    ``x`` (draw, period, asset) is 0 where not observed.
    """
    m = observed.astype(np.float64)
    n = m.T @ m
    xt = x.swapaxes(-1, -2)
    total = xt @ m  # of asset i over the periods in which j is known too
    square = np.square(xt) @ m
    cross = xt @ x
    safe = np.maximum(n, 1)
    covariance = cross - total * total.swapaxes(-1, -2) / safe
    variance = square - np.square(total) / safe
    scale = np.sqrt(np.clip(variance * variance.swapaxes(-1, -2), 1e-300, None))
    return np.where(n >= MIN_OVERLAP, covariance / scale, np.nan)


def _mean_correlations(correlation: Floats, members: Mapping[str, Bools]) -> dict[str, Floats]:
    """Mean (draw,) over pairs of assets within each class and between classes."""
    upper = np.triu(np.isfinite(correlation).all(axis=0), k=1)
    pairs = {f"correlation {name}": np.outer(own, own) for name, own in members.items()}
    between = {f"correlation {a}, {b}": np.outer(members[a], members[b]) for a, b in combinations(members, 2)}
    if len(members) > _MAX_PAIRED_CLASSES:
        between = {"correlation between classes": np.any(list(between.values()), axis=0)}
    chosen = {name: (pair | pair.T) & upper for name, pair in (pairs | between).items()}
    return {name: correlation[:, pair].mean(axis=1) for name, pair in chosen.items() if pair.any()}


def _ratio(size: Floats, part: Bools, others: Bools) -> Floats | None:
    """Ratio (draw,) of mean sizes (draw, period, asset); None where a group is empty."""
    if not part.any() or not others.any():
        return None
    return np.asarray(size[:, part].mean(axis=1) / size[:, others].mean(axis=1))


def _dispersion(z: Floats, counted: Bools) -> dict[str, Floats]:
    """Mean and variation over periods of the log cross-sectional sd of standardised returns."""
    n = counted.sum(axis=1)
    rows = n >= 5
    if rows.sum() < 3:
        return {}
    z, counted, n = z[:, rows], counted[rows], n[rows]
    mean = z.sum(axis=2) / n
    square = np.where(counted, np.square(z - mean[..., None]), 0.0).sum(axis=2) / (n - 1)
    log_sd = 0.5 * np.log(np.maximum(square, 1e-300))
    return {
        "dispersion": np.exp(log_sd.mean(axis=1)),
        "dispersion, its variation": log_sd.std(axis=1, ddof=1),
    }


def _components(z: Floats) -> dict[str, Floats]:
    """Principal components of standardised returns (draw, period, asset), 0 where missing, over periods."""
    values, vectors = np.linalg.eigh(z @ z.swapaxes(-1, -2))
    scores = vectors[..., ::-1][..., :3]  # (draw, period, component), of unit length
    first = scores[..., 0]
    first = first * np.where((first * z.sum(axis=2)).sum(axis=1) < 0, -1.0, 1.0)[:, None]
    standard = (first - first.mean(axis=1, keepdims=True)) / first.std(axis=1, keepdims=True)
    return {
        "component 1 share": values[:, -1] / values.sum(axis=1),
        "component 1 autocorrelation": _autocorrelation(first),
        "component 1 autocorrelation of size": _autocorrelation(np.abs(standard)),
        "component 1 skewness": (standard**3).mean(axis=1),
        "component 1 largest move": np.abs(standard).max(axis=1),
        "components 1-3 autocorrelation": _autocorrelation(scores.swapaxes(-1, -2)).mean(axis=1),
    }


def _autocorrelation(x: Floats) -> Floats:
    """First-order autocorrelation along the last axis."""
    x = x - x.mean(axis=-1, keepdims=True)
    return np.asarray((x[..., 1:] * x[..., :-1]).sum(axis=-1) / np.square(x).sum(axis=-1))


# What it means that the data lie above or below the replicates, by how a statistic's name begins.
_MEANING: Final = (
    ("mean", "returns drift {} than in the model", "higher", "lower"),
    ("sd", "returns vary {} than in the model", "more", "less"),
    ("tails", "tails are {} than in the model", "heavier", "lighter"),
    ("correlation", "assets move together {} than in the model", "more", "less"),
    ("after high", "volatility persists {} than in the model", "more", "less"),
    ("earnings", "announcements move returns {} than in the model", "more", "less"),
    ("dispersion, its", "the spread between assets changes {} over time than in the model", "more", "less"),
    ("dispersion", "assets differ {} within a period than in the model", "more", "less"),
    ("component 1 share", "one factor explains {} than in the model", "more", "less"),
    (
        "component 1 autocorrelation of size",
        "large market moves cluster {} than in the model",
        "more",
        "less",
    ),
    ("component 1 autocorrelation", "the market trends {} than in the model", "more", "less"),
    ("component 1 skewness", "the market is skewed to {} beyond what the model allows", "gains", "losses"),
    ("component 1 largest", "the largest market move is {} than in the model", "larger", "smaller"),
    ("components 1-3", "the common components trend {} than in the model", "more", "less"),
)


def meaning(name: str, *, above: bool) -> str:
    """What it says of a model that a statistic of the data lies above, or below, that of replicates."""
    text, high, low = next(words for start, *words in _MEANING if name.startswith(start))
    return text.format(high if above else low)

"""Errors of means over time, where neighbours are alike, and intervals of draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_ORIGINS: Final = 8  # from which an error of a mean over origins is told
ALIKE: Final = 1e-14  # of the larger of two scores: what differs by no more differs by rounding
LEAST_P: Final = 0.001  # below it a p-value is told as that: none is shown as 0


def p_number(p_value: float) -> str:
    """P-value as text without its name, "0.040" or "< 0.001"; blank where it is not known."""
    if np.isnan(p_value):
        return ""
    return f"< {LEAST_P:g}" if p_value < LEAST_P else f"{p_value:.3f}"


def p_text(p_value: float, *, name: str = "p") -> str:
    """P-value as text with its name, "p = 0.040" or "p < 0.001"; blank where it is not known."""
    number = p_number(p_value)
    return f"{name}{' ' if number.startswith('<') else ' = '}{number}" if number else ""


def with_error(mean: float, error: float, form: Callable[[float], str]) -> str:
    """Mean and its error in words, the mean alone where the error is not known, blank without a mean."""
    if not np.isfinite(mean):
        return ""
    return form(mean) + (f" ± {form(error).lstrip('+')}" if np.isfinite(error) else "")


def newey_west_lags(n: int) -> int:
    """Lags of autocorrelation that count among ``n`` observations, floor(4 (n / 100)^(2/9))."""
    return int(4 * (n / 100) ** (2 / 9))


def long_run_variance(values: Floats, lags: int | None = None) -> float:
    """Variance of a series (time,) that counts autocorrelation, by Bartlett's weights; over n, not n - 1.

    Newey and West (1987), Econometrica 55, 703-708. ``lags`` are those of ``newey_west_lags`` unless given.
    """
    x = values - values.mean()
    n = len(x)
    m = newey_west_lags(n) if lags is None else lags
    total = float(x @ x) / n
    for lag in range(1, min(m, n - 1) + 1):
        total += 2 * (1 - lag / (m + 1)) * float(x[lag:] @ x[:-lag]) / n
    return max(total, 0.0)


def overlapping_freedom(n: int, sharing: int) -> int:
    """Cosines that the error of a mean over ``n`` origins rests on, ``sharing`` of which share a day.

    So few that the slowest of them is slower than what the origins share; 0 where none is.
    """
    return min(n // (2 * sharing), int(0.4 * n ** (2 / 3)))


def cosine_variance(values: Floats, n_cosines: int) -> float:
    """Long-run variance of a series (time,) by the mean square of its first cosine transforms.

    Lazarus, Lewis, Stock and Watson (2018), J. Business & Economic Statistics 36, 541-559: a mean over its
    error then follows a t distribution of ``n_cosines`` degrees of freedom.
    """
    n = len(values)
    return float(np.square(cosines(n, n_cosines) @ (values - values.mean())).mean() * 2 / n)


def cosines(n: int, n_cosines: int) -> Floats:
    """The slowest cosines (cosine, time) over ``n`` moments, each of which sums to 0."""
    return np.asarray(np.cos(np.pi * np.outer(np.arange(1, n_cosines + 1), np.arange(n) + 0.5) / n))


def mean_error(values: Floats) -> float:
    """Standard error of a mean over time; 0 for a constant, NaN of fewer than 3 that are known."""
    x = values[np.isfinite(values)]
    if len(x) < 3:
        return float("nan")
    return float(np.sqrt(long_run_variance(x) / len(x)))


def interval(values: Floats, *, prob: float = 0.9) -> tuple[Floats, Floats, Floats]:
    """Lower end, median and upper end of the central interval over draws (draw, ...)."""
    low, middle, high = np.quantile(values, [(1 - prob) / 2, 0.5, (1 + prob) / 2], axis=0)
    return low, middle, high

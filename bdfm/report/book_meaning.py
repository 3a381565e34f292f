"""What the volatilities of a book are, model by model, and what its own returns had."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from bdfm._reading import counted
from bdfm.exposures.risk import HALF_LIFE_DAYS
from bdfm.report.book import BAYESIAN, Book
from bdfm.risk.choices import Kind
from bdfm.risk.time_series import TimeSeriesEstimator

RECENT: Final = 0.25  # share of the window that counts as recent
MIN_RECENT: Final = 13  # periods of it, at least
_WINDOW: Final = {kind.value for kind in Kind}  # models that are fitted to the window
APART: Final = 1.15  # ratio of two models' volatilities of one portfolio from which it is explained


def realised(book: Book) -> pd.DataFrame:
    """Volatility of each portfolio's own returns with the weights of today, over the horizon.

    Index portfolio; columns ``window`` and ``recent``: standard deviation (decimal) of one period's simple
    returns times the root of the horizon, over all periods of the models' window and over its last quarter;
    ``n_window`` and ``n_recent`` periods, those in which every held asset has a return. NaN with fewer
    than 2 periods.
    """
    root = np.sqrt(book.horizon)
    n_recent = max(MIN_RECENT, round(RECENT * len(book.returns)))
    rows = {}
    for portfolio, w in book.weights.iterrows():
        held = w[w != 0]
        own = book.returns[list(held.index)].dropna() @ held
        recent = own[own.index >= book.returns.index[-min(n_recent, len(book.returns))]]
        rows[str(portfolio)] = {
            "window": root * own.std(),
            "recent": root * recent.std(),
            "n_window": len(own),
            "n_recent": len(recent),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("portfolio")


def meanings(book: Book) -> dict[str, str]:
    """Model to what its volatility is: of which returns, how weighted, and over which time."""
    r = book.request
    one = book.length.words(1)
    weights = "each alike" if r.half_life_periods is None else f"with a half-life of {r.half_life_periods:g}"
    periods = counted(len(book.returns), "period")
    window = f"over {periods} of {one} to {book.returns.index[-1]:%Y-%m-%d}, {weights}"
    scaled = "" if book.horizon == 1 else f"; the variance of {one} times {book.horizon:g}"
    own = book.fits.estimators.get(Kind.TIME_SERIES.value)
    excess = isinstance(own, TimeSeriesEstimator) and own.risk_free is not None
    found = {}
    for name, model in book.models.items():
        if name in _WINDOW:
            of = "excess returns" if excess and name == Kind.TIME_SERIES.value else "returns"
            found[name] = f"average risk of {of} {window}{scaled}"
        elif name == BAYESIAN:
            found[name] = (
                f"forecast of the posterior's own period after {model.origin:%Y-%m-%d}, given volatility of"
                " late and what is known of that period; log returns; the interval is ignorance of the"
                " parameters, the figure its median"
            )
        else:
            found[name] = (
                f"exposures of {model.origin:%Y-%m-%d}, variances of daily log returns that halve every"
                f" {HALF_LIFE_DAYS:g} days; a day's variance times the market days of {book.span}"
            )
    return found


def explanation(book: Book, volatility: pd.DataFrame) -> str:
    """Why models differ, where one says at least 15 % more than another; empty where none does.

    ``volatility`` is ``bdfm.risk.compare`` of the book.
    """
    table = volatility["volatility"].unstack()
    window = [m for m in book.models if m in _WINDOW]
    moving = [m for m in book.models if m not in window]
    largest = _ratio(table)
    if not largest >= APART:
        return ""
    parts = [f"Models differ by up to {largest - 1:.0%}."]
    if window and moving:
        verb = "goes" if len(moving) == 1 else "go"
        parts.append(
            f"{_and(window)} average over the window; {_and(moving)} {verb} by volatility of late. Hold the"
            " first against the book's own returns in the window, the second against the recent ones."
        )
    if len(window) > 1 and _ratio(table[window]) >= APART:
        parts.append(
            "Models of one window differ by their factors, and take what is left for independent: hold each"
            " against the book's own returns; a lower figure misses what assets share."
        )
    parts.append("docs/risk.md, What each number is.")
    return " ".join(parts)


def _ratio(table: pd.DataFrame) -> float:
    """Largest over the portfolios of the highest over the lowest volatility; NaN without risk."""
    low = table.min(axis=1)
    return float((table.max(axis=1) / low.where(low > 0)).max())


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

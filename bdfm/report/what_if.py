"""What if: some draws of a forecast in the page, which a reader reweights by views of their own.

The arithmetic is that of ``forecast.with_views`` and lies in ``what_if.js``, that of constraints in
``entropy.js``; what the reader touches, in ``what_if_page.js``.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bdfm import _blocks
from bdfm.data.doubts.said import LARGEST
from bdfm.forecast.entropy import effective_number
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.weigh import MIN_EFFECTIVE_DRAWS, MIN_EFFECTIVE_SHARE
from bdfm.portfolio.decisions import Decision
from bdfm.report.page_form import data_script

Floats = NDArray[np.float64]

MOST_DRAWS: Final = 2000
MOST_NUMBERS: Final = 2_500_000  # returns that a page carries: 6.7 MB of text
_STEPS: Final = 2**16 - 1  # of a return between its least and its largest
_SEED: Final = 1  # the same forecast makes the same page


@dataclass(frozen=True, eq=False)
class Carried:
    """Draws that a page carries.

    Attributes
    ----------
    steps
        (asset, draw) returns as whole numbers of 16 bits.
    low, step
        (asset,) return of step 0, and of one step more.
    weights
        (draw,), sum to 1.
    """

    steps: NDArray[np.uint16]
    low: Floats
    step: Floats
    weights: Floats

    @property
    def returns(self) -> NDArray[np.float32]:
        """Returns (draw, asset) as the page reads them."""
        return (self.low[:, None] + self.step[:, None] * self.steps).astype(np.float32).T


def carried(forecast: Forecast, *, most: int | None = None) -> Carried:
    """Draws of a forecast for a page.

    ``most`` draws at most, by default ``MOST_DRAWS``, fewer where there are thousands of assets. One draw is
    taken at random from each of as many equal parts of the forecast's weight, so that a draw is expected as
    often as its weight says, whatever the order of the draws; what comes twice counts twice. Returns are
    rounded to 65,536 equal steps from the least to the largest of each asset.
    """
    p = forecast.weights.to_numpy()
    if most is None:
        most = min(MOST_DRAWS, max(MOST_NUMBERS // len(forecast.assets), 2))
    if len(p) <= most:
        chosen = np.flatnonzero(p > 0)
        weights = p[chosen] / p[chosen].sum()
    else:
        place = (np.arange(most) + np.random.default_rng(_SEED).random(most)) / most
        reached = np.cumsum(p)
        drawn = np.searchsorted(reached, place * reached[-1], side="right")
        chosen, counts = np.unique(np.minimum(drawn, np.flatnonzero(p > 0)[-1]), return_counts=True)
        weights = counts / most
    draws = forecast.draws.to_numpy()
    returns = draws[chosen].astype(np.float64).T
    _blocks.release(draws)
    low, high = returns.min(axis=1), returns.max(axis=1)
    step = (high - low) / _STEPS
    unit = np.where(step > 0, step, 1.0)
    steps = np.clip(np.rint((returns - low[:, None]) / unit[:, None]), 0, _STEPS).astype(np.uint16)
    return Carried(steps, low, step, weights)


def what_if_data(forecast: Forecast, own: Carried) -> dict[str, Any]:
    """What the page's script reads: draws, weights, names, the book, and the bounds that Python has too."""
    decision = Decision.of(forecast)
    book = None if decision is None or not decision.weights.any() else decision.weights.to_list()
    return {
        "assets": list(forecast.assets),
        "names": list(forecast.names),
        "n_draws": len(own.weights),
        "draws": _text(own.steps.astype("<u2")),
        "low": own.low.tolist(),
        "step": own.step.tolist(),
        "weights": _text(own.weights.astype("<f8")),
        "book": book,
        "level": None if decision is None else decision.risk.level,
        "min_effective_draws": MIN_EFFECTIVE_DRAWS,
        "min_effective_share": MIN_EFFECTIVE_SHARE,
        "largest": LARGEST,
    }


def _text(array: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


def what_if_section(forecast: Forecast) -> str:
    """Section of the page: what it says, the data, and places that the script fills."""
    own = carried(forecast)
    data = what_if_data(forecast, own)
    book = "" if data["book"] is None else " and to the risk of the book"
    error = 100 * np.sqrt(0.16 / effective_number(own.weights))
    return (
        f"<p>Set a view and see what it does to the fifths{book}. The page carries {len(own.weights):,} of"
        f" the forecast's {forecast.n_draws:,} draws and reweights them as <code>bdfm</code> does, on top of"
        " the forecast's own views and edits. Fewer draws are rougher: a probability of 20 % has a standard"
        f" error of {error:.1f} points here. Nothing leaves the page.</p>"
        "<noscript><p class=bad>This needs JavaScript.</p></noscript>"
        "<div id=what-if-views></div><p class=tools><button type=button id=what-if-add>Add a view</button>"
        "<button type=button id=what-if-clear hidden>Remove all views</button></p>"
        "<p id=what-if-status role=status></p><p id=what-if-refusal class=bad role=alert></p>"
        "<div id=what-if-found hidden></div>"
        f"{data_script(data, 'id=what-if-data')}"
    )

"""Memory that a fit and a forecast need, known before they begin."""

from __future__ import annotations

import math
from typing import Final

from bdfm import _memory
from bdfm.data.panel import Panel
from bdfm.inference.identified import MAX_PAIRS
from bdfm.inference.settings import SamplerSettings
from bdfm.inference.stopping import FIRST_DRAWS
from bdfm.model.equations import Equations

COPIES: Final = 3  # of posterior draws at the worst moment: as kept, by name, and what a diagnosis makes
FORECAST_COPIES: Final = 2  # of predictive draws, in single precision


def fit_bytes(model: Equations, panel: Panel, settings: SamplerSettings) -> int:
    """Bytes of the posterior draws of a fit and of what is judged; with ``auto`` those of a first look."""
    coords = model.coords(panel)
    stored = [v for v in model.variables if v.stored]
    values = sum(math.prod(len(coords[d]) for d in v.dims) for v in stored)
    n_assets = len(panel.assets)
    judged = min(MAX_PAIRS, n_assets * (n_assets - 1) // 2) + 4 * n_assets
    draws = min(FIRST_DRAWS, settings.n_fixed) if settings.draws == "auto" else settings.n_fixed
    return settings.chains * draws * 8 * (COPIES * values + judged)


def forecast_bytes(n_draws: int, n_assets: int) -> int:
    """Bytes that predictive draws take."""
    return FORECAST_COPIES * 4 * n_draws * n_assets


def check_fit(model: Equations, panel: Panel, settings: SamplerSettings) -> None:
    """Raise ``DataError`` where a fit would not fit into memory."""
    _memory.check(
        fit_bytes(model, panel, settings),
        where="fit",
        what=f"{settings.chains} chains of {len(panel.assets)} assets and {panel.n_history} periods",
        advice='Use fewer draws (draws = "auto") or chains, fewer assets, or close other programs.',
    )


def check_forecast(n_draws: int, n_assets: int) -> None:
    """Raise ``DataError`` where predictive draws would not fit into memory."""
    _memory.check(
        forecast_bytes(n_draws, n_assets),
        where="forecast",
        what=f"{n_draws:,} predictive draws of {n_assets} assets",
        advice="Lower n_draws, or close other programs.",
    )

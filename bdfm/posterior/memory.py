"""Memory that a fit and a forecast need, known before they begin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from bdfm import _blocks, _memory
from bdfm._threads import cores
from bdfm.data.panel import Panel
from bdfm.inference.choices import COPIES
from bdfm.inference.engine import draws_worth, most_draws, moved_draws
from bdfm.inference.identified import MAX_PAIRS
from bdfm.inference.settings import SamplerSettings
from bdfm.inference.stopping import FIRST_DRAWS
from bdfm.model.equations import Equations
from bdfm.model.evidence import Evidence

WORK: Final = 8  # arrays (posterior draw, asset) in double precision that a pair of paths is made of
# The same of each day that evidence on paths is about (eq. D9): noise scale, centre, multiplier and normal
DAY_WORK: Final = 4
WHOLE_COPIES: Final = 3  # of draws that are written as a whole: NetCDF is made in memory


def fit_bytes(
    model: Equations, panel: Panel, settings: SamplerSettings, *, n_draws: int | None = None
) -> int:
    """Bytes of the posterior draws of a fit and of what is judged; with ``auto`` of as many as it may keep.

    ``n_draws``: of each chain, where it is not that of the settings.
    """
    coords = model.coords(panel)
    stored = [v for v in model.variables if v.stored]
    values = sum(math.prod(len(coords[d]) for d in v.dims) for v in stored)
    n_assets = len(panel.assets)
    judged = min(MAX_PAIRS, n_assets * (n_assets - 1) // 2) + 4 * n_assets
    auto = settings.draws == "auto"
    draws = most_draws(model, coords, settings.chains) if auto else settings.n_fixed
    return settings.chains * (n_draws or draws) * 8 * (COPIES * values + judged)


def days_known(model: Equations, evidence: Sequence[Evidence]) -> int:
    """Days of a path that are kept at once, since evidence is about them."""
    return max((e.horizon for e in evidence), default=0) if model.conditions_paths else 0


def forecast_bytes(
    n_draws: int,
    n_assets: int,
    *,
    n_forecasts: int = 1,
    n_posterior: int = 0,
    n_known: int = 0,
    whole: bool = False,
) -> int:
    """Bytes in memory that predictive draws take, and the work on them.

    Draws that take more than their share of the budget lie in a file. ``n_forecasts``: of as many draws, over
    several horizons, which are kept beside each other; ``n_posterior``: draws of the posterior; ``n_known``:
    days of a path that are kept at once; ``whole``: they are written as a whole.
    """
    draws = 4 * n_draws * n_assets
    kept = 0 if _blocks.kept_on_disk(n_draws, n_assets) else n_forecasts * draws
    block = 8 * min(n_draws, _blocks.rows_at_once(n_assets)) * n_assets
    gathered = min(draws, _blocks.GATHER_BYTES)
    busy = (cores() + 1) * max(8 * (WORK + DAY_WORK * n_known) * n_posterior * n_assets, 3 * block)
    return kept + max(gathered, busy) + (WHOLE_COPIES * draws if whole else 0)


def check_fit(model: Equations, panel: Panel, settings: SamplerSettings, *, update: bool = False) -> None:
    """Raise ``DataError`` where a fit would not fit into memory, or an update of an earlier one."""
    n_draws = None
    if update and settings.draws == "auto":
        n_draws = math.ceil(draws_worth(moved_draws(model, model.coords(panel), settings.chains)))
    needed = fit_bytes(model, panel, settings, n_draws=n_draws)
    each = fit_bytes(model, panel, settings, n_draws=1)
    would = _memory.would_fit(
        (_memory.most(needed // each, lambda n: n * each), FIRST_DRAWS, "draws = {}"),
        form="Use fewer draws ({})",
        otherwise="Use fewer chains or assets",
    )
    _memory.check(
        needed,
        where="fit",
        what=f"{settings.chains} chains of {len(panel.assets)} assets and {panel.n_history} periods",
        advice=f"{would}, or close other programs.",
    )


def check_forecast(
    n_draws: int,
    n_assets: int,
    *,
    n_forecasts: int = 1,
    n_posterior: int = 0,
    n_known: int = 0,
    whole: bool = False,
) -> None:
    """Raise ``DataError`` where predictive draws would not fit into memory; see ``forecast_bytes``."""
    if _blocks.kept_on_disk(n_draws, n_assets):
        _blocks.check_disk(n_draws, n_assets, n_arrays=n_forecasts)
    given: dict[str, int] = {"n_forecasts": n_forecasts, "n_posterior": n_posterior, "n_known": n_known}

    def needs(n: int, whole: bool = whole) -> int:
        return forecast_bytes(n, n_assets, **given, whole=whole)

    needed = needs(n_draws)
    found = _memory.room()
    if found is None or needed <= found[0]:
        return
    fitting = n_draws
    while fitting > 1000 and needs(fitting) > found[0]:
        fitting = fitting * 9 // 10
    would = (
        f"n_draws = {fitting // 1000 * 1000:,} would fit"
        if fitting > 1000
        else f"evidence on fewer days than {n_known}, or fewer assets, would fit"
        if n_known > 1
        else "fewer assets would fit"
    )
    keep = ""
    if whole and needs(n_draws, whole=False) <= found[0]:
        keep = ', or leave out keep_draws and write the posterior ("posterior" among the outputs)'
    over = f" over {n_forecasts} horizons" if n_forecasts > 1 else ""
    _memory.check(
        needed,
        where="forecast",
        what=f"{n_draws:,} predictive draws of {n_assets} assets{over}",
        advice=f"Lower n_draws: {would}{keep}; or close other programs.",
    )

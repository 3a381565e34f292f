"""Memory that a fit and a forecast need, known before they begin."""

from __future__ import annotations

import math
from bisect import bisect_left
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
from bdfm.model.equations import Equations, values_of_a_draw
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
    values = values_of_a_draw(model, coords)
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
    """Bytes in memory that predictive draws take, and the work on them; of more of anything never less.

    ``n_forecasts``: held in memory beside each other, 0 where they lie in files; ``n_posterior``: draws of
    the posterior; ``n_known``: days of a path that are kept at once; ``whole``: they are written as a whole.
    """
    draws = 4 * n_draws * n_assets
    block = _blocks.block_bytes(n_draws, n_assets)
    gathered = min(draws, _blocks.GATHER_BYTES)
    busy = (cores() + 1) * max(8 * (WORK + DAY_WORK * n_known) * n_posterior * n_assets, 3 * block)
    return n_forecasts * draws + max(gathered, busy) + (WHOLE_COPIES * draws if whole else 0)


def check_fit(
    model: Equations,
    panel: Panel,
    settings: SamplerSettings,
    *,
    evidence: Sequence[Evidence] = (),
    update: bool = False,
) -> None:
    """Raise ``DataError`` where a fit would not fit into memory, or an update of an earlier one.

    With evidence inside the fit no draws are moved: an update is a fit then.
    """
    n_draws = None
    if update and settings.draws == "auto" and not model.in_fit(evidence):
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
    n_posterior: int = 0,
    n_known: int = 0,
    whole: bool = False,
    begun: bool = False,
) -> bool:
    """Whether predictive draws lie on disk; ``DataError`` where they fit nowhere. See ``forecast_bytes``.

    They do where all that are held beside each other (``_blocks.beside``) take more than their share of the
    budget, or than memory has room for: what goes through them in blocks needs little of it. ``begun``: some
    of them may be made already, so that what memory and disk have free is for these alone.
    """
    n_forecasts = _blocks.n_beside()
    n_needed = 1 if begun else n_forecasts
    found = _memory.room()
    room = math.inf if found is None else found[0]
    budget = _memory.budget() or math.inf

    def needs(n: int, n_forecasts: int, *, whole: bool = whole) -> int:
        more: dict[str, int] = {"n_posterior": n_posterior, "n_known": n_known}
        return forecast_bytes(n, n_assets, n_forecasts=n_forecasts, **more, whole=whole)

    def in_memory(n: int) -> bool:
        shared = not _blocks.kept_on_disk(n, n_assets) and needs(n, n_forecasts) <= budget
        return shared and needs(n, n_needed) <= room

    def works(n: int, *, whole: bool = whole) -> bool:
        return needs(n, 0, whole=whole) <= room

    def fits(n: int) -> bool:
        size = 4 * n * n_assets * n_needed
        return in_memory(n) or (works(n) and size <= _blocks.free_on_disk())

    if fits(n_draws):
        return not in_memory(n_draws)
    fitting = bisect_left(range(1, n_draws + 1), True, key=lambda n: not fits(n)) // 1000 * 1000
    if works(n_draws):
        would = _memory.would_fit((fitting, 1000, "{:,}"), form=" ({})")
        raise _blocks.no_disk(n_draws, n_assets, n_needed, would=would)
    instead = f"evidence on fewer days than {n_known}, or fewer assets," if n_known > 1 else "fewer assets"
    would = _memory.would_fit((fitting, 1000, "n_draws = {:,}"), otherwise=f"{instead} would fit")
    keep = ""
    if whole and works(n_draws, whole=False):
        keep = ', or leave out keep_draws and write the posterior ("posterior" among the outputs)'
    over = f" over {n_forecasts} horizons" if n_forecasts > 1 else ""
    _memory.check(
        needs(n_draws, 0),
        where="forecast",
        what=f"{n_draws:,} predictive draws of {n_assets} assets{over}",
        advice=f"Lower n_draws: {would}{keep}; or close other programs.",
    )
    return True

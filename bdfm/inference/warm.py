"""Start of a fit from the posterior of an earlier one, by label."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bdfm.gibbs.warm import Adaptation, WarmStart
from bdfm.names import ASSET, CHAIN, DRAW, PERIOD

TUNING: Final = 5  # a warm start tunes for one in so many of the sweeps of a cold one
_ONE: Final = "_draw"  # chains and draws on one axis


def warm_start(
    draws: xr.Dataset, adaptation: str | None, coords: Mapping[str, Any], n_chains: int
) -> WarmStart:
    """Start of each chain of a fit with other labels from draws (chain, draw, ...) of an earlier one.

    Chain c goes on from the last draw of chain c; further chains from earlier draws. Draws meet the new fit
    by label: assets that are gone are dropped, and what is new is NaN. A period takes the factors of the one
    that ends nearest, within half a period, so that a panel of the next day goes on too. Variables of another
    number of blocks of periods are left out.

    Parameters
    ----------
    draws, adaptation
        Of the earlier fit; what ``as_text`` made of its adaptation, None where it has none.
    coords
        Labels of the new fit by dim.
    n_chains
        Of the new fit.
    """
    n_old, n_draws = draws.sizes[CHAIN], draws.sizes[DRAW]
    labelled = by_label(draws, coords)
    rounds = -(-n_chains // n_old)
    starts = [
        labelled.isel({CHAIN: c % n_old, DRAW: n_draws - 1 - (c // n_old) * (n_draws // rounds)})
        for c in range(n_chains)
    ]
    return WarmStart(
        tuple({str(n): np.asarray(x, dtype=np.float64) for n, x in s.data_vars.items()} for s in starts),
        None if adaptation is None else from_text(adaptation, list(coords[ASSET])),
    )


def spread_draws(
    draws: xr.Dataset, coords: Mapping[str, Any], n_chains: int, n: int
) -> dict[str, NDArray[np.float64]]:
    """``n`` draws for each of ``n_chains`` chains, evenly spaced over those of an earlier fit, by its labels.

    By variable name (chain, draw, ...), as ``bdfm.gibbs.sampler.move_draws`` takes them; no more than there
    are.
    """
    flat = draws.transpose(CHAIN, DRAW, ...).stack({_ONE: (CHAIN, DRAW)}, create_index=False)
    total = flat.sizes[_ONE]
    n = min(n, total // n_chains)
    chosen = np.linspace(0, total - 1, n * n_chains).round().astype(int)
    labelled = by_label(flat.isel({_ONE: chosen}), coords).transpose(_ONE, ...)
    return {
        str(name): np.ascontiguousarray(x, dtype=np.float64).reshape(n_chains, n, *x.shape[1:])
        for name, x in labelled.data_vars.items()
    }


def by_label(draws: xr.Dataset, coords: Mapping[str, Any]) -> xr.Dataset:
    """Draws of an earlier fit with the labels of a new one: see ``warm_start``."""
    labelled = draws
    for dim in draws.dims:
        name = str(dim)
        if name in (CHAIN, DRAW, _ONE):
            continue
        labels = np.asarray(coords[name]) if name in coords else np.empty(0)
        if name == PERIOD:
            labelled = _at_periods(labelled, labels)
        elif name in labelled.coords and labelled[name].dtype.kind in "OUT":
            labelled = labelled.reindex({name: labels})
        elif labelled.sizes[dim] != len(labels):
            labelled = labelled.drop_dims(name)
    return labelled


def _at_periods(draws: xr.Dataset, ends: np.ndarray[Any, Any]) -> xr.Dataset:
    """Draws at the periods that end nearest to ``ends``; NaN where none does within half a period."""
    known = pd.DatetimeIndex(draws[PERIOD].to_numpy())
    half = pd.Timedelta(np.median(np.diff(known.to_numpy()))) / 2 if len(known) > 1 else pd.Timedelta(0)
    place = known.get_indexer(pd.DatetimeIndex(ends), method="nearest", tolerance=half)
    at = draws.isel({PERIOD: np.maximum(place, 0)}).assign_coords({PERIOD: ends})
    found = xr.DataArray(place >= 0, {PERIOD: ends}, (PERIOD,))
    return at.assign({n: x.where(found) for n, x in at.data_vars.items() if PERIOD in x.dims})


def as_text(adaptation: Adaptation, assets: Sequence[str]) -> str:
    """JSON of an adaptation."""
    leverage = dict(zip(assets, adaptation.leverage.tolist(), strict=True))
    return json.dumps({"log_step_nu": adaptation.log_step_nu, "leverage": leverage})


def from_text(text: str, assets: Sequence[str]) -> Adaptation:
    """Adaptation that ``as_text`` wrote, for these assets."""
    known = json.loads(text)
    leverage = np.array([known["leverage"].get(a, np.nan) for a in assets], dtype=np.float64)
    return Adaptation(float(known["log_step_nu"]), leverage)

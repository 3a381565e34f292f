"""Standardised variables of the PyMC form, which a posterior makes of its draws on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bdfm.data.panel import Panel
from bdfm.model.equations import Equations
from bdfm.model.evidence import Evidence
from bdfm.names import CHAIN, DRAW


def standardised_draws(
    draws: xr.Dataset,
    p: Mapping[str, np.ndarray[Any, Any]],
    model: Equations,
    panel: Panel,
    evidence: Sequence[Evidence],
) -> dict[str, xr.DataArray]:
    """Standardised variables (chain, draw, ...) that the draws do not hold; ``p`` are the draws as arrays.

    ``evidence``: that of the fit.
    """
    declared = {v.name: v.dims for v in (*model.variables, *model.variables_ahead)}
    coords = model.coords(panel, evidence)
    lead = {dim: draws[dim].to_numpy() for dim in (CHAIN, DRAW)}
    found = {}
    for name, x in model.standardised(p, panel, evidence).items():
        if name in draws:
            continue
        dims = declared[name]
        values = x.reshape(draws.sizes[CHAIN], draws.sizes[DRAW], *x.shape[1:])
        values.flags.writeable = False
        found[name] = xr.DataArray(values, lead | {d: coords[d] for d in dims}, (CHAIN, DRAW, *dims))
    return found

"""Draws whose factors are turned to one orientation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bdfm.inference.align import align
from bdfm.model.equations import Equations
from bdfm.model.part import Turn
from bdfm.names import CHAIN, DRAW, FACTOR, FACTOR_SCALE, FACTORS, LOADINGS


def turned_draws(draws: xr.Dataset, model: Equations, turns: Mapping[str, str]) -> xr.Dataset:
    """Draws (chain, draw, ...) with every variable that has a factor dim turned alike; see ``aligned``.

    ``turns``: how variables that the model does not know follow. Factors with variables of their own, such as
    a volatility each, change places and signs only: a rotation would mix what belongs to each.
    """
    names = (LOADINGS, FACTORS, FACTOR_SCALE)
    how_by_name = {v.name: v.turn for v in (*model.variables, *model.variables_ahead)}
    how_by_name |= {name: Turn[how.upper()] for name, how in turns.items()}
    rotate = not {Turn.ORDER, Turn.SIGN} & set(how_by_name.values())
    result = align(*(draws[n].transpose(CHAIN, DRAW, ...).to_numpy() for n in names), rotate=rotate)
    turned = dict(zip(names, (result.loadings, result.factors, result.factor_scale), strict=True))
    # Whatever multiplies the factors from the left turns by the inverse.
    back = np.linalg.inv(result.factor_map).swapaxes(-1, -2)
    rotation = result.rotation
    for name, turn in how_by_name.items():
        if turn is None or name in turned or name not in draws:
            continue
        if turn is Turn.BOTH:
            matrix = draws[name].transpose(CHAIN, DRAW, ...).to_numpy()
            turned[name] = rotation.swapaxes(-1, -2) @ matrix @ rotation
            continue
        by = {
            Turn.FACTORS: result.factor_map,
            Turn.LOADINGS: back,
            Turn.STANDARD: rotation,
            Turn.ORDER: np.abs(rotation),
            Turn.SIGN: rotation,
        }[turn]
        values = draws[name].transpose(CHAIN, DRAW, ..., FACTOR)
        x = values.to_numpy()
        rows = x.reshape(*x.shape[:2], -1, x.shape[-1]) @ by
        turned[name] = values.copy(data=rows.reshape(x.shape)).transpose(*draws[name].dims).to_numpy()
    new = {n: (draws[n].transpose(CHAIN, DRAW, ...).dims, x) for n, x in turned.items()}
    # Standardised variables without a turn are made anew.
    without = {n for n, turn in how_by_name.items() if turn is None and n.endswith("_z")}
    stale = [n for n, x in draws.data_vars.items() if n in without and FACTOR in x.dims]
    return draws.drop_vars(stale).assign(new)

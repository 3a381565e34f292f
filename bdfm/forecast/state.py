"""The state of a forecast: weighted draws of labelled assets, as edits and views find and leave it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bdfm import _blocks, _checks, _labels
from bdfm._reading import counted, short
from bdfm.errors import DataError
from bdfm.forecast.columns import GIVE_SIMPLE, Floats, check_no_gross_returns, check_returns
from bdfm.forecast.entropy import effective_number
from bdfm.forecast.ranks import normalised_weights, quantile_probabilities
from bdfm.names import ASSET, DRAW


def single(values: ArrayLike) -> NDArray[np.float32]:
    """Copy in single precision; what is too large for it becomes infinite, which the checks refuse."""
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float32, order="C")


def _single(values: NDArray[Any]) -> NDArray[np.float32]:
    """The same of an array (draw, asset), in memory or in a file as the budget allows."""
    out = _blocks.empty(*values.shape)
    for here in _blocks.blocks(out, values):
        out[here] = single(values[here])
    return out


@dataclass(frozen=True, eq=False)
class State:
    """Immutable weighted draws of labelled assets; each change gives a new one.

    Attributes
    ----------
    returns
        (draw, asset) simple returns over the horizon, decimal, single precision.
    weights
        (draw,), sum to 1.
    assets, asset_class, names
        Symbol, class and name of each asset.
    events
        Number of edits so far that used random numbers, by symbol, as far as an edit is told.
    """

    returns: NDArray[np.float32]
    weights: Floats
    assets: tuple[str, ...]
    asset_class: tuple[str, ...]
    names: tuple[str, ...]
    events: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        returns: ArrayLike | xr.DataArray,
        assets: Sequence[str],
        asset_class: Sequence[str],
        *,
        names: Sequence[str] | None,
        weights: ArrayLike | None,
        take_over: bool = False,
    ) -> State:
        """State of draws of any source, see ``Forecast.from_draws``; raises ``DataError`` where unusable."""
        where = "forecast"
        labels = _labels.names_of(assets, what="assets", where=where)
        classes = _labels.names_of(asset_class, what="asset_class", where=where, of=labels)
        if isinstance(returns, xr.DataArray):
            returns = _in_order(returns, labels)
        else:
            _labels.in_order(returns, labels, axis=1, what="draws", where=where)
        raw = _numbers(returns, where=where)
        if raw.ndim != 2 or raw.shape[0] < 1 or raw.shape[1] != len(labels):
            raise DataError(f"{where}: draws have shape {raw.shape}, expected (draw, {len(labels)} assets).")
        if len(labels) < 2:
            raise DataError(f"{where}: {len(labels)} asset given. Ranks need at least 2.")
        _checks.unique(labels, what="symbol", where=where, hint="Keep one column of each.")
        titles = labels
        if names is not None:
            titles = _labels.titles_of(names, where=where, of=labels)
        for what, given in (("asset classes", classes), ("names", titles)):
            if len(given) != len(labels):
                raise DataError(
                    f"{where}: {len(given)} {what} for {counted(len(labels), 'asset')}. Give one for each."
                )
        ready = take_over and raw.dtype == np.float32 and raw.flags.c_contiguous
        draws = raw if ready else _single(raw)
        check_returns(draws, labels, where=where, remedy=GIVE_SIMPLE)
        check_no_gross_returns(draws, where=where, remedy=GIVE_SIMPLE)
        shares = normalised_weights(weights, len(raw), where=where, of=returns)
        return cls(draws, shares, labels, classes, titles)

    def __post_init__(self) -> None:
        self.returns.flags.writeable = False
        self.weights.flags.writeable = False

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Copies and other processes get arrays that NumPy makes writeable again.
        self.__dict__.update(state)
        self.__post_init__()

    def column(self, symbol: str, *, where: str) -> Floats:
        """Returns (draw,) of one asset in double precision."""
        self.known([symbol], where=where)
        return _blocks.column(self.returns, self.assets.index(symbol)).astype(np.float64)

    def known(self, symbols: Iterable[str], *, where: str) -> None:
        """Raise ``UnknownLabelError`` unless all symbols are assets."""
        _checks.known(symbols, self.assets, what="asset", where=where)

    @property
    def effective_draws(self) -> float:
        """Effective number of draws, 1 / Σ weight²."""
        return effective_number(self.weights)

    @cached_property
    def weights_unless_equal(self) -> Floats | None:
        """Weights (draw,); None where all are equal, the faster and exact special case of ranks."""
        return None if self.weights.min() == self.weights.max() else self.weights

    def probabilities(self, n_quantiles: int) -> Floats:
        """Probability (asset, quantile) of each quantile, lowest first; ranked once, then remembered."""
        if n_quantiles not in self.ranked:
            found = quantile_probabilities(
                self.returns, n_quantiles=n_quantiles, weights=self.weights_unless_equal
            )
            found.flags.writeable = False
            self.ranked[n_quantiles] = found
        return self.ranked[n_quantiles]

    @cached_property
    def ranked(self) -> dict[int, Floats]:
        """Probabilities known so far, by number of quantiles."""
        return {}

    def with_ranks(self, ranked: dict[int, Floats]) -> State:
        """The same state, which knows and keeps its probabilities in ``ranked``."""
        state = replace(self)
        state.__dict__["ranked"] = ranked
        return state

    def with_returns(self, symbols: Collection[str], returns: NDArray[np.float32]) -> State:
        """State in which some assets have the returns (draw,)."""
        draws = _blocks.copied(self.returns)
        places = [self.assets.index(s) for s in symbols]
        for here in _blocks.blocks(draws):
            draws[here, places] = returns[here, None]
        return replace(self, returns=draws)

    def with_weights(self, weights: Floats) -> State:
        """State with other weights (draw,) that sum to 1; the same state where they are the same array."""
        return self if weights is self.weights else replace(self, weights=weights)

    def without(self, symbols: Collection[str]) -> State:
        """State without some assets."""
        keep = [i for i, a in enumerate(self.assets) if a not in symbols]
        return State(
            _blocks.copied(self.returns, np.array(keep)),
            self.weights,
            tuple(self.assets[i] for i in keep),
            tuple(self.asset_class[i] for i in keep),
            tuple(self.names[i] for i in keep),
        )


def _in_order(returns: xr.DataArray, labels: tuple[str, ...]) -> xr.DataArray:
    if set(returns.dims) != {DRAW, ASSET}:
        raise DataError(f"forecast: draws have dims {returns.dims}, expected ({DRAW}, {ASSET}).")
    returns = returns.transpose(DRAW, ASSET)
    _labels.in_order(returns, labels, axis=1, what="draws", where="forecast")
    return returns


def _numbers(returns: object, *, where: str) -> NDArray[Any]:
    """Draws as an array of real numbers, masked ones as NaN; ``DataError`` where they are none."""
    if isinstance(returns, np.ma.MaskedArray):
        returns = np.ma.filled(returns.astype(np.float64), np.nan)
    try:
        raw = np.asarray(returns)
        if raw.dtype == object and raw.ndim:
            raw = raw.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{where}: draws are no table of numbers ({str(error)[:100]}). Give (draw, asset)."
        ) from error
    if raw.dtype.kind not in "fiu":
        raise DataError(
            f"{where}: draws are of type {short(raw.dtype)}, expected real numbers (draw, asset)."
        )
    return raw

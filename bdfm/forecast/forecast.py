"""Forecast: weighted draws of the assets' joint return over the horizon, with the records of what was done.

Whatever made the draws, this is what ranks, scores, decisions and reports accept. It holds and does not act:
edits (``edits``) change draws, views (``views``) change weights, and neither touches the other; each gives a
new forecast with a record of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, override

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bdfm import _blocks, _checks, _files, _folders, _memory, _sealed
from bdfm._html import opening
from bdfm._netcdf import lacking
from bdfm._no_array import NoArray
from bdfm._reading import counted
from bdfm._strict import strict
from bdfm.errors import DataError, FileError, UnknownLabelError
from bdfm.forecast import effects, pictures, submission
from bdfm.forecast.actions import Actions
from bdfm.forecast.base import Base, checksum, make_anew
from bdfm.forecast.contents import ROUNDED, day_of, known_probabilities, labels_of, positions, values_of
from bdfm.forecast.ranks import moments, weighted_quantiles
from bdfm.forecast.records import Record
from bdfm.forecast.state import State
from bdfm.forecast.submission import N_RANKS as N_RANKS
from bdfm.names import ASSET, CLASS_OF, DRAW, FORECAST_FILE, NAME, QUANTILE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AttrValue = str | int | float
CLOSES: Final = "closes"


@dataclass(frozen=True, eq=False, repr=False)
class Forecast(Actions, NoArray):
    """Immutable joint forecast of simple returns; made by ``from_draws``, ``load``, edits and views.

    Attributes
    ----------
    assets, asset_class, names
        Symbol, class and name of each asset.
    origin
        Date on which the forecast is made: nothing later was known.
    end
        Last day of the forecast span; returns run from the last close at the origin to the last at the end.
    records
        Edits and views so far, oldest first; ``history`` gives them as a table.

    Notes
    -----
    Draws are held in single precision: its error of 6e-8 is far below Monte Carlo error, 100 assets in
    100,000 draws take 40 MB (24 in a file), and because memory and file hold
    the same numbers a loaded forecast gives the same probabilities to the last digit. Summaries are
    computed in double precision. Draws are ranked once: table, submission and picture share the result.

    Examples
    --------
    >>> import bdfm
    >>> forecast = bdfm.Forecast.from_draws(
    ...     [[0.01, 0.03], [-0.02, 0.01], [0.04, 0.00]],
    ...     assets=["A", "B"],
    ...     asset_class=["stock", "stock"],
    ...     origin="2022-02-04",
    ...     end="2022-03-04",
    ... )
    >>> forecast.n_draws
    3
    >>> forecast.zero("A").draws.sel(asset="A").to_numpy()
    array([0., 0., 0.], dtype=float32)
    """

    _in_its_place = (
        "Give its draws, forecast.draws (draw, asset), which count by forecast.weights. ArviZ takes"
        ' posterior.to_datatree("predictions").'
    )

    origin: pd.Timestamp
    end: pd.Timestamp
    _attrs: tuple[tuple[str, AttrValue], ...]
    _posterior_draw: NDArray[np.int64] | None  # (draw,)
    _base: Base | None = None  # the draws as they were made, where they can be made anew

    def __post_init__(self) -> None:
        if self._posterior_draw is not None:
            self._posterior_draw.flags.writeable = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    @classmethod
    @strict
    def from_draws(
        cls,
        returns: ArrayLike | xr.DataArray,
        *,
        assets: Sequence[str],
        asset_class: Sequence[str],
        origin: str | pd.Timestamp,
        end: str | pd.Timestamp,
        weights: ArrayLike | None = None,
        names: Sequence[str] | None = None,
        attrs: Mapping[str, AttrValue] | None = None,
        posterior_draw: ArrayLike | None = None,
        take_over: bool = False,
    ) -> Forecast:
        """Forecast from draws of any source.

        Parameters
        ----------
        returns
            (draw, asset) simple returns from the origin to ``end``, decimals, not below -1. A DataArray must
            have exactly ``assets``, in that order.
        assets, asset_class, names
            Symbol, class and name of each asset; names are the symbols unless given.
        origin, end
            Date of the forecast, and the last day of its span.
        weights
            (draw,), not negative, of any sum; ``None`` for equal ones.
        attrs
            Facts to keep with the forecast: texts and numbers.
        posterior_draw
            (draw,) position of the posterior draw that each draw came from, from 0 on.
        take_over
            Whether ``returns``, an array in single precision that nobody changes any more, is used as it is
            and made read-only; by default it is copied.

        Raises
        ------
        DataError
            Shapes, labels, dates, weights or values that cannot be used.
        """
        state = State.of(returns, assets, asset_class, names=names, weights=weights, take_over=take_over)
        start, stop = (
            _checks.as_date(d, where=f"forecast: {n}") for d, n in ((origin, "origin"), (end, "end"))
        )
        if stop <= start:
            raise DataError(f"forecast: it ends on {stop:%Y-%m-%d}, not after its origin {start:%Y-%m-%d}.")
        index = None if posterior_draw is None else positions(posterior_draw, len(state.weights))
        facts = tuple((str(k), _plain(v, str(k))) for k, v in (attrs or {}).items())
        return cls(state, (), (), start, stop, facts, index)

    # -- contents --------------------------------------------------------------------------------------

    @property
    def assets(self) -> tuple[str, ...]:
        """Symbol of each asset."""
        return self._state.assets

    @property
    def asset_class(self) -> tuple[str, ...]:
        """Class of each asset."""
        return self._state.asset_class

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each asset."""
        return self._state.names

    @property
    def n_draws(self) -> int:
        """Number of draws."""
        return len(self._state.returns)

    @property
    def draws(self) -> xr.DataArray:
        """Simple returns (draw, asset) over the horizon, decimal, read-only; with class and name by asset."""
        coords: dict[str, Any] = {
            DRAW: np.arange(self.n_draws),
            ASSET: list(self.assets),
            CLASS_OF: (ASSET, list(self.asset_class)),
            NAME: (ASSET, list(self.names)),
        }
        if self._posterior_draw is not None:
            coords["posterior_draw"] = (DRAW, self._posterior_draw)
        return xr.DataArray(self._state.returns.view(), dims=(DRAW, ASSET), coords=coords, name="returns")

    @property
    def weights(self) -> xr.DataArray:
        """Weights (draw), read-only; they sum to 1."""
        coords = {DRAW: np.arange(self.n_draws)}
        return xr.DataArray(self._state.weights.view(), dims=(DRAW,), coords=coords, name="weights")

    @property
    def effective_draws(self) -> float:
        """Effective number of draws, 1 / Σ weight²: all of them while weights are equal."""
        return self._state.effective_draws

    @property
    def attrs(self) -> dict[str, AttrValue]:
        """Facts kept with the forecast (a copy)."""
        return dict(self._attrs)

    @property
    @override
    def closes(self) -> pd.Series[float] | None:
        text = self.attrs.get(CLOSES)
        return None if text is None else pd.Series(json.loads(str(text)), dtype=float)

    def with_closes(self, closes: Mapping[str, float] | pd.Series[float]) -> Forecast:
        """Forecast that knows the close of each symbol at the origin: edits take it, or are checked by it."""
        return self.with_attrs(**{CLOSES: json.dumps({str(k): float(x) for k, x in closes.items()})})

    def with_attrs(self, **attrs: AttrValue) -> Forecast:
        """Forecast with further facts kept with it, texts and numbers; equal names are replaced."""
        new = self.attrs | {k: _plain(v, k) for k, v in attrs.items()}
        return replace(self, _attrs=tuple(new.items()))

    def history(self) -> pd.DataFrame:
        """Edits and views so far, one row each, oldest first: kind, symbols, parameters, text."""
        columns = ["kind", "symbols", "parameters", "text"]
        rows = [[r.kind, ", ".join(r.symbols), dict(r.parameters), r.text] for r in self.records]
        return pd.DataFrame(rows, columns=columns, dtype=object)

    def effects(self) -> pd.DataFrame:
        """What each edit and view did, by change and symbol: measures before and after it.

        Columns: change (position in ``history``, from 1), text, symbol, effective_draws, and median, sd, P1
        and P5 with ``_before`` and ``_after``. Worked out at the first call, about 2 s a change for 600,000
        draws of 100 assets, and kept in files. Evidence inside the model has no rows.
        """
        return effects.table(self._told)

    # -- results ---------------------------------------------------------------------------------------

    @strict
    def quantile_probabilities(self, n_quantiles: int = N_RANKS) -> xr.DataArray:
        """Probability (asset, quantile) that an asset ranks in each quantile; quantile 1 is the lowest."""
        values = self._state.probabilities(n_quantiles).copy()
        coords = {ASSET: list(self.assets), QUANTILE: np.arange(1, n_quantiles + 1)}
        return xr.DataArray(values, dims=(ASSET, QUANTILE), coords=coords, name="probability")

    def summary(self) -> pd.DataFrame:
        """One row per asset: name, class, mean, sd and 5, 50, 95 % quantiles of its return, P1 to P5.

        Returns are simple, over the horizon, as decimals; P1 is the probability of the lowest fifth.
        """
        return self._summary.copy()

    @cached_property
    def _summary(self) -> pd.DataFrame:
        state = self._state
        mean, sd = moments(state.returns, state.weights)
        low, median, high = weighted_quantiles(state.returns, [0.05, 0.5, 0.95], state.weights_unless_equal)
        table = pd.DataFrame(
            {
                "name": self.names,
                "asset_class": self.asset_class,
                "mean": mean,
                "sd": sd,
                "5%": low,
                "50%": median,
                "95%": high,
            },
            index=pd.Index(self.assets, name="symbol"),
        )
        return table.assign(**{f"P{k}": p for k, p in enumerate(state.probabilities(N_RANKS).T, 1)})

    @strict
    def plot_quantiles(self, *, n_quantiles: int = N_RANKS) -> Figure:
        """Heatmap of quantile probabilities, see ``pictures.heat_map``."""
        return pictures.heat_map(
            self._state.probabilities(n_quantiles),
            assets=self.assets,
            asset_class=self.asset_class,
            title=f"Quantile of return, 1 lowest: {self.origin:%Y-%m-%d} to {self.end:%Y-%m-%d}",
        )

    def __repr__(self) -> str:
        equal = self._state.weights_unless_equal is None
        weighted = "" if equal else f" ({self.effective_draws:,.0f} effective)"
        changes = f", {counted(len(self.records), 'change')}" if self.records else ""
        return (
            f"<Forecast {self.origin:%Y-%m-%d} to {self.end:%Y-%m-%d}: {counted(len(self.assets), 'asset')},"
            f" {counted(self.n_draws, 'draw')}{weighted}{changes}>"
        )

    def _repr_html_(self) -> str:
        table = self.summary()
        percent = {c: "{:.1%}".format for c in table.columns[2:]}
        return opening(self, (r.text for r in self.records), ordered=True) + table.to_html(
            formatters=percent, max_rows=30, escape=True, border=0
        )

    # -- files -----------------------------------------------------------------------------------------

    def to_submission(self, decisions: Mapping[str, float] | pd.Series[float] | None = None) -> pd.DataFrame:
        """Table of an M6 submission: ID, Rank1 to Rank5 (Rank1 the lowest fifth), Decision; 5 decimals.

        Parameters
        ----------
        decisions
            Portfolio weight by symbol; assets not named hold none. The absolute weights sum to between 0.25
            and 1. ``None``: equal weights that sum to 0.25, the least risk that the rules allow.

        Raises
        ------
        UnknownLabelError
            A decision for an asset that the forecast does not have.
        DataError
            A decision that is no finite number, or a sum out of bounds.
        """
        return submission.submission(self._state.probabilities(N_RANKS), self.assets, decisions)

    def write_submission(
        self, path: str | Path, decisions: Mapping[str, float] | pd.Series[float] | None = None
    ) -> Path:
        """Write ``to_submission(decisions)`` as CSV; returns the path, ``FileError`` where impossible."""
        _files.write_text(path, submission.to_csv(self.to_submission(decisions)))
        return Path(path)

    @strict
    def with_base(self, maker: str, how: Mapping[str, Any]) -> Forecast:
        """Forecast whose draws can be made anew (``bdfm.forecast.base``); ``how`` holds JSON values."""
        return replace(self, _base=Base(self._state.returns, self.assets, maker, how))

    def save(self, path: str | Path, *, made_from: str | Path | None = None) -> Path:
        """Write the forecast, its records and their effects as one NetCDF file; returns the path.

        Parameters
        ----------
        path
            File to write.
        made_from
            File of the posterior that made the draws, in the same folder. With it only draws that edits
            changed are written: the others are made anew when the file is loaded, to the last digit. A
            forecast loaded from such a file is saved in the same way beside the same posterior, and whole
            anywhere else.

        Raises
        ------
        FileError
            The file cannot be written.
        """
        path, base = _checks.path_of(path), self._base
        if base is not None and made_from is not None:
            base = base.at(_checks.path_of(made_from, what="made_from"))
        reference = None if base is None else base.reference(path.parent)
        draws = self.draws
        extra: dict[str, Any] = {}
        if base is not None and reference is not None:
            kept = np.array(base.unchanged(self._state.returns, self.assets))
            same = np.flatnonzero(kept)
            # All probabilities known: who loads the file need not rank again.
            extra = {
                "made_anew": (ASSET, kept),
                "probabilities": ((ASSET, QUANTILE), self._state.probabilities(N_RANKS)),
                "made_from": ((), json.dumps(reference | {"checksum": checksum(self._state.returns, same)})),
            }
            changed = np.empty((self.n_draws, int((~kept).sum())), dtype=np.float32)
            for here in _blocks.blocks(self._state.returns):
                changed[here] = self._state.returns[here][:, ~kept]
            dataset = xr.Dataset(
                {"returns": ((DRAW, "changed_asset"), changed), **extra},
                coords={k: draws.coords[k] for k in (ASSET, CLASS_OF, NAME)},
            )
        else:
            dataset = draws.to_dataset(name="returns")
        dataset = dataset.assign(
            weights=(DRAW, self._state.weights),
            # Variables, not attributes: HDF5 holds no attribute above 64 kB.
            records=((), json.dumps([r.to_dict() for r in self._told])),
            attrs=((), json.dumps(self.attrs)),
        )
        dataset.attrs = {"origin": self.origin.isoformat(), "end": self.end.isoformat()}
        return _sealed.save_dataset(dataset, path, kind="forecast")

    @classmethod
    @strict
    def load(cls, path: str | Path, *, memory: str | int | None = None) -> Forecast:
        """Forecast of a file made by ``save``, with its records.

        ``memory``: a budget, as of ``Posterior.forecast``, whose draws these may be.

        Raises
        ------
        FileError
            The file is missing, damaged, no forecast, or written by a newer release; or its draws are made
            anew from a file that is missing or another one.
        """
        with _memory.within(memory):
            return cls._loaded(_folders.file_in(path, FORECAST_FILE))

    @classmethod
    def _loaded(cls, path: Path) -> Forecast:
        dataset = _sealed.load_dataset(path, kind="forecast")
        try:
            base, index = None, dataset.get("posterior_draw")
            if "made_from" in dataset:
                base, returns, index = _with_draws_made_anew(dataset, path)
            else:
                returns = values_of(dataset, "returns", DRAW, ASSET)
            forecast = cls.from_draws(
                returns,
                assets=labels_of(dataset, ASSET),
                asset_class=labels_of(dataset, CLASS_OF),
                names=labels_of(dataset, NAME),
                origin=day_of(dataset, "origin"),
                end=day_of(dataset, "end"),
                attrs=_table_of(dataset["attrs"].item()),
                posterior_draw=None if index is None else index.values,
                take_over=True,
            )
            records = tuple(Record.from_dict(r) for r in json.loads(dataset["records"].item()))
            # Weights as saved: dividing by their sum once more could change the last digit.
            weights = np.array(values_of(dataset, "weights", DRAW), dtype=np.float64)
            if not (np.isfinite(weights).all() and (weights >= 0).all() and abs(weights.sum() - 1) < 1e-6):
                raise ValueError("its weights do not sum to 1")
            if abs(weights.sum() - 1) > ROUNDED:  # of a file in single precision
                weights = weights / weights.sum()
            state = forecast._state.with_weights(weights)
            if {"made_from", "probabilities"} <= set(dataset):
                known = known_probabilities(dataset)
                state = state.with_ranks({N_RANKS: known})
            return replace(forecast, _state=state, records=records, _base=base)
        except UnknownLabelError as error:  # a part of the reader's own, whose module is not imported
            raise FileError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            told = lacking(error) if isinstance(error, KeyError) else error
            raise FileError(
                f"{path}: the forecast in this file is incomplete ({told}). Save it again."
            ) from error


def _with_draws_made_anew(
    dataset: xr.Dataset, path: Path
) -> tuple[Base | None, NDArray[np.float32], xr.DataArray | None]:
    """Base, returns (draw, asset) and posterior draws of a file that holds only what edits changed."""
    reference = json.loads(dataset["made_from"].item())
    made: Forecast = make_anew(reference, path)
    at = {a: j for j, a in enumerate(made.assets)}
    assets = labels_of(dataset, ASSET)
    kept = dataset["made_anew"].values
    source = [at[a] for a, k in zip(assets, kept, strict=True) if k]
    returns = made._state.returns
    if list(made.assets) != assets or not kept.all():
        returns = _blocks.empty(made.n_draws, len(assets))
        changed = values_of(dataset, "returns", DRAW, "changed_asset")
        for here in _blocks.blocks(returns, made._state.returns):
            returns[here, kept] = made._state.returns[here][:, source]
            returns[here, ~kept] = changed[here]
    if checksum(returns, np.flatnonzero(kept)) != reference["checksum"]:
        raise FileError(
            f"{path}: {reference['file']} does not make the draws that this forecast had: it is of another"
            " fit, or of other versions of packages. Make the month again; keep_draws = true writes them all."
        )
    base = None if made._base is None else made._base.at(path.parent / str(reference["file"]))
    index = made.draws.coords.get("posterior_draw")
    return base, returns, index


def _plain(value: object, name: str) -> AttrValue:
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, str | int | float):
        raise DataError(f"forecast: attrs[{name!r}] is a {type(value).__name__}. Give a text or a number.")
    return value


def _table_of(text: object) -> dict[str, AttrValue]:
    """Facts of a text of JSON; ``ValueError`` where it holds something else than a table."""
    found = json.loads(str(text))
    if not isinstance(found, dict):
        raise ValueError(f"its attrs are a {type(found).__name__}, not a table")
    return found

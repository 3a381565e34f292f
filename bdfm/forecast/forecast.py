"""Forecast: weighted draws of the assets' joint return over the horizon, edited and ranked.

Whatever made the draws, this is what ranks, scores, decisions and reports accept. Edits change draws,
views change weights, and neither touches the other; each change gives a new forecast with a record of it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bdfm import _checks, _files
from bdfm._html import opening
from bdfm.errors import DataError, DataWarning, FileError
from bdfm.forecast import edits, weigh
from bdfm.forecast.edits import Distribution, Record
from bdfm.forecast.entropy import effective_number
from bdfm.forecast.ranks import normalised_weights, quantile_probabilities, weighted_quantiles
from bdfm.forecast.views import View
from bdfm.names import ASSET, CLASS_OF, DRAW, NAME, QUANTILE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
AttrValue = str | int | float

N_RANKS: Final = 5  # quintiles of a submission
RANKS: Final = tuple(f"Rank{k}" for k in range(1, N_RANKS + 1))
SUBMISSION_COLUMNS: Final = ("ID", *RANKS, "Decision")
MIN_EXPOSURE: Final = 0.25  # bounds of the sum of absolute decisions
MAX_EXPOSURE: Final = 1.0
_UNITS: Final = 100_000  # a submission has 5 decimals

_GIVE_SIMPLE = "Give simple returns as decimals: exp(log return) - 1, 0.01 for 1 %."


def _locked(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False, repr=False)
class Forecast:
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
    100,000 draws take 40 MB (36 MB in a file, half of double precision), and because memory and file hold
    the same numbers a loaded forecast gives the same probabilities to the last digit. Summaries are
    computed in double precision.
    """

    _draws: NDArray[np.float32]  # (draw, asset)
    _weights: Floats  # (draw,), sum to 1
    assets: tuple[str, ...]
    asset_class: tuple[str, ...]
    names: tuple[str, ...]
    origin: pd.Timestamp
    end: pd.Timestamp
    records: tuple[Record, ...]
    _attrs: tuple[tuple[str, AttrValue], ...]
    _posterior_draw: NDArray[np.int64] | None  # (draw,)

    def __post_init__(self) -> None:
        self._lock()

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Copies and other processes get arrays that NumPy makes writeable again.
        self.__dict__.update(state)
        self._lock()

    def _lock(self) -> None:
        _locked(self._draws)
        _locked(self._weights)
        if self._posterior_draw is not None:
            _locked(self._posterior_draw)

    @classmethod
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
            (draw,) position of the posterior draw that each draw came from.

        Raises
        ------
        DataError
            Shapes, labels, dates, weights or values that cannot be used.
        """
        where = "forecast"
        labels = tuple(str(a) for a in assets)
        if isinstance(returns, xr.DataArray):
            returns = _values_of(returns, labels)
        raw = np.asarray(returns)
        if raw.ndim != 2 or raw.shape[0] < 1 or raw.shape[1] != len(labels):
            raise DataError(f"{where}: draws have shape {raw.shape}, expected (draw, {len(labels)} assets).")
        if len(labels) < 2:
            raise DataError(f"{where}: {len(labels)} asset given. Ranks need at least 2.")
        _checks.unique(labels, what="symbols", where=where, hint="Keep one column of each.")
        classes = tuple(str(c) for c in asset_class)
        titles = labels if names is None else tuple(str(n) for n in names)
        for what, given in (("asset classes", classes), ("names", titles)):
            if len(given) != len(labels):
                raise DataError(f"{where}: {len(given)} {what} for {len(labels)} assets. Give one for each.")
        draws = _single(raw)
        edits.check_returns(draws, labels, where=where, remedy=_GIVE_SIMPLE)
        start, stop = (
            _checks.as_date(d, where=f"{where}: {n}") for d, n in ((origin, "origin"), (end, "end"))
        )
        if stop <= start:
            raise DataError(f"{where}: it ends on {stop:%Y-%m-%d}, not after its origin {start:%Y-%m-%d}.")
        index = None
        if posterior_draw is not None:
            index = np.array(posterior_draw, dtype=np.int64)
            if index.shape != (len(raw),):
                raise DataError(f"{where}: posterior_draw has shape {index.shape}, expected ({len(raw)},).")
        return cls(
            draws,
            normalised_weights(weights, len(raw), where=where),
            labels,
            classes,
            titles,
            start,
            stop,
            (),
            tuple((str(k), _plain(v, str(k))) for k, v in (attrs or {}).items()),
            index,
        )

    # Contents

    @property
    def n_draws(self) -> int:
        """Number of draws."""
        return len(self._draws)

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
        return xr.DataArray(self._draws.view(), dims=(DRAW, ASSET), coords=coords, name="returns")

    @property
    def weights(self) -> xr.DataArray:
        """Weights (draw), read-only; they sum to 1."""
        coords = {DRAW: np.arange(self.n_draws)}
        return xr.DataArray(self._weights.view(), dims=(DRAW,), coords=coords, name="weights")

    @property
    def effective_draws(self) -> float:
        """Effective number of draws, 1 / Σ weight²: all of them while weights are equal."""
        return effective_number(self._weights)

    @property
    def attrs(self) -> dict[str, AttrValue]:
        """Facts kept with the forecast (a copy)."""
        return dict(self._attrs)

    def with_attrs(self, **attrs: AttrValue) -> Forecast:
        """Forecast with further facts kept with it, texts and numbers; equal names are replaced."""
        new = self.attrs | {k: _plain(v, k) for k, v in attrs.items()}
        return replace(self, _attrs=tuple(new.items()))

    def history(self) -> pd.DataFrame:
        """Edits and views so far, one row each, oldest first: kind, symbols, parameters, text."""
        columns = ["kind", "symbols", "parameters", "text"]
        rows = [[r.kind, ", ".join(r.symbols), dict(r.parameters), r.text] for r in self.records]
        return pd.DataFrame(rows, columns=columns, dtype=object)

    @property
    def _weights_unless_equal(self) -> Floats | None:
        # Equal weights are the faster and exact special case of ranks and quantiles.
        return None if self._weights.min() == self._weights.max() else self._weights

    def _column(self, symbol: str, where: str) -> Floats:
        return self._draws[:, self._position(symbol, where)].astype(np.float64)

    def _position(self, symbol: str, where: str) -> int:
        _checks.known([symbol], self.assets, what="asset", where=where)
        return self.assets.index(symbol)

    # Edits

    def _edited(self, column: Floats, record: Record, remedy: str = "") -> Forecast:
        """Forecast in which the assets of ``record`` have the returns ``column`` (draw,)."""
        where = f"{record.kind} {_checks.first(record.symbols)}"
        new = _single(column[:, None])
        edits.check_returns(new, ["the result"], where=where, remedy=remedy)
        draws = self._draws.copy()
        draws[:, [self._position(s, where) for s in record.symbols]] = new
        return replace(self, _draws=draws, records=(*self.records, record))

    def zero(self, *symbols: str) -> Forecast:
        """Forecast in which delisted assets return zero in every draw.

        Such an asset is not in the middle quantile for sure: the others move around it. Several of them tie
        and share their quantile slots.
        """
        _some(symbols, "zero")
        record = Record.of("zero", symbols, f"{', '.join(symbols)}: return set to zero in every draw.")
        return self._edited(np.zeros(self.n_draws), record)

    def set_return(self, symbol: str, value: float) -> Forecast:
        """Forecast in which an asset has one return in every draw, as when it is bought for cash.

        ``value``: simple return from the origin's close to the offer price, above -1.
        """
        value = _checks.finite(value, what="the return", where=f"set_return {symbol}")
        if value <= edits.TOTAL_LOSS:
            raise DataError(f"set_return {symbol}: a return must be above -1, got {value:g}. {_GIVE_SIMPLE}")
        record = Record.of("set_return", (symbol,), f"{symbol}: return set to {value:.4%}.", value=value)
        return self._edited(np.full(self.n_draws, value), record)

    def acquired_for_cash(
        self, symbol: str, *, offer: float, price: float, probability: float = 1.0, seed: int = 0
    ) -> Forecast:
        """Forecast in which an asset is bought for cash.

        Parameters
        ----------
        symbol
            The asset.
        offer, price
            Offer for a share and close at the origin, in one currency; the return is offer / price - 1.
        probability
            That the deal closes, or that the price stands at the offer, by the end of the span; in the other
            draws, chosen at random and independently of all returns, the asset keeps its own return.
        seed
            For the choice of draws. The share of their weights is ``probability`` to within one draw.
        """
        where = f"acquired_for_cash {symbol}"
        offer = _checks.positive(offer, what="offer", where=where)
        price = _checks.positive(price, what="price", where=where)
        closed = self._closed(symbol, probability, seed, where)
        value = edits.offer_return(offer, price)
        text = f"{symbol}: bought for cash at {offer:g}, {value:+.4%} from {price:g}{_chance(probability)}."
        record = Record.of(
            "acquired_for_cash", (symbol,), text, offer=offer, price=price, probability=probability, seed=seed
        )
        return self._edited(np.where(closed, value, self._column(symbol, where)), record)

    def acquired_for_stock(
        self,
        symbol: str,
        acquirer: str,
        *,
        ratio: float,
        price: float,
        acquirer_price: float,
        cash: float = 0.0,
        spread: float = 0.0,
        probability: float = 1.0,
        seed: int = 0,
    ) -> Forecast:
        """Forecast in which an asset is bought for shares of another, and moves with it.

        Parameters
        ----------
        symbol, acquirer
            The asset and its buyer, which is in the forecast too.
        ratio, cash
            Shares of the buyer, and money, for one share of the asset.
        price, acquirer_price
            Closes at the origin, in one currency.
        spread
            How far below the offer's value the asset still trades at the end of the span, as a share of it;
            0 once the deal has closed. Negative where a higher bid is expected.
        probability, seed
            As in ``acquired_for_cash``.
        """
        where = f"acquired_for_stock {symbol}"
        if symbol == acquirer:
            raise DataError(f"{where}: an asset cannot buy itself. Name its buyer.")
        numbers = {
            "ratio": _checks.positive(ratio, what="ratio", where=where),
            "price": _checks.positive(price, what="price", where=where),
            "acquirer_price": _checks.positive(acquirer_price, what="acquirer_price", where=where),
            "cash": _checks.finite(cash, what="cash", where=where),
            "spread": _checks.finite(spread, what="spread", where=where),
        }
        if numbers["cash"] < 0 or numbers["spread"] >= 1:
            raise DataError(
                f"{where}: cash must not be below 0 and spread must be below 1, got {numbers['cash']:g} and"
                f" {numbers['spread']:g}."
            )
        closed = self._closed(symbol, probability, seed, where)
        bought = edits.exchange_returns(self._column(acquirer, where), **numbers)
        value = edits.exchange_returns(np.zeros(1), **numbers)[0]
        text = (
            f"{symbol}: bought for {numbers['ratio']:g} {acquirer}"
            + (f" and {numbers['cash']:g} in cash" if numbers["cash"] else "")
            + f", worth {value:+.4%} today"
            + (f" at a spread of {numbers['spread']:.4%}" if numbers["spread"] else "")
            + f"{_chance(probability)}."
        )
        record = Record.of(
            "acquired_for_stock",
            (symbol,),
            text,
            acquirer=acquirer,
            **numbers,
            probability=probability,
            seed=seed,
        )
        return self._edited(np.where(closed, bought, self._column(symbol, where)), record)

    def halted(self, symbol: str, *, probability: float = 1.0, seed: int = 0) -> Forecast:
        """Forecast in which an asset's trading stays halted to the end of the span, with a probability.

        There its return is zero, the last price carried forward; in the other draws, chosen as in
        ``acquired_for_cash``, it keeps its own return.
        """
        where = f"halted {symbol}"
        halted = self._closed(symbol, probability, seed, where)
        text = f"{symbol}: trading halted to the end{_chance(probability)}, return zero there."
        record = Record.of("halted", (symbol,), text, probability=probability, seed=seed)
        return self._edited(np.where(halted, 0.0, self._column(symbol, where)), record)

    def suspended(self, asset_class: str) -> Forecast:
        """Forecast in which no asset of one class trades: all return zero, tie, and share their slots."""
        _checks.known([asset_class], list(dict.fromkeys(self.asset_class)), what="class", where="suspended")
        members = [a for a, c in zip(self.assets, self.asset_class, strict=True) if c == asset_class]
        text = f"Class {asset_class} suspended: return of {_checks.first(members)} set to zero in every draw."
        record = Record.of("suspended", members, text, asset_class=asset_class)
        return self._edited(np.zeros(self.n_draws), record)

    def _closed(self, symbol: str, probability: float, seed: int, where: str) -> NDArray[np.bool_]:
        """Draws in which what an edit speaks of happens."""
        self._position(symbol, where)
        probability = _checks.finite(probability, what="probability", where=where)
        if not 0 <= probability <= 1:
            raise DataError(f"{where}: a probability is within 0 and 1, got {probability:g}.")
        seed = _checks.at_least(seed, 0, what="seed", where=where)
        return edits.happens(probability, self._weights, seed=seed, symbol=symbol)

    def like(self, symbol: str, other: str, spread: float = 0.0) -> Forecast:
        """Forecast in which an asset returns what another does plus ``spread``, as when bought for stock.

        With a spread of zero the two tie in every draw and share their quantile slots.
        """
        where = f"like {symbol}"
        spread = _checks.finite(spread, what="spread", where=where)
        if symbol == other:
            raise DataError(f"{where}: an asset cannot follow itself. Name another one.")
        text = f"{symbol}: return set to that of {other}" + (f" {spread:+.4%}." if spread else ".")
        record = Record.of("like", (symbol,), text, other=other, spread=spread)
        return self._edited(self._column(other, where) + spread, record, "Use a spread nearer to zero.")

    def shift(self, symbol: str, by: float) -> Forecast:
        """Forecast in which ``by`` is added to every draw of an asset's simple return."""
        where = f"shift {symbol}"
        by = _checks.finite(by, what="the shift", where=where)
        record = Record.of("shift", (symbol,), f"{symbol}: return shifted by {by:+.4%}.", by=by)
        remedy = f"Cap the asset at lower={-1 - by:.4g} first, or shift less."
        return self._edited(self._column(symbol, where) + by, record, remedy)

    def scale(self, symbol: str, factor: float) -> Forecast:
        """Forecast in which an asset's distance from its median is multiplied by ``factor``, above 0."""
        where = f"scale {symbol}"
        factor = _checks.positive(factor, what="factor", where=where)
        column = self._column(symbol, where)
        scaled = edits.scale_about_median(column, factor, self._weights_unless_equal)
        median = float(weighted_quantiles(column, 0.5, self._weights_unless_equal))
        text = f"{symbol}: dispersion around its median scaled by {factor:g}."
        remedy = f"Cap the asset at lower={median - (1 + median) / factor:.4g} first, or scale less."
        return self._edited(scaled, Record.of("scale", (symbol,), text, factor=factor), remedy)

    def cap(self, symbol: str, lower: float | None = None, upper: float | None = None) -> Forecast:
        """Forecast in which an asset's return is held between ``lower`` and ``upper``; give one or both."""
        where = f"cap {symbol}"
        bounds = {"lower": lower, "upper": upper}
        given = {k: _checks.finite(v, what=k, where=where) for k, v in bounds.items() if v is not None}
        if not given:
            raise DataError(f"{where}: no bound given. Give lower, upper or both.")
        low, high = given.get("lower", -np.inf), given.get("upper", np.inf)
        if low >= high or high <= edits.TOTAL_LOSS:
            raise DataError(f"{where}: bounds {low:g} to {high:g} leave no room. Give -1 < lower < upper.")
        text = f"{symbol}: return capped, " + ", ".join(f"{k} {v:.4%}" for k, v in given.items()) + "."
        column = np.clip(self._column(symbol, where), low, high)
        return self._edited(column, Record.of("cap", (symbol,), text, **given))

    def replace(
        self, symbol: str, draws: ArrayLike | Distribution, *, keep_ranks: bool = False, seed: int = 0
    ) -> Forecast:
        """Forecast in which an asset's draws are replaced.

        Parameters
        ----------
        symbol
            The asset.
        draws
            (draw,) simple returns, one per draw, or a frozen ``scipy.stats`` distribution of them.
        keep_ranks
            False: draws are taken in the order given, or independently from the distribution, and the asset's
            dependence with all others is lost. True: the new values are given out by the rank of the old
            ones, so that the asset's rank dependence with the others is kept.
        seed
            For draws from a distribution, and for the order of equal draws under ``keep_ranks``. Assets
            replaced with one seed still get different random numbers.

        Raises
        ------
        UnknownLabelError
            No such asset.
        DataError
            Draws of another number, NaN, infinite or below -1.
        """
        where = f"replace {symbol}"
        column = self._column(symbol, where)
        seed = _checks.at_least(seed, 0, what="seed", where=where)
        source = "array"
        quantile: Callable[[Floats], Floats]
        if isinstance(draws, Distribution):
            source = _describe(draws)
            quantile = draws.ppf
        else:
            values = np.asarray(draws, dtype=np.float64)
            if values.shape != (self.n_draws,):
                raise DataError(f"{where}: draws have shape {values.shape}, expected ({self.n_draws},).")
            edits.check_returns(values[:, None], [symbol], where=where, remedy=_GIVE_SIMPLE)
            quantile = edits.empirical_quantiles(values)
        if keep_ranks:
            new = edits.map_by_ranks(column, quantile, weights=self._weights, seed=seed)
        elif isinstance(draws, Distribution):
            new = edits.sample(draws, self.n_draws, seed=seed, symbol=symbol)
        else:
            new = values
        how = "ranks kept" if keep_ranks else "independent of the other assets"
        record = Record.of(
            "replace",
            (symbol,),
            f"{symbol}: draws replaced by {source} ({how}).",
            source=source,
            keep_ranks=keep_ranks,
            seed=seed,
        )
        return self._edited(new, record, "Use a distribution of simple returns, bounded at -1.")

    def drop(self, *symbols: str) -> Forecast:
        """Forecast without some assets: the others are ranked among themselves."""
        _some(symbols, "drop")
        _checks.known(symbols, self.assets, what="asset", where="drop")
        keep = [i for i, a in enumerate(self.assets) if a not in symbols]
        if len(keep) < 2:
            raise DataError(f"drop: {len(keep)} assets would be left. Ranks need at least 2.")
        record = Record.of("drop", symbols, f"{', '.join(symbols)}: dropped.")
        return replace(
            self,
            _draws=np.ascontiguousarray(self._draws[:, keep]),
            assets=tuple(self.assets[i] for i in keep),
            asset_class=tuple(self.asset_class[i] for i in keep),
            names=tuple(self.names[i] for i in keep),
            records=(*self.records, record),
        )

    def with_weights(self, weights: ArrayLike, *, record: Record) -> Forecast:
        """Forecast with other weights (draw,) and the record of the view that gave them; draws stay."""
        new = normalised_weights(weights, self.n_draws, where=record.kind)
        return replace(self, _weights=new, records=(*self.records, record))

    # Views

    def with_views(
        self,
        *statements: View,
        shares: Mapping[str, float] | None = None,
        min_effective_draws: float | None = None,
    ) -> Forecast:
        """Forecast in which views hold: other weights, the same draws.

        Parameters
        ----------
        statements
            Views of ``bdfm.forecast.views``, such as ``views.Absolute(asset="TLT", mean=0.02, sd=0.1,
            semantics="evidence")``; all are taken together, and their order does not matter. Without any, the
            forecast stays as it is.
        shares
            Share of each person where the views say by whom they are; the rest stays with this forecast.
            By default all people share the whole equally.
        min_effective_draws
            Fewer effective draws are refused; by default 1,000, or a tenth where there are fewer than 10,000.

        Raises
        ------
        InfeasibleViewError
            A view that contradicts others, that no weighting of the draws satisfies, or that leaves too few
            effective draws. The message names it and the strongest that could be had.
        UnknownLabelError, DataError
            An unknown symbol, one subject twice, or shares that cannot be used.

        Warns
        -----
        DataWarning
            Few effective draws are left: evidence inside the model (``evidence`` of ``bdfm.fit``) is better.
        """
        weights = weigh.view_weights(
            self._draws,
            self._weights,
            self.assets,
            statements,
            shares=shares,
            min_effective_draws=min_effective_draws,
        )
        records = [view.record(len(self.records) + 1) for view in statements]
        if shares is not None and records:
            text = ", ".join(f"{person} {share:g}" for person, share in shares.items())
            pool = Record.of("pool", (), f"Views pooled: {text}.", step=len(self.records) + 1, **shares)
            records.append(pool)
        seen = replace(self, _weights=weights, records=(*self.records, *records))
        few = self.effective_draws / 20
        if seen.effective_draws < few and self.effective_draws > weigh.MIN_EFFECTIVE_DRAWS:
            warnings.warn(
                f"views: {seen.effective_draws:,.0f} effective of {self.n_draws:,} draws are left; tails and"
                " probabilities are as rough as from so few. Put evidence on a return into the model instead,"
                " bdfm.fit(..., evidence=[...]), or more draws.",
                DataWarning,
                stacklevel=2,
            )
        return seen

    def with_record(self, record: Record) -> Forecast:
        """Forecast with one more record, of what was done to the draws before they came here."""
        return replace(self, records=(*self.records, record))

    def effects(self) -> pd.DataFrame:
        """What each tracked change did, by change and symbol: measures before and after it.

        Columns: change (position in ``history``, from 1), text, symbol, effective_draws, and median, sd, P1
        and P5 with ``_before`` and ``_after``. Empty where changes were not tracked (``changes.apply``).
        """
        rows = []
        for number, record in enumerate(self.records, 1):
            effect = record.effect
            for symbol, before in effect.before.items() if effect is not None else ():
                row: dict[str, Any] = {"change": number, "text": record.text, "symbol": symbol}
                row["effective_draws"] = effect.effective_draws if effect is not None else np.nan
                for k, measure in enumerate(edits.MEASURES):
                    row[f"{measure}_before"] = before[k]
                    row[f"{measure}_after"] = effect.after[symbol][k] if effect is not None else np.nan
                rows.append(row)
        columns = ["change", "text", "symbol", "effective_draws"]
        columns += [f"{m}_{when}" for m in edits.MEASURES for when in ("before", "after")]
        return pd.DataFrame(rows, columns=columns)

    # Results

    def quantile_probabilities(self, n_quantiles: int = 5) -> xr.DataArray:
        """Probability (asset, quantile) that an asset ranks in each quantile; quantile 1 is the lowest."""
        values = quantile_probabilities(
            self._draws, n_quantiles=n_quantiles, weights=self._weights_unless_equal
        )
        coords = {ASSET: list(self.assets), QUANTILE: np.arange(1, n_quantiles + 1)}
        return xr.DataArray(values, dims=(ASSET, QUANTILE), coords=coords, name="probability")

    def summary(self) -> pd.DataFrame:
        """One row per asset: name, class, mean, sd and 5, 50, 95 % quantiles of its return, P1 to P5.

        Returns are simple, over the horizon, as decimals; P1 is the probability of the lowest fifth.
        """
        draws = self._draws.astype(np.float64)
        mean = self._weights @ draws
        low, median, high = weighted_quantiles(self._draws, [0.05, 0.5, 0.95], self._weights_unless_equal)
        table = pd.DataFrame(
            {
                "name": self.names,
                "asset_class": self.asset_class,
                "mean": mean,
                "sd": np.sqrt(self._weights @ np.square(draws - mean)),
                "5%": low,
                "50%": median,
                "95%": high,
            },
            index=pd.Index(self.assets, name="symbol"),
        )
        probabilities = self.quantile_probabilities().values
        return table.assign(**{f"P{k + 1}": probabilities[:, k] for k in range(probabilities.shape[1])})

    def __repr__(self) -> str:
        weighted = "" if self._weights_unless_equal is None else f" ({self.effective_draws:,.0f} effective)"
        changes = (
            f", {len(self.records)} change{'s' if len(self.records) > 1 else ''}" if self.records else ""
        )
        return (
            f"<Forecast {self.origin:%Y-%m-%d} to {self.end:%Y-%m-%d}: {len(self.assets)} assets,"
            f" {self.n_draws:,} draws{weighted}{changes}>"
        )

    def _repr_html_(self) -> str:
        table = self.summary()
        percent = {c: "{:.1%}".format for c in table.columns[2:]}
        return opening(self, (r.text for r in self.records), ordered=True) + table.to_html(
            formatters=percent, max_rows=30, escape=True, border=0
        )

    def plot_quantiles(self, *, n_quantiles: int = 5) -> Figure:
        """Heatmap of quantile probabilities: by class, and in a class from the most to the least dispersed.

        White is 1/Q, what an asset without any forecast would get. Numbers are percent.
        """
        from matplotlib import pyplot as plt  # the notebook shows figures only once pyplot is there
        from matplotlib.colors import TwoSlopeNorm

        p = self.quantile_probabilities(n_quantiles).values
        classes = list(dict.fromkeys(self.asset_class))
        rank = np.lexsort((-(p[:, 0] + p[:, -1]), [classes.index(c) for c in self.asset_class]))
        panels = np.array_split(rank, -(-len(rank) // 50))
        rows = max(len(panel) + len({self.asset_class[i] for i in panel}) for panel in panels)
        figure, axes = plt.subplots(
            1,
            len(panels),
            squeeze=False,
            figsize=(1.6 + 0.5 * n_quantiles * len(panels) + 0.9 * len(panels), 1.3 + 0.19 * rows),
            layout="constrained",
        )
        plt.close(figure)  # shown where it is returned, not a second time at the end of a cell
        norm = TwoSlopeNorm(1 / n_quantiles, 0, max(2 / n_quantiles, float(p.max())))
        for axis, panel in zip(axes[0], panels, strict=True):
            values: list[NDArray[Any]] = []
            labels: list[str] = []
            current = None
            for i in panel:
                if self.asset_class[i] != current:
                    current = self.asset_class[i]
                    axis.text(-0.5, len(values), current, fontsize=8, weight="bold", va="center")
                    values.append(np.full(n_quantiles, np.nan))
                    labels.append("")
                for q in range(n_quantiles):
                    dark = abs(float(norm(p[i, q])) - 0.5) > 0.35
                    axis.text(
                        q,
                        len(values),
                        f"{100 * p[i, q]:.0f}",
                        fontsize=6.5,
                        ha="center",
                        va="center",
                        color="white" if dark else "black",
                        in_layout=False,
                    )
                values.append(p[i])
                labels.append(self.assets[i])
            blank = [np.full(n_quantiles, np.nan)] * (rows - len(values))
            image = axis.imshow(np.array(values + blank), cmap="RdBu_r", norm=norm, aspect="auto")
            axis.set_xticks(range(n_quantiles), range(1, n_quantiles + 1), fontsize=8)
            axis.set_yticks(range(len(labels)), labels, fontsize=7)
            axis.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
            axis.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.8, aspect=40, pad=0.01)
        bar.set_label("probability", fontsize=8)
        bar.ax.tick_params(labelsize=7)
        figure.suptitle(
            f"Quantile of return, 1 lowest: {self.origin:%Y-%m-%d} to {self.end:%Y-%m-%d}", fontsize=10
        )
        return figure

    # Files

    def to_submission(self, decisions: Mapping[str, float] | pd.Series[float] | None = None) -> pd.DataFrame:
        """Table of an M6 submission: ID, Rank1 to Rank5 (Rank1 the lowest fifth), Decision; 5 decimals.

        Probabilities are rounded by largest remainder, so that each row still sums to 1.

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
        where = "decisions"
        if decisions is None:
            weight = np.full(len(self.assets), MIN_EXPOSURE / len(self.assets))
        else:
            given = {str(k): _checks.finite(v, what=f"{k}", where=where) for k, v in decisions.items()}
            _checks.known(given, self.assets, what="asset", where=where)
            weight = np.array([given.get(a, 0.0) for a in self.assets])
        units = round(float(np.abs(weight).sum()) * _UNITS)
        if not MIN_EXPOSURE * _UNITS <= units <= MAX_EXPOSURE * _UNITS:
            raise DataError(
                f"{where}: absolute weights sum to {units / _UNITS:g}, expected {MIN_EXPOSURE:g} to"
                f" {MAX_EXPOSURE:g}. Multiply them by one factor."
            )
        ranks = _whole_units(self.quantile_probabilities(N_RANKS).values, _UNITS) / _UNITS
        amounts = np.sign(weight) * _whole_units(np.abs(weight)[None, :], units)[0] / _UNITS
        table = pd.DataFrame({"ID": list(self.assets)})
        return table.assign(**dict(zip(RANKS, ranks.T, strict=True)), Decision=amounts)

    def write_submission(
        self, path: str | Path, decisions: Mapping[str, float] | pd.Series[float] | None = None
    ) -> Path:
        """Write ``to_submission(decisions)`` as CSV; returns the path, ``FileError`` where impossible."""
        table = self.to_submission(decisions)
        _files.write_text(path, table.to_csv(index=False, float_format="%.5f", lineterminator="\n"))
        return Path(path)

    def save(self, path: str | Path) -> Path:
        """Write the forecast and its records as one NetCDF file; returns the path, ``FileError`` if not."""
        dataset = self.draws.to_dataset(name="returns").assign(
            weights=self.weights,
            # Variables, not attributes: HDF5 holds no attribute above 64 kB.
            records=((), json.dumps([r.to_dict() for r in self.records])),
            attrs=((), json.dumps(self.attrs)),
        )
        dataset.attrs = {"origin": self.origin.isoformat(), "end": self.end.isoformat()}
        return _files.save_dataset(dataset, path, kind="forecast")

    @classmethod
    def load(cls, path: str | Path) -> Forecast:
        """Forecast of a file made by ``save``, with its records.

        Raises
        ------
        FileError
            The file is missing, damaged, no forecast, or written by a newer release.
        """
        dataset = _files.load_dataset(path, kind="forecast")
        try:
            index = dataset.get("posterior_draw")
            forecast = cls.from_draws(
                dataset["returns"].values,
                assets=dataset[ASSET].values.tolist(),
                asset_class=dataset[CLASS_OF].values.tolist(),
                names=dataset[NAME].values.tolist(),
                origin=dataset.attrs["origin"],
                end=dataset.attrs["end"],
                attrs=json.loads(dataset["attrs"].item()),
                posterior_draw=None if index is None else index.values,
            )
            records = tuple(Record.from_dict(r) for r in json.loads(dataset["records"].item()))
            # Weights as saved: dividing by their sum once more could change the last digit.
            return replace(forecast, _weights=np.array(dataset["weights"].values), records=records)
        except (KeyError, TypeError, ValueError) as error:
            raise FileError(
                f"{path}: the forecast in this file is incomplete ({error}). Save it again."
            ) from error


def _single(values: NDArray[Any]) -> NDArray[np.float32]:
    """Copy in single precision; what is too large for it becomes infinite, which the checks refuse."""
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float32, order="C")


def _values_of(returns: xr.DataArray, labels: tuple[str, ...]) -> NDArray[Any]:
    if set(returns.dims) != {DRAW, ASSET}:
        raise DataError(f"forecast: draws have dims {returns.dims}, expected ({DRAW}, {ASSET}).")
    if ASSET in returns.coords and tuple(returns[ASSET].values.tolist()) != labels:
        raise DataError(
            "forecast: the draws' asset labels are not `assets` in that order. Reindex the draws."
        )
    return np.asarray(returns.transpose(DRAW, ASSET).values)


def _plain(value: object, name: str) -> AttrValue:
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, str | int | float):
        raise DataError(f"forecast: attrs[{name!r}] is a {type(value).__name__}. Give a text or a number.")
    return value


def _some(symbols: Sequence[str], where: str) -> None:
    if not symbols:
        raise DataError(f"{where}: no asset named. Name at least one.")
    _checks.unique(symbols, what="symbols", where=where, hint="Name each once.")


def _chance(probability: float) -> str:
    return "" if probability == 1 else f" with probability {probability:g}"


def _describe(distribution: Distribution) -> str:
    """Name and parameters of a frozen SciPy distribution, as it would be written."""
    family = getattr(getattr(distribution, "dist", None), "name", type(distribution).__name__)
    args = [f"{_shortest(a)}" for a in getattr(distribution, "args", ())]
    args += [f"{k}={_shortest(v)}" for k, v in getattr(distribution, "kwds", {}).items()]
    return f"{family}({', '.join(args)})"


def _shortest(value: float) -> str:
    """Number in the fewest digits that give it back exactly: records can be replayed."""
    number = float(value)
    return f"{number:g}" if float(f"{number:g}") == number else repr(number)


def _whole_units(shares: Floats, units: int) -> Floats:
    """Shares (row, column), each row in whole units that sum to ``units``, by largest remainder."""
    exact = shares / shares.sum(axis=1, keepdims=True) * units
    whole = np.floor(exact)
    missing = units - whole.sum(axis=1, keepdims=True)
    place = np.argsort(np.argsort(whole - exact, axis=1, kind="stable"), axis=1)
    return np.asarray(whole + (place < missing))

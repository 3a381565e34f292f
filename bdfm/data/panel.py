"""The panel: returns, features, earnings flags and classes of a universe over periods up to an origin."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bdfm import _checks, _labels, _memory, _renamed
from bdfm._html import opening
from bdfm._kinds import texts
from bdfm._reading import counted
from bdfm._strict import strict
from bdfm.data import plots
from bdfm.data.assembly import assemble
from bdfm.data.covariance import checked_covariance
from bdfm.data.form import read_only
from bdfm.data.from_prices import dataset_from_prices
from bdfm.data.periods import describe, period_edges
from bdfm.data.settings import PanelSettings, panel_settings
from bdfm.errors import DataError
from bdfm.names import (
    ASSET,
    CLASS_OF,
    EARNINGS,
    MARKET_RISK,
    MARKET_VOLATILITY,
    OTHER_ASSET,
    OUTSIDE_VOLATILITY,
    PERIOD,
    RECENT_RETURN,
    RECENT_RETURN_MISSING,
    RECENT_VOLATILITY,
    RECENT_VOLATILITY_MISSING,
    RETURNS,
    WINDOW,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]


@dataclass(frozen=True, repr=False, eq=False)
class Panel:
    """Returns, features, earnings flags and classes of assets over periods up to an origin, and after it.

    Made by ``from_prices``, ``from_arrays`` or ``from_dataset``. Arrays are read-only. The Dataset has dims
    ``period`` (T periods of history, then H future ones; labelled by the last day), ``asset``, ``window``:

    ``log_returns`` (period, asset)
        Decimal log return over the period. NaN where not traded, and in all future periods.
    ``recent_return`` (period, asset)
        Log return over the days before the period, in standard deviations of the asset's own past.
    ``recent_volatility`` (period, asset, window)
        Log realised daily volatility before the period, less its own past mean (or, with the setting
        ``volatility_form`` "level", over 1 % a day).
    ``market_volatility`` (period, window)
        The same of an equal-weighted portfolio of the universe, always less its own past mean.
    ``characteristics`` (asset, characteristic)
        Class and group dummies, beta, volatility and momentum at the origin; see ``features``.
    ``characteristics_path`` (period, asset, characteristic)
        The same at the start of each period; only where the settings ask for it.
    ``market_risk`` (period, asset)
        Beta on an equal-weighted portfolio of the universe times its sd over the period, by the year before.
    ``outside_volatility`` (period, asset)
        What a given volatility says beyond the realised one; only where a table of it was given.
    ``rolling_covariance`` (asset, other_asset)
        Of log returns over the first future period, by daily returns up to the origin; only where the
        settings ask for it.
    ``earnings`` (period, asset)
        1 where the asset announces earnings inside the period, else 0.
    ``recent_return_missing``, ``recent_volatility_missing``
        True where the feature cannot be computed. It is 0 there, its neutral value: the asset's average. A
        volatility in levels is the median of the asset's class there.

    Notes
    -----
    Features of a period are known at its start. After the origin this holds for the first future period only;
    in later ones ``recent_return`` is missing, so 0, and volatilities keep their values at the origin.

    Examples
    --------
    >>> import bdfm
    >>> prices, universe = bdfm.demo()
    >>> panel = bdfm.Panel.from_prices(prices, universe, origin="2021-12-31")
    >>> panel.n_history, len(panel.assets)
    (104, 25)
    """

    _dataset: xr.Dataset
    settings: PanelSettings

    @classmethod
    @_renamed.keywords(inactive="zero")
    @strict
    def from_prices(
        cls,
        prices: pd.DataFrame,
        universe: pd.DataFrame,
        *,
        origin: object,
        earnings: pd.DataFrame | None = None,
        volatility: pd.DataFrame | None = None,
        settings: PanelSettings | None = None,
        horizon: int = 1,
        zero: Collection[str] = (),
        accept: Collection[str] | None = (),
        sized: Callable[[int, int], None] | None = None,
        memory: str | int | None = None,
    ) -> Self:
        """Panel made from daily adjusted closes; nothing after the origin is read, except earnings dates.

        Parameters
        ----------
        prices
            Adjusted closes (day, symbol), missing as NaN. Symbols outside the universe are ignored.
        universe
            Columns symbol and asset_class, and optionally name and group (a sector, say, which only
            characteristics read); its order is the panel's.
        origin
            Day on which the forecast is made, after its close: the end of the last period of history.
        earnings
            Columns symbol and date: known and scheduled announcements. None if there is no calendar.
        volatility
            Annual volatilities (day, symbol), decimals, each known at the end of its day: implied by options,
            or any other forecast. For models with the part ``outside_volatility``; see
            ``bdfm.data.outside``.
        settings
            Periods and features.
        horizon
            Number of future periods.
        zero
            Assets whose return will be set to zero (delisted). They may end long before the origin, and may
            have no usable return.
        accept
            Doubts about the tables that are right all the same, as ``RULE`` or ``RULE:SYMBOL``; see
            ``bdfm.data.doubts``. None where the tables were examined before.
        sized
            Called with the numbers of periods of history and of assets as soon as they are known, before
            features and covariances are computed, which may take minutes: to refuse what is too large.
        memory
            Budget such as ``"4GB"``, or bytes; by default half of the machine, or that of the call around it.

        Raises
        ------
        DataError
            What a rule of ``bdfm.data.doubts`` refuses. Prices that are not positive numbers, or do not reach
            the origin; an asset that ends long before it or has no usable return; fewer than 24 usable
            periods; repeated days or symbols; more memory than there is, with what would fit.
        UnknownLabelError
            A symbol of the universe without prices; a symbol of ``zero`` outside the universe.

        Notes
        -----
        A period's return runs from the last fresh close on or before its start to that on or before its end,
        and is missing when either is older than ``max_stale_days`` (see ``features.Closes``). With the
        setting ``period`` "day" periods are market days, on which at least half of the assets trade, and
        future ones weekdays; an asset that did not trade the day before has no return. Leading periods in
        which no asset has a return are left out. The hour of an announcement is not used: one after the close
        of a period's last day counts for that period; but of periods of a day, where a column ``session`` of
        the calendar says "post" or "amc", for the next market day.
        """
        with _memory.within(memory):
            made = dataset_from_prices(
                prices,
                universe,
                origin=origin,
                earnings=earnings,
                volatility=volatility,
                settings=panel_settings(settings),
                horizon=horizon,
                zero=zero,
                accept=accept,
                sized=sized,
            )
        return cls.from_dataset(made)

    @classmethod
    def from_arrays(
        cls,
        log_returns: ArrayLike,
        *,
        asset_class: Sequence[str],
        assets: Sequence[str] | None = None,
        recent_return: ArrayLike | None = None,
        recent_volatility: ArrayLike | None = None,
        market_volatility: ArrayLike | None = None,
        characteristics: ArrayLike | None = None,
        rolling_covariance: ArrayLike | None = None,
        market_risk: ArrayLike | None = None,
        outside_volatility: ArrayLike | None = None,
        earnings: ArrayLike | None = None,
        next_recent_return: ArrayLike | None = None,
        next_recent_volatility: ArrayLike | None = None,
        next_market_volatility: ArrayLike | None = None,
        next_market_risk: ArrayLike | None = None,
        next_outside_volatility: ArrayLike | None = None,
        next_earnings: ArrayLike | None = None,
        origin: object = "2020-01-03",
        settings: PanelSettings | None = None,
    ) -> Self:
        """Panel made from arrays, for simulated data: T periods of history and one future period.

        Parameters
        ----------
        log_returns
            (period, asset), decimal, NaN where missing.
        asset_class
            (asset) class names.
        assets
            (asset) symbols; those of the columns of a DataFrame of returns, else A1, A2, ..., when not given.
            Tables and Series of pandas that have labels of their own must be in their order.
        recent_return, recent_volatility, earnings
            Features of the T periods: (period, asset), (period, asset[, window]), (period, asset). NaN, and
            what is not given, is missing.
        market_volatility
            (period[, window]) log volatility of the market over its own past; 0 where not given.
        characteristics
            (asset, characteristic) at the origin, or (period, asset, characteristic) at the start of each of
            the T periods and, last, at the origin; none when not given.
        market_risk, next_market_risk, outside_volatility, next_outside_volatility
            (period, asset) and (asset); none when not given, 0 where NaN.
        rolling_covariance
            (asset, asset) of log returns over the future period; none when not given.
        next_recent_return, next_recent_volatility, next_market_volatility, next_earnings
            The same of the future period: (asset), (asset[, window]), ([window]), (asset).
        origin, settings
            Date the periods; the number of volatility windows must be that of the settings.

        Raises
        ------
        DataError
            Shapes that differ, infinite values, earnings other than 0 and 1, repeated symbols.
        """
        settings = panel_settings(settings)
        returns = np.array(log_returns, dtype=np.float64)
        if returns.ndim != 2 or not returns.size:
            raise DataError(
                f"log_returns: shape {returns.shape}, expected (period, asset) with at least one each."
            )
        n_history, n_assets = returns.shape
        n_windows = len(settings.volatility_windows)
        symbols, where = [f"A{i + 1}" for i in range(n_assets)], "panel"
        named = assets if assets is not None else _labels.columns_of(log_returns)
        if named is not None:
            symbols = list(_labels.names_of(named, what="assets", where=where))
            for what, table, axis in (
                ("log_returns", log_returns, 1), ("recent_return", recent_return, 1),
                ("recent_volatility", recent_volatility, 1), ("earnings", earnings, 1),
                ("next_recent_return", next_recent_return, 0), ("next_earnings", next_earnings, 0),
                ("next_recent_volatility", next_recent_volatility, 0),
                ("characteristics", characteristics, 0), ("market_risk", market_risk, 1),
                ("next_market_risk", next_market_risk, 0), ("outside_volatility", outside_volatility, 1),
                ("next_outside_volatility", next_outside_volatility, 0),
                ("rolling_covariance", rolling_covariance, 1),
            ):  # fmt: skip
                _labels.in_order(table, symbols, axis=axis, what=what, where=where)
        asset_class = _labels.names_of(asset_class, what="asset_class", where=where, of=symbols, blank=True)
        for what, labels in (("assets", symbols), ("asset_class", asset_class)):
            if len(labels) != n_assets:
                raise DataError(f"{what}: {len(labels)} given for {n_assets} assets. Give one for each.")

        def stack(what: str, past: ArrayLike | None, following: ArrayLike | None, *core: int) -> Array:
            """One feature over all periods (period, asset, *core)."""
            parts = []
            for name, value, shape in (
                (what, past, (n_history, n_assets, *core)),
                (f"next_{what}", following, (n_assets, *core)),
            ):
                part = np.full(shape, np.nan) if value is None else np.array(value, dtype=np.float64)
                if part.shape != shape and (core != (1,) or part.shape != shape[:-1]):
                    raise DataError(f"{name}: shape {part.shape}, expected {shape}.")
                parts.append(part.reshape(-1, n_assets, *core))
            return np.concatenate(parts)

        market = []
        for name, value, shape in (
            (MARKET_VOLATILITY, market_volatility, (n_history, n_windows)),
            (f"next_{MARKET_VOLATILITY}", next_market_volatility, (n_windows,)),
        ):
            part = np.zeros(shape) if value is None else np.array(value, dtype=np.float64)
            if part.shape != shape and (n_windows > 1 or part.shape != shape[:-1]):
                raise DataError(f"{name}: shape {part.shape}, expected {shape}.")
            market.append(part.reshape(-1, n_windows))
        known = np.zeros((n_assets, 0)) if characteristics is None else np.array(characteristics, dtype=float)
        path = known if known.ndim == 3 else None
        if known.shape[:-1] not in ((n_assets,), (n_history + 1, n_assets)) or not np.isfinite(known).all():
            raise DataError(
                f"characteristics: shape {known.shape}, expected finite values (asset, characteristic) or"
                f" ({n_history + 1}, asset, characteristic): at the start of each period and at the origin."
            )
        known = known if path is None else known[-1]

        outside, risk = (
            None if past is None else np.nan_to_num(stack(name, past, following))
            for name, past, following in (
                (OUTSIDE_VOLATILITY, outside_volatility, next_outside_volatility),
                (MARKET_RISK, market_risk, next_market_risk),
            )
        )
        covariance = None if rolling_covariance is None else checked_covariance(rolling_covariance, n_assets)
        flags = np.nan_to_num(stack(EARNINGS, earnings, next_earnings))
        if not np.isin(flags, (0, 1)).all():
            raise DataError("earnings: flags must be 0 or 1.")
        day = _checks.as_date(origin, where="origin")
        made = assemble(
            settings,
            period_edges(day, period=settings.period, n_past=n_history, n_future=1),
            n_history=n_history,
            universe=_checks.universe_table(
                pd.DataFrame({"symbol": symbols, "asset_class": list(asset_class)})
            ),
            log_returns=np.concatenate([returns, np.full((1, n_assets), np.nan)]),
            recent_return=stack(RECENT_RETURN, recent_return, next_recent_return),
            recent_volatility=stack(RECENT_VOLATILITY, recent_volatility, next_recent_volatility, n_windows),
            market_volatility=np.concatenate(market),
            characteristics=([f"z{j + 1}" for j in range(known.shape[1])], known),
            characteristics_path=path,
            market_risk=risk,
            outside_volatility=outside,
            rolling_covariance=covariance,
            earnings=flags,
            has_earnings=earnings is not None or next_earnings is not None,
            inactive=(),
            # Only what was stated: the defaults say nothing about arrays that came from elsewhere.
            settings_json=settings.model_dump_json(exclude_unset=True),
        )
        return cls.from_dataset(made)

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> Self:
        """Panel of a Dataset made by ``to_dataset``, also after a round trip through a NetCDF file.

        Raises ``DataError`` when the Dataset is not one.
        """
        locked = read_only(dataset)
        with _renamed.of_a_file():
            settings = PanelSettings.model_validate_json(locked.attrs["settings"])
        return cls(locked, settings)

    @property
    def dataset(self) -> xr.Dataset:
        """Shallow copy of the Dataset; its arrays are read-only."""
        return self._dataset.copy(deep=False)

    def to_dataset(self) -> xr.Dataset:
        """Copy of the Dataset that may be changed and written to a file; ``from_dataset`` reads it back."""
        return self._dataset.copy(deep=True)

    @property
    def history(self) -> xr.Dataset:
        """The periods up to the origin."""
        return self.dataset.isel({PERIOD: slice(0, self.n_history)})

    @property
    def future(self) -> xr.Dataset:
        """The periods after the origin."""
        return self.dataset.isel({PERIOD: slice(self.n_history, None)})

    @property
    def n_history(self) -> int:
        """Number of periods up to the origin."""
        return int(self._dataset.attrs["n_history"])

    @property
    def n_future(self) -> int:
        """Number of periods after the origin: the horizon."""
        return self._dataset.sizes[PERIOD] - self.n_history

    @property
    def origin(self) -> pd.Timestamp:
        """Day on which the forecast is made: the last day of the last period of history."""
        return pd.Timestamp(self._dataset.attrs["origin"])

    @property
    def assets(self) -> tuple[str, ...]:
        """Symbols, in the order of the universe."""
        return tuple(self._dataset[ASSET].values.tolist())

    @property
    def asset_classes(self) -> tuple[str, ...]:
        """Classes, in the order of their first asset."""
        return tuple(dict.fromkeys(self.class_of))

    @property
    def class_of(self) -> tuple[str, ...]:
        """Class of each asset, in their order."""
        return tuple(self._dataset[CLASS_OF].values.tolist())

    @property
    def class_index(self) -> NDArray[np.int64]:
        """c(i) (asset): position of the asset's class in ``asset_classes``."""
        position = {name: c for c, name in enumerate(self.asset_classes)}
        return np.array([position[name] for name in self.class_of], dtype=np.int64)

    @property
    def has_earnings(self) -> bool:
        """Whether an earnings calendar was given; without one all flags are 0."""
        return bool(self._dataset.attrs["has_earnings"])

    @property
    def zero(self) -> tuple[str, ...]:
        """Assets whose return will be set to zero."""
        return tuple(json.loads(self._dataset.attrs["inactive"]))

    inactive = _renamed.attribute("inactive", "zero")

    def select(self, assets: Sequence[str]) -> Self:
        """Panel of these assets, in this order; periods and features stay as they are.

        Raises ``UnknownLabelError`` for a symbol that the panel does not have, ``DataError`` for none or a
        repeated one.
        """
        assets = texts(assets)
        if not assets:
            raise DataError("select: no assets given. Name at least one.")
        _checks.unique(assets, what="symbol", where="select")
        _checks.known(assets, self.assets, what="symbol", where="select")
        chosen = [self.assets.index(x) for x in assets]
        part = self._dataset.isel({ASSET: chosen})
        if OTHER_ASSET in part.dims:
            part = part.isel({OTHER_ASSET: chosen})
        inactive = [x for x in self.zero if x in assets]
        return self.from_dataset(part.assign_attrs(inactive=json.dumps(inactive)))

    def summary(self) -> pd.DataFrame:
        """One row an asset: class, periods with a return, the first and last of them, and missing features.

        ``missing_recent_return`` and ``missing_recent_volatility`` count the periods of history without the
        feature (in any window), ``earnings`` the periods of history with an announcement.
        """
        history = self.history
        known = history[RETURNS].notnull().to_numpy()
        ends = pd.DatetimeIndex(history[PERIOD].to_numpy())
        some = known.any(axis=0)
        return pd.DataFrame(
            {
                "asset_class": history[CLASS_OF].to_numpy(),
                "returns": known.sum(axis=0),
                "first": ends[known.argmax(axis=0)].where(some),
                "last": ends[len(ends) - 1 - known[::-1].argmax(axis=0)].where(some),
                "missing_recent_return": history[RECENT_RETURN_MISSING].sum(PERIOD).to_numpy(),
                "missing_recent_volatility": history[RECENT_VOLATILITY_MISSING]
                .any(WINDOW)
                .sum(PERIOD)
                .to_numpy(),
                "earnings": history[EARNINGS].sum(PERIOD).to_numpy().astype(int),
            },
            index=pd.Index(self.assets, name=ASSET),
        )

    def __repr__(self) -> str:
        missing = float(self.history[RETURNS].isnull().mean())
        n_classes = len(self.asset_classes)
        return (
            f"<Panel: {counted(len(self.assets), 'asset')} in"
            f" {counted(n_classes, 'class')},"
            f" {counted(self.n_history, 'period')} of {describe(self.settings.period)} to"
            f" {self.origin:%Y-%m-%d},"
            f" {self.n_future} future, {missing:.1%} of returns missing"
            f"{f', prices about every {self.settings.spacing_days} days' if self.settings.sparse else ''}>"
        )

    def _repr_html_(self) -> str:
        return opening(self) + self.summary().to_html(max_rows=12)

    def plot_coverage(self) -> Figure:
        """Figure of which asset has a return in which period of history, classes together and in colours."""
        return plots.coverage(self.history, self.asset_classes, self.class_index)

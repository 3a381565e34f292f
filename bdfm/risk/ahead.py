"""Risk of a book for tomorrow and the days after it, from a posterior of market days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks, _memory, _weights
from bdfm._figures import pyplot
from bdfm._reading import counted
from bdfm._seeds import either_seed
from bdfm._strict import strict
from bdfm._symbols import is_cash
from bdfm.errors import DataError, ModelError
from bdfm.forecast.sample import cut_ends
from bdfm.model.equations import model_data
from bdfm.model.part import Data, Params
from bdfm.names import EARNINGS, PERIOD
from bdfm.portfolio.risk import Errors, measured
from bdfm.posterior.posterior import Posterior
from bdfm.posterior.predictive import MAX_LOG_RETURN, paths_each, simulated_paths
from bdfm.risk.bayesian import forecast_covariance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

DAYS: Final = 20  # four weeks
N_DRAWS: Final = 100_000
YEAR: Final = 252  # market days
MEASURES: Final = {  # of the table, with their titles: the first is of a day alone, the others up to it
    "daily_volatility": "volatility of the day",
    "volatility": "volatility to the day",
    "value_at_risk": "value at risk",
    "expected_shortfall": "expected shortfall",
}
_OF_DAY, *_OVER = MEASURES


@dataclass(frozen=True, repr=False, eq=False)
class RiskAhead:
    """Risk of portfolios over the next days, and of each of these days.

    Attributes
    ----------
    table
        (portfolio, day, measure), days from 1. Measures: ``daily_volatility`` of the gain on that day alone;
        ``volatility``, ``value_at_risk`` and ``expected_shortfall`` of the return from the origin to the end
        of the day, the last two as positive losses. All in shares of the portfolio at the origin, held as it
        is. Columns ``value``, ``mc_error`` and ``posterior_error``, as of ``bdfm.portfolio_risk``; ``end``,
        the date.
    announcements
        (day, symbol) of assets held that announce: ``end``, the asset's ``volatility`` on that day, decimal,
        what it would be ``without`` the announcement, and the weight in each portfolio.
    level
        Of value at risk and expected shortfall.
    origin
        Day after whose close all of it holds.
    """

    table: pd.DataFrame
    announcements: pd.DataFrame
    level: float
    origin: pd.Timestamp

    @property
    def portfolios(self) -> list[str]:
        """Names of the portfolios."""
        return [str(x) for x in self.table.index.get_level_values(0).unique()]

    def measure(self, name: str, portfolio: str | None = None) -> pd.DataFrame:
        """Rows (day) of one measure of a portfolio, the first one unless named.

        Raises ``UnknownLabelError`` for an unknown measure.
        """
        _checks.known([name], list(MEASURES), what="measure", where="risk ahead")
        chosen = self.portfolios[0] if portfolio is None else portfolio
        _checks.known([chosen], self.portfolios, what="portfolio", where="risk ahead")
        return pd.DataFrame(self.table.xs((chosen, name), level=("portfolio", "measure")))

    def __repr__(self) -> str:
        last = int(self.table.index.get_level_values(1).max())
        tables = {m: self.measure(m)[["value", "posterior_error"]].astype(float) for m in _OVER[1:]}
        told = ", ".join(
            f"{m} {tables[m]['value'][d]:.2%} ± {tables[m]['posterior_error'][d]:.2%} ({d}d)"
            for d in dict.fromkeys((1, last))
            for m in tables
        )
        n = len(self.portfolios)
        return f"<RiskAhead of {counted(n, 'portfolio')} from {self.origin:%Y-%m-%d}: {told}>"

    def _repr_html_(self) -> str:
        percent = "{:.2%}".format
        values = self.table["value"].unstack("measure")[list(MEASURES)]
        text = values.to_html(float_format=percent, border=0)
        if len(self.announcements):
            text += self.announcements.to_html(float_format=percent, border=0, escape=True)
        return text

    @strict
    def plot(self, *, n_portfolios: int = 4) -> Figure:
        """Annual volatility of each day, and what is at risk to each day; bands show posterior errors."""
        plt = pyplot()
        from matplotlib.ticker import MaxNLocator

        figure: Figure
        figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
        plt.close(figure)
        for k, name in enumerate(self.portfolios[:n_portfolios]):
            _band(axes[0], self.measure(_OF_DAY, name), name, f"C{k}", "-", times=np.sqrt(YEAR))
            _band(axes[1], self.measure("value_at_risk", name), name, f"C{k}", "-")
            _band(axes[1], self.measure("expected_shortfall", name), "", f"C{k}", "--")
        low, high = axes[0].get_ylim()
        for day, own in self.announcements.groupby(level=0):
            axes[0].axvline(day, color="0.8", zorder=0)
            names = [str(s) for s in own.index.get_level_values(1)]
            told = ", ".join(names[:2]) + ("" if len(names) < 3 else f" + {len(names) - 2}")
            axes[0].text(day, low + 0.02 * (high - low), told, rotation=90, fontsize=6, ha="right")
        for axis in axes:
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[0].set(xlabel="market day", ylabel="volatility of the day, % a year")
        axes[1].set(xlabel="market days", ylabel="loss to that day, %")
        axes[1].set_title(f"value at risk, and dashed expected shortfall, {self.level:.0%}", fontsize=9)
        axes[0].legend(frameon=False, fontsize=8)
        return figure


def _band(axis: Any, table: pd.DataFrame, label: str, color: str, line: str, *, times: float = 1.0) -> None:
    """Line of a measure by day, and its posterior error as a band, in percent."""
    value, error = (100 * times * table[c].astype(float) for c in ("value", "posterior_error"))
    axis.plot(value.index, value, line, color=color, label=label or None)
    axis.fill_between(value.index, value - error, value + error, color=color, alpha=0.2, linewidth=0)


@either_seed
@strict
def risk_ahead(
    posterior: Posterior,
    weights: Mapping[str, float] | pd.Series[float] | pd.DataFrame,
    *,
    seed: object,
    days: int = DAYS,
    level: float = 0.95,
    n_draws: int = N_DRAWS,
) -> RiskAhead:
    """Risk of portfolios for each of the next market days and up to each, with posterior errors.

    All days come from the same paths: that of day h is ``bdfm.portfolio_risk`` of
    ``posterior.forecast(h)`` with the same seed and number of draws, but for its rounding of returns.
    Evidence of the posterior is in it.

    Parameters
    ----------
    posterior
        Of a model of market days, such as ``daily``, whose panel reaches ``days`` ahead.
    weights
        Weight by symbol, negative for short; or (portfolio, symbol). Cash earns nothing.
    seed
        Equal seeds give equal numbers.
    days
        Market days ahead.
    level
        Of value at risk and expected shortfall.
    n_draws
        Paths, at least.

    Raises
    ------
    ModelError
        A model of longer periods, or whose forecasts are pooled with other draws.
    DataError, UnknownLabelError
        A horizon beyond the panel, weights or a level that cannot be used.
    """
    where = "risk ahead"
    model, panel = posterior.model, posterior.panel
    if not model.conditions_paths:
        raise ModelError(
            f"{where}: model {model.name!r} has no volatilities by market day. Fit one that has: daily."
        )
    if model.predictive.shares(posterior.evidence):
        raise ModelError(f"{where}: forecasts of model {model.name!r} are pooled. Leave out [predictive].")
    days = _checks.at_least(days, 1, what="days", where=where)
    level = _checks.finite(level, what="level", where=where)
    if not 0 < level < 1:
        raise DataError(f"{where}: level must be between 0 and 1, got {level:g}.")
    if days > panel.n_future:
        raise DataError(
            f"{where}: day {days} is beyond the panel's {panel.n_future} future days. Ask for fewer days, or"
            f" make the panel with horizon={days} (bdfm forecast --horizon {days}d)."
        )
    books = _books(weights, panel.assets)
    held = books.to_numpy(dtype=float).T.copy()
    held[[panel.assets.index(a) for a in panel.zero]] = 0.0
    number = _checks.seed_number(seed, where=where)
    n_paths = paths_each(posterior, n_draws)
    each = 8 * days * n_paths * posterior.n_draws
    would = _memory.would_fit(
        (_memory.most(len(books), lambda n: n * each), 1, "{:,}"),
        form="Ask for fewer portfolios at a time ({})",
        otherwise="Ask for fewer days",
    )
    _memory.check(
        each * len(books),
        where=where,
        what=f"{counted(len(books), 'portfolio')} over {days} days",
        advice=f"{would}, or a lower n_draws.",
    )
    gains = np.empty((days, n_paths * posterior.n_draws, len(books)))

    def watch(step: int, first: int, rows: NDArray[np.float32]) -> None:
        simple = np.expm1(np.clip(rows, -MAX_LOG_RETURN, MAX_LOG_RETURN).astype(np.float64))
        gains[step, first : first + len(rows)] = simple @ held

    made = simulated_paths(posterior, days, seed=number, n_draws=n_draws, watch=watch)
    n = gains.shape[1]
    p = np.full(n, 1.0 / n) if made.weights is None else made.weights
    errors = Errors(p, np.arange(n) % posterior.n_draws)
    ends = pd.DatetimeIndex(panel.future[PERIOD].to_numpy()[:days])
    rows: dict[tuple[str, int, str], Any] = {}
    for b, name in enumerate(books.index):
        for t in range(days):
            own = gains[t, :, b]
            over = measured(own, cut_ends(own.copy()), p, errors, level)
            alone = own - gains[t - 1, :, b] if t else own
            of_day = measured(alone, cut_ends(alone.copy()), p, errors, level)
            rows[(str(name), t + 1, _OF_DAY)] = of_day.loc["volatility"]
            rows |= {(str(name), t + 1, m): over.loc[m] for m in _OVER}
    table = pd.DataFrame(rows).T.rename_axis(["portfolio", "day", "measure"])
    table.insert(0, "end", ends[table.index.get_level_values("day").to_numpy() - 1])
    return RiskAhead(table, _announcements(posterior, books, ends), level, panel.origin)


def _books(
    weights: Mapping[str, float] | pd.Series[float] | pd.DataFrame, assets: tuple[str, ...]
) -> pd.DataFrame:
    """Weights (portfolio, asset) of all assets, without cash."""
    where = "risk ahead"
    several = isinstance(weights, pd.DataFrame)
    if not isinstance(weights, pd.DataFrame):
        weights = pd.DataFrame([dict(weights)], index=["portfolio"])
    weights = _weights.numbers(weights, where=where)
    kept = weights[[c for c in weights.columns if not is_cash(str(c), assets)]]
    kept = kept.rename(columns=str)
    kept = kept.loc[:, (kept != 0).any()]  # what is not held need not be known
    _checks.known(list(kept.columns), assets, what="asset", where=where)
    _weights.check_table(weights, where=where, named=several)
    empty = kept.index[(kept == 0).all(axis=1)]
    if len(empty):
        raise DataError(f"{where}: {_checks.first(empty)} holds no asset. Give a weight that is not zero.")
    return kept.reindex(columns=list(assets), fill_value=0.0)


def _announcements(posterior: Posterior, books: pd.DataFrame, ends: pd.DatetimeIndex) -> pd.DataFrame:
    """Announcements of assets held on the days ahead; see ``RiskAhead``."""
    model, panel = posterior.model, posterior.panel
    flags = panel.future[EARNINGS].to_numpy()[: len(ends)] > 0
    flags &= (books != 0).any(axis=0).to_numpy()
    p = posterior.parameters()
    with_, data = model_data(model, panel, future=True), model_data(model, panel, future=True)
    if EARNINGS in data:
        data[EARNINGS] = np.zeros_like(data[EARNINGS])
    rows = {}
    for t in map(int, np.flatnonzero(flags.any(axis=1))):
        there, without = (_volatility(model, p, x, t) for x in (with_, data))
        for i in map(int, np.flatnonzero(flags[t])):
            weight = {f"weight {name}": books.iloc[k, i] for k, name in enumerate(books.index)}
            found = {"end": ends[t], "volatility": there[i], "without": without[i], **weight}
            rows[(t + 1, panel.assets[i])] = found
    columns = ["end", "volatility", "without", *(f"weight {name}" for name in books.index)]
    index = pd.MultiIndex.from_tuples(list(rows), names=["day", "symbol"]) if rows else None
    made = pd.DataFrame(list(rows.values()), index=index, columns=columns)
    return made if rows else made.set_index(pd.MultiIndex.from_arrays([[], []], names=["day", "symbol"]))


def _volatility(model: Any, p: Params, data: Data, step: int) -> Floats:
    """Volatility (asset,) of log returns of one day, over all posterior draws."""
    b, f, d = forecast_covariance(model, p, data, step)
    common = np.einsum("dik,dkl,dil->di", b, f, b)
    return np.asarray(np.sqrt((common + d).mean(axis=0)))

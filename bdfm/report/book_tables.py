"""What `bdfm risk` says about a book beyond its volatility: tables by name, pictures, and backtests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._figures import new_figure
from bdfm._reading import counted
from bdfm._statistics import interval, p_text
from bdfm.errors import BdfmError, DataError
from bdfm.report.book import Book
from bdfm.risk.book import active_risk, hedge, marginal_risk
from bdfm.risk.choices import Kind
from bdfm.risk.from_files import estimator_from_files
from bdfm.risk.pricing import Pricing, price
from bdfm.risk.principal import Components, components
from bdfm.risk.returns import simple_returns
from bdfm.risk.time_series import TimeSeriesEstimator
from bdfm.validation.tail_backtest import TailBacktest, backtest_tail, tail_of_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODEL: Final = "model"
REFIT_EVERY: Final = 4  # periods between fits of a backtest


def asset_table(book: Book) -> pd.DataFrame:
    """Contributions of held assets (portfolio, model, asset): weight, marginal, contribution, share.

    ``marginal`` is ∂σ/∂w (eq. R19), ``contribution`` the weight times it, which sums to the volatility; with
    draws posterior medians.
    """
    parts = {}
    for portfolio, w in _risky(book).iterrows():
        for name, model in book.models.items():
            values = marginal_risk(model, w[w != 0]).to_numpy()
            marginal = interval(values)[1] if model.n_draws else values
            table = pd.DataFrame({"marginal": marginal}, index=pd.Index(model.assets, name="asset"))
            table = table.loc[[str(a) for a in w.index[w != 0]]]
            table.insert(0, "weight", w[w != 0])
            table["contribution"] = table["weight"] * table["marginal"]
            table["share"] = table["contribution"] / table["contribution"].sum()
            parts[str(portfolio), name] = table.sort_values("contribution", ascending=False)
    return pd.concat(parts, names=["portfolio", MODEL]) if parts else pd.DataFrame()


def _risky(book: Book) -> pd.DataFrame:
    """Weights of the portfolios that are not cash alone."""
    return book.weights[(book.weights != 0).any(axis=1)]


def active_table(book: Book) -> pd.DataFrame:
    """Risk against the benchmark (portfolio, model), as ``active_risk``; empty without one."""
    if book.benchmark is None:
        return pd.DataFrame()
    parts = {n: active_risk(m, book.weights, book.benchmark) for n, m in book.models.items()}
    joined = pd.concat(parts, names=[MODEL, "portfolio"]).swaplevel()
    return joined.reindex([(p, m) for p in book.weights.index for m in parts])


def hedge_table(
    book: Book, instruments: Sequence[str], *, limits: tuple[float, float] | None = None
) -> pd.DataFrame:
    """Minimum-variance hedge of each portfolio by each model (portfolio, model): ratios and what they do."""
    rows = {}
    for portfolio, w in _risky(book).iterrows():
        for name, model in book.models.items():
            found = hedge(model, w[w != 0], instruments, limits=limits)
            rows[str(portfolio), name] = {
                **found.ratios.to_dict(),
                "volatility": found.volatility,
                "hedged_volatility": found.hedged_volatility,
                "effectiveness": found.effectiveness,
            }
    if not rows:
        return pd.DataFrame()
    index = pd.MultiIndex.from_tuples(list(rows), names=["portfolio", MODEL])
    return pd.DataFrame(list(rows.values()), index)


def pricing(book: Book) -> Pricing | None:
    """Alphas and betas of all assets on the factors of the time-series model; ``None`` without one."""
    own = book.fits.estimators.get(Kind.TIME_SERIES.value)
    if not isinstance(own, TimeSeriesEstimator):
        return None
    return price(book.returns, own.factors, risk_free=own.risk_free)


def explained(book: Book) -> Components | None:
    """Components of the assets with every return; ``None`` with fewer than two of them."""
    whole = book.returns.dropna(axis=0, how="all").dropna(axis=1)
    return components(whole) if whole.shape[1] > 1 else None


def tested_returns(book: Book, n_periods: int) -> pd.DataFrame:
    """Returns (period, asset) that ``tail_backtests`` goes through: the book's window, and so many periods.

    Assets that lack returns in the longer span are left out, unless they are held.

    Raises
    ------
    DataError
        Prices that do not reach back far enough, or do not for a held asset.
    """
    where = "backtest"
    _checks.at_least(n_periods, 20, what="periods", where=where)
    need = len(book.returns) + n_periods
    every = simple_returns(
        book.prices[list(book.returns.columns)], period=book.length, window=need, accept=None
    )
    if len(every) < need:
        raise DataError(
            f"{where}: prices give {counted(len(every), 'period')}; a window of {len(book.returns)} and"
            f" {n_periods} to"
            f" test need {need}. Test fewer, or take a shorter --window."
        )
    held = [a for a in book.held if a in every]
    lacking = [a for a in held if every[a].isna().any()]
    if lacking:
        raise DataError(
            f"{where}: {_checks.first(lacking)}, held, lack returns in the last {need} periods. Test fewer."
        )
    return every.dropna(axis=1)


def tail_backtests(
    book: Book, returns: pd.DataFrame, *, level: float = 0.95
) -> tuple[dict[tuple[str, str], TailBacktest], dict[str, str]]:
    """Walk-forward backtests of each model and portfolio over ``tested_returns``, and why others failed.

    Models are fitted to as many periods as the book's, every four periods anew, and speak of one period:
    ``tail_of_model``. Raises ``DataError`` where none could be tested.
    """
    r = book.request
    results: dict[tuple[str, str], TailBacktest] = {}
    failures: dict[str, str] = {}
    for name in book.fits.estimators:
        try:
            made = estimator_from_files(
                Kind(name),
                book.prices,
                returns,
                r.half_life_periods,
                factors=book.factors,
                groups=book.groups,
                accept=r.accept,
            )
            own = replace(made, window=len(book.returns))  # type: ignore[type-var]
            for portfolio, w in _risky(book).iterrows():
                said = tail_of_model(
                    own, returns, w[w != 0], start=len(book.returns), every=REFIT_EVERY, level=level
                )
                results[str(portfolio), name] = backtest_tail(
                    said["realised"], said["value_at_risk"], said["expected_shortfall"], level=level
                )
        except BdfmError as error:
            failures[name] = str(error)
    if not results:
        raise DataError(f"backtest: no model could be tested. {' '.join(failures.values())}")
    order = {key: results[key] for p in book.weights.index for key in results if key[0] == str(p)}
    return order, failures


# -- pictures ------------------------------------------------------------------------------------------------


def plot_assets(table: pd.DataFrame, *, n_assets: int = 12) -> Figure:
    """Contributions of the assets that matter most to each portfolio's volatility, by model."""
    portfolios, models = (list(dict.fromkeys(table.index.get_level_values(k))) for k in (0, 1))
    figure, axes = new_figure(len(portfolios), 1, figsize=(8, (0.6 + 0.2 * n_assets) * len(portfolios) + 0.6))
    for axis, portfolio in zip(axes[:, 0], portfolios, strict=True):
        mine = table[table.index.get_level_values(0) == portfolio].droplevel(0)
        own = mine["contribution"].unstack(0)[models]  # (asset, model)
        own = own.loc[own.abs().max(axis=1).nlargest(n_assets).index]
        height = 0.8 / len(models)
        for j, model in enumerate(models):
            axis.barh(np.arange(len(own)) + j * height, 100 * own[model], height, color=f"C{j}", label=model)
        axis.set_yticks(np.arange(len(own)) + 0.4 - height / 2, [_plain(a) for a in own.index], fontsize=7)
        axis.invert_yaxis()
        axis.set_title(f"{_plain(portfolio)}: parts of the volatility, %", fontsize=8, loc="left")
        axis.axvline(0, color="black", lw=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].legend(fontsize=7, frameon=False)
    return figure


def plot_alphas(found: Pricing, *, n_assets: int = 40) -> Figure:
    """Alphas with 95 % intervals of the assets whose t is largest either way, and the joint test."""
    table = found.alphas.reindex(found.alphas["t"].abs().nlargest(n_assets).index).sort_values("alpha")
    figure, axes = new_figure(figsize=(7, 1 + 0.17 * len(table)))
    axis = axes[0, 0]
    place = np.arange(len(table))
    axis.errorbar(
        100 * table["alpha"], place, xerr=196 * table["se"], fmt="o", ms=3, lw=0.8, color="C0", ecolor="0.6"
    )
    axis.set_yticks(place, [_plain(a) for a in table.index], fontsize=6)
    axis.axvline(0, color="black", lw=0.6)
    axis.set_xlabel("alpha, % a period, with 95 % interval", fontsize=8)
    axis.set_title(
        f"All zero: F{found.grs_freedom} = {found.grs:.2f}, {p_text(found.grs_p_value)}", fontsize=8
    )
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def plot_pairs(table: pd.DataFrame, left: str, right: str, title: str) -> Figure:
    """Two columns of a table (portfolio, model) beside each other, in percent: before and after, say."""
    figure, axes = new_figure(figsize=(8, 0.8 + 0.3 * len(table)))
    axis = axes[0, 0]
    place = np.arange(len(table))
    for shift, column, colour in ((0, left, "0.7"), (0.4, right, "C0")):
        axis.barh(place + shift, 100 * table[column], 0.38, color=colour, label=column.replace("_", " "))
    axis.set_yticks(place + 0.2, [_plain(", ".join(map(str, k))) for k in table.index], fontsize=7)
    axis.invert_yaxis()
    axis.set_title(title, fontsize=9, loc="left")
    axis.legend(fontsize=7, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def _plain(text: Any) -> str:
    return str(text).replace("$", r"\$")


def records(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Tables as lists of records for JSON, missing numbers as null."""
    made = {}
    for name, table in tables.items():
        flat = table.reset_index()
        flat = flat.astype(object).where(flat.notna(), None)
        made[name] = [{str(k): _json(v) for k, v in row.items()} for row in flat.to_dict("records")]
    return made


def _json(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value

"""The risk of a book further: marginal contributions, hedges, a benchmark, and several models beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks, _renamed
from bdfm._kinds import texts
from bdfm._reading import counted
from bdfm._strict import strict
from bdfm.errors import DataError
from bdfm.names import ASSET, DRAW, PORTFOLIO
from bdfm.risk.base import RiskModel
from bdfm.risk.decomposition import summary_table
from bdfm.risk.inputs import Weights, portfolios

Floats = NDArray[np.float64]


def _covariances(model: RiskModel, left: Floats, right: Floats) -> Floats:
    """Covariance ([draw,] left, right) of portfolios (portfolio, asset), through the factors."""
    b, f = model.exposures.to_numpy(), model.factor_covariance.to_numpy()
    d = model.specific_variance.to_numpy()
    common = (left @ b) @ f @ np.swapaxes(right @ b, -1, -2)
    return np.asarray(common + (left * d[..., None, :]) @ right.T)


@strict
def marginal_risk(model: RiskModel, weights: Weights) -> xr.DataArray:
    """Marginal contribution ∂σ/∂w_i = (Σw)_i / σ of each asset ([draw,] [portfolio,] asset) (eq. R19).

    How much the volatility grows with one unit of weight more; w_i times it sums to the volatility.

    ``model`` is a risk model, ``weights`` those of one portfolio or a table of several.

    Raises ``DataError`` for a portfolio without variance.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> model = risk.StatisticalEstimator(3).fit(returns)
    >>> found = risk.marginal_risk(model, {"XOM": 0.5, "KO": 0.5})
    >>> found.sel(asset=["XOM", "KO"]).round(3).to_numpy().squeeze()
    array([0.053, 0.035])
    """
    names, w = portfolios(weights, model.assets)
    row = _covariances(model, w, np.eye(len(model.assets)))
    variance = (row * w).sum(axis=-1, keepdims=True)
    if not (variance > 0).all():
        raise DataError("marginal risk: a portfolio has no variance. Check its weights.")
    values = row / np.sqrt(variance)
    dims = [PORTFOLIO, ASSET]
    coords: dict[str, Any] = {PORTFOLIO: names or ["portfolio"], ASSET: list(model.assets)}
    if model.n_draws:
        dims, coords = [DRAW, *dims], coords | {DRAW: list(range(model.n_draws))}
    found = xr.DataArray(values, coords, dims, name="marginal_risk")
    return found if names is not None else found.isel({PORTFOLIO: 0}, drop=True)


@dataclass(frozen=True, eq=False)
class Hedge:
    """Minimum-variance hedge of a book; made by ``hedge``.

    Attributes
    ----------
    ratios
        (instrument,) units to hold of each, negative for short, in weights of the book's capital.
    volatility, hedged_volatility
        Of the book, and of the book with its hedge.
    weights
        (asset,) book and hedge together.
    """

    ratios: pd.Series
    volatility: float
    hedged_volatility: float
    weights: pd.Series

    @property
    def effectiveness(self) -> float:
        """Share of the variance that the hedge takes away."""
        return 1 - (self.hedged_volatility / self.volatility) ** 2


@_renamed.keywords(book="weights")
@strict
def hedge(
    model: RiskModel,
    weights: Weights,
    instruments: Sequence[str] | pd.DataFrame,
    *,
    limits: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None,
) -> Hedge:
    """Holdings of given instruments that make the variance of a book least (eq. R20).

    Parameters
    ----------
    model
        With posterior draws, the mean of its covariances counts.
    weights
        Of one portfolio.
    instruments
        Names of assets of the model; or a table (instrument, asset) of portfolios, such as an index.
    limits
        Lowest and highest holding of each instrument, of all alike or by name, in weights of the book's
        capital: ``(-0.5, 0.0)`` allows to be short half of it. Instruments without limits are free.

    Raises
    ------
    DataError
        Several books, no instrument, instruments that are combinations of each other, limits that are none.
    UnknownLabelError
        An instrument that is no asset of the model.
    """
    where = "hedge"
    names, w = portfolios(weights, model.assets)
    if len(w) != 1:
        raise DataError(f"{where}: {counted(len(w), 'book')} ({_checks.first(names or ())}). Give one.")
    if isinstance(instruments, pd.DataFrame):
        labels, h = portfolios(instruments, model.assets)
        labels = labels or []
    else:
        labels = [str(x) for x in texts(instruments)]
        _checks.known(labels, model.assets, what="asset", where=where)
        _checks.unique(labels, what="instrument", where=where)
        h = np.eye(len(model.assets))[[model.assets.index(x) for x in labels]]
    if not labels:
        raise DataError(f"{where}: no instrument given. Name at least one.")
    every = np.vstack([w, h])
    sigma = _covariances(model, every, every)
    sigma = sigma.mean(axis=0) if model.n_draws else sigma
    own, with_book = sigma[1:, 1:], sigma[1:, 0]
    sd = np.sqrt(np.diag(own))
    if not (sd > 0).all() or np.linalg.matrix_rank(own / np.outer(sd, sd), hermitian=True) < len(labels):
        raise DataError(
            f"{where}: the instruments ({_checks.first(labels)}) are redundant or riskless. Drop one."
        )
    ratios = -np.linalg.solve(own, with_book)
    if limits is not None:
        from scipy.optimize import lsq_linear  # slow to import, and seldom needed

        # |L'h + L^-1 c|² is the variance but for a constant: least squares with bounds
        root = np.linalg.cholesky(own / np.outer(sd, sd))
        low, high = _limits(limits, labels, where)
        target = -np.linalg.solve(root, with_book / sd)
        ratios = lsq_linear(root.T, target, (low * sd, high * sd), tol=1e-14).x / sd
    left = max(float(sigma[0, 0] + 2 * with_book @ ratios + ratios @ own @ ratios), 0.0)
    return Hedge(
        pd.Series(ratios, pd.Index(labels, name="instrument"), name="ratio"),
        float(np.sqrt(sigma[0, 0])),
        float(np.sqrt(left)),
        pd.Series(w[0] + ratios @ h, pd.Index(model.assets, name=ASSET), name="weight"),
    )


def _limits(
    given: tuple[float, float] | Mapping[str, tuple[float, float]], labels: list[str], where: str
) -> tuple[Floats, Floats]:
    """Lowest and highest holding (instrument,)."""
    by_name = given if isinstance(given, Mapping) else dict.fromkeys(labels, given)
    _checks.known(by_name, labels, what="instrument", where=f"{where}: limits")
    low, high = np.full(len(labels), -np.inf), np.full(len(labels), np.inf)
    for name, ends in by_name.items():
        if len(ends) != 2 or not float(ends[0]) < float(ends[1]):
            raise DataError(f"{where}: limits of {name} {ends!r} are not low and high. Such as (-0.5, 0.0).")
        low[labels.index(name)], high[labels.index(name)] = map(float, ends)
    return low, high


@strict
def active_risk(
    model: RiskModel, weights: Weights, benchmark: Mapping[str, float] | pd.Series
) -> pd.DataFrame:
    """Risk of portfolios against a benchmark (eq. R21), one row per portfolio.

    ``active_volatility`` (tracking error), its ``systematic_share``, ``beta``, ``correlation``,
    ``volatility``, ``benchmark_volatility``, and ``active_share``, half of the absolute differences of
    weights. With draws posterior medians, and ``..._low`` and ``..._high`` of 90 % intervals.

    ``model`` is a risk model of the assets of both.

    Raises ``DataError`` for several benchmarks, or weights that are none.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> model = risk.StatisticalEstimator(3).fit(returns)
    >>> found = risk.active_risk(model, {"XOM": 0.5, "KO": 0.5}, {"QUAL": 1.0})
    >>> found[["active_volatility", "beta"]].round(3)
               active_volatility   beta
    portfolio
    portfolio              0.027  1.062
    """
    names, w = portfolios(weights, model.assets)
    _, base = portfolios(benchmark, model.assets)
    if len(base) != 1:
        raise DataError(f"active risk: {counted(len(base), 'benchmark')}. Give the weights of one.")
    active = w - base
    x = active @ model.exposures.to_numpy()
    systematic = ((x @ model.factor_covariance.to_numpy()) * x).sum(axis=-1)
    total = systematic + model.specific_variance.to_numpy() @ np.square(active).T
    own = model.variance(pd.DataFrame(w, columns=list(model.assets))).to_numpy()
    with_base = _covariances(model, w, base)[..., 0]
    variance = _covariances(model, base, base)[..., 0]
    if not (variance > 0).all():
        raise DataError("active risk: the benchmark has no variance. Check its weights.")
    with np.errstate(invalid="ignore", divide="ignore"):
        figures = {
            "active_volatility": np.sqrt(total),
            "systematic_share": np.where(total > 0, systematic / total, np.nan),
            "beta": with_base / variance,
            "correlation": with_base / np.sqrt(own * variance),
            "volatility": np.sqrt(own),
            "benchmark_volatility": np.sqrt(np.broadcast_to(variance, own.shape)),
        }
    table = summary_table(figures, pd.Index(names or ["portfolio"], name=PORTFOLIO))
    return table.assign(active_share=np.abs(active).sum(axis=1) / 2)


@strict
def compare(models: Mapping[str, RiskModel], weights: Weights) -> pd.DataFrame:
    """Volatility of the same portfolios (``weights``) by several models, a row per portfolio and model.

    Columns as in ``RiskDecomposition.table``; intervals only where a model has posterior draws. Each model
    speaks of its own ``periods``, whose length it does not know: bring them to one span by ``scale_to``.

    Raises ``DataError`` for no model, and what ``RiskModel.decompose`` does.
    """
    if not models:
        raise DataError("compare: no model given.")
    tables = {name: model.decompose(weights).table for name, model in models.items()}
    joined = pd.concat(tables, names=["model", PORTFOLIO]).swaplevel()
    held = next(iter(tables.values())).index
    return joined.reindex([(p, m) for p in held for m in tables])

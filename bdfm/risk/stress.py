"""Stress: what a past crash, a shock, dearer risk or a loss of a given size would mean for a portfolio.

Scenarios go through the exposures of a risk model (eq. R13 to R16), or through the draws of a forecast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bdfm import _checks
from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.sample import Sample
from bdfm.names import ASSET, FACTOR, PORTFOLIO
from bdfm.risk.base import RiskModel
from bdfm.risk.decomposition import summary_table
from bdfm.risk.inputs import Weights, portfolios

Floats = NDArray[np.float64]

# First and last day of the months that the sources replay.
WINDOWS: Final[dict[str, tuple[str, str]]] = {
    "Lehman, September 2008": ("2008-09-01", "2008-09-30"),
    "COVID-19, March 2020": ("2020-03-01", "2020-03-31"),
    "rates, January 2022": ("2022-01-01", "2022-01-31"),
}
SLACK: Final = pd.Timedelta(days=6)  # between a window's end and the table's: a long weekend, or a week
COMMON_SHOCK: Final = "common shock"  # factor that ``shock_risk`` adds
MIN_TAIL_DRAWS: Final = 30
LARGEST_RATIO: Final = 100.0  # of new to old volatility, or of old to new
LARGEST_MOVE: Final = 100.0  # of a factor, decimal or in its volatilities, whichever is more


def replay(
    model: RiskModel,
    factor_returns: pd.DataFrame,
    weights: Weights,
    *,
    windows: Mapping[str, tuple[object, object]] = WINDOWS,
) -> pd.DataFrame:
    """Portfolios' systematic return in past windows, with the exposures of today (eq. R13).

    Parameters
    ----------
    model
        Its exposures count; with posterior draws their mean.
    factor_returns
        (period, factor) simple returns of the model's factors, decimals, that cover the windows.
    weights
        As ``RiskModel.variance`` takes them.
    windows
        First and last day by name, both included.

    Returns
    -------
    pandas.DataFrame
        One row per window and portfolio: ``return``, compounded over the window; ``worst_period``;
        ``drawdown``, the largest fall from the best value before it; ``n_periods``. What is specific to the
        assets is not in it: nobody knows what it would have been.

    Raises
    ------
    DataError
        A factor that the table lacks, no window, a window without periods or with missing returns.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> factors = returns[["QUAL"]].rename(columns={"QUAL": "market"})
    >>> model = risk.TimeSeriesEstimator(factors).fit(returns.drop(columns="QUAL"))
    >>> fall = {"March 2020": ("2020-03-01", "2020-03-31")}
    >>> risk.replay(model, factors, {"XOM": 0.5, "KO": 0.5}, windows=fall)["return"].round(3).tolist()
    [-0.14]
    """
    where = "replay"
    table = _factor_table(model, factor_returns, where)
    names, w = portfolios(weights, model.assets)
    exposure = _mean(w @ model.exposures.to_numpy(), model)  # (portfolio, factor)
    by_period = pd.DataFrame(table.to_numpy() @ exposure.T, table.index, names or ["portfolio"])
    return _by_window(by_period, windows, "the factor returns", where)


def replay_held(
    returns: pd.DataFrame, weights: Weights, *, windows: Mapping[str, tuple[object, object]] = WINDOWS
) -> pd.DataFrame:
    """Portfolios' return in past windows with the weights of today and the assets' own returns.

    No model: what is specific to the assets is in it, as it came then. Otherwise as ``replay``; ``returns``
    (period, asset) are simple. Raises ``DataError`` where a held asset has no return in a window.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> fall = {"March 2020": ("2020-03-01", "2020-03-31")}
    >>> risk.replay_held(returns, {"XOM": 0.5, "KO": 0.5}, windows=fall)["return"].round(3).tolist()
    [-0.236]
    """
    where = "replay of assets"
    labels = [str(c) for c in returns.columns]
    names, w = portfolios(weights, labels)
    held = (w != 0).any(axis=0)
    table = returns.set_axis(_checks.days(returns.index, where=where)).sort_index()
    values = np.nan_to_num(table.to_numpy(dtype=float)) @ w.T
    gone = table.isna().to_numpy() & held
    values[gone.any(axis=1)] = np.nan
    lacking = [a for a, g in zip(labels, gone.any(axis=0), strict=True) if g]
    what = f"the returns of the held assets (gaps: {_checks.first(lacking)})" if lacking else "the returns"
    return _by_window(pd.DataFrame(values, table.index, names or ["portfolio"]), windows, what, where)


def _by_window(
    by_period: pd.DataFrame, windows: Mapping[str, tuple[object, object]], what: str, where: str
) -> pd.DataFrame:
    """Table (window, portfolio) of ``replay`` from returns (period, portfolio), NaN where one is missing."""
    if not windows:
        raise DataError(f"{where}: no window given. Leave windows out for the usual ones.")
    rows = {}
    for name, ends in windows.items():
        first, last = (_checks.as_date(d, where=f"{where}: {name}") for d in ends)
        part = by_period.loc[first:last]
        # A table that begins inside a window, or ends there, would pass for the whole of it.
        outside = part.empty or by_period.index[0] > first + SLACK or by_period.index[-1] < last - SLACK
        if outside or not np.isfinite(part.to_numpy()).all():
            ends_of = by_period.index[[0, -1]] if len(by_period) else None
            span = "empty" if ends_of is None else f"{ends_of[0]:%Y-%m-%d} to {ends_of[1]:%Y-%m-%d}"
            raise DataError(
                f"{where}: {what} ({span}) lack {name} ({first:%Y-%m-%d} to {last:%Y-%m-%d}), in"
                " whole or in part. Give a longer table, or other windows."
            )
        value = np.vstack([np.ones(part.shape[1]), np.cumprod(1 + part.to_numpy(), axis=0)])
        fall = (value / np.maximum.accumulate(value, axis=0) - 1).min(axis=0)
        for j, portfolio in enumerate(part.columns):
            rows[name, portfolio] = (value[-1, j] - 1, part.iloc[:, j].min(), fall[j], len(part))
    columns = ["return", "worst_period", "drawdown", "n_periods"]
    index = pd.MultiIndex.from_tuples(list(rows), names=["window", PORTFOLIO])
    return pd.DataFrame(list(rows.values()), index, columns).astype({"n_periods": int})


def _factor_table(model: RiskModel, factor_returns: pd.DataFrame, where: str) -> pd.DataFrame:
    table = factor_returns.set_axis([str(c) for c in factor_returns.columns], axis=1)
    _checks.known(model.factors, list(table.columns), what="factor", where=f"{where}: factor returns")
    table = table.set_axis(_checks.days(table.index, where=where)).sort_index()
    return _checks.numeric(table[list(model.factors)], where=where)


def _mean(values: Floats, model: RiskModel) -> Floats:
    """Mean over posterior draws, where there are any."""
    return np.asarray(values.mean(axis=0) if model.n_draws else values)


@dataclass(frozen=True, eq=False)
class FactorShock:
    """Scenario of ``shock_factors``.

    Attributes
    ----------
    factors
        (factor,) moves: those given, and the others at their mean given them; posterior means over draws.
    table
        One row per portfolio: ``return`` expected in the scenario, ``volatility`` that remains about it; with
        draws posterior medians, and ``..._low`` and ``..._high`` of the 90 % interval.
    assets
        (asset,) expected returns; posterior means over draws.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> model = risk.StatisticalEstimator(3).fit(returns)
    >>> shock = risk.shock_factors(model, {model.factors[0]: -0.1}, {"XOM": 0.5, "KO": 0.5})
    >>> shock.table["return"].round(3).tolist()
    [-0.111]
    """

    factors: pd.Series
    table: pd.DataFrame
    assets: pd.Series


def shock_factors(
    model: RiskModel, shocks: Mapping[str, float], weights: Weights, *, others_move: bool = True
) -> FactorShock:
    """Scenario in which some factors move as given, and the others as far as they go along (eq. R14).

    ``weights`` are those of one portfolio or a table of several.

    Parameters
    ----------
    shocks
        Move by factor, decimal simple return over the model's ``periods``.
    others_move
        Whether other factors take their conditional mean; ``False`` leaves them at zero.

    Raises
    ------
    UnknownLabelError, DataError
        Unknown factors, moves that are not finite or beyond all bounds, shocked factors whose covariance is
        singular.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> model = risk.StatisticalEstimator(3).fit(returns)
    >>> shock = risk.shock_factors(model, {model.factors[0]: -0.1}, {"XOM": 1.0})
    >>> shock.factors.round(3).tolist()
    [-0.1, 0.0, 0.0]
    """
    where = "factor shock"
    if not shocks:
        raise DataError(f"{where}: no factor named. Known: {_checks.first(model.factors)}.")
    _checks.known(shocks, model.factors, what="factor", where=where)
    move = np.array([_checks.finite(v, what=k, where=where) for k, v in shocks.items()])
    at = [model.factors.index(k) for k in shocks]
    sd = np.sqrt(np.diagonal(model.factor_covariance.to_numpy(), axis1=-2, axis2=-1))[..., at]
    far = np.flatnonzero(np.abs(move) > LARGEST_MOVE * np.maximum(1.0, sd.reshape(-1, len(at)).max(axis=0)))
    if len(far):
        name = model.factors[at[far[0]]]
        raise DataError(
            f"{where}: a move of {name} by {move[far[0]]:.4g} is more than {LARGEST_MOVE:g} of its"
            f" volatilities and {LARGEST_MOVE:.0%}. Moves are decimals: -0.1 is -10 %."
        )
    f, b = model.factor_covariance.to_numpy(), model.exposures.to_numpy()
    d = model.specific_variance.to_numpy()
    own = f[..., at, :][..., at]
    if np.linalg.matrix_rank(own, hermitian=True).min() < len(at):
        raise DataError(
            f"{where}: the factors {_checks.first(shocks)} are collinear or constant. Leave one out."
        )
    slopes = np.linalg.solve(own, f[..., at, :]).swapaxes(-1, -2)  # (factor, shocked)
    left = f - slopes @ f[..., at, :]
    if others_move:
        factors = slopes @ move
    else:
        factors = np.zeros(f.shape[:-1])
        factors[..., at] = move
    names, w = portfolios(weights, model.assets)
    x = w @ b  # ([draw,] portfolio, factor)
    figures = {
        "return": (x @ factors[..., None])[..., 0],
        "volatility": np.sqrt(np.maximum(((x @ left) * x).sum(axis=-1), 0) + d @ np.square(w).T),
    }
    table = summary_table(figures, pd.Index(names or ["portfolio"], name=PORTFOLIO))
    assets = _mean((b @ factors[..., None])[..., 0], model)
    return FactorShock(
        pd.Series(_mean(factors, model), pd.Index(model.factors, name=FACTOR)),
        table,
        pd.Series(assets, pd.Index(model.assets, name=ASSET)),
    )


def shock_risk(
    model: RiskModel,
    *,
    factor_volatility: float | Mapping[str, float] = 1.0,
    specific_volatility: float = 1.0,
    correlation: float = 0.0,
) -> RiskModel:
    """Risk model after a shock to volatilities and correlations of assets (eq. R15).

    Parameters
    ----------
    factor_volatility
        Ratio of new to old volatility of all factors, or by factor.
    specific_volatility
        The same of specific returns.
    correlation
        How far correlations of assets go from where they are towards 1, or if negative towards 0: 0.5 is half
        of the way. Volatilities of assets stay. The model has a further factor, ``"common shock"``, if it is
        positive.

    Raises
    ------
    DataError
        Ratios below 0.01 or above 100, a correlation outside [-1, 1].

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> model = risk.StatisticalEstimator(3).fit(returns)
    >>> worse = risk.shock_risk(model, factor_volatility=2.0, correlation=0.5)
    >>> round(float(worse.volatility({"XOM": 1.0}) / model.volatility({"XOM": 1.0})), 2)
    1.81
    """
    where = "shock to risk"
    ratios = np.ones(len(model.factors))
    if isinstance(factor_volatility, Mapping):
        _checks.known(factor_volatility, model.factors, what="factor", where=where)
        for name, ratio in factor_volatility.items():
            ratios[model.factors.index(name)] = _ratio(ratio, name)
    else:
        ratios *= _ratio(factor_volatility, "factor_volatility")
    specific = _ratio(specific_volatility, "specific_volatility")
    c = _checks.finite(correlation, what="correlation", where=where)
    if not -1 <= c <= 1:
        raise DataError(f"{where}: correlation {c:g} is not between -1 and 1.")
    b = model.exposures.to_numpy()
    f = model.factor_covariance.to_numpy() * np.outer(ratios, ratios)
    d = model.specific_variance.to_numpy() * specific**2
    variance = ((b @ f) * b).sum(axis=-1) + d
    factors = list(model.factors)
    f, d = f * (1 - abs(c)), d * (1 - abs(c))
    if c > 0:
        b = np.concatenate([b, np.sqrt(variance)[..., None]], axis=-1)
        wide = np.zeros((*f.shape[:-2], f.shape[-1] + 1, f.shape[-1] + 1))
        wide[..., :-1, :-1], wide[..., -1, -1] = f, c
        f, factors = wide, [*factors, COMMON_SHOCK]
    elif c < 0:
        d = d - c * variance
    note = f"shocked: factor volatility x {factor_volatility}, specific x {specific:g}, correlation {c:+g}"
    made = RiskModel.from_arrays(
        b, f, d, assets=model.assets, factors=factors, kind=model.kind, origin=model.origin,
        notes=(*model.notes, note),
    )  # fmt: skip
    return replace(made, periods=model.periods)


@dataclass(frozen=True, eq=False)
class ReverseStress:
    """The most likely move that loses a given share; made by ``reverse_stress``.

    Attributes
    ----------
    loss
        Loss asked for, decimal.
    distance
        Its distance from no loss, in volatilities of the portfolio.
    probability
        Of a loss at least as large, were returns normal with mean zero.
    factors
        One row per factor: ``move``; ``in_volatilities`` of the factor; ``loss``, its part of the loss.
    assets
        One row per asset: ``move``, ``loss``; these parts sum to the loss.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> model = risk.StatisticalEstimator(3).fit(returns)
    >>> found = risk.reverse_stress(model, {"XOM": 0.5, "KO": 0.5}, 0.1)
    >>> round(found.assets["loss"].sum(), 3), round(found.distance, 2)
    (np.float64(0.1), 2.26)
    """

    loss: float
    distance: float
    probability: float
    factors: pd.DataFrame
    assets: pd.DataFrame


def _ratio(value: float, what: str) -> float:
    ratio = _checks.positive(value, what=what, where="shock to risk")
    if not 1 / LARGEST_RATIO <= ratio <= LARGEST_RATIO:
        raise DataError(
            f"shock to risk: {what} {ratio:g} is not between {1 / LARGEST_RATIO:g} and {LARGEST_RATIO:g}."
            " Give the ratio of new to old volatility, such as 1.5."
        )
    return ratio


def reverse_stress(model: RiskModel, weights: Weights, loss: float) -> ReverseStress:
    """Most likely move of factors and assets among those that lose ``loss`` (eq. R16).

    Of all returns r with w'r = -loss the one with the least r'Σ^-1 r; for normal returns it is also their
    mean given that loss. With posterior draws Σ is their mean.

    ``model`` is a risk model, ``weights`` are those of one portfolio.

    Raises
    ------
    DataError
        Several portfolios, a loss that is not positive or of 1 and not below what is invested, a portfolio
        without variance.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> model = risk.StatisticalEstimator(3).fit(returns)
    >>> risk.reverse_stress(model, {"XOM": 0.5, "KO": 0.5}, 0.1).assets["loss"].nlargest(2).round(3)
    asset
    XOM    0.06
    KO     0.04
    Name: loss, dtype: float64
    """
    where = "reverse stress"
    loss = _checks.positive(loss, what="loss", where=where)
    names, w = portfolios(weights, model.assets)
    if len(w) != 1:
        raise DataError(f"{where}: {len(w)} portfolios ({_checks.first(names or ())}). Give one.")
    gross = float(np.abs(w[0]).sum())
    if loss >= max(1.0, gross):  # a book with cash may be asked for what it cannot lose
        raise DataError(
            f"{where}: a loss of {loss:g} is {100 * loss:.4g} %, not less than what is invested"
            f" ({gross:.0%}). Losses are decimals: 0.1 is 10 %."
        )
    b, f = model.exposures.to_numpy(), model.factor_covariance.to_numpy()
    x = w @ b
    with_factors = x @ f  # covariance of the portfolio with factors ([draw,] 1, factor)
    specific = model.specific_variance.to_numpy() * w[0]
    with_assets = (with_factors @ b.swapaxes(-1, -2))[..., 0, :] + specific
    parts = _mean((x * with_factors)[..., 0, :], model)
    cov_f, cov_a = _mean(with_factors[..., 0, :], model), _mean(with_assets, model)
    variance = float(w[0] @ cov_a)
    if not variance > 0:
        raise DataError(f"{where}: the portfolio has no variance. Check its weights.")
    sd = np.sqrt(_mean(np.diagonal(f, axis1=-2, axis2=-1), model))
    move = -loss * cov_f / variance
    distance = loss / np.sqrt(variance)
    factors = pd.DataFrame(
        {
            "move": move,
            "in_volatilities": move / np.where(sd > 0, sd, np.nan),
            "loss": loss * parts / variance,
        },
        index=pd.Index(model.factors, name=FACTOR),
    )
    assets = pd.DataFrame(
        {"move": -loss * cov_a / variance, "loss": loss * w[0] * cov_a / variance},
        index=pd.Index(model.assets, name=ASSET),
    )
    return ReverseStress(loss, float(distance), float(stats.norm.sf(distance)), factors, assets)


def forecast_given_loss(
    forecast: Forecast, weights: Mapping[str, float] | pd.Series[Any], loss: float
) -> pd.DataFrame:
    """Mean return of each asset in the draws where a portfolio loses ``loss`` or more.

    Parameters
    ----------
    forecast
        Any forecast; its weights count.
    weights
        Weight by symbol, negative for short.
    loss
        Decimal over the span of the forecast.

    Returns
    -------
    pandas.DataFrame
        One row per asset: ``mean`` over all draws and ``given_loss``; ``loss``, its part of the portfolio's
        mean loss there. In ``attrs``: ``probability`` of such a loss, ``expected_loss`` given it, and the
        ``effective_draws`` behind these means.

    Raises
    ------
    DataError
        Fewer than 30 effective draws with such a loss: the mean would be luck.

    Examples
    --------
    >>> import bdfm, numpy as np
    >>> draws = np.random.default_rng(1).normal(0, 0.05, (2000, 2))
    >>> forecast = bdfm.Forecast.from_draws(
    ...     draws, assets=["A", "B"], asset_class=["x", "x"], origin="2022-01-07", end="2022-02-04"
    ... )
    >>> from bdfm import risk
    >>> risk.forecast_given_loss(forecast, {"A": 1.0}, 0.05)["given_loss"].round(2).to_dict()
    {'A': -0.08, 'B': 0.0}
    """
    where = "forecast given a loss"
    loss = _checks.finite(loss, what="loss", where=where)
    given = {str(k): _checks.finite(v, what=f"the weight of {k}", where=where) for k, v in weights.items()}
    _checks.known(given, forecast.assets, what="asset", where=where)
    draws, p = forecast.draws.to_numpy(), forecast.weights.to_numpy()
    held = Sample(draws, forecast.assets).portfolio(given)
    tail = p * (held <= -loss)
    probability = float(tail.sum())
    effective = probability**2 / float(np.square(tail).sum()) if probability else 0.0
    if effective < MIN_TAIL_DRAWS:
        raise DataError(
            f"{where}: the portfolio loses {loss:.2%} in {effective:.0f} effective draws of"
            f" {len(p):,}; {MIN_TAIL_DRAWS} are needed. Ask for a smaller loss, or forecast with more draws."
        )
    share = tail / probability
    conditional = share @ draws.astype(np.float64)
    w = np.array([given.get(a, 0.0) for a in forecast.assets])
    table = pd.DataFrame(
        {"mean": p @ draws.astype(np.float64), "given_loss": conditional, "loss": -w * conditional},
        index=pd.Index(forecast.assets, name=ASSET),
    )
    expected = -float(share @ held)
    table.attrs = {"probability": probability, "expected_loss": expected, "effective_draws": effective}
    return table

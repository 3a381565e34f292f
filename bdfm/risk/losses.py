"""What a loss of a given size would look like: of a risk model (eq. R16), and in a forecast's draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.special import ndtr

from bdfm import _checks, _labels
from bdfm._reading import counted
from bdfm._strict import strict
from bdfm._symbols import is_cash
from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.sample import Sample
from bdfm.names import ASSET, FACTOR
from bdfm.risk.base import RiskModel
from bdfm.risk.decomposition import draw_mean
from bdfm.risk.inputs import Weights, portfolios

MIN_TAIL_DRAWS: Final = 30


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


@strict
def reverse_stress(model: RiskModel, weights: Weights, loss: float) -> ReverseStress:
    """Most likely move of factors and assets among those that lose ``loss`` (eq. R16).

    Of all returns r with w'r = -loss the one with the least r'Σ^-1 r; for normal returns it is also their
    mean given that loss. With posterior draws Σ is their mean.

    ``model`` is a risk model, ``weights`` are those of one portfolio.

    Raises
    ------
    DataError
        Several portfolios; a loss that is not positive, or neither below 1 nor below what is invested; a
        portfolio without variance.

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
        raise DataError(f"{where}: {counted(len(w), 'portfolio')} ({_checks.first(names or ())}). Give one.")
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
    parts = draw_mean((x * with_factors)[..., 0, :], model.n_draws)
    cov_f, cov_a = draw_mean(with_factors[..., 0, :], model.n_draws), draw_mean(with_assets, model.n_draws)
    variance = float(w[0] @ cov_a)
    if not variance > 0:
        raise DataError(f"{where}: the portfolio has no variance. Check its weights.")
    sd = np.sqrt(draw_mean(np.diagonal(f, axis1=-2, axis2=-1), model.n_draws))
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
    return ReverseStress(loss, float(distance), float(ndtr(-distance)), factors, assets)


@strict
def forecast_given_loss(
    forecast: Forecast, weights: Mapping[str, float] | pd.Series[Any], loss: float
) -> pd.DataFrame:
    """Mean return of each asset in the draws where a portfolio loses ``loss`` or more.

    Parameters
    ----------
    forecast
        Any forecast; its weights count.
    weights
        Weight by symbol, negative for short; cash (``CASH``) and what is not invested earn nothing.
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
    UnknownLabelError
        A symbol of the weights that the forecast lacks.

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
    given = _labels.by_symbol(weights, where=where)
    given = {s: w for s, w in given.items() if not is_cash(s, forecast.assets)}
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

"""What a move of factors, or dearer risk, would mean for a book (eq. R14 and R15)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._strict import strict
from bdfm.errors import DataError
from bdfm.names import ASSET, FACTOR, PORTFOLIO
from bdfm.risk.base import RiskModel
from bdfm.risk.decomposition import draw_mean, summary_table
from bdfm.risk.inputs import Weights, portfolios

COMMON_SHOCK: Final = "common shock"  # factor that ``shock_risk`` adds
LARGEST_RATIO: Final = 100.0  # of new to old volatility, or of old to new
LARGEST_MOVE: Final = 100.0  # of a factor, decimal or in its volatilities, whichever is more


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


@strict
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
    assets = draw_mean((b @ factors[..., None])[..., 0], model.n_draws)
    return FactorShock(
        pd.Series(draw_mean(factors, model.n_draws), pd.Index(model.factors, name=FACTOR)),
        table,
        pd.Series(assets, pd.Index(model.assets, name=ASSET)),
    )


@strict
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
    UnknownLabelError
        A factor that the model lacks.

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


def _ratio(value: float, what: str) -> float:
    ratio = _checks.positive(value, what=what, where="shock to risk")
    if not 1 / LARGEST_RATIO <= ratio <= LARGEST_RATIO:
        raise DataError(
            f"shock to risk: {what} {ratio:g} is not between {1 / LARGEST_RATIO:g} and {LARGEST_RATIO:g}."
            " Give the ratio of new to old volatility, such as 1.5."
        )
    return ratio

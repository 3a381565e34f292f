"""A stress test: all scenarios, all models, all portfolios, as tables and a picture."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from bdfm import _checks
from bdfm._html import opening
from bdfm._reading import counted
from bdfm._strict import strict, strict_fields
from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast
from bdfm.names import ASSET, FACTOR, PORTFOLIO
from bdfm.risk import stress_plots
from bdfm.risk.base import RiskModel
from bdfm.risk.inputs import Weights, check_one_day, portfolios
from bdfm.risk.losses import forecast_given_loss, reverse_stress
from bdfm.risk.replays import WINDOWS, check_covers, doubt_factor_returns, replay, replay_held
from bdfm.risk.returns import doubt_returns, examined
from bdfm.risk.shocks import shock_factors, shock_risk

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Shock = tuple[Mapping[str, float], frozenset[str]]  # move by factor, factors whose move is in volatilities

OWN: Final = "own returns"  # the "model" of a replay of the assets' own returns
MODEL: Final = "model"
LEAST_ASSETS: Final = 2  # for each factor, where its returns in a past window are implied by assets'
MAX_FACTORS: Final = 5  # that are shocked where no shock is given
USUAL_MOVE: Final = -2.0  # of these, in volatilities
TAIL: Final = 0.95  # level of value at risk beside volatilities


@strict_fields
@dataclass(frozen=True)
class Scenarios:
    """What a stress test asks.

    Attributes
    ----------
    windows
        First and last day by name; ``None`` for September 2008, March 2020 and January 2022, so far as the
        data have them.
    shocks
        Each a mapping of factor to decimal move, and the factors whose move is in volatilities instead.
        ``None``: each of the five factors that matter most falls by two volatilities.
    others_move
        Whether factors that are not shocked go along.
    factor_volatility, specific_volatility, correlation
        As ``shock_risk`` takes them: each alone, and all together.
    loss
        That reverse stress asks for, decimal.
    """

    windows: Mapping[str, tuple[object, object]] | None = None
    shocks: Sequence[Shock] | None = None
    others_move: bool = True
    factor_volatility: float = 1.5
    specific_volatility: float = 1.5
    correlation: float = 0.5
    loss: float = 0.1


@dataclass(frozen=True, eq=False, repr=False)
class StressTest:
    """Result of ``stress_test``; returns and volatilities are decimals.

    Attributes
    ----------
    replay
        (window, portfolio, model): as ``replay``; "own returns" are those of the assets, without a model.
    shocks
        (shock, portfolio, model): ``return`` expected, ``volatility`` left; intervals with draws.
    risk
        (shock, portfolio, model): ``volatility`` before and after (``shocked``), and 95 % ``value_at_risk``
        of normal returns after.
    reverse
        (portfolio, model): ``loss``, ``distance`` in volatilities, ``probability``.
    reverse_factors, reverse_assets
        (portfolio, model, factor or asset): ``move`` and its part of the ``loss``.
    forecast
        (portfolio, asset): ``mean`` and ``given_loss`` of a forecast's draws; empty without a forecast.
    left_out
        What could not be answered, and why.
    scenarios
        What was asked.
    """

    replay: pd.DataFrame
    shocks: pd.DataFrame
    risk: pd.DataFrame
    reverse: pd.DataFrame
    reverse_factors: pd.DataFrame
    reverse_assets: pd.DataFrame
    forecast: pd.DataFrame
    left_out: tuple[str, ...]
    scenarios: Scenarios = field(default_factory=Scenarios)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Tables by name, those that are empty left out."""
        names = ("replay", "shocks", "risk", "reverse", "reverse_factors", "reverse_assets", "forecast")
        found: dict[str, pd.DataFrame] = {n: getattr(self, n) for n in names}
        return {n: t for n, t in found.items() if len(t)}

    def __repr__(self) -> str:
        sizes = ", ".join(f"{counted(len(t), 'row')} of {n}" for n, t in self.tables.items())
        return f"<bdfm.StressTest: {sizes}>"

    def _repr_html_(self) -> str:
        shown = {n: t for n, t in self.tables.items() if n in ("replay", "shocks", "risk", "reverse")}
        return opening(self, self.left_out) + "".join(t.to_html(border=0) for t in shown.values())

    def plot(self) -> Figure:
        """Returns in past windows and under shocks, volatilities before and after, distances of the loss."""
        return stress_plots.overview(
            self.replay, self.shocks, self.risk, self.reverse, loss=self.scenarios.loss
        )


@strict
def implied_factor_returns(model: RiskModel, returns: pd.DataFrame) -> pd.DataFrame:
    """Factor returns (period, factor) that assets' returns imply under the exposures of a model.

    Least squares across assets in each period, weighted by 1 / D; the shortest solution where factors are
    redundant, which changes no portfolio's systematic return. For models whose factors are not data, in
    periods that they were not fitted to. ``returns`` (period, asset) are simple; assets without a return in a
    period are left out of it. NaN where fewer assets than factors have one.

    Raises ``UnknownLabelError`` for an asset of the model without returns; ``DataError`` for returns that a
    rule of ``bdfm.data.doubts`` refuses, such as gross ones.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> model = risk.StatisticalEstimator(3).fit(returns)
    >>> risk.implied_factor_returns(model, returns).shape
    (104, 3)
    """
    table = returns.set_axis([str(c) for c in returns.columns], axis=1)
    _checks.known(model.assets, list(table.columns), what="asset", where="implied factor returns: returns")
    doubt_returns(table[list(model.assets)])
    b, d = model.exposures.to_numpy(), model.specific_variance.to_numpy()
    b, d = (b.mean(axis=0), d.mean(axis=0)) if model.n_draws else (b, d)
    root = 1 / np.sqrt(np.maximum(d, 1e-6 * d.max() if d.max() > 0 else 1.0))
    values = table[list(model.assets)].to_numpy(dtype=float)
    out = np.full((len(values), b.shape[1]), np.nan)
    for t, row in enumerate(values):
        use = np.isfinite(row)
        if use.sum() >= b.shape[1]:
            out[t] = np.linalg.lstsq(b[use] * root[use, None], row[use] * root[use], rcond=1e-10)[0]
    return pd.DataFrame(out, table.index, list(model.factors))


@strict
def stress_test(
    models: Mapping[str, RiskModel],
    weights: Weights,
    *,
    scenarios: Scenarios | None = None,
    returns: pd.DataFrame | None = None,
    factor_returns: pd.DataFrame | None = None,
    forecast: Forecast | None = None,
    accept: Collection[str] = (),
) -> StressTest:
    """Past windows, shocks to factors and to risk, and reverse stress, for all models and portfolios.

    Parameters
    ----------
    models
        By name, scaled to the horizon that shocks and losses are meant over.
    weights
        As ``RiskModel.variance`` takes them.
    scenarios
        What is asked; the usual ones unless given.
    returns
        (period, asset) simple returns that cover the windows, daily say; without them nothing is replayed
        but by ``factor_returns``. All assets that are held; others of the models may be missing, and are
        left out where factor returns are implied.
    factor_returns
        (period, factor) of models whose factors are data, decimals.
    forecast
        Adds the mean of its draws that lose ``scenarios.loss`` or more.
    accept
        Doubts about the returns, of assets and of factors, that are right all the same, as ``RULE`` or
        ``RULE:LABEL``; see ``bdfm.data.doubts``.

    Raises
    ------
    DataError, UnknownLabelError
        No models; windows that were given and are not covered; shocks to factors that no model has; moves,
        ratios or a loss that cannot be; a forecast of another trading day than the models'; returns, of
        assets or of factors, that a rule of ``bdfm.data.doubts`` refuses.
    """
    asked = scenarios or Scenarios()
    if not models:
        raise DataError("stress test: no model given.")
    _checks.positive(asked.loss, what="loss", where="stress test")
    names, w = portfolios(weights, next(iter(models.values())).assets)
    table = pd.DataFrame(w, names or ["portfolio"], list(next(iter(models.values())).assets))
    idle = table.index[~(table != 0).any(axis=1)]
    left_out = [f"{p}: it holds no asset with risk." for p in idle]
    table = table.loc[table.index.difference(idle, sort=False), (table != 0).any()]
    if table.empty:
        raise DataError("stress test: no portfolio holds an asset with risk. Check the weights.")
    if returns is not None:
        used = {*map(str, table.columns), *(a for m in models.values() for a in m.assets)}
        doubt_returns(returns.loc[:, [str(c) in used for c in returns.columns]], accept=accept)
    if factor_returns is not None:
        observed = {k: m for k, m in models.items() if m.observed_factors}  # the others imply theirs
        doubt_factor_returns(observed, factor_returns, accept=accept)
    with examined():
        replayed = _replayed(models, table, asked, returns, factor_returns, left_out)
    shocked = _shocked(models, table, asked)
    reverse = _reversed(models, table, asked.loss)
    _check_day(forecast, models, returns)
    given = _given_loss(forecast, table, asked.loss, left_out)
    return StressTest(replayed, shocked, _risk(models, table, asked), *reverse, given, tuple(left_out), asked)


def _joined(parts: Mapping[Any, pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
    return pd.concat(parts, names=list(names)) if parts else pd.DataFrame()


def _replayed(
    models: Mapping[str, RiskModel],
    weights: pd.DataFrame,
    asked: Scenarios,
    returns: pd.DataFrame | None,
    factor_returns: pd.DataFrame | None,
    left_out: list[str],
) -> pd.DataFrame:
    usual = asked.windows is None
    windows = WINDOWS if asked.windows is None else asked.windows
    parts = {}
    if returns is not None:
        returns = returns.set_axis([str(c) for c in returns.columns], axis=1)
        _checks.known(
            list(weights.columns), list(returns.columns), what="asset", where="stress test: returns"
        )
        for title, one_model in models.items() if windows else ():
            every = one_model.assets
            lacking = [a for a in every if a not in returns.columns]
            if lacking and not one_model.observed_factors:
                left_out.append(
                    f"{title}: what its factors did in past windows is implied by {len(every) - len(lacking)}"
                    f" of its {len(every)} assets; the returns lack {_checks.first(lacking)}."
                )
    for name, ends in windows.items():
        one = {name: ends}
        without: dict[str, str] = {}
        for model in (*models, OWN):
            try:
                if model == OWN:
                    if returns is None:
                        continue
                    found = replay_held(returns[list(weights.columns)], weights, windows=one)
                elif models[model].observed_factors:
                    if factor_returns is None:
                        continue
                    found = replay(models[model], factor_returns, weights, windows=one)
                elif returns is None:
                    continue
                else:
                    first, last = (_checks.as_date(d, where=f"replay: {name}") for d in ends)
                    days = _checks.days(returns.index, where="replay")
                    check_covers(days, first, last, name)
                    near = returns.set_axis(days).loc[
                        first - pd.Timedelta(days=10) : last + pd.Timedelta(days=10)
                    ]
                    of_all = near.reindex(columns=list(models[model].assets))  # NaN before and after its life
                    _check_enough(of_all, len(models[model].factors), model)
                    implied = implied_factor_returns(models[model], of_all)
                    found = replay(models[model], implied, weights, windows=one)
            except DataError as error:
                if not usual and model != OWN:
                    raise
                without[model] = str(error)
                continue
            parts[model, name] = found.droplevel("window")
        if without:
            left_out.append(f"{name}, by {', '.join(without)}: {next(iter(without.values()))}")
    if not parts:
        return pd.DataFrame()
    order = [(n, p, m) for n in windows for p in weights.index for m in (*models, OWN) if (m, n) in parts]
    joined = _joined(parts, [MODEL, "window"]).reorder_levels(["window", PORTFOLIO, MODEL])
    return joined.loc[order]


def _check_enough(returns: pd.DataFrame, n_factors: int, model: str) -> None:
    """Refuse factor returns that hardly more assets than factors would imply, where others are missing."""
    there, least = int(returns.notna().any().sum()), min(LEAST_ASSETS * n_factors, returns.shape[1])
    if there < least:
        raise DataError(
            f"replay: {there} assets of {model} have returns there, too few for what its {n_factors} factors"
            f" did: {least} at least. Give returns of all its assets."
        )


def _shocked(models: Mapping[str, RiskModel], weights: pd.DataFrame, asked: Scenarios) -> pd.DataFrame:
    parts = {}
    every = list(dict.fromkeys(f for m in models.values() for f in m.factors))
    for moves, _ in asked.shocks or ():
        _checks.known(moves, every, what="factor", where="factor shock")
        if not any(set(moves) <= set(m.factors) for m in models.values()):
            raise DataError(
                f"factor shock: no model has all of {_checks.first(moves)}. Name factors of one model in each"
                " shock."
            )
    for model_name, model in models.items():
        sd = _volatilities(model)
        shocks: Sequence[Shock]
        if asked.shocks is None:
            of_factor = model.decompose(weights).by_factor.to_numpy()  # ([draw,] portfolio, factor)
            of_factor = of_factor.mean(axis=0) if model.n_draws else of_factor
            share = np.abs(of_factor).sum(axis=0)
            top = np.argsort(-share, kind="stable")[:MAX_FACTORS]
            shocks = [
                ({model.factors[k]: USUAL_MOVE}, frozenset([model.factors[k]])) for k in top if share[k] > 0
            ]
        else:
            shocks = [s for s in asked.shocks if set(s[0]) <= set(model.factors)]
        for moves, scaled in shocks:
            size = {k: v * (sd[k] if k in scaled else 1.0) for k, v in moves.items()}
            title = ", ".join(
                f"{k} {v:+g} sd" if k in scaled else f"{k} {100 * v:+.4g} %" for k, v in moves.items()
            )
            found = shock_factors(model, size, weights, others_move=asked.others_move).table
            parts[title, model_name] = found
    if not parts:
        return pd.DataFrame()
    return _joined(parts, ["shock", MODEL]).reorder_levels(["shock", PORTFOLIO, MODEL])


def _volatilities(model: RiskModel) -> dict[str, float]:
    f = model.factor_covariance.to_numpy()
    variance = np.diagonal(f, axis1=-2, axis2=-1)
    variance = variance.mean(axis=0) if model.n_draws else variance
    return dict(zip(model.factors, np.sqrt(variance).tolist(), strict=True))


def _risk(models: Mapping[str, RiskModel], weights: pd.DataFrame, asked: Scenarios) -> pd.DataFrame:
    v, s, c = asked.factor_volatility, asked.specific_volatility, asked.correlation
    single: dict[str, dict[str, float]] = {}
    if v != 1 or s != 1:
        name = f"volatility x {v:g}" if v == s else f"factor volatility x {v:g}, specific x {s:g}"
        single[name] = {"factor_volatility": v, "specific_volatility": s}
    if c:
        single[f"correlation {abs(c):.0%} of the way to {'1' if c > 0 else '0'}"] = {"correlation": c}
    if len(single) == 2:
        single["both"] = {k: x for part in single.values() for k, x in part.items()}
    z = float(ndtri(TAIL))
    parts = {}
    for title, settings in single.items():
        for name, model in models.items():
            before, after = (
                np.sqrt(x.mean("draw").to_numpy() if m.n_draws else x.to_numpy())
                for m in (model, shock_risk(model, **settings))
                for x in [m.variance(weights)]
            )
            parts[title, name] = pd.DataFrame(
                {"volatility": before, "shocked": after, "value_at_risk": z * after},
                index=weights.index.rename(PORTFOLIO),
            )
    if not parts:
        return pd.DataFrame()
    return _joined(parts, ["shock", MODEL]).reorder_levels(["shock", PORTFOLIO, MODEL])


def _reversed(
    models: Mapping[str, RiskModel], weights: pd.DataFrame, loss: float
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rows, factors, assets = {}, {}, {}
    for portfolio, w in weights.iterrows():
        for name, model in models.items():
            found = reverse_stress(model, w, loss)
            key = (str(portfolio), name)
            rows[key] = {"loss": loss, "distance": found.distance, "probability": found.probability}
            factors[key], assets[key] = found.factors, found.assets.loc[list(weights.columns)]
    index = pd.MultiIndex.from_tuples(list(rows), names=[PORTFOLIO, MODEL])
    return (
        pd.DataFrame(list(rows.values()), index),
        _joined(factors, [PORTFOLIO, MODEL, FACTOR]),
        _joined(assets, [PORTFOLIO, MODEL, ASSET]),
    )


def _check_day(
    forecast: Forecast | None, models: Mapping[str, RiskModel], returns: pd.DataFrame | None
) -> None:
    """Refuse a forecast of another trading day than the models', if both say theirs."""
    origins = [m.origin for m in models.values() if m.origin is not None]
    if forecast is None or not origins:
        return
    days = pd.DatetimeIndex([max(origins)] if returns is None else returns.index)
    check_one_day(forecast.origin, max(origins), days, where="stress test: forecast", what="forecast")


def _given_loss(
    forecast: Forecast | None, weights: pd.DataFrame, loss: float, left_out: list[str]
) -> pd.DataFrame:
    if forecast is None:
        return pd.DataFrame()
    _checks.known(list(weights.columns), forecast.assets, what="asset", where="stress test: forecast")
    parts = {}
    for portfolio, w in weights.iterrows():
        try:
            table = forecast_given_loss(forecast, w[w != 0], loss)
        except DataError as error:
            left_out.append(f"{portfolio}, forecast: {error}")
            continue
        facts = {k: table.attrs[k] for k in ("probability", "expected_loss", "effective_draws")}
        parts[str(portfolio)] = table.assign(**facts)
        parts[str(portfolio)].attrs = {}
    return _joined(parts, [PORTFOLIO, ASSET])

"""Backtests of value at risk and expected shortfall: whether losses are as frequent and as large as said.

Any forecast and any risk model: the tests take series of what was said and of what came (eq. R10 to R12).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import xlogy

from bdfm import _checks, _labels
from bdfm._figures import new_figure
from bdfm._reading import counted
from bdfm._seeds import either_seed
from bdfm._statistics import p_text
from bdfm._strict import strict
from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.ranks import normalised_weights
from bdfm.portfolio.risk import portfolio_risk
from bdfm.risk.base import Estimator
from bdfm.risk.inputs import Weights, portfolios
from bdfm.risk.returns import doubt_returns
from bdfm.scoring.calibration import warn_of_overlap
from bdfm.scoring.outcomes import check_unit
from bdfm.validation.refits import refit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Hits = NDArray[np.bool_]

MIN_PERIODS: Final = 20
_MEANINGS: Final = {
    "unconditional coverage": "value at risk is exceeded too often or too seldom",
    "independence": "exceedances come in clusters: value at risk reacts too late",
    "conditional coverage": "too often or too seldom, or in clusters",
    "expected shortfall": "losses beyond value at risk are more or larger than expected shortfall says",
}


@dataclass(frozen=True, eq=False, repr=False)
class TailBacktest:
    """Result of ``backtest_tail``.

    Attributes
    ----------
    table
        One row per test: ``statistic``; ``p_value`` of its large-sample law (NaN for expected shortfall,
        whose law hangs on the tail); ``p_simulated``, of the same statistic under simulated right forecasts;
        ``meaning`` of a small p-value.
    series
        (period,) ``realised`` return, ``value_at_risk``, ``expected_shortfall`` where given, ``hit``.
    level
        Of value at risk and expected shortfall.
    """

    table: pd.DataFrame
    series: pd.DataFrame
    level: float

    @property
    def n_hits(self) -> int:
        """Number of periods whose loss is beyond value at risk."""
        return int(self.series["hit"].sum())

    def __repr__(self) -> str:
        rows = ", ".join(f"{n} {p_text(p)}" for n, p in self.table["p_simulated"].items())
        n, expected = len(self.series), (1 - self.level) * len(self.series)
        return (
            f"<TailBacktest at {self.level:g}: {self.n_hits} of {n} beyond, {expected:.1f} expected; {rows}>"
        )

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>".replace("<Tail", "&lt;Tail") + self.table.to_html(border=0)

    def plot(self) -> Figure:
        """Realised returns, the bounds that were said, and the exceedances."""
        figure, axes = new_figure(figsize=(9, 3.2))
        axis, s = axes[0, 0], self.series
        place = s.index
        axis.plot(place, 100 * s["realised"], ".", ms=2, color="0.6", label="realised")
        axis.plot(place, -100 * s["value_at_risk"], color="C0", lw=1, label=f"value at risk, {self.level:g}")
        if "expected_shortfall" in s:
            axis.plot(place, -100 * s["expected_shortfall"], color="C1", lw=1, label="expected shortfall")
        beyond = s.loc[s["hit"]]
        axis.plot(beyond.index, 100 * beyond["realised"], "x", color="C3", ms=5, label="beyond")
        axis.set_ylabel("return, %")
        axis.set_title(
            f"{self.n_hits} of {len(s)} beyond, {(1 - self.level) * len(s):.1f} expected", fontsize=9
        )
        axis.legend(frameon=False, fontsize=7, ncols=4)
        return figure


@either_seed
@strict
def backtest_tail(
    realised: pd.Series,
    value_at_risk: pd.Series,
    expected_shortfall: pd.Series | None = None,
    *,
    level: float = 0.95,
    draws: pd.DataFrame | Floats | None = None,
    draw_weights: pd.DataFrame | Floats | None = None,
    tail_shape: float = 0.0,
    n_simulations: int = 5000,
    seed: int = 0,
) -> TailBacktest:
    """Tests of forecast value at risk and expected shortfall against what came.

    Kupiec (1995), Journal of Derivatives 3(2), 73-84: as many exceedances as the level says. Christoffersen
    (1998), International Economic Review 39, 841-862: an exceedance as likely after one as after none, and
    both together. Acerbi and Szekely (2014), Risk 27(11), test 2: Z = 1 - Σ loss 1(beyond) / (n α ES), 0 on
    average if all is right and negative where risk is underestimated; its p-value is one-sided.

    Parameters
    ----------
    realised
        (period,) returns that came, decimals, in order of time: exceedances are looked at one after another.
    value_at_risk, expected_shortfall
        (period,) said before the period, as positive losses; the same periods.
    level
        0.95 looks at the worst twentieth.
    draws
        (period, draw) returns from the forecasts, from which right outcomes are simulated for expected
        shortfall. ``None``: losses beyond value at risk are generalised Pareto with the mean that expected
        shortfall says and ``tail_shape`` (0 exponential, 0.25 about Student-t with 4 degrees of freedom).
    draw_weights
        (period, draw) of the draws, of any sum, as views change them; ``None`` for equal ones.
    n_simulations, seed
        Histories of right forecasts, for the simulated p-values.

    Raises
    ------
    DataError
        Series of different periods or not in order of time, fewer than 20 periods or simulations, values
        that are not finite or of another unit than what was said, a shortfall below value at risk.
    """
    from scipy import stats  # slow to import, and seldom needed

    where = "backtest of tails"
    _check_level(level, where)
    if not tail_shape < 1:
        raise DataError(f"{where}: tail_shape {tail_shape:g} has no mean. Give a number below 1.")
    n_simulations = _checks.at_least(n_simulations, 20, what="n_simulations", where=where)
    series = _aligned(realised, value_at_risk, expected_shortfall, where)
    rng, alpha, n = np.random.default_rng(seed), 1 - level, len(series)
    hits = series["hit"].to_numpy()
    right = rng.random((n_simulations, n)) < alpha
    uc, ind = coverage(hits[None], alpha)[0], independence(hits[None])[0]
    sims = coverage(right, alpha), independence(right)
    rows: dict[str, tuple[float, float, float]] = {
        "unconditional coverage": (uc, float(stats.chi2.sf(uc, 1)), _share(sims[0], uc)),
        "independence": (ind, float(stats.chi2.sf(ind, 1)), _share(sims[1], ind)),
        "conditional coverage": (
            uc + ind,
            float(stats.chi2.sf(uc + ind, 2)),
            _share(sims[0] + sims[1], uc + ind),
        ),
    }
    if expected_shortfall is not None:
        es, r = series["expected_shortfall"].to_numpy(), series["realised"].to_numpy()
        z = shortfall_statistic(np.where(hits, -r, 0.0), es, alpha)
        if draws is None:
            var = series["value_at_risk"].to_numpy()
            excess = stats.genpareto.rvs(tail_shape, size=right.shape, random_state=rng)
            losses = np.where(right, var + (es - var) * (1 - tail_shape) * excess, 0.0)
        else:
            losses = _losses_of(draws, draw_weights, series, n_simulations, rng, where)
        simulated = shortfall_statistic(losses, es, alpha)
        rows["expected shortfall"] = (float(z), float("nan"), _share(-simulated, -float(z)))
    table = pd.DataFrame(rows, index=["statistic", "p_value", "p_simulated"]).T.rename_axis("test")
    return TailBacktest(table.assign(meaning=[_MEANINGS[k] for k in rows]), series, float(level))


def _aligned(
    realised: pd.Series, value_at_risk: pd.Series, expected_shortfall: pd.Series | None, where: str
) -> pd.DataFrame:
    columns = {"realised": realised, "value_at_risk": value_at_risk}
    if expected_shortfall is not None:
        columns["expected_shortfall"] = expected_shortfall
    for name, column in columns.items():
        if not column.index.equals(realised.index):
            raise DataError(f"{where}: periods of {name} are not those of the realised returns. Reindex it.")
    if not realised.index.is_unique or not realised.index.is_monotonic_increasing:
        raise DataError(f"{where}: periods are not in order of time, or come twice. Sort them.")
    table = pd.DataFrame(columns).astype(float)
    bad = ~np.isfinite(table.to_numpy())
    if bad.any():
        i, j = np.argwhere(bad)[0]
        raise DataError(
            f"{where}: {counted(bad.sum(), 'value is', 'values are')} missing (first {table.columns[j]} at"
            f" {table.index[i]})."
            " Drop the periods."
        )
    if len(table) < MIN_PERIODS:
        raise DataError(f"{where}: {counted(len(table), 'period')}. At least {MIN_PERIODS} are needed.")
    if expected_shortfall is not None:
        low = (table["expected_shortfall"] < table["value_at_risk"]) | (table["expected_shortfall"] <= 0)
        if low.any():
            raise DataError(
                f"{where}: expected shortfall is not positive or below value at risk in"
                f" {counted(low.sum(), 'period')}"
                f" (first {table.index[low][0]}). Give both as positive losses of one level."
            )
    check_unit(table["realised"].to_numpy(), _spread(table.iloc[:, 1:]), where=where)
    return table.assign(hit=-table["realised"] > table["value_at_risk"])


def _spread(said: pd.DataFrame) -> Floats:
    """About the sd (period,) behind value at risk and expected shortfall, which are some two of them."""
    return np.asarray(said.abs().max(axis=1), dtype=np.float64) / 2


def _losses_of(
    draws: pd.DataFrame | Floats,
    weights: pd.DataFrame | Floats | None,
    series: pd.DataFrame,
    n: int,
    rng: np.random.Generator,
    where: str,
) -> Floats:
    """Losses beyond value at risk (simulation, period), 0 elsewhere, of outcomes drawn from the forecasts."""
    values = np.asarray(draws, dtype=float)
    if values.ndim != 2 or len(values) != len(series) or not np.isfinite(values).all():
        raise DataError(
            f"{where}: draws of shape {values.shape}; ({len(series)}, draw) finite were expected."
        )
    if weights is None:
        pick = rng.integers(values.shape[1], size=(n, len(series)))
    else:
        p = np.asarray(weights, dtype=float)
        if p.shape != values.shape:
            raise DataError(f"{where}: draw_weights of shape {p.shape} for draws of shape {values.shape}.")
        for axis in (0, 1):
            _labels.same_labels(draws, weights, axes=(axis, axis), what="draw_weights", where=where)
        own = [normalised_weights(row, len(row), where=where) for row in p]
        pick = np.stack([rng.choice(len(row), size=n, p=row) for row in own], axis=1)
    losses = -values[np.arange(len(series)), pick]
    return np.where(losses > series["value_at_risk"].to_numpy(), losses, 0.0)


def _share(simulated: Floats, found: float) -> float:
    """p-value of a Monte Carlo test: ties count as half (a statistic of few hits has few values)."""
    tolerance = 1e-9 * max(1.0, abs(found))
    above = (simulated > found + tolerance).sum() + 0.5 * (np.abs(simulated - found) <= tolerance).sum()
    return float((above + 0.5) / (len(simulated) + 1))


def coverage(hits: Hits, alpha: float) -> Floats:
    """Kupiec's likelihood ratio (history,) of hits (history, period) (eq. R10)."""
    n, x = hits.shape[1], hits.sum(axis=1)
    null = xlogy(x, alpha) + xlogy(n - x, 1 - alpha)
    return np.asarray(np.maximum(-2 * (null - _bernoulli(x, n)), 0.0))


def independence(hits: Hits) -> Floats:
    """Christoffersen's likelihood ratio (history,) of a Markov chain against independence (eq. R11)."""
    before, now = hits[:, :-1], hits[:, 1:]
    n1, n11 = before.sum(axis=1), (before & now).sum(axis=1)
    n0, n01 = (~before).sum(axis=1), (~before & now).sum(axis=1)
    chain = _bernoulli(n01, n0) + _bernoulli(n11, n1)
    return np.maximum(-2 * (_bernoulli(n01 + n11, n0 + n1) - chain), 0.0)


def shortfall_statistic(losses: Floats, expected_shortfall: Floats, alpha: float) -> Floats:
    """Acerbi and Szekely's Z of losses ([history,] period), 0 where not beyond value at risk (eq. R12)."""
    return np.asarray(1 - (losses / expected_shortfall).mean(axis=-1) / alpha)


def _bernoulli(x: NDArray[Any], n: NDArray[Any] | int) -> Floats:
    """Largest log likelihood of x hits in n."""
    share = x / np.maximum(n, 1)
    return np.asarray(xlogy(x, share) + xlogy(n - x, 1 - share))


# -- what is said, by models and forecasts -------------------------------------------------------------------


def _check_level(level: float, where: str) -> None:
    if not 0.5 <= _checks.finite(level, what="level", where=where) < 1:
        raise DataError(f"{where}: level must be at least 0.5 and below 1, got {level:g}.")


@strict
def tail_of_volatility(
    volatility: float | Floats, *, level: float = 0.95, mean: float | Floats = 0.0, dof: float | None = None
) -> tuple[Any, Any]:
    """Value at risk and expected shortfall of normal returns, or Student-t with ``dof``, of a volatility.

    Normal: z σ - μ and φ(z) σ / (1 - level) - μ. McNeil, Frey and Embrechts (2015), sections 2.3.4 and 2.3.5.

    ``mean`` is μ.

    Raises ``DataError`` for a ``dof`` of 2 or less, or a ``level`` below 0.5 or not below 1.

    Examples
    --------
    >>> from bdfm import validation
    >>> [round(float(x), 4) for x in validation.tail_of_volatility(0.02)]
    [0.0329, 0.0413]
    """
    from scipy import stats  # slow to import, and seldom needed

    _check_level(level, "tail of a volatility")
    if dof is None:
        at = stats.norm.ppf(level)
        beyond = stats.norm.pdf(at) / (1 - level)
    else:
        if not dof > 2:
            raise DataError(f"tail of a volatility: dof {dof:g} has no variance. Give more than 2.")
        unit = np.sqrt((dof - 2) / dof)
        q = stats.t.ppf(level, dof)
        at = unit * q
        beyond = unit * stats.t.pdf(q, dof) * (dof + q**2) / (dof - 1) / (1 - level)
    return at * volatility - mean, beyond * volatility - mean


@strict
def tail_of_model(
    estimator: Estimator,
    returns: pd.DataFrame,
    weights: Weights,
    *,
    start: int,
    every: int = 1,
    level: float = 0.95,
    dof: float | None = None,
) -> pd.DataFrame:
    """What a risk model said of one portfolio, walk-forward: columns as ``backtest_tail`` takes them.

    The model is fitted to the first ``start`` returns, then again each ``every`` periods to all returns so
    far (its own window may be shorter), and speaks of each period until the next fit. The mean is 0.
    ``returns`` (period, asset) have no gaps after ``start``.

    ``estimator`` is what is refitted, ``weights`` are of one portfolio, ``level`` is that of the value at
    risk; tails are normal, or Student-t with ``dof``.

    Raises ``DataError`` for several portfolios, a ``start`` that leaves nothing, gaps after it, or a model
    without an asset that is held.
    """
    where = "walk-forward tail risk"
    _check_level(level, where)
    names, w = portfolios(weights, [str(c) for c in returns.columns])
    if len(w) != 1:
        raise DataError(f"{where}: {counted(len(w), 'portfolio')} ({_checks.first(names or ())}). Give one.")
    if not 1 < start < len(returns):
        raise DataError(
            f"{where}: start {start} is not between 2 and the {counted(len(returns), 'period')} less one."
        )
    _checks.at_least(every, 1, what="every", where=where)
    later = returns.iloc[start:]
    if later.isna().to_numpy().any():
        raise DataError(f"{where}: returns are missing after period {start}. Fill or drop those assets.")
    doubt_returns(returns)
    realised = later.to_numpy() @ w[0]
    held = pd.Series(w[0], [str(c) for c in returns.columns])
    volatility = np.empty(len(later))
    for at in range(0, len(later), every):
        model = refit(estimator, returns.iloc[: start + at], where=where, held=list(held.index[held != 0]))
        variance = model.variance(held[list(model.assets)])
        volatility[at : at + every] = np.sqrt(float(np.mean(variance.to_numpy())))
    var, es = tail_of_volatility(volatility, level=level, dof=dof)
    columns = {"realised": realised, "value_at_risk": var, "expected_shortfall": es}
    return pd.DataFrame(columns, index=later.index)


@strict
def tail_of_forecasts(
    forecasts: Iterable[Forecast], realised: pd.Series, weights: Weights, *, level: float = 0.95
) -> pd.DataFrame:
    """What forecasts said of one portfolio: columns as ``backtest_tail`` takes them.

    ``realised`` holds the portfolio's return by the forecasts' last day; ``weights`` are of one portfolio.

    ``level`` is that of the value at risk, 0.95 say. Rows are in order of time.

    Raises ``DataError`` for a forecast whose last day has no realised return, two that end on one day, or
    several portfolios. Warns (``DataWarning``) where forecasts begin before another one ends: the tests of
    ``backtest_tail`` take exceedances for independent.

    Examples
    --------
    >>> import bdfm, numpy as np
    >>> draws = np.random.default_rng(1).normal(0, 0.05, (2000, 2))
    >>> forecast = bdfm.Forecast.from_draws(
    ...     draws, assets=["A", "B"], asset_class=["x", "x"], origin="2022-01-07", end="2022-02-04"
    ... )
    >>> import pandas as pd
    >>> from bdfm import validation
    >>> realised = pd.Series([-0.03], pd.to_datetime(["2022-02-04"]))
    >>> validation.tail_of_forecasts([forecast], realised, {"A": 1.0}).round(2).iloc[0].to_dict()
    {'realised': -0.03, 'value_at_risk': 0.08, 'expected_shortfall': 0.1}
    """
    where, rows = "tail of forecasts", {}
    spans: list[tuple[pd.Timestamp, pd.Timestamp]] = []
    for forecast in forecasts:
        _, w = portfolios(weights, forecast.assets)
        if len(w) != 1:
            raise DataError(f"{where}: {counted(len(w), 'portfolio')}. Give one.")
        table = portfolio_risk(forecast, dict(zip(forecast.assets, w[0], strict=True)), level=level).table
        if forecast.end in rows:
            raise DataError(
                f"{where}: two forecasts end on {forecast.end:%Y-%m-%d}. Give one for each period."
            )
        spans.append((forecast.origin, forecast.end))
        rows[forecast.end] = table.loc[["value_at_risk", "expected_shortfall"], "value"]
    if not rows:
        raise DataError(f"{where}: no forecasts given. Give at least one.")
    then = "Tests of exceedances take them for independent and find too much."
    warn_of_overlap(spans, then=then, where=where)
    said = pd.DataFrame(rows).T.sort_index()
    missing = said.index.difference(pd.DatetimeIndex(realised.index))
    if len(missing):
        raise DataError(f"{where}: no realised return on {_checks.first(f'{d:%Y-%m-%d}' for d in missing)}.")
    said = said.assign(realised=realised.loc[said.index])
    check_unit(said["realised"].to_numpy(), _spread(said[["expected_shortfall"]]), where=where)
    return said[["realised", "value_at_risk", "expected_shortfall"]]

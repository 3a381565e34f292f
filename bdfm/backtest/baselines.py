"""Baselines: what a user would otherwise do, from equal fifths to DCC-GARCH, each a forecaster.

All but two simulate log returns over the period, without a conditional mean: expected returns over four weeks
are small beside the error of their estimates. Draws come in antithetic pairs, so that up and down balance
exactly where the distribution is symmetric, and Monte Carlo noise is small.

Returns are those of ``features.Closes``, between fresh closes on market days, so that local holidays count
neither as calm nor as news. An asset of a short history gets its own volatility from what there is, and
correlations from the days that it shares with each other one.

Where markets close at different hours, correlations of daily returns are too low: today's news in New York is
tomorrow's in London. ``correlation_days`` of more than one estimates them from overlapping returns over so
many days instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from scipy import stats

from bdfm import _checks
from bdfm.backtest.protocol import Floats, Forecaster, History, QuantileForecast
from bdfm.data.features import day_numbers
from bdfm.data.periods import period_edges
from bdfm.errors import DataError, MissingDependencyError
from bdfm.forecast.forecast import N_RANKS, AttrValue, Forecast
from bdfm.forecast.ranks import outcome_quantiles
from bdfm.posterior.posterior import MAX_LOG_RETURN, RETURN_RESOLUTION

N_DRAWS: Final = 40_000
MIN_SHARED_DAYS: Final = 40  # that a correlation is believed from; below, it is pulled to the class's
MIN_EIGENVALUE: Final = 1e-4  # of a correlation matrix, relative to its mean 1
_KNOTS: Final = np.linspace(-6.5, 6.5, 4001)  # of a normal variable, for its map to a Student-t


class Baseline(BaseModel):
    """A forecaster whose fields are its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    label: str = Field(exclude=True)  # name in tables

    @property
    def name(self) -> str:
        """Name in tables."""
        return self.label

    @property
    def settings(self) -> Mapping[str, Any]:
        """Kind and fields."""
        return {"kind": type(self).__name__, **self.model_dump(mode="json")}

    def forecast(self, history: History, *, seed: int) -> Forecast | QuantileForecast:
        """Forecast of the period after the history; see ``Forecaster``."""
        raise NotImplementedError(f"{type(self).__name__} has no forecast method")


# -- without draws -----------------------------------------------------------------------------------------


class EqualFifths(Baseline):
    """A fifth for everything: knowing nothing."""

    label: str = Field(default="equal", exclude=True)

    def forecast(self, history: History, *, seed: int) -> QuantileForecast:
        """Equal probabilities; the seed is not used."""
        n = len(history.assets)
        return QuantileForecast(history.assets, np.full((n, N_RANKS), 1 / N_RANKS))


class HistoricalFifths(Baseline):
    """How often each asset was in each fifth, shrunk to its class and that to equal fifths.

    Posterior means under Dirichlet priors: ``prior_periods`` periods with the class's frequencies are added
    to an asset's own, and as many with equal ones to the class's.
    """

    label: str = Field(default="historical", exclude=True)
    n_periods: PositiveInt = 130  # at most, before the origin
    prior_periods: PositiveFloat = 26.0

    def forecast(self, history: History, *, seed: int) -> QuantileForecast:
        """Shrunk frequencies; the seed is not used."""
        edges = period_edges(history.origin, period=history.period, n_past=self.n_periods, n_future=0)
        days = day_numbers(edges)
        returns = history.closes.log_returns(days[:-1], days[1:])
        counts = np.zeros((len(history.assets), N_RANKS))
        for row in returns:
            known = np.isfinite(row)
            if known.sum() >= N_RANKS:
                counts[known] += outcome_quantiles(row[known], N_RANKS)
        classes = np.array(history.asset_class)
        centre = np.empty_like(counts)
        for name in dict.fromkeys(history.asset_class):
            own = counts[classes == name].sum(axis=0) + self.prior_periods / N_RANKS
            centre[classes == name] = own / own.sum()
        total = counts + self.prior_periods * centre
        return QuantileForecast(history.assets, total / total.sum(axis=1, keepdims=True))


# -- estimates from daily returns --------------------------------------------------------------------------


def decay(n: int, half_life: float) -> Floats:
    """Weights (n,) that halve every ``half_life`` days back; the last one is 1."""
    return np.asarray(0.5 ** (np.arange(n)[::-1] / half_life))


def volatility(returns: Floats, weights: Floats) -> Floats:
    """Weighted standard deviation (asset,) of returns (day, asset) about their mean; NaN is missing."""
    known = np.isfinite(returns)
    w = np.where(known, weights[:, None], 0.0)
    w /= w.sum(axis=0)
    x = np.where(known, returns, 0.0)
    squares = np.where(known, x - (w * x).sum(axis=0), 0.0) ** 2
    return np.asarray(np.sqrt((w * squares).sum(axis=0)))


def summed(returns: Floats, n_days: int) -> Floats:
    """Overlapping returns (day, asset) over ``n_days`` days; NaN unless more than half of them are known."""
    if n_days == 1:
        return returns
    known = np.isfinite(returns)

    def window(x: NDArray[Any]) -> NDArray[Any]:
        total = np.vstack([np.zeros((1, x.shape[1])), np.cumsum(x, axis=0)])
        return np.asarray(total[n_days:] - total[:-n_days])

    enough = window(known.astype(np.float64)) > n_days / 2
    return np.where(enough, window(np.where(known, returns, 0.0)), np.nan)


def pairwise_correlation(returns: Floats, weights: Floats, *, n_days: int = 1) -> Floats:
    """Correlation (asset, asset) from the days that each pair shares, made positive definite.

    Pairs with fewer than 40 days in common are pulled to the mean correlation of all pairs, by the share that
    is lacking. ``returns`` (day, asset) over ``n_days`` days each, which overlap; missing as NaN.
    """
    known = np.isfinite(returns).astype(np.float64)
    x = np.where(known > 0, returns, 0.0)
    w = weights[:, None]
    x -= known * ((w * x).sum(axis=0) / np.maximum((w * known).sum(axis=0), 1e-300))
    squares = (w * x**2).T @ known
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = (w * x).T @ x / np.sqrt(squares * squares.T)
    shared = known.T @ known
    trust = np.clip(shared / (MIN_SHARED_DAYS * n_days), 0.0, 1.0)
    trust[~np.isfinite(correlation)] = 0.0
    correlation = np.nan_to_num(correlation)
    outside = ~np.eye(len(correlation), dtype=bool)
    weight = trust * outside
    centre = float((weight * correlation).sum() / max(weight.sum(), 1e-300))
    return positive_definite(trust * correlation + (1 - trust) * centre)


def positive_definite(correlation: Floats) -> Floats:
    """Correlation matrix with unit diagonal and no eigenvalue below 0.0001, by clipping."""
    values, vectors = np.linalg.eigh((correlation + correlation.T) / 2)
    fixed = (vectors * np.maximum(values, MIN_EIGENVALUE)) @ vectors.T
    scale = np.sqrt(np.diag(fixed))
    return np.asarray(fixed / scale / scale[:, None])


# -- simulation --------------------------------------------------------------------------------------------


def to_student(normal: Floats, dof: float) -> Floats:
    """Map standard normal variables to Student-t ones of unit variance, in place: a Gaussian copula."""
    heights = stats.t.ppf(stats.norm.cdf(_KNOTS), dof) * np.sqrt((dof - 2) / dof)
    for column in normal.T:
        column[:] = np.interp(column, _KNOTS, heights)
    return normal


def simulated_normal(correlation: Floats, n_draws: int, *, seed: int) -> Floats:
    """Correlated standard normal variables (draw, asset): one half of the draws, then its mirror image."""
    rng = np.random.default_rng(seed)
    half = rng.standard_normal((-(-n_draws // 2), len(correlation))) @ np.linalg.cholesky(correlation).T
    return np.concatenate([half, -half])


def from_log_returns(log_returns: Floats, history: History, attrs: Mapping[str, AttrValue]) -> Forecast:
    """Forecast of draws (draw, asset) of log returns over the period."""
    simple = np.expm1(np.clip(log_returns, -MAX_LOG_RETURN, MAX_LOG_RETURN))
    return Forecast.from_draws(
        np.rint(simple / RETURN_RESOLUTION) * RETURN_RESOLUTION,
        assets=history.assets,
        asset_class=history.asset_class,
        names=tuple(history.universe["name"]),
        origin=history.origin,
        end=history.end,
        attrs=attrs,
    )


class Simulation(Baseline):
    """Log returns with a correlation matrix, volatilities, and normal or Student-t margins.

    Attributes
    ----------
    dof
        Degrees of freedom of each asset's margin, above 2, joined by a Gaussian copula; None for normal
        margins. (A multivariate t shares its scale between all assets, which no ranking notices.)
    window_days
        Market days before the origin that are used, at most.
    n_draws
        Draws; the standard deviation of a forecast's RPS over seeds is some 4e-5 at 40,000.
    """

    dof: float | None = Field(default=None, gt=2)
    window_days: int = Field(default=1500, ge=20)
    n_draws: int = Field(default=N_DRAWS, ge=2)

    def estimate(self, history: History) -> tuple[Floats, Floats]:
        """Correlation (asset, asset), and volatility (asset,) over the period, of log returns."""
        raise NotImplementedError(f"{type(self).__name__} has no estimate method")

    def forecast(self, history: History, *, seed: int) -> Forecast:
        """Forecast by simulation."""
        correlation, scale = self.estimate(history)
        draws = simulated_normal(correlation, self.n_draws, seed=seed)
        if self.dof is not None:
            draws = to_student(draws, self.dof)
        draws *= scale
        return from_log_returns(draws, history, {})

    def _returns(self, history: History) -> Floats:
        returns = history.daily_returns[-self.window_days :]
        few = np.isfinite(returns).sum(axis=0) < 2
        if few.any():
            named = _checks.first(a for a, x in zip(history.assets, few, strict=True) if x)
            raise DataError(
                f"{self.name}: {few.sum()} of {len(few)} assets have fewer than 2 daily returns in the last"
                f" {self.window_days} days ({named}). Drop them from the universe."
            )
        return returns


class EWMA(Simulation):
    """Exponentially weighted volatilities and correlations (RiskMetrics), of different half-lives.

    Student-t margins of 5 degrees of freedom by default: ``ewma-t``; ``dof=None`` is ``ewma-normal``.
    """

    label: str = Field(default="ewma-t", exclude=True)
    dof: float | None = Field(default=5.0, gt=2)
    volatility_half_life: PositiveFloat = 60.0  # market days
    correlation_half_life: PositiveFloat = 250.0
    correlation_days: PositiveInt = 1

    def estimate(self, history: History) -> tuple[Floats, Floats]:
        """Weighted estimates; see the class."""
        returns = self._returns(history)
        scale = volatility(returns, decay(len(returns), self.volatility_half_life))
        return self._correlation(returns), scale * np.sqrt(history.horizon_days)

    def _correlation(self, returns: Floats) -> Floats:
        longer = summed(returns, self.correlation_days)
        weights = decay(len(longer), self.correlation_half_life)
        return pairwise_correlation(longer, weights, n_days=self.correlation_days)


class HAR(EWMA):
    """Panel HAR volatility (Corsi 2009, in logs) with EWMA correlations.

    Log volatility over the next ``horizon_days`` market days is regressed on that over the last week, month,
    quarter and year, in one regression over all assets and the past, one observation a week. The last of the
    windows also stands in for an asset's own level. Smearing (Duan 1983) takes logs back to variances.
    """

    label: str = Field(default="har", exclude=True)
    windows: tuple[int, ...] = (5, 22, 66, 250)  # market days
    horizon: PositiveInt = 20  # market days
    train_days: int = Field(default=2500, ge=500)  # market days of observations, at most

    def estimate(self, history: History) -> tuple[Floats, Floats]:
        """HAR volatilities and weighted correlations; see the class."""
        returns = self._returns(history)
        days, closes = history.market_days, history.closes
        ends = days[-1::-5][::-1]  # the last of them is the origin's
        x = np.stack([closes.log_volatility(ends, window=w) for w in self.windows], axis=2)
        fallback = np.log(volatility(returns, decay(len(returns), self.volatility_half_life)))
        place = np.searchsorted(days, ends)
        use = (place + self.horizon < len(days)) & (place >= max(self.windows))
        use &= place >= len(days) - self.train_days
        after = days[place[use] + self.horizon]
        y = closes.log_volatility(after, window=self.horizon)
        rows = np.isfinite(y) & np.isfinite(x[use]).all(axis=2)
        if rows.sum() < 50 * len(self.windows):
            raise DataError(
                f"{self.name}: {rows.sum()} observations of volatility before {history.origin:%Y-%m-%d} are"
                " too few for its regression. Choose a later origin, or shorter windows."
            )
        design = np.column_stack([np.ones(rows.sum()), x[use][rows]])
        coefficients, *_ = np.linalg.lstsq(design, y[rows], rcond=None)
        smear = np.log(np.mean(np.exp(2 * (y[rows] - design @ coefficients)))) / 2
        # A young asset has no year of volatility: its own average stands in.
        now = np.where(np.isfinite(x[-1]), x[-1], fallback[:, None])
        scale = np.exp(coefficients[0] + now @ coefficients[1:] + smear)
        return self._correlation(returns), scale * np.sqrt(history.horizon_days)


class Shrinkage(Simulation):
    """Sample covariance of a window, shrunk by scikit-learn: Ledoit-Wolf (2004) or OAS (Chen et al. 2010).

    Returns are standardised first, so that it is the correlations that are shrunk, towards none. The strength
    is estimated with missing returns at zero; the matrix itself from the days that pairs share.
    """

    label: str = Field(default="ledoit-wolf", exclude=True)
    method: str = Field(default="ledoit_wolf", pattern="^(ledoit_wolf|oas)$")
    window_days: int = Field(default=250, ge=20)

    def estimate(self, history: History) -> tuple[Floats, Floats]:
        """Shrunk correlations and the window's volatilities; see the class."""
        try:
            from sklearn.covariance import OAS, ledoit_wolf_shrinkage
        except ImportError as error:
            raise _missing(self.name, "scikit-learn") from error
        returns = self._returns(history)
        equal = np.ones(len(returns))
        scale = volatility(returns, equal)
        standard = np.nan_to_num((returns - np.nanmean(returns, axis=0)) / scale)
        if self.method == "oas":
            strength = float(OAS(store_precision=False, assume_centered=True).fit(standard).shrinkage_)
        else:
            strength = float(ledoit_wolf_shrinkage(standard, assume_centered=True))
        correlation = (1 - strength) * pairwise_correlation(returns, equal)
        np.fill_diagonal(correlation, 1.0)
        return correlation, scale * np.sqrt(history.horizon_days)


class PCAFactors(Simulation):
    """Static factor model: leading principal components of the correlations, own noise for the rest."""

    label: str = Field(default="pca", exclude=True)
    n_factors: PositiveInt = 7
    window_days: int = Field(default=500, ge=20)
    correlation_days: PositiveInt = 1

    def estimate(self, history: History) -> tuple[Floats, Floats]:
        """Correlations of the factor model and the window's volatilities; see the class."""
        returns = self._returns(history)
        equal = np.ones(len(returns))
        longer = summed(returns, self.correlation_days)
        full = pairwise_correlation(longer, np.ones(len(longer)), n_days=self.correlation_days)
        values, vectors = np.linalg.eigh(full)
        k = min(self.n_factors, len(values) - 1)
        common = (vectors[:, -k:] * values[-k:]) @ vectors[:, -k:].T
        np.fill_diagonal(common, 1.0)
        return positive_definite(common), volatility(returns, equal) * np.sqrt(history.horizon_days)


# -- filtered historical simulation ------------------------------------------------------------------------


class FilteredHistorical(Simulation):
    """Filtered historical simulation (Barone-Adesi, Giannopoulos and Vosper 1999) with EWMA volatility.

    Daily returns over the volatility expected for their day are residuals. A path of the period draws blocks
    of ``block_days`` days of them, all assets together, and multiplies them by volatility that goes on with
    each simulated day. Blocks of several days keep what one market learns from another the next day. A
    residual that an asset lacks is made from its class's mean of that day and noise, with the asset's
    correlation to that mean.
    """

    label: str = Field(default="fhs", exclude=True)
    volatility_half_life: PositiveFloat = 60.0
    block_days: PositiveInt = 5
    n_draws: int = Field(default=20_000, ge=2)
    warm_up: ClassVar[int] = 60  # first days of an asset, whose volatility is not known yet

    def forecast(self, history: History, *, seed: int) -> Forecast:
        """Forecast by simulation; each path comes with its mirror image."""
        rng = np.random.default_rng(seed)
        returns = self._returns(history)
        keep = 0.5 ** (1 / self.volatility_half_life)
        residuals, variance = _residuals(returns, keep, self.warm_up)
        residuals = _completed(residuals, np.array(history.asset_class), rng)
        n_days = max(1, round(history.horizon_days))
        n_paths = -(-self.n_draws // 2)
        n_blocks = -(-n_days // self.block_days)
        starts = rng.integers(len(residuals) - self.block_days + 1, size=(n_paths, n_blocks))
        total = np.zeros((n_paths, residuals.shape[1]))
        ahead = np.tile(variance, (n_paths, 1))
        for day in range(n_days):
            z = residuals[starts[:, day // self.block_days] + day % self.block_days]
            step = np.sqrt(ahead) * z
            total += step
            ahead = keep * ahead + (1 - keep) * step**2
        total *= np.sqrt(history.horizon_days / n_days)
        return from_log_returns(np.concatenate([total, -total]), history, {})


def _residuals(returns: Floats, keep: float, warm_up: int) -> tuple[Floats, Floats]:
    """Returns over expected volatility (day, asset), unit variance, NaN where missing; and the next variance.

    Variance starts as the mean square of an asset's first ``warm_up`` returns, which give no residuals.
    """
    known = np.isfinite(returns)
    count = np.cumsum(known, axis=0)
    x = np.where(known, returns, 0.0)
    early = known & (count <= warm_up)
    variance = (x**2 * early).sum(axis=0) / np.maximum(early.sum(axis=0), 1)
    residuals = np.full(returns.shape, np.nan)
    for t in range(len(returns)):
        on = known[t] & (count[t] > warm_up)
        residuals[t, on] = x[t, on] / np.sqrt(variance[on])
        variance = np.where(on, keep * variance + (1 - keep) * x[t] ** 2, variance)
    begun = np.isfinite(residuals).any(axis=1)
    if not begun.any():
        raise DataError("fhs: no asset has enough returns to begin with. Choose a later origin.")
    residuals = residuals[begun]
    present = np.isfinite(residuals)
    n = np.maximum(present.sum(axis=0), 1)
    residuals -= np.where(present, residuals, 0.0).sum(axis=0) / n
    scale = np.sqrt((np.where(present, residuals, 0.0) ** 2).sum(axis=0) / n)
    return residuals / np.where(scale > 0, scale, 1.0), variance


def _completed(residuals: Floats, classes: NDArray[Any], rng: np.random.Generator) -> Floats:
    """Residuals (day, asset) without gaps; see ``FilteredHistorical``."""
    filled = residuals.copy()
    known = np.isfinite(residuals)
    x = np.where(known, residuals, 0.0)
    for j in np.flatnonzero(~known.all(axis=0)):
        others = (classes == classes[j]) & (np.arange(len(classes)) != j)
        if not others.any():
            others = np.arange(len(classes)) != j
        n = known[:, others].sum(axis=1)
        mean = x[:, others].sum(axis=1) / np.maximum(n, 1)
        mean /= max(float(np.sqrt(np.mean(mean[n > 0] ** 2))), 1e-12)
        own = known[:, j] & (n > 0)
        pairs = own.sum()
        rho = float(np.mean(x[own, j] * mean[own])) if pairs >= MIN_SHARED_DAYS else 0.5
        rho = float(np.clip(rho, -0.95, 0.95))
        source = x[known[:, j], j] if pairs >= MIN_SHARED_DAYS else x[:, others][known[:, others]]
        noise = rng.choice(source, (~known[:, j]).sum()) * rng.choice([-1.0, 1.0], (~known[:, j]).sum())
        filled[~known[:, j], j] = rho * mean[~known[:, j]] + np.sqrt(1 - rho**2) * noise
    return filled


# -- DCC-GARCH ---------------------------------------------------------------------------------------------


class DCC(Simulation):
    """DCC-GARCH (Engle 2002): GARCH(1, 1) margins by ``arch``, dynamic conditional correlations.

    Margins have Student-t errors. Correlations are targeted; their two parameters maximise the composite
    likelihood of neighbouring pairs (Pakel, Shephard, Sheppard and Engle 2021). Variances and correlations
    are averaged over the days of the period. Assets with fewer than ``min_days`` returns take the median
    parameters of the others, with their own mean variance.
    """

    label: str = Field(default="dcc", exclude=True)
    window_days: int = Field(default=1000, ge=100)
    min_days: int = Field(default=400, ge=100)
    dof: float | None = Field(default=5.0, gt=2)

    def estimate(self, history: History) -> tuple[Floats, Floats]:
        """Correlations and volatilities expected over the period; see the class."""
        returns = 100 * self._returns(history)  # percent: the optimiser's scale
        n_days = max(1, round(history.horizon_days))
        margins = [_garch(returns[:, j], self.min_days) for j in range(returns.shape[1])]
        fitted = np.array([m for m in margins if m is not None])
        if not len(fitted):
            raise DataError(
                f"{self.name}: no asset has {self.min_days} daily returns. Choose a later origin."
            )
        typical = np.median(fitted, axis=0)
        standard = np.full(returns.shape, np.nan)
        scale = np.empty(returns.shape[1])
        for j, margin in enumerate(margins):
            alpha, beta, level = typical if margin is None else margin
            own = returns[np.isfinite(returns[:, j]), j]
            level = float(np.mean(own**2)) if margin is None else level
            z, ahead = _garch_filter(own, alpha, beta, level, n_days)
            standard[np.isfinite(returns[:, j]), j] = z
            scale[j] = np.sqrt(ahead.mean()) / 100
        target = pairwise_correlation(standard, np.ones(len(standard)))
        a, b = _dcc_parameters(np.nan_to_num(standard), target)
        correlation = _dcc_ahead(np.nan_to_num(standard), target, a, b, n_days)
        return positive_definite(correlation), scale * np.sqrt(history.horizon_days)


def _garch(returns: Floats, min_days: int) -> tuple[float, float, float] | None:
    """α, β and unconditional variance of a GARCH(1, 1), percent; None where there is too little to fit."""
    try:
        from arch import arch_model
    except ImportError as error:
        raise _missing("dcc", "arch") from error
    known = returns[np.isfinite(returns)]
    if len(known) < min_days:
        return None
    fit = arch_model(known, mean="Zero", vol="GARCH", p=1, q=1, dist="t", rescale=False).fit(
        disp="off", show_warning=False
    )
    omega, alpha, beta = (float(fit.params[k]) for k in ("omega", "alpha[1]", "beta[1]"))
    if fit.convergence_flag or alpha + beta >= 0.999:
        return (min(alpha, 0.2), min(beta, 0.998 - min(alpha, 0.2)), float(np.mean(known**2)))
    return alpha, beta, omega / (1 - alpha - beta)


def _garch_filter(
    returns: Floats, alpha: float, beta: float, level: float, n_days: int
) -> tuple[Floats, Floats]:
    """Standardised residuals (day,), and variances expected over the next days (n_days,)."""
    from scipy.signal import lfilter

    start = float(np.mean(returns**2))
    shock = (1 - alpha - beta) * level + alpha * returns**2
    variance, _ = lfilter([1.0], [1.0, -beta], shock, zi=[beta * start])
    past = np.concatenate([[start], variance[:-1]])
    decline = (alpha + beta) ** np.arange(n_days)
    return returns / np.sqrt(past), level + decline * (variance[-1] - level)


def _dcc_parameters(z: Floats, target: Floats) -> tuple[float, float]:
    """Parameters a and b that maximise the composite likelihood of pairs (i, i + 1); missing z is 0."""
    from scipy.optimize import minimize
    from scipy.signal import lfilter

    x, y = z[:, :-1], z[:, 1:]
    rho = np.diag(target, 1)
    both = (x != 0) & (y != 0)

    def path(products: Floats, centre: Floats | float, a: float, b: float) -> Floats:
        shock = np.vstack([np.broadcast_to(centre, products.shape[1:]), products[:-1]])
        shock[1:] = (1 - a - b) * centre + a * shock[1:]
        return np.asarray(lfilter([1.0], [1.0, -b], shock, axis=0))

    def loss(theta: Floats) -> float:
        a, b = theta
        if a < 0 or b < 0 or a + b >= 0.9999:
            return 1e10
        q = path(np.where(both, x * y, rho), rho, a, b)
        qx, qy = (path(np.where(s != 0, s * s, 1.0), 1.0, a, b) for s in (x, y))
        r = np.clip(q / np.sqrt(qx * qy), -0.999, 0.999)
        density = np.log1p(-r * r) + (x * x + y * y - 2 * r * x * y) / (1 - r * r)
        return float(density[both].mean())

    found = minimize(loss, [0.02, 0.95], method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-8})
    return float(found.x[0]), float(found.x[1])


def _dcc_ahead(z: Floats, target: Floats, a: float, b: float, n_days: int) -> Floats:
    """Correlations expected over the next days, averaged (Engle and Sheppard 2001)."""
    weights = a * b ** np.arange(len(z))[::-1]
    last = (weights[:, None] * z).T @ z
    # What missing days do not give, the target does.
    present = (z != 0).astype(np.float64)
    last += (a * (1 - b ** len(z)) / (1 - b) - (weights[:, None] * present).T @ present) * target
    last += ((1 - a - b) * (1 - b ** len(z)) / (1 - b) + b ** len(z)) * target
    scale = np.sqrt(np.diag(last))
    now = last / scale / scale[:, None]
    share = np.mean((a + b) ** np.arange(n_days))
    return np.asarray(share * now + (1 - share) * target)


def _missing(name: str, package: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"{name}: needs {package}, which is not installed. Install it with: pip install 'bdfm[backtest]'"
    )


# -- list --------------------------------------------------------------------------------------------------


def baselines() -> dict[str, Forecaster]:
    """All baselines with their default settings, by name."""
    return {
        forecaster.name: forecaster
        for forecaster in (
            EqualFifths(),
            HistoricalFifths(),
            EWMA(label="ewma-normal", dof=None),
            EWMA(),
            EWMA(label="ewma-t-5d", correlation_days=5),
            HAR(),
            HAR(label="har-5d", correlation_days=5),
            Shrinkage(),
            Shrinkage(label="oas", method="oas"),
            FilteredHistorical(),
            DCC(),
            PCAFactors(),
        )
    }

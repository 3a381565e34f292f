"""Whether to believe a risk model: one report of explanatory power, residuals, stability and forecasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from rich.progress import track
from scipy import stats

from bdfm import _checks
from bdfm._figures import new_figure
from bdfm._html import opening
from bdfm._statistics import mean_error
from bdfm.errors import DataError
from bdfm.names import ASSET, FACTOR, FACTOR_RETURNS, PERIOD, SPECIFIC_RETURNS
from bdfm.risk.base import Estimator, RiskModel
from bdfm.risk.returns import returns_table
from bdfm.validation import statistics
from bdfm.validation.out_of_sample import OutOfSample, cross_validate, walk_forward

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

LEVEL: Final = 0.05  # probability that a right model gets any flag, at most
LAGS: Final = 5
MAX_INFLATION: Final = 10.0
N_SIMULATIONS: Final = 50
# What a forecast may miss before it matters, beyond what chance explains.
BIAS_TOLERANCE: Final = 0.15
REGIME_TOLERANCE: Final = 0.30
DISTANCE_TOLERANCE: Final = 0.25
MINIMUM_TOLERANCE: Final = 0.50
TREND: Final = 21  # periods of the volatility that tells regimes apart


@dataclass(frozen=True)
class Check:
    """One question put to the model.

    Attributes
    ----------
    name, section
        What is asked, and of what: "diagnosis" (the fit) or "forecast" (unseen returns).
    statistic
        The figure in words.
    p_value
        Chance of such a figure if nothing is wrong; NaN where a threshold decides.
    flagged
        Whether the answer is bad.
    meaning
        What a bad answer means for who uses the model.
    """

    name: str
    section: str
    statistic: str
    p_value: float
    flagged: bool
    meaning: str


@dataclass
class _Collector:
    """Checks as they come; p-values become flags once their number is known."""

    rows: list[tuple[str, str, str, float, bool | None, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def test(self, name: str, section: str, statistic: str, p: float, meaning: str) -> None:
        self.rows.append((name, section, statistic, p, None, meaning))

    def threshold(self, name: str, section: str, statistic: str, bad: bool, meaning: str) -> None:
        self.rows.append((name, section, statistic, float("nan"), bad, meaning))

    def checks(self, level: float) -> tuple[Check, ...]:
        n_tests = sum(flagged is None for *_, flagged, _ in self.rows)
        return tuple(
            Check(n, s, t, p, p < level / n_tests if bad is None else bad, m)
            for n, s, t, p, bad, m in self.rows
        )


@dataclass(frozen=True, eq=False, repr=False)
class ValidationReport:
    """Answers to whether a risk model can be believed; made by ``validate``.

    Attributes
    ----------
    kind
        Kind of the risk model.
    level
        Chance, at most, that a model without fault gets any flag: shared out over the tests (Bonferroni).
    checks
        Every question with its answer, in order.
    assets
        One row per asset: R², t-statistics of exposures (HAC), p-values of the residual tests.
    factors
        One row per factor: significant exposures (Holm), variance inflation, drift of exposures over time.
    periods
        Cross-sectional R² of each period.
    rolling
        Exposures (period, asset, factor) in windows of a quarter of the history, labelled by the last period;
        ``None`` where factor returns are not observed.
    out_of_sample
        Walk-forward result; ``None`` without an estimator.
    regimes
        Bias statistics by regime; ``None`` without an estimator.
    paths
        Headline figures of each path of combinatorial cross-validation; ``None`` where not run.
    simulation
        What refits to simulated data recover; ``None`` without an estimator.
    skipped
        Parts that were not run, and why.
    """

    kind: str
    level: float
    checks: tuple[Check, ...]
    assets: pd.DataFrame
    factors: pd.DataFrame
    periods: pd.Series
    rolling: xr.DataArray | None
    out_of_sample: OutOfSample | None
    regimes: pd.DataFrame | None
    paths: pd.DataFrame | None
    simulation: pd.DataFrame | None
    skipped: tuple[str, ...]

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of the checks that failed."""
        return tuple(c.name for c in self.checks if c.flagged)

    @property
    def table(self) -> pd.DataFrame:
        """One row per check: section, statistic, p-value, flag, meaning."""
        columns = ["section", "statistic", "p_value", "flagged", "meaning"]
        rows = {c.name: [getattr(c, x) for x in columns] for c in self.checks}
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("check")

    @property
    def conclusion(self) -> str:
        """The report in plain language: what failed, and what it means."""
        bad = [c for c in self.checks if c.flagged]
        if not bad:
            return f"No fault found in {len(self.checks)} checks."
        lines = [f"{c.name} ({c.statistic}): {c.meaning}" for c in bad]
        return f"{len(bad)} of {len(self.checks)} checks failed.\n" + "\n".join(f"- {x}" for x in lines)

    def __repr__(self) -> str:
        return (
            f"<bdfm.ValidationReport, {self.kind}: {len(self.flags)} of {len(self.checks)} checks flagged"
            + (f" ({', '.join(self.flags)})" if self.flags else "")
            + ">"
        )

    def _repr_html_(self) -> str:
        bad = [c for c in self.checks if c.flagged]
        items = "".join(
            f"<li><b>{escape(c.name)}</b> ({escape(c.statistic)}): {escape(c.meaning)}</li>" for c in bad
        )
        skipped = "".join(f"<li>not run: {escape(s)}</li>" for s in self.skipped)
        shown = self.table[["section", "statistic", "p_value", "flagged"]]
        return (
            opening(self)
            + f"<ul>{items}{skipped}</ul>"
            + shown.to_html(float_format="{:.3g}".format, border=0)
        )

    def plot(self) -> Figure:
        """R² by asset and period, p-values of the residual tests, and forecasts where there are any."""
        figure, axes = new_figure(2, 2, figsize=(10, 5.5))
        first, second, third, fourth = axes.ravel()
        first.hist(self.assets["r_squared"].dropna(), bins=25, color="C0", alpha=0.7)
        first.set_title("R² of each asset", fontsize=8)
        second.plot(self.periods, ".", ms=2, color="C0", alpha=0.5)
        second.plot(self.periods.rolling(max(5, len(self.periods) // 20)).mean(), color="C3", lw=1.2)
        second.set_title("cross-sectional R² of each period", fontsize=8)
        for j, name in enumerate(_P_VALUES):
            p = np.sort(self.assets[name].dropna())
            third.plot(p, np.arange(1, len(p) + 1) / max(len(p), 1), lw=1.2, color=f"C{j}", label=name)
        third.plot([0, 1], [0, 1], color="black", lw=0.6)
        third.legend(fontsize=6, frameon=False)
        third.set_title("p-values over assets; on the diagonal: no fault", fontsize=8)
        if self.out_of_sample is not None:
            bias = self.out_of_sample.bias()["bias"]
            for j, group in enumerate(dict.fromkeys(bias.index.get_level_values(0))):
                own = np.sort(bias.loc[group])
                fourth.plot(
                    own, (np.arange(len(own)) + 0.5) / len(own), "o", ms=3, color=f"C{j}", label=group
                )
            fourth.axvline(1, color="black", lw=0.6)
            fourth.legend(fontsize=6, frameon=False)
            fourth.set_title("bias statistic out of sample; above 1: underestimated", fontsize=8)
        else:
            fourth.remove()
        for axis in (first, second, third, fourth):
            axis.tick_params(labelsize=7)
            axis.spines[["top", "right"]].set_visible(False)
        figure.suptitle(f"Validation of the {self.kind} model: {len(self.flags)} flags", fontsize=10)
        return figure

    def plot_stability(self) -> Figure:
        """Exposures in rolling windows: median over assets, and the band of the middle 80 %.

        Raises ``DataError`` for a model whose exposures do not come from regressions over time.
        """
        if self.rolling is None:
            raise DataError(
                f"stability: exposures of a {self.kind} model are no regressions over time; look at"
                " out_of_sample instead."
            )
        names = [str(x) for x in self.rolling[FACTOR].values]
        figure, axes = new_figure(len(names), figsize=(8, 0.5 + 1.4 * len(names)), sharex=True)
        time = self.rolling[PERIOD].to_numpy()
        for axis, name in zip(axes[:, 0], names, strict=True):
            values = self.rolling.sel({FACTOR: name}).to_numpy()
            low, middle, high = np.nanquantile(values, [0.1, 0.5, 0.9], axis=1)
            axis.fill_between(time, low, high, color="C0", alpha=0.3, lw=0)
            axis.plot(time, middle, color="C0", lw=1.2, marker="o", ms=3)
            axis.set_title(name, fontsize=8, loc="left")
            axis.tick_params(labelsize=7)
            axis.spines[["top", "right"]].set_visible(False)
        figure.suptitle("Exposures in rolling windows: median and middle 80 % of assets", fontsize=10)
        return figure


_P_VALUES: Final = ("ljung_box", "arch_lm", "jarque_bera")


def validate(
    model: RiskModel,
    returns: pd.DataFrame,
    *,
    estimator: Estimator | None = None,
    window: int | None = None,
    step: int = 1,
    start: int | None = None,
    regimes: Mapping[str, tuple[object, object]] | None = None,
    cross_validation: bool = False,
    n_simulations: int = N_SIMULATIONS,
    level: float = LEVEL,
    seed: int = 0,
    progress: bool = False,
) -> ValidationReport:
    """Report on a risk model: what it explains, whether residuals are specific, how stable, how it forecasts.

    Parameters
    ----------
    model
        Risk model with its history, as every estimator makes it.
    returns
        (period, asset) simple returns, of which the model was made.
    estimator
        What made the model. With it the model is refitted: forecasts of unseen returns, regimes, Monte Carlo
        and cross-validation. ``None`` leaves those parts out.
    window, step, start
        Of the walk-forward; see ``walk_forward``.
    regimes
        Name to first and last day of spells of interest. Unless given, thirds of the test periods by the
        volatility of the 21 periods *before* each: known beforehand, so that calm does not select itself.
    cross_validation
        Whether to run combinatorial purged cross-validation (15 refits; needs skfolio).
    n_simulations
        Refits to data simulated from the model (specific returns anew, factors as they were); 0 for none.
    level
        Chance, at most, that a model without fault gets any flag.
    seed
        Of the simulations and the random portfolios.
    progress
        Whether to show progress bars.

    Notes
    -----
    Tests are made in an order in which one fault does not pass for another: residuals are scaled for a break
    of their volatility before their correlations are tested, and whitened before clusters of volatility,
    tails and co-movement are. Forecast checks allow a margin (15 % on volatility) beyond chance: every model
    is somewhat wrong.

    Raises
    ------
    DataError
        A model without history, or returns that are not those of its history.
    """
    where = "validation"
    level = _checks.positive(level, what="level", where=where)
    table = returns_table(returns, where=where)
    f, u, r = _history(model, table, where)
    found = _Collector()
    rng = np.random.default_rng(seed)

    clean = _diagnose_residuals(found, f, u)
    fit = _exposures(found, model, f, r, level)
    simulation = None
    observed = _co_movement(clean)
    if estimator is not None and n_simulations:
        simulation = _simulate(found, model, estimator, table, u, observed, n_simulations, rng, progress)
    elif model.observed_factors and n_simulations:
        null = [_co_movement(rng.standard_normal(clean.shape)) for _ in range(max(n_simulations, 100))]
        _co_movement_check(found, observed, null)
    else:
        found.skipped.append("co-movement of residuals: needs estimator= and n_simulations > 0")
    forecasts = regime_table = paths = None
    if estimator is None:
        found.skipped.append("walk-forward, regimes, Monte Carlo, cross-validation: need estimator=")
    else:
        forecasts = walk_forward(
            estimator, table, window=window, step=step, start=start, seed=seed, progress=progress
        )
        _forecast_checks(found, forecasts)
        regime_table = _regimes(found, forecasts, table, regimes)
        if cross_validation:
            results = cross_validate(estimator, table, seed=seed, progress=progress)
            paths = pd.DataFrame(
                [x.summary() for x in results], index=pd.RangeIndex(1, len(results) + 1, name="path")
            )
    variation = np.nanvar(r, axis=1)
    left = np.nanmean(np.square(u), axis=1)
    periods = pd.Series(1 - left / np.where(variation > 0, variation, np.nan), f.index, name="r_squared")
    assets = _asset_table(model, u, r, fit, f)
    return ValidationReport(
        model.kind,
        level,
        found.checks(level),
        assets,
        fit.factors,
        periods,
        _rolling(model, f, r) if model.observed_factors else None,
        forecasts,
        regime_table,
        paths,
        simulation,
        tuple(found.skipped),
    )


def _history(model: RiskModel, table: pd.DataFrame, where: str) -> tuple[pd.DataFrame, Floats, Floats]:
    """Factor returns (period, factor), specific returns and returns (period, asset) of the estimation."""
    history = model.history
    if history is None or FACTOR_RETURNS not in history or SPECIFIC_RETURNS not in history:
        raise DataError(f"{where}: the model has no history. Make it by an estimator.")
    _checks.known(model.assets, list(table.columns), what="asset", where=f"{where}: returns")
    found = history[FACTOR_RETURNS]
    days = pd.DatetimeIndex(found[PERIOD].to_numpy())
    f = pd.DataFrame(found.to_numpy(), days, list(model.factors))
    missing = f.index.difference(table.index)
    if len(missing):
        raise DataError(
            f"{where}: no returns for {len(missing)} of the model's {len(f)} periods (first"
            f" {missing[0]:%Y-%m-%d}). Give the returns that the model was made of."
        )
    r = table.loc[f.index, list(model.assets)].to_numpy()
    return f, history[SPECIFIC_RETURNS].to_numpy(), r


# -- the fit -----------------------------------------------------------------------------------------------


def _diagnose_residuals(found: _Collector, f: pd.DataFrame, u: Floats) -> Floats:
    """Tests of residuals (period, asset), most basic fault first; returns them cleaned of what was found."""
    n_series = u.shape[1]
    z = statistics.standardised(u)
    moves = statistics.standardised(f.to_numpy())
    for what, values, meaning in (
        (
            "specific",
            z,
            "specific risk before and after the break differs: estimate on the time after it, or with a"
            " half-life, or D is an average that fits neither",
        ),
        (
            "factor",
            moves,
            "factors moved with another volatility before and after the break: F is an average that fits"
            " neither. Use a shorter window or a half-life",
        ),
    ):
        level_of = np.nanmean(np.square(values), axis=1)
        broken = statistics.variance_break(level_of[np.isfinite(level_of)])
        day = f.index[broken.position]
        before, after = (
            np.sqrt(np.nanmean(x)) for x in (level_of[: broken.position], level_of[broken.position :])
        )
        found.test(
            f"volatility break, {what}",
            "diagnosis",
            f"volatility times {after / before:.2f} after {day:%Y-%m-%d}",
            broken.p_value,
            meaning,
        )
        if what == "specific" and broken.p_value < LEVEL:
            parts = [statistics.standardised(x) for x in (z[: broken.position], z[broken.position :])]
            z = np.concatenate(parts)
    p = statistics.robust_autocorrelation(z, LAGS)
    found.test(
        "autocorrelation of residuals",
        "diagnosis",
        f"{_share(p)} of {n_series} assets with p < 0.01",
        statistics.bonferroni(p),
        "specific returns of one period tell those of the next: risk over several periods is not the"
        " square root of time, and stale prices or a slow factor may be behind it",
    )
    white = statistics.whitened(z)
    p = statistics.volatility_clusters(white, LAGS)
    found.test(
        "clusters of specific volatility",
        "diagnosis",
        f"{_share(p)} of {n_series} assets with p < 0.01",
        statistics.bonferroni(p),
        "calm and turbulent spells alternate: a constant D is too high in calm and too low in turbulent"
        " times. Use a half-life, or a model with volatility of its own",
    )
    p = statistics.normality(white)
    found.test(
        "normality of residuals",
        "diagnosis",
        f"{_share(p)} of {n_series} assets with p < 0.01",
        statistics.bonferroni(p),
        "large specific moves are more frequent than under a normal law: volatility is right on average,"
        " quantiles taken from a normal law (value at risk) are too mild",
    )
    return white


def _share(p: Floats) -> str:
    return f"{int((p < 0.01).sum())}"


def _co_movement(values: Floats) -> float:
    return float(np.log(statistics.largest_eigenvalue(values)))


def _co_movement_check(found: _Collector, observed: float, null: list[float]) -> None:
    mean, sd, n = float(np.mean(null)), float(np.std(null, ddof=1)), len(null)
    p = float(stats.t.sf((observed - mean) / (sd * np.sqrt(1 + 1 / n)), n - 1))
    found.test(
        "co-movement of residuals",
        "diagnosis",
        f"largest eigenvalue {np.exp(observed):.2f}, {np.exp(mean):.2f} expected",
        p,
        "a factor is missing: what counts as specific is shared, does not diversify, and the risk of"
        " diversified portfolios is too low. Add a factor, or look at the assets that move together",
    )


@dataclass(frozen=True, eq=False)
class _Exposures:
    regressions: statistics.Regressions
    p_values: Floats  # (factor, asset)
    factors: pd.DataFrame


def _exposures(found: _Collector, model: RiskModel, f: pd.DataFrame, r: Floats, level: float) -> _Exposures:
    """Significance, collinearity and stability of exposures."""
    x = np.column_stack([np.ones(len(f)), f.to_numpy()])
    # Factor returns under zero-sum constraints are linearly dependent; the pseudo-inverse takes the
    # solution of least length, and R² is what it is.
    fitted = statistics.regress(x, r)
    free = np.isfinite(r).sum(axis=0) - x.shape[1]
    p = 2 * stats.t.sf(np.abs(fitted.t[1:]), np.maximum(free, 1))
    significant = statistics.holm(p, level)
    table = pd.DataFrame(index=pd.Index(model.factors, name="factor"))
    table["significant_exposures"] = significant.sum(axis=1)
    table["median_abs_t"] = np.nanmedian(np.abs(fitted.t[1:]), axis=1)
    table["variance_inflation"] = _inflation(model, f)
    worst = table["variance_inflation"].max()
    named = table.index[table["variance_inflation"] > MAX_INFLATION]
    found.threshold(
        "collinearity",
        "diagnosis",
        f"largest variance inflation {worst:.1f}" + (f" ({_checks.first(named)})" if len(named) else ""),
        bool(worst > MAX_INFLATION),
        "these factors tell nearly the same story: exposures to each are unreliable and may be large with"
        " opposite signs, though their sum is sound. Drop or combine them",
    )
    if model.observed_factors:
        idle = table.index[(table["significant_exposures"] == 0) & ~_significant_alone(f, r, level)]
        found.threshold(
            "significance of exposures",
            "diagnosis",
            f"{int(significant.sum())} of {significant.size} exposures significant (Holm)"
            + (f"; none to {_checks.first(idle)}" if len(idle) else ""),
            bool(len(idle)),
            "no asset has a significant exposure to these factors, beside the others or alone: they add"
            " noise to B and nothing to the explanation. Drop them",
        )
        drift, change = _drift(x, r)
        table["drifting_exposures"] = statistics.holm(drift, level).sum(axis=1)
        found.test(
            "stability of exposures",
            "diagnosis",
            f"largest change between the halves {np.nanmax(np.abs(change)):.2f} standard errors",
            statistics.bonferroni(drift),
            "exposures of the first and the second half of the window differ: the average of both is the"
            " exposure of neither. Use a shorter window or a half-life",
        )
    return _Exposures(fitted, p, table)


def _significant_alone(f: pd.DataFrame, r: Floats, level: float) -> NDArray[np.bool_]:
    """Whether any asset responds to a factor (factor,) by itself: collinear ones do, idle ones do not."""
    single = [statistics.regress(np.column_stack([np.ones(len(f)), x]), r).t[1] for x in f.to_numpy().T]
    p = 2 * stats.t.sf(np.abs(np.array(single)), len(f) - 2)
    return np.asarray(statistics.holm(p, level).any(axis=1))


def _inflation(model: RiskModel, f: pd.DataFrame) -> Floats:
    """Variance inflation of factor returns; of numeric exposures across assets where those are the data.

    Categories and the market are redundant on purpose: they have none.
    """
    if model.observed_factors:
        return statistics.variance_inflation(f.to_numpy())
    if model.kind != "cross-sectional":
        return np.ones(len(model.factors))
    b = model.exposures.to_numpy()
    numeric = ((b < 0) | (b > 1)).any(axis=0)
    out = np.full(b.shape[1], np.nan)
    if numeric.any():
        others = b[:, ~numeric] - b[:, ~numeric].mean(axis=0)
        left = b[:, numeric] - b[:, numeric].mean(axis=0)
        within = left - others @ np.linalg.lstsq(others, left, rcond=None)[0]
        # Inflation by categories times that by the other styles within categories.
        first = np.square(left).sum(axis=0) / np.maximum(np.square(within).sum(axis=0), 1e-300)
        out[numeric] = first * (statistics.variance_inflation(within) if numeric.sum() > 1 else 1.0)
    return out


def _drift(x: Floats, r: Floats) -> tuple[Floats, Floats]:
    """p-values and t-statistics (factor, asset) of the change of exposures between the halves.

    Errors are White's, so that a change of volatility is no change of exposures.
    """
    half = len(x) // 2
    first, second = (
        statistics.regress(a, b, lags=0) for a, b in ((x[:half], r[:half]), (x[half:], r[half:]))
    )
    variance = np.diagonal(first.covariances + second.covariances, axis1=1, axis2=2).T[1:]
    t = (second.coefficients[1:] - first.coefficients[1:]) / np.sqrt(np.where(variance > 0, variance, np.nan))
    enough = (np.isfinite(r[:half]).sum(axis=0) > 3 * x.shape[1]) & (
        np.isfinite(r[half:]).sum(axis=0) > 3 * x.shape[1]
    )
    t = np.where(enough, t, np.nan)
    # Two halves, each of whose errors is estimated from as many periods: the smaller counts.
    return 2 * stats.t.sf(np.abs(t), half - x.shape[1]), t


def _rolling(model: RiskModel, f: pd.DataFrame, r: Floats, n_windows: int = 9) -> xr.DataArray:
    """Exposures (period, asset, factor) in windows of a quarter of the history."""
    size = max(len(f) // 4, f.shape[1] + 3)
    stops = np.unique(np.linspace(size, len(f), n_windows).round().astype(int))
    x = np.column_stack([np.ones(len(f)), f.to_numpy()])
    found = []
    for stop in stops:
        rows = slice(stop - size, stop)
        b = statistics.regress(x[rows], r[rows], lags=0).coefficients[1:].T
        enough = np.isfinite(r[rows]).sum(axis=0) > x.shape[1]
        found.append(np.where(enough[:, None], b, np.nan))
    coords = {PERIOD: f.index[stops - 1], ASSET: list(model.assets), FACTOR: list(model.factors)}
    return xr.DataArray(np.array(found), dims=(PERIOD, ASSET, FACTOR), coords=coords, name="exposures")


def _asset_table(model: RiskModel, u: Floats, r: Floats, fit: _Exposures, f: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame(index=pd.Index(model.assets, name="asset"))
    known = np.isfinite(u)
    both = np.where(known, r, np.nan)
    table["r_squared"] = 1 - np.nanvar(u, axis=0) / np.nanvar(both, axis=0)
    for name, t in zip(model.factors, fit.regressions.t[1:], strict=True):
        table[f"t {name}"] = t
    table["ljung_box"] = statistics.ljung_box(u, LAGS)
    table["arch_lm"] = statistics.arch_lm(u, LAGS)
    table["jarque_bera"] = statistics.jarque_bera(u)
    return table


# -- refits ------------------------------------------------------------------------------------------------


def _simulate(
    found: _Collector,
    model: RiskModel,
    estimator: Estimator,
    table: pd.DataFrame,
    u: Floats,
    observed: float,
    n_simulations: int,
    rng: np.random.Generator,
    progress: bool,
) -> pd.DataFrame | None:
    """Refits to data from the model, which tell what the estimator does where the model is right.

    The systematic part of returns stays as it was; specific returns are drawn anew from N(0, D).
    """
    history = model.history
    if model.n_draws or history is None:
        found.skipped.append(
            "Monte Carlo: a posterior is checked by bdfm.posterior.predictive_checks and simulation-based"
            " calibration"
        )
        return None
    index = pd.DatetimeIndex(history[PERIOD].to_numpy())
    assets = list(model.assets)
    sd = np.sqrt(model.specific_variance.to_numpy())
    systematic = table.loc[index, assets].to_numpy() - u
    truth = np.linalg.norm(model.covariance().to_numpy() - np.diag(sd**2)) if len(assets) <= 500 else np.nan
    eigenvalues, ratios, errors, common = [], [], [], []
    runs = range(n_simulations)
    for _ in track(runs, "Monte Carlo ...", transient=True) if progress else runs:
        simulated = table[assets].copy()
        simulated.loc[index] = systematic + sd * rng.standard_normal(u.shape)
        try:
            again = estimator.fit(simulated.clip(lower=-1))
        except DataError as error:
            found.skipped.append(f"Monte Carlo: a refit failed ({error})")
            return None
        own = again.history
        assert own is not None
        eigenvalues.append(_co_movement(statistics.whitened(own[SPECIFIC_RETURNS].to_numpy())))
        ratios.append(again.specific_variance.to_numpy() / sd**2)
        if model.observed_factors:
            errors.append(again.exposures.to_numpy() - model.exposures.to_numpy())
        if np.isfinite(truth):
            left = again.covariance().to_numpy() - np.diag(again.specific_variance.to_numpy())
            right = model.covariance().to_numpy() - np.diag(sd**2)
            common.append(np.linalg.norm(left - right) / truth)
    _co_movement_check(found, observed, eigenvalues)
    ratio = np.array(ratios)
    rows: dict[str, tuple[float, float]] = {
        "specific variance, refit over truth": (float(ratio.mean()), float(ratio.mean(axis=1).std(ddof=1)))
    }
    if common:
        rows["common covariance, relative error"] = (float(np.mean(common)), float(np.std(common, ddof=1)))
    if errors:
        found_errors = np.array(errors)
        spread = model.exposures.to_numpy().std(axis=0)
        size = np.sqrt(np.square(found_errors).mean(axis=(0, 1))) / np.where(spread > 0, spread, np.nan)
        for name, own_size, bias in zip(model.factors, size, found_errors.mean(axis=(0, 1)), strict=True):
            rows[f"exposure to {name}: error over dispersion"] = (float(own_size), np.nan)
            rows[f"exposure to {name}: mean error"] = (float(bias), np.nan)
    uncertain = float(ratio.mean(axis=1).std(ddof=1)) / np.sqrt(n_simulations)
    excess = max(abs(float(ratio.mean()) - 1) - 2 * BIAS_TOLERANCE, 0.0)
    found.test(
        "recovery of specific risk",
        "diagnosis",
        f"refits give {ratio.mean():.2f} of the true specific variance",
        float(stats.norm.sf(excess / uncertain)) if excess > 0 else 1.0,
        "on data made by the model the same estimator misses the specific variance: too many factors for"
        " so few periods or assets. Use fewer factors or more data",
    )
    return pd.DataFrame(rows, index=["mean", "sd"]).T


def _beyond(value: float, error: float, tolerance: float) -> float:
    """One-sided p-value that a ratio is farther from 1 than ``tolerance``, on a log scale."""
    excess = abs(np.log(value)) - np.log(1 + tolerance)
    if not error > 0:
        return float("nan")
    # Both directions are looked at.
    return float(min(1.0, 2 * stats.norm.sf(excess / (error / value)))) if excess > 0 else 1.0


def _forecast_checks(found: _Collector, forecasts: OutOfSample) -> None:
    standardised = forecasts.standardised
    groups = standardised.columns.get_level_values(0)
    for group, meaning in (
        ("long only", "the risk of long-only portfolios is {}: F is off, or a factor is missing"),
        ("long-short", "the risk of long-short portfolios is {}: D is off, or their common parts are"),
    ):
        squares = (standardised.loc[:, groups == group] ** 2).mean(axis=1).to_numpy()
        bias, error = _root_mean(squares)
        found.test(
            f"bias statistic, {group}",
            "forecast",
            f"{bias:.2f} ± {error:.2f}",
            _beyond(bias, error, BIAS_TOLERANCE),
            meaning.format("underestimated" if bias > 1 else "overestimated"),
        )
    distance, error = forecasts.mahalanobis()
    found.test(
        "Mahalanobis calibration",
        "forecast",
        f"{distance:.2f} ± {error:.2f}",
        _beyond(distance, error, DISTANCE_TOLERANCE),
        "some combinations of assets are riskier (above 1) or calmer (below 1) than the covariance says;"
        " an optimiser will find them",
    )
    ratio, error = forecasts.minimum_variance_ratio()
    found.test(
        "minimum-variance portfolio",
        "forecast",
        f"realised over forecast volatility {ratio:.2f} ± {error:.2f}",
        _beyond(ratio, error, MINIMUM_TOLERANCE),
        "the portfolio that the model thinks safest is not what it promises: the model overfits, do not"
        " optimise on it without constraints",
    )
    gain, error = forecasts.qlike_gain()
    found.test(
        "QLIKE against the sample variance",
        "forecast",
        f"{gain:+.3f} ± {error:.3f} (positive: better)",
        float(stats.norm.sf(-gain / error)) if error > 0 else float("nan"),
        "a portfolio's own past variance forecasts better than the model does",
    )


def _root_mean(squares: Floats) -> tuple[float, float]:
    level = float(np.sqrt(np.nanmean(squares)))
    return level, mean_error(squares) / (2 * level)


def _regimes(
    found: _Collector,
    forecasts: OutOfSample,
    table: pd.DataFrame,
    given: Mapping[str, tuple[object, object]] | None,
) -> pd.DataFrame | None:
    """Bias statistics by regime of the test periods."""
    index = forecasts.realised.index
    masks: dict[str, NDArray[np.bool_]] = {}
    if given:
        for name, (first, last) in given.items():
            begin, end = (_checks.as_date(d, where=f"regime {name}") for d in (first, last))
            masks[name] = np.asarray((index >= begin) & (index <= end))
            if not masks[name].any():
                raise DataError(
                    f"regime {name}: no test period from {begin:%Y-%m-%d} to {end:%Y-%m-%d}; they run from"
                    f" {index[0]:%Y-%m-%d} to {index[-1]:%Y-%m-%d}."
                )
    else:
        trend = table.mean(axis=1).rolling(min(TREND, max(2, len(table) // 10))).std()
        before = trend.shift(1).loc[index]
        low, high = before.quantile([1 / 3, 2 / 3])
        masks = {
            "calm before": (before <= low).to_numpy(),
            "in between": ((before > low) & (before <= high)).to_numpy(),
            "turbulent before": (before > high).to_numpy(),
        }
    standardised = forecasts.standardised
    groups = standardised.columns.get_level_values(0)
    rows, p = [], []
    for name, mask in masks.items():
        row: dict[str, Any] = {"regime": name, "periods": int(mask.sum())}
        for group in dict.fromkeys(groups):
            squares = (standardised.loc[mask, groups == group] ** 2).mean(axis=1).to_numpy()
            row[f"bias, {group}"], error = _root_mean(squares)
            if group in ("long only", "long-short") and mask.sum() >= 10:
                p.append(_beyond(row[f"bias, {group}"], error, REGIME_TOLERANCE))
        rows.append(row)
    result = pd.DataFrame(rows).set_index("regime")
    if p:
        biases = result[[c for c in map(str, result.columns) if c.startswith("bias, long")]]
        found.test(
            "bias statistic by regime",
            "forecast",
            f"{biases.min().min():.2f} to {biases.max().max():.2f}",
            statistics.bonferroni(np.array(p)),
            "risk is misjudged in some states of the market although it may be right on average: the model"
            " reacts too slowly, or not at all, to changing volatility",
        )
    return result

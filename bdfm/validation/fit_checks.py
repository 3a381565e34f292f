"""Checks of the fit: residuals, exposures, their significance, collinearity and drift."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from bdfm import _checks
from bdfm._reading import counted
from bdfm.errors import DataError
from bdfm.names import ASSET, FACTOR, PERIOD
from bdfm.risk.base import RiskModel
from bdfm.validation import statistics
from bdfm.validation.check import LEVEL, Collector

Floats = NDArray[np.float64]
type Bounds = str | tuple[float, float]  # "+", "-", or lowest and highest exposure

LAGS: Final = 5
MAX_INFLATION: Final = 10.0
P_VALUES: Final = ("ljung_box", "arch_lm", "jarque_bera")


def diagnose_residuals(found: Collector, f: pd.DataFrame, u: Floats) -> Floats:
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
        known = np.flatnonzero(np.isfinite(values).any(axis=1))
        level_of = np.nanmean(np.square(values[known]), axis=1)
        broken = statistics.variance_break(level_of)
        before, after = (np.sqrt(x.mean()) for x in np.split(level_of, [broken.position]))
        at = known[broken.position]
        found.test(
            f"volatility break, {what}",
            "diagnosis",
            f"volatility times {after / before:.2f} after {f.index[at]:%Y-%m-%d}",
            broken.p_value,
            meaning,
        )
        if what == "specific" and broken.p_value < LEVEL:
            parts = [statistics.standardised(x) for x in (z[:at], z[at:])]
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


def co_movement(values: Floats) -> float:
    """Logarithm of the largest eigenvalue of the correlations of residuals (period, asset)."""
    return float(np.log(statistics.largest_eigenvalue(values)))


def co_movement_check(found: Collector, observed: float, null: list[float]) -> None:
    """Test of an observed co-movement against its values where residuals are independent."""
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
    freedom: NDArray[np.int64]  # (asset,) degrees of freedom of its regression
    factors: pd.DataFrame


def exposures(found: Collector, model: RiskModel, f: pd.DataFrame, r: Floats, level: float) -> _Exposures:
    """Significance, collinearity and stability of exposures."""
    x = np.column_stack([np.ones(len(f)), f.to_numpy()])
    # Factor returns under zero-sum constraints are linearly dependent; the pseudo-inverse takes the
    # solution of least length, and R² is what it is.
    fitted = statistics.regress(x, r)
    free = np.maximum(np.isfinite(r).sum(axis=0) - x.shape[1], 1)
    p = 2 * stats.t.sf(np.abs(fitted.t[1:]), free)
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
        if np.isfinite(change).any():
            found.test(
                "stability of exposures",
                "diagnosis",
                f"largest change between the halves {np.nanmax(np.abs(change)):.2f} standard errors",
                statistics.bonferroni(drift),
                "exposures of the first and the second half of the window differ: the average of both is the"
                " exposure of neither. Use a shorter window or a half-life",
            )
        else:
            found.skipped.append(
                f"stability of exposures: needs more than {counted(3 * x.shape[1], 'return')} of an asset"
                " in each half"
            )
    return _Exposures(fitted, free, table)


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


def _explained(u: Floats, r: Floats) -> tuple[Floats, Floats]:
    """Returns (period, asset) where residuals are known, and the share of variance explained (asset,)."""
    both = np.where(np.isfinite(u), r, np.nan)
    return both, np.asarray(1 - np.nanvar(u, axis=0) / np.nanvar(both, axis=0))


def explanatory_power(
    found: Collector, model: RiskModel, fit: _Exposures, r: Floats, u: Floats, level: float
) -> None:
    """R² of the fit: of observed factors with the F test of each asset, Holm over assets."""
    both, share = _explained(u, r)
    total = 1 - np.nansum(np.square(u - np.nanmean(u, axis=0))) / np.nansum(
        np.square(both - np.nanmean(both, axis=0))
    )
    low, high = np.nanmin(share), np.nanmax(share)
    figure = f"R² {total:.2f} over all returns, {low:.2f} to {high:.2f} by asset"
    nothing = total <= 0
    if model.observed_factors:
        k = len(model.factors)
        freedom = np.maximum(np.isfinite(r).sum(axis=0) - k - 1, 1)
        r2 = np.clip(fit.regressions.r_squared, 0.0, 1.0 - 1e-12)
        p = stats.f.sf(r2 / (1 - r2) * freedom / k, k, freedom)
        explained = int(statistics.holm(p[None], level).sum())
        figure += f"; {explained} of {len(p)} assets explained (F test, Holm)"
        nothing = explained == 0
    found.threshold(
        "explanatory power",
        "diagnosis",
        figure,
        bool(nothing),
        "the factors explain no asset beyond chance: the model says of risk what each asset's own volatility"
        " says, and takes all assets for independent. Look for other factors",
    )


def expected_exposures(
    found: Collector, model: RiskModel, fit: _Exposures, bounds: Mapping[str, Bounds], level: float
) -> pd.DataFrame:
    """Exposures that should lie between bounds: one row (asset, factor) for each that does not.

    Of observed factors an exposure is odd if it is beyond its bound by more than its error allows (one-sided
    t test, Holm over all that were asked about); with posterior draws if fewer than ``level`` of them are
    within; otherwise if it is beyond.
    """
    within = {name: _bounds(name, given) for name, given in bounds.items()}
    _checks.known(within, model.factors, what="factor", where="expected exposures")
    at = [model.factors.index(name) for name in within]
    low, high = (np.array([w[j] for w in within.values()])[:, None] for j in (0, 1))
    if model.observed_factors:
        b = fit.regressions.coefficients[1:][at]
        error = b / np.where(fit.regressions.t[1:][at] != 0, fit.regressions.t[1:][at], np.nan)
        p = np.asarray(stats.t.sf(np.maximum(low - b, b - high) / error, fit.freedom))
        odd = statistics.holm(p, level)
    else:
        draws = np.moveaxis(model.exposures.to_numpy()[..., at], -1, -2)  # ([draw,] factor, asset)
        inside = (draws >= low) & (draws <= high)
        b = draws.mean(axis=0) if model.n_draws else draws
        p = np.asarray(inside.mean(axis=0) if model.n_draws else inside, dtype=float)
        odd, error = p < level, draws.std(axis=0) if model.n_draws else np.full(b.shape, np.nan)
    at_fault = [(k, i) for k in range(len(within)) for i in np.flatnonzero(odd[k])]
    names = list(within)
    rows = [(b[k, i], error[k, i], *within[names[k]], p[k, i]) for k, i in at_fault]
    index = [(model.assets[i], names[k]) for k, i in at_fault]
    table = pd.DataFrame(
        rows,
        pd.MultiIndex.from_tuples(index, names=["asset", "factor"]),
        ["exposure", "se", "low", "high", "p_value"],
    )
    named = [f"{model.assets[i]} to {names[k]} {b[k, i]:.2f}" for k, i in at_fault]
    meaning = (
        "these exposures have a sign or a size that makes no sense to you: look for errors in the prices, for"
        " factors in another unit or currency, and for another factor that takes this one's place"
    )
    words = f"{len(table)} of {b.size} are not as expected" + (f" ({_checks.first(named)})" if named else "")
    if model.observed_factors:
        found.test("expected exposures", "diagnosis", words, statistics.bonferroni(p), meaning)
    else:
        found.threshold("expected exposures", "diagnosis", words, bool(named), meaning)
    return table


def _bounds(name: str, given: Bounds) -> tuple[float, float]:
    """Lowest and highest exposure; "+" and "-" stand for a sign."""
    where = f"expected exposures to {name}"
    if isinstance(given, str):
        if given not in ("+", "-"):
            raise DataError(f"{where}: {given!r} is no sign. Write '+', '-' or two numbers.")
        return (0.0, np.inf) if given == "+" else (-np.inf, 0.0)
    if len(given) != 2 or not all(isinstance(x, (int, float)) for x in given) or not given[0] < given[1]:
        raise DataError(f"{where}: {given!r} are no lower and upper bound. Such as (0, 2).")
    return float(given[0]), float(given[1])


def rolling(model: RiskModel, f: pd.DataFrame, r: Floats, n_windows: int = 9) -> xr.DataArray:
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


def asset_table(model: RiskModel, u: Floats, r: Floats, fit: _Exposures, f: pd.DataFrame) -> pd.DataFrame:
    """One row per asset; see ``ValidationReport.assets``."""
    table = pd.DataFrame(index=pd.Index(model.assets, name="asset"))
    _, table["r_squared"] = _explained(u, r)
    for name, t in zip(model.factors, fit.regressions.t[1:], strict=True):
        table[f"t {name}"] = t
    table["ljung_box"] = statistics.ljung_box(u, LAGS)
    table["arch_lm"] = statistics.arch_lm(u, LAGS)
    table["jarque_bera"] = statistics.jarque_bera(u)
    return table

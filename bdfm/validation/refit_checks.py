"""Checks by refits: forecasts of unseen returns, regimes, and what refits to simulated data recover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track
from scipy import stats

from bdfm import _checks
from bdfm._statistics import mean_error
from bdfm.errors import DataError
from bdfm.names import PERIOD, SPECIFIC_RETURNS
from bdfm.risk.base import Estimator, RiskModel
from bdfm.validation import statistics
from bdfm.validation.check import Collector
from bdfm.validation.fit_checks import co_movement, co_movement_check
from bdfm.validation.out_of_sample import OutOfSample
from bdfm.validation.refits import refit

Floats = NDArray[np.float64]

# What a forecast may miss before it matters, beyond what chance explains.
BIAS_TOLERANCE: Final = 0.15
REGIME_TOLERANCE: Final = 0.30
DISTANCE_TOLERANCE: Final = 0.25
MINIMUM_TOLERANCE: Final = 0.50
TREND: Final = 21  # periods of the volatility that tells regimes apart


def simulate_refits(
    found: Collector,
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
            again = refit(estimator, simulated.clip(lower=-1), where="risk model")
        except DataError as error:
            found.skipped.append(f"Monte Carlo: a refit failed ({error})")
            return None
        own = again.history
        assert own is not None
        eigenvalues.append(co_movement(statistics.whitened(own[SPECIFIC_RETURNS].to_numpy())))
        ratios.append(again.specific_variance.to_numpy() / sd**2)
        if model.observed_factors:
            errors.append(again.exposures.to_numpy() - model.exposures.to_numpy())
        if np.isfinite(truth):
            left = again.covariance().to_numpy() - np.diag(again.specific_variance.to_numpy())
            right = model.covariance().to_numpy() - np.diag(sd**2)
            common.append(np.linalg.norm(left - right) / truth)
    co_movement_check(found, observed, eigenvalues)
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


def forecast_checks(found: Collector, forecasts: OutOfSample) -> None:
    """Tests of what forecasts of unseen returns promised."""
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
    explained = forecasts.total_r_squared()
    found.threshold(
        "explanatory power, unseen returns",
        "forecast",
        f"R² {explained:.2f}",
        bool(explained <= 0),
        "exposures explain nothing of returns that the fit has not seen: they are estimated from too few"
        " periods, or they move. Use fewer factors, more periods, or shrinkage",
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
    if not np.isfinite(squares).any():  # of periods without the portfolio's returns
        return np.nan, np.nan
    level = float(np.sqrt(np.nanmean(squares)))
    return level, mean_error(squares) / (2 * level)


def by_regime(
    found: Collector,
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

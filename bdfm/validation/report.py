"""Whether to believe a risk model: one report of explanatory power, residuals, stability and forecasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks, _renamed
from bdfm._figures import new_figure
from bdfm._html import opening
from bdfm._reading import counted
from bdfm._seeds import either_seed
from bdfm._strict import strict
from bdfm.errors import DataError
from bdfm.names import FACTOR, FACTOR_RETURNS, PERIOD, SPECIFIC_RETURNS
from bdfm.risk.base import Estimator, RiskModel
from bdfm.risk.pricing import SPANNED
from bdfm.risk.returns import returns_table
from bdfm.validation.check import LEVEL, Check, Collector
from bdfm.validation.fit_checks import (
    P_VALUES,
    Bounds,
    asset_table,
    co_movement,
    co_movement_check,
    diagnose_residuals,
    expected_exposures,
    explanatory_power,
    exposures,
    rolling,
)
from bdfm.validation.out_of_sample import OutOfSample
from bdfm.validation.refit_checks import by_regime, forecast_checks, simulate_refits
from bdfm.validation.refits import cross_validate, walk_forward

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
N_SIMULATIONS: Final = 50
SLOPE_MARGIN: Final = 0.5  # weights of periods and shrunk exposures move it by a few hundredths


@_renamed.fields(level="false_alarm")
@dataclass(frozen=True, eq=False, repr=False)
class ValidationReport:
    """Answers to whether a risk model can be believed; made by ``validate``.

    Attributes
    ----------
    kind
        Kind of the risk model.
    false_alarm
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
    unexpected
        (asset, factor) exposures that are not as expected: ``exposure``, ``se``, ``low``, ``high``,
        ``p_value``; ``None`` where nothing was expected.
    skipped
        Parts that were not run, and why.
    """

    kind: str
    false_alarm: float
    checks: tuple[Check, ...]
    assets: pd.DataFrame
    factors: pd.DataFrame
    periods: pd.Series
    rolling: xr.DataArray | None
    out_of_sample: OutOfSample | None
    regimes: pd.DataFrame | None
    paths: pd.DataFrame | None
    simulation: pd.DataFrame | None
    unexpected: pd.DataFrame | None
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
            return f"No fault found in {counted(len(self.checks), 'check')}."
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
        for j, name in enumerate(P_VALUES):
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
        figure.suptitle(
            f"Validation of the {self.kind} model: {counted(len(self.flags), 'flag')}", fontsize=10
        )
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


@_renamed.keywords(level="false_alarm")
@either_seed
@strict
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
    expected: Mapping[str, Bounds] | None = None,
    false_alarm: float = LEVEL,
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
        Refits to data simulated from the model (specific returns anew, factors as they were), 2 or more; 0
        for none.
    expected
        By factor what exposures to it should be: ``"+"``, ``"-"``, or the lowest and the highest. Those that
        are not, beyond their error, are named in ``unexpected``. Such as ``{"Mkt-RF": (0, 3)}`` for stocks.
    false_alarm
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
        A model without history or over several periods, returns that are not those of its history, assets
        that are combinations of the factors, expectations of unknown factors, a chance that is none.
    """
    where = "validation"
    level = _checks.false_alarm(false_alarm, where=where)
    if _checks.at_least(n_simulations, 0, what="n_simulations", where=where) == 1:
        raise DataError(
            f"{where}: one simulation has no spread. Give n_simulations of 2 or more, or 0 for none."
        )
    table = returns_table(returns, where=where)
    f, u, r = _history(model, table, where)
    found = Collector()
    rng = np.random.default_rng(seed)

    clean = diagnose_residuals(found, f, u)
    fit = exposures(found, model, f, r, level)
    explanatory_power(found, model, fit, r, u, level)
    unexpected = None if expected is None else expected_exposures(found, model, fit, expected, level)
    simulation = None
    observed = co_movement(clean)
    if estimator is not None and n_simulations:
        simulation = simulate_refits(
            found, model, estimator, table, u, observed, n_simulations, rng, progress
        )
    elif model.observed_factors and n_simulations:
        null = [co_movement(rng.standard_normal(clean.shape)) for _ in range(max(n_simulations, 100))]
        co_movement_check(found, observed, null)
    else:
        found.skipped.append("co-movement of residuals: needs estimator= and n_simulations > 0")
    forecasts = regime_table = paths = None
    if estimator is None:
        found.skipped.append("walk-forward, regimes, Monte Carlo, cross-validation: need estimator=")
    else:
        forecasts = walk_forward(
            estimator, table, window=window, step=step, start=start, seed=seed, progress=progress
        )
        forecast_checks(found, forecasts)
        regime_table = by_regime(found, forecasts, table, regimes)
        if cross_validation:
            results = cross_validate(estimator, table, seed=seed, progress=progress)
            paths = pd.DataFrame(
                [x.summary() for x in results], index=pd.RangeIndex(1, len(results) + 1, name="path")
            )
    variation = np.nanvar(r, axis=1)
    left = np.nanmean(np.square(u), axis=1)
    periods = pd.Series(1 - left / np.where(variation > 0, variation, np.nan), f.index, name="r_squared")
    assets = asset_table(model, u, r, fit, f)
    return ValidationReport(
        model.kind,
        level,
        found.checks(level),
        assets,
        fit.factors,
        periods,
        rolling(model, f, r) if model.observed_factors else None,
        forecasts,
        regime_table,
        paths,
        simulation,
        unexpected,
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
            f"{where}: no returns for {len(missing)} of the model's {counted(len(f), 'period')} (first"
            f" {missing[0]:%Y-%m-%d}). Give the returns that the model was made of."
        )
    r, u = table.loc[f.index, list(model.assets)].to_numpy(), history[SPECIFIC_RETURNS].to_numpy()
    _check_specific(model, r, u, where)
    return f, u, r


def _check_specific(model: RiskModel, r: Floats, u: Floats, where: str) -> None:
    """Refuse returns (period, asset) that the residuals are not of, and assets that have none."""
    if model.periods != 1:
        raise DataError(
            f"{where}: the model is over {model.periods:g} periods, its history of one. Validate it before"
            " scale_to."
        )
    size = np.nanmean(np.square(r - np.nanmean(r, axis=0)), axis=0)
    exact = np.nanmean(np.square(u), axis=0) <= SPANNED * size
    if exact.any():
        named = [a for a, x in zip(model.assets, exact, strict=True) if x]
        raise DataError(
            f"{where}: {_checks.first(named)}: combinations of the factors, without specific risk. What tests"
            " would say of them is rounding. Leave them out of the returns, or make the factors without them."
        )
    # Systematic and specific returns are orthogonal: a regression of the whole on the specific has slope 1.
    both = np.isfinite(u) & np.isfinite(r)
    slope = float((r[both] * u[both]).sum() / np.square(u[both]).sum())
    if not abs(slope - 1) < SLOPE_MARGIN:
        raise DataError(
            f"{where}: the model's specific returns are not of these returns, which have {slope:.2f} times as"
            " much of them. Give the returns that the model was made of."
        )

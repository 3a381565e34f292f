"""Conditional betas of DCC-GARCH: GARCH(1,1) margins by arch, DCC(1,1) of each asset with the factors."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from rich.progress import track
from scipy.optimize import minimize

from bdfm import _checks
from bdfm._optional import optional
from bdfm._reading import PACKAGE
from bdfm._strict import strict, strict_fields
from bdfm.errors import DataError, DataWarning
from bdfm.exposures.data import ExposureData
from bdfm.exposures.kalman import PERCENT
from bdfm.exposures.kernels import dcc_correlations, dcc_loglik, garch_variance
from bdfm.exposures.refits import MIN_RETURNS, check_enough, estimations
from bdfm.exposures.result import Exposures
from bdfm.names import ASSET, FACTOR

Floats = NDArray[np.float64]

MAX_PERSISTENCE: Final = 0.9999  # of a + b


class Margin(NamedTuple):
    """GARCH(1,1) of one series of returns in percent, and what it makes of all days."""

    mean: float
    omega: float
    alpha: float
    beta: float
    variance: Floats  # (day + 1,), conditional; the last is that of the day after
    standardised: Floats  # (day,), residuals over their conditional sd


class DCC(NamedTuple):
    """Estimate of DCC(1,1) on standardised residuals."""

    a: float
    b: float
    target: Floats  # (series, series) correlation
    log_likelihood: float  # correlation part, without constants


def garch_margin(returns: Floats, n_training: int) -> Margin:
    """GARCH(1,1) with a constant mean, estimated by arch on the first days and run over all of them (eq. E8).

    ``returns`` (day,) in percent. The variance recursion starts from arch's backcast of the training days.

    Raises
    ------
    DataError
        arch's optimiser did not converge.
    """
    arch = optional("arch", what="DCC-GARCH")
    model = arch.arch_model(returns[:n_training], mean="Constant", vol="GARCH", p=1, q=1, rescale=False)
    fit = model.fit(disp="off", show_warning=False)
    if fit.convergence_flag:
        raise DataError(
            f"DCC-GARCH: a GARCH(1,1) did not converge (flag {fit.convergence_flag}). Drop the series, or"
            " give a longer history."
        )
    mean, omega, alpha, beta = (float(fit.params[k]) for k in ("mu", "omega", "alpha[1]", "beta[1]"))
    residual = returns - mean
    start = float(
        model.volatility.backcast(returns[:n_training] - returns[:n_training].mean())
    )  # as arch does
    variance = garch_variance(residual, omega, alpha, beta, start)
    return Margin(mean, omega, alpha, beta, variance, residual / np.sqrt(variance[:-1]))


def fit_dcc(standardised: ArrayLike) -> DCC:
    """Second step of DCC(1,1): a, b by maximum likelihood, the target by the sample (eq. E9, E10).

    ``standardised`` (day, series): residuals of the margins over their conditional standard deviations.
    Engle (2002), Journal of Business and Economic Statistics 20, 339-350.
    """
    z = np.ascontiguousarray(standardised, dtype=np.float64)
    if z.ndim != 2 or z.shape[1] < 2 or not np.isfinite(z).all():
        raise DataError(
            f"DCC: residuals of shape {z.shape}; expected finite ones (day, series), 2 or more series."
        )
    target = np.asarray(np.corrcoef(z, rowvar=False), dtype=np.float64)

    def shares(theta: Floats) -> tuple[float, float]:
        # a and b above 0, their sum below MAX_PERSISTENCE
        e = np.exp(theta - max(theta.max(), 0.0))
        rest = np.exp(-max(theta.max(), 0.0))
        a, b = MAX_PERSISTENCE * e / (e.sum() + rest)
        return float(a), float(b)

    def loss(theta: Floats) -> float:
        value = dcc_loglik(z, target, *shares(theta))
        return -value / len(z) if np.isfinite(value) else 1e3

    starts = [(0.02, 0.95), (0.05, 0.85), (0.005, 0.5)]
    fits = []
    for a, b in starts:
        begin = np.log(np.array([a, b]) / (1 - a - b))
        fits.append(minimize(loss, begin, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-9}))
    best = min(fits, key=lambda fit: float(fit.fun))
    a, b = shares(best.x)
    return DCC(a, b, target, -float(best.fun) * len(z))


@strict_fields
@dataclass(frozen=True)
class DCCGarch:
    """Betas as conditional covariance over conditional variance, by DCC-GARCH (eq. E8 to E11).

    Each asset has a DCC(1,1) of its own with all factors, on GARCH(1,1) margins; margins and correlations are
    estimated on a growing past (eq. E21) and run over the days; the estimate of the training part stays. An
    asset's days without a return are left out of its own model, and keep the exposures of the day before. An
    asset whose margin does not converge has no exposures until one does, and is named in a warning if none
    does.

    The exposures dated day t are those of the conditional covariance of day t + 1, which the close of day t
    determines; that of the factors is inverted, so that they are exposures in a regression on all factors.
    There is no uncertainty: given its parameters, the model knows the covariance exactly.
    """

    smoothed: bool = False  # the training part's estimate on all days, also those that could not know it

    @property
    def name(self) -> str:
        """Short name for tables and files."""
        return "dcc_garch_smoothed" if self.smoothed else "dcc_garch"

    def check(self, data: ExposureData) -> None:
        """Raise what ``fit`` would, ``DataError`` say, before a fit, but for what does not converge."""
        optional("arch", what="DCC-GARCH")
        check_enough(data, self.name)

    @strict
    def fit(self, data: ExposureData, *, seed: int = 0, progress: bool = False) -> Exposures:
        """Exposures without uncertainty; ``seed`` changes nothing. Needs arch.

        Raises
        ------
        DataError
            A factor's margin did not converge, or no asset's did; the message names the series. No asset has
            60 returns in the training part, or the factors are collinear in it.
        MissingDependencyError
            arch is not installed.
        """
        begun = time.perf_counter()
        self.check(data)
        returns, factors = np.asarray(data.returns) * PERCENT, np.asarray(data.factors) * PERCENT
        shape = (data.n_days, len(data.assets), len(data.factor_names))
        exposures, intercept = np.full(shape, np.nan), np.full(shape[:2], np.nan)
        ab, garch, loglik = (np.full(s, np.nan) for s in ((2, shape[1]), (3, shape[1]), shape[1]))
        failed: dict[str, str] = {}
        common: list[Margin] = []
        for n, days in track(
            estimations(data, smoothed=self.smoothed), "DCC-GARCH", disable=not progress, transient=True
        ):
            try:
                common = [_named_margin(factors[:, k], n, name) for k, name in enumerate(data.factor_names)]
            except DataError:
                if n == data.n_training:
                    raise
                continue
            factor_means = np.array([m.mean for m in common])
            for i, asset in enumerate(data.assets):
                known = np.isfinite(returns[:, i])
                n_known = int(known[:n].sum())
                if n_known < MIN_RETURNS:
                    continue
                try:
                    own = _named_margin(returns[known, i], n_known, asset)
                except DataError as error:
                    failed[asset] = str(error)
                    continue
                failed.pop(asset, None)
                z = np.column_stack([own.standardised, *(m.standardised[known] for m in common)])
                dcc = fit_dcc(z[:n_known])
                ab[:, i], loglik[i] = (dcc.a, dcc.b), dcc.log_likelihood
                garch[:, i] = own.omega / PERCENT**2, own.alpha, own.beta
                # The factors' variance of the day after each of the asset's own days
                ahead = [m.variance[1:][known] for m in common]
                sd = np.sqrt(np.column_stack([own.variance[1:], *ahead]))
                correlation = dcc_correlations(z, dcc.target, dcc.a, dcc.b)[1:]
                path = np.full(shape[::2], np.nan)
                path[known] = conditional_betas(correlation, sd)
                path = _held(path)
                exposures[days, i] = path[days]
                intercept[days, i] = (own.mean - path[days] @ factor_means) / PERCENT
        lost = [a for i, a in enumerate(data.assets) if np.isnan(ab[0, i]) and a in failed]
        if np.isnan(ab[0]).all():
            raise DataError(" ".join(failed.values()))
        if lost:
            warnings.warn(
                f"DCC-GARCH: {len(lost)} of {len(data.assets)} assets have no exposures, since a"
                " GARCH(1,1) of"
                f" theirs did not converge ({_checks.first(lost)}).",
                DataWarning,
                skip_file_prefixes=(PACKAGE,),
            )
        parameters = {
            "a": (ASSET, ab[0]),
            "b": (ASSET, ab[1]),
            "omega": (ASSET, garch[0]),
            "alpha": (ASSET, garch[1]),
            "beta": (ASSET, garch[2]),
            "log_likelihood": (ASSET, loglik),  # correlation part, training days
            "factor_alpha": (FACTOR, np.array([m.alpha for m in common])),
            "factor_beta": (FACTOR, np.array([m.beta for m in common])),
        }
        coords = {ASSET: list(data.assets), FACTOR: list(data.factor_names)}
        return Exposures.from_arrays(
            self.name,
            data,
            exposures,
            intercept,
            parameters=xr.Dataset(parameters, coords=coords),
            details={"failed": failed, "seconds": time.perf_counter() - begun},
        )


def _held(path: Floats) -> Floats:
    """Exposures (day, factor) with those of a missing day held from the day before."""
    rows = np.where(np.isfinite(path[:, 0]), np.arange(len(path)), -1)
    last = np.maximum.accumulate(rows)
    return np.where((last >= 0)[:, None], path[np.maximum(last, 0)], np.nan)


def conditional_betas(correlation: Floats, sd: Floats) -> Floats:
    """Exposures (day, factor) of the first series to the others, from conditional moments (eq. E11).

    ``correlation`` (day, 1 + factor, 1 + factor), ``sd`` (day, 1 + factor).
    """
    solved = np.linalg.solve(correlation[:, 1:, 1:], correlation[:, 1:, :1])[..., 0]
    return np.asarray(solved * sd[:, :1] / sd[:, 1:])


def _named_margin(returns: Floats, n_training: int, name: str) -> Margin:
    try:
        return garch_margin(returns, n_training)
    except DataError as error:
        raise DataError(str(error).replace("DCC-GARCH:", f"DCC-GARCH: {name}:", 1)) from error

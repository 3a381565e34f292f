"""How often `validate` raises an alarm: healthy models of three kinds, and models with a planted fault.

    python scripts/benchmarks/validation_alarms.py --out FOLDER [--healthy 200 60 40] [--broken 10] [--seed 7]

500 periods of 20 assets, simulated. Every report has all parts: residuals, exposures with expected signs and
sizes, refits to simulated data, and a walk-forward of 250 periods. Writes alarms.csv: for each kind of model
or fault the share of reports with any flag, with the flag that the fault should raise, and all counts.
"""

from __future__ import annotations

import argparse
import collections
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bdfm.risk import CrossSectionalEstimator, RiskModel, StatisticalEstimator, TimeSeriesEstimator
from bdfm.risk.base import Estimator
from bdfm.validation import validate

T, N = 500, 20
FACTORS = ["market", "size", "value"]
# Fault to the check that must name it
FAULTS = {
    "a factor is missing": "co-movement of residuals",
    "two factors are twins": "collinearity",
    "volatility doubles": "volatility break, specific",
    "residuals follow each other": "autocorrelation of residuals",
    "heavy tails": "normality of residuals",
    "clusters of volatility": "clusters of specific volatility",
    "exposures change half way": "stability of exposures",
    "an idle factor": "significance of exposures",
    "factors are noise": "explanatory power",
    "one sign is turned": "expected exposures",
    "risk is halved": "bias statistic, long only",
    "specific risk is halved": "Mahalanobis calibration",
}


@dataclass(frozen=True)
class Scaled:
    """Estimator whose factor and specific variances are wrong by factors."""

    inner: Estimator
    factor: float
    specific: float

    def fit(self, returns: pd.DataFrame) -> RiskModel:
        """Risk model with wrong variances."""
        model = self.inner.fit(returns)
        history = model.history
        assert history is not None
        return RiskModel.from_arrays(
            model.exposures,
            model.factor_covariance * self.factor,
            model.specific_variance * self.specific,
            assets=model.assets,
            factors=model.factors,
            kind=model.kind,
            origin=model.origin,
            observed_factors=True,
            factor_returns=history["factor_returns"].to_pandas(),
            specific_returns=history["specific_returns"].to_pandas(),
        )


def world(rng: np.random.Generator, fault: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Factor returns given and returns of a three-factor world, perhaps with a fault."""
    days = pd.bdate_range("2018-01-01", periods=T)
    f = rng.normal(0, [0.01, 0.006, 0.005], (T, 3))
    b = np.column_stack([rng.uniform(0.6, 1.4, N), rng.normal(0, 0.6, N), rng.normal(0, 0.6, N)])
    sd = rng.uniform(0.008, 0.02, N)
    e = rng.standard_t(4, (T, N)) / np.sqrt(2) if fault == "heavy tails" else rng.normal(0, 1, (T, N))
    if fault == "clusters of volatility":
        level = np.zeros(N)
        for t in range(T):
            level = 0.9 * level + 0.3 * rng.standard_normal(N)
            e[t] *= np.exp(level)
    e *= sd
    if fault == "residuals follow each other":
        for t in range(1, T):
            e[t] += 0.25 * e[t - 1]
    if fault == "volatility doubles":
        f[T // 2 :] *= 2
        e[T // 2 :] *= 2
    r = f @ b.T + e
    if fault == "exposures change half way":
        r[T // 2 :, :5] += 0.8 * f[T // 2 :, :1]
    if fault == "one sign is turned":
        r[:, 4] *= -1
    factors = pd.DataFrame(f, days, FACTORS)
    if fault == "a factor is missing":
        factors = factors[FACTORS[:2]]
    if fault == "two factors are twins":
        factors = factors.assign(twin=factors["value"] + rng.normal(0, 0.0005, T))
    if fault == "an idle factor":
        factors = factors.assign(idle=rng.normal(0, 0.005, T))
    if fault == "factors are noise":
        factors[:] = rng.normal(0, 0.01, (T, 3))
    return factors, pd.DataFrame(r, days, [f"A{i}" for i in range(N)])


def cross_world(rng: np.random.Generator) -> tuple[Estimator, pd.DataFrame]:
    """Market, two sectors and a style that are the truth, with the estimator that knows them."""
    days = pd.bdate_range("2018-01-01", periods=T)
    names = [f"A{i}" for i in range(N)]
    sector = pd.Series(["a", "b"] * (N // 2), names)
    tilt = np.where(sector == "a", 1.0, -1.0)
    style = rng.standard_normal(N)
    style = (style - style.mean()) / style.std()
    f = rng.normal(0, [0.01, 0.006, 0.005], (T, 3))
    r = f @ np.vstack([np.ones(N), tilt, style]) + rng.normal(0, 1, (T, N)) * rng.uniform(0.008, 0.02, N)
    first = days[0] - pd.offsets.BDay(1)
    known = xr.DataArray(
        style[None, :, None], dims=("period", "asset", "factor"),
        coords={"period": [first], "asset": names, "factor": ["style"]},
    )  # fmt: skip
    return CrossSectionalEstimator(known, {"sector": sector}), pd.DataFrame(r, days, names)


def case(kind: str, seed: int, base: int) -> tuple[Estimator, pd.DataFrame, dict[str, Any]]:
    """Estimator, returns and what is expected of exposures."""
    rng = np.random.default_rng([base, seed])
    expected: dict[str, Any] = {"market": (0.0, 3.0)}
    if kind == "cross-sectional":
        return *cross_world(rng), expected
    factors, returns = world(rng, kind)
    if kind == "statistical":
        return StatisticalEstimator(3, standardise=True), returns, {}
    estimator: Estimator = TimeSeriesEstimator(factors, accept=("collinear-factors",))
    if kind == "risk is halved":
        estimator = Scaled(estimator, 0.25, 0.25)
    if kind == "specific risk is halved":
        estimator = Scaled(estimator, 1.0, 0.25)
    return estimator, returns, {} if kind == "factors are noise" else expected


def main(args: argparse.Namespace) -> None:
    """Count alarms."""
    rows = []
    plan = [
        (k, n, "")
        for k, n in zip(("time-series", "statistical", "cross-sectional"), args.healthy, strict=True)
    ]
    plan += [(k, args.broken, check) for k, check in FAULTS.items()]
    for kind, n, right in plan:
        counts: collections.Counter[str] = collections.Counter()
        n_any = n_right = 0
        begun = time.process_time()
        for seed in range(n):
            estimator, returns, expected = case(kind, seed, args.seed)
            report = validate(
                estimator.fit(returns), returns, estimator=estimator, window=250, step=21, n_simulations=50,
                expected=expected, seed=seed,
            )  # fmt: skip
            counts.update(report.flags)
            n_any += bool(report.flags)
            n_right += right in report.flags
        rows.append(
            {
                "case": kind,
                "reports": n,
                "any flag": n_any / n,
                "right flag": n_right / n if right else np.nan,
                "right": right,
                "flags": "; ".join(f"{name} {k}" for name, k in counts.most_common()),
            }
        )
        print(f"{rows[-1]} {time.process_time() - begun:.0f} CPU s", flush=True)
        args.out.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(args.out / "alarms.csv", index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--healthy", type=int, nargs=3, default=(200, 60, 40), help="reports of each kind")
    parser.add_argument("--broken", type=int, default=10, help="reports of each fault")
    parser.add_argument("--seed", type=int, default=7)
    main(parser.parse_args())

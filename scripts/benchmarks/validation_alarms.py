"""How often `validate` raises an alarm: models without fault, and models with a planted one.

    python scripts/benchmarks/validation_alarms.py --out FOLDER [--case NAME ...] [--healthy 400]
        [--broken 30] [--docs docs/risk.md]

Simulated returns; every report has all parts: residuals, exposures with expected signs and sizes, refits to
simulated data, and a walk-forward of half of the periods. A report is one line of FOLDER/reports.csv, written
when it is made: a run that was stopped goes on where it was, and runs of other cases may write beside it.
FOLDER/alarms.csv has one row for each model or fault: the share of reports with any flag, with the flag that
names the fault, and all counts. ``--docs`` writes the table into the page, between its markers.
"""

from __future__ import annotations

import argparse
import collections
import csv
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from page_tables import write_table

from bdfm.risk import CrossSectionalEstimator, RiskModel, StatisticalEstimator, TimeSeriesEstimator
from bdfm.risk.base import Estimator
from bdfm.validation import validate

COLUMNS = ["case", "seed", "flags", "cpu_seconds"]
FACTORS = ["market", "size", "value"]
DEAR = "cross-sectional"


@dataclass(frozen=True)
class Size:
    """Periods and assets of the data, and periods between refits of the walk-forward."""

    periods: int = 500
    assets: int = 20
    step: int = 21


# Models without fault: kind of estimator and size of the data, two of them as `bdfm risk --validate` has them
HEALTHY = {
    "time-series, 500 periods of 20 assets": ("time-series", Size()),
    "statistical, 500 periods of 60 assets": ("statistical", Size(500, 60)),
    "cross-sectional, 500 periods of 20 assets": ("cross-sectional", Size()),
    "time-series, 104 periods of 20 assets": ("time-series", Size(104, 20, 4)),
    "statistical, 104 periods of 60 assets": ("statistical", Size(104, 60, 4)),
    "time-series, 250 periods of 100 assets": ("time-series", Size(250, 100)),
}
# Components of few assets are not their factors: what they leave is shared, the more so the longer one looks.
APPROXIMATE = {"statistical, 500 periods of 20 assets": ("statistical", Size())}
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

CASES = (*HEALTHY, *APPROXIMATE, *FAULTS)


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


def world(rng: np.random.Generator, size: Size, fault: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Factor returns given and returns of a three-factor world, perhaps with a fault."""
    T, N = size.periods, size.assets
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


def cross_world(rng: np.random.Generator, size: Size) -> tuple[Estimator, pd.DataFrame]:
    """Market, two sectors and a style that are the truth, with the estimator that knows them."""
    T, N = size.periods, size.assets
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


def case(
    kind: str, seed: int, base: int, size: Size = Size()
) -> tuple[Estimator, pd.DataFrame, dict[str, Any]]:
    """Estimator, returns and what is expected of exposures."""
    rng = np.random.default_rng([base, seed])
    expected: dict[str, Any] = {"market": (0.0, 3.0)}
    if kind == "cross-sectional":
        return *cross_world(rng, size), expected
    factors, returns = world(rng, size, kind)
    if kind == "statistical":
        return StatisticalEstimator(3, standardise=True), returns, {}
    estimator: Estimator = TimeSeriesEstimator(factors, accept=("collinear-factors",))
    if kind == "risk is halved":
        estimator = Scaled(estimator, 0.25, 0.25)
    if kind == "specific risk is halved":
        estimator = Scaled(estimator, 1.0, 0.25)
    return estimator, returns, {} if kind == "factors are noise" else expected


def flags_of(name: str, seed: int, base: int, n_simulations: int) -> tuple[str, ...]:
    """Flags of the report of one simulated data set."""
    kind, size = (HEALTHY | APPROXIMATE).get(name, (name, Size()))
    estimator, returns, expected = case(kind, seed, base, size)
    report = validate(
        estimator.fit(returns), returns, estimator=estimator, window=size.periods // 2, step=size.step,
        n_simulations=n_simulations, expected=expected or None, seed=seed,
    )  # fmt: skip
    return report.flags


def read_reports(folder: Path) -> pd.DataFrame:
    """Reports made so far, one row each; of several runs."""
    parts = [pd.read_csv(p, keep_default_na=False) for p in sorted(folder.glob("reports*.csv"))]
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(parts, ignore_index=True).drop_duplicates(["case", "seed"])


def alarm_table(reports: pd.DataFrame) -> pd.DataFrame:
    """One row a case: share of reports with any flag and with the one that names the fault, and counts."""
    rows = []
    for name in CASES:
        own = reports[reports["case"] == name]
        if own.empty:
            continue
        flags = [[x for x in text.split("; ") if x] for text in own["flags"]]
        counts = collections.Counter(x for one in flags for x in one)
        right = FAULTS.get(name, "")
        rows.append(
            {
                "case": name,
                "reports": len(own),
                "any flag": float(np.mean([bool(x) for x in flags])),
                "right flag": float(np.mean([right in x for x in flags])) if right else np.nan,
                "right": right,
                "flags": "; ".join(f"{x} {k}" for x, k in counts.most_common()),
            }
        )
    return pd.DataFrame(rows)


def error_of(share: float, n: int) -> float:
    """Standard error of a share of n reports; where none or all have it, of Laplace's rule."""
    p = share if 0 < share < 1 else (share * n + 1) / (n + 2)
    return float(np.sqrt(p * (1 - p) / n))


def markdown(table: pd.DataFrame) -> list[str]:
    """Lines of the page's two tables."""
    healthy = table[table["right"] == ""]
    lines = ["| model without fault | reports | any flag, % | flags |", "|---|---|---|---|"]
    for _, row in healthy.iterrows():
        share, error = 100 * row["any flag"], 100 * error_of(row["any flag"], row["reports"])
        lines.append(f"| {row['case']} | {row['reports']} | {share:.1f} ± {error:.1f} | {row['flags']} |")
    true = healthy[healthy["case"].isin(HEALTHY)]
    if len(true):
        n = int(true["reports"].sum())
        share = float(true["any flag"] @ true["reports"]) / n
        told = f"{100 * share:.1f} ± {100 * error_of(share, n):.1f}"
        lines.append(f"| all that are their world's true models | {n} | {told} | |")
    lines += ["", "| fault | reports | named by | of them, % | any flag, % |", "|---|---|---|---|---|"]
    for _, row in table[table["right"] != ""].iterrows():
        share, error = 100 * row["right flag"], 100 * error_of(row["right flag"], row["reports"])
        lines.append(
            f"| {row['case']} | {row['reports']} | {row['right']} | {share:.0f} ± {error:.0f} |"
            f" {100 * row['any flag']:.0f} |"
        )
    return lines


def rounds(chosen: list[str], healthy: int, broken: int) -> list[tuple[int, str]]:
    """Seed and case of every report, all cases side by side: whenever the run is stopped, each has its share.

    Cross-sectional reports cost several times as much as others: there is one for four of those.
    """
    most = {x: (healthy if x in HEALTHY else broken) // (4 if x.startswith(DEAR) else 1) for x in chosen}
    turns = [((seed + 1) / n, k, seed, x) for k, (x, n) in enumerate(most.items()) for seed in range(n)]
    return [(seed, x) for _, _, seed, x in sorted(turns)]


def main(args: argparse.Namespace) -> None:
    """Make the reports that are missing, and count."""
    args.out.mkdir(parents=True, exist_ok=True)
    chosen = args.case or list(CASES)
    unknown = [x for x in chosen if x not in CASES]
    if unknown:
        raise SystemExit(f"--case: {unknown[0]!r} is none of {', '.join(CASES)}.")
    done = {(str(c), int(s)) for c, s in zip(*(read_reports(args.out)[x] for x in COLUMNS[:2]), strict=True)}
    path = args.out / f"reports{args.part}.csv"
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(COLUMNS)
        for seed, name in rounds(chosen, args.healthy, args.broken):
            if (name, seed) in done:
                continue
            start = time.process_time()
            flags = flags_of(name, seed, args.seed, args.simulations)
            spent = time.process_time() - start
            writer.writerow([name, seed, "; ".join(flags), f"{spent:.2f}"])
            file.flush()
            print(f"{seed} {name}: {spent:.1f} CPU s; {'; '.join(flags) or 'no flag'}", flush=True)
    table = alarm_table(read_reports(args.out))
    table.to_csv(args.out / "alarms.csv", index=False)
    print("\n".join(markdown(table)))
    if args.docs is not None:
        write_table(args.docs, "alarms", "\n".join(markdown(table)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--case", action="append", help="a model or a fault, repeatable; all if not given")
    parser.add_argument("--healthy", type=int, default=400, help="reports of each model without fault")
    parser.add_argument("--broken", type=int, default=30, help="reports of each fault")
    parser.add_argument("--simulations", type=int, default=50, help="refits to simulated data in a report")
    parser.add_argument("--part", default="", help="end of the name of this run's file of reports")
    parser.add_argument("--docs", type=Path, help="page whose table is made anew")
    parser.add_argument("--seed", type=int, default=7)
    main(parser.parse_args())

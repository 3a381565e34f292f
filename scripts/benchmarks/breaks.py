"""Days until each method notices the breaks of March 2020 and of January 2022.

    python scripts/benchmarks/breaks.py --prices FILE --sectors FILE --factors FILE --out FOLDER
        [--seed 1]

Daily excess returns of eleven sectors, each its stocks alike (of a single stock 21 days say too little),
2018-01-02 to 2022-02-04, on the three Fama-French factors. A break has a day; the old exposure is the
least-squares estimate of the 250 days before it, the new one of the 21 days after. An exposure counts where
the two differ by more than three errors of the difference. A method has noticed when its exposure is past the
middle between both for 5 days in a row; days are counted from the break, and a method that never is within
120 days (or to the data's end) has not noticed. No exposure knows later days. Writes breaks.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
import xarray as xr

from bdfm import exposures as ex
from bdfm.exposures.simulation import jump_delay

LAST = "2022-02-04"
FACTORS = ["Mkt-RF", "SMB", "HML"]
BREAKS = {"2020-02-20": "March 2020", "2022-01-04": "January 2022"}
BEFORE, AFTER, HORIZON, ERRORS = 250, 21, 120, 3.0


def methods() -> list[ex.ExposureMethod]:
    """Those compared; rolling windows of two lengths."""
    return [
        ex.RollingOLS(window_days=750),
        ex.RollingOLS(window_days=250),
        ex.RollingOLS(window_days=60),
        ex.KalmanBetas(),
        ex.DCCGarch(),
        ex.BayesianRandomWalk(),
    ]


def moved(data: ex.ExposureData, at: int) -> pd.DataFrame:
    """Old and new of the exposures (asset, factor) that a break on a day moved by more than its error."""
    f = sm.add_constant(data.factors.to_numpy())
    rows = {}
    for a in data.assets:
        y = data.returns.sel(asset=a).to_numpy()
        old = sm.OLS(y[at - BEFORE : at], f[at - BEFORE : at]).fit()
        new = sm.OLS(y[at : at + AFTER], f[at : at + AFTER]).fit()
        for k, factor in enumerate(data.factor_names, start=1):
            if abs(new.params[k] - old.params[k]) > ERRORS * np.hypot(new.bse[k], old.bse[k]):
                rows[a, factor] = (old.params[k], new.params[k])
    return pd.DataFrame(rows, ["old", "new"]).T


def delays(paths: xr.DataArray, betas: pd.DataFrame, at: int) -> pd.Series:
    """Days (asset, factor) until the path is past the middle of old and new; NaN where there is no path."""
    found = {}
    for key, row in betas.iterrows():
        path = paths.sel(asset=key[0], factor=key[1]).to_numpy()[at - 1 : at + HORIZON]
        truth = np.where(np.arange(len(path)) < 1, row["old"], row["new"])
        found[key] = jump_delay(path, truth, 1) if np.isfinite(path).all() else np.nan
    return pd.Series(found, dtype=float)


def main(args: argparse.Namespace) -> None:
    """Fit all methods, count days, write the table."""
    prices = pd.read_parquet(args.prices).loc[:LAST]
    sectors = pd.read_csv(args.sectors).set_index("symbol")["gics_sector"]
    returns = prices.pct_change(fill_method=None).iloc[1:].T.groupby(sectors.reindex(prices.columns)).mean().T
    levels = pd.concat([pd.DataFrame(1.0, prices.index[:1], returns.columns), 1 + returns]).cumprod()
    factors = (pd.read_csv(args.factors, index_col="date", parse_dates=True) / 100).loc[:LAST]
    data = ex.ExposureData.from_prices(levels, factors[FACTORS], risk_free=factors["RF"])
    print(repr(data), flush=True)
    at = {day: int(data.days.searchsorted(pd.Timestamp(day))) for day in BREAKS}
    betas = {day: moved(data, t) for day, t in at.items()}
    for day, table in betas.items():
        print(f"{day}: {len(table)} of {3 * len(data.assets)} exposures moved\n{table.round(2)}", flush=True)
    rows = []
    for method in methods():
        result = method.fit(data, seed=args.seed).observed_exposures()
        name = f"{method.name} {method.window_days}" if isinstance(method, ex.RollingOLS) else method.name
        for day, table in betas.items():
            found = delays(result, table, at[day]).dropna()
            rows.append(
                {
                    "method": name,
                    "break": BREAKS[day],
                    "exposures": len(found),
                    "noticed": int(np.isfinite(found).sum()),
                    "within 21 days": int((found <= 21).sum()),
                    "median days": float(found.median()) if len(found) else np.nan,
                }
            )
        print(pd.DataFrame(rows[-len(betas) :]).to_string(header=False, index=False), flush=True)
        args.out.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(args.out / "breaks.csv", index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("prices", "sectors", "factors", "out"):
        parser.add_argument(f"--{option}", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    main(parser.parse_args())

"""Table of docs/routine.md: months until the alarm, by forecaster and number of assets.

    python scripts/benchmarks/alarm.py

Outcomes have a common factor and Student-t noise (6 degrees of freedom); the forecaster knows all but
for one mistake. 1,000 records of 120 months each, looked at every month. The four statistics are those of
``bdfm.scoring.alarm``, written once more for returns with mean 0, of which all months are alike.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bdfm.scoring.alarm import LEVEL, STATISTICS, Alarm

N_RECORDS, N_MONTHS, N_DRAWS = 1000, 120, 20_000
N_RANKS = 5
MISTAKES = {
    "calibrated": {},
    "volatility 10 % too low": {"scale": 1 / 0.9},
    "volatility 20 % too low": {"scale": 1 / 0.8},
    "volatility 20 % too high": {"scale": 1 / 1.2},
    "mean 2 % a month too high": {"shift": -0.02},
    "common factor half as large": {"common": 2.0},
}


def returns(n, n_assets, rng, *, scale=1.0, shift=0.0, common=1.0):
    """Returns (n, asset)."""
    factor = common * rng.standard_t(6, (n, 1)) * np.linspace(0.02, 0.06, n_assets)
    return shift + scale * (factor + 0.05 * rng.standard_t(6, (n, n_assets)))


def fifths(r):
    """Fifth (n, asset) of each return among the assets, from 0; sizes are equal."""
    n_assets = r.shape[1]
    return r.argsort(axis=1).argsort(axis=1) * N_RANKS // n_assets


def rank_scores(probability, r):
    """Mean ranked probability score (n,) of probabilities (asset, fifth), were these returns to come."""
    came = fifths(r)[:, :, None] <= np.arange(N_RANKS)
    return np.square(np.cumsum(probability, axis=1) - came).sum(axis=2).mean(axis=1) / N_RANKS


def statistics(r, sd, probability):
    """The four statistics (n, statistic) of returns (n, asset)."""
    z = r / sd
    return np.stack([r.mean(1), np.square(z).mean(1), z.std(1), rank_scores(probability, r)], 1)


def months(n_assets, mistake, rng):
    """Month of the alarm (record), infinite where there is none."""
    draws = returns(N_DRAWS, n_assets, rng)
    sd = draws.std(axis=0)
    probability = (fifths(draws)[:, :, None] == np.arange(N_RANKS)).mean(axis=0)
    reference = np.sort(statistics(draws, sd, probability), axis=0)
    found = np.full(N_RECORDS, np.inf)
    for k in range(N_RECORDS):
        seen = statistics(returns(N_MONTHS, n_assets, rng, **mistake), sd, probability)
        columns = zip(reference.T, seen.T, strict=True)
        # The score of ranks has ties; a place at random within one keeps it uniform.
        ends = [[np.searchsorted(a, x, side) for side in ("left", "right")] for a, x in columns]
        low, high = np.stack([e[0] for e in ends], 1), np.stack([e[1] for e in ends], 1)
        below = low + (high - low) * rng.random(low.shape)
        pits = pd.DataFrame((below + rng.random(below.shape)) / (N_DRAWS + 1), columns=list(STATISTICS))
        raised = Alarm.of(pits, false_alarm=LEVEL).raised
        found[k] = np.inf if raised is None else int(raised) + 1
    return found


def main() -> None:
    """Print the table."""
    print("| forecaster | assets | alarm within ten years | months until it: median | 10 to 90 % |")
    print("|---|---|---|---|---|")
    for name, mistake in MISTAKES.items():
        for n_assets in (10, 30, 100):
            x = months(n_assets, mistake, np.random.default_rng(n_assets))
            low, middle, high = (
                f"{q:.0f}" if np.isfinite(q) else "-"
                for q in np.percentile(x, [10, 50, 90], method="inverted_cdf")
            )
            print(f"| {name} | {n_assets} | {np.isfinite(x).mean():.1%} | {middle} | {low} to {high} |")


if __name__ == "__main__":
    main()

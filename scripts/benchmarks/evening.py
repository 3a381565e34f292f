"""The daily model on many assets: a fit, the update of the next evening, and the announcements ahead.

    python scripts/benchmarks/evening.py --prices FILE --universe FILE --earnings FILE [--origin DAY]
        [--evening DAY] [--last DAY] [--factors N] [--json FILE]

Four chains go on until they have converged by the standard of a backtest. The update is of that fit. Its
paths forecast each day up to ``--last`` from the evening: squared log returns over forecast variances, of
assets on the day that an announcement moves and of the others on the same days. Beside it a volatility that
knows no calendar, exponentially weighted with a half-life of 60 days up to the evening. Seconds are those of
the processor.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import pandas as pd
import typer
from daily import load
from numpy.typing import NDArray
from update import timed

import bdfm

SETTINGS: Final = bdfm.SamplerSettings(
    chains=4, tune=600, thin=4, max_rhat=1.05, min_ess=50, max_sweeps=6000, cores=1
)
HALF_LIFE: Final = 60
N_DRAWS: Final = 20_000

Floats = NDArray[np.float64]


def log_returns(prices: pd.DataFrame, days: pd.DatetimeIndex) -> Floats:
    """Log returns (day, asset) of weekdays; none where a close, or the one before, is missing or repeated."""
    closes = prices.reindex(days)
    logs = np.log(closes.where(closes.diff().ne(0)))
    return logs.diff().to_numpy()


def squared_ratios(came: Floats, volatility: Floats, flags: NDArray[np.bool_]) -> dict[str, dict[str, Any]]:
    """Mean of squared returns over variances (day, asset) and its error: announced, and beside."""
    known, some = np.isfinite(came), flags.any(axis=1)[:, None]
    found = {}
    for name, mine in (("announced", flags), ("beside", some & ~flags)):
        ratio = np.square(came / volatility)[known & mine]
        error = ratio.std(ddof=1) / np.sqrt(len(ratio))
        found[name] = {"n": len(ratio), "mean": float(ratio.mean()), "error": float(error)}
    return found


def main(
    prices: Annotated[Path, typer.Option()],
    universe: Annotated[Path, typer.Option()],
    earnings: Annotated[Path, typer.Option()],
    origin: str = "2022-01-07",
    evening: str = "2022-01-10",
    last: str = "2022-02-04",
    factors: int = 7,
    as_json: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Fit, update, and what came on the days of announcements."""
    ahead = pd.bdate_range(evening, last)[1:]
    model, first = load(prices, universe, earnings, origin, factors, None)
    _, panel = load(prices, universe, earnings, evening, factors, None, len(ahead))
    fitted, cold = timed(lambda: bdfm.fit(model, first, seed=1, settings=SETTINGS, accept=None))
    later, warm = timed(lambda: fitted.update(panel, seed=2))
    warm |= {k: later.attrs[k] for k in ("moved", "drift") if k in later.attrs}
    cold["begun_again"] = str(fitted.attrs.get("begun_again", ""))
    made = later.forecasts(range(1, len(ahead) + 1), seed=1, n_draws=N_DRAWS)
    paths = np.log1p([x.draws.to_numpy().astype(float) for x in made.values()])  # (day, draw, asset)
    volatility = np.diff(paths, axis=0, prepend=0.0).std(axis=1)
    table = bdfm.read_prices(prices)[list(panel.assets)].loc[:last]
    came = log_returns(table, ahead.insert(0, pd.Timestamp(evening)))[1:]
    past = log_returns(table, pd.bdate_range(first.dataset["period"].to_numpy()[0], evening))
    weights = 0.5 ** (np.arange(len(past))[::-1, None] / HALF_LIFE) * np.isfinite(past)
    rolling = np.sqrt((weights * np.nan_to_num(past) ** 2).sum(axis=0) / weights.sum(axis=0))
    flags = panel.future["earnings"].to_numpy() > 0
    result = {
        "assets": len(panel.assets),
        "fit": cold,
        "update": warm,
        "daily": squared_ratios(came, volatility, flags),
        "rolling": squared_ratios(came, np.broadcast_to(rolling, came.shape), flags),
    }
    text = json.dumps(result, indent=1, default=str)
    print(text)
    if as_json is not None:
        as_json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

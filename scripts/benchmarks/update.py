"""Update of a posterior by one period, or by one day, against a fit from a cold start, time after time.

    python scripts/benchmarks/update.py --prices FILE --universe FILE [--earnings FILE] [--first DAY]
        [--origins N] [--by period|day|evening] [--model m6] [--factors N] [--rhat X] [--ess N] [--json FILE]

Origins follow each other by a period of the model or, ``--by day`` and ``--by evening``, by a weekday. Each
has three fits: the posterior of an earlier origin, updated (``Posterior.update``); a cold fit; and a cold fit
with another seed. The earlier origin is the one before or, ``--by evening``, the one a period before, as
``--warm-from`` finds it in a folder; its posterior is an update itself, and cold where it lies before
``--first``. All stop by the same thresholds. Differences of quintile probabilities between update and cold
fit are put beside those between the two cold fits, which are Monte Carlo error alone.

Seconds are those of the processor over all threads, for the fit with its stopping rule; the last line has the
ratio of wall seconds of sampling alone too, without the looks at whether draws are enough. With ``--json``
origins are added to those of the file, so that a long table can be made in several runs.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

import bdfm

N_DRAWS = 200_000
KNOWN_DAYS, FRESH_DAYS = 60, 10  # of the last market days an asset has a price in the first ten and last ten


def timed(fit: Callable[[], bdfm.Posterior]) -> tuple[bdfm.Posterior, dict[str, Any]]:
    """A posterior, and what it took."""
    begun = time.process_time()
    posterior = fit()
    seconds = time.process_time() - begun
    found = posterior.diagnose()
    return posterior, {
        "seconds": seconds,
        "sampling": posterior.seconds["sample"],
        "sweeps": int(posterior.attrs["sweeps"]),
        "rhat": found.max_rhat,
        "ess": min(found.min_ess_bulk, found.min_ess_tail),
        "converged": found.converged,
    }


def probabilities(posterior: bdfm.Posterior) -> np.ndarray[Any, Any]:
    """Quintile probabilities (asset, quintile); the random numbers of the paths are those of all fits."""
    return posterior.forecast(seed=1, n_draws=N_DRAWS).quantile_probabilities().to_numpy()


def distance(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Root mean square difference of probabilities, in percentage points."""
    return 100 * float(np.sqrt(np.mean((one - other) ** 2)))


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """Table of the origins, and its last line, their medians."""
    table = Table(
        "origin",
        "cold: s",
        "sweeps",
        "R-hat",
        "ESS",
        "update: s",
        "sweeps",
        "R-hat",
        "ESS",
        "ratio of s",
        "apart, %",
        "two cold fits, %",
        box=None,
    )
    for row in rows:
        cells = [row["origin"]]
        for kind in ("cold", "warm"):
            r = row[kind]
            cells += [f"{r['seconds']:.1f}", f"{r['sweeps']:,}", f"{r['rhat']:.4f}", f"{r['ess']:.0f}"]
        ratio = row["warm"]["seconds"] / row["cold"]["seconds"]
        table.add_row(*cells, f"{ratio:.2f}", f"{row['apart']:.3f}", f"{row['cold_apart']:.3f}")
    console.print(table)
    apart = np.sqrt(np.mean([r["apart"] ** 2 for r in rows]) / np.mean([r["cold_apart"] ** 2 for r in rows]))
    shares = []
    for what in ("seconds", "sampling", "sweeps"):
        warm, cold = (np.array([r[kind][what] for r in rows]) for kind in ("warm", "cold"))
        shares.append(f"{what} {np.median(warm / cold):.2f} ({warm.sum() / cold.sum():.2f})")
    console.print(
        f"{len(rows)} origins, medians (over all) of the shares of a cold fit: {', '.join(shares)}; apart"
        f" {apart:.2f} times as far as two cold fits"
    )


def main(
    prices: Annotated[Path, typer.Option()],
    universe: Annotated[Path, typer.Option()],
    earnings: Path | None = None,
    first: str = "2021-08-20",
    origins: int = 6,
    by: Literal["period", "day", "evening"] = "period",
    model: str = "m6",
    factors: int | None = None,
    rhat: float = bdfm.SamplerSettings().max_rhat,
    ess: float = bdfm.SamplerSettings().min_ess,
    as_json: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Compare updates with cold fits."""
    spec = bdfm.FactorModel.from_preset(model)
    if factors is not None:
        spec = spec.model_copy(update={"n_factors": factors})
    settings = bdfm.SamplerSettings(max_rhat=rhat, min_ess=ess)
    day = pd.offsets.BDay()
    known = {"day": day, "month": pd.DateOffset(months=1)}
    period = known.get(spec.panel.period) or pd.Timedelta(days=spec.panel.period)
    step, back = {"period": (period, period), "day": (day, day), "evening": (day, period)}[by]
    table, members = bdfm.read_prices(prices), bdfm.read_universe(universe)
    calendar = None if earnings is None else bdfm.read_earnings(earnings)

    def panel_at(origin: pd.Timestamp) -> bdfm.Panel:
        """Of what is listed at the origin; who joins later is new to the posterior then."""
        priced = table.loc[:origin].tail(KNOWN_DAYS).notna()
        priced = priced.tail(FRESH_DAYS).any() & priced.head(FRESH_DAYS).any()
        listed = members[members["symbol"].map(priced)]
        own = None if calendar is None else calendar[calendar["symbol"].isin(listed["symbol"])]
        return bdfm.Panel.from_prices(
            table, listed, origin=origin, earnings=own, settings=spec.panel, accept=["earnings"]
        )

    rows: list[dict[str, Any]] = []
    if as_json is not None and as_json.exists():
        rows = json.loads(as_json.read_text(encoding="utf-8"))
    origin = pd.Timestamp(first)
    updated: dict[pd.Timestamp, bdfm.Posterior] = {}
    for _ in range(origins):
        panel, before = panel_at(origin), origin - back
        earlier = updated.pop(before, None)
        if earlier is None:
            earlier = bdfm.fit(spec, panel_at(before), seed=1, settings=settings)
        now, warm = timed(lambda: earlier.update(panel, seed=2))  # noqa: B023
        one, cold = timed(lambda: bdfm.fit(spec, panel, seed=3, settings=settings))  # noqa: B023
        other, _ = timed(lambda: bdfm.fit(spec, panel, seed=4, settings=settings))  # noqa: B023
        p = [probabilities(x) for x in (now, one, other)]
        rows.append(
            {
                "origin": f"{origin:%Y-%m-%d}",
                "cold": cold,
                "warm": warm,
                "apart": distance(p[0], p[1]),
                "cold_apart": distance(p[2], p[1]),
            }
        )
        updated[origin] = now
        origin += step
        if as_json is not None:
            as_json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    show(rows, Console(width=140))


if __name__ == "__main__":
    typer.run(main)

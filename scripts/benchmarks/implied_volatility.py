"""What implied volatility adds to past volatility: the included 20 US stocks, with and without it.

    python scripts/benchmarks/implied_volatility.py --volatility FILE --out FOLDER [--earnings FILE]

The model is that of skill_core.toml with three factors, its forecasts alone and with the part
``outside_volatility``. The file has a column of dates and one of each symbol: annual volatilities, decimals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

import bdfm
from bdfm.backtest import MarketData, origin_dates, walk_forward
from bdfm.backtest.protocol import History
from bdfm.backtest.significance import diebold_mariano
from bdfm.data.outside import volatility_table
from bdfm.data.panel import Panel
from bdfm.forecast.forecast import Forecast
from bdfm.inference.settings import SamplerSettings
from bdfm.model.parts.log_volatility import OutsideVolatility

LAST = "2022-02-04"
SAMPLER = SamplerSettings(chains=2, draws=1000, tune=500, thin=2, cores=1)
_VOLATILITY: list[pd.DataFrame] = []


@dataclass(frozen=True)
class Fitted:
    """The model, with or without the given volatility; what is younger than the origin is cut off."""

    with_volatility: bool

    @property
    def name(self) -> str:
        """Name in tables."""
        return "implied" if self.with_volatility else "past"

    @property
    def model(self) -> bdfm.FactorModel:
        """Model of the forecaster."""
        text = (Path(__file__).parent / "skill_core.toml").read_text(encoding="utf-8")
        model = bdfm.FactorModel.from_toml(text)
        parts = (*model.log_volatility, *((OutsideVolatility(),) if self.with_volatility else ()))
        return model.model_copy(update={"n_factors": 3, "log_volatility": parts})

    @property
    def settings(self) -> Mapping[str, Any]:
        """Model and sampler."""
        return {"model": self.model.model_dump(mode="json"), "sampler": SAMPLER.model_dump(mode="json")}

    def forecast(self, history: History, *, seed: int) -> Forecast:
        """Forecast from what was known at the origin."""
        model = self.model
        panel = Panel.from_prices(
            history.prices,
            history.universe,
            origin=history.origin,
            earnings=history.earnings,
            volatility=_VOLATILITY[0].loc[: history.origin] if self.with_volatility else None,
            settings=model.panel,
        )
        posterior = bdfm.fit(model, panel, seed=seed, settings=SAMPLER)
        forecast = posterior.forecast(seed=seed, n_draws=100_000)
        slope = posterior.draws["mu_beta_ov"] if self.with_volatility else np.array([np.nan])
        facts = {"max_rhat": posterior.diagnose().max_rhat, "slope": float(slope.mean())}
        return forecast.with_attrs(**facts, slope_sd=float(slope.std()))


def main(
    volatility: Annotated[Path, typer.Option(help="Annual volatilities by day and symbol, decimal.")],
    out: Annotated[Path, typer.Option(help="Folder of the runs.")],
    earnings: Annotated[Path | None, typer.Option(help="Calendar of announcements.")] = None,
    first: str = "2016-01-01",
) -> None:
    """Run both and print the differences."""
    _VOLATILITY[:] = [volatility_table(pd.read_csv(volatility, index_col=0, parse_dates=True).loc[:LAST])]
    prices, universe = bdfm.demo()
    stocks = universe[universe["symbol"].isin(_VOLATILITY[0].columns)]
    calendar = None if earnings is None else bdfm.read_earnings(earnings)
    data = MarketData.of(prices.loc[:LAST], stocks, calendar)
    n = (pd.Timestamp(LAST) - pd.Timestamp(first)).days // 28
    begin = pd.Timestamp(LAST) - pd.Timedelta(days=28 * n)
    origins = origin_dates(begin, pd.Timestamp(LAST) - pd.Timedelta(days=28))
    runs = {
        f.name: walk_forward(f, data, origins, out / f.name, seed=1) for f in (Fitted(False), Fitted(True))
    }
    for run in runs.values():
        print(run, "worst R-hat", round(float(run.facts["max_rhat"].max()), 3))
    slopes = runs["implied"].facts
    print(f"slope: mean {slopes['slope'].mean():.2f}, last {slopes['slope'].iloc[-1]:.2f}", end=" ")
    print(f"+- {slopes['slope_sd'].iloc[-1]:.2f}")
    for score, unit in (("rps", 1e5), ("log_score", 1e4), ("crps", 1e5)):
        d = diebold_mariano((runs["implied"].scores[score] - runs["past"].scores[score]).to_numpy())
        print(f"{score}: {unit * d.mean:+.1f} +- {unit * d.se:.1f} of 1/{unit:g} (p = {d.p_value:.3f})")
    if calendar is not None:
        by_earnings(runs, data)


def by_earnings(runs: Mapping[str, Any], data: MarketData) -> None:
    """Differences of the CRPS, periods with an announcement and without apart, of stocks with a calendar."""
    one, other = (runs[n].cells for n in ("implied", "past"))
    cells = one[["origin", "symbol"]].assign(difference=one["crps"] - other["crps"])
    assert data.earnings is not None
    known = data.earnings.groupby("symbol")["date"]
    cells = cells[cells["symbol"].isin(list(known.groups))]
    ends = cells["origin"] + pd.Timedelta(days=28)
    dates = {s: np.sort(d.to_numpy()) for s, d in known}
    inside = [
        bool(((dates[s] > a) & (dates[s] <= b)).any())
        for s, a, b in zip(cells["symbol"], cells["origin"].to_numpy(), ends.to_numpy(), strict=True)
    ]
    for value, name in ((True, "with an announcement"), (False, "without")):
        part = cells[np.array(inside) == value].groupby("origin")["difference"].mean()
        d = diebold_mariano(part.to_numpy())
        print(
            f"crps, {name}: {1e5 * d.mean:+.1f} +- {1e5 * d.se:.1f} of 1/1e5 (p = {d.p_value:.3f}, n = {d.n})"
        )


if __name__ == "__main__":
    typer.run(main)

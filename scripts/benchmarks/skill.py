"""Skill over universes and eras: the runs and tables of docs/skill.md, whose protocol came first.

    python scripts/benchmarks/skill.py run --data DATA --out OUT [--universe m6]... [--forecaster core]...
    python scripts/benchmarks/skill.py table --out OUT [--json FILE]
    python scripts/benchmarks/skill.py daily --out OUT --json FILE

The daily model, minutes an origin, was run on every sixteenth of m6: ``run --universe m6 --forecaster daily-7
--every 16``. ``daily-7`` has seven factors and goes on until its fits have converged by the standard of a
backtest; ``daily``, of the preset's twenty and with few sweeps, is what was run before it.

``run`` does what is not done yet and logs it in runs.jsonl; ``table`` shows what is done. The folder of data
holds m6, uk, europe and sp500_pit, each with prices.csv.gz and universe.csv, m6 with earnings.csv as well.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import pandas as pd
import typer

import bdfm
from bdfm.backtest import MarketData, ModelForecaster, baselines, origin_dates, walk_forward
from bdfm.backtest.protocol import Floats, Forecaster, History
from bdfm.backtest.simple import EWMA
from bdfm.data.features import Closes, day_numbers
from bdfm.forecast.forecast import Forecast
from bdfm.inference.settings import SamplerSettings

GRID_END: Final = "2022-02-04"  # all origins are whole periods before it
PERIOD: Final = 28
FIRST: Final = {"m6": "2004-01-01", "uk": "2004-01-01", "europe": "2018-01-01", "sp500_pit": "2015-03-01"}
MIN_ASSETS: Final = {"m6": 60}  # with two years of prices, for an origin to count
MAX_RHAT: Final = 1.05
SAMPLER: Final = SamplerSettings(chains=2, draws=500, tune=500, thin=2, cores=1)
DAILY_SAMPLER: Final = SamplerSettings(chains=2, draws=150, tune=500, thin=4, cores=1)  # minutes an origin
DAILY_FACTORS: Final = 7  # chosen because its chains agree (docs/daily.md), before any score was looked at
DAILY_CONVERGED: Final = SamplerSettings(
    chains=4, tune=600, thin=4, max_rhat=MAX_RHAT, min_ess=50, max_sweeps=6000, cores=1
)
SLOW: Final = ("daily", "daily-7")  # minutes an origin: run where they are asked for
MAX_DOUBLINGS: Final = 3

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Out = Annotated[Path, typer.Option("--out", help="Folder of the runs.")]


# -- forecasters -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Converged:
    """Forecaster of a model, run again with twice as many sweeps while its worst R-hat is above the bound."""

    of: ModelForecaster

    @property
    def name(self) -> str:
        """Name in tables."""
        return self.of.name

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings of the model, the bound and the doublings."""
        return {**self.of.settings, "max_rhat": MAX_RHAT, "max_doublings": MAX_DOUBLINGS}

    def forecast(self, history: History, *, seed: int) -> Forecast:
        """Forecast of the first fit that agrees, or of the longest."""
        for doublings in range(MAX_DOUBLINGS + 1):
            s = self.of.sampler
            longer = s.model_copy(update={"tune": s.tune * 2**doublings, "thin": s.thin * 2**doublings})
            one = ModelForecaster(self.of.model, longer, self.of.n_draws, self.of.label)
            forecast = one.forecast(history, seed=seed)
            if float(forecast.attrs["max_rhat"]) <= MAX_RHAT:
                break
        return forecast.with_attrs(doublings=doublings)


class Oracle(EWMA):
    """Sees the future: volatility to come, and half of the correlations. For the benchmark alone."""

    label: str = "oracle"
    dof: float | None = None
    correlation_days: int = 5
    foresight: float = 0.5  # of correlations

    def estimate(self, history: History) -> tuple[Floats, Floats]:
        """Correlation and volatility of the period to come, assets without a price then as in the past."""
        correlation, scale = super().estimate(history)
        window = slice(history.origin - pd.Timedelta(days=60), history.end)
        prices = _FUTURE[0].prices.loc[window, list(history.assets)]
        closes = Closes(prices, max_stale_days=10)
        edges = day_numbers(pd.DatetimeIndex([history.origin, history.end]))
        days = closes.days[closes.market]
        days = np.concatenate([edges[:1], days[(days > edges[0]) & (days <= edges[1])]])
        returns = closes.log_returns(days[:-1], days[1:])
        x = np.nan_to_num(returns)
        came = np.sqrt((x**2).sum(axis=0))
        seen = came > 0
        scale = np.where(seen, came, scale)
        z = x / np.where(seen, came, 1.0)
        ahead = np.where(np.outer(seen, seen), z.T @ z, correlation)
        mixed = (1 - self.foresight) * correlation + self.foresight * ahead
        np.fill_diagonal(mixed, 1.0)
        values, vectors = np.linalg.eigh(mixed)
        mixed = (vectors * np.maximum(values, 1e-6)) @ vectors.T
        d = np.sqrt(np.diag(mixed))
        return mixed / d / d[:, None], scale


_FUTURE: list[MarketData] = []  # data of the universe at work, for the oracle


def core() -> bdfm.FactorModel:
    """House as it was, without premia and without past returns."""
    text = (Path(__file__).parent / "skill_core.toml").read_text(encoding="utf-8")
    return bdfm.FactorModel.from_toml(text)


@cache
def forecasters() -> dict[str, Forecaster]:
    """Forecasters that are run; pools are made of them in the table."""
    known = baselines()

    def fitted(model: bdfm.FactorModel) -> Forecaster:
        return Converged(ModelForecaster(model, SAMPLER, 100_000))

    days = bdfm.FactorModel.from_preset("daily")
    found: list[Forecaster] = [
        Oracle(),
        *(known[name] for name in ("ewma-t-5d", "fhs", "har-5d", "historical")),
        EWMA(label="ewma-t-5d-120", correlation_days=5, volatility_half_life_days=120),
        fitted(core()),
        fitted(bdfm.FactorModel.from_preset("m6")),
        ModelForecaster(days, DAILY_SAMPLER, 40_000),
        ModelForecaster(
            days.model_copy(update={"n_factors": DAILY_FACTORS}), DAILY_CONVERGED, 40_000, "daily-7"
        ),
    ]
    for path in sorted(Path(__file__).parent.glob("skill_*.toml")):
        if path.stem != "skill_core":
            found.append(fitted(bdfm.FactorModel.from_toml(path)))
    return {f.name: f for f in found}


# -- runs --------------------------------------------------------------------------------------------------


def market_data(folder: Path, universe: str) -> MarketData:
    """Data of a universe, up to the end of the grid."""
    place = folder / universe
    prices = bdfm.read_prices(place / "prices.csv.gz").loc[:GRID_END]
    earnings = bdfm.read_earnings(place / "earnings.csv") if (place / "earnings.csv").exists() else None
    return MarketData.of(prices, bdfm.read_universe(place / "universe.csv"), earnings)


def origins(data: MarketData, universe: str) -> pd.DatetimeIndex:
    """Origins of the protocol: on the grid, from the first with enough assets."""
    end = pd.Timestamp(GRID_END)
    last = min(end, data.prices.index[-1]) - pd.Timedelta(days=PERIOD)
    n = (end - pd.Timestamp(FIRST[universe])).days // PERIOD
    grid = origin_dates(end - pd.Timedelta(days=PERIOD * n), end, every=PERIOD)
    grid = grid[(grid >= FIRST[universe]) & (grid <= last)]
    if universe in MIN_ASSETS:
        first = data.prices.apply(pd.Series.first_valid_index)
        old = [(first <= o - pd.DateOffset(years=2)).sum() >= MIN_ASSETS[universe] for o in grid]
        grid = grid[int(np.argmax(old)) :]
    return pd.DatetimeIndex(grid)


@app.callback()
def main() -> None:
    """Skill over universes and eras."""


@app.command()
def run(
    data: Annotated[Path, typer.Option(help="Folder of the universes.")],
    out: Out,
    universe: Annotated[list[str] | None, typer.Option(help="All, if not given. Repeatable.")] = None,
    forecaster: Annotated[
        list[str] | None, typer.Option(help="All but the daily model, if not given. Repeatable.")
    ] = None,
    every: Annotated[int, typer.Option(help="Every so many origins, counted from the last one.")] = 1,
    workers: int = 1,
) -> None:
    """Run forecasters over universes; what is done already is kept."""
    for place in universe or FIRST:
        market = market_data(data, place)
        _FUTURE[:] = [market]
        dates = origins(market, place)[::-1][::every][::-1]
        for name in forecaster or [n for n in forecasters() if n not in SLOW]:
            begun = time.time()
            entry: dict[str, Any] = {"begun": time.strftime("%F %T"), "universe": place, "forecaster": name}
            entry["settings"] = json.loads(json.dumps(dict(forecasters()[name].settings)))
            try:
                done = walk_forward(
                    forecasters()[name], market, dates, out / place / name, seed=1, workers=workers
                )
                entry |= {"origins": len(done.results), "failed": len(done.failures)}
            except BaseException as error:
                entry["error"] = f"{type(error).__name__}: {error}"
                raise
            finally:
                entry["seconds"] = round(time.time() - begun, 1)
                with (out / "runs.jsonl").open("a", encoding="utf-8") as log:
                    log.write(json.dumps(entry) + "\n")
            print(place, done, f"{entry['seconds']} s", flush=True)


@app.command()
def daily(out: Out, json_file: Annotated[Path, typer.Option("--json", help="File of the figures.")]) -> None:
    """Show how the daily model does over four weeks, on the origins on which it was run.

    Figures of the short runs of ``daily`` that came first are kept as the file has them.
    """
    from skill_table import daily_figures, daily_markdown

    known = json.loads(json_file.read_text(encoding="utf-8")) if json_file.exists() else {}
    kept = {"short": known["short"]} if "short" in known else {}
    figures = daily_figures(out) | kept
    json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(*map(daily_markdown, (figures, *kept.values())), sep="\n", end="")


@app.command()
def table(
    out: Out,
    json_file: Annotated[Path | None, typer.Option("--json", help="File of the figures.")] = None,
    needed: Annotated[list[str] | None, typer.Option(help="Forecasters whose origins count.")] = None,
) -> None:
    """Show what is done: by universe and era, the rule applied."""
    from skill_table import show

    show(out, json_file, needed or ())


if __name__ == "__main__":
    app()

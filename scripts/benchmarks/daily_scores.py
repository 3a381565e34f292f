"""The daily model out of sample on M6: next day and next 20 days, beside models of daily risk.

    python scripts/benchmarks/daily_scores.py --prices FILE --universe FILE --earnings FILE --out DIR

From each start that is given, so many market days in a row: at each close the daily model forecasts the next
day and the next 20. It is fitted anew at the start and every 20 days, and goes on from the evening before in
between (``Posterior.update``), with a fixed number of sweeps or, with ``--max-rhat``, until it has converged
by that; the verdict is kept. Beside it: ``ewma-t``
(half-lives of 60 and 250 days, Student-t margins), ``riskmetrics`` (decay 0.94, normal), ``dcc`` (GARCH(1, 1)
with Student-t errors, dynamic correlations), ``fhs`` (filtered historical simulation). Of each: log density
of the next day's log returns, jointly and by asset (``fhs`` has draws and no density), CRPS and energy score,
value at risk and expected shortfall of two portfolios, and ranked probability score over 20 days.

Assets are every so many-th of the universe's stocks and funds, so that nobody picks them; no return after
2022-02-04 is looked at. What was said at an origin is kept in DIR, and so is the last posterior of each
start: a run that was stopped goes on as it would have. Makes DIR/scores.csv and prints the figures of
docs/daily.md. Starts are given as ``--starts 2015-01-09,2018-01-19``.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import logsumexp

import bdfm
from bdfm.backtest import MarketData
from bdfm.backtest.dcc import DCC
from bdfm.backtest.filtered import FilteredHistorical
from bdfm.backtest.protocol import History
from bdfm.backtest.significance import diebold_mariano
from bdfm.backtest.simple import EWMA
from bdfm.backtest.simulation import Simulation
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.ranks import outcome_quantiles
from bdfm.model.equations import at_periods, model_data
from bdfm.portfolio.risk import portfolio_risk
from bdfm.posterior.posterior import Posterior
from bdfm.scoring.scores import crps, energy_score, ranked_probability_score
from bdfm.validation import backtest_tail

Floats = np.ndarray[Any, np.dtype[np.float64]]

LAST, MONTH, LEVELS = pd.Timestamp("2022-02-04"), 20, (0.95, 0.99)
STARTS = ("2018-01-19", "2020-02-14", "2021-07-16", "2021-12-31")
MODEL = "daily"


def rivals() -> dict[str, Any]:
    """Models of daily risk by name."""
    return {
        "ewma-t": EWMA(n_draws=20_000),
        "riskmetrics": EWMA(
            volatility_half_life_days=11.2,
            correlation_half_life_days=11.2,
            dof=None,
            n_draws=20_000,
            label="riskmetrics",
        ),
        "dcc": DCC(n_draws=20_000),
        "fhs": FilteredHistorical(),
    }


def next_day_density(
    posterior: Posterior, log_returns: Floats, *, seed: int, n_inner: int = 16
) -> tuple[float, float, Floats]:
    """Log density of the next day's log returns (asset,): of all, its Monte Carlo error, and of each asset.

    Volatilities of the day and mixing variables of its noise are drawn, ``n_inner`` times for each posterior
    draw; given them returns are normal (eq. D1 to D4), and the densities are averaged. NaN: not traded.
    """
    model, p, rng = posterior.model, posterior.parameters(), np.random.default_rng(seed)
    data = at_periods(model_data(model, posterior.panel, future=True), slice(1))
    known = np.isfinite(log_returns)
    scale: Any = model.factor_scale
    h, z = scale.start_ahead(p)
    loadings = np.asarray(p["loadings"])[:, known]
    n_draws, n_assets = len(h), len(log_returns)
    log_scale = np.broadcast_to(model.log_noise_scale(p, data)[:, 0], (n_draws, n_assets))
    joint, each = np.empty((n_inner, n_draws)), np.empty((n_inner, n_draws, known.sum()))
    r = log_returns[known]
    for j in range(n_inner):
        moved = scale.step_ahead(p, h, z, rng.standard_normal(h.shape))
        factor = np.square(p["factor_scale"] * np.exp(moved))
        own = np.exp(log_scale + model.volatility_ahead(p, 0.0, rng))
        noise = np.square(own * model.noise.standard_draws(p, own.shape, rng).multiplier)[:, known]
        covariance = np.einsum("dik,dk,djk->dij", loadings, factor, loadings)
        covariance += noise[:, :, None] * np.eye(len(r))
        distance = np.einsum(
            "di,i->d", np.linalg.solve(covariance, np.broadcast_to(r[:, None], (*noise.shape, 1)))[..., 0], r
        )
        joint[j] = -0.5 * (distance + np.linalg.slogdet(covariance)[1] + len(r) * np.log(2 * np.pi))
        each[j] = stats.norm.logpdf(r, scale=np.sqrt(np.einsum("dii->di", covariance)))
    found = np.full(n_assets, np.nan)
    found[known] = logsumexp(each, axis=(0, 1)) - np.log(joint.size)
    by_draw = np.exp(logsumexp(joint, axis=0) - logsumexp(joint))  # shares of the posterior draws, sum 1
    error = float(np.sqrt(np.square(by_draw - by_draw.mean()).sum()))
    return float(logsumexp(joint) - np.log(joint.size)), error, found


def copula_density(
    correlation: Floats, scale: Floats, dof: float | None, log_returns: Floats
) -> tuple[float, Floats]:
    """Log density of log returns (asset,), of all and of each, with margins joined by a Gaussian copula."""
    known = np.isfinite(log_returns)
    x, s = log_returns[known], scale[known]
    law = stats.norm(scale=s) if dof is None else stats.t(dof, scale=s * np.sqrt((dof - 2) / dof))
    margins = law.logpdf(x)
    lower = np.minimum(law.cdf(x), law.sf(x))  # precise in both tails
    z = np.where(x < 0, stats.norm.ppf(lower), -stats.norm.ppf(lower))
    r = correlation[np.ix_(known, known)]
    copula = -0.5 * (z @ np.linalg.solve(r, z) - z @ z + np.linalg.slogdet(r)[1])
    found = np.full(len(log_returns), np.nan)
    found[known] = margins
    return float(copula + margins.sum()), found


def portfolios(assets: list[str]) -> dict[str, pd.Series]:
    """Equal weights, and the first half against the second."""
    n = len(assets)
    sides = np.where(np.arange(n) < n // 2, 1.0 / (n // 2), -1.0 / (n - n // 2))
    return {"equal": pd.Series(1.0 / n, assets), "long-short": pd.Series(sides, assets)}


def tails(forecast: Forecast, books: dict[str, pd.Series]) -> dict[str, dict[str, tuple[float, float]]]:
    """Value at risk and expected shortfall by portfolio and level."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for name, weights in books.items():
        for level in LEVELS:
            table = portfolio_risk(forecast, weights, level=level).table["value"]
            pair = float(table["value_at_risk"]), float(table["expected_shortfall"])
            found.setdefault(name, {})[f"{level:g}"] = pair
    return found


def scored(
    day: Forecast, month: Forecast, came: dict[str, Any], books: dict[str, pd.Series]
) -> dict[str, Any]:
    """What a forecaster's draws say of tomorrow and of 20 days, and their scores."""
    own = came["day"]
    known = np.isfinite(own)
    draws = np.log1p(day.draws.to_numpy().astype(float))[:, known]
    found: dict[str, Any] = {
        "crps": float(crps(draws, own[known]).mean()),
        "energy": energy_score(draws, own[known], seed=1),
        "volatility": draws.std(axis=0).tolist(),
        "tails": {"1": tails(day, books), "20": tails(month, books)},
    }
    if came["month"] is not None:
        outcome = outcome_quantiles(came["month"])
        found["rps"] = float(ranked_probability_score(month.quantile_probabilities(), outcome).mean())
    return found


class Study:
    """Data, the settings of the run, and its folder."""

    def __init__(self, args: argparse.Namespace) -> None:
        universe = bdfm.read_universe(args.universe)
        stocks = universe[universe["asset_class"] == "stock"]["symbol"]
        funds = universe[universe["asset_class"] != "stock"]["symbol"]
        n_funds = args.assets // 4
        prices = bdfm.read_prices(args.prices).loc[:LAST]
        old = {c for c in prices if prices[c].first_valid_index() <= pd.Timestamp("2010-01-04")}
        taken = [
            *_spread(stocks[stocks.isin(old)], args.assets - n_funds),
            *_spread(funds[funds.isin(old)], n_funds),
        ]
        self.universe = universe[universe["symbol"].isin(taken)].reset_index(drop=True)
        self.assets = list(self.universe["symbol"])
        prices = prices[self.assets]
        # Market days as in a panel: a close that most assets repeat is that of a holiday
        new = prices.notna() & prices.ffill().diff().ne(0)
        self.prices = prices[new.mean(axis=1) >= 0.5]
        earnings = bdfm.read_earnings(args.earnings)
        self.earnings = earnings[earnings["symbol"].isin(self.assets)]
        self.data = MarketData.of(self.prices, self.universe, accept=None)
        model = bdfm.FactorModel.from_preset(MODEL)
        panel = model.panel.model_copy(update={"n_periods": args.periods})
        self.model = model.model_copy(update={"n_factors": args.factors, "panel": panel})
        length: dict[str, Any] = {"draws": args.draws}
        if args.max_rhat is not None:  # the standard of a backtest, or another
            length = {name: getattr(args, name) for name in ("max_rhat", "min_ess", "max_sweeps")}
        self.settings = bdfm.SamplerSettings(
            engine="gibbs", tune=args.tune, thin=args.thin, chains=args.chains, cores=args.cores, **length
        )
        self.folder, self.days, self.starts = args.out, args.days, args.starts.split(",")

    def origins(self, start: str) -> list[pd.Timestamp]:
        """Market days from a start on whose next day is known."""
        days = self.prices.index
        return list(days[(days >= start) & (days < LAST)][: self.days])

    def came(self, origin: pd.Timestamp) -> dict[str, Any]:
        """Log returns of the next market day (asset,), simple returns over 20 days, and days."""
        logs = np.log(self.prices)
        place = self.prices.index.get_loc(origin)
        day = logs.iloc[place + 1] - logs.iloc[place]
        later = place + MONTH
        over = later < len(logs)
        month = np.expm1((logs.ffill().iloc[later] - logs.ffill().iloc[place]).to_numpy()) if over else None
        return {"day": day.to_numpy(), "month": month, "end": self.prices.index[place + 1]}

    def run(self) -> None:
        """Do what is not done."""
        for start in self.starts:
            before: Path | None = None
            for number, origin in enumerate(self.origins(start)):
                path = self.folder / f"{start}_{origin:%Y-%m-%d}.json"
                own = self.folder / f"posterior_{path.stem}.nc"
                if path.exists():
                    before = own
                    continue
                begun = os.times()
                again = number % MONTH == 0 or before is None or not before.exists()
                found = self.at_origin(origin, None if again else before, own)
                spent = os.times()
                found["cpu_seconds"] = spent.user - begun.user
                part = path.with_suffix(".part")
                part.write_text(json.dumps(found))
                os.replace(part, path)  # from here on the evening is done, and the next one goes on from it
                for old in self.folder.glob(f"posterior_{start}_*.nc"):
                    if old != own:
                        old.unlink()
                before = own
                print(f"{origin:%Y-%m-%d} {found['cpu_seconds']:.0f} s", flush=True)

    def at_origin(self, origin: pd.Timestamp, before: Path | None, own: Path) -> dict[str, Any]:
        """What all say at an origin, and what came. From the posterior in ``before``, if that is given."""
        came, books = self.came(origin), portfolios(self.assets)
        panel = bdfm.Panel.from_prices(
            self.prices.loc[:origin],
            self.universe,
            origin=origin,
            earnings=self.earnings,
            settings=self.model.panel,
            horizon=MONTH,
            accept=None,
        )
        seed = int(origin.value // 10**9 // 86400)
        if before is None:
            posterior = bdfm.fit(self.model, panel, seed=seed, settings=self.settings, accept=None)
        else:
            posterior = Posterior.load(before).update(panel, seed=seed)
        posterior.save(own)
        diagnosis = posterior.diagnose()
        day, month = (posterior.forecast(n, seed=seed, n_draws=20_000) for n in (1, MONTH))
        joint, error, each = next_day_density(posterior, came["day"], seed=seed)
        said = {
            MODEL: scored(day, month, came, books)
            | {"log_joint": joint, "log_error": error, "log_each": each.tolist()}
        }
        for name, rival in rivals().items():
            said[name] = self.of_rival(rival, origin, came, books, seed=seed)
        announced = panel.future["earnings"].to_numpy()[0]
        over = {n: books[n] @ np.expm1(came["day"]) for n in books}
        later = None if came["month"] is None else {n: books[n] @ came["month"] for n in books}
        return {
            "said": said,
            "came": came["day"].tolist(),
            "end": f"{came['end']:%Y-%m-%d}",
            "announced": announced.tolist(),
            "books": {"1": over, "20": later},
            "max_rhat": diagnosis.max_rhat,
            "min_ess": min(diagnosis.min_ess_bulk, diagnosis.min_ess_tail),
        }

    def of_rival(
        self,
        rival: Any,
        origin: pd.Timestamp,
        came: dict[str, Any],
        books: dict[str, pd.Series],
        *,
        seed: int,
    ) -> dict[str, Any]:
        """The same of another model."""
        day, month = (self.history(origin, n) for n in (1, MONTH))
        found = scored(rival.forecast(day, seed=seed), rival.forecast(month, seed=seed), came, books)
        if isinstance(rival, Simulation) and not isinstance(rival, FilteredHistorical):
            correlation, scale = rival.estimate(day)
            joint, each = copula_density(correlation, scale, rival.dof, came["day"])
            found |= {"log_joint": joint, "log_each": each.tolist()}
        return found

    def history(self, origin: pd.Timestamp, n_days: int) -> History:
        """History at an origin for a forecast of so many market days, whatever the calendar says."""
        history = self.data.history(origin, period=28)
        vars(history)["horizon_days"] = float(n_days)
        return history


def _spread(symbols: pd.Series, n: int) -> list[str]:
    """Every so many-th of the symbols."""
    return list(symbols.iloc[np.linspace(0, len(symbols) - 1, n).round().astype(int)])


# -- what it shows -----------------------------------------------------------------------------------------


def table_of(folder: Path) -> pd.DataFrame:
    """One row for each start, origin and model: its scores."""
    rows = []
    for path in sorted(folder.glob("2*.json")):
        kept = json.loads(path.read_text())
        start, origin = path.stem.split("_")
        for name, said in kept["said"].items():
            each = np.array(said.get("log_each", [np.nan]), dtype=float)
            row = {
                "start": start,
                "origin": origin,
                "model": name,
                "log_joint": said.get("log_joint", np.nan),
            }
            row |= {
                "log_each": np.nanmean(each) if np.isfinite(each).any() else np.nan,
                "rps": said.get("rps", np.nan),
            }
            rows.append(row | {k: said[k] for k in ("crps", "energy")})
    return pd.DataFrame(rows)


def differences(table: pd.DataFrame, score: str, rival: str) -> pd.DataFrame:
    """Mean and error of a rival's score less that of the daily model, by start and over all."""
    wide = table.pivot(index=["start", "origin"], columns="model", values=score)
    both = (wide[rival] - wide[MODEL]).dropna()
    lags = MONTH if score == "rps" else None
    parts = {**{s: x for s, x in both.groupby("start")}, "all": both}
    return pd.DataFrame({s: diebold_mariano(x.to_numpy(), n_lags=lags)._asdict() for s, x in parts.items()}).T


NAMES = {"ewma-t": "`ewma-t`", "riskmetrics": "RiskMetrics", "dcc": "DCC-GARCH", "fhs": "filtered historical"}
COLUMNS = {  # heading, unit, digits
    "log_joint": ("log density, joint", 1.0, 1),
    "log_each": ("by asset", 1.0, 3),
    "crps": ("CRPS, 1e-5", 1e5, 1),
    "energy": ("energy, 1e-5", 1e5, 0),
    "rps": ("ranks over 20 days, 1e-4", 1e4, 1),
}


def markdown(table: pd.DataFrame) -> str:
    """Tables of docs/daily.md from DIR/scores.csv: all scores over all evenings, and CRPS by start."""

    def cell(found: pd.DataFrame, at: str, unit: float, digits: int) -> str:
        if at not in found.index or not found.loc[at, "n"] or not np.isfinite(found.loc[at, "mean"]):
            return ""
        mean, error = (unit * found.loc[at, k] for k in ("mean", "se"))
        return f"{mean:.{digits}f} ± {error:.{digits}f}"

    heads = [h for h, _, _ in COLUMNS.values()]
    lines = ["| | " + " | ".join(heads) + " |", "|" + "---|" * (len(heads) + 1)]
    for rival, name in NAMES.items():
        row = [cell(differences(table, s, rival), "all", u, d) for s, (_, u, d) in COLUMNS.items()]
        lines.append("| " + " | ".join([name, *row]) + " |")
    starts = sorted(table["start"].unique())
    lines += ["", "| CRPS, 1e-5, from | " + " | ".join(starts) + " |", "|" + "---|" * (len(starts) + 1)]
    for rival, name in NAMES.items():
        found = differences(table, "crps", rival)
        lines.append("| " + " | ".join([name, *(cell(found, s, 1e5, 1) for s in starts)]) + " |")
    return "\n".join(lines) + "\n"


def announcements(folder: Path) -> pd.DataFrame:
    """Assets' days with an announcement and beside: what came over what was forecast, squared, by model."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for path in sorted(folder.glob("2*.json")):
        kept = json.loads(path.read_text())
        came, flags = np.array(kept["came"], dtype=float), np.array(kept["announced"])
        known = np.isfinite(came)
        if not flags.any():
            continue  # days on which nobody announces say nothing about those beside
        for name, said in kept["said"].items():
            for r, v, flag in zip(came[known], said["volatility"], flags[known], strict=True):
                found.setdefault((name, "announced" if flag else "beside"), []).append((r, v))
    rows = {}
    for key, pairs in found.items():
        r, v = np.array(pairs).T
        ratio = np.square(r / v)
        rows[key] = {
            "n": len(r),
            "forecast volatility": np.sqrt(np.mean(v**2)),
            "realised volatility": np.sqrt(np.mean(r**2)),
            "squared ratio": ratio.mean(),
            "error": ratio.std(ddof=1) / np.sqrt(len(r)),
        }
    return _indexed(rows, ["model", "day"])


def tail_tests(folder: Path, horizon: str, level: str) -> pd.DataFrame:
    """Tests of value at risk and expected shortfall by portfolio and model; spans of 20 days apart."""
    series: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    paths = sorted(folder.glob("2*.json"))
    for start in dict.fromkeys(p.stem.split("_")[0] for p in paths):
        own = [json.loads(p.read_text()) for p in paths if p.stem.startswith(start)]
        for kept in own if horizon == "1" else own[::MONTH]:
            if kept["books"][horizon] is None:
                continue
            for name, said in kept["said"].items():
                for book, tail in said["tails"][horizon].items():
                    row = (kept["books"][horizon][book], *tail[level])
                    series.setdefault((book, name), []).append(row)
    rows = {}
    for key, values in series.items():
        if len(values) < 20:
            hits = sum(r < -v for r, v, _ in values)
            rows[key] = {"n": len(values), "beyond": hits, "expected": (1 - float(level)) * len(values)}
            continue
        r, v, s = (pd.Series(x) for x in np.array(values).T)
        tests = backtest_tail(r, v, s, level=float(level), tail_shape=0.1).table["p_simulated"]
        rows[key] = {
            "n": len(values),
            "beyond": int((r < -v).sum()),
            "expected": (1 - float(level)) * len(values),
            "number": tests["unconditional coverage"],
            "clusters": tests["independence"],
            "both": tests["conditional coverage"],
            "ES": tests["expected shortfall"],
        }
    return _indexed(rows, ["portfolio", "model"])


def _indexed(rows: dict[tuple[str, str], dict[str, float]], names: list[str]) -> pd.DataFrame:
    """Table of rows by two labels; empty where there are none."""
    return pd.DataFrame(rows).T.rename_axis(names).sort_index() if rows else pd.DataFrame()


def show(folder: Path) -> None:
    """Print tables of all that the folder holds."""
    table = table_of(folder)
    table.to_csv(folder / "scores.csv", index=False)
    kept = [json.loads(p.read_text()) for p in sorted(folder.glob("2*.json"))]
    rhat, ess, error = (
        np.array(x)
        for x in zip(
            *((k["max_rhat"], k["min_ess"], k["said"][MODEL]["log_error"]) for k in kept), strict=True
        )
    )
    print(
        f"{len(kept)} origins; R-hat median {np.median(rhat):.3f}, largest {rhat.max():.3f}; least effective"
    )
    print(
        f"draws median {np.median(ess):.0f}, least {ess.min():.0f}; Monte Carlo error of a joint log score"
        f" {np.median(error):.3f}"
    )
    names = [n for n in table["model"].unique() if n != MODEL]
    for score in ("log_joint", "log_each", "crps", "energy", "rps"):
        own = table[table["model"] == MODEL].groupby("start")[score].mean()
        print(f"\n{score}: {MODEL} {table.loc[table['model'] == MODEL, score].mean():.6g}; {own.to_dict()}")
        for name in names:
            found = differences(table, score, name)
            if found["n"].max() > 0:
                print(
                    f"  {name} less {MODEL}: "
                    + "; ".join(f"{s} {x['mean']:.3g} ± {x['se']:.2g}" for s, x in found.iterrows())
                )
    print("\n" + announcements(folder).round(4).to_string())
    for horizon in ("1", "20"):
        for level in LEVELS:
            found = tail_tests(folder, horizon, f"{level:g}").round(3).to_string()
            print(f"\n{horizon} days, level {level:g}\n{found}")


def main() -> None:
    """Do what is not done, then say what it shows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("prices", "universe", "earnings"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    for name, default in (("assets", 8), ("days", 25), ("factors", 3), ("periods", 1000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name, default in (("draws", 200), ("tune", 400), ("thin", 4), ("chains", 2), ("cores", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--max-rhat", type=float, help="sweeps until this and --min-ess hold, not --draws")
    parser.add_argument("--min-ess", type=float, default=50.0)
    parser.add_argument("--max-sweeps", type=int, default=20_000)
    parser.add_argument("--starts", default=",".join(STARTS))
    parser.add_argument("--only-show", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.only_show:
        begun = time.perf_counter()
        Study(args).run()
        print(f"{time.perf_counter() - begun:.0f} s of wall time")
    show(args.out)


if __name__ == "__main__":
    main()

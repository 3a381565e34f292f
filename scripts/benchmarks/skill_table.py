"""Tables of docs/skill.md from the runs of skill.py."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from bdfm.backtest import Run
from bdfm.backtest.protocol import Floats
from bdfm.backtest.shares import LearnedShares
from bdfm.backtest.significance import Difference, diebold_mariano
from bdfm.names import ASSET, CLASS_OF
from bdfm.scoring.scores import log_score, ranked_probability_score

REFERENCE: Final = "ewma-t-5d"
ORACLE: Final = "oracle"
SIMPLE: Final = (REFERENCE, "ewma-t-5d-120", "fhs", "har-5d")
ERAS: Final = {"2004-07": (2004, 2007), "2008-09": (2008, 2009), "2010-15": (2010, 2015)}
ERAS |= {"2016-19": (2016, 2019), "2020-22": (2020, 2022)}
POOLS: Final[dict[str, tuple[str, ...]]] = {
    "pool": ("core", REFERENCE),
    "pool-120": ("core", "ewma-t-5d-120"),
    "pool-3": ("core", REFERENCE, "fhs"),
    "pool-learned": ("core", *SIMPLE),
    "pool-t": ("core-t", REFERENCE),
    "pool-class": ("core-class", REFERENCE),
}
HOUSE: Final = "pool-120"  # the preset house
LEARNED: Final = ("pool-learned",)
CANDIDATES: Final = (*POOLS, "core-t", "core-class")
# Of the daily model, which is run on a few origins; not to choose from
DAILY: Final = "daily-7"
DAILY_POOLS: Final = {
    "daily-pool": (DAILY, "ewma-t-5d-120"),
    "daily-pool-3": ("core", "ewma-t-5d-120", DAILY),
}
BONDS: Final = "fixed_income_etf"
FIFTHS: Final = np.arange(1.0, 6.0)
EQUAL_RPS: Final = 0.16
MAX_RHAT: Final = 1.05
MIN_ESS: Final = 50.0  # of the daily model, as of a backtest


class Scored(NamedTuple):
    """Scores (universe and origin) of a forecaster: RPS, log score, RPS of its symmetric part."""

    rps: pd.Series
    log: pd.Series
    symmetric: pd.Series


def probabilities(out: Path) -> dict[tuple[str, str], dict[pd.Timestamp, Floats]]:
    """Forecasts (asset, quantile) by universe and forecaster, by origin; pools made of their members."""
    found: dict[tuple[str, str], dict[pd.Timestamp, Floats]] = {}
    for (universe, name), run in runs(out).items():
        found[universe, name] = {
            o: x["probability"].to_numpy() for o, x in zip(run.origins, run.results, strict=True)
        }
    came = outcomes(out)
    for universe in {u for u, _ in found}:
        for pool, members in (POOLS | DAILY_POOLS).items():
            if not all((universe, m) in found for m in members):
                continue
            parts = [found[universe, m] for m in members]
            learned = LearnedShares(len(members))
            pooled = {}
            for origin in sorted(set(parts[0]).intersection(*parts[1:])):
                each = [p[origin] for p in parts]
                pooled[origin] = np.tensordot(learned.shares, each, axes=1)
                if pool in LEARNED:
                    learned.learn_from(each, came[universe, origin])
            found[universe, pool] = pooled
    return found


@cache
def runs(out: Path) -> dict[tuple[str, str], Run]:
    """Runs by universe and forecaster."""
    return {
        (p.parent.parent.name, p.parent.name): Run.load(p.parent)
        for p in sorted(out.glob("*/*/manifest.json"))
    }


def outcomes(out: Path) -> dict[tuple[str, pd.Timestamp], Floats]:
    """Outcomes (asset, quantile) by universe and origin."""
    return {
        (universe, o): x["outcome"].to_numpy()
        for (universe, _), run in runs(out).items()
        for o, x in zip(run.origins, run.results, strict=True)
    }


def scored(forecasts: Mapping[pd.Timestamp, Floats], universe: str, came: Mapping[Any, Floats]) -> Scored:
    """Scores of a forecaster in a universe, by (universe, origin)."""
    rows = []
    for origin, p in forecasts.items():
        y = came[universe, origin]
        scale = EQUAL_RPS / ranked_probability_score(np.full(p.shape, 1 / p.shape[1]), y).mean()
        mirrored = (p + p[:, ::-1]) / 2
        rows.append(
            (
                scale * ranked_probability_score(p, y).mean(),
                log_score(p, y).mean(),
                scale * ranked_probability_score(mirrored, y).mean(),
            )
        )
    index = pd.MultiIndex.from_product([[universe], list(forecasts)], names=["universe", "origin"])
    table = pd.DataFrame(rows, index=index, columns=["rps", "log", "symmetric"])
    return Scored(table["rps"], table["log"], table["symmetric"])


def era(origins: pd.DatetimeIndex) -> pd.Index:
    """Era of each origin."""
    years = origins.year
    return pd.Index([next(n for n, (a, b) in ERAS.items() if a <= y <= b) for y in years])


def by_date(differences: pd.Series) -> Floats:
    """Differences averaged over the universes that have the date, oldest first."""
    return differences.groupby(level="origin").mean().sort_index().to_numpy()


def cells(differences: pd.Series) -> dict[tuple[str, str], Difference]:
    """Differences by cell, by universe (era "all"), by era (universe "all"), and of all."""
    eras = era(differences.index.get_level_values("origin"))
    universes = differences.index.get_level_values("universe")
    found = {}
    for u in (*dict.fromkeys(universes), "all"):
        for e in (*ERAS, "all"):
            part = differences[((universes == u) | (u == "all")) & ((eras == e) | (e == "all"))]
            if len(part):
                found[u, e] = diebold_mariano(by_date(part))
    return found


def safe(found: Mapping[tuple[str, str], Difference]) -> tuple[bool, list[str]]:
    """Whether the rule of the protocol holds, and the cells in which it does not."""
    bad = [f"{u} {e}" for (u, e), d in found.items() if np.isfinite(d.se) and d.mean > d.se]
    total = found["all", "all"]
    return not bad and total.mean < 0 and total.p_value < 0.01, bad


def choose(scores: Mapping[str, pd.Series]) -> str:
    """Recommended model by the rule of the protocol."""
    fine = [c for c in CANDIDATES if c in scores and safe(cells(scores[c] - scores[REFERENCE]))[0]]
    if not fine:
        return "core"
    best = min(fine, key=lambda c: by_date(scores[c]).mean())
    for simpler in fine[: fine.index(best)]:
        gap = diebold_mariano(by_date(scores[simpler] - scores[best]))
        if gap.mean <= gap.se:
            return simpler
    return best


def show(out: Path, json_file: Path | None, only: Sequence[str] = ()) -> None:
    """Print all tables; write the figures as JSON."""
    console = Console(width=150)
    forecasts, came = probabilities(out), outcomes(out)
    parts: dict[str, list[Scored]] = {}
    for (universe, name), f in forecasts.items():
        if f:
            parts.setdefault(name, []).append(scored(f, universe, came))
    every = {n: Scored(*(pd.concat(list(x)) for x in zip(*p, strict=True))) for n, p in parts.items()}
    common = every["core"].rps.index
    for name in only:
        common = common.intersection(every[name].rps.index)
    kept = {n: s for n, s in every.items() if common.isin(s.rps.index).all()}
    rps = {n: s.rps.loc[common] for n, s in kept.items()}
    figures: dict[str, Any] = {"origins": len(common), "forecasters": {}}
    gain = {c: d.mean for c, d in cells(rps[ORACLE] - rps[REFERENCE]).items()}
    table = Table(
        *(
            "forecaster",
            "RPS",
            "less ewma-t-5d, 1e-5",
            "p",
            "log score, 1e-4",
            "way to the oracle",
            "lean, 1e-5",
        ),
        *("safe", "worse in"),
        box=None,
    )
    for name in sorted(rps, key=lambda n: by_date(rps[n]).mean()):
        d = cells(rps[name] - rps[REFERENCE])
        total = d["all", "all"]
        logs = diebold_mariano(by_date((kept[name].log - kept[REFERENCE].log).loc[common]))
        lean = diebold_mariano(by_date((kept[name].rps - kept[name].symmetric).loc[common]))
        fine, bad = safe(d)
        share = total.mean / gain["all", "all"]
        row = (
            name,
            f"{by_date(rps[name]).mean():.5f}",
            f"{1e5 * total.mean:+.1f} ± {1e5 * total.se:.1f}",
            f"{total.p_value:.4f}",
            f"{1e4 * logs.mean:+.1f} ± {1e4 * logs.se:.1f}",
            f"{share:.0%}",
            f"{1e5 * lean.mean:+.1f} ± {1e5 * lean.se:.1f}",
            "yes" if fine else "no",
            ", ".join(bad)[:60],
        )
        table.add_row(*row)
        figures["forecasters"][name] = {
            "rps": by_date(rps[name]).mean(),
            "cells": {f"{u} {e}": x._asdict() for (u, e), x in d.items()},
            "share": {f"{u} {e}": x.mean / gain[u, e] for (u, e), x in d.items()},
            "log": logs._asdict(),
            "lean": lean._asdict(),
            "safe": fine,
        }
    console.print(f"{len(common)} origins of {len(set(common.get_level_values(0)))} universes")
    console.print(table)
    for name in (n for n in rps if n != REFERENCE):
        d = cells(rps[name] - rps[REFERENCE])
        grid = Table(name, *ERAS, "all", box=None)
        for u in dict.fromkeys(u for u, _ in d):
            cell = (d.get((u, e)) for e in (*ERAS, "all"))
            grid.add_row(
                u, *("" if x is None else f"{1e5 * x.mean:+.0f} ± {1e5 * x.se:.0f} ({x.n})" for x in cell)
            )
        console.print(grid)
    figures["chosen"] = choose(rps)
    console.print(f"By the rule: {figures['chosen']}")
    worst = {
        f"{u} {n}": float(r.facts["max_rhat"].max())
        for (u, n), r in runs(out).items()
        if "max_rhat" in r.facts
    }
    console.print("Worst R-hat:", worst)
    figures["worst_rhat"] = worst
    figures["above_rhat"] = {
        f"{u} {n}": [int((r.facts["max_rhat"] > MAX_RHAT).sum()), len(r.origins)]
        for (u, n), r in runs(out).items()
        if "max_rhat" in r.facts
    }
    console.print("Origins above R-hat 1.05:", figures["above_rhat"])
    fixed = [n for n in rps if n in (REFERENCE, "core", *POOLS) and n not in LEARNED]
    figures["coverage"] = coverage(out, common, fixed, console)
    best = {}
    for u in dict.fromkeys(common.get_level_values("universe")):
        mine = common.get_level_values("universe") == u
        rival = min(SIMPLE, key=lambda n: rps[n][mine].mean())
        gap = diebold_mariano(by_date((rps[figures["chosen"]] - rps[rival])[mine]))
        best[u] = {"rival": rival, **gap._asdict()}
    console.print("Against the best simple rival of each universe:", best)
    figures["best_rival"] = best
    figures["leans"] = leans(every, console)
    outer = reliability(
        out, forecasts, came, [n for n in rps if n in (REFERENCE, "core", *CANDIDATES)], console
    )
    mine = outer[outer["forecaster"] == figures["chosen"]]
    figures["outer"] = {
        str(c): [tuple(part[part["era"] == e][["forecast", "came"]].mean()) for e in ERAS]
        for c, part in mine.groupby(ASSET)
    }
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1, default=float) + "\n", encoding="utf-8")


def leans(every: Mapping[str, Scored], console: Console) -> dict[str, Any]:
    """What opinions on direction gained or lost, by universe and era, over all origins of each forecaster.

    ``lean``: RPS less that of the symmetric part. ``rest``: the symmetric part less the reference. ``whole``:
    RPS less that of the reference, both together.
    """
    found: dict[str, Any] = {}
    for name, one in every.items():
        if abs(one.rps - one.symmetric).mean() < 2e-6:  # of draws that are symmetric but for their number
            continue
        shared = one.rps.index.intersection(every[REFERENCE].rps.index)
        sides = {
            "lean": (one.rps - one.symmetric).loc[shared],
            "rest": one.symmetric.loc[shared] - every[REFERENCE].rps.loc[shared],
            "whole": one.rps.loc[shared] - every[REFERENCE].rps.loc[shared],
        }
        found[name] = {
            side: {f"{u} {e}": x._asdict() for (u, e), x in cells(values).items()}
            for side, values in sides.items()
        }
        table = Table(f"{name}, 1e-5", *ERAS, "all", box=None)
        for side, by_cell in found[name].items():
            for u in dict.fromkeys(key.split()[0] for key in by_cell):
                row = [plus_minus(by_cell.get(f"{u} {e}"), 1e5) for e in (*ERAS, "all")]
                table.add_row(f"{side}, {u}", *row)
        console.print(table)
    return found


def markdown(figures: Mapping[str, Any]) -> str:
    """Tables of docs/skill.md from the figures: all forecasters, and the cells of the chosen one."""
    lines = [
        "| | RPS | less `ewma-t-5d`, 1e-5 | p | log score, 1e-4 | way to the oracle | lean, 1e-5 | safe |",
        "|---|---|---|---|---|---|---|---|",
    ]
    every = figures["forecasters"]
    for name in sorted(every, key=lambda n: every[n]["rps"]):
        x = every[name]
        total, log, lean = x["cells"]["all all"], x["log"], x["lean"]
        p = "< 0.0001" if total["p_value"] < 1e-4 else f"{total['p_value']:.4f}"
        cells_ = [f"`{name}`", f"{x['rps']:.5f}", plus_minus(total, 1e5), p, plus_minus(log, 1e4)]
        if name == REFERENCE:
            cells_ = [f"`{name}`", f"{x['rps']:.5f}", "", "", ""]
        cells_ += [f"{x['share']['all all']:.0%}".replace("-0%", "0%"), plus_minus(lean, 1e5)]
        lines.append("| " + " | ".join([*cells_, "yes" if x["safe"] else "no"]) + " |")
    own = every[figures["chosen"]]["cells"]
    lines += ["", f"| `{figures['chosen']}` | " + " | ".join((*ERAS, "all")) + " |", "|---" * 7 + "|"]
    for u in dict.fromkeys(key.split()[0] for key in own):
        row = [plus_minus(own.get(f"{u} {e}"), 1e5, digits=0) for e in (*ERAS, "all")]
        lines.append("| " + " | ".join([u, *row]) + " |")
    lines += [
        "",
        "| universe | best simple rival | less it, 1e-5 | p | in the central 50 % | in the central 90 % |",
        "|---|---|---|---|---|---|",
    ]
    for u, x in figures["best_rival"].items():
        inside = figures["coverage"][f"{figures['chosen']} {u}"]
        shares = [f"{m:.3f} ± {e:.3f}" for m, e in zip(inside["mean"][:2], inside["se"][:2], strict=True)]
        row = [u, f"`{x['rival']}`", plus_minus(x, 1e5), f"{x['p_value']:.4f}", *shares]
        lines.append("| " + " | ".join(row) + " |")
    ends = " | ".join(f"to 0.{j}" if j < 10 else "to 1" for j in range(1, 11))
    lines += ["", f"| PIT in | {ends} |", "|---" * 11 + "|"]
    for u in figures["best_rival"]:
        pit = figures["coverage"][f"{figures['chosen']} {u}"]
        both = zip(pit["tenths"], pit["tenths_se"], strict=True)
        lines.append("| " + " | ".join([u, *(f"{100 * m:.0f} ± {100 * e:.0f}" for m, e in both)]) + " |")
    lines += ["", f"| `{figures['chosen']}`, `m6` | " + " | ".join(ERAS) + " |", "|---" * 6 + "|"]
    for c, by_era in figures["outer"].items():
        row = [f"{p:.3f}, {y:.3f}" for p, y in by_era]
        lines.append("| " + " | ".join([c, *row]) + " |")
    return "\n".join(lines) + "\n"


def lean_markdown(figures: Mapping[str, Any]) -> str:
    """Table of docs/skill.md on leans: by era, in the universe m6, over all origins of each forecaster."""
    lines = ["| `m6`, 1e-5 | " + " | ".join((*ERAS, "all")) + " |", "|---" * 7 + "|"]
    for name, sides in sorted(figures["leans"].items()):
        for side, words in (("lean", "its lean"), ("rest", "its symmetric part less `ewma-t-5d`")):
            row = [plus_minus(sides[side].get(f"m6 {e}"), 1e5, digits=0) for e in (*ERAS, "all")]
            lines.append("| " + " | ".join([f"`{name}`: {words}", *row]) + " |")
    return "\n".join(lines) + "\n"


def rival_markdown(figures: Mapping[str, Any], name: str = "m6") -> str:
    """Table of docs/skill.md on a forecaster that leans, by universe, over all of its origins."""
    lines = [
        f"| `{name}`, 1e-5 | origins | less `ewma-t-5d` | p | its lean | its symmetric part less that |",
        "|---" * 6 + "|",
    ]
    sides = figures["leans"][name]
    for key, whole in sides["whole"].items():
        universe, of = key.split()
        if of == "all":
            parts = [plus_minus(sides[side][key], 1e5, digits=0) for side in ("lean", "rest")]
            row = [
                universe,
                str(whole["n"]),
                plus_minus(whole, 1e5, digits=0),
                f"{whole['p_value']:.3f}",
                *parts,
            ]
            lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def daily_figures(out: Path) -> dict[str, Any]:
    """The daily model over four weeks, alone and in pools, on the origins of ``m6`` on which it was run."""
    forecasts, came, run = probabilities(out), outcomes(out), runs(out)["m6", DAILY]
    origins = list(run.origins)
    found: dict[str, Any] = {"of": DAILY, "origins": [f"{o:%Y-%m-%d}" for o in origins], "forecasters": {}}
    for name, digits in (("max_rhat", 3), ("min_ess", 0), ("sweeps", 0)):
        found[name] = run.facts[name].round(digits).tolist()
    rps = {}
    for name in (DAILY, *DAILY_POOLS, HOUSE, "core", "ewma-t-5d-120", REFERENCE):
        one = scored({o: forecasts["m6", name][o] for o in origins}, "m6", came)
        rps[name] = one.rps
        if name == DAILY:
            rps["symmetric"] = one.symmetric
            found["lean"] = diebold_mariano(by_date(one.rps - one.symmetric))._asdict()
            found["leans"] = by_date(one.rps - one.symmetric).round(5).tolist()
    for name, x in rps.items():
        others = {other: diebold_mariano(by_date(x - rps[other]))._asdict() for other in (REFERENCE, HOUSE)}
        found["forecasters"][name] = {"rps": float(x.mean()), "less": others}
    bonds = [x[CLASS_OF].to_numpy().astype(str) == BONDS for x in run.results]
    for name in (DAILY, REFERENCE):  # their expected fifth, counted from 1: 3 without an opinion on direction
        fifths = [forecasts["m6", name][o][own] @ FIFTHS for o, own in zip(origins, bonds, strict=True)]
        found["forecasters"][name]["bonds"] = [round(float(x.mean()), 3) for x in fifths]
    settled = run.facts["settled"].to_numpy() == 1
    found["settled"] = diebold_mariano(by_date((rps[DAILY] - rps[REFERENCE])[settled]))._asdict()
    return found


def daily_markdown(figures: Mapping[str, Any]) -> str:
    """Table of docs/daily.md on ranks over four weeks."""
    lines = ["| | RPS | less `ewma-t-5d`, 1e-5 | p | less `house`, 1e-5 | p |", "|---" * 6 + "|"]
    names = {HOUSE: "`house`", "daily-pool": f"half `{figures['of']}`, half `ewma-t-5d-120`"}
    names |= {"daily-pool-3": f"a third each: `core`, `ewma-t-5d-120`, `{figures['of']}`"}
    names |= {"symmetric": f"`{figures['of']}`, its symmetric part"}
    every = figures["forecasters"]
    for name in sorted(every, key=lambda n: every[n]["rps"]):
        row = [names.get(name, f"`{name}`"), f"{every[name]['rps']:.5f}"]
        for other in (REFERENCE, HOUSE):
            d = every[name]["less"][other]
            row += ["", ""] if other == name else [plus_minus(d, 1e5), f"{d['p_value']:.2f}"]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def plus_minus(difference: Mapping[str, float] | None, unit: float, *, digits: int = 1) -> str:
    """Mean and error of a difference in a unit; nothing where it is not there."""
    if difference is None:
        return ""
    mean = f"{unit * difference['mean']:+.{digits}f}"
    if mean.strip("+-0.") == "":
        mean = mean.replace("-", "+")
    se = difference["se"]
    return mean if not np.isfinite(se) else f"{mean} ± {unit * se:.{digits}f}"


def coverage(out: Path, common: pd.MultiIndex, names: Sequence[str], console: Console) -> dict[str, Any]:
    """Share of returns inside the central intervals, by universe; errors from origin to origin.

    The PIT of a linear pool with fixed shares is the average of those of its members.
    """
    found: dict[str, Any] = {}
    table = Table(
        "PIT", "universe", "in the central 50 %", "in the central 90 %", "below 5 %", "above 95 %", box=None
    )
    for name in names:
        members = POOLS.get(name, (name,))
        for universe in dict.fromkeys(common.get_level_values("universe")):
            each = [runs(out)[universe, m] for m in members]
            at = [dict(zip(r.origins, r.results, strict=True)) for r in each]
            rows, tenths = [], []
            for origin in common[common.get_level_values("universe") == universe].get_level_values("origin"):
                u = np.mean([x[origin]["pit"].to_numpy() for x in at], axis=0)
                inside = [(np.abs(u - 0.5) < h / 2).mean() for h in (0.5, 0.9)]
                rows.append([*inside, (u < 0.05).mean(), (u > 0.95).mean()])
                tenths.append(np.histogram(u, bins=10, range=(0.0, 1.0))[0] / len(u))
            values = np.array(rows)
            mean, se = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
            table.add_row(name, universe, *(f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, se, strict=True)))
            spread = np.std(tenths, axis=0, ddof=1) / np.sqrt(len(tenths))
            found[f"{name} {universe}"] = {
                "mean": mean.tolist(),
                "se": se.tolist(),
                "tenths": np.mean(tenths, axis=0).tolist(),
                "tenths_se": spread.tolist(),
            }
    console.print(table)
    return found


def reliability(
    out: Path, forecasts: Mapping[Any, Any], came: Mapping[Any, Any], names: Sequence[str], console: Console
) -> pd.DataFrame:
    """Share of the outer fifths by class, forecast and realised, by era (universe m6)."""
    run = runs(out)["m6", REFERENCE]
    classes = {o: x[CLASS_OF].to_numpy().astype(str) for o, x in zip(run.origins, run.results, strict=True)}
    shown = set.intersection(*(set(forecasts.get(("m6", n), {})) for n in names))
    rows = []
    for name in names:
        kept = {o: p for o, p in forecasts.get(("m6", name), {}).items() if o in shown}
        for o, p in kept.items():
            y = came["m6", o]
            for c in dict.fromkeys(classes[o]):
                mine = classes[o] == c
                rows.append(
                    (
                        name,
                        era(pd.DatetimeIndex([o]))[0],
                        c,
                        p[mine][:, [0, -1]].sum(1).mean(),
                        y[mine][:, [0, -1]].sum(1).mean(),
                    )
                )
    table = pd.DataFrame(rows, columns=["forecaster", "era", ASSET, "forecast", "came"])
    if len(table):
        by_era = table.groupby([ASSET, "era", "forecaster"]).mean().unstack("forecaster")
        console.print(by_era.round(3).to_string())
    return table

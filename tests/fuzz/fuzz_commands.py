# ruff: noqa: E501  # examples in tables
"""Grammar of commands: options, views and edits as texts, and the files that each command reads."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_world as world
import tomli_w
from fuzz_files import (
    EDITS,
    EXTREMES,
    IN_PERCENT,
    Draw,
    day,
    number,
    odds,
    path,
    spoil_bytes,
    spoil_key,
    spoil_netcdf,
    spoil_table,
    spoil_toml,
    statement,
    symbol,
    text,
)
from hypothesis import strategies as st

from bdfm.forecast.view_texts import parse


def view_text(draw: Draw) -> str:
    """A view as a text on the command line."""
    a, b, x, y = draw(symbol), draw(symbol), draw(number), draw(number)
    forms = [
        f"{a} = {x}", f"{a} = {x} +- {y}", f"{a} - {b} >= {x}", f"0.6 {a} + 0.4 {b} = {x}", f"vol({a}) = {x}",
        f"vol({a}) = {x}x", f"corr({a}, {b}) = {x}", f"{a} > {b} : {x}", f"{a} in 5/5 : {x}", f"{a} in {y}/5 : {x}",
        f"P({a} < {x}) = {y}", f"VaR({a}, 95%) <= {x}", f"CVaR(0.6 {a} + 0.4 {b}, {y}) = {x}", a,
    ]  # fmt: skip
    return draw(st.sampled_from(forms))


def edit_text(draw: Draw) -> str:
    """An edit as a text on the command line."""
    table = statement(draw, EDITS)
    kind = table.pop("kind")
    first = draw(symbol) if odds(draw, 3) else str(next(iter(table.values()))).strip("[]'")
    words = [kind, first]
    for key, x in [*table.items()][1:]:
        words.append(f"{key}={draw(number) if odds(draw, 2) else x}")
    if odds(draw, 8):
        words.append(draw(text))
    return " ".join(words)


def _maybe(draw: Draw, words: list[str], flag: str, usual: Any, odd: Any = None, one_in: int = 5) -> None:
    """Add an option now and then, mostly with a usual value."""
    if odds(draw, one_in):
        known = usual if isinstance(usual, st.SearchStrategy) else st.sampled_from(usual)
        words += [flag, draw(odd if odd is not None and odds(draw, 2) else known)]


def _needed(draw: Draw, words: list[str], flag: str, usual: str, odd: Any) -> None:
    if not odds(draw, 40):
        words += [flag, draw(odd) if odds(draw, 12) else usual]


def _tables(draw: Draw, words: list[str], *, universe: bool) -> None:
    _needed(draw, words, "--prices", "prices.csv", path)
    if universe or odds(draw, 4):
        _needed(draw, words, "--universe", "universe.csv", path)
    _maybe(draw, words, "--date-format", ["dmy", "mdy", "ymd", "%d/%m/%Y"], text, 10)
    _maybe(draw, words, "--decimal-mark", [".", ",", "point"], text, 10)
    _maybe(draw, words, "--alias", ["AA=A", "A=AA", "aliases.csv"], text, 10)
    _maybe(draw, words, "--accept", ["unit-step", "twins:A", "stale-price:B", "still"], text, 8)


def _out(draw: Draw, words: list[str], usual: str) -> None:
    words += ["--out", draw(path) if odds(draw, 6) else usual]


def _book(draw: Draw, words: list[str]) -> None:
    if odds(draw, 2):
        _needed(draw, words, "--portfolio", "book.csv", path)
    model = draw(
        st.sampled_from(["statistical", "statistical", "statistical", "time-series", "cross-sectional", "x"])
    )
    words += ["--model", model]
    if model == "time-series" or odds(draw, 8):
        words += ["--factors", "factors.csv"]
        _maybe(draw, words, "--unit", ["percent", "decimal"])
    if model == "cross-sectional" or odds(draw, 8):
        words += ["--sectors", "sectors.csv"]
    _maybe(draw, words, "--origin", [world.ORIGIN], day, 4)
    _maybe(draw, words, "--only", symbol, None, 8)
    _maybe(draw, words, "--period", ["1w", "5d", "1m", "4w"], text, 6)
    _maybe(draw, words, "--period-days", ["7", "28"], number, 8)
    _maybe(draw, words, "--window", ["40", "104"], number, 6)
    _maybe(draw, words, "--half-life-periods", ["26"], number, 8)
    _maybe(draw, words, "--horizon", ["1", "4"], number, 8)


def _sampler(draw: Draw, words: list[str]) -> None:
    _maybe(draw, words, "--draws", ["10", "auto"], number, 8)
    _maybe(draw, words, "--tune", ["10"], number, 8)
    _maybe(draw, words, "--chains", ["2", "1"], number, 8)
    _maybe(draw, words, "--engine", ["gibbs"], text, 10)
    _maybe(draw, words, "--seed", ["7"], number, 5)


def check(draw: Draw) -> list[str]:
    words = ["check"]
    _tables(draw, words, universe=odds(draw, 2))
    for flag, file in (
        ("--factors", "factors.csv"),
        ("--earnings", "earnings.csv"),
        ("--portfolio", "book.csv"),
    ):
        _maybe(draw, words, flag, [file], path, 4)
    _maybe(draw, words, "--origin", [world.ORIGIN], day, 3)
    _maybe(draw, words, "--zero", symbol, None, 6)
    if odds(draw, 3):
        words.append("--json")
    if odds(draw, 20):
        _out(draw, words, "new")
    return words


def forecast(draw: Draw) -> list[str]:
    words = ["forecast"]
    _tables(draw, words, universe=True)
    _needed(draw, words, "--origin", world.ORIGIN, day)
    _maybe(draw, words, "--model", ["house", "m6", "var", "model.toml"], text, 5)
    _maybe(draw, words, "--period-days", ["21", "28"], number, 6)
    _maybe(draw, words, "--earnings", ["earnings.csv"], path, 5)
    _maybe(draw, words, "--volatility", ["volatility.csv"], path, 5)
    _maybe(draw, words, "--zero", symbol, None, 6)
    if odds(draw, 4):
        words += ["--evidence", f"{draw(symbol)}={draw(number)},{draw(number)}"]
    _maybe(draw, words, "--warm-from", ["out", "."], path, 8)
    _maybe(draw, words, "--memory", ["4GB"], text, 8)
    if odds(draw, 6):
        words.append("--keep-draws")
    _sampler(draw, words)
    _out(draw, words, "new")
    return words


def run_check(draw: Draw) -> list[str]:
    words = ["run", draw(path) if odds(draw, 20) else "month.toml", "--check"]
    if odds(draw, 8):
        words.insert(
            2, draw(st.sampled_from(["out/run.toml", "ledger/one/run.toml", "month.toml", "none.toml"]))
        )
    if odds(draw, 5):
        words.append(draw(st.sampled_from(["--json", "--quiet"])))
    _maybe(draw, words, "--memory", ["4GB"], text, 8)
    return words


def run(draw: Draw) -> list[str]:
    return [x for x in run_check(draw) if x != "--check"]


def _forecast_file(draw: Draw) -> str:
    if odds(draw, 6):
        return draw(path)
    return draw(st.sampled_from(["out", "out", "out/forecast.nc", "ledger/one"]))


def view(draw: Draw) -> list[str]:
    words = ["view", _forecast_file(draw)]
    if odds(draw, 4):
        words += ["--file", draw(path) if odds(draw, 6) else "changes.toml"]
    else:
        for _ in range(draw(st.integers(1, 3))):
            words += [draw(st.sampled_from(["--evidence", "--constraint"])), view_text(draw)]
    _maybe(draw, words, "--confidence", ["0.5"], number, 5)
    _maybe(draw, words, "--out", ["new.nc", "out/forecast.nc"], path, 4)
    _maybe(draw, words, "--accept", ["far-view"], text, 8)
    return words


def edit(draw: Draw) -> list[str]:
    words = ["edit", _forecast_file(draw)]
    if odds(draw, 4):
        words += ["--file", draw(path) if odds(draw, 6) else "changes.toml"]
    else:
        words += [edit_text(draw) for _ in range(draw(st.integers(1, 3)))]
    _maybe(draw, words, "--out", ["new.nc", "out/forecast.nc"], path, 4)
    _maybe(draw, words, "--accept", ["far-edit"], text, 8)
    return words


def decide(draw: Draw) -> list[str]:
    words = ["decide", _forecast_file(draw)]
    methods = ["equal", "minimum_variance", "mean_cvar", "information_ratio", "risk_parity"]
    _maybe(draw, words, "--method", methods, text, 2)
    _maybe(draw, words, "--exposure", ["0.5", "1"], number, 3)
    _maybe(draw, words, "--max-weight", ["0.5", "0.2"], number, 3)
    if odds(draw, 3):
        words.append("--short")
    _maybe(draw, words, "--submission", ["sub.csv"], path, 4)
    _maybe(draw, words, "--out", ["new.nc"], path, 4)
    return words


def report(draw: Draw) -> list[str]:
    words = ["report", _forecast_file(draw)]
    _maybe(draw, words, "--out", ["new.html"], path, 3)
    return words


def score(draw: Draw) -> list[str]:
    words = ["score"]
    _needed(draw, words, "--submission", "submission.csv", path)
    _tables(draw, words, universe=False)
    _needed(draw, words, "--origin", world.ORIGIN, day)
    _needed(draw, words, "--end", world.END, day)
    if odds(draw, 4):
        words.append("--json")
    return words


def roll(draw: Draw) -> list[str]:
    words = ["roll", draw(path) if odds(draw, 12) else draw(st.sampled_from(["month.toml", "out/run.toml"]))]
    words += ["--origin", draw(day) if odds(draw, 4) else world.NEXT]
    what = st.sampled_from(["all", "views", "edits", "evidence", "view 1", "edit 1", "view 2"])
    for flag in ("--keep", "--drop"):
        _maybe(draw, words, flag, what, text, 2)
    _maybe(draw, words, "--out", ["new.toml"], path, 4)
    if odds(draw, 5):
        words.append("--check")
    return words


def track(draw: Draw) -> list[str]:
    words = ["track", draw(path) if odds(draw, 8) else "ledger"]
    _needed(draw, words, "--prices", "prices.csv", path)
    _maybe(draw, words, "--false-alarm", ["0.05"], number, 4)
    _maybe(draw, words, "--out", ["new.html"], path, 4)
    if odds(draw, 4):
        words.append(draw(st.sampled_from(["--json", "--quiet"])))
    return words


def risk(draw: Draw) -> list[str]:
    words = ["risk"]
    _tables(draw, words, universe=False)
    _book(draw, words)
    _maybe(draw, words, "--benchmark", ["A", "book.csv"], text, 5)
    _maybe(draw, words, "--hedge", symbol, None, 5)
    if odds(draw, 8):
        words += ["--hedge-limits", draw(number), draw(number)]
    if odds(draw, 40):
        _out(draw, words, "new")
    return words


def stress(draw: Draw) -> list[str]:
    words = ["stress"]
    _tables(draw, words, universe=False)
    _book(draw, words)
    if odds(draw, 4):
        words += ["--replay", f"{draw(day)}..{draw(day)}"]
    if odds(draw, 4):
        words += [
            "--shock",
            f"{draw(st.sampled_from(['Mkt-RF', 'PC1', 'x']))}={draw(number)} {draw(st.sampled_from(['', 'sd', '%']))}",
        ]
    for flag in ("--volatility", "--correlation", "--loss"):
        _maybe(draw, words, flag, ["0.5"], number, 6)
    _maybe(draw, words, "--forecast", ["out/forecast.nc"], path, 8)
    if odds(draw, 40):
        _out(draw, words, "new")
    return words


def backtest(draw: Draw) -> list[str]:
    words = [
        "backtest",
        draw(st.sampled_from(["equal", "historical", "ewma-t"])) if not odds(draw, 8) else draw(text),
    ]
    _tables(draw, words, universe=True)
    _needed(draw, words, "--first", "2021-03-05", day)
    _needed(draw, words, "--last", "2021-05-14", day)
    _maybe(draw, words, "--period-days", ["21", "28"], number, 6)
    _maybe(draw, words, "--history-days", ["700"], number, 6)
    _maybe(draw, words, "--late", ["1"], number, 8)
    _maybe(draw, words, "--seed", ["7"], number, 6)
    _maybe(draw, words, "--n-draws", ["200"], number, 6)
    _out(draw, words, draw(st.sampled_from(["runs", "new"])))
    return words


def compare(draw: Draw) -> list[str]:
    words = ["compare", draw(path) if odds(draw, 8) else "runs"]
    _maybe(draw, words, "--score", ["rps", "crps", "log_score"], text, 3)
    _maybe(draw, words, "--reference", ["equal"], text, 4)
    _maybe(draw, words, "--lags", ["0", "1"], number, 4)
    _maybe(draw, words, "--seed", ["7"], number, 6)
    return words


# Command to its weight among cheap cases; those that fit or draw pictures are rare.
CHEAP = {check: 5, forecast: 3, run_check: 6, view: 5, edit: 5, decide: 4, score: 4, roll: 4, track: 1, risk: 5, stress: 3,
         backtest: 2, compare: 1}  # fmt: skip
READ = {
    check: ["prices.csv", "universe.csv", "factors.csv", "earnings.csv", "book.csv"],
    forecast: ["prices.csv", "universe.csv", "earnings.csv", "volatility.csv", "model.toml", "out/posterior.nc"],
    run_check: ["month.toml", "month.toml", "month.toml", "prices.csv", "universe.csv", "out/run.toml"],
    run: ["month.toml", "month.toml", "prices.csv"],
    view: ["out/forecast.nc", "ledger/one/posterior.nc", "ledger/one/forecast.nc", "changes.toml"],
    edit: ["out/forecast.nc", "ledger/one/posterior.nc", "ledger/one/forecast.nc", "changes.toml"],
    decide: ["out/forecast.nc", "ledger/one/posterior.nc", "ledger/one/forecast.nc"],
    report: ["out/forecast.nc", "out/posterior.nc", "out/summary.json"],
    score: ["submission.csv", "submission.csv", "prices.csv"],
    roll: ["month.toml", "month.toml", "prices.csv", "out/forecast.nc"],
    track: ["ledger/one/forecast.nc", "ledger/one/summary.json", "ledger/one/run.toml", "prices.csv"],
    risk: ["prices.csv", "book.csv", "factors.csv", "sectors.csv"],
    stress: ["prices.csv", "book.csv", "factors.csv", "out/forecast.nc"],
    backtest: ["prices.csv", "universe.csv", "runs/equal/manifest.json"],
    compare: ["runs/equal/manifest.json", "runs/equal/origins/2021-03-05.npz"],
}  # fmt: skip


def spoil(draw: Draw, folder: Path, name: str, data: bytes) -> None:
    """Put another file in the place of one that held ``data``."""
    file = folder / name
    if name.endswith(".csv"):
        data = spoil_table(draw, data, name)
    elif name.endswith(".toml"):
        data = spoil_toml(draw, data)
    elif name.endswith(".nc"):
        data = spoil_netcdf(draw, data, file.name, folder)
    elif name.endswith(".json") and not odds(draw, 3):
        holder = {"x": json.loads(data)}
        spoil_key(draw, holder)
        data = json.dumps(holder.get("x"), default=str).encode()
    else:
        data = spoil_bytes(draw, data)
    file.write_bytes(data)


def commands(draw: Draw, *, dear: bool) -> list[Callable[[Draw], list[str]]]:
    """One to three commands, those that read the same files one after the other."""
    weighted = [c for c, n in CHEAP.items() for _ in range(n)]
    if dear:
        weighted += [run, report]
    return [draw(st.sampled_from(weighted)) for _ in range(draw(st.sampled_from([1, 1, 1, 1, 1, 1, 2, 3])))]


# -- one fault alone, in what is right otherwise -------------------------------------------------------------


def _leaves(table: object, where: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Places of all single values of a tree of tables."""
    inside = (
        table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else None
    )
    return [where] if inside is None else [x for k, v in inside for x in _leaves(v, (*where, k))]


DOORS = ("view", "view --file", "run", "forecast")


def in_percent(draw: Draw, folder: Path) -> list[str]:
    """A view or evidence whose numbers are percent without the sign, through one of the doors for views."""
    x, y = draw(st.sampled_from(["1", "2", "5", "80"])), draw(st.sampled_from(["1", "3", "10", "90"]))
    text = draw(st.sampled_from(IN_PERCENT)).format(x=x, y=y)
    return through(draw(st.sampled_from(DOORS)), text, folder)


def through(door: str, text: str, folder: Path) -> list[str]:
    """Command that takes a view of a text in by a door."""
    semantics = "evidence" if "+-" in text else "constraint"
    if door == "view":
        return ["view", "out", f"--{semantics}", text]
    if door == "forecast":
        numbers = text.rpartition(" = ")[2] if "+-" in text else "2 +- 10"
        words = ["forecast", "--prices", "prices.csv", "--universe", "universe.csv", "--origin", world.ORIGIN]
        return [*words, "--evidence", f"A = {numbers}", "--out", "new"]
    table = parse(text, semantics=semantics).to_dict()
    if door == "view --file":
        (folder / "changes.toml").write_text(tomli_w.dumps({"views": [table]}))
        return ["view", "out", "--file", "changes.toml"]
    month = tomllib.loads((folder / "month.toml").read_text()) | {"views": [table]}
    (folder / "month.toml").write_text(tomli_w.dumps(month))
    return ["run", "month.toml", "--check"]


def one_fault(draw: Draw, folder: Path) -> list[str]:
    """Spoil one thing in a folder, and the usual command that meets it."""
    kinds = ["price", "price", "type", "type", "type", "view", "unit", "unit", "edit", "bytes"]
    kind = draw(st.sampled_from(kinds))
    tables = "--prices prices.csv --universe universe.csv".split()
    extreme = draw(st.sampled_from(EXTREMES))
    if kind == "price":
        lines = (folder / "prices.csv").read_text().splitlines()
        i, j = draw(st.integers(300, 600)), draw(st.integers(1, len(world.SYMBOLS)))
        cells = lines[i].split(",")
        lines[i] = ",".join([*cells[:j], extreme, *cells[j + 1 :]])
        (folder / "prices.csv").write_text("\n".join(lines) + "\n")
        risk_words = ["risk", "--prices", "prices.csv", "--model", "statistical"]
        forecast_words = ["forecast", *tables, "--origin", world.ORIGIN, "--out", "new"]
        return draw(st.sampled_from([risk_words, forecast_words]))
    if kind == "type":
        table = tomllib.loads((folder / "month.toml").read_text())
        *where, last = draw(st.sampled_from(_leaves(table)))
        holder: Any = table
        for key in where:
            holder = holder[key]
        now = holder[last]
        if isinstance(now, str) and odds(draw, 2):  # most leaves are texts, and most checks are of numbers
            holder, last, now = table, "seed", table["seed"]
        holder[last] = draw(st.sampled_from([str(now), f"{now}", bool(now), [now], {"x": now}]))
        (folder / "month.toml").write_text(tomli_w.dumps(table))
        return ["run", "month.toml", "--check"]
    if kind == "view":
        return ["view", "out", draw(st.sampled_from(["--evidence", "--constraint"])), f"A = {extreme} +- 5%"]
    if kind == "unit":
        return in_percent(draw, folder)
    if kind == "edit":
        return ["edit", "out", f"shift A by={extreme}"]
    data = bytearray((folder / "out" / "forecast.nc").read_bytes())
    data[draw(st.integers(0, len(data) - 1))] ^= draw(st.integers(1, 255))
    (folder / "out" / "forecast.nc").write_bytes(data)
    return ["view", "out", "--constraint", "A = 1%"]

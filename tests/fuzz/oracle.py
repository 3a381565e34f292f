"""What no command may accept, by other means than the package's own: plain readers and plain bounds."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bdfm.errors import BdfmError
from bdfm.forecast.forecast import Forecast

LARGEST_RETURN = 10.0  # of a view: 1,000 % in a month
PRICES = (1e-12, 1e15)
WHOLE = {"seed", "n_draws", "tune", "chains", "cores", "thin"}
TRUE_OR_FALSE = {"keep_draws", "keep_ranks", "short", "demo"}
NUMBERS = {"mean", "sd", "by", "value", "confidence", "exposure", "max_weight", "max_rhat"}
TEXTS = {"prices", "universe", "earnings", "out", "asset", "symbol", "views_method", "method", "kind"}


def accepted_wrongly(words: tuple[str, ...], code: int | None, folder: Path) -> list[str]:
    """What a command that ended well should have refused."""
    if code != 0 or not words:
        return []
    if words[0] == "run":
        files = [w for w in words[1:] if w.endswith(".toml")]
        return [x for name in files for x in _wrong_types(tomllib.loads(_text(folder / name)), name)]
    if words[0] in ("view", "edit"):
        if any(w == "--accept" for w in words):
            return []
        return [x for file in folder.rglob("forecast*.nc") for x in _too_large(file)]
    if words[0] in ("forecast", "score", "backtest", "risk") and "prices.csv" in words:
        return _odd_prices(folder / "prices.csv")
    return []


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig")


def _wrong_types(table: Mapping[str, Any], where: str) -> list[str]:
    found = []
    for key, value in table.items():
        place = f"{where}: {key} = {value!r}"[:200]
        if isinstance(value, dict):
            found += _wrong_types(value, f"{where} [{key}]")
        elif isinstance(value, list) and value and all(isinstance(x, dict) for x in value):
            found += [y for x in value for y in _wrong_types(x, f"{where} [[{key}]]")]
        elif (
            (key in WHOLE and type(value) is not int)
            or (key in TRUE_OR_FALSE and type(value) is not bool)
            or (key in NUMBERS and type(value) not in (int, float))
            or (key in TEXTS and type(value) is not str)
        ):
            found.append(f"accepted {place}")
    return found


def _too_large(file: Path) -> list[str]:
    try:
        told = [r.to_dict() for r in Forecast.load(file).records]
    except BdfmError:  # whether a file is whole is looked at elsewhere
        return []
    return [f"accepted {r}" for r in told for x in _returns(r) if abs(x) > LARGEST_RETURN]


def _returns(table: Any) -> list[float]:
    """Numbers of a record that are returns, wherever they stand in it."""
    if not isinstance(table, dict):
        return []
    own = [x for k, x in table.items() if k in ("mean", "by", "value") and type(x) in (int, float)]
    return own + [x for inner in table.values() for x in _returns(inner)]


def _odd_prices(file: Path) -> list[str]:
    """Prices of a plain table that no price may be: a header of symbols, days first, decimal points."""
    try:
        rows = list(csv.reader(_text(file).splitlines()))
    except (UnicodeDecodeError, csv.Error):
        return []
    head = rows[0] if rows else []
    columns = [k for k, name in enumerate(head) if name in ("A", "B", "C", "D", "E", "F")]
    if head[:1] != ["date"] or len(columns) != len(head) - 1:
        return []
    found = []
    for row in rows[1:]:
        if len(row) != len(head) or not row[0][:10] <= "2021-05-14":
            continue
        for k in columns:
            try:
                x = float(row[k])
            except ValueError:
                continue
            if x <= 0 or (x == x and not PRICES[0] <= x <= PRICES[1]):
                found.append(f"accepted a price of {x!r} on {row[0]}")
    return found

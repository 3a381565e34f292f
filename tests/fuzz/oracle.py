"""What no command may accept, by other means than the package's own: plain readers and plain bounds."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fuzz_world import forecast_of

from bdfm.errors import BdfmError

LARGEST_RETURN = 1.0  # of a statement: 100 % in a month, which is 1 % written as a decimal
LEAST_SD = 1e-6
PRICES = (1e-12, 1e15)
WHOLE = {"seed", "n_draws", "tune", "chains", "cores", "thin"}
TRUE_OR_FALSE = {"keep_draws", "keep_ranks", "short", "demo"}
NUMBERS = {"mean", "sd", "by", "value", "confidence", "exposure", "max_weight", "max_rhat"}
TEXTS = {"prices", "universe", "earnings", "out", "asset", "views_method", "method", "kind"}


def accepted_wrongly(
    words: tuple[str, ...], code: int | None, folder: Path, before: Mapping[str, bytes | None] | None = None
) -> list[str]:
    """What a command that ended well should have refused.

    ``before`` holds what was in the parent of the folder, by path: forecasts that are as they were are passed
    over.
    """
    if code != 0 or not words:
        return []
    if words[0] == "run":
        files = {w: tomllib.loads(_text(folder / w)) for w in words[1:] if w.endswith(".toml")}
        found = [x for name, table in files.items() for x in _wrong_types(table, name)]
        return found + [x for table in files.values() for x in _too_large_in(table)]
    if words[0] in ("view", "edit"):
        if any(w == "--accept" for w in words):
            return []
        files = [f for f in folder.rglob("*.nc") if not _as_it_was(f, folder, before)]
        return [x for file in files for x in _too_large(file)]
    found = []
    if words[0] == "forecast" and not any(w == "--accept" for w in words):
        found = [x for file in (folder / "new").glob("forecast.nc") for x in _too_large(file)]
    if words[0] in ("forecast", "score", "backtest", "risk") and "prices.csv" in words:
        found += _odd_prices(folder / "prices.csv")
    return found


def _as_it_was(file: Path, folder: Path, before: Mapping[str, bytes | None] | None) -> bool:
    old = None if before is None else before.get(str(file.relative_to(folder.parent)))
    return old is not None and old == file.read_bytes()


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
        told = [r.to_dict() for r in forecast_of(file).records]
    except BdfmError:  # another kind of file; whether one is whole is looked at elsewhere
        return []
    return [f"accepted {r}"[:500] for r in told if _doubtful(r["parameters"])]


def _too_large_in(table: Mapping[str, Any]) -> list[str]:
    """What a run file says that no return can be, unless it accepts doubts."""
    if table.get("accept"):
        return []
    said = [*table.get("edits", []), *table.get("views", [])]
    flat = [
        {k: v for k, v in x.items() if k != "weights"}
        | {f"weights.{s}": w for s, w in (x.get("weights") or {}).items()}
        | {"view": x.get("kind")}
        for x in said
    ]
    return [f"accepted {x}"[:500] for x in flat if _doubtful(x)]


def _doubtful(said: Mapping[str, Any]) -> bool:
    """Whether a record's numbers are of another unit than its returns; of a book, in parts of its size."""
    size = sum(abs(x) for k, x in said.items() if k.startswith("weights."))
    size = max(1.0, size / 2) if "mean" in said else 1.0
    returns = [k for k in ("mean", "by", "value", "loss", "spread") if said.get(k) is not None]
    returns += ["level"] if said.get("view") == "below" else []
    if any(abs(said[k]) >= size * LARGEST_RETURN for k in returns):
        return True
    sd = said.get("sd")
    return sd is not None and not size * LEAST_SD <= sd < size * LARGEST_RETURN


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

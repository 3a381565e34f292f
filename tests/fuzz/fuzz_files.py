# ruff: noqa: E501  # examples in tables
"""Grammar of files that people and their programs hand over: tables, TOML, NetCDF, with mistakes in them."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_world as world
import h5py
import numpy as np
import pandas as pd
import tomli_w
from hypothesis import strategies as st

from bdfm import _sealed

Draw = Callable[[st.SearchStrategy[Any]], Any]

NUMBERS = [
    "0", "-0", "1", "-1", "0.5", "2", "10", "100", "1e-300", "1e300", "-1e300", "5e-324", "1e17", "1e400",
    "nan", "inf", "-inf", "9223372036854775807", "9223372036854775808", "18446744073709551616", "1" * 400,
    "1e5%", "50%", "1,5", "1.000,5", "1_000", "0x10", "\u0663", "\u00bd", "$5", "(5)", "+5", "--5", "1e", "5 -",
]  # fmt: skip
TEXTS = [
    "", " ", "x", "A", "nan", "null", "None", "true", "-", "--", "=1+1", "@x", "$x_{$", "a\nb", "a\tb", "\u202e",
    "\udce9", "\u65e5\u672c", "\U0001f600", "e\u0301", "a" * 3000, "%s%n", "{0}", "{x}", "[red]x[/red]", "[/", "\\", "'", '"',
    "../..", "C:\\x", "prices.csv#Sheet", "http://127.0.0.1:1/x", "<script>alert(1)</script>", "\ufeffA", "A ", "a",
]  # fmt: skip
DAYS = [
    world.ORIGIN, world.END, "2021-05-15", "14/05/2021", "05/14/2021", "02/01/2021", "20210514", "2021-05", "2021",
    "May 14, 2021", "14 mai 2021", "44330", "1620950400", "1620950400000", "2021-05-14T12:00:00Z",
    "2021-05-14 23:59:59+14:00", "0001-01-01", "9999-12-31", "1677-09-21", "2262-04-12", "1900-01-01", "2021-02-30",
    "2030-01-04", "now", "today", "NaT", "-1", "0", "1e300", "99999999999999999999",
]  # fmt: skip
PATHS = ["new", "new/deep", "out", "prices.csv", "prices.csv/x", ".", "", "link", "link/x", "x" * 300, "/proc/x", "a\nb",
         "\u65e5", "out/forecast.nc", "~", "new/../new", "month.toml", "-", "sp ace", "%Y", "new.nc", "new.toml"]  # fmt: skip

number = st.one_of(
    st.floats(-0.5, 0.5).map(lambda x: f"{x:.4g}"), st.sampled_from(NUMBERS), st.floats().map(repr)
)
letter = st.characters(exclude_categories=["Cs"], exclude_characters="\0")  # what an argument can hold
text = st.one_of(st.sampled_from(TEXTS), st.text(letter, max_size=12))
day = st.sampled_from(DAYS)
symbol = st.one_of(
    st.sampled_from(world.SYMBOLS), st.sampled_from(world.SYMBOLS), st.sampled_from(world.SYMBOLS), text
)
path = st.sampled_from(PATHS)
cell = st.one_of(number, text, day)


def odds(draw: Draw, one_in: int) -> bool:
    """True once in so many; shrinks to False."""
    return draw(st.integers(0, one_in - 1)) == one_in - 1


EXTREMES = ("0", "-5", "-0.0", "1e300", "1e-300", "inf", "1e999", "-1e17")
# Returns in percent without the sign, in statements that could hold: wide, or a bound that is met anyway.
IN_PERCENT = (
    "A = 2 +- 10", "A = {x} +- {y}", "A - B = {x} +- {y}", "0.6 A + 0.4 B = {x} +- {y}", "A <= {x}", "A - B <= {x}",
    "0.6 A + 0.4 B <= {x}", "vol(A) <= {x}", "P(A < {x}) = 1", "P(0.6 A + 0.4 B < {x}) >= 0.5", "VaR(A, 95%) <= {x}",
    "CVaR(0.6 A + 0.4 B, 0.9) <= {x}", "A = 1% +- {y}", "A = 1% +- 1e-7",
)  # fmt: skip


# -- tables ------------------------------------------------------------------------------------------------

Rows = list[list[str]]


def spoil_rows(draw: Draw, rows: Rows) -> Rows:
    """A table with something wrong with its cells, rows or columns."""
    rows = [list(r) for r in rows]
    width = max(map(len, rows), default=1)
    last = max(len(rows) - 1, 0)
    at, column = st.integers(0, last), st.integers(0, max(width - 1, 0))

    def put(i: int, j: int, x: str) -> None:
        if i < len(rows) and j < len(rows[i]):
            rows[i][j] = x

    match draw(
        st.sampled_from(
            "cell cells column head drop twice rows reverse short stretch wide scale extreme extreme".split()
        )
    ):
        case "cell":
            put(draw(at), draw(column), draw(cell))
        case "cells":
            for _ in range(draw(st.integers(2, 5))):
                put(draw(at), draw(column), draw(cell))
        case "column":
            j, x = draw(column), draw(cell)
            for i in range(1, len(rows)):
                put(i, j, x)
        case "extreme":  # a number that is one, and that nothing can be
            put(draw(st.integers(1, max(last, 1))), draw(column), draw(st.sampled_from(EXTREMES)))
        case "head":
            put(0, draw(column), draw(text))
        case "drop":
            j = draw(column)
            rows = [r[:j] + r[j + 1 :] for r in rows]
        case "twice":
            j = draw(column)
            name = draw(st.one_of(st.none(), text))
            rows = [
                [*r, name if i == 0 and name is not None else x]
                for i, r in enumerate(rows)
                for x in r[j : j + 1]
            ]
        case "rows":
            i, n = draw(at), draw(st.sampled_from([1, 2, 30, 400]))
            rows = rows[:i] + rows[i : i + n] + rows[i:] if odds(draw, 2) else rows[:i] + rows[i + n :]
        case "reverse":
            rows = rows[:1] + rows[:0:-1]
        case "short":
            rows = rows[: draw(st.integers(0, 40))]
        case "stretch":
            rows = rows[:1] + rows[1 :: draw(st.sampled_from([2, 5, 21, 100]))]
        case "wide":
            i = draw(at)
            if i < len(rows):
                rows[i] = rows[i] + draw(st.lists(cell, min_size=1, max_size=3))
        case "scale":
            i, j, by = draw(at), draw(column), draw(st.sampled_from([0, 0.01, 100, 1000, -1, 1e12, 1e-12]))
            for r in rows[max(i, 1) :]:
                try:
                    r[j] = repr(float(r[j]) * by)
                except (ValueError, IndexError):
                    continue
    return rows


def long_form(rows: Rows) -> Rows:
    """A wide table as one of days, symbols and values."""
    head = rows[0] if rows else []
    return [["date", "ticker", "close"]] + [
        [r[0], head[j], r[j]] for r in rows[1:] for j in range(1, min(len(r), len(head)))
    ]


def written(rows: Rows, separator: str = ",") -> bytes:
    """A table as text, cells in quotes where they need them."""

    def quoted(x: str) -> str:
        return '"' + x.replace('"', '""') + '"' if any(c in x for c in f'{separator}"\n\r') else x

    return "\n".join(separator.join(map(quoted, r)) for r in rows).encode("utf-8", "surrogatepass") + b"\n"


def spoil_bytes(draw: Draw, data: bytes) -> bytes:
    """Bytes cut off, changed, packed or coded in another way."""
    at = draw(st.integers(0, len(data)))
    match draw(
        st.sampled_from("cut flip junk mark latin utf16 crlf gzip zip half none nul twice deep".split())
    ):
        case "cut":
            return data[:at]
        case "flip":
            return (
                data[:at] + bytes(255 - b for b in data[at : at + draw(st.integers(1, 8))]) + data[at + 8 :]
            )
        case "junk":
            return data[:at] + draw(st.binary(min_size=1, max_size=30)) + data[at:]
        case "mark":
            return b"\xef\xbb\xbf" + data
        case "latin":
            return data[:at] + "\u00e9\u00a3".encode("latin-1") + data[at:]
        case "utf16":
            return data.decode("utf-8", "replace").encode("utf-16")
        case "crlf":
            return data.replace(b"\n", draw(st.sampled_from([b"\r\n", b"\r", b"\n\n", b"\n\r"])))
        case "gzip":
            return gzip.compress(data, 1, mtime=0)
        case "half":
            return gzip.compress(data, 1, mtime=0)[: max(10, at // 4)]
        case "zip":
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w") as archive:
                for k in range(draw(st.integers(0, 2))):
                    archive.writestr(f"../x{k}.csv", data)
            return packed.getvalue()
        case "none":
            return b""
        case "nul":
            return data[:at] + b"\0" + data[at:]
        case "twice":
            return data + data
        case "deep":
            return data[:at] + b"[" * draw(st.sampled_from([10, 5000])) + data[at:]
    return data


def _parquet(draw: Draw, rows: Rows) -> bytes:
    table = pd.DataFrame(rows[1:]).iloc[:, : len(rows[0])]
    table.columns = pd.Index(rows[0][: table.shape[1]])
    if odds(draw, 2) and table.shape[1] > 1:
        numbers = table.iloc[:, 1:].apply(pd.to_numeric, errors="coerce")
        table = pd.concat([table.iloc[:, :1], numbers], axis=1)
    data = io.BytesIO()
    table.to_parquet(data)
    return data.getvalue()


def spoil_table(draw: Draw, data: bytes, name: str) -> bytes:
    """A file of a table in another form, with mistakes in it."""
    rows = [line.split(",") for line in data.decode().splitlines()]
    if name in ("prices.csv", "volatility.csv") and odds(draw, 4):
        rows = long_form(rows[:1] + rows[1::5])
    for _ in range(draw(st.integers(0, 3))):
        rows = spoil_rows(draw, rows)
    if odds(draw, 8) and rows:
        try:
            return _parquet(draw, rows)
        except Exception:
            pass  # what no Parquet file can hold
    separator = draw(st.sampled_from([",", ",", ",", ";", "\t", "|", " "]))
    if separator == ";" and odds(draw, 2):
        rows = [[x.replace(".", ",") for x in r] for r in rows]
    if odds(draw, 8):
        junk = draw(st.lists(text, max_size=3))
        rows = [[x] for x in junk] + rows if odds(draw, 2) else rows + [[x] for x in junk]
    data = written(rows, separator)
    return spoil_bytes(draw, data) if odds(draw, 5) else data


# -- TOML --------------------------------------------------------------------------------------------------

value = st.recursive(
    st.one_of(
        st.booleans(),
        st.sampled_from([0, 1, -1, 2, 28, 10**6, 10**9, 2**31, 2**63, 2**64, -(2**63), 10**400]),
        st.floats(),
        text,
        symbol,
        path,
        day,
        st.just(dt.date(2021, 5, 14)),
        st.just(dt.datetime(2021, 5, 14, 1, 2)),
        st.just(dt.time(1, 2)),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)
EDITS = {
    "zero": {"assets": ["A"]}, "drop": {"assets": ["B"]}, "shift": {"asset": "A", "by": 0.01},
    "scale": {"asset": "A", "factor": 1.5}, "cap": {"asset": "A", "upper": 0.1}, "set_return": {"asset": "A", "value": 0.01},
    "like": {"asset": "A", "other": "B"}, "halted": {"asset": "A", "probability": 0.5},
    "suspended": {"asset_class": "etf"}, "replace": {"asset": "A", "distribution": "norm(0, 0.1)"},
    "acquired_for_cash": {"asset": "A", "offer": 30.0, "price": 28.0, "probability": 0.9},
    "acquired_for_stock": {"asset": "A", "acquirer": "B", "ratio": 0.5},
}  # fmt: skip
VIEWS = {
    "absolute": {"asset": "A", "mean": 0.02}, "relative": {"asset": "A", "over": "B", "mean": 0.01},
    "portfolio": {"weights": {"A": 0.5, "B": 0.5}, "mean": 0.01}, "volatility": {"asset": "A", "sd": 0.05},
    "correlation": {"asset": "A", "other": "B", "correlation": 0.3},
    "ordering": {"above": "A", "below": "B", "probability": 0.6},
    "quantile": {"asset": "A", "quantile": 5, "n_quantiles": 5, "probability": 0.3},
    "below": {"asset": "A", "level": -0.05, "probability": 0.3},
    "value_at_risk": {"asset": "A", "level": 0.95, "loss": 0.1},
    "shortfall": {"asset": "A", "level": 0.9, "loss": 0.1},
}  # fmt: skip


def statement(draw: Draw, kinds: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Table of an edit or a view."""
    kind = draw(st.sampled_from(sorted(kinds)))
    table: dict[str, Any] = {"kind": kind, **kinds[kind]}
    if kinds is VIEWS:
        table["semantics"] = draw(st.sampled_from(["constraint", "evidence"]))
        if table["semantics"] == "evidence" and "mean" in table:
            table["sd"] = 0.05
    return table


def spoil_toml(draw: Draw, data: bytes) -> bytes:
    """A TOML file with other edits and views, and wrong keys, values and bytes."""
    table = tomllib.loads(data.decode())
    for key, kinds in (("edits", EDITS), ("views", VIEWS)):
        if key in table and odds(draw, 2):
            table[key] = [statement(draw, kinds) for _ in range(draw(st.integers(0, 3)))]
    for _ in range(draw(st.integers(0, 2))):
        spoil_key(draw, table)
    for key, other in (("ledger", "ledger"), ("earnings", "earnings.csv"), ("volatility", "volatility.csv")):
        if "data" in table and isinstance(table["data"], dict) and odds(draw, 12):
            (table if key == "ledger" else table["data"])[key] = other
    try:
        found = tomli_w.dumps(table).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, AttributeError):
        found = data
    return spoil_bytes(draw, found) if odds(draw, 6) else found


KEYS = (
    "seed n_draws views_method aliases evidence shares pool outputs warm_from memory keep_draws ledger holdings out"
    " accept model demo period date_format decimal_mark zero engine tune draws chains cores thin max_rhat min_ess"
    " short exposure max_weight by confidence semantics sense times step weights panel kind factor_scale dynamics"
).split()


def spoil_key(draw: Draw, table: Any) -> None:
    """Change one key somewhere in a tree of tables."""
    while True:
        if isinstance(table, list):
            if not table:
                return
            i = draw(st.integers(0, len(table) - 1))
            if isinstance(table[i], dict | list):
                table = table[i]
                continue
            table[i] = draw(value)
            return
        name = draw(st.sampled_from([*table, *KEYS]))
        if isinstance(table.get(name), dict | list) and not odds(draw, 4):
            table = table[name]
            continue
        if name in table and odds(draw, 3):  # its value as another type
            now = table[name]
            table[name] = draw(st.sampled_from([str(now), [now], {"x": now}, bool(now), 1.5]))
        elif odds(draw, 4):
            table.pop(name, None)
        elif odds(draw, 8):
            table[draw(text)] = draw(value)
        else:
            table[name] = draw(value)
        return


# -- NetCDF ------------------------------------------------------------------------------------------------


def spoil_netcdf(draw: Draw, data: bytes, name: str, folder: Path) -> bytes:
    """A forecast's or posterior's file: damaged, or sealed again with other contents."""
    if odds(draw, 3):
        return spoil_bytes(draw, data)
    kind = "forecast" if name.startswith("forecast") else "posterior"
    file = folder / "resealed.nc"
    file.write_bytes(data)
    try:
        _spoil_stored(draw, file, kind)
    except Exception:
        file.write_bytes(data[: len(data) // 2])  # what no file can hold
    found = file.read_bytes()
    file.unlink()
    return found


def _spoil_stored(draw: Draw, file: Path, kind: str) -> None:
    """Spoil one of many variables. In the file itself, since to write all of them again takes a second."""
    if odds(draw, 8):  # what needs other dimensions
        tree = _sealed.load_tree(file, kind=kind)
        group = tree[draw(st.sampled_from(["/", *sorted(tree.children)]))]
        sizes = sorted(group.to_dataset(inherit=False).sizes) or ["none"]
        cut = {draw(st.sampled_from(sizes)): slice(0, draw(st.integers(0, 1)))}
        group.dataset = group.to_dataset(inherit=False).isel(cut, missing_dims="ignore")
        _sealed.save_tree(tree, file, kind=kind)
        return
    content = io.BytesIO(file.read_bytes().rpartition(_sealed._SEAL)[0])
    with h5py.File(content, "r+") as stored:
        if odds(draw, 8):
            stored.attrs[_sealed.KIND] = draw(st.sampled_from(["forecast", "posterior", "x"]))
        groups = sorted(name for name, member in stored.items() if isinstance(member, h5py.Group))
        group = stored[draw(st.sampled_from(["/", *groups]))]
        variables = sorted(name for name, member in group.items() if isinstance(member, h5py.Dataset))
        if variables:
            _spoil_variable(draw, group, draw(st.sampled_from(variables)))
        else:
            _spoil_attribute(draw, group)
    _sealed._write_sealed(file, content.getvalue())


def _spoil_attribute(draw: Draw, group: h5py.Group) -> None:
    group.attrs[draw(st.sampled_from([*sorted(group.attrs), "new"]))] = draw(attribute)


def _spoil_variable(draw: Draw, group: h5py.Group, name: str) -> None:
    """Drop a variable of an open file, or give it other values or another type."""
    variable = group[name]
    values = variable[...]
    match draw(st.sampled_from("drop value all attrs type text".split())):
        case "drop":
            del group[name]
        case "value" if variable.size and variable.dtype.kind in "fib":
            values.flat[draw(st.integers(0, values.size - 1))] = draw(st.floats())
            variable[...] = values
        case "all" if variable.dtype.kind in "fib":
            variable[...] = draw(st.sampled_from(EVERYWHERE))
        case "type" if variable.dtype.kind in "fib":
            attributes = dict(variable.attrs)
            del group[name]
            other = group.create_dataset(
                name, data=values.astype(str).astype(object), dtype=h5py.string_dtype()
            )
            if "DIMENSION_LIST" in attributes:  # the same dimensions
                other.attrs["DIMENSION_LIST"] = attributes["DIMENSION_LIST"]
        case "text" if variable.dtype.kind == "O":
            given = draw(attribute)
            if variable.ndim == 0 and odds(draw, 2):
                given = _spoil_json(draw, variable.asstr()[()], given)
            variable[...] = str(given)
        case _:
            _spoil_attribute(draw, group)


def _spoil_json(draw: Draw, text: str, otherwise: Any) -> Any:
    """A table that is a text, with something wrong in it."""
    try:
        holder = {"x": json.loads(text)}
        spoil_key(draw, holder)
        return json.dumps(holder.get("x"))
    except (ValueError, TypeError, OverflowError):
        return otherwise


EVERYWHERE = [0.0, -1.0, np.nan, np.inf, 1e300, -1.0, 1e30]
attribute = st.one_of(
    st.sampled_from(
        ["", "{}", "[]", "null", "[1]", '{"a": 1}', "5", "not json", "[[", "2021-05-14", "9" * 30]
    ),
    st.integers(-3, 2**40),
    st.floats(),
)

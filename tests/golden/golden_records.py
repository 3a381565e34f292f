"""Golden records on disk: what is kept of a result, and when a new result agrees with it.

A result is a dictionary of entries by name, "group/rest". Of numbers the record keeps a digest of all of
them and a selection; texts, and anything else that JSON holds, are kept whole.

An entry agrees where its digest is the record's. Otherwise its selection is compared: with ``SAME`` as the
tolerance on the kind of machine that made the record, with ``OTHER`` elsewhere. Set GOLDEN=exact in the
environment to ask for equal digests, which is what moving files about must give.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np

RECORDS = Path(__file__).parent / "records"
FINGERPRINT = RECORDS / "fingerprint.json"
PACKAGES = ("numpy", "numba", "llvmlite", "pymc", "pytensor", "scipy", "xarray")

# In sd of the draws. What a process that compiles kernels itself gives is this near, see test_golden.py.
SAME = 1e-7
OTHER = 1e-6


@dataclass(frozen=True)
class Draws:
    """Posterior draws (chain, draw, ...): mean and sd over all of them, and the last ones of each chain.

    Five of each chain, or one where a draw has more than twenty elements; none without ``last``.
    """

    values: Any
    last: bool = True

    def selection(self) -> dict[str, np.ndarray]:
        """Arrays that the record keeps, by name."""
        values = np.asarray(self.values, dtype=np.float64)
        parts = {"mean": values.mean(axis=(0, 1)), "sd": values.std(axis=(0, 1))}
        n = 5 if values[0, 0].size <= 20 else 1
        return parts | ({"last": values[:, -n:]} if self.last else {})

    def allowed(self, stored: Mapping[str, np.ndarray], tolerance: float) -> dict[str, np.ndarray]:
        """Largest differences from the record, by name: in sd of each element."""
        # A little of the size, for elements that hardly vary.
        unit = tolerance * (stored["sd"] + 1e-3 * np.abs(stored["mean"]))
        return {name: np.broadcast_to(unit, x.shape) for name, x in stored.items()}


@dataclass(frozen=True)
class Numbers:
    """Numbers that are no draws: the first ``rows`` of them, or all.

    ``rtol`` and ``atol`` are added to the tolerance, for numbers that a change of the last digits moves by
    more than last digits: counts, ranks and what has been rounded.
    """

    values: Any
    rtol: float = 0.0
    atol: float = 0.0
    rows: int | None = None

    def selection(self) -> dict[str, np.ndarray]:
        """Arrays that the record keeps, by name."""
        values = np.asarray(self.values)
        return {"all" if self.rows is None else "first": values[: self.rows] if self.rows else values}

    def allowed(self, stored: Mapping[str, np.ndarray], tolerance: float) -> dict[str, np.ndarray]:
        """Largest differences from the record, by name."""
        bounds = {}
        for name, x in stored.items():
            size = np.abs(x, dtype=np.float64)
            known = size[np.isfinite(size)]
            typical = np.sqrt(np.mean(np.square(known))) if known.size else 0.0
            bounds[name] = self.atol + (self.rtol + tolerance) * size + tolerance * typical
        return bounds


@dataclass(frozen=True)
class Text:
    """A text, or a structure of texts, whose digits hang on the numbers of the group ``of``.

    Must be equal where all digests of that group are; elsewhere it is not compared.
    """

    value: Any
    of: str


Entry = Draws | Numbers | Text | Any
Result = Mapping[str, Entry]


def digest(values: Any) -> str:
    """sha256 of an array's shape, type and bytes."""
    array = np.ascontiguousarray(values)
    head = f"{array.shape} {array.dtype.str} ".encode()
    return sha256(head + array.tobytes()).hexdigest()


def fingerprint() -> dict[str, str]:
    """What last digits hang on: processor, machine and packages."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        cpu = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), cpu)
    found = {"cpu": cpu, "machine": platform.machine(), "system": platform.system()}
    return found | {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def save_fingerprint() -> None:
    """Write down what machine made the records."""
    FINGERPRINT.write_text(json.dumps(fingerprint(), indent=1) + "\n", encoding="utf-8")


def _json(value: Any) -> Any:
    """The value as JSON gives it back."""
    return json.loads(json.dumps(value))


@dataclass(frozen=True)
class Record:
    """What is kept of a result: digests and selections of its numbers, and its texts."""

    digests: dict[str, str]
    texts: dict[str, Any]
    arrays: dict[str, dict[str, np.ndarray]]

    @classmethod
    def of(cls, result: Result) -> Self:
        """Record of a result."""
        numbers = {k: x for k, x in result.items() if isinstance(x, Draws | Numbers)}
        texts = {k: x.value if isinstance(x, Text) else x for k, x in result.items() if k not in numbers}
        return cls(
            {name: digest(x.values) for name, x in numbers.items()},
            _json(texts),
            {name: x.selection() for name, x in numbers.items()},
        )

    def save(self, case: str) -> None:
        """Write ``records/<case>.json``, an entry a line, and all numbers in one row to ``.npz``."""
        shapes = {name: {k: x.shape for k, x in parts.items()} for name, parts in self.arrays.items()}
        tables = {"digests": self.digests, "texts": self.texts, "shapes": shapes}
        lines = [f"{json.dumps(k)}: {{\n{_lines(table)}\n}}" for k, table in tables.items()]
        path = RECORDS / f"{case}.json"
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        flat = [x.astype(np.float64).ravel() for parts in self.arrays.values() for x in parts.values()]
        values = np.concatenate([np.zeros(0), *flat])
        np.savez_compressed(path.with_suffix(".npz"), allow_pickle=False, values=values)

    @classmethod
    def load(cls, case: str) -> Self:
        """Record that ``save`` wrote."""
        path = RECORDS / f"{case}.json"
        facts = json.loads(path.read_text(encoding="utf-8"))
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
            values = stored["values"]
        arrays: dict[str, dict[str, np.ndarray]] = {name: {} for name in facts["digests"]}
        first = 0
        for name, parts in facts["shapes"].items():
            for part, shape in parts.items():
                size = math.prod(shape)
                arrays[name][part] = values[first : first + size].reshape(shape)
                first += size
        return cls(facts["digests"], facts["texts"], arrays)


def _lines(table: Mapping[str, Any]) -> str:
    return ",\n".join(f"{json.dumps(k)}: {json.dumps(x, ensure_ascii=False)}" for k, x in table.items())


def differences(result: Result, record: Record, group: str) -> list[str]:
    """What a group of a result says otherwise than the record, one line each; empty where they agree."""
    same_kind = fingerprint() == json.loads(FINGERPRINT.read_text(encoding="utf-8"))
    tolerance = SAME if same_kind else OTHER
    found = {name: x for name, x in result.items() if name.startswith(f"{group}/")}
    names = [name for name in (*record.digests, *record.texts) if name.startswith(f"{group}/")]
    lines = [f"{name}: not there any more" for name in names if name not in found]
    lines += [f"{name}: not in the record" for name in found if name not in names]
    for name, entry in found.items():
        if name not in names:
            continue
        if isinstance(entry, Draws | Numbers):
            if digest(entry.values) != record.digests[name]:
                lines += _numbers_differ(name, entry, record.arrays[name], tolerance)
        elif not (isinstance(entry, Text) and _drifted(result, record, entry.of)):
            value = _json(entry.value if isinstance(entry, Text) else entry)
            if not _near(value, record.texts[name], tolerance):
                lines += _texts_differ(name, value, record.texts[name])
    return lines


NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?|-?\d+e[+-]?\d+")


def _near(new: Any, old: Any, tolerance: float) -> bool:
    """Whether two entries are the same but for digits of decimal numbers in their texts, which may drift."""
    a, b = json.dumps(new), json.dumps(old)
    if a == b or os.environ.get("GOLDEN") == "exact" or NUMBER.sub("#", a) != NUMBER.sub("#", b):
        return a == b
    pairs = zip(NUMBER.findall(a), NUMBER.findall(b), strict=True)
    return all(math.isclose(float(x), float(y), rel_tol=tolerance) for x, y in pairs)


def _drifted(result: Result, record: Record, group: str) -> bool:
    """Whether any digest of a group differs from the record's."""
    return any(
        digest(entry.values) != record.digests.get(name)
        for name, entry in result.items()
        if name.startswith(f"{group}/") and isinstance(entry, Draws | Numbers)
    )


def _numbers_differ(
    name: str, entry: Draws | Numbers, stored: Mapping[str, np.ndarray], tolerance: float
) -> list[str]:
    if os.environ.get("GOLDEN") == "exact":
        return [f"{name}: digits differ, and GOLDEN=exact asks for equal ones"]
    lines = []
    bounds = entry.allowed(stored, tolerance)
    for part, new in entry.selection().items():
        old = stored.get(part)
        if old is None or old.shape != new.shape:
            lines.append(f"{name}, {part}: shape {new.shape}, record {None if old is None else old.shape}")
            continue
        new = new.astype(np.float64)
        near = (np.abs(new - old) <= bounds[part]) | (new == old) | (np.isnan(new) & np.isnan(old))
        wrong = ~near
        if wrong.any():
            place = tuple(int(x) for x in np.argwhere(wrong)[0])
            lines.append(
                f"{name}, {part}: {wrong.sum()} of {wrong.size} differ, first at {place}:"
                f" {new[place]:.17g}, record {old[place]:.17g}"
            )
    if not lines and set(stored) == set(entry.selection()):
        print(f"{name}: last digits differ from the record, within the tolerance")
    return lines


def _texts_differ(name: str, new: Any, old: Any) -> list[str]:
    if json.dumps(new) == json.dumps(old):  # the order of keys too
        return []
    if isinstance(new, dict) and isinstance(old, dict):
        keys = [*old, *(k for k in new if k not in old)]
        lines = [x for k in keys for x in _texts_differ(f"{name}, {k}", new.get(k), old.get(k))]
        return lines or [f"{name}: another order, {list(new)}, record {list(old)}"]
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        pairs = enumerate(zip(new, old, strict=True))
        return [x for k, (a, b) in pairs for x in _texts_differ(f"{name}, {k}", a, b)]
    return [f"{name}: {new!r}, record {old!r}"]

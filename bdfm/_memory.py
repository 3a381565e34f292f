"""Memory: the budget that work keeps to, and a clear refusal of what cannot fit."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from bdfm._reading import short
from bdfm.errors import DataError

_MEMINFO = Path("/proc/meminfo")
_GROUPS = (  # limit and use of the group of processes, as containers have it
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)
_SHARE: Final = 0.5  # of the machine's memory: the budget where none is given
_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
LEAST: Final = 200_000_000  # of a budget: what the libraries alone take is more
_given: ContextVar[int | None] = ContextVar("memory", default=None)


def _meminfo(name: str) -> list[int]:
    """Bytes of a line of the system's account, if it is there."""
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    return [1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")]


def _handed_back(use: Path) -> int:
    """Bytes of files that a group of processes has read and can hand back, by the account beside its use."""
    try:
        lines = use.with_name("memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    found = dict(line.split()[:2] for line in lines if line.count(" "))
    # Of version 1 the other name leaves out the groups within this one.
    return int(found.get("total_inactive_file", found.get("inactive_file", 0)))


def available() -> int | None:
    """Bytes that this process may still take without swapping; None where the system does not say."""
    found = _meminfo("MemAvailable")
    for limit, use in _GROUPS:
        try:
            taken = max(0, int(use.read_text()) - _handed_back(use))  # the account of its use has these too
            found.append(int(limit.read_text()) - taken)
        except (OSError, ValueError):  # no such group, or "max": no limit
            continue
    return max(0, min(found)) if found else None


def total() -> int | None:
    """Bytes of the machine, or of the group of processes where that has less; None where unknown."""
    found = _meminfo("MemTotal")
    for limit, _ in _GROUPS:
        try:
            found.append(int(limit.read_text()))
        except (OSError, ValueError):
            continue
    return min(found) if found else None


def as_bytes(given: object, *, where: str) -> int:
    """Bytes of a size: a whole number of them, or a text such as ``"4GB"`` (10⁹) or ``"4GiB"`` (2³⁰)."""
    text = str(given).strip()
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?", text, re.IGNORECASE)
    if isinstance(given, bool) or found is None:
        raise DataError(f'{where}: {short(repr(given))} is no size of memory. Give one such as "4GB".')
    number, unit, binary = found[1], found[2].upper(), found[3]
    size = round(float(number) * (_BINARY if binary else _UNITS)[unit])
    if size < LEAST:
        raise DataError(
            f"{where}: {readable(size)} is too little; the libraries alone take more. Give at least"
            f" {readable(LEAST)}, such as 4GB."
        )
    return size


@contextmanager
def within(given: object | None, *, where: str = "memory") -> Iterator[None]:
    """Work inside keeps to a budget, see ``as_bytes``; None leaves that from outside, or the default."""
    if given is None:
        yield
        return
    token = _given.set(as_bytes(given, where=where))
    try:
        yield
    finally:
        _given.reset(token)


def budget() -> int | None:
    """Bytes that work keeps to: what was asked for, or half of the machine; None where that is unknown."""
    given = _given.get()
    if given is not None:
        return given
    machine = total()
    return None if machine is None else int(_SHARE * machine)


def readable(size: float) -> str:
    """Bytes as a person reads them."""
    for unit, large, form in (("GB", 1e9, ".1f"), ("MB", 1e6, ".0f"), ("kB", 1e3, ".0f")):
        if size >= large:
            return f"{size / large:{form}} {unit}"
    return f"{size:.0f} bytes"


def room() -> tuple[int, str] | None:
    """Bytes that may be taken, and what sets the bound; None where neither is known."""
    known = []
    allowed, free = budget(), available()
    if allowed is not None:
        known.append((allowed, "is the budget (--memory, memory=)"))
    if free is not None:
        known.append((free, "are available"))
    return min(known, default=None)


def most(n: int, needs: Callable[[int], int]) -> int:
    """Largest number up to ``n`` of what takes the bytes that ``needs`` says, and fits; 0 where none does."""
    found = room()
    return n if found is None else bisect_right(range(1, n + 1), found[0], key=needs)


def would_fit(*numbers: tuple[int, int, str], form: str = "{}", otherwise: str = "") -> str:
    """Words about what would fit, as advice: "47 assets, or the last 793 days would fit", put into ``form``.

    ``numbers``: each with the least that is of any use, and its words. Those below are left out: "0 would
    fit" helps nobody. ``otherwise`` where none is left.
    """
    told = [words.format(number) for number, least, words in numbers if number >= least]
    return form.format(f"{', or '.join(told)} would fit") if told else otherwise


def check(needed: float, *, where: str, what: str, advice: str) -> None:
    """Raise ``DataError`` where more bytes are needed than the budget allows, or than are available."""
    found = room()
    if found is not None and needed > found[0]:
        raise DataError(
            f"{where}: {what} need about {readable(needed)} of memory, and {readable(found[0])} {found[1]}."
            f" {advice}"
        )

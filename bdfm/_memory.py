"""Memory: how much is available, and a clear refusal of what cannot fit."""

from __future__ import annotations

from pathlib import Path

from bdfm.errors import DataError

_MEMINFO = Path("/proc/meminfo")
_GROUPS = (  # limit and use of the group of processes, as containers have it
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)


def available() -> int | None:
    """Bytes that this process may still take without swapping; None where the system does not say."""
    found = []
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        pass
    for limit, use in _GROUPS:
        try:
            found.append(int(limit.read_text()) - int(use.read_text()))
        except (OSError, ValueError):  # no such group, or "max": no limit
            continue
    return max(0, min(found)) if found else None


def readable(size: float) -> str:
    """Bytes as a person reads them."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def check(needed: float, *, where: str, what: str, advice: str) -> None:
    """Raise ``DataError`` where more bytes are needed than are available."""
    room = available()
    if room is not None and needed > room:
        raise DataError(
            f"{where}: {what} need about {readable(needed)} of memory, and {readable(room)} are"
            f" available. {advice}"
        )

"""Time zones of the dates of a column: whether they differ by more than summer time."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from bdfm._reading import cut
from bdfm.errors import DataError

_CLOCK = re.compile(
    r"[T\s,](?P<clock>\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)\s*(?P<half>[ap]\.?m\.?)?\s*"
    r"(?P<zone>[A-Z]{1,4}|[+-]\d{2}:?\d{2})?$",
    re.I,
)
_MIDNIGHT = re.compile(r"0?0:00(?::00(?:[.,]0+)?)?|12:00(?::00)?a\.?m\.?", re.I)
_HOURS: Final = {
    "z": 0, "utc": 0, "gmt": 0, "wet": 0, "bst": 1, "west": 1, "cet": 1, "cest": 2, "eet": 2, "eest": 3,
    "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
    "hkt": 8, "sgt": 8, "jst": 9, "kst": 9, "aest": 10, "aedt": 11,
    "mez": 1, "mesz": 2, "msk": 3, "msd": 4,
}  # fmt: skip
_SUMMER: Final = 1.0  # hours by which one place differs from itself over the year


def check_zones(texts: Collection[str], one_row_a_day: bool, *, where: str) -> tuple[str, ...]:
    """Remark where texts (date and time of day) are of zones more than an hour apart; blank where not.

    The day is that of the zone a text is written in. Raises ``DataError`` where rows are one a day and times
    of day are not midnight: some were moved to another zone, and what day is meant cannot be told.
    """
    found = [m for m in map(_CLOCK.search, texts) if m is not None]
    zones = {(m["zone"] or "").lower(): m for m in sorted(found, key=lambda m: m.string)}
    hours = {zone: _hours(zone) for zone in zones}
    known = [h for h in hours.values() if h is not None]
    places = {re.sub(r"[sd]t$", "t", zone) for zone in zones}  # standard and summer time: IST and IDT
    if len(places) < 2 or (len(known) == len(zones) and max(known) - min(known) <= _SUMMER):
        return ()
    told = ", ".join(sorted(z["zone"] or "none" for z in zones.values())[:4])
    if one_row_a_day and not all(_MIDNIGHT.fullmatch(m["clock"] + (m["half"] or "")) for m in found):
        one, other = (cut(m.string) for m in list(zones.values())[:2])
        raise DataError(
            f"{where}: times of day of different time zones ({told}), such as {one} and {other}: what day is"
            " meant cannot be told. Write days, such as 2022-03-04, or times of one zone."
        )
    return (f"time zones differ ({told}): days are those written",)


def _hours(zone: str) -> float | None:
    """Hours that a zone is ahead of UTC; None where that is not known."""
    if re.fullmatch(r"[+-]\d{2}:?\d{2}", zone):
        return (-1 if zone[0] == "-" else 1) * (int(zone[1:3]) + int(zone[-2:]) / 60)
    return _HOURS.get(zone)

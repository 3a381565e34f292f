"""Rules on single prices and returns: steps that are changes of unit or splits, spikes, codes for missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm._reading import counted
from bdfm.data.doubts.finding import Finding
from bdfm.data.doubts.rule import rule
from bdfm.data.doubts.tables import SD_OF_MAD, Floats, Series, Tables, robust_sd

JUMP: Final = (
    1.9  # factor between two closes that is questioned: +90 % or its reverse, splits from 2 for 1 on
)
CALM_JUMP: Final = (
    1.6  # factor that is questioned among calm days: +60 %, -37.5 %, as rights issues and 3 for 2
)
UNITS: Final = (100.0, 1000.0)  # pence and pounds, kilos and tons: up and down
SPLITS: Final = (1.5, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0)
IMPOSSIBLE: Final = 5000.0  # factor in a day beyond all units: an error whatever it is near
CALM_SD: Final = 0.08  # daily sd around a step above which the asset itself jumps: a crash, a squeeze
CALM_RATIO: Final = 8.0  # a step is out of place from so many sds of the days around it on
AROUND: Final = 20  # rows on each side that say how calm the asset is
NEAR_SDS: Final = 4.0  # a step is near a factor within so many sds of the days around it
NEAR: Final = 0.02  # or within so much in logs, whichever is more
NEAR_SPLIT: Final = 0.05  # but no further from a split
NEAR_UNIT: Final = 1.0  # nor from a unit, as after a long gap
MAX_GAP_DAYS: Final = 10  # between two prices: what happens in more is no step
NEW_DAYS: Final = 30  # before the origin: what happens there is in every feature of the forecast
MAX_OTHERS: Final = 2  # other large steps among the rows around; assets that jump for real do so for days
SPIKE_SHARE: Final = 0.25  # of a spike's size that the way back may miss
SPIKE_ROWS: Final = 5  # rows within which a spike is back
THREE_FOR_TWO: Final = 1.5  # the one split below CALM_JUMP, which real falls reach too
NEAR_THREE_FOR_TWO: Final = 2.0  # sds within which a fall is near it
QUIET: Final = 1.0  # sds that the market moves at most on a day on which a fall by a third is no news
MAX_STEPS: Final = 200  # steps of an asset that are looked at
CODES: Final = (-99.99, -999.0, -99.0, -9999.0, -999.99, -99.999, 99.99, 999.0, 9999.0, 999.99)
CODE_SDS: Final = 20.0  # a return this many robust sds from 0 may be a code for missing
# crashes come to 30, takeovers and banks in a crisis to 70
FAR_SDS: Final = {"factors": 40.0, "returns": 100.0}
FAR: Final = 0.1  # smaller ones, of what hardly moves, are left
MAX_FACTOR: Final = 1.0  # a factor is a portfolio: it neither doubles nor is gone in a row


class Step(NamedTuple):
    """A large step of a price: place, log size, sd of the days around it, whether these are calm.

    ``room``: sd of what the asset may have done besides, more in a long gap. ``back``: row on which the price
    is back where it was, if it is within ``SPIKE_ROWS``.
    """

    row: int
    column: int
    size: float
    sd: float
    room: float
    calm: bool
    back: int | None

    def near(self, factors: Sequence[float], most: float = np.inf) -> float | None:
        """The factor that the step is near, up or down, within ``most`` in logs."""
        room = min(max(NEAR_SDS * self.room, NEAR), most)
        return next((f for f in factors if abs(abs(self.size) - np.log(f)) <= room), None)


def _around(steps: Floats, row: int, jumps: NDArray[np.bool_]) -> float:
    """Robust sd of an asset's steps on the livelier side of a row, other jumps left out; NaN if too few."""
    found = []
    for part in (slice(max(row - AROUND, 0), row), slice(row + 1, row + 1 + AROUND)):
        own = np.abs(steps[part][~jumps[part]])
        own = own[own > 0]
        if len(own) >= 5:
            found.append(SD_OF_MAD * float(np.median(own)))
    return max(found, default=float("nan"))


def jumps(series: Series) -> list[Step]:
    """Steps by ``JUMP`` or more, or ``CALM_JUMP`` among calm days, by asset and day.

    The way back of a spike is not a step of its own. Several rules ask for them: looked for once.
    """
    if series not in _JUMPS:
        _JUMPS[series] = _found_jumps(series)
    return _JUMPS[series]


_JUMPS: Final = WeakKeyDictionary[Series, list[Step]]()


def _found_jumps(series: Series) -> list[Step]:
    steps = series.steps
    large = np.abs(steps) >= np.log(CALM_JUMP)
    found: list[Step] = []
    for column in map(int, np.flatnonzero(large.any(axis=0))):
        own, mark = steps[:, column], large[:, column]
        rows = [int(r) for r in np.flatnonzero(mark)[:MAX_STEPS]]
        sd_of = {row: _sd_around(series, column, row, mark) for row in rows}
        back_of: dict[int, int] = {}
        for row in rows:
            if any(out < row <= back for out, back in back_of.items()):
                continue
            back = _back(own, row, sd_of[row])
            if back is not None:
                back_of[row] = back
        inside = {r for out, back in back_of.items() for r in range(out, back + 1)}
        for row in rows:
            if row in inside and row not in back_of:
                continue
            size, sd = float(own[row]), sd_of[row]
            others = sum(1 for r in rows if 0 < abs(r - row) <= AROUND and r not in inside)
            calm = sd <= CALM_SD and abs(size) >= CALM_RATIO * sd and others <= MAX_OTHERS
            n_rows, n_days = _gap(series, row, column)
            if abs(size) < np.log(JUMP) and not calm:
                continue
            room = sd * float(np.sqrt(n_rows))
            step = Step(row, column, size, sd, room, calm, back_of.get(row))
            if n_days <= MAX_GAP_DAYS or step.near(UNITS, NEAR_UNIT) or abs(size) >= np.log(IMPOSSIBLE):
                found.append(step)
    return found


def falls_by_a_third(series: Series) -> Iterator[tuple[int, int]]:
    """Places (row, column) of falls by a third that stay, among calm days, while the market is quiet.

    Of prices of three assets or more. On other days of the market, or further from a third, such falls are
    news; steps of ``jumps`` are left out.
    """
    steps, size = series.steps, float(np.log(THREE_FOR_TWO))
    like = np.abs(steps + size) <= NEAR_SPLIT
    if len(series.names) < 3 or not like.any():
        return
    market = pd.DataFrame(steps).median(axis=1).to_numpy()
    most = QUIET * robust_sd(market[:, None])[0]
    for row, column in ((int(r), int(c)) for r, c in np.argwhere(like)):
        own, rest = steps[:, column], np.delete(steps[row], column)
        rest = rest[np.isfinite(rest)]
        if len(rest) < 2 or not abs(float(np.median(rest))) <= most:
            continue
        large = np.abs(own) >= np.log(1.4)
        sd, fall = _sd_around(series, column, row, large), -float(own[row])
        others = int(large[max(row - AROUND, 0) : row + AROUND + 1].sum()) - 1
        calm = sd <= CALM_SD and fall >= CALM_RATIO * sd and others <= MAX_OTHERS
        near = abs(fall - size) <= max(NEAR_THREE_FOR_TWO * sd, NEAR)
        stays = _back(own, row, sd) is None and _gap(series, row, column)[1] <= MAX_GAP_DAYS
        if calm and near and stays and fall < np.log(CALM_JUMP):
            yield row, column


def _sd_around(series: Series, column: int, row: int, jumps: NDArray[np.bool_]) -> float:
    """Sd of the days around a step; of all days where there are too few."""
    own = series.steps[:, column]
    sd = _around(own, row, jumps)
    if np.isfinite(sd):
        return sd
    rest = np.abs(own[~jumps])
    rest = rest[rest > 0]
    return SD_OF_MAD * float(np.median(rest)) if len(rest) else 0.0


def _back(steps: Floats, row: int, sd: float) -> int | None:
    """Row on which one step undoes that of ``row``, with calm rows between them; None if none does."""
    size = float(steps[row])
    room = min(max(NEAR_SDS * sd, NEAR), SPIKE_SHARE * abs(size))
    level = size
    for later in range(row + 1, min(row + 1 + SPIKE_ROWS, len(steps))):
        level += float(np.nan_to_num(steps[later]))
        if abs(level) <= room:
            return later
        if abs(steps[later]) > room:
            return None
    return None


def _gap(series: Series, row: int, column: int) -> tuple[int, int]:
    """Rows and days from the last price before a row to that row."""
    before = row - 1
    while before > 0 and not series.known[before, column]:
        before -= 1
    return row - before, int((series.days[row] - series.days[before]).days)


def _ratio(size: float) -> str:
    factor = float(np.exp(np.clip(size, -690, 690)))
    return (
        f"{factor:.3g} times the price before" if factor >= 1 else f"1/{1 / factor:.3g} of the price before"
    )


def is_code(value: float) -> bool:
    """Whether a price is written in nines alone, such as 999 or 99.99, in whatever unit."""
    digits = f"{abs(value):.9g}".replace(".", "").strip("0")
    return len(digits) >= 2 and set(digits) == {"9"}


def _is_new(tables: Tables, series: Series, row: int) -> bool:
    """Whether a row is among the newest before the origin."""
    return tables.origin is not None and (tables.origin - series.days[row]).days < NEW_DAYS


def _codes(series: Series, spikes: Sequence[Step]) -> set[tuple[int, int]]:
    """Spikes (row, column) whose price is a code: written in nines, or the same in two spikes of an asset."""
    value = {(s.row, s.column): float(series.values[s.row, s.column]) for s in spikes}
    seen: dict[tuple[int, float], int] = {}
    for (_, column), v in value.items():
        seen[column, v] = seen.get((column, v), 0) + 1
    return {(r, c) for (r, c), v in value.items() if is_code(v) or seen[c, v] > 1}


def _spikes(found: Sequence[Step]) -> list[Step]:
    return [s for s in found if s.back is not None and s.calm]


@rule("unit-step", "refuse", "prices")
def unit_step(tables: Tables) -> Iterator[Finding]:
    """Steps of a price that are no return.

    Steps by a factor of 1.9 or more from a close to the asset's next are looked at: +90 %, or the fall that
    undoes it, which splits of 2 for 1 reach; among calm days from 1.6 on, as of a split of 3 for 2. Refused:
    near 100 or 1,000 times or a part of it, which is a change of unit; a spike, back within 5 rows; and more
    than 5,000 times. Refused only where the days around are calm (a daily sd of at most 8 %, and an eighth of
    the step): assets that crash or are squeezed jump on many days. Of a forecast also 1.9 times and more
    within 30 days before the origin, among calm days. Warned of: the rest, near 1.5, 2, 3, 4, 5,
    10 or 20 as a split that was not adjusted for; and a fall by a third, within 2 sds or 2 %, that stays, on
    a day on which the median asset moves by less than one of its sds. "Near" is else within 4 sds of the days
    around, or 2 %. One day of pence in a year of pounds makes a risk of 663 % out of 5 %.
    """
    series = tables.price_series
    if series is None:
        return
    found = jumps(series)
    codes = _codes(series, _spikes(found))
    for s in found:
        if (s.row, s.column) in codes:
            continue
        name, day = series.names[s.column], series.day(s.row)
        seen = f"{name} on {day} is {_ratio(s.size)}"
        unit = s.near(UNITS, NEAR_UNIT) if s.calm else None
        if s.calm and s.back is not None:
            yield Finding(
                "unit-step", "refuse", "prices", (name,), (day, series.day(s.back)),
                f"{seen}, and back on {series.day(s.back)}",
                "A price that leaves and comes back at once, among calm days, is an error of the data.",
                "Correct it, or leave it blank.",
            )  # fmt: skip
        elif unit or (s.calm and abs(s.size) >= np.log(IMPOSSIBLE)):
            yield Finding(
                "unit-step", "refuse", "prices", (name,), (day,), seen,
                "A step of this size among calm days is a change of unit, such as pounds to pence.",
                "Bring the column to one unit.",
            )  # fmt: skip
        else:
            split = s.near(SPLITS, NEAR_SPLIT) if s.calm else None
            told = ""
            if split:
                told = f", like a split of {f'{split:g} for 1' if s.size < 0 else f'1 for {split:g}'}"
            new = (
                tables.forecasts and s.calm and abs(s.size) >= np.log(JUMP) and _is_new(tables, series, s.row)
            )
            yield Finding(
                "unit-step", "refuse" if new else "warn", "prices", (name,), (day,),
                f"{name} on {day}: {np.expm1(min(s.size, 600)):+.1%}{told}",
                f"The newest prices, of the {NEW_DAYS} days before the origin, jump as if a split were not"
                " adjusted for." if new else "Prices jump as if a split were not adjusted for.",
                "Correct them." if new else "Check that they are right.",
            )  # fmt: skip
    for row, column in falls_by_a_third(series):
        name, day = series.names[column], series.day(row)
        yield Finding(
            "unit-step", "warn", "prices", (name,), (day,),
            f"{name} on {day}: {np.expm1(series.steps[row, column]):+.1%}, like a split of 3 for 2",
            "Prices jump as if a split were not adjusted for.",
            "Check that they are right.",
        )  # fmt: skip


@rule("missing-code", "refuse", "prices", "returns", "factors")
def missing_code(tables: Tables) -> Iterator[Finding]:
    """Codes for "missing" that were read as numbers.

    Prices: zero or below, of which no return can be made; spikes (see unit-step) written in nines alone, such
    as 999, or with the same price twice in an asset. Returns and factors: -99.99, -999 and their like, also
    after division by 100, and the same value twice, more than 20 robust sds from 0. One such day makes an
    exposure of 0.5 into 0.02.
    """
    series = tables.price_series
    if series is not None:
        for column in np.flatnonzero((series.values <= 0).any(axis=0)):
            rows = np.flatnonzero(series.values[:, column] <= 0)
            if _has_two_signs(series.values[:, column]):
                continue  # no prices at all: another rule says so
            name, days = series.names[column], tuple(series.day(r) for r in rows[:10])
            yield Finding(
                "missing-code", "refuse", "prices", (name,), days,
                f"{name} on {days[0]}: {series.values[rows[0], column]:g}"
                + (f" ({counted(len(rows), 'day')})" if len(rows) > 1 else ""),
                "Prices must be positive and finite: zero or less is no price. It may stand for none.",
                "Correct them, or leave them blank.",
                acceptable=False,
            )  # fmt: skip
        found = jumps(series)
        for at, of in sorted(_codes(series, _spikes(found))):
            name, day = series.names[of], series.day(at)
            yield Finding(
                "missing-code", "refuse", "prices", (name,), (day,),
                f"{name} on {day}: {series.values[at, of]:g}",
                "A price far from those beside it that is written in nines, or comes again, stands for a"
                " missing one.",
                "Leave it blank.",
            )  # fmt: skip
    for what, table in (("factors", tables.factor_series), ("returns", tables.return_series)):
        if table is not None:
            yield from _codes_among_returns(table, what)


@rule("far-return", "refuse", "factors", "returns")
def far_return(tables: Tables) -> Iterator[Finding]:
    """A return that cannot be, or that none has been: a misprint, a price read as a return.

    A factor's of more than 40 robust sds of its column from 0 and 100 % or more either way, and an asset's of
    more than 20 sds below -100 %, is refused. More than 40 sds (of an asset 100) and 10 % is warned of: an
    asset's return may be of a price that was accepted. What is a code for missing is told as that. Prices
    have their rules: unit-step and missing-code.
    """
    for what, series in (("factors", tables.factor_series), ("returns", tables.return_series)):
        if series is None:
            continue
        sd = np.nan_to_num(series.value_sd)
        for column, rows, codes in _far(series):
            rows = rows[~codes]
            odd = series.values[rows, column]
            far = np.abs(odd) > FAR_SDS[what] * sd[column]
            cannot = far & (np.abs(odd) >= MAX_FACTOR) if what == "factors" else odd < -1
            never = far & (np.abs(odd) > FAR)
            told = cannot if cannot.any() else never
            if not told.any():
                continue
            name, worst = series.names[column], int(np.argmax(np.where(told, np.abs(odd), 0)))
            more = f" (and {counted(told.sum() - 1, 'day')} more)" if told.sum() > 1 else ""
            yield Finding(
                "far-return", "refuse" if cannot.any() else "warn", what, (name,),
                tuple(series.day(r) for r in rows[told][:10]),
                f"{name} on {series.day(rows[worst])}{more}: {odd[worst]:.4g},"
                f" {abs(odd[worst]) / sd[column]:.3g} times its sd of {sd[column]:.3g}",
                "A return is a decimal, 0.01 for 1 %.",
                "Correct it, or leave it blank.",
            )  # fmt: skip


def _far(series: Series) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.bool_]]]:
    """By column with returns of more than ``CODE_SDS`` sds: it, their rows, which of them are codes."""
    values = np.where(series.known, series.values, 0.0)
    sd = np.nan_to_num(series.value_sd)
    far = (np.abs(values) > CODE_SDS * sd) & (np.abs(values) > CODE_SDS * 1e-6)
    for column in map(int, np.flatnonzero(far.any(axis=0))):
        rows = np.flatnonzero(far[:, column])
        odd = values[rows, column]
        is_known = np.zeros(len(odd), dtype=bool)
        for code in CODES:
            is_known |= np.isclose(odd, code, rtol=1e-9) | np.isclose(100 * odd, code, rtol=1e-9)
        unique, counts = np.unique(odd, return_counts=True)
        is_known |= np.isin(odd, unique[counts > 1])
        yield column, rows, is_known


def _codes_among_returns(series: Series, what: str) -> Iterator[Finding]:
    sd = np.nan_to_num(series.value_sd)
    for column, rows, is_known in _far(series):
        if not is_known.any():
            continue
        odd = series.values[rows, column]
        name = series.names[column]
        days = tuple(series.day(r) for r in rows[is_known][:10])
        more = f" and on {is_known.sum() - 1} more days" if is_known.sum() > 1 else ""
        yield Finding(
            "missing-code", "refuse", what, (name,), days,
            f"{name} on {days[0]}{more}: {odd[is_known][0]:g}, {abs(odd[is_known][0]) / sd[column]:.0f} times"
            f" its sd of {sd[column]:.3g}",
            "Files write a code such as -99.99 or -999 where a return is missing.",
            "Leave these days blank, or drop them.",
        )  # fmt: skip


def _has_two_signs(values: Floats) -> bool:
    known = values[np.isfinite(values)]
    return len(known) > 0 and 0.1 < float((known < 0).mean()) < 0.9

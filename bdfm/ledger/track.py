"""Track: all months of a ledger that are over, scored; views and people judged; an alarm."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from bdfm import _checks, _renamed
from bdfm._strict import strict
from bdfm.backtest.shares import HedgeShares
from bdfm.backtest.significance import diebold_mariano
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.tables import Tables
from bdfm.errors import DataError
from bdfm.ledger.judge import Judged, judge, scale_of, stamp
from bdfm.ledger.ledger import Entry, Ledger
from bdfm.scoring.alarm import LEVEL, Alarm
from bdfm.scoring.scores import ranked_probability_score

SCORES: Final = ("rps", "log_score", "crps")  # lower is better
AROUND_DAYS: Final = 60  # before the first month, which say how calm its prices are


@dataclass(frozen=True, eq=False)
class Track:
    """Record of a ledger.

    Attributes
    ----------
    months
        One row for each month that is over, by origin: ``rps`` (0.16 for equal fifths, as in backtests),
        ``log_score``, ``crps``, ``energy_score``; ``coverage_50`` and ``coverage_90``, shares of assets in
        their central intervals; of the decision its ``profit``, ``expected`` and ``value_at_risk`` (95 %)
        under the forecast, ``breach`` and ``information_ratio``.
    views
        One row for each view: ``rps_gain`` and ``log_gain``, the scores without it minus those with it,
        above 0 where it helped.
    people
        One row for each month and person, and the model without views: ``rps`` and ``share``, what the record
        before the month would have given them in a pool.
    alarm
        Whether forecasts may be called calibrated, month by month.
    open
        Folders whose months are not over.
    """

    months: pd.DataFrame
    views: pd.DataFrame
    people: pd.DataFrame
    alarm: Alarm | None
    open: tuple[str, ...]

    def means(self) -> pd.DataFrame:
        """Mean of each score with its standard error; of the RPS also that it is equal fifths' 0.16."""
        rows = {}
        for name in (*SCORES, "coverage_50", "coverage_90", "profit", "information_ratio"):
            if name in self.months and self.months[name].notna().any():
                x = self.months[name].dropna().to_numpy(dtype=float)
                se = diebold_mariano(x - x.mean()).se
                rows[name] = {"mean": x.mean(), "se": se, "n": len(x)}
        return pd.DataFrame(rows).T

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain types that JSON can hold."""
        alarm: dict[str, Any] | None = None
        if self.alarm is not None:
            raised = self.alarm.raised
            alarm = {
                "false_alarm": self.alarm.false_alarm,
                "level": self.alarm.false_alarm,  # its name until 0.3
                "raised": None if raised is None else str(raised),
                "reason": self.alarm.reason,
                "e_values": _plain(self.alarm.e_values.reset_index(names="origin")),
            }
        return {
            "months": _plain(self.months.reset_index()),
            "means": _plain(self.means().reset_index(names="score")),
            "views": _plain(self.views),
            "people": _plain(self.people),
            "alarm": alarm,
            "open": list(self.open),
        }


@_renamed.keywords(level="false_alarm")
@strict
def track(
    ledger: Ledger,
    prices: pd.DataFrame,
    *,
    false_alarm: float = LEVEL,
    say: Callable[[str], None] = lambda _: None,
    accept: Collection[str] | None = (),
) -> Track:
    """Record of all months of a ledger that are over by the last day of prices.

    What was found of a month is kept in the ledger's index, and found again only where its forecast's file or
    the closes of its assets up to its end are others than they were, or the release is.

    Parameters
    ----------
    ledger
        Where the months are. Of several with one origin the one entered last counts.
    prices
        (day, symbol) adjusted closes.
    false_alarm
        Chance that a calibrated forecaster ever raises the alarm.
    say
        Called with a line about each month.
    accept
        Doubts about the prices of these assets, from 60 days before the first month to the end of the last
        that is over, that are right all the same; see ``bdfm.data.doubts``.

    Raises
    ------
    DataError
        No month that is over, an asset without prices, or a forecast that is not the one entered; what a rule
        of ``bdfm.data.doubts`` refuses.
    """
    _checks.false_alarm(false_alarm, where="track")  # before months are worked out
    prices = _checks.price_table(prices)
    last = pd.Timestamp(prices.index.max())
    entries = {e.origin: e for e in ledger.entries()}
    if not entries:
        raise DataError(
            f"track: {ledger.path} is no ledger, or holds no month yet. Give the folder that ledger names in"
            " run files, in which each month is a folder of its own."
        )
    over = [e for _, e in sorted(entries.items()) if pd.Timestamp(e.end) <= last]
    if not over:
        raise DataError(
            f"track: no month in {ledger.path} is over by {last:%Y-%m-%d}, the last day of the prices. Give"
            " newer prices, or wait."
        )
    if accept is not None:
        for used in _used(ledger, over, prices):
            doubt(Tables("score", prices=used, whole=prices), accept=accept)
    months, views, people, pits = {}, [], [], {}
    record = _People()
    for entry in over:
        say(f"{entry.origin} to {entry.end}")
        judged = _judged(ledger, entry, prices)
        origin = entry.origin
        months[origin] = judged.scores
        pits[origin] = judged.pits
        views += [{"origin": origin} | row for row in judged.views]
        people += [{"origin": origin} | row for row in record.month(judged)]
    table = pd.DataFrame(months).T.rename_axis("origin").infer_objects()
    alarm = Alarm.of(pd.DataFrame(pits).T.rename_axis("origin"), false_alarm=false_alarm)
    later = tuple(e.folder for e in entries.values() if e not in over)
    return Track(table, pd.DataFrame(views), pd.DataFrame(people), alarm, later)


def _used(ledger: Ledger, over: Iterable[Entry], prices: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Prices (day, asset) that months are scored by: one table for all assets of the same span."""
    span: dict[str, tuple[pd.Timestamp, pd.Timestamp]] = {}
    for entry in over:
        begin = pd.Timestamp(entry.origin) - pd.Timedelta(days=AROUND_DAYS)
        for name in _assets(ledger, entry):
            low, high = span.get(name, (begin, begin))
            span[name] = low, max(high, pd.Timestamp(entry.end))
    for low, high in dict.fromkeys(span.values()):
        mine = [name for name, days in span.items() if days == (low, high) and name in prices]
        yield prices.loc[low:high, mine]


def _assets(ledger: Ledger, entry: Entry) -> tuple[str, ...]:
    """Assets of a month's forecast."""
    known = Judged.from_text(ledger.judged(entry))
    return ledger.assets(entry) if known is None else known.assets


def _judged(ledger: Ledger, entry: Entry, prices: pd.DataFrame) -> Judged:
    """What is to be said of a month: what was found before, where nothing is different since."""
    known = Judged.from_text(ledger.judged(entry))
    if known is not None and known.stamp == stamp(prices, known.assets, entry.origin, entry.end):
        ledger.check(entry)
        return known
    forecast = ledger.forecast(entry)
    lacking = [a for a in forecast.assets if a not in prices]
    if lacking:
        raise DataError(f"track, {entry.folder}: no prices of {', '.join(lacking[:5])}. Add them.")
    found = judge(forecast, prices)
    ledger.keep_judged(entry, found.to_text())
    return found


class _People:
    """Record of the people whose views there are, and of the model without any: shares learned by month.

    A month without views by anybody moves no share; where other people speak than before, the record begins
    anew, with equal shares.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.learned = HedgeShares(1)

    def month(self, judged: Judged) -> list[dict[str, Any]]:
        """Rows of a month, shares as they were before it; then the shares learn."""
        names = tuple(judged.names)
        if not names:
            return []
        if names != self.names:
            self.names, self.learned = names, HedgeShares(len(names))
        if judged.members is None:
            return []
        before = self.learned.learn_from(list(judged.members), judged.outcome)
        scale = scale_of(judged.outcome)
        rps = [scale * float(ranked_probability_score(p, judged.outcome).mean()) for p in judged.members]
        return [
            {"by": name, "rps": score, "share": float(x), "share_after": float(y)}
            for name, score, x, y in zip(names, rps, before, self.learned.shares, strict=True)
        ]


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as plain types; None for NaN."""
    return [
        {str(k): None if isinstance(x, float) and not np.isfinite(x) else x for k, x in row.items()}
        for row in table.to_dict("records")
    ]

"""Track: all months of a ledger that are over, scored; views and people judged; an alarm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from bdfm.backtest.protocol import History
from bdfm.backtest.run import EQUAL_RPS, evaluate
from bdfm.backtest.shares import LearnedShares
from bdfm.backtest.significance import diebold_mariano
from bdfm.backtest.walk import origin_seed
from bdfm.errors import DataError, InfeasibleViewError
from bdfm.forecast import views
from bdfm.forecast.changes import Changes
from bdfm.forecast.forecast import N_RANKS, Forecast
from bdfm.forecast.ranks import outcome_quantiles, quantile_probabilities
from bdfm.forecast.view import View
from bdfm.forecast.weigh import view_weights
from bdfm.ledger.ledger import Ledger
from bdfm.portfolio.decisions import Decision
from bdfm.scoring.alarm import LEVEL, Alarm, month_pits
from bdfm.scoring.m6 import information_ratio, period_returns
from bdfm.scoring.scores import log_score, ranked_probability_score

SCORES: Final = ("rps", "log_score", "crps")  # lower is better
MODEL: Final = "model"  # the forecaster beside the people
_WINDOW_DAYS: Final = 400  # of prices before an origin, for the market's volatility


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
                "level": self.alarm.level,
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


def track(
    ledger: Ledger, prices: pd.DataFrame, *, level: float = LEVEL, say: Callable[[str], None] = lambda _: None
) -> Track:
    """Record of all months of a ledger that are over by the last day of prices.

    Parameters
    ----------
    ledger
        Where the months are. Of several with one origin the one entered last counts.
    prices
        (day, symbol) adjusted closes.
    level
        Chance that a calibrated forecaster ever raises the alarm.
    say
        Called with a line about each month.

    Raises
    ------
    DataError
        No month that is over, an asset without prices, or a forecast that is not the one entered.
    """
    last = pd.Timestamp(prices.index.max())
    entries = {e.origin: e for e in ledger.entries()}
    over = [e for _, e in sorted(entries.items()) if pd.Timestamp(e.end) <= last]
    if not over:
        raise DataError(
            f"track: no month in {ledger.path} is over by {last:%Y-%m-%d}, the last day of the prices. Give"
            " newer prices, or wait."
        )
    months, judged, people, pits = {}, [], [], {}
    record = _People()
    for entry in over:
        say(f"{entry.origin} to {entry.end}")
        forecast = ledger.forecast(entry)
        lacking = [a for a in forecast.assets if a not in prices]
        if lacking:
            raise DataError(f"track, {entry.folder}: no prices of {', '.join(lacking[:5])}. Add them.")
        window = prices.loc[forecast.origin - pd.Timedelta(days=_WINDOW_DAYS) :, list(forecast.assets)]
        realised = period_returns(window, forecast.origin, forecast.end)
        origin = entry.origin
        months[origin] = _scores(forecast, window, realised)
        pits[origin] = month_pits(forecast, realised, seed=origin_seed(1, forecast.origin))
        outcome = _outcome(forecast, realised)
        judged += [{"origin": origin} | row for row in _judged_views(forecast, outcome)]
        people += [{"origin": origin} | row for row in record.month(forecast, outcome)]
    table = pd.DataFrame(months).T.rename_axis("origin").infer_objects()
    alarm = Alarm.of(pd.DataFrame(pits).T.rename_axis("origin"), level=level)
    later = tuple(e.folder for e in entries.values() if e not in over)
    return Track(table, pd.DataFrame(judged), pd.DataFrame(people), alarm, later)


def _history(forecast: Forecast, window: pd.DataFrame) -> History:
    """What a backtest would have known of the assets at the origin."""
    universe = pd.DataFrame({"symbol": forecast.assets, "asset_class": forecast.asset_class})
    days = (forecast.end - forecast.origin).days
    return History(window.loc[: forecast.origin], universe, None, forecast.origin, forecast.end, days)


def _scores(forecast: Forecast, window: pd.DataFrame, realised: pd.Series[float]) -> dict[str, Any]:
    """Row of a month; the scores are those of a backtest."""
    result = evaluate(forecast, _history(forecast, window), realised, seed=origin_seed(0, forecast.origin))
    p, outcome, place = (result[k].to_numpy() for k in ("probability", "outcome", "pit"))
    row: dict[str, Any] = {
        "end": f"{forecast.end:%Y-%m-%d}",
        "rps": _scale(outcome) * ranked_probability_score(p, outcome).mean(),
        "log_score": log_score(p, outcome).mean(),
        "crps": float(result["crps"].mean()),
        "energy_score": result.attrs["energy_score"],
        "coverage_50": float(np.mean(np.abs(place - 0.5) < 0.25)),
        "coverage_90": float(np.mean(np.abs(place - 0.5) < 0.45)),
    }
    decision = Decision.of(forecast)
    if decision is not None:
        risk = {str(k): float(x) for k, x in decision.risk.table["value"].to_dict().items()}
        profit = float(np.dot(decision.weights.to_numpy(), realised[decision.weights.index].to_numpy()))
        row |= {
            "profit": profit,
            "expected": risk["mean"],
            "value_at_risk": risk["value_at_risk"],
            "breach": profit < -risk["value_at_risk"],
            "information_ratio": information_ratio(
                window, decision.weights[decision.weights != 0], forecast.origin, forecast.end
            ),
        }
    return row


def _outcome(forecast: Forecast, realised: pd.Series[float]) -> Any:
    return outcome_quantiles(realised[list(forecast.assets)].to_numpy(dtype=float), N_RANKS)


def _scale(outcome: Any) -> float:
    """Factor to units in which equal fifths score 0.16."""
    return float(EQUAL_RPS / ranked_probability_score(np.full(outcome.shape, 1 / N_RANKS), outcome).mean())


def _views_of(forecast: Forecast) -> tuple[tuple[View, ...], Changes]:
    """Views on the draws, and what their records say of shares."""
    records = [r for r in forecast.records if r.kind in ("view", "pool")]
    return tuple(views.from_record(r) for r in records if r.kind == "view"), Changes.from_records(records)


def _probabilities(
    forecast: Forecast, some: Sequence[View], changes: Changes, everyone: Sequence[View] = ()
) -> Any:
    """Probabilities (asset, quantile) of the forecast's draws under some views; None where impossible."""
    draws = forecast.draws.to_numpy()
    equal = np.full(len(draws), 1 / len(draws))
    everybody = dict.fromkeys(v.by for v in (everyone or some))
    shares = changes.shares or {p: 1 / len(everybody) for p in everybody}
    # Who says nothing agrees with the model: the share goes to nobody else.
    shares = {p: x for p, x in shares.items() if any(v.by == p for v in some)}
    try:
        weights = view_weights(
            draws, equal, forecast.assets, some, shares=shares, pool=changes.pool, min_effective_draws=0
        )
    except (InfeasibleViewError, DataError):
        return None  # held only together with the others
    same = weights.min() == weights.max()
    return quantile_probabilities(draws, n_quantiles=N_RANKS, weights=None if same else weights)


def _judged_views(forecast: Forecast, outcome: Any) -> list[dict[str, Any]]:
    """Row for each view on the draws: what the scores would have been without it."""
    held, changes = _views_of(forecast)
    with_all = forecast.quantile_probabilities(N_RANKS).to_numpy()
    rows = []
    for view in held:
        without = _probabilities(forecast, [v for v in held if v is not view], changes, held)
        row: dict[str, Any] = {"view": str(view), "by": view.by, "rps_gain": np.nan, "log_gain": np.nan}
        if without is not None:
            rps = [ranked_probability_score(p, outcome).mean() for p in (without, with_all)]
            logs = [log_score(p, outcome).mean() for p in (without, with_all)]
            row |= {
                "rps_gain": _scale(outcome) * float(rps[0] - rps[1]),
                "log_gain": float(logs[0] - logs[1]),
            }
        rows.append(row)
    return rows


class _People:
    """Record of the people whose views there are, and of the model without any: shares learned by month.

    A month without views by anybody moves no share; where other people speak than before, the record begins
    anew, with equal shares.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.learned = LearnedShares(1)

    def month(self, forecast: Forecast, outcome: Any) -> list[dict[str, Any]]:
        """Rows of a month, shares as they were before it; then the shares learn."""
        held, changes = _views_of(forecast)
        people = sorted({v.by for v in held if v.by})
        if not people:
            return []
        names = (MODEL, *people)
        if names != self.names:
            self.names, self.learned = names, LearnedShares(len(names))
        alone = Changes(pool=changes.pool)
        sets = [(), *([v for v in held if v.by == p] for p in people)]
        found = [_probabilities(forecast, some, alone) for some in sets]
        if any(p is None for p in found):
            return []
        before = self.learned.shares.copy()
        rps = [_scale(outcome) * float(ranked_probability_score(p, outcome).mean()) for p in found]
        self.learned.learn_from(found, outcome)
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

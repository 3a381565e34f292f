"""One month that is over, judged: scores, places for the alarm, views, people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm._version import __version__
from bdfm.backtest.protocol import History
from bdfm.backtest.run import EQUAL_RPS, evaluate
from bdfm.backtest.walk import origin_seed
from bdfm.errors import DataError, InfeasibleViewError
from bdfm.forecast import views
from bdfm.forecast.changes import Changes
from bdfm.forecast.forecast import N_RANKS, Forecast
from bdfm.forecast.ranks import outcome_quantiles, quantile_probabilities
from bdfm.forecast.view import View
from bdfm.forecast.weigh import view_weights
from bdfm.portfolio.decisions import Decision
from bdfm.scoring.alarm import month_pits
from bdfm.scoring.m6 import information_ratio, period_returns
from bdfm.scoring.scores import log_score, ranked_probability_score

MODEL: Final = "model"  # the forecaster beside the people
_WINDOW_DAYS: Final = 400  # of prices before an origin, for the market's volatility
_FORM: Final = 1  # of what is kept: raised with every change of what is found


@dataclass(frozen=True, eq=False)
class Judged:
    """What is said of a month that is over; it hangs on nothing but the month.

    Attributes
    ----------
    stamp
        Of the closes and the release it was found with.
    assets
        Of the forecast.
    scores, pits, views
        Row of ``Track.months``, numbers of ``month_pits``, rows of ``Track.views``.
    outcome
        (asset, quantile).
    names
        ``MODEL`` and those whose views there are, or nobody.
    members
        (name, asset, quantile) probabilities of each alone; None where someone's views cannot hold alone.
    """

    stamp: str
    assets: tuple[str, ...]
    scores: dict[str, Any]
    pits: dict[str, float]
    views: list[dict[str, Any]]
    outcome: NDArray[np.float64]
    names: tuple[str, ...]
    members: NDArray[np.float64] | None

    def to_text(self) -> str:
        """JSON, in which every number is whole."""
        own = self.__dict__ | {
            "outcome": self.outcome.tolist(),
            "members": None if self.members is None else self.members.tolist(),
        }
        return json.dumps(own)

    @classmethod
    def from_text(cls, text: str | None) -> Self | None:
        """What ``to_text`` wrote; None of None, and of what another release wrote."""
        if text is None:
            return None
        try:
            own = json.loads(text)
            members = own["members"]
            arrays = {
                "outcome": np.array(own["outcome"], dtype=np.float64),
                "members": None if members is None else np.array(members, dtype=np.float64),
            }
            return cls(**own | arrays | {k: tuple(own[k]) for k in ("assets", "names")})
        except (ValueError, TypeError, KeyError):
            return None


def stamp(prices: pd.DataFrame, assets: Sequence[str], origin: str, end: str) -> str:
    """Sum of all that what is found hangs on, beside the forecast's file; blank where closes are lacking."""
    if not set(assets) <= set(map(str, prices.columns)):
        return ""
    window = _window(prices, assets, pd.Timestamp(origin)).loc[: pd.Timestamp(end)]
    told = json.dumps([_FORM, __version__, origin, end, list(assets), [str(d) for d in window.index]])
    values = np.ascontiguousarray(window.to_numpy(dtype=np.float64))
    return sha256(told.encode() + values.tobytes()).hexdigest()


def _window(prices: pd.DataFrame, assets: Sequence[str], origin: pd.Timestamp) -> pd.DataFrame:
    return prices.loc[origin - pd.Timedelta(days=_WINDOW_DAYS) :, list(assets)]


def judge(forecast: Forecast, prices: pd.DataFrame) -> Judged:
    """What is said of a forecast whose span is over.

    ``prices``: (day, symbol) adjusted closes of all its assets, up to its end at least. Raises ``DataError``
    as ``period_returns`` does.
    """
    window = _window(prices, forecast.assets, forecast.origin)
    realised = period_returns(window, forecast.origin, forecast.end)
    outcome = outcome_quantiles(realised[list(forecast.assets)].to_numpy(dtype=float), N_RANKS)
    names, members = _people(forecast)
    day, end = f"{forecast.origin:%Y-%m-%d}", f"{forecast.end:%Y-%m-%d}"
    return Judged(
        stamp=stamp(prices, forecast.assets, day, end),
        assets=tuple(forecast.assets),
        scores=_scores(forecast, window, realised),
        pits=month_pits(forecast, realised, seed=origin_seed(1, forecast.origin)),
        views=_judged_views(forecast, outcome),
        outcome=outcome,
        names=names,
        members=members,
    )


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
        "rps": scale_of(outcome) * ranked_probability_score(p, outcome).mean(),
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


def scale_of(outcome: Any) -> float:
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
                "rps_gain": scale_of(outcome) * float(rps[0] - rps[1]),
                "log_gain": float(logs[0] - logs[1]),
            }
        rows.append(row)
    return rows


def _people(forecast: Forecast) -> tuple[tuple[str, ...], NDArray[np.float64] | None]:
    """Who speaks, after the model, and the probabilities under the views of each alone."""
    held, changes = _views_of(forecast)
    people = sorted({v.by for v in held if v.by})
    if not people:
        return (), None
    alone = Changes(pool=changes.pool)
    sets = [(), *([v for v in held if v.by == p] for p in people)]
    found = [_probabilities(forecast, some, alone) for some in sets]
    members = None if any(p is None for p in found) else np.stack(found)
    return (MODEL, *people), members

"""Alarm about a forecaster that may be looked at every month: e-values, valid at any time.

A p-value a month would raise an alarm sooner or later, whatever the forecaster. An e-process is a bet against
calibration that starts with 1: where forecasts are calibrated its expectation never grows, so that the chance
that it ever reaches 1 / level is at most level (J. Ville 1939; G. Shafer, *J. R. Stat. Soc. A* 184(2), 2021;
for PITs S. Arnold, A. Henzi and J. Ziegel, *Ann. Appl. Stat.* 17(3), 2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks, _renamed
from bdfm.errors import DataError
from bdfm.forecast.forecast import N_RANKS, Forecast
from bdfm.forecast.ranks import outcome_quantiles
from bdfm.scoring.outcomes import returns_that_came
from bdfm.scoring.scores import in_precision_of, ranked_probability_score, ties

Floats = NDArray[np.float64]

LEVEL: Final = 0.05  # chance that a calibrated forecaster ever raises the alarm, at most
STATISTICS: Final = ("market", "size", "spread", "ranks")
_SHAPES: Final = (0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0)  # of the beta densities that are bet on
_BLOCK: Final = 8192  # draws at a time: bounds memory
_N_RANKED: Final = 1000  # draws whose score is simulated


def month_pits(
    forecast: Forecast, realised: Mapping[str, float] | pd.Series[float], *, seed: int
) -> dict[str, float]:
    """Place of what came among the draws, one number in (0, 1) for each of ``STATISTICS``.

    Of a calibrated forecast each is uniform given all that was known, whatever the assets have in common,
    since the joint draws have it too. Ties are broken at random.

    ``market``: the mean return of all assets. ``size``: the mean square of returns in units of their sds
    under the forecast, high where volatilities were too low. ``spread``: the sd of these over assets.
    ``ranks``: the ranked probability score, high where probabilities of fifths were too sure.

    Parameters
    ----------
    forecast
        With any weights.
    realised
        Simple returns that came, by symbol; every asset of the forecast needs one.
    seed
        For ties, and for the draws whose ranks are scored.

    Raises
    ------
    DataError
        An asset without a finite return, or returns in another unit than the forecast.
    """
    came = returns_that_came(forecast, realised, where="alarm")
    rng = np.random.default_rng(seed)
    draws, weights = forecast.draws.to_numpy(), forecast.weights.to_numpy()
    mean: Floats = np.asarray(weights @ draws, dtype=np.float64)
    sd = np.sqrt(np.maximum(weights @ np.square(draws - mean), 0))
    unit: Floats = np.asarray(sd, dtype=np.float64)
    unit[unit <= 1e-12] = np.inf  # an asset at rest says nothing
    found = {name: np.empty(len(draws)) for name in STATISTICS[:3]}
    for start in range(0, len(draws), _BLOCK):
        block = slice(start, start + _BLOCK)
        for name, values in _statistics(draws[block].astype(np.float64), mean, unit).items():
            found[name][block] = values
    outcome = in_precision_of(draws, came)
    observed = {k: float(x[0]) for k, x in _statistics(outcome[None], mean, unit).items()}
    pits = {k: _place(x, observed[k], weights, rng) for k, x in found.items()}
    probability = forecast.quantile_probabilities(N_RANKS).to_numpy()
    some = rng.choice(len(draws), min(_N_RANKED, len(draws)), p=weights)
    scores = _rank_scores(probability, draws[some].astype(np.float64))
    score = ranked_probability_score(probability, outcome_quantiles(outcome, N_RANKS)).mean()
    pits["ranks"] = _place(scores, float(score), np.full(len(some), 1 / len(some)), rng)
    return pits


def _statistics(returns: Floats, mean: Floats, unit: Floats) -> dict[str, Floats]:
    """Statistics (draw,) of returns (draw, asset)."""
    z = (returns - mean) / unit
    return {"market": returns.mean(axis=1), "size": np.square(z).mean(axis=1), "spread": z.std(axis=1)}


def _rank_scores(probability: Floats, returns: Floats) -> Floats:
    """Mean ranked probability score (draw,) of probabilities (asset, quantile) were these returns to come."""
    n = returns.shape[1]
    slots = np.cumsum(outcome_quantiles(np.arange(n, dtype=np.float64), N_RANKS), axis=1)  # by rank
    order = np.argsort(returns, axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(n), order.shape), axis=1)
    tied = (np.diff(np.sort(returns, axis=1), axis=1) == 0).any(axis=1)
    gap = np.cumsum(probability, axis=1) - slots[ranks]
    scores = np.square(gap).sum(axis=2).mean(axis=1) / N_RANKS
    for k in np.flatnonzero(tied):
        scores[k] = ranked_probability_score(probability, outcome_quantiles(returns[k], N_RANKS)).mean()
    return np.asarray(scores)


def _place(values: Floats, observed: float, weights: Floats, rng: np.random.Generator) -> float:
    """Probability below ``observed``, and a random part of that at it and of one draw."""
    n = 1 / float(np.square(weights).sum())
    near = ties(values, observed)
    below, at = float(weights @ ((values < observed) & ~near)), float(weights @ near)
    return (n * (below + rng.random() * at) + rng.random()) / (n + 1)


@_renamed.fields(level="false_alarm")
@dataclass(frozen=True)
class Alarm:
    """Bets against calibration, month by month.

    Attributes
    ----------
    e_values
        (month, statistic) each bet's e-process, and ``all``, their mean, which is one too.
    false_alarm
        Chance that a calibrated forecaster ever raises the alarm, at most.
    """

    e_values: pd.DataFrame
    false_alarm: float = LEVEL

    @classmethod
    @_renamed.keywords(level="false_alarm")
    def of(cls, pits: pd.DataFrame, *, false_alarm: float = LEVEL) -> Alarm:
        """Alarm of PITs (month, statistic) in (0, 1), months in order, from ``month_pits``.

        Against each statistic stand beta densities of 49 shapes with equal stakes: too high, too low, too
        wide and too narrow. Raises ``DataError`` for numbers outside (0, 1) or a chance that is none.
        """
        _checks.false_alarm(false_alarm, where="alarm")
        values = pits.to_numpy(dtype=np.float64)
        if not ((values > 0) & (values < 1)).all():
            raise DataError("alarm: PITs must lie between 0 and 1. Take them from month_pits.")
        table = pd.DataFrame(np.exp(_log_e(values)), index=pits.index, columns=list(pits.columns))
        return cls(table.assign(all=table.mean(axis=1)), false_alarm)

    @property
    def raised(self) -> object | None:
        """First month in which the alarm is raised; None where it never was."""
        over = self.e_values.index[self.e_values["all"] >= 1 / self.false_alarm]
        return over[0] if len(over) else None

    @property
    def reason(self) -> str | None:
        """Statistic whose bet won most when the alarm was raised."""
        row = int(np.argmax(self.e_values["all"].to_numpy() >= 1 / self.false_alarm))
        bets = self.e_values.drop(columns="all")
        return None if self.raised is None else str(bets.columns[int(np.argmax(bets.to_numpy()[row]))])


def _log_e(pits: Floats) -> Floats:
    """Log e-processes (month, statistic) of PITs (month, statistic)."""
    from scipy.special import betaln, logsumexp

    a, b = (x.ravel() for x in np.meshgrid(_SHAPES, _SHAPES))
    u = pits[:, :, None]
    gain = (a - 1) * np.log(u) + (b - 1) * np.log1p(-u) - betaln(a, b)
    return np.asarray(logsumexp(np.cumsum(gain, axis=0), axis=2) - np.log(len(a)))

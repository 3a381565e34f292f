"""Shares of a linear pool of forecasters, learned from their record without look-ahead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from bdfm.backtest.protocol import Floats
from bdfm.errors import DataError
from bdfm.scoring.scores import ranked_probability_score


class LearnedShares:
    """Bernstein online aggregation (Wintenberger 2017, arXiv 1404.1356) of forecasters by RPS.

    Shares are equal at first. After each origin a forecaster's share grows where moving the pool towards it
    would have scored better: its loss is the slope of the pool's RPS in its share, since the score is convex
    (the gradient trick, Cesa-Bianchi and Lugosi 2006). Learning rates adapt to how much the losses vary, so
    that there is nothing to tune, and the regret against the best forecaster stays bounded.

    For long records only. Each forecaster has a learning rate of its own, at first one over its own largest
    regret, and counts in proportion to it: after an origin or a few, nearly all goes to whoever is nearest to
    the pool, whatever the scores. ``HedgeShares`` is for few months.

    Parameters
    ----------
    n
        Number of forecasters.
    """

    def __init__(self, n: int) -> None:
        if n < 1:
            raise DataError(f"learned shares: {n} forecasters given. Give at least one.")
        self._log_prior = np.full(n, -np.log(n))
        self._largest = np.zeros(n)  # absolute regret so far
        self._squares = np.zeros(n)  # sum of squared regrets
        self._gain = np.zeros(n)  # sum of regrets less what their variance costs
        self.shares: Floats = np.full(n, 1 / n)

    def learn(self, losses: ArrayLike) -> Floats:
        """Shares (n,) after one more origin with ``losses`` (n,) of the forecasters, lower is better."""
        loss = np.asarray(losses, dtype=np.float64)
        if loss.shape != self.shares.shape or not np.isfinite(loss).all():
            raise DataError(
                f"learned shares: losses of shape {loss.shape}, expected {len(self.shares)} finite numbers."
            )
        regret = float(self.shares @ loss) - loss
        self._largest = np.maximum(self._largest, np.abs(regret))
        self._squares += regret**2
        if len(loss) == 1:
            return self.shares
        known = self._squares > 0
        rate = np.zeros_like(loss)
        rate[known] = np.minimum(
            1 / self._largest[known], np.sqrt(-self._log_prior[known] / self._squares[known])
        )
        surprise = 2 * self._largest * (rate * regret > 0.5)
        self._gain += 0.5 * (regret - rate * regret**2 + surprise)
        if known.all():
            log_share = self._log_prior + np.log(rate) + rate * self._gain
            share = np.exp(log_share - log_share.max())
            self.shares = share / share.sum()
        return self.shares

    def learn_from(self, probabilities: Sequence[ArrayLike], outcome: ArrayLike) -> Floats:
        """Shares after an origin with forecasts (asset, quantile) of each forecaster and the ``outcome``.

        ``outcome`` (asset, quantile) is of ``bdfm.forecast.ranks.outcome_quantiles``.
        """
        members = np.stack([np.asarray(p, dtype=np.float64) for p in probabilities])
        return self.learn(_slopes(members, self.shares, np.asarray(outcome, dtype=np.float64)))


class HedgeShares:
    """Exponential weights (Hedge) of forecasters by RPS, with one rate for all that a record justifies.

    Shares are equal at first and proportional to exp(-η L_i): L_i sums over origins the slope of the pool's
    RPS in forecaster i's share, so that the pool competes with the best fixed pool, not only with the best
    forecaster (the gradient trick, Cesa-Bianchi and Lugosi 2006, section 2.5). With s_t the widest that the
    losses of origin t could lie apart, whatever came, which the forecasts alone tell (``room``),

        η_t = 2 sqrt(ln N / (s_1² + ... + s_t²)).

    Since the gap between the pool's loss and the mixture's is at most η_t s_t² / 8 (Hoeffding) and η_t does
    not grow, the sum of the pool's RPS over that of the best fixed pool stays within
    sqrt((s_1² + ... + s_T²) ln N), for every sequence of outcomes (de Rooij et al., *JMLR* 15, 2014,
    section 2). Nothing is tuned and units do not matter; forecasters who say nearly the same move no share
    fast, since what sets them apart counts in units of what could have.

    Parameters
    ----------
    n
        Number of forecasters.
    """

    def __init__(self, n: int) -> None:
        if n < 1:
            raise DataError(f"learned shares: {n} forecasters given. Give at least one.")
        self._losses: Floats = np.zeros(n)  # L_i
        self._room = 0.0  # sum of s_t²

    @property
    def shares(self) -> Floats:
        """Shares (n,) by the record so far; those of the next origin, but for what its forecasts could do."""
        return self._shares(self._room)

    def _shares(self, room: float) -> Floats:
        if room == 0:
            return np.full(len(self._losses), 1 / len(self._losses))
        rate = 2 * np.sqrt(np.log(len(self._losses)) / room)
        share = np.exp(-rate * (self._losses - self._losses.min()))
        return np.asarray(share / share.sum())

    def learn_from(self, probabilities: Sequence[ArrayLike], outcome: ArrayLike) -> Floats:
        """Shares (n,) of an origin with forecasts (asset, quantile) of each forecaster, by the record before.

        Then its ``outcome`` (asset, quantile), of ``bdfm.forecast.ranks.outcome_quantiles``, is part of the
        record. Raises ``DataError`` for another number of forecasters, or what is no probability.
        """
        members = np.stack([np.asarray(p, dtype=np.float64) for p in probabilities])
        if len(members) != len(self._losses):
            raise DataError(
                f"learned shares: forecasts of {len(members)}, expected of {len(self._losses)} forecasters."
            )
        room = self._room + self.room(members) ** 2
        shares = self._shares(room)
        slopes = _slopes(members, shares, np.asarray(outcome, dtype=np.float64))
        self._losses = self._losses + slopes
        self._room = room
        return shares

    @staticmethod
    def room(members: ArrayLike) -> float:
        """Widest that losses of forecasts (n, asset, quantile) can lie apart, over outcomes and pools.

        Each asset by itself, so that it is a bound: not all can come out lowest. The slope is linear in the
        pool and in the outcome, hence largest at one forecaster as the pool and at one quantile.
        """
        below = np.cumsum(np.asarray(members, dtype=np.float64), axis=-1)  # (n, asset, quantile)
        n_quantiles = below.shape[-1]
        came = np.cumsum(np.eye(n_quantiles), axis=-1)  # (outcome, quantile)
        widest = 0.0
        for pool in below:
            gap = pool[:, None, :] - came  # (asset, outcome, quantile)
            for k, one in enumerate(below):
                for other in below[:k]:
                    apart = 2 / n_quantiles * np.einsum("aq,aoq->ao", one - other, gap)
                    sides = apart.max(axis=1).mean(), -apart.min(axis=1).mean()
                    widest = max(widest, *map(float, sides))
        return widest


def _slopes(members: Floats, shares: Floats, outcome: Floats) -> Floats:
    """Slope (n,) of the RPS of a pool in each share; ``members`` (n, asset, quantile)."""
    pooled = np.tensordot(shares, members, axes=1)
    ranked_probability_score(pooled, outcome)  # its checks of shapes and rows
    gap = np.cumsum(pooled - outcome, axis=-1)
    slope = 2 * (np.cumsum(members, axis=-1) * gap).sum(axis=-1).mean(axis=-1) / outcome.shape[-1]
    return np.asarray(slope)

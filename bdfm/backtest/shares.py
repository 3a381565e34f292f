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
        came = np.asarray(outcome, dtype=np.float64)
        pooled = np.tensordot(self.shares, members, axes=1)
        ranked_probability_score(pooled, came)  # its checks of shapes and rows
        gap = np.cumsum(pooled - came, axis=-1)
        slope = 2 * (np.cumsum(members, axis=-1) * gap).sum(axis=-1).mean(axis=-1) / came.shape[-1]
        return self.learn(slope)

"""Linked specific risk: share classes and listings of one company move together beyond all factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._reading import counted
from bdfm._strict import strict
from bdfm.errors import DataError
from bdfm.names import SPECIFIC_RETURNS
from bdfm.risk.base import RiskModel

Floats = NDArray[np.float64]

MIN_PERIODS = 8  # of specific returns that two assets have in common


@strict
def link_specific(
    model: RiskModel, groups: Mapping[str, Sequence[str]], *, correlation: float | None = None
) -> RiskModel:
    """Risk model in which specific returns of linked assets are correlated (eq. R25).

    A factor model takes specific returns for independent, so that a position long one share class and short
    the other looks as risky as two companies. Each group gets a factor of its own, to which its members have
    the exposures sqrt(ρ D_i), and keeps (1 - ρ) D_i: all variances stay, and specific correlations within the
    group are ρ.

    Parameters
    ----------
    model
        Any risk model; with posterior draws, each draw is linked.
    groups
        Members by name, two or more each; an asset is in one group at most.
    correlation
        ρ, at least 0 and below 1; unless given the mean over a group's pairs of the correlations of their
        specific returns, 0 at least, from the model's history.

    Returns
    -------
    RiskModel
        With a factor more for each group, named "linked NAME", and no history.

    Raises
    ------
    DataError, UnknownLabelError
        Unknown assets, groups of one or that overlap, a correlation outside [0, 1), no history to take it
        from, or fewer than 8 specific returns in common.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> model = risk.StatisticalEstimator(3).fit(returns)
    >>> linked = risk.link_specific(model, {"oil": ["XOM", "CVX"]}, correlation=0.5)
    >>> book = {"XOM": 0.5, "CVX": 0.5}
    >>> round(float(linked.volatility(book) / model.volatility(book)), 3)
    1.033
    """
    where = "linked specific risk"
    if not groups:
        raise DataError(f"{where}: no group given. Such as {{'Alphabet': ['GOOG', 'GOOGL']}}.")
    members = {str(k): [str(a) for a in v] for k, v in groups.items()}
    every = [a for v in members.values() for a in v]
    _checks.known(every, model.assets, what="asset", where=where)
    _checks.unique(every, what="member", where=where)
    single = [k for k, v in members.items() if len(v) < 2]
    if single:
        raise DataError(f"{where}: {_checks.first(single)} has fewer than two members. Nothing is linked.")
    if correlation is not None and not 0 <= _checks.finite(correlation, what="correlation", where=where) < 1:
        raise DataError(f"{where}: correlation {correlation:g} is not at least 0 and below 1.")
    b, f, d = (
        x.to_numpy().copy() for x in (model.exposures, model.factor_covariance, model.specific_variance)
    )
    more = np.zeros((*b.shape[:-1], len(members)))
    notes = []
    for j, (name, assets) in enumerate(members.items()):
        at = [model.assets.index(a) for a in assets]
        rho = _correlation(model, at, f"{where}: {name}") if correlation is None else float(correlation)
        more[..., at, j] = np.sqrt(rho * d[..., at])
        d[..., at] *= 1 - rho
        notes.append(f"specific returns of {', '.join(assets)} correlated {rho:.2f}")
    k = f.shape[-1]
    wide = np.zeros((*f.shape[:-2], k + len(members), k + len(members)))
    wide[..., :k, :k] = f
    wide[..., range(k, k + len(members)), range(k, k + len(members))] = 1.0
    made = RiskModel.from_arrays(
        np.concatenate([b, more], axis=-1),
        wide,
        d,
        assets=model.assets,
        factors=[*model.factors, *(f"linked {name}" for name in members)],
        kind=model.kind,
        origin=model.origin,
        notes=(*model.notes, *notes),
    )
    return replace(made, periods=model.periods)


def _correlation(model: RiskModel, at: Sequence[int], where: str) -> float:
    """Mean correlation of the specific returns of some assets over their pairs, at least 0."""
    if model.history is None or SPECIFIC_RETURNS not in model.history:
        raise DataError(f"{where}: the model has no specific returns. Give the correlation.")
    u = model.history[SPECIFIC_RETURNS].to_numpy()[:, list(at)]
    found = []
    for i in range(len(at)):
        for j in range(i):
            both = np.isfinite(u[:, [i, j]]).all(axis=1)
            if both.sum() < MIN_PERIODS:
                raise DataError(
                    f"{where}: {counted(both.sum(), 'period')} with specific returns of both members;"
                    f" {MIN_PERIODS} are"
                    " needed. Give the correlation."
                )
            found.append(np.corrcoef(u[both][:, [i, j]].T)[0, 1])
    # Twins that never part would leave no specific risk at all, and a singular covariance.
    return float(np.clip(np.mean(found), 0.0, 0.999))

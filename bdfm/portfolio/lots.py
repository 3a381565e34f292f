"""Weights that can be traded: in whole lots, and no trade below the smallest worth making."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from bdfm.errors import DataError
from bdfm.portfolio.terms import Limit, Terms

Floats = NDArray[np.float64]

_GAP: Final = 1e-3  # relative, of the integer program
_SECONDS: Final = 30.0
_BROKEN: Final = 1e3  # price of missing a limit, against 1 for a distance
_SHORT: Final = 10.0  # price of missing a lowest net exposure: whole lots leave some cash
_MOST: Final = 100.0  # of the money in one asset


def tradeable(terms: Terms, limits: Sequence[Limit], weights: Floats) -> Floats:
    """Weights (asset,) nearest to ``weights`` by Σ|difference| whose trades can be made.

    A mixed-integer program (HiGHS) in the trades t = lot · k, k whole, either 0 or of at least ``min_trade``.
    All limits are kept where that is possible, but for the tracking error, which is not linear; whoever calls
    looks at what is missed. Net exposure may fall short by what whole lots leave over.
    """
    lots = np.nan_to_num(terms.lots)
    least = terms.mandate.min_trade
    if not lots.any() and not least:
        return weights
    n, held = len(weights), terms.held
    size = np.where(lots > 0, lots, 1.0)
    linear = [x for x in limits if x.of != "active"]
    both = sum(2 if x.sense == "==" else 1 for x in linear)
    # Columns: buys and sells in lots, whether bought, whether sold, distance, |weight|, one slack a limit.
    buy, sell, bought, sold, far, big = (slice(k * n, (k + 1) * n) for k in range(6))
    total = 6 * n + both
    eye = sparse.eye_array(n, format="csr")
    rows: list[Any] = []
    lows: list[Floats] = []
    highs: list[Floats] = []

    def add(parts: dict[slice | int, Any], low: Floats | float, high: Floats | float, n_rows: int) -> None:
        blocks, at = [], 0
        for where in sorted(parts, key=lambda s: s if isinstance(s, int) else s.start):
            start, stop = (where, where + 1) if isinstance(where, int) else (where.start, where.stop)
            blocks += [sparse.csr_array((n_rows, start - at)), sparse.csr_array(parts[where])]
            at = stop
        rows.append(sparse.hstack([*blocks, sparse.csr_array((n_rows, total - at))], format="csr"))
        lows.append(np.broadcast_to(np.asarray(low, dtype=float), (n_rows,)))
        highs.append(np.broadcast_to(np.asarray(high, dtype=float), (n_rows,)))

    step = sparse.diags_array(size, format="csr")
    most = 2 * (np.abs(weights) + np.abs(held)) + 10 * size + 0.1  # no trade is larger
    for side, made in ((buy, bought), (sell, sold)):
        add({side: step, made: -sparse.diags_array(most)}, -np.inf, 0, n)
        add({side: step, made: -sparse.diags_array(np.full(n, least))}, 0, np.inf, n)
    add({bought: eye, sold: eye}, -np.inf, 1, n)
    gap = held - weights
    add({buy: -step, sell: step, far: eye}, gap, np.inf, n)
    add({buy: step, sell: -step, far: eye}, -gap, np.inf, n)
    add({buy: -step, sell: step, big: eye}, held, np.inf, n)
    add({buy: step, sell: -step, big: eye}, -held, np.inf, n)
    slack, prices = 6 * n, list[float]()
    for limit in linear:
        r = sparse.csr_array(limit.rows)
        net = limit.of == "weights" and r.shape[0] == 1 and r.nnz == n
        now = r @ held if limit.of == "weights" else np.zeros(r.shape[0])
        parts: dict[slice | int, Any]
        if limit.of == "weights":
            parts = {buy: r @ step, sell: -(r @ step)}
        elif limit.of == "absolute":
            parts = {big: r}
        else:
            parts = {buy: r @ step, sell: r @ step}
        ones = np.ones((r.shape[0], 1))
        if limit.sense != ">=":
            add(parts | {slack: -ones}, -np.inf, limit.bound - now, r.shape[0])
            slack, prices = slack + 1, [*prices, _BROKEN]
        if limit.sense != "<=":
            add(parts | {slack: ones}, limit.bound - now, np.inf, r.shape[0])
            slack, prices = slack + 1, [*prices, _SHORT if net else _BROKEN]
    cost = np.zeros(total)
    cost[far], cost[6 * n :] = 1.0, prices
    cost[buy], cost[sell], cost[big] = 1e-6 * size, 1e-6 * size, 1e-9
    whole = np.zeros(total, dtype=np.int64)
    whole[buy] = whole[sell] = lots > 0
    whole[bought] = whole[sold] = 1
    upper = np.full(total, np.inf)
    upper[bought] = upper[sold] = ~terms.fixed
    found = milp(
        cost,
        integrality=whole,
        bounds=Bounds(np.zeros(total), upper),
        constraints=LinearConstraint(sparse.vstack(rows), np.concatenate(lows), np.concatenate(highs)),
        options={"mip_rel_gap": _GAP, "time_limit": _SECONDS},
    )
    if found.x is None:
        raise DataError(f"mandate: no whole lots were found ({found.message}). Leave out lot or min_trade.")
    x = np.asarray(found.x, dtype=np.float64)
    trades = x[buy] - x[sell]
    trades = np.where(lots > 0, np.round(trades), trades) * size
    trades[np.abs(trades) < 1e-9] = 0.0
    return np.asarray(held + trades)

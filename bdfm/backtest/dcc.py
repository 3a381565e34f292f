"""DCC-GARCH of many assets with gaps, for a forecast over a period.

``bdfm.exposures.dcc`` fits a model of its own to each asset, by the full likelihood of days without gaps.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from bdfm._optional import optional
from bdfm.backtest.protocol import Floats, History
from bdfm.backtest.simulation import Simulation
from bdfm.data.covariance import pairwise_correlation, positive_definite
from bdfm.errors import DataError


class DCC(Simulation):
    """DCC-GARCH (Engle 2002): GARCH(1, 1) margins by ``arch``, dynamic conditional correlations.

    Margins have Student-t errors. Correlations are targeted; their two parameters maximise the composite
    likelihood of neighbouring pairs (Pakel, Shephard, Sheppard and Engle 2021). Variances and correlations
    are averaged over the days of the period. Assets with fewer than ``min_days`` returns take the median
    parameters of the others, with their own mean variance.
    """

    label: str = Field(default="dcc", exclude=True)
    window_days: int = Field(default=1000, ge=100)
    min_days: int = Field(default=400, ge=100)
    dof: float | None = Field(default=5.0, gt=2)

    def estimate(self, history: History) -> tuple[Floats, Floats]:
        """Correlations and volatilities expected over the period; see the class."""
        returns = 100 * self._returns(history)  # percent: the optimiser's scale
        n_days = max(1, round(history.horizon_days))
        margins = [_garch(returns[:, j], self.min_days) for j in range(returns.shape[1])]
        fitted = np.array([m for m in margins if m is not None])
        if not len(fitted):
            raise DataError(
                f"{self.name}: no asset has {self.min_days} daily returns. Choose a later origin."
            )
        typical = np.median(fitted, axis=0)
        standard = np.full(returns.shape, np.nan)
        scale = np.empty(returns.shape[1])
        for j, margin in enumerate(margins):
            alpha, beta, level = typical if margin is None else margin
            own = returns[np.isfinite(returns[:, j]), j]
            level = float(np.mean(own**2)) if margin is None else level
            z, ahead = _garch_filter(own, alpha, beta, level, n_days)
            standard[np.isfinite(returns[:, j]), j] = z
            scale[j] = np.sqrt(ahead.mean()) / 100
        target = pairwise_correlation(standard, np.ones(len(standard)))
        a, b = _dcc_parameters(np.nan_to_num(standard), target)
        correlation = _dcc_ahead(np.nan_to_num(standard), target, a, b, n_days)
        return positive_definite(correlation), scale * np.sqrt(history.horizon_days)


def _garch(returns: Floats, min_days: int) -> tuple[float, float, float] | None:
    """α, β and unconditional variance of a GARCH(1, 1), percent; None where there is too little to fit."""
    arch_model = optional("arch", what="dcc", extra="backtest").arch_model
    known = returns[np.isfinite(returns)]
    if len(known) < min_days:
        return None
    fit = arch_model(known, mean="Zero", vol="GARCH", p=1, q=1, dist="t", rescale=False).fit(
        disp="off", show_warning=False
    )
    omega, alpha, beta = (float(fit.params[k]) for k in ("omega", "alpha[1]", "beta[1]"))
    if fit.convergence_flag or alpha + beta >= 0.999:
        return (min(alpha, 0.2), min(beta, 0.998 - min(alpha, 0.2)), float(np.mean(known**2)))
    return alpha, beta, omega / (1 - alpha - beta)


def _garch_filter(
    returns: Floats, alpha: float, beta: float, level: float, n_days: int
) -> tuple[Floats, Floats]:
    """Standardised residuals (day,), and variances expected over the next days (n_days,)."""
    from scipy.signal import lfilter

    start = float(np.mean(returns**2))
    shock = (1 - alpha - beta) * level + alpha * returns**2
    variance, _ = lfilter([1.0], [1.0, -beta], shock, zi=[beta * start])
    past = np.concatenate([[start], variance[:-1]])
    decline = (alpha + beta) ** np.arange(n_days)
    return returns / np.sqrt(past), level + decline * (variance[-1] - level)


def _dcc_parameters(z: Floats, target: Floats) -> tuple[float, float]:
    """Parameters a and b that maximise the composite likelihood of pairs (i, i + 1); missing z is 0."""
    from scipy.optimize import minimize
    from scipy.signal import lfilter

    x, y = z[:, :-1], z[:, 1:]
    rho = np.diag(target, 1)
    both = (x != 0) & (y != 0)

    def path(products: Floats, centre: Floats | float, a: float, b: float) -> Floats:
        shock = np.vstack([np.broadcast_to(centre, products.shape[1:]), products[:-1]])
        shock[1:] = (1 - a - b) * centre + a * shock[1:]
        return np.asarray(lfilter([1.0], [1.0, -b], shock, axis=0))

    def loss(theta: Floats) -> float:
        a, b = theta
        if a < 0 or b < 0 or a + b >= 0.9999:
            return 1e10
        q = path(np.where(both, x * y, rho), rho, a, b)
        qx, qy = (path(np.where(s != 0, s * s, 1.0), 1.0, a, b) for s in (x, y))
        r = np.clip(q / np.sqrt(qx * qy), -0.999, 0.999)
        density = np.log1p(-r * r) + (x * x + y * y - 2 * r * x * y) / (1 - r * r)
        return float(density[both].mean())

    found = minimize(loss, [0.02, 0.95], method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-8})
    return float(found.x[0]), float(found.x[1])


def _dcc_ahead(z: Floats, target: Floats, a: float, b: float, n_days: int) -> Floats:
    """Correlations expected over the next days, averaged (Engle and Sheppard 2001)."""
    weights = a * b ** np.arange(len(z))[::-1]
    last = (weights[:, None] * z).T @ z
    # What missing days do not give, the target does.
    present = (z != 0).astype(np.float64)
    last += (a * (1 - b ** len(z)) / (1 - b) - (weights[:, None] * present).T @ present) * target
    last += ((1 - a - b) * (1 - b ** len(z)) / (1 - b) + b ** len(z)) * target
    scale = np.sqrt(np.diag(last))
    now = last / scale / scale[:, None]
    share = np.mean((a + b) ** np.arange(n_days))
    return np.asarray(share * now + (1 - share) * target)

"""How wrong covariances are by the number of periods, assets and factors, and by noise: a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._figures import new_figure
from bdfm._seeds import either_seed
from bdfm._strict import strict
from bdfm.errors import DataError
from bdfm.risk.principal import parameter_counts
from bdfm.risk.statistical import StatisticalEstimator
from bdfm.risk.time_series import TimeSeriesEstimator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FACTOR_SD: Final = 0.05  # of the first factor; the others have 0.8, 0.64, ... of it
MEASURES: Final = ("covariance", "volatility", "minimum_variance")
_UPRIGHT: Final = {
    "covariance": "error of the covariance, share of its norm",
    "volatility": "error of volatilities, root mean square",
    "minimum_variance": "true over said volatility,\nsafest portfolio",
}


@either_seed
@strict
def estimation_error(
    n_periods: Sequence[int] = (60, 120, 250, 500),
    n_assets: Sequence[int] = (25, 50),
    noise: Sequence[float] = (0.5, 1.0),
    *,
    n_factors: int = 3,
    n_simulations: int = 20,
    seed: int,
) -> pd.DataFrame:
    """Errors of three estimates of a covariance, by periods T, assets N and noise; a true factor model.

    Returns are normal with ``n_factors`` factors; ``noise`` is the specific over the systematic volatility of
    an asset, on average. Estimates: the sample covariance, principal components of as many factors, and
    regressions on the true factors.

    Parameters
    ----------
    n_periods, n_assets, noise
        Every combination is simulated.
    n_simulations
        Data sets of each combination; each has exposures of its own.
    seed
        Equal seeds give equal tables.

    Returns
    -------
    pandas.DataFrame
        One row for each combination and estimate: ``covariance``, Frobenius norm of the error over that of
        the truth; ``volatility``, root mean square relative error of the assets' volatilities;
        ``minimum_variance``, true over estimated volatility of the portfolio that the estimate thinks safest
        (1 is right; NaN where the estimate has no inverse); medians. ``parameters``, and
        ``returns_per_parameter``.

    Raises
    ------
    DataError
        Fewer than ``n_factors`` + 7 periods, as many factors as assets, noise that is not positive.
    """
    where = "estimation error"
    k = _checks.at_least(n_factors, 1, what="n_factors", where=where)
    sims = _checks.at_least(n_simulations, 1, what="n_simulations", where=where)
    if min(n_periods) < k + 7 or min(n_assets) <= k:
        raise DataError(
            f"{where}: {min(n_periods)} periods and {min(n_assets)} assets for {k} factors. At least {k + 7}"
            f" periods and {k + 1} assets are needed."
        )
    levels = [_checks.positive(x, what="noise", where=where) for x in noise]
    rng = np.random.default_rng(seed)
    rows = []
    for t in n_periods:
        for n in n_assets:
            for level in levels:
                found = [_once(t, n, k, level, rng) for _ in range(sims)]
                counts = parameter_counts(n, k, t)
                for name in found[0]:
                    form = "full covariance" if name == "sample" else "factor model"
                    own = counts.loc[form].to_dict()
                    middle = np.median([f[name] for f in found], axis=0)
                    rows.append(
                        {"n_periods": t, "n_assets": n, "noise": level, "estimate": name}
                        | dict(zip(MEASURES, middle.tolist(), strict=True))
                        | {
                            "parameters": int(own["parameters"]),
                            "returns_per_parameter": float(own["returns_per_parameter"]),
                        }
                    )
    return pd.DataFrame(rows).set_index(["n_periods", "n_assets", "noise", "estimate"])


def _once(t: int, n: int, k: int, noise: float, rng: np.random.Generator) -> dict[str, tuple[float, ...]]:
    """Errors of each estimate on one data set."""
    sd = FACTOR_SD * 0.8 ** np.arange(k)
    b = rng.normal(0, 0.5, (n, k))
    b[:, 0] = rng.normal(1, 0.3, n)
    systematic = np.square(b) @ np.square(sd)
    d = np.square(noise) * systematic.mean() * rng.uniform(0.5, 1.5, n)
    truth = (b * np.square(sd)) @ b.T + np.diag(d)
    f = rng.standard_normal((t, k)) * sd
    r = np.maximum(f @ b.T + rng.standard_normal((t, n)) * np.sqrt(d), -0.99)
    days = pd.date_range("2000-01-07", periods=t, freq="7D")
    table = pd.DataFrame(r, days, [f"A{i}" for i in range(n)])
    factors = pd.DataFrame(f, days, [f"F{j}" for j in range(k)])
    estimates = {
        "sample": np.cov(r.T),
        "components": StatisticalEstimator(k).fit(table).covariance().to_numpy(),
        "regressions": TimeSeriesEstimator(factors).fit(table).covariance().to_numpy(),
    }
    return {name: _errors(s, truth) for name, s in estimates.items()}


def _errors(estimate: np.ndarray, truth: np.ndarray) -> tuple[float, ...]:
    relative = np.sqrt(np.diag(estimate) / np.diag(truth)) - 1
    safest = float("nan")
    if np.linalg.matrix_rank(estimate, hermitian=True) == len(estimate):
        w = np.linalg.solve(estimate, np.ones(len(estimate)))
        w /= w.sum()
        safest = float(np.sqrt((w @ truth @ w) / (w @ estimate @ w)))
    return (
        float(np.linalg.norm(estimate - truth) / np.linalg.norm(truth)),
        float(np.sqrt(np.square(relative).mean())),
        safest,
    )


def plot_estimation_error(table: pd.DataFrame, *, measure: str = "covariance") -> Figure:
    """Errors over periods, one panel for each number of assets and noise, a line for each estimate.

    ``table`` is that of the simulation, ``measure`` the column to draw.

    Raises ``UnknownLabelError`` for an unknown ``measure``.
    """
    _checks.known([measure], MEASURES, what="measure", where="estimation error")
    assets = list(dict.fromkeys(table.index.get_level_values("n_assets")))
    levels = list(dict.fromkeys(table.index.get_level_values("noise")))
    figure, axes = new_figure(
        len(assets), len(levels), figsize=(3.4 * len(levels), 2.6 * len(assets)), sharex=True, sharey=True
    )
    for i, n in enumerate(assets):
        for j, level in enumerate(levels):
            own = table[measure].xs((n, level), level=("n_assets", "noise")).unstack()
            axes[i, j].plot(own.index, own.to_numpy(), "o-", ms=3, label=list(own.columns))
            axes[i, j].set_title(f"{n} assets, noise {level:g}", fontsize=8)
            axes[i, j].set_xscale("log")
            axes[i, j].set_xticks(list(own.index), [f"{t:g}" for t in own.index])
            axes[i, j].minorticks_off()
    axes[0, 0].legend(fontsize=7, frameon=False)
    for axis in axes[-1]:
        axis.set_xlabel("periods", fontsize=8)
    for axis in axes[:, 0]:
        axis.set_ylabel(_UPRIGHT[measure], fontsize=8)
    return figure

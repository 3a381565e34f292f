"""Principal components: how much each explains, as which portfolio; and what models cost in parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._figures import new_figure
from bdfm._reading import counted
from bdfm._strict import strict
from bdfm.errors import DataError
from bdfm.names import ASSET
from bdfm.risk.returns import returns_table
from bdfm.risk.statistical import bai_ng, marchenko_pastur

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Components:
    """Principal components of returns; made by ``components``.

    Attributes
    ----------
    table
        One row per component, largest first: ``eigenvalue`` (of the covariance, divisor T - 1, or of the
        correlation matrix), ``share`` of the total variance, ``cumulative``.
    loadings
        (asset, component) eigenvectors of unit length, signed so that they sum to a positive number.
    portfolios
        (component, asset) weights whose returns are the components' but for scale; |weights| sum to 1.
    edge
        Largest eigenvalue that noise alone would give in a large table; NaN for a covariance.
    bai_ng, marchenko_pastur
        Number of factors by either rule.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> found = risk.components(returns)
    >>> found.table["share"].head(3).round(2).tolist()
    [0.45, 0.22, 0.09]
    """

    table: pd.DataFrame
    loadings: pd.DataFrame
    portfolios: pd.DataFrame
    edge: float
    bai_ng: int
    marchenko_pastur: int

    def __repr__(self) -> str:
        shares = ", ".join(f"{100 * s:.1f} %" for s in self.table["share"].head(3))
        assets = counted(len(self.loadings), "asset")
        return f"<Components of {assets}: {shares}, ...; factors: {self.bai_ng} by IC_p2>"

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>".replace("<Comp", "&lt;Comp") + self.table.head(20).to_html(border=0)

    @strict
    def plot(self, *, n: int = 20) -> Figure:
        """Scree: share of variance by component, cumulated beside it, and the edge of noise."""
        figure, axes = new_figure(1, 2, figsize=(8, 3))
        left, right = axes[0]
        shown = self.table.head(n)
        place = np.arange(1, len(shown) + 1)
        left.bar(place, 100 * shown["share"], color="C0")
        if np.isfinite(self.edge):
            total = self.table["eigenvalue"].iloc[0] / self.table["share"].iloc[0]
            left.axhline(100 * self.edge / total, color="C3", lw=1, label="edge of noise")
            left.legend(frameon=False, fontsize=7)
        left.set_yscale("log")
        left.set_ylabel("share of variance, %")
        right.plot(place, 100 * shown["cumulative"], "o-", ms=3)
        right.set_ylim(0, 100)
        right.set_ylabel("cumulated, %")
        for axis in (left, right):
            axis.set_xlabel("component")
        return figure


@strict
def components(returns: pd.DataFrame, *, standardise: bool = False) -> Components:
    """Principal components of simple returns (period, asset) without gaps (eq. R22).

    ``standardise`` takes them of the correlation matrix. Raises ``DataError`` for gaps, an asset that never
    moves, or fewer than 3 periods.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> risk.components(returns, standardise=True).marchenko_pastur
    2
    """
    where = "components"
    table = returns_table(returns, where=where, complete=True)
    table = table.loc[table.notna().all(axis=1)]
    x = table.to_numpy() - table.to_numpy().mean(axis=0)
    t, n = x.shape
    if t < 3:
        raise DataError(f"{where}: {t} periods. At least 3 are needed.")
    sd = x.std(axis=0)
    flat = [a for a, s in zip(table.columns, sd, strict=True) if s < 1e-12]
    if flat:
        raise DataError(f"{where}: {_checks.first(flat)} never moved. Drop it.")
    standard = x / sd
    _, singular, right = np.linalg.svd(standard if standardise else x, full_matrices=False)
    k = min(n, t - 1)
    values = np.square(singular[:k]) / (t if standardise else t - 1)
    vectors = right[:k].T
    vectors = vectors * np.where(vectors.sum(axis=0) < 0, -1.0, 1.0)
    weights = (vectors / sd[:, None] if standardise else vectors).T
    names = pd.Index([f"PC{j + 1}" for j in range(k)], name="component")
    share = values / values.sum()
    assets = pd.Index(list(table.columns), name=ASSET)
    return Components(
        pd.DataFrame({"eigenvalue": values, "share": share, "cumulative": share.cumsum()}, index=names),
        pd.DataFrame(vectors, assets, names),
        pd.DataFrame(weights / np.abs(weights).sum(axis=1, keepdims=True), names, assets),
        (1 + np.sqrt(n / t)) ** 2 if standardise else float("nan"),
        bai_ng(standard),
        marchenko_pastur(standard),
    )


@strict
def parameter_counts(n_assets: int, n_factors: int, n_periods: int | None = None) -> pd.DataFrame:
    """Free numbers of a covariance of N assets, full and through m factors (eq. R23), beside the data's.

    Full: N (N + 1) / 2. Factor model: N m exposures, m (m + 1) / 2 factor covariances, N specific variances;
    m (m - 1) / 2 or more of these fall away where the factors may be rotated. ``returns_per_parameter``, with
    ``n_periods``, is N T over the number.

    ``n_assets`` is N, ``n_factors`` m.

    Examples
    --------
    >>> from bdfm import risk
    >>> risk.parameter_counts(100, 5, 104)
                     parameters  returns  returns_per_parameter
    model
    full covariance        5050    10400               2.059406
    factor model            615    10400              16.910569
    """
    n = _checks.at_least(n_assets, 1, what="n_assets", where="parameter counts")
    m = _checks.at_least(n_factors, 1, what="n_factors", where="parameter counts")
    counts = {"full covariance": n * (n + 1) // 2, "factor model": n * m + m * (m + 1) // 2 + n}
    table = pd.DataFrame({"parameters": counts}).rename_axis("model")
    if n_periods is not None:
        t = _checks.at_least(n_periods, 1, what="n_periods", where="parameter counts")
        table["returns"] = n * t
        table["returns_per_parameter"] = n * t / table["parameters"]
    return table

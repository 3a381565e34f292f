"""What the latents of an autoencoder mean: which stocks, sectors and published factors they follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._optional import optional
from bdfm._reading import counted
from bdfm._seeds import either_seed
from bdfm._strict import strict
from bdfm.errors import DataError
from bdfm.exposures import plots
from bdfm.exposures.data import ExposureData, Part
from bdfm.exposures.result import FACTOR_VALUES, Exposures
from bdfm.names import ASSET, DAY, FACTOR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

ACTIVE_KL = 0.1  # nats a day: a latent below it says next to nothing about the day
SMOOTHING_DAYS = 21
HAC_LAGS = 5  # trading days


class Disentanglement(NamedTuple):
    """How independent latents are on real data, where the true factors are not known."""

    n_active: int  # latents with a mean KL of at least ACTIVE_KL, or all where there is no KL
    largest_correlation: float  # absolute, between two active latents
    gaussian_total_correlation: float  # nats, -½ log det of the active latents' correlation matrix

    def __str__(self) -> str:
        return (
            f"{self.n_active} active latents; largest correlation of two {self.largest_correlation:.2f};"
            f" total correlation at least {self.gaussian_total_correlation:.2f} nats (the part in their"
            " correlations)"
        )


@dataclass(frozen=True, repr=False)
class LatentAnalysis:
    """Tables and pictures of a latent method's factor values on the days of one part of the data, or all.

    Attributes
    ----------
    exposures
        Of a latent method: FactorVAE or principal components.
    data
        What it was fitted to.
    part
        Days to look at; all if None.
    """

    exposures: Exposures
    data: ExposureData
    part: Part | None = None

    def __post_init__(self) -> None:
        if not self.exposures.latent:
            raise DataError(
                f"latent analysis: {self.exposures.method} has published factors, no latents. Give a"
                " FactorVAE or principal components."
            )
        days = self.exposures.dataset[DAY].to_index()
        if tuple(self.exposures.assets) != self.data.assets or not days.equals(self.data.days):
            raise DataError(
                "latent analysis: exposures and data have other assets or days. Give a matching pair."
            )

    @property
    def _days(self) -> slice:
        return slice(0, self.data.n_days) if self.part is None else self.data.days_of(self.part)

    def latents(self) -> pd.DataFrame:
        """Values (day, latent): means of the encoder."""
        table = pd.DataFrame(self.exposures.dataset[FACTOR_VALUES].to_pandas())
        return table.iloc[self._days].rename_axis(columns=None)

    def correlations(self) -> pd.DataFrame:
        """Correlations (asset, latent) of latents with daily log returns."""
        z = self.latents()
        r = np.asarray(self.data.returns)[self._days]
        n = r.shape[1]
        both = np.corrcoef(np.column_stack([r, z.to_numpy()]), rowvar=False)
        return pd.DataFrame(both[:n, n:], index=pd.Index(self.data.assets, name=ASSET), columns=z.columns)

    def by_sector(self) -> pd.DataFrame:
        """Mean correlations (sector, latent) over the assets of each sector.

        Raises ``DataError`` for data without sectors.
        """
        if not any(self.data.sectors):
            raise DataError(
                "latent analysis: the data have no sectors. Give sectors to ExposureData.from_prices."
            )
        return self.correlations().groupby(list(self.data.sectors)).mean().rename_axis("sector")

    @strict
    def top_assets(self, n: int = 2) -> pd.DataFrame:
        """Table of the ``n`` assets most correlated with each latent, best first, with sector."""
        n = _checks.at_least(n, 1, what="n", where="top_assets")
        sector = dict(zip(self.data.assets, self.data.sectors, strict=True))
        rows = [
            {
                "latent": latent,
                "rank": rank,
                "asset": asset,
                "sector": sector[str(asset)],
                "correlation": value,
            }
            for latent, column in self.correlations().items()
            for rank, (asset, value) in enumerate(
                column.loc[column.abs().sort_values(ascending=False).index].head(n).items(), 1
            )
        ]
        return pd.DataFrame(rows)

    def plane(self) -> tuple[pd.DataFrame, Floats]:
        """First two principal components (day, component) of the latents, and their shares of variance."""
        z = self.latents()
        pca = optional("sklearn.decomposition", what="latent plane").PCA(2)
        return pd.DataFrame(
            pca.fit_transform(z), index=z.index, columns=["pc1", "pc2"]
        ), pca.explained_variance_ratio_

    def regressions(self, factors: Sequence[str] | None = None) -> pd.DataFrame:
        """Correlation and regression of each latent with each factor, and of each latent on all of them.

        Rows (latent, factor): ``correlation``; ``slope`` (latent units per 1 % of the factor), its
        ``t`` with Newey-West errors (5 lags) and ``r_squared``, of the regression on that factor alone;
        ``slope_joint`` and ``t_joint`` of the regression on all ``factors`` at once.

        Raises ``UnknownLabelError`` for a factor that the data lack.

        Parameters
        ----------
        factors
            Published factors; all of the data if not given.
        """
        names = list(self.data.factor_names if factors is None else factors)
        _checks.known(names, self.data.factor_names, what="factor", where="latent analysis")
        sm = optional("statsmodels.api", what="latent analysis")
        f = 100 * self.data.factors.sel({FACTOR: names}).to_pandas().iloc[self._days].to_numpy()
        hac: dict[str, Any] = {"cov_type": "HAC", "cov_kwds": {"maxlags": HAC_LAGS}}
        rows = []
        for latent, z in self.latents().items():
            joint = sm.OLS(z.to_numpy(), sm.add_constant(f)).fit(**hac)
            for k, name in enumerate(names):
                alone = sm.OLS(z.to_numpy(), sm.add_constant(f[:, k])).fit(**hac)
                rows.append(
                    {
                        "latent": latent,
                        "factor": name,
                        "correlation": float(np.corrcoef(z, f[:, k])[0, 1]),
                        "slope": alone.params[1],
                        "t": alone.tvalues[1],
                        "r_squared": alone.rsquared,
                        "slope_joint": joint.params[k + 1],
                        "t_joint": joint.tvalues[k + 1],
                    }
                )
        return pd.DataFrame(rows).set_index(["latent", "factor"])

    def disentanglement(self) -> Disentanglement:
        """How independent the active latents are; ``disentanglement_score`` needs known factors."""
        z = self.latents()
        kl = self.exposures.parameters.get("kl")
        active = np.ones(z.shape[1], dtype=bool) if kl is None else kl.values >= ACTIVE_KL
        if active.sum() < 2:
            return Disentanglement(int(active.sum()), 0.0, 0.0)
        r = np.corrcoef(z.to_numpy()[:, active], rowvar=False)
        largest = float(np.abs(r - np.eye(len(r))).max())
        return Disentanglement(int(active.sum()), largest, float(-0.5 * np.linalg.slogdet(r)[1]))

    # Pictures

    def plot_paths(self) -> Figure:
        """Latents over time."""
        return plots.latent_paths(self.latents(), SMOOTHING_DAYS)

    def plot_correlations(self) -> Figure:
        """Heat map of ``correlations``, assets sorted by sector."""
        table = self.correlations()
        order = np.lexsort((self.data.assets, self.data.sectors))
        labels = [f"{self.data.assets[i]}  {self.data.sectors[i]}".strip() for i in order]
        return plots.heat_map(table.iloc[order].set_axis(labels), "Correlation of latents with stocks")

    def plot_sectors(self) -> Figure:
        """Heat map of ``by_sector``."""
        return plots.heat_map(self.by_sector(), "Correlation of latents with stocks, mean by sector")

    def plot_plane(self) -> Figure:
        """Days in the plane of the first two principal components, coloured by time."""
        plane, explained = self.plane()
        return plots.latent_plane(plane, [float(x) for x in explained])

    def plot_against(self, latent: str, rolling: Exposures, factor: str) -> Figure:
        """A latent's trailing mean against the mean over assets of another method's exposure to a factor.

        Raises ``UnknownLabelError`` for an unknown latent or factor.
        """
        z = self.latents()
        _checks.known([latent], list(z.columns), what="latent", where="latent analysis")
        _checks.known([factor], rolling.factor_names, what="factor", where=rolling.method)
        mean = z[latent].rolling(SMOOTHING_DAYS).mean().rename(f"{latent}, mean of {SMOOTHING_DAYS} days")
        exposure = pd.Series(
            rolling.exposures.sel({FACTOR: factor}).mean(ASSET).to_numpy(),
            index=rolling.dataset[DAY].to_index(),
            name=f"mean {factor} exposure, {rolling.method}",
        )
        both = pd.concat([mean, exposure], axis=1, join="inner").dropna()
        r = float(np.corrcoef(both.to_numpy(), rowvar=False)[0, 1])
        title = (
            f"{latent} against the {factor} exposure: correlation {r:.2f} over {counted(len(both), 'day')}"
        )
        return plots.two_series(both.iloc[:, 0], both.iloc[:, 1], title)


class DisentanglementScore(NamedTuple):
    """Kim and Mnih's score of an encoder on data with known factors."""

    accuracy: float  # of the majority vote: 1 is one latent for each factor; 1 / n_factors is chance
    votes: NDArray[np.int64]  # (latent, factor)


@either_seed
@strict
def disentanglement_score(
    encode: Callable[[Floats], Floats],
    decode: Callable[[Floats, np.random.Generator], Floats],
    n_factors: int,
    *,
    seed: int,
    n_votes: int = 400,
    n_days: int = 64,
) -> DisentanglementScore:
    """Kim and Mnih's disentanglement score (2018, section 4) of an encoder on simulated data.

    One vote: a factor is chosen and fixed at a random value while the others vary; of the latents, each over
    its overall standard deviation, the one that varies least votes for that factor. The score is the accuracy
    of the majority vote on fresh votes. Latents with nearly no overall variance have no vote.

    Parameters
    ----------
    encode
        Returns (day, asset) to latents (day, latent).
    decode
        Factors (day, factor), standard normal and independent, and a generator to returns (day, asset).
    n_factors
        Number of true factors.
    seed
        Equal seeds give equal scores.
    n_votes, n_days
        Votes of each half, and days in a vote.

    Examples
    --------
    >>> import numpy as np
    >>> from bdfm import exposures as ex
    >>> turn = np.array([[1.0, 0.0], [0.0, 2.0]])
    >>> found = ex.disentanglement_score(
    ...     lambda x: x @ np.linalg.inv(turn), lambda f, rng: f @ turn, 2, seed=1, n_votes=50
    ... )
    >>> round(float(found.accuracy), 2)
    1.0
    """
    rng = np.random.default_rng(seed)
    overall = encode(decode(rng.standard_normal((10 * n_days, n_factors)), rng)).std(axis=0)
    live = overall > 0.05 * overall.max()

    def count() -> NDArray[np.int64]:
        votes = np.zeros((len(overall), n_factors), dtype=np.int64)
        for _ in range(n_votes):
            k = int(rng.integers(n_factors))
            factors = rng.standard_normal((n_days, n_factors))
            factors[:, k] = rng.standard_normal()
            spread = encode(decode(factors, rng)).std(axis=0) / np.where(live, overall, 1.0)
            votes[int(np.where(live, spread, np.inf).argmin()), k] += 1
        return votes

    learned, fresh = count(), count()
    majority = learned.argmax(axis=1)
    right = fresh[np.arange(len(overall)), majority].sum()
    return DisentanglementScore(float(right / fresh.sum()), learned + fresh)

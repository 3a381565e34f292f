"""Regimes over time: clusters of smoothed latents, or of volatility, with dates."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._optional import optional
from bdfm._reading import counted
from bdfm._seeds import either_seed
from bdfm._strict import strict
from bdfm.exposures import plots
from bdfm.exposures.data import ExposureData
from bdfm.exposures.result import FACTOR_VALUES, Exposures
from bdfm.names import DAY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

TRADING_DAYS: Final = 252  # of a year
WINDOW_DAYS: Final = 21


@dataclass(frozen=True, eq=False, repr=False)
class Regimes:
    """Regime of each day, 1 the calmest, and the spells that they form.

    Attributes
    ----------
    labels
        (day) 1 to the number of regimes, in the order of mean volatility.
    volatility
        (day) annualised volatility of the equal-weighted assets over the trailing window.
    source
        What was clustered.
    """

    labels: pd.Series[int]
    volatility: pd.Series[float]
    source: str

    @classmethod
    @either_seed
    @strict
    def from_latents(
        cls,
        exposures: Exposures,
        data: ExposureData,
        *,
        n_regimes: int = 3,
        window_days: int = WINDOW_DAYS,
        seed: int,
    ) -> Regimes:
        """Regimes as clusters of the latent path: trailing means and log sds of the latents."""
        z = pd.DataFrame(exposures.dataset[FACTOR_VALUES].to_pandas())
        window = z.rolling(window_days)
        features = pd.concat([window.mean(), window.std().apply(np.log)], axis=1)
        source = f"path of {z.shape[1]} latents of {exposures.method}"
        return cls._cluster(features, data, n_regimes, window_days, seed, source)

    @classmethod
    @either_seed
    @strict
    def from_volatility(
        cls, data: ExposureData, *, n_regimes: int = 3, window_days: int = WINDOW_DAYS, seed: int
    ) -> Regimes:
        """Regimes as clusters of the log trailing volatility of the equal-weighted assets."""
        features = _volatility(data, window_days).apply(np.log).to_frame()
        return cls._cluster(features, data, n_regimes, window_days, seed, "volatility")

    @classmethod
    def _cluster(
        cls,
        features: pd.DataFrame,
        data: ExposureData,
        n_regimes: int,
        window_days: int,
        seed: int,
        source: str,
    ) -> Regimes:
        """K-means on the training days; later days join the nearest centre, so that none looks ahead."""
        _checks.at_least(n_regimes, 2, what="n_regimes", where="regimes")
        _checks.at_least(window_days, 5, what="window_days", where="regimes")
        cluster = optional("sklearn.cluster", what="regimes")
        features = features.dropna()
        training = features.loc[: data.days[data.n_training - 1]]
        scaled = ((features - training.mean()) / training.std()).to_numpy()
        means = cluster.KMeans(n_regimes, n_init=10, random_state=seed).fit(scaled[: len(training)])
        raw = pd.Series(means.predict(scaled), index=features.index)
        volatility = _volatility(data, window_days).loc[features.index]
        calm_first = volatility.groupby(raw).mean().sort_values().index
        rank = {label: k for k, label in enumerate(calm_first, 1)}
        return cls(raw.map(rank).astype(int).rename("regime"), volatility, source)

    @strict
    def spells(self, min_days: int = 1) -> pd.DataFrame:
        """Table of spells: start, end, regime, days, volatility (mean, annual); shorter ones are left out."""
        run = self.labels.ne(self.labels.shift()).cumsum()
        rows = [
            {
                "start": part.index[0],
                "end": part.index[-1],
                "regime": int(part.iloc[0]),
                "days": len(part),
                "volatility": float(self.volatility.loc[part.index].mean()),
            }
            for _, part in self.labels.groupby(run)
            if len(part) >= min_days
        ]
        return pd.DataFrame(rows, columns=["start", "end", "regime", "days", "volatility"])

    def summary(self) -> pd.DataFrame:
        """Table (regime) of days, spells and mean volatility."""
        spells = self.spells()
        return pd.DataFrame(
            {
                "days": self.labels.value_counts().sort_index(),
                "spells": spells["regime"].value_counts().sort_index(),
                "volatility": self.volatility.groupby(self.labels).mean(),
            }
        ).rename_axis("regime")

    def plot(self) -> Figure:
        """Volatility over time on a background of the regimes."""
        return plots.regime_timeline(self.labels, self.volatility)

    def __repr__(self) -> str:
        n = int(self.labels.max())
        spells, days = counted(len(self.spells()), "spell"), counted(len(self.labels), "day")
        return f"Regimes: {n} clusters of {self.source}, {spells} in {days}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>{self.summary().round(3).to_html()}"


def _volatility(data: ExposureData, window_days: int) -> pd.Series[float]:
    mean = pd.Series(np.nanmean(np.asarray(data.returns), axis=1), index=data.days.rename(DAY))
    sd: pd.Series[float] = mean.rolling(window_days).std() * np.sqrt(TRADING_DAYS)
    return sd.dropna()

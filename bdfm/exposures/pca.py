"""Principal components: the static, linear autoencoder that a FactorVAE is to be measured against."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._optional import optional
from bdfm._strict import strict, strict_fields
from bdfm.errors import DataError
from bdfm.exposures.choices import N_LATENTS
from bdfm.exposures.data import ExposureData
from bdfm.exposures.refits import check_complete, known_days
from bdfm.exposures.regression import with_constant
from bdfm.exposures.result import FACTOR_MAP, Exposures
from bdfm.names import FACTOR, OBSERVED_FACTOR

Floats = NDArray[np.float64]


def latents_given_factors(
    latents: Floats, data: ExposureData, labels: tuple[str, ...]
) -> tuple[Floats, xr.DataArray]:
    """What published factors say about latents (eq. E3).

    ``latents`` (day, latent). Least squares with an intercept on the training part; returns the fitted values
    on all days (day, latent), and the slopes (latent, published factor).
    """
    design = with_constant(np.asarray(data.factors))
    part = data.days_of("training")
    coefficients = np.linalg.lstsq(design[part], latents[part], rcond=None)[0]
    slopes = xr.DataArray(
        coefficients[1:].T,
        dims=(FACTOR, OBSERVED_FACTOR),
        coords={FACTOR: list(labels), OBSERVED_FACTOR: list(data.factor_names)},
        name=FACTOR_MAP,
    )
    return design @ coefficients, slopes


@strict_fields
@dataclass(frozen=True)
class PrincipalComponents:
    """Constant exposures to the first principal components of standardised returns (eq. E12).

    The components are those of the training part, so that days before its end have no exposures. A day's
    scores come from its own returns, as the latents of an autoencoder do.
    """

    n_components: int = N_LATENTS  # leading ones that are kept
    smoothed: bool = False  # exposures of the training part too, which could not know them

    def __post_init__(self) -> None:
        _checks.at_least(self.n_components, 1, what="n_components", where=self.name)

    @property
    def name(self) -> str:
        """Short name for tables and files."""
        return "pca_smoothed" if self.smoothed else "pca"

    def check(self, data: ExposureData) -> None:
        """Raise what ``fit`` would, ``DataError`` say, before anything is fitted."""
        optional("sklearn.decomposition", what="PCA")
        check_complete(data, self.name)
        limit = min(len(data.assets), data.n_training)
        if self.n_components > limit:
            raise DataError(
                f"{self.name}: {self.n_components} components of {len(data.assets)} assets on"
                f" {data.n_training} training days. Ask for at most {limit}."
            )

    @strict
    def fit(self, data: ExposureData, *, seed: int = 0, progress: bool = False) -> Exposures:
        """Exposures without uncertainty; ``seed`` and ``progress`` change nothing. Needs scikit-learn.

        Raises
        ------
        DataError
            More components than assets or training days.
        """
        begun = time.perf_counter()
        self.check(data)
        x = data.standardised
        pca = optional("sklearn.decomposition", what="PCA").PCA(self.n_components, svd_solver="full")
        pca.fit(x[data.days_of("training")])
        scores = pca.transform(x)
        labels = tuple(f"pc{k}" for k in range(1, self.n_components + 1))
        given, slopes = latents_given_factors(scores, data, labels)
        shape = (data.n_days, len(data.assets), self.n_components)
        first = 1 if self.smoothed else data.n_training
        return Exposures.from_arrays(
            self.name,
            data,
            known_days(data, np.broadcast_to(data.sd[:, None] * pca.components_.T, shape), first),
            known_days(data, np.broadcast_to(data.mean, shape[:2]), first),
            factor_values=scores,
            factors_given=given,
            factor_labels=labels,
            parameters=xr.Dataset(
                {FACTOR_MAP: slopes, "explained_share": (FACTOR, pca.explained_variance_ratio_)}
            ),
            details={"n_components": self.n_components, "seconds": time.perf_counter() - begun},
        )

"""Exposures: what every method gives, whichever way it follows how exposures move."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks, _sealed
from bdfm._reading import counted
from bdfm._strict import strict
from bdfm.errors import DataError
from bdfm.exposures import plots
from bdfm.exposures.data import ExposureData
from bdfm.names import ASSET, DAY, FACTOR, OBSERVED_FACTOR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

EXPOSURES: Final = "exposures"
EXPOSURE_SD: Final = "exposure_sd"
INTERCEPT: Final = "intercept"
FACTOR_VALUES: Final = "factor_values"
FACTORS_GIVEN: Final = "factors_given"
FACTOR_MAP: Final = "factor_map"
_KIND: Final = "exposures"


@runtime_checkable
class ExposureMethod(Protocol):
    """A way to follow exposures: settings, and ``fit``.

    What is estimated once is estimated on the training part of the data (a network may stop by the validation
    part); what is learnt as days go by may use every day up to its own, none after it.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bdfm import exposures as ex
    >>> rng = np.random.default_rng(1)
    >>> days = pd.bdate_range("2020-01-01", periods=300)
    >>> market = rng.normal(0, 1, (300, 1))
    >>> shares = market * [0.5, 1.5] + rng.normal(0, 0.5, (300, 2))
    >>> data = ex.ExposureData.from_arrays(
    ...     shares / 100, market / 100, days=days, assets=["A", "B"], factor_names=["market"]
    ... )
    >>> method: ex.ExposureMethod = ex.ConstantBetas()
    >>> method.fit(data, seed=1).exposures.isel(day=-1, factor=0).round(1).to_numpy()
    array([0.6, 1.5])
    """

    @property
    def name(self) -> str:
        """Short name for tables and files."""
        ...

    def fit(self, data: ExposureData, *, seed: int = 0, progress: bool = False) -> Exposures:
        """Exposures on every day of the data.

        ``seed`` matters only to methods with chance in them; ``progress`` shows a bar.
        """
        ...


@dataclass(frozen=True, eq=False, repr=False)
class Exposures:
    """Exposures of assets day by day, dated at the close of the day after which they are known.

    Of day t (eq. E1, E2):

    - the *reconstruction* is ``intercept[t] + exposures[t] @ factor_values[t]``: it has seen the day itself;
    - the *one-step prediction* is ``intercept[t-1] + exposures[t-1] @ factors_given[t]``: exposures known the
      day before, and the day's returns of the published factors.

    For a method on published factors the two kinds of factor are the same. A latent method takes
    ``factor_values`` from the day's own asset returns, an advantage that no regression has; its
    ``factors_given`` are what the published factors say about the latents (eq. E3).

    Attributes
    ----------
    method
        Name of the method.
    dataset
        ``exposures`` and, if the method has uncertainty, ``exposure_sd`` (day, asset, factor), return per
        unit of the factor: a beta for published factors; ``intercept`` (day, asset), decimal;
        ``factor_values`` and ``factors_given`` (day, factor). NaN on days before a method's first estimate.
    parameters
        What was estimated once, by asset or for all: variances, log-likelihoods, ``factor_map``.
    details
        Facts to keep: settings, seed, seconds.
    """

    method: str
    dataset: xr.Dataset
    parameters: xr.Dataset
    details: Mapping[str, Any]

    def __post_init__(self) -> None:
        for array in (*self.dataset.values(), *self.parameters.values()):
            if isinstance(array.data, np.ndarray):
                array.data.flags.writeable = False

    @classmethod
    @strict
    def from_arrays(
        cls,
        method: str,
        data: ExposureData,
        exposures: Floats,
        intercept: Floats,
        *,
        exposure_sd: Floats | None = None,
        factor_values: Floats | None = None,
        factors_given: Floats | None = None,
        factor_labels: tuple[str, ...] | None = None,
        parameters: xr.Dataset | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> Exposures:
        """Exposures from a method's arrays.

        Parameters
        ----------
        method, data
            Name of the method; what it was fitted to.
        exposures, exposure_sd
            (day, asset, factor).
        intercept
            (day, asset).
        factor_values, factors_given
            (day, factor); the published factors of the data if not given.
        factor_labels
            Labels of the factors; those of the data if not given.
        parameters, details
            As the attributes.

        Raises
        ------
        DataError
            Arrays of another shape.
        """
        labels = data.factor_names if factor_labels is None else factor_labels
        known = np.asarray(data.factors)
        full = (data.n_days, len(data.assets), len(labels))
        arrays: dict[str, tuple[tuple[str, ...], Floats | None]] = {
            EXPOSURES: ((DAY, ASSET, FACTOR), exposures),
            EXPOSURE_SD: ((DAY, ASSET, FACTOR), exposure_sd),
            INTERCEPT: ((DAY, ASSET), intercept),
            FACTOR_VALUES: ((DAY, FACTOR), known if factor_values is None else factor_values),
            FACTORS_GIVEN: ((DAY, FACTOR), known if factors_given is None else factors_given),
        }
        size = dict(zip((DAY, ASSET, FACTOR), full, strict=True))
        variables = {}
        for name, (dims, values) in arrays.items():
            if values is None:
                continue
            expected = tuple(size[d] for d in dims)
            if values.shape != expected:
                raise DataError(f"{method}: {name} has shape {values.shape}, expected {expected}, {dims}.")
            variables[name] = (dims, np.array(values, dtype=np.float64))
        coords = {DAY: data.days, ASSET: list(data.assets), FACTOR: list(labels)}
        return cls(
            method,
            xr.Dataset(variables, coords=coords),
            xr.Dataset() if parameters is None else parameters,
            dict(details or {}),
        )

    # Contents

    @property
    def exposures(self) -> xr.DataArray:
        """Exposures (day, asset, factor) as known at the close of the day."""
        return self.dataset[EXPOSURES]

    @property
    def exposure_sd(self) -> xr.DataArray | None:
        """Standard deviation or error (day, asset, factor) of the exposures; None without uncertainty."""
        return self.dataset.get(EXPOSURE_SD)

    @property
    def assets(self) -> list[str]:
        """Symbols."""
        return [str(a) for a in self.dataset[ASSET].values]

    @property
    def factor_names(self) -> list[str]:
        """Labels of the factors: published ones, or z1, z2, ... of a latent method."""
        return [str(f) for f in self.dataset[FACTOR].values]

    @property
    def latent(self) -> bool:
        """Whether the factors come from the asset returns themselves."""
        return FACTOR_MAP in self.parameters

    def reconstruction(self) -> xr.DataArray:
        """Log returns (day, asset) that the method sees in a day it has seen, decimals (eq. E1)."""
        d = self.dataset
        values = d[INTERCEPT] + (d[EXPOSURES] * d[FACTOR_VALUES]).sum(FACTOR, skipna=False)
        return values.transpose(DAY, ASSET).rename("reconstruction")

    def prediction(self) -> xr.DataArray:
        """Log returns (day, asset) from the exposures of the day before and the day's factors (eq. E2)."""
        d = self.dataset
        past = d[[EXPOSURES, INTERCEPT]].shift({DAY: 1})
        values = past[INTERCEPT] + (past[EXPOSURES] * d[FACTORS_GIVEN]).sum(FACTOR, skipna=False)
        return values.transpose(DAY, ASSET).rename("prediction")

    def observed_exposures(self) -> xr.DataArray:
        """Exposures (day, asset, factor) to the published factors (eq. E4).

        Those of a latent method are its exposures to the latents, times the latents' slopes on the published
        factors.
        """
        if not self.latent:
            return self.exposures
        slopes = self.parameters[FACTOR_MAP]  # (latent, published)
        product = xr.dot(self.exposures, slopes, dim=FACTOR)
        named: xr.DataArray = product.rename({OBSERVED_FACTOR: FACTOR}).rename(EXPOSURES)
        return named.transpose(DAY, ASSET, FACTOR)

    # Pictures

    def plot(self, asset: str) -> Figure:
        """Paths of one asset's exposures, one panel a factor; band: two standard deviations either way.

        Raises ``UnknownLabelError`` for an unknown asset.
        """
        _checks.known([asset], self.assets, what="asset", where=f"{self.method} exposures")
        return plots.exposure_paths({self.method: self}, asset)

    def plot_map(self, factor: str) -> Figure:
        """Heat map (asset, day) of the exposures to one factor.

        Raises ``UnknownLabelError`` for an unknown factor.
        """
        _checks.known([factor], self.factor_names, what="factor", where=f"{self.method} exposures")
        return plots.exposure_map(self, factor)

    # Files

    def save(self, path: str | Path) -> Path:
        """Write all but the seconds to a NetCDF file, whole or not at all; errors as of ``write_bytes``."""
        tree = xr.DataTree.from_dict(
            {"/": xr.Dataset(), "/paths": self.dataset, "/parameters": self.parameters}
        )
        details = {k: x for k, x in self.details.items() if k != "seconds"}  # equal runs give equal files
        tree.attrs = {"method": self.method, "details": json.dumps(details)}
        return _sealed.save_tree(tree, path, kind=_KIND)

    @classmethod
    def load(cls, path: str | Path) -> Exposures:
        """Exposures of a file made by ``save``; ``FileError`` where it is missing, damaged or another."""
        tree = _sealed.load_tree(path, kind=_KIND)
        return cls(
            str(tree.attrs["method"]),
            tree["paths"].to_dataset(),
            tree["parameters"].to_dataset(),
            json.loads(tree.attrs["details"]),
        )

    def summary(self) -> pd.DataFrame:
        """Table (asset) of each factor's exposure: its mean, its spread over time, and the last one."""
        columns = {}
        for name in self.factor_names:
            path = self.exposures.sel({FACTOR: name})
            columns[name, "mean"] = path.mean(DAY).to_pandas()
            columns[name, "sd over time"] = path.std(DAY).to_pandas()
            columns[name, "last"] = path.isel({DAY: -1}).to_pandas()
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        days = self.dataset[DAY].to_index()
        names = _checks.first(self.factor_names, 4)
        sd = "with" if self.exposure_sd is not None else "without"
        return (
            f"Exposures by {self.method}: {counted(len(self.assets), 'asset')} to {names},"
            f" {counted(len(days), 'day')} from"
            f" {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}, {sd} uncertainty"
        )

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>{self.summary().round(3).head(8).to_html()}"

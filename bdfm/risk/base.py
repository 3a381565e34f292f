"""The risk model: exposures, factor covariance, specific variance, and the risk of portfolios under them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve

from bdfm import _checks, _sealed
from bdfm._html import opening
from bdfm._kinds import texts
from bdfm._reading import counted
from bdfm._strict import strict
from bdfm.errors import DataError, FileError
from bdfm.names import (
    ASSET,
    DRAW,
    EXPOSURES,
    FACTOR,
    FACTOR_COVARIANCE,
    OTHER_ASSET,
    OTHER_FACTOR,
    PORTFOLIO,
    SPECIFIC_VARIANCE,
)
from bdfm.risk import plots
from bdfm.risk.decomposition import RiskDecomposition
from bdfm.risk.inputs import Weights, check_covariance, history_of, labels_of, portfolios

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

KIND: Final = "risk_model"
_HISTORY: Final = "history_"  # prefix of the history's variables in a file


class Estimator(Protocol):
    """What makes a risk model of a table of returns; validation refits through it."""

    def fit(self, returns: pd.DataFrame) -> RiskModel:
        """Risk model from simple returns (period, asset), made at the last period and of nothing after it.

        Rows without any return are no observations, but their dates still say when a period starts.
        """


@dataclass(frozen=True, eq=False, repr=False)
class RiskModel:
    """Factor risk model Σ = B F B' + diag(D) (eq. R1); made by estimators, ``from_arrays``, ``load``.

    Portfolio risk goes through the factors: w'Σw = (B'w)'F(B'w) + Σ w_i² D_i. The N x N matrix Σ is formed
    by ``covariance`` alone, and with posterior draws by ``solve`` and ``log_determinant``. A Bayesian model
    has a leading axis of posterior draws in B, F and D, and every figure has it too.

    Attributes
    ----------
    assets, factors
        Labels.
    kind
        Estimator that made it: "time-series", "cross-sectional", "statistical", "Bayesian", ...
    origin
        Last day whose data it knows; ``None`` where it is made of plain arrays.
    periods
        Number of periods of the estimation's returns that F and D cover; 1 before ``scale_to``.
    observed_factors
        Whether factor returns are data (market, Fama-French) and not estimated from the assets' returns.
    notes
        What a user should know about how it was made.
    """

    _exposures: Floats  # ([draw,] asset, factor)
    _factor_covariance: Floats  # ([draw,] factor, factor)
    _specific_variance: Floats  # ([draw,] asset)
    assets: tuple[str, ...]
    factors: tuple[str, ...]
    kind: str
    origin: pd.Timestamp | None
    periods: float
    observed_factors: bool
    notes: tuple[str, ...]
    _history: xr.Dataset | None

    def __post_init__(self) -> None:
        for array in (self._exposures, self._factor_covariance, self._specific_variance):
            array.flags.writeable = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    @classmethod
    @strict
    def from_arrays(
        cls,
        exposures: ArrayLike,
        factor_covariance: ArrayLike,
        specific_variance: ArrayLike,
        *,
        assets: Sequence[str],
        factors: Sequence[str],
        kind: str = "given",
        origin: object | None = None,
        observed_factors: bool = False,
        notes: Sequence[str] = (),
        factor_returns: pd.DataFrame | None = None,
        specific_returns: pd.DataFrame | None = None,
    ) -> RiskModel:
        """Risk model of given arrays.

        Parameters
        ----------
        exposures
            (asset, factor), or (draw, asset, factor) with posterior draws.
        factor_covariance
            (factor, factor), or with a leading draw; symmetric, no negative eigenvalue; squared decimals.
        specific_variance
            (asset,), or with a leading draw; not negative; squared decimals.
        assets, factors
            Labels.
        kind, origin, observed_factors, notes
            See the attributes.
        factor_returns, specific_returns
            (period, factor) and (period, asset), decimals, of the estimation: what validation looks at.

        Raises
        ------
        DataError
            Shapes that do not fit, repeated labels, values that are not finite, a covariance that is none.
        """
        where = "risk model"
        labels, names = labels_of(
            assets, factors, exposures, factor_covariance, specific_variance, where=where
        )
        b, f, d = (np.array(x, dtype=float) for x in (exposures, factor_covariance, specific_variance))
        n, k = len(labels), len(names)
        lead = b.shape[:-2]
        expected = {EXPOSURES: (n, k), FACTOR_COVARIANCE: (k, k), SPECIFIC_VARIANCE: (n,)}
        for (what, core), array in zip(expected.items(), (b, f, d), strict=True):
            if len(lead) > 1 or array.shape != (*lead, *core):
                raise DataError(
                    f"{where}: {what} has shape {array.shape}, expected {(*lead[:1], *core)} for {n} assets"
                    f" and {k} factors."
                )
            if not np.isfinite(array).all():
                n_bad = counted((~np.isfinite(array)).sum(), "value that is", "values that are")
                raise DataError(f"{where}: {what} has {n_bad} not finite.")
        check_covariance(f, where)
        if (d < 0).any():
            low = [a for a, bad in zip(labels, (d < 0).reshape(-1, n).any(axis=0), strict=True) if bad]
            raise DataError(f"{where}: the specific variance of {_checks.first(low)} is negative.")
        stamp = None if origin is None else _checks.as_date(origin, where=f"{where}: origin")
        history = history_of(factor_returns, specific_returns, labels, names)
        return cls(
            b, (f + np.swapaxes(f, -1, -2)) / 2, d, labels, names, kind, stamp, 1.0, observed_factors,
            tuple(notes), history,
        )  # fmt: skip

    # -- contents --------------------------------------------------------------------------------------

    @property
    def n_draws(self) -> int:
        """Number of posterior draws; 0 for a model of point estimates."""
        return len(self._exposures) if self._exposures.ndim == 3 else 0

    def _labelled(self, values: Floats, name: str, *dims: str) -> xr.DataArray:
        labels = {
            ASSET: list(self.assets),
            OTHER_ASSET: list(self.assets),
            FACTOR: list(self.factors),
            OTHER_FACTOR: list(self.factors),
            DRAW: np.arange(self.n_draws),
        }
        full = ((DRAW,) if self.n_draws else ()) + dims
        return xr.DataArray(values, dims=full, coords={d: labels[d] for d in full}, name=name)

    @property
    def exposures(self) -> xr.DataArray:
        """Exposures B ([draw,] asset, factor), read-only."""
        return self._labelled(self._exposures.view(), EXPOSURES, ASSET, FACTOR)

    @property
    def factor_covariance(self) -> xr.DataArray:
        """Factor covariance F ([draw,] factor, other_factor) over ``periods`` periods, read-only."""
        return self._labelled(self._factor_covariance.view(), FACTOR_COVARIANCE, FACTOR, OTHER_FACTOR)

    @property
    def specific_variance(self) -> xr.DataArray:
        """Specific variance D ([draw,] asset) over ``periods`` periods, read-only."""
        return self._labelled(self._specific_variance.view(), SPECIFIC_VARIANCE, ASSET)

    @property
    def history(self) -> xr.Dataset | None:
        """``factor_returns`` (period, factor) and ``specific_returns`` (period, asset) of the estimation.

        Decimals of one period, whatever ``periods`` is; NaN where a return was missing or left out.
        ``None`` where the model was made without them.
        """
        return None if self._history is None else self._history.copy()

    def covariance(self, assets: Sequence[str] | None = None) -> xr.DataArray:
        """Covariance Σ (asset, other_asset) of all or some assets; over draws its posterior mean.

        The only figure whose size is the square of the number of assets.
        """
        model = self if assets is None else self.select(assets)
        b, d = model._exposures, model._specific_variance
        n_draws = max(self.n_draws, 1)
        b, f = b.reshape(n_draws, *b.shape[-2:]), model._factor_covariance.reshape(n_draws, *b.shape[-1:] * 2)
        left, right = (x.transpose(1, 0, 2).reshape(len(model.assets), -1) for x in (b @ f, b))
        sigma = left @ right.T / n_draws
        sigma = (sigma + sigma.T) / 2
        sigma[np.diag_indices_from(sigma)] += d.reshape(n_draws, -1).mean(axis=0)
        coords = {ASSET: list(model.assets), OTHER_ASSET: list(model.assets)}
        return xr.DataArray(sigma, dims=(ASSET, OTHER_ASSET), coords=coords, name="covariance")

    def select(self, assets: Sequence[str]) -> RiskModel:
        """Risk model of some assets, in the order given; factors stay.

        Raises ``UnknownLabelError`` for an asset that the model lacks; ``DataError`` for an asset twice.
        """
        assets = texts(assets)
        _checks.known(assets, self.assets, what="asset", where="risk model")
        _checks.unique(assets, what="asset", where="risk model")
        position = {a: i for i, a in enumerate(self.assets)}
        index = [position[a] for a in assets]
        history = None if self._history is None else self._history.sel({ASSET: list(assets)})
        return replace(
            self,
            _exposures=self._exposures[..., index, :],
            _specific_variance=self._specific_variance[..., index],
            assets=tuple(assets),
            _history=history,
        )

    @strict
    def scale_to(self, periods: float) -> RiskModel:
        """Risk model over another number of periods, such as 21 days or 13 weeks.

        Variances grow in proportion, as they do where returns are uncorrelated over time (square root of
        time for volatility). Reversal makes the truth lower, momentum higher.
        """
        ratio = _checks.positive(periods, what="periods", where="scale_to") / self.periods
        return replace(
            self,
            _factor_covariance=self._factor_covariance * ratio,
            _specific_variance=self._specific_variance * ratio,
            periods=float(periods),
        )

    # -- portfolio risk --------------------------------------------------------------------------------

    def _figure(self, values: Floats, names: list[str] | None, *dims: str, name: str) -> xr.DataArray:
        """Values ([draw,] portfolio, *dims) labelled; one unnamed portfolio has no axis."""
        lead = (DRAW,) if self.n_draws else ()
        coords: dict[str, Any] = {DRAW: np.arange(self.n_draws)} if self.n_draws else {}
        if names is None:
            values = values[:, 0] if self.n_draws else values[0]
        else:
            lead, coords = (*lead, PORTFOLIO), coords | {PORTFOLIO: names}
        coords |= {d: list(self.assets if d == ASSET else self.factors) for d in dims}
        return xr.DataArray(values, dims=(*lead, *dims), coords=coords, name=name)

    def _parts(self, w: Floats) -> tuple[Floats, Floats]:
        """Systematic and specific variance ([draw,] portfolio) of weights (portfolio, asset)."""
        x = w @ self._exposures
        return ((x @ self._factor_covariance) * x).sum(axis=-1), self._specific_variance @ (w * w).T

    def variance(self, weights: Weights) -> xr.DataArray:
        """Variance ([draw,] [portfolio]) of portfolios' returns (eq. R2), squared decimals.

        Parameters
        ----------
        weights
            Weight by asset, negative for short: a mapping, a Series or a DataArray (asset) for one portfolio;
            a table (portfolio, asset) for several. Assets not named hold none; ``CASH`` has no risk. Tracking
            error is the volatility of the difference to the benchmark's weights.

        Raises
        ------
        UnknownLabelError
            A weight for an asset that the model does not have.
        DataError
            Weights that are not finite, or repeated labels.
        """
        names, w = portfolios(weights, self.assets)
        systematic, specific = self._parts(w)
        return self._figure(systematic + specific, names, name="variance")

    def volatility(self, weights: Weights) -> xr.DataArray:
        """Standard deviation ([draw,] [portfolio]) of portfolios' returns, decimal; see ``variance``."""
        return (self.variance(weights) ** 0.5).rename("volatility")

    def decompose(self, weights: Weights) -> RiskDecomposition:
        """Where the variance of portfolios comes from: factors and specific, and by asset; sums are exact."""
        names, w = portfolios(weights, self.assets)
        x = w @ self._exposures
        fx = x @ self._factor_covariance
        specific = self._specific_variance[..., None, :] * (w * w)
        systematic = w * np.matmul(fx, np.swapaxes(self._exposures, -1, -2))
        titles = ["portfolio"] if names is None else names
        label = self._figure
        return RiskDecomposition(
            self.kind,
            self.periods,
            label(x, titles, FACTOR, name="exposure"),
            label(x * fx, titles, FACTOR, name="by_factor"),
            label(systematic, titles, ASSET, name="systematic_by_asset"),
            label(specific, titles, ASSET, name="specific_by_asset"),
        )

    def beta_to(self, benchmark: Weights, weights: Weights | None = None) -> xr.DataArray:
        """Beta to a benchmark of each asset ([draw,] asset), or of portfolios ([draw,] [portfolio]).

        Covariance with the benchmark over its variance (eq. R4), as the model sees both.

        Raises ``DataError`` for several benchmarks, or one without variance.
        """
        names, w = portfolios(benchmark, self.assets)
        if names is not None and len(names) != 1:
            raise DataError(f"beta_to: {counted(len(names), 'benchmark')} given. Give the weights of one.")
        fx = w @ self._exposures @ self._factor_covariance
        covariance = (
            np.matmul(fx, np.swapaxes(self._exposures, -1, -2)) + self._specific_variance[..., None, :] * w
        )
        variance = (covariance * w).sum(axis=-1, keepdims=True)
        if not (variance > 0).all():
            raise DataError("beta_to: the benchmark has no variance. Check its weights.")
        beta = covariance / variance
        if weights is None:
            return self._figure(beta, None, ASSET, name="beta")
        names, w = portfolios(weights, self.assets)
        return self._figure(np.swapaxes(beta @ w.T, -1, -2)[..., 0], names, name="beta")

    # -- linear algebra that optimisers and validation need ------------------------------------------------

    def solve(self, right: ArrayLike) -> Floats:
        """Σ⁻¹ times a vector (asset,) or columns (asset, column), through the factors (eq. R3).

        With posterior draws Σ is their mean, which is formed. Raises ``DataError`` where Σ is singular.
        """
        x = np.asarray(right, dtype=float)
        if self.n_draws:
            return np.asarray(cho_solve(cho_factor(self.covariance().to_numpy()), x))
        scaled, core = self._woodbury()
        y = (x.T / self._specific_variance).T
        inner = np.linalg.solve(core, self._factor_covariance @ (self._exposures.T @ y))
        return np.asarray(y - scaled @ inner)

    def log_determinant(self) -> float:
        """Logarithm of the determinant of Σ; with posterior draws of their mean."""
        if self.n_draws:
            return float(np.linalg.slogdet(self.covariance().to_numpy())[1])
        _, core = self._woodbury()
        return float(np.log(self._specific_variance).sum() + np.linalg.slogdet(core)[1])

    def _woodbury(self) -> tuple[Floats, Floats]:
        # (I + F B'D⁻¹B) needs no inverse of F, which is singular under zero-sum constraints.
        if not (self._specific_variance > 0).all():
            none = [a for a, d in zip(self.assets, self._specific_variance, strict=True) if d <= 0]
            raise DataError(
                f"risk model: Σ cannot be inverted, {counted(len(none), 'asset has', 'assets have')} no"
                " specific variance"
                f" ({_checks.first(none)}). Leave them out with select."
            )
        scaled = self._exposures / self._specific_variance[:, None]
        core = np.eye(len(self.factors)) + self._factor_covariance @ (self._exposures.T @ scaled)
        return scaled, core

    # -- presentation ----------------------------------------------------------------------------------

    def summary(self) -> pd.DataFrame:
        """One row per factor: volatility, mean and dispersion of exposures; posterior means over draws."""
        b, f = self._exposures, self._factor_covariance
        table = pd.DataFrame(
            {
                "volatility": np.sqrt(np.diagonal(f, axis1=-2, axis2=-1)),
                "mean_exposure": b.mean(axis=-2),
                "sd_of_exposures": b.std(axis=-2),
            }
            if not self.n_draws
            else {
                "volatility": np.sqrt(np.diagonal(f, axis1=-2, axis2=-1)).mean(axis=0),
                "mean_exposure": b.mean(axis=(0, 1)),
                "sd_of_exposures": b.mean(axis=0).std(axis=0),
            },
            index=pd.Index(self.factors, name=FACTOR),
        )
        return table

    def __repr__(self) -> str:
        when = "" if self.origin is None else f" at {self.origin:%Y-%m-%d}"
        draws = f", {self.n_draws:,} posterior draws" if self.n_draws else ""
        return (
            f"<bdfm.RiskModel {self.kind}{when}: {counted(len(self.assets), 'asset')},"
            f" {counted(len(self.factors), 'factor')}"
            f"{draws}, risk over {self.periods:g} period{'' if self.periods == 1 else 's'}>"
        )

    def _repr_html_(self) -> str:
        return opening(self, self.notes) + self.summary().to_html(
            float_format="{:.4f}".format, max_rows=30, border=0
        )

    def plot_factors(self) -> Figure:
        """Volatility of each factor, and the correlations between factors; posterior means over draws."""
        return plots.factors(self._factor_covariance, self.factors, kind=self.kind, periods=self.periods)

    @strict
    def plot_exposures(self, *, n_assets: int = 40) -> Figure:
        """Heatmap of exposures, in percent of return per standard deviation of the factor.

        Of a large universe the assets with the largest systematic variance are shown.
        """
        return plots.exposures(
            self._exposures,
            self._factor_covariance,
            self.assets,
            self.factors,
            kind=self.kind,
            n_assets=n_assets,
        )

    # -- files -----------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the model with its history as one NetCDF file; returns the path, ``FileError`` if not."""
        dataset = xr.Dataset(
            {x.name: x for x in (self.exposures, self.factor_covariance, self.specific_variance)}
        )
        if self._history is not None:
            dataset = dataset.merge(
                self._history.rename({v: _HISTORY + str(v) for v in self._history.data_vars})
            )
        facts = {"kind": self.kind, "observed_factors": self.observed_factors, "notes": self.notes}
        facts["origin"] = None if self.origin is None else self.origin.isoformat()
        dataset = dataset.assign(facts=((), json.dumps(facts)))
        dataset.attrs = {"periods": self.periods}
        return _sealed.save_dataset(dataset, path, kind=KIND)

    @classmethod
    def load(cls, path: str | Path) -> RiskModel:
        """Risk model of a file made by ``save``.

        Raises
        ------
        FileError
            The file is missing, damaged, no risk model, or written by a newer release.
        """
        dataset = _sealed.load_dataset(path, kind=KIND)
        try:
            facts = json.loads(dataset["facts"].item())
            names = [v for v in dataset.data_vars if str(v).startswith(_HISTORY)]
            history = dataset[names].rename({v: str(v).removeprefix(_HISTORY) for v in names})
            history.attrs = {}
            history = history.drop_vars([c for c in history.coords if c not in history.dims])
            # As saved, to the last digit: from_arrays would average F with its transpose once more.
            b, f, d = (np.array(dataset[v].values) for v in (EXPOSURES, FACTOR_COVARIANCE, SPECIFIC_VARIANCE))
            return cls(
                b,
                f,
                d,
                tuple(map(str, dataset[ASSET].values)),
                tuple(map(str, dataset[FACTOR].values)),
                facts["kind"],
                None if facts["origin"] is None else pd.Timestamp(facts["origin"]),
                float(dataset.attrs["periods"]),
                bool(facts["observed_factors"]),
                tuple(facts["notes"]),
                history if names else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FileError(
                f"{path}: the risk model in this file is incomplete ({error}). Save it again."
            ) from error

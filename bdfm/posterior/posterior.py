"""Posterior draws of a fitted model: a read-only wrapper of a DataTree, and the fit that makes it."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bdfm import _checks, _files
from bdfm.data.panel import Panel
from bdfm.errors import DataError
from bdfm.forecast.edits import Record
from bdfm.forecast.forecast import Forecast
from bdfm.inference.align import align
from bdfm.inference.diagnostics import Diagnosis, diagnose
from bdfm.inference.engine import choose, run
from bdfm.inference.identified import identified
from bdfm.inference.settings import SamplerSettings
from bdfm.model.factor_model import Evidence, FactorModel, at_periods, check_evidence, model_data
from bdfm.model.parts.weights import effective_periods
from bdfm.model.simulate import resample_past, simulate_ahead
from bdfm.names import (
    ASSET,
    CHAIN,
    CONSTANT_DATA,
    DRAW,
    EVIDENCE_RETURN,
    FACTOR,
    FACTOR_BEFORE,
    FACTOR_SCALE,
    FACTORS,
    FACTORS_NEXT,
    LOADING_SLOPES,
    LOADINGS,
    LOADINGS_PATH,
    LOG_LIKELIHOOD,
    NAME,
    OBSERVED,
    OBSERVED_DATA,
    PERIOD,
    PERIOD_WEIGHTS,
    POSTERIOR,
    PREMIUM,
    RETURNS,
    SAMPLE_STATS,
    VAR_MATRIX,
)
from bdfm.posterior import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KIND = "posterior"
PACKAGES = ("bdfm", "pymc", "pytensor", "nutpie", "arviz", "xarray", "numpy", "pandas")
# Many, because quintile probabilities are means over draws: with 600,000 the ranked probability score of one
# M6 forecast has a Monte Carlo sd of about 1.4e-5, with 100,000 of about 3e-5.
N_PREDICTIVE_DRAWS = 600_000
# Simple returns are rounded to this, 0.04 basis points: digits that mean nothing, and half of the file.
RETURN_RESOLUTION = 2.0**-18
# Log returns are cut here (-99.3 %, a factor of 148): a Student-t of few degrees of freedom would overflow.
MAX_LOG_RETURN = 5.0


def fit(
    model: FactorModel,
    panel: Panel,
    *,
    seed: int,
    settings: SamplerSettings | None = None,
    evidence: Sequence[Evidence] = (),
    progress: bool = False,
) -> Posterior:
    """Posterior of a model given a panel.

    Parameters
    ----------
    model, panel
        What to fit, and the history to fit it to. Nothing after the panel's origin enters.
    seed
        Seed of start values and sampler; equal seeds give equal draws.
    settings
        Engine, number of draws, chains and so on.
    evidence
        Statements about returns over the forecast period (eq. 12), as part of the likelihood.
    progress
        Whether to show a progress bar.
    """
    settings = settings or SamplerSettings()
    evidence = check_evidence(evidence, panel)
    engine = choose(settings, model)
    draws, sample_stats, seconds = run(
        engine, model, panel, settings, seed=seed, evidence=evidence, progress=progress
    )
    attrs = {
        "model_name": model.name,
        "model_toml": model.to_toml(),
        "engine": engine,
        "seed": seed,
        "settings": settings.model_dump_json(),
        "evidence": json.dumps([list(e) for e in evidence]),
        "versions": json.dumps(package_versions()),
        "seconds": json.dumps(seconds),
    }
    return Posterior.from_draws(draws, sample_stats, panel, attrs)


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


class Posterior:
    """Draws from the posterior, with the model and the panel that they belong to.

    ``tree`` is a plain ``xarray.DataTree`` that ArviZ takes as it is. Factors and loadings in it are
    identified only up to rotation, sign and order: look at ``identified()`` and ``diagnose()``.
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    @classmethod
    def from_draws(
        cls, draws: xr.Dataset, sample_stats: xr.Dataset, panel: Panel, attrs: Mapping[str, Any]
    ) -> Posterior:
        """Return a posterior made of draws (chain, draw, ...) named as in ``bdfm.names``."""
        history = panel.history[RETURNS].reset_coords(drop=True).to_dataset()
        groups = {
            POSTERIOR: draws,
            SAMPLE_STATS: sample_stats,
            OBSERVED_DATA: history,
            CONSTANT_DATA: panel.to_dataset(),
        }
        tree = xr.DataTree.from_dict(groups)
        tree.attrs.update(attrs)
        return cls(tree)

    # -- what it holds ---------------------------------------------------------------------------------

    @property
    def tree(self) -> xr.DataTree:
        """Copy of the DataTree, sharing arrays: posterior, sample_stats, observed_data, constant_data."""
        return self._tree.copy()

    @property
    def draws(self) -> xr.Dataset:
        """Posterior draws (chain, draw, ...)."""
        return self._tree[POSTERIOR].to_dataset()

    @property
    def attrs(self) -> dict[str, Any]:
        """Model, seed, settings, versions and timings of the fit."""
        return {str(k): v for k, v in self._tree.attrs.items()}

    @cached_property
    def model(self) -> FactorModel:
        """Model that was fitted."""
        return FactorModel.from_toml(str(self._tree.attrs["model_toml"]))

    @cached_property
    def panel(self) -> Panel:
        """Panel that the model was fitted to."""
        return Panel.from_dataset(self._tree[CONSTANT_DATA].to_dataset())

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Evidence on the forecast period that the fit was given."""
        return tuple(Evidence(s, m, sd) for s, m, sd in json.loads(str(self._tree.attrs["evidence"])))

    @property
    def seconds(self) -> dict[str, float]:
        """Wall seconds of the fit, ``compile`` and ``sample``."""
        return {k: float(v) for k, v in json.loads(str(self._tree.attrs["seconds"])).items()}

    @property
    def effective_periods(self) -> float:
        """Number of periods of history that count, with period weights taken into account (eq. 9)."""
        return effective_periods(self._data()[PERIOD_WEIGHTS])

    @property
    def n_draws(self) -> int:
        """Number of posterior draws, all chains together."""
        return self.draws.sizes[CHAIN] * self.draws.sizes[DRAW]

    def parameters(self) -> dict[str, np.ndarray[Any, Any]]:
        """Draws as arrays (draw, ...) by name, chains joined, for the equations of the model."""
        return {
            str(name): values.to_numpy().reshape(-1, *values.shape[2:])
            for name, values in self.draws.transpose(CHAIN, DRAW, ...).data_vars.items()
        }

    # -- what it says ----------------------------------------------------------------------------------

    def identified(self, *, full: bool = False) -> xr.Dataset:
        """Quantities that the data identify: covariances, volatility coefficients, hyper-parameters.

        Beside those of ``bdfm.inference.identified``: ``expected_return_next`` (asset), the expected log
        return of the first period after the origin, and ``log_likelihood``, the weighted total over the
        history.
        """
        found = identified(self.draws, constant_data=self._tree[CONSTANT_DATA].to_dataset(), full=full)
        p, model = self.parameters(), self.model
        ahead = at_periods(self._data(future=True), slice(1))
        state = p[FACTORS_NEXT] if FACTORS_NEXT in p else model.expected_factors(p)
        expected = model.expected_return(p, state[:, None, :], ahead)[:, 0]
        shape = (self.draws.sizes[CHAIN], self.draws.sizes[DRAW])
        return found.assign(
            expected_return_next=((CHAIN, DRAW, ASSET), expected.reshape(*shape, -1)),
            log_likelihood=((CHAIN, DRAW), self._total_log_likelihood().reshape(shape)),
        )

    def _total_log_likelihood(self, block: int = 200) -> np.ndarray[Any, Any]:
        """Weighted log-likelihood (draw) of the history (eq. 9), in blocks of draws to spare memory."""
        p, data, model = self.parameters(), self._data(), self.model
        weight = data[PERIOD_WEIGHTS][:, None] * data[OBSERVED]
        returns = np.nan_to_num(data[RETURNS])
        totals = []
        for first in range(0, self.n_draws, block):
            q = {name: x[first : first + block] for name, x in p.items()}
            noise = returns - model.expected_return(q, q[FACTORS], data)
            density = model.noise.log_density(noise, model.log_noise_scale(q, data), q)
            totals.append((density * weight).sum(axis=(-2, -1)))
        return np.concatenate(totals)

    def _data(self, *, future: bool = False) -> dict[str, np.ndarray[Any, Any]]:
        return model_data(self.model, self.panel, future=future)

    def diagnose(self) -> Diagnosis:
        """Table and verdict on convergence, judged on the identified quantities."""
        return self._diagnosis

    @cached_property
    def _diagnosis(self) -> Diagnosis:
        return diagnose(self.identified(), self._tree[SAMPLE_STATS].to_dataset())

    def aligned(self) -> Posterior:
        """Posterior whose factors are turned to one orientation, all draws of all chains alike.

        Loadings, factors and factor scales of each draw are rotated together to a common reference (varimax
        of the mean loadings, factors by falling scale, positive sums; see ``bdfm.inference.align``),
        so that means, plots and R-hat of factors make sense. Everything identified, the log-likelihood
        and the forecast stay as they are: all factors share their dynamics, so a rotation changes nothing;
        the matrix of a VAR turns with them.
        """
        draws = self.draws
        names = (LOADINGS, FACTORS, FACTOR_SCALE)
        result = align(*(draws[n].transpose(CHAIN, DRAW, ...).to_numpy() for n in names))
        turned = dict(zip(names, (result.loadings, result.factors, result.factor_scale), strict=True))
        if FACTORS_NEXT in draws:
            turned[FACTORS_NEXT] = result.apply(draws[FACTORS_NEXT].transpose(CHAIN, DRAW, ...).to_numpy())
        # Whatever multiplies the factors from the left turns by the inverse; a VAR matrix, which acts on
        # standardised factors, by the rotation from both sides, and their means by the rotation.
        back = np.linalg.inv(result.factor_map).swapaxes(-1, -2)
        for name in {LOADINGS_PATH, LOADING_SLOPES} & set(draws.data_vars):
            rows = draws[name].transpose(CHAIN, DRAW, ..., FACTOR).to_numpy()
            turned[name] = rows @ (back[:, :, None] if rows.ndim == 5 else back)
        if PREMIUM in draws:
            premium = draws[PREMIUM].transpose(CHAIN, DRAW, FACTOR).to_numpy()
            turned[PREMIUM] = (premium[:, :, None] @ result.rotation)[:, :, 0]
        if VAR_MATRIX in draws:
            matrix = draws[VAR_MATRIX].transpose(CHAIN, DRAW, FACTOR, FACTOR_BEFORE).to_numpy()
            turned[VAR_MATRIX] = result.rotation.swapaxes(-1, -2) @ matrix @ result.rotation
        new = {n: (draws[n].transpose(CHAIN, DRAW, ...).dims, x) for n, x in turned.items()}
        tree = self.tree
        tree[POSTERIOR] = xr.DataTree(draws.assign(new))
        return Posterior(tree)

    def log_likelihood(self) -> xr.DataArray:
        """Pointwise log-likelihood (chain, draw, period, asset), unweighted (eq. 9); NaN where missing."""
        p, data = self.parameters(), self._data()
        noise = data[RETURNS] - self.model.expected_return(p, p[FACTORS], data)
        log_scale = self.model.log_noise_scale(p, data)
        values = self.model.noise.log_density(noise, log_scale, p)
        return xr.DataArray(
            values.reshape(self.draws.sizes[CHAIN], self.draws.sizes[DRAW], *values.shape[1:]),
            dims=(CHAIN, DRAW, PERIOD, ASSET),
            coords={c: self.draws[c] for c in (CHAIN, DRAW)}
            | {c: self._tree[OBSERVED_DATA].to_dataset()[c] for c in (PERIOD, ASSET)},
            name=RETURNS,
        )

    def with_log_likelihood(self) -> xr.DataTree:
        """Tree with the group ``log_likelihood``, as ArviZ's LOO functions expect it."""
        tree = self.tree
        tree[LOG_LIKELIHOOD] = xr.DataTree(self.log_likelihood().to_dataset())
        return tree

    def forecast(self, horizon: int = 1, *, seed: int, n_draws: int = N_PREDICTIVE_DRAWS) -> Forecast:
        """Forecast of simple returns over the ``horizon`` periods after the origin (eq. 11).

        Each posterior draw is continued by several paths, in antithetic pairs, so that there are at least
        ``n_draws`` predictive draws and Monte Carlo noise does not decide ranks. Returns of several
        periods are compounded. Assets declared inactive have a zero return, recorded as an edit.
        Equal seeds give equal draws.

        Where the model pools with historical simulation, the last draws are past returns (eq. 11a); a fit
        with evidence has none of them, for they know nothing of it. Attribute ``past_share``: their share.
        """
        _checks.at_least(horizon, 1, what="horizon", where="forecast")
        panel, model = self.panel, self.model
        if horizon > panel.n_future:
            raise DataError(
                f"forecast: horizon {horizon} is beyond the panel's {panel.n_future} future periods."
                f" Build the panel with horizon={horizon}, so that features and earnings are known."
            )
        if model.predictive.share and horizon > panel.n_history:
            raise DataError(
                f"forecast: horizon {horizon} is longer than the history of {panel.n_history} periods, from"
                f" which model {model.name!r} draws a share. Forecast less far or leave out [predictive]."
            )
        p = self.parameters()
        past = p[FACTORS][:, p[FACTORS].shape[1] - model.n_lags :]
        data = at_periods(self._data(future=True), slice(horizon))
        share = 0.0 if self.evidence else model.predictive.share
        n_paths = 2 * max(1, math.ceil((1 - share) * n_draws / (2 * self.n_draws)))
        rng = np.random.default_rng(seed)
        log_returns = simulate_ahead(model, p, past, data, n_paths=n_paths, rng=rng)
        if self.evidence:
            index = [panel.assets.index(e.symbol) for e in self.evidence]
            log_returns[:, :, 0, index] = p[EVIDENCE_RETURN]
        total = log_returns.sum(axis=2).reshape(-1, len(panel.assets))
        if share:
            n_past = round(share / (1 - share) * len(total))
            came = resample_past(model, p, self._data(), n=n_past, n_steps=horizon, rng=rng)
            total = np.concatenate([total, came.sum(axis=1)])
        np.clip(total, -MAX_LOG_RETURN, MAX_LOG_RETURN, out=total)
        returns = np.expm1(total, out=total)
        returns = np.rint(returns / RETURN_RESOLUTION, out=returns) * RETURN_RESOLUTION
        future = panel.future
        forecast = Forecast.from_draws(
            returns,
            assets=panel.assets,
            asset_class=[panel.asset_classes[c] for c in panel.class_index],
            names=[str(x) for x in future[NAME].to_numpy()],
            origin=panel.origin,
            end=pd.Timestamp(future[PERIOD].to_numpy()[horizon - 1]),
            posterior_draw=np.arange(len(returns)) % self.n_draws,
            attrs={
                "model": model.name,
                "seed": seed,
                "fit_seed": int(self.attrs["seed"]),
                "horizon": horizon,
                "past_share": share,
            },
        )
        for symbol, mean, sd in self.evidence:
            alone = ", without past returns" if model.predictive.share else ""
            text = f"{symbol} returns {mean:.4%} ± {sd:.4%} (evidence inside the model{alone})."
            forecast = forecast.with_record(Record.of("evidence", (symbol,), text, mean=mean, sd=sd))
        return forecast.zero(*panel.inactive) if panel.inactive else forecast

    # -- pictures --------------------------------------------------------------------------------------

    @cached_property
    def _aligned_draws(self) -> xr.Dataset:
        return self.aligned().draws

    def plot_factors(self, *, n_named: int = 4) -> Figure:
        """Paths of the aligned factors with bands; see ``bdfm.posterior.plots.factor_paths``."""
        return plots.factor_paths(self._aligned_draws, n_named=n_named)

    def plot_loadings(self) -> Figure:
        """Aligned loadings by asset class; see ``bdfm.posterior.plots.loadings``."""
        return plots.loadings(self._aligned_draws, self.panel)

    def plot_map(self) -> Figure:
        """Assets on a map, near where they move together; see ``bdfm.posterior.plots.asset_map``."""
        return plots.asset_map(self._aligned_draws, self.panel)

    def plot_volatility(self, asset: str) -> Figure:
        """Noise scale of an asset over time, earnings marked; see ``plots.volatility_path``."""
        return plots.volatility_path(self.draws, self.model, self.panel, asset)

    def plot_coefficients(self, variable: str, *, window: int | None = None) -> Figure:
        """Coefficients of the assets against their hierarchy; see ``bdfm.posterior.plots.coefficients``."""
        return plots.coefficients(self.draws, self.model, self.panel, variable, window=window)

    def plot_degrees_of_freedom(self) -> Figure:
        """Degrees of freedom of the noise; see ``bdfm.posterior.plots.degrees_of_freedom``."""
        return plots.degrees_of_freedom(self.draws, self.model, self.panel)

    # -- files and looks -------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write one NetCDF file, whole or not at all; returns its path."""
        return _files.save_tree(self._tree, Path(path), kind=KIND)

    @classmethod
    def load(cls, path: str | Path) -> Posterior:
        """Posterior of a file that ``save`` wrote."""
        return cls(_files.load_tree(Path(path), kind=KIND))

    def __repr__(self) -> str:
        sizes = self.draws.sizes
        effective = self.effective_periods
        weighted = f" ({effective:.1f} effective)" if effective < sizes[PERIOD] - 0.05 else ""
        return (
            f"<bdfm.Posterior of model {self.attrs['model_name']!r}: {sizes[CHAIN]} chains"
            f" x {sizes[DRAW]} draws, {sizes[ASSET]} assets, {sizes[PERIOD]} periods{weighted},"
            f" origin {self.panel.origin:%Y-%m-%d}>"
        )

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>".replace("<bdfm", "&lt;bdfm") + self.diagnose()._repr_html_()

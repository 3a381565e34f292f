"""Posterior draws of a fitted model: a read-only wrapper of a DataTree."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bdfm import _checks, _folders, _memory, _renamed, _sealed
from bdfm._no_array import NoArray
from bdfm._seeds import either_seed
from bdfm._strict import strict
from bdfm.data.panel import Panel
from bdfm.data.weighting import effective_size
from bdfm.errors import FileError, ModelError, UnknownLabelError
from bdfm.forecast.forecast import Forecast
from bdfm.inference.choices import N_PREDICTIVE_DRAWS
from bdfm.inference.diagnostics import Diagnosis, diagnose
from bdfm.inference.identified import common_covariance, identified, judged_variables, parameters
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import model_data
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.names import (
    ASSET,
    CHAIN,
    DRAW,
    LOG_LIKELIHOOD,
    OBSERVED_DATA,
    PANEL,
    PERIOD,
    PERIOD_WEIGHTS,
    POSTERIOR,
    POSTERIOR_FILE,
    SAMPLE_STATS,
)
from bdfm.posterior import door, plots
from bdfm.posterior.groups import N_PRIOR_DRAWS, log_likelihood, with_groups
from bdfm.posterior.predictive import made_forecast, made_forecasts
from bdfm.posterior.sampled import Earlier, sampled
from bdfm.posterior.standardised import standardised_draws
from bdfm.posterior.told import given_evidence, warn_unless_settled
from bdfm.posterior.traces import traced
from bdfm.posterior.turned import turned_draws

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KIND = "posterior"


class Posterior(NoArray):
    """Draws from the posterior, with the model and the panel that they belong to.

    ``tree`` is a plain ``xarray.DataTree`` that ArviZ takes as it is. Factors and loadings in it are
    identified only up to rotation, sign and order: look at ``identified()`` and ``diagnose()``. ``diagnosis``
    is its verdict where that is known; else it is worked out when asked for.
    """

    _in_its_place = (
        "Give its tree, and ArviZ the variables: az.summary(posterior.tree, var_names=[...]). Trees with more"
        " groups are posterior.to_datatree(); the verdict on convergence is posterior.diagnose()."
    )

    def __init__(self, tree: xr.DataTree, *, diagnosis: Diagnosis | None = None) -> None:
        self._tree = door.locked(tree)
        self._known_diagnosis = diagnosis
        self._file: Path | None = None  # that it was loaded from

    @classmethod
    @strict
    def from_draws(
        cls,
        draws: xr.Dataset,
        sample_stats: xr.Dataset,
        model: FactorModel,
        panel: Panel,
        attrs: Mapping[str, Any],
        *,
        evidence: Sequence[Evidence] = (),
        turns: Mapping[str, str] | None = None,
        diagnosis: Diagnosis | None = None,
    ) -> Posterior:
        """Posterior made of draws (chain, draw, ...) of the variables that the model declares.

        Draws meet model and panel by label, never by position: labels in another order are put in order,
        other labels are refused. ``attrs`` says how the draws came. ``diagnosis`` spares a second one, where
        that of these draws is known.
        """
        tree = door.tree_of(draws, sample_stats, model, panel, attrs, evidence, dict(turns or {}))
        return cls(tree, diagnosis=diagnosis)

    @classmethod
    @either_seed
    @strict
    def from_trace(
        cls,
        trace: xr.DataTree | xr.Dataset,
        model: FactorModel,
        panel: Panel,
        *,
        evidence: Sequence[Evidence] = (),
        turns: Mapping[str, str] | None = None,
        seed: object = 0,
    ) -> Posterior:
        """Posterior of a trace that any sampler drew from ``model.build(panel)`` or from an extension of it.

        Everything that a fit gives works on it: diagnosis, alignment, forecast, files. An extension may add
        variables, terms and potentials; what it adds is kept, diagnosed and saved, while forecasts use the
        variables of the model.

        Parameters
        ----------
        trace
            With a group ``posterior`` (chain, draw, ...) and maybe ``sample_stats``; or the Dataset of draws.
        model, panel, evidence
            What was built; a model built with evidence needs the same evidence here.
        turns
            How each further variable with a factor dim follows when the factors are rotated: its name, and
            ``"factors"`` for factor values in their unit (such as slopes of the factors on a macro series),
            ``"loadings"`` for what multiplies factors, ``"standard"`` for values in units of their scales.
        seed
            That the trace was drawn with, to be kept.

        Raises
        ------
        DataError
            A variable of the model that the trace lacks, dims or labels that are not those of model and
            panel, draws that are not finite, or a variable with a factor dim without its turn.
        """
        return cls.from_draws(**traced(trace, model, panel, evidence=evidence, turns=turns, seed=seed))

    # -- what it holds ---------------------------------------------------------------------------------

    @property
    def tree(self) -> xr.DataTree:
        """Copy of the DataTree, as ArviZ and PyMC take it; its arrays are read-only.

        Groups ``posterior``, ``sample_stats``, ``observed_data``, ``constant_data`` and ``panel``.
        ``posterior`` also has the standardised variables of the PyMC form (``alpha_z``, ``factors_z``, ...),
        so that all free variables of ``model.build(panel, evidence=evidence)`` are there:
        ``pm.sample_posterior_predictive``, ``pm.compute_log_likelihood`` and their like work on it.
        """
        tree = self._tree.copy()
        tree[POSTERIOR] = xr.DataTree(self.draws.assign(self._standardised))
        return tree

    @cached_property
    def _standardised(self) -> dict[str, xr.DataArray]:
        """Standardised variables (chain, draw, ...) that the draws do not hold."""
        known = self.model.in_fit(self.evidence)
        return standardised_draws(self.draws, self.parameters(), self.model, self.panel, known)

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
        """Model that was fitted.

        Raises ``FileError`` for a posterior of a file whose model needs a part that is not imported, or has
        a setting of an older release.
        """
        try:
            with _renamed.of_a_file():
                return FactorModel.from_toml(str(self._tree.attrs["model_toml"]))
        except (ModelError, UnknownLabelError) as error:  # a part of the reader's own, or a setting of old
            if self._file is None:
                raise
            raise FileError(f"{self._file}: {error}") from error

    @cached_property
    def panel(self) -> Panel:
        """Panel that the model was fitted to."""
        return Panel.from_dataset(self._tree[PANEL].to_dataset())

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Evidence on the forecast period that the fit was given."""
        return tuple(Evidence(*e) for e in json.loads(str(self._tree.attrs["evidence"])))

    @property
    def seconds(self) -> dict[str, float]:
        """Wall seconds of the fit by stage; none of a loaded posterior.

        ``compile``, ``sample`` and, where sweeps went on until draws were enough, ``diagnose``: the looks at
        whether they are.
        """
        return {k: float(v) for k, v in json.loads(str(self._tree.attrs["seconds"])).items()}

    @property
    def effective_periods(self) -> float:
        """Number of periods of history that count, with period weights taken into account (eq. 9)."""
        return effective_size(self._data()[PERIOD_WEIGHTS])

    @property
    def n_draws(self) -> int:
        """Number of posterior draws, all chains together."""
        return self.draws.sizes[CHAIN] * self.draws.sizes[DRAW]

    def parameters(self) -> dict[str, np.ndarray[Any, Any]]:
        """Draws as arrays (draw, ...) by name, chains joined, for the equations of the model."""
        return parameters(self.draws)

    # -- what it says ----------------------------------------------------------------------------------

    @strict
    def identified(self, *, full: bool = False) -> xr.Dataset:
        """Quantities that the data identify: what ``diagnose`` judges; see ``bdfm.inference.identified``."""
        return identified(self.draws, self.model, self.panel, full=full)

    def common_covariance(self, one: str, other: str) -> xr.DataArray:
        """Covariance (chain, draw) of two assets through the factors, squared decimal per period.

        Of the factor innovations, with the loadings at the origin; the order of the two does not matter.

        Raises ``UnknownLabelError`` for a symbol that is no asset of the panel.
        """
        _checks.known([one, other], self.panel.assets, what="asset", where="common_covariance")
        return common_covariance(self.draws, one, other)

    def _data(self, *, future: bool = False) -> dict[str, np.ndarray[Any, Any]]:
        return model_data(self.model, self.panel, future=future)

    def diagnose(self) -> Diagnosis:
        """Table and verdict on convergence, judged on the identified quantities."""
        return self._diagnosis

    @cached_property
    def _diagnosis(self) -> Diagnosis:
        found = self._known_diagnosis or diagnose(
            self.identified(),
            self._tree[SAMPLE_STATS].to_dataset(),
            must_vary=judged_variables(self.model),
        )
        return replace(found, begun_again=str(self.attrs.get("begun_again", "")))

    def aligned(self) -> Posterior:
        """Posterior whose factors are turned to one orientation, all draws of all chains alike.

        Loadings, factors and factor scales of each draw are rotated together to a common reference (varimax
        of the mean loadings, factors by falling scale, positive sums; see ``bdfm.inference.align``),
        so that means, plots and R-hat of factors make sense. Everything identified, the log-likelihood
        and the forecast stay as they are: all factors share their dynamics, so a rotation changes nothing.
        Factors that each have a volatility of their own (eq. D3) change their order and signs alone.
        Every variable with a factor dim turns with them, as it declares (``bdfm.model.part.Turn``).

        The prior may tell rotations apart: scales that belong to it (``loading_drift``, ``sigma_loadings``)
        keep their values. Equations hold all the same: loadings are z Γ + τ u of the turned Γ and u.
        """
        return self._aligned

    @cached_property
    def _aligned(self) -> Posterior:
        tree = self._tree.copy()
        tree[POSTERIOR] = xr.DataTree(turned_draws(self.draws, self.model, self.turns))
        return Posterior(tree)

    @property
    def turns(self) -> dict[str, str]:
        """How variables that the model does not know follow a rotation of the factors (``from_trace``)."""
        found: dict[str, str] = json.loads(str(self._tree.attrs.get("turns", "{}")))
        return found

    def log_likelihood(self) -> xr.DataArray:
        """Pointwise log-likelihood (chain, draw, period, asset), unweighted (eq. 9); NaN where missing."""
        return log_likelihood(self, self._tree[OBSERVED_DATA].to_dataset())

    @either_seed
    @strict
    def to_datatree(
        self,
        groups: Sequence[str] | str | None = None,
        *,
        seed: object = 0,
        n_prior_draws: int = N_PRIOR_DRAWS,
        horizon: int = 1,
        weighted: bool = False,
    ) -> xr.DataTree:
        """Tree with further groups, made on demand, so that ArviZ's functions work as on any PyMC result.

        Parameters
        ----------
        groups
            One name or several; all of them unless given. ``prior`` (chain, draw, ...) and
            ``prior_predictive``: parameters, factors and histories (log returns cut at ±5) drawn from the
            prior, which knows nothing of evidence; before a fit ``predictive_checks.prior_predictive``.
            ``posterior_predictive``: returns drawn anew given parameters and factors of each
            draw, as PyMC does; with new factors, see ``bdfm.posterior.predictive_checks``.
            ``log_likelihood``: pointwise. ``log_prior``: density of each free variable of the PyMC model.
            ``predictions``: ``returns`` (chain, draw, asset), simple, over the horizon, one draw of the
            forecast for each posterior draw. ``observed_data`` always comes along.
        seed
            Equal seeds give equal groups, whichever are asked for.
        n_prior_draws
            Draws of ``prior`` and ``prior_predictive``, in one chain.
        horizon
            Periods of ``predictions``.
        weighted
            Whether ``log_likelihood`` is that of eq. 9, each period by its weight, as it entered the
            posterior: for ``psense``. ArviZ's LOO needs it unweighted, and is right where all periods count
            alike: it takes a return out with its whole density. ``bdfm.posterior.leave_one_out`` takes it out
            as it came in, to the power of its period's weight.

        Returns
        -------
        xarray.DataTree
            ``tree`` and the groups. Returns of the history, ``log_returns`` (chain, draw, cell) and in
            ``observed_data`` (cell), are those that are known, with period and asset as labels of a cell.

        Raises
        ------
        UnknownLabelError
            A group that there is not.
        DataError
            More memory is needed than there is; a horizon beyond the panel's.
        """
        return with_groups(
            self, groups, seed=seed, n_prior_draws=n_prior_draws, horizon=horizon, weighted=weighted
        )

    def with_log_likelihood(self) -> xr.DataTree:
        """Tree with the group ``log_likelihood``, as ArviZ's LOO functions expect it; see ``to_datatree``.

        Where periods have weights below 1 take ``bdfm.posterior.leave_one_out``, which counts them.
        """
        return self.to_datatree(LOG_LIKELIHOOD)

    @either_seed
    @strict
    def forecast(
        self,
        horizon: int | str | dt.date = 1,
        *,
        seed: object,
        n_draws: int = N_PREDICTIVE_DRAWS,
        memory: str | int | None = None,
    ) -> Forecast:
        """Forecast of simple returns over the ``horizon`` periods after the origin (eq. 11).

        A model of market days also takes such as ``"5d"``, or a date: the weekdays up to it.

        Each posterior draw is continued by several paths, in antithetic pairs, so that there are at least
        ``n_draws`` predictive draws and Monte Carlo noise does not decide ranks. Returns of several
        periods are compounded; log returns over the horizon are cut at ±5, simple ones rounded to 0.04 basis
        points. Assets of ``panel.zero`` return zero, recorded as an edit.
        Equal seeds give equal draws. With evidence each pair of paths has a forecast period of its own, drawn
        given the parameters and the evidence (``bdfm.model.redraw``); where it conditions paths of days, the
        draws have weights (``bdfm.model.path_evidence``).

        Where the model is pooled with something else (eq. 11a, 11b), the last draws are the latter's: past
        returns, of which a fit with evidence has none, for they know nothing of it; or draws with the rolling
        covariance, which are conditioned on it. Attributes ``pool`` and ``pool_share``: which, and their
        share.

        ``memory`` is a budget such as ``"4GB"``; by default half of the machine, or that of the call around
        it. Draws that take more than their part of it lie in a temporary file (``bdfm._blocks``), with the
        same numbers; a ``DataError`` says what would fit where even so it cannot be kept.
        """
        with _memory.within(memory):
            return made_forecast(self, horizon, seed=seed, n_draws=n_draws)

    @either_seed
    @strict
    def forecasts(
        self,
        horizons: Iterable[int | str | dt.date],
        *,
        seed: object,
        n_draws: int = N_PREDICTIVE_DRAWS,
        memory: str | int | None = None,
    ) -> dict[str, Forecast]:
        """Forecasts over several horizons, by label: ``"1d"``, ``"5d"``, ``"2022-03-18"``, in their order.

        Each is what ``forecast`` gives. Of a model of market days draw j is the same path in all of them.
        ``memory`` is for all together. Raises ``DataError`` as ``forecast``, and for a horizon given twice.
        """
        with _memory.within(memory):
            return made_forecasts(self, horizons, seed=seed, n_draws=n_draws)

    def with_evidence(self, *evidence: Evidence, accept: Collection[str] | None = ()) -> Posterior:
        """Posterior of a model of days whose forecasts are given evidence on returns (eq. D9); no new fit.

        It takes the place of earlier evidence. Draws stay: weights of forecasts say what it says of them.
        ``ModelError`` for models of which it is part of the fit: ``bdfm.fit(..., evidence=...)``.
        """
        return Posterior(given_evidence(self._tree, self.model, self.panel, evidence, accept=accept))

    @either_seed
    @strict
    def update(
        self,
        panel: Panel,
        *,
        seed: object,
        settings: SamplerSettings | None = None,
        evidence: Sequence[Evidence] = (),
        progress: bool = False,
        memory: str | int | None = None,
    ) -> Posterior:
        """Posterior of the same model given a later panel: the draws of this one, moved on by sweeps.

        Parameters of assets, and factors of periods, meet by label; what is new begins with what a short run
        finds. Each draw is moved by a few sweeps, until thresholds hold and no quantity is seen to drift
        (``bdfm.inference.moving``); attributes ``moved`` (sweeps of each draw) and ``drift``. Where that is
        not enough in time, with evidence or with a fixed number of draws, chains go on from the last draws
        instead, with a fifth of the tuning and the stopping rule of any fit. Settings are this posterior's,
        unless given; the other parameters, errors and warnings are those of ``bdfm.fit``.
        """
        if settings is None:
            settings = SamplerSettings.model_validate_json(str(self.attrs["settings"]))
        with _memory.within(memory):
            made = sampled(
                self.model, panel, seed=seed, settings=settings, evidence=evidence, progress=progress,
                earlier=self.as_earlier(),
            )  # fmt: skip
        later = Posterior.from_draws(**made)
        warn_unless_settled(later.attrs, later.diagnose, where="update")
        return later

    def as_earlier(self) -> Earlier:
        """What another fit needs to go on from these draws."""
        updates = int(self.attrs.get("updates", 0))
        return Earlier(self.model, self.panel.origin, self.draws, self.attrs.get("adaptation"), updates)

    @strict
    def plot_factors(self, *, n_named: int = 4) -> Figure:
        """Paths of the aligned factors with bands; see ``bdfm.posterior.plots.factor_paths``."""
        return plots.factor_paths(self.aligned().draws, n_named=n_named)

    def plot_loadings(self) -> Figure:
        """Aligned loadings by asset class; see ``bdfm.posterior.plots.loadings``."""
        return plots.loadings(self.aligned().draws, self.panel)

    def plot_map(self) -> Figure:
        """Assets on a map, near where they move together; see ``bdfm.posterior.plots.asset_map``."""
        return plots.asset_map(self.aligned().draws, self.panel)

    def plot_volatility(self, asset: str) -> Figure:
        """Noise scale of an asset over time, earnings marked; see ``plots.volatility_path``."""
        return plots.volatility_path(self.draws, self.model, self.panel, asset)

    @strict
    def plot_coefficients(self, variable: str, *, window: int | None = None) -> Figure:
        """Coefficients of the assets against their hierarchy; see ``bdfm.posterior.plots.coefficients``."""
        return plots.coefficients(self.draws, self.model, self.panel, variable, window=window)

    def plot_degrees_of_freedom(self) -> Figure:
        """Degrees of freedom of the noise; see ``bdfm.posterior.plots.degrees_of_freedom``."""
        return plots.degrees_of_freedom(self.draws, self.model, self.panel)

    # -- files and looks -------------------------------------------------------------------------------

    def in_single_precision(self) -> Posterior:
        """Posterior in single precision, factors and loadings rounded to 16 bits: 0.4 of the file."""
        return Posterior(door.in_single_precision(self._tree), diagnosis=self._known_diagnosis)

    def save(self, path: str | Path) -> Path:
        """Write one NetCDF file, whole or not at all; returns its path.

        Equal posteriors give equal files: wall seconds are left out.
        """
        tree = door.as_written(self._tree).copy(deep=False)
        tree.attrs = {**tree.attrs, "seconds": json.dumps({})}
        return _sealed.save_tree(tree, path, kind=KIND)

    @classmethod
    def load(cls, path: str | Path) -> Posterior:
        """Posterior of a file that ``save`` wrote, or of its folder; ``FileError`` if it is none."""
        file = _folders.file_in(path, POSTERIOR_FILE)
        found = cls(door.completed(_sealed.load_tree(file, kind=KIND), file))
        found._file = file
        return found

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

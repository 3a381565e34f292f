"""No-U-turn sampling of the model through PyMC, by nutpie unless another sampler is asked for."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import pymc as pm
import xarray as xr

from bdfm.errors import MissingDependencyError
from bdfm.inference.settings import SamplerSettings

_log = logging.getLogger(__name__)


class NutsRun(NamedTuple):
    """Draws as a DataTree, and wall seconds by stage."""

    tree: xr.DataTree
    seconds: dict[str, float]


def sample_nuts(
    model: pm.Model, start: Mapping[str, Any], settings: SamplerSettings, *, seed: int, progress: bool = False
) -> NutsRun:
    """Posterior draws of a model, all chains started from ``start`` (values by variable name)."""
    if settings.sampler in ("numpyro", "blackjax") and find_spec(settings.sampler) is None:
        raise MissingDependencyError(
            f"sampler {settings.sampler}: needs {settings.sampler}, which is not installed. Install it with:"
            f" pip install {settings.sampler}"
        )
    compile_kwargs: dict[str, Any] = {}
    nuts: dict[str, Any] = {"target_accept": settings.target_accept}
    initvals: Any = dict(start)
    if settings.sampler == "nutpie":
        compile_kwargs["jitter_rvs"] = set()  # the start values bring their own noise
    else:
        # The other samplers take numbers, one set for each chain.
        initial = pm.initial_point.make_initial_point_fn(
            model=model,
            overrides=initval_by_variable(model, start),
            jitter_rvs=set(),
            return_transformed=False,
        )
        rng = np.random.default_rng(seed)
        initvals = [initial(int(s)) for s in rng.integers(2**31, size=settings.chains)]
        if settings.sampler != "pymc":
            nuts["jitter"] = False  # up to one in any unit: a hundred times a factor's scale
    begun = time.perf_counter()
    with model, warnings.catch_warnings():
        # Convergence is judged on identified quantities later; PyMC's own alarms are about loadings.
        warnings.filterwarnings("ignore", category=UserWarning, module="pymc")
        tree = pm.sample(
            draws=settings.n_fixed,
            tune=settings.tune,
            chains=settings.chains,
            cores=min(settings.cores, settings.chains),
            random_seed=seed,
            initvals=initvals,
            nuts_sampler=settings.sampler,
            nuts=nuts,
            **({"init": "adapt_diag"} if settings.sampler == "pymc" else {}),  # no jitter of its own
            compile_kwargs=compile_kwargs,
            compute_convergence_checks=False,
            progressbar=progress,
            quiet=True,
        )
    draws = tree["posterior"].to_dataset()
    if draws.sizes["draw"] < settings.n_fixed or draws.sizes["chain"] < settings.chains:
        raise KeyboardInterrupt  # samplers take a Ctrl-C for the wish to go on with what there is
    total = time.perf_counter() - begun
    sampling = float(draws.attrs.get("sampling_time", total))
    return NutsRun(tree, {"compile": total - sampling, "sample": sampling})


def initval_by_variable(model: pm.Model, start: Mapping[str, Any]) -> dict[Any, Any]:
    """Start values keyed by the model's variables instead of their names."""
    return {model[name]: value for name, value in start.items()}

"""Forecast after edits and views, where views that the draws cannot carry go into the model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import pandas as pd

from bdfm.errors import DataError, InfeasibleViewError
from bdfm.forecast.changes import Changes, ViewsMethod
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.return_views import Absolute
from bdfm.forecast.view import View
from bdfm.inference.choices import N_PREDICTIVE_DRAWS
from bdfm.inference.settings import SamplerSettings
from bdfm.model.evidence import Evidence
from bdfm.posterior import door
from bdfm.posterior.posterior import Posterior
from bdfm.posterior.sampled import sampled


def forecast_with_changes(
    posterior: Posterior,
    changes: Changes,
    *,
    seed: int,
    horizon: int = 1,
    n_draws: int = N_PREDICTIVE_DRAWS,
    views_method: ViewsMethod = "auto",
    prices: pd.Series[float] | None = None,
    progress: bool = False,
    accept: Collection[str] | None = (),
) -> tuple[Posterior, Forecast]:
    """Posterior and forecast after changes; the posterior is another one where views went into the model.

    Parameters
    ----------
    posterior
        Fit without the views.
    changes, prices, accept
        As in ``Changes.apply``.
    seed, horizon, n_draws
        As in ``Posterior.forecast``; the seed is that of a second fit too.
    views_method
        ``reweight``: views change the weights of the draws. ``model``: evidence on the return of a single
        asset enters a second fit (eq. 12), exact for any strength but as slow as a fit. ``auto``: the
        weights, and a second fit only where they refuse or leave few effective draws
        (``bdfm.forecast.weigh.few_left``). In a model of market days it conditions the paths (eq. D9), over
        any horizon and without a fit.
    progress
        Whether a second fit shows a progress bar.

    Raises
    ------
    InfeasibleViewError
        Views that neither way can satisfy.
    DataError
        ``model``, and no view that can go into the model.
    """
    model = posterior.model
    able = [e for v in changes.views if (e := _as_evidence(v, horizon)) is not None]
    if not model.conditions_paths and (horizon > 1 or not all(part.takes_evidence for part in model.parts)):
        able = []  # a fit knows evidence on one period after the origin, or on none
    if views_method != "model":
        base = posterior.forecast(horizon, seed=seed, n_draws=n_draws)
        refit = bool(able) and views_method == "auto"
        try:
            return posterior, changes.apply(
                base, prices=prices, few="refuse" if refit else "warn", accept=accept
            )
        except InfeasibleViewError:
            if not refit:
                raise
    if not able:
        raise DataError(
            'views_method "model": only evidence on the return of a single asset over one period, with'
            ' confidence 1 and nobody named, can go into a model that takes it. Use views_method "reweight".'
        )
    if model.conditions_paths:
        second = posterior.with_evidence(*posterior.evidence, *able, accept=accept)
    else:
        second = _fitted_again(posterior, able, seed=seed, progress=progress, accept=accept)
    rest = replace(
        changes,
        steps=tuple(
            replace(s, views=tuple(v for v in s.views if _as_evidence(v, horizon) is None))
            for s in changes.steps
        ),
    )
    base = second.forecast(horizon, seed=seed, n_draws=n_draws)
    return second, rest.apply(base, prices=prices, accept=accept)


def _fitted_again(
    posterior: Posterior,
    able: Sequence[Evidence],
    *,
    seed: int,
    progress: bool,
    accept: Collection[str] | None,
) -> Posterior:
    """Second fit, with more evidence."""
    settings = SamplerSettings.model_validate_json(str(posterior.attrs["settings"]))
    if settings.engine == "gibbs":  # it may not know evidence; the fastest that does is taken
        settings = settings.model_copy(update={"engine": "auto"})
    made = sampled(
        posterior.model,
        posterior.panel,
        seed=seed,
        settings=settings,
        evidence=[*posterior.evidence, *able],
        progress=progress,
        accept=accept,
    )
    second = Posterior.from_draws(**made)
    return second.in_single_precision() if door.PRECISION in posterior.attrs else second


def _as_evidence(view: View, horizon: int) -> Evidence | None:
    """Evidence for a model that says what a view says; None where it cannot take it."""
    if not isinstance(view, Absolute) or view.sd is None:
        return None
    if view.semantics != "evidence" or view.confidence != 1 or view.by:
        return None
    return Evidence(view.asset, view.mean, view.sd, horizon)

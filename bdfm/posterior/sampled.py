"""Draws of a fit, from a cold start or from those of an earlier one, and all that a posterior is made of."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import pandas as pd
import xarray as xr

from bdfm import _checks
from bdfm._checks import first
from bdfm._kinds import of_kind
from bdfm.data.panel import Panel
from bdfm.errors import DataError, ModelError
from bdfm.inference.engine import choose, run
from bdfm.inference.settings import SamplerSettings
from bdfm.inference.warm import TUNING
from bdfm.model.evidence import Evidence, check_evidence
from bdfm.model.expects import check_panel
from bdfm.model.factor_model import FactorModel
from bdfm.names import ASSET
from bdfm.posterior.door import package_versions
from bdfm.posterior.memory import check_fit


class Before(NamedTuple):
    """What is checked of an earlier fit, which need not be made yet."""

    model: FactorModel
    origin: pd.Timestamp
    assets: tuple[str, ...]


class Earlier(NamedTuple):
    """What a fit needs of an earlier one, to go on from its draws."""

    model: FactorModel
    origin: pd.Timestamp
    draws: xr.Dataset  # (chain, draw, ...)
    adaptation: str | None  # JSON; None where it is not known
    updates: int  # in a row, since chains were run

    @property
    def before(self) -> Before:
        """What is checked of it."""
        return Before(self.model, self.origin, tuple(str(a) for a in self.draws[ASSET].values))


def sampled(
    model: FactorModel,
    panel: Panel,
    *,
    seed: object,
    settings: SamplerSettings | None = None,
    evidence: Sequence[Evidence] = (),
    progress: bool = False,
    accept: Collection[str] | None = (),
    earlier: Earlier | None = None,
) -> dict[str, Any]:
    """Arguments of ``Posterior.from_draws``; arguments and errors are those of ``bdfm.fit``."""
    where = "fit"
    hint = 'Such as bdfm.FactorModel.from_preset("house").'
    of_kind(model, FactorModel, what="model", where=where, hint=hint)
    of_kind(panel, Panel, what="panel", where=where, hint="Make it of prices by bdfm.Panel.from_prices.")
    settings = SamplerSettings() if settings is None else settings
    hint = "Such as SamplerSettings(draws=500)."
    of_kind(settings, SamplerSettings, what="settings", where=where, hint=hint)
    evidence = check_evidence(evidence, panel, accept=accept)
    model.check_evidence(evidence)
    check_panel(model, panel)
    engine = choose(settings, model)
    number = _checks.seed_number(seed, where="fit")
    check_fit(model, panel, settings, evidence=evidence, update=earlier is not None)
    warm, sampler = None, settings
    if earlier is not None:
        check_earlier(earlier.before, model, panel, engine)
        warm = earlier.draws, earlier.adaptation
        sampler = settings.model_copy(update={"tune": max(10, settings.tune // TUNING)})
    known = model.in_fit(evidence)
    made = run(engine, model, panel, sampler, seed=number, evidence=known, progress=progress, warm=warm)
    attrs = {
        "engine": engine,
        "seed": number,
        "settings": settings.recorded(),
        "versions": json.dumps(package_versions()),
        "seconds": json.dumps(made.seconds),
        **made.length,
    }
    if made.adaptation is not None:
        attrs["adaptation"] = made.adaptation
    if earlier is not None:
        attrs["warm_from"] = f"{earlier.origin:%Y-%m-%d}"
        attrs["updates"] = earlier.updates + 1 if "moved" in made.length else 0
    return {
        "draws": made.draws,
        "sample_stats": made.sample_stats,
        "model": model,
        "panel": panel,
        "attrs": attrs,
        "evidence": evidence,
        "diagnosis": made.diagnosis,
    }


def check_earlier(earlier: Before, model: FactorModel, panel: Panel, engine: str) -> None:
    """Refuse an earlier fit from which another cannot go on; raises as ``bdfm.fit``."""
    if engine != "gibbs":
        raise ModelError(
            f"engine {engine}: only the Gibbs sampler goes on from earlier draws. Fit without warm_from."
        )
    if earlier.model.to_toml() != model.to_toml():
        raise ModelError(
            f"warm_from: the earlier posterior is of model {earlier.model.name!r} with other settings than"
            f" those of model {model.name!r} here. Fit without it."
        )
    if earlier.origin > panel.origin:
        raise DataError(
            f"warm_from: the earlier posterior knows all up to {earlier.origin:%Y-%m-%d}, after the"
            f" origin {panel.origin:%Y-%m-%d}. Give one of the same day or before."
        )
    if not set(earlier.assets) & set(panel.assets):
        raise DataError(
            f"warm_from: the earlier posterior has none of the assets here ({first(panel.assets)}), but"
            f" {first(earlier.assets)}. Give that of the same assets, or fit without it."
        )

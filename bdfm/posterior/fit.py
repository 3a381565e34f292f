"""The fit: posterior draws of a model given a panel, by the engine that its settings ask for."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from bdfm import _checks
from bdfm.data.panel import Panel
from bdfm.inference.engine import choose, run
from bdfm.inference.settings import SamplerSettings
from bdfm.model.evidence import Evidence, check_evidence
from bdfm.model.expects import check_panel
from bdfm.model.factor_model import FactorModel
from bdfm.posterior.door import package_versions
from bdfm.posterior.posterior import Posterior


def fit(
    model: FactorModel,
    panel: Panel,
    *,
    seed: object,
    settings: SamplerSettings | None = None,
    evidence: Sequence[Evidence] = (),
    progress: bool = False,
    accept: Collection[str] | None = (),
) -> Posterior:
    """Posterior of a model given a panel.

    Parameters
    ----------
    model, panel
        What to fit, and the history to fit it to. Nothing after the panel's origin enters.
    seed
        Seed of start values and sampler; equal seeds give equal draws. A whole number, a list of them, a
        ``SeedSequence``, a ``Generator`` (its next number) or None; ``posterior.attrs["seed"]`` repeats it.
    settings
        Engine, number of draws, chains and so on.
    evidence
        Statements about returns over the forecast period (eq. 12), as part of the likelihood.
    progress
        Whether to show a progress bar.
    accept
        Doubts about the evidence that are right all the same, see ``bdfm.data.doubts``, such as
        ``["statement-unit:TLT"]``; None where it was examined before.

    Raises
    ------
    ModelError
        A panel made with other settings than the model expects, or that lacks what a part needs; an engine
        that does not cover the model.
    DataError, UnknownLabelError
        Evidence or a seed that cannot be used; draws that are not finite.
    """
    settings = settings or SamplerSettings()
    evidence = check_evidence(evidence, panel, accept=accept)
    check_panel(model, panel)
    engine = choose(settings, model)
    number = _checks.seed_number(seed, where="fit")
    made = run(engine, model, panel, settings, seed=number, evidence=evidence, progress=progress)
    attrs = {
        "engine": engine,
        "seed": number,
        "settings": settings.recorded(),
        "versions": json.dumps(package_versions()),
        "seconds": json.dumps(made.seconds),
        **made.length,
    }
    return Posterior.from_draws(
        made.draws, made.sample_stats, model, panel, attrs, evidence=evidence, diagnosis=made.diagnosis
    )

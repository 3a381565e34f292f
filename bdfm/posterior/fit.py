"""The fit: posterior draws of a model given a panel, by the engine that its settings ask for."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bdfm import _memory
from bdfm._kinds import of_kind
from bdfm._seeds import either_seed
from bdfm._strict import strict
from bdfm.data.panel import Panel
from bdfm.inference.settings import SamplerSettings
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.posterior.posterior import Posterior
from bdfm.posterior.sampled import Earlier, sampled
from bdfm.posterior.told import warn_unless_settled


@either_seed
@strict
def fit(
    model: FactorModel,
    panel: Panel,
    *,
    seed: object,
    settings: SamplerSettings | None = None,
    evidence: Sequence[Evidence] = (),
    progress: bool = False,
    accept: Collection[str] | None = (),
    warm_from: Posterior | None = None,
    memory: str | int | None = None,
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
    warm_from
        Posterior of the same model at the same origin or an earlier one, whose draws the Gibbs sampler moves
        on instead of beginning anew (``Posterior.update``).
    memory
        Budget such as ``"4GB"``, or bytes; by default half of the machine. What needs more is refused before
        it begins.

    Warns
    -----
    ConvergenceWarning
        With ``draws = "auto"``, where the thresholds of ``settings`` do not hold at ``max_sweeps``. After a
        fixed number of draws ask ``posterior.diagnose()``.

    Raises
    ------
    ModelError
        A panel made with other settings than the model expects, or that lacks what a part needs; an engine
        that does not cover the model; an earlier posterior of another model, or an engine that cannot go on.
    DataError, UnknownLabelError
        Evidence or a seed that cannot be used; draws that are not finite; an earlier posterior that knows
        days after the panel's origin; a fit that needs more memory than there is.
    """
    with _memory.within(memory):
        made = sampled(
            model,
            panel,
            seed=seed,
            settings=settings,
            evidence=evidence,
            progress=progress,
            accept=accept,
            earlier=_earlier(warm_from),
        )
    posterior = Posterior.from_draws(**made)
    warn_unless_settled(posterior.attrs, posterior.diagnose, where="fit")
    return posterior


def _earlier(warm_from: Posterior | None) -> Earlier | None:
    if warm_from is None:
        return None
    hint = "Read one by bdfm.Posterior.load."
    of_kind(warm_from, Posterior, what="warm_from", where="fit", hint=hint)
    return warm_from.as_earlier()

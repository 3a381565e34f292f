"""When a run in steps has made enough sweeps: the thresholds of convergence, effective draws with a margin.

Who looks again and again and stops at the first good look sees a look that is better than the draws are. So
effective draws have to exceed what is asked for by a margin, there are few looks (each after as many more
sweeps as the worst measure lacks, see ``growth``), and none before ``FIRST_DRAWS``. The margin is set by
simulation: see ``tests/inference/test_stopping.py``, where chains of known autocorrelation must seldom stop
short of what was asked for, and chains that disagree never. R-hat needs none: the largest of thousands of
quantities is far above that of a typical one already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bdfm.data.panel import Panel
from bdfm.gibbs.sampler import Look
from bdfm.inference.choices import ESS_MIN, RHAT_MAX
from bdfm.inference.diagnostics import Diagnosis, diagnose
from bdfm.inference.identified import identified, judged_variables
from bdfm.model.equations import Equations
from bdfm.names import LOG_LIKELIHOOD

FIRST_DRAWS: Final = 200  # of each chain, before the first look
ESS_MARGIN: Final = 1.25  # times the effective draws that are asked for
APART: Final = 1.1  # R-hat above which the first half of the draws counts as burn-in
LEAST_GROWTH: Final = 1.1  # of the sweeps from one look to the next
MOST_GROWTH: Final = 2.0  # what is lacking is known roughly, after few draws
LACKING_MARGIN: Final = 1.05


class StoppingRule:
    """Judge of a run in steps: enough once ``max_rhat`` and ``min_ess`` hold with the margins.

    A first look is at what costs little (``identified`` with ``quick``, and what the sampler knows of the
    log-likelihood). Where this one is passed all that ``posterior.diagnose()`` judges is looked at.
    ``diagnosis`` is that of the last whole look, if the last look was a whole one: it need not be made again.
    ``with_evidence``: the sampler's log-likelihood is that of the history and of a period with evidence.
    """

    def __init__(
        self,
        model: Equations,
        panel: Panel,
        label: Callable[[Mapping[str, NDArray[Any]]], xr.Dataset],
        *,
        max_rhat: float = RHAT_MAX,
        min_ess: float = ESS_MIN,
        with_evidence: bool = False,
    ) -> None:
        self.model, self.panel, self.label, self.with_evidence = model, panel, label, with_evidence
        self.max_rhat, self.min_ess = max_rhat, min_ess
        self.diagnosis: Diagnosis | None = None

    def __call__(self, draws: Mapping[str, NDArray[Any]], stats: Mapping[str, NDArray[Any]]) -> Look:
        """Whether these draws and statistics of the sampler, (chain, draw, ...) by name, are enough."""
        self.diagnosis = None
        cheap = diagnose(self.quick(draws, stats), must_vary=judged_variables(self.model))
        look = self.look(cheap)
        return self.look(self.whole(draws, stats)) if look.enough else look

    def whole(self, draws: Mapping[str, NDArray[Any]], stats: Mapping[str, NDArray[Any]]) -> Diagnosis:
        """All that ``posterior.diagnose()`` judges, kept as ``diagnosis``."""
        known = None if self.with_evidence else self.label(stats).get(LOG_LIKELIHOOD)
        found = identified(self.label(draws), self.model, self.panel, log_likelihood=known)
        self.diagnosis = diagnose(found, must_vary=judged_variables(self.model))
        return self.diagnosis

    def quick(self, draws: Mapping[str, NDArray[Any]], stats: Mapping[str, NDArray[Any]]) -> xr.Dataset:
        """Quantities of a first look, (chain, draw, ...): those that cost little."""
        found = identified(self.label(draws), self.model, self.panel, quick=True)
        return found.assign(self.label(stats))

    def look(self, diagnosis: Diagnosis) -> Look:
        """Whether a diagnosis meets the thresholds, with the margin, and nothing stands still."""
        rhat = np.array([diagnosis.max_rhat])
        ess = np.array([min(diagnosis.min_ess_bulk, diagnosis.min_ess_tail)])
        asked = {"max_rhat": self.max_rhat, "min_ess": self.min_ess}
        return Look(
            meets(rhat, ess, **asked) and not diagnosis.stuck,
            apart=bool(diagnosis.max_rhat > APART),
            growth=growth(rhat, ess, **asked),
        )


def meets(rhat: NDArray[np.float64], ess: NDArray[np.float64], *, max_rhat: float, min_ess: float) -> bool:
    """Whether R-hat and effective draws of all quantities meet the thresholds, the latter with a margin."""
    return bool((rhat <= max_rhat).all() and (ess >= ESS_MARGIN * min_ess).all())


def growth(rhat: NDArray[np.float64], ess: NDArray[np.float64], *, max_rhat: float, min_ess: float) -> float:
    """How many times as many sweeps the next look should see, by the worst measure.

    Effective draws grow in proportion to the sweeps, and R-hat - 1 of chains that agree falls so. Some more
    than that, since both are rough; between ``LEAST_GROWTH`` and ``MOST_GROWTH``.
    """
    lacking = np.max([(rhat - 1) / (max_rhat - 1), ESS_MARGIN * min_ess / ess])
    if not np.isfinite(lacking):  # something stands still, or is nowhere
        return MOST_GROWTH
    return float(np.clip(LACKING_MARGIN * lacking, LEAST_GROWTH, MOST_GROWTH))

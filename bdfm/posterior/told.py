"""What a fit says when it ends early, what its forecasts tell of it, and what files hold of evidence."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import xarray as xr

from bdfm._reading import PACKAGE
from bdfm.data.panel import Panel
from bdfm.errors import ConvergenceWarning, ModelError
from bdfm.forecast.records import Record
from bdfm.inference.diagnostics import Diagnosis
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import Equations
from bdfm.model.evidence import Evidence, check_evidence


def evidence_records(evidence: Sequence[Evidence], *, alone: bool) -> Iterator[Record]:
    """Records of evidence inside the model; ``alone``: it made the forecast do without past returns."""
    without = ", without past returns" if alone else ""
    for e in evidence:
        text = f"{e.words} (evidence inside the model{without})."
        more = {} if e.horizon == 1 else {"horizon": e.horizon}
        yield Record.of("evidence", (e.asset,), text, mean=e.mean, sd=e.sd, **more)


def evidence_values(evidence: Iterable[Evidence]) -> list[list[str | float]]:
    """Evidence as lists for JSON: asset, mean, sd, and the horizon where it is not one period."""
    return [[*e[:3], *([] if e.horizon == 1 else [e.horizon])] for e in evidence]


def given_evidence(
    tree: xr.DataTree,
    model: Equations,
    panel: Panel,
    evidence: Sequence[Evidence],
    *,
    accept: Collection[str] | None,
) -> xr.DataTree:
    """Tree of a posterior with other evidence, for a model whose forecasts it conditions."""
    if not model.conditions_paths:
        raise ModelError(
            f"model {model.name!r}: evidence is part of its fit. Fit it with evidence=..., as in bdfm.fit."
        )
    known = check_evidence(evidence, panel, accept=accept)
    model.check_evidence(known)
    found = tree.copy()
    found.attrs = {**tree.attrs, "evidence": json.dumps(evidence_values(known))}
    return found


def warn_unless_settled(attrs: Mapping[str, Any], diagnose: Callable[[], Diagnosis], *, where: str) -> None:
    """Warn of a run of automatic length that ended before the thresholds that it was to reach held.

    ``attrs`` and ``diagnose`` are the posterior's, which is judged only where its length was automatic.
    """
    settings = SamplerSettings.model_validate_json(str(attrs["settings"]))
    if settings.draws != "auto":
        return
    diagnosis = diagnose()
    if diagnosis.meets(max_rhat=settings.max_rhat, min_ess=settings.min_ess):
        return
    longer = "max_sweeps" if attrs["engine"] == "gibbs" else "draws and tune"
    warnings.warn(
        f"{where}: R-hat {settings.max_rhat:g} and {settings.min_ess:g} effective draws were not reached;"
        f" {diagnosis.verdict}. posterior.diagnose() says what is missing. Raise {longer}, or take fewer"
        " factors.",
        ConvergenceWarning,
        skip_file_prefixes=(PACKAGE,),
    )

"""Traces that other samplers drew."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from bdfm import _checks
from bdfm.data.panel import Panel
from bdfm.errors import DataError
from bdfm.inference.settings import SamplerSettings
from bdfm.model.evidence import Evidence, check_evidence
from bdfm.model.factor_model import FactorModel
from bdfm.names import CHAIN, DRAW, POSTERIOR, SAMPLE_STATS
from bdfm.posterior.door import package_versions


def traced(
    trace: xr.DataTree | xr.Dataset,
    model: FactorModel,
    panel: Panel,
    *,
    evidence: Sequence[Evidence],
    turns: Mapping[str, str] | None,
    seed: object,
) -> dict[str, Any]:
    """Arguments of ``Posterior.from_draws``; arguments and errors are those of ``Posterior.from_trace``."""
    evidence = check_evidence(evidence, panel)
    draws, stats = _parts_of(trace)
    settings = SamplerSettings(
        engine="nuts", draws=max(10, draws.sizes[DRAW]), chains=max(1, draws.sizes[CHAIN])
    )
    attrs = {
        "engine": "trace",
        "seed": _checks.seed_number(seed, where="from_trace"),
        "settings": settings.recorded(),
        "versions": json.dumps(package_versions()),
        "seconds": json.dumps({}),
    }
    return {
        "draws": draws,
        "sample_stats": stats,
        "model": model,
        "panel": panel,
        "attrs": attrs,
        "evidence": evidence,
        "turns": turns,
    }


def _parts_of(trace: xr.DataTree | xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Draws and sample statistics of a trace, or of a Dataset of draws; ``DataError`` without them."""
    stats = xr.Dataset()
    if isinstance(trace, xr.DataTree):
        if POSTERIOR not in trace.children:
            raise DataError(
                f"from_trace: the trace has no group {POSTERIOR}; found"
                f" {_checks.first(trace.children) if trace.children else 'none'}."
            )
        draws = trace.children[POSTERIOR].to_dataset(inherit=False)
        if SAMPLE_STATS in trace.children:
            stats = trace.children[SAMPLE_STATS].to_dataset(inherit=False)
    else:
        draws = trace
    missing = [dim for dim in (CHAIN, DRAW) if dim not in draws.dims]
    if missing:
        raise DataError(f"from_trace: the draws have no dimension {_checks.first(missing)}.")
    return draws, stats

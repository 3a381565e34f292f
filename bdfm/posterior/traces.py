"""Traces that other samplers drew."""

from __future__ import annotations

import xarray as xr

from bdfm import _checks
from bdfm.errors import DataError
from bdfm.names import CHAIN, DRAW, POSTERIOR, SAMPLE_STATS


def parts_of(trace: xr.DataTree | xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
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

"""What a forecast tells of the fit that it came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bdfm.forecast.records import Record
from bdfm.model.evidence import Evidence


def evidence_records(evidence: Sequence[Evidence], *, alone: bool) -> Iterator[Record]:
    """Records of evidence inside the model; ``alone``: it made the forecast do without past returns."""
    without = ", without past returns" if alone else ""
    for symbol, mean, sd in evidence:
        text = f"{symbol} returns {mean:.4%} ± {sd:.4%} (evidence inside the model{without})."
        yield Record.of("evidence", (symbol,), text, mean=mean, sd=sd)

"""Evidence on a return of the forecast period (eq. 12)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from bdfm import _checks
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.said import LARGEST
from bdfm.data.doubts.tables import Said, Tables
from bdfm.data.panel import Panel
from bdfm.errors import DataError


class Evidence(NamedTuple):
    """A statement about the return of an asset over the forecast period (eq. 12).

    ``symbol`` names the asset; ``mean`` and ``sd`` are simple returns in decimals: ``Evidence("TLT", 0.02,
    0.10)`` says 2 % give or take 10 %. It enters as the likelihood Normal(``mean`` | return, ``sd``).
    """

    symbol: str
    mean: float
    sd: float


def check_evidence(
    evidence: Sequence[Evidence], panel: Panel, *, accept: Collection[str] | None = ()
) -> tuple[Evidence, ...]:
    """Evidence with known, distinct symbols and usable numbers; raises otherwise.

    ``accept``: doubts that are right all the same, see ``bdfm.data.doubts``; None where examined before.
    """
    where = "evidence"
    _checks.known([e.symbol for e in evidence], panel.assets, what="symbol", where=where)
    _checks.unique([e.symbol for e in evidence], what="symbols", where=where, hint="Combine them into one.")
    for e in evidence:
        _checks.positive(e.sd, what="sd", where=f"{where} on {e.symbol}")
        if _checks.finite(e.mean, what="mean", where=f"{where} on {e.symbol}") <= -1:
            raise DataError(f"{where} on {e.symbol}: a return of {e.mean:g} loses more than everything.")
        if max(e.mean, e.sd) > LARGEST:
            raise DataError(
                f"{where} on {e.symbol}: {max(e.mean, e.sd):g} is more than {LARGEST:g}. Returns are"
                " decimals: 0.05 is 5 %."
            )
        if e.symbol in panel.inactive:
            raise DataError(
                f"{where} on {e.symbol}: its return is set to zero. Drop the evidence or the edit."
            )
    said = [Said(f"{where} on {e.symbol}", e.symbol, "return", float(e.mean)) for e in evidence]
    said += [Said(f"{where} on {e.symbol}", e.symbol, "sd", float(e.sd)) for e in evidence]
    doubt(Tables("forecast", said=said), accept=accept)
    return tuple(Evidence(e.symbol, float(e.mean), float(e.sd)) for e in evidence)

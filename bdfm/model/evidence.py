"""Evidence on a return of the forecast period (eq. 12)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from bdfm import _checks, _renamed
from bdfm._kinds import of_kind
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.said import LARGEST
from bdfm.data.doubts.tables import Said, Tables
from bdfm.data.panel import Panel
from bdfm.errors import DataError


@_renamed.named_tuple(symbol="asset")
class Evidence(NamedTuple):
    """A statement about the return of an asset over the forecast period (eq. 12).

    ``mean`` and ``sd`` are simple returns in decimals: ``Evidence("TLT", 0.02,
    0.10)`` says 2 % give or take 10 %. It enters as the likelihood Normal(``mean`` | return, ``sd``).
    ``horizon``: periods after the origin that the return is over, compounded (eq. D9). A model of market days
    takes any; others know the first period alone.
    """

    asset: str
    mean: float
    sd: float
    horizon: int = 1

    @property
    def words(self) -> str:
        """The statement in words."""
        over = "" if self.horizon == 1 else f" over {self.horizon} periods"
        return f"{self.asset} returns {self.mean:.4%} ± {self.sd:.4%}{over}"


def check_evidence(
    evidence: Sequence[Evidence], panel: Panel, *, accept: Collection[str] | None = ()
) -> tuple[Evidence, ...]:
    """Evidence on known assets, each once for a horizon, and usable numbers; raises otherwise.

    ``accept``: doubts that are right all the same, see ``bdfm.data.doubts``; None where examined before.
    """
    where = "evidence"
    given: Any = evidence
    evidence = [given] if isinstance(given, Evidence) else given
    for one in [given] if isinstance(given, str) else evidence:
        hint = 'Such as bdfm.Evidence("XOM", mean=0.02, sd=0.1).'
        of_kind(one, Evidence, what="each", where=where, hint=hint)
    _checks.known([e.asset for e in evidence], panel.assets, what="asset", where=where)
    for horizon in dict.fromkeys(e.horizon for e in evidence):
        named = [e.asset for e in evidence if e.horizon == horizon]
        _checks.unique(named, what="asset", where=where, hint="Combine them into one.")
    for e in evidence:
        if _checks.at_least(e.horizon, 1, what="horizon", where=f"{where} on {e.asset}") > panel.n_future:
            raise DataError(
                f"{where} on {e.asset}: horizon {e.horizon} is beyond the panel's {panel.n_future} future"
                f" periods. Build the panel with horizon={e.horizon}."
            )
        _checks.positive(e.sd, what="sd", where=f"{where} on {e.asset}")
        if _checks.finite(e.mean, what="mean", where=f"{where} on {e.asset}") <= -1:
            raise DataError(f"{where} on {e.asset}: a return of {e.mean:g} loses more than everything.")
        if max(e.mean, e.sd) > LARGEST:
            raise DataError(
                f"{where} on {e.asset}: {max(e.mean, e.sd):g} is more than {LARGEST:g}. Returns are"
                " decimals: 0.05 is 5 %."
            )
        if e.asset in panel.zero:
            raise DataError(
                f"{where} on {e.asset}: its return is set to zero. Drop the evidence or the edit."
            )
    said = [Said(f"{where} on {e.asset}", e.asset, "return", float(e.mean)) for e in evidence]
    said += [Said(f"{where} on {e.asset}", e.asset, "sd", float(e.sd)) for e in evidence]
    doubt(Tables("forecast", said=said), accept=accept)
    return tuple(Evidence(e.asset, float(e.mean), float(e.sd), int(e.horizon)) for e in evidence)

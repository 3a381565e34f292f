"""View: what all views share.

A view means one of two things, and its ``semantics`` says which.

``evidence``
    Bayes: the statement is a measurement with an error, and each draw's weight is multiplied by the
    likelihood of the statement in that draw (eq. 12). The model's own opinion still counts.
``constraint``
    The statement holds: of all weightings in which it does, the one of minimum relative entropy to the
    weights so far is taken (entropy pooling: A. Meucci, Fully flexible views, *Risk* 21(10), 2008).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, override

from pydantic import Field, field_validator

from bdfm import _checks, _renamed
from bdfm.forecast.moments import Moment, Tail
from bdfm.forecast.records import Record
from bdfm.forecast.sample import Floats, Row, Sample
from bdfm.forecast.statements import Statement

Semantics = Literal["evidence", "constraint"]
Sense = Literal["equal", "at_least", "at_most"]
Numbers = dict[str, float]

SIGN: Final = {"equal": 0, "at_least": 1, "at_most": -1}
WORDS: Final = {"equal": "", "at_least": "at least ", "at_most": "at most "}


class Claim(NamedTuple):
    """What a view says of a subject: that it is its ``value``, at least that (``sign`` 1), or at most (-1).

    ``value`` is NaN where only the draws tell it.
    """

    subject: tuple[object, ...]
    sign: int
    value: float

    def turned(self, factor: float) -> Claim:
        """The same of a subject ``factor`` times as large, negative for its other side."""
        return Claim(self.subject, self.sign if factor > 0 else -self.sign, factor * self.value)


def percent(value: float) -> str:
    """Decimal as a percentage: 0.02 is 2 %."""
    return f"{100 * value:.4g} %"


class View(Statement):
    """What all views share; fields are what a TOML table may set.

    Constraints have a ``sense``: equal, or at_least and at_most, which give a bound.
    """

    what: ClassVar[str] = "view"
    keeps_defaults: ClassVar[bool] = False
    needs_all_to_vary: ClassVar[bool] = False  # whether one asset whose return is fixed leaves it no meaning

    semantics: Semantics  # evidence: a measurement with an error; constraint: it holds
    confidence: Annotated[float, Field(ge=0, le=1)] = 1.0  # share of the view in a blend with the prior
    by: str = ""  # whose view it is, where several people's are pooled

    @field_validator("by")
    @classmethod
    def _by(cls, value: str) -> str:
        return value.strip()  # one person, however a table is laid out

    @classmethod
    @override
    def place(cls, settings: Mapping[str, Any]) -> str:
        names = [settings[k] for k in ("asset", "over", "other", "above", "below") if k in settings]
        weights = settings.get("weights")
        names += list(weights) if isinstance(weights, Mapping) else []
        return f"view on {_checks.first(names)}" if names else "view"

    @property
    def assets(self) -> tuple[str, ...]:
        """Assets named."""
        raise NotImplementedError

    @property
    def named(self) -> tuple[str, ...]:
        """Assets that are written down, those of a weight of zero too."""
        weights: Mapping[str, float] = getattr(self, "weights", None) or {}
        return tuple(dict.fromkeys((*self.assets, *weights)))

    symbols: ClassVar[property] = _renamed.attribute("symbols", "assets")

    @property
    def claims(self) -> tuple[Claim, ...]:
        """What the view says of each of its subjects.

        Two of one person on a subject are a mistake, unless one bounds it from below and one from above.
        """
        raise NotImplementedError

    @property
    def subjects(self) -> tuple[tuple[object, ...], ...]:
        """What the view is about."""
        return tuple(c.subject for c in self.claims)

    @property
    def numbers(self) -> Numbers:
        """What the view says, by field."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """The statement in a few words, without semantics."""
        raise NotImplementedError

    @property
    def stage(self) -> int:
        """1: linear in the weights; 2: once a mean is held; 3: once means and variances are."""
        return 1

    def implied(self, sample: Sample, weights: Floats) -> Numbers:
        """What weights (draw,) say of a ``sample`` where the view has its numbers."""
        raise NotImplementedError

    def rows(self, sample: Sample) -> list[Row]:
        """What it says of expectations over a ``sample``, which are linear in the weights."""
        return []

    def tails(self, sample: Sample) -> list[Tail]:
        """What it says of expected shortfalls over a ``sample``."""
        return []

    def moment(self, sample: Sample, first: Floats, weights: Floats) -> Moment:
        """What it says of a moment of its stage, over a ``sample``.

        ``weights`` (draw,) are those of the stage before, which fix what is held, ``first`` those under
        which expectations hold.
        """
        raise NotImplementedError

    def log_likelihood(self, sample: Sample) -> Floats:
        """Log-likelihood (draw,) of the statement in each draw of a ``sample``."""
        raise NotImplementedError

    def record(self, step: int) -> Record:
        """Record of the view, from which ``from_record`` makes it again; views of one step hold together."""
        settings = self.parameters()
        return Record.of("view", self.assets, f"{self}.", view=self.kind, step=step, **settings)

    def __str__(self) -> str:
        extras: list[str] = [self.semantics]
        if self.confidence != 1:
            extras.append(f"confidence {self.confidence:g}")
        if self.by:
            extras.append(f"by {self.by}")
        return f"{self.text} ({', '.join(extras)})"

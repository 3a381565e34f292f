"""Views: statements about the forecast period that change the weights of the draws, never the draws.

A view means one of two things, and its ``semantics`` says which.

``evidence``
    Bayes: the statement is a measurement with an error, and each draw's weight is multiplied by the
    likelihood of the statement in that draw (eq. 12). The model's own opinion still counts.
``constraint``
    The statement holds: of all weightings in which it does, the one of minimum relative entropy to the
    weights so far is taken (entropy pooling: A. Meucci, Fully flexible views, *Risk* 21(10), 2008).

Returns are simple, over the forecast horizon, as decimals. Everything here works on plain arrays; users meet
it as ``Forecast.with_views``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal, override

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bdfm import _checks
from bdfm.errors import DataError
from bdfm.forecast.choices import FORMS
from bdfm.forecast.records import Record
from bdfm.forecast.statements import Statement, by_kind, read

Floats = NDArray[np.float64]
Semantics = Literal["evidence", "constraint"]
Sense = Literal["equal", "at_least", "at_most"]
Numbers = dict[str, float]

# Means, volatilities and correlations are of returns cut at these quantiles (see ``Sample.cut``).
CUT: Final = 1e-4
_BLOCK: Final = 16_384  # draws that are held in double precision at a time
_SIGN: Final = {"equal": 0, "at_least": 1, "at_most": -1}
_WORDS: Final = {"equal": "", "at_least": "at least ", "at_most": "at most "}


# -- the draws as views see them ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """Draws (draw, asset) of simple returns with their labels."""

    draws: NDArray[Any]
    assets: tuple[str, ...]
    _events: dict[tuple[object, ...], Floats] = field(default_factory=dict, compare=False)

    def column(self, symbol: str) -> Floats:
        """Returns (draw,) of one asset."""
        return np.asarray(self.draws[:, self.assets.index(symbol)], dtype=np.float64)

    def portfolio(self, weights: Mapping[str, float]) -> Floats:
        """Returns (draw,) of a portfolio."""
        if len(weights) <= 3:
            return np.asarray(sum(w * self.column(s) for s, w in weights.items()))
        row = np.zeros(len(self.assets))
        for symbol, weight in weights.items():
            row[self.assets.index(symbol)] = weight
        total = np.empty(len(self.draws))
        for start in range(0, len(total), _BLOCK):  # whole rows: columns of a wide table are slow to read
            total[start : start + _BLOCK] = self.draws[start : start + _BLOCK].astype(np.float64) @ row
        return total

    def cut(self, weights: Mapping[str, float]) -> Floats:
        """Returns (draw,) of a portfolio, those beyond their 0.01 % and 99.99 % quantiles set to these.

        A log return with Student-t noise of few degrees of freedom has no finite mean as a simple return: a
        single draw of +10,000 % could satisfy a view on the mean alone, and nothing else would move. Up to
        10,000 draws are never cut.
        """
        x = self.portfolio(weights)
        n_out = int(CUT * len(x))
        if n_out:
            ends = np.partition(x, [n_out, len(x) - 1 - n_out])[[n_out, len(x) - 1 - n_out]]
            np.clip(x, *ends, out=x)
        return x

    def above(self, one: str, other: str) -> Floats:
        """1 (draw,) where ``one`` returns more than ``other``, 0 where less, a half where they tie."""
        a, b = self.column(one), self.column(other)
        return np.where(a == b, 0.5, (a > b).astype(np.float64))

    def share_of_quantile(self, symbol: str, quantile: int, n_quantiles: int) -> Floats:
        """Share (draw,) of an asset's position that lies in a quantile; ties share as in ``ranks``."""
        key = (symbol, quantile, n_quantiles)
        if key not in self._events:
            self._events[key] = self._share_of_quantile(*key)
        return self._events[key]

    def _share_of_quantile(self, symbol: str, quantile: int, n_quantiles: int) -> Floats:
        n = len(self.assets)
        own = self.draws[:, [self.assets.index(symbol)]]
        below = np.count_nonzero(self.draws < own, axis=1)
        tied = np.count_nonzero(self.draws == own, axis=1)  # itself included
        # In units of 1/n_quantiles everything is a whole number, so boundaries are exact.
        low = np.maximum(below * n_quantiles, (quantile - 1) * n)
        high = np.minimum((below + tied) * n_quantiles, quantile * n)
        return np.asarray(np.maximum(high - low, 0) / (tied * n_quantiles))


@dataclass(frozen=True)
class Row:
    """One linear constraint: the expectation of ``feature`` (draw,), against ``target``."""

    key: tuple[object, ...]
    feature: Floats
    target: float
    sign: int = 0


def _moments(x: Floats, weights: Floats) -> tuple[float, float]:
    mean = float(weights @ x)
    return mean, float(np.sqrt(max(float(weights @ np.square(x - mean)), 0.0)))


# -- views -------------------------------------------------------------------------------------------------


def percent(value: float) -> str:
    """Decimal as a percentage: 0.02 is 2 %."""
    return f"{100 * value:.4g} %"


class View(Statement):
    """What all views share; fields are what a TOML table may set."""

    what: ClassVar[str] = "view"
    keeps_defaults: ClassVar[bool] = False

    semantics: Semantics
    confidence: Annotated[float, Field(ge=0, le=1)] = 1.0  # share of the view in a blend with the prior
    by: str = ""  # whose view it is, where several people's are pooled

    @classmethod
    @override
    def place(cls, settings: Mapping[str, Any]) -> str:
        names = [settings[k] for k in ("asset", "over", "other", "above", "below") if k in settings]
        weights = settings.get("weights")
        names += list(weights) if isinstance(weights, Mapping) else []
        return f"view on {_checks.first(names)}" if names else "view"

    @property
    def symbols(self) -> tuple[str, ...]:
        """Assets named."""
        raise NotImplementedError

    @property
    def subjects(self) -> tuple[tuple[object, ...], ...]:
        """What the view is about; two views of one person on the same subject are a mistake."""
        raise NotImplementedError

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
        """1: linear in the weights; 2: needs the means fixed; 3: needs means and variances fixed."""
        return 1

    def implied(self, sample: Sample, weights: Floats) -> Numbers:
        """What weights (draw,) say where the view has its numbers."""
        raise NotImplementedError

    def rows(self, sample: Sample, weights: Floats) -> list[Row]:
        """Linear constraints of the view; ``weights`` fix the moments that make it linear."""
        raise NotImplementedError

    def log_likelihood(self, sample: Sample) -> Floats:
        """Log-likelihood (draw,) of the statement in each draw."""
        raise NotImplementedError

    def record(self, step: int) -> Record:
        """Record of the view, from which ``from_record`` makes it again; views of one step hold together."""
        settings = self.parameters()
        return Record.of("view", self.symbols, f"{self}.", view=self.kind, step=step, **settings)

    def __str__(self) -> str:
        extras: list[str] = [self.semantics]
        if self.confidence != 1:
            extras.append(f"confidence {self.confidence:g}")
        if self.by:
            extras.append(f"by {self.by}")
        return f"{self.text} ({', '.join(extras)})"


class ReturnView(View):
    """A statement about the return of a portfolio."""

    mean: Annotated[float, Field(gt=-1)]
    sd: Annotated[float, Field(gt=0)] | None = None
    sense: Sense = "equal"

    @property
    def portfolio(self) -> dict[str, float]:
        """Weight by symbol."""
        raise NotImplementedError

    @property
    @override
    def symbols(self) -> tuple[str, ...]:
        return tuple(self.portfolio)

    @property
    @override
    def subjects(self) -> tuple[tuple[object, ...], ...]:
        key = _canonical(self.portfolio)
        return (("mean", key),) if self.sd is None else (("mean", key), ("variance", key))

    @property
    @override
    def numbers(self) -> Numbers:
        return {"mean": self.mean} | ({} if self.sd is None else {"sd": self.sd})

    @override
    def _check(self) -> None:
        if self.semantics == "evidence":
            if self.sd is None:
                raise DataError(
                    f"view {self.text!r}: evidence needs an sd, the error of the statement. Give sd, or"
                    " make it a constraint."
                )
            if self.sense != "equal":
                raise DataError(
                    f"view {self.text!r}: sense {self.sense!r} is for constraints. Leave it out, or make the"
                    " view a constraint."
                )

    def _phrase(self, verb: str) -> str:
        return f"{verb} {_WORDS[self.sense]}{percent(self.mean)}" + (
            "" if self.sd is None else f" ± {percent(self.sd)}"
        )

    @override
    def implied(self, sample: Sample, weights: Floats) -> Numbers:
        mean, sd = _moments(sample.cut(self.portfolio), weights)
        return {"mean": mean, "sd": sd}

    @override
    def rows(self, sample: Sample, weights: Floats) -> list[Row]:
        x, key = sample.cut(self.portfolio), _canonical(self.portfolio)
        rows = [Row(("mean", key), x, self.mean, _SIGN[self.sense])]
        if self.sd is not None:
            # With the mean known, the variance is linear in the weights too.
            rows.append(Row(("variance", key), np.square(x - self.mean), self.sd**2))
        return rows

    @override
    def log_likelihood(self, sample: Sample) -> Floats:
        if self.sd is None:
            raise ValueError("evidence without an sd")
        error = (sample.portfolio(self.portfolio) - self.mean) / self.sd
        return np.asarray(-0.5 * np.square(error))


class Absolute(ReturnView):
    """The return of an asset: "TLT returns 2 % ± 10 %".

    As evidence, ``sd`` is the error of the statement, and the likelihood is Normal(``mean`` | return, ``sd``)
    (eq. 12). As a constraint, the return has expectation ``mean`` and, if given, standard deviation ``sd``.
    """

    kind: Literal["absolute"] = "absolute"
    asset: str

    @property
    @override
    def portfolio(self) -> dict[str, float]:
        return {self.asset: 1.0}

    @property
    @override
    def text(self) -> str:
        return self._phrase(f"{self.asset} returns")


class Relative(ReturnView):
    """The return of one asset over another: "IVV beats IEMG by 1 % ± 2 %"; otherwise as ``Absolute``."""

    kind: Literal["relative"] = "relative"
    asset: str
    over: str

    @override
    def _check(self) -> None:
        if self.asset == self.over:
            raise DataError(f"view {self.text!r}: an asset cannot beat itself. Name another one.")
        super()._check()

    @property
    @override
    def portfolio(self) -> dict[str, float]:
        return {self.asset: 1.0, self.over: -1.0}

    @property
    @override
    def text(self) -> str:
        return self._phrase(f"{self.asset} beats {self.over} by")


class Portfolio(ReturnView):
    """The return of any portfolio, weights by symbol, negative for short; otherwise as ``Absolute``."""

    kind: Literal["portfolio"] = "portfolio"
    weights: Annotated[dict[str, float], Field(min_length=1)]

    @override
    def _check(self) -> None:
        if not any(self.weights.values()):
            raise DataError(f"view {self.text!r}: all weights are zero. Give at least one that is not.")
        super()._check()

    @property
    @override
    def portfolio(self) -> dict[str, float]:
        return {s: w for s, w in self.weights.items() if w}

    @property
    @override
    def text(self) -> str:
        return self._phrase(" + ".join(f"{w:g} {s}" for s, w in self.weights.items()) + " returns")


class Volatility(View):
    """The standard deviation of an asset's return: ``sd``, or ``times`` what it is without the view.

    A constraint only: a volatility is a property of all draws together, no single one makes it more likely.
    The expected return is held at what the other views give it.
    """

    kind: Literal["volatility"] = "volatility"
    asset: str
    sd: Annotated[float, Field(gt=0)] | None = None
    times: Annotated[float, Field(gt=0)] | None = None
    sense: Sense = "equal"

    @override
    def _check(self) -> None:
        if (self.sd is None) == (self.times is None):
            raise DataError(f"view volatility on {self.asset}: give either sd or times.")
        _constraint_only(self, "a volatility")

    @property
    @override
    def stage(self) -> int:
        return 2

    @property
    @override
    def symbols(self) -> tuple[str, ...]:
        return (self.asset,)

    @property
    @override
    def subjects(self) -> tuple[tuple[object, ...], ...]:
        return (("variance", _canonical({self.asset: 1.0})),)

    @property
    @override
    def numbers(self) -> Numbers:
        return {"times": self.times} if self.sd is None and self.times else {"sd": self.sd or 0.0}

    @property
    @override
    def text(self) -> str:
        what = f"{self.times:g} times what it was" if self.sd is None else percent(self.sd)
        return f"volatility of {self.asset} is {_WORDS[self.sense]}{what}"

    @override
    def implied(self, sample: Sample, weights: Floats) -> Numbers:
        return {"sd": _moments(sample.cut({self.asset: 1.0}), weights)[1], "times": 1.0}

    @override
    def rows(self, sample: Sample, weights: Floats) -> list[Row]:
        x, key = sample.cut({self.asset: 1.0}), _canonical({self.asset: 1.0})
        mean, sd = _moments(x, weights)
        target = self.sd if self.times is None else self.times * sd
        return [
            Row(("mean", key), x, mean),
            Row(("variance", key), np.square(x - mean), float(target or 0) ** 2, _SIGN[self.sense]),
        ]


class Correlation(View):
    """The correlation of two assets' returns.

    A constraint only, as ``Volatility``; means and standard deviations are held at what the other views give.
    """

    kind: Literal["correlation"] = "correlation"
    asset: str
    other: str
    correlation: Annotated[float, Field(gt=-1, lt=1)]
    sense: Sense = "equal"

    @override
    def _check(self) -> None:
        if self.asset == self.other:
            raise DataError(f"view {self.text!r}: an asset's correlation with itself is 1. Name another one.")
        _constraint_only(self, "a correlation")

    @property
    @override
    def stage(self) -> int:
        return 3

    @property
    @override
    def symbols(self) -> tuple[str, ...]:
        return (self.asset, self.other)

    @property
    @override
    def subjects(self) -> tuple[tuple[object, ...], ...]:
        return (("correlation", frozenset(self.symbols)),)

    @property
    @override
    def numbers(self) -> Numbers:
        return {"correlation": self.correlation}

    @property
    @override
    def text(self) -> str:
        return f"correlation of {self.asset} and {self.other} is {_WORDS[self.sense]}{self.correlation:g}"

    @override
    def implied(self, sample: Sample, weights: Floats) -> Numbers:
        x, y = (sample.cut({s: 1.0}) for s in self.symbols)
        (a, sd_a), (b, sd_b) = _moments(x, weights), _moments(y, weights)
        product = float(weights @ ((x - a) * (y - b)))
        return {"correlation": product / (sd_a * sd_b) if sd_a * sd_b > 0 else np.nan}

    @override
    def rows(self, sample: Sample, weights: Floats) -> list[Row]:
        rows, deviations, scale = [], [], 1.0
        for symbol in self.symbols:
            x, key = sample.cut({symbol: 1.0}), _canonical({symbol: 1.0})
            mean, sd = _moments(x, weights)
            rows += [
                Row(("mean", key), x, mean),
                Row(("variance", key), np.square(x - mean), sd**2),
            ]
            deviations.append(x - mean)
            scale *= sd
        feature = deviations[0] * deviations[1]
        return [*rows, Row(self.subjects[0], feature, self.correlation * scale, _SIGN[self.sense])]


class EventView(View):
    """A probability of an event that each draw decides, in shares where assets tie."""

    probability: Annotated[float, Field(ge=0, le=1)]
    sense: Sense = "equal"

    @override
    def _check(self) -> None:
        if self.semantics == "evidence":
            if self.sense != "equal":
                raise DataError(f"view {self.text!r}: sense {self.sense!r} is for constraints. Leave it out.")
            if self.probability in (0, 1):
                raise DataError(
                    f"view {self.text!r}: evidence cannot be certain. Give a probability between 0 and 1, or"
                    " make it a constraint."
                )

    @property
    def base_rate(self) -> float:
        """Probability of the event for who knows nothing: the statement says as much as it differs."""
        raise NotImplementedError

    def event(self, sample: Sample) -> Floats:
        """Share (draw,) to which the event happens in each draw."""
        raise NotImplementedError

    @property
    @override
    def numbers(self) -> Numbers:
        return {"probability": self.probability}

    @override
    def implied(self, sample: Sample, weights: Floats) -> Numbers:
        return {"probability": float(weights @ self.event(sample))}

    @override
    def rows(self, sample: Sample, weights: Floats) -> list[Row]:
        return [Row(self.subjects[0], self.event(sample), self.probability, _SIGN[self.sense])]

    @override
    def log_likelihood(self, sample: Sample) -> Floats:
        share = self.event(sample)
        if_event = self.probability / self.base_rate
        if_not = (1 - self.probability) / (1 - self.base_rate)
        return np.asarray(np.log(share * if_event + (1 - share) * if_not))

    def _phrase(self) -> str:
        return f"with probability {_WORDS[self.sense]}{self.probability:g}"


class Ordering(EventView):
    """One asset returns more than another, with a probability: "XLE above XLU with probability 0.7".

    As evidence it is the statement of someone whose odds, knowing nothing else, are ``probability`` to
    1 - ``probability``: the odds of the draws are multiplied by these. As a constraint, the probability is
    ``probability``. Ties count half.
    """

    kind: Literal["ordering"] = "ordering"
    above: str
    below: str

    @override
    def _check(self) -> None:
        if self.above == self.below:
            raise DataError(f"view {self.text!r}: an asset cannot be above itself. Name another one.")
        super()._check()

    @property
    @override
    def base_rate(self) -> float:
        return 0.5

    @property
    @override
    def symbols(self) -> tuple[str, ...]:
        return (self.above, self.below)

    @property
    @override
    def subjects(self) -> tuple[tuple[object, ...], ...]:
        return (("ordering", frozenset(self.symbols)),)

    @property
    @override
    def text(self) -> str:
        return f"{self.above} above {self.below} {self._phrase()}"

    @override
    def event(self, sample: Sample) -> Floats:
        return sample.above(self.above, self.below)


class Quantile(EventView):
    """An asset ranks in a quantile of the cross-section: "GOOG in the top fifth with probability 0.3".

    ``quantile`` 1 is the lowest. As evidence, the odds of the draws are multiplied by the odds of
    ``probability`` over those of 1/``n_quantiles``, which someone without any knowledge would give; as a
    constraint, the probability is ``probability``. Ties share their slots.
    """

    kind: Literal["quantile"] = "quantile"
    asset: str
    quantile: Annotated[int, Field(ge=1)]
    n_quantiles: Annotated[int, Field(ge=2)] = 5

    @override
    def _check(self) -> None:
        if self.quantile > self.n_quantiles:
            raise DataError(
                f"view {self.text!r}: there are {self.n_quantiles} quantiles. Give one of 1 (lowest) to"
                f" {self.n_quantiles}."
            )
        super()._check()

    @property
    @override
    def base_rate(self) -> float:
        return 1 / self.n_quantiles

    @property
    @override
    def symbols(self) -> tuple[str, ...]:
        return (self.asset,)

    @property
    @override
    def subjects(self) -> tuple[tuple[object, ...], ...]:
        return (("quantile", self.asset, self.quantile, self.n_quantiles),)

    @property
    @override
    def text(self) -> str:
        return f"{self.asset} in quantile {self.quantile} of {self.n_quantiles} {self._phrase()}"

    @override
    def event(self, sample: Sample) -> Floats:
        return sample.share_of_quantile(self.asset, self.quantile, self.n_quantiles)


AnyView = Annotated[
    Absolute | Relative | Portfolio | Volatility | Correlation | Ordering | Quantile,
    Field(discriminator="kind"),
]
KINDS: Final[dict[str, type[View]]] = by_kind(AnyView)


def _canonical(portfolio: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """Portfolio as a key that its multiples share: IVV over IEMG is the same subject as IEMG over IVV."""
    items = sorted(portfolio.items())
    return tuple((symbol, weight / items[0][1]) for symbol, weight in items)


def _constraint_only(view: View, what: str) -> None:
    if view.semantics == "evidence":
        raise DataError(
            f"view {view.text!r}: {what} is a property of all draws together; no single draw is"
            ' evidence of it. Give semantics = "constraint".'
        )


def make_view(settings: Mapping[str, Any], *, where: str = "view") -> View:
    """View of a table of settings, such as one of TOML; ``kind`` says which."""
    return read(settings, KINDS, where=where)


def from_record(record: Record) -> View:
    """View of a record that ``View.record`` made."""
    settings = dict(record.parameters)
    settings.pop("step", None)
    return KINDS[str(settings.pop("view"))].from_parameters(settings)


# -- texts -------------------------------------------------------------------------------------------------

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*%?"
_SYMBOL = r"[^\s(),:=<>%]+"
_RELATION = {"=": "equal", ">=": "at_least", "<=": "at_most"}
_STATEMENT = re.compile(
    rf"(?P<left>.+?)\s*(?P<relation>>=|<=|=)\s*(?P<mean>{_NUMBER})\s*(?P<times>x)?"
    rf"(?:\s*(?:±|\+-|\+/-)\s*(?P<sd>{_NUMBER}))?"
)
_ORDERING = re.compile(rf"(?P<above>{_SYMBOL})\s+>\s+(?P<below>{_SYMBOL})\s*:\s*(?P<p>{_NUMBER})")
_QUANTILE = re.compile(rf"(?P<asset>{_SYMBOL})\s+in\s+(?P<k>\d+)\s*/\s*(?P<n>\d+)\s*:\s*(?P<p>{_NUMBER})")
_TERM = re.compile(rf"(?P<sign>[-+]?)\s*(?:(?P<weight>\d+\.?\d*|\.\d+)\s+)?(?P<symbol>{_SYMBOL})(?:\s+|$)")


def parse(text: str, *, semantics: Semantics, confidence: float = 1.0, by: str = "") -> View:
    """View of a short text, as on the command line; ``FORMS`` shows all forms.

    Operators stand between spaces, since symbols such as BF-B contain them. Numbers are decimals, or
    percentages with a % sign.
    """
    common: dict[str, Any] = {"semantics": semantics, "confidence": confidence, "by": by}
    line = text.strip()
    if found := _ORDERING.fullmatch(line):
        return Ordering(above=found["above"], below=found["below"], probability=_number(found["p"]), **common)
    if found := _QUANTILE.fullmatch(line):
        k, n = int(found["k"]), int(found["n"])
        return Quantile(
            asset=found["asset"], quantile=k, n_quantiles=n, probability=_number(found["p"]), **common
        )
    found = _STATEMENT.fullmatch(line)
    if found is None:
        raise DataError(f"view {text!r}: not understood. Forms: {'; '.join(FORMS)}.")
    common["sense"] = _RELATION[found["relation"]]
    value, sd = _number(found["mean"]), None if found["sd"] is None else _number(found["sd"])
    left = found["left"].strip()
    function = re.fullmatch(rf"(vol|corr)\(\s*({_SYMBOL})\s*(?:,\s*({_SYMBOL})\s*)?\)", left)
    if function:
        name, one, other = function.groups()
        if name == "vol" and other is None and sd is None:
            return Volatility(asset=one, **{"times" if found["times"] else "sd": value}, **common)
        if name == "corr" and other is not None and sd is None and not found["times"]:
            return Correlation(asset=one, other=other, correlation=value, **common)
        raise DataError(f"view {text!r}: not understood. Forms: {'; '.join(FORMS)}.")
    terms = list(_TERM.finditer(left))
    if found["times"] or not terms or "".join(t[0] for t in terms).strip() != left:
        raise DataError(f"view {text!r}: not understood. Forms: {'; '.join(FORMS)}.")
    weights = {t["symbol"]: (-1 if t["sign"] == "-" else 1) * float(t["weight"] or 1) for t in terms}
    if list(weights.values()) == [1.0]:
        return Absolute(asset=next(iter(weights)), mean=value, sd=sd, **common)
    if list(weights.values()) == [1.0, -1.0]:
        one, other = weights
        return Relative(asset=one, over=other, mean=value, sd=sd, **common)
    return Portfolio(weights=weights, mean=value, sd=sd, **common)


def _number(text: str) -> float:
    text = text.replace(" ", "")
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)

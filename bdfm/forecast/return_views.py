"""Views on returns and on their moments: expected returns, volatilities, correlations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, override

import numpy as np
from pydantic import Field

from bdfm._reading import quoted
from bdfm._weights import check_shares
from bdfm.data.doubts.said import LARGEST
from bdfm.data.doubts.tables import Said
from bdfm.errors import DataError
from bdfm.forecast.moments import Moment
from bdfm.forecast.sample import Floats, Row, Sample
from bdfm.forecast.view import SIGN, WORDS, Claim, Numbers, Sense, View, percent


class ReturnView(View):
    """A statement about the return of a portfolio: its ``mean``, and ``sd`` as its ``semantics`` has it.

    Examples
    --------
    >>> from bdfm import views
    >>> view = views.parse("TLT = 2% +- 10%", semantics="evidence")
    >>> isinstance(view, views.ReturnView), view.mean, view.sd
    (True, 0.02, 0.1)
    """

    mean: Annotated[float, Field(gt=-1, le=LARGEST)]
    sd: Annotated[float, Field(gt=0, le=LARGEST)] | None = None
    sense: Sense = "equal"

    @property
    def portfolio(self) -> dict[str, float]:
        """Weight by symbol."""
        raise NotImplementedError

    @property
    @override
    def assets(self) -> tuple[str, ...]:
        return tuple(self.portfolio)

    @property
    @override
    def claims(self) -> tuple[Claim, ...]:
        key, size = canonical(self.portfolio), unit(self.portfolio)
        mean = Claim(("mean", key), SIGN[self.sense], self.mean).turned(1 / size)
        return (mean,) if self.sd is None else (mean, Claim(("variance", key), 0, self.sd / abs(size)))

    @property
    @override
    def numbers(self) -> Numbers:
        return {"mean": self.mean} | ({} if self.sd is None else {"sd": self.sd})

    @property
    @override
    def said(self) -> tuple[Said, ...]:
        size = max(1.0, sum(map(abs, self.portfolio.values())) / 2)  # of a long-short pair: 1
        where, symbol = f"view {quoted(self.text)}", next(iter(self.portfolio), "")
        mean = Said(where, symbol, "return", self.mean / size)
        return (mean,) if self.sd is None else (mean, Said(where, symbol, "sd", self.sd / size))

    @override
    def _check(self) -> None:
        if self.semantics == "evidence":
            if self.sd is None:
                raise DataError(
                    f"view {quoted(self.text)}: evidence needs an sd, the error of the statement. Give sd, or"
                    " make it a constraint."
                )
            if self.sense != "equal":
                raise DataError(
                    f"view {quoted(self.text)}: sense {self.sense!r} is for constraints. Leave it out, or"
                    " make the view a constraint."
                )

    def _phrase(self, verb: str) -> str:
        return f"{verb} {WORDS[self.sense]}{percent(self.mean)}" + (
            "" if self.sd is None else f" ± {percent(self.sd)}"
        )

    @override
    def implied(self, sample: Sample, weights: Floats) -> Numbers:
        mean, sd = _moments(sample.cut(self.portfolio), weights)
        return {"mean": mean, "sd": sd}

    @property
    @override
    def stage(self) -> int:
        return 1 if self.sd is None else 2

    @override
    def rows(self, sample: Sample) -> list[Row]:
        key = canonical(self.portfolio)
        return [Row(("mean", key), sample.cut(self.portfolio), self.mean, SIGN[self.sense])]

    @override
    def moment(self, sample: Sample, first: Floats, weights: Floats) -> Moment:
        return _spread(sample, self.portfolio, weights, self.sd or 0.0, 0)

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
    """The return of one asset over another: "IVV beats IEMG by 1 % ± 2 %"; otherwise as ``Absolute``.

    Examples
    --------
    >>> from bdfm import views
    >>> view = views.parse("IVV - IEMG >= 1%", semantics="constraint")
    >>> isinstance(view, views.Relative), str(view)
    (True, 'IVV beats IEMG by at least 1 % (constraint)')
    """

    kind: Literal["relative"] = "relative"
    asset: str
    over: str

    @override
    def _check(self) -> None:
        if self.asset == self.over:
            raise DataError(f"view {quoted(self.text)}: an asset cannot beat itself. Name another one.")
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
    """The return of any portfolio, weights by symbol, negative for short; otherwise as ``Absolute``.

    Examples
    --------
    >>> from bdfm import views
    >>> view = views.parse("0.6 SPY + 0.4 TLT = 1% +- 3%", semantics="constraint")
    >>> isinstance(view, views.Portfolio), str(view)
    (True, '0.6 SPY + 0.4 TLT returns 1 % ± 3 % (constraint)')
    """

    kind: Literal["portfolio"] = "portfolio"
    weights: Annotated[dict[str, float], Field(min_length=1)]

    @override
    def _check(self) -> None:
        if not any(self.weights.values()):
            raise DataError(f"view {quoted(self.text)}: all weights are zero. Give at least one that is not.")
        check_shares(self.weights, where=f"view {quoted(self.text)}")
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

    Examples
    --------
    >>> from bdfm import views
    >>> view = views.parse("vol(TLT) = 8%", semantics="constraint")
    >>> isinstance(view, views.Volatility), str(view)
    (True, 'volatility of TLT is 8 % (constraint)')
    """

    kind: Literal["volatility"] = "volatility"
    asset: str
    sd: Annotated[float, Field(gt=0, le=LARGEST)] | None = None
    times: Annotated[float, Field(gt=0, le=LARGEST)] | None = None
    sense: Sense = "equal"

    @property
    @override
    def said(self) -> tuple[Said, ...]:
        where = f"view {quoted(self.text)}"
        return () if self.sd is None else (Said(where, self.asset, "sd", self.sd),)

    @override
    def _check(self) -> None:
        if (self.sd is None) == (self.times is None):
            raise DataError(f"view volatility on {self.asset}: give either sd or times.")
        constraint_only(self, "a volatility")

    @property
    @override
    def stage(self) -> int:
        return 2

    @property
    @override
    def assets(self) -> tuple[str, ...]:
        return (self.asset,)

    @property
    @override
    def claims(self) -> tuple[Claim, ...]:
        sd = np.nan if self.sd is None else self.sd
        return (Claim(("variance", canonical({self.asset: 1.0})), SIGN[self.sense], sd),)

    @property
    @override
    def numbers(self) -> Numbers:
        return {"times": self.times} if self.sd is None and self.times else {"sd": self.sd or 0.0}

    @property
    @override
    def text(self) -> str:
        what = f"{self.times:g} times what it was" if self.sd is None else percent(self.sd)
        return f"volatility of {self.asset} is {WORDS[self.sense]}{what}"

    @override
    def implied(self, sample: Sample, weights: Floats) -> Numbers:
        return {"sd": _moments(sample.cut({self.asset: 1.0}), weights)[1], "times": 1.0}

    @override
    def moment(self, sample: Sample, first: Floats, weights: Floats) -> Moment:
        own = {self.asset: 1.0}
        sd = (self.times or 0.0) * _moments(sample.cut(own), first)[1] if self.sd is None else self.sd
        return _spread(sample, own, weights, sd, SIGN[self.sense])


class Correlation(View):
    """The ``correlation`` of the returns of ``asset`` and ``other``.

    A constraint only, as ``Volatility``; means and standard deviations are held at what the other views give.

    Examples
    --------
    >>> from bdfm import views
    >>> view = views.parse("corr(SPY, TLT) = -0.3", semantics="constraint")
    >>> isinstance(view, views.Correlation), str(view)
    (True, 'correlation of SPY and TLT is -0.3 (constraint)')
    """

    needs_all_to_vary: ClassVar[bool] = True

    kind: Literal["correlation"] = "correlation"
    asset: str
    other: str
    correlation: Annotated[float, Field(gt=-1, lt=1)]
    sense: Sense = "equal"

    @override
    def _check(self) -> None:
        if self.asset == self.other:
            raise DataError(
                f"view {quoted(self.text)}: an asset's correlation with itself is 1. Name another one."
            )
        constraint_only(self, "a correlation")

    @property
    @override
    def stage(self) -> int:
        return 3

    @property
    @override
    def assets(self) -> tuple[str, ...]:
        return (self.asset, self.other)

    @property
    @override
    def claims(self) -> tuple[Claim, ...]:
        return (Claim(("correlation", frozenset(self.assets)), SIGN[self.sense], self.correlation),)

    @property
    @override
    def numbers(self) -> Numbers:
        return {"correlation": self.correlation}

    @property
    @override
    def text(self) -> str:
        return f"correlation of {self.asset} and {self.other} is {WORDS[self.sense]}{self.correlation:g}"

    @override
    def implied(self, sample: Sample, weights: Floats) -> Numbers:
        x, y = (sample.cut({s: 1.0}) for s in self.assets)
        (a, sd_a), (b, sd_b) = _moments(x, weights), _moments(y, weights)
        product = float(weights @ ((x - a) * (y - b)))
        return {"correlation": product / (sd_a * sd_b) if sd_a * sd_b > 0 else np.nan}

    @override
    def moment(self, sample: Sample, first: Floats, weights: Floats) -> Moment:
        held, deviations, scale = [], [], 1.0
        for symbol in self.assets:
            x, key = sample.cut({symbol: 1.0}), canonical({symbol: 1.0})
            mean, sd = _moments(x, weights)
            deviations.append(x - mean)
            held += [
                Row(("mean", key), x, mean),
                Row(("variance", key), np.square(deviations[-1]), sd**2),
            ]
            scale *= sd
        product = Row(
            self.subjects[0], deviations[0] * deviations[1], self.correlation * scale, SIGN[self.sense]
        )
        return Moment(
            product, tuple(held), lambda w: self.correlation - self.implied(sample, w)["correlation"]
        )


def _moments(x: Floats, weights: Floats) -> tuple[float, float]:
    mean = float(weights @ x)
    return mean, float(np.sqrt(max(float(weights @ np.square(x - mean)), 0.0)))


def _spread(sample: Sample, portfolio: Mapping[str, float], weights: Floats, sd: float, sign: int) -> Moment:
    """Standard deviation of a portfolio about the mean that weights (draw,) give it, which is held."""
    x, key = sample.cut(portfolio), canonical(portfolio)
    mean, _ = _moments(x, weights)
    row = Row(("variance", key), np.square(x - mean), sd**2, sign)
    return Moment(row, (Row(("mean", key), x, mean),), lambda w: 1 - _moments(x, w)[1] / sd)


def canonical(portfolio: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """Portfolio as a key that its multiples share: IVV over IEMG is the same subject as IEMG over IVV."""
    return tuple((symbol, weight / unit(portfolio)) for symbol, weight in sorted(portfolio.items()))


def unit(portfolio: Mapping[str, float]) -> float:
    """Weight of the first symbol by name, which is 1 in the key of a portfolio."""
    return min(portfolio.items())[1]


def constraint_only(view: View, what: str) -> None:
    """Raise for evidence of what no single draw is evidence of."""
    if view.semantics == "evidence":
        raise DataError(
            f"view {quoted(view.text)}: {what} is a property of all draws together; no single draw is"
            ' evidence of it. Give semantics = "constraint".'
        )

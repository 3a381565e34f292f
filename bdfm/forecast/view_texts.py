"""Views of short texts, as on the command line."""

from __future__ import annotations

import re
from typing import Any

from bdfm import _checks, _numerals
from bdfm._reading import quoted, short
from bdfm._strict import strict
from bdfm._symbols import IN_QUOTES, NO_QUOTE, quote_fault, unquoted
from bdfm.errors import DataError
from bdfm.forecast.choices import FORMS
from bdfm.forecast.event_views import Ordering, Quantile
from bdfm.forecast.return_views import Absolute, Correlation, Portfolio, Relative, Volatility
from bdfm.forecast.tail_views import Below, Shortfall, ValueAtRisk
from bdfm.forecast.view import Semantics, View

_NUMBER = rf"{_numerals.NUMBER}\s*%?"
_SYMBOL = rf"(?:{IN_QUOTES}|{NO_QUOTE}[^\s(),:=<>%]+)"
_RELATION = {"=": "equal", ">=": "at_least", "<=": "at_most"}
_SIGNS = {"≥": ">=", "≤": "<=", "＝": "=", "＞": ">", "＜": "<", "％": "%", "：": ":", "＋": "+"}
# What stands in quotes is a symbol as it is; a plus within a word may be a symbol's
_QUOTED_OR_SIGN = re.compile(rf"(?<![^\s(,=＝])(?:{IN_QUOTES})|[≥≤＝＞＜％：]|(?<![^\s=＝,(<>≥≤±/])＋")
_STRICT = re.compile(rf"(?P<left>.+?)\s*(?P<relation>[<>])\s*(?P<value>{_NUMBER})")
_STATEMENT = re.compile(
    rf"(?P<left>.+?)\s*(?P<relation>>=|<=|=)\s*(?P<mean>{_NUMBER})\s*(?P<times>x)?"
    rf"(?:\s*(?:±|\+-|\+/-)\s*(?P<sd>{_NUMBER}))?"
)
_PAIR = re.compile(rf"(?P<asset>{_SYMBOL})\s*=\s*(?P<mean>{_NUMBER}),\s*(?P<sd>{_NUMBER})")
_ORDERING = re.compile(rf"(?P<above>{_SYMBOL})\s+>\s+(?P<below>{_SYMBOL})\s*:\s*(?P<p>{_NUMBER})")
_QUANTILE = re.compile(
    rf"(?P<asset>{_SYMBOL})\s+in\s+(?P<k>[0-9]+)\s*/\s*(?P<n>[0-9]+)\s*:\s*(?P<p>{_NUMBER})"
)
_TAIL = re.compile(
    rf"P\((?P<below>.+?)\s+<\s+(?P<bound>{_NUMBER})\s*\)"
    rf"|(?P<name>VaR|CVaR)\((?P<of>.+?)\s*,\s*(?P<level>{_NUMBER})\s*\)"
)
_TERM = re.compile(
    rf"(?P<sign>[-+]?)\s*(?:(?P<weight>[0-9]+\.?[0-9]*|\.[0-9]+)\s+)?(?P<symbol>{_SYMBOL})(?:\s+|$)"
)


@strict
def parse(text: str, *, semantics: Semantics, confidence: float = 1.0, by: str = "") -> View:
    """View of a short text, as on the command line; ``FORMS`` shows all forms.

    Operators stand between spaces, since symbols such as BF-B contain them, and a symbol that has spaces
    stands in quotes: ``'AAPL US Equity' = 2% +- 10%``. Numbers are decimals,
    or percentages with a % sign; ``TLT=0.02,0.10`` is ``TLT = 2% +- 10%``, and ``≥`` is ``>=``.
    ``semantics``, ``confidence`` and ``by`` are those of the view.

    Examples
    --------
    >>> import bdfm
    >>> view = bdfm.views.parse("TLT = 2% +- 10%", semantics="evidence")
    >>> view.asset, view.mean, view.sd
    ('TLT', 0.02, 0.1)
    >>> bdfm.views.parse("XLE > XLU : 0.7", semantics="constraint").probability
    0.7
    """
    common: dict[str, Any] = {"semantics": semantics, "confidence": confidence, "by": by}
    line = _plain(text)
    if found := _ORDERING.fullmatch(line):
        return Ordering(
            above=unquoted(found["above"]),
            below=unquoted(found["below"]),
            probability=_number(found["p"]),
            **common,
        )
    if found := _QUANTILE.fullmatch(line):
        k, n = int(found["k"]), int(found["n"])
        return Quantile(
            asset=unquoted(found["asset"]),
            quantile=k,
            n_quantiles=n,
            probability=_number(found["p"]),
            **common,
        )
    if found := _PAIR.fullmatch(line):  # as `bdfm forecast --evidence` takes it too
        refuse_decimal_comma(found["mean"], found["sd"])
        mean, error = _number(found["mean"]), _number(found["sd"])
        return Absolute(asset=unquoted(found["asset"]), mean=mean, sd=error, **common)
    found = _STATEMENT.fullmatch(line)
    if found is None:
        raise _not_understood(text)
    common["sense"] = _RELATION[found["relation"]]
    value = _number(found["mean"])
    sd = None if found["sd"] is None else _number(found["sd"])
    left = found["left"].strip()
    if tail := _TAIL.fullmatch(left):
        if sd is not None or found["times"]:
            raise _not_understood(text)
        return _tail(tail, value, text, common)
    function = re.fullmatch(rf"(vol|corr)\(\s*({_SYMBOL})\s*(?:,\s*({_SYMBOL})\s*)?\)", left)
    if function:
        name, one, other = function.groups()
        if name == "vol" and other is None and sd is None:
            return Volatility(asset=unquoted(one), **{"times" if found["times"] else "sd": value}, **common)
        if name == "corr" and other is not None and sd is None and not found["times"]:
            return Correlation(asset=unquoted(one), other=unquoted(other), correlation=value, **common)
        raise _not_understood(text)
    weights = _weights(left)
    if found["times"] or not weights:
        raise _not_understood(text)
    if list(weights.values()) == [1.0]:
        return Absolute(asset=next(iter(weights)), mean=value, sd=sd, **common)
    if list(weights.values()) == [1.0, -1.0]:
        one, other = weights
        return Relative(asset=one, over=other, mean=value, sd=sd, **common)
    return Portfolio(weights=weights, mean=value, sd=sd, **common)


def _plain(text: str) -> str:
    """Text of a view with signs of the keyboard, outside quotes."""
    signs = _QUOTED_OR_SIGN.sub(lambda found: _SIGNS.get(found[0], found[0]), text.strip())
    return _numerals.with_minus(signs)


def refuse_decimal_comma(mean: str, sd: str) -> None:
    """Raise ``DataError`` where the comma between two numbers may be that of a single one."""
    if re.fullmatch(r"[-+]?\d+", mean.strip()) and re.fullmatch(r"\d+\s*%?", sd.strip()):
        one, other = short(mean.strip()), short(sd.strip())
        raise DataError(
            f"view: {one},{other} may be one number with a decimal comma, or a mean and its error. Write"
            f" {one}.{other} for the number, or '{one} +- {other}' for the two."
        )


def _tail(found: re.Match[str], value: float, text: str, common: dict[str, Any]) -> View:
    """View on a tail of a text such as ``VaR(TLT, 95%) = 8%``, whose left side is found."""
    weights = _weights((found["below"] or found["of"]).strip())
    if not weights:
        raise _not_understood(text)
    only = next(iter(weights))
    whose: dict[str, Any] = {"asset": only} if weights == {only: 1.0} else {"weights": weights}
    if found["below"]:
        return Below(level=_number(found["bound"]), probability=value, **whose, **common)
    kind = ValueAtRisk if found["name"] == "VaR" else Shortfall
    return kind(loss=value, level=_number(found["level"]), **whose, **common)


def _weights(text: str) -> dict[str, float]:
    """Weight by symbol of a sum such as ``0.6 SPY + 0.4 TLT``; empty where it is none."""
    terms = list(_TERM.finditer(text))
    if "".join(t[0] for t in terms).strip() != text or not all(t["sign"] for t in terms[1:]):
        return {}
    symbols = [unquoted(t["symbol"]) for t in terms]
    nothing = [s for s, t in zip(symbols, terms, strict=True) if t["weight"] and not float(t["weight"])]
    if nothing:
        raise DataError(
            f"view {quoted(text)}: the weight of {_checks.first(nothing)} is 0, which says nothing. Leave it"
            " out, or give it another weight."
        )
    hint = "Name each asset once, with its whole weight."
    _checks.unique(symbols, what="asset", where=f"view {short(text)!r}", hint=hint)
    signs = [-1 if t["sign"] == "-" else 1 for t in terms]
    return {s: sign * float(t["weight"] or 1) for s, sign, t in zip(symbols, signs, terms, strict=True)}


def _not_understood(text: str) -> DataError:
    return DataError(
        f"view {quoted(text)}: not understood.{quote_fault(text)}{_comma_fault(text)}{_strict_fault(text)}"
        f" Forms: {'; '.join(FORMS)}. A symbol with"
        " spaces stands in quotes: 'AAPL US Equity' = 2% +- 10%."
    )


def _comma_fault(text: str) -> str:
    """That numbers have decimal points, with a space before it; blank where there is no comma in one."""
    found = re.search(r"(?<![\w.])\d+,\d+(?![\w.])", text)
    return f" Numbers have a decimal point: {found[0].replace(',', '.')}, not {found[0]}." if found else ""


def _strict_fault(text: str) -> str:
    """That a bound has an equals sign too, an ordering a probability; blank where there is neither."""
    found = _STRICT.fullmatch(_plain(text))
    if found is None:
        return ""
    if re.fullmatch(r"[0-9]{2,}", found["value"]):  # a symbol, as those of Hong Kong and Tokyo
        return f" One asset above another has a probability: {found[0]} : 0.7."
    return f" A bound is written {found['left']} {found['relation']}= {found['value']}."


def _number(text: str) -> float:
    text = text.replace(" ", "")
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)

"""Numbers in what a person types: one rule for views, edits, evidence, shocks and options.

Digits, a point, an exponent, and a sign before them. Word processors make other dashes of the minus; what
Python alone reads as numbers (``1_0``, ``nan``, ``inf``, digits of other scripts) is none. Tables have
``_numbers``.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from typing import Final

from bdfm._symbols import IN_QUOTES

# minus, en dash, figure dash, hyphen, hyphen that does not break, small and full-width hyphen-minus
DASHES: Final = "\u2212\u2013\u2012\u2010\u2011\ufe63\uff0d"
NUMBER: Final = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
# A dash that begins a word, or stands alone; those within a word may be a symbol's. An exponent's is a sign.
_SIGN: Final = re.compile(rf"(?<![^\s=,(:<>±+/])[{DASHES}]|(?<=\d[eE])[{DASHES}](?=\d)")
_QUOTED_OR_SIGN: Final = re.compile(rf"(?<![^\s(,=])(?:{IN_QUOTES})|{_SIGN.pattern}")


def with_minus(text: str) -> str:
    """Text in which every dash that is a sign, or stands between two terms, is the ASCII minus.

    Symbols in quotes, and dashes within words, stay.
    """
    return _QUOTED_OR_SIGN.sub(lambda x: "-" if x[0] in DASHES else x[0], text)


def number(text: str) -> float | None:
    """Number that a text is; None where it is none, or larger than a computer's can be."""
    plain = with_minus(text.strip())
    found = float(plain) if re.fullmatch(NUMBER, plain) else math.inf
    return found if math.isfinite(found) else None


def whole(text: str) -> int | None:
    """Whole number that a text is; None where it is none."""
    plain = with_minus(text.strip())
    return int(plain) if re.fullmatch(r"[-+]?[0-9]{1,4000}", plain) else None  # Python makes no longer ones


def odd(text: str) -> bool:
    """Whether Python reads a number in a text that is none by this rule, such as 1_0 or nan."""
    with suppress(ValueError):
        return number(text) is None and isinstance(float(with_minus(text)), float)
    return False

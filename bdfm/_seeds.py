"""Seeds by either name: what takes ``seed`` takes ``random_seed`` too, as PyMC calls it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from bdfm.errors import DataError

OTHER_NAME = "random_seed"


def either_seed[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Function that takes its keyword ``seed`` under the name ``random_seed`` as well, and not both."""

    @wraps(function)
    def with_either(*args: P.args, **kwargs: P.kwargs) -> R:
        if OTHER_NAME in kwargs:
            given: dict[str, Any] = dict(kwargs)
            if "seed" in given:
                raise DataError(
                    f"{function.__name__}: both seed and {OTHER_NAME} are given, which mean the same."
                    " Give one."
                )
            given["seed"] = given.pop(OTHER_NAME)
            return function(*args, **given)
        return function(*args, **kwargs)

    setattr(with_either, OTHER_NAME, True)
    return with_either

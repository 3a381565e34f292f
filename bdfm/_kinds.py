"""Things that Python programs hand over in the place of others: what came, what was expected, what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from inspect import signature
from pathlib import PurePath
from typing import Final

from bdfm._reading import short
from bdfm.errors import DataError


def of_kind(
    given: object,
    kind: type | tuple[type, ...],
    *,
    what: str,
    where: str,
    hint: str,
    expected: str = "",
) -> None:
    """Raise ``DataError`` unless it is an object of a class: what came, what was expected, what to do.

    ``expected``: what to call it all, where the caller takes more, which it has looked for itself.
    """
    if isinstance(given, kind):
        return
    kinds = kind if isinstance(kind, tuple) else (kind,)
    expected = expected or " or ".join(map(_public_name, kinds))
    raise DataError(f"{where}: {what} must be {expected}, got {_came(given)}. {hint}")


def _came(given: object) -> str:
    """What came, for a message."""
    return f"the class {given.__name__} itself" if isinstance(given, type) else kind_and_text(given)


def _public_name(kind: type) -> str:
    """Name by which a user reaches a class: of the first package from the top that shows it."""
    module, name = kind.__module__, kind.__name__
    if module.partition(".")[0] != "bdfm":
        return name
    parts = module.split(".")
    packages = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
    return next(
        (f"{p}.{name}" for p in packages if getattr(import_module(p), name, None) is kind),
        f"{module}.{name}",
    )


def texts(given: Iterable[str]) -> list[str]:
    """Names in the order given; one text is one name, where Python would take its letters."""
    return [given] if isinstance(given, str) else list(given)


# Tables of other packages, and what makes one of pandas
_CONVERTED: Final = {
    "polars": ".to_pandas()",
    "pyarrow": ".to_pandas()",
    "xarray": ".to_pandas()",
    "narwhals": ".to_pandas()",
    "cudf": ".to_pandas()",
    "ibis": ".to_pandas()",
    "dask": ".compute()",
    "dask_expr": ".compute()",
    "modin": "._to_pandas()",
    "pyspark": ".toPandas()",
    "duckdb": ".df()",
}


def kind_and_text(given: object) -> str:
    """What a thing is, for a message; texts and numbers are repeated.

    Of a table of another package it is said whose it is, and what makes one of pandas.
    """
    name, package = type(given).__name__, _package(given)
    if package in _CONVERTED:
        how = ".to_dataframe()" if name == "Dataset" else _CONVERTED[package]
        return f"{name} of {package} ({how} makes one of pandas)"
    plain = isinstance(given, str | int | float | PurePath)
    return name + (f" {short(repr(given))}" if plain else "")


def _package(given: object) -> str:
    """Package that the class of a thing is of."""
    return type(given).__module__.partition(".")[0]


# Classes of this package that functions take: the name that users have, and where one is had from
_TAKEN: Final[Mapping[str, tuple[str, str]]] = {
    "ExposureData": ("bdfm.exposures.ExposureData", "Make it by its from_prices(prices, factors)."),
    "FactorModel": ("bdfm.FactorModel", 'Such as bdfm.FactorModel.from_preset("house").'),
    "Forecast": ("bdfm.Forecast", "Such as posterior.forecast(seed=1), or bdfm.Forecast.load(path)."),
    "Ledger": ("bdfm.ledger.ledger.Ledger", "Open it by Ledger.open(folder)."),
    "MarketData": ("bdfm.backtest.MarketData", "Make it by MarketData.of(prices, universe)."),
    "Panel": ("bdfm.Panel", "Make it of prices by bdfm.Panel.from_prices."),
    "Posterior": ("bdfm.Posterior", "Such as bdfm.fit(model, panel, seed=1), or bdfm.Posterior.load(path)."),
    "RiskModel": ("bdfm.risk.RiskModel", "Such as bdfm.risk.StatisticalEstimator(3).fit(returns)."),
    "Run": ("bdfm.backtest.Run", "walk_forward(...) gives it, and Run.load(folder) one that is there."),
}
_BY_NAME: Final = re.compile(r"Mapping\[str, (\w+)\]")


@cache
def taken(function: Callable[..., object]) -> dict[str, tuple[str, bool, bool]]:
    """Parameters that take objects of this package, from their annotations.

    The class of each, whether it takes several by name, and whether None will do. Classes are known by name:
    those for type checkers alone need not be imported.
    """
    found = {}
    for name, parameter in signature(function).parameters.items():
        text = str(parameter.annotation)
        several = _BY_NAME.match(text)
        kind = several[1] if several else text.removesuffix(" | None")
        if kind in _TAKEN:
            found[name] = (kind, several is not None, text.endswith("| None"))
    return found


@cache
def tables(function: Callable[..., object]) -> tuple[str, ...]:
    """Parameters that take tables of pandas and no other array, from their annotations."""
    every = signature(function).parameters.items()
    kinds = {name: str(p.annotation).split(" | ") for name, p in every}
    return tuple(
        name
        for name, own in kinds.items()
        if "pd.DataFrame" in own and all(kind == "None" or kind.startswith("pd.") for kind in own)
    )


def refuse_other_table(given: object, name: str, *, where: str) -> None:
    """Raise ``DataError`` for a table of another package; what else there is, the function itself knows."""
    if _package(given) in _CONVERTED:
        raise DataError(f"{where}: {name} must be a DataFrame of pandas, got {_came(given)}. Convert it.")


def look(given: object, name: str, kind: str, several: bool, optional: bool, *, where: str) -> None:
    """Raise ``DataError`` unless an argument is of the class of that name, or such objects by name."""
    if given is None and optional:
        return
    called, hint = _TAKEN[kind]
    if several and not isinstance(given, Mapping):
        hint = f'{hint} Give it a name: {{"mine": ...}}.'
        raise DataError(f"{where}: {name} must be {called} by name, got {_came(given)}. {hint}")
    for one in given.values() if isinstance(given, Mapping) and several else [given]:
        if kind not in (c.__name__ for c in type(one).__mro__):  # by name: the class need not be imported
            raise DataError(f"{where}: {name} must be {called}, got {_came(one)}. {hint}")

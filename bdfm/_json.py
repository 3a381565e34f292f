"""JSON that every reader takes: numbers that are not finite are null, for which JSON has no other word."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any


def text(value: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None) -> str:
    """JSON text; ``default`` makes something else of what JSON has no type for."""
    return json.dumps(_plain(value), indent=indent, default=default, allow_nan=False)


def table(content: str | bytes) -> dict[str, Any]:
    """The table that a JSON text holds; ``ValueError`` for whatever else, be it nested without end."""
    try:
        found = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError(f"a table was expected, not a {type(found).__name__}")
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {k: _plain(x) for k, x in value.items()}
    return [_plain(x) for x in value] if isinstance(value, list | tuple) else value

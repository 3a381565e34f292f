"""Bounds of what is chosen about data: light, since the command line shows them."""

from __future__ import annotations

from typing import Final

MAX_DAYS: Final = 36_500  # of a period or a history: a century
MAX_HORIZON: Final = 260  # periods ahead

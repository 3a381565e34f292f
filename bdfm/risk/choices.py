"""Kinds of risk models that can be made from files: light, since the command line shows them."""

from enum import StrEnum


class Kind(StrEnum):
    """Models that can be made from prices."""

    TIME_SERIES = "time-series"
    CROSS_SECTIONAL = "cross-sectional"
    STATISTICAL = "statistical"

"""Validation of risk models: whether to believe them, and where not."""

from bdfm.validation.out_of_sample import (
    OutOfSample,
    compare_forecasts,
    cross_validate,
    trial_portfolios,
    walk_forward,
)
from bdfm.validation.report import Check, ValidationReport, validate
from bdfm.validation.selection import FactorSelection, published, select_factors

__all__ = [
    "Check",
    "FactorSelection",
    "OutOfSample",
    "ValidationReport",
    "compare_forecasts",
    "cross_validate",
    "published",
    "select_factors",
    "trial_portfolios",
    "validate",
    "walk_forward",
]

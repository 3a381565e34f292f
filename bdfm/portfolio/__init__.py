"""What to hold given a forecast: decisions, and the risk of a portfolio."""

from typing import TYPE_CHECKING

from bdfm._lazy import modules_of

if not TYPE_CHECKING:  # which sees the modules by itself
    __getattr__ = modules_of(__name__)

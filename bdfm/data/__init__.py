"""Data of a forecast: tables read and checked, periods, features, and the panel that holds them."""

from typing import TYPE_CHECKING

from bdfm._lazy import modules_of

if not TYPE_CHECKING:  # which sees the modules by itself
    __getattr__ = modules_of(__name__)

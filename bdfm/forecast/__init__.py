"""A joint forecast as weighted draws, and the edits, views and ranks that work on it."""

from typing import TYPE_CHECKING

from bdfm._lazy import modules_of

if not TYPE_CHECKING:  # which sees the modules by itself
    __getattr__ = modules_of(__name__)

"""A book of months: what was forecast and decided, entered once, never changed, judged when it is over."""

from typing import TYPE_CHECKING

from bdfm._lazy import modules_of

if not TYPE_CHECKING:  # which sees the modules by itself
    __getattr__ = modules_of(__name__)

"""Files in, folders of results out: a month, a book's risk and stress, a check of data; and pages."""

from typing import TYPE_CHECKING

from bdfm._lazy import modules_of

if not TYPE_CHECKING:  # which sees the modules by itself
    __getattr__ = modules_of(__name__)

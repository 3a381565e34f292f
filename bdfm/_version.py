"""Version of the installed package; in a module of its own, since the reader of metadata takes 30 ms."""

from importlib.metadata import version
from typing import Final

__version__: Final = version("bdfm")

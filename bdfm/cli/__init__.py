"""Command line: parses, calls the package, prints."""

from bdfm.cli.app import main

__all__ = ["main"]

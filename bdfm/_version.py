"""Version of the package; in a module of its own, since the reader of metadata takes 30 ms."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final


def _own_version() -> str:
    """That of the installed package; of a tree that is not installed the one its pyproject.toml declares."""
    try:
        return version("bdfm")
    except PackageNotFoundError:
        import tomllib  # which an installed package never needs

        project = Path(__file__).parents[1] / "pyproject.toml"
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])


__version__: Final = _own_version()

"""What kind of file a name says that it is, and what is to be written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bdfm.errors import FileError

# What a file is, by how its name ends; the first end of a kind is the one to be advised.
_KINDS: Final = {
    "a NetCDF file": (".nc", ".h5", ".hdf5", ".netcdf"),
    "a workbook": (".xlsx",),
    "an archive of arrays": (".npz",),
    "a picture": (".png",),
    "an HTML page": (".html", ".htm"),
    "a CSV table": (".csv",),
    "a run file": (".toml",),
    "a text": (".txt", ".json", ".md"),
    # never written here
    "a PDF file": (".pdf",),
    "another kind of picture": (".jpg", ".jpeg", ".svg", ".gif"),
    "a compressed file": (".gz", ".zip", ".bz2", ".xz", ".zst"),
    "a workbook of another form": (".xls", ".xlsb", ".xlsm", ".ods"),
    "another kind of table": (".parquet", ".feather", ".tsv", ".pkl", ".pickle"),
}
_NAMED: Final = {end: kind for kind, ends in _KINDS.items() for end in ends}
# Kinds that the name of what is written may say
NETCDF: Final = ("a NetCDF file",)
PAGE: Final = ("an HTML page",)
TABLE: Final = ("a CSV table", "a text")
RUN: Final = ("a run file",)
# First bytes of what is written here, in small letters
_FORMS: Final = {
    b"\x89hdf": NETCDF,
    b"pk\x03\x04": ("a workbook", "an archive of arrays"),
    b"\x89png": ("a picture",),
    b"<!doctype html": PAGE,
    b"id,rank1": TABLE,
}
_TEXTS: Final = ("a text", "a CSV table", "a run file")


def form_of(begins: bytes) -> bytes | None:
    """First bytes of the form that this package writes which a content begins with; None for a text."""
    return next((form for form in _FORMS if begins.lower().startswith(form)), None)


def kinds_of(form: bytes | None) -> tuple[str, ...]:
    """Kinds that a content of a form may be."""
    return _TEXTS if form is None else _FORMS[form]


def check(path: Path, kinds: Sequence[str]) -> None:
    """Raise where the end of a name says that a file is none of these kinds; ends without a meaning pass."""
    said = _NAMED.get(path.suffix.casefold())
    if said is not None and said not in kinds:
        raise FileError(
            f"{path}: {kinds[0]} is to be written, and the name says {said}. Let the name end in"
            f" {_KINDS[kinds[0]][0]}."
        )

"""Bytes of a file as text (CSV, Excel) or as a table (Parquet); what is neither is refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import pandas as pd

from bdfm import _checks
from bdfm._reading import Reading, counted
from bdfm.data.reading import excel
from bdfm.errors import DataError, FileError

MAX_BYTES: Final = 4 << 30  # of an unpacked file
_BLANK: Final = b"\0 \t\r\n"
_PACKED: Final = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
_NO_TABLES: Final = (  # first bytes, what it is, what to do
    (
        b"\xd0\xcf\x11\xe0",
        "an old Excel or Office file (.xls), or one with a password",
        "Save it as .xlsx or CSV.",
    ),
    (b"%PDF", "a PDF file", "Export the table as CSV or .xlsx."),
    (b"\x28\xb5\x2f\xfd", "packed with Zstandard", "Unpack it first."),
    (b"7z\xbc\xaf", "a 7-Zip archive", "Unpack it first."),
    (b"Rar!", "a RAR archive", "Unpack it first."),
    (b"SQLite format 3", "a database (SQLite)", "Export the table as CSV or Parquet."),
    (b"\x89HDF", "an HDF5 file", "Write the table as CSV or Parquet."),
    (b"\x89PNG", "a picture (PNG)", "A table was expected."),
    (b"\xff\xd8\xff", "a picture (JPEG)", "A table was expected."),
    (b"ARROW1", "an Arrow (Feather) file", "Write the table as Parquet: to_parquet."),
    (b"FEA1", "an old Feather file", "Write the table as Parquet: to_parquet."),
)
_OTHER_SHEETS: Final = {  # a file inside the archive, and what the archive is
    "xl/workbook.bin": "a binary Excel file (.xlsb)",
    "content.xml": "an OpenDocument file (.ods)",
    "Index/Document.iwa": "a Numbers file",
    "word/document.xml": "a Word document (.docx)",
}
_NAMES: Final = {"utf-16": "UTF-16", "cp1252": "Windows-1252 (Latin-1)", "utf-32": "UTF-32"}


def content(path: Path, *, what: str, reading: Reading) -> str | pd.DataFrame:
    """Text of a file of texts, or the table of a Parquet file.

    A sheet of Excel comes as text with commas. Raises ``FileError`` where the file is missing, empty,
    damaged, or none of these.
    """
    file, _ = excel.split_sheet(path)
    reading.file = path.name
    raw = _checks.existing_bytes(file, what=what)
    return _unpacked(raw, path, what, reading, depth=0)


def _unpacked(raw: bytes, path: Path, what: str, reading: Reading, *, depth: int) -> str | pd.DataFrame:
    if not raw[:4096].strip(_BLANK) and not raw.strip(_BLANK):
        inside = " inside its packing" if depth else ""
        raise FileError(f"{what}: {path} is empty{inside}. A table with a header was expected.")
    packed = next((name for start, name in _PACKED.items() if raw.startswith(start)), "")
    if (packed or raw.startswith(b"PK\x03\x04") or raw.startswith(b"PK\x05\x06")) and depth > 2:
        raise FileError(f"{what}: {path} is packed more than twice. Unpack it first.")
    if packed:
        open_: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
        try:
            with open_[packed](io.BytesIO(raw)) as file:
                inner = file.read(MAX_BYTES + 1)
        except (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise FileError(
                f"{what}: {path} is cut off or damaged ({line(error)}). Get a whole copy."
            ) from error
        if len(inner) > MAX_BYTES:
            raise FileError(f"{what}: {path} unpacks to more than {MAX_BYTES >> 30} GiB. Unpack it first.")
        _contained(reading, packed)
        return _unpacked(inner, path, what, reading, depth=depth + 1)
    if raw.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zipped(raw, path, what, reading, depth)
    if raw.startswith(b"PAR1"):
        return _parquet(raw, path, what, reading)
    for start, name, advice in _NO_TABLES:
        if raw.startswith(start):
            raise FileError(f"{what}: {path} is {name}. {advice}")
    return _decoded(raw, path, what, reading)


def _zipped(raw: bytes, path: Path, what: str, reading: Reading, depth: int) -> str | pd.DataFrame:
    """Content of the one file in a zip archive; an Excel workbook is such an archive too."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            names = [i.filename for i in archive.infolist()]
            if "xl/workbook.xml" in names:
                return _sheet(raw, path, what, reading)
            for inside, name in _OTHER_SHEETS.items():
                if inside in names:
                    raise FileError(f"{what}: {path} is {name}. Save it as .xlsx or CSV.")
            members = [
                i
                for i in archive.infolist()
                if not i.is_dir()
                and not i.filename.startswith("__MACOSX/")
                and not i.filename.rpartition("/")[2].startswith(".")
            ]
            if len(members) != 1:
                shown = _checks.first(i.filename for i in members) or "none"
                raise FileError(
                    f"{what}: {path} holds {counted(len(members), 'file')} ({shown}). Unpack it and give"
                    " the one with"
                    " the"
                    " table."
                )
            if members[0].file_size > MAX_BYTES:
                raise FileError(
                    f"{what}: {path} unpacks to {members[0].file_size / 2**30:.0f} GiB. Unpack it first."
                )
            inner = archive.read(members[0])
    except (zipfile.BadZipFile, EOFError, OSError, zlib.error, lzma.LZMAError, ValueError, KeyError) as error:
        if isinstance(error, FileError | DataError):
            raise
        raise FileError(f"{what}: {path} is cut off or damaged ({line(error)}). Get a whole copy.") from error
    except (RuntimeError, NotImplementedError) as error:
        raise FileError(f"{what}: {path} cannot be unpacked ({line(error)}). Unpack it first.") from error
    _contained(reading, f"zip ({members[0].filename})")
    return _unpacked(inner, path, what, reading, depth=depth + 1)


def _sheet(raw: bytes, path: Path, what: str, reading: Reading) -> str:
    """Cells of a sheet of a workbook as text with commas."""
    book, wanted = excel.split_sheet(path)
    name, text = excel.sheet_text(raw, book, what, wanted)
    _contained(reading, f"Excel (sheet {name})")
    return text


def _parquet(raw: bytes, path: Path, what: str, reading: Reading) -> pd.DataFrame:
    try:
        table = pd.read_parquet(io.BytesIO(raw))
    except MemoryError:  # says nothing of the file
        raise
    except Exception as error:  # pyarrow reports damage by many
        raise FileError(f"{what}: {path} is cut off or damaged ({line(error)}). Get a whole copy.") from error
    _contained(reading, "Parquet")
    table.attrs = {}
    return table


_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x19\x1b-\x1f]")  # that no text has: not tab, line and page ends


def _decoded(raw: bytes, path: Path, what: str, reading: Reading) -> str:
    """Text of bytes: UTF-8, UTF-16 or 32, or else Windows-1252; ``FileError`` for what is no text."""
    if raw.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        tries = ["utf-32"]
    elif raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        tries = ["utf-16"]
    elif b"\0" in raw[:1000]:
        even, odd = raw[:1000:2].count(0), raw[1:1000:2].count(0)
        few = min(len(raw), 1000) // 20
        tries = (
            ["utf-16-be"]
            if even > 6 * few and odd < few
            else ["utf-16-le"]
            if odd > 6 * few and even < few
            else []
        )
    else:
        tries = ["utf-8-sig", "cp1252"]
    for coding in tries:
        try:
            text = raw.decode(coding)
        except UnicodeDecodeError:
            continue
        if not text[:5000].strip("\ufeff \t\r\n\0") and not text.strip("\ufeff \t\r\n\0"):
            raise FileError(f"{what}: {path} is empty. A table with a header was expected.")
        start = text[:100_000]
        odd_ones = len(_CONTROLS.findall(start))
        if "\0" in text or odd_ones > len(start) / 1000:
            break
        if coding != "utf-8-sig":
            reading.encoding = _NAMES.get(coding.removesuffix("-le").removesuffix("-be"), coding)
        _no_page(text, path, what)
        return text
    raise FileError(
        f"{what}: {path} is not a table: it holds bytes that are no text. CSV, .xlsx, Parquet, or one of"
        " these in gzip"
        " or zip was expected."
    )


def _no_page(text: str, path: Path, what: str) -> None:
    """Raise ``FileError`` for a web page or JSON under the name of a table."""
    start = text.lstrip("\ufeff \t\r\n")[:2000].lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body", "<table", "<script", "<div")) or (
        start.startswith(("<?xml", "<!--")) and "<html" in start
    ):
        raise FileError(
            f"{what}: {path} is a web page, not a table. The download gave a page instead, such as one to"
            " log in:"
            " open it in a browser, and get the file again."
        )
    if start.startswith("<?xml"):
        raise FileError(f"{what}: {path} is XML, not a table. Save it as CSV or .xlsx.")
    if start.startswith(("{", "[{", "[[")):
        raise FileError(f"{what}: {path} is JSON, not a table. Write it as CSV or Parquet.")


def _contained(reading: Reading, name: str) -> None:
    """Add what is inside a packing."""
    reading.container = f"{reading.container}, {name}" if reading.container else name


def line(error: BaseException) -> str:
    """First line of a library's message, cut where it is long."""
    return str(error).strip().partition("\n")[0].rstrip(".")[:200]

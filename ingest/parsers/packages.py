"""Office files and books are zip packages of XML: checked here before anything else reads them."""

import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree.ElementTree import ParseError

from lxml import etree

from catalog.errors import InvalidFile, ParseLimitExceeded

# XML of one package, unpacked. A tree in memory takes about ten times that.
_MAX_XML_BYTES = 256 * 1024 * 1024
# Real documents pack 5 to 50 times (the most regular spreadsheets 100); decompression bombs about 1000 times.
_MAX_RATIO = 200
_RATIO_COUNTS_FROM_BYTES = 16 * 1024 * 1024
# Declarations come before the first element, which Office writes within some hundred bytes.
_PROLOG_BYTES = 1024 * 1024
_FIRST_ELEMENT = re.compile(rb"<[A-Za-z_]")
_OFFICE_SUFFIXES = (".xml", ".rels", ".vml")
_BOOK_SUFFIXES = (".xml", ".opf", ".ncx", ".xhtml", ".html", ".htm")


def check_package(path: Path, filename: str) -> None:
    """Refuse a package that would unpack to far more than it is, or whose XML declares entities.

    Raises ParseLimitExceeded and InvalidFile.
    """
    with reading(filename), zipfile.ZipFile(path) as package:
        for member in _checked_members(package, filename, _OFFICE_SUFFIXES):
            _check_prolog(package, member, filename)


def check_book(path: Path, filename: str) -> None:
    """Refuse a book that would unpack to far more than it is; its pages may name the DTD of HTML.

    Raises ParseLimitExceeded and InvalidFile.
    """
    with reading(filename), zipfile.ZipFile(path) as package:
        for _ in _checked_members(package, filename, _BOOK_SUFFIXES):
            pass


def _checked_members(package: zipfile.ZipFile, filename: str, suffixes: tuple[str, ...]) -> Iterator[zipfile.ZipInfo]:
    total = 0
    for member in package.infolist():
        if member.filename.lower().endswith(suffixes):
            total += member.file_size
            _check_size(member, total, filename)
            yield member


def _check_size(member: zipfile.ZipInfo, total: int, filename: str) -> None:
    if is_bomb(member) or total > _MAX_XML_BYTES:
        raise ParseLimitExceeded(
            f"{filename!r} unpacks to {total // 2**20} MiB at {member.filename!r}; the limit is "
            f"{_MAX_XML_BYTES // 2**20} MiB and {_MAX_RATIO} times the packed size: split the document"
        )


def is_bomb(*members: zipfile.ZipInfo) -> bool:
    """Tell whether members of a zip file are large together, and packed more tightly than any real document."""
    size, packed = sum(one.file_size for one in members), sum(one.compress_size for one in members)
    return size > _RATIO_COUNTS_FROM_BYTES and size / max(packed, 1) > _MAX_RATIO


def _check_prolog(package: zipfile.ZipFile, member: zipfile.ZipInfo, filename: str) -> None:
    """Refuse a document type declaration: Office never writes one, entity bombs need one."""
    with package.open(member) as part:
        prolog = _FIRST_ELEMENT.split(part.read(_PROLOG_BYTES).replace(b"\0", b""), maxsplit=1)[0]
    if b"<!DOCTYPE" in prolog or b"<!ENTITY" in prolog:
        raise InvalidFile(
            f"{filename!r} declares XML entities in {member.filename!r}, which Office files never do; "
            "save it anew with an office program"
        )


_DAMAGE: tuple[type[Exception], ...] = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, etree.LxmlError, ParseError, EOFError, OSError,
    LookupError, ValueError, ArithmeticError, AttributeError, TypeError, AssertionError, RuntimeError,
)  # fmt: skip


@contextmanager
def reading(filename: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn what the zip, XML and Office libraries raise on damaged files into InvalidFile, and `errors` likewise."""
    raised = (*_DAMAGE, *errors)
    try:
        yield
    except RecursionError as exc:
        raise InvalidFile(f"{filename!r} is nested too deeply to be read; flatten it and upload again") from exc
    except raised as exc:
        raise InvalidFile(
            f"{filename!r} is damaged ({type(exc).__name__}: {exc}); save it anew in its program and upload again"
        ) from exc

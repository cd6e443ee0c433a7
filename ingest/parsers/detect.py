"""What kind of file this is, from its content; the name decides only between kinds of text."""

import lzma
import mmap
import re
import struct
import zipfile
import zlib
from pathlib import Path

from catalog.errors import InvalidFile, UnsupportedFile
from ingest.parsers import media_types
from ingest.parsers.decoding import is_text, read_text
from ingest.parsers.json import media_type_of_json

# ISO 32000 wants `%PDF-` first, readers (and so writers) accept it within the first kilobyte.
_PDF_HEADER_WITHIN = 1024
_HEAD_BYTES = 8192

_SUPPORTED = (
    "supported are PDF, Word, PowerPoint, Excel, OpenDocument, EPUB, RTF, HTML, XML, JSON, Markdown, CSV, "
    "e-mail (.eml, .msg), text, images (PNG, JPEG, TIFF, GIF, BMP, WebP), and ZIP archives of these"
)

_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# Stream names in a compound file's directory, which stores them in UTF-16.
_OLE_STREAMS = (
    ("WordDocument", "application/msword", "save it as .docx"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint", "save it as .pptx"),
    ("Workbook", "application/vnd.ms-excel", "save it as .xlsx"),
)

_OUTLOOK_STREAM = "__properties_version1.0"

_IMAGE_MAGIC = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), media_types.PNG),
    (re.compile(rb"\xff\xd8\xff"), media_types.JPEG),
    (re.compile(rb"GIF8[79]a"), media_types.GIF),
    # The second is for files of more than 4 GiB, which many a program writes for small ones too.
    (re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+"), media_types.TIFF),
    # Its size, reserved zeros, where the pixels begin, and the length of its second header, by version.
    (re.compile(rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}", re.DOTALL), media_types.BMP),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), media_types.WEBP),
)

# What telephones name their photos inside a container that videos share.
_HEIC_BRANDS = (b"heic", b"heix", b"mif1")

_BINARY_MAGIC = (
    (b"\x1f\x8b", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\x7fELF", "application/x-elf"),
    (b"MZ", "application/vnd.microsoft.portable-executable"),
    (b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (b"OggS", "application/ogg"),
    (b"ID3", "audio/mpeg"),
)

_ARCHIVES = (
    "application/gzip", "application/x-bzip2", "application/x-xz", "application/x-7z-compressed",
    "application/vnd.rar", "application/zstd", "application/x-tar",
)  # fmt: skip
# Members by which other programs' zip packages are known: to unpack these would help nobody.
_FOREIGN_PACKAGES = (
    ("Index/Document.iwa", "an Apple iWork document", "export it as PDF"),
    ("Index.zip", "an Apple iWork document", "export it as PDF"),
    ("META-INF/MANIFEST.MF", "a Java program", "upload the documents in it"),
    ("AndroidManifest.xml", "an Android program", "upload the documents in it"),
)

# What the list of the parts has in it in every package of Office's kind, whoever made it.
_OPEN_PACKAGING = b"package/2006/content-types"
# Main part of an Office package by its content type, as `[Content_Types].xml` states it.
_OFFICE_PARTS = (
    (b"wordprocessingml.document.main+xml", media_types.DOCX),
    (b"presentationml.presentation.main+xml", media_types.PPTX),
    (b"presentationml.slideshow.main+xml", media_types.PPTX),
    (b"spreadsheetml.sheet.main+xml", media_types.XLSX),
)


def detect_media_type(path: Path, filename: str) -> str:
    """Return the media type of the file at `path`, one that a parser exists for.

    Raises InvalidFile (empty, damaged or encrypted container) and UnsupportedFile, whose message names the type
    that was found.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise InvalidFile(f"{filename!r} is empty (0 bytes); upload the file again")
    # First: the other formats may begin, or in a zip archive end, after something else.
    image = next((kind for magic, kind in _IMAGE_MAGIC if magic.match(head)), None)
    if image:
        return image
    if b"%PDF-" in head[:_PDF_HEADER_WITHIN]:
        return media_types.PDF
    if head.startswith(_OLE_MAGIC):
        if _is_outlook(path):
            return media_types.OUTLOOK
        raise _compound_file_error(path, filename)
    if head.startswith(b"PK\x03\x04") or zipfile.is_zipfile(path):
        return _zip_media_type(path, filename)
    if head.startswith(b"{\\rtf"):
        return media_types.RTF
    if not is_text(head):
        raise _unsupported(filename, _binary_media_type(head))
    return _text_media_type(path, head, filename)


def _text_media_type(path: Path, head: bytes, filename: str) -> str:
    """Choose among text formats: the name where it is one of theirs, else what the first lines look like."""
    by_name = media_types.TEXT_BY_SUFFIX.get(media_types.suffix_of(filename))
    if by_name:
        return by_name
    start = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return media_types.HTML
    if start.startswith(b"<?xml"):
        return media_types.HTML if b"<html" in start else media_types.XML
    if start.startswith((b"received: ", b"return-path: ", b"mime-version: ", b"delivered-to: ")):
        return media_types.EMAIL
    is_json = start.startswith((b"{", b"[")) and media_type_of_json(read_text(path))
    return is_json or media_types.PLAIN


def _binary_media_type(head: bytes) -> str:
    if head[4:8] == b"ftyp":
        return "image/heic" if head[8:12] in _HEIC_BRANDS else "video/mp4"
    if head[257:262] == b"ustar":
        return "application/x-tar"
    return next((kind for magic, kind in _BINARY_MAGIC if head.startswith(magic)), "application/octet-stream")


def _is_outlook(path: Path) -> bool:
    """Tell whether a compound file is a message: by its root, as messages and documents hold each other."""
    import olefile  # type: ignore[import-untyped] # It has no annotations.

    from ingest.parsers.packages import reading

    try:
        with reading(path.name), olefile.OleFileIO(path) as compound:
            return bool(compound.exists(_OUTLOOK_STREAM))
    except InvalidFile:  # The directory is damaged; what the file was is found by its bytes.
        return False


def _compound_file_error(path: Path, filename: str) -> InvalidFile | UnsupportedFile:
    """Tell an encrypted new Office file from an old one and from a damaged message: all are OLE2 compound files."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find("EncryptedPackage".encode("utf-16-le")) >= 0:
            return InvalidFile(f"{filename!r} is encrypted; remove the password and upload again")
        for stream, media_type, way_out in _OLE_STREAMS:
            if content.find(stream.encode("utf-16-le")) >= 0:
                return _unsupported(filename, media_type, way_out)
        if content.find(_OUTLOOK_STREAM.encode("utf-16-le")) >= 0:
            return InvalidFile(f"{filename!r} is a damaged Outlook message; save it again, or as .eml")
    return _unsupported(filename, "application/x-ole-storage")


def _zip_media_type(path: Path, filename: str) -> str:
    """Return the type of an office document, of a book, or of an archive that is none of these."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            office = _office_media_type(archive, filename) if "[Content_Types].xml" in names else ""
            declared = _declared_type(archive) if "mimetype" in names else ""
    except (
        zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError, RuntimeError,
    ) as exc:  # fmt: skip
        raise InvalidFile(f"{filename!r} is a damaged zip container ({exc}); upload the file again") from exc
    if office:
        return office
    # A template is a document of its kind.
    known = declared.removesuffix("-template")
    if known in (media_types.ODT, media_types.ODP, media_types.ODS, media_types.EPUB):
        return known
    if declared.startswith("application/vnd.oasis.opendocument"):
        raise _unsupported(filename, declared, "save it as PDF")
    if declared:
        raise _unsupported(filename, declared)
    for member, kind, way_out in _FOREIGN_PACKAGES:
        if member in names:
            raise _unsupported(filename, kind, way_out)
    return media_types.ZIP


def _declared_type(archive: zipfile.ZipFile) -> str:
    """Return the type that a package names in its member `mimetype`; "" where that is a file of another purpose."""
    with archive.open("mimetype") as part:
        declared = part.read(100).decode("latin-1").strip()
    return declared if re.fullmatch(r"[\w.+-]+/[\w.+-]+", declared) else ""


def _office_media_type(archive: zipfile.ZipFile, filename: str) -> str:
    """Return the type that `[Content_Types].xml` declares; "" where that is a file of another purpose."""
    with archive.open("[Content_Types].xml") as part:
        content_types = part.read(1 << 20)
    for marker, media_type in _OFFICE_PARTS:
        if marker in content_types:
            return media_type
    if b"macroEnabled" in content_types:
        raise _unsupported(filename, "an Office file with macros", "save it without macros (.docx, .pptx or .xlsx)")
    if _OPEN_PACKAGING in content_types:
        raise _unsupported(filename, "a package of Office's kind without a document in it")
    return ""


def _unsupported(filename: str, media_type: str, way_out: str = "") -> UnsupportedFile:
    if media_type in _ARCHIVES:
        way_out = "unpack it and upload the files, or pack them as .zip"
    return UnsupportedFile(f"{filename!r} is {media_type}, which no parser reads; {way_out or _SUPPORTED}")

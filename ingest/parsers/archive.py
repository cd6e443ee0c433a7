"""ZIP archives. The document is the table of contents; the files go into a folder, to become documents of their own.

Nothing that an archive says of itself is trusted: names are data, sizes are counted while the bytes come out.
"""

import lzma
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from catalog import filenames
from catalog.errors import DocumentRejected, InvalidFile, ParseLimitExceeded, ServiceUnavailable
from ingest.documents import Category, DocumentBuilder, Member, ParsedDocument
from ingest.parsers import media_types
from ingest.parsers.detect import detect_media_type
from ingest.parsers.packages import is_bomb, reading
from ingest.unpacking import Unpacking

_MAX_PATH_CHARS: Final = 1024
_PIECE_BYTES: Final = 1 << 20
# zipfile unpacks all that it reads at once where the method is bzip2 or LZMA: 4 KiB can become 80 MiB, not more.
_SMALL_PIECE_BYTES: Final = 1 << 12
_METHODS: Final = {
    zipfile.ZIP_STORED: _PIECE_BYTES,
    zipfile.ZIP_DEFLATED: _PIECE_BYTES,
    zipfile.ZIP_BZIP2: _SMALL_PIECE_BYTES,
    zipfile.ZIP_LZMA: _SMALL_PIECE_BYTES,
}
_LOCAL_HEADER_BYTES: Final = 30
_ENCRYPTED_FLAG: Final = 0x1
_UTF_8_FLAG: Final = 0x800
_ENCRYPTED: Final = "encrypted"
_HIDDEN: Final = "hidden"
_NAMED_IN_WARNING: Final = 5
# What zipfile and the decompressors raise on damaged data; RuntimeError includes what they do not implement.
_DAMAGE: Final = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError, RuntimeError,
)  # fmt: skip


class ArchiveParser:
    """Parser of ZIP archives that are no Office file or book; without an `Unpacking` the files are read and dropped."""

    def __init__(self, unpacking: Unpacking | None = None) -> None:
        self._unpacking = unpacking

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        """Unpack what can be unpacked, and list it; what cannot is a warning with the reason.

        Raises InvalidFile when nothing can be unpacked, ParseLimitExceeded for a bomb or too large an archive,
        ServiceUnavailable when there is no room for the files.
        """
        if self._unpacking is None:
            with TemporaryDirectory() as folder:
                return _unpack(path, filename, Unpacking(folder=Path(folder)))
        return _unpack(path, filename, self._unpacking)


class _Refused(Exception):
    """A member that is not unpacked, and why."""


def _unpack(path: Path, filename: str, unpacking: Unpacking) -> ParsedDocument:
    with reading(filename):
        archive = zipfile.ZipFile(path)
    with archive:
        entries = [(clean_path(info), info) for info in archive.infolist() if not _is_folder(info)]
        _check_overlap(archive, filename)
        members, refused = _Unpacker(archive, filename, unpacking).run(entries)
    if not members:
        raise _nothing_in(filename, refused)
    return _table_of_contents(filename, members, refused)


class _Unpacker:
    """Writes the members of one archive that may be written."""

    def __init__(self, archive: zipfile.ZipFile, filename: str, unpacking: Unpacking) -> None:
        self._archive = archive
        self._filename = filename
        self._folder = unpacking.folder
        self._limits = unpacking.limits
        self._members: list[Member] = []

    def run(self, entries: Sequence[tuple[str, zipfile.ZipInfo]]) -> tuple[list[Member], list[tuple[str, str]]]:
        """Return the members in the archive's order, and path and reason of those that are refused."""
        self._check_count(sum(not _is_hidden(path) for path, _ in entries))
        last = dict(entries)
        wanted, refused = [], []
        for path, info in entries:
            if reason := self._refusal(path, info, is_last=last[path] is info):
                refused.append((path or "?", reason))
            else:
                wanted.append((path, info))
        self._check_total([info for _, info in wanted])
        for path, info in wanted:
            try:
                self._members.append(Member(path=path, bytes=self._write(path, info)))
            except _Refused as reason:
                refused.append((path, str(reason)))
        return self._members, refused

    def _refusal(self, path: str, info: zipfile.ZipInfo, *, is_last: bool) -> str | None:
        """Return why a member is not unpacked, as far as its header tells."""
        kind = stat.S_IFMT(info.external_attr >> 16)
        reasons = {
            _HIDDEN: _is_hidden(path),
            "without a name": not path,
            "its path is too long": len(path) > _MAX_PATH_CHARS or len(_name_of(path)) > filenames.MAX_CHARS,
            "another file of the same path follows": not is_last,
            "a symbolic link": kind == stat.S_IFLNK,
            "not a regular file": kind not in {0, stat.S_IFREG, stat.S_IFLNK},
            _ENCRYPTED: bool(info.flag_bits & _ENCRYPTED_FLAG),
            f"packed by method {info.compress_type}, which is not supported": info.compress_type not in _METHODS,
            "empty": info.file_size == 0,
            self._too_large: info.file_size > self._limits.member_bytes,
            "packed as tightly as a decompression bomb": is_bomb(info),
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    @property
    def _too_large(self) -> str:
        return f"larger than {_mebibytes(self._limits.member_bytes)}"

    def _check_count(self, count: int) -> None:
        if count > self._limits.members:
            raise ParseLimitExceeded(
                f"{self._filename!r} holds {count:,} files, and {self._limits.members:,} are allowed here, "
                "in an archive and all archives in it: split it"
            )

    def _check_total(self, wanted: Sequence[zipfile.ZipInfo]) -> None:
        # What comes out of a member is never longer than its header says: zipfile stops there.
        total_bytes = sum(info.file_size for info in wanted)
        if is_bomb(*wanted):
            raise ParseLimitExceeded(
                f"{self._filename!r} is a decompression bomb: it would unpack to {_mebibytes(total_bytes)}"
            )
        if total_bytes > self._limits.total_bytes:
            raise ParseLimitExceeded(
                f"{self._filename!r} unpacks to {_mebibytes(total_bytes)}, and "
                f"{_mebibytes(self._limits.total_bytes)} are allowed here, for an archive and all archives in it: "
                "split it"
            )

    def _write(self, path: str, info: zipfile.ZipInfo) -> int:
        """Return the bytes that were written for a member. Raises _Refused, and then nothing is left of it."""
        target = self._folder / str(len(self._members))
        size = 0
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with target.open("wb") as sink:
                for data in self._pieces(info):
                    size += len(data)
                    if size > self._limits.member_bytes:
                        raise _Refused(self._too_large)
                    sink.write(data)
            if not size:
                raise _Refused("empty")
            if self._limits.nesting <= 0 and _is_archive(target, path):
                raise _Refused("an archive that lies too deep in other archives")
        except _Refused:
            target.unlink(missing_ok=True)
            raise
        except OSError as error:
            raise ServiceUnavailable(f"{path!r} of {self._filename!r} cannot be unpacked here: {error}") from error
        return size

    def _pieces(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        """Yield what a member holds. Raises _Refused when it is damaged."""
        try:
            with self._archive.open(info) as source:
                while data := source.read(_METHODS[info.compress_type]):
                    yield data
        except _DAMAGE as error:
            raise _Refused("damaged") from error
        except MemoryError as error:
            raise _Refused("unpacking it needs too much memory") from error


def clean_path(info: zipfile.ZipInfo) -> str:
    """Return a member's path as people see it: forward slashes, no root, drive, `.` or `..`, nothing invisible.

    It may be empty, and two members may have the same.
    """
    name = unicodedata.normalize("NFC", _decoded(info)).replace("\\", "/")
    parts = [filenames.visible(part) for part in re.sub(r"^[A-Za-z]:", "", name).split("/")]
    return "/".join(part for part in parts if part not in {"", ".", ".."})


def _decoded(info: zipfile.ZipInfo) -> str:
    """Return a member's name. Unix programs write UTF-8 without the flag for it, which reads as code page 437."""
    if info.flag_bits & _UTF_8_FLAG:
        return info.orig_filename
    try:
        return info.orig_filename.encode("cp437").decode()
    except UnicodeDecodeError:
        return info.orig_filename


def _name_of(path: str) -> str:
    return path.rpartition("/")[2]


def _is_folder(info: zipfile.ZipInfo) -> bool:
    """Tell whether a member is a folder. zipfile's own is_dir fails on an empty name."""
    return info.filename.endswith("/") or (info.file_size == 0 and info.orig_filename.endswith("\\"))


def _is_hidden(path: str) -> bool:
    """Tell what a folder's ingestion passes over too; `__MACOSX` holds what macOS remembers of the other files."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.split("/"))


def _is_archive(path: Path, filename: str) -> bool:
    try:
        return zipfile.is_zipfile(path) and detect_media_type(path, filename) == media_types.ZIP
    except DocumentRejected:
        return False


def _check_overlap(archive: zipfile.ZipFile, filename: str) -> None:
    """Refuse members that share bytes: so a bomb of 42 KB unpacks to 5 GB without packing tightly anywhere."""
    spans = sorted(
        (info.header_offset, info.header_offset + _LOCAL_HEADER_BYTES + info.compress_size)
        for info in archive.infolist()
    )
    if any(end > start for (_, end), (start, _) in pairwise(spans)):
        raise ParseLimitExceeded(f"{filename!r} is a decompression bomb: its members overlap")


def _nothing_in(filename: str, refused: Sequence[tuple[str, str]]) -> InvalidFile:
    reasons = {reason for _, reason in refused}
    if not reasons - {_HIDDEN}:
        return InvalidFile(f"{filename!r} is an archive without files; upload the files themselves")
    if reasons <= {_HIDDEN, _ENCRYPTED}:
        return InvalidFile(f"{filename!r} is encrypted; unpack it and upload the files")
    return InvalidFile(f"no file of {filename!r} can be unpacked: {'; '.join(_summaries(refused))}")


def _table_of_contents(filename: str, members: Sequence[Member], refused: Sequence[tuple[str, str]]) -> ParsedDocument:
    builder = DocumentBuilder(media_types.ZIP)
    builder.add(f"Archive {filename} with {_files(len(members))}", category=Category.HEADING)
    for member in members:
        builder.add(f"{member.path}, {member.bytes:,} bytes", category=Category.LIST_ITEM)
    shown = [(path, reason) for path, reason in refused if reason != _HIDDEN]
    if shown:
        builder.add(f"{_files(len(shown))} not unpacked", category=Category.HEADING, level=2)
    for path, reason in shown:
        builder.add(f"{path}: {reason}", category=Category.LIST_ITEM)
    warnings = [f"not unpacked: {summary}" for summary in _summaries(refused)]
    return builder.build(title=filename, warnings=warnings, members=members)


def _summaries(refused: Sequence[tuple[str, str]]) -> list[str]:
    """Return a line for each reason, with the first paths."""
    lines = []
    for reason in dict.fromkeys(reason for _, reason in refused):
        paths = [path for path, other in refused if other == reason]
        more = f" and {len(paths) - _NAMED_IN_WARNING:,} more" if len(paths) > _NAMED_IN_WARNING else ""
        lines.append(f"{', '.join(paths[:_NAMED_IN_WARNING])}{more} ({reason})")
    return lines


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"

"""ZIP files that no honest program writes, byte by byte."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ENCRYPTED = 0x1
UTF_8 = 0x800
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
MIB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Raw:
    """A member as its headers describe it; what they say need not be true."""

    name: bytes
    # As it stands in the file: packed by `method`.
    packed: bytes = b""
    method: int = STORED
    crc: int = 0
    size: int = 0
    flags: int = 0
    mode: int = 0
    # Of the packed bytes; None for the truth.
    packed_size: int | None = None


def honest(name: str | bytes, content: bytes = b"words", *, method: int = STORED, mode: int = 0, flags: int = 0) -> Raw:
    """Return a member whose headers are true."""
    packed = _deflated(content) if method == DEFLATED else content
    raw_name = name if isinstance(name, bytes) else name.encode()
    return Raw(
        name=raw_name, packed=packed, method=method, crc=zlib.crc32(content), size=len(content), flags=flags, mode=mode
    )


def zip_of(*members: Raw) -> bytes:
    body, offsets = bytearray(), []
    for member in members:
        offsets.append(len(body))
        body += _local(member)
    return _closed(bytes(body), members, offsets)


def plain_zip(contents: Mapping[str, bytes], *, method: int = DEFLATED) -> bytes:
    """Return a zip as Python writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def zeros(name: str, count: int) -> Raw:
    """Return a member of `count` zero bytes, whole mebibytes, packed a thousand times without doing all the work."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return Raw(
        name=name.encode(),
        packed=piece * (count // MIB) + packer.flush(),
        method=DEFLATED,
        crc=_crc_of_zeros(count),
        size=min(count, 0xFFFFFFFE),
    )


def overlapping(count: int, content: bytes) -> bytes:
    """Return a bomb of `count` members that all unpack the same packed bytes, as David Fifield describes it.

    The data of each are the header of the one before it, quoted by a stored block of deflate, and then the data of
    that one, which stand in the file once.
    """
    members = [honest("m0", content, method=DEFLATED)]
    plain = content
    for number in range(1, count):
        inner = members[-1]
        header = _local(inner).removesuffix(inner.packed)
        plain = header + plain
        packed = struct.pack("<BHH", 0, len(header), len(header) ^ 0xFFFF) + header + inner.packed
        name = f"m{number}".encode()
        members.append(Raw(name=name, packed=packed, method=DEFLATED, crc=zlib.crc32(plain), size=len(plain)))
    body = _local(members[-1])
    return _closed(body, members, [len(body) - len(_local(member)) for member in members])


def nested(levels: int, innermost: bytes, *, width: int = 1) -> bytes:
    """Return an archive of `width` archives and so on, `levels` deep, around the archive `innermost`."""
    for level in range(levels):
        innermost = plain_zip({f"{level}-{number}.zip": innermost for number in range(width)})
    return innermost


def _deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def _crc_of_zeros(count: int) -> int:
    crc = 0
    for _ in range(count // MIB):
        crc = zlib.crc32(bytes(MIB), crc)
    return crc


def _sizes(member: Raw) -> tuple[int, int, int]:
    packed = len(member.packed) if member.packed_size is None else member.packed_size
    return member.crc, packed, member.size


def _local(member: Raw) -> bytes:
    fixed = struct.pack(
        "<4sHHHHHLLLHH", b"PK\3\4", 20, member.flags, member.method, 0, 33, *_sizes(member), len(member.name), 0
    )
    return fixed + member.name + member.packed


def _closed(body: bytes, members: Sequence[Raw], offsets: Sequence[int]) -> bytes:
    directory = bytearray()
    for member, offset in zip(members, offsets, strict=True):
        directory += struct.pack(
            "<4sBBHHHHHLLLHHHHHLL",
            *(b"PK\1\2", 20, 3, 20, member.flags, member.method, 0, 33, *_sizes(member)),
            *(len(member.name), 0, 0, 0, 0, member.mode << 16, offset),
        )
        directory += member.name
    end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return body + bytes(directory) + end

"""Outlook messages and other OLE2 compound files, written byte by byte: no library at hand writes them."""

import struct
from collections.abc import Mapping

SECTOR, MINI_SECTOR = 512, 64
END, FREE, FAT_SECTOR = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
STORAGE, STREAM, ROOT = 1, 2, 5
INTEGER, STRING, TIME, BINARY = 0x0003, 0x001F, 0x0040, 0x0102
# 2026-05-20 10:30 UTC in units of 100 ns since 1601.
SENT = 134_237_466_000_000_000

Tree = Mapping[str, "bytes | Tree"]


def compound_file(tree: Tree) -> bytes:
    """Return an OLE2 compound file of small streams; siblings are linked as a list, which is a valid tree."""
    entries: list[tuple[str, int, int, int]] = []  # name, kind, start, size
    links: list[list[int]] = []  # right sibling, first child
    stream, mini_fat = bytearray(), []

    def add(name: str, content: bytes | Tree) -> int:
        index = len(entries)
        is_stream = isinstance(content, bytes)
        start, size = (len(stream) // MINI_SECTOR if content else END, len(content)) if is_stream else (0, 0)
        entries.append((name, STREAM if is_stream else STORAGE if index else ROOT, start, size))
        links.append([FREE, FREE])
        if isinstance(content, bytes):
            padded = content + bytes(-len(content) % MINI_SECTOR)
            count = len(padded) // MINI_SECTOR
            mini_fat.extend([*range(len(mini_fat) + 1, len(mini_fat) + count), END][:count])
            stream.extend(padded)
            return index
        children = [add(*child) for child in content.items()]
        for one, following in zip(children, [*children[1:], FREE], strict=True):
            links[one][0] = following
        links[index][1] = children[0] if children else FREE
        return index

    add("Root Entry", tree)
    entries += [("", 0, 0, 0)] * (-len(entries) % 4)
    links += [[FREE, FREE]] * (len(entries) - len(links))
    chains = [len(entries) // 4, -(-len(mini_fat) * 4 // SECTOR), -(-len(stream) // SECTOR)]
    starts = [1, 1 + chains[0], 1 + chains[0] + chains[1]]
    fat = [FAT_SECTOR]
    for start, count in zip(starts, chains, strict=True):
        fat += [*range(start + 1, start + count), END][:count]
    entries[0] = ("Root Entry", ROOT, starts[2], len(stream))
    directory = b"".join(
        struct.pack(
            "<64sHBBIII16sIQQIQ", name.encode("utf-16-le"), 2 * len(name) + 2 if name else 0, kind, 1, FREE, right,
            child, b"", 0, 0, 0, start, size,
        )
        for (name, kind, start, size), (right, child) in zip(entries, links, strict=True)
    )  # fmt: skip
    header = struct.pack(
        "<8s16sHHHHH6sIIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 0x3E, 3, 0xFFFE, 9, 6, b"", 0, 1,
        starts[0], 0, 4096, starts[1], chains[1], END, 0, 0,
    )  # fmt: skip
    body = [struct.pack(f"<{len(fat)}I", *fat), directory, struct.pack(f"<{len(mini_fat)}I", *mini_fat), bytes(stream)]
    filled = [part + b"\xff" * (-len(part) % SECTOR) for part in body]
    # The header ends with the list of FAT sectors: the first one, and room for more.
    return header + struct.pack("<I", FREE) * 108 + b"".join(filled)


def properties(values: Mapping[int, str | bytes | int], *, header: int) -> dict[str, bytes]:
    """Return the streams of one object's properties; the header's length says which kind of object it is."""
    streams: dict[str, bytes] = {}
    table = bytes(header)
    for number, value in values.items():
        kind = STRING if isinstance(value, str) else BINARY if isinstance(value, bytes) else INTEGER
        if isinstance(value, int):
            kind = TIME if value > 1 << 32 else INTEGER
            table += struct.pack("<HHIQ", kind, number, 6, value)
            continue
        content = value.encode("utf-16-le") if isinstance(value, str) else value
        table += struct.pack("<HHIII", kind, number, 6, len(content), 0)
        streams[f"__substg1.0_{number:04X}{kind:04X}"] = content
    return {"__properties_version1.0": table, **streams}


def message(values: Mapping[int, str | bytes | int], **storages: Tree) -> bytes:
    base: dict[int, str | bytes | int] = {
        0x001A: "IPM.Note",
        0x0037: "Zpráva",
        0x0039: SENT,
        0x0C1A: "Ada",
        0x0C1F: "ada@example.org",
    }
    return compound_file({**properties(base | dict(values), header=32), **storages})


def recipient(name: str, address: str, kind: int) -> Tree:
    return properties({0x3001: name, 0x39FE: address, 0x0C15: kind}, header=8)


def attachment(name: str) -> Tree:
    return properties({0x3707: name}, header=8)

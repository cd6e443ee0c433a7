"""Outlook messages read as the same message would as .eml."""

import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from catalog.errors import InvalidFile
from ingest.documents import Category, ParsedDocument
from ingest.parsers import parse_file
from ingest.parsers.detect import detect_media_type

HEADING, TEXT = Category.HEADING, Category.TEXT
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


def parse(tmp_path: Path, content: bytes) -> ParsedDocument:
    path = tmp_path / "upload"
    path.write_bytes(content)
    return parse_file(path, "a.msg")


def elements(document: ParsedDocument) -> list[tuple[Category, str]]:
    return [(e.category, document.text[e.start : e.end]) for e in document.elements]


def test_an_outlook_message_has_its_subject_as_heading_and_then_its_headers(tmp_path: Path) -> None:
    """To and Cc are told apart by the kind of each recipient, and a plain body is cut into paragraphs."""
    people = {
        "__recip_version1.0_#00000000": recipient("Bob", "bob@example.org", 1),
        "__recip_version1.0_#00000001": recipient("", "eve@example.org", 2),
    }
    document = parse(tmp_path, message({0x1000: "Dobrý den,\r\n\r\nahoj."}, **people))
    assert document.title == "Zpráva"
    assert document.media_type == "application/vnd.ms-outlook"
    assert elements(document) == [
        (HEADING, "Zpráva"),
        (
            TEXT,
            'From: "Ada" <ada@example.org>\nTo: Bob <bob@example.org>\nCc: eve@example.org\n'
            "Date: Wed, 20 May 2026 10:30:00 +0000",
        ),
        (TEXT, "Dobrý den,"),
        (TEXT, "ahoj."),
    ]
    assert document.warnings == ()


def test_the_headers_of_a_sent_outlook_message_go_first(tmp_path: Path) -> None:
    """They have all recipients, in the order of the sender."""
    headers = "From: A <a@example.org>\r\nTo: B <b@example.org>,\r\n C <c@example.org>\r\nDate: yesterday\r\n"
    document = parse(tmp_path, message({0x007D: headers, 0x1000: "x"}))
    assert elements(document)[1][1] == (
        "From: A <a@example.org>\nTo: B <b@example.org>, C <c@example.org>\nDate: yesterday"
    )


@pytest.mark.parametrize(("code_page", "encoding"), [(1250, "cp1250"), (65001, "utf-8"), (65001, "cp1252")])
def test_an_html_body_goes_before_the_plain_one(tmp_path: Path, code_page: int, encoding: str) -> None:
    """Its code page is used unless the bytes are in another."""
    html = "<p>Grüße,</p><p>Ärger in Köln, größer als früher.</p>".encode(encoding)
    document = parse(tmp_path, message({0x1000: "plain", 0x1013: html, 0x3FDE: code_page}))
    assert elements(document)[2:] == [(TEXT, "Grüße,"), (TEXT, "Ärger in Köln, größer als früher.")]


def test_attachments_of_an_outlook_message_are_named_in_a_warning(tmp_path: Path) -> None:
    """One sentence for all of them."""
    files = {f"__attach_version1.0_#0000000{n}": attachment(name) for n, name in enumerate(("a.pdf", "b.png"))}
    assert parse(tmp_path, message({0x1000: "x"}, **files)).warnings == (
        "2 attachments were not read: a.pdf, b.png; upload them as files of their own",
    )
    del files["__attach_version1.0_#00000001"]
    assert parse(tmp_path, message({0x1000: "x"}, **files)).warnings == (
        "1 attachment was not read: a.pdf; upload it as a file of its own",
    )


def test_a_body_in_outlooks_own_format_alone_is_a_warning(tmp_path: Path) -> None:
    """The headers are still read."""
    document = parse(tmp_path, message({0x1009: b"LZFu"}))
    assert document.text.startswith("Zpráva")
    assert document.warnings == (
        "its body, which is in Outlook's own format alone, was not read; save the message as .eml",
    )


def test_an_encrypted_outlook_message_is_refused(tmp_path: Path) -> None:
    """The class of the message says so."""
    with pytest.raises(InvalidFile, match=r"'a\.msg' is encrypted"):
        parse(tmp_path, message({0x001A: "IPM.Note.SMIME"}))


def test_an_outlook_message_without_its_streams_is_damaged(tmp_path: Path) -> None:
    """A property whose value is nowhere ends in a reason."""
    tree = properties({0x001A: "IPM.Note", 0x0037: "x"}, header=32)
    del tree["__substg1.0_0037001F"]
    with pytest.raises(InvalidFile, match=r"'a\.msg' is damaged"):
        parse(tmp_path, compound_file(tree))


@pytest.mark.parametrize("damage", [{0x3FDE: 99_999, 0x1013: b"<p>x</p>"}, {0x0039: 1 << 63}])
def test_numbers_out_of_range_in_an_outlook_message_are_damage(
    tmp_path: Path, damage: dict[int, str | bytes | int]
) -> None:
    """An unknown code page and a date beyond all calendars end in a reason."""
    with pytest.raises(InvalidFile, match=r"'a\.msg' is damaged"):
        parse(tmp_path, message(damage))


def test_a_message_that_holds_a_word_file_is_still_a_message(tmp_path: Path) -> None:
    """What stands at the root decides: messages and documents hold each other."""
    path = tmp_path / "upload"
    path.write_bytes(message({0x1000: "x"}, inner={"WordDocument": b"x"}))
    assert detect_media_type(path, "a.msg") == "application/vnd.ms-outlook"

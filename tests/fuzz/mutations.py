"""Seeded mutations of files: of their bytes, of the members of zip packages and of the streams of PDF files."""

import copy
import io
import random
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence

from lxml import etree

Mutation = Callable[[random.Random, bytes], bytes]

# Lengths, counts and offsets that are wrong in the ways in which readers trust them.
_LENGTHS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_NUMBERS = (
    *(b"0", b"-1", b"1", b"999", b"65536", b"1048576", b"2147483648", b"1" * 30),
    *(b"1e308", b"NaN", b"", b"\xd9\xa3"),
)
_NUMBER = re.compile(rb"\d+")
_TAG = re.compile(rb"<[^<>]{1,200}>")
_PDF_STREAM = re.compile(rb"stream\r?\n(.*?)endstream", re.DOTALL)
_TOKENS = (
    *(
        b"\0",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\r",
        b"\x0c",
        b"\xe2\x80\xa8",
        b'"',
        b"<",
        b">",
        b"&#0;",
        b"&#xD800;",
        b"]]>",
    ),
    *(b"{", b"}", b"[", b"\\", b"\\u-1?", b"\\bin999999999 ", b"\\'", b"|", b"\t", b"--", b"```", b"<table>"),
    *(b"<td rowspan=99>", b"<!--", b"<![CDATA[", b"%PDF-", b"obj", b"endobj", b"<<", b">>", b"PK\x03\x04"),
    b"Content-Type: multipart/mixed\n\n",
)


def flip_bytes(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def flip_bits(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 4, 16))):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def delete_block(rng: random.Random, data: bytes) -> bytes:
    start, end = _block(rng, data)
    return data[:start] + data[end:]


def duplicate_block(rng: random.Random, data: bytes) -> bytes:
    start, end = _block(rng, data)
    return data[:end] + data[start:end] * rng.choice((1, 1, 2, 50)) + data[end:]


def swap_blocks(rng: random.Random, data: bytes) -> bytes:
    start, end = _block(rng, data)
    place = rng.randrange(len(data))
    rest = data[:start] + data[end:]
    return rest[:place] + data[start:end] + rest[place:]


def truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(1, len(data) + 1)]


def insert_token(rng: random.Random, data: bytes) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + rng.choice(_TOKENS) * rng.choice((1, 1, 3, 200)) + data[place:]


def attack_length(rng: random.Random, data: bytes) -> bytes:
    """Overwrite two, four or eight bytes by a length that is out of all proportion."""
    size = rng.choice((2, 4, 4, 8))
    place = rng.randrange(max(len(data) - size, 1))
    value = rng.choice(_LENGTHS) & ((1 << 8 * size) - 1)
    return data[:place] + value.to_bytes(size, rng.choice(("little", "big"))) + data[place + size :]


def attack_number(rng: random.Random, data: bytes) -> bytes:
    """Replace a number that is written in digits, as counts and spans are in XML, HTML, RTF and PDF."""
    found = list(_NUMBER.finditer(data))
    if not found:
        return data
    match = rng.choice(found)
    return data[: match.start()] + rng.choice(_NUMBERS) + data[match.end() :]


def move_tag(rng: random.Random, data: bytes) -> bytes:
    """Delete, repeat or move one tag of mark-up."""
    found = [match.span() for match in _TAG.finditer(data)]
    if not found:
        return data
    start, end = rng.choice(found)
    tag = data[start:end]
    match rng.randrange(3):
        case 0:
            return data[:start] + data[end:]
        case 1:
            return data[:end] + tag * rng.choice((1, 3, 300)) + data[end:]
        case _:
            place, _ = rng.choice(found)
            return data[:place] + tag + data[place:]


_PLAIN: tuple[Mutation, ...] = (
    flip_bytes, flip_bits, delete_block, duplicate_block, swap_blocks, truncate, insert_token, attack_length,
    attack_number, attack_number, move_tag, move_tag,
)  # fmt: skip


def mutate_tree(rng: random.Random, data: bytes) -> bytes:
    """Change one element of an XML document, which stays well-formed; other data as plain bytes."""
    try:
        root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
    except (etree.LxmlError, ValueError):
        return _mutate_plain(rng, data)
    nodes = list(root.iter("{*}*"))
    node, other = rng.choice(nodes), rng.choice(nodes)
    parent = node.getparent()
    match rng.randrange(7):
        case 0 if parent is not None:
            parent.remove(node)
        case 1 if parent is not None:
            for _ in range(rng.choice((1, 2, 100))):
                parent.append(copy.deepcopy(node))
        case 2:
            other.append(copy.deepcopy(node))
        case 3:
            node.text = rng.choice(("", " ", "0", "-1", "x" * 1000, "\u2028", "9" * 30, "NaN", "\ue000"))
        case 4:
            node.tag = other.tag
        case 5 if node.attrib:
            del node.attrib[rng.choice(node.attrib.keys())]
        case _ if node.attrib:
            node.set(
                rng.choice(node.attrib.keys()),
                rng.choice(_NUMBERS).decode() or rng.choice(other.attrib.values() or [""]),
            )
    return etree.tostring(root)


def mutate_member(rng: random.Random, data: bytes) -> bytes:
    """Mutate, remove or rename members of a zip package and pack it again; other data as plain bytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            members = [(info.filename, package.read(info)) for info in package.infolist()]
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, NotImplementedError, EOFError):
        return _mutate_plain(rng, data)
    if not members:
        return data
    # By size: the parts with text, more often than lists of parts, whose damage ends all reading.
    chosen = rng.choices(range(len(members)), [200 + min(len(content), 10_000) for _, content in members])[0]
    name, content = members[chosen]
    match rng.randrange(12):
        case 0:
            del members[chosen]
        case 1:
            members[chosen] = (rng.choice(members)[0], content)
        case 2 | 3 | 4 | 5:
            members[chosen] = (name, _mutate_plain(rng, content) if content else content)
        case _:
            members[chosen] = (name, mutate_tree(rng, content) if content else content)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as package, warnings.catch_warnings():
        # Of a name that is there twice.
        warnings.simplefilter("ignore")
        for name, content in members:
            package.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()


def mutate_stream(rng: random.Random, data: bytes) -> bytes:
    """Mutate the content of a compressed PDF stream; readers find the objects that it moves by themselves."""
    found = list(_PDF_STREAM.finditer(data))
    if not found:
        return _mutate_plain(rng, data)
    match = rng.choice(found)
    try:
        content = zlib.compress(_mutate_plain(rng, zlib.decompress(match.group(1))))
    except zlib.error:
        content = _mutate_plain(rng, match.group(1))
    return data[: match.start(1)] + content + b"\n" + data[match.end(1) :]


def mutate(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Return a mutation of `data`; `others` lend their heads and tails."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        if not data:
            break
        if rng.random() < 0.03:
            data = _splice(rng, data, rng.choice(others))
        elif data.startswith(b"PK\x03\x04") and rng.random() < 0.75:
            data = mutate_member(rng, data)
        elif data.lstrip().startswith(b"<?xml") and rng.random() < 0.4:
            data = mutate_tree(rng, data)
        elif data.startswith(b"%PDF") and rng.random() < 0.4:
            data = mutate_stream(rng, data)
        else:
            data = _mutate_plain(rng, data)
    return data


def _mutate_plain(rng: random.Random, data: bytes) -> bytes:
    return rng.choice(_PLAIN)(rng, data) if data else data


def _splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Give `data` the head of another file, or another one's tail."""
    cut = rng.choice((4, 64, 512, len(data) // 2))
    return other[:cut] + data[cut:] if rng.random() < 0.5 else data[:cut] + other[cut:]


def _block(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(start + rng.choice((1, 4, 16, 64, 512, 4096)), len(data))

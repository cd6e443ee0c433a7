"""Bytes to text: UTF-8 and UTF-16 by rule, older 8-bit encodings by statistics."""

import codecs
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

# The most bytes that a character takes in any encoding.
_MAX_CHAR_BYTES = 4
# A byte order mark settles the encoding. UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# ISO-2022-JP, which is ASCII to the eye, begins Japanese by it.
_JAPANESE_ESCAPE = b"\x1b$B"
# Enough for the statistics, and the cost of guessing grows with it.
_SAMPLE_BYTES = 1 << 16
# Of the characters that a sample is when it is read as UTF-16: printable ones and line ends. ASCII is hardly chance.
_TEXT_SHARE = 0.98
_ASCII_TEXT_SHARE = 0.9
# Blanks, line ends and punctuation of a text in any script; Chinese has about one in ten, a binary one in a hundred.
_BLANK_SHARE = 0.03
# Of the bytes of UTF-16 that would be UTF-8 too: every second one names an alphabet, from 00 for Latin to 0E for Thai.
_UTF16_CONTROL_SHARE = 0.25
# Old Macintosh and mainframe encodings: on short texts they win by chance over the ones that files are in. Those of
# Unicode are found by rule.
_UNLIKELY = [
    *("utf_7", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be"),
    *("mac_cyrillic", "mac_greek", "mac_iceland", "mac_latin2", "mac_roman", "mac_turkish"),
    *("cp037", "cp273", "cp424", "cp500", "cp875", "cp1026", "cp1140"),
]
# Programs declare the standard and write the vendor's superset of it; browsers read them so too (WHATWG Encoding).
_SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}
# Codecs of Python that are no encodings of texts; punycode takes quadratic time.
_NO_CHARSETS = frozenset({"punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined"})
# Control characters that occur in texts: tab, line feed, form feed, carriage return, escape.
_BINARY_CONTROLS = bytes(set(range(0x20)).difference(b"\t\n\x0b\x0c\r\x1b"))
_MAX_CONTROL_SHARE = 0.02
# What a crash leaves in a log; any binary format has more of them.
_MAX_ZERO_SHARE = 0.001
# Bytes that are no UTF-8, for each character that is: below this a file is UTF-8 with passages in another encoding.
_MAX_FOREIGN_SHARE = 0.5


def read_text(path: Path) -> str:
    """Return the text of the file at `path`, whatever its encoding; what cannot be decoded becomes U+FFFD."""
    return decode(path.read_bytes())


def read_lines(path: Path, max_chars: int) -> tuple[str, list[str]]:
    """Return the whole lines that the file at `path` begins with, and a sentence if they are not all of it."""
    with path.open("rb") as stream:
        data = stream.read(_MAX_CHAR_BYTES * max_chars)
        is_whole = not stream.read(1)
    if not is_whole:
        data = data[: data.rfind(b"\n") + 1] or data
    text = decode(data)
    if is_whole and len(text) <= max_chars:
        return text, []
    text = text[: text.rfind("\n", 0, max_chars) + 1] or text[:max_chars]
    line = text.count("\n") + 1
    return text, [f"the text was cut at line {line:,}: more than {max_chars:,} characters are not read; split the file"]


def decode(data: bytes) -> str:
    """Return `data` as text: byte order mark, then UTF-8, then UTF-16 by its zeros, then the likeliest 8-bit one."""
    marked = _marked_encoding(data)
    if marked:
        return data.decode(marked, "replace")
    if b"\0" in data[:_SAMPLE_BYTES] and (unmarked := _unmarked_utf16(data[:_SAMPLE_BYTES])):
        return data.decode(unmarked, "replace")
    if _JAPANESE_ESCAPE in data[:_SAMPLE_BYTES] and (japanese := decode_declared(data, "iso2022_jp")):
        return japanese
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        if _is_mostly_utf8(data):
            return data.decode("utf-8", "cp1252-bytes")
        return data.decode(_guess_8bit(data.replace(b"\0", b"")), "replace")


def decode_declared(data: bytes, charset: str) -> str | None:
    """Return `data` in the encoding that it declares itself to be in, or None where it is not."""
    try:
        encoding = codecs.lookup(charset).name
        if encoding in _NO_CHARSETS or encoding.startswith(("utf-16", "utf-32")) != _is_wide(data):
            return None
        return data.decode(_SUPERSETS.get(encoding, encoding))
    except (LookupError, ValueError):
        return None


def unreadable(text: str) -> Iterator[str]:
    """Yield a sentence where characters of `text` could not be decoded."""
    count = text.count("\ufffd")
    if count:
        line = text.count("\n", 0, text.index("\ufffd")) + 1
        characters = "1 character" if count == 1 else f"{count:,} characters"
        yield f"{characters} could not be decoded, the first in line {line:,}; save the file as UTF-8"


def is_text(head: bytes) -> bool:
    """Tell whether a file that begins with `head` is text in some encoding."""
    if _marked_encoding(head) or _unmarked_utf16(head):
        return True
    controls = len(head) - len(head.translate(None, _BINARY_CONTROLS))
    return head.count(0) <= _MAX_ZERO_SHARE * len(head) and controls <= _MAX_CONTROL_SHARE * len(head)


def _marked_encoding(data: bytes) -> str | None:
    return next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)


def _is_wide(data: bytes) -> bool:
    """Tell whether a character of `data` takes two bytes or four."""
    marked = _marked_encoding(data) or _unmarked_utf16(data[:_SAMPLE_BYTES]) or ""
    return marked.startswith(("utf-16", "utf-32"))


def _unmarked_utf16(sample: bytes) -> str | None:
    """Return the UTF-16 variant that `sample` is text in, or None.

    Blanks, line ends and all of Latin script have a zero byte, first or second. As nearly any two letters of ASCII
    make a Chinese character, a text in UTF-8 with stray zeros or between zeros must not get that far.
    """
    sample = sample[: len(sample) // 2 * 2]
    if len(sample) < 4 or 0 not in sample:
        return None
    if sum(byte < 0x20 and byte not in b"\t\n\r" for byte in sample) < _UTF16_CONTROL_SHARE * len(sample) and _is_utf8(
        sample
    ):
        return None
    scores = {}
    for encoding in ("utf-16-le", "utf-16-be"):
        text = sample.decode(encoding, "replace")
        if _is_written(text):
            scores[encoding] = sum(map(str.isascii, text))
    return max(scores, key=lambda encoding: scores[encoding]) if scores else None


def _is_written(text: str) -> bool:
    """Tell whether `text` has words and what parts them; two bytes of a binary are often a letter of some script."""
    kinds = Counter("Z" if char in "\t\r\n" else unicodedata.category(char)[0] for char in text)
    written = sum(kinds[kind] for kind in "LMNPSZ") - text.count("\ufffd")
    if 2 * sum(map(str.isascii, text)) >= len(text):
        return written >= _ASCII_TEXT_SHARE * len(text)
    return written >= _TEXT_SHARE * len(text) and kinds["Z"] + kinds["P"] >= _BLANK_SHARE * len(text)


def _is_utf8(sample: bytes) -> bool:
    try:
        # The sample may end within a character.
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _is_mostly_utf8(data: bytes) -> bool:
    """Tell whether the characters beyond ASCII are UTF-8 for the most part: files that two programs wrote to."""
    replaced = data.decode("utf-8", "replace")
    foreign = replaced.count("\ufffd")
    return foreign <= _MAX_FOREIGN_SHARE * (len(replaced) - sum(map(str.isascii, replaced)) - foreign)


def _as_cp1252(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error("cp1252-bytes", _as_cp1252)


def _guess_8bit(data: bytes) -> str:
    """Return the likeliest encoding of `data`, which is not UTF-8; Windows-1252 where nothing speaks for another."""
    from charset_normalizer import from_bytes

    matches = from_bytes(data[:_SAMPLE_BYTES], cp_exclusion=_UNLIKELY)
    best = matches.best()
    western = next((match for match in matches if "cp1252" in match.could_be_from_charset), None)
    # Windows-1250 reads "niño" as "nińo" with the same figures, and the first in the alphabet would win.
    if best is None or (western and western.chaos <= best.chaos and western.coherence >= best.coherence):
        return "cp1252"
    return _SUPERSETS.get(codecs.lookup(best.encoding).name, best.encoding)

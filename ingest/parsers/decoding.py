"""Bytes to text: UTF-8 and UTF-16 by rule, older 8-bit encodings by statistics."""

import codecs
from pathlib import Path

# A byte order mark settles the encoding. UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Enough for the statistics, and the cost of guessing grows with it.
_SAMPLE_BYTES = 1 << 16
# Text in Latin script has a zero in nearly every second byte of UTF-16; binaries have them on both sides.
_UTF16_ZERO_SHARE = 0.7
# Old Macintosh and mainframe encodings: on short texts they win by chance over the ones that files are in.
_UNLIKELY = [
    *("mac_cyrillic", "mac_greek", "mac_iceland", "mac_latin2", "mac_roman", "mac_turkish"),
    *("cp037", "cp273", "cp424", "cp500", "cp875", "cp1026", "cp1140"),
]
# Control characters that occur in texts: tab, line feed, form feed, carriage return, escape.
_TEXT_CONTROLS = frozenset(b"\t\n\x0b\x0c\r\x1b")
_MAX_CONTROL_SHARE = 0.02


def read_text(path: Path) -> str:
    """Return the text of the file at `path`, whatever its encoding; what cannot be decoded becomes U+FFFD."""
    return decode(path.read_bytes())


def decode(data: bytes) -> str:
    """Return `data` as text: byte order mark, then UTF-8, then UTF-16 by its zeros, then the likeliest 8-bit one."""
    marked = _marked_encoding(data)
    if marked:
        return data.decode(marked, "replace")
    if b"\0" not in data[:_SAMPLE_BYTES]:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode(_guess_8bit(data), "replace")
    return data.decode(_unmarked_utf16(data[:_SAMPLE_BYTES]) or "utf-8", "replace")


def is_text(head: bytes) -> bool:
    """Tell whether a file that begins with `head` is text in some encoding."""
    if _marked_encoding(head) or _unmarked_utf16(head):
        return True
    controls = sum(byte < 0x20 and byte not in _TEXT_CONTROLS for byte in head)
    return b"\0" not in head and controls <= _MAX_CONTROL_SHARE * len(head)


def _marked_encoding(data: bytes) -> str | None:
    return next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)


def _unmarked_utf16(sample: bytes) -> str | None:
    """Return the UTF-16 variant whose high bytes are mostly zero in `sample`, or None."""
    half = len(sample) // 2
    if half < 2:
        return None
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd >= _UTF16_ZERO_SHARE * half and not even:
        return "utf-16-le"
    if even >= _UTF16_ZERO_SHARE * half and not odd:
        return "utf-16-be"
    return None


def _guess_8bit(data: bytes) -> str:
    """Return the likeliest encoding of `data`, which is not UTF-8; Windows-1252 where nothing speaks for another."""
    from charset_normalizer import from_bytes

    matches = from_bytes(data[:_SAMPLE_BYTES], cp_exclusion=_UNLIKELY)
    best = matches.best()
    western = next((match for match in matches if "cp1252" in match.could_be_from_charset), None)
    # Windows-1250 reads "niño" as "nińo" with the same figures, and the first in the alphabet would win.
    if best is None or (western and western.chaos <= best.chaos and western.coherence >= best.coherence):
        return "cp1252"
    return best.encoding

"""The forms in which generators write source numbers: `[1]`, `[1, 3]`, `[1-3]`, `【1】`, `[^1]`, `[source 2]`. Pure."""

import re
import unicodedata
from typing import Final

from generation.visible import HIDDEN, HIDDEN_CHARACTERS

# A marker has at most so many characters; a longer text in brackets is text.
MAX_MARKER: Final = 80
OPENING: Final = "[［【〔"
CLOSING: Final = "]］】〕"
# Sources of a range that are looked at: more never fit into a prompt.
_MAX_RANGE: Final = 64

_BLANK: Final = " \t\u00a0\u3000"
_GAP: Final = f"[{_BLANK}{HIDDEN_CHARACTERS}]*+"
# Digits of every script, raised, lowered and circled ones too.
_NUMBER: Final = f"(?:[\\d⁰¹²³⁴-⁹₀-₉①-⑳][{HIDDEN_CHARACTERS}]*+){{1,9}}+"
_WORD: Final = (
    r"(?:(?:sources?|src|refs?|references?|cit(?:e|ation)s?|docs?|documents?|passages?|(?:foot)?notes?|fn|"
    rf"quellen?|fuentes?){_GAP}[.:_\-]?{_GAP})?[\^#№]?{_GAP}"
)
_ITEM: Final = f"{_WORD}{_NUMBER}"
_DASH: Final = r"(?:[-‐‑‒–—−~〜]|\.\.+|…|to|bis)"
_AND: Final = rf"(?:[,，、;；&+]{_GAP}(?:and|und|et|y)?|and|und|et|y)"
_BETWEEN: Final = rf"(?:{_GAP}{_DASH}{_GAP}|{_GAP}{_AND}{_GAP}|[{_BLANK}]{_GAP})"
_PAGES: Final = rf"(?:{_GAP}[,;:]?{_GAP}(?:pp?|pages?|seiten?|s|lines?)\.?{_GAP}\d{{1,5}}(?:[-–]\d{{1,5}})?)?"
_DAGGER: Final = r"†[^\]］】〕\n]{0,60}"
# Of `【4:0†source】` nobody can tell which of the numbers means a source: it is cut out and cites nothing.
_ADDRESS: Final = rf"\d{{1,4}}:\d{{1,4}}{_GAP}{_DAGGER}"
_LISTED: Final = f"(?P<listed>{_ITEM}(?:{_BETWEEN}{_ITEM}){{0,40}}+){_PAGES}{_GAP}(?:{_DAGGER})?"
_BODY: Final = f"(?:none|{_LISTED}|{_ADDRESS})"
_OPEN: Final = rf"\\?[{re.escape(OPENING)}]"
_CLOSE: Final = rf"\\?[{re.escape(CLOSING)}]"
# Bounds and possessive quantifiers keep it linear: it also reads what nobody has checked.
# Several opening brackets belong to it: what is left of `[[1]2]` must not be a marker again.
_TEXT: Final = rf"(?P<opened>(?:{_OPEN}{_GAP}){{1,16}}+){_BODY}{_GAP}{_CLOSE}"
MARKER: Final = re.compile(_TEXT, re.IGNORECASE)
_ENDING_MARKER: Final = re.compile(rf"{_TEXT}\Z", re.IGNORECASE)
_LISTED_RANGE: Final = re.compile(rf"(\d+)(?:{_GAP}{_DASH}{_GAP}{_WORD}(\d+))?", re.IGNORECASE)


def ending_marker(text: str) -> re.Match[str] | None:
    """Return the marker that `text` ends with; of several that fit, the longest."""
    return _ENDING_MARKER.search(text, max(0, len(text) - MAX_MARKER))


def source_numbers(marker: re.Match[str]) -> tuple[int, ...]:
    """Return the numbers that a marker holds, in order, ranges written out, repeats included."""
    found: list[int] = []
    plain = unicodedata.normalize("NFKC", HIDDEN.sub("", marker["listed"] or ""))
    for first, last in _LISTED_RANGE.findall(plain):
        start, end = int(first), int(last or first)
        found += range(start, min(end + 1, start + _MAX_RANGE)) if start <= end else (start, end)
    return tuple(found)


def without_markers(text: str) -> str:
    """Return `text` with blanks in place of its markers: every other character stays where it is."""
    return MARKER.sub(lambda match: " " * len(match.group()), text)

"""Links in a generator's text: where they lead, and which of them a source holds. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from retrieval.analysis import UNSPACED

# What ends a run of characters that may be a link: blanks, and characters of scripts that are written without them.
_BOUNDARIES: Final = rf"\s{UNSPACED}\u3000-\u303f\uff00-\uffef"
BOUNDARY: Final = re.compile(f"[{_BOUNDARIES}]")
# A longer one is looked at in parts; no link that a person can use is longer.
MAX_RUN: Final = 2000
RUN: Final = re.compile(f"[^{_BOUNDARIES}]{{1,{MAX_RUN}}}")
# Schemes that lead somewhere without `//`, or run code.
_SCHEMES: Final = "mailto|tel|sms|data|javascript|vbscript|blob|file|about|view-source|intent"
# Ends of names that programs make links of, without a scheme too.
_DOMAINS: Final = (
    "com|net|org|edu|gov|info|biz|io|co|me|ai|app|dev|site|online|link|click|xyz|top|shop|live|cloud|"
    "de|uk|eu|fr|es|it|nl|ch|at|ru|cn|jp|br|in|test|example|invalid|local|onion"
)
# Labels of a host name but for the last one, which a full stop parts.
_HOST: Final = r"(?<![\w-])[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}"
_LINK: Final = re.compile(
    r"(?<=\])\((?P<target>[^()\s]*+(?:\([^()\s]*+\)[^()\s]*+)*+)\)?"
    r"|<(?P<auto>[a-z][a-z0-9+.-]{0,30}:[^\s<>]*+)>?"
    r"|(?P<bare>"
    r"(?:[a-z][a-z0-9+.-]{0,30})?://[^\s<>\"`]*+"
    rf"|\b(?:{_SCHEMES}):(?=[^\s<>\"`])[^\s<>\"`]++"
    r"|\bwww\.[^\s<>\"`]++"
    r"|(?<![\w.:])[/\\]{2}[\w.-]+[./\\:?][^\s<>\"`]*+"
    rf"|{_HOST}\.(?:{_DOMAINS})(?::\d+)?(?:[/?#\\]|%2f|%3f)[^\s<>\"`]*+"
    rf"|{_HOST}\.[\w-]{{1,63}}(?::\d+)?/?[^\s<>\"`?]*+\?[^\s<>\"`]*=[^\s<>\"`]*+"
    r")"
    # An image would be fetched by looking at it: it becomes a link.
    r"|(?P<image>(?<!\w)!(?=\[))",
    re.IGNORECASE,
)
REMOVED: Final = "(link removed)"
# What stands behind a link in a sentence, and is none of it.
_TRAILING: Final = re.compile(r"[.,;:!?'*_~)\]}>|…]+\Z")
# These run code or carry their content with them; no source makes them harmless.
_UNSAFE: Final = re.compile(r"\s*(?:data|javascript|vbscript|blob|file|about|view-source|intent):", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """Text that leads out of the answer."""

    # As it was written; with its brackets where they would be left empty.
    text: str
    # Where it leads to; "" is nowhere that a source could hold.
    url: str
    # What stays of it where no source holds it. Not nothing: what stood around it would be joined.
    instead: str


def split_run(run: str) -> Iterator[str | Link]:
    """Yield the parts of a text without blanks, in order; together they are the text."""
    position = 0
    for match in _LINK.finditer(run):
        if match.start() > position:
            yield run[position : match.start()]
        text, url = match.group(), match["target"] or match["auto"] or match["bare"] or ""
        if match["bare"] and (trailing := _TRAILING.search(text)):
            text = url = text[: trailing.start()]
        if text:
            is_bare = match["target"] is None and match["image"] is None
            yield Link(text=text, url="" if _UNSAFE.match(url) else url.strip("<>"), instead=REMOVED if is_bare else "")
        position = match.start() + len(text)
    if position < len(run):
        yield run[position:]


def urls_in(text: str) -> set[str]:
    """Return where the links in a source lead to; a generator may repeat these, each as a whole."""
    parts = (part for run in RUN.findall(text) for part in split_run(run))
    return {part.url for part in parts if isinstance(part, Link) and part.url}

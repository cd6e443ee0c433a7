"""What is true of every document that a parser returns, whatever the file was."""

import math
import re
from itertools import pairwise

from ingest.documents import ELEMENT_SEPARATOR, ParsedDocument, normalize_text

_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def broken_laws(document: ParsedDocument) -> list[str]:
    """Return a sentence for each promise of ParsedDocument that `document` does not keep."""
    return [*_of_text(document), *_of_elements(document), *_of_report(document)]


def _of_text(document: ParsedDocument) -> list[str]:
    broken = []
    if found := _UNWANTED.search(document.text):
        broken.append(f"the text holds {found.group()!r} at {found.start()}")
    if normalize_text(document.text) != document.text:
        broken.append("the text is not normalised")
    if not document.text.strip():
        broken.append("the text is blank")
    return broken


def _of_elements(document: ParsedDocument) -> list[str]:
    broken = []
    for element in document.elements:
        if not document.text[element.start : element.end].strip():
            broken.append(f"the element at {element.start} is blank")
        if not 0 <= element.start < element.end <= len(document.text):
            broken.append(f"the element {element.start}:{element.end} is out of range")
        if element.page is not None and not 1 <= element.page <= (document.pages or 0):
            broken.append(f"an element is on page {element.page} of {document.pages}")
        if element.box is not None and not all(map(math.isfinite, element.box)):
            broken.append(f"the box {element.box} is not finite")
    for before, after in pairwise(document.elements):
        if document.text[before.end : after.start] != ELEMENT_SEPARATOR:
            broken.append(f"between {before.end} and {after.start} is not the separator")
    if document.elements and (document.elements[0].start, document.elements[-1].end) != (0, len(document.text)):
        broken.append("the elements do not cover the text")
    return broken


def _of_report(document: ParsedDocument) -> list[str]:
    broken = []
    if not all(isinstance(warning, str) and warning.strip() for warning in document.warnings):
        broken.append(f"a warning is no sentence: {document.warnings!r}")
    texts = [*document.warnings, document.title or "", *(h for e in document.elements for h in e.headings)]
    if any(_UNWANTED.search(text) for text in texts):
        broken.append("a warning, the title or a heading holds a control character")
    if (document.pages is None) != (document.pages_read is None):
        broken.append("pages and pages_read are not both given")
    if document.pages is not None and not 0 <= (document.pages_read or 0) <= document.pages:
        broken.append(f"{document.pages_read} of {document.pages} pages are read")
    return broken

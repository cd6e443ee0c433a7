"""What an Office package holds that its parser does not read, in words: pictures, charts, comments, embedded files."""

import re
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

from ingest.parsers.drawings import CHART, DIAGRAM
from ingest.parsers.xml import parse_xml

# By the last part of a relationship's type.
_KINDS = {
    "image": "picture",
    CHART: "chart",
    "chartEx": "chart",
    "chartsheet": "chart",
    DIAGRAM: "diagram",
    "comments": "comment",
    "threadedComment": "comment",
    "oleObject": "embedded file",
    "package": "embedded file",
    "aFChunk": "embedded file",
}
# Of the parts with content; what a header, a master or a theme shows is decoration.
_RELATIONSHIPS = re.compile(
    r"(?:word/_rels/document|ppt/slides/_rels/\w+|xl/(?:worksheets/|drawings/)?_rels/\w+)\.xml\.rels"
)


def unread_parts(path: Path, filename: str, *, read: Collection[str] = ()) -> Iterator[str]:
    """Yield a sentence for each kind of part that the package at `path` holds.

    `read` are the types of relationship, by their last part, that the parser has followed.
    """
    found: dict[str, set[str]] = {}
    with zipfile.ZipFile(path) as package:
        for member in filter(_RELATIONSHIPS.fullmatch, package.namelist()):
            for relation in parse_xml(package.read(member), filename):
                kind = str(relation.get("Type")).rpartition("/")[2]
                if kind in _KINDS and kind not in read:
                    found.setdefault(_KINDS[kind], set()).add(str(relation.get("Target")))
    for what in sorted(found):
        count = len(found[what])
        if what == "comment":
            yield "its comments were not read"
        else:
            yield f"1 {what} was not read" if count == 1 else f"{count} {what}s were not read"

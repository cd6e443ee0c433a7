"""EPUB: the chapters of a book are XHTML pages in a zip archive."""

import posixpath
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from lxml import etree

from catalog.errors import InvalidFile
from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers.html import HtmlReader, decode_html
from ingest.parsers.packages import check_book, reading
from ingest.parsers.xml import parse_xml

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_PAGE_TYPES = ("application/xhtml+xml", "text/html")
_HEADING = re.compile(r"<h[1-6][\s>]", re.IGNORECASE)


class EpubParser:
    """Chapters in reading order; one without a heading gets its name in the table of contents."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        check_book(path, filename)
        builder = DocumentBuilder(media_type)
        with reading(filename), zipfile.ZipFile(path) as archive:
            book = _Book(archive, filename)
            pages = book.pages()
            if book.encrypted() & set(pages):
                raise InvalidFile(f"{filename!r} is protected against copying (DRM); only a copy without can be read")
            warnings = [_page_missing(page) for page in pages if not book.holds(page)]
            names = book.contents()
            reader = HtmlReader(builder, filename=filename)
            for page in filter(book.holds, pages):
                html = decode_html(archive.read(page))
                if not _HEADING.search(html):
                    builder.add(names.get(page, ""), category=Category.HEADING)
                reader.add(html)
            warnings += [*reader.warnings(), *book.unread()]
            title = book.title()
        return builder.build(title=title, warnings=warnings)


def _page_missing(page: str) -> str:
    return f"chapter {page!r} is missing from the file"


class _Book:
    """What the package document of an EPUB says; members are named by their path in the archive."""

    def __init__(self, archive: zipfile.ZipFile, filename: str) -> None:
        self._archive = archive
        self._filename = filename
        self._names = set(archive.namelist())
        container = self._read(_CONTAINER)
        root_file = next(_all(container, "rootfile"), None)
        if root_file is None:
            raise ValueError(f"{_CONTAINER} names no package document")
        self._package_path = unquote(str(root_file.get("full-path")))
        self._package = self._read(self._package_path)
        # By id, as the spine refers to them.
        self._items = {str(item.get("id")): item for item in _all(self._package, "item")}

    def title(self) -> str | None:
        return next(("".join(map(str, title.itertext())) for title in _all(self._package, "title")), None)

    def holds(self, member: str) -> bool:
        return member in self._names

    def pages(self) -> list[str]:
        """Return the pages in reading order, each once."""
        spine = (self._items.get(str(reference.get("idref"))) for reference in _all(self._package, "itemref"))
        pages = (item for item in spine if item is not None and item.get("media-type") in _PAGE_TYPES)
        return list(dict.fromkeys(_resolve(self._package_path, str(item.get("href"))) for item in pages))

    def unread(self) -> Iterator[str]:
        pictures = (item for item in self._items.values() if str(item.get("media-type")).startswith("image/"))
        count = sum(self.holds(_resolve(self._package_path, str(item.get("href")))) for item in pictures)
        if count:
            yield "1 picture was not read" if count == 1 else f"{count} pictures were not read"

    def encrypted(self) -> set[str]:
        """Return the encrypted members; embedded fonts often are, in books that anyone may read."""
        if not self.holds(_ENCRYPTION):
            return set()
        references = _all(self._read(_ENCRYPTION), "CipherReference")
        return {unquote(str(reference.get("URI"))).lstrip("/") for reference in references}

    def contents(self) -> dict[str, str]:
        """Return the names of whole pages in the table of contents, of either version of EPUB."""
        names: dict[str, str] = {}
        for item in self._items.values():
            path = _resolve(self._package_path, str(item.get("href")))
            is_contents = item.get("media-type") == "application/x-dtbncx+xml" or "nav" in str(
                item.get("properties") or ""
            )
            if is_contents and self.holds(path):
                for target, name in _entries(self._read(path)):
                    # A target within a page names a part of it.
                    if "#" not in target:
                        names.setdefault(_resolve(path, target), name)
        return names

    def _read(self, member: str) -> etree._Element:
        return parse_xml(self._archive.read(member), self._filename)


def _entries(contents: etree._Element) -> Iterator[tuple[str, str]]:
    """Yield (target, name) for each entry of a navigation page (links) or of an NCX file (points)."""
    for link in _all(contents, "a"):
        yield str(link.get("href") or "#"), " ".join("".join(map(str, link.itertext())).split())
    for point in _all(contents, "navPoint"):
        content, label = next(_all(point, "content"), None), next(_all(point, "text"), None)
        if content is not None and label is not None:
            yield str(content.get("src") or "#"), " ".join((label.text or "").split())


def _all(root: etree._Element, name: str) -> Iterator[etree._Element]:
    """Yield the elements called `name` in any namespace: old books mix them up."""
    return root.iter(f"{{*}}{name}")


def _resolve(base: str, reference: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(reference)))

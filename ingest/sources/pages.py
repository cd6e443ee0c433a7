"""What a crawl needs from what it fetches: links of a page, addresses of a sitemap, a name for the file."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from html.parser import HTMLParser
from typing import IO, Final

import httpx
from lxml import etree

from catalog.errors import InvalidFile
from ingest.parsers import media_types
from ingest.parsers.xml import parse_xml

XHTML: Final = "application/xhtml+xml"
HTML_TYPES: Final = frozenset({media_types.HTML, XHTML})
_XML_TYPES: Final = frozenset({media_types.XML, "text/xml", "application/gzip", "application/x-gzip"})
# The sitemap protocol's own limit.
_MAX_SITEMAP_BYTES: Final = 50 * 1024**2
# How Apache, nginx and Python name the pages that list a folder.
_LISTING_TITLE: Final = re.compile(r"\s*(index of|directory listing for) ", re.IGNORECASE)
_SUFFIXES: Final = {
    media_types.HTML: ".html",
    XHTML: ".html",
    media_types.MARKDOWN: ".md",
    media_types.CSV: ".csv",
    media_types.JSON: ".json",
    media_types.XML: ".xml",
    "text/xml": ".xml",
    media_types.PDF: ".pdf",
    media_types.DOCX: ".docx",
    media_types.PPTX: ".pptx",
    media_types.XLSX: ".xlsx",
    media_types.ODT: ".odt",
    media_types.ODP: ".odp",
    media_types.ODS: ".ods",
    media_types.EPUB: ".epub",
    media_types.RTF: ".rtf",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """Where a page leads, as absolute URLs without fragments, in the order of the page."""

    urls: Sequence[httpx.URL]
    # A server's list of a folder: a way to documents and none itself.
    is_listing: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Sitemap:
    urls: Sequence[httpx.URL]
    # The URLs are those of other sitemaps.
    is_index: bool


def read_links(page: bytes, url: httpx.URL, charset: str | None = None) -> Links:
    """Return the links of an HTML page that was found at `url`; those marked `nofollow` are left out."""
    reader = _LinkReader()
    try:
        text = page.decode(charset or "utf-8", "replace")
    except LookupError:
        text = page.decode("utf-8", "replace")
    reader.feed(text)
    reader.close()
    is_listing = bool(_LISTING_TITLE.match(reader.title))
    base = _join(url, reader.base) or url
    found = [link for href in reader.hrefs if (link := _join(base, href)) is not None]
    if is_listing:
        # Its links with a query are the same list in another order.
        found = [link for link in found if not link.query]
    return Links(urls=list(dict.fromkeys(found)), is_listing=is_listing)


def read_sitemap(file: IO[bytes], content_type: str) -> Sitemap | None:
    """Return the addresses of a sitemap or sitemap index, packed with gzip or not; None for any other file.

    The file is at its beginning then, as before.
    """
    if content_type not in _XML_TYPES:
        return None
    data = file.read(_MAX_SITEMAP_BYTES)
    file.seek(0)
    try:
        root = parse_xml(_unpacked(data), "sitemap")
    except (etree.XMLSyntaxError, InvalidFile, zlib.error):
        return None
    kind = etree.QName(root).localname
    if kind not in {"urlset", "sitemapindex"}:
        return None
    places = [element.text.strip() for element in root.iter("{*}loc") if element.text]
    urls = [url for place in places if (url := _join(None, place)) is not None]
    return Sitemap(urls=list(dict.fromkeys(urls)), is_index=kind == "sitemapindex")


def filename_for(url: httpx.URL, content_type: str, disposition: str | None) -> str:
    """Return a file name for people and for the parser: the server's own, or the last part of the URL's path.

    Where the name does not say what the server says that it is, an ending is added.
    """
    name = _own_name(disposition) or url.path.rstrip("/").rsplit("/", 1)[-1] or url.host
    suffix = _SUFFIXES.get(content_type)
    own_suffix = media_types.suffix_of(name)
    if suffix is None or own_suffix == suffix or media_types.TEXT_BY_SUFFIX.get(own_suffix) == content_type:
        return name
    return name + suffix


class _LinkReader(HTMLParser):
    """Reads tag by tag, so that no page, however deeply nested, takes more than its own size."""

    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []
        self.base: str | None = None
        self.title = ""
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        href = values.get("href")
        self._in_title = tag == "title"
        if tag == "base" and href and self.base is None:
            self.base = href
        elif tag in {"a", "area"} and href and "nofollow" not in (values.get("rel") or "").lower().split():
            self.hrefs.append(href)

    def handle_endtag(self, tag: str) -> None:
        self._in_title = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data


def _join(base: httpx.URL | None, reference: str | None) -> httpx.URL | None:
    """Return an absolute URL of the web without its fragment, or None."""
    if reference is None:
        return None
    # As browsers do: line breaks and tabs inside a URL do not count.
    reference = re.sub(r"[\t\n\r]", "", reference).strip()
    try:
        url = (base.join(reference) if base else httpx.URL(reference)).copy_with(fragment=None)
    except (httpx.InvalidURL, ValueError):
        return None
    return url if url.scheme in {"http", "https"} and url.host and not url.userinfo else None


def _unpacked(data: bytes) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(data, _MAX_SITEMAP_BYTES)


def _own_name(disposition: str | None) -> str | None:
    if not disposition:
        return None
    header = Message()
    header["content-disposition"] = disposition
    name = header.get_filename() or ""
    return name.replace("\\", "/").rsplit("/", 1)[-1].strip() or None

"""A web site keeps the contract of sources, on a real HTTP server."""

import hashlib
from collections.abc import Iterator

import pytest

from ingest.sources.allowed_hosts import AllowedHosts
from ingest.sources.base import Source
from ingest.sources.http import CrawlLimits, HttpSource
from ingest.sources.patterns import Patterns
from tests.contract.source import Place, SourceContract
from tests.site import Page, Site, html, serving


class ListedFolder(Place):
    """A server's list of a folder, with links to everything in it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._list()

    def put(self, path: str, content: bytes) -> None:
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        self._site.pages[f"/docs/{path}"] = Page(body=content, type="text/plain", etag=etag)
        self._list()

    def delete(self, path: str) -> None:
        del self._site.pages[f"/docs/{path}"]
        self._list()

    def _list(self) -> None:
        links = [path for path in sorted(self._site.pages) if path != "/docs/"]
        self._site.pages["/docs/"] = html(*links, title="Index of /docs")

    def source(self, *, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> Source:
        return HttpSource(
            f"{self._site.url}/docs/",
            allowed=AllowedHosts([self._site.host]),
            limits=CrawlLimits(max_bytes=1_000_000, pause_s=0.0),
            patterns=Patterns(include=include, exclude=exclude),
        )


class TestHttpSource(SourceContract):
    @pytest.fixture
    def place(self) -> Iterator[Place]:
        with serving() as site:
            yield ListedFolder(site)

"""A web page, what it links to below it, or a single document of the web, as a source."""

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Final, cast
from urllib.parse import unquote

import httpx

from catalog.errors import InvalidRequest, ServiceUnavailable
from ingest.sources.allowed_hosts import AllowedHosts, HostRefused
from ingest.sources.base import Found, Gap, Memory, Reading, Skipped, SourceEntry, SourceUnreadable
from ingest.sources.guarded_http import GuardedTransport, open_client
from ingest.sources.pages import HTML_TYPES, Sitemap, filename_for, read_links, read_sitemap
from ingest.sources.patterns import Patterns
from ingest.sources.web import Fetcher, FetchFailed, NotWelcome, Reply, content_type_of

_ANSWERED: Final = frozenset({httpx.codes.OK, httpx.codes.NOT_MODIFIED})
_GONE: Final = frozenset({httpx.codes.NOT_FOUND, httpx.codes.GONE})
_NO_ANSWER: Final = frozenset({httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS, *range(500, 600)})
# The path of the page at the root itself: the reference that leads from there to there (RFC 3986).
_ROOT_PATH: Final = "./"


@dataclass(frozen=True, kw_only=True, slots=True)
class CrawlLimits:
    """How far a crawl goes."""

    # Larger documents are refused.
    max_bytes: int
    # Links between the start and a page.
    depth: int = 5
    # Pages and documents that are asked for.
    max_pages: int = 1000
    # Between two requests.
    pause_s: float = 0.2


class HttpSource:
    """The documents at a URL: one that is no page alone; a page with all that it links to; what a sitemap names.

    Links are followed within the folder of the start URL, on its host. A document's path is what follows that folder
    in its URL; its version is its ETag, or the date of its last change. robots.txt is kept to.
    """

    def __init__(
        self,
        url: str,
        *,
        allowed: AllowedHosts,
        limits: CrawlLimits,
        patterns: Patterns | None = None,
    ) -> None:
        """Raises InvalidRequest for what is no URL of the web, HostRefused."""
        try:
            self._start = httpx.URL(url).copy_with(fragment=None)
        except (httpx.InvalidURL, ValueError) as error:
            raise InvalidRequest(f"{url!r} is no URL: {error}") from error
        if not self._start.host or self._start.userinfo:
            raise InvalidRequest(f"{url!r} has to name a host, and no user or password: they would be stored with it.")
        allowed.check(self._start)
        self._allowed = allowed
        self._limits = limits
        self._patterns = patterns or Patterns()

    @property
    def url(self) -> str:
        return str(self._start)

    @property
    def name(self) -> str:
        return self._start.host

    def entries(self, memory: Memory) -> Generator[Found, None, None]:
        with open_client(GuardedTransport(self._allowed)) as client:
            fetcher = Fetcher(client, max_bytes=self._limits.max_bytes, pause_s=self._limits.pause_s)
            yield from _Crawl(self._start, fetcher, self._patterns, self._limits, memory).run()

    def watch(self, changed: threading.Event, stop: threading.Event) -> None:
        return


class _Crawl:
    """One run over the source, breadth first, so that the depth of a page is the least number of links to it."""

    def __init__(
        self, start: httpx.URL, fetcher: Fetcher, patterns: Patterns, limits: CrawlLimits, memory: Memory
    ) -> None:
        self._start = start
        self._root = _folder_of(start)
        self._fetcher = fetcher
        self._patterns = patterns
        self._limits = limits
        self._memory = memory
        # Path, URL and depth of what is to be asked for.
        self._queue: deque[tuple[str, httpx.URL, int]] = deque()
        # Paths that were ever queued or taken.
        self._seen: set[str] = set()
        self._fetched = 0

    def run(self) -> Iterator[Found]:
        reply = self._first()
        if self._path(reply.url) is None:
            self._root = _folder_of(reply.url)
        path = self._path(reply.url) or _ROOT_PATH
        self._seen |= {path, self._path(self._start) or _ROOT_PATH}
        with closing(reply.body):
            sitemap = read_sitemap(reply.body, reply.content_type)
            yield from self._read_sitemap(sitemap) if sitemap else self._take(reply, path, depth=0)
        while self._queue:
            if self._is_spent():
                yield self._limit_reached()
                return
            yield from self._visit(*self._queue.popleft())

    def _first(self) -> Reply:
        """Fetch the start. Raises InvalidRequest when it is not there for us, ServiceUnavailable."""
        try:
            reply = self._get(self._start, self._path(self._start) or _ROOT_PATH, wants_all=True)
        except FetchFailed as failed:
            raise ServiceUnavailable(f"{self._start} cannot be read: {failed.message}") from failed
        except NotWelcome as refused:
            raise InvalidRequest(f"{self._start} may not be read: {refused.message}") from refused
        if reply.status in _ANSWERED:
            return reply
        reply.body.close()
        kind = ServiceUnavailable if reply.status in _NO_ANSWER else InvalidRequest
        raise kind(f"{self._start} answers with status {reply.status}.")

    def _visit(self, path: str, url: httpx.URL, depth: int) -> Iterator[Found]:
        reply = self._try(path, url)
        if not isinstance(reply, Reply):
            yield reply
            return
        with closing(reply.body):
            final = self._path(reply.url)
            if final is not None and final != path:
                # It redirects to another page of this source, which may have its own link.
                if final in self._seen:
                    return
                self._seen.add(final)
            yield from self._take(reply, final or path, depth)

    def _try(self, path: str, url: httpx.URL, *, wants_all: bool = False) -> Reply | Gap | Skipped:
        """Return the reply of a document that is there, or what is the matter with it."""
        try:
            reply = self._get(url, path, wants_all=wants_all)
        except FetchFailed as failed:
            return Gap(path=path, reason=failed.message)
        except NotWelcome as refused:
            return Skipped(path=path, reason=refused.message)
        except HostRefused as refused:
            # What the store has may be behind a log-in for a while: that is no reason to delete it.
            kind = Gap if self._memory.holds(path) else Skipped
            return kind(path=path, reason=f"It redirects to another host. {refused.message}")
        if reply.status in _ANSWERED:
            return reply
        reply.body.close()
        if reply.status in _GONE:
            return Skipped(path=path, reason=f"a link to nothing: status {reply.status}")
        return Gap(path=path, reason=f"It answers with status {reply.status}.")

    def _get(self, url: httpx.URL, path: str, *, wants_all: bool = False) -> Reply:
        self._fetched += 1

        def version_at(place: httpx.URL) -> str | None:
            return self._memory.version(self._path(place) or path)

        def wants(place: httpx.URL, content_type: str) -> bool:
            return wants_all or content_type in HTML_TYPES or self._wants(self._path(place) or path)

        return self._fetcher.get(url, version_at=version_at, wants=wants)

    def _take(self, reply: Reply, path: str, depth: int) -> Iterator[Found]:
        """Yield the document of a reply, if it is one that is wanted, and queue what it links to."""
        version = reply.version
        content_type = reply.content_type
        if reply.status == httpx.codes.NOT_MODIFIED:
            version = self._memory.version(path)
            content_type = content_type_of(version or "")
        if content_type in HTML_TYPES:
            if not reply.is_whole:
                yield Gap(path=path, reason=_too_large(self._limits.max_bytes))
                return
            links = read_links(self._bytes(reply, path), reply.url, reply.charset)
            if depth < self._limits.depth:
                self._enqueue(links.urls, depth + 1)
            if links.is_listing:
                return
        if self._wants(path):
            yield SourceEntry(
                path=path,
                filename=filename_for(reply.url, content_type, reply.disposition),
                version=version,
                size=None,
                open=partial(self._open, reply, path, version),
            )

    def _bytes(self, reply: Reply, path: str) -> bytes:
        """Return the whole page; one that has not changed is in the store."""
        if reply.status == httpx.codes.NOT_MODIFIED:
            with self._memory.open(path) as stored:
                return stored.read()
        data = reply.body.read()
        reply.body.seek(0)
        return data

    @contextmanager
    def _open(self, reply: Reply, path: str, version: str | None) -> Iterator[Reading]:
        if reply.status == httpx.codes.NOT_MODIFIED:
            with self._memory.open(path) as stored:
                yield Reading(stream=stored, version=version)
            return
        if not reply.is_whole:
            raise SourceUnreadable(_too_large(self._limits.max_bytes))
        yield Reading(stream=cast("BinaryIO", reply.body), version=version)

    def _read_sitemap(self, sitemap: Sitemap) -> Iterator[Found]:
        """Queue the documents of a sitemap, and of those that it names; their own links are not followed."""
        pending = [sitemap]
        while pending:
            current = pending.pop(0)
            if not current.is_index:
                self._enqueue(current.urls, self._limits.depth)
                continue
            for url in current.urls:
                path = self._path(url)
                if path is None or path in self._seen:
                    continue
                if self._is_spent():
                    yield self._limit_reached()
                    return
                self._seen.add(path)
                reply = self._try(path, url, wants_all=True)
                if not isinstance(reply, Reply):
                    yield Gap(path=path, reason=f"This sitemap cannot be read: {reply.reason}")
                    continue
                with closing(reply.body):
                    found = read_sitemap(reply.body, reply.content_type)
                if found is None:
                    yield Gap(path=path, reason="This is no sitemap.")
                else:
                    pending.append(found)

    def _enqueue(self, urls: Iterable[httpx.URL], depth: int) -> None:
        for url in urls:
            path = self._path(url)
            if path is not None and path not in self._seen and not self._patterns.excludes(unquote(path)):
                self._seen.add(path)
                self._queue.append((path, url, depth))

    def _wants(self, path: str) -> bool:
        return self._patterns.wants(unquote(path))

    def _is_spent(self) -> bool:
        return self._fetched >= self._limits.max_pages

    def _limit_reached(self) -> Gap:
        return Gap(path=".", reason=f"The limit of {self._limits.max_pages:,} pages is reached (--max-pages).")

    def _path(self, url: httpx.URL) -> str | None:
        """Return what a document is known by: its URL behind the root's; None when it does not lie there."""
        root = str(self._root)
        if url.netloc == self._root.netloc:
            # The same page, whether a link to it says http or https.
            url = url.copy_with(scheme=self._root.scheme)
        place = str(url)
        if root in {place, f"{place}/"}:
            return _ROOT_PATH
        return place.removeprefix(root) if place.startswith(root) else None


def _folder_of(url: httpx.URL) -> httpx.URL:
    """Return the folder that a URL names or, for a URL that looks like a file's, that it lies in."""
    path, _, _ = url.raw_path.decode("ascii").partition("?")
    if not path.endswith("/"):
        folder, _, name = path.rpartition("/")
        path = f"{folder}/" if "." in name else f"{path}/"
    return url.copy_with(raw_path=path.encode("ascii"))


def _too_large(max_bytes: int) -> str:
    return f"It is larger than the {max_bytes:,} bytes that are allowed."

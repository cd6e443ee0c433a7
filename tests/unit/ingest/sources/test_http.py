"""The web as a source: what is read, what is left alone, and what is not known when a site fails."""

import gzip
import socket
import struct
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from catalog.errors import InvalidRequest, ServiceUnavailable
from ingest.sources import web
from ingest.sources.allowed_hosts import AllowedHosts, HostRefused
from ingest.sources.base import Found, Gap, Skipped, SourceEntry, SourceUnreadable
from ingest.sources.http import CrawlLimits, HttpSource
from ingest.sources.patterns import Patterns
from tests.site import Page, Site, html, moved, serving
from tests.unit.ingest.sources.memory import FakeMemory

PDF = Page(body=b"%PDF-1.7 words", type="application/pdf")


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


def source(site: Site, path: str = "/docs/", *, hosts: tuple[str, ...] = (), **options: Any) -> HttpSource:
    patterns = options.pop("patterns", None)
    limits = CrawlLimits(**{"max_bytes": 10_000, "pause_s": 0.0} | options)
    return HttpSource(site.url + path, allowed=AllowedHosts([site.host, *hosts]), limits=limits, patterns=patterns)


def crawl(site: Site, path: str = "/docs/", memory: FakeMemory | None = None, **options: Any) -> dict[str, Found]:
    """Return what is found, by path, with the bodies read: they are there only while the crawl stands at them."""
    found: dict[str, Found] = {}
    bodies: dict[str, bytes] = {}
    for item in source(site, path, **options).entries(memory or FakeMemory()):
        assert item.path not in found, "twice"
        found[item.path] = item
        if isinstance(item, SourceEntry):
            try:
                with item.open() as reading:
                    bodies[item.path] = reading.stream.read()
            except SourceUnreadable as error:
                bodies[item.path] = error.message.encode()
    crawl.bodies = bodies  # type: ignore[attr-defined]
    return found


def documents(found: dict[str, Found]) -> list[str]:
    return [path for path, item in found.items() if isinstance(item, SourceEntry)]


def kinds(found: dict[str, Found]) -> dict[str, type]:
    return {path: type(item) for path, item in found.items()}


# One document, a page, what lies below


def test_a_single_document_is_a_source(site: Site) -> None:
    """Its path is its name, its file name says what it is."""
    site.pages["/docs/get"] = Page(body=b"%PDF-1.7 words", type="application/pdf", etag='"1"')
    found = crawl(site, "/docs/get")
    (entry,) = found.values()
    assert isinstance(entry, SourceEntry)
    assert (entry.path, entry.filename, entry.version) == ("./", "get.pdf", 'application/pdf "1"')
    assert crawl.bodies == {"./": b"%PDF-1.7 words"}  # type: ignore[attr-defined]


def test_a_page_is_followed_to_what_lies_below_it(site: Site) -> None:
    """Links to other folders and other hosts are not; each document comes once, the nearest first."""
    site.pages |= {
        "/docs/": html("a.html", "sub/b.html", "/docs/c.pdf", "../up.html", "/other/", "https://other.example/docs/x"),
        "/docs/a.html": html("./", "sub/b.html#part", "a.html"),
        "/docs/sub/b.html": html("deep/d.html"),
        "/docs/sub/deep/d.html": html("../../c.pdf"),
        "/docs/c.pdf": PDF,
        "/up.html": html(),
        "/other/": html(),
    }
    found = crawl(site)
    assert documents(found) == ["./", "a.html", "sub/b.html", "c.pdf", "sub/deep/d.html"]
    assert sorted(set(site.take_requests())) == sorted(
        ["/docs/", "/docs/a.html", "/docs/c.pdf", "/docs/sub/b.html", "/docs/sub/deep/d.html"]
    )


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("/docs/index.html", ["index.html", "a.html"]),
        ("/docs/", ["./", "a.html"]),
        ("/docs", ["./", "a.html"]),
        ("/docs?lang=en#top", ["./", "a.html"]),
    ],
)
def test_below_is_below_the_folder_of_the_start(site: Site, start: str, expected: list[str]) -> None:
    """The folder that the URL names, or the one that the page lies in."""
    page = html("/docs/a.html", "/docs-old/b.html", "/")
    site.pages |= dict.fromkeys(("/docs/index.html", "/docs/", "/docs", "/docs?lang=en"), page)
    site.pages |= {"/docs/a.html": html(), "/docs-old/b.html": html(), "/": html()}
    assert documents(crawl(site, start)) == expected


def test_pages_with_a_query_are_pages_of_their_own(site: Site) -> None:
    """Whatever stands behind the question mark."""
    site.pages |= {"/docs/": html("p?id=1", "p?id=2"), "/docs/p?id=1": html(), "/docs/p?id=2": html()}
    assert documents(crawl(site)) == ["./", "p?id=1", "p?id=2"]


def test_a_listing_of_a_folder_leads_to_documents_and_is_none(site: Site) -> None:
    """As Apache, nginx and `python -m http.server` make it."""
    site.pages |= {
        "/docs/": html("?C=N;O=D", "a.pdf", "sub/", title="Index of /docs"),
        "/docs/sub/": html("../", "b.pdf", title="Index of /docs/sub"),
        "/docs/a.pdf": PDF,
        "/docs/sub/b.pdf": PDF,
    }
    assert documents(crawl(site)) == ["a.pdf", "sub/b.pdf"]


def test_a_crawl_goes_as_deep_as_it_may(site: Site) -> None:
    """Depth 0 is the start alone."""
    site.pages |= {f"/docs/{i}.html": html(f"{i + 1}.html") for i in range(5)}
    assert documents(crawl(site, "/docs/0.html", depth=0)) == ["0.html"]
    assert documents(crawl(site, "/docs/0.html", depth=2)) == ["0.html", "1.html", "2.html"]


def test_a_crawl_that_ends_at_its_limit_has_a_gap(site: Site) -> None:
    """What it would have found is not known."""
    site.pages |= {f"/docs/{i}.html": html(f"{i + 1}.html") for i in range(5)}
    found = crawl(site, "/docs/0.html", max_pages=3)
    assert documents(found) == ["0.html", "1.html", "2.html"]
    assert isinstance(found["."], Gap)
    assert "limit of 3 pages" in found["."].reason


def test_patterns_choose_documents_and_pages_still_lead_to_them(site: Site) -> None:
    """Includes count for documents; what is excluded is not even asked for."""
    site.pages |= {
        "/docs/": html("a.html", "private/x.html", "b.zip", "caf%C3%A9.pdf"),
        "/docs/a.html": html("c.pdf"),
        "/docs/private/x.html": html(),
        "/docs/b.zip": Page(body=b"PK", type="application/zip"),
        "/docs/c.pdf": PDF,
        "/docs/caf%C3%A9.pdf": PDF,
    }
    patterns = Patterns(include=["*.pdf"], exclude=["private/"])
    assert documents(crawl(site, patterns=patterns)) == ["caf%C3%A9.pdf", "c.pdf"]
    assert "/docs/private/x.html" not in site.take_requests()
    assert documents(crawl(site, patterns=Patterns(include=["caf\u00e9.pdf"]))) == ["caf%C3%A9.pdf"]


# Sitemaps


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_sitemap_lists_the_documents(site: Site, is_packed: bool) -> None:
    """Links of the pages are not followed; documents elsewhere are left out."""
    places = [
        f"{site.url}/docs/a.html",
        f"{site.url}/docs/c.pdf",
        f"{site.url}/other/x",
        "https://other.example/docs/y",
    ]
    data = f"<urlset>{''.join(f'<url><loc>{place}</loc></url>' for place in places)}</urlset>".encode()
    name, kind = ("sitemap.xml.gz", "application/gzip") if is_packed else ("sitemap.xml", "application/xml")
    site.pages |= {
        f"/docs/{name}": Page(body=gzip.compress(data) if is_packed else data, type=kind),
        "/docs/a.html": html("b.html"),
        "/docs/b.html": html(),
        "/docs/c.pdf": PDF,
    }
    assert documents(crawl(site, f"/docs/{name}")) == ["a.html", "c.pdf"]


def test_a_sitemap_index_is_followed_and_a_broken_sitemap_is_a_gap(site: Site) -> None:
    """What a sitemap that cannot be read lists is not known."""
    maps = "".join(f"<sitemap><loc>{site.url}/{name}.xml</loc></sitemap>" for name in ("1", "2", "3", "none"))
    site.pages |= {
        "/sitemap.xml": Page(body=f"<sitemapindex>{maps}</sitemapindex>".encode(), type="text/xml"),
        "/1.xml": Page(body=f"<urlset><url><loc>{site.url}/a</loc></url></urlset>".encode(), type="text/xml"),
        "/2.xml": html(),
        "/3.xml": Page(status=500),
        "/a": html(),
    }
    found = crawl(site, "/sitemap.xml")
    assert kinds(found) == {"2.xml": Gap, "3.xml": Gap, "none.xml": Gap, "a": SourceEntry}


def test_a_sitemap_beyond_the_limit_is_a_gap(site: Site) -> None:
    """What it lists is not known, also when nothing else is left to be read."""
    maps = "".join(f"<sitemap><loc>{site.url}/{name}.xml</loc></sitemap>" for name in ("1", "2"))
    site.pages["/sitemap.xml"] = Page(body=f"<sitemapindex>{maps}</sitemapindex>".encode(), type="text/xml")
    site.pages |= dict.fromkeys(("/1.xml", "/2.xml"), Page(body=b"<urlset></urlset>", type="text/xml"))
    assert kinds(crawl(site, "/sitemap.xml", max_pages=3)) == {}
    assert kinds(crawl(site, "/sitemap.xml", max_pages=2)) == {".": Gap}


# What has not changed


def test_what_has_not_changed_is_not_sent_again(site: Site) -> None:
    """The version is sent along; a page that has not changed is followed by its stored links."""
    site.pages |= {
        "/docs/": html("a.pdf", etag='W/"1"'),
        "/docs/a.pdf": Page(body=b"%PDF", type="application/pdf", modified="Sat, 01 Aug 2026 10:00:00 GMT"),
    }
    first = crawl(site)
    stored = FakeMemory(
        **{path: (item.version, crawl.bodies[path]) for path, item in first.items()}  # type: ignore[attr-defined, union-attr]
    )
    site.take_requests()
    again = crawl(site, memory=stored)
    assert {path: item.version for path, item in again.items()} == {  # type: ignore[union-attr]
        path: version for path, (version, _) in stored.documents.items()
    }
    assert {"if-none-match": 'W/"1"'}.items() <= site.headers[1].items()
    assert {"if-modified-since": "Sat, 01 Aug 2026 10:00:00 GMT"}.items() <= site.headers[2].items()
    assert crawl.bodies == {path: body for path, (_, body) in stored.documents.items()}  # type: ignore[attr-defined]
    assert [item.filename for item in again.values() if isinstance(item, SourceEntry)] == ["docs.html", "a.pdf"]
    site.pages["/docs/a.pdf"] = Page(body=b"%PDF 2", type="application/pdf", modified="Sat, 01 Aug 2026 11:00:00 GMT")
    assert crawl(site, memory=stored)["a.pdf"].version != stored.version("a.pdf")  # type: ignore[union-attr]


def test_a_date_of_this_second_is_no_version(site: Site) -> None:
    """The document may change again within it."""
    now = "Sat, 01 Aug 2026 10:00:00 GMT"
    site.pages["/a.pdf"] = Page(body=b"%PDF", type="application/pdf", headers={"last-modified": now, "date": now})

    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = f"HTTP/1.1 200 OK\r\nDate: {now}\r\nLast-Modified: {now}\r\nContent-Length: 1\r\n\r\nx"
        handler.wfile.write(body.encode())
        handler.close_connection = True

    site.pages["/a.pdf"] = Page(act=answer)
    (entry,) = crawl(site, "/a.pdf").values()
    assert isinstance(entry, SourceEntry)
    assert entry.version is None


def test_not_modified_without_a_question_is_a_gap(site: Site) -> None:
    """There is nothing that has not changed."""
    site.pages |= {"/docs/": html("a"), "/docs/a": Page(status=304)}
    assert kinds(crawl(site)) == {"./": SourceEntry, "a": Gap}


# Redirects


def test_a_redirect_within_the_source_is_one_document(site: Site) -> None:
    """It is known by where it is, however many links lead to it."""
    site.pages |= {
        "/docs/": html("old.html", "older.html", "new.html"),
        "/docs/old.html": moved("new.html", 301),
        "/docs/older.html": moved("old.html"),
        "/docs/new.html": html(),
    }
    assert documents(crawl(site)) == ["./", "new.html"]


def test_a_start_that_redirects_gives_its_place(site: Site) -> None:
    """Also when it leads to another folder."""
    site.pages |= {"/latest": moved("/v2/index.html"), "/v2/index.html": html("a.html"), "/v2/a.html": html()}
    assert documents(crawl(site, "/latest")) == ["index.html", "a.html"]


def test_a_redirect_to_another_allowed_host_is_followed(site: Site) -> None:
    """The document keeps the path of the link."""
    with serving() as other:
        other.pages["/files/1"] = PDF
        site.pages |= {"/docs/": html("a"), "/docs/a": moved(f"{other.url}/files/1")}
        found = crawl(site, hosts=(other.host,))
        assert documents(found) == ["./", "a"]
        assert found["a"].filename == "1.pdf"  # type: ignore[union-attr]


def test_a_redirect_to_a_host_that_is_not_allowed_is_not_followed(site: Site) -> None:
    """It is said; and it is a gap where the store has the document, for the site may ask to log in for a while."""
    with serving() as other:
        other.pages["/login"] = html()
        site.pages |= {"/docs/": html("a", "b"), "/docs/a": moved(f"{other.url}/login")}
        site.pages["/docs/b"] = moved("http://169.254.169.254/latest/meta-data/")
        found = crawl(site, memory=FakeMemory(a=(None, b"")))
        assert kinds(found) == {"./": SourceEntry, "a": Gap, "b": Skipped}
        assert "http_allowed_hosts" in found["b"].reason  # type: ignore[union-attr]
        assert "169.254.169.254" in found["b"].reason  # type: ignore[union-attr]
        assert other.requests == []


def test_redirects_in_a_circle_are_a_gap(site: Site) -> None:
    """And so is one that leads to no URL."""
    site.pages |= {"/docs/": html("a", "b"), "/docs/a": moved("a"), "/docs/b": moved("http://h:port/")}
    assert kinds(crawl(site)) == {"./": SourceEntry, "a": Gap, "b": Gap}


# The owner's leave


def test_robots_txt_is_kept_to(site: Site) -> None:
    """Ours by name or everybody's; wildcards count; what is forbidden is said and not asked for."""
    site.pages |= {
        "/robots.txt": Page(body=b"User-agent: *\nDisallow: /docs/private/\nDisallow: /*.zip$\n", type="text/plain"),
        "/docs/": html("a", "private/x", "b.zip", "c"),
        "/docs/a": html(),
        "/docs/c": moved("private/y"),
    }
    found = crawl(site)
    assert kinds(found) == {"./": SourceEntry, "a": SourceEntry, "private/x": Skipped, "b.zip": Skipped, "c": Skipped}
    assert "robots.txt" in found["private/x"].reason  # type: ignore[union-attr]
    assert not any("private" in path or "zip" in path for path in site.take_requests())


def test_robots_txt_can_forbid_it_all(site: Site) -> None:
    """The start itself: the sync says so and changes nothing."""
    site.pages |= {
        "/robots.txt": Page(body=b"User-agent: footnote\nDisallow: /\n", type="text/plain"),
        "/docs/": html(),
    }
    with pytest.raises(InvalidRequest, match=r"robots\.txt"):
        crawl(site)


@pytest.mark.parametrize(("status", "is_readable"), [(404, True), (403, True), (500, False), (429, True)])
def test_without_robots_txt_everything_may_be_read(site: Site, status: int, is_readable: bool) -> None:
    """A server that fails to give it has not said so (RFC 9309)."""
    site.pages |= {"/robots.txt": Page(status=status), "/docs/": html()}
    if is_readable:
        assert documents(crawl(site)) == ["./"]
    else:
        with pytest.raises(ServiceUnavailable, match=r"robots\.txt"):
            crawl(site)


def test_requests_keep_their_distance(site: Site) -> None:
    """The pause of the settings, or the longer one that robots.txt asks for."""
    site.pages |= {"/docs/": html("a", "b"), "/docs/a": html(), "/docs/b": html()}
    started = time.monotonic()
    crawl(site, pause_s=0.1)
    assert time.monotonic() - started >= 0.3
    site.pages["/robots.txt"] = Page(body=b"User-agent: *\nCrawl-delay: 0.3\n", type="text/plain")
    started = time.monotonic()
    crawl(site, pause_s=0.0)
    assert time.monotonic() - started >= 0.6


# What fails


@pytest.mark.parametrize("status", [500, 503, 429, 403, 401, 204])
def test_a_page_that_fails_is_a_gap_and_the_others_are_read(site: Site, status: int) -> None:
    """What it would have led to is not known."""
    site.pages |= {"/docs/": html("a", "b"), "/docs/a": Page(status=status), "/docs/b": html()}
    assert kinds(crawl(site)) == {"./": SourceEntry, "a": Gap, "b": SourceEntry}


@pytest.mark.parametrize("status", [404, 410])
def test_a_link_to_nothing_is_no_failure(site: Site, status: int) -> None:
    """The page is gone, and that is known."""
    site.pages |= {"/docs/": html("a"), "/docs/a": Page(status=status)}
    assert kinds(crawl(site)) == {"./": SourceEntry, "a": Skipped}


def reset(handler: BaseHTTPRequestHandler) -> None:
    """End the connection as a crash does."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


def break_off(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100\r\n\r\nhalf")
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def send_broken_gzip(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\nbroken")
    handler.close_connection = True


@pytest.mark.parametrize("act", [reset, break_off, send_broken_gzip])
def test_a_connection_that_breaks_is_a_gap(site: Site, act: Any) -> None:
    """Half a document is none."""
    site.pages |= {"/docs/": html("a", "b"), "/docs/a": Page(act=act), "/docs/b": html()}
    assert kinds(crawl(site)) == {"./": SourceEntry, "a": Gap, "b": SourceEntry}


def test_a_document_that_never_ends_is_a_gap(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """However patiently its server sends it."""

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.02)

    monkeypatch.setattr(web, "_DEADLINE_S", 0.3)
    site.pages |= {"/docs/": html("a"), "/docs/a": Page(act=drip)}
    found = crawl(site)
    assert kinds(found) == {"./": SourceEntry, "a": Gap}
    assert "longer than" in found["a"].reason  # type: ignore[union-attr]


def test_a_large_document_is_refused_and_a_large_page_is_a_gap(site: Site) -> None:
    """Of a page nobody knows where it would have led; also when it is small on the wire."""
    packed = gzip.compress(b"<p>" + bytes(50_000))
    site.pages |= {
        "/docs/": html("a.pdf", "b.html"),
        "/docs/a.pdf": Page(body=bytes(10_001), type="application/pdf"),
        "/docs/b.html": Page(body=packed, headers={"content-encoding": "gzip"}),
    }
    found = crawl(site)
    assert kinds(found) == {"./": SourceEntry, "a.pdf": SourceEntry, "b.html": Gap}
    assert "larger than the 10,000 bytes" in crawl.bodies["a.pdf"].decode()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("page", "error"),
    [
        (Page(status=404), InvalidRequest),
        (Page(status=403), InvalidRequest),
        (Page(status=500), ServiceUnavailable),
        (Page(status=429), ServiceUnavailable),
        (Page(act=reset), ServiceUnavailable),
    ],
)
def test_a_start_that_fails_is_an_error(site: Site, page: Page, error: type[Exception]) -> None:
    """Nothing is known of the source, so nothing is yielded."""
    site.pages["/docs/"] = page
    with pytest.raises(error, match="/docs/"):
        crawl(site)


def test_a_server_that_is_not_there_is_an_outage() -> None:
    """The URL is named."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    limits = CrawlLimits(max_bytes=1000, pause_s=0.0)
    url = f"http://127.0.0.1:{port}/"
    with pytest.raises(ServiceUnavailable, match=url):
        list(HttpSource(url, allowed=AllowedHosts([f"127.0.0.1:{port}"]), limits=limits).entries(FakeMemory()))


# What is no source


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://", "host"),
        ("https://user:word@docs.example/", "password"),
        ("https://h:port/", "no URL"),
    ],
)
def test_what_is_no_url_of_the_web_is_refused(url: str, words: str) -> None:
    """Credentials too: the store would show them."""
    with pytest.raises(InvalidRequest, match=words):
        HttpSource(url, allowed=AllowedHosts(["docs.example"]), limits=CrawlLimits(max_bytes=1))


def test_a_host_that_is_not_allowed_is_refused_before_anything_is_asked(site: Site) -> None:
    """The message names the setting and the host."""
    with pytest.raises(HostRefused, match=rf"'{site.host}' is not allowed.*http_allowed_hosts"):
        HttpSource(f"{site.url}/docs/", allowed=AllowedHosts([]), limits=CrawlLimits(max_bytes=1))
    assert site.requests == []


def test_the_url_names_the_source_and_the_host_the_store(site: Site) -> None:
    """The part behind # is none of it."""
    found = source(site, "/docs/#part")
    assert (found.url, found.name) == (f"{site.url}/docs/", "127.0.0.1")

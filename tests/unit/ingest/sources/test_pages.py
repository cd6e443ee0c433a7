"""Links of pages, addresses of sitemaps, names of files."""

import gzip
import io

import httpx
import pytest

from ingest.sources.pages import filename_for, read_links, read_sitemap

PAGE = httpx.URL("https://h.example/docs/page.html")


def links(body: str, url: httpx.URL = PAGE) -> list[str]:
    return [str(link) for link in read_links(body.encode(), url).urls]


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("a.html", "https://h.example/docs/a.html"),
        ("./sub/../b", "https://h.example/docs/b"),
        ("/top", "https://h.example/top"),
        ("//other.example/x", "https://other.example/x"),
        ("?page=2", "https://h.example/docs/page.html?page=2"),
        ("a.html#part", "https://h.example/docs/a.html"),
        ("http://h.example:80/x", "http://h.example/x"),
        (" a\n.html ", "https://h.example/docs/a.html"),
        ("caf\u00e9.html", "https://h.example/docs/caf%C3%A9.html"),
        ("a&amp;b.html", "https://h.example/docs/a&b.html"),
    ],
)
def test_a_link_is_absolute_and_without_fragment(href: str, expected: str) -> None:
    """Whatever its form on the page."""
    assert links(f'<a href="{href}">x</a>') == [expected]


@pytest.mark.parametrize(
    "body",
    [
        "<a>none</a>",
        '<a href="">x</a>',
        '<a href="mailto:a@h.example">x</a>',
        '<a href="javascript:void(0)">x</a>',
        '<a href="file:///etc/passwd">x</a>',
        '<a href="http://h:port/">x</a>',
        '<a href="https://user:word@h.example/">x</a>',
        '<a rel="noopener NOFOLLOW" href="a">x</a>',
        '<img src="a.png"><link href="style.css">',
        '<!-- <a href="a">x</a> --><script>"<a href=b>"</script>',
    ],
)
def test_what_leads_to_no_document_is_no_link(body: str) -> None:
    """Other schemes, broken URLs, passwords, `nofollow`, pictures and styles."""
    assert [link for link in links(body) if link != str(PAGE)] == []


def test_every_link_counts_once_in_the_order_of_the_page() -> None:
    """`a` and `area`, relative to the page's base."""
    body = '<base href="/other/"><a href=b>x</a><map><area href="a"></map><A HREF="b#2">x</A>'
    assert links(body) == ["https://h.example/other/b", "https://h.example/other/a"]


def test_a_listing_of_a_folder_is_recognised() -> None:
    """Links that sort it are left out; elsewhere links with a query stay."""
    body = '<title>Index of /docs</title><a href="?C=N;O=D">Name</a><a href="a.pdf">a.pdf</a>'
    found = read_links(body.encode(), httpx.URL("https://h.example/docs/"))
    assert (found.is_listing, [str(url) for url in found.urls]) == (True, ["https://h.example/docs/a.pdf"])
    assert not read_links(b"<title>The index of prices</title>", PAGE).is_listing
    assert read_links(b"<title>Directory listing for /x/</title>", PAGE).is_listing


@pytest.mark.parametrize("charset", [None, "latin-1", "no-such-charset"])
def test_a_page_in_any_encoding_gives_its_links(charset: str | None) -> None:
    """Bytes that do not fit are replaced."""
    found = read_links(b'<a href="a">\xff\xfe</a>', PAGE, charset)
    assert [str(url) for url in found.urls] == ["https://h.example/docs/a"]


def test_a_page_of_a_hundred_thousand_nested_tags_is_read() -> None:
    """Depth costs nothing."""
    assert links("<div>" * 100_000 + '<a href="a">x</a>') == ["https://h.example/docs/a"]


SITEMAP = (
    '<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
    "<url><loc> https://h.example/a </loc><lastmod>2026-01-01</lastmod></url>"
    "<url><loc>https://h.example/b#x</loc></url><url><loc>https://h.example/a</loc></url>"
    "<url><loc>/relative</loc></url><url><loc/></url></urlset>"
)


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_sitemap_names_documents(is_packed: bool) -> None:
    """Absolute addresses, each once; packed with gzip or not."""
    data, kind = (gzip.compress(SITEMAP.encode()), "application/gzip") if is_packed else (SITEMAP.encode(), "text/xml")
    found = read_sitemap(io.BytesIO(data), kind)
    assert found is not None
    assert ([str(url) for url in found.urls], found.is_index) == (["https://h.example/a", "https://h.example/b"], False)


def test_a_sitemap_index_names_sitemaps() -> None:
    """It is told by its root."""
    data = b"<sitemapindex><sitemap><loc>https://h.example/1.xml</loc></sitemap></sitemapindex>"
    found = read_sitemap(io.BytesIO(data), "application/xml")
    assert found is not None
    assert found.is_index


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (SITEMAP.encode(), "text/html"),
        (b"<feed><loc>https://h.example/a</loc></feed>", "application/xml"),
        (b"<urlset><url>", "application/xml"),
        (b"", "application/xml"),
        (b"\x1f\x8bbroken", "application/gzip"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><urlset><loc>&a;</loc></urlset>', "application/xml"),
    ],
)
def test_any_other_file_is_no_sitemap(data: bytes, kind: str) -> None:
    """Other types, other roots, broken or hostile XML."""
    assert read_sitemap(io.BytesIO(data), kind) is None


@pytest.mark.parametrize(
    ("url", "kind", "disposition", "expected"),
    [
        ("https://h.example/docs/a.html", "text/html", None, "a.html"),
        ("https://h.example/docs/a.htm", "text/html", None, "a.htm"),
        ("https://h.example/docs/about", "text/html", None, "about.html"),
        ("https://h.example/docs/", "text/html", None, "docs.html"),
        ("https://h.example/", "text/html", None, "h.example.html"),
        ("https://h.example/page.php?id=1", "text/html", None, "page.php.html"),
        ("https://h.example/get?id=1", "application/pdf", None, "get.pdf"),
        ("https://h.example/report.pdf", "application/octet-stream", None, "report.pdf"),
        ("https://h.example/tool.py", "text/plain", None, "tool.py"),
        ("https://h.example/notes", "text/plain", None, "notes"),
        ("https://h.example/caf%C3%A9%20menu.pdf", "application/pdf", None, "caf\u00e9 menu.pdf"),
        ("https://h.example/get", "application/pdf", 'attachment; filename="Report 1.pdf"', "Report 1.pdf"),
        ("https://h.example/get", "application/pdf", "attachment; filename*=UTF-8''caf%C3%A9.pdf", "caf\u00e9.pdf"),
        ("https://h.example/get", "application/pdf", 'attachment; filename="../../etc/x.pdf"', "x.pdf"),
        ("https://h.example/get", "application/pdf", "attachment", "get.pdf"),
        ("https://h.example/a", "", None, "a"),
    ],
)
def test_a_file_is_named_by_its_server(url: str, kind: str, disposition: str | None, expected: str) -> None:
    """Or by its URL, with the ending of what it is."""
    assert filename_for(httpx.URL(url), kind, disposition) == expected

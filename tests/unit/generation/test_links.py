"""Everything that leads out of an answer is told apart from its text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.links import Link, split_run, urls_in


def links(text: str) -> list[tuple[str, str]]:
    """Return (text, url) of the links in a text."""
    return [(part.text, part.url) for run in text.split() for part in split_run(run) if isinstance(part, Link)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("See https://a.example/x.", [("https://a.example/x", "https://a.example/x")]),
        ("(https://a.example/x)", [("https://a.example/x", "https://a.example/x")]),
        ("[click](https://a.example/x)", [("(https://a.example/x)", "https://a.example/x")]),
        ("[a](page.html).", [("(page.html)", "page.html")]),
        ("[a](b(c)d)e", [("(b(c)d)", "b(c)d")]),
        ("[a](<https://a.example>)", [("(<https://a.example>)", "https://a.example")]),
        ("![a](//a.example/x)", [("!", ""), ("(//a.example/x)", "//a.example/x")]),
        ("<https://a.example/x>", [("<https://a.example/x>", "https://a.example/x")]),
        ("www.a.example", [("www.a.example", "www.a.example")]),
        ("//a.example/x", [("//a.example/x", "//a.example/x")]),
        (r"\\server\share", [(r"\\server\share", r"\\server\share")]),
        ("a.com/x?y=1", [("a.com/x?y=1", "a.com/x?y=1")]),
        ("a.zone?y=1", [("a.zone?y=1", "a.zone?y=1")]),
        ("mailto:a@b.example", [("mailto:a@b.example", "mailto:a@b.example")]),
        ("javascript:alert(1)", [("javascript:alert(1", "")]),
        ("[a](data:text/html,x)", [("(data:text/html,x)", "")]),
        ("[a]()", [("()", "")]),
        ("odd+scheme://x", [("odd+scheme://x", "odd+scheme://x")]),
        ("://x", [("://x", "://x")]),
    ],
)
def test_links_are_found(text: str, found: list[tuple[str, str]]) -> None:
    """In every form that a chat window or a browser makes a link or an image of."""
    assert links(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "and/or",
        "5 km/h",
        "a.b",
        "e.g. this",
        "Wow! [x]",
        "a:b",
        "data: x",
        "// comment",
        "(x)",
        "info@a.example",
        "1/2",
    ],
)
def test_other_text_is_no_link(text: str) -> None:
    """Fractions, abbreviations, comments and addresses of people stay."""
    assert links(text) == []


@given(run=st.text("[](!<>)a.:/x?=\\", max_size=40))
def test_the_parts_are_the_text(run: str) -> None:
    """Nothing is lost or added, whatever is found."""
    parts = [part if isinstance(part, str) else part.text for part in split_run(run)]
    assert "".join(parts) == run


def test_a_sources_links_are_those_that_it_leads_to() -> None:
    """Unsafe ones are none, and no part of one is another."""
    text = "See [it](https://a.example/x) or https://b.example/y, 请访问https://c.example/z。[no](javascript:x)"
    assert urls_in(text) == {"https://a.example/x", "https://b.example/y", "https://c.example/z"}

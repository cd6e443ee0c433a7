"""Text formats become documents without loss; what is not document text stays out."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import InvalidFile, UnsupportedFile
from ingest.documents import Category, normalize_text
from ingest.parsers import open_parser
from ingest.parsers.tables import markdown_table
from tests.unit.ingest.parsing import elements, parse

EMAIL = """\
From: Ada <ada@example.org>
To: Bob <bob@example.org>
Subject: Quarterly figures
Date: Mon, 6 Jan 2025 10:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="B"

--B
Content-Type: multipart/alternative; boundary="A"

--A
Content-Type: text/plain; charset=utf-8

Hello Bob, revenue was 12.
--A
Content-Type: text/html; charset=utf-8

<p>Hello Bob,</p><p>revenue was <b>12</b>.</p>
--A--
--B
Content-Type: application/pdf
Content-Disposition: attachment; filename="figures.pdf"

xx
--B--
"""


def test_plain_text_is_cut_at_blank_lines(tmp_path: Path) -> None:
    document = parse(tmp_path, "a.txt", "one\nstill one\r\n\r\n \t\n  two\n\n\n")
    assert elements(document) == [(Category.TEXT, "one\nstill one"), (Category.TEXT, "two")]


def test_source_code_keeps_its_lines_and_stays_together(tmp_path: Path) -> None:
    source = "import os\n\n\ndef f(x):\n    if x:\n\n        return 1\n"
    document = parse(tmp_path, "a.py", source)
    assert elements(document) == [(Category.CODE, "import os\n\ndef f(x):\n    if x:\n\n        return 1")]


def test_long_source_code_is_cut_before_an_unindented_line(tmp_path: Path) -> None:
    function = "def f():\n" + "    pass\n" * 150 + "\n    return 1\n\n"
    document = parse(tmp_path, "a.py", function * 4)
    assert len(document.elements) == 4
    assert all(text.startswith("def f():") and text.endswith("return 1") for _, text in elements(document))


def test_blank_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"'a\.txt' holds no text"):
        parse(tmp_path, "a.txt", " \n\t\n")


def test_a_media_type_without_a_parser_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnsupportedFile, match=r"'image/heic'; known are application/.*text/plain"):
        open_parser("image/heic")


def test_csv_cells_stay_what_they_are(tmp_path: Path) -> None:
    content = 'Part,Name,Note\n007,NA,"a, ""b"""\n1.10,null,x|y\n'
    assert parse(tmp_path, "a.csv", content).text == (
        '| Part | Name | Note |\n| --- | --- | --- |\n| 007 | NA | a, "b" |\n| 1.10 | null | x\\|y |'
    )


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_than_the_comma_are_found(tmp_path: Path, delimiter: str) -> None:
    content = "\n".join(delimiter.join(row) for row in (("a", "b, c"), ("1", "2"), ("3", "4")))
    assert parse(tmp_path, "a.csv", content).text == "| a | b, c |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |"


def test_rows_of_different_length_are_padded(tmp_path: Path) -> None:
    assert parse(tmp_path, "a.csv", "a,b\n1,2,3\n").text == "| a | b |  |\n| --- | --- | --- |\n| 1 | 2 | 3 |"


def test_a_nul_in_a_quoted_field_does_not_crash_the_csv_parser(tmp_path: Path) -> None:
    with pytest.raises((InvalidFile, UnsupportedFile)):
        parse(tmp_path, "a.csv", b'a,"b\0c"\n')


@given(st.lists(st.lists(st.text(alphabet="ab|\n ", max_size=4), max_size=4), max_size=5))
def test_every_line_of_a_markdown_table_has_the_same_columns(rows: list[list[str]]) -> None:
    lines = markdown_table(rows).replace("\\|", "").splitlines()
    assert len({line.count("|") for line in lines}) <= 1


def test_markdown_keeps_structure(tmp_path: Path) -> None:
    content = """\
# Guide

Intro with *emphasis*.

## Steps

- first

- second
    - nested

```python
x = 1

y = 2
```

| a | b |
| --- | --- |
| 1 | 2 |
"""
    document = parse(tmp_path, "a.md", content)
    assert elements(document) == [
        (Category.HEADING, "Guide"),
        (Category.TEXT, "Intro with emphasis."),
        (Category.HEADING, "Steps"),
        (Category.LIST_ITEM, "first"),
        (Category.LIST_ITEM, "second"),
        (Category.LIST_ITEM, "nested"),
        (Category.CODE, "x = 1\n\ny = 2"),
        (Category.TABLE, "| a | b |\n| --- | --- |\n| 1 | 2 |"),
    ]
    assert document.elements[-1].headings == ("Guide", "Steps")
    assert document.title == "Guide"


def test_front_matter_gives_the_title_and_stays_readable(tmp_path: Path) -> None:
    document = parse(tmp_path, "a.md", "---\ntitle: 'The handbook'\nowner: ops\n---\n\nBody\n")
    assert document.title == "The handbook"
    assert elements(document) == [(Category.CODE, "title: 'The handbook'\nowner: ops"), (Category.TEXT, "Body")]


def test_html_leaves_out_what_is_not_document_text(tmp_path: Path) -> None:
    content = """<html><head><title>The page</title><script>var x</script></head><body>
      <nav>Home</nav><h1>Head</h1><form><p>In a form</p></form><style>p {}</style><noscript>off</noscript>
      <footer>Imprint</footer></body></html>"""
    document = parse(tmp_path, "a.html", content)
    assert document.title == "The page"
    assert elements(document) == [(Category.HEADING, "Head"), (Category.TEXT, "In a form")]


def test_html_keeps_what_unstructured_would_drop(tmp_path: Path) -> None:
    content = """<figure><table><caption>Cap</caption><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>
      <figcaption>Source: us</figcaption></figure><details><summary>More</summary>Hidden words</details>"""
    assert elements(parse(tmp_path, "a.html", content)) == [
        (Category.TEXT, "Cap"),
        (Category.TABLE, "| a | b |\n| --- | --- |\n| 1 | 2 |"),
        (Category.TEXT, "Source: us"),
        (Category.TEXT, "More"),
        (Category.TEXT, "Hidden words"),
    ]


def test_html_cells_over_rows_and_columns_keep_the_others_in_place(tmp_path: Path) -> None:
    content = """<table><tr><th>Region</th><th>Q1</th><th>Q2</th></tr>
      <tr><td rowspan=2>North</td><td>1</td><td>2</td></tr><tr><td>3</td><td>4</td></tr>
      <tr><td>Sum</td><td colspan=2>10</td></tr></table>"""
    assert parse(tmp_path, "a.html", content).text.splitlines()[2:] == [
        "| North | 1 | 2 |",
        "| North | 3 | 4 |",
        "| Sum | 10 |  |",
    ]


def test_html_tables_for_layout_are_read_as_text(tmp_path: Path) -> None:
    side = "<table><tr><td>Side</td></tr></table>"
    content = f"<table><tr><td><h2>News</h2>First.<br><br>Second.</td><td>{side}</td></tr></table>"
    assert elements(parse(tmp_path, "a.html", content)) == [
        (Category.HEADING, "News"),
        (Category.TEXT, "First."),
        (Category.TEXT, "Second."),
        (Category.TEXT, "Side"),
    ]


def test_html_heading_levels_make_the_path(tmp_path: Path) -> None:
    document = parse(tmp_path, "a.html", "<h1>A</h1><h3>B</h3><p>x</p><h2>C</h2><p>y</p>")
    assert [e.headings for e in document.elements] == [(), ("A",), ("A", "B"), ("A",), ("A", "C")]


def test_a_declared_charset_is_used(tmp_path: Path) -> None:
    content = '<meta charset="iso-8859-2"><p>Łódź, gęś</p>'.encode("iso-8859-2")
    assert parse(tmp_path, "a.html", content).text == "Łódź, gęś"


def test_a_wrongly_declared_charset_is_overruled(tmp_path: Path) -> None:
    content = '<meta charset="no-such-charset"><p>Köln</p>'.encode()
    assert parse(tmp_path, "a.html", content).text == "Köln"


def test_html_nested_20000_deep_is_refused_and_does_not_crash(tmp_path: Path) -> None:
    content = "<div>" * 20_000 + "deep" + "</div>" * 20_000
    with pytest.raises(InvalidFile, match="nested too deeply"):
        parse(tmp_path, "a.html", content)


def test_an_email_has_its_subject_as_heading_and_then_its_headers(tmp_path: Path) -> None:
    document = parse(tmp_path, "a.eml", EMAIL)
    assert document.title == "Quarterly figures"
    assert elements(document) == [
        (Category.HEADING, "Quarterly figures"),
        (
            Category.TEXT,
            "From: Ada <ada@example.org>\nTo: Bob <bob@example.org>\nDate: Mon, 6 Jan 2025 10:00:00 +0000",
        ),
        (Category.TEXT, "Hello Bob,"),
        (Category.TEXT, "revenue was 12."),
    ]
    assert document.warnings == ("attachment 'figures.pdf' was not read; upload it as a file of its own",)


def test_a_plain_email_is_cut_into_paragraphs(tmp_path: Path) -> None:
    document = parse(tmp_path, "a.eml", "Subject: Hi\n\nOne.\n\nTwo.\n")
    assert elements(document)[1:] == [(Category.TEXT, "One."), (Category.TEXT, "Two.")]


def test_an_email_in_an_unknown_charset_is_still_read(tmp_path: Path) -> None:
    content = b"Subject: Hi\nMIME-Version: 1.0\nContent-Type: text/plain; charset=martian\n\nGr\xc3\xbc\xc3\x9fe\n"
    assert parse(tmp_path, "a.eml", content).text == "Hi\n\nGrüße"


def test_an_encrypted_email_is_refused(tmp_path: Path) -> None:
    content = "Subject: Hi\nMIME-Version: 1.0\nContent-Type: application/pkcs7-mime\n\nAAAA\n"
    with pytest.raises(InvalidFile, match="encrypted"):
        parse(tmp_path, "a.eml", content)


@given(st.text())
def test_normalising_twice_equals_once(text: str) -> None:
    once = normalize_text(text)
    assert normalize_text(once) == once


@given(st.text(alphabet="a\u0301\u00ad\ufeff\r\n\t \x00\x85\u2028\ud800"))
def test_normalised_text_has_no_unwanted_characters(text: str) -> None:
    once = normalize_text(text)
    assert normalize_text(once) == once
    assert not set(once) & set("\r\u00ad\ufeff\x00\x85\ud800")
    assert all(line == line.rstrip() for line in once.split("\n"))

"""JSON, XML and delimited text become readable lines; broken and hostile ones end in words."""

import json
from pathlib import Path

import pytest

from catalog.errors import InvalidFile, ParseLimitExceeded
from ingest.documents import Category
from tests.unit.ingest.parsing import elements, parse

HEADING, TEXT = Category.HEADING, Category.TEXT


def test_a_json_object_becomes_lines_with_paths(tmp_path: Path) -> None:
    """Values of the object come first, then a section for each list or object in it."""
    content = '{"title": "Shop", "open": true, "owner": null, "place": {"city": "Köln", "floors": [1, 2]}}'
    document = parse(tmp_path, "a.json", content)
    assert elements(document) == [
        (HEADING, "Shop"),
        (TEXT, "title: Shop\nopen: true\nowner: null"),
        (HEADING, "place"),
        (TEXT, "place.city: Köln\nplace.floors[0]: 1\nplace.floors[1]: 2"),
    ]
    assert document.elements[-1].headings == ("Shop", "place")
    assert document.title == "Shop"
    assert document.media_type == "application/json"


def test_a_json_list_has_one_element_per_record_under_its_name(tmp_path: Path) -> None:
    """A record without a name gets its position, so that it does not seem to belong to the one before."""
    content = '[{"id": 7, "name": "Ada"}, {"city": "Bonn", "tags": [], "size": {"w": 2}}]'
    assert elements(parse(tmp_path, "a.json", content)) == [
        (HEADING, "Ada"),
        (TEXT, "id: 7\nname: Ada"),
        (HEADING, "[1]"),
        (TEXT, "city: Bonn\ntags:\nsize.w: 2"),
    ]
    assert parse(tmp_path, "a.json", content).title == "a.json"


def test_records_within_an_object_have_headings_below_its_own(tmp_path: Path) -> None:
    """An envelope around a list of records keeps one element per record."""
    content = '{"name": "Export", "rows": [{"id": "a", "n": 1}, {"id": "b", "n": 2}]}'
    document = parse(tmp_path, "a.json", content)
    assert elements(document)[2:] == [
        (HEADING, "rows"),
        (HEADING, "a"),
        (TEXT, "id: a\nn: 1"),
        (HEADING, "b"),
        (TEXT, "id: b\nn: 2"),
    ]
    assert document.elements[-1].headings == ("Export", "rows", "b")


@pytest.mark.parametrize(("content", "expected"), [('["a", 2]', "a\n2"), ("42", "42"), ('"word"', "word")])
def test_plain_json_values_are_text(tmp_path: Path, content: str, expected: str) -> None:
    """A list of plain values and a lone value need no paths."""
    assert parse(tmp_path, "a.json", content).text == expected


def test_json_numbers_stay_as_written_and_repeated_keys_stay(tmp_path: Path) -> None:
    """Neither Python's limit of 4300 digits nor floating point changes a number."""
    huge = "9" * 5000
    assert parse(tmp_path, "a.json", f'{{"a": {huge}, "b": 1.10, "c": 1e999, "b": NaN}}').text == (
        f"a: {huge}\nb: 1.10\nc: 1e999\nb: NaN"
    )


def test_json_lines_are_records(tmp_path: Path) -> None:
    """A line that is not JSON stays as text and is counted."""
    document = parse(tmp_path, "a.jsonl", '{"id": 1, "t": "x\u2028y"}\n\nnot json\r\n{"id": 2}\n')
    assert elements(document) == [
        (HEADING, "1"),
        (TEXT, "id: 1\nt: x\u2028y"),
        (HEADING, "[1]"),
        (TEXT, "not json"),
        (HEADING, "2"),
        (TEXT, "id: 2"),
    ]
    assert document.warnings == ("1 of 3 lines are not JSON and were kept as text; the first is line 3",)


def test_json_lines_named_json_are_still_records(tmp_path: Path) -> None:
    """Exports in JSON Lines are often called .json."""
    assert [text for _, text in elements(parse(tmp_path, "a.json", '{"n": 1}\n{"n": 2}\n'))] == ["n: 1", "n: 2"]


@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_invalid_json_is_read_as_plain_text_with_a_warning(tmp_path: Path, name: str) -> None:
    """The words of a damaged file are better than none."""
    document = parse(tmp_path, name, "{'single': 'quotes'}\n\nand a comment")
    assert elements(document) == [(TEXT, "{'single': 'quotes'}"), (TEXT, "and a comment")]
    assert "this is not valid JSON (Expecting property name" in document.warnings[0]
    assert document.warnings[0].endswith("and was read as plain text")


@pytest.mark.parametrize("depth", [150, 100_000])
def test_json_nested_too_deeply_is_refused(tmp_path: Path, depth: int) -> None:
    """Depth ends in a reason, whether ours or Python's limit is the first."""
    with pytest.raises(InvalidFile, match=r"'a\.json' is nested more than 100 levels deep"):
        parse(tmp_path, "a.json", "[" * depth + "1" + "]" * depth)


def test_json_whose_paths_are_far_longer_than_its_values_is_refused(tmp_path: Path) -> None:
    """A key of 20 kB before 10,000 values would be 200 MB of text."""
    with pytest.raises(ParseLimitExceeded, match="shorten its keys"):
        parse(tmp_path, "a.json", json.dumps({"k" * 20_000: [0] * 10_000}))


def test_xml_records_become_field_lines_under_their_names(tmp_path: Path) -> None:
    """Fields keep their names, without which a value says nothing; a record without a name gets its tag."""
    content = """<book><land><name>Canada</name><capital>Ottawa</capital></land>
      <land><capital since="1889" xmlns:x="urn:x" x:no="1">Nowhere &amp; more</capital><seat/></land></book>"""
    assert elements(parse(tmp_path, "a.xml", content)) == [
        (HEADING, "Canada"),
        (TEXT, "name: Canada\ncapital: Ottawa"),
        (HEADING, "land"),
        (TEXT, "capital: Nowhere & more (since: 1889)\nseat:"),
    ]


def test_xml_prose_keeps_mixed_content_in_one_block(tmp_path: Path) -> None:
    """Inline elements are part of their paragraph, and a list within it comes apart."""
    content = """<?xml version="1.0" encoding="iso-8859-1"?><doc><title>Köln</title><!-- no --><?pi no?>
      <section><title>One</title><para>Some <b>bold</b> text:<list><item>a</item><item>b</item></list>end.</para>
      <para>More.</para></section></doc>"""
    document = parse(tmp_path, "a.xml", content.encode("iso-8859-1"))
    assert elements(document) == [
        (HEADING, "Köln"),
        (HEADING, "One"),
        (TEXT, "Some bold text:"),
        (TEXT, "a"),
        (TEXT, "b"),
        (TEXT, "end."),
        (TEXT, "More."),
    ]
    assert document.elements[-1].headings == ("Köln", "One")
    assert document.title == "Köln"


def test_xml_that_keeps_its_data_in_attributes_is_not_lost(tmp_path: Path) -> None:
    """An element without text stands for its attributes."""
    assert parse(tmp_path, "a.xml", '<rates><rate to="EUR" at="1.1"/></rates>').text == "to: EUR, at: 1.1"


def test_an_entity_of_an_external_dtd_is_read_by_its_html_name(tmp_path: Path) -> None:
    """The DTD is not opened, and the usual names are known without it."""
    content = '<!DOCTYPE a SYSTEM "file:///etc/none.dtd"><a>one&nbsp;two &mdash; three</a>'
    assert parse(tmp_path, "a.xml", content).text == "one two — three"


@pytest.mark.parametrize(
    "declared",
    [
        '<!ENTITY x SYSTEM "file:///etc/passwd">',
        '<!ENTITY a "ha"><!ENTITY x "&a;&a;&a;">',
        '<!ENTITY % p SYSTEM "http://localhost/evil.dtd"> %p;',
    ],
)
@pytest.mark.parametrize("before", ["", "<!-- <b> -->"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_that_declares_entities_is_refused(tmp_path: Path, declared: str, before: str, encoding: str) -> None:
    """Entities are how a file reads others or grows without end, so none is expanded."""
    content = f"{before}<!DOCTYPE r [{declared}]><r>&x;</r>".encode(encoding)
    with pytest.raises(InvalidFile, match=r"'a\.xml' declares XML entities"):
        parse(tmp_path, "a.xml", content)


def test_a_text_about_entities_is_read(tmp_path: Path) -> None:
    """Only a declaration before the first element declares anything."""
    assert parse(tmp_path, "a.xml", "<r><![CDATA[<!ENTITY x>]]></r>").text == "<!ENTITY x>"


def test_damaged_xml_is_read_as_plain_text_with_a_warning(tmp_path: Path) -> None:
    """The words of a damaged file are better than none."""
    document = parse(tmp_path, "a.xml", "<a>one</b>\n\ntwo")
    assert [text for _, text in elements(document)] == ["<a>one</b>", "two"]
    assert "this is not well-formed XML (Opening and ending tag mismatch" in document.warnings[0]


def test_xml_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    """libxml2's limit of depth ends in a reason."""
    with pytest.raises(InvalidFile, match="nested too deeply"):
        parse(tmp_path, "a.xml", "<a>" * 5000 + "x" + "</a>" * 5000)


def test_xml_without_text_is_refused(tmp_path: Path) -> None:
    """An empty tree holds nothing to answer from."""
    with pytest.raises(InvalidFile, match=r"'a\.xml' holds no text"):
        parse(tmp_path, "a.xml", "<a><b/> </a>")


def test_the_name_of_a_delimited_file_says_its_delimiter(tmp_path: Path) -> None:
    """Commas within the cells of a .tsv file do not split them; without a tab the content decides."""
    assert parse(tmp_path, "a.tsv", "x, y, z\tb\n1, 2, 3\t4\n").text.splitlines()[0] == "| x, y, z | b |"
    assert parse(tmp_path, "a.psv", "x, y, z|b\n").text.splitlines()[0] == "| x, y, z | b |"
    assert parse(tmp_path, "a.tsv", "x,y\n").text.splitlines()[0] == "| x | y |"

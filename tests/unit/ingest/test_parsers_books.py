"""EPUB and OpenDocument come back in reading order; protected, damaged and hostile ones end in words."""

import io
import zipfile
from pathlib import Path

import pytest

from catalog.errors import InvalidFile, ParseLimitExceeded
from ingest.documents import Category, ParsedDocument
from ingest.parsers import media_types, packages, parse_file
from tests.unit.ingest.parsing import elements

HEADING, TEXT, ITEM, TABLE = Category.HEADING, Category.TEXT, Category.LIST_ITEM, Category.TABLE

CONTAINER = """<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
  <rootfile full-path="OEBPS/content.opf"/></rootfiles></container>"""
PACKAGE = """<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">
  <metadata><dc:title>The book</dc:title></metadata><manifest>
  <item id="b" href="second.xhtml" media-type="application/xhtml+xml"/>
  <item id="a" href="text/first%20one.xhtml" media-type="application/xhtml+xml"/>
  <item id="p" href="cover.svg" media-type="image/svg+xml"/>
  <item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>
  <item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/></manifest>
  <spine><itemref idref="p"/><itemref idref="a"/><itemref idref="b"/><itemref idref="none"/></spine></package>"""
NCX = """<!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" "http://www.daisy.org/z3986/2005/ncx-2005-1.dtd">
  <ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap><navPoint><navLabel><text>By the NCX</text></navLabel>
  <content src="second.xhtml"/></navPoint><navPoint><navLabel><text>A part</text></navLabel>
  <content src="second.xhtml#part"/></navPoint><navPoint/></navMap></ncx>"""
NAV = """<html xmlns="http://www.w3.org/1999/xhtml"><nav><a href="text/first%20one.xhtml">Not used</a></nav></html>"""
BOOK = {
    "mimetype": media_types.EPUB,
    "META-INF/container.xml": CONTAINER,
    "OEBPS/content.opf": PACKAGE,
    "OEBPS/toc.ncx": NCX,
    "OEBPS/nav.xhtml": NAV,
    "OEBPS/text/first one.xhtml": "<!DOCTYPE html><html><body><h1>One</h1><p>Žluť.</p></body></html>",
    "OEBPS/second.xhtml": "<html><body><p>More.</p></body></html>",
}

OASIS = "urn:oasis:names:tc:opendocument:xmlns"
PREFIXES = {"text": "text", "table": "table", "draw": "drawing", "presentation": "presentation", "office": "office"}
XMLNS = " ".join(f'xmlns:{prefix}="{OASIS}:{name}:1.0"' for prefix, name in PREFIXES.items())


def archive(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in members.items():
            package.writestr(name, content)
    return buffer.getvalue()


def parse(tmp_path: Path, name: str, members: dict[str, str]) -> ParsedDocument:
    path = tmp_path / "upload"
    path.write_bytes(archive(members))
    return parse_file(path, name)


def open_document(body: str, *, kind: str = "text", **more: str) -> dict[str, str]:
    """Return the members of an OpenDocument file whose body is of `kind`."""
    content = f"<office:document-content {XMLNS}><office:body><office:{kind}>{body}</office:{kind}></office:body>"
    return {
        "mimetype": f"application/vnd.oasis.opendocument.{kind}",
        "content.xml": f"{content}</office:document-content>",
        **{name.replace("_", "/", 1) + ".xml": part for name, part in more.items()},
    }


def test_a_book_comes_in_the_order_of_its_spine(tmp_path: Path) -> None:
    """A chapter without a heading gets its name in the table of contents, and the metadata give the title."""
    document = parse(tmp_path, "a.epub", BOOK)
    assert document.title == "The book"
    assert document.media_type == "application/epub+zip"
    assert elements(document) == [(HEADING, "One"), (TEXT, "Žluť."), (HEADING, "By the NCX"), (TEXT, "More.")]
    assert document.warnings == ()


def test_a_chapter_that_is_missing_is_a_warning(tmp_path: Path) -> None:
    """The other chapters are still read."""
    members = {name: content for name, content in BOOK.items() if "first" not in name}
    document = parse(tmp_path, "a.epub", members)
    assert elements(document) == [(HEADING, "By the NCX"), (TEXT, "More.")]
    assert document.warnings == ("chapter 'OEBPS/text/first one.xhtml' is missing from the file",)


@pytest.mark.parametrize(("encrypted", "is_refused"), [("OEBPS/second.xhtml", True), ("OEBPS/font.otf", False)])
def test_a_protected_book_is_refused(tmp_path: Path, encrypted: str, is_refused: bool) -> None:
    """Encrypted fonts do not count: free books have them too."""
    cipher = f'<encryption><CipherData><CipherReference URI="{encrypted}"/></CipherData></encryption>'
    members = BOOK | {"META-INF/encryption.xml": cipher}
    if is_refused:
        with pytest.raises(InvalidFile, match=r"'a\.epub' is protected against copying \(DRM\)"):
            parse(tmp_path, "a.epub", members)
    else:
        assert parse(tmp_path, "a.epub", members).title == "The book"


@pytest.mark.parametrize(
    "broken",
    [
        {"META-INF/container.xml": "<container/>"},
        {"META-INF/container.xml": CONTAINER.replace("content", "other")},
        {"OEBPS/content.opf": "<package>"},
    ],
)
def test_a_book_without_its_parts_is_damaged(tmp_path: Path, broken: dict[str, str]) -> None:
    """A broken container, a missing package document and broken XML end in the same words."""
    with pytest.raises(InvalidFile, match=r"'a\.epub' is damaged"):
        parse(tmp_path, "a.epub", BOOK | broken)


def test_a_book_that_declares_entities_is_refused(tmp_path: Path) -> None:
    """Its XML is read as every other XML is."""
    with pytest.raises(InvalidFile, match="declares XML entities"):
        parse(tmp_path, "a.epub", BOOK | {"OEBPS/content.opf": '<!DOCTYPE p [<!ENTITY a "b">]><p>&a;</p>'})


def test_a_book_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages count as the XML of office files does."""
    monkeypatch.setattr(packages, "_RATIO_COUNTS_FROM_BYTES", 1 << 16)
    with pytest.raises(ParseLimitExceeded, match=r"second\.xhtml"):
        parse(tmp_path, "a.epub", BOOK | {"OEBPS/second.xhtml": " " * (1 << 20)})


def test_an_open_document_text_keeps_its_structure(tmp_path: Path) -> None:
    """Headings have levels, lists are items, footnotes stand at the end; deleted text and comments are left out."""
    body = """
      <text:tracked-changes><text:changed-region><text:deletion><text:p>deleted</text:p></text:deletion>
      </text:changed-region></text:tracked-changes>
      <text:table-of-content><text:index-body><text:p>Part 1</text:p></text:index-body></text:table-of-content>
      <text:h text:outline-level="1">Part</text:h>
      <text:p>One<text:s text:c="2"/>two<text:tab/><text:span>three</text:span><text:line-break/>four<office:annotation>
      <text:p>comment</text:p></office:annotation><text:note><text:note-citation>1</text:note-citation>
      <text:note-body><text:p>The note.</text:p></text:note-body></text:note>.</text:p>
      <text:section><text:h text:outline-level="2">Detail</text:h></text:section>
      <text:list><text:list-item><text:p>first</text:p><text:list><text:list-item><text:p>inner</text:p>
      </text:list-item></text:list></text:list-item></text:list>
      <text:p>Before<draw:frame><draw:text-box><text:p>in a box</text:p></draw:text-box></draw:frame></text:p>
      <text:unknown-thing/>"""
    document = parse(tmp_path, "a.odt", open_document(body))
    assert elements(document) == [
        (HEADING, "Part"),
        (TEXT, "One  two\tthree\nfour."),
        (HEADING, "Detail"),
        (ITEM, "first"),
        (ITEM, "inner"),
        (TEXT, "Before"),
        (TEXT, "in a box"),
        (TEXT, "The note."),
    ]
    assert document.elements[4].headings == ("Part", "Detail")


def test_an_open_document_table_keeps_its_columns(tmp_path: Path) -> None:
    """Covered cells stay blank, and a nested table is part of its cell alone."""
    inner = """<table:table><table:table-row><table:table-cell><text:p>nested</text:p></table:table-cell>
      </table:table-row></table:table>"""
    body = f"""<table:table><table:table-header-rows><table:table-row><table:table-cell><text:p>a</text:p>
      </table:table-cell><table:table-cell><text:p>b</text:p></table:table-cell><table:table-cell><text:p>c</text:p>
      </table:table-cell></table:table-row></table:table-header-rows><table:table-row>
      <table:table-cell table:number-columns-spanned="2"><text:p>1</text:p>{inner}</table:table-cell>
      <table:covered-table-cell/><table:table-cell><text:p>3</text:p></table:table-cell></table:table-row>
      </table:table>"""
    assert elements(parse(tmp_path, "a.odt", open_document(body))) == [
        (TABLE, "| a | b | c |\n| --- | --- | --- |\n| 1 nested |  | 3 |")
    ]


def test_an_open_document_spreadsheet_has_a_heading_per_sheet(tmp_path: Path) -> None:
    """Repeated cells count, a million repeated blank rows do not, and an empty sheet is a warning."""
    cell = '<table:table-cell table:number-columns-repeated="2"><text:p>x</text:p></table:table-cell>'
    row = "<table:table-row><table:table-cell><text:p>k</text:p></table:table-cell>"
    blank = '<table:table-row table:number-rows-repeated="1048576"><table:table-cell/></table:table-row>'
    body = f"""<table:table table:name="Data">{row}{cell}</table:table-row>{blank}</table:table>
      <table:table table:name="Empty">{blank}</table:table>"""
    document = parse(tmp_path, "a.ods", open_document(body, kind="spreadsheet"))
    assert elements(document) == [(HEADING, "Data"), (TABLE, "| k | x | x |\n| --- | --- | --- |")]
    assert document.warnings == ("sheet 'Empty' holds no values",)


def test_an_open_document_presentation_has_a_page_per_slide(tmp_path: Path) -> None:
    """The title shape is the heading, and the notes follow the slide."""
    body = """<draw:page><draw:frame presentation:class="title"><draw:text-box><text:p>Intro</text:p></draw:text-box>
      </draw:frame><draw:frame><draw:text-box><text:list><text:list-item><text:p>point</text:p></text:list-item>
      </text:list></draw:text-box></draw:frame><presentation:notes><draw:frame><draw:text-box>
      <text:p>Say hello.</text:p></draw:text-box></draw:frame></presentation:notes></draw:page><draw:page/>"""
    document = parse(tmp_path, "a.odp", open_document(body, kind="presentation"))
    assert elements(document) == [(HEADING, "Intro"), (ITEM, "point"), (TEXT, "Say hello.")]
    assert {e.page for e in document.elements} == {1}
    assert (document.pages, document.pages_read) == (2, 2)


def test_an_open_document_has_the_title_of_its_metadata(tmp_path: Path) -> None:
    """A title in the properties goes before the first heading."""
    meta = '<m xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>The plan</dc:title></m>'
    members = open_document("<text:p>x</text:p>", meta=meta)
    assert parse(tmp_path, "a.odt", members).title == "The plan"


def test_an_encrypted_open_document_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """The manifest says so; the content itself is noise."""
    manifest = (
        f'<m:manifest xmlns:m="{OASIS}:manifest:1.0"><m:file-entry><m:encryption-data/></m:file-entry></m:manifest>'
    )
    members = open_document("", **{"META-INF_manifest": manifest}) | {"content.xml": "\x00noise"}
    with pytest.raises(InvalidFile, match=r"'a\.odt' is encrypted; remove the password and upload again"):
        parse(tmp_path, "a.odt", members)


def test_a_zip_member_with_a_password_ends_in_a_reason(tmp_path: Path) -> None:
    """The archive itself can be encrypted, which no office program does."""
    content = archive(open_document("<text:p>x</text:p>"))
    path = tmp_path / "upload"
    member = content.index(b"content.xml", content.index(b"PK\x01\x02")) - 46
    # Bit 0 of the flags, in the directory and in front of the member.
    locked = bytearray(content)
    locked[member + 8] |= 1
    locked[content.index(b"content.xml") - 30 + 6] |= 1
    path.write_bytes(locked)
    with pytest.raises(InvalidFile, match=r"'a\.odt' is damaged .*password required"):
        parse_file(path, "a.odt")


@pytest.mark.parametrize("content", ["<broken", "<a/>", ""])
def test_a_damaged_open_document_ends_in_a_reason(tmp_path: Path, content: str) -> None:
    """Broken XML and a missing body are the same to the one who uploads it."""
    with pytest.raises(InvalidFile, match=r"'a\.odt' is damaged"):
        parse(tmp_path, "a.odt", open_document("") | {"content.xml": content})

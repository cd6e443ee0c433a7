"""Files made to harm: each ends in a stated outcome within its limits, costs its own child alone, and hides nothing."""

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from catalog.errors import DocumentRejected, InvalidFile, ParseLimitExceeded, UnsupportedFile
from ingest.documents import ParsedDocument
from ingest.parsers.media_types import suffix_of
from ingest.sandbox import ParseLimits, parse_in_child
from tests import hostile
from tests.fuzz.laws import broken_laws
from tests.samples import book, open_document, small_samples, word_file, workbook

LIMITS = ParseLimits(timeout_s=120.0, cpu_s=30, memory_bytes=1 << 30)
DEPTH = 100_000
Make = Callable[[], bytes]

samples = functools.cache(small_samples)
# The part of each package that holds its text.
PARTS = {
    "a.docx": "word/document.xml",
    "a.pptx": "ppt/slides/slide1.xml",
    "a.xlsx": "xl/worksheets/sheet1.xml",
    "a.odt": "content.xml",
    "a.epub": "o/a.xhtml",
}


def parse(tmp_path: Path, name: str, content: bytes, limits: ParseLimits = LIMITS) -> ParsedDocument:
    path = tmp_path / "upload"
    path.write_bytes(content)
    return parse_in_child(path, filename=name, limits=limits)


@pytest.fixture(autouse=True)
def _the_next_file_is_read(tmp_path: Path) -> Iterator[None]:
    """Whatever a hostile file did, the next one is parsed as if nothing had been."""
    yield
    assert parse(tmp_path, "next.html", b"<h1>Next</h1><p>file</p>").text == "Next\n\nfile"


REFUSED: dict[str, tuple[str, Make, type[DocumentRejected], str]] = {
    "PDF under a password": ("a.pdf", hostile.encrypted_pdf, InvalidFile, "is encrypted"),
    "DOCX under a password": ("a.docx", hostile.encrypted_office_file, InvalidFile, "is encrypted"),
    "XLSX under a password": ("a.xlsx", hostile.encrypted_office_file, InvalidFile, "is encrypted"),
    "ODT under a password": ("a.odt", hostile.encrypted_open_document, InvalidFile, "is encrypted"),
    "DOCX of encrypted members": (
        "a.docx", lambda: hostile.with_encrypted_members(word_file()), InvalidFile, "is encrypted"),
    "XLSX of encrypted members": (
        "a.xlsx", lambda: hostile.with_encrypted_members(workbook()), InvalidFile, "is encrypted"),
    "a main part of 60 MB under another name": (
        "a.docx", lambda: hostile.word_file_under_other_names(b"<a>" + b" " * 60_000_000), InvalidFile, "is damaged"),
    "a cell of a sheet far below its end": (
        "a.xlsx", lambda: hostile.sheet_with('<row r="99999999999"><c r="A99999999999"><v>2</v></c></row>'),
        InvalidFile, "1 cell at impossible places could not be read"),
    "a shared string that is not there": (
        "a.xlsx", lambda: hostile.sheet_with('<row r="1"><c r="A1" t="s"><v>999999</v></c></row>'), InvalidFile,
        "is damaged"),
    "HTML of nested divisions": ("a.html", lambda: b"<div>" * DEPTH + b"deep", InvalidFile, "nested too deeply"),
    "HTML of nested tables": (
        "a.html", lambda: b"<table><tr><td>" * DEPTH + b"deep", InvalidFile, "nested too deeply"),
    "HTML of open tags": ("a.html", lambda: b"<b>" * DEPTH + b"deep", InvalidFile, "nested too deeply"),
    "Markdown of nested quotations": ("a.md", lambda: b"> " * 10_000 + b"deep", InvalidFile, "nested too deeply"),
    "Markdown of nested items": ("a.md", lambda: b"- " * 10_000 + b"deep", InvalidFile, "nested too deeply"),
    "Markdown of nested lists": (
        "a.md", lambda: "\n".join("  " * depth + "- x" for depth in range(1000)).encode(), InvalidFile,
        "nested too deeply"),
    "JSON of nested lists": (
        "a.json", lambda: b"[" * DEPTH + b"]" * DEPTH, InvalidFile, "nested more than 100 levels deep"),
    "JSON of nested objects": (
        "a.json", lambda: b'{"a":' * DEPTH + b"1" + b"}" * DEPTH, InvalidFile, "nested more than 100 levels deep"),
    "JSON whose paths are far longer than its values": (
        "a.json", lambda: b'{"%s":[%s]}' % (b"k" * 50_000, b",".join([b"1"] * 2000)), ParseLimitExceeded,
        "grows more than 40 times"),
    "XML of nested elements": ("a.xml", lambda: b"<a>" * DEPTH, InvalidFile, "nested too deeply"),
    "1000 messages in messages": ("a.eml", lambda: hostile.mail_in_mail(1000), InvalidFile, "nested too deeply"),
    "1000 multiparts in multiparts": ("a.eml", lambda: hostile.parts_in_parts(1000), InvalidFile, "nested too deeply"),
    "a message of 20,000 attachments": (
        "a.eml",
        lambda: b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\nContent-Type: image/png\n\n0\n" * 20_000,
        InvalidFile, "20,000 attachments were not read: .*, 19,980 more;"),
    "an archive in name alone": ("a.docx", lambda: b"PK\x03\x04" + bytes(100), InvalidFile, "damaged zip container"),
    "bytes without a meaning": ("a.pdf", lambda: bytes(range(256)) * 64, UnsupportedFile, "octet-stream"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_hostile_file_is_refused_with_the_reason(tmp_path: Path, case: str) -> None:
    """The message names the file and says what is wrong, not that a limit of time was hit."""
    name, make, error, reason = REFUSED[case]
    with pytest.raises(error, match=reason) as raised:
        parse(tmp_path, name, make())
    assert repr(name) in raised.value.message


def _column(number: int) -> bytes:
    return b",".join(b"%d" % (number * 100_000 + column) for column in range(100_000))


READ: dict[str, tuple[str, Make, str, str]] = {
    "a page tree that holds itself": ("a.pdf", hostile.pdf_with_cyclic_pages, "Some words.", "page 2 has damaged"),
    "an outline that holds itself": ("a.pdf", hostile.pdf_with_cyclic_outline, "Some words.", ""),
    "a form that shows itself": ("a.pdf", hostile.pdf_with_cyclic_form, "Some words.", ""),
    "10,000 pages": ("a.pdf", lambda: hostile.pdf_with_many_pages(10_000), "\n\n".join(["Some words."] * 10_000), ""),
    "a Word file that relates to itself": (
        "a.docx", hostile.word_file_that_relates_to_itself, "The pump needs no oil.", ""),
    "a cell over two billion columns": ("a.docx", lambda: hostile.word_table_of(2_000_000_000), "| wide |", ""),
    "a sheet of all cells that there can be": (
        "a.xlsx",
        lambda: hostile.sheet_with(
            '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>',
            dimension="A1:XFD1048576"),
        "Parts\n\n1\n\n2", "sheet 'Empty' holds no values"),
    "a sheet of rows that end in the last column": (
        "a.xlsx",
        lambda: hostile.sheet_with(
            "".join(f'<row r="{row}"><c r="XFD{row}"><v>{row}</v></c></row>' for row in range(1, 620))),
        "Parts\n\n1\n\n2\n\n3", "sheet 'Parts': rows after 610 were not read"),
    "a row that stands two million times": (
        "a.ods",
        lambda: open_document(
            '<table:table table:name="P"><table:table-row table:number-rows-repeated="2000000"><table:table-cell>'
            "<text:p>x</text:p></table:table-cell></table:table-row></table:table>", kind="spreadsheet"),
        "P\n\nx\n\nx", "sheet 'P': row 1 stands 2,000,000 times and was read 1,000 times"),
    "a book in a circle": ("a.epub", lambda: hostile.book_in_a_circle(10_000), "One\n\non\n\nTwo\n\nback", ""),
    "50 messages in messages": (
        "a.eml", lambda: hostile.mail_in_mail(50), "level 0\n\nlevel 1", "more than 10 deep in others were not read"),
    "five messages in messages, encoded": (
        "a.eml", lambda: hostile.messages_in_messages(5), "innermost\n\ndeep words", ""),
    "60 multiparts in multiparts": ("a.eml", lambda: hostile.parts_in_parts(60), "deep words", ""),
    "RTF of nested groups": ("a.rtf", lambda: b"{\\rtf1 " + b"{" * DEPTH + b"deep" + b"}" * (DEPTH + 1), "deep", ""),
    "a line of 50 MB": ("a.txt", lambda: b"word " * 10_000_000, "word word", ""),
    "a paragraph of HTML of 12 MB": ("a.html", lambda: b"<p>" + b"word " * 2_400_000 + b"</p><p>end", "\n\nend", ""),
    "a table of 100,000 columns": (
        "a.csv", lambda: _column(0) + b"\n" + _column(1), "| 100000 | 100001 |", ""),
    "a table with one wide row": (
        "a.csv", lambda: b"," * 99_999 + b"x\n" + b"1\n" * DEPTH, "| 1 |", ""),
    "a table whose quotation never ends": (
        "a.csv", lambda: b'a,b\n"open,1\n2,3\n', '| "open | 1 |\n| 2 | 3 |', "quotation marks do not pair up"),
    "a character over a million blanks": (
        "a.odt", lambda: open_document("<text:p>a" + '<text:s text:c="999999999"/>' * 100 + "b</text:p>"), "b", ""),
    "cells over 100 columns and rows": (
        "a.html", lambda: b"<table><tr><th>h</th></tr>" + b"<tr><td rowspan=999 colspan=9999>x" * 500, "| x |", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_a_hostile_file_is_read_as_far_as_it_says_something(tmp_path: Path, case: str) -> None:
    """What is left out is in a warning, with its place."""
    name, make, text, warning = READ[case]
    document = parse(tmp_path, name, make())
    assert text in document.text
    assert warning in "; ".join(document.warnings)
    assert bool(warning) == bool([one for one in document.warnings if "Empty" not in one or warning in one])
    assert broken_laws(document) == []


# Input on which an expression or a loop of a parser, or of a library under it, has taken quadratic time or worse.
BAIT: dict[str, tuple[str, Make]] = {
    "charset in HTML": ("a.html", lambda: b"<meta " * 100_000 + b"><p>x"),
    "line breaks in HTML": ("a.html", lambda: (b"<br" + b" " * 1000) * 1000 + b"><p>x"),
    "references in HTML": ("a.html", lambda: b"&" * 1_000_000),
    "attributes in HTML": ("a.html", lambda: b"<p " + b"a=b " * DEPTH + b">x</p>"),
    "brackets in Markdown": ("a.md", lambda: b"[" * 10_000),
    "links in Markdown": ("a.md", lambda: b"[a](" * 10_000),
    "stars in Markdown": ("a.md", lambda: b"*a_ " * 10_000),
    "backticks in Markdown": ("a.md", lambda: b"".join(b"`" * count + b"a" for count in range(300))),
    "the head of Markdown": ("a.md", lambda: b"---\n" + b"x --- \n" * 20_000),
    "blank lines": ("a.txt", lambda: b"x" + b"\n" + b" \t" * 1_000_000 + b"x"),
    "pictures in RTF": ("a.rtf", lambda: b"{\\rtf1 " + (b"a" * 4095 + b"g") * 200 + b"}"),
    "fonts in RTF": ("a.rtf", lambda: b"{\\rtf1 x{\\fonttbl" + b"\\f1\\fcharset1 x" * 60_000 + b"}y}"),
    "open fonts in RTF": ("a.rtf", lambda: b"{\\rtf1 x{\\fonttbl" + b"\\f1 " * DEPTH + b"}y}"),
    "links in RTF": ("a.rtf", lambda: b"{\\rtf1 x" + b'{\\field{\\*\\fldinst{HYPERLINK "x"' * 5000 + b"}"),
    "footnotes in RTF": ("a.rtf", lambda: b"{\\rtf1 x" + b"{\\footnote y" * 50_000 + b"}" * 50_001),
    "formulas in XLSX": (
        "a.xlsx", lambda: hostile.sheet_with(f'<row><c><f>x</f>{" " * DEPTH}<v>1</v></c></row>{"<row/>" * DEPTH}')),
    "encoded words of a mail": ("a.eml", lambda: b"Subject: " + b"=?x?q?" * DEPTH + b"\n\nx"),
    "recipients of a mail": ("a.eml", lambda: b"To: " + b"a@b.de, " * DEPTH + b"\n\nx"),
    "parameters of a mail": ("a.eml", lambda: b'Content-Type: text/plain; x="' + b'";"' * 20_000 + b"\n\nx"),
    "comments before XML": ("a.xml", lambda: b"<!--" + b"-" * 0 + b"x " * DEPTH + b"--><a>x</a>"),
    "keys of JSON": ("a.json", lambda: b"[" + b'{"a":1},' * 20_000 + b"1]"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAIT)
def test_no_expression_is_baited_into_endless_work(tmp_path: Path, case: str) -> None:
    """Each is read within 30 s of processor time, most of them in less than one."""
    name, make = BAIT[case]
    try:
        assert broken_laws(parse(tmp_path, name, make())) == []
    except InvalidFile as error:
        assert "blank" in error.message or "nested too deeply" in error.message


def test_work_that_has_no_end_in_sight_ends_at_the_limit(tmp_path: Path) -> None:
    """Images within images of Markdown take quadratic time in every library for it."""
    with pytest.raises(ParseLimitExceeded, match=r"took more than 1 s of processor time; split it"):
        parse(tmp_path, "a.md", b"![" * 200_000, ParseLimits(timeout_s=60.0, cpu_s=1))


@pytest.mark.parametrize("name", PARTS)
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, name: str) -> None:
    """The reason names the member, and no memory is needed for it."""
    content = hostile.repacked(samples()[name], {PARTS[name]: hostile.BOMB})
    with pytest.raises(ParseLimitExceeded, match=rf"unpacks to 20 MiB at '{PARTS[name]}'"):
        parse(tmp_path, name, content, ParseLimits(memory_bytes=64 << 20))


@pytest.mark.parametrize("name", PARTS)
def test_a_bomb_that_lies_about_its_size_is_damaged(tmp_path: Path, name: str) -> None:
    """No more is unpacked than the header says."""
    content = hostile.with_lying_sizes(samples()[name], PARTS[name], hostile.BOMB, claimed=1000)
    with pytest.raises(InvalidFile, match="is damaged"):
        parse(tmp_path, name, content, ParseLimits(memory_bytes=64 << 20))


def test_a_bomb_that_gets_through_ends_at_the_limit_of_memory(tmp_path: Path) -> None:
    """A part without the ending of XML is not checked beforehand."""
    content = hostile.word_file_under_other_names(b"<a>" + b"<b>x</b>" * 4_000_000)
    with pytest.raises((ParseLimitExceeded, InvalidFile), match=r"needs more than 128 MiB of memory|is damaged"):
        parse(tmp_path, "a.docx", content, ParseLimits(memory_bytes=128 << 20))


@pytest.mark.parametrize("name", [*PARTS, "a.xml", "a.html"])
@pytest.mark.parametrize("padding", ["", f"<!--{'x' * 70_000}-->"], ids=["at once", "after a comment"])
def test_entities_are_never_expanded(tmp_path: Path, name: str, padding: str) -> None:
    """Neither the billion laughs at the head of a part nor those after a long comment."""
    prolog = padding + hostile.BILLION_LAUGHS
    if name in PARTS:
        content = hostile.with_entity(samples()[name], PARTS[name], prolog, "l11")
    else:
        content = f"{prolog}<x>words &l11; more</x>".encode()
    try:
        document = parse(tmp_path, name, content, ParseLimits(memory_bytes=256 << 20))
    except InvalidFile as error:
        assert "declares XML entities" in error.message
    else:
        assert "lollol" not in document.text


class _Listener(http.server.BaseHTTPRequestHandler):
    requests: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.requests.append(self.path)
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def listener() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("name", [*PARTS, "a.xml", "a.html", "a.md", "a.rtf"])
def test_nothing_outside_of_the_file_is_opened(tmp_path: Path, listener: str, name: str) -> None:
    """External entities, document types, style sheets and pictures stay unopened, on disk and on the network."""
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret words")
    links = f'<img src="{listener}/i.png"><link rel="stylesheet" href="{listener}/s.css"><iframe src="file://{secret}">'
    for target in (f"file://{secret}", f"{listener}/entity"):
        prolog = (
            f'<!DOCTYPE x SYSTEM "{target}.dtd" [<!ENTITY e SYSTEM "{target}"><!ENTITY % p SYSTEM "{target}"> %p;]>'
        )
        contents = {
            "a.xml": f"{prolog}<x>words &e;</x>".encode(),
            "a.html": f"{prolog}{links}</iframe><p>words &e;</p>".encode(),
            "a.md": f"words\n\n{links}</iframe>\n\n![a]({target})".encode(),
            "a.rtf": rf'{{\rtf1 words{{\field{{\*\fldinst INCLUDETEXT "{target}"}}{{\fldrslt x}}}}}}'.encode(),
        }
        content = contents.get(name) or hostile.with_entity(samples()[name], PARTS[name], prolog, "e")
        try:
            document = parse(tmp_path, name, content)
        except InvalidFile as error:
            assert "declares XML entities" in error.message
        else:
            assert "the secret words" not in document.text
    assert _Listener.requests == []


@pytest.mark.parametrize("name", sorted(samples()))
def test_a_file_that_ends_early_is_read_to_there_or_refused(tmp_path: Path, name: str) -> None:
    """Cut within its head, its body or its last bytes."""
    content = samples()[name]
    for end in (7, len(content) // 4, len(content) // 2, len(content) - 2):
        try:
            document = parse(tmp_path, name, content[:end])
        except DocumentRejected as error:
            assert repr(name) in error.message
        else:
            assert broken_laws(document) == []


@pytest.mark.parametrize("name", sorted(samples()))
def test_a_wrong_ending_changes_nothing_where_the_content_is_clear(tmp_path: Path, name: str) -> None:
    """Text formats look alike, and are read as what their name says; all others are what they are."""
    content = samples()[name]
    for other in ("a.txt", "a.pdf", "noending"):
        document = parse(tmp_path, other, content)
        assert broken_laws(document) == []
        if suffix_of(name) in {".pdf", ".docx", ".pptx", ".xlsx", ".odt", ".ods", ".odp", ".epub", ".rtf", ".msg"}:
            assert document.text == parse(tmp_path, name, content).text


LANGUAGES = {
    "Die Pumpe braucht kein Öl – das ist schön für große Füße. Preis: 10 €.": ("cp1252",),
    "Однажды, в студеную зимнюю пору, я из лесу вышел; был сильный мороз.": ("koi8-r", "cp1251", "cp866"),
    "これは日本語の文章です。ポンプには油が必要ありません。取扱説明書を参照してください。": (
        "shift_jis", "euc-jp", "iso2022_jp"),
    "这是一个中文文档。泵不需要油。请参阅说明书了解更多信息。": ("gb18030",),
    "이 펌프에는 기름이 필요하지 않습니다. 자세한 내용은 설명서를 참조하십시오.": ("euc-kr",),
}  # fmt: skip
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize(
    ("text", "encoding"), [(text, one) for text, own in LANGUAGES.items() for one in (*own, *UNICODE)]
)
def test_an_encoding_is_found_without_being_declared(tmp_path: Path, text: str, encoding: str) -> None:
    """With and without a byte order mark."""
    lines = "\n".join([text] * 3)
    assert parse(tmp_path, "a.txt", lines.encode(encoding)).text == lines


ODD: dict[str, tuple[bytes, str, str]] = {
    "two encodings": ("Größe – ".encode() * 3 + "Füße".encode("cp1252"), "Größe – Größe – Größe – Füße", ""),
    "a byte of none": ("Größe 日本語 ".encode() * 2 + b"\x81", "Größe 日本語 Größe 日本語 �", "1 character could"),
    "zeros": (b"x" * 2000 + b"\0\0 after a crash", "x" * 2000 + " after a crash", ""),
    "a surrogate in UTF-8": (b"a\xed\xa0\x80b " + "ä".encode() * 9, "aí\xa0€b äääääääää", ""),
    "half a pair": (
        "half a \ud83d letter".encode("utf-16-le", "surrogatepass"), "half a � letter", "the first in line 1"),
    "control characters": (b"a bell \x07 and \x1b[0m" + b" words" * 9, "a bell  and [0m" + " words" * 9, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_odd_bytes_are_read_or_stated(tmp_path: Path, case: str) -> None:
    """What cannot be decoded stands as U+FFFD and is counted in a warning."""
    content, text, warning = ODD[case]
    document = parse(tmp_path, "a.txt", content)
    assert document.text == text
    assert bool(document.warnings) == bool(warning)
    assert warning in "; ".join(document.warnings)
    assert broken_laws(document) == []


def test_a_book_that_lists_a_page_a_thousand_times_reads_it_once(tmp_path: Path) -> None:
    """A spine is no loop."""
    content = book({"a.xhtml": "<p>Once.</p>"}, spine='<itemref idref="a.xhtml"/>' * 1000)
    assert parse(tmp_path, "a.epub", content).text == "Once."

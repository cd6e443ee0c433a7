"""Outlook messages read as the same message would as .eml."""

from pathlib import Path

import pytest

from catalog.errors import InvalidFile
from ingest.documents import Category, ParsedDocument
from ingest.parsers import parse_file
from ingest.parsers.detect import detect_media_type
from tests.compound_files import attachment, compound_file, message, properties, recipient
from tests.unit.ingest.parsing import elements

HEADING, TEXT = Category.HEADING, Category.TEXT


def parse(tmp_path: Path, content: bytes) -> ParsedDocument:
    path = tmp_path / "upload"
    path.write_bytes(content)
    return parse_file(path, "a.msg")


def test_an_outlook_message_has_its_subject_as_heading_and_then_its_headers(tmp_path: Path) -> None:
    """To and Cc are told apart by the kind of each recipient, and a plain body is cut into paragraphs."""
    people = {
        "__recip_version1.0_#00000000": recipient("Bob", "bob@example.org", 1),
        "__recip_version1.0_#00000001": recipient("", "eve@example.org", 2),
    }
    document = parse(tmp_path, message({0x1000: "Dobrý den,\r\n\r\nahoj."}, **people))
    assert document.title == "Zpráva"
    assert document.media_type == "application/vnd.ms-outlook"
    assert elements(document) == [
        (HEADING, "Zpráva"),
        (
            TEXT,
            'From: "Ada" <ada@example.org>\nTo: Bob <bob@example.org>\nCc: eve@example.org\n'
            "Date: Wed, 20 May 2026 10:30:00 +0000",
        ),
        (TEXT, "Dobrý den,"),
        (TEXT, "ahoj."),
    ]
    assert document.warnings == ()


def test_the_headers_of_a_sent_outlook_message_go_first(tmp_path: Path) -> None:
    """They have all recipients, in the order of the sender."""
    headers = "From: A <a@example.org>\r\nTo: B <b@example.org>,\r\n C <c@example.org>\r\nDate: yesterday\r\n"
    document = parse(tmp_path, message({0x007D: headers, 0x1000: "x"}))
    assert elements(document)[1][1] == (
        "From: A <a@example.org>\nTo: B <b@example.org>, C <c@example.org>\nDate: yesterday"
    )


@pytest.mark.parametrize(("code_page", "encoding"), [(1250, "cp1250"), (65001, "utf-8"), (65001, "cp1252")])
def test_an_html_body_goes_before_the_plain_one(tmp_path: Path, code_page: int, encoding: str) -> None:
    """Its code page is used unless the bytes are in another."""
    html = "<p>Grüße,</p><p>Ärger in Köln, größer als früher.</p>".encode(encoding)
    document = parse(tmp_path, message({0x1000: "plain", 0x1013: html, 0x3FDE: code_page}))
    assert elements(document)[2:] == [(TEXT, "Grüße,"), (TEXT, "Ärger in Köln, größer als früher.")]


def test_attachments_of_an_outlook_message_are_named_in_a_warning(tmp_path: Path) -> None:
    """One sentence for all of them."""
    files = {f"__attach_version1.0_#0000000{n}": attachment(name) for n, name in enumerate(("a.pdf", "b.png"))}
    assert parse(tmp_path, message({0x1000: "x"}, **files)).warnings == (
        "2 attachments were not read: 'a.pdf', 'b.png'; upload them as files of their own",
    )
    del files["__attach_version1.0_#00000001"]
    assert parse(tmp_path, message({0x1000: "x"}, **files)).warnings == (
        "attachment 'a.pdf' was not read; upload it as a file of its own",
    )


def test_a_body_in_outlooks_own_format_alone_is_a_warning(tmp_path: Path) -> None:
    """The headers are still read."""
    document = parse(tmp_path, message({0x1009: b"LZFu"}))
    assert document.text.startswith("Zpráva")
    assert document.warnings == (
        "its body, which is in Outlook's own format alone, was not read; save the message as .eml",
    )


def test_an_encrypted_outlook_message_is_refused(tmp_path: Path) -> None:
    """The class of the message says so."""
    with pytest.raises(InvalidFile, match=r"'a\.msg' is encrypted"):
        parse(tmp_path, message({0x001A: "IPM.Note.SMIME"}))


def test_an_outlook_message_without_its_streams_is_damaged(tmp_path: Path) -> None:
    """A property whose value is nowhere ends in a reason."""
    tree = properties({0x001A: "IPM.Note", 0x0037: "x"}, header=32)
    del tree["__substg1.0_0037001F"]
    with pytest.raises(InvalidFile, match=r"'a\.msg' is damaged"):
        parse(tmp_path, compound_file(tree))


@pytest.mark.parametrize("damage", [{0x3FDE: 99_999, 0x1013: b"<p>x</p>"}, {0x0039: 1 << 63}])
def test_numbers_out_of_range_in_an_outlook_message_are_damage(
    tmp_path: Path, damage: dict[int, str | bytes | int]
) -> None:
    """An unknown code page and a date beyond all calendars end in a reason."""
    with pytest.raises(InvalidFile, match=r"'a\.msg' is damaged"):
        parse(tmp_path, message(damage))


def test_a_message_that_holds_a_word_file_is_still_a_message(tmp_path: Path) -> None:
    """What stands at the root decides: messages and documents hold each other."""
    path = tmp_path / "upload"
    path.write_bytes(message({0x1000: "x"}, inner={"WordDocument": b"x"}))
    assert detect_media_type(path, "a.msg") == "application/vnd.ms-outlook"

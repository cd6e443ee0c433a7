"""A message is read as mail programs show it, with the messages in it, and what is not shown is stated."""

from email.message import EmailMessage
from pathlib import Path

import pytest

from ingest.documents import Category, ParsedDocument
from ingest.parsers import parse_file
from ingest.parsers.email import attachment_warnings


def parse(tmp_path: Path, content: bytes | EmailMessage) -> ParsedDocument:
    path = tmp_path / "upload"
    path.write_bytes(content if isinstance(content, bytes) else content.as_bytes())
    return parse_file(path, "a.eml")


def a_message(subject: str = "Hi", text: str = "Text.") -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = subject
    message.set_content(text)
    return message


def texts(document: ParsedDocument) -> list[str]:
    return [document.text[e.start : e.end] for e in document.elements]


def test_an_attached_message_follows_below_its_own_subject(tmp_path: Path) -> None:
    """With its headers, one level down for each message around it."""
    outer, middle, inner = a_message("Outer"), a_message("Middle", "Second."), a_message("Inner", "Third.")
    inner["From"] = "ada@example.org"
    middle.add_attachment(inner)
    outer.add_attachment(middle)
    document = parse(tmp_path, outer)
    assert texts(document) == ["Outer", "Text.", "Middle", "Second.", "Inner", "From: ada@example.org", "Third."]
    assert document.elements[-1].headings == ("Outer", "Middle", "Inner")
    assert document.warnings == ()


def test_texts_between_attachments_are_read_in_their_order(tmp_path: Path) -> None:
    """Some programs cut a message where a picture stands, and mailing lists add their own part."""
    content = (
        b"Subject: Hi\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nBefore.\n--x\nContent-Type: image/png\n"
        b"Content-Disposition: inline; filename=p.png\n\n00\n--x\nContent-Type: text/html\n\n<p>After.</p>\n--x\n"
        b"Content-Type: text/plain; name=n.txt\nContent-Disposition: attachment\n\nnot shown\n--x--\n"
    )
    document = parse(tmp_path, content)
    assert texts(document) == ["Hi", "Before.", "After."]
    assert document.warnings == ("2 attachments were not read: 'p.png', 'n.txt'; upload them as files of their own",)


def test_a_signature_is_no_attachment(tmp_path: Path) -> None:
    """It says nothing to a reader."""
    content = (
        b"Subject: Hi\nContent-Type: multipart/signed; boundary=x\n\n--x\n\nText.\n--x\n"
        b"Content-Type: application/pgp-signature\n\n-----BEGIN\n--x--\n"
    )
    document = parse(tmp_path, content)
    assert (texts(document), document.warnings) == (["Hi", "Text."], ())


@pytest.mark.parametrize(
    ("plain", "warnings"),
    [
        ("Gr\u00fc\u00dfe an *alle*", ()),
        (
            "Wholly other words stand here",
            ("the message has a plain text version with other words, which was not read",),
        ),
    ],
)
def test_of_two_versions_the_html_one_is_read(tmp_path: Path, plain: str, warnings: tuple[str, ...]) -> None:
    """As mail programs show it; that the other one says something else is stated."""
    message = a_message("Hi", plain)
    message.add_alternative("<p>Gr&uuml;&szlig;e an <b>alle</b></p>", subtype="html")
    document = parse(tmp_path, message)
    assert (texts(document), document.warnings) == (["Hi", "Grüße an alle"], warnings)


@pytest.mark.parametrize(
    ("raw", "subject"),
    [
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?= und mehr", "Grüße und mehr"),
        (b"=?iso-8859-1?b?R3L832U=?=", "Grüße"),
        ("Grüße".encode(), "Grüße"),
        ("Grüße".encode("cp1252"), "Grüße"),
        (b"one\n two", "one two"),
    ],
)
def test_a_header_is_read_in_every_encoding(tmp_path: Path, raw: bytes, subject: str) -> None:
    """Also where it is written as it should not be."""
    document = parse(tmp_path, b"Subject: " + raw + b"\n\nText.\n")
    assert document.title == subject
    assert texts(document) == [subject, "Text."]
    assert document.elements[0].category is Category.HEADING


def test_characters_of_windows_in_a_part_declared_as_latin_1_are_kept(tmp_path: Path) -> None:
    """As control characters of Latin-1 they would be dropped: typographic quotation marks and the euro."""
    content = b"Subject: Hi\nContent-Type: text/plain; charset=iso-8859-1\n\n\x9310 \x80\x94\n"
    assert texts(parse(tmp_path, content)) == ["Hi", "“10 €”"]


def test_a_message_that_ends_early_says_so(tmp_path: Path) -> None:
    """What is there of it is read."""
    content = b"Subject: Hi\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nThe first\n"
    document = parse(tmp_path, content)
    assert texts(document) == ["Hi", "The first"]
    assert document.warnings == ("the message ends in the middle of a part; what followed is missing",)


@pytest.mark.parametrize(
    ("names", "warnings"),
    [
        ([], []),
        (["a.pdf"], ["attachment 'a.pdf' was not read; upload it as a file of its own"]),
        (
            [str(number) for number in range(22)],
            [
                f"22 attachments were not read: {', '.join(repr(str(n)) for n in range(20))}, 2 more; "
                "upload them as files of their own"
            ],
        ),
    ],
)
def test_attachments_are_named_up_to_a_number(names: list[str], warnings: list[str]) -> None:
    """One sentence, however many there are."""
    assert list(attachment_warnings(names)) == warnings

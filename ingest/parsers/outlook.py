"""Outlook messages as .msg, on python-oxmsg."""

import email.utils
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oxmsg import Message
from oxmsg.domain.model import UnrecognizedCodePageError

from catalog.errors import InvalidFile
from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers.decoding import decode_declared, unreadable
from ingest.parsers.email import attachment_warnings
from ingest.parsers.html import HtmlReader, decode_html
from ingest.parsers.packages import reading
from ingest.parsers.text import add_paragraphs

# Properties by the numbers that Outlook gives them.
_SUBMIT_TIME = 0x0039
_RECIPIENT_TYPE = 0x0C15
_RTF_BODY = 0x1009
_HTML_BODY = 0x1013
_TO, _CC = 1, 2
_ENCRYPTED = "ipm.note.smime"


class OutlookParser:
    """Subject as the heading, the header lines, then the body; attachments are named in a warning."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        builder = DocumentBuilder(media_type)
        with reading(filename), _known_code_page():
            message = Message.load(str(path))
            if message.message_class.lower() == _ENCRYPTED:
                raise InvalidFile(f"{filename!r} is encrypted; save the decrypted message and upload again")
            builder.add(message.subject, category=Category.HEADING)
            builder.add("\n".join(f"{name}: {value}" for name, value in _headers(message) if value))
            warnings = [*_add_body(builder, message, filename), *_attachments(message)]
            title = message.subject
        return builder.build(title=title, warnings=warnings)


@contextmanager
def _known_code_page() -> Iterator[None]:
    try:
        yield
    except UnrecognizedCodePageError as exc:
        raise ValueError(str(exc)) from exc


def _headers(message: Message) -> Iterator[tuple[str, str]]:
    """Yield the lines that mail programs show; messages that were never sent have no transport headers."""
    sent = {name.lower(): " ".join(str(value).split()) for name, value in message.message_headers.items()}
    date = message.properties.date_prop_value(_SUBMIT_TIME)
    yield "From", sent.get("from") or message.sender or ""
    yield "To", sent.get("to") or _recipients(message, _TO)
    yield "Cc", sent.get("cc") or _recipients(message, _CC)
    yield "Date", sent.get("date") or (email.utils.format_datetime(date) if date else "")


def _recipients(message: Message, kind: int) -> str:
    people = (one for one in message.recipients if one.properties.int_prop_value(_RECIPIENT_TYPE) == kind)
    return ", ".join(f"{one.name} <{one.email_address}>" if one.name else one.email_address for one in people)


def _add_body(builder: DocumentBuilder, message: Message, filename: str) -> Iterator[str]:
    """Add the HTML body where there is one, as mail programs show it, else the plain one; yield warnings."""
    data = message.properties.binary_prop_value(_HTML_BODY)
    html = _decoded(data, message.properties.body_encoding) if data else message.html_body
    if html and html.strip():
        reader = HtmlReader(builder, filename=filename)
        reader.add(html)
        yield from [*unreadable(html), *reader.warnings()]
    elif message.body:
        add_paragraphs(builder, message.body)
    elif message.properties.binary_prop_value(_RTF_BODY):
        yield "its body, which is in Outlook's own format alone, was not read; save the message as .eml"


def _decoded(data: bytes, encoding: str) -> str:
    text = decode_declared(data, encoding)
    return decode_html(data) if text is None else text


def _attachments(message: Message) -> Iterator[str]:
    names = (attachment.file_name or attachment.mime_type or "without a name" for attachment in message.attachments)
    return attachment_warnings(list(names))

"""E-mail as .eml."""

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path

from catalog.errors import InvalidFile
from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers.decoding import decode
from ingest.parsers.text import add_paragraphs

_SHOWN_HEADERS = ("From", "To", "Cc", "Date")
_ENCRYPTED = ("application/pkcs7-mime", "application/x-pkcs7-mime", "multipart/encrypted")


class EmailParser:
    """Subject as the heading, the header lines, then the body; attachments are named in warnings."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        if message.get_content_type() in _ENCRYPTED:
            raise InvalidFile(f"{filename!r} is encrypted; save the decrypted message and upload again")
        builder = DocumentBuilder(media_type)
        subject = str(message.get("Subject", ""))
        builder.add(subject, category=Category.HEADING)
        builder.add("\n".join(f"{name}: {message[name]}" for name in _SHOWN_HEADERS if message[name]))
        _add_body(builder, message, filename)
        names = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
        warnings = [f"attachment {name!r} was not read; upload it as a file of its own" for name in names]
        return builder.build(title=subject, warnings=warnings)


def _add_body(builder: DocumentBuilder, message: EmailMessage, filename: str) -> None:
    """Add the HTML body where there is one, as mail programs show it; else the plain one."""
    body = message.get_body(preferencelist=("html", "plain"))
    if body is None:
        return
    try:
        content = body.get_content()
    except LookupError:  # An unknown charset.
        raw = body.get_payload(decode=True)
        content = decode(raw) if isinstance(raw, bytes) else ""
    if body.get_content_subtype() == "html":
        from ingest.parsers.html import add_html

        add_html(builder, content, filename=filename)
    else:
        add_paragraphs(builder, content)

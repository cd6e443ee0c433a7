"""E-mail as .eml."""

import base64
import email
import email.errors
import email.policy
import html
import re
from collections.abc import Iterator, Sequence
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path

from catalog.errors import InvalidFile
from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers.decoding import decode, decode_declared, unreadable
from ingest.parsers.html import HtmlReader
from ingest.parsers.packages import reading
from ingest.parsers.text import add_paragraphs

_SHOWN_HEADERS = ("From", "To", "Cc", "Date")
# Recipients of a whole company; the standard library takes quadratic time for one.
_MAX_HEADER_CHARS = 50_000
# Messages in messages: a forwarded conversation has a few.
_MAX_NESTED = 10
_ENCRYPTED = ("application/pkcs7-mime", "application/x-pkcs7-mime", "multipart/encrypted")
_SIGNATURES = ("application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature")
_NAMED_IN_WARNING = 20
# Two forms of one message share nearly all words; below this the plain one says something else.
_MIN_SHARED_WORDS = 0.5
_WORD = re.compile(r"\w+")


class EmailParser:
    """Subject as the heading, the header lines, then the body; messages in it follow, other attachments are named."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        builder = DocumentBuilder(media_type)
        with reading(filename):
            # Not the newer policies: they fail on some malformed headers and take quadratic time for long ones.
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.compat32)
            if message.get_content_type() in _ENCRYPTED:
                raise InvalidFile(f"{filename!r} is encrypted; save the decrypted message and upload again")
            reader = _MessageReader(builder, filename)
            title = reader.add(message)
            return builder.build(title=title, warnings=list(reader.warnings()))


def attachment_warnings(names: Sequence[str]) -> Iterator[str]:
    """Yield a sentence that names the attachments, which are files of their own and not read."""
    shown = [repr(name) for name in names[:_NAMED_IN_WARNING]]
    if len(names) > len(shown):
        shown.append(f"{len(names) - len(shown):,} more")
    if len(names) == 1:
        yield f"attachment {shown[0]} was not read; upload it as a file of its own"
    elif names:
        yield f"{len(names):,} attachments were not read: {', '.join(shown)}; upload them as files of their own"


class _MessageReader:
    """Adds messages to a builder: a message's parts in their order, of alternatives the one that programs show."""

    def __init__(self, builder: DocumentBuilder, filename: str) -> None:
        self._builder = builder
        self._html = HtmlReader(builder, filename=filename)
        self._attachments: list[str] = []
        self._warnings: list[str] = []

    def add(self, message: Message, *, depth: int = 0) -> str:
        """Add a message; return its subject. `depth` is the number of messages around it."""
        subject = self._header(message, "Subject")
        self._builder.add(subject, category=Category.HEADING, level=depth + 1)
        shown = ((name, self._header(message, name)) for name in _SHOWN_HEADERS)
        self._builder.add("\n".join(f"{name}: {value}" for name, value in shown if value))
        self._add_part(message, depth)
        return subject

    def warnings(self) -> Iterator[str]:
        yield from dict.fromkeys(self._warnings)
        yield from self._html.warnings()
        yield from attachment_warnings(self._attachments)

    def _add_part(self, part: Message, depth: int) -> None:
        kind = part.get_content_type()
        if any(isinstance(defect, email.errors.CloseBoundaryNotFoundDefect) for defect in part.defects):
            self._warnings.append("the message ends in the middle of a part; what followed is missing")
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            for child in self._chosen(part):
                self._add_part(child, depth)
        elif kind == "message/rfc822" and part.is_multipart():
            self._add_messages(part, depth)
        elif kind in ("text/plain", "text/html") and part.get_content_disposition() != "attachment":
            self._add_text(part, is_html=kind == "text/html")
        elif part.get_content_maintype() == "multipart":
            self._add_text(part, is_html=False)
        elif kind not in _SIGNATURES:
            self._attachments.append(part.get_filename() or kind)

    def _chosen(self, part: Message) -> list[Message]:
        """Return the parts of a multipart that are read: all, but of alternatives the best one."""
        children = _children(part)
        if part.get_content_subtype() != "alternative":
            return children
        with_html = [child for child in children if any(p.get_content_type() == "text/html" for p in child.walk())]
        plain = [child for child in children if child.get_content_type() == "text/plain"]
        if with_html and plain and _differ(_content(plain[0]), _content(_first_html(with_html[-1]))):
            self._warnings.append("the message has a plain text version with other words, which was not read")
        return with_html[-1:] or plain[-1:] or children[-1:]

    def _add_messages(self, part: Message, depth: int) -> None:
        for inner in _children(part):
            if depth + 1 < _MAX_NESTED:
                self.add(_unencoded(inner, part), depth=depth + 1)
            else:
                self._warnings.append(f"messages more than {_MAX_NESTED} deep in others were not read")

    def _add_text(self, part: Message, *, is_html: bool) -> None:
        content = _content(part)
        self._warnings.extend(unreadable(content))
        if is_html:
            self._html.add(content)
        else:
            add_paragraphs(self._builder, content)

    def _header(self, message: Message, name: str) -> str:
        """Return a header's values in Unicode, however they are encoded."""
        # Not message[name], which has replaced bytes that are not ASCII by question marks.
        values = [str(value) for key, value in message.raw_items() if key.lower() == name.lower()]
        if any(len(value) > _MAX_HEADER_CHARS for value in values):
            self._warnings.append(f"header {name!r} was not read after {_MAX_HEADER_CHARS:,} characters")
        return ", ".join(_decoded_header(value[:_MAX_HEADER_CHARS]) for value in values)


def _decoded_header(value: str) -> str:
    line = " ".join(value.split())
    if not line.isascii():
        return decode(line.encode("utf-8", "surrogateescape"))
    try:
        return str(make_header(decode_header(line)))
    except (LookupError, ValueError, email.errors.MessageError):
        return line


def _children(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [child for child in payload if isinstance(child, Message)] if isinstance(payload, list) else []


def _unencoded(message: Message, part: Message) -> Message:
    """Return the message in `part`, which some programs encode though they may not: then its lines were not decoded."""
    body = message.get_payload()
    if str(part.get("Content-Transfer-Encoding", "")).lower() != "base64" or not isinstance(body, str):
        return message
    data = base64.b64decode(body.encode("ascii", "ignore"))
    return email.message_from_bytes(data, policy=email.policy.compat32)


def _first_html(part: Message) -> Message:
    return next(child for child in part.walk() if child.get_content_type() == "text/html")


def _content(part: Message) -> str:
    """Return the text of a part, in its declared charset where it is in that."""
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return ""
    text = decode_declared(data, str(part.get_param("charset", "")))
    return decode(data) if text is None else text


def _differ(plain: str, page: str) -> bool:
    words = set(_WORD.findall(plain.lower()))
    return len(words & set(_WORD.findall(html.unescape(page).lower()))) < _MIN_SHARED_WORDS * len(words)

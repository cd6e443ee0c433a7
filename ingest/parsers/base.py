"""The seam between files and documents."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ingest.documents import ParsedDocument


@dataclass(frozen=True, kw_only=True)
class OcrOptions:
    """How pages are read that have no text layer."""

    # In Tesseract's names; of these the installed ones are used.
    languages: tuple[str, ...] = ("eng",)
    # When to stop, as time.monotonic() counts, and the limit that this comes from, in seconds.
    deadline: float = math.inf
    limit_s: float = math.inf


class Parser(Protocol):
    """Reads the files of one family of formats."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        """Return the document in the file at `path`, in reading order.

        `filename` is what the uploader called the file: it serves for messages and is never opened. `media_type`
        is the detected one and is handed on in the result. A part that could not be read is a warning of the
        document; the same bytes give the same document. A document without text is returned as it is:
        `parse_file` refuses it.

        Raises InvalidFile (damaged, encrypted), UnsupportedFile (a variant that this parser cannot read) and
        ParseLimitExceeded (more content than it takes). Any other exception is a defect of the parser; nothing
        here is retryable.
        """
        ...

"""Citations: which words of which document stand behind a claim."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from catalog import documents
from generation.backends.base import Source
from generation.support import Span


@dataclass(frozen=True, kw_only=True, slots=True)
class Citation:
    """A footnote: characters [start, end) of the document's stored text, which are `quote`."""

    # Position in the answer's text, in characters, at which the mark goes.
    index: int
    # 1-based; the same span has the same number wherever it is cited.
    number: int
    source: Source
    start: int
    end: int
    quote: str
    page: int | None

    @property
    def place(self) -> tuple[int, int, int]:
        """What has a number of its own: document and range."""
        return self.source.passage.chunk.document_id, self.start, self.end


def cite(
    claim: str, wanted: Iterable[int], sources: Mapping[int, Source], locate: Callable[[str, str], Span | None]
) -> list[Citation]:
    """Return the citations that hold for a claim: a source that does not exist or does not support it gives none.

    `wanted`: source numbers. Index and number are 0 until the citation is given out.
    """
    citations = []
    for number in wanted:
        source = sources.get(number)
        span = locate(claim, source.text) if source else None
        if source is None or span is None:
            continue
        start, end = source.passage.chunk.start + span[0], source.passage.chunk.start + span[1]
        citations.append(
            Citation(
                index=0,
                number=0,
                source=source,
                start=start,
                end=end,
                quote=source.text[span[0] : span[1]],
                page=page_at(source.passage.chunk.page_spans, start),
            )
        )
    return citations


def reread(session: Session, citations: Sequence[Citation]) -> list[Citation]:
    """Return those that still hold: the others' documents are gone, or say something else there."""
    return [
        one
        for one in citations
        if documents.text_range(session, one.source.passage.chunk.document_id, one.start, one.end) == one.quote
    ]


def page_at(page_spans: Sequence[tuple[int, int, int]], position: int) -> int | None:
    """Return the page on which the character at `position` stands; None in a document without pages."""
    return next((page for page, start, end in page_spans if start <= position < end), None)

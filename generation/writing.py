"""From a generator's output to answer text and citations that were re-read."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from catalog import documents
from catalog.database import Database
from generation.backends.base import Finished, FinishReason, TextDelta, Usage
from generation.citations import Citation, Claim, MarkerParser, cite
from generation.packing import Packed

REFUSAL_TEXT: Final = "These documents do not contain the answer to this question."


class Outcome(StrEnum):
    ANSWERED = "answered"
    # The sources do not hold the answer; the text says so.
    NOT_IN_DOCUMENTS = "not_in_documents"
    # The generator wrote a text, and no citation in it held.
    UNSUPPORTED = "unsupported"


class Writing:
    """One pass over a generator's output: text and citations so far."""

    def __init__(self, database: Database, packed: Packed) -> None:
        self._database = database
        self._sources = {source.number: source for source in packed.sources}
        self._numbers: dict[tuple[int, int, int], int] = {}
        self.text = ""
        self.citations: list[Citation] = []
        # Source numbers that the generator wrote and that no longer stand: forged, or without support.
        self.dropped_markers: list[int] = []
        self.outcome = Outcome.ANSWERED
        self.finished = Finished(reason=FinishReason.STOP, usage=Usage(input_tokens=0, output_tokens=0))

    def run(self, pieces: Iterator[TextDelta | Finished]) -> Iterator[TextDelta | Citation]:
        parser = MarkerParser()
        for piece in pieces:
            if isinstance(piece, Finished):
                self.finished = piece
            else:
                yield from self._take(parser.feed(piece.text))
        yield from self._take(parser.finish())
        if parser.is_refusal or not self.text.strip():
            self.outcome = Outcome.NOT_IN_DOCUMENTS
            self.text = REFUSAL_TEXT
            yield TextDelta(text=REFUSAL_TEXT)
        elif not self.citations:
            self.outcome = Outcome.UNSUPPORTED

    def _take(self, parts: Iterator[str | Claim]) -> Iterator[TextDelta | Citation]:
        for part in parts:
            if isinstance(part, str):
                self.text += part
                yield TextDelta(text=part)
                continue
            held = [c for c in cite(part, self._sources, self._numbers) if self._reads_the_same(c)]
            self.citations += held
            cited = {citation.source.number for citation in held}
            self.dropped_markers += [number for number in part.source_numbers if number not in cited]
            yield from held

    def _reads_the_same(self, citation: Citation) -> bool:
        """Re-read the cited range; False when the document is gone or says something else there."""
        with self._database.read() as session:
            stored = documents.text_range(
                session, citation.source.passage.chunk.document_id, citation.start, citation.end
            )
        return stored == citation.quote

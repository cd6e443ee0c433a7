"""From a question to an answer whose footnotes were re-read."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from catalog import documents
from catalog.database import Database
from generation.backends.base import Finished, FinishReason, Generator, Prompt, TextDelta, Usage
from generation.citations import Citation, Claim, MarkerParser, cite
from generation.evidence import content_terms
from generation.packing import Packed, pack
from generation.prompts import PromptTemplate
from retrieval.indexes.base import Scope
from retrieval.passages import Passage
from retrieval.searcher import PassageSearch, Ranking, SearchRequest, SearchResult

REFUSAL_TEXT: Final = "These documents do not contain the answer to this question."
DEFAULT_MAX_TOKENS: Final = 1024
DEFAULT_MAX_RESULTS: Final = 10
# A question with more content words than this is read by itself, whatever was asked before. Every question of data/gold
# has more; to search those behind an unrelated one too lowered answer recall from 0.91 to between 0.84 and 0.87.
_FOLLOW_UP_TERMS: Final = 1


class Outcome(StrEnum):
    ANSWERED = "answered"
    # The sources do not hold the answer; the text says so.
    NOT_IN_DOCUMENTS = "not_in_documents"
    # The generator wrote a text, and no citation in it held.
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerRequest:
    question: str
    # What the user asked before, which the question may follow up on.
    context: str | None = None
    scope: Scope
    max_results: int = DEFAULT_MAX_RESULTS
    ranking: Ranking = field(default_factory=Ranking)
    max_tokens: int = DEFAULT_MAX_TOKENS

    @property
    def full_question(self) -> str:
        """The question, behind the one before it when it says too little alone: "And for a week?"."""
        is_short = len(content_terms(self.question)) <= _FOLLOW_UP_TERMS
        return f"{self.context}\n{self.question}" if self.context and is_short else self.question

    @property
    def queries(self) -> list[str]:
        """What is searched for: the question as it was asked and, where it differs, in full."""
        return list(dict.fromkeys([self.question, self.full_question]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Searched:
    """The first event: what was found."""

    passages: Sequence[Passage]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The last event: the whole answer, and the trace that explains it."""

    text: str
    outcome: Outcome
    citations: Sequence[Citation]
    passages: Sequence[Passage]
    finish_reason: FinishReason
    usage: Usage
    # Of the generator, see Finished; what it refused below is its own setting.
    evidence: float | None = None
    index_version: int
    # Name, version and SHA-256 of the prompt template.
    prompt: Mapping[str, Any]
    # JSON values: nonce, sources, candidates with scores, citations, seconds per stage.
    trace: Mapping[str, Any]


# In order: Searched, then text deltas and citations as they come, then Answer.
AnswerEvent = Searched | TextDelta | Citation | Answer


class Answerer:
    """Searches, prompts, generates and cites. Every citation that it gives out was re-read from the stored text."""

    def __init__(
        self, database: Database, searcher: PassageSearch, generator: Generator, template: PromptTemplate
    ) -> None:
        self._database = database
        self._searcher = searcher
        self._generator = generator
        self._template = template

    def answer(self, request: AnswerRequest, *, cancelled: Callable[[], bool] = lambda: False) -> Iterator[AnswerEvent]:
        """Yield the events of one answer; soon after `cancelled()` is true the generation ends."""
        found = self._search(request)
        yield Searched(passages=found.passages)
        packed = self._pack(found)
        nonce = secrets.token_hex(8)
        prompt = self._template.render(request.full_question, packed.sources, nonce=nonce)
        started = time.perf_counter()
        writing = _Writing(self._database, packed)
        yield from writing.run(self._generator.generate(prompt, max_tokens=request.max_tokens, cancelled=cancelled))
        seconds = {**found.seconds, "generate": time.perf_counter() - started}
        yield self._finish(found, packed, prompt, nonce, writing, seconds)

    def count_input(self, request: AnswerRequest) -> int:
        """Return the tokens of the question and of the sources that `answer` would be written from now."""
        packed = self._pack(self._search(request))
        return sum(
            self._generator.count_tokens(text)
            for text in (request.full_question, *(source.text for source in packed.sources))
        )

    def _search(self, request: AnswerRequest) -> SearchResult:
        return self._searcher.search(
            SearchRequest(
                queries=request.queries, scope=request.scope, limit=request.max_results, ranking=request.ranking
            )
        )

    def _pack(self, found: SearchResult) -> Packed:
        count_tokens = self._generator.count_tokens
        return pack(found.passages, budget=self._generator.source_tokens, count_tokens=count_tokens)

    def _finish(
        self,
        found: SearchResult,
        packed: Packed,
        prompt: Prompt,
        nonce: str,
        writing: "_Writing",
        seconds: Mapping[str, float],
    ) -> Answer:
        return Answer(
            text=writing.text,
            outcome=writing.outcome,
            citations=writing.citations,
            passages=found.passages,
            finish_reason=writing.finished.reason,
            usage=writing.finished.usage,
            evidence=writing.finished.evidence,
            index_version=found.index_version,
            prompt={"name": prompt.template, "version": prompt.version, "sha256": prompt.sha256},
            trace={
                "generator": self._generator.name,
                "nonce": nonce,
                "sources": [source.passage.chunk.chunk_id for source in packed.sources],
                "left_out": list(packed.left_out),
                "candidates": [
                    {
                        "file_id": p.chunk.file_id,
                        "chunk_id": p.chunk.chunk_id,
                        "score": p.score,
                        "dense": p.dense,
                        "lexical": p.lexical,
                    }
                    for p in found.passages
                ],
                "dropped_markers": writing.dropped_markers,
                "evidence": writing.finished.evidence,
                "seconds": dict(seconds),
            },
        )


class _Writing:
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

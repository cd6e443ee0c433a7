"""From a question to an answer whose footnotes were re-read."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from catalog.database import Database
from generation.backends.base import FinishReason, Generator, Prompt, Sampling, TextDelta, Usage
from generation.citations import Citation
from generation.contradictions import contradictions
from generation.evidence import content_terms
from generation.packing import Packed, pack
from generation.prompts import PromptTemplate
from generation.support import Span
from generation.writing import Outcome, Unsupported, Writing
from retrieval.embedders.base import Embedder
from retrieval.indexes.base import Scope
from retrieval.passages import Passage
from retrieval.searcher import PassageSearch, Ranking, SearchRequest, SearchResult

DEFAULT_MAX_RESULTS: Final = 10
# A question with more content words than this is read by itself, whatever was asked before. Every question of data/gold
# has more; to search those behind an unrelated one too lowered answer recall from 0.91 to between 0.84 and 0.87.
_FOLLOW_UP_TERMS: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerRequest:
    question: str
    # What the user asked before, which the question may follow up on.
    context: str | None = None
    scope: Scope
    max_results: int = DEFAULT_MAX_RESULTS
    ranking: Ranking = field(default_factory=Ranking)
    sampling: Sampling = field(default_factory=Sampling)

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
    # Sentences that no footnote supports, as ranges of the text, where the service flags them.
    unsupported: Sequence[Span] = ()
    # Pairs of footnote numbers whose quotes contradict each other.
    contradictions: Sequence[tuple[int, int]] = ()
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
        self,
        database: Database,
        searcher: PassageSearch,
        generator: Generator,
        template: PromptTemplate,
        *,
        embedder: Embedder | None = None,
        unsupported: Unsupported = Unsupported.FLAG,
    ) -> None:
        """`embedder`: compares claims with sources in meaning too; without one their words decide."""
        self._database = database
        self._embedder = embedder
        self._unsupported = unsupported
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
        writing = Writing(self._database, packed, embedder=self._embedder, unsupported=self._unsupported)
        yield from writing.run(self._generator.generate(prompt, sampling=request.sampling, cancelled=cancelled))
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
        writing: Writing,
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
            unsupported=writing.unsupported,
            contradictions=contradictions(writing.citations),
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
                "dropped_sentences": writing.dropped_sentences,
                "evidence": writing.finished.evidence,
                "seconds": dict(seconds),
            },
        )

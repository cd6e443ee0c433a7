"""From a question to an answer whose footnotes were re-read."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from catalog.chunks import load_neighbours
from catalog.database import Database
from generation.backends.base import Finished, FinishReason, Generator, Prompt, Sampling, TextDelta, Usage
from generation.citations import Citation
from generation.contradictions import contradictions
from generation.conversation import Asked, Rewriter, by_rule
from generation.packing import Packed, pack
from generation.prices import Price
from generation.prompts import PromptTemplate
from generation.reasoning import Reasoning
from generation.replay import recorded_prompt
from generation.steps import queries_in_steps
from generation.support import Span
from generation.turns import Turn, file_ids_of
from generation.writing import Outcome, Piece, Unsupported, Writing
from retrieval.embedders.base import Embedder
from retrieval.indexes.base import Scope
from retrieval.passages import Passage
from retrieval.searcher import PassageSearch, Ranking, SearchRequest, SearchResult

DEFAULT_MAX_RESULTS: Final = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerRequest:
    question: str
    # What was said before, oldest first; the question may follow up on it.
    turns: Sequence[Turn] = ()
    scope: Scope
    max_results: int = DEFAULT_MAX_RESULTS
    # Searches at most, each led on by what the one before found; for questions of several parts.
    steps: int = 1
    ranking: Ranking = field(default_factory=Ranking)
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True, kw_only=True, slots=True)
class Searched:
    """The first event: what was found."""

    passages: Sequence[Passage]
    # What was searched for.
    queries: Sequence[str] = ()
    # Files that words of earlier turns in the prompt may come from.
    recalled: Sequence[str] = ()


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
    # JSON values: what the prompt is rendered from (`generation.replay`), candidates with scores, seconds per stage.
    trace: Mapping[str, Any]


# In order: Searched, then text deltas, citations and doubts as they come, then Answer.
AnswerEvent = Searched | Piece | Answer


class Answering(Protocol):
    """Answers requests."""

    @property
    def generator(self) -> Generator:
        """Who writes."""
        ...

    @property
    def prompt(self) -> dict[str, Any]:
        """As of Answerer."""
        ...

    def answer(self, request: AnswerRequest, *, cancelled: Callable[[], bool] = ...) -> Iterator[AnswerEvent]:
        """As Answerer does."""
        ...

    def count_input(self, request: AnswerRequest) -> int:
        """As Answerer does."""
        ...

    def write_again(self, prompt: Prompt, sampling: Sampling) -> Writing:
        """As Answerer does."""
        ...


class Answerer:
    """Searches, prompts, generates and cites. Every citation that it gives out was re-read from the stored text."""

    def __init__(
        self,
        database: Database,
        searcher: PassageSearch,
        generator: Generator,
        template: PromptTemplate,
        *,
        price: Price | None = None,
        rewriter: Rewriter | None = None,
        reads_neighbours: bool = False,
        embedder: Embedder | None = None,
        unsupported: Unsupported = Unsupported.FLAG,
        cites_unmarked: bool = False,
    ) -> None:
        """`price`: of the generator's tokens, where answers have a cost.

        `rewriter`: reads follow-up questions by a language model; without it they are read by rule.
        `reads_neighbours`: what the generator has room for besides the passages that were found is filled with what
        stands directly before and after them.
        `embedder`: compares claims with sources in meaning too; without one their words decide. `unsupported` and
        `cites_unmarked`: see Writing.
        """
        self.generator = generator
        self._price = price
        self._database = database
        self._embedder = embedder
        self._unsupported = unsupported
        self._cites_unmarked = cites_unmarked
        self._searcher = searcher
        self._template = template
        self._rewriter = rewriter
        self._reads_neighbours = reads_neighbours

    @property
    def prompt(self) -> dict[str, Any]:
        """Name, version and SHA-256 of the prompt that answers are written by."""
        template = self._template
        return {"name": template.name, "version": template.version, "sha256": template.sha256}

    def answer(self, request: AnswerRequest, *, cancelled: Callable[[], bool] = lambda: False) -> Iterator[AnswerEvent]:
        """Yield the events of one answer; soon after `cancelled()` is true the generation ends."""
        started = time.perf_counter()
        asked = self._ask(request, cancelled)
        seconds = {"rewrite": time.perf_counter() - started} if asked.is_by_model else {}
        asked = self._led_on(request, asked)
        found = self._search(request, asked.queries)
        yield Searched(passages=found.passages, queries=asked.queries, recalled=file_ids_of(asked.read))
        packed = self._pack(found, asked)
        nonce = secrets.token_hex(8)
        prompt = self._template.render(
            asked.question, packed.sources, nonce=nonce, turns=asked.turns, earlier=asked.earlier
        )
        started = time.perf_counter()
        writing = self._writing(packed)
        pieces = self._pieces(prompt, request.sampling, cancelled, reasoning := self._reasoning())
        yield from writing.run(pieces)
        seconds |= {**found.seconds, "generate": time.perf_counter() - started}
        notes: dict[str, Any] = {"reasoning": reasoning.text} if reasoning else {}
        if request.turns:
            notes |= {"conversation": asked.trace(), "recalled": file_ids_of(asked.read)}
        notes |= {
            "nonce": nonce,
            "stores": sorted(request.scope.vector_store_ids),
            **recorded_prompt(prompt, request.sampling, turns=asked.turns, earlier=asked.earlier),
            "seconds": seconds,
        }
        yield self._finish(asked, found, packed, writing, notes)

    def count_input(self, request: AnswerRequest) -> int:
        """Return the tokens of the question and of the sources that `answer` would be written from now.

        A follow-up question counts as the rule reads it: no language model is asked.
        """
        asked = by_rule(request.question, request.turns)
        packed = self._pack(self._search(request, asked.queries), asked)
        return sum(
            self.generator.count_tokens(text) for text in (asked.question, *(source.text for source in packed.sources))
        )

    def write_again(self, prompt: Prompt, sampling: Sampling) -> Writing:
        """Let the generator write from a prompt that was rendered before, and return what came of it, to its end."""
        writing = self._writing(Packed(sources=prompt.sources, left_out=(), cut={}))
        for _ in writing.run(self._pieces(prompt, sampling, lambda: False, self._reasoning())):
            pass
        return writing

    def _writing(self, packed: Packed) -> Writing:
        return Writing(
            self._database,
            packed,
            embedder=self._embedder,
            unsupported=self._unsupported,
            cites_unmarked=self._cites_unmarked,
        )

    def _reasoning(self) -> Reasoning | None:
        return Reasoning(self._template.answer_mark) if self._template.answer_mark else None

    def _pieces(
        self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool], reasoning: Reasoning | None
    ) -> Iterator[TextDelta | Finished]:
        """Return what the generator writes, but for what it writes to itself."""
        pieces = self.generator.generate(prompt, sampling=sampling, cancelled=cancelled)
        return reasoning.answer(pieces) if reasoning else pieces

    def _ask(self, request: AnswerRequest, cancelled: Callable[[], bool]) -> Asked:
        if self._rewriter is None or not request.turns:
            return by_rule(request.question, request.turns)
        return self._rewriter.ask(request.question, request.turns, cancelled=cancelled)

    def _led_on(self, request: AnswerRequest, asked: Asked) -> Asked:
        """Return the question with the queries that the request's steps lead to."""
        if request.steps == 1:
            return asked

        def find(queries: Sequence[str]) -> list[str]:
            found = self._search(request, queries)
            return [f"{passage.chunk.context}\n{passage.chunk.text}" for passage in found.passages]

        led_to = queries_in_steps(asked.queries[-1], steps=request.steps, find=find)
        return replace(asked, queries=list(dict.fromkeys([*asked.queries, *led_to])))

    def _search(self, request: AnswerRequest, queries: Sequence[str]) -> SearchResult:
        return self._searcher.search(
            SearchRequest(queries=queries, scope=request.scope, limit=request.max_results, ranking=request.ranking)
        )

    def _pack(self, found: SearchResult, asked: Asked) -> Packed:
        count_tokens = self.generator.count_tokens
        spoken = sum(map(count_tokens, [asked.earlier, *(f"{turn.question}\n{turn.answer}" for turn in asked.turns)]))
        budget = self.generator.source_tokens - spoken
        return pack(found.passages, budget=budget, count_tokens=count_tokens, beside=self._beside(found.passages))

    def _beside(self, passages: Sequence[Passage]) -> dict[int, list[Passage]]:
        """Return the neighbours of each passage, by its chunk; they have its score, for whose sake they are read."""
        if not self._reads_neighbours:
            return {}
        with self._database.read() as session:
            found = load_neighbours(session, [passage.chunk.chunk_id for passage in passages])
        return {
            passage.chunk.chunk_id: [
                replace(passage, chunk=chunk, dense=None, lexical=None, rerank=None)
                for chunk in found.get(passage.chunk.chunk_id, ())
            ]
            for passage in passages
        }

    def _finish(
        self, asked: Asked, found: SearchResult, packed: Packed, writing: Writing, notes: Mapping[str, Any]
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
            prompt=self.prompt,
            trace={
                **notes,
                "queries": list(asked.queries),
                "generator": self.generator.name,
                "search_cache": found.cache,
                "left_out": list(packed.left_out),
                # JSON has no keys but strings.
                "cut": {str(chunk_id): end for chunk_id, end in packed.cut.items()},
                "candidates": [
                    {
                        "file_id": p.chunk.file_id,
                        "chunk_id": p.chunk.chunk_id,
                        "score": p.score,
                        "dense": p.dense,
                        "lexical": p.lexical,
                        "rerank": p.rerank,
                    }
                    for p in found.passages
                ],
                "dropped_markers": writing.dropped_markers,
                "dropped_sentences": writing.dropped_sentences,
                "evidence": writing.finished.evidence,
                "cost": self._price.of(writing.finished.usage) if self._price else None,
            },
        )

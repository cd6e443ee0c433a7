"""From a question to an answer whose footnotes were re-read."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Protocol

from catalog import documents
from catalog.database import Database
from generation.backends.base import FinishReason, Generator, Prompt, Sampling, Source, Usage
from generation.citations import Citation
from generation.contradictions import contradictions
from generation.conversation import Asked, Rewriter, by_rule
from generation.decomposition import Decomposer
from generation.packing import Packed, pack
from generation.prices import Price
from generation.prompts import PromptTemplate
from generation.reasoning import Reasoning
from generation.replay import recorded_prompt
from generation.sourcing import ByQuestion, Searched, Searching, Sourcing, Task
from generation.steps import queries_in_steps
from generation.support import Span
from generation.tool_calling import ByModel
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
    # Calls of a model that searches itself, in place of steps; None: as many as the answerer allows, and never more.
    max_calls: int | None = None
    ranking: Ranking = field(default_factory=Ranking)
    sampling: Sampling = field(default_factory=Sampling)


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


# In order: Searching and Searched for each search, then text deltas, citations and doubts as they come, then Answer.
AnswerEvent = Searching | Searched | Piece | Answer


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
        max_calls: int | None = None,
        decomposer: Decomposer | None = None,
    ) -> None:
        """`price`: of the generator's tokens, where answers have a cost.

        `rewriter`: reads follow-up questions by a language model; without it they are read by rule.
        `reads_neighbours`: what the generator has room for besides the passages that were found is filled with what
        stands directly before and after them.
        `embedder`: compares claims with sources in meaning too; without one their words decide. `unsupported` and
        `cites_unmarked`: see Writing.
        `max_calls`: the model searches itself, by so many calls at most, and `template` is for that; None has the
        question searched for.
        `decomposer`: says by a language model what a request's further steps are for; without it a rule does.
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
        self._max_calls = max_calls
        self._decomposer = decomposer

    @property
    def prompt(self) -> dict[str, Any]:
        """Name, version and SHA-256 of the prompt that answers are written by."""
        template = self._template
        return {"name": template.name, "version": template.version, "sha256": template.sha256}

    def answer(self, request: AnswerRequest, *, cancelled: Callable[[], bool] = lambda: False) -> Iterator[AnswerEvent]:
        """Yield the events of one answer; soon after `cancelled()` is true the generation ends."""
        if self._max_calls is None:
            yield Searching(queries=[request.question])
        started = time.perf_counter()
        asked = self._ask(request, cancelled)
        seconds = {"rewrite": time.perf_counter() - started} if asked.is_by_model else {}
        sourcing = self._sourcing(request, asked, nonce := secrets.token_hex(8), cancelled)
        yield from sourcing.search()
        started = time.perf_counter()
        writing = self._writing(sourcing.packed)
        pieces = sourcing.write()
        reasoning = self._reasoning()
        yield from writing.run(reasoning.answer(pieces) if reasoning else pieces)
        seconds |= {**sourcing.found.seconds, "generate": time.perf_counter() - started}
        notes: dict[str, Any] = {"reasoning": reasoning.text} if reasoning else {}
        if request.turns:
            notes |= {"conversation": asked.trace(), "recalled": file_ids_of(asked.read)}
        notes |= {
            "nonce": nonce,
            "stores": sorted(request.scope.vector_store_ids),
            **recorded_prompt(sourcing.prompt, request.sampling, turns=asked.turns, earlier=asked.earlier),
            **sourcing.trace(),
            "seconds": seconds,
        }
        yield self._finish(sourcing, writing, notes)

    def count_input(self, request: AnswerRequest) -> int:
        """Return the tokens of the question and of the sources that `answer` would be written from now.

        A follow-up question counts as the rule reads it: no language model is asked, and none searches.
        """
        asked = by_rule(request.question, request.turns)
        packed = self._pack(self._search(request, asked.queries).passages, budget=self._budget(asked))
        return sum(
            self.generator.count_tokens(text) for text in (asked.question, *(source.text for source in packed.sources))
        )

    def write_again(self, prompt: Prompt, sampling: Sampling) -> Writing:
        """Let the generator write from a prompt that was rendered before, and return what came of it, to its end.

        A model that might have searched on has to write too.
        """
        writing = self._writing(Packed(sources=prompt.sources, left_out=(), cut={}))
        now = replace(prompt, may_call=False)
        pieces = self.generator.generate(now, sampling=sampling, cancelled=lambda: False)
        reasoning = self._reasoning()
        for _ in writing.run(reasoning.answer(pieces) if reasoning else pieces):
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

    def _sourcing(self, request: AnswerRequest, asked: Asked, nonce: str, cancelled: Callable[[], bool]) -> Sourcing:
        task = Task(
            asked=self._led_on(request, asked, cancelled),
            template=self._template,
            nonce=nonce,
            generator=self.generator,
            sampling=request.sampling,
            cancelled=cancelled,
            search=partial(self._search, request),
            pack=self._pack,
            budget=self._budget(asked),
        )
        if self._max_calls is None:
            return ByQuestion(task)
        wanted = self._max_calls if request.max_calls is None else min(request.max_calls, self._max_calls)
        # Where there is nothing to search, there is nothing to decide.
        return ByModel(task, max_calls=wanted if request.scope.vector_store_ids else 0)

    def _ask(self, request: AnswerRequest, cancelled: Callable[[], bool]) -> Asked:
        if self._rewriter is None or not request.turns:
            return by_rule(request.question, request.turns)
        rewrites = self._max_calls is None
        return self._rewriter.ask(request.question, request.turns, rewrites=rewrites, cancelled=cancelled)

    def _led_on(self, request: AnswerRequest, asked: Asked, cancelled: Callable[[], bool]) -> Asked:
        """Return the question with the queries that the request's steps lead to."""
        if request.steps == 1 or self._max_calls is not None:
            return asked

        def find(queries: Sequence[str]) -> list[str]:
            found = self._search(request, queries)
            return [f"{passage.chunk.context}\n{passage.chunk.text}" for passage in found.passages]

        def lead(queries: Sequence[str], passages: Sequence[str]) -> list[str] | None:
            if self._decomposer is None:
                return None
            return self._decomposer.next_queries(queries[0], queries, passages, cancelled=cancelled)

        led_to = queries_in_steps(asked.queries[-1], steps=request.steps, find=find, lead=lead)
        return replace(asked, queries=list(dict.fromkeys([*asked.queries, *led_to])))

    def _search(self, request: AnswerRequest, queries: Sequence[str]) -> SearchResult:
        return self._searcher.search(
            SearchRequest(queries=queries, scope=request.scope, limit=request.max_results, ranking=request.ranking)
        )

    def _budget(self, asked: Asked) -> int:
        """Return the tokens that sources may have beside what is told of the conversation."""
        told = [asked.earlier, *(f"{turn.question}\n{turn.answer}" for turn in asked.turns)]
        return self.generator.source_tokens - sum(map(self.generator.count_tokens, told))

    def _pack(self, passages: Sequence[Passage], *, budget: int, given: Sequence[Source] = ()) -> Packed:
        return pack(
            passages,
            budget=budget,
            count_tokens=self.generator.count_tokens,
            beside=self._beside(passages),
            given=given,
        )

    def _beside(self, passages: Sequence[Passage]) -> dict[int, list[Passage]]:
        """Return the neighbours of each passage, by its chunk; they have its score, for whose sake they are read."""
        if not self._reads_neighbours:
            return {}
        with self._database.read() as session:
            found = documents.load_neighbours(session, [passage.chunk.chunk_id for passage in passages])
        return {
            passage.chunk.chunk_id: [
                replace(passage, chunk=chunk, dense=None, lexical=None, rerank=None)
                for chunk in found.get(passage.chunk.chunk_id, ())
            ]
            for passage in passages
        }

    def _finish(self, sourcing: Sourcing, writing: Writing, notes: Mapping[str, Any]) -> Answer:
        found, packed = sourcing.found, sourcing.packed
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
                "queries": list(sourcing.queries),
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

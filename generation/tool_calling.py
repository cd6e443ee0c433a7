"""How an answer comes by its sources: the model searches, by calling the tool `file_search`."""

import re
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from catalog.errors import ServiceUnavailable
from generation.backends.base import Finished, FinishReason, Prompt, Source, TextDelta, ToolCall, Usage
from generation.packing import Packed, cost
from generation.rounds import Conversation, Result, Round
from generation.search_tool import NAME, WrongCall, echoed, queries_of
from generation.sourcing import Searched, Searching, Task
from generation.turns import file_ids_of
from generation.visible import visible
from retrieval.searcher import SearchResult

DEFAULT_MAX_CALLS: Final = 6
# A model that is going to call says so in less, if it says anything.
_PREAMBLE_CHARS: Final = 200
_CITED: Final = re.compile(r"\[\d")
# Of the room that is left a call takes at most this part, so that there is some for those behind it.
_SHARE: Final = 2
_HAS_BEGUN: Final = "the answer has begun. Finish it with the sources that are there."


class ByModel:
    """The model calls `file_search` until it writes, or until it has called often enough: then it has to write.

    Every call counts, a wrong one too, which is answered with what is wrong. What a call can do is to search, where
    and how the request says. Text in front of calls is no answer: it is held back until it is long, or cites a source.
    What the model writes before any search is not given out at all: the question is searched for in its place. So no
    answer is made without a search, and a model that calls no tools answers as it would without them, a request later.
    """

    def __init__(self, task: Task, *, max_calls: int) -> None:
        """`max_calls`: with 0 the question is searched for, and the model writes."""
        self._task = task
        asked = task.asked
        self._conversation = Conversation(
            template=task.template,
            question=asked.question,
            turns=asked.turns,
            earlier=asked.earlier,
            nonce=task.nonce,
        )
        self._left = max_calls
        self._budget = task.budget
        self._rounds: list[Round] = []
        self._sources: list[Source] = []
        self._cut: dict[int, int] = {}
        self._results: list[SearchResult] = []
        # Of all requests that have ended.
        self._usage = Usage(input_tokens=0, output_tokens=0)
        # For which the model was waited for, but for its answer.
        self._decided_s = 0.0
        self._answer: Iterator[TextDelta | Finished] = iter(())
        self.queries: list[str] = []
        self.prompt: Prompt

    @property
    def found(self) -> SearchResult:
        """What all searches found, in their order; each passage once."""
        passages = {one.chunk.chunk_id: one for result in reversed(self._results) for one in reversed(result.passages)}
        seconds = {"decide": self._decided_s}
        for result in self._results:
            for part, value in result.seconds.items():
                seconds[part] = seconds.get(part, 0.0) + value
        is_cached = all(result.cache == "hit" for result in self._results)
        return SearchResult(
            passages=list(reversed(passages.values())),
            index_version=max((result.index_version for result in self._results), default=0),
            seconds=seconds,
            cache="hit" if is_cached else next(one.cache for one in self._results if one.cache != "hit"),
        )

    @property
    def packed(self) -> Packed:
        taken = {source.passage.chunk.chunk_id for source in self._sources}
        found = [passage.chunk.chunk_id for passage in self.found.passages]
        return Packed(sources=self._sources, left_out=[one for one in found if one not in taken], cut=self._cut)

    def search(self) -> Iterator[Searching | Searched]:
        while True:
            if self._left == 0 and not self.queries:
                yield from self._search_question()
            started = time.perf_counter()
            pieces = self._request()
            text, end = self._begin(pieces)
            if end is None or end.reason is FinishReason.CANCELLED or (self.queries and not end.calls):
                self._answer = chain([TextDelta(text=text)] if text else [], pieces if end is None else [end])
                return
            self._decided_s += time.perf_counter() - started
            if end.calls:
                yield from self._carry_out(text, end.calls)
            else:
                yield from self._search_question()

    def write(self) -> Iterator[TextDelta | Finished]:
        text = ""
        for piece in self._answer:
            if isinstance(piece, TextDelta):
                text += piece.text
            elif piece.calls and self.prompt.may_call:
                yield from self._write_on(text, piece.calls)
                return
            elif piece.calls and not text.strip():
                raise ServiceUnavailable(
                    "The language model calls tools where it has to write its answer; ask again, or in other words."
                )
            yield piece

    def trace(self) -> dict[str, Any]:
        return {"rounds": [one.to_json() for one in self._rounds], "may_call": self.prompt.may_call}

    def _request(self) -> Iterator[TextDelta | Finished]:
        task = self._task
        self.prompt = self._conversation.prompt(self._rounds, list(self._sources), may_call=self._left > 0)
        return self._summed(task.generator.generate(self.prompt, sampling=task.sampling, cancelled=task.cancelled))

    def _summed(self, pieces: Iterator[TextDelta | Finished]) -> Iterator[TextDelta | Finished]:
        """Let the end of a reply tell the usage of all of them."""
        for piece in pieces:
            if isinstance(piece, Finished):
                self._usage += piece.usage
                yield replace(piece, usage=self._usage)
            else:
                yield piece

    def _begin(self, pieces: Iterator[TextDelta | Finished]) -> tuple[str, Finished | None]:
        """Return a reply's text up to where it is known to be the answer, or its end and all of its text."""
        text = ""
        while not self._is_answer(text):
            piece = next(pieces)
            if isinstance(piece, Finished):
                return text, piece
            text += piece.text
        return text, None

    def _is_answer(self, text: str) -> bool:
        if not self.prompt.may_call:
            return True
        if not self.queries:
            return False
        mark = self._task.template.answer_mark
        return mark in text if mark else len(text) > _PREAMBLE_CHARS or _CITED.search(text) is not None

    def _carry_out(self, text: str, calls: Sequence[ToolCall]) -> Iterator[Searching | Searched]:
        """Answer the calls of a reply; those that are too many are counted in the last answer, and not repeated."""
        wanted = calls[: self._left]
        done: list[ToolCall] = []
        results: list[Result] = []
        for call in wanted:
            self._left -= 1
            queries, error = _read(call)
            sources, again = (yield from self._find(queries)) if queries else ([], [])
            done.append(self._echoed(call, queries, behind=len(done)))
            results.append(Result(sources=sources, again=again, error=error, left=self._left))
        results[-1] = replace(results[-1], dropped=len(calls) - len(wanted))
        self._add(Round(text=_as_told(text), calls=done, results=results))

    def _search_question(self) -> Iterator[Searching | Searched]:
        """Search for the question as if the model had done so."""
        queries = list(self._task.asked.queries)
        sources, again = yield from self._find(queries)
        call = self._echoed(ToolCall(call_id="", name=NAME, arguments=""), queries)
        self._add(Round(text="", calls=[call], results=[Result(sources=sources, again=again, left=self._left)]))

    def _find(self, queries: Sequence[str]) -> Generator[Searching | Searched, None, tuple[list[int], list[int]]]:
        """Search; return the numbers of the sources that are new, and of those that were found again."""
        task = self._task
        yield Searching(queries=queries)
        result = task.search(queries)
        yield Searched(passages=result.passages, queries=queries, recalled=file_ids_of(task.asked.read))
        known = {source.passage.chunk.chunk_id: source.number for source in self._sources}
        again = [number for one in result.passages if (number := known.get(one.chunk.chunk_id)) is not None]
        share = self._budget // (_SHARE if self._left else 1)
        packed = task.pack(result.passages, budget=max(share, 0), given=self._sources)
        self._budget -= sum(cost(source.passage, task.generator.count_tokens) for source in packed.sources)
        self._sources += packed.sources
        self._cut |= packed.cut
        self._results.append(result)
        self.queries += [query for query in queries if query not in self.queries]
        return [source.number for source in packed.sources], again

    def _write_on(self, text: str, calls: Sequence[ToolCall]) -> Iterator[TextDelta | Finished]:
        """Have an answer finished that broke off for a call, which is not carried out."""
        self._left = 0
        result = Result(error=_HAS_BEGUN, left=0, dropped=len(calls) - 1)
        self._add(Round(text=_as_told(text), calls=[self._echoed(calls[0], [])], results=[result]))
        if not text[-1:].isspace():
            yield TextDelta(text="\n\n")
        yield from self._request()

    def _echoed(self, call: ToolCall, queries: Sequence[str], *, behind: int = 0) -> ToolCall:
        """Return a call as the conversation holds it; `behind`: others of the same round."""
        return echoed(call, queries, number=sum(len(one.calls) for one in self._rounds) + behind + 1)

    def _add(self, one: Round) -> None:
        """Add a round, whose own words take their part of the room; sources had theirs when they were found."""
        self._rounds.append(one)
        words = [one.text, *(call.arguments for call in one.calls), *(result.error for result in one.results)]
        self._budget -= sum(map(self._task.generator.count_tokens, words))


def _read(call: ToolCall) -> tuple[list[str], str]:
    """Return what a call searches for, or what is wrong with it."""
    try:
        return queries_of(call), ""
    except WrongCall as wrong:
        return [], str(wrong)


def _as_told(text: str) -> str:
    """Return what a model wrote as it is read again: by itself, and perhaps in the words of a document."""
    return visible(text.encode(errors="replace").decode())

"""How an answer comes by its sources: the question is searched for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from generation.backends.base import Finished, Generator, Prompt, Sampling, Source, TextDelta
from generation.conversation import Asked
from generation.packing import Packed
from generation.prompts import PromptTemplate
from generation.turns import file_ids_of
from retrieval.passages import Passage
from retrieval.searcher import SearchResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Searching:
    """A search begins; Searched tells its end, before another one begins."""

    # What is searched for, as far as it is known.
    queries: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Searched:
    """What a search found."""

    passages: Sequence[Passage]
    # What was searched for.
    queries: Sequence[str] = ()
    # Files that words of earlier turns in the prompt may come from.
    recalled: Sequence[str] = ()


class Pack(Protocol):
    """Chooses the passages that a prompt has room for."""

    def __call__(self, passages: Sequence[Passage], *, budget: int, given: Sequence[Source] = ()) -> Packed:
        """As `generation.packing.pack` does."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A question on its way to its answer, and what is at hand for it."""

    asked: Asked
    template: PromptTemplate
    # Fresh and unguessable: the code in the marks around sources.
    nonce: str
    generator: Generator
    sampling: Sampling
    cancelled: Callable[[], bool]
    # Searches for some queries together, where and how the request says.
    search: Callable[[Sequence[str]], SearchResult]
    pack: Pack
    # Tokens that the sources may have, all together.
    budget: int


class Sourcing(Protocol):
    """Finds the sources of one answer, and has it written from them.

    The properties tell of the whole once `search` and `write` have come to their ends, in that order; all but `prompt`
    do so between them.
    """

    @property
    def queries(self) -> Sequence[str]:
        """What was searched for."""
        ...

    @property
    def found(self) -> SearchResult:
        """What was found, best first, or in the order of several searches."""
        ...

    @property
    def packed(self) -> Packed:
        """What of it the prompt holds."""
        ...

    @property
    def prompt(self) -> Prompt:
        """That of the last request."""
        ...

    def search(self) -> Iterator[Searching | Searched]:
        """Yield what is done, to its end. Raises what searches and generators raise."""
        ...

    def write(self) -> Iterator[TextDelta | Finished]:
        """As Generator.generate does, with the usage of all requests."""
        ...

    def trace(self) -> dict[str, Any]:
        """Return what the record of the answer needs to know beside the attributes, as JSON values."""
        ...


class ByQuestion:
    """One search, for the question."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.queries = task.asked.queries
        self.found: SearchResult
        self.packed: Packed
        self.prompt: Prompt

    def search(self) -> Iterator[Searching | Searched]:
        task = self._task
        asked = task.asked
        self.found = task.search(asked.queries)
        yield Searched(passages=self.found.passages, queries=asked.queries, recalled=file_ids_of(asked.read))
        self.packed = task.pack(self.found.passages, budget=task.budget)
        self.prompt = task.template.render(
            asked.question, self.packed.sources, nonce=task.nonce, turns=asked.turns, earlier=asked.earlier
        )

    def write(self) -> Iterator[TextDelta | Finished]:
        task = self._task
        return task.generator.generate(self.prompt, sampling=task.sampling, cancelled=task.cancelled)

    def trace(self) -> dict[str, Any]:
        return {}

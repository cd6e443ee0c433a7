"""Choosing the passages that go into a prompt. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from generation.backends.base import Source
from retrieval.passages import Passage


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """Sources in the order of their passages' rank, numbered from 1, and the chunk ids that found no place."""

    sources: Sequence[Source]
    left_out: Sequence[int]


def pack(passages: Sequence[Passage], *, budget: int, count_tokens: Callable[[str], int]) -> Packed:
    """Take passages, best first, while their tokens fit into `budget`.

    A passage that another one mostly holds already (overlapping chunks of one document), or whose text is equal to
    another's, brings nothing new and is left out.
    """
    sources: list[Source] = []
    left_out: list[int] = []
    used = 0
    for passage in passages:
        cost = count_tokens(passage.chunk.text)
        if used + cost > budget or any(_repeats(passage, source.passage) for source in sources):
            left_out.append(passage.chunk.chunk_id)
            continue
        sources.append(Source(number=len(sources) + 1, passage=passage))
        used += cost
    return Packed(sources=sources, left_out=left_out)


def _repeats(passage: Passage, taken: Passage) -> bool:
    new, old = passage.chunk, taken.chunk
    if new.text == old.text:
        return True
    shared = min(new.end, old.end) - max(new.start, old.start)
    return new.document_id == old.document_id and shared > (new.end - new.start) / 2

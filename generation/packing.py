"""Choosing the passages that go into a prompt. Pure."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from catalog.documents import StoredChunk
from generation.backends.base import Source
from generation.visible import visible, visible_attribute
from retrieval.passages import Passage
from retrieval.sentences import split_sentences

# As long as the marks around a source are in a prompt; the code is as long as Answerer's.
_CODE: Final = "0" * 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """Sources in the order of their passages' rank, numbered upwards; and what of the passages is not among them."""

    sources: Sequence[Source]
    # Chunk ids that found no place.
    left_out: Sequence[int]
    # Where in the stored text a chunk ends of which the prompt holds only the beginning, by chunk id.
    cut: Mapping[int, int]


def pack(
    passages: Sequence[Passage],
    *,
    budget: int,
    count_tokens: Callable[[str], int],
    beside: Mapping[int, Sequence[Passage]] | None = None,
    given: Sequence[Source] = (),
) -> Packed:
    """Take passages, best first, while their tokens, with headings and marks, fit into `budget`.

    A passage that another one mostly holds already (overlapping chunks of one document), or whose text is equal to
    another's, brings nothing new and is left out. Of one that does not fit, the sentences at its beginning are taken
    that do: a source is always one range of the stored text.

    `beside`: by chunk id, what stands directly before and after a passage. It gets what is left of the budget, the
    neighbours of the best passage first, and stands beside it in the order of the document.

    `given`: sources that the prompt holds already. What they hold is not taken again, and numbers go on behind theirs.
    """
    held = [source.passage for source in given]
    taken: list[Passage] = []
    left_out: list[int] = []
    cut: dict[int, int] = {}
    left = budget
    for passage in passages:
        fitting = None if _is_repeated(passage, [*held, *taken]) else _fit(passage, left, count_tokens)
        if fitting is None:
            left_out.append(passage.chunk.chunk_id)
            continue
        if fitting is not passage:
            cut[passage.chunk.chunk_id] = fitting.chunk.end
        taken.append(fitting)
        left -= cost(fitting, count_tokens)
    for passage in list(taken):
        for neighbour in (beside or {}).get(passage.chunk.chunk_id, ()):
            tokens = cost(neighbour, count_tokens)
            if tokens <= left and not _is_repeated(neighbour, [*held, *taken]):
                is_before = neighbour.chunk.start < passage.chunk.start
                taken.insert(taken.index(passage) + (0 if is_before else 1), neighbour)
                left -= tokens
    sources = [Source(number=number, passage=passage) for number, passage in enumerate(taken, start=len(held) + 1)]
    return Packed(sources=sources, left_out=left_out, cut=cut)


def heading(chunk: StoredChunk) -> dict[str, str | int | None]:
    """Return what a prompt says of where a passage comes from, None where nothing is known.

    document: the file's name. section: its title and the headings over the passage. columns: the header row of the
    table that it is a part of. page: the first. date: the file's attribute of that name. No value can end the quotation
    marks that it stands in, nor its line.
    """
    section, _, columns = chunk.context.partition("\n")
    date = chunk.attributes.get("date")
    return {
        "document": _inline(chunk.filename),
        "section": _inline(section) or None,
        "columns": _inline(columns) or None,
        "page": chunk.page,
        "date": _inline(str(date)) if date is not None else None,
    }


def cost(passage: Passage, count_tokens: Callable[[str], int]) -> int:
    """Return the tokens of a passage in a prompt of the package."""
    values = " ".join(f'{name}="{value}"' for name, value in heading(passage.chunk).items() if value is not None)
    return count_tokens(f'<source-{_CODE} number="10" {values}>\n{visible(passage.chunk.text)}\n</source-{_CODE}>')


def _fit(passage: Passage, budget: int, count_tokens: Callable[[str], int]) -> Passage | None:
    """Return the passage, or as many of its first sentences as fit; None when not even the first does."""
    if cost(passage, count_tokens) <= budget:
        return passage
    ends = [end for _, end in split_sentences(passage.chunk.text)]
    count = bisect_right(ends, budget, key=lambda end: cost(_first(passage, end), count_tokens))
    return _first(passage, ends[count - 1]) if count else None


def _first(passage: Passage, length: int) -> Passage:
    """Return a passage with the first characters of its text."""
    chunk = passage.chunk
    return replace(passage, chunk=replace(chunk, end=chunk.start + length, text=chunk.text[:length]))


def _is_repeated(passage: Passage, taken: Sequence[Passage]) -> bool:
    return any(_repeats(passage, other) for other in taken)


def _repeats(passage: Passage, taken: Passage) -> bool:
    new, old = passage.chunk, taken.chunk
    if new.text == old.text:
        return True
    shared = min(new.end, old.end) - max(new.start, old.start)
    return new.document_id == old.document_id and shared > (new.end - new.start) / 2


def _inline(text: str) -> str:
    return visible_attribute(" ".join(text.split()).replace('"', "'"))

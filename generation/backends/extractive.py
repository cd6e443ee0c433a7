"""The generator without a language model: it quotes the sentences that answer, and knows when there are none."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

import numpy as np

from generation.backends.base import NO_ANSWER, Finished, FinishReason, Prompt, Sampling, Source, TextDelta, Usage
from generation.contradictions import contradict
from generation.evidence import content_terms, coverage, identifiers, names_all
from generation.markers import without_markers
from retrieval.embedders.base import Embedder, Vectors
from retrieval.sentences import split_sentences

# Sources whose sentences are considered, best first: an answer is rarely further down, and each costs time.
_MAX_SOURCES: Final = 6
_MAX_SENTENCES: Final = 96
# Shorter ones are numbers, bullets and single words.
_MIN_SENTENCE_CHARACTERS: Final = 12
# Neighbouring sentences that may be quoted together: the first names the thing, the second says what was asked.
_MAX_NEIGHBOURS: Final = 3
# Quotes at most, and how close to the best one the others must come.
_MAX_QUOTES: Final = 3
_NEAR_BEST: Final = 0.92
# And one that contradicts the best: whoever asks has to see both.
_NEAR_ENOUGH_TO_CONTRADICT: Final = 0.7
# Shares in the evidence: nearness in meaning, words of the question, rank of the passage; and the cost of length.
_MEANING: Final = 0.5
_WORDS: Final = 0.35
_RANK: Final = 0.15
_LENGTH_COST: Final = 0.01
# Factor for a quote that does not name what the question names, when its passage does, and when that does not either.
_NAMED_NEARBY: Final = 0.9
_NOT_NAMED: Final = 0.6
# Evidence below which the sources do not answer. How it was chosen: docs/benchmarks.md.
MIN_EVIDENCE: Final = 0.55
# Nothing limits how much can be quoted from; this bounds the work.
_SOURCE_TOKENS: Final = 4000


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """A sentence or table row of a source."""

    source: Source
    # Characters of the source's text.
    start: int
    end: int
    # What is compared with the question: for a table row with the names of its columns.
    meaning: str
    # Sentences of one paragraph have the same number; a table row has its own.
    paragraph: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """What may be quoted: a table row, or up to three neighbouring sentences. `evidence` is about 0 to 1."""

    source: Source
    start: int
    end: int
    evidence: float

    @property
    def text(self) -> str:
        """The words as one line; a table row without its outer bars, and without what would be read as a marker."""
        return " ".join(without_markers(self.source.text[self.start : self.end]).split()).strip("| ")


class ExtractiveGenerator:
    """Chooses sentences by nearness to the question in meaning (embedding) and in words, and quotes them verbatim."""

    name = "extractive"
    source_tokens = _SOURCE_TOKENS
    calls_tools = False

    def __init__(self, embedder: Embedder, *, min_evidence: float = MIN_EVIDENCE) -> None:
        self._embedder = embedder
        self._min_evidence = min_evidence

    def count_tokens(self, text: str) -> int:
        return len(self._embedder.token_spans(text))

    def generate(
        self, prompt: Prompt, *, sampling: Sampling, cancelled: Callable[[], bool]
    ) -> Iterator[TextDelta | Finished]:
        candidates = self.candidates(prompt.question, prompt.sources)
        evidence = candidates[0].evidence if candidates else 0.0
        quotes = choose_quotes(candidates) if evidence >= self._min_evidence else []
        read = sum(self.count_tokens(text) for text in (prompt.question, *(s.text for s in prompt.sources)))
        written, reason = 0, FinishReason.STOP
        if not quotes:
            yield TextDelta(text=NO_ANSWER)
        for position, quote in enumerate(quotes):
            if cancelled():
                reason = FinishReason.CANCELLED
                break
            tokens = self.count_tokens(quote.text)
            if written + tokens > sampling.max_tokens:
                reason = FinishReason.LENGTH
                break
            yield TextDelta(text=f"{chr(10) * 2 if position else ''}{quote.text} [{quote.source.number}]")
            written += tokens
        yield Finished(reason=reason, usage=Usage(input_tokens=read, output_tokens=written), evidence=evidence)

    def candidates(self, question: str, sources: Sequence[Source]) -> list[Candidate]:
        """Return everything in the best sources that may be quoted, with its evidence, best first."""
        sources = sources[:_MAX_SOURCES]
        sentences = [sentence for source in sources for sentence in sentences_of(source)][:_MAX_SENTENCES]
        if not sentences:
            return []
        query = self._embedder.embed_queries([question])[0]
        vectors = self._embedder.embed_documents([sentence.meaning for sentence in sentences])
        groups = neighbours(sentences)
        meanings = [" ".join(s.meaning for s in sentences[first:last]) for first, last in groups]
        contexts = [_context(sentences[first].source) for first, _ in groups]
        wanted, named = content_terms(question), identifiers(question)
        covered = coverage(
            wanted, [f"{context} {meaning}" for context, meaning in zip(contexts, meanings, strict=True)]
        )
        found = []
        for (first, last), meaning, context, words in zip(groups, meanings, contexts, covered, strict=True):
            source = sentences[first].source
            nearness = _nearness(vectors[first:last], query)
            evidence = (
                _MEANING * nearness + _WORDS * words + _RANK * source.passage.score - _LENGTH_COST * (last - first - 1)
            )
            if not names_all(f"{context} {meaning}", named):
                evidence *= _NAMED_NEARBY if names_all(f"{context} {source.text}", named) else _NOT_NAMED
            found.append(
                Candidate(source=source, start=sentences[first].start, end=sentences[last - 1].end, evidence=evidence)
            )
        return sorted(found, key=lambda candidate: (-candidate.evidence, candidate.source.number, candidate.start))

    def close(self) -> None:
        """The embedder belongs to who made it."""


def choose_quotes(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return what to quote, from candidates that are sorted best first.

    The best, those that are nearly as good, and of each other document the first that contradicts the best.
    """
    chosen: list[Candidate] = []
    for candidate in candidates:
        best = candidates[0]
        if len(chosen) == _MAX_QUOTES or candidate.evidence < _NEAR_ENOUGH_TO_CONTRADICT * best.evidence:
            break
        is_wanted = candidate.evidence >= _NEAR_BEST * best.evidence or (
            contradict(candidate.text, best.text) and not any(_is_of_document(candidate, one) for one in chosen)
        )
        if is_wanted and not any(_repeats(candidate, other) for other in chosen):
            chosen.append(candidate)
    return chosen


def sentences_of(source: Source) -> list[Sentence]:
    """Return the sentences and table rows of a source, in order; a table's header row and rule are none."""
    found: list[Sentence] = []
    header: list[str] = []
    paragraph, previous_end = 0, 0
    for start, end in split_sentences(source.text):
        text = source.text[start:end]
        paragraph += "\n\n" in source.text[previous_end:start] or text.startswith("|") or bool(header)
        previous_end = end
        if not text.startswith("|"):
            header = []
            if len(text) >= _MIN_SENTENCE_CHARACTERS:
                found.append(Sentence(source=source, start=start, end=end, meaning=text, paragraph=paragraph))
            continue
        cells = [cell.strip() for cell in text.strip("|").split("|")]
        if not header:
            header = cells
        elif not set(text) <= set("|-: "):
            meaning = "; ".join(
                f"{name}: {cell}" if name else cell for name, cell in zip_longest(header, cells, fillvalue="")
            )
            found.append(Sentence(source=source, start=start, end=end, meaning=meaning, paragraph=paragraph))
    return found


def neighbours(sentences: Sequence[Sentence]) -> list[tuple[int, int]]:
    """Return the ranges [first, last) of one to three neighbouring sentences of one paragraph."""
    return [
        (first, last)
        for first in range(len(sentences))
        for last in range(first + 1, min(first + _MAX_NEIGHBOURS, len(sentences)) + 1)
        if sentences[last - 1].source is sentences[first].source
        and sentences[last - 1].paragraph == sentences[first].paragraph
    ]


def _nearness(vectors: Vectors, query: Vectors) -> float:
    """Return the cosine between the query and the mean of some vectors, at least 0."""
    mean = vectors.mean(axis=0)
    return max(0.0, float(mean @ query / np.linalg.norm(mean)))


def _context(source: Source) -> str:
    return f"{source.passage.chunk.filename} {source.passage.chunk.context}"


def _is_of_document(candidate: Candidate, other: Candidate) -> bool:
    return candidate.source.passage.chunk.document_id == other.source.passage.chunk.document_id


def _repeats(candidate: Candidate, other: Candidate) -> bool:
    overlaps = candidate.start < other.end and other.start < candidate.end
    return candidate.text == other.text or (candidate.source is other.source and overlaps)

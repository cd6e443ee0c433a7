"""The generator without a language model: it quotes the sentences that answer, and knows when there are none."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from generation.backends.base import NO_ANSWER, Finished, FinishReason, Prompt, Source, TextDelta, Usage
from retrieval.analysis import terms
from retrieval.embedders.base import Embedder
from retrieval.sentences import split_sentences

# Sources whose sentences are considered, best first: an answer is rarely further down, and each costs time.
_MAX_SOURCES: Final = 6
_MAX_SENTENCES: Final = 80
# Sentences quoted at most, and how close to the best one the others must come.
_MAX_QUOTES: Final = 3
_NEAR_BEST: Final = 0.9
# Shares in the evidence: nearness in meaning, words of the question, rank of the passage.
_MEANING: Final = 0.5
_WORDS: Final = 0.35
_RANK: Final = 0.15
# Evidence below which the sources do not answer. How it was chosen: docs/benchmarks.md.
MIN_EVIDENCE: Final = 0.5
# Nothing limits how much can be quoted from; this bounds the work.
_SOURCE_TOKENS: Final = 4000


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A sentence that may answer. `evidence` is 0 to 1, higher is better."""

    source: Source
    text: str
    evidence: float


class ExtractiveGenerator:
    """Chooses sentences by nearness to the question in meaning (embedding) and in words, and quotes them verbatim."""

    name = "extractive"
    source_tokens = _SOURCE_TOKENS

    def __init__(self, embedder: Embedder, *, min_evidence: float = MIN_EVIDENCE) -> None:
        self._embedder = embedder
        self._min_evidence = min_evidence

    def count_tokens(self, text: str) -> int:
        return len(self._embedder.token_spans(text))

    def generate(
        self, prompt: Prompt, *, max_tokens: int, cancelled: Callable[[], bool]
    ) -> Iterator[TextDelta | Finished]:
        quotes = choose_quotes(self.candidates(prompt.question, prompt.sources), min_evidence=self._min_evidence)
        read = sum(self.count_tokens(source.text) for source in prompt.sources)
        written, reason = 0, FinishReason.STOP
        if not quotes:
            yield TextDelta(text=NO_ANSWER)
        for position, quote in enumerate(quotes):
            if cancelled():
                reason = FinishReason.CANCELLED
                break
            tokens = self.count_tokens(quote.text)
            if written + tokens > max_tokens:
                reason = FinishReason.LENGTH
                break
            yield TextDelta(text=f"{' ' if position else ''}{quote.text} [{quote.source.number}]")
            written += tokens
        yield Finished(reason=reason, usage=Usage(input_tokens=read, output_tokens=written))

    def candidates(self, question: str, sources: Sequence[Source]) -> list[Candidate]:
        """Return every sentence of the best sources with its evidence, best first."""
        found = [(source, text) for source in sources[:_MAX_SOURCES] for text in _sentences(source.text)]
        found = found[:_MAX_SENTENCES]
        if not found:
            return []
        query = self._embedder.embed_queries([question])[0]
        near = self._embedder.embed_documents([text for _, text in found]) @ query
        words = word_coverage(question, [f"{source.passage.chunk.context} {text}" for source, text in found])
        scored = [
            Candidate(
                source=source,
                text=text,
                evidence=_MEANING * max(0.0, float(meaning)) + _WORDS * word + _RANK * source.passage.score,
            )
            for (source, text), meaning, word in zip(found, near, words, strict=True)
        ]
        return sorted(scored, key=lambda candidate: (-candidate.evidence, candidate.source.number))

    def close(self) -> None:
        """The embedder belongs to who made it."""


def choose_quotes(candidates: Sequence[Candidate], *, min_evidence: float) -> list[Candidate]:
    """Return what to quote, from candidates that are sorted best first: [] when even the best is too weak."""
    if not candidates or candidates[0].evidence < min_evidence:
        return []
    chosen: list[Candidate] = []
    for candidate in candidates:
        if len(chosen) == _MAX_QUOTES or candidate.evidence < _NEAR_BEST * candidates[0].evidence:
            break
        if candidate.text not in {other.text for other in chosen}:
            chosen.append(candidate)
    return chosen


def word_coverage(question: str, texts: Sequence[str]) -> list[float]:
    """Return for each text the share (0 to 1) of the question's terms that it holds, rare terms counting more.

    Rarity is taken among `texts` themselves: log(1 + n / (1 + holders)), so a word that they all have says little.
    """
    wanted = set(terms(question))
    bags = [wanted.intersection(terms(text)) for text in texts]
    holders = Counter(term for bag in bags for term in bag)
    weight = {term: math.log(1 + len(texts) / (1 + holders[term])) for term in wanted}
    total = sum(weight.values())
    return [sum(weight[term] for term in bag) / total if total else 0.0 for bag in bags]


def _sentences(text: str) -> list[str]:
    """Return the sentences of a passage as single lines; headings of one or two words are no sentences."""
    sentences = [" ".join(text[start:end].split()) for start, end in split_sentences(text)]
    return [sentence for sentence in sentences if len(sentence) >= 12 and not set(sentence) <= set("|-: ")]

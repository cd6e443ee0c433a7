"""Passages in any number for measurements of lexical search: sentences of judged collections, put together anew."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from evaluation.collections import load_collection, load_corpus
from retrieval.sentences import split_sentences

_DISTRACTORS: Final = "pool_wikipedia"
_COLLECTIONS: Final = ("nq_open", "squad2", "scifact", "covidqa", "hotpotqa_mini")
# English of the default chunk size: 200 tokens.
_WORDS: Final = 120
_MAX_SENTENCE_WORDS: Final = 60
_QUESTIONS_OF_EACH: Final = 40


class Texts:
    """Real sentences in random company, so words are as frequent as in real text, and no two passages are equal.

    Every passage also names a part that no other one names: the dictionary of real documents grows with their number.
    """

    def __init__(self, data: Path, *, seed: int) -> None:
        """`data`: the folder of the judged collections."""
        self._dice = random.Random(seed)
        corpora = (load_corpus(data / name) for name in (_DISTRACTORS, *_COLLECTIONS))
        self._sentences = [
            (sentence, words)
            for corpus in corpora
            for text in corpus.values()
            for start, end in split_sentences(text[:100_000])
            if 3 <= (words := len((sentence := text[start:end]).split())) <= _MAX_SENTENCE_WORDS
        ]

    def passages(self, count: int, *, first: int = 0) -> Iterator[str]:
        """Yield `count` passages of about 120 words; `first` is the number of the first one's part."""
        for number in range(first, first + count):
            words, chosen = 3, [f"Part K{number:07x}-{number % 97}."]
            while words < _WORDS:
                sentence, length = self._dice.choice(self._sentences)
                chosen.append(sentence)
                words += length
            yield " ".join(chosen)


def questions(data: Path, *, seed: int) -> Sequence[str]:
    """Return what people asked about these collections, 40 questions of each."""
    dice = random.Random(seed)
    found: list[str] = []
    for name in _COLLECTIONS:
        asked = sorted(load_collection(data / name).queries.values())
        found += dice.sample(asked, min(len(asked), _QUESTIONS_OF_EACH))
    return found

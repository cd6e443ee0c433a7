"""Questions of several parts: what was found for a question says what to search for next."""

import re
from collections.abc import Callable, Sequence
from typing import Final

from generation.evidence import content_terms, coverage
from retrieval.analysis import terms
from retrieval.function_words import function_words
from retrieval.sentences import split_sentences

# Latin, Greek and Cyrillic: scripts without capitals have no names that can be told by their form.
_CAPITAL: Final = "[A-Z\u00c0-\u00d6\u00d8-\u00de\u0391-\u03a9\u0400-\u042f]"
# A name of one or more words with a capital, or a year: `Bank of England`, `Rime 40`, `1974`.
_NAME: Final = re.compile(
    rf"\b(?:{_CAPITAL}[\w'’.-]*|\d{{4}})(?:\s+(?:(?:of|the|de|von|van|and)\s+)?{_CAPITAL}[\w'’.-]*|\s+\d+)*\b"
)


# Returns what to search for next, from what was searched for and the passages found: [] ends the search, None leaves it
# to the rule.
Lead = Callable[[Sequence[str], Sequence[str]], Sequence[str] | None]


def queries_in_steps(
    question: str, *, steps: int, find: Callable[[Sequence[str]], Sequence[str]], lead: Lead = lambda *_: None
) -> list[str]:
    """Return what to search for: the question, and what at most `steps` - 1 further searches are for.

    `find`: returns the passages for some queries, best first, each with its heading as the first line. Ends where
    nothing new is to be searched for.
    """
    queries, rule = [question], _Rule(question)
    for _ in range(steps - 1):
        passages = find(queries)
        led = lead(queries, passages)
        new = [query for query in (rule.lead(passages) if led is None else led) if query not in queries]
        if not new:
            break
        queries += new
    return queries


class _Rule:
    """The best passage that was not read yet leads on.

    The next query is what it leaves open of the question, and the names that are new in its heading and in the
    sentence that fits best. A passage without a new name leads nowhere.
    """

    def __init__(self, question: str) -> None:
        self._question = self._open_words = question
        self._read: set[str] = set()

    def lead(self, passages: Sequence[str]) -> list[str]:
        passage = next((text for text in passages if text not in self._read), None)
        if passage is None:
            return []
        self._read.add(passage)
        names = new_names(passage, self._question)
        if not names:
            return []
        self._open_words = left_open(self._open_words, passage)
        return [" ".join([self._open_words, *names]).strip()]


def left_open(question: str, passage: str) -> str:
    """Return the words of a question without those content words that a passage holds."""
    held = set(terms(passage))
    return " ".join(word for word in question.split() if not (content := _content(word)) or not content <= held)


def new_names(passage: str, question: str) -> list[str]:
    """Return the names in a passage's heading and best sentence that the question does not hold, each once."""
    heading, _, body = passage.partition("\n")
    known = set(terms(question))
    found = [match.group() for text in (heading, _best_sentence(body, question)) for match in _NAME.finditer(text)]
    return [name for name in dict.fromkeys(found) if (content := _content(name)) and not content <= known]


def _best_sentence(text: str, question: str) -> str:
    """Return the sentence that holds most of the question's words; the first of several, "" of none."""
    sentences = [text[start:end] for start, end in split_sentences(text)]
    covered = coverage(content_terms(question), sentences)
    return max(zip(covered, sentences, strict=True), key=lambda pair: pair[0], default=(0.0, ""))[1]


def _content(text: str) -> set[str]:
    return set(terms(text)) - function_words()

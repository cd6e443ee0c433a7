"""Questions of several parts: a language model says what to search for next."""

import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from generation.backends.base import FinishReason, Generator
from generation.completion import Reply, complete
from generation.evidence import content_terms
from generation.prompts import PromptTemplate
from generation.visible import visible
from retrieval.analysis import terms

# What the model replies when nothing is left open.
ENOUGH: Final = "ENOUGH"
MAX_QUERIES: Final = 3
_MAX_QUERY_CHARS: Final = 200
_MAX_TOKENS: Final = 160
# Of the room for sources, what the passages may take that the model reads: the first of them say what leads on.
_PASSAGES_SHARE: Final = 4
# Share of a query's words that question and passages have to hold.
_MIN_SAID: Final = 0.5
# How a line begins that is no query but an item of a list, a mark, a role or a heading.
_OTHER: Final = re.compile(r"(?:[-*•#<>\[{`]|\d+[.):]|\w+:(?!\w))")


class Decomposer:
    """Reads a question, and what was found for it so far."""

    def __init__(self, generator: Generator, template: PromptTemplate) -> None:
        self._generator = generator
        self._template = template

    def next_queries(
        self, question: str, queries: Sequence[str], passages: Sequence[str], *, cancelled: Callable[[], bool]
    ) -> list[str] | None:
        """Return what to search for next, [] when nothing is left open, None for a reply that is neither.

        `queries`: what was searched for. `passages`: what was found, best first. Raises what the generator raises.
        """
        read = self._fitting(passages)
        reply = complete(
            self._generator,
            self._template,
            max_tokens=_MAX_TOKENS,
            cancelled=cancelled,
            question=question,
            queries=queries,
            passages=read,
            nonce=secrets.token_hex(8),
            max_queries=MAX_QUERIES,
            enough=ENOUGH,
        )
        return parse_queries(reply, said=[question, *read])

    def _fitting(self, passages: Sequence[str]) -> list[str]:
        left = self._generator.source_tokens // _PASSAGES_SHARE
        fitting = []
        for passage in passages:
            left -= self._generator.count_tokens(passage)
            if left < 0:
                break
            fitting.append(passage)
        return fitting


def parse_queries(reply: Reply, *, said: Iterable[str]) -> list[str] | None:
    """Return the lines of a reply that holds nothing but queries; [] of one that says that it is enough; else None.

    `said`: what the model read. A query in other words is none: the model answers, or makes something up.
    """
    lines = [line.strip() for line in reply.text.splitlines() if line.strip()]
    if reply.reason is not FinishReason.STOP or not 1 <= len(lines) <= MAX_QUERIES:
        return None
    if lines == [ENOUGH]:
        return []
    known = {term for text in said for term in terms(text)}
    return [visible(line) for line in lines] if all(_is_query(line, known) for line in lines) else None


def _is_query(line: str, known: set[str]) -> bool:
    if len(line) > _MAX_QUERY_CHARS or _OTHER.match(line):
        return False
    wanted = content_terms(line)
    return len(known.intersection(wanted)) >= _MIN_SAID * len(wanted)

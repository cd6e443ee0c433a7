"""Cutting a text that is longer than is embedded at once into windows."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

from retrieval.embedders.base import TokenSpan
from retrieval.sentences import split_sentences

# A window ends with the sentence that brings it this close to an equal share of the text.
_FULL_SHARE: Final = 0.9


def split_windows(text: str, tokens: Sequence[TokenSpan], *, max_tokens: int) -> list[TokenSpan]:
    """Return character ranges that together hold every token, in order, none of more than `max_tokens` tokens.

    `tokens`: where the tokens of `text` lie. Windows are about equally long and end with a sentence, unless a sentence
    alone is too long; they do not overlap.
    """
    if not tokens:
        return []
    share = len(tokens) / math.ceil(len(tokens) / max_tokens)
    windows: list[TokenSpan] = []
    first = previous = 0
    for last in _cuts(text, tokens, max_tokens):
        # `last` may end a window: it does when the next cut would be beyond the limit, or when its share is reached.
        if last - first > max_tokens:
            windows.append((first, previous))
            first = previous
        if last - first >= _FULL_SHARE * share:
            windows.append((first, last))
            first = last
        previous = last
    if first < len(tokens):
        windows.append((first, len(tokens)))
    return [(tokens[start][0], tokens[end - 1][1]) for start, end in windows]


def _cuts(text: str, tokens: Sequence[TokenSpan], max_tokens: int) -> Iterator[int]:
    """Yield token positions at which a window may end, ascending, never more than `max_tokens` apart."""
    starts = [start for start, _ in tokens]
    cut = 0
    for _, end in split_sentences(text):
        position = bisect_left(starts, end)
        while position - cut > max_tokens:
            cut += max_tokens
            yield cut
        if position > cut:
            cut = position
            yield cut
    while cut < len(tokens):
        cut = min(cut + max_tokens, len(tokens))
        yield cut

"""Cutting a text that is longer than the embedder reads into windows."""

from collections.abc import Sequence

from retrieval.embedders.base import TokenSpan


def split_windows(spans: Sequence[TokenSpan], *, max_tokens: int, overlap: int = 32) -> list[TokenSpan]:
    """Return character ranges that together hold every token, none of more than `max_tokens` tokens.

    Neighbours share `overlap` tokens, so that a sentence on a cut is whole in one of them.
    """
    if not spans:
        return []
    overlap = min(overlap, max_tokens - 1)
    ranges = []
    for first in range(0, max(1, len(spans) - overlap), max_tokens - overlap):
        last = min(first + max_tokens, len(spans)) - 1
        ranges.append((spans[first][0], spans[last][1]))
    return ranges

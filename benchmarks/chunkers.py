"""Other ways of chunking than ours, for comparison: each gives the spans of a document's chunks.

Sizes are in tokens of the embedder, as ours are.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.spans import Span
from ingest.chunking import Tokenize
from retrieval.embedders.base import Vectors
from retrieval.sentences import iterate_sentences, trim

# The order in which a recursive splitter tries to cut: paragraphs, lines, sentences, words, anywhere.
_SEPARATORS: Final = ("\n\n", "\n", ".", "?", "!", " ", "")
# Size of the pieces that cluster-semantic chunking joins.
_CLUSTER_PIECE_TOKENS: Final = 50


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A text with the positions of its tokens."""

    text: str
    starts: Sequence[int]

    def tokens(self, start: int, end: int) -> int:
        return bisect_left(self.starts, end) - bisect_left(self.starts, start)

    def trimmed(self, start: int, end: int) -> Iterator[Span]:
        span = trim(self.text, start, end)
        if span[0] < span[1]:
            yield span


def measured(text: str, tokenize: Tokenize) -> Measured:
    return Measured(text=text, starts=[start for start, _ in tokenize(text)])


def recursive(text: Measured, *, size: int, overlap: int = 0) -> Iterator[Span]:
    """Split at the coarsest separator that there is, what is still too long at the next; join neighbours that fit."""
    for start, end in _recursive(text, 0, len(text.text), _SEPARATORS, size, overlap):
        yield from text.trimmed(start, end)


def _recursive(
    text: Measured, start: int, end: int, separators: Sequence[str], size: int, overlap: int
) -> Iterator[Span]:
    separator, *finer = next(separators[i:] for i, s in enumerate(separators) if text.text.find(s, start, end) >= 0)
    fitting: list[Span] = []
    for piece in _split(text.text, start, end, separator):
        if text.tokens(*piece) <= size:
            fitting.append(piece)
            continue
        yield from _join(text, fitting, size, overlap)
        fitting = []
        yield from _recursive(text, *piece, finer, size, overlap) if finer else [piece]
    yield from _join(text, fitting, size, overlap)


def _split(text: str, start: int, end: int, separator: str) -> Iterator[Span]:
    """Yield the pieces of text[start:end], each but the first beginning with the separator."""
    if not separator:
        yield from ((position, position + 1) for position in range(start, end))
        return
    first = start
    while (found := text.find(separator, first + len(separator), end)) >= 0:
        yield first, found
        first = found
    yield first, end


def _join(text: Measured, pieces: Sequence[Span], size: int, overlap: int) -> Iterator[Span]:
    """Join neighbours up to `size`; a chunk begins with the last pieces of the one before that fit into `overlap`."""
    window: list[Span] = []
    for piece in pieces:
        if window and text.tokens(window[0][0], piece[1]) > size:
            yield window[0][0], window[-1][1]
            while window and (
                text.tokens(window[0][0], window[-1][1]) > overlap or text.tokens(window[0][0], piece[1]) > size
            ):
                window.pop(0)
        window.append(piece)
    if window:
        yield window[0][0], window[-1][1]


def sentences(text: Measured, *, size: int) -> Iterator[Span]:
    """Join whole sentences while they fit, across paragraphs; a sentence that is too long stands alone."""
    return _join(text, list(iterate_sentences(text.text, 0, len(text.text))), size, 0)


def cluster_semantic(text: Measured, *, size: int, embed: Callable[[Sequence[str]], Vectors]) -> Iterator[Span]:
    """Cut where it keeps pieces together that mean alike: the segmentation with the highest similarity within.

    A segment is worth the sum of its pieces' cosines, each less the mean cosine of all pairs.
    """
    pieces = list(recursive(text, size=_CLUSTER_PIECE_TOKENS))
    vectors = embed([text.text[start:end] for start, end in pieces])
    for first, last in best_segments(vectors, longest=max(1, size // _CLUSTER_PIECE_TOKENS)):
        yield pieces[first][0], pieces[last - 1][1]


def best_segments(vectors: Vectors, *, longest: int) -> list[tuple[int, int]]:
    """Return the best segmentation as ranges of rows; `vectors`: float32, shape (pieces, dimension), L2 norm 1."""
    count = len(vectors)
    total: NDArray[np.float64] = vectors.sum(axis=0, dtype=np.float64)
    mean = (float(total @ total) - count) / max(1, count * (count - 1))
    best = np.full(count + 1, -np.inf)
    best[0] = 0.0
    begins = np.zeros(count + 1, dtype=np.int64)
    for end in range(1, count + 1):
        first = max(0, end - longest)
        near = vectors[first:end].astype(np.float64) @ vectors[first:end].T - mean
        np.fill_diagonal(near, 0.0)
        # worth[i]: of the segment from first + i to end.
        worth = np.cumsum(np.cumsum(near[::-1, ::-1], axis=0), axis=1).diagonal()[::-1]
        value = best[first:end] + worth
        choice = int(np.argmax(value))
        best[end], begins[end] = value[choice], first + choice
    segments = []
    end = count
    while end:
        segments.append((int(begins[end]), end))
        end = int(begins[end])
    return segments[::-1]

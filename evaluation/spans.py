"""How well retrieved spans of a text cover the spans that answer: recall, precision, IoU, counted in characters.

The measures of Chroma's "Evaluating Chunking Strategies for Retrieval" (Smith and Troynikov, 2024).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Start and end, in characters of one document.
Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """Shares, 0 to 1."""

    # Of the gold characters, those retrieved.
    recall: float
    # Of the retrieved characters, those that are gold; what is retrieved twice counts twice as retrieved.
    precision: float
    # Gold and retrieved, of gold or retrieved.
    iou: float


def cover(gold: Sequence[Span], retrieved: Sequence[Span], *, elsewhere: int = 0) -> Coverage:
    """Return how `retrieved` covers `gold`, both of one document.

    `elsewhere`: characters that were retrieved from other documents. Gold holds at least one character.
    """
    wanted = length(gold)
    covered = length(intersect(gold, retrieved))
    read = sum(end - start for start, end in retrieved) + elsewhere
    return Coverage(
        recall=covered / wanted,
        precision=covered / read if read else 0.0,
        iou=covered / (read + wanted - covered),
    )


def precision_omega(gold: Sequence[Span], chunks: Iterable[Span]) -> float:
    """Return the precision if exactly the chunks that touch `gold` were retrieved: the chunking's own upper bound."""
    touching = [chunk for chunk in chunks if intersect(gold, [chunk])]
    return length(intersect(gold, touching)) / length([*touching, *gold])


def union(spans: Iterable[Span]) -> list[Span]:
    """Return the same characters as spans that ascend and do not touch."""
    joined: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def intersect(these: Iterable[Span], those: Iterable[Span]) -> list[Span]:
    """Return the characters that are in both, as spans that ascend and do not touch."""
    right = union(those)
    overlaps = ((max(a, c), min(b, d)) for a, b in union(these) for c, d in right)
    return union(overlap for overlap in overlaps)


def length(spans: Iterable[Span]) -> int:
    """Return the number of characters in the spans, each counted once."""
    return sum(end - start for start, end in union(spans))

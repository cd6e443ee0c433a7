"""Coverage of gold spans by retrieved ones, against counting characters one by one."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.spans import Coverage, Span, cover, intersect, length, precision_omega, union

SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda ends: (min(ends), max(ends))), max_size=6)
GOLD = SPANS.filter(lambda spans: any(start < end for start, end in spans))


def characters(spans: list[Span]) -> set[int]:
    return {position for start, end in spans for position in range(start, end)}


@given(SPANS, SPANS)
def test_union_and_intersection_are_those_of_the_characters(these: list[Span], those: list[Span]) -> None:
    """Spans ascend, do not touch, and hold the same characters as the sets do."""
    for found, expected in (
        (union([*these, *those]), characters(these) | characters(those)),
        (intersect(these, those), characters(these) & characters(those)),
    ):
        assert expected == characters(found)
        assert len(expected) == length(found)
        assert all(one[1] < other[0] for one, other in itertools.pairwise(found))


@given(GOLD, SPANS, st.integers(0, 10))
def test_coverage_counts_characters(gold: list[Span], retrieved: list[Span], elsewhere: int) -> None:
    """Recall and precision are shares of the gold and of all that was read."""
    covered = len(characters(gold) & characters(retrieved))
    read = sum(end - start for start, end in retrieved) + elsewhere
    found = cover(gold, retrieved, elsewhere=elsewhere)
    assert found.recall == covered / len(characters(gold))
    assert found.precision == (covered / read if read else 0)
    assert 0 <= found.iou <= min(found.recall, found.precision)


@pytest.mark.parametrize(
    ("gold", "retrieved", "elsewhere", "expected"),
    [
        ([(0, 10)], [(0, 10)], 0, Coverage(recall=1.0, precision=1.0, iou=1.0)),
        ([(0, 10)], [], 0, Coverage(recall=0.0, precision=0.0, iou=0.0)),
        ([(0, 10)], [(5, 15)], 0, Coverage(recall=0.5, precision=0.5, iou=5 / 15)),
        ([(0, 10)], [(5, 15)], 10, Coverage(recall=0.5, precision=0.25, iou=5 / 25)),
        # What is read twice is read twice.
        ([(0, 10)], [(0, 10), (0, 10)], 0, Coverage(recall=1.0, precision=0.5, iou=0.5)),
    ],
)
def test_coverage_of_single_cases(gold: list[Span], retrieved: list[Span], elsewhere: int, expected: Coverage) -> None:
    """Text of other documents lowers precision and IoU alone."""
    assert expected == cover(gold, retrieved, elsewhere=elsewhere)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([(0, 10), (10, 20), (20, 30)], 5 / 10),
        ([(0, 15), (15, 30)], 5 / 15),
        # Overlapping chunks are read once.
        ([(0, 15), (5, 20)], 5 / 20),
        # What no chunk holds cannot be found.
        ([(0, 13)], 3 / 15),
        ([(20, 30)], 0.0),
    ],
)
def test_precision_omega_is_that_of_the_touching_chunks(chunks: list[Span], expected: float) -> None:
    """Chunks that end where the gold does give the best precision that there can be."""
    assert expected == precision_omega([(10, 15)], chunks)

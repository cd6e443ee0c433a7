"""The ways of chunking that ours is compared with do what their names promise."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

chunkers = pytest.importorskip("benchmarks.chunkers", reason="The wheel has no benchmarks.")

PROSE = st.text(alphabet=st.sampled_from("ab .?!\n"), max_size=200)


def tokenize(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\w|[^\w\s]", text)]


@given(text=PROSE, size=st.integers(1, 20), overlap=st.integers(0, 10))
def test_recursive_chunks_hold_every_token_within_the_size(text: str, size: int, overlap: int) -> None:
    """Without overlap each token is in one chunk; with it neighbours share no more than it."""
    measured = chunkers.measured(text, tokenize)
    chunks = list(chunkers.recursive(measured, size=size, overlap=min(overlap, size // 2)))
    assert all(0 < measured.tokens(start, end) <= size for start, end in chunks)
    held = [sum(start <= token < end for start, end in chunks) for token in measured.starts]
    assert all(held)
    shared = [measured.tokens(other[0], one[1]) for one, other in itertools.pairwise(chunks) if other[0] < one[1]]
    assert all(count <= min(overlap, size // 2) for count in shared)


def test_recursive_chunks_end_at_the_coarsest_separator() -> None:
    """Paragraphs that fit stay whole; one that does not is cut at its sentences."""
    text = "ab ab\n\nab ab. ba ba.\n\nab"
    measured = chunkers.measured(text, tokenize)
    assert [text[s:e] for s, e in chunkers.recursive(measured, size=5)] == ["ab ab", "ab ab", ". ba ba", ".", "ab"]
    assert [text[s:e] for s, e in chunkers.recursive(measured, size=10)] == ["ab ab", "ab ab. ba ba.", "ab"]


@given(text=PROSE, size=st.integers(1, 20))
def test_sentence_chunks_hold_every_token_once(text: str, size: int) -> None:
    """Only a single sentence may be longer than the size."""
    measured = chunkers.measured(text, tokenize)
    chunks = list(chunkers.sentences(measured, size=size))
    assert all(sum(start <= token < end for start, end in chunks) == 1 for token in measured.starts)


@given(rows=st.lists(st.integers(0, 3), min_size=1, max_size=7), longest=st.integers(1, 4))
def test_the_best_segmentation_is_found(rows: list[int], longest: int) -> None:
    """No other segmentation has a higher sum of similarities, each less the mean."""
    vectors = np.eye(4, dtype=np.float32)[rows]
    near = vectors @ vectors.T
    pairs = max(1, len(rows) * (len(rows) - 1))
    near = near - (near.sum() - len(rows)) / pairs
    np.fill_diagonal(near, 0)

    def worth(segments: list[tuple[int, int]]) -> float:
        return sum(float(near[first:last, first:last].sum()) for first, last in segments)

    cuts = itertools.product([False, True], repeat=len(rows) - 1)
    all_segmentations = [
        list(itertools.pairwise([0, *(i for i, is_cut in enumerate(each, start=1) if is_cut), len(rows)]))
        for each in cuts
    ]
    allowed = [each for each in all_segmentations if all(last - first <= longest for first, last in each)]
    found = chunkers.best_segments(vectors, longest=longest)
    assert found in allowed
    assert worth(found) == pytest.approx(max(map(worth, allowed)), abs=1e-5)

"""Fusion joins two rankings: bounded, independent of list order, and one side alone where the other has no weight."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.fusion import FusedHit, fuse_normalized, fuse_reciprocal_ranks
from retrieval.indexes.base import Hit

Fuse = Callable[..., list[FusedHit]]
BOTH = pytest.mark.parametrize("fuse", [fuse_normalized, fuse_reciprocal_ranks])
# Six digits, as they differ in life: scores that only differ below rounding may change places.
SCORES = st.integers(-1_000_000, 60_000_000).map(lambda n: n / 1_000_000) | st.sampled_from([0.0, 0.5])
HITS = st.dictionaries(st.integers(1, 12), SCORES).map(
    lambda scores: [Hit(chunk_id=i, score=s) for i, s in scores.items()]
)
WEIGHTS = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0]))


def hits(**scores: float) -> list[Hit]:
    return [Hit(chunk_id=int(name[1:]), score=score) for name, score in scores.items()]


@BOTH
@given(dense=HITS, lexical=HITS, weight=WEIGHTS, data=st.data())
def test_fusion_does_not_depend_on_the_order_of_its_lists(
    fuse: Fuse, dense: list[Hit], lexical: list[Hit], weight: float, data: Any
) -> None:
    """Shuffled candidates give the same ranking."""
    expected = fuse(dense, lexical, dense_weight=weight)
    shuffled = data.draw(st.permutations(dense)), data.draw(st.permutations(lexical))
    assert expected == fuse(*shuffled, dense_weight=weight)


@BOTH
@given(dense=HITS, lexical=HITS, weight=WEIGHTS)
def test_every_candidate_is_ranked_once_between_0_and_1(
    fuse: Fuse, dense: list[Hit], lexical: list[Hit], weight: float
) -> None:
    """Best first, ties by chunk id, with the scores that it came with."""
    fused = fuse(dense, lexical, dense_weight=weight)
    cosines, bm25 = ({hit.chunk_id: hit.score for hit in side} for side in (dense, lexical))
    assert sorted(cosines | bm25) == sorted(hit.chunk_id for hit in fused)
    assert all(0 <= hit.score <= 1 for hit in fused)
    assert sorted(fused, key=lambda hit: (-hit.score, hit.chunk_id)) == fused
    assert all((cosines.get(h.chunk_id), bm25.get(h.chunk_id)) == (h.dense, h.lexical) for h in fused)


@BOTH
@given(one=HITS, other=HITS)
def test_a_side_without_weight_does_not_count(fuse: Fuse, one: list[Hit], other: list[Hit]) -> None:
    """With weight 1 the dense order rules, with weight 0 the lexical one, and the rest scores 0."""
    for fused in (fuse(one, other, dense_weight=1), fuse(other, one, dense_weight=0)):
        held = {hit.chunk_id: hit.score for hit in one}
        order = [hit.chunk_id for hit in fused if hit.chunk_id in held]
        assert sorted(held.values(), reverse=True) == [held[i] for i in order]
        assert all(hit.score == 0 for hit in fused if hit.chunk_id not in held)


@BOTH
def test_first_in_both_lists_scores_1(fuse: Fuse) -> None:
    """The best possible candidate has the best possible score, whatever the weight."""
    for weight in (0.0, 0.3, 0.5, 1.0):
        fused = fuse(hits(c1=0.9, c2=0.1), hits(c1=12.0, c3=1.0), dense_weight=weight)
        assert (1, pytest.approx(1.0)) == (fused[0].chunk_id, fused[0].score)


@BOTH
def test_nothing_fused_with_nothing_is_nothing(fuse: Fuse) -> None:
    """No candidates, no hits."""
    assert fuse([], [], dense_weight=0.5) == []


def test_normalised_fusion_is_the_weighted_sum_of_min_max_scores() -> None:
    """A table by hand: dense 1, 0.5, 0; lexical 1, 0."""
    fused = fuse_normalized(hits(c1=0.9, c2=0.6, c3=0.3), hits(c2=8.0, c4=2.0), dense_weight=0.6)
    scores = {hit.chunk_id: pytest.approx(hit.score) for hit in fused}
    assert scores == {1: 0.6, 2: 0.6 * 0.5 + 0.4, 3: 0.0, 4: 0.0}
    assert [hit.chunk_id for hit in fused] == [2, 1, 3, 4]


def test_equal_scores_of_one_list_are_all_the_best() -> None:
    """One candidate alone is not the worst of its list."""
    assert [hit.score for hit in fuse_normalized(hits(c1=0.2), [], dense_weight=1)] == [1.0]
    assert [hit.score for hit in fuse_normalized(hits(c1=0.2, c2=0.2), [], dense_weight=0.5)] == [0.5, 0.5]


def test_reciprocal_ranks_forget_how_far_scores_lie_apart() -> None:
    """Only the places count: 61/61, 61/62, 61/63."""
    near = fuse_reciprocal_ranks(hits(c1=0.3, c2=0.2, c3=0.1), [], dense_weight=1)
    far = fuse_reciprocal_ranks(hits(c1=0.9, c2=0.01, c3=0.0), [], dense_weight=1)
    assert [1.0, 61 / 62, 61 / 63] == [hit.score for hit in near] == [hit.score for hit in far]

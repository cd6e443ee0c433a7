"""Fusion joins two rankings: bounded, independent of list order, and one side alone where the other has no weight."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.fusion import (
    Candidates,
    DenseWeight,
    FusedHit,
    Fusion,
    WeightModel,
    choose_dense_weight,
    fuse,
    fuse_normalized,
    fuse_reciprocal_ranks,
    signals,
)
from retrieval.indexes.base import Hit

Fuse = Callable[..., list[FusedHit]]
BOTH = pytest.mark.parametrize("join", [fuse_normalized, fuse_reciprocal_ranks])
# Six digits, as they differ in life: scores that only differ below rounding may change places.
SCORES = st.integers(-1_000_000, 60_000_000).map(lambda n: n / 1_000_000) | st.sampled_from([0.0, 0.5])
HITS = st.dictionaries(st.integers(1, 12), SCORES).map(
    lambda scores: [Hit(chunk_id=i, score=s) for i, s in scores.items()]
)
WEIGHTS = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0]))

MODES = pytest.mark.parametrize("fusion", ["normalized", "rrf"])
TOKEN_CHARS = st.floats(0, 10)


def hits(**scores: float) -> list[Hit]:
    return [Hit(chunk_id=int(name[1:]), score=score) for name, score in scores.items()]


@BOTH
@given(dense=HITS, lexical=HITS, weight=WEIGHTS, data=st.data())
def test_fusion_does_not_depend_on_the_order_of_its_lists(
    join: Fuse, dense: list[Hit], lexical: list[Hit], weight: float, data: Any
) -> None:
    """Shuffled candidates give the same ranking."""
    expected = join(dense, lexical, dense_weight=weight)
    shuffled = data.draw(st.permutations(dense)), data.draw(st.permutations(lexical))
    assert expected == join(*shuffled, dense_weight=weight)


@BOTH
@given(dense=HITS, lexical=HITS, weight=WEIGHTS)
def test_every_candidate_is_ranked_once_between_0_and_1(
    join: Fuse, dense: list[Hit], lexical: list[Hit], weight: float
) -> None:
    """Best first, ties by chunk id, with the scores that it came with."""
    fused = join(dense, lexical, dense_weight=weight)
    cosines, bm25 = ({hit.chunk_id: hit.score for hit in side} for side in (dense, lexical))
    assert sorted(cosines | bm25) == sorted(hit.chunk_id for hit in fused)
    assert all(0 <= hit.score <= 1 for hit in fused)
    assert sorted(fused, key=lambda hit: (-hit.score, hit.chunk_id)) == fused
    assert all((cosines.get(h.chunk_id), bm25.get(h.chunk_id)) == (h.dense, h.lexical) for h in fused)


@BOTH
@given(one=HITS, other=HITS)
def test_a_side_without_weight_does_not_count(join: Fuse, one: list[Hit], other: list[Hit]) -> None:
    """With weight 1 the dense order rules, with weight 0 the lexical one, and the rest scores 0."""
    for fused in (join(one, other, dense_weight=1), join(other, one, dense_weight=0)):
        held = {hit.chunk_id: hit.score for hit in one}
        order = [hit.chunk_id for hit in fused if hit.chunk_id in held]
        assert sorted(held.values(), reverse=True) == [held[i] for i in order]
        assert all(hit.score == 0 for hit in fused if hit.chunk_id not in held)


@BOTH
def test_first_in_both_lists_scores_1(join: Fuse) -> None:
    """The best possible candidate has the best possible score, whatever the weight."""
    for weight in (0.0, 0.3, 0.5, 1.0):
        fused = join(hits(c1=0.9, c2=0.1), hits(c1=12.0, c3=1.0), dense_weight=weight)
        assert (1, pytest.approx(1.0)) == (fused[0].chunk_id, fused[0].score)


@BOTH
def test_nothing_fused_with_nothing_is_nothing(join: Fuse) -> None:
    """No candidates, no hits."""
    assert join([], [], dense_weight=0.5) == []


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


def both(dense: list[Hit], lexical: list[Hit], token_chars: float = 4.0) -> Candidates:
    return Candidates(dense=dense, lexical=lexical, token_chars=token_chars)


def falling(count: int, *, first: float) -> list[Hit]:
    """One candidate with `first`, the others evenly from 1 down to 0."""
    others = [Hit(chunk_id=i, score=1 - i / count) for i in range(1, count)]
    return [Hit(chunk_id=0, score=first), *others]


@MODES
@given(dense=HITS, lexical=HITS, chars=TOKEN_CHARS, data=st.data())
def test_a_chosen_weight_ranks_every_candidate_whatever_the_order_of_the_lists(
    fusion: Fusion, dense: list[Hit], lexical: list[Hit], chars: float, data: Any
) -> None:
    """Scores lie between 0 and 1, ties go by chunk id, and shuffled candidates give the same."""
    fused = fuse(both(dense, lexical, chars), dense_weight="auto", fusion=fusion)
    assert {hit.chunk_id for hit in fused} == {hit.chunk_id for hit in (*dense, *lexical)}
    assert all(0 <= hit.score <= 1 for hit in fused)
    assert sorted(fused, key=lambda hit: (-hit.score, hit.chunk_id)) == fused
    shuffled = both(data.draw(st.permutations(dense)), data.draw(st.permutations(lexical)), chars)
    assert fuse(shuffled, dense_weight="auto", fusion=fusion) == fused


@MODES
@given(dense=HITS, lexical=HITS, chars=TOKEN_CHARS)
def test_what_is_better_on_both_sides_is_not_ranked_lower(
    fusion: Fusion, dense: list[Hit], lexical: list[Hit], chars: float
) -> None:
    """Nor does it score lower, whatever weight is chosen."""
    scores = {hit.chunk_id: hit.score for hit in fuse(both(dense, lexical, chars), dense_weight="auto", fusion=fusion)}
    cosines, bm25 = ({hit.chunk_id: hit.score for hit in side} for side in (dense, lexical))
    for one in cosines.keys() & bm25.keys():
        for other in cosines.keys() & bm25.keys():
            if cosines[one] > cosines[other] and bm25[one] > bm25[other]:
                assert scores[one] >= scores[other]


@given(dense=HITS, lexical=HITS, chars=TOKEN_CHARS)
def test_the_first_of_both_sides_is_first(dense: list[Hit], lexical: list[Hit], chars: float) -> None:
    """With the best possible score, whatever weight is chosen."""
    found = both([*dense, Hit(chunk_id=0, score=99)], [*lexical, Hit(chunk_id=0, score=99)], chars)
    first = fuse(found, dense_weight="auto")[0]
    assert (first.chunk_id, first.score) == (0, pytest.approx(1.0))


@given(distances=HITS, lexical=HITS, chars=TOKEN_CHARS, exponent=st.integers(-3, 3))
def test_the_choice_does_not_depend_on_the_scale_of_the_scores(
    distances: list[Hit], lexical: list[Hit], chars: float, exponent: int
) -> None:
    """Another embedder's cosines may lie between .7 and .9, another index's BM25 may be twice as high."""

    def cosines(scale: float) -> list[Hit]:
        return [Hit(chunk_id=hit.chunk_id, score=1 - hit.score * scale) for hit in distances]

    scale = 2.0**exponent
    high = [Hit(chunk_id=hit.chunk_id, score=hit.score * scale) for hit in lexical]
    expected = choose_dense_weight(both(cosines(1), lexical, chars))
    assert choose_dense_weight(both(cosines(scale), high, chars)) == pytest.approx(expected, abs=1e-6)


def test_a_side_alone_has_all_the_weight() -> None:
    """Its first candidate scores 1, as when the client asks for that side."""
    assert choose_dense_weight(both(hits(c1=0.4), [])) == 1.0
    assert choose_dense_weight(both([], hits(c1=7.0))) == 0.0
    assert [hit.score for hit in fuse(both(hits(c1=0.4), []), dense_weight="auto")] == [1.0]
    assert fuse(both([], []), dense_weight="auto") == []


def test_words_that_single_out_a_passage_get_more_weight() -> None:
    """The further the first lexical candidate stands out, the less counts the embedding."""
    dense = falling(50, first=1.1)
    weights = [choose_dense_weight(both(dense, falling(50, first=first))) for first in (1.0, 2.0, 4.0)]
    assert weights == sorted(weights, reverse=True)
    assert len(set(weights)) == 3


def test_an_embedder_that_singles_out_a_passage_gets_more_weight() -> None:
    """The nearer the first dense candidate is beside the tenth, the more counts the embedding."""
    lexical = hits(c1=9.0, c2=3.0)
    others = [Hit(chunk_id=i, score=0.3) for i in range(2, 12)]
    weights = [choose_dense_weight(both([Hit(chunk_id=1, score=first), *others], lexical)) for first in (0.3, 0.6, 0.9)]
    assert weights == sorted(weights)
    assert len(set(weights)) == 3


def test_an_embedder_that_spells_the_query_gets_less_weight_where_the_sides_disagree() -> None:
    """Chinese characters are spelling to an English model and words to a Chinese one: what they find tells which."""
    lexical = hits(c1=9.0, c2=3.0, c3=1.0)
    like, unlike = hits(c1=0.9, c2=0.5, c3=0.1), hits(c4=0.9, c5=0.5, c6=0.1)
    assert choose_dense_weight(both(unlike, lexical, 1.0)) < choose_dense_weight(both(unlike, lexical, 2.0))
    assert choose_dense_weight(both(unlike, lexical, 2.0)) < choose_dense_weight(both(unlike, lexical, 4.0))
    assert choose_dense_weight(both(like, lexical, 1.0)) == choose_dense_weight(both(like, lexical, 4.0))


def test_the_signals_of_a_query_are_these() -> None:
    """By hand: mean 4, deviation 3.266; spelled by half, one first is the middle of the other list; .1 beside .9."""
    found = signals(both(hits(c1=0.9, c2=0.5, c3=0.1), hits(c2=8.0, c3=4.0, c1=0.0), token_chars=2.0))
    assert found.prominence == pytest.approx(4 / (32 / 3) ** 0.5)
    assert found.foreignness == pytest.approx(0.5 * (1 - (0.5 + 0.0) / 2))
    assert found.lead == pytest.approx(1 - 0.1 / 0.9)


def test_passages_at_the_query_itself_lead_by_nothing() -> None:
    """Where all candidates are the query's own text, none is nearer, also when rounding brings a cosine above 1."""
    assert signals(both(hits(c1=1.0, c2=1.0), hits(c1=2.0))).lead == 0.0
    assert signals(both(hits(c1=1.0000001, c2=0.5), hits(c1=2.0))).lead == 1.0


def test_equal_words_single_nothing_out() -> None:
    """A list without spread has no first that stands out."""
    assert signals(both(hits(c1=0.9), hits(c1=2.0, c2=2.0))).prominence == 0.0


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_a_given_weight_is_kept(weight: DenseWeight) -> None:
    """Whatever the lists look like; a side without weight brings no candidates."""
    found = both(hits(c1=0.9, c2=0.1), hits(c3=5.0, c4=1.0), token_chars=1.0)
    scores = {hit.chunk_id: hit.score for hit in fuse(found, dense_weight=weight)}
    expected = {0.0: {3: 1.0, 4: 0.0}, 0.3: {1: 0.3, 2: 0.0, 3: 0.7, 4: 0.0}, 1.0: {1: 1.0, 2: 0.0}}
    assert scores == pytest.approx(expected[float(weight)])


def test_ranks_alone_count_both_sides_alike() -> None:
    """Reciprocal rank fusion looks at no scores, so nothing is chosen."""
    found = both(hits(c1=0.9, c2=0.1), hits(c2=5.0, c1=1.0), token_chars=1.0)
    assert fuse(found, dense_weight="auto", fusion="rrf") == fuse(found, dense_weight=0.5, fusion="rrf")


def test_the_weight_is_logistic_in_the_signals() -> None:
    """At no evidence, one half."""
    found = signals(both(hits(c1=0.9, c2=0.1), hits(c1=5.0, c2=1.0)))
    assert WeightModel(bias=0, prominence=0, foreignness=0, lead=0).weight(found) == 0.5
    assert WeightModel(bias=-1, prominence=1, foreignness=0, lead=0).weight(found) == pytest.approx(0.5)

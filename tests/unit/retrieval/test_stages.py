"""Boosts, repetitions and diversity change a ranking as they say, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from retrieval.filters import parse_filter
from retrieval.passages import Passage
from retrieval.stages import Boost, Recency, boost, distinct, diversify, favour_recent
from tests.builders import a_passage

NOW = 1_700_000_000.0
DAY = 86_400
NEW = parse_filter({"type": "eq", "key": "state", "value": "new"})

SCORES = st.lists(st.floats(0, 1), max_size=8)


def texts(passages: list[Passage]) -> list[str]:
    return [passage.chunk.text for passage in passages]


def test_a_boost_lifts_the_documents_that_it_names() -> None:
    """Factors multiply and apply to what passes the filter alone; scores above 1 are scaled down, all of them."""
    passages = [a_passage("old", score=0.6), a_passage("new", score=0.4, attributes={"state": "new"})]
    boosted = boost(passages, [Boost(filter=NEW, factor=1.5), Boost(filter=NEW, factor=1.2)])
    assert [(p.chunk.text, pytest.approx(p.score)) for p in boosted] == [("new", 0.72), ("old", 0.6)]
    lifted = boost(passages, [Boost(filter=NEW, factor=99)])
    assert [p.score for p in lifted] == [1.0, pytest.approx(0.6 / (0.4 * 99))]
    assert boost(passages, [Boost(filter=NEW, factor=0.5)])[1].score == pytest.approx(0.2)


@given(scores=SCORES, factor=st.floats(0.01, 100))
def test_a_boost_keeps_every_passage_and_the_range_of_scores(scores: list[float], factor: float) -> None:
    """Nothing is lost, and the result is ordered."""
    passages = [a_passage(f"text {n}", score=s, attributes={"state": "new"}) for n, s in enumerate(scores)]
    boosted = boost(passages, [Boost(filter=NEW, factor=factor)])
    assert sorted(texts(boosted)) == sorted(texts(passages))
    assert [p.score for p in boosted] == sorted((p.score for p in boosted), reverse=True)
    assert all(0 <= p.score <= 1 for p in boosted)


@pytest.mark.parametrize(
    ("age_days", "expected"), [(0, 0.8), (-5, 0.8), (10, 0.8 * 0.75), (20, 0.8 * 0.625), (1e9, 0.4)]
)
def test_a_share_of_the_score_halves_with_age(age_days: float, expected: float) -> None:
    """Half of the score halves every ten days; the future is as good as the present."""
    passage = a_passage(score=0.8, created_at=NOW - age_days * DAY)
    (recent,) = favour_recent([passage], Recency(half_life_days=10), now=NOW)
    assert recent.score == pytest.approx(expected)


@pytest.mark.parametrize("attributes", [{}, {"date": "yesterday"}, {"date": True}])
def test_a_document_without_a_date_is_old(attributes: dict[str, object]) -> None:
    """The date may be an attribute; where it is missing or no number, the document counts as infinitely old."""
    recency = Recency(half_life_days=10, weight=1.0, key="date")
    dated, undated = a_passage("dated", score=0.1, attributes={"date": NOW}), a_passage(score=1, attributes=attributes)
    assert texts(favour_recent([undated, dated], recency, now=NOW))[0] == "dated"
    assert favour_recent([undated], recency, now=NOW)[0].score == 0


ALARM = "The alarm may be switched off by the shift leader alone, who notes the time and the reason in the book."


@pytest.mark.parametrize(
    ("text", "is_left_out"),
    [
        (ALARM, True),
        (ALARM.upper().replace(" ", "\n"), True),
        (ALARM.replace(",", " –"), True),
        (ALARM.replace("leader", "leaders"), False),
        (ALARM + " Within 5 minutes.", False),
        ("Quite another text about a pump.", False),
    ],
)
def test_a_passage_that_says_the_same_is_left_out(text: str, is_left_out: bool) -> None:
    """Layout does not count; words do."""
    left = distinct([a_passage(ALARM), a_passage(text)])
    assert (len(left) == 1) == is_left_out
    assert (distinct([a_passage(text)], against=[a_passage(ALARM)]) == []) == is_left_out


def test_long_texts_with_few_differences_say_the_same_unless_a_number_differs() -> None:
    """A word of two hundred does not count, and a price does."""
    words = [f"word{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(200)]
    price = ["the", "price", "is", "10", "EUR"]
    one = " ".join([*words, *price])
    assert len(distinct([a_passage(one), a_passage(one.replace("wordbb", "other"))])) == 1
    assert len(distinct([a_passage(one), a_passage(one.replace("10", "12"))])) == 2


def vectors_for(passages: list[Passage], rows: list[list[float]]) -> dict[int, NDArray[np.float32]]:
    return {
        passage.chunk.chunk_id: np.array(row, dtype=np.float32) / np.float32(np.linalg.norm(row))
        for passage, row in zip(passages, rows, strict=True)
    }


def test_diversity_prefers_what_adds_something() -> None:
    """Of two alike the better one comes first, and the other one after a worse but different one."""
    passages = [a_passage("one", score=0.9), a_passage("the same", score=0.88), a_passage("different", score=0.5)]
    vectors = vectors_for(passages, [[1, 0], [1, 0.01], [0, 1]])
    assert texts(diversify(passages, vectors, diversity=0, limit=3)) == ["one", "the same", "different"]
    assert texts(diversify(passages, vectors, diversity=0.5, limit=3)) == ["one", "different", "the same"]
    assert texts(diversify(passages, vectors, diversity=0.5, limit=2)) == ["one", "different"]


@given(scores=SCORES, diversity=st.floats(0, 1), limit=st.integers(0, 10))
def test_diversity_chooses_each_passage_once(scores: list[float], diversity: float, limit: int) -> None:
    """As many as were asked for, if there are so many, with their scores; the best one first."""
    ranked = sorted(scores, reverse=True)
    passages = [a_passage(f"text {n}", score=s) for n, s in enumerate(ranked)]
    generator = np.random.default_rng(len(scores))
    vectors = vectors_for(passages, generator.standard_normal((len(passages), 4)).tolist())
    chosen = diversify(passages, vectors, diversity=diversity, limit=limit)
    assert len(chosen) == min(limit, len(passages))
    assert len(set(texts(chosen))) == len(chosen)
    assert all(passage in passages for passage in chosen)
    if chosen and diversity < 1:
        assert chosen[0].score == ranked[0]

"""A lost passage is followed to the stage that lost it."""

import pytest

from retrieval.explain import follow, verdict
from retrieval.indexes.base import Hit
from retrieval.searcher import Stage


def stages(**left: list[int]) -> list[Stage]:
    return [
        Stage(name=name.replace("_", " "), hits=[Hit(chunk_id=i, score=1 / rank) for rank, i in enumerate(ids, 1)])
        for name, ids in left.items()
    ]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (stages(dense=[1, 7], lexical=[], fused=[1, 7], loaded=[1, 7], returned=[1, 7]), "Found, at rank 2 of 2."),
        (stages(dense=[1], lexical=[2], fused=[1, 2], loaded=[1], returned=[1]), "Lost before the ranking"),
        (stages(dense=[1], lexical=[7], fused=[1, 7], loaded=[1], returned=[1]), "Lost at 'loaded'"),
        (stages(lexical=[7], fused=[7], loaded=[7], above_the_threshold=[], returned=[]), "below score_threshold"),
        (
            stages(dense=[1, 7], fused=[1, 7], loaded=[1, 7], reranked=[1, 7], returned=[1]),
            "(rank 2 of 2 at 'reranked')",
        ),
        ([], "Nothing was searched."),
    ],
)
def test_the_verdict_names_the_stage(found: list[Stage], expected: str) -> None:
    """Found with its rank, no candidate at all, or lost at a stage with the rank before it."""
    assert expected in verdict(follow(found, {7, 8}))


def test_the_best_of_several_right_passages_counts() -> None:
    """Each step has the rank and the score of the first one of them."""
    (step,) = follow(stages(fused=[1, 8, 7]), {7, 8})
    assert (step.rank, step.score, step.candidates) == (2, 0.5, 3)

"""The figures of searches in steps are those of every question, and are compared question by question."""

import pytest

from evaluation.collections import Collection
from retrieval.embedders.hashing import HashingEmbedder

steps = pytest.importorskip("benchmarks.steps", reason="the checkout has the benchmarks, a wheel has not")

CORPUS = {
    "album": "Counterparts\nThe album Counterparts was made by the band Rush.",
    "band": "Rush\nThe drummer of Rush is Neil Peart, who was born in Hamilton.",
    "town": "Oslo\nThe harbour of Oslo is old.",
}


def test_steps_find_what_one_search_leads_to(embedder: HashingEmbedder) -> None:
    """Each question has its value, one without a find too; the second query is what the first passage leads to."""
    collection = Collection(
        name="few",
        corpus=CORPUS,
        queries={
            "q1": "Where was the drummer of the band that made Counterparts born?",
            "q2": "How old is the harbour?",
        },
        qrels={"q1": {"band": 1}, "q2": {"gone": 1}},
    )
    searched = steps.Searched(collection, embedder)
    once, twice = searched.measure(1), searched.measure(2)
    searched.close()
    assert (once.queries, twice.queries > 1) == (1.0, True)
    assert [values[1] for values in twice.values.values()] == [0.0, 0.0, 0.0]
    assert twice.values["R@10"][0] == 1.0
    change = steps.compare(once, twice, "nDCG@10")
    assert change.value == pytest.approx(twice.mean("nDCG@10") - once.mean("nDCG@10"))
    assert steps.shown(change).startswith(f"{change.value:+.3f} (")

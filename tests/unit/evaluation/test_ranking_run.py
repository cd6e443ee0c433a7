"""Every query is measured by itself, with what was found for it."""

from dataclasses import replace

import pytest

from evaluation.collections import Collection
from evaluation.ranking_run import measure_rankings, rank_collection
from retrieval.embedders.hashing import HashingEmbedder
from retrieval.fusion import DenseWeight
from retrieval.indexes.memory import MemoryIndex

COLLECTION = Collection(
    name="fruit",
    corpus={"d1": "red apples", "d2": "green pears", "d3": "blue plums"},
    queries={"q1": "red apples", "q2": "blue plums"},
    qrels={"q1": {"d1": 1}, "q2": {"d3": 2, "gone": 1}},
)


@pytest.mark.parametrize("dense_weight", ["auto", 0.0, 0.5, 1.0])
def test_a_perfect_ranking_has_perfect_measures(dense_weight: DenseWeight) -> None:
    """Through index, candidates and fusion, for each weight; every passage is reported as indexed."""
    embedder, indexed = HashingEmbedder(), []
    index = MemoryIndex(dimension=embedder.identity.dimension)
    first, second = rank_collection(COLLECTION, embedder, index, dense_weight=dense_weight, indexed=indexed.append)
    assert set(first.measures.values()) == {1.0}
    assert second.measures["RR@10"] == 1.0
    assert (first.part, sum(indexed)) == ("fruit", 3)


def test_a_query_is_measured_by_its_own_ranking() -> None:
    """The right passage in second place halves the reciprocal rank; one that was never found counts as lost."""
    first, second = measure_rankings(COLLECTION, {"q1": [("d2", 0.9), ("d1", 0.5)], "q2": []})
    assert first.measures["RR@10"] == pytest.approx(0.5)
    assert first.measures["nDCG@10"] == pytest.approx(0.6309, abs=1e-4)
    assert first.measures["AP@100"] == pytest.approx(0.5)
    assert (first.problem, first.details["first_relevant"]) == (None, 2)
    assert set(second.measures.values()) == {0.0}
    assert (second.problem, second.details["first_relevant"]) == ("No relevant passage was found.", None)


def test_half_of_the_relevant_passages_is_half_of_the_recall() -> None:
    """A judged passage that the corpus lacks is relevant all the same."""
    _, second = measure_rankings(COLLECTION, {"q1": [], "q2": [("d3", 0.9)]})
    assert (second.measures["R@5"], second.measures["AP@100"]) == (0.5, 0.5)
    assert second.details["relevant"][1] == {"id": "gone", "text": ""}


def test_a_relevant_passage_beyond_the_first_ten_is_a_problem() -> None:
    """The report tells its rank; the text of passages is cut."""
    ranking = [*((f"x{n}", 1.0 - n / 100) for n in range(10)), ("d3", 0.1)]
    long = replace(COLLECTION, corpus={**COLLECTION.corpus, "d3": "blue plums " * 40})
    first, second = measure_rankings(long, {"q1": ranking[-1:], "q2": ranking})
    assert second.problem == "No relevant passage is among the first 10."
    assert (second.details["first_relevant"], len(second.details["found"])) == (11, 5)
    assert first.details["found"][0]["text"].endswith("…")
    assert first.details["found"][0]["is_relevant"] is False

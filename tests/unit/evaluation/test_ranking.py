"""Judged collections are indexed, searched and measured as their figures are published."""

import pytest

from evaluation.collections import Collection
from evaluation.ranking import candidates, index_collection, measure
from retrieval.embedders.hashing import HashingEmbedder
from retrieval.fusion import Candidates, DenseWeight
from retrieval.indexes.base import Hit
from retrieval.indexes.memory import MemoryIndex

CORPUS = {"d1": "red apples", "d2": "green pears", "d3": "blue plums"}
COLLECTION = Collection(
    name="tiny",
    corpus=CORPUS,
    queries={"q1": "red apples", "q2": "blue plums"},
    qrels={"q1": {"d1": 1}, "q2": {"d3": 2}},
)


def test_a_perfect_ranking_has_perfect_measures() -> None:
    """Through index, candidates and fusion, for each weight."""
    embedder = HashingEmbedder()
    index = MemoryIndex(dimension=embedder.identity.dimension)
    ids = index_collection(COLLECTION, embedder, index)
    found = candidates(COLLECTION, embedder, index)
    weights: tuple[DenseWeight, ...] = ("auto", 0.0, 0.5, 1.0)
    for weight in weights:
        assert measure(COLLECTION, ids, found, dense_weight=weight)["nDCG@10"] == pytest.approx(1.0)


def test_a_wrong_ranking_is_measured_as_such() -> None:
    """The right passage in second place halves the reciprocal rank."""
    collection = Collection(name="c", corpus=CORPUS, queries={"q1": "x"}, qrels={"q1": {"d1": 1}})
    dense = [Hit(chunk_id=2, score=0.9), Hit(chunk_id=1, score=0.5)]
    found = {"q1": Candidates(dense=dense, lexical=[], token_chars=4.0)}
    scores = measure(collection, list(CORPUS), found, dense_weight=1.0)
    assert scores["RR@10"] == pytest.approx(0.5)
    assert scores["nDCG@10"] == pytest.approx(0.6309, abs=1e-4)

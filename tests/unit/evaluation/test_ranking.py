"""Judged collections are read and measured as their figures are published."""

import gzip
import json
from pathlib import Path

import pytest

from catalog.errors import InvalidRequest
from evaluation.collections import Collection, load_collection, load_parts
from evaluation.ranking import candidates, index_collection, measure
from retrieval.embedders.hashing import HashingEmbedder
from retrieval.fusion import Candidates, DenseWeight
from retrieval.indexes.base import Hit
from retrieval.indexes.memory import MemoryIndex

CORPUS = {"d1": "red apples", "d2": "green pears", "d3": "blue plums"}
QUERIES = {"q1": "red apples", "q2": "blue plums"}


def a_folder(folder: Path, *, zipped: bool = False) -> Path:
    (folder / "qrels").mkdir(parents=True)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td3\t2\nq2\td1\t0\n")
    for name, rows in (("corpus", CORPUS), ("queries", {**QUERIES, "q3": "unjudged"})):
        text = "\n".join(json.dumps({"_id": i, "title": "", "text": t}) for i, t in rows.items())
        if zipped:
            (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / f"{name}.jsonl").write_text(text)
    return folder


@pytest.mark.parametrize("zipped", [False, True])
def test_a_collection_is_read_plain_or_zipped(tmp_path: Path, zipped: bool) -> None:
    """Judgements of 0 and queries without a judgement are left out."""
    collection = load_collection(a_folder(tmp_path / "tiny", zipped=zipped))
    assert collection == Collection(
        name="tiny", corpus=CORPUS, queries=QUERIES, qrels={"q1": {"d1": 1}, "q2": {"d3": 2}}
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A folder that is no collection says what it lacks."""
    with pytest.raises(InvalidRequest, match=r"test\.tsv"):
        load_collection(tmp_path)


def test_a_perfect_ranking_has_perfect_measures(tmp_path: Path) -> None:
    """Through index, candidates and fusion, for each weight."""
    collection = load_collection(a_folder(tmp_path / "tiny"))
    embedder = HashingEmbedder()
    index = MemoryIndex(dimension=embedder.identity.dimension)
    ids = index_collection(collection, embedder, index)
    found = candidates(collection, embedder, index)
    weights: tuple[DenseWeight, ...] = ("auto", 0.0, 0.5, 1.0)
    for weight in weights:
        assert measure(collection, ids, found, dense_weight=weight)["nDCG@10"] == pytest.approx(1.0)


def test_a_wrong_ranking_is_measured_as_such() -> None:
    """The right passage in second place halves the reciprocal rank."""
    collection = Collection(name="c", corpus=CORPUS, queries={"q1": "x"}, qrels={"q1": {"d1": 1}})
    dense = [Hit(chunk_id=2, score=0.9), Hit(chunk_id=1, score=0.5)]
    found = {"q1": Candidates(dense=dense, lexical=[], token_chars=4.0)}
    scores = measure(collection, list(CORPUS), found, dense_weight=1.0)
    assert scores["RR@10"] == pytest.approx(0.5)
    assert scores["nDCG@10"] == pytest.approx(0.6309, abs=1e-4)


def a_multilingual_folder(folder: Path) -> Path:
    (folder / "qrels").mkdir(parents=True)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n")
    corpus = [("d1", "en"), ("d2", "de"), ("d3", None)]
    (folder / "corpus.jsonl").write_text("\n".join(json.dumps({"_id": i, "text": i, "lang": k}) for i, k in corpus))
    queries = [("q1", "en"), ("q2", "de")]
    (folder / "queries.jsonl").write_text("\n".join(json.dumps({"_id": i, "text": i, "lang": k}) for i, k in queries))
    return folder


def test_a_multilingual_collection_has_a_part_for_each_language(tmp_path: Path) -> None:
    """Each is searched over passages of its language, and over those that state none."""
    english, german = load_parts(a_multilingual_folder(tmp_path / "many"))
    assert (english.name, list(english.queries), list(english.corpus)) == ("many:en", ["q1"], ["d1", "d3"])
    assert (german.name, german.qrels, list(german.corpus)) == ("many:de", {"q2": {"d2": 1}}, ["d2", "d3"])


def test_a_pool_adds_passages_that_answer_nothing(tmp_path: Path) -> None:
    """The name says that they are there."""
    pool = tmp_path / "pool"
    pool.mkdir()
    (pool / "corpus.jsonl").write_text(json.dumps({"_id": "p1", "title": "T", "text": "more"}))
    (part,) = load_parts(a_folder(tmp_path / "tiny"), pool=pool)
    assert (part.name, part.corpus) == ("tiny+pool", {**CORPUS, "p1": "T\nmore"})
    assert part.qrels == load_collection(tmp_path / "tiny").qrels

"""A search sees what was committed before it, in its scope, and gives the best passages of both sides."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from catalog import documents, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import IndexIncompatible, InvalidRequest
from catalog.models import Document, VectorStore, VectorStoreFile
from retrieval.embedders.base import Vectors
from retrieval.embedders.hashing import HashingEmbedder
from retrieval.explain import MEANINGS
from retrieval.filters import parse_filter
from retrieval.indexes.base import PassageIndex
from retrieval.indexes.faiss import FaissIndex
from retrieval.indexes.memory import MemoryIndex
from retrieval.passages import Passage
from retrieval.replica import Replica
from retrieval.searcher import Ranking, Searcher, SearchRequest
from retrieval.stages import SECONDS_PER_DAY, Boost, Recency
from tests.builders import IDENTITY, a_scope, a_store, publish_text

DIMENSION = 64


class Library:
    """A catalog with a searcher, and one store."""

    def __init__(self, database: Database, blobs: BlobStore, index: PassageIndex) -> None:
        self.database, self.blobs = database, blobs
        self.replica = Replica(database, index, identity=IDENTITY)
        self.searcher = Searcher(database, self.replica, HashingEmbedder())
        self.store = a_store(database)

    def publish(self, *texts: str, store: VectorStore | None = None, **attributes: Any) -> int:
        return publish_text(self.database, self.blobs, store or self.store, *texts, entry={"attributes": attributes})

    def remove(self, document_id: int) -> None:
        with self.database.write() as session:
            documents.remove(self.database, session, Document.id == document_id)

    def passages(self, *queries: str, **options: Any) -> Sequence[Passage]:
        options.setdefault("scope", a_scope(self.store.id))
        return self.searcher.search(SearchRequest(queries=queries, **options)).passages

    def find(self, *queries: str, **options: Any) -> list[str]:
        return [passage.chunk.text for passage in self.passages(*queries, **options)]


@pytest.fixture(params=["memory", "faiss"])
def library(request: pytest.FixtureRequest, database: Database, blobs: BlobStore) -> Iterator[Library]:
    is_faiss = request.param == "faiss"
    index: PassageIndex = (
        FaissIndex(dimension=DIMENSION, lexical=None) if is_faiss else MemoryIndex(dimension=DIMENSION)
    )
    yield Library(database, blobs, index)
    index.close()


def test_a_store_ends_in_time_without_a_commit(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found usable is not taken for usable for ever."""
    ending = a_store(library.database, expires_after_days=1)
    library.publish("red apple", store=ending)
    assert library.find("red apple", scope=a_scope(ending.id)) == ["red apple"]
    later = time.time() + 2 * SECONDS_PER_DAY
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(InvalidRequest, match="has expired"):
        library.find("red apple", scope=a_scope(ending.id))


def test_a_publication_is_found_by_the_next_search(library: Library) -> None:
    """And so are a change of attributes and a deletion."""
    scope = a_scope(library.store.id, filter=parse_filter({"type": "eq", "key": "year", "value": 2020}))
    assert library.find("red apple") == []
    document_id = library.publish("red apple", year=2019)
    assert (library.find("red apple"), library.find("red apple", scope=scope)) == (["red apple"], [])
    with library.database.write() as session:
        entry = session.scalars(select(VectorStoreFile)).one()
        stores.set_attributes(library.database, session, entry, {"year": 2020})
    assert library.find("red apple", scope=scope) == ["red apple"]
    library.remove(document_id)
    assert [] == library.find("red apple") == library.find("red apple", scope=scope)


def test_the_best_passages_come_first_with_their_scores(library: Library) -> None:
    """What both sides rank first scores 1; dense and lexical scores are there where a side has the passage."""
    for text in ("the red apple", "a red car", "quite different"):
        library.publish(text)
    first, *others = library.passages("the red apple")
    assert ("the red apple", pytest.approx(1.0), pytest.approx(1.0, abs=2e-3)) == (
        first.chunk.text,
        first.score,
        first.dense,
    )
    assert first.lexical is not None
    assert first.lexical > 0
    assert None is next(p for p in others if p.chunk.text == "quite different").lexical
    assert sorted((p.score for p in others), reverse=True) == [p.score for p in others]


@pytest.mark.parametrize(
    ("ranking", "has_dense", "has_lexical"),
    [
        (Ranking(dense_weight=1), True, False),
        (Ranking(dense_weight=0), False, True),
        (Ranking(fusion="rrf"), True, True),
    ],
)
def test_a_side_without_weight_is_not_asked(
    library: Library, ranking: Ranking, has_dense: bool, has_lexical: bool
) -> None:
    """Dense alone, lexical alone, or both by rank."""
    library.publish("red apple")
    (passage,) = library.passages("red apple", ranking=ranking)
    assert (has_dense, has_lexical) == (passage.dense is not None, passage.lexical is not None)


def test_passages_below_the_threshold_are_left_out(library: Library) -> None:
    """The threshold is on the fused score."""
    for text in ("red apple", "red car", "quite different"):
        library.publish(text)
    assert library.find("red apple", ranking=Ranking(score_threshold=0.9)) == ["red apple"]
    assert len(library.find("red apple", ranking=Ranking(score_threshold=0.0))) == 3


def test_several_queries_find_what_fits_any_of_them(library: Library) -> None:
    """A passage counts once, by the query that it fits best."""
    for text in ("red apple", "green pear", "blue sky"):
        library.publish(text)
    assert {"red apple", "green pear"} == set(library.find("red apple", "green pear")[:2])
    assert len(library.find("red apple", "green pear")) == 3


def test_other_stores_are_out_of_sight(library: Library) -> None:
    """Also when they hold the better passage."""
    other = a_store(library.database)
    library.publish("red apple", store=other)
    library.publish("red car")
    assert library.find("red apple") == ["red car"]


class DeletingEmbedder(HashingEmbedder):
    """Removes documents while a search is under way: after it caught up, before it loads what it found."""

    def __init__(self, library: Library, document_ids: list[int]) -> None:
        super().__init__()
        self.library, self.document_ids = library, document_ids

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        for document_id in self.document_ids:
            self.library.remove(document_id)
        return super().embed_queries(texts)


def test_the_limit_is_filled_although_found_passages_went_meanwhile(library: Library) -> None:
    """A passage that was deleted between finding and loading makes room for the next one."""
    ids = [library.publish(f"red apple {n}") for n in range(6)]
    searcher = Searcher(library.database, library.replica, DeletingEmbedder(library, ids[:3]))
    request = SearchRequest(queries=["red apple"], scope=a_scope(library.store.id), limit=3)
    found = {passage.chunk.text for passage in searcher.search(request).passages}
    assert {"red apple 3", "red apple 4", "red apple 5"} == found


class ReplacingEmbedder(HashingEmbedder):
    """Replaces a document by a new one while the first search is under way."""

    def __init__(self, library: Library, document_id: int) -> None:
        super().__init__()
        self.library, self.document_ids = library, [document_id]

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        while self.document_ids:
            self.library.remove(self.document_ids.pop())
            self.library.publish("red apple, new")
        return super().embed_queries(texts)


def test_a_document_that_is_replaced_meanwhile_is_found_in_one_generation(library: Library) -> None:
    """A search that the replacement outran sees the new document, and not neither."""
    replaced = library.publish("red apple, old")
    searcher = Searcher(library.database, library.replica, ReplacingEmbedder(library, replaced))
    result = searcher.search(SearchRequest(queries=["red apple"], scope=a_scope(library.store.id)))
    assert [passage.chunk.text for passage in result.passages] == ["red apple, new"]


def test_a_search_says_what_it_saw(library: Library) -> None:
    """The version is the feed's last number, and every stage has its seconds."""
    request = SearchRequest(queries=["x"], scope=a_scope(library.store.id))
    assert library.searcher.search(request).index_version == 0
    library.publish("words")
    result = library.searcher.search(request)
    assert result.index_version == 1
    assert {"catch_up", "embed", "candidates", "rank"} == result.seconds.keys()
    assert all(seconds >= 0 for seconds in result.seconds.values())


def test_a_store_of_another_model_is_an_error(library: Library) -> None:
    """Its vectors are not compared with this model's; the message names both."""
    foreign = a_store(library.database, embedding_identity="another@model/3")
    with pytest.raises(IndexIncompatible, match=f"another@model/3.*{IDENTITY}"):
        library.find("words", scope=a_scope(library.store.id, foreign.id))


def test_an_expired_store_is_an_error(library: Library) -> None:
    """Searching puts off the end of a store, but does not bring it back."""
    with library.database.write() as session:
        session.execute(update(VectorStore).values(expires_after_days=1))
    assert library.find("words") == []
    with library.database.write() as session:
        session.execute(update(VectorStore).values(last_active_at=1.0))
    with pytest.raises(InvalidRequest, match="has expired"):
        library.find("words")


def test_a_replica_catches_up_in_steps(library: Library) -> None:
    """More documents than one step takes, published and removed, are all followed."""
    ids = [library.publish(f"text {n}") for n in range(70)]
    for document_id in ids[:10]:
        library.remove(document_id)
    assert library.replica.catch_up() == library.replica.catch_up()
    assert library.replica.index.count() == 60


def test_documents_of_another_model_are_not_indexed(library: Library) -> None:
    """Their vectors have another dimension: following the feed passes them by."""
    foreign = a_store(library.database, embedding_identity="another@model/3")
    library.publish("red apple", store=foreign)
    library.publish("red car")
    assert library.find("red apple") == ["red car"]
    assert library.replica.index.count() == 1


# --- after the fusion -------------------------------------------------------------------------------------------------


class LastFirst:
    """A reranker that likes what others like least: texts that end with a high number."""

    name = "last first"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [int(text.split()[-1]) / 100 for text in texts]

    def close(self) -> None:
        """Nothing is held."""


def test_a_reranker_decides_the_order(library: Library) -> None:
    """Of the pool, which is more than was asked for; without it, or unasked, the fused order stays."""
    for n in range(20):
        library.publish(f"red apple {n}")
    plain = library.find("red apple 0", limit=3)
    library.searcher = Searcher(library.database, library.replica, HashingEmbedder(), LastFirst())
    assert library.find("red apple 0", limit=3) == ["red apple 19", "red apple 18", "red apple 17"]
    (first,) = library.passages("red apple 0", limit=1)
    assert (first.rerank, first.score) == (0.19, 0.19)
    assert library.find("red apple 0", limit=3, ranking=Ranking(rerank=False)) == plain


def test_boosts_and_age_reorder(library: Library) -> None:
    """A boosted document comes first, and among equals the younger one."""
    library.publish("red apple one", state="old")
    library.publish("red apple two", state="new")
    library.publish("quite different")
    for state in ("old", "new"):
        boost = Boost(filter=parse_filter({"type": "eq", "key": "state", "value": state}), factor=5)
        first, *_ = library.passages("red apple", ranking=Ranking(boosts=[boost]))
        assert first.chunk.attributes == {"state": state}
    with library.database.write() as session:
        session.execute(update(Document).where(Document.text == "red apple two").values(created_at=0.0))
    recency = Recency(half_life_days=1, weight=1)
    assert library.find("red apple", ranking=Ranking(recency=recency))[0] == "red apple one"


def test_repetitions_make_room_for_others(library: Library) -> None:
    """However many copies there are, the limit is filled with different passages."""
    for _ in range(12):
        library.publish("the same red apple")
    library.publish("a red apple and another thing")
    assert library.find("the same red apple", limit=2) == ["the same red apple"] * 2
    found = library.find("the same red apple", limit=2, ranking=Ranking(deduplicate=True))
    assert found == ["the same red apple", "a red apple and another thing"]


def test_diversity_brings_different_passages(library: Library) -> None:
    """A passage that is unlike the first one comes before one that is like it."""
    for text in ("red apple tree", "red apple tree house", "red car"):
        library.publish(text)
    assert library.find("red apple tree", limit=2) == ["red apple tree", "red apple tree house"]
    assert library.find("red apple tree", limit=2, ranking=Ranking(diversity=0.9)) == ["red apple tree", "red car"]


def test_a_search_explains_itself(library: Library) -> None:
    """Every stage names what it left; nobody pays for it who has not asked."""
    for text in ("red apple", "red car", "quite different"):
        library.publish(text)
    request = SearchRequest(queries=["red apple"], scope=a_scope(library.store.id), limit=1, explain=True)
    result = library.searcher.search(request)
    left = {stage.name: len(stage.hits) for stage in result.stages}
    assert left == {"dense": 3, "lexical": 2, "fused": 3, "loaded": 1, "above the threshold": 1, "returned": 1}
    assert MEANINGS.keys() >= left.keys()
    assert result.stages[-1].hits[0].chunk_id == result.passages[0].chunk.chunk_id
    assert library.searcher.search(replace(request, explain=False)).stages == ()

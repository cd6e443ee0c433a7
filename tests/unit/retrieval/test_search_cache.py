"""A cached search is answered, and refused, as one that is made anew."""

from collections.abc import Mapping
from typing import Any

import pytest

from catalog import documents, feed, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import IndexIncompatible, InvalidRequest
from catalog.models import SECONDS_PER_DAY, Document, VectorStore
from retrieval.embedders.hashing import HashingEmbedder
from retrieval.filters import Comparison
from retrieval.indexes.memory import MemoryIndex
from retrieval.replica import Replica
from retrieval.search_cache import CachedSearch
from retrieval.searcher import Ranking, Searcher, SearchRequest, SearchResult
from retrieval.stages import Recency
from tests.builders import IDENTITY, a_file, a_scope, a_store, publish_text


class Shelf:
    """A store with one document behind a cached searcher; notes hits, and the seconds that are told."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self.database = database
        self.store = a_store(database)
        self.document = publish_text(database, blobs, self.store, "The pump is red.", entry={"attributes": {"n": 1}})
        self.hits: list[bool] = []
        self.seconds: list[Mapping[str, float]] = []
        replica = Replica(database, MemoryIndex(dimension=64), identity=IDENTITY)
        self.searcher = CachedSearch(
            Searcher(database, replica, HashingEmbedder(), observe=self.seconds.append),
            entries=10,
            max_bytes=1 << 20,
            observe=self.hits.append,
            observe_seconds=self.seconds.append,
        )

    def search(self, query: str = "pump", **options: Any) -> SearchResult:
        scope = options.pop("scope", a_scope(self.store.id))
        return self.searcher.search(SearchRequest(queries=[query], scope=scope, **options))


@pytest.fixture
def shelf(database: Database, blobs: BlobStore) -> Shelf:
    return Shelf(database, blobs)


def test_the_same_search_is_made_once(shelf: Shelf) -> None:
    """The second result says that it was kept, is equal otherwise, and has times of its own."""
    first, second = shelf.search(), shelf.search()
    assert (first.cache, second.cache, shelf.hits) == ("miss", "hit", [False, True])
    assert (first.passages, first.index_version) == (second.passages, second.index_version)
    assert first.passages[0].chunk.text == "The pump is red."
    assert (second.seconds.keys(), [told.keys() for told in shelf.seconds]) == (
        {"catch_up"},
        [first.seconds.keys(), {"catch_up"}],
    )


@pytest.mark.parametrize(
    "options",
    [
        {"query": "red"},
        {"limit": 1},
        {"ranking": Ranking(dense_weight=0.3)},
        {"scope": a_scope("vs_other")},
    ],
)
def test_another_search_is_made(shelf: Shelf, options: dict[str, Any]) -> None:
    """Whatever of it differs."""
    shelf.search()
    assert shelf.search(**options).cache == "miss"


def test_a_filter_that_python_takes_for_equal_is_another_one(shelf: Shelf) -> None:
    """True is no number here: what passed the one must not be given to the other."""
    found = [
        shelf.search(scope=a_scope(shelf.store.id, filter=Comparison(operator="eq", key="n", value=value)))
        for value in (1, True)
    ]
    assert [len(one.passages) for one in found] == [1, 0]


@pytest.mark.parametrize("change", ["deleted", "attributes", "published elsewhere"])
def test_after_a_change_every_search_is_made_again(shelf: Shelf, blobs: BlobStore, change: str) -> None:
    """Whatever store it was in: the next search sees it."""
    shelf.search()
    match change:
        case "deleted":
            with shelf.database.write() as session:
                documents.remove(shelf.database, session, Document.id == shelf.document)
        case "attributes":
            with shelf.database.write() as session:
                feed.record(shelf.database, session, [shelf.document])
        case _:
            file = a_file(shelf.database, blobs, project_id="other")
            publish_text(shelf.database, blobs, a_store(shelf.database, project_id="other"), "Else.", file=file)
    found = shelf.search()
    assert (found.cache, len(found.passages)) == ("miss", 0 if change == "deleted" else 1)


def test_what_changes_by_itself_is_searched_each_time(shelf: Shelf) -> None:
    """The younger first depends on the hour; what is explained is to be looked at."""
    for options in ({"ranking": Ranking(recency=Recency(half_life_days=1))}, {"explain": True}):
        assert [shelf.search(**options).cache for _ in range(2)] == [None, None]
    assert shelf.hits == []


def test_a_store_that_cannot_be_searched_is_refused_from_the_cache_too(shelf: Shelf) -> None:
    """It expired, or has another model's vectors: no kept result hides that."""
    shelf.search()

    def change(**values: Any) -> None:
        with shelf.database.write() as session:
            store = session.get_one(VectorStore, shelf.store.id)
            for name, value in values.items():
                setattr(store, name, value)

    change(expires_after_days=1, last_active_at=0.0)
    with pytest.raises(InvalidRequest, match="expired"):
        shelf.search()
    change(expires_after_days=None, embedding_identity="x@y/3")
    with pytest.raises(IndexIncompatible):
        shelf.search()


def test_a_hit_puts_off_the_end_of_its_store(shelf: Shelf) -> None:
    """It is a use of the store as any other search."""
    shelf.search()
    with shelf.database.write() as session:
        store = session.get_one(VectorStore, shelf.store.id)
        store.expires_after_days, store.last_active_at = 1, store.last_active_at - SECONDS_PER_DAY / 2
        before = store.last_active_at
    assert shelf.search().cache == "hit"
    with shelf.database.read() as session:
        assert stores.get(session, shelf.store.project_id, shelf.store.id).last_active_at > before

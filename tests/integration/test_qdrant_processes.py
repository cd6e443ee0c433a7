"""Several processes write one Qdrant collection from one catalog, and none of them can spoil it for the others.

Each test lets one of them act at the worst moment of another: before a request of it is carried out, which stands for
a process that was stopped, or a request that was on its way, for any time.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, select, update

from catalog import documents, feed, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import ServiceUnavailable
from catalog.models import Document, DocumentEmbedding, VectorStoreFile
from retrieval.consistency import check_shared, reset_if_ahead
from retrieval.embedders.hashing import HashingEmbedder
from retrieval.filters import parse_filter
from retrieval.indexes import qdrant_collection
from retrieval.indexes.qdrant import QdrantIndex
from retrieval.indexes.qdrant_collection import QdrantOptions
from retrieval.replica import Replica
from retrieval.searcher import Searcher, SearchRequest
from tests.builders import EMBEDDER, IDENTITY, a_publication, a_scope, a_store, publish_text
from tests.qdrant import Fault, QdrantServer, Recorded, qdrant_server
from tests.qdrant_engine import EngineClient

YEAR = parse_filter({"type": "eq", "key": "year", "value": 2020})


class Process:
    """An API process: an index, its replica and a searcher of its own."""

    def __init__(self, database: Database, server: QdrantServer) -> None:
        def newest_changes(document_ids: Any) -> dict[int, int]:
            self.at_look()
            with database.read() as session:
                return feed.newest_changes(session, document_ids)

        # Called when this process asks the catalog whether what it has inserted is still current.
        self.at_look: Callable[[], None] = lambda: None
        self.index = QdrantIndex(
            QdrantOptions(url=server.url),
            identity=IDENTITY,
            dimension=EMBEDDER.identity.dimension,
            newest_changes=newest_changes,
        )
        self.replica = Replica(database, self.index, identity=IDENTITY)
        self.searcher = Searcher(database, self.replica, HashingEmbedder())


class Cluster:
    """A catalog with one store, a Qdrant, and two processes."""

    def __init__(self, database: Database, blobs: BlobStore, server: QdrantServer) -> None:
        self.database, self.blobs, self.server = database, blobs, server
        self.store = a_store(database)
        self.one, self.two = Process(database, server), Process(database, server)

    def publish(self, *texts: str, **attributes: Any) -> int:
        return publish_text(self.database, self.blobs, self.store, *texts, entry={"attributes": attributes})

    def remove(self, document_id: int) -> None:
        with self.database.write() as session:
            documents.remove(self.database, session, Document.id == document_id)

    def set_attributes(self, **attributes: Any) -> None:
        with self.database.write() as session:
            entry = session.scalars(select(VectorStoreFile)).one()
            stores.set_attributes(self.database, session, entry, attributes)

    def found(self, process: Process, query: str = "words", **scope: Any) -> list[str]:
        request = SearchRequest(queries=[query], scope=a_scope(self.store.id, **scope))
        return sorted(passage.chunk.text for passage in process.searcher.search(request).passages)

    def in_qdrant(self) -> tuple[int, int]:
        """Return how many chunks are visible there, and how many are not."""
        visible, hidden = self.one.index.chunk_counts()
        return sum(visible.values()), sum(hidden.values())

    def once_before(self, what: str, act: Callable[[], None]) -> None:
        """Before the next write that holds an operation `what` is carried out, `act`."""
        pending = [act]

        def before(request: Recorded) -> None:
            if request.path.endswith("/points/batch") and f"'{what}'" in str(request.body)[:40] and pending:
                pending.pop()()

        self.server.before = before

    def problems(self) -> list[str]:
        return [problem.kind for problem in check_shared(self.database, self.one.index, identity=IDENTITY)]


@pytest.fixture(params=["local mode", "engine"])
def cluster(
    request: pytest.FixtureRequest, database: Database, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    monkeypatch.setattr(qdrant_collection, "_PAUSES_S", ())
    with qdrant_server(engine=EngineClient() if request.param == "engine" else None) as server:
        cluster = Cluster(database, blobs, server)
        yield cluster
        cluster.one.index.close()
        cluster.two.index.close()


# --- who is late does no harm -----------------------------------------------------------------------------------------


def test_what_one_process_applied_another_finds_done(cluster: Cluster) -> None:
    """The position is Qdrant's: the second process writes nothing."""
    cluster.publish("words")
    assert cluster.found(cluster.one) == ["words"]
    cluster.server.requests.clear()
    assert cluster.found(cluster.two) == ["words"]
    assert cluster.server.sent("/points/batch") == []


@pytest.mark.parametrize("moment", ["upsert", "set_payload"])
def test_a_late_publication_does_not_bring_a_removed_document_back(cluster: Cluster, moment: str) -> None:
    """Process one is stopped before its insertion, or before it announces; the removal is applied meanwhile."""
    document_id = cluster.publish("words one", "words two")

    def meanwhile() -> None:
        cluster.remove(document_id)
        cluster.two.replica.catch_up()

    cluster.once_before(moment, meanwhile)
    assert cluster.found(cluster.one) == []
    assert [] == cluster.found(cluster.two) == cluster.found(cluster.one)
    assert (cluster.in_qdrant(), cluster.problems()) == ((0, 0), [])


def test_a_removal_after_the_look_at_the_catalog_wins(cluster: Cluster) -> None:
    """The removal commits right after process one has seen that the document is current, and is applied at once."""
    document_id = cluster.publish("words")
    original = cluster.one.index._newest_changes

    def look(ids: Any) -> Any:
        newest = original(ids)
        cluster.remove(document_id)
        cluster.two.replica.catch_up()
        return newest

    cluster.one.index._newest_changes = look
    cluster.one.replica.catch_up()
    cluster.one.index._newest_changes = original
    assert (cluster.found(cluster.one), cluster.in_qdrant()) == ([], (0, 0))


def test_a_process_that_ends_late_leaves_nothing_that_is_seen(cluster: Cluster) -> None:
    """Its insertion arrives after the removal, and it dies before it can look: invisible chunks, which are swept."""
    document_id = cluster.publish("words")

    def meanwhile() -> None:
        cluster.remove(document_id)
        cluster.two.replica.catch_up()

    class Killed(Exception):
        pass

    def die() -> None:
        raise Killed

    cluster.once_before("upsert", meanwhile)
    cluster.one.at_look = die
    with pytest.raises(Killed):
        cluster.one.replica.catch_up()
    assert (cluster.found(cluster.two), cluster.in_qdrant()) == ([], (0, 1))
    assert cluster.two.index.count() == 0
    assert cluster.problems() == ["leftover chunks"]
    assert (cluster.two.index.sweep(), cluster.in_qdrant(), cluster.problems()) == (1, (0, 0), [])


def test_two_processes_that_apply_the_same_change_write_one_document(cluster: Cluster) -> None:
    """The second does everything while the first has inserted and not announced."""
    cluster.publish("words one", "words two")
    cluster.one.at_look = lambda: (setattr(cluster.one, "at_look", lambda: None), cluster.two.replica.catch_up())[0]
    cluster.one.replica.catch_up()
    assert ["words one", "words two"] == cluster.found(cluster.one) == cluster.found(cluster.two)
    assert (cluster.in_qdrant(), cluster.one.index.position) == ((2, 0), 1)


@pytest.mark.parametrize("moment", ["upsert", "set_payload"])
def test_late_attributes_do_not_replace_newer_ones(cluster: Cluster, moment: str) -> None:
    """Process one brings 2019 after process two has brought 2020."""
    cluster.publish("words", year=2018)
    cluster.one.replica.catch_up()
    cluster.set_attributes(year=2019)

    def meanwhile() -> None:
        cluster.set_attributes(year=2020)
        cluster.two.replica.catch_up()

    cluster.once_before(moment, meanwhile)
    cluster.one.replica.catch_up()
    assert ["words"] == cluster.found(cluster.one, filter=YEAR) == cluster.found(cluster.two, filter=YEAR)
    assert cluster.one.index.position == 3


def test_a_document_stays_visible_while_its_attributes_change(cluster: Cluster) -> None:
    """Its chunks are brought once more, and no search misses them between that and the announcement."""
    cluster.publish("words", year=2019)
    cluster.one.replica.catch_up()
    cluster.two.replica.catch_up()
    seen: list[int] = []
    scope = a_scope(cluster.store.id)
    cluster.one.at_look = lambda: seen.append(len(cluster.two.index.search_lexical("words", limit=9, scope=scope)))
    cluster.set_attributes(year=2020)
    cluster.one.replica.catch_up()
    assert (seen, cluster.found(cluster.one, filter=YEAR)) == ([1], ["words"])


def test_a_late_removal_spares_a_document_that_came_back(cluster: Cluster) -> None:
    """A document that goes to another embedding model and back is kept; the removal between arrives last."""
    cluster.publish("words")
    cluster.one.replica.catch_up()
    with cluster.database.read() as session:
        document_id = session.scalars(select(Document.id)).one()

    def switch(identity: str) -> None:
        with cluster.database.write() as session:
            session.execute(update(DocumentEmbedding).values(identity=identity))
            feed.record(cluster.database, session, [document_id])

    def meanwhile() -> None:
        switch(IDENTITY)
        cluster.two.replica.catch_up()

    switch("another model")
    cluster.once_before("delete", meanwhile)
    cluster.one.replica.catch_up()
    assert ["words"] == cluster.found(cluster.one) == cluster.found(cluster.two)
    assert cluster.problems() == []


def test_the_position_never_goes_back(cluster: Cluster) -> None:
    """A late process brings no lower number."""
    cluster.publish("words")
    cluster.publish("more words")

    def meanwhile() -> None:
        cluster.publish("newest words")
        cluster.two.replica.catch_up()

    cluster.once_before("set_payload", meanwhile)
    cluster.one.replica.catch_up()
    assert (cluster.one.index.position, len(cluster.found(cluster.one))) == (3, 3)


# --- what a search sees -----------------------------------------------------------------------------------------------


def test_a_search_sees_what_was_announced_before_it_began(cluster: Cluster) -> None:
    """While another process announces a document, chunk by chunk, nothing of it is seen: only the position shows it."""
    cluster.publish("words of old")
    cluster.two.replica.catch_up()
    cluster.publish("words one", "words two")
    cluster.one.replica.catch_up()
    scope = a_scope(cluster.store.id)
    assert len(cluster.two.index.search_lexical("words", limit=9, scope=scope)) == 1
    assert (cluster.two.index.count(), cluster.two.index.position) == (1, 2)
    assert len(cluster.two.index.search_lexical("words", limit=9, scope=scope)) == 3


def test_a_replacement_shows_the_new_document_alone(cluster: Cluster) -> None:
    """The next search of every process finds the new generation, and nothing of the old one is left."""
    old = cluster.publish("old words")
    assert cluster.found(cluster.two) == ["old words"]
    cluster.remove(old)
    cluster.publish("new words")
    assert ["new words"] == cluster.found(cluster.one) == cluster.found(cluster.two)
    assert cluster.in_qdrant() == (1, 0)


@pytest.mark.parametrize("operation", ["upsert", "set_payload"])
@pytest.mark.parametrize("is_done", [True, False])
def test_a_crash_at_any_write_is_made_good_by_the_next_process(cluster: Cluster, operation: str, is_done: bool) -> None:
    """A publication and a removal end whole, whatever had reached Qdrant."""
    first = cluster.publish("words of old")
    cluster.one.replica.catch_up()
    cluster.publish("new words", "more new words")
    cluster.remove(first)
    cluster.once_before(operation, lambda: cluster.server.faults.append(Fault(path="/points/batch", is_done=is_done)))
    with pytest.raises(ServiceUnavailable):
        cluster.one.replica.catch_up()
    assert cluster.found(cluster.two) == ["more new words", "new words"]
    assert (cluster.in_qdrant(), cluster.problems()) == ((2, 0), [])


# --- fsck and restored backups ----------------------------------------------------------------------------------------


def test_a_collection_that_follows_is_sound(cluster: Cluster) -> None:
    """Before it has anything, behind the catalog, and when it has caught up."""
    document_id = cluster.publish("words")
    assert cluster.problems() == []
    cluster.one.replica.catch_up()
    cluster.remove(document_id)
    cluster.publish("other words")
    assert cluster.problems() == []


def test_lost_and_unknown_documents_are_found(cluster: Cluster) -> None:
    """The comparison goes in both directions."""
    document_id = cluster.publish("words", "more words")
    cluster.one.replica.catch_up()
    lost = qdrant_collection.models.FilterSelector(
        filter=qdrant_collection.models.Filter(
            must=[qdrant_collection.models.HasIdCondition(has_id=[_first_chunk(cluster.database)])]
        )
    )
    cluster.one.index._write([qdrant_collection.models.DeleteOperation(delete=lost)])
    assert cluster.problems() == ["unindexed document"]
    cluster.one.index.apply([a_publication(2, 77, "nobody's words")])
    with cluster.database.write() as session:
        feed.record(cluster.database, session, [document_id])
    assert cluster.problems() == ["unindexed document", "orphan postings"]


def test_a_collection_ahead_of_its_catalog_is_built_anew(cluster: Cluster) -> None:
    """After a backup was restored; one that is not ahead is kept."""
    cluster.publish("words")
    cluster.one.index.apply([a_publication(99, 77, "words of a lost day")])
    assert cluster.problems() == ["foreign index"]
    reset_if_ahead(cluster.database, cluster.two.index)
    assert (cluster.two.index.position, cluster.in_qdrant()) == (0, (0, 0))
    assert cluster.found(cluster.two) == ["words"]
    reset_if_ahead(cluster.database, cluster.two.index)
    assert (cluster.in_qdrant(), cluster.problems()) == ((1, 0), [])


def _first_chunk(database: Database) -> int:
    from catalog.models import Chunk

    with database.read() as session:
        return int(session.scalars(select(func.min(Chunk.id))).one())

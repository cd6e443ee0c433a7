"""The index of a cluster: vectors and words in Qdrant, shared by all processes."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from qdrant_client import models

from catalog.errors import ServiceUnavailable
from catalog.feed import DocumentChange, IndexedDocument
from retrieval.indexes.base import Hit, Scope, Vector, check_dimension
from retrieval.indexes.qdrant_collection import DENSE, POSITION, STATE_POINT, WORDS, QdrantCollection, QdrantOptions
from retrieval.indexes.qdrant_payload import DOCUMENT, SEQ, SINCE, STORE, document_payload, translated
from retrieval.indexes.qdrant_words import document_vector, query_vector

# What one request may hold; Qdrant takes 32 MiB. A float is up to 21 characters of JSON, a term up to 35.
_REQUEST_BYTES: Final = 8 * 1024**2
_FLOAT_BYTES: Final = 21
_TERM_BYTES: Final = 35
# Operations and points in one request.
_OPERATIONS: Final = 1000
_PAGE: Final = 10_000

# Maps each of some documents to the number of its newest change in the catalog.
NewestChanges = Callable[[Collection[int]], Mapping[int, int]]


class QdrantIndex:
    """Many processes write the collection at once, without a lock, and a stalled one does no harm.

    A document becomes visible in two steps. Its chunks are inserted without SINCE, and no search sees them. Then the
    catalog is asked whether the change is still the document's newest, and only if it is, SINCE is set on what is
    there. So whoever removes the document commits after that look, and deletes after the chunks were inserted; a late
    SINCE finds nothing to set it on. Every write names the change that it belongs to and spares what is newer.

    A search sees what was visible at the last position that this index has seen, so no document in part.
    """

    def __init__(self, options: QdrantOptions, *, identity: str, dimension: int, newest_changes: NewestChanges) -> None:
        """Connect, and make the collection where it is missing. `identity`: key of the embedding model.

        Raises ServiceUnavailable, ConfigurationError, and IndexIncompatible for a collection of other vectors.
        """
        self._dimension = dimension
        self._newest_changes = newest_changes
        self._collection = QdrantCollection(options, identity=identity, dimension=dimension)
        self._lock = threading.Lock()
        self._seen = 0
        self._collection.open()

    @property
    def position(self) -> int:
        """As in PassageIndex; read from the server, because other processes move it too."""
        points = self._collection.ask(
            lambda client: client.retrieve(self._collection.name, [STATE_POINT], with_payload=[POSITION])
        )
        if not points or not points[0].payload:
            raise ServiceUnavailable(
                f"Collection {self._collection.name!r} at {self._collection.address} has no position: "
                "another process is making it anew."
            )
        position = int(points[0].payload[POSITION])
        self._see(position)
        return position

    def apply(self, changes: Sequence[DocumentChange]) -> None:
        for change in changes:
            if change.document is not None:
                check_dimension(change.document.vectors.shape[1], self._dimension)
        position = self.position
        pending = [change for change in changes if change.seq > position]
        if not pending:
            return
        for operations in _requests(pending):
            self._write(operations)
        newest = self._newest_changes([change.document_id for change in pending])
        settled: list[models.UpdateOperation] = []
        for change in pending:
            is_newest = newest.get(change.document_id, 0) <= change.seq
            settled += _settled(change) if is_newest else [_abandoned(change)]
        # In order, and the next only after the one before: the position moves last.
        settled.append(_advanced(pending[-1].seq))
        for start in range(0, len(settled), _OPERATIONS):
            self._write(settled[start : start + _OPERATIONS])
        self._see(pending[-1].seq)

    def search_dense(self, query: Vector, *, limit: int, scope: Scope) -> list[Hit]:
        check_dimension(len(query), self._dimension)
        # A graph has gaps where a filter leaves little of it.
        params = self._collection.search_params(exact=scope.filter is not None)
        return self._search([query.tolist()], using=DENSE, params=params, limit=limit, scope=scope)

    def search_lexical(self, query: str, *, limit: int, scope: Scope) -> list[Hit]:
        vector = query_vector(query)
        if not vector.indices:
            return []
        return self._search(vector, using=WORDS, params=None, limit=limit, scope=scope)

    def count(self) -> int:
        visible = models.Filter(must=[_at_most(SINCE, self._seen)])
        found = self._collection.ask(lambda client: client.count(self._collection.name, visible, exact=True))
        return found.count

    def close(self) -> None:
        self._collection.close()

    def reset(self) -> None:
        """Delete everything and begin again at position 0."""
        self._collection.drop()
        self._seen = 0
        self._collection.open()

    def drop(self) -> None:
        """Delete the collection."""
        self._collection.drop()

    def chunk_counts(self) -> tuple[dict[int, int], dict[int, int]]:
        """Return how many chunks of each document searches can find, and how many wait, or were left, unannounced."""
        visible: dict[int, int] = {}
        hidden: dict[int, int] = {}
        for payload in self._payloads():
            counts = visible if SINCE in payload else hidden
            counts[payload[DOCUMENT]] = counts.get(payload[DOCUMENT], 0) + 1
        return visible, hidden

    def sweep(self) -> int:
        """Delete the chunks that a process left unannounced when it ended; return how many.

        Changes up to `position` have been applied by somebody, so nobody who is at work needs them.
        """
        left = models.Filter(must=[_unannounced(), _at_most(SEQ, self.position)])
        count = self._collection.ask(lambda client: client.count(self._collection.name, left, exact=True)).count
        self._write([_deletion(left)])
        return count

    def _search(
        self,
        query: list[list[float]] | models.SparseVector,
        *,
        using: str,
        params: models.SearchParams | None,
        limit: int,
        scope: Scope,
    ) -> list[Hit]:
        if not scope.vector_store_ids:
            return []
        visible = _in_scope(scope, self._seen)

        def best(wanted: int) -> list[models.ScoredPoint]:
            return self._collection.ask(
                lambda client: client.query_points(
                    self._collection.name,
                    query=query,
                    using=using,
                    query_filter=visible,
                    search_params=params,
                    limit=wanted,
                    with_payload=False,
                )
            ).points

        # The server keeps any of equals. Ask for more until something worse than the last of them is seen.
        wanted = limit + 1
        points = best(wanted)
        while len(points) == wanted and points[limit - 1].score == points[-1].score:
            wanted *= 2
            points = best(wanted)
        hits = [Hit(chunk_id=int(point.id), score=float(point.score)) for point in points]
        return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))[:limit]

    def _payloads(self) -> Iterator[dict[str, Any]]:
        """Yield document and visibility of each chunk."""
        chunks = models.Filter(must_not=[models.HasIdCondition(has_id=[STATE_POINT])])
        offset: Any = None

        def page() -> tuple[list[models.Record], Any]:
            return self._collection.ask(
                lambda client: client.scroll(
                    self._collection.name, chunks, limit=_PAGE, offset=offset, with_payload=[DOCUMENT, SINCE]
                )
            )

        while True:
            points, offset = page()
            yield from (point.payload or {} for point in points)
            if offset is None:
                return

    def _write(self, operations: Sequence[models.UpdateOperation]) -> None:
        self._collection.ask(
            lambda client: client.batch_update_points(
                self._collection.name, operations, wait=True, ordering=models.WriteOrdering.STRONG
            )
        )

    def _see(self, position: int) -> None:
        with self._lock:
            self._seen = max(self._seen, position)


def _requests(changes: Sequence[DocumentChange]) -> Iterator[list[models.UpdateOperation]]:
    """Yield insertions of all chunks, unannounced, in requests of bounded size."""
    operations: list[models.UpdateOperation] = []
    size = 0
    for change in changes:
        if change.document is None:
            continue
        points: list[models.PointStruct] = []
        for point, point_bytes in _points(change.document, change.seq):
            if points and size + point_bytes > _REQUEST_BYTES:
                yield [*operations, _inserted(change, points)]
                operations, points, size = [], [], 0
            points.append(point)
            size += point_bytes
        if points:
            operations.append(_inserted(change, points))
    if operations:
        yield operations


def _points(document: IndexedDocument, seq: int) -> Iterator[tuple[models.PointStruct, int]]:
    """Yield the point of each chunk, with the bytes that it takes at most."""
    payload = document_payload(document, seq)
    payload_bytes = len(str(payload)) * 2
    # Windows of a chunk lie together, in the order of the chunks.
    starts = document.window_chunk_ids.searchsorted(document.chunk_ids)
    ends = document.window_chunk_ids.searchsorted(document.chunk_ids, side="right")
    for chunk_id, text, start, end in zip(document.chunk_ids.tolist(), document.texts, starts, ends, strict=True):
        words = document_vector(text)
        vectors: dict[str, Any] = {DENSE: document.vectors[start:end].tolist()}
        if words.indices:
            vectors[WORDS] = words
        size = (end - start) * document.vectors.shape[1] * _FLOAT_BYTES + len(words.indices) * _TERM_BYTES
        yield models.PointStruct(id=chunk_id, vector=vectors, payload=payload), int(size) + payload_bytes


def _inserted(change: DocumentChange, points: list[models.PointStruct]) -> models.UpsertOperation:
    """Spare what is announced already, and what somebody inserts for a newer change."""
    older = models.Filter(must=[_unannounced(), _at_most(SEQ, change.seq)])
    return models.UpsertOperation(upsert=models.PointsList(points=points, update_filter=older))


def _settled(change: DocumentChange) -> list[models.UpdateOperation]:
    own, older = _of_document(change), _at_most(SEQ, change.seq - 1)
    if change.document is None:
        return [_deletion(models.Filter(must=[own, older]))]
    payload = document_payload(change.document, change.seq)
    # Those that are visible already get the attributes of this change; new ones become visible.
    visible = models.Filter(must=[own, older], must_not=[_unannounced()])
    new = models.Filter(must=[own, _unannounced(), _at_most(SEQ, change.seq)])
    return [
        models.SetPayloadOperation(set_payload=models.SetPayload(payload=payload, filter=visible)),
        models.SetPayloadOperation(set_payload=models.SetPayload(payload={**payload, SINCE: change.seq}, filter=new)),
    ]


def _abandoned(change: DocumentChange) -> models.UpdateOperation:
    """Take back what was inserted for a change that is not the newest any more: that one is still to come."""
    return _deletion(models.Filter(must=[_of_document(change), _unannounced(), _at_most(SEQ, change.seq)]))


def _deletion(where: models.Filter) -> models.UpdateOperation:
    return models.DeleteOperation(delete=models.FilterSelector(filter=where))


def _advanced(position: int) -> models.UpdateOperation:
    behind = models.Filter(must=[models.HasIdCondition(has_id=[STATE_POINT]), _at_most(POSITION, position - 1)])
    return models.SetPayloadOperation(set_payload=models.SetPayload(payload={POSITION: position}, filter=behind))


def _in_scope(scope: Scope, position: int) -> models.Filter:
    must: list[models.Condition] = [
        models.FieldCondition(key=STORE, match=models.MatchAny(any=sorted(scope.vector_store_ids))),
        _at_most(SINCE, position),
    ]
    if scope.filter is not None:
        must.append(translated(scope.filter))
    return models.Filter(must=must)


def _of_document(change: DocumentChange) -> models.FieldCondition:
    return models.FieldCondition(key=DOCUMENT, match=models.MatchValue(value=change.document_id))


def _at_most(field: str, number: int) -> models.FieldCondition:
    """A point without the field does not match."""
    return models.FieldCondition(key=field, range=models.Range(lte=number))


def _unannounced() -> models.IsEmptyCondition:
    return models.IsEmptyCondition(is_empty=models.PayloadField(key=SINCE))

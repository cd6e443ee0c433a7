"""Footnote in process: `footnote ingest` over a folder, and the searcher behind the API.

With its default settings, but that no result of a search is kept: each query is to be searched.
"""

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from api.models import models_folder
from api.settings import load_settings
from api.wiring import make_worker, open_services
from benchmarks.peers.adapters.protocol import serve
from catalog import stores
from catalog.models import DEFAULT_PROJECT
from catalog.stores import NewVectorStore
from ingest.sandbox import parse_in_child
from ingest.sources.local import LocalSource
from ingest.sync import SyncOptions, sync
from retrieval.indexes.base import Scope
from retrieval.searcher import SearchRequest

STORE: Final = "bench"


class Footnote:
    """The default model is the one that the others get."""

    packages = ("footnote", "faiss-cpu", "openvino")

    def __init__(self, model: Path, state: Path) -> None:
        settings = load_settings(log_level="error")
        settings = settings.model_copy(update={"home": state, "models": models_folder(settings), "search_cache": 0})
        # Kept: the services would be closed together with it.
        self._opened = ExitStack()
        self._services = self._opened.enter_context(open_services(settings))

    def warm_up(self) -> None:
        self._services.embedder.embed_queries(["warm up"])
        # Starts the server that forks the parsers, which a worker has from its start.
        parse_in_child(Path(__file__), filename="warm.txt")

    def ingest(self, chunks: Path, documents: Path) -> None:
        """Until every document is committed, and its words and vectors are in the index."""
        services, catalog = self._services, self._services.catalog
        identity = services.embedder.identity.key
        with catalog.database.write() as session:
            new = NewVectorStore(project_id=DEFAULT_PROJECT, name=STORE, embedding_identity=identity)
            store = stores.create(session, new)
        options = SyncOptions(max_bytes=services.settings.max_file_bytes, prune=False)
        sync(catalog.database, catalog.blobs, store, LocalSource(documents), options)
        worker = make_worker(services.settings, catalog, services.embedder, name=STORE)
        worker.work_off(threading.Event())
        services.replica.catch_up()
        self._use(store.id)

    def persist(self) -> None:
        """Every document was durable before it could be found."""

    def load(self) -> None:
        with self._services.catalog.database.read() as session:
            store = stores.find_by_name(session, DEFAULT_PROJECT, STORE)
        if store is None:
            raise LookupError(f"The state has no vector store {STORE!r}.")
        self._use(store.id)

    def _use(self, store_id: str) -> None:
        self._scope = Scope(vector_store_ids=frozenset([store_id]))

    def search(self, query: str, limit: int) -> list[int]:
        request = SearchRequest(queries=[query], scope=self._scope, limit=limit, ranking=self._services.ranking)
        return [passage.chunk.chunk_id for passage in self._services.searcher.search(request).passages]


if __name__ == "__main__":
    serve(Footnote)

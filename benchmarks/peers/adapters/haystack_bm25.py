"""Haystack without a model: BM25 over its in-memory store, all defaults."""

from pathlib import Path
from typing import Any

from haystack import Document  # type: ignore[import-not-found]
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever  # type: ignore[import-not-found]
from haystack.document_stores.in_memory import InMemoryDocumentStore  # type: ignore[import-not-found]

from benchmarks.peers.adapters.protocol import read_chunks, serve


class HaystackBm25:
    packages = ("haystack-ai",)

    def __init__(self, model: Path, state: Path) -> None:
        self._file = str(state / "store.json")
        self._use(InMemoryDocumentStore())

    def _use(self, store: Any) -> None:
        self._store = store
        self._retriever = InMemoryBM25Retriever(document_store=store)

    def warm_up(self) -> None:
        """There is no model."""

    def ingest(self, chunks: Path, documents: Path) -> None:
        self._store.write_documents([Document(id=str(number), content=text) for number, text in read_chunks(chunks)])

    def persist(self) -> None:
        self._store.save_to_disk(self._file)

    def load(self) -> None:
        self._use(InMemoryDocumentStore.load_from_disk(self._file))

    def search(self, query: str, limit: int) -> list[int]:
        return [int(found.id) for found in self._retriever.run(query=query, top_k=limit)["documents"]]


if __name__ == "__main__":
    serve(HaystackBm25)

"""Haystack: pipelines over its in-memory store; SentenceTransformers embedders in batches of 32, all defaults."""

from pathlib import Path
from typing import Any

from haystack import Document, Pipeline  # type: ignore[import-not-found]
from haystack.components.retrievers.in_memory import (  # type: ignore[import-not-found]
    InMemoryEmbeddingRetriever,
)
from haystack.components.writers import DocumentWriter  # type: ignore[import-not-found]
from haystack.document_stores.in_memory import InMemoryDocumentStore  # type: ignore[import-not-found]
from haystack_integrations.components.embedders.sentence_transformers import (  # type: ignore[import-not-found]
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)

from benchmarks.peers.adapters.protocol import read_chunks, serve


class Haystack:
    packages = ("haystack-ai", "sentence-transformers-haystack", "sentence-transformers")

    def __init__(self, model: Path, state: Path) -> None:
        self._file = str(state / "store.json")
        self._model = str(model)
        self._use(InMemoryDocumentStore(embedding_similarity_function="cosine"))

    def _use(self, store: Any) -> None:
        self._store = store
        self._query = Pipeline()
        self._query.add_component("embedder", SentenceTransformersTextEmbedder(model=self._model, progress_bar=False))
        self._query.add_component("retriever", InMemoryEmbeddingRetriever(document_store=store))
        self._query.connect("embedder.embedding", "retriever.query_embedding")

    def warm_up(self) -> None:
        self._query.run({"embedder": {"text": "warm up"}})

    def ingest(self, chunks: Path, documents: Path) -> None:
        indexing = Pipeline()
        embedder = SentenceTransformersDocumentEmbedder(model=self._model, progress_bar=False)
        indexing.add_component("embedder", embedder)
        indexing.add_component("writer", DocumentWriter(document_store=self._store))
        indexing.connect("embedder", "writer")
        stored = [Document(id=str(number), content=text) for number, text in read_chunks(chunks)]
        indexing.run({"embedder": {"documents": stored}})

    def persist(self) -> None:
        self._store.save_to_disk(self._file)

    def load(self) -> None:
        self._use(InMemoryDocumentStore.load_from_disk(self._file))

    def search(self, query: str, limit: int) -> list[int]:
        reply = self._query.run({"embedder": {"text": query}, "retriever": {"top_k": limit}})
        return [int(found.id) for found in reply["retriever"]["documents"]]


if __name__ == "__main__":
    serve(Haystack)

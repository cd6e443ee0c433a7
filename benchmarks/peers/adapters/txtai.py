"""txtai: a hybrid index with content. All defaults."""

import threading
from pathlib import Path

from txtai import Embeddings  # type: ignore[import-not-found]

from benchmarks.peers.adapters.protocol import read_chunks, serve


class Txtai:
    packages = ("txtai", "faiss-cpu", "transformers")

    def __init__(self, model: Path, state: Path) -> None:
        self._state = str(state)
        self._embeddings = Embeddings(path=str(model), hybrid=True, content=True)
        # Searched by several threads at once it ends with a segmentation fault.
        self._turn = threading.Lock()

    def warm_up(self) -> None:
        self._embeddings.transform("warm up")

    def ingest(self, chunks: Path, documents: Path) -> None:
        self._embeddings.index(read_chunks(chunks))

    def persist(self) -> None:
        self._embeddings.save(self._state)

    def load(self) -> None:
        self._embeddings.load(self._state)

    def search(self, query: str, limit: int) -> list[int]:
        with self._turn:
            return [int(found["id"]) for found in self._embeddings.search(query, limit)]


if __name__ == "__main__":
    serve(Txtai)

"""LangChain: HuggingFaceEmbeddings, FAISS, similarity search. All defaults; batches of 32 texts."""

from pathlib import Path

from langchain_community.vectorstores import FAISS  # type: ignore[import-not-found]
from langchain_core.documents import Document  # type: ignore[import-not-found]
from langchain_huggingface import HuggingFaceEmbeddings  # type: ignore[import-not-found]

from benchmarks.peers.adapters.protocol import read_chunks, serve


class LangChain:
    packages = ("langchain-core", "langchain-community", "langchain-huggingface", "faiss-cpu", "sentence-transformers")

    def __init__(self, model: Path, state: Path) -> None:
        self._state = str(state)
        self._embeddings = HuggingFaceEmbeddings(model_name=str(model))

    def warm_up(self) -> None:
        self._embeddings.embed_query("warm up")

    def ingest(self, chunks: Path, documents: Path) -> None:
        stored = [Document(page_content=text, metadata={"id": number}) for number, text in read_chunks(chunks)]
        self._store = FAISS.from_documents(stored, self._embeddings)

    def persist(self) -> None:
        self._store.save_local(self._state)

    def load(self) -> None:
        self._store = FAISS.load_local(self._state, self._embeddings, allow_dangerous_deserialization=True)

    def search(self, query: str, limit: int) -> list[int]:
        return [found.metadata["id"] for found in self._store.similarity_search(query, k=limit)]


if __name__ == "__main__":
    serve(LangChain)

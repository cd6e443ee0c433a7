"""Chooses an embedder by name."""

from pathlib import Path

from catalog.errors import ConfigurationError
from retrieval.embedders.base import Embedder
from retrieval.embedders.openvino import OpenVinoEmbedder, Precision


def open_embedder(
    backend: str, *, model: str, cache: Path, precision: Precision = "auto", threads: int = 0, device: str | None = None
) -> Embedder:
    """Return the embedder of `backend`: openvino, torch or hashing. Raises ConfigurationError for another name."""
    match backend:
        case "openvino":
            return OpenVinoEmbedder(model, cache=cache, precision=precision, threads=threads)
        case "torch":
            from retrieval.embedders.sentence_transformers import SentenceTransformerEmbedder

            return SentenceTransformerEmbedder(model, device=device)
        case "hashing":
            from retrieval.embedders.hashing import HashingEmbedder

            return HashingEmbedder()
        case _:
            raise ConfigurationError(f"embedding_backend={backend!r} is not known; use openvino, torch or hashing.")

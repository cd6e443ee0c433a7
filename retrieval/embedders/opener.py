"""Chooses an embedder by name."""

from pathlib import Path

from catalog.errors import ConfigurationError
from retrieval.embedders.base import Embedder
from retrieval.embedders.openvino import OpenVinoEmbedder, WantedPrecision
from retrieval.embedders.prefixes import WantedPrefixes
from retrieval.embedders.remote import RemoteModel


def open_embedder(
    backend: str,
    *,
    model: str,
    cache: Path,
    precision: WantedPrecision = "auto",
    threads: int = 0,
    device: str | None = None,
    prefixes: WantedPrefixes | None = None,
    remote: RemoteModel | None = None,
    dimension: int | None = None,
) -> Embedder:
    """Return the embedder of `backend`: openvino, torch, openai or hashing. Raises ConfigurationError for others.

    `dimension`: of hashing; that of a remote model is in `remote`, and the others have their own.
    """
    match backend:
        case "openvino":
            return OpenVinoEmbedder(model, cache=cache, precision=precision, threads=threads, prefixes=prefixes)
        case "torch":
            from retrieval.embedders.sentence_transformers import SentenceTransformerEmbedder

            return SentenceTransformerEmbedder(model, device=device, prefixes=prefixes)
        case "openai":
            from retrieval.embedders.openai import OpenAIEmbedder

            if remote is None:
                raise ConfigurationError("embedding_backend='openai' needs embedding_url, for example http://HOST/v1.")
            return OpenAIEmbedder(model, remote, prefixes=prefixes)
        case "hashing":
            from retrieval.embedders.hashing import DIMENSION, HashingEmbedder

            return HashingEmbedder(dimension=dimension or DIMENSION)
        case _:
            raise ConfigurationError(
                f"embedding_backend={backend!r} is not known; use openvino, torch, openai or hashing."
            )

"""Chooses a reranker by name."""

from catalog.errors import ConfigurationError
from retrieval.rerankers.base import Reranker


def open_reranker(
    backend: str, *, model: str, url: str | None, key: str | None = None, device: str | None = None
) -> Reranker | None:
    """Return the reranker of `backend`: none, cross-encoder, openai or tei. Raises ConfigurationError."""
    match backend:
        case "none":
            return None
        case "cross-encoder":
            from retrieval.rerankers.cross_encoder import CrossEncoderReranker

            if not model:
                raise ConfigurationError("reranker='cross-encoder' needs reranker_model: the folder of a CrossEncoder.")
            return CrossEncoderReranker(model, device=device)
        case "openai" | "tei":
            from retrieval.rerankers.http import HttpReranker

            if not url:
                raise ConfigurationError(f"reranker={backend!r} needs reranker_url: where it takes POST requests.")
            return HttpReranker(url, model=model, dialect="tei" if backend == "tei" else "openai", key=key)
        case _:
            raise ConfigurationError(f"reranker={backend!r} is not known; use none, cross-encoder, openai or tei.")

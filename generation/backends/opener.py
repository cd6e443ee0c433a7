"""Chooses a generator by name."""

from catalog.errors import ConfigurationError
from generation.backends.base import Generator
from retrieval.embedders.base import Embedder


def open_generator(backend: str, *, embedder: Embedder, min_evidence: float) -> Generator:
    """Return the generator of `backend`. Raises ConfigurationError for a name that is not known."""
    match backend:
        case "extractive":
            from generation.backends.extractive import ExtractiveGenerator

            return ExtractiveGenerator(embedder, min_evidence=min_evidence)
        case _:
            raise ConfigurationError(f"generator={backend!r} is not known; use extractive.")

"""Chooses a generator by name."""

from catalog.errors import ConfigurationError
from generation.backends.base import Generator
from generation.backends.transformers_options import TransformersOptions
from retrieval.embedders.base import Embedder


def open_generator(
    backend: str, *, embedder: Embedder, min_evidence: float, transformers: TransformersOptions | None = None
) -> Generator:
    """Return the generator of `backend`. Raises ConfigurationError for a name that is not known."""
    match backend:
        case "extractive":
            from generation.backends.extractive import ExtractiveGenerator

            return ExtractiveGenerator(embedder, min_evidence=min_evidence)
        case "transformers":
            if transformers is None:
                raise ConfigurationError(
                    "generator='transformers' needs generator_model: the folder of a chat model, or a .gguf file."
                )
            from generation.backends.transformers import TransformersGenerator

            return TransformersGenerator(transformers)
        case _:
            raise ConfigurationError(f"generator={backend!r} is not known; use extractive or transformers.")

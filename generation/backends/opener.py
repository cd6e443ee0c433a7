"""Chooses a generator by name."""

from collections.abc import Callable

from catalog.errors import ConfigurationError
from generation.backends.base import Generator
from generation.backends.chat_request import ChatServers
from generation.backends.extractive import MIN_EVIDENCE
from generation.backends.transformers_options import TransformersOptions
from generation.backends.upstreams import News
from retrieval.embedders.base import Embedder


def open_generator(
    backend: str,
    *,
    embedder: Embedder | None = None,
    min_evidence: float = MIN_EVIDENCE,
    servers: ChatServers | None = None,
    observe: Callable[[News], None] = lambda _: None,
    transformers: TransformersOptions | None = None,
) -> Generator:
    """Return the generator of `backend`. Raises ConfigurationError for a name that is not known.

    `embedder` and `min_evidence` are for extractive, `servers` and `observe` for openai.
    """
    match backend:
        case "extractive":
            from generation.backends.extractive import ExtractiveGenerator

            if embedder is None:
                raise ConfigurationError("generator='extractive' needs an embedder, which chooses the sentences.")
            return ExtractiveGenerator(embedder, min_evidence=min_evidence)
        case "openai":
            from generation.backends.openai import OpenAIGenerator

            if servers is None:
                raise ConfigurationError(
                    "generator='openai' needs generator_url, for example http://HOST/v1, and generator_model."
                )
            return OpenAIGenerator(servers, observe=observe)
        case "transformers":
            if transformers is None:
                raise ConfigurationError(
                    "generator='transformers' needs generator_model: the folder of a chat model, or a .gguf file."
                )
            from generation.backends.transformers import TransformersGenerator

            return TransformersGenerator(transformers)
        case _:
            raise ConfigurationError(f"generator={backend!r} is not known; use extractive, openai or transformers.")

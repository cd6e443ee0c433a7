"""Which embedding model this process opens: the one that the catalog is at, or else the one that the settings name."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from api.settings import Settings
from catalog import embeddings
from catalog.database import Database
from catalog.embeddings import ModelSpec
from catalog.errors import ConfigurationError
from catalog.models import EmbeddingModel
from retrieval.embedders.base import Embedder
from retrieval.embedders.opener import open_embedder
from retrieval.embedders.prefixes import WantedPrefixes
from retrieval.embedders.remote import RemoteModel

log = logging.getLogger(__name__)

# What decides which vectors come out; everything else is each machine's own.
MODEL_SETTINGS: Final = (
    "embedding_backend",
    "embedding_model",
    "embedding_query_prefix",
    "embedding_document_prefix",
    "embedding_url",
    "embedding_dimensions",
    "embedding_max_tokens",
    "embedding_tokenizer",
)
# They give the same vectors for the same model: each machine takes what it has a processor for.
_LOCAL: Final = frozenset({"openvino", "torch"})
# The number of a model that the catalog does not know, and of the first one that it knows: its index is the same.
FIRST: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """An embedding model that may be opened."""

    # Of this machine, with those in MODEL_SETTINGS that name the model.
    settings: Settings
    # Names its index on this machine.
    number: int = FIRST
    # What its vectors are known by in the catalog, None while nobody has asked it.
    identity: str | None = None

    def open(self) -> Embedder:
        """Raises ConfigurationError, also when another model has its name by now."""
        embedder = make_embedder(self.settings)
        if self.identity not in {None, embedder.identity.key}:
            embedder.close()
            raise ConfigurationError(
                f"The catalog is at the embedding model {self.identity}, and what is at "
                f"{self.settings.embedding_model!r} is {embedder.identity.key}: put the former back, or run "
                "`footnote reindex --model …`."
            )
        return embedder

    def known_identity(self) -> str:
        """Return what its vectors are known by; a model that the catalog does not know is opened for that."""
        if self.identity is not None:
            return self.identity
        with closing(make_embedder(self.settings)) as embedder:
            return embedder.identity.key

    @property
    def lexical(self) -> Path:
        return _of_number(self.settings.home / "lexical", self.number)

    @property
    def vectors(self) -> Path:
        """Where the snapshot of the vectors is kept."""
        return _of_number(self.settings.home / "vectors", self.number)


def _of_number(folder: Path, number: int) -> Path:
    return folder if number == FIRST else folder.with_name(f"{folder.name}-{number}")


def known_model(settings: Settings, model: EmbeddingModel) -> Model:
    """Return a model of the catalog as this machine opens it."""
    values: dict[str, Any] = dict(model.settings)
    if tokenizer := values["embedding_tokenizer"]:
        values["embedding_tokenizer"] = Path(tokenizer)
    if {values["embedding_backend"], settings.embedding_backend} <= _LOCAL:
        values["embedding_backend"] = settings.embedding_backend
    return Model(settings=settings.model_copy(update=values), number=model.number, identity=model.identity)


def current_model(settings: Settings, database: Database) -> Model:
    with database.read() as session:
        row = embeddings.current(session)
    if row is None:
        return Model(settings=settings)
    model = known_model(settings, row)
    if model.settings.embedding_model != settings.embedding_model:
        log.info(
            "The embedding model is %s, as the last `footnote reindex` left it; the settings name %s.",
            model.settings.embedding_model,
            settings.embedding_model,
        )
    return model


def all_models(settings: Settings, database: Database) -> list[Model]:
    """Return every model that documents have vectors of, the current one first."""
    current = current_model(settings, database)
    with database.read() as session:
        known = embeddings.all_known(session)
    return [current, *(known_model(settings, row) for row in known if row.number != current.number)]


@contextmanager
def open_current_embedder(settings: Settings, database: Database) -> Iterator[Embedder]:
    with closing(current_model(settings, database).open()) as embedder:
        yield embedder


def spec_of(settings: Settings, embedder: Embedder) -> ModelSpec:
    """Return what the catalog keeps of a model."""
    values = settings.model_dump(mode="json", include=set(MODEL_SETTINGS))
    return ModelSpec(identity=embedder.identity.key, settings=values)


def make_embedder(settings: Settings) -> Embedder:
    """Open the model that the settings name."""
    return open_embedder(
        settings.embedding_backend,
        model=settings.embedding_model,
        cache=models_folder(settings),
        precision=settings.embedding_precision,
        threads=settings.embedding_threads,
        device=settings.embedding_device,
        prefixes=WantedPrefixes(query=settings.embedding_query_prefix, document=settings.embedding_document_prefix),
        remote=_remote_model(settings),
        dimension=settings.embedding_dimensions,
    )


def _remote_model(settings: Settings) -> RemoteModel | None:
    if settings.embedding_url is None:
        return None
    key = settings.embedding_api_key
    return RemoteModel(
        url=settings.embedding_url,
        api_key=key.get_secret_value() if key else None,
        dimension=settings.embedding_dimensions,
        max_tokens=settings.embedding_max_tokens,
        tokenizer=settings.embedding_tokenizer,
        requests_per_minute=settings.embedding_requests_per_minute,
        concurrency=settings.embedding_concurrency,
        timeout_s=settings.embedding_timeout_s,
        patience_s=settings.embedding_patience_s,
    )


def models_folder(settings: Settings) -> Path:
    """Where converted models are kept."""
    return settings.models or settings.home / "models"

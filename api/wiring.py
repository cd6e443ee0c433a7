"""The composition root: the one place that chooses implementations."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from api import metrics
from api.settings import Settings
from catalog import feed
from catalog.blobs import BlobStore
from catalog.database import Database
from generation.answerer import Answerer
from generation.backends.base import Generator
from generation.backends.opener import open_generator
from generation.prompts import load_template
from ingest.pipeline import Pipeline
from ingest.sandbox import ParseLimits
from ingest.unpacking import ArchiveLimits
from ingest.worker import Worker
from retrieval.consistency import SharedIndex, load_vectors, rebuild_if_foreign, reset_if_ahead
from retrieval.embedders.base import Embedder, EmbeddingIdentity
from retrieval.embedders.opener import open_embedder
from retrieval.embedders.prefixes import WantedPrefixes
from retrieval.embedders.query_cache import CachedQueries
from retrieval.embedders.remote import RemoteModel
from retrieval.indexes.base import PassageIndex
from retrieval.replica import Replica
from retrieval.rerankers.base import Reranker
from retrieval.rerankers.opener import open_reranker
from retrieval.searcher import Ranking, Searcher

# How long a process waits for another one to bring a shared index up to date before it does so itself.
_PATIENCE_S: Final = 5.0
# The model that answers; the name that clients send in `model`.
ANSWER_MODEL = "footnote"


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """The truth: opened by every process."""

    database: Database
    blobs: BlobStore


@dataclass(frozen=True, kw_only=True)
class Services:
    """What answers questions: opened by the API process and by the command line."""

    settings: Settings
    catalog: Catalog
    embedder: Embedder
    replica: Replica
    searcher: Searcher
    generator: Generator
    answerer: Answerer

    @property
    def ranking(self) -> Ranking:
        """The default ranking."""
        return Ranking(dense_weight=self.settings.dense_weight)


@contextmanager
def open_catalog(settings: Settings) -> Iterator[Catalog]:
    """Open catalog and blob store, bringing the schema to the newest revision."""
    settings.home.mkdir(parents=True, exist_ok=True)
    database = Database(settings.resolved_database_url)
    try:
        database.migrate()
        yield Catalog(database=database, blobs=BlobStore(settings.resolved_blob_url, staging=settings.home / "staging"))
    finally:
        database.close()


@contextmanager
def open_services(settings: Settings) -> Iterator[Services]:
    """Open everything that searches and answers, with the index caught up."""
    with open_catalog(settings) as catalog:
        embedder = CachedQueries(
            make_embedder(settings), entries=settings.embedding_query_cache, observe=metrics.note_query_embeddings
        )
        index = _make_index(settings, catalog.database, embedder.identity)
        # One process at a time brings a shared index up to date, each one its own.
        turn = partial(catalog.database.turn, "index", patience_s=_PATIENCE_S)
        is_shared = settings.index == "qdrant"
        replica = Replica(
            catalog.database, index, identity=embedder.identity.key, turn=turn if is_shared else nullcontext
        )
        replica.catch_up()
        reranker = _make_reranker(settings)
        searcher = Searcher(catalog.database, replica, embedder, reranker, observe=metrics.note_search)
        generator = open_generator(settings.generator, embedder=embedder, min_evidence=settings.min_evidence)
        answerer = Answerer(catalog.database, searcher, generator, load_template("answer"))
        try:
            yield Services(
                settings=settings,
                catalog=catalog,
                embedder=embedder,
                replica=replica,
                searcher=searcher,
                generator=generator,
                answerer=answerer,
            )
        finally:
            generator.close()
            searcher.close()
            if reranker:
                reranker.close()
            index.close()
            embedder.close()


def make_embedder(settings: Settings) -> Embedder:
    return open_embedder(
        settings.embedding_backend,
        model=settings.embedding_model,
        cache=models_folder(settings),
        precision=settings.embedding_precision,
        threads=settings.embedding_threads,
        device=settings.embedding_device,
        prefixes=WantedPrefixes(query=settings.embedding_query_prefix, document=settings.embedding_document_prefix),
        remote=_remote_model(settings),
    )


def _make_reranker(settings: Settings) -> Reranker | None:
    key = settings.reranker_key
    return open_reranker(
        settings.reranker,
        model=settings.reranker_model,
        url=settings.reranker_url,
        key=key.get_secret_value() if key else None,
        device=settings.embedding_device,
    )


def make_worker(settings: Settings, catalog: Catalog, embedder: Embedder, *, name: str) -> Worker:
    limits = ParseLimits(
        timeout_s=settings.parse_timeout_s,
        memory_bytes=settings.parse_memory_bytes,
        max_text_chars=settings.max_text_chars,
        ocr_languages=settings.ocr_languages,
    )
    pipeline = Pipeline(
        database=catalog.database,
        blobs=catalog.blobs,
        embedder=embedder,
        limits=limits,
        archive_limits=ArchiveLimits(member_bytes=settings.max_file_bytes, total_bytes=settings.max_unpacked_bytes),
        observe=metrics.note_document_embeddings,
    )
    return Worker(catalog.database, catalog.blobs, pipeline, name=name, lease_s=settings.lease_s)


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


def lexical_path(settings: Settings) -> Path:
    return settings.home / "lexical"


def vectors_folder(settings: Settings) -> Path:
    """Where the snapshot of the vectors is kept."""
    return settings.home / "vectors"


def workers_folder(settings: Settings) -> Path:
    """Where the workers of this machine show that they are alive."""
    return settings.home / "workers"


def open_qdrant(settings: Settings, database: Database, identity: EmbeddingIdentity) -> SharedIndex:
    from retrieval.indexes.qdrant import QdrantIndex
    from retrieval.indexes.qdrant_collection import QdrantOptions

    def newest_changes(document_ids: Collection[int]) -> Mapping[int, int]:
        with database.read() as session:
            return feed.newest_changes(session, document_ids)

    options = QdrantOptions(
        url=settings.qdrant_url,
        api_key=settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None,
        prefix=settings.qdrant_prefix,
        timeout_s=settings.qdrant_timeout_s,
        quantization=settings.qdrant_quantization,
        oversampling=settings.qdrant_oversampling,
        hnsw_ef=settings.qdrant_hnsw_ef,
        on_disk=settings.qdrant_on_disk,
        shards=settings.qdrant_shards,
        replicas=settings.qdrant_replicas,
        write_consistency=settings.qdrant_write_consistency,
    )
    return QdrantIndex(options, identity=identity.key, dimension=identity.dimension, newest_changes=newest_changes)


def _make_index(settings: Settings, database: Database, identity: EmbeddingIdentity) -> PassageIndex:
    match settings.index:
        case "faiss":
            from retrieval.indexes.faiss import FaissIndex
            from retrieval.indexes.snapshots import Snapshots

            rebuild_if_foreign(database, lexical_path(settings), identity=identity.key)
            snapshots = Snapshots(vectors_folder(settings), identity=identity.key, dimension=identity.dimension)
            return FaissIndex(
                dimension=identity.dimension,
                lexical=lexical_path(settings),
                vectors=load_vectors(database, snapshots, identity=identity.key),
                snapshots=snapshots,
            )
        case "qdrant":
            index = open_qdrant(settings, database, identity)
            reset_if_ahead(database, index)
            return index
        case "memory":
            from retrieval.indexes.memory import MemoryIndex

            return MemoryIndex(dimension=identity.dimension)

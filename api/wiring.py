"""The composition root: the one place that chooses implementations."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from api import metrics
from api.live import Engine, Live
from api.models import Model, known_model
from api.profiles import Profile, naming, open_profiles, price_of
from api.refusal import refusal_threshold
from api.settings import ANSWER_MODEL, Settings
from catalog import feed
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import ConfigurationError, NotFound
from catalog.expiry import Retention
from catalog.models import EmbeddingModel
from generation.answer_cache import CachedAnswers
from generation.answerer import Answerer, Answering
from generation.backends.base import Generator
from generation.backends.opener import open_generator
from generation.completion import has_language_model
from generation.conversation import Rewriter
from generation.decomposition import Decomposer
from generation.prompts import PromptRegistry, PromptTask, PromptTemplate
from generation.prompts.cases import open_prompt
from generation.writing import Unsupported
from ingest.pipeline import Pipeline
from ingest.sandbox import ParseLimits
from ingest.unpacking import ArchiveLimits
from ingest.worker import Worker
from retrieval.consistency import SharedIndex, load_vectors, rebuild_if_foreign, reset_if_ahead
from retrieval.embedders.base import Embedder, EmbeddingIdentity
from retrieval.embedders.query_cache import CachedQueries
from retrieval.indexes.base import PassageIndex
from retrieval.replica import Replica
from retrieval.rerankers.base import Reranker
from retrieval.rerankers.opener import open_reranker
from retrieval.search_cache import CachedSearch
from retrieval.searcher import PassageSearch, Ranking, Searcher, VersionedSearch

# How long a process waits for another one to bring a shared index up to date before it does so itself.
_PATIENCE_S: Final = 5.0


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
    live: Live
    # By name, the default one first.
    profiles: Mapping[str, Profile]

    @property
    def embedder(self) -> Embedder:
        """That of now; the next look may find another model's."""
        return self.live.current.embedder

    @property
    def replica(self) -> Replica:
        return self.live.current.replica

    @property
    def searcher(self) -> PassageSearch:
        return self.live

    @property
    def answerer(self) -> Answering:
        """That of the default profile."""
        return self.answerer_of(ANSWER_MODEL)

    def answerer_of(self, model: str) -> Answering:
        """Return what answers with a profile, by the name that clients send in `model`. Raises NotFound."""
        return self.live.current.answerers[self.profile_of(model).name]

    @property
    def generator(self) -> Generator:
        """That of the default profile."""
        return self.answerer.generator

    def profile_of(self, model: str) -> Profile:
        """Raises NotFound."""
        if model not in self.profiles:
            raise NotFound(f"There is no model {model!r}; GET /v1/models lists them.", param="model")
        return self.profiles[model]

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
        reranker = _make_reranker(settings)
        try:
            with open_profiles(settings) as profiles:
                live = Live(catalog.database, partial(_open_engine, settings, catalog, reranker, profiles))
                try:
                    yield Services(settings=settings, catalog=catalog, live=live, profiles=profiles)
                finally:
                    live.close()
        finally:
            if reranker:
                reranker.close()


def _open_engine(
    settings: Settings,
    catalog: Catalog,
    reranker: Reranker | None,
    profiles: Mapping[str, Profile],
    row: EmbeddingModel | None,
    search: VersionedSearch,
) -> Engine:
    """Open everything that answers with one embedding model, with the index caught up."""
    model = known_model(settings, row) if row else Model(settings=settings)
    embedder = CachedQueries(
        model.open(), entries=settings.embedding_query_cache, observe=metrics.note_query_embeddings
    )
    index = _make_index(model, catalog.database, embedder.identity)
    # One process at a time brings a shared index up to date, each one its own.
    turn = partial(catalog.database.turn, "index", patience_s=_PATIENCE_S)
    is_shared = settings.index == "qdrant"
    replica = Replica(catalog.database, index, identity=embedder.identity.key, turn=turn if is_shared else nullcontext)
    replica.catch_up()
    return Engine(
        identity=embedder.identity.key,
        embedder=embedder,
        replica=replica,
        searcher=_cached_search(
            settings, Searcher(catalog.database, replica, embedder, reranker, observe=metrics.note_search)
        ),
        answerers={
            name: _make_answerer(profile, catalog.database, search, embedder) for name, profile in profiles.items()
        },
    )


def _cached_search(settings: Settings, searcher: VersionedSearch) -> VersionedSearch:
    if not settings.search_cache:
        return searcher
    return CachedSearch(
        searcher,
        entries=settings.search_cache,
        max_bytes=settings.cache_max_bytes,
        observe=metrics.note_search_cache,
        observe_seconds=metrics.note_search,
    )


def _make_answerer(profile: Profile, database: Database, search: VersionedSearch, embedder: Embedder) -> Answering:
    """Return what answers with a profile while this embedder is the current one.

    Raises ConfigurationError, also for a prompt that fails its cases.
    """
    settings = profile.settings
    with naming(profile.name):
        generator = _generator_of(profile, embedder)
        is_by_model = settings.search_by == "model"
        if is_by_model and not generator.calls_tools:
            raise ConfigurationError(
                f"search_by='model' needs a generator that calls tools, and generator={settings.generator!r} does not; "
                "use generator='openai' with a server that does, or search_by='question'."
            )
        answerer = Answerer(
            database,
            search,
            generator,
            find_prompt(
                settings,
                generator,
                settings.answer_prompt,
                task=PromptTask.SEARCH if is_by_model else PromptTask.ANSWER,
            ),
            price=price_of(settings),
            rewriter=_make_rewriter(settings, generator),
            reads_neighbours=settings.read_neighbours and has_language_model(generator),
            embedder=embedder,
            unsupported=Unsupported(settings.unsupported_sentences),
            cites_unmarked=settings.cite_unmarked,
            max_calls=settings.max_tool_calls if is_by_model else None,
            decomposer=_make_decomposer(settings, generator),
        )
    if not settings.answer_cache:
        return answerer
    return CachedAnswers(
        answerer,
        search,
        database,
        setup=f"{profile.name} {generator.name} {answerer.prompt['sha256']}",
        is_random=profile.generator is not None,
        entries=settings.answer_cache,
        max_bytes=settings.cache_max_bytes,
        observe=metrics.note_answer_cache,
    )


def _make_rewriter(settings: Settings, generator: Generator) -> Rewriter | None:
    if not has_language_model(generator):
        return None
    return Rewriter(
        generator,
        rewrite=find_prompt(settings, generator, settings.rewrite_prompt, task=PromptTask.REWRITE),
        compaction=find_prompt(settings, generator, settings.compaction_prompt, task=PromptTask.COMPACTION),
    )


def _make_decomposer(settings: Settings, generator: Generator) -> Decomposer | None:
    if settings.search_steps_by != "model":
        return None
    if not has_language_model(generator):
        raise ConfigurationError(
            f"search_steps_by='model' needs a language model, and generator={settings.generator!r} has none; use "
            "generator='openai' or 'transformers', or search_steps_by='rule'."
        )
    return Decomposer(generator, find_prompt(settings, generator, "decomposition", task=PromptTask.DECOMPOSITION))


def find_prompt(
    settings: Settings, generator: Generator, name: str, *, task: PromptTask = PromptTask.ANSWER
) -> PromptTemplate:
    """Return a prompt that is fit for use. Raises ConfigurationError."""
    registry = PromptRegistry(folder=settings.prompts)
    return open_prompt(registry, name, task=task, count_tokens=generator.count_tokens)


def _generator_of(profile: Profile, embedder: Embedder) -> Generator:
    """Return the language model of a profile, or what quotes with this embedder."""
    if profile.generator is not None:
        return profile.generator
    threshold = refusal_threshold(profile.settings, embedding=embedder.identity.key)
    return open_generator("extractive", embedder=embedder, min_evidence=threshold.evidence)


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
    pipeline = make_pipeline(settings, catalog, embedder)
    retention = Retention(days=settings.answer_retention_days, keeps_answers=settings.store_answers)
    return Worker(catalog.database, catalog.blobs, pipeline, name=name, lease_s=settings.lease_s, retention=retention)


def make_pipeline(settings: Settings, catalog: Catalog, embedder: Embedder) -> Pipeline:
    limits = ParseLimits(
        timeout_s=settings.parse_timeout_s,
        memory_bytes=settings.parse_memory_bytes,
        max_text_chars=settings.max_text_chars,
        ocr_languages=settings.ocr_languages,
    )
    return Pipeline(
        database=catalog.database,
        blobs=catalog.blobs,
        embedder=embedder,
        limits=limits,
        archive_limits=ArchiveLimits(member_bytes=settings.max_file_bytes, total_bytes=settings.max_unpacked_bytes),
        observe=metrics.note_document_embeddings,
    )


def lexical_path(settings: Settings) -> Path:
    """Where the words are kept that belong to the first embedding model."""
    return Model(settings=settings).lexical


def workers_folder(settings: Settings) -> Path:
    """Where the workers of this machine show that they are alive."""
    return settings.home / "workers"


def open_qdrant(settings: Settings, database: Database, *, identity: str, dimension: int) -> SharedIndex:
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
    return QdrantIndex(options, identity=identity, dimension=dimension, newest_changes=newest_changes)


def _make_index(model: Model, database: Database, identity: EmbeddingIdentity) -> PassageIndex:
    settings = model.settings
    match settings.index:
        case "faiss":
            from retrieval.indexes.faiss import FaissIndex
            from retrieval.indexes.snapshots import Snapshots

            rebuild_if_foreign(database, model.lexical, identity=identity.key)
            snapshots = Snapshots(model.vectors, identity=identity.key, dimension=identity.dimension)
            return FaissIndex(
                dimension=identity.dimension,
                lexical=model.lexical,
                vectors=load_vectors(database, snapshots, identity=identity.key),
                snapshots=snapshots,
            )
        case "qdrant":
            index = open_qdrant(settings, database, identity=identity.key, dimension=identity.dimension)
            reset_if_ahead(database, index)
            return index
        case "memory":
            from retrieval.indexes.memory import MemoryIndex

            return MemoryIndex(dimension=identity.dimension)

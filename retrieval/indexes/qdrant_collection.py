"""A collection on a Qdrant server: how it is reached, made and checked, and what its errors mean."""

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar
from urllib.parse import urlsplit, urlunsplit

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from catalog.errors import ConfigurationError, FootnoteError, IndexIncompatible, ServiceUnavailable
from retrieval.analysis import FORMAT as ANALYSIS_FORMAT
from retrieval.indexes.qdrant_payload import ATTRIBUTES, DOCUMENT, SEQ, SINCE, STORE

log = logging.getLogger(__name__)

T = TypeVar("T")
Quantization = Literal["none", "scalar", "binary"]

DENSE: Final = "dense"
WORDS: Final = "words"
# The point that says how far the collection has followed the feed. Chunks are numbered from 1.
STATE_POINT: Final = 0
POSITION: Final = "position"

# The first with conditions on upserts.
_OLDEST_SERVER: Final = (1, 16)
# Waits between the tries of a request that did not reach the server, or that it was too busy for.
_PAUSES_S: Final = (0.1, 0.4, 1.6)
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
_RANGE: Final = models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=False, range=True)
_INDEXES: Final[dict[str, models.KeywordIndexParams | models.IntegerIndexParams]] = {
    STORE: models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
    ATTRIBUTES: models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD),
    DOCUMENT: models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=True, range=False),
    SEQ: _RANGE,
    SINCE: _RANGE,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class QdrantOptions:
    """Where the server is, and how it keeps the collections that Footnote makes there."""

    url: str
    api_key: str | None = field(default=None, repr=False)
    # In front of the names of all collections: one catalog, one prefix.
    prefix: str = "footnote"
    timeout_s: int = 30
    quantization: Quantization = "none"
    # Candidates by quantised vectors for each hit; they are scored again by the float16 vectors.
    oversampling: float = 3.0
    hnsw_ef: int = 128
    # Vectors and words on disk, with quantised vectors in memory.
    on_disk: bool = False
    shards: int = 1
    replicas: int = 1
    # Replicas that have to confirm a write.
    write_consistency: int = 1


class QdrantCollection:
    """One collection, that of one embedding model. Errors of the server become Footnote's, here and nowhere else."""

    def __init__(self, options: QdrantOptions, *, identity: str, dimension: int) -> None:
        """`identity`: key of the embedding model. Nothing is sent yet."""
        # Words that were analysed in another way go into another collection, filled from the feed.
        contents = f"{ANALYSIS_FORMAT}\0{identity}"
        self.name = f"{options.prefix}-{hashlib.sha256(contents.encode()).hexdigest()[:16]}"
        self.address = _without_password(options.url)
        self._options = options
        self._identity = identity
        self._dimension = dimension
        self._client = QdrantClient(
            url=options.url,
            timeout=options.timeout_s,
            prefer_grpc=False,
            # Not as `api_key`, which warns on every start where TLS ends in front of Qdrant.
            headers={"api-key": options.api_key} if options.api_key else None,
            check_compatibility=False,
            limits=httpx.Limits(max_keepalive_connections=16),
        )

    def ask(self, request: Callable[[QdrantClient], T]) -> T:
        """Return the reply to a request that may be repeated.

        Raises ServiceUnavailable, ConfigurationError for a key that is refused, FootnoteError for a refused request.
        """
        for pause in _PAUSES_S:
            try:
                return request(self._client)
            except (ApiException, ResourceExhaustedResponse) as error:
                if not _is_passing(error):
                    raise self._translated(error) from error
            time.sleep(pause)
        try:
            return request(self._client)
        except (ApiException, ResourceExhaustedResponse) as error:
            raise self._translated(error) from error

    def open(self) -> None:
        """Make the collection with all that it needs, where it is missing; safe from several processes at once.

        Raises IndexIncompatible when there is one of this name that was made for other vectors.
        """
        self._check_version()
        if not self.ask(lambda client: client.collection_exists(self.name)):
            self._create()
        info = self.ask(lambda client: client.get_collection(self.name))
        self._check_vectors(info)
        for field_name in _INDEXES.keys() - info.payload_schema.keys():
            self._create_payload_index(field_name)
        unset = models.Filter(must=[models.IsEmptyCondition(is_empty=models.PayloadField(key=POSITION))])
        begin = models.PointStruct(id=STATE_POINT, vector={}, payload={POSITION: 0, "embedding": self._identity})
        self.ask(lambda client: client.upsert(self.name, points=[begin], update_filter=unset, wait=True))

    def drop(self) -> None:
        """Delete the collection with everything in it."""
        self.ask(lambda client: client.delete_collection(self.name, timeout=self._options.timeout_s))

    def close(self) -> None:
        self._client.close()

    def search_params(self, *, exact: bool) -> models.SearchParams:
        """Return how a dense search walks the graph; exact ones compare with every vector in scope."""
        if exact:
            return models.SearchParams(exact=True)
        if self._options.quantization == "none":
            return models.SearchParams(hnsw_ef=self._options.hnsw_ef)
        rescored = models.QuantizationSearchParams(rescore=True, oversampling=self._options.oversampling)
        return models.SearchParams(hnsw_ef=self._options.hnsw_ef, quantization=rescored)

    def _check_version(self) -> None:
        found = self.ask(lambda client: client.info()).version
        numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
        if numbers < _OLDEST_SERVER:
            oldest = ".".join(map(str, _OLDEST_SERVER))
            raise ConfigurationError(f"Qdrant at {self.address} is version {found}; Footnote needs {oldest} or newer.")

    def _create(self) -> None:
        options = self._options
        dense = models.VectorParams(
            size=self._dimension,
            # Of vectors of length 1: the cosine, of the very values that the catalog keeps.
            distance=models.Distance.DOT,
            datatype=models.Datatype.FLOAT16,
            on_disk=options.on_disk,
            # A chunk is a point, however many windows it has, and scores by its best.
            multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
            quantization_config=_quantization(options.quantization),
        )
        words = models.SparseVectorParams(
            modifier=models.Modifier.IDF, index=models.SparseIndexParams(on_disk=options.on_disk)
        )
        try:
            self.ask(
                lambda client: client.create_collection(
                    self.name,
                    vectors_config={DENSE: dense},
                    sparse_vectors_config={WORDS: words},
                    shard_number=options.shards,
                    replication_factor=options.replicas,
                    write_consistency_factor=options.write_consistency,
                    on_disk_payload=True,
                    timeout=options.timeout_s,
                )
            )
        except FootnoteError:
            # Another process was faster, or our own first try, whose reply was lost.
            if not self.ask(lambda client: client.collection_exists(self.name)):
                raise

    def _create_payload_index(self, field_name: str) -> None:
        schema = _INDEXES[field_name]
        self.ask(lambda client: client.create_payload_index(self.name, field_name, field_schema=schema, wait=True))

    def _check_vectors(self, info: models.CollectionInfo) -> None:
        vectors, words = info.config.params.vectors, info.config.params.sparse_vectors or {}
        dense = vectors.get(DENSE) if isinstance(vectors, dict) else None
        if dense is None or dense.multivector_config is None or WORDS not in words:
            raise IndexIncompatible(
                f"Collection {self.name!r} at {self.address} was not made by Footnote. Choose another qdrant_prefix."
            )
        if dense.size != self._dimension:
            raise IndexIncompatible(
                f"Collection {self.name!r} at {self.address} holds vectors of dimension {dense.size}; "
                f"{self._identity} makes {self._dimension}. Delete the collection: it is filled again from the catalog."
            )

    def _translated(self, error: Exception) -> FootnoteError:
        where = f"Qdrant at {self.address}"
        if isinstance(error, UnexpectedResponse):
            return self._refusal(where, error.status_code or 0, _reason(error))
        if not isinstance(error, ResponseHandlingException):
            return ServiceUnavailable(f"{where} does not answer: it is too busy ({_first_line(error)})")
        if isinstance(error.source, httpx.TimeoutException):
            return ServiceUnavailable(f"{where} does not answer: no reply within {self._options.timeout_s} s.")
        return ServiceUnavailable(f"{where} does not answer: {_first_line(error.source)}")

    def _refusal(self, where: str, status: int, reason: str) -> FootnoteError:
        if status in (401, 403):
            return ConfigurationError(f"{where} refuses the API key ({status}: {reason}). Check qdrant_api_key.")
        if status in _BUSY:
            return ServiceUnavailable(f"{where} does not answer: {status}, {reason}")
        if status == 404:
            return ServiceUnavailable(f"{where} has no collection {self.name!r} ({reason}). A restart makes it anew.")
        return FootnoteError(f"{where} refuses a request: {status}, {reason}")


def _quantization(kind: Quantization) -> models.QuantizationConfig | None:
    if kind == "scalar":
        scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
        return models.ScalarQuantization(scalar=scalar)
    if kind == "binary":
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
    return None


def _is_passing(error: Exception) -> bool:
    """Whether the next try may succeed. A time-out has used up its time already."""
    if isinstance(error, ResponseHandlingException):
        return isinstance(error.source, httpx.TransportError) and not isinstance(error.source, httpx.TimeoutException)
    return isinstance(error, ResourceExhaustedResponse) or (
        isinstance(error, UnexpectedResponse) and error.status_code in _BUSY
    )


def _reason(error: UnexpectedResponse) -> str:
    try:
        return str(error.structured()["status"]["error"])
    except (ValueError, TypeError, KeyError):
        return error.content[:200].decode(errors="replace").strip() or error.reason_phrase


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

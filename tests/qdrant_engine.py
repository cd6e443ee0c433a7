"""Qdrant's own engine in this process (Qdrant Edge), as far as the server of `tests.qdrant` needs it.

It is the code that a Qdrant server runs for each of its shards: storage, conditional writes, payload indexes, graph,
quantisation, sparse vectors with IDF. What it lacks of a server is what lies between shards and machines.
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qdrant_edge as edge
from qdrant_client import models


class EngineClient:
    """The methods of QdrantClient that the tests' server calls. Not thread-safe."""

    def __init__(self, **optimizers: Any) -> None:
        """`optimizers`: as EdgeOptimizersConfig takes them."""
        self._optimizers = edge.EdgeOptimizersConfig(**optimizers)
        self._folder = Path(tempfile.mkdtemp(prefix="footnote-qdrant-"))
        self._shards: dict[str, edge.EdgeShard] = {}
        self._configs: dict[str, models.CollectionParams] = {}
        self._schemas: dict[str, dict[str, Any]] = {}

    def close(self) -> None:
        for name in list(self._shards):
            self.delete_collection(name)
        shutil.rmtree(self._folder)

    def optimize(self) -> None:
        """Build the graphs that are due, as a server does in the background."""
        for shard in self._shards.values():
            shard.optimize()

    def collection_exists(self, name: str) -> bool:
        return name in self._shards

    def create_collection(self, name: str, *, vectors_config: Any, sparse_vectors_config: Any) -> bool:
        named = vectors_config if isinstance(vectors_config, dict) else {"": vectors_config}
        config = edge.EdgeConfig(
            vectors={key: _vector_params(one) for key, one in named.items()},
            sparse_vectors={
                key: edge.EdgeSparseVectorParams(on_disk=one.index.on_disk, modifier=edge.Modifier.Idf)
                for key, one in (sparse_vectors_config or {}).items()
            },
            on_disk_payload=True,
            optimizers=self._optimizers,
        )
        self._shards[name] = edge.EdgeShard.create(str(self._folder / name), config)
        self._configs[name] = models.CollectionParams(vectors=vectors_config, sparse_vectors=sparse_vectors_config)
        self._schemas[name] = {}
        return True

    def delete_collection(self, name: str) -> bool:
        self._shards.pop(name).close()
        shutil.rmtree(self._folder / name)
        return True

    def get_collection(self, name: str) -> Any:
        indexed = {key: {"data_type": one.type, "points": 0} for key, one in self._schemas[name].items()}
        return {
            "status": "green",
            "optimizer_status": "ok",
            "segments_count": 1,
            "config": {
                "params": self._configs[name].model_dump(exclude_none=True, mode="json"),
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
                "optimizer_config": {
                    "deleted_threshold": 0.2,
                    "vacuum_min_vector_number": 1000,
                    "default_segment_number": 0,
                    "flush_interval_sec": 5,
                },
            },
            "payload_schema": indexed,
        }

    def create_payload_index(self, name: str, field_name: str, field_schema: Any) -> Any:
        if isinstance(field_schema, models.KeywordIndexParams):
            schema: Any = edge.KeywordIndexParams(is_tenant=field_schema.is_tenant)
        else:
            schema = edge.IntegerIndexParams(lookup=field_schema.lookup, range=field_schema.range)
        self._schemas[name][field_name] = field_schema
        return self._update(name, edge.UpdateOperation.create_field_index(field_name, schema))

    def upsert(self, name: str, points: Sequence[models.PointStruct], update_filter: models.Filter | None) -> Any:
        converted = [edge.Point(point.id, _vectors(point.vector), point.payload) for point in points]
        return self._update(name, edge.UpdateOperation.upsert_points(converted, condition=_filter(update_filter)))

    def batch_update_points(self, name: str, operations: Sequence[Any]) -> Any:
        for operation in operations:
            match operation:
                case models.UpsertOperation(upsert=wanted):
                    self.upsert(name, wanted.points, wanted.update_filter)
                case models.SetPayloadOperation(set_payload=wanted):
                    where = _filter(wanted.filter)
                    self._update(name, edge.UpdateOperation.set_payload_by_filter(where, wanted.payload))
                case models.DeleteOperation(delete=wanted):
                    self._update(name, edge.UpdateOperation.delete_points_by_filter(_filter(wanted.filter)))
        return [_done()] * len(operations)

    def retrieve(self, name: str, ids: Sequence[int], with_payload: Any) -> Any:
        found = self._shards[name].retrieve(list(ids), with_payload=True, with_vector=False)
        return [{"id": point.id, "payload": point.payload} for point in found]

    def query_points(
        self, name: str, *, query: Any, using: str, query_filter: Any, search_params: Any, **rest: Any
    ) -> Any:
        wanted = edge.QueryRequest(
            limit=rest["limit"],
            query=edge.Query.Nearest(_vector(query.nearest), using=using),
            filter=_filter(query_filter),
            params=_params(search_params),
            with_payload=False,
        )
        points = self._shards[name].query(wanted)
        return {"points": [{"id": point.id, "version": 0, "score": point.score} for point in points]}

    def count(self, name: str, where: models.Filter | None) -> Any:
        return {"count": self._shards[name].count(edge.CountRequest(exact=True, filter=_filter(where)))}

    def scroll(self, name: str, where: Any, *, limit: int, offset: Any, with_payload: Any) -> Any:
        request = edge.ScrollRequest(offset=offset, limit=limit, filter=_filter(where), with_payload=with_payload)
        points, following = self._shards[name].scroll(request)
        return [{"id": point.id, "payload": point.payload} for point in points], following

    def _update(self, name: str, operation: Any) -> Any:
        self._shards[name].update(operation)
        return _done()


def _done() -> Any:
    return {"operation_id": 0, "status": "completed"}


def _vector_params(wanted: models.VectorParams) -> Any:
    multi = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim) if wanted.multivector_config else None
    distance = edge.Distance.Dot if wanted.distance == models.Distance.DOT else edge.Distance.Cosine
    datatype = edge.VectorStorageDatatype.Float16 if wanted.datatype else None
    quantization: Any = None
    if isinstance(wanted.quantization_config, models.ScalarQuantization):
        scalar = wanted.quantization_config.scalar
        quantization = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, scalar.quantile, scalar.always_ram)
    elif isinstance(wanted.quantization_config, models.BinaryQuantization):
        quantization = edge.BinaryQuantizationConfig(always_ram=wanted.quantization_config.binary.always_ram)
    return edge.EdgeVectorParams(
        wanted.size,
        distance,
        on_disk=wanted.on_disk,
        multivector_config=multi,
        datatype=datatype,
        quantization_config=quantization,
    )


def _vectors(vectors: Any) -> Any:
    return {name: _vector(vector) for name, vector in vectors.items()} if isinstance(vectors, dict) else vectors


def _vector(vector: Any) -> Any:
    return edge.SparseVector(vector.indices, vector.values) if isinstance(vector, models.SparseVector) else vector


def _params(wanted: models.SearchParams | None) -> Any:
    if wanted is None:
        return None
    quantization = wanted.quantization and edge.QuantizationSearchParams(
        rescore=wanted.quantization.rescore, oversampling=wanted.quantization.oversampling
    )
    return edge.SearchParams(hnsw_ef=wanted.hnsw_ef, exact=bool(wanted.exact), quantization=quantization)


def _filter(wanted: models.Filter | None) -> Any:
    if wanted is None:
        return None
    clauses = {name: getattr(wanted, name) for name in ("must", "should", "must_not")}
    return edge.Filter(**{name: [_condition(one) for one in some] for name, some in clauses.items() if some})


def _condition(wanted: Any) -> Any:
    match wanted:
        case models.Filter():
            return _filter(wanted)
        case models.HasIdCondition():
            return edge.HasIdCondition(set(wanted.has_id))
        case models.IsEmptyCondition():
            return edge.IsEmptyCondition(wanted.is_empty.key)
        case models.FieldCondition(match=models.MatchValue(value=value)):
            return edge.FieldCondition(wanted.key, match=edge.MatchValue(value))
        case models.FieldCondition(match=models.MatchAny(any=values)):
            return edge.FieldCondition(wanted.key, match=edge.MatchAny(values))
        case models.FieldCondition(range=models.Range() as bounds):
            limits = bounds.model_dump(exclude_none=True)
            return edge.FieldCondition(wanted.key, range=edge.RangeFloat(**limits))
    raise ValueError(f"a condition that the engine is not given yet: {wanted!r}")

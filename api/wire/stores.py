"""Request bodies of vector stores and their files."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from api.wire.common import Attributes, Metadata, Number, WireModel

Query = Annotated[str, Field()] | Annotated[list[str], Field(min_length=1, max_length=20)]


class ExpiresAfter(WireModel):
    anchor: Literal["last_active_at"]
    days: Annotated[int, Field(ge=1, le=365)]


class CreateVectorStore(WireModel):
    name: Annotated[str, Field(max_length=256)] | None = None
    description: Annotated[str, Field(max_length=2048)] | None = None
    file_ids: Annotated[list[str], Field(max_length=500)] = Field(default_factory=list)
    # Checked by ingest.chunking, which knows its limits.
    chunking_strategy: dict[str, Any] | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None


class UpdateVectorStore(WireModel):
    name: Annotated[str, Field(max_length=256)] | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None


class AttachFile(WireModel):
    file_id: str
    attributes: Attributes | None = None
    chunking_strategy: dict[str, Any] | None = None


class CreateFileBatch(WireModel):
    """Either `file_ids`, which share attributes and strategy, or `files`, which each bring their own."""

    file_ids: Annotated[list[str], Field(min_length=1, max_length=2000)] | None = None
    files: Annotated[list[AttachFile], Field(min_length=1, max_length=2000)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.file_ids is None) == (self.files is None):
            raise ValueError("send either file_ids or files")
        return self

    def each(self) -> list[AttachFile]:
        """Return every file of the batch once, with what holds for it."""
        shared = [
            AttachFile(file_id=file_id, attributes=self.attributes, chunking_strategy=self.chunking_strategy)
            for file_id in self.file_ids or []
        ]
        return list({one.file_id: one for one in self.files or shared}.values())


class UpdateAttachedFile(WireModel):
    attributes: Attributes | None


class HybridSearch(WireModel):
    embedding_weight: Annotated[Number, Field(ge=0)]
    text_weight: Annotated[Number, Field(ge=0)]


class BoostOptions(WireModel):
    """Ours: documents that pass `filters` count `factor` times as much."""

    # Parsed by retrieval.filters.
    filters: dict[str, Any]
    factor: Annotated[float, Field(gt=0, le=100)]


class RecencyOptions(WireModel):
    """Ours: a share `weight` of the score halves every `half_life_days`."""

    half_life_days: Annotated[float, Field(gt=0, le=100_000)]
    weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    # Attribute with the date, in Unix seconds; null takes the time of publication.
    key: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class RankingOptions(WireModel):
    ranker: Literal["none", "auto", "default-2024-11-15"] = "auto"
    score_threshold: Annotated[float, Field(ge=0, le=1)] = 0.0
    hybrid_search: HybridSearch | None = None
    # Ours: what happens to the candidates before they are returned.
    boosts: Annotated[tuple[BoostOptions, ...], Field(max_length=16)] = ()
    recency: RecencyOptions | None = None
    rerank: bool | None = None
    deduplicate: bool | None = None
    diversity: Annotated[float, Field(ge=0, le=1)] | None = None


class SearchStore(WireModel):
    query: Query
    # Parsed by retrieval.filters.
    filters: dict[str, Any] | None = None
    max_num_results: Annotated[int, Field(ge=1, le=50)] = 10
    ranking_options: RankingOptions | None = None
    # Accepted as false; rewriting needs a language model.
    # Without a language model a query stays as it is; `search_query` of the reply says what was searched.
    rewrite_query: bool = False
    # Ours: the reply tells what every stage left.
    explain: bool = False

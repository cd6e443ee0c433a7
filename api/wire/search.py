"""Search parameters that several endpoints share."""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from api.wire.common import WireModel
from api.wire.stores import RankingOptions
from catalog.errors import InvalidRequest
from retrieval.filters import Filter, parse_filter
from retrieval.searcher import Ranking


class FileSearch(WireModel):
    """Where and how an answer is searched for."""

    vector_store_ids: Annotated[list[str], Field(min_length=1)]
    max_num_results: Annotated[int, Field(ge=1, le=50)] | None = None
    # Parsed by retrieval.filters.
    filters: dict[str, Any] | None = None
    ranking_options: RankingOptions | None = None


def to_filter(raw: dict[str, Any] | None) -> Filter | None:
    """An empty object filters nothing, as at OpenAI."""
    return parse_filter(raw) if raw else None


def to_ranking(options: RankingOptions | None, default: Ranking) -> Ranking:
    """Return `default` with what the request changes. Raises InvalidRequest when both weights are 0."""
    if options is None:
        return default
    ranking = replace(default, score_threshold=options.score_threshold)
    if options.hybrid_search is None:
        return ranking
    embedding, text = options.hybrid_search.embedding_weight, options.hybrid_search.text_weight
    if embedding + text == 0:
        raise InvalidRequest("hybrid_search needs a weight above 0.", param="ranking_options.hybrid_search")
    return replace(ranking, dense_weight=embedding / (embedding + text))

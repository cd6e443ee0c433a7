"""Search parameters that several endpoints share."""

from dataclasses import replace
from typing import Annotated, Any, Final

from pydantic import Field

from api.wire.common import WireModel
from api.wire.stores import RankingOptions, RecencyOptions
from catalog.errors import InvalidRequest
from retrieval.filters import Filter, parse_filter
from retrieval.searcher import Ranking
from retrieval.stages import Boost, Recency

# Each step searches again for everything before it.
MAX_STEPS: Final = 4


class FileSearch(WireModel):
    """Where and how an answer is searched for."""

    vector_store_ids: Annotated[list[str], Field(min_length=1)]
    max_num_results: Annotated[int, Field(ge=1, le=50)] | None = None
    # Parsed by retrieval.filters.
    filters: dict[str, Any] | None = None
    ranking_options: RankingOptions | None = None
    # Searches at most, each led on by what the one before found.
    max_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] | None = None


def to_filter(raw: dict[str, Any] | None) -> Filter | None:
    """An empty object filters nothing, as at OpenAI."""
    return parse_filter(raw) if raw else None


def to_ranking(options: RankingOptions | None, default: Ranking) -> Ranking:
    """Return `default` with what the request changes. Raises InvalidRequest when both weights are 0."""
    if options is None:
        return default
    ranking = replace(
        default,
        score_threshold=options.score_threshold,
        boosts=[Boost(filter=parse_filter(one.filters), factor=one.factor) for one in options.boosts],
        recency=_recency(options.recency),
        rerank=default.rerank if options.rerank is None else options.rerank,
        deduplicate=default.deduplicate if options.deduplicate is None else options.deduplicate,
        diversity=default.diversity if options.diversity is None else options.diversity,
    )
    if options.hybrid_search is None:
        return ranking
    embedding, text = options.hybrid_search.embedding_weight, options.hybrid_search.text_weight
    if (larger := max(embedding, text)) == 0:
        raise InvalidRequest("hybrid_search needs a weight above 0.", param="ranking_options.hybrid_search")
    # Scaled first: the sum of two numbers may be more than a number can be.
    return replace(ranking, dense_weight=embedding / larger / (embedding / larger + text / larger))


def _recency(options: RecencyOptions | None) -> Recency | None:
    if options is None:
        return None
    return Recency(half_life_days=options.half_life_days, weight=options.weight, key=options.key)

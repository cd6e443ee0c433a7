"""What is asked of an answerer, as JSON: it waits in the database, where another version may have put it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from generation.answerer import AnswerRequest
from generation.backends.base import Sampling
from generation.turns import Turn
from retrieval.filters import Compound, Filter, parse_filter
from retrieval.indexes.base import Scope
from retrieval.searcher import Ranking
from retrieval.stages import Boost, Recency

# A filter is as deep as was allowed when it came, and one level more when a caller's own was joined to it.
_TRUSTED_DEPTH: Final = -8


def to_json(request: AnswerRequest) -> dict[str, Any]:
    """Return a request as JSON values; filters in OpenAI's form."""
    scope, ranking = request.scope, request.ranking
    boosts = [{"filter": _filter_object(boost.filter), "factor": boost.factor} for boost in ranking.boosts]
    return asdict(request) | {
        "scope": {"vector_store_ids": sorted(scope.vector_store_ids), "filter": _filter_object(scope.filter)},
        "ranking": asdict(ranking) | {"boosts": boosts},
    }


def from_json(values: Mapping[str, Any]) -> AnswerRequest:
    """Return the request that `to_json` of this or an older version wrote; what it does not say has its default.

    Raises LookupError, TypeError, ValueError, AttributeError or InvalidRequest for what no such version writes.
    """
    request = _as_of_now(values)
    scope, filtered = request["scope"], request["scope"].get("filter")
    return AnswerRequest(
        **request
        | {
            "scope": Scope(
                vector_store_ids=frozenset(scope["vector_store_ids"]), filter=_filter(filtered) if filtered else None
            ),
            "ranking": _ranking(request.get("ranking", {})),
            "sampling": Sampling(**request.get("sampling", {})),
            "turns": tuple(Turn(**turn) for turn in request.get("turns", ())),
        }
    )


def _as_of_now(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request whose older fields have their newer form.

    `sampling` was `max_tokens` alone, and `turns` were `context`: the question before, null without one.
    """
    request = dict(values)
    if "max_tokens" in request:
        request["sampling"] = {"max_tokens": request.pop("max_tokens")}
    if context := request.pop("context", None):
        request["turns"] = [{"question": context}]
    return request


def _ranking(values: Mapping[str, Any]) -> Ranking:
    boosts = tuple(Boost(filter=_filter(boost["filter"]), factor=boost["factor"]) for boost in values.get("boosts", ()))
    recency = values.get("recency")
    return Ranking(**{**values, "boosts": boosts, "recency": Recency(**recency) if recency else None})


def _filter(raw: Mapping[str, Any]) -> Filter:
    return parse_filter(raw, depth=_TRUSTED_DEPTH)


def _filter_object(tree: Filter | None) -> dict[str, Any] | None:
    """Return a filter in OpenAI's JSON form."""
    if tree is None:
        return None
    if isinstance(tree, Compound):
        return {"type": tree.operator, "filters": [_filter_object(part) for part in tree.parts]}
    value = list(tree.value) if isinstance(tree.value, tuple) else tree.value
    return {"type": tree.operator, "key": tree.key, "value": value}

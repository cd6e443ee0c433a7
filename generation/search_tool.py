"""The tool `file_search` as a language model sees it. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from generation.backends.base import Tool, ToolCall
from generation.visible import visible

NAME: Final = "file_search"
_MAX_QUERIES: Final = 5
_MAX_QUERY_CHARS: Final = 500
_MAX_SHOWN_CHARS: Final = 80
# Of a surrogate pair: JSON can write one alone, and nothing else can.
_HALF: Final = re.compile("[\ud800-\udfff]")
# What OpenAI's API takes as a name.
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

FILE_SEARCH: Final = Tool(
    name=NAME,
    description="Searches the documents by words and by meaning. Returns the passages that fit best, as numbered "
    "sources. Passages that were returned before are not returned again.",
    parameters={
        "type": "object",
        "properties": {
            "queries": {
                "type": "array",
                "items": {"type": "string", "maxLength": _MAX_QUERY_CHARS},
                "minItems": 1,
                "maxItems": _MAX_QUERIES,
                "description": "What to look for, each standing alone, with the names that it is about and in words "
                "that the documents are likely to use. Several are searched for together.",
            }
        },
        "required": ["queries"],
        "additionalProperties": False,
    },
)


class WrongCall(Exception):
    """A call that is not carried out; its text tells the model why."""


def queries_of(call: ToolCall) -> list[str]:
    """Return what a call searches for. Raises WrongCall: nothing of a call is taken on trust.

    A lone `query` is understood too. Nothing else is an argument: where is searched, by which filter and for how many
    passages is the request's.
    """
    if call.name != NAME:
        raise WrongCall(f"there is no tool {_quoted(call.name)}; the only one is {NAME}.")
    try:
        given = json.loads(call.arguments)
    except (ValueError, RecursionError) as error:
        raise WrongCall(f"the arguments are no JSON: {_quoted(call.arguments)}.") from error
    if not isinstance(given, Mapping):
        raise WrongCall(f"the arguments are no object: {_quoted(call.arguments)}.")
    if unknown := sorted(given.keys() - {"queries", "query"}):
        raise WrongCall(f"{NAME} takes queries alone, and no {_quoted(unknown[0])}.")
    queries = given.get("queries", given.get("query"))
    queries = [queries] if isinstance(queries, str) else queries
    if not isinstance(queries, list) or not 1 <= len(queries) <= _MAX_QUERIES:
        raise WrongCall(f"queries has to be a list of 1 to {_MAX_QUERIES} texts.")
    return list(dict.fromkeys(map(_query, queries)))


def _query(value: Any) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not 1 <= len(text) <= _MAX_QUERY_CHARS:
        raise WrongCall(f"a query has to be a text of 1 to {_MAX_QUERY_CHARS} characters.")
    if _HALF.search(text):
        raise WrongCall("a query holds half a character.")
    return visible(text)


def echoed(call: ToolCall, queries: Sequence[str], *, number: int) -> ToolCall:
    """Return a call as the conversation repeats it: none of the model's own words but checked ones.

    Servers read the arguments of earlier calls, and refuse a whole request for one that is no JSON. `queries`: none of
    a wrong call. `number`: of the call in its answer, from 1.
    """
    return ToolCall(
        # Nine letters and digits, as Mistral's chat templates ask for.
        call_id=f"call{number:05d}",
        name=call.name if _NAME.fullmatch(call.name) else "unknown",
        arguments=json.dumps({"queries": list(map(visible, queries))} if queries else {}, ensure_ascii=False),
    )


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}…")

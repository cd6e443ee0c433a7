"""What several objects share."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from catalog.errors import InvalidRequest
from catalog.paging import Page, PageRequest

T = TypeVar("T")

# OpenAI: at most 16 pairs, keys of 64 characters.
_MAX_PAIRS, _MAX_KEY_CHARS = 16, 64
Key = Annotated[str, Field(max_length=_MAX_KEY_CHARS)]
Metadata = Annotated[dict[Key, Annotated[str, Field(max_length=512)]], Field(max_length=_MAX_PAIRS)]
# JSON has no word for infinity and NaN, although Python reads both.
Number = Annotated[float, Field(allow_inf_nan=False)]
Attributes = Annotated[
    dict[Key, Annotated[str, Field(max_length=512)] | bool | int | Number], Field(max_length=_MAX_PAIRS)
]


class WireModel(BaseModel):
    """A request body; a key that is not known is an error, not a wish that is passed over."""

    # The length is beyond any body's; that there is one makes pydantic refuse halves of surrogate pairs, which JSON can
    # spell and neither a database nor a response can hold.
    model_config = ConfigDict(extra="forbid", str_max_length=1 << 30)


def list_object(page: Page[T], render: Callable[[T], dict[str, Any]]) -> dict[str, Any]:
    """Return OpenAI's list object."""
    data = [render(item) for item in page.items]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": page.has_more,
    }


def plain_page(kind: str, data: Sequence[dict[str, Any]], **extra: Any) -> dict[str, Any]:
    """Return a page that is always the last one."""
    return {"object": kind, **extra, "data": list(data), "has_more": False, "next_page": None}


def page_request(
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
    before: str | None = None,
) -> PageRequest:
    return PageRequest(limit=limit, order=order, after=after, before=before)


PageOf = Annotated[PageRequest, Depends(page_request)]


def check_length(text: str, limit: int, param: str) -> None:
    """Raises InvalidRequest for a text that is blank or too long."""
    if not text.strip():
        raise InvalidRequest(f"{param!r} is empty.", param=param)
    if len(text) > limit:
        raise InvalidRequest(f"{param!r} has {len(text):,} characters; at most {limit:,} are allowed.", param=param)

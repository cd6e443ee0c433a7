"""Cursor pages in OpenAI's manner: the cursor is the id of the last item seen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import Session

from catalog.errors import InvalidRequest

T = TypeVar("T")
Order = Literal["asc", "desc"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRequest:
    """Which part of a list: at most `limit` items after (or before) the item with that id."""

    limit: int = 20
    order: Order = "desc"
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[T]):
    items: Sequence[T]
    has_more: bool


def fetch_page(
    session: Session,
    query: Select[T],
    request: PageRequest,
    *,
    keys: tuple[Any, Any],
    locate: Callable[[str], tuple[Any, Any] | None],
) -> Page[T]:
    """Run `query` for one page, ordered by `keys` (creation time, then a unique id).

    `locate` returns the key values of the item with a given id, or None. Raises InvalidRequest for an unknown cursor.
    """
    descending = request.order == "desc"
    order = [key.desc() if descending else key.asc() for key in keys]
    for name, cursor, forward in (("after", request.after, True), ("before", request.before, False)):
        if cursor is None:
            continue
        position = locate(cursor)
        if position is None:
            raise InvalidRequest(f"{name}={cursor!r} is not the id of an item of this list.", param=name)
        row = tuple_(*keys)
        query = query.where(row > position if forward != descending else row < position)
    # Walking backwards means: the nearest items before the cursor, shown in the list's own order.
    backwards = request.before is not None and request.after is None
    if backwards:
        order = [key.asc() if descending else key.desc() for key in keys]
    found: list[T] = list(session.scalars(query.order_by(*order).limit(request.limit + 1)))
    has_more = len(found) > request.limit
    items = found[: request.limit]
    return Page(items=items[::-1] if backwards else items, has_more=has_more)


def page_of(items: Sequence[dict[str, Any]], request: PageRequest) -> Page[dict[str, Any]]:
    """Return one page of objects that are all there, oldest first. Raises InvalidRequest for an unknown cursor."""
    ordered = list(items if request.order == "asc" else items[::-1])
    places = {item["id"]: place for place, item in enumerate(ordered)}
    for name, cursor in (("after", request.after), ("before", request.before)):
        if cursor is not None and cursor not in places:
            raise InvalidRequest(f"{name}={cursor!r} is not the id of an item of this list.", param=name)
    first = places[request.after] + 1 if request.after is not None else 0
    last = places[request.before] if request.before is not None else len(ordered)
    if request.before is not None and request.after is None:
        first = max(0, last - request.limit)
        return Page(items=ordered[first:last], has_more=first > 0)
    return Page(items=ordered[first:last][: request.limit], has_more=first + request.limit < last)

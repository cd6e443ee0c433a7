"""Conversations keep their items in order, and no longer than the files that the items draw on."""

import threading
from typing import Any

import pytest
from sqlalchemy import func, select

from catalog import conversations, files
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import InvalidRequest, NotFound
from catalog.models import DEFAULT_PROJECT, Conversation, ConversationItem
from catalog.paging import PageRequest, page_of
from tests.builders import a_file


def an_item(number: int) -> dict[str, Any]:
    return {"type": "message", "id": f"msg_{number}", "role": "user", "content": []}


def a_conversation(database: Database, *numbers: int, drawn_on: dict[str, set[str]] | None = None) -> Conversation:
    with database.write() as session:
        made = conversations.create(session, DEFAULT_PROJECT, {"k": "v"})
        conversations.add_items(session, made, [an_item(number) for number in numbers], drawn_on or {})
        return made


def ids(database: Database, conversation: Conversation, **request: Any) -> list[str]:
    with database.read() as session:
        page = conversations.list_items(session, conversation, PageRequest(**{"order": "asc"} | request))
        return [row.id for row in page.items]


def test_items_are_listed_in_order_and_by_page(database: Database) -> None:
    """Newest first unless asked otherwise; a cursor goes on from its item."""
    made = a_conversation(database, 1, 2, 3)
    assert ids(database, made, order="desc") == ["msg_3", "msg_2", "msg_1"]
    assert ids(database, made, after="msg_1", limit=1) == ["msg_2"]
    with pytest.raises(InvalidRequest, match="msg_9"):
        ids(database, made, after="msg_9")


def test_an_item_of_another_conversation_is_no_cursor_and_not_found(database: Database) -> None:
    """Each conversation knows its own items alone."""
    made, other = a_conversation(database, 1), a_conversation(database, 2)
    with pytest.raises(InvalidRequest):
        ids(database, made, after="msg_2")
    with database.write() as session, pytest.raises(NotFound, match="msg_2"):
        conversations.delete_item(session, made, "msg_2")
    assert ids(database, other) == ["msg_2"]


def test_another_projects_conversation_does_not_exist(database: Database) -> None:
    """Read, locked or deleted."""
    made = a_conversation(database, 1)
    with database.write() as session:
        for deed in (conversations.get, conversations.get_locked, conversations.remove):
            with pytest.raises(NotFound, match=made.id):
                deed(session, "proj_other", made.id)


def test_a_deleted_conversation_takes_its_items_along(database: Database) -> None:
    """No row is left."""
    made = a_conversation(database, 1, 2)
    with database.write() as session:
        conversations.remove(session, DEFAULT_PROJECT, made.id)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(ConversationItem)) == 0


def test_an_item_goes_with_the_file_that_it_draws_on(database: Database, blobs: BlobStore) -> None:
    """At once for every reader, and for good when leftovers are removed; other items stay."""
    gone, stays = a_file(database, blobs, b"one"), a_file(database, blobs, b"two")
    made = a_conversation(database, 1, 2, 3, drawn_on={"msg_2": {gone.id, stays.id}, "msg_3": {stays.id}})
    assert conversations.remove_orphans(database) == 0
    files.delete(database, blobs, DEFAULT_PROJECT, gone.id)
    assert ids(database, made) == ["msg_1", "msg_3"]
    with database.read() as session:
        assert [item["id"] for item in conversations.recent_items(session, made)] == ["msg_1", "msg_3"]
        with pytest.raises(NotFound):
            conversations.get_item(session, made, "msg_2")
    assert conversations.remove_orphans(database) == 1
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(ConversationItem)) == 2


def test_nothing_is_lost_when_several_add_at_once(database: Database) -> None:
    """What one adds stays together, in order."""
    made = a_conversation(database)

    def add(first: int) -> None:
        with database.write() as session:
            locked = conversations.get_locked(session, DEFAULT_PROJECT, made.id)
            conversations.add_items(session, locked, [an_item(first), an_item(first + 1)], {})

    threads = [threading.Thread(target=add, args=(10 * number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [int(item.removeprefix("msg_")) for item in ids(database, made, limit=100)]
    assert sorted(numbers) == sorted(first + step for first in range(0, 80, 10) for step in (0, 1))
    assert all(second == first + 1 for first, second in zip(numbers[::2], numbers[1::2], strict=True))


@pytest.mark.parametrize(
    ("request_", "expected", "has_more"),
    [
        (PageRequest(order="asc"), [1, 2, 3, 4], False),
        (PageRequest(), [4, 3, 2, 1], False),
        (PageRequest(order="asc", limit=2), [1, 2], True),
        (PageRequest(order="asc", after="msg_2", limit=2), [3, 4], False),
        (PageRequest(order="asc", after="msg_2", limit=1), [3], True),
        (PageRequest(order="desc", after="msg_2"), [1], False),
        (PageRequest(order="asc", before="msg_4", limit=2), [2, 3], True),
        (PageRequest(order="asc", after="msg_4"), [], False),
    ],
)
def test_a_list_that_is_all_there_is_paged_alike(request_: PageRequest, expected: list[int], has_more: bool) -> None:
    """As a query of the database is."""
    page = page_of([an_item(number) for number in (1, 2, 3, 4)], request_)
    assert [item["id"] for item in page.items] == [f"msg_{number}" for number in expected]
    assert page.has_more == has_more


def test_a_cursor_that_is_not_in_the_list_is_refused() -> None:
    """By name."""
    with pytest.raises(InvalidRequest, match="msg_9"):
        page_of([an_item(1)], PageRequest(after="msg_9"))

"""Pages: walking a list gives every item once, in either direction, also where all were made in the same instant."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from catalog import files, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import InvalidRequest
from catalog.models import DEFAULT_PROJECT, File, VectorStore, VectorStoreFile
from catalog.paging import Page, PageRequest
from tests.builders import a_file, a_store, an_entry

# Creation times of seven items: all different, all equal, and in groups.
TIMES = [[1, 2, 3, 4, 5, 6, 7], [1, 1, 1, 1, 1, 1, 1], [1, 1, 2, 2, 2, 3, 3]]
Fetch = Callable[[PageRequest], Page[Any]]


def seven_files(database: Database, blobs: BlobStore, times: list[int]) -> Fetch:
    for number, created in enumerate(times):
        file = a_file(database, blobs, b"%d" % number)
        with database.write() as session:
            session.execute(update(File).where(File.id == file.id).values(created_at=created))

    def fetch(request: PageRequest) -> Page[File]:
        with database.read() as session:
            return files.list_page(session, DEFAULT_PROJECT, request)

    return fetch


def walk(fetch: Fetch, *, order: Any, limit: int) -> list[str]:
    items: list[str] = []
    while True:
        page = fetch(PageRequest(order=order, limit=limit, after=items[-1] if items else None))
        items += [item.id for item in page.items]
        if not page.has_more:
            return items


def walk_back(fetch: Fetch, *, order: Any, limit: int, last: str) -> list[str]:
    items = [last]
    while True:
        page = fetch(PageRequest(order=order, limit=limit, before=items[0]))
        items = [item.id for item in page.items] + items
        if not page.has_more:
            return items


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_walking_in_either_direction_gives_every_item_once(
    database: Database, blobs: BlobStore, times: list[int], order: str
) -> None:
    """Pages of any size join to the whole list, forwards by `after` and backwards by `before`."""
    fetch = seven_files(database, blobs, times)
    whole = fetch(PageRequest(order=order, limit=100)).items
    keys = [(item.created_at, item.id) for item in whole]
    assert sorted(keys, reverse=order == "desc") == keys
    expected = [item.id for item in whole]
    assert len(expected) == 7
    for limit in (1, 2, 3, 7, 8):
        assert expected == walk(fetch, order=order, limit=limit)
        assert expected == walk_back(fetch, order=order, limit=limit, last=expected[-1])


def test_after_and_before_together_give_what_lies_between(database: Database, blobs: BlobStore) -> None:
    """Both cursors bound the page."""
    fetch = seven_files(database, blobs, TIMES[0])
    ids = walk(fetch, order="desc", limit=7)
    page = fetch(PageRequest(after=ids[1], before=ids[5]))
    assert (ids[2:5], False) == ([item.id for item in page.items], page.has_more)


def test_an_empty_list_is_one_empty_page(database: Database) -> None:
    """A project without files has no items and nothing more."""
    with database.read() as session:
        assert Page(items=[], has_more=False) == files.list_page(session, DEFAULT_PROJECT, PageRequest())


@pytest.mark.parametrize("name", ["after", "before"])
def test_an_unknown_cursor_is_refused(database: Database, blobs: BlobStore, name: str) -> None:
    """A cursor that is no item of the list is the caller's error, not an empty page."""
    fetch = seven_files(database, blobs, TIMES[0])
    with pytest.raises(InvalidRequest, match=f"{name}='file-none'") as caught:
        fetch(PageRequest(**{name: "file-none"}))
    assert name == caught.value.param


def test_another_projects_item_is_no_cursor(database: Database, blobs: BlobStore) -> None:
    """A cursor does not tell that another project's file exists."""
    foreign = a_file(database, blobs, project_id="proj_other")
    fetch = seven_files(database, blobs, TIMES[0])
    with pytest.raises(InvalidRequest):
        fetch(PageRequest(after=foreign.id))


def test_stores_are_listed_per_project(database: Database) -> None:
    """Pages of stores hold the project's own, newest first."""
    own = [a_store(database, name=str(n)).id for n in range(5)]
    a_store(database, project_id="proj_other")

    def fetch(request: PageRequest) -> Page[VectorStore]:
        with database.read() as session:
            return stores.list_page(session, DEFAULT_PROJECT, request)

    assert own[::-1] == walk(fetch, order="desc", limit=2)


def test_files_of_a_store_are_walked_by_file_id(database: Database, blobs: BlobStore) -> None:
    """The cursor of a store's list is the file's id, although its entries have numbers of their own."""
    store = a_store(database)
    ids = [a_file(database, blobs, b"%d" % n).id for n in range(5)]
    with database.read() as session:
        rows = {file_id: session.get_one(File, file_id) for file_id in ids}
    for file_id in ids:
        an_entry(database, store, rows[file_id])
    with database.write() as session:
        session.execute(update(VectorStoreFile).values(created_at=1.0))
    found: list[str] = []
    while True:
        with database.read() as session:
            request = PageRequest(order="asc", limit=2, after=found[-1] if found else None)
            page = stores.list_files(session, store, request)
        found += [entry.file_id for entry in page.items]
        if not page.has_more:
            break
    assert ids == found

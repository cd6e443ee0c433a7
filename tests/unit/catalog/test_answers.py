"""Answer records belong to their project, and last no longer than the files that they draw on."""

import pytest
from sqlalchemy import func, select

from catalog import answers, files
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import NotFound
from catalog.models import DEFAULT_PROJECT, AnswerRecord
from tests.builders import a_file


def a_record(*file_ids: str, **overrides: object) -> AnswerRecord:
    fields = {"id": "resp_1", "project_id": DEFAULT_PROJECT, "created_at": 1.0, "question": "Why?", "model": "footnote"}
    trace = {"candidates": [{"file_id": file_id, "chunk_id": 1} for file_id in file_ids]}
    fields |= {"outcome": "answered", "index_version": 1, "prompt": {}, "trace": trace, "response": {}}
    return AnswerRecord(**fields | overrides)


def save(database: Database, *records: AnswerRecord) -> None:
    with database.write() as session:
        for record in records:
            answers.save(session, record)


def kept(database: Database) -> set[str]:
    with database.read() as session:
        return set(session.scalars(select(AnswerRecord.id)))


def test_a_record_is_kept_until_it_is_deleted(database: Database, blobs: BlobStore) -> None:
    """What was saved can be read and deleted, once."""
    file = a_file(database, blobs)
    save(database, a_record(file.id))
    with database.write() as session:
        assert answers.get(session, DEFAULT_PROJECT, "resp_1").trace["candidates"][0]["file_id"] == file.id
        answers.delete(session, DEFAULT_PROJECT, "resp_1")
    with database.write() as session, pytest.raises(NotFound, match="resp_1"):
        answers.delete(session, DEFAULT_PROJECT, "resp_1")


def test_another_projects_record_does_not_exist(database: Database) -> None:
    """It can be neither read nor deleted."""
    save(database, a_record(project_id="proj_other"))
    with database.write() as session:
        for deed in (answers.get, answers.delete):
            with pytest.raises(NotFound):
                deed(session, DEFAULT_PROJECT, "resp_1")


def test_a_record_cannot_be_read_once_a_file_of_it_is_gone(database: Database, blobs: BlobStore) -> None:
    """It may quote that file; its owner can still delete it."""
    gone, other = a_file(database, blobs, b"one"), a_file(database, blobs, b"two")
    save(database, a_record(gone.id, other.id))
    files.delete(database, blobs, DEFAULT_PROJECT, gone.id)
    with database.write() as session:
        with pytest.raises(NotFound, match="deleted"):
            answers.get(session, DEFAULT_PROJECT, "resp_1")
        answers.delete(session, DEFAULT_PROJECT, "resp_1")
    assert kept(database) == set()


def test_an_answer_whose_file_went_while_it_was_written_is_not_kept(database: Database, blobs: BlobStore) -> None:
    """A deletion is not undone by an answer that was under way."""
    file = a_file(database, blobs)
    files.delete(database, blobs, DEFAULT_PROJECT, file.id)
    save(database, a_record(file.id))
    assert kept(database) == set()


@pytest.mark.parametrize("page", [1, 2, 500])
def test_orphans_are_removed_and_nothing_else(
    database: Database, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """Records that draw on a file which is gone go, whatever else they draw on; the others stay."""
    monkeypatch.setattr(answers, "_PAGE", page)
    gone, stays = a_file(database, blobs, b"one"), a_file(database, blobs, b"two")
    save(
        database,
        a_record(gone.id, id="resp_1"),
        a_record(stays.id, id="resp_2"),
        a_record(stays.id, gone.id, id="resp_3"),
        a_record(id="resp_4"),
        a_record(gone.id, id="resp_5", project_id="proj_other"),
    )
    assert answers.remove_orphans(database) == 0
    files.delete(database, blobs, DEFAULT_PROJECT, gone.id)
    assert answers.remove_orphans(database) == 3
    assert kept(database) == {"resp_2", "resp_4"}


def test_an_answer_draws_on_what_was_found_cited_and_recalled() -> None:
    """The search, the request's own quotes, and the turns that a language model had before it."""
    trace = {"candidates": [{"file_id": "1"}], "cited_in_input": ["2"], "recalled": ["3", "1"]}
    assert answers.files_of(trace) == {"1", "2", "3"}


def test_a_record_that_does_not_say_what_it_draws_on_is_an_orphan(database: Database) -> None:
    """Nothing proves that its sources are still there."""
    old = a_record(trace={"candidates": [{"chunk_id": 1}]})
    with database.write() as session:
        session.add(old)
    assert answers.remove_orphans(database) == 1
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(AnswerRecord)) == 0

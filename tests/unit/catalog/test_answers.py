"""Answer records belong to their project, and last no longer than the files that they draw on."""

import pytest
from sqlalchemy import func, select

from catalog import answers, background, feedback, files
from catalog.answers import AnswerFilter
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import NotFound
from catalog.feedback import NewFeedback, Rating
from catalog.models import DEFAULT_PROJECT, AnswerEvent, AnswerFeedback, AnswerRecord, AnswerStatus
from tests.builders import a_file, a_record, saved


def kept(database: Database) -> set[str]:
    with database.read() as session:
        return set(session.scalars(select(AnswerRecord.id)))


def test_a_record_is_kept_until_it_is_deleted(database: Database, blobs: BlobStore) -> None:
    """What was saved can be read and deleted, once."""
    file = a_file(database, blobs)
    saved(database, a_record(file.id))
    with database.write() as session:
        assert answers.get(session, DEFAULT_PROJECT, "resp_1").trace["candidates"][0]["file_id"] == file.id
        answers.delete(session, DEFAULT_PROJECT, "resp_1")
    with database.write() as session, pytest.raises(NotFound, match="resp_1"):
        answers.delete(session, DEFAULT_PROJECT, "resp_1")


def test_another_projects_record_does_not_exist(database: Database) -> None:
    """It can be neither read nor deleted."""
    saved(database, a_record(project_id="proj_other"))
    with database.write() as session:
        for deed in (answers.get, answers.delete):
            with pytest.raises(NotFound):
                deed(session, DEFAULT_PROJECT, "resp_1")


def test_a_record_cannot_be_read_once_a_file_of_it_is_gone(database: Database, blobs: BlobStore) -> None:
    """It may quote that file; its owner can still delete it."""
    gone, other = a_file(database, blobs, b"one"), a_file(database, blobs, b"two")
    saved(database, a_record(gone.id, other.id))
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
    saved(database, a_record(file.id))
    assert kept(database) == set()


@pytest.mark.parametrize("page", [1, 2, 500])
def test_orphans_are_removed_and_nothing_else(
    database: Database, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """Records that draw on a file which is gone go, whatever else they draw on; the others stay."""
    monkeypatch.setattr(answers, "_PAGE", page)
    gone, stays = a_file(database, blobs, b"one"), a_file(database, blobs, b"two")
    saved(
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


def rate(database: Database, response_id: str, rating: Rating, author: str = "") -> None:
    with database.write() as session:
        feedback.give(session, DEFAULT_PROJECT, response_id, author, NewFeedback(rating=rating))


@pytest.mark.parametrize("page", [1, 500])
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (AnswerFilter(), ["resp_4", "resp_3", "resp_2", "resp_1"]),
        (AnswerFilter(outcome="answered"), ["resp_4", "resp_1"]),
        (AnswerFilter(model="other"), ["resp_3"]),
        (AnswerFilter(since=3.0), ["resp_4", "resp_3"]),
        (AnswerFilter(rating="up"), ["resp_2", "resp_1"]),
        (AnswerFilter(rating="down"), ["resp_2"]),
        (AnswerFilter(store_id="vs_1"), ["resp_4", "resp_1"]),
        (AnswerFilter(store_id="vs_1", since=2.0), ["resp_4"]),
        (AnswerFilter(store_id="vs_none"), []),
    ],
)
def test_answers_are_found_newest_first(
    database: Database, monkeypatch: pytest.MonkeyPatch, page: int, wanted: AnswerFilter, expected: list[str]
) -> None:
    """Of every project, by what is asked for; one that draws on a file which is gone is not there."""
    monkeypatch.setattr(answers, "_PAGE", page)
    saved(
        database,
        a_record(id="resp_1", created_at=1.0, trace={"stores": ["vs_1", "vs_2"]}),
        a_record(id="resp_2", created_at=2.0, outcome="not_in_documents"),
        a_record(id="resp_3", created_at=3.0, outcome="unsupported", model="other"),
        a_record(id="resp_4", created_at=4.0, project_id="proj_other", trace={"stores": ["vs_1"]}),
    )
    with database.write() as session:
        gone = {"stores": ["vs_1"], "sources": [{"file_id": "file-gone"}]}
        session.add(a_record(id="resp_5", created_at=5.0, trace=gone))
    rate(database, "resp_1", Rating.UP)
    rate(database, "resp_2", Rating.UP)
    rate(database, "resp_2", Rating.DOWN, "key_1")
    with database.read() as session:
        assert [record.id for record in answers.find(session, wanted)] == expected


@pytest.mark.parametrize("page", [1, 2, 500])
def test_old_answers_go_with_everything_of_theirs(
    database: Database, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """Events and feedback too; what is younger stays, and so does what is still being written, however old."""
    monkeypatch.setattr(answers, "_PAGE", page)
    saved(database, *(a_record(id=f"resp_{n}", created_at=float(n)) for n in range(1, 6)))
    with database.write() as session:
        background.queue(
            session, a_record(id="resp_open", created_at=1.0, status=AnswerStatus.QUEUED), [{"sequence_number": 0}]
        )
    rate(database, "resp_1", Rating.UP)
    rate(database, "resp_5", Rating.UP)
    assert answers.remove_before(database, 4.0) == 3
    assert kept(database) == {"resp_4", "resp_5", "resp_open"}
    with database.read() as session:
        assert session.scalars(select(AnswerFeedback.response_id)).all() == ["resp_5"]
        assert session.scalars(select(AnswerEvent.response_id)).all() == ["resp_open"]
    assert answers.remove_before(database, 4.0) == 0

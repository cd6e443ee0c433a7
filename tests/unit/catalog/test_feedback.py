"""Feedback belongs to an answer and lasts as long as it does. Runs on every database."""

import pytest

from catalog import answers, feedback
from catalog.database import Database
from catalog.errors import InvalidRequest, NotFound
from catalog.feedback import NewFeedback, Rating
from catalog.models import DEFAULT_PROJECT, AnswerFeedback, AnswerStatus
from tests.builders import a_record, saved

UP, DOWN = NewFeedback(rating=Rating.UP), NewFeedback(rating=Rating.DOWN, text="No.", expected_quote="In 2011.")


def give(database: Database, author: str, new: NewFeedback, project: str = DEFAULT_PROJECT) -> AnswerFeedback:
    with database.write() as session:
        return feedback.give(session, project, "resp_1", author, new)


def said(database: Database) -> list[tuple[str, str, str | None, str | None]]:
    with database.read() as session:
        found = feedback.of_answer(session, DEFAULT_PROJECT, "resp_1")
    return [(one.author, one.rating, one.text, one.expected_quote) for one in found]


def test_what_a_caller_says_again_replaces_what_it_said(database: Database) -> None:
    """All of it, words that are not repeated included; other callers' feedback stays."""
    saved(database, a_record())
    give(database, "key_1", DOWN)
    give(database, "key_2", DOWN)
    give(database, "key_1", UP)
    assert sorted(said(database)) == [("key_1", "up", None, None), ("key_2", "down", "No.", "In 2011.")]
    with database.read() as session:
        assert feedback.counts(session) == {Rating.UP: 1, Rating.DOWN: 1}


def test_feedback_goes_with_its_answer(database: Database) -> None:
    """Deleting the answer leaves none behind."""
    saved(database, a_record(), a_record(id="resp_2"))
    give(database, "", DOWN)
    with database.write() as session:
        answers.delete(session, DEFAULT_PROJECT, "resp_1")
    with database.read() as session:
        assert feedback.counts(session) == {Rating.UP: 0, Rating.DOWN: 0}


def test_no_feedback_on_what_is_not_there_or_not_done(database: Database) -> None:
    """Another project's answer, one that draws on a file which is gone, and one that is being written."""
    saved(database, a_record())
    with database.write() as session:
        session.add_all(
            [
                a_record(id="resp_gone", trace={"candidates": [{"file_id": "file-gone", "chunk_id": 1}]}),
                a_record(id="resp_open", status=AnswerStatus.IN_PROGRESS),
            ]
        )
    with pytest.raises(NotFound):
        give(database, "", UP, project="proj_other")
    for response_id, error in (("resp_gone", NotFound), ("resp_none", NotFound), ("resp_open", InvalidRequest)):
        with database.write() as session, pytest.raises(error, match=response_id):
            feedback.give(session, DEFAULT_PROJECT, response_id, "", UP)
    with database.read() as session:
        assert feedback.counts(session) == {Rating.UP: 0, Rating.DOWN: 0}

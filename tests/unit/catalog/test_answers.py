"""Answer records belong to their project."""

import pytest

from catalog import answers
from catalog.database import Database
from catalog.errors import NotFound
from catalog.models import DEFAULT_PROJECT, AnswerRecord


def a_record(**overrides: object) -> AnswerRecord:
    fields = {"id": "resp_1", "project_id": DEFAULT_PROJECT, "created_at": 1.0, "question": "Why?", "model": "footnote"}
    fields |= {"outcome": "answered", "index_version": 1, "prompt": {}, "trace": {"a": [1]}, "response": {}}
    return AnswerRecord(**fields | overrides)


def test_a_record_is_kept_until_it_is_deleted(database: Database) -> None:
    """What was saved can be read and deleted, once."""
    with database.write() as session:
        answers.save(session, a_record())
    with database.write() as session:
        assert answers.get(session, DEFAULT_PROJECT, "resp_1").trace == {"a": [1]}
        answers.delete(session, DEFAULT_PROJECT, "resp_1")
    with database.write() as session, pytest.raises(NotFound, match="resp_1"):
        answers.delete(session, DEFAULT_PROJECT, "resp_1")


def test_another_projects_record_does_not_exist(database: Database) -> None:
    """It can be neither read nor deleted."""
    with database.write() as session:
        answers.save(session, a_record(project_id="proj_other"))
        session.flush()
        for deed in (answers.get, answers.delete):
            with pytest.raises(NotFound):
                deed(session, DEFAULT_PROJECT, "resp_1")

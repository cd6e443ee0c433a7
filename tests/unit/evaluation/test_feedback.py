"""Feedback becomes questions that `footnote eval run` reads, or something to look at."""

from pathlib import Path
from typing import Any

import pytest

from catalog import feedback
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.feedback import NewFeedback, Rating
from catalog.models import DEFAULT_PROJECT, AnswerFeedback
from evaluation.feedback import (
    Footnoted,
    Rated,
    Review,
    documents_with,
    question_of,
    rated_answers,
    write_set,
)
from evaluation.questions import Question, load_questions
from tests.builders import a_file, a_record, a_store, publish_text, saved

CITED = [Footnoted(document="a.txt", quote="By Brandt."), Footnoted(document="a.txt", quote="In 2011.")]
HOLDERS = {(DEFAULT_PROJECT, "In autumn."): ["b.txt", "c.txt"]}


def a_rated(*said: AnswerFeedback, **overrides: Any) -> Rated:
    fields = {"id": "resp_1", "project_id": DEFAULT_PROJECT, "question": "Who?", "answer": "Brandt.", "cited": CITED}
    return Rated(**{**fields, "outcome": "answered", "said": said} | overrides)


def up(**words: str) -> AnswerFeedback:
    return AnswerFeedback(rating="up", **words)


def down(**words: str) -> AnswerFeedback:
    return AnswerFeedback(rating="down", **words)


def a_question(**overrides: Any) -> Question:
    return Question(**{"id": "resp_1", "text": "Who?"} | overrides)


@pytest.mark.parametrize(
    ("rated", "expected"),
    [
        (
            a_rated(up(), up()),
            a_question(documents=["a.txt"], quotes=["By Brandt.", "In 2011."], kind="confirmed"),
        ),
        (
            a_rated(up(expected_answer="Brandt")),
            a_question(answers=["Brandt"], documents=["a.txt"], quotes=["By Brandt.", "In 2011."], kind="confirmed"),
        ),
        (a_rated(up(), outcome="not_in_documents", cited=[]), a_question(kind="confirmed")),
        (
            a_rated(down(expected_quote="In autumn."), down(expected_quote="In autumn.", expected_answer="autumn")),
            a_question(answers=["autumn"], documents=["b.txt", "c.txt"], quotes=["In autumn."], kind="corrected"),
        ),
        (a_rated(down(expected_answer="autumn")), a_question(answers=["autumn"], kind="corrected")),
    ],
)
def test_what_was_said_becomes_a_question(rated: Rated, expected: Question) -> None:
    """Rated up, the footnotes are the words that answer, or nothing answers; rated down, what was expected is."""
    found = question_of(rated, HOLDERS)
    assert isinstance(found, Question)
    assert _plain(found) == _plain(expected)


@pytest.mark.parametrize(
    ("rated", "reason"),
    [
        (a_rated(down(text="No.")), "nobody said what was expected"),
        (a_rated(up(), down(expected_quote="In autumn.")), "some down"),
        (a_rated(up(), outcome="unsupported", cited=[]), "no footnote"),
        (a_rated(down(expected_quote="In winter.", expected_answer="winter")), "'In winter.'"),
    ],
)
def test_what_says_too_little_is_to_be_reviewed(rated: Rated, reason: str) -> None:
    """With the reason, and with everything that helps to decide."""
    review = question_of(rated, HOLDERS)
    assert isinstance(review, Review)
    assert reason in review.reason
    assert (review.line["id"], review.line["question"], review.line["answer"]) == ("resp_1", "Who?", "Brandt.")
    assert review.line["cited"] == [{"document": one.document, "quote": one.quote} for one in rated.cited]


def test_the_set_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Questions of all kinds, by `load_questions`; what is to be reviewed is in the file beside it, once."""
    questions = [
        a_question(id="1", documents=["a.txt"], quotes=["Größe 1|2"], kind="confirmed"),
        a_question(id="2", answers=["x"], kind="corrected"),
        a_question(id="3", text="Two\nlines?", kind="confirmed"),
    ]
    review = Review(rated=a_rated(down(text="Nein, größer.")), reason="r")
    path = tmp_path / "deep" / "set.jsonl"
    for _ in range(2):
        reviews = write_set(path, [questions[0], review, *questions[1:]])
    assert [_plain(one) for one in load_questions(path)] == [_plain(one) for one in questions]
    assert reviews == path.with_name("set.review.jsonl")
    assert reviews.read_text().count("\n") == 1
    assert "Nein, größer." in reviews.read_text()


def _plain(question: Question) -> tuple[Any, ...]:
    sequences = (tuple(question.answers), tuple(question.documents), tuple(question.quotes))
    return question.id, question.text, question.kind, *sequences


def test_rated_answers_come_from_the_catalog_oldest_first(database: Database, blobs: BlobStore) -> None:
    """Each once, with its text and footnotes; of any owner within a project; those of deleted files are gone."""
    note = {"filename": "a.txt", "quote": "By Brandt."}
    part = {"text": "Brandt.", "annotations": [note]}
    response = {"output": [{"type": "file_search_call"}, {"type": "message", "content": [part]}]}
    file = a_file(database, blobs)
    saved(
        database,
        a_record(id="resp_b", created_at=2.0, project_id="proj/visitor", trace={"question": "Who was it?"}),
        a_record(file.id, id="resp_a", created_at=1.0, response=response),
        a_record(id="resp_c", created_at=3.0),
    )
    with database.write() as session:
        for response_id, project in (("resp_a", DEFAULT_PROJECT), ("resp_b", "proj/visitor")):
            for author, rating in (("1", Rating.UP), ("2", Rating.DOWN)):
                feedback.give(session, project, response_id, author, NewFeedback(rating=rating))
    with database.read() as session:
        first, second = rated_answers(session)
    assert (first.id, first.answer, first.cited, len(first.said)) == (
        "resp_a",
        "Brandt.",
        [Footnoted(document="a.txt", quote="By Brandt.")],
        2,
    )
    assert (second.id, second.project_id, second.question) == ("resp_b", "proj", "Who was it?")


def test_expected_words_are_looked_up_in_the_documents_of_the_project(database: Database, blobs: BlobStore) -> None:
    """White space does not count; another project's documents do."""
    for project, name in ((DEFAULT_PROJECT, "b.txt"), (DEFAULT_PROJECT, "c.txt"), ("proj_other", "d.txt")):
        store = a_store(database, project_id=project)
        text = "It was put in\nduring autumn."
        file = a_file(database, blobs, name.encode(), project_id=project, filename=name)
        publish_text(database, blobs, store, text, file=file)
    rated = [a_rated(down(expected_quote="in during autumn"), down(expected_quote="in winter")), a_rated(up())]
    with database.read() as session:
        assert documents_with(session, rated) == {(DEFAULT_PROJECT, "in during autumn"): ["b.txt", "c.txt"]}

"""Questions are read line by line, and a wrong line is named."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import InvalidRequest
from evaluation.questions import Question, load_questions


def a_line(**overrides: Any) -> str:
    fields = {"id": "q1", "question": "How far?", "answer": "5 km", "document": "a.txt", "quote": "It is 5 km."}
    return json.dumps(fields | overrides)


def write(folder: Path, *lines: str) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_every_line_becomes_a_question(tmp_path: Path) -> None:
    """Order is kept; blank lines are passed over."""
    questions = load_questions(write(tmp_path, a_line(), "", a_line(id="q2", kind="table")))
    assert [question.id for question in questions] == ["q1", "q2"]
    assert questions[0].text == "How far?"
    assert questions[1].kind == "table"


def test_a_question_without_an_answer_and_a_document_cannot_be_answered(tmp_path: Path) -> None:
    """The right answer is a refusal; its number is its id where it has none."""
    fields = {"question": "How far?", "document": None, "quote": None, "answer": "", "answerable": False}
    (question,) = load_questions(write(tmp_path, json.dumps(fields)))
    assert not question.is_answerable
    assert Question(id="1", text="How far?") == replace(question, answers=(), documents=(), quotes=())


def test_several_answers_and_documents_can_be_accepted(tmp_path: Path) -> None:
    """A list under the plural's name; a document needs no quote, and an answer no document."""
    lines = [
        json.dumps({"question": "How far?", "answers": ["5 km", "five kilometres"], "documents": ["a.txt", "b.txt"]}),
        json.dumps({"question": "How high?", "answer": "2 m"}),
    ]
    far, high = load_questions(write(tmp_path, *lines))
    assert (list(far.answers), list(far.documents)) == (["5 km", "five kilometres"], ["a.txt", "b.txt"])
    assert (far.is_answerable, high.is_answerable, list(high.documents)) == (True, True, [])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "string `question`"),
        (json.dumps({"answer": "5"}), "string `question`"),
        (a_line(document=None), "`quote` and no `document`"),
        (a_line(answerable=False), "`answerable`: false"),
        (a_line(answer=5), "a string in `answer`"),
        (a_line(documents=["a.txt", 5]), "list of strings in `documents`"),
        (a_line(), "the id 'q1' of an earlier question"),
    ],
)
def test_a_wrong_line_is_named_with_its_number(tmp_path: Path, line: str, message: str) -> None:
    """The person who wrote the file finds the place."""
    with pytest.raises(InvalidRequest, match=message) as caught:
        load_questions(write(tmp_path, a_line(), line))
    assert "questions.jsonl:2" in caught.value.message


def test_a_file_that_is_missing_or_empty_is_a_stated_error(tmp_path: Path) -> None:
    """An evaluation of nothing would look like a perfect one."""
    with pytest.raises(InvalidRequest, match="no file of questions"):
        load_questions(tmp_path / "none.jsonl")
    with pytest.raises(InvalidRequest, match="holds no question"):
        load_questions(write(tmp_path, ""))

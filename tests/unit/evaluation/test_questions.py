"""Questions are read line by line, and a wrong line is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import InvalidRequest
from evaluation.questions import load_questions


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


def test_a_question_without_a_document_cannot_be_answered(tmp_path: Path) -> None:
    """Neither document nor quote: the right answer is a refusal."""
    question, *_ = load_questions(write(tmp_path, a_line(document=None, quote=None, answer="")))
    assert not question.is_answerable


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "string `question`"),
        (json.dumps({"answer": "5"}), "string `question`"),
        (a_line(quote=None), "both `document` and `quote`"),
        (a_line(document=None), "both `document` and `quote`"),
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

"""Questions with known answers: `questions.jsonl`, ours and a user's own."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.errors import InvalidRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question, and what is known of its answer; one that the documents do not answer has none of it."""

    id: str
    text: str
    # Short accepted answers; any of them is right.
    answers: Sequence[str] = ()
    # Names of the documents that answer it, each by itself.
    documents: Sequence[str] = ()
    # Words in these documents that answer it, any of them; the cells of one table row are joined by blanks.
    quotes: Sequence[str] = ()
    # Questions of one kind are reported together.
    kind: str = "question"

    @property
    def is_answerable(self) -> bool:
        return bool(self.answers or self.documents)


def load_questions(path: Path) -> list[Question]:
    """Read one JSON object a line. Raises InvalidRequest that names the line and what is wrong with it."""
    if not path.is_file():
        raise InvalidRequest(f"There is no file of questions at {str(path)!r}.")
    questions: dict[str, Question] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            question = _parse(line, f"{path}:{number}", number)
            if question.id in questions:
                raise InvalidRequest(f"{path}:{number} has the id {question.id!r} of an earlier question.")
            questions[question.id] = question
    if not questions:
        raise InvalidRequest(f"{str(path)!r} holds no question.")
    return list(questions.values())


def question_line(question: Question) -> dict[str, Any]:
    """Return a question as the JSON object that `load_questions` reads."""
    return {
        "id": question.id,
        "question": question.text,
        "answers": list(question.answers),
        "documents": list(question.documents),
        "quotes": list(question.quotes),
        "kind": question.kind,
        "answerable": question.is_answerable,
    }


def _parse(line: str, where: str, number: int) -> Question:
    try:
        fields: Any = json.loads(line)
    except ValueError as error:
        raise InvalidRequest(f"{where} is not valid JSON: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("question"), str):
        raise InvalidRequest(f"{where} needs a JSON object with a string `question`.")
    question = Question(
        id=str(fields.get("id", number)),
        text=fields["question"],
        answers=_strings(fields, "answer", "answers", where),
        documents=_strings(fields, "document", "documents", where),
        quotes=_strings(fields, "quote", "quotes", where),
        kind=str(fields.get("kind", "question")),
    )
    if question.quotes and not question.documents:
        raise InvalidRequest(f"{where} has a `quote` and no `document` that it stands in.")
    if fields.get("answerable", question.is_answerable) is not question.is_answerable:
        raise InvalidRequest(
            f"{where} has `answerable`: {json.dumps(fields['answerable'])}; "
            "a question is answerable when it has an `answer` or a `document`."
        )
    return question


def _strings(fields: dict[str, Any], one: str, many: str, where: str) -> tuple[str, ...]:
    """Return what stands under `one` (a string, or null for none) or under `many` (a list of strings)."""
    value = fields.get(many, fields.get(one))
    values = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise InvalidRequest(f"{where} needs a string in `{one}`, or a list of strings in `{many}`.")
    return tuple(each for each in values if each.strip())

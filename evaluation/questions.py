"""Questions with known answers: `questions.jsonl`, ours and a user's own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.errors import InvalidRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question, and where the documents answer it; one that they do not answer has neither document nor quote."""

    id: str
    text: str
    # A short accepted answer; "" when there is none.
    answer: str
    document: str | None
    # The words that answer it; the cells of one table row are joined by blanks.
    quote: str | None
    kind: str

    @property
    def is_answerable(self) -> bool:
        return self.document is not None


def load_questions(path: Path) -> list[Question]:
    """Read one JSON object a line. Raises InvalidRequest that names the line and what is wrong with it."""
    if not path.is_file():
        raise InvalidRequest(f"There is no file of questions at {str(path)!r}.")
    questions = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            questions.append(_parse(line, f"{path}:{number}"))
    if not questions:
        raise InvalidRequest(f"{str(path)!r} holds no question.")
    return questions


def _parse(line: str, where: str) -> Question:
    try:
        fields: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise InvalidRequest(f"{where} is not valid JSON: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("question"), str):
        raise InvalidRequest(f"{where} needs a JSON object with a string `question`.")
    if (fields.get("document") is None) != (fields.get("quote") is None):
        raise InvalidRequest(f"{where} needs both `document` and `quote`, or neither.")
    return Question(
        id=str(fields.get("id", where)),
        text=fields["question"],
        answer=fields.get("answer") or "",
        document=fields.get("document"),
        quote=fields.get("quote"),
        kind=str(fields.get("kind", "question")),
    )

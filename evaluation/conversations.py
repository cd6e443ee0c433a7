"""Conversations with known answers, one a line: {"id": …, "turns": [{question, answer, document, quote}, …]}."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from catalog.errors import InvalidRequest
from evaluation.matching import holds
from generation.turns import Turn
from retrieval.passages import Passage


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldTurn:
    """A question of a conversation, and the words of a document that answer it."""

    id: str
    question: str
    document: str
    quote: str
    # What was said before, with the right answers.
    before: Sequence[Turn]

    def is_found(self, passages: Sequence[Passage]) -> bool:
        """Whether one of the passages holds the words that answer."""
        return any(
            passage.chunk.filename == self.document
            and holds(f"{passage.chunk.context}\n{passage.chunk.text}", self.quote)
            for passage in passages
        )


def load_conversations(path: Path) -> list[GoldTurn]:
    """Return every turn of every conversation, in order. Raises InvalidRequest that names the line that is wrong."""
    found: list[GoldTurn] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            conversation = json.loads(line)
            before: list[Turn] = []
            for place, turn in enumerate(conversation["turns"], start=1):
                found.append(
                    GoldTurn(
                        id=f"{conversation['id']}.{place}",
                        question=turn["question"],
                        document=turn["document"],
                        quote=turn["quote"],
                        before=tuple(before),
                    )
                )
                before.append(Turn(question=turn["question"], answer=turn["answer"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidRequest(
                f"{path}:{number} needs an `id` and `turns` with question, answer, document and quote: {error!r}"
            ) from error
    return found

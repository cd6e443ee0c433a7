"""Conversations are read turn by turn, each with what was said before it."""

import json
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import InvalidRequest
from evaluation.conversations import load_conversations
from generation.turns import Turn
from tests.builders import a_passage

TURN = {"question": "How wide?", "answer": "140 cm.", "document": "a.txt", "quote": "It is 140 cm wide."}


def write(folder: Path, *conversations: Any) -> Path:
    path = folder / "conversations.jsonl"
    path.write_text("\n".join(map(json.dumps, conversations)), encoding="utf-8")
    return path


def test_every_turn_knows_those_before_it(tmp_path: Path) -> None:
    """With the right answers, as if they had been given."""
    turns = load_conversations(write(tmp_path, {"id": "c1", "turns": [TURN, {**TURN, "question": "And high?"}]}))
    assert [(turn.id, turn.question) for turn in turns] == [("c1.1", "How wide?"), ("c1.2", "And high?")]
    assert [list(turn.before) for turn in turns] == [[], [Turn(question="How wide?", answer="140 cm.")]]


def test_a_turn_is_found_by_its_words_in_its_document(tmp_path: Path) -> None:
    """The same words elsewhere, or others of the document, are not enough."""
    (turn,) = load_conversations(write(tmp_path, {"id": "c1", "turns": [TURN]}))
    right, other = a_passage("So: it is 140 cm wide."), a_passage("It is 2 m high.")
    assert turn.is_found([other, right])
    assert not turn.is_found([other, a_passage("It is 140 cm wide.", filename="b.txt")])


@pytest.mark.parametrize("line", [{"id": "c1"}, {"id": "c1", "turns": [{"question": "Why?"}]}, {"turns": [TURN]}, []])
def test_a_wrong_line_is_named(tmp_path: Path, line: Any) -> None:
    """With what it needs."""
    good = {"id": "c0", "turns": [TURN]}
    with pytest.raises(InvalidRequest, match=r"conversations\.jsonl:2 needs an `id` and `turns`"):
        load_conversations(write(tmp_path, good, line))


def test_the_gold_conversations_can_be_read() -> None:
    """About twenty, of two to four turns, over documents that there are."""
    data = Path(__file__).parents[3] / "data"
    if not data.is_dir():
        pytest.skip("The wheel has no sample documents.")
    turns = load_conversations(data / "gold" / "conversations.jsonl")
    lengths = [int(turn.id.split(".")[1]) for turn in turns]
    assert (len({turn.id for turn in turns}), max(lengths)) == (64, 4)
    assert all((data / "sample" / turn.document).is_file() for turn in turns)

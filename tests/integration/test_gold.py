"""The gold questions fit the sample documents."""

from pathlib import Path

import pytest

from evaluation.matching import holds
from evaluation.questions import load_questions
from ingest.parsers import parse_file

ROOT = Path(__file__).parents[2]
GOLD = ROOT / "data" / "gold" / "questions.jsonl"
SAMPLE = ROOT / "data" / "sample"


def test_there_are_sixty_questions_and_fifteen_cannot_be_answered() -> None:
    """What the published figures are about does not change unnoticed."""
    questions = load_questions(GOLD)
    assert (len(questions), sum(not question.is_answerable for question in questions)) == (60, 15)


@pytest.mark.parametrize("name", sorted({name for q in load_questions(GOLD) for name in q.documents}))
def test_every_gold_quote_stands_in_the_parsed_document(name: str) -> None:
    """A quote that the parser loses could never be cited."""
    text = parse_file(SAMPLE / name, name).text
    lost = [q.id for q in load_questions(GOLD) if name in q.documents and not holds(text, q.quotes[0])]
    assert lost == []

"""The gold questions fit the sample documents, and `footnote eval` measures them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.answers import holds
from evaluation.questions import load_questions
from ingest.parsers import parse_file

ROOT = Path(__file__).parents[2]
GOLD = ROOT / "data" / "gold" / "questions.jsonl"
SAMPLE = ROOT / "data" / "sample"


def test_there_are_sixty_questions_and_fifteen_cannot_be_answered() -> None:
    """What the published figures are about does not change unnoticed."""
    questions = load_questions(GOLD)
    assert (len(questions), sum(not question.is_answerable for question in questions)) == (60, 15)


@pytest.mark.parametrize("name", sorted({q.document for q in load_questions(GOLD) if q.document}))
def test_every_gold_quote_stands_in_the_parsed_document(name: str) -> None:
    """A quote that the parser loses could never be cited."""
    text = parse_file(SAMPLE / name, name).text
    lost = [q.id for q in load_questions(GOLD) if q.document == name and not holds(text, q.quote)]
    assert lost == []


def test_the_evaluation_command_writes_a_report(tmp_path: Path) -> None:
    """Scores and every question with its answer, as JSON; a table for people."""
    report = tmp_path / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "api.cli", "eval", str(GOLD), "--documents", str(SAMPLE), "--report", str(report)],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "FOOTNOTE_EMBEDDING_BACKEND": "hashing", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "refusal recall" in done.stdout
    written = json.loads(report.read_text(encoding="utf-8"))
    assert written["scores"]["questions"] == len(written["questions"]) == 60
    # Words alone find most of the passages: the questions are judged and not just counted.
    assert 0.5 < written["scores"]["retrieval_recall"] <= 1.0
    assert written["scores"]["answer_recall"] >= written["scores"]["retrieval_recall"]

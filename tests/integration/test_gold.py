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
    assert written["setup"]["unread_documents"] == []
    assert written["scores"]["questions"] == len(written["questions"]) == 60
    # Words alone find most of the passages: the questions are judged and not just counted.
    assert 0.5 < written["scores"]["retrieval_recall"] <= 1.0
    assert written["scores"]["answer_recall"] >= written["scores"]["retrieval_recall"]


def test_the_evaluation_names_the_documents_that_it_could_not_read(tmp_path: Path) -> None:
    """Figures that hold without some of the documents must not look like figures of the folder."""
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "good.txt").write_text("It is 5 km.")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and nothing behind it")
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"question": "How far is it?", "document": "good.txt", "quote": "It is 5 km."}))
    done = subprocess.run(
        [sys.executable, "-m", "api.cli", "eval", str(questions), "--documents", str(folder)],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "FOOTNOTE_EMBEDDING_BACKEND": "hashing", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "broken.pdf" in done.stdout
    report = json.loads((tmp_path / "reports" / "eval.json").read_text(encoding="utf-8"))
    assert report["setup"]["unread_documents"] == ["broken.pdf"]

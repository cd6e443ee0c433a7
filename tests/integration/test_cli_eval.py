"""`footnote eval`: from questions to stored runs, comparisons, the gate and the report."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evaluation.collections import AnswerSet, load_answer_set
from evaluation.runs import Run, load_run

ROOT = Path(__file__).parents[2]
GOLD = ROOT / "data" / "gold" / "questions.jsonl"
SAMPLE = ROOT / "data" / "sample"
PASSAGES = {
    "p1": "The boiler in the cellar was installed by Brandt Heating in the autumn of 2011.",
    "p2": "The roof was covered with slate and has a guarantee of forty years.",
    "p3": "The garden lies to the south and is watered twice a week in summer.",
}
QUERIES: list[dict[str, Any]] = [
    {"_id": "q1", "text": "Who installed the boiler in the cellar?", "answers": ["Brandt Heating"]},
    {"_id": "q2", "text": "What was the roof covered with?", "answers": ["slate", "Slate tiles"]},
    {"_id": "q3", "text": "Which violin hangs in the attic?", "answers": [], "is_impossible": True},
]


def footnote(folder: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "api.cli", "eval", *map(str, arguments)],
        cwd=folder,
        env={
            "PATH": "/usr/bin:/bin",
            "FOOTNOTE_EMBEDDING_BACKEND": "hashing",
            "PYTHONPATH": str(ROOT),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def the_run(folder: Path, *arguments: str | Path, name: str = "a", **environment: str) -> tuple[Run, str]:
    """Store a run and return it with what was printed."""
    done = footnote(folder, *arguments, "--name", name, **environment)
    assert done.returncode == 0, done.stderr
    return load_run(folder / ".footnote" / "evaluation" / f"{name}.json"), done.stdout


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    folder = tmp_path / "house"
    (folder / "qrels").mkdir(parents=True)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tp1\t1\nq2\tp2\t1\n")
    rows = [{"_id": i, "title": "", "text": text} for i, text in PASSAGES.items()]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, QUERIES)))
    return folder


def test_gold_questions_make_a_run_a_baseline_and_a_page(tmp_path: Path) -> None:
    """A run passes its own baseline, and does not differ from itself; the page needs nothing beside it."""
    run, printed = the_run(tmp_path, "run", GOLD, "--documents", SAMPLE)
    assert "refusal recall" in printed
    assert run.setup["unread_documents"] == []
    assert len(run.items) == 60
    # Words alone find most of the passages: the questions are judged and not just counted.
    found = [item.measures["retrieval recall"] for item in run.items if "retrieval recall" in item.measures]
    assert (len(found), 0.5 < sum(found) / len(found) <= 1.0) == (45, True)
    assert all(item.attempt for item in run.items)

    baseline = tmp_path / "baseline.json"
    assert footnote(tmp_path, "gate", "a", "--baseline", baseline, "--renew").returncode == 0
    held = footnote(tmp_path, "gate", "a", "--baseline", baseline)
    assert (held.returncode, "FALLEN" in held.stdout, "holds" in held.stdout) == (0, False, True)

    compared = footnote(tmp_path, "compare", "a", "a")
    assert (compared.returncode, "better" in compared.stdout, "worse" in compared.stdout) == (0, False, False)

    shown = footnote(tmp_path, "report", "a", "--against", "a")
    assert shown.returncode == 0, shown.stderr
    page = (tmp_path / ".footnote" / "evaluation" / "a.html").read_text(encoding="utf-8")
    assert "Risk and coverage" in page
    assert not any(word in page for word in ("http://", "https://", "<script", "<link", "url(http"))


def test_the_gate_falls_when_nothing_is_answered_any_more(tmp_path: Path, collection: Path) -> None:
    """Exit status 1, and the measures that fell are named."""
    the_run(tmp_path, "answers", collection, name="before")
    the_run(tmp_path, "answers", collection, name="after", FOOTNOTE_MIN_EVIDENCE="1")
    footnote(tmp_path, "gate", "before", "--baseline", "b.json", "--renew")
    done = footnote(tmp_path, "gate", "after", "--baseline", "b.json")
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if "answer accuracy" in line and "FALLEN" in line]


def test_answers_are_measured_over_a_judged_collection(tmp_path: Path, collection: Path) -> None:
    """Each passage is a document; accepted answers are found in the answer and in its footnotes."""
    run, _ = the_run(tmp_path, "answers", collection)
    by_id = {item.id: item for item in run.items}
    for query_id in ("q1", "q2"):
        assert by_id[query_id].measures["answer accuracy"] == 1.0
        assert by_id[query_id].measures["citation precision"] == 1.0
        assert by_id[query_id].problem is None
    assert by_id["q3"].measures == {"refusal precision": 1.0, "refusal recall": 1.0}
    assert run.setup["chunks"] == 3


def test_what_evaluation_refuses_the_service_refuses(tmp_path: Path, collection: Path) -> None:
    """The threshold is applied to answers that were asked for without one: nothing else may depend on it."""
    answer_set: AnswerSet = load_answer_set(collection)
    documents = tmp_path / "documents"
    documents.mkdir()
    for name, text in answer_set.documents.items():
        (documents / name).write_text(text, encoding="utf-8")
    run, _ = the_run(tmp_path, "answers", collection)
    settings = {"FOOTNOTE_EMBEDDING_BACKEND": "hashing", "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    base = [sys.executable, "-m", "api.cli"]
    subprocess.run([*base, "ingest", documents, "--store", "House"], cwd=tmp_path, env=settings, check=True, timeout=60)
    for item in run.items:
        told = subprocess.run(
            [*base, "ask", item.text],
            cwd=tmp_path,
            env=settings,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        is_refused = "do not contain the answer" in told
        assert is_refused is (item.details["outcome"] == "refused")
        assert is_refused or item.details["answer"] in " ".join(told.replace(" [1]", "").split())


def test_rankings_are_measured_with_a_pool_of_distractors(tmp_path: Path, collection: Path) -> None:
    """One part for each collection; the pool is searched and relevant to nothing."""
    pool = tmp_path / "pool"
    pool.mkdir()
    (pool / "corpus.jsonl").write_text(json.dumps({"_id": "x1", "title": "Roofs", "text": "Roofs are of many kinds."}))
    run, printed = the_run(tmp_path, "ranking", collection, "--pool", pool)
    assert (run.setup["passages"], list(run.parts)) == (4, ["house+pool"])
    assert [item.measures["nDCG@10"] for item in run.items] == [1.0, 1.0]
    assert "x1" in {passage["id"] for item in run.items for passage in item.details["found"]}
    assert "nDCG@10" in printed


def test_documents_that_could_not_be_read_are_named(tmp_path: Path) -> None:
    """Figures that hold without some of the documents must not look like figures of the folder."""
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "good.txt").write_text("It is 5 km.")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and nothing behind it")
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"question": "How far is it?", "document": "good.txt", "quote": "It is 5 km."}))
    output = tmp_path / "reports" / "run.json"
    done = footnote(tmp_path, "run", questions, "--documents", folder, "--output", output)
    assert done.returncode == 0, done.stderr
    assert "broken.pdf" in done.stdout
    assert load_run(output).setup["unread_documents"] == ["broken.pdf"]


def test_a_run_that_is_not_there_is_a_stated_error(tmp_path: Path) -> None:
    """Exit status 2 and one line; 1 is for a gate that fell."""
    done = footnote(tmp_path, "gate", "gone", "--baseline", "none.json")
    assert done.returncode == 2
    assert "There is no run at" in done.stderr

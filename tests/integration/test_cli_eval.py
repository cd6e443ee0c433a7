"""`footnote eval`: from questions to stored runs, comparisons, the gate and the report."""

import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from api.cli import load_commands
from catalog.errors import InvalidRequest
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


@dataclass(frozen=True, kw_only=True)
class Cli:
    """`footnote eval` in this process, with a state folder and settings of its own."""

    home: Path
    patch: pytest.MonkeyPatch

    def __call__(self, *arguments: str | Path, **settings: str) -> Result:
        with self.patch.context() as patch:
            for name, value in {
                "FOOTNOTE_HOME": str(self.home),
                "FOOTNOTE_EMBEDDING_BACKEND": "hashing",
                **settings,
            }.items():
                patch.setenv(name, value)
            return CliRunner().invoke(load_commands(), ["eval", *map(str, arguments)])

    def run(self, *arguments: str | Path, name: str = "a", **settings: str) -> tuple[Run, str]:
        """Store a run and return it with what was printed."""
        done = self(*arguments, "--name", name, **settings)
        assert done.exit_code == 0, done.output
        return load_run(self.home / "evaluation" / f"{name}.json"), done.output


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    return Cli(home=tmp_path / "home", patch=monkeypatch)


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    folder = tmp_path / "house"
    (folder / "qrels").mkdir(parents=True)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tp1\t1\nq2\tp2\t1\n")
    rows = [{"_id": i, "title": "", "text": text} for i, text in PASSAGES.items()]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, QUERIES)))
    return folder


def test_gold_questions_make_a_run_a_baseline_and_a_page(cli: Cli, tmp_path: Path) -> None:
    """A run passes its own baseline, and does not differ from itself; the page needs nothing beside it."""
    run, printed = cli.run("run", GOLD, "--documents", SAMPLE)
    assert "refusal recall" in printed
    assert run.setup["unread_documents"] == []
    assert len(run.items) == 60
    # Words alone find most of the passages: the questions are judged and not just counted.
    found = [item.measures["retrieval recall"] for item in run.items if "retrieval recall" in item.measures]
    assert (len(found), 0.5 < sum(found) / len(found) <= 1.0) == (45, True)
    assert all(item.attempt for item in run.items)

    baseline = tmp_path / "baseline.json"
    assert cli("gate", "a", "--baseline", baseline, "--renew").exit_code == 0
    held = cli("gate", "a", "--baseline", baseline)
    assert (held.exit_code, "FALLEN" in held.output, "holds" in held.output) == (0, False, True)

    compared = cli("compare", "a", "a")
    assert (compared.exit_code, "better" in compared.output, "worse" in compared.output) == (0, False, False)

    shown = cli("report", "a", "--against", "a")
    assert shown.exit_code == 0, shown.output
    page = (cli.home / "evaluation" / "a.html").read_text(encoding="utf-8")
    assert "Risk and coverage" in page
    assert not any(word in page for word in ("http://", "https://", "<script", "<link", "url(http"))


def test_the_gate_falls_when_nothing_is_answered_any_more(cli: Cli, tmp_path: Path, collection: Path) -> None:
    """Exit status 1, and the measures that fell are named."""
    cli.run("answers", collection, name="before")
    cli.run("answers", collection, name="after", FOOTNOTE_MIN_EVIDENCE="1")
    cli("gate", "before", "--baseline", tmp_path / "b.json", "--renew")
    done = cli("gate", "after", "--baseline", tmp_path / "b.json")
    assert done.exit_code == 1
    assert [line for line in done.output.splitlines() if "answer accuracy" in line and "FALLEN" in line]


def test_answers_are_measured_over_a_judged_collection(cli: Cli, collection: Path) -> None:
    """Each passage is a document; accepted answers are found in the answer and in its footnotes."""
    run, _ = cli.run("answers", collection)
    by_id = {item.id: item for item in run.items}
    for query_id in ("q1", "q2"):
        assert by_id[query_id].measures["answer accuracy"] == 1.0
        assert by_id[query_id].measures["citation precision"] == 1.0
        assert by_id[query_id].problem is None
    assert by_id["q3"].measures == {"refusal precision": 1.0, "refusal recall": 1.0}
    assert run.setup["chunks"] == 3


def test_rankings_are_measured_with_a_pool_of_distractors(cli: Cli, tmp_path: Path, collection: Path) -> None:
    """One part for each collection; the pool is searched and relevant to nothing."""
    pool = tmp_path / "pool"
    pool.mkdir()
    (pool / "corpus.jsonl").write_text(json.dumps({"_id": "x1", "title": "Roofs", "text": "Roofs are of many kinds."}))
    run, printed = cli.run("ranking", collection, "--pool", pool)
    assert (run.setup["passages"], list(run.parts)) == (4, ["house+pool"])
    assert [item.measures["nDCG@10"] for item in run.items] == [1.0, 1.0]
    assert "x1" in {passage["id"] for item in run.items for passage in item.details["found"]}
    assert "nDCG@10" in printed


def test_documents_that_could_not_be_read_are_named(cli: Cli, tmp_path: Path) -> None:
    """Figures that hold without some of the documents must not look like figures of the folder; archives are opened."""
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "good.txt").write_text("It is 5 km.")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and nothing behind it")
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("inner.txt", "It is 2 m high.")
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"question": "How far is it?", "document": "good.txt", "quote": "It is 5 km."}))
    output = tmp_path / "reports" / "run.json"
    done = cli("run", questions, "--documents", folder, "--output", output)
    assert done.exit_code == 0, done.output
    assert "broken.pdf" in done.output
    setup = load_run(output).setup
    # The archive itself is a document too: the list of what it holds.
    assert (setup["unread_documents"], setup["chunks"]) == (["broken.pdf"], 3)


def test_a_threshold_is_calibrated_served_and_marked(cli: Cli, collection: Path) -> None:
    """The share that is set decides what is refused, in runs too; the page marks the point; what fails exits with 1."""
    first, _ = cli.run("answers", collection)
    surest = sorted(((item.attempt.confidence, item.id) for item in first.items if item.attempt), reverse=True)
    done = cli("calibrate", "a", "--wrong-at-most", "0.7", "--confidence", "0.5")
    assert done.exit_code == 0, done.output
    assert "the lowest that holds" in done.output
    assert "set wrong_answers_at_most to 0.7" in done.output
    page = cli.home / "evaluation" / "a.html"
    cli("report", "a")
    assert 'class="mark calibrated"' in page.read_text(encoding="utf-8")
    served, _ = cli.run("answers", collection, name="b", FOOTNOTE_WRONG_ANSWERS_AT_MOST="0.7")
    assert served.setup["min_evidence"] != first.setup["min_evidence"]
    answered = {item.id for item in served.items if item.details["outcome"] == "answered"}
    assert answered == {question for evidence, question in surest if evidence >= served.setup["min_evidence"]}
    failed = cli("calibrate", "a")
    assert (failed.exit_code, "at least 45 answers are needed" in failed.output) == (1, True)
    cli("report", "a")
    assert "cannot be shown with 3 questions" in page.read_text(encoding="utf-8")


def test_a_run_is_made_where_the_calibration_is_yet_to_come(cli: Cli, collection: Path) -> None:
    """The settings that it is for may be in force already: answers are judged by min_evidence, and that is said."""
    run, printed = cli.run("answers", collection, FOOTNOTE_WRONG_ANSWERS_AT_MOST="0.05")
    assert run.setup["min_evidence"] == 0.55
    assert "Until then answers are judged by min_evidence" in " ".join(printed.split())


def test_questions_are_asked_with_the_settings(cli: Cli, collection: Path) -> None:
    """So that what is measured, and calibrated, is what is served."""
    run, _ = cli.run("answers", collection, FOOTNOTE_MAX_RESULTS="1", FOOTNOTE_SCORE_THRESHOLD="0.999")
    assert (run.setup["max_results"], run.setup["score_threshold"]) == (1, 0.999)
    measured = [item.measures for item in run.items if "retrieval recall" in item.measures]
    assert len(measured) == 2
    assert all(item.attempt is not None for item in run.items)


def test_a_run_that_is_not_there_is_a_stated_error(cli: Cli) -> None:
    """It is not an exit with 1, which is for a gate that fell."""
    done = cli("gate", "gone", "--baseline", "none.json")
    assert isinstance(done.exception, InvalidRequest)
    assert re.search(r"no run at '.*/home/evaluation/gone\.json'", done.exception.message)

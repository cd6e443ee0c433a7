"""`footnote prompts` and `footnote task`: what people see of prompts, and what they are refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from api.cli import load_commands
from catalog.errors import ConfigurationError, InvalidRequest
from tests.unit.generation.prompts.test_cases import GOOD
from tests.unit.generation.prompts.test_template import a_prompt_file

Cli = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a good prompt and a bad one."""
    (tmp_path / "mine.md.j2").write_text(a_prompt_file(GOOD))
    (tmp_path / "bad.md.j2").write_text(a_prompt_file(name='"bad"'))
    return tmp_path


@pytest.fixture
def cli(folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command in this process with a state folder of its own."""
    home = tmp_path_factory.mktemp("home")
    fixed = {"FOOTNOTE_HOME": home, "FOOTNOTE_EMBEDDING_BACKEND": "hashing", "FOOTNOTE_PROMPTS": folder}

    def run(*arguments: str | Path, **settings: str) -> Result:
        with monkeypatch.context() as patch:
            for name, value in {**fixed, **settings}.items():
                patch.setenv(name, str(value))
            return CliRunner().invoke(load_commands(), [str(each) for each in arguments])

    return run


def test_prompts_are_listed_with_where_they_come_from(cli: Cli) -> None:
    """The one that answers is marked."""
    lines = cli("prompts", "list").output.splitlines()
    by_name = {line[1:].split()[0]: line for line in lines}
    assert by_name["answer"].startswith("*")
    assert ("package" in by_name["answer"], "folder" in by_name["mine"]) == (True, True)
    assert "few-shot" in by_name["answer-few-shot"]


def test_a_prompt_is_shown_as_it_is_written_and_as_a_model_gets_it(cli: Cli, folder: Path) -> None:
    """A case that there is not is named beside those that there are."""
    assert cli("prompts", "show", "mine").output == (folder / "mine.md.j2").read_text()
    shown = cli("prompts", "show", "answer", "--case", "two sources").output
    assert shown.startswith("--- system\n")
    assert 'section="Building guide › Lifts" page="7" date="2024-03-01">' in shown
    missing = cli("prompts", "show", "answer", "--case", "three")
    assert isinstance(missing.exception, InvalidRequest)
    assert "has no case 'three'; there are 'two sources', 'nothing answers'" in missing.exception.message


def test_a_prompt_is_compared(cli: Cli, folder: Path) -> None:
    """With the package's of its name, or with another one; the exit status tells whether they differ."""
    assert cli("prompts", "diff", "answer").exit_code == 0
    text = cli("prompts", "show", "answer").output
    (folder / "answer.md.j2").write_text(text.replace("version = 2", "version = 3"))
    changed = cli("prompts", "diff", "answer")
    assert changed.exit_code == 1
    assert changed.output.splitlines()[:2] == ["--- answer 2, package", "+++ answer 3"]
    assert "-version = 2\n+version = 3\n" in changed.output
    assert cli("prompts", "diff", "answer-reasoning", "answer-few-shot").exit_code == 1
    assert isinstance(cli("prompts", "diff", "mine").exception, InvalidRequest)


def test_cases_are_run(cli: Cli) -> None:
    """Exit status 1 when one fails, with each problem; without a language model no reply is tested."""
    good = cli("prompts", "test", "mine", "answer")
    assert (good.exit_code, good.output.splitlines()[:2]) == (0, ["mine: passes", "answer: passes"])
    assert "Replies were not tested" in good.output
    bad = cli("prompts", "test")
    assert bad.exit_code == 1
    assert "bad: fails\n  two sources: '[none]' is missing." in bad.output


def test_a_prompt_whose_cases_fail_is_no_default(cli: Cli) -> None:
    """Whatever would answer with it does not start; the good one answers."""
    refused = cli("ask", "Why?", FOOTNOTE_PROMPT="bad")
    assert isinstance(refused.exception, ConfigurationError)
    assert "Prompt 'bad' fails its case 'two sources'" in refused.exception.message
    assert cli("ask", "Why?", FOOTNOTE_PROMPT="mine").exit_code == 0
    assert "There is no prompt 'nonsense'" in str(cli("ask", "Why?", FOOTNOTE_PROMPT="nonsense").exception)


def test_a_prompt_is_tested_by_an_evaluation(cli: Cli, tmp_path: Path) -> None:
    """Its answers may not fall below a baseline; the run says which prompt it is of."""
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "lift.txt").write_text("The goods lift carries 900 kg and is checked every spring.")
    questions = tmp_path / "questions.jsonl"
    questions.write_text(
        '{"question": "How much does the goods lift carry?", "answer": "900 kg", "document": "lift.txt"}'
    )
    run = tmp_path / "run.json"
    at_any_evidence = {"FOOTNOTE_MIN_EVIDENCE": "0"}
    done = cli("eval", "run", questions, "--documents", documents, "--output", run, **at_any_evidence)
    assert done.exit_code == 0, done.output
    assert '"prompt": "answer 2, ' in run.read_text()
    baseline = tmp_path / "baseline.json"
    assert cli("eval", "gate", run, "--baseline", baseline, "--renew").exit_code == 0
    options = ("--questions", questions, "--documents", documents, "--baseline", baseline)
    held = cli("prompts", "test", "mine", *options, **at_any_evidence)
    assert (held.exit_code, "answer accuracy" in held.output) == (0, True)
    fallen = cli("prompts", "test", "mine", *options, FOOTNOTE_MIN_EVIDENCE="1")
    assert (fallen.exit_code, "FALLEN" in fallen.output) == (1, True)
    assert isinstance(cli("prompts", "test", *options).exception, InvalidRequest)


def test_work_on_documents_needs_a_language_model(cli: Cli, tmp_path: Path) -> None:
    """Every task says so, and a schema that is no JSON is told before that."""
    schema = tmp_path / "schema.json"
    schema.write_text("{}")
    for arguments in (
        ("summarize", "file-1"),
        ("extract", "file-1", "--schema", schema),
        ("classify", "file-1", "--label", "a", "--label", "b"),
        ("translate", "file-1", "--to", "German"),
    ):
        done = cli("task", *arguments)
        assert "needs a language model, and the setting generator is 'extractive'" in str(done.exception)
    schema.write_text("{")
    assert "does not hold JSON" in str(cli("task", "extract", "file-1", "--schema", schema).exception)

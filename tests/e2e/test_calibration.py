"""From questions with known answers to a service that keeps a share of wrong answers."""

from pathlib import Path

from tests.e2e.conftest import ROOT, SAMPLE, footnote

GOLD = ROOT / "data" / "gold" / "questions.jsonl"


def test_the_gold_questions_calibrate_what_is_refused(tmp_path: Path) -> None:
    """A share that they can keep is served; one that they cannot keeps the command from starting, and says why."""

    def run(*arguments: str, **settings: object) -> tuple[int, str]:
        done = footnote(*arguments, home=tmp_path, **{"embedding_backend": "hashing"} | settings)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "house.txt").write_text("The boiler in the cellar was installed by Brandt Heating in 2011.")
    assert run("ingest", str(documents))[0] == 0

    assert run("eval", "run", str(GOLD), "--documents", str(SAMPLE), "--name", "gold")[0] == 0
    status, printed = run("eval", "calibrate", "gold", "--wrong-at-most", "0.4")
    assert (status, "at most 40 % of them wrong at a confidence of 90 %" in printed) == (0, True)
    status, printed = run("ask", "Who installed the boiler in the cellar?", wrong_answers_at_most=0.4)
    assert (status, "Brandt Heating in 2011. [1]" in printed) == (0, True)
    status, printed = run("ask", "Which violin hangs in the attic?", wrong_answers_at_most=0.4)
    assert (status, "[1]" in printed) == (0, False)
    status, printed = run("ask", "Who installed the boiler in the cellar?", wrong_answers_at_most=0.01)
    assert status == 2
    assert "At most 1 % wrong answers at a confidence of 90 % cannot be shown with 60 questions" in printed

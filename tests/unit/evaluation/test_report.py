"""The page shows what is in the run, and nothing of it is taken for markup."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evaluation.calibration import calibrate
from evaluation.comparison import compare
from evaluation.report import render, write_report
from evaluation.runs import Run, Task
from tests.builders import a_run, an_attempt, an_item

VOID = {"meta", "link", "br", "line", "rect", "polyline", "circle"}
# HTML allows these to be left open.
OPTIONAL = {"html", "head", "body", "dt", "dd", "p"}


class Outline(HTMLParser):
    """Checks that elements are closed in order, and keeps headings and what would be loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID | OPTIONAL:
            self.open.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "data"}]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID | OPTIONAL:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in {"h1", "h2"}:
            self.headings.append(data)


def outline_of(page: str) -> Outline:
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    return outline


def answers_run(**overrides: object) -> Run:
    details = {
        "outcome": "answered",
        "answer": "It is 5 km.",
        "cited": [{"document": "a.txt", "page": 3, "quote": "It is 5 km.", "supports": True}],
        "accepted": ["5 km"],
        "documents": ["a.txt"],
        "quotes": ["It is 5 km."],
    }
    return a_run(
        an_item(1, attempt=an_attempt(0.8, is_right=True), details=details),
        an_item(
            2,
            part="table",
            text="How <b>high</b>?",
            measures={"answer accuracy": 0.0, "refusal precision": 0.0},
            attempt=an_attempt(0.4, is_right=False),
            problem="Refused & lost.",
            details={**details, "outcome": "refused", "cited": []},
        ),
        **{"setup": {"data": "0123", "min_evidence": 0.55, "unread_documents": ["broken.pdf"]}} | overrides,
    )


def ranking_run() -> Run:
    passage = {"id": "d1", "text": "red apples", "score": 0.9, "is_relevant": True}
    details = {"first_relevant": 1, "found": [passage], "relevant": [{"id": "d1", "text": "red apples"}]}
    return a_run(an_item(measures={"nDCG@10": 1.0}, details=details), task=Task.RANKING)


@pytest.mark.parametrize(
    ("run", "headings"),
    [
        (answers_run(), ["Measures", "Risk and coverage", "Parts", "Questions", "Setup"]),
        (ranking_run(), ["Measures", "Rank of the first relevant passage", "Questions", "Setup"]),
        (a_run(), ["Measures", "Questions", "Setup"]),
    ],
    ids=["answers", "ranking", "bare"],
)
def test_a_page_is_whole_and_loads_nothing(run: Run, headings: list[str]) -> None:
    """What the run has not is left out; no script, no style sheet, no picture from elsewhere."""
    page = render(run)
    outline = outline_of(page)
    assert outline.headings == ["a run", *headings]
    assert outline.loaded == []
    assert not re.search(r"<script|@import|url\((?!#)", page)


@pytest.mark.parametrize(
    ("share", "shown"), [(0.95, "keeps wrong answers at or below 95 % of those given"), (0.05, "at least 45 answers")]
)
def test_the_calibrated_point_is_marked(share: float, shown: str) -> None:
    """With what it promises; or it is said why there is none."""
    run = answers_run(setup={"data": "0123"})
    page = render(run, calibration=calibrate(run, wrong_at_most=share, confidence=0.9, settings=()))
    outline_of(page)
    assert (shown in page, 'class="mark calibrated"' in page) == (True, share == 0.95)
    assert 'class="mark calibrated"' not in render(run)


def test_the_comparison_is_shown_when_there_is_one() -> None:
    """With its verdicts, by measure and by part."""
    run = answers_run()
    page = render(run, compare(run, run))
    assert "Compared with a run" in outline_of(page).headings
    assert page.count("no difference shown") >= 3


def test_questions_that_went_wrong_come_first() -> None:
    """The reader looks for what to mend."""
    page = render(answers_run())
    assert page.index("Refused &amp; lost.") < page.index("Question 1?")
    assert page.index("How &lt;b&gt;high&lt;/b&gt;?") < page.index("Question 1?")


def test_what_documents_say_is_escaped() -> None:
    """A question or a quote with markup is shown as it was written."""
    assert "<b>high" not in render(answers_run())


def test_unread_documents_are_named_at_the_top() -> None:
    """Figures that hold without them are not those of the folder."""
    page = render(answers_run())
    assert page.index("broken.pdf") < page.index("<h2>Measures")


def test_a_long_run_shows_its_worst_questions(tmp_path: Path) -> None:
    """The page stays readable, and says how many it leaves out."""
    run = a_run(*(an_item(n, problem="Lost." if n == 450 else None) for n in range(451)))
    write_report(tmp_path / "new" / "page.html", run)
    page = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert page.count("<summary>") == 400
    assert "51 further questions" in page
    assert page.index("Question 450?") < page.index("Question 0?")

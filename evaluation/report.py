"""A run of questions, written down: a JSON file for machines, lines for people."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.answers import Judged, Scores


def write_report(path: Path, scores: Scores, judged: Sequence[Judged], *, setup: dict[str, Any]) -> None:
    """Write scores, the setup that they hold for, and every question with its answer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"setup": setup, "scores": asdict(scores), "questions": [_question(one) for one in judged]}
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")


def by_kind(judged: Sequence[Judged]) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield kind, questions, retrieved, cited and refused, by kind of question."""
    for kind, count in sorted(Counter(one.question.kind for one in judged).items()):
        of_kind = [one for one in judged if one.question.kind == kind]
        yield (
            kind,
            count,
            sum(one.is_retrieved for one in of_kind),
            sum(one.is_cited for one in of_kind),
            sum(one.is_refused for one in of_kind),
        )


def _question(one: Judged) -> dict[str, Any]:
    return {
        **asdict(one.question),
        "outcome": one.answer.outcome.value,
        "is_retrieved": one.is_retrieved,
        "is_cited": one.is_cited,
        "answer_given": one.answer.text,
        "cited": [
            {"document": c.source.passage.chunk.filename, "page": c.page, "quote": c.quote}
            for c in one.answer.citations
        ],
    }

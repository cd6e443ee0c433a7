"""Recall@5 of follow-up questions by the way in which they are made to stand alone, without a language model.

.venv/bin/python -m benchmarks.follow_ups

Three sets over data/sample: the turns of data/gold/conversations.jsonl that have one before them; the first turns,
which have none; and each question of data/gold/questions.jsonl behind another one that it has nothing to do with.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from api.cli.evaluation import fresh_services, ingest_folder
from api.settings import load_settings
from api.wiring import Services
from evaluation.conversations import GoldTurn, load_conversations
from evaluation.questions import load_questions
from generation.conversation import stand_alone
from generation.evidence import content_terms
from generation.turns import Turn
from retrieval.indexes.base import Scope
from retrieval.searcher import SearchRequest

_DATA: Final = Path(__file__).parent.parent / "data"
_TOP: Final = 5

Rule = Callable[[str, Sequence[Turn]], str]


def _behind_last(question: str, turns: Sequence[Turn]) -> str:
    return f"{turns[-1].question}\n{question}" if turns else question


def _one_term(question: str, turns: Sequence[Turn]) -> str:
    """The rule until now."""
    return _behind_last(question, turns) if len(content_terms(question)) <= 1 else question


RULES: Final[Mapping[str, Rule]] = {
    "as asked": lambda question, _: question,
    "one content word": _one_term,
    "in use": stand_alone,
    "always the last": _behind_last,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--missed", action="store_true", help="name the turns that the rule in use does not find")
    arguments = parser.parse_args()
    turns = load_conversations(_DATA / "gold" / "conversations.jsonl")
    sets = {
        "follow-ups": [turn for turn in turns if turn.before],
        "first turns": [turn for turn in turns if not turn.before],
        "behind another": _behind_another(),
    }
    console = Console(highlight=False)
    with fresh_services(load_settings(log_level="error")) as services:
        scope = Scope(vector_store_ids=frozenset([ingest_folder(services, _DATA / "sample").id]))
        table = Table("Rule", *(f"{name} ({len(of_set)})" for name, of_set in sets.items()), box=None)
        for name, rule in RULES.items():
            found = [[_is_found(services, scope, turn, rule) for turn in of_set] for of_set in sets.values()]
            table.add_row(name, *(f"{sum(hits) / len(hits):.3f}" for hits in found))
            if arguments.missed and name == "in use":
                for of_set, hits in zip(sets.values(), found, strict=True):
                    for turn in (turn for turn, hit in zip(of_set, hits, strict=True) if not hit):
                        console.print(f"missed {turn.id}: {stand_alone(turn.question, turn.before)!r}")
    console.print(table)


def _behind_another() -> list[GoldTurn]:
    """Return each answerable question behind the one that is seven lines further down."""
    questions = [each for each in load_questions(_DATA / "gold" / "questions.jsonl") if each.quotes]
    return [
        GoldTurn(
            id=question.id,
            question=question.text,
            document=question.documents[0],
            quote=question.quotes[0],
            before=(Turn(question=questions[(place + 7) % len(questions)].text),),
        )
        for place, question in enumerate(questions)
    ]


def _is_found(services: Services, scope: Scope, turn: GoldTurn, rule: Rule) -> bool:
    queries = list(dict.fromkeys([turn.question, rule(turn.question, turn.before)]))
    request = SearchRequest(queries=queries, scope=scope, limit=_TOP, ranking=services.ranking)
    return turn.is_found(services.searcher.search(request).passages)


if __name__ == "__main__":
    main()

"""What was said before a question: turns, and which of them fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """A question and what was answered; "" when nothing was."""

    question: str
    answer: str = ""
    # Files that the words of the answer may come from: who deletes one of them deletes the words too.
    file_ids: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitting:
    """The newest turns that fit into a budget, and the older ones that do not; each oldest first."""

    kept: Sequence[Turn]
    dropped: Sequence[Turn]


def fit_turns(turns: Sequence[Turn], *, budget: int, count_tokens: Callable[[str], int]) -> Fitting:
    """Keep the newest turns while their tokens fit into `budget`; none is kept behind one that is dropped."""
    left = budget
    for place in range(len(turns), 0, -1):
        turn = turns[place - 1]
        left -= count_tokens(turn.question) + count_tokens(turn.answer)
        if left < 0:
            return Fitting(kept=turns[place:], dropped=turns[:place])
    return Fitting(kept=turns, dropped=[])


def file_ids_of(turns: Sequence[Turn]) -> list[str]:
    """Return the files that the turns' words may come from, each once, in order."""
    return list(dict.fromkeys(file_id for turn in turns for file_id in turn.file_ids))

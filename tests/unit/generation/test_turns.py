"""Of a conversation the newest turns are kept."""

import pytest

from generation.turns import Turn, file_ids_of, fit_turns

TURNS = [Turn(question="a b", answer="c"), Turn(question="d e f", answer="g h"), Turn(question="i", answer="j")]


@pytest.mark.parametrize(("budget", "kept"), [(10, 3), (9, 2), (7, 2), (6, 1), (2, 1), (1, 0), (0, 0)])
def test_the_newest_turns_are_kept_while_they_fit(budget: int, kept: int) -> None:
    """No turn is kept behind one that was dropped, and none is lost."""
    fitting = fit_turns(TURNS, budget=budget, count_tokens=lambda text: len(text.split()))
    assert (list(fitting.dropped), list(fitting.kept)) == (TURNS[: 3 - kept], TURNS[3 - kept :])


def test_files_of_turns_are_listed_once() -> None:
    """In the order in which they came up."""
    turns = [Turn(question="a", file_ids=["2", "1"]), Turn(question="b"), Turn(question="c", file_ids=["1", "3"])]
    assert file_ids_of(turns) == ["2", "1", "3"]

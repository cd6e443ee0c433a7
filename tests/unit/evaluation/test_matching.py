"""Answers and quotes are compared by their words, in any script."""

import pytest

from evaluation.matching import answer_tokens, contains_answer, exact_match, f1, holds, overlaps


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Eiffel Tower, in Paris!", ["eiffel", "tower", "in", "paris"]),
        ("an apple a day", ["apple", "day"]),
        ("$1,150.00", ["115000"]),
        ("東京タワーです。", ["東", "京", "タ", "ワ", "ー", "で", "す"]),
        ("ＲＩＭＥ 40を", ["rime", "40", "を"]),
        ("«Straße»", ["strasse"]),
        ("", []),
    ],
)
def test_answers_are_normalised_as_squad_does(text: str, expected: list[str]) -> None:
    """Lower case, no punctuation, no articles; characters where a script has no spaces."""
    assert answer_tokens(text) == expected


@pytest.mark.parametrize(
    ("answer", "accepted", "match", "overlap"),
    [
        ("the Normans.", ["Normans"], 1.0, 1.0),
        ("in Normandy, France", ["France", "Normandy"], 0.0, 0.5),
        # Precision 1/3, recall 1; and of the better accepted answer.
        ("10th and 11th", ["the 10th", "twelfth"], 0.0, 0.5),
        # A word counts as often as both have it.
        ("no no no", ["no no"], 0.0, 0.8),
        ("Paris", ["London"], 0.0, 0.0),
        ("", ["Paris"], 0.0, 0.0),
        # Nothing but an article is nothing, as the official script has it.
        ("", ["the"], 1.0, 1.0),
        ("東京", ["東京都"], 0.0, 0.8),
        ("Paris", [], 0.0, 0.0),
    ],
)
def test_exact_match_and_f1_have_their_known_values(
    answer: str, accepted: list[str], match: float, overlap: float
) -> None:
    """Worked out by hand from the definitions."""
    assert exact_match(answer, accepted) == match
    assert f1(answer, accepted) == pytest.approx(overlap)


@pytest.mark.parametrize(
    ("text", "accepted", "expected"),
    [
        ("It was the Kingdom of France, then.", ["kingdom of france"], True),
        ("It costs 150 euros.", ["15"], False),
        ("Paris of Texas", ["Texas Paris"], False),
        ("答えは東京です", ["東京"], True),
        ("anything", ["the"], False),
        ("anything", [], False),
    ],
)
def test_an_answer_is_contained_in_one_piece(text: str, accepted: list[str], expected: bool) -> None:
    """Not as a part of a longer word, and not in another order."""
    assert contains_answer(text, accepted) is expected


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("It  is\n5 km.", "it is 5 KM.", True),
        ("| Item | Price |\n| --- | --- |\n| Pump | 5 |", "Pump 5", True),
        ("It is 6 km.", "It is 5 km.", False),
        ("Leave it for 16 hours.", "6 hours", False),
        ("Leave it for 6 hours.", "6 hours", True),
        ("電源を入れてください", "電源を", True),
        ("anything", None, False),
        ("anything", "", False),
    ],
)
def test_words_are_compared_without_blanks_case_and_bars(text: str, words: str | None, expected: bool) -> None:
    """What a parser or a table adds to the words does not count; a part of a word is not the word."""
    assert holds(text, words) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("It is 5 km.", "It is 5 km.", True),
        ("We measured. It is 5 km.", "It is 5 km. That is all.", True),
        ("We measured it. It is 5 km.", "km. that is all there is", False),
        ("that is what it is 5 times", "It is 5 km.", True),
        ("", "It is 5 km.", False),
    ],
)
def test_quotes_overlap_by_half_of_the_shorter_one(one: str, other: str, expected: bool) -> None:
    """In one piece, and whichever comes first."""
    assert overlaps(one, other) is expected
    assert overlaps(other, one) is expected

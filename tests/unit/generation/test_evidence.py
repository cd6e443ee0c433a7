"""What a question asks for by its words."""

import pytest

from generation.evidence import content_terms, coverage, identifiers, names_all


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("When is the red pump checked?", ["red", "pump", "checked"]),
        ("Wann wird die Pumpe geprüft?", ["pumpe", "gepruft"]),
        ("the", ["the"]),
        ("?", []),
    ],
)
def test_function_words_carry_no_content(question: str, expected: list[str]) -> None:
    """They are left out, unless nothing else is there."""
    assert expected == content_terms(question)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What does error E41 of the DP-150 mean?", ["e41", "dp-150"]),
        ("What changed in 4.3.1?", ["4.3.1"]),
        ("Which filter has the Rime 20?", ["rime 20"]),
        ("How many days in 2020?", []),
        ("What is a pump?", []),
    ],
)
def test_codes_and_numbered_names_are_identifiers(question: str, expected: list[str]) -> None:
    """What the question names exactly; plain words and years are none."""
    assert expected == identifiers(question)


@pytest.mark.parametrize(
    ("text", "wanted", "expected"),
    [
        ("The DP 150 pump", ["dp-150"], True),
        ("The DP-1500 pump", ["dp-150"], False),
        ("Rime-20 and E41", ["rime 20", "e41"], True),
        ("Rime-20", ["rime 20", "e41"], False),
        ("anything", [], True),
    ],
)
def test_a_text_names_what_is_wanted_or_not(text: str, wanted: list[str], expected: bool) -> None:
    """Blanks and hyphens are the same, a longer number is another thing."""
    assert expected is names_all(text, wanted)


def test_rare_words_cover_more_than_frequent_ones() -> None:
    """Coverage is 0 to 1, and a word that every text has says little."""
    frequent, rare, none, whole = coverage(["common", "rare"], ["common", "rare", "", "common rare common"])
    assert 0 == none < frequent < whole == pytest.approx(1.0)
    assert frequent <= rare < whole
    assert (coverage([], ["words"]), coverage(["words"], [])) == ([0.0], [])

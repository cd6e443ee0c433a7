"""Function words of the language that a question is asked in."""

import pytest

from retrieval.analysis import terms
from retrieval.function_words import function_words, function_words_among


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Why did the war start?", {"why", "did", "the"}),
        ("Which man sits at the door?", {"which", "at", "the"}),
        ("Warum war die Tür offen?", {"warum", "war", "die"}),
        ("Waarom was de deur open?", {"waarom", "de"}),
        ("¿Cuál es la capital de Francia?", {"cual", "es", "la", "de"}),
        ("door price", set()),
        ("capital of France", set()),
        ("to be or not to be", set()),
        ("why?", set()),
        ("首都是哪里", set()),
        ("", set()),
    ],
)
def test_words_are_idle_in_the_language_of_the_question(question: str, expected: set[str]) -> None:
    """Two of them tell the language; what is idle in another one keeps its content; something must be left."""
    assert function_words_among(terms(question)) == expected


def test_all_languages_are_read() -> None:
    """Folded, as terms are."""
    assert {"the", "fur", "ou", "cual", "perche", "het", "nao"} <= function_words()

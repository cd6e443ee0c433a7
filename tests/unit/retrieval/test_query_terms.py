"""Which words of a question are looked up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.analysis import index_terms
from retrieval.query_terms import query_terms


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("What is the capital of France?", ["capital", "franc"]),
        ("What is the capital of France of the North?", ["capital", "franc", "north"]),
        ("How do I reach the IT desk?", ["reach", "it", "desk"]),
        ("What does the WHO say about vitamin A?", ["who", "say", "vitamin", "a"]),
        ("WHAT IS THE CAPITAL OF FRANCE", ["capital", "franc"]),
        ("A list of the pumps", ["list", "pump"]),
        ("How is getUserName called?", ["getusernam", "called", "get", "user", "name"]),
        ("To be or not to be", ["to", "be", "or", "not"]),
        ("pump of PX-200/4", ["pump", "of", "px-200/4", "px", "200", "4"]),
        ("？", []),
    ],
)
def test_words_with_content_are_looked_up(query: str, expected: list[str]) -> None:
    """Each once; capitals make a name of a function word; where nothing else is left, all words count."""
    assert query_terms(query) == expected


@given(st.text())
def test_a_query_with_words_looks_some_up(query: str) -> None:
    """Only index terms, and never none of them."""
    found, terms = query_terms(query), index_terms(query)
    assert set(found) <= set(terms)
    assert bool(found) == bool(terms)


def test_a_question_of_a_thousand_words_is_cut() -> None:
    """The first 256 distinct terms are looked up."""
    assert query_terms(" ".join(f"w{n}x" for n in range(1000)))[:2] == ["w0x", "w1x"]
    assert len(query_terms(" ".join(f"w{n}x" for n in range(1000)))) == 256

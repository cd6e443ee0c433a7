"""Words become sparse vectors whose product is BM25, but for the factor that the server adds."""

import pytest

from retrieval.indexes.qdrant_words import document_vector, query_vector, term_number


def weights(text: str) -> dict[int, float]:
    vector = document_vector(text)
    return dict(zip(vector.indices, vector.values, strict=True))


def test_a_repeated_term_weighs_more_but_less_than_twice() -> None:
    """BM25's saturation: k1 + 1 is never reached."""
    once, twice, often = (weights(" ".join(["rare"] * n))[term_number("rare")] for n in (1, 2, 1000))
    assert once < twice < 2 * once
    assert twice < often < 2.2


def test_a_term_of_a_chunk_of_the_usual_length_weighs_one() -> None:
    """tf * (k1 + 1) / (tf + k1) is 1 for a single occurrence; longer chunks give less, shorter ones more."""
    texts = [" ".join(map(str, range(length))) for length in (16, 128, 512)]
    short, usual, long = (weights(text)[term_number("0")] for text in texts)
    assert usual == pytest.approx(1.0)
    assert long < usual < short


def test_a_question_counts_each_term_once() -> None:
    """Its weights are 1, and of very many terms the first 256 count."""
    vector = query_vector("red red apple")
    assert sorted(vector.indices) == sorted({term_number("red"), term_number("apple")})
    assert set(vector.values) == {1.0}
    assert len(query_vector(" ".join(f"w{n}" for n in range(1000))).indices) == 256


def test_a_text_without_words_is_an_empty_vector() -> None:
    """Neither side is an error."""
    assert document_vector("?!").indices == query_vector("…").indices == []


def test_terms_with_one_number_are_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qdrant refuses a vector that names an index twice."""
    monkeypatch.setattr("retrieval.indexes.qdrant_words.term_number", lambda term: 7)
    vector = document_vector("one two two")
    assert vector.indices == [7]
    assert vector.values[0] > 0


def test_numbers_of_terms_are_stable_and_fit_the_wire() -> None:
    """They are stored, so no version may give others; an index of Qdrant has 32 bits."""
    assert [term_number("apple"), term_number("日本")] == [2596887955, 3460816826]
    assert all(0 <= term_number(f"w{n}") < 2**32 for n in range(1000))

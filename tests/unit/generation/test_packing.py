"""Packing takes the best passages that fit and bring something new."""

from hypothesis import given
from hypothesis import strategies as st

from generation.packing import pack
from tests.builders import a_passage


def count(text: str) -> int:
    return len(text.split())


def test_passages_are_taken_in_order_while_they_fit() -> None:
    """One that is too long is left out, and a shorter one behind it may still fit."""
    passages = [a_passage("a b c"), a_passage("d e f g"), a_passage("h i", document_id=2)]
    packed = pack(passages, budget=5, count_tokens=count)
    assert [(source.number, source.text) for source in packed.sources] == [(1, "a b c"), (2, "h i")]
    assert [passages[1].chunk.chunk_id] == packed.left_out


def test_a_passage_that_repeats_another_is_left_out() -> None:
    """Equal texts count once, and so does a chunk of which more than half was taken already."""
    passages = [
        a_passage("equal words", document_id=1, start=0),
        a_passage("equal words", document_id=2, start=50),
        a_passage("0123456789", document_id=3, start=100),
        a_passage("4567890123", document_id=3, start=104),
        a_passage("6789012345", document_id=3, start=106),
        a_passage("4567890124", document_id=4, start=104),
    ]
    packed = pack(passages, budget=100, count_tokens=count)
    assert [passages.index(source.passage) for source in packed.sources] == [0, 2, 4, 5]


def test_nothing_fits_into_no_budget() -> None:
    """Without room there are no sources, and that is no error."""
    packed = pack([a_passage("a")], budget=0, count_tokens=count)
    assert (packed.sources, len(packed.left_out)) == ([], 1)


@given(st.lists(st.integers(1, 9).map(lambda n: "w " * n), max_size=10), st.integers(0, 30))
def test_sources_never_exceed_the_budget(texts: list[str], budget: int) -> None:
    """Every passage is either a numbered source or left out."""
    passages = [a_passage(f"{n} {text}", document_id=n) for n, text in enumerate(texts)]
    packed = pack(passages, budget=budget, count_tokens=count)
    assert sum(count(source.text) for source in packed.sources) <= budget
    assert list(range(1, len(packed.sources) + 1)) == [source.number for source in packed.sources]
    seen = {s.passage.chunk.chunk_id for s in packed.sources} | set(packed.left_out)
    assert {p.chunk.chunk_id for p in passages} == seen

"""Packing takes the best passages that fit and bring something new."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.packing import cost, heading, pack
from retrieval.passages import Passage
from tests.builders import a_passage, a_stored_chunk

# Words of a mark around a source that is called `a.txt`: `<source-… number="10" document="a.txt">` and the closing one.
MARKS = 4


def count(text: str) -> int:
    return len(text.split())


def ids(passages: list[Passage]) -> list[int]:
    return [passage.chunk.chunk_id for passage in passages]


def test_passages_are_taken_in_order_while_they_fit() -> None:
    """One that is too long is left out, and a shorter one behind it may still fit."""
    passages = [a_passage("a b c"), a_passage("d e f g"), a_passage("h i", document_id=2)]
    packed = pack(passages, budget=5 + 2 * MARKS, count_tokens=count)
    assert [(source.number, source.text) for source in packed.sources] == [(1, "a b c"), (2, "h i")]
    assert ([passages[1].chunk.chunk_id], {}) == (packed.left_out, packed.cut)


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


def test_sources_of_before_are_not_given_again() -> None:
    """Neither they nor their neighbours, nor what repeats them; numbers go on behind theirs."""
    first, new = a_passage("a b", document_id=1), a_passage("c d", document_id=3)
    before = pack([first], budget=100, count_tokens=count).sources
    again, beside = a_passage("a b", document_id=2), {new.chunk.chunk_id: [first]}
    packed = pack([first, again, new], budget=100, count_tokens=count, beside=beside, given=before)
    assert [(source.number, source.text) for source in packed.sources] == [(2, "c d")]
    assert packed.left_out == ids([first, again])


def test_nothing_fits_into_no_budget() -> None:
    """Without room there are no sources, and that is no error."""
    packed = pack([a_passage("a")], budget=0, count_tokens=count)
    assert (packed.sources, len(packed.left_out)) == ([], 1)


def test_a_passage_that_does_not_fit_is_cut_behind_a_sentence() -> None:
    """What is left is the beginning of the chunk, so that its offsets stay those of the stored text."""
    passage = a_passage("One is here. Two is there. Three is away.", start=70)
    packed = pack([passage], budget=6 + MARKS, count_tokens=count)
    (source,) = packed.sources
    assert source.text == "One is here. Two is there."
    assert (source.passage.chunk.start, source.passage.chunk.end) == (70, 70 + len(source.text))
    assert packed.cut == {passage.chunk.chunk_id: 96}
    assert packed.left_out == []


def test_headings_count() -> None:
    """A long path of headings takes room from the text."""
    plain, titled = a_passage("a b c"), a_passage("a b c", context="A long › path\n| of | columns |")
    assert cost(titled, count) - cost(plain, count) == 9
    assert pack([titled], budget=cost(titled, count) - 1, count_tokens=count).sources == []


def test_a_heading_says_what_is_known() -> None:
    """The table's header row is told apart from the headings; an attribute called date is the date."""
    chunk = a_stored_chunk(
        filename='a "b"\n.pdf', context="Guide › Lifts\n| load |", page=3, attributes={"date": 2024, "x": 1}
    )
    assert heading(chunk) == {
        "document": "a 'b' .pdf",
        "section": "Guide › Lifts",
        "columns": "| load |",
        "page": 3,
        "date": "2024",
    }
    bare = heading(a_stored_chunk())
    assert bare == {"document": "a.txt", "section": None, "columns": None, "page": None, "date": None}


def neighbours_of(passage: Passage, before: str, after: str) -> list[Passage]:
    start, end = passage.chunk.start, passage.chunk.end
    return [a_passage(before, start=start - len(before) - 1), a_passage(after, start=end + 1)]


@pytest.mark.parametrize(
    ("words_left", "expected"),
    [(0, ["c d", "x y"]), (MARKS + 2, ["a b", "c d", "x y"]), (2 * MARKS + 4, ["a b", "c d", "e f", "x y"])],
)
def test_neighbours_take_what_is_left(words_left: int, expected: list[str]) -> None:
    """They stand beside their passage in the order of the document, and push none out that was found."""
    passages = [a_passage("c d", start=100), a_passage("x y", document_id=2)]
    beside = {passages[0].chunk.chunk_id: neighbours_of(passages[0], "a b", "e f")}
    packed = pack(passages, budget=2 * (MARKS + 2) + words_left, count_tokens=count, beside=beside)
    assert [source.text for source in packed.sources] == expected
    assert [source.number for source in packed.sources] == list(range(1, len(expected) + 1))


def test_a_neighbour_that_was_found_itself_stands_once() -> None:
    """At its own place."""
    one, two = a_passage("a b", start=0), a_passage("c d", start=4)
    beside = {one.chunk.chunk_id: [two], two.chunk.chunk_id: [one]}
    packed = pack([two, one], budget=100, count_tokens=count, beside=beside)
    assert [source.text for source in packed.sources] == ["c d", "a b"]


SENTENCES = st.lists(st.integers(1, 5).map(lambda n: " ".join("w" * n) + "."), min_size=1, max_size=4).map(" ".join)


@given(st.lists(SENTENCES, max_size=8), st.integers(0, 80))
def test_sources_never_exceed_the_budget(texts: list[str], budget: int) -> None:
    """Every passage is a source, whole or from its beginning on, or left out; the order is that of the rank."""
    passages = [a_passage(f"{n} {text}", document_id=n, start=n) for n, text in enumerate(texts)]
    packed = pack(passages, budget=budget, count_tokens=count)
    taken = [source.passage for source in packed.sources]
    assert sum(cost(passage, count) for passage in taken) <= budget
    assert list(range(1, len(taken) + 1)) == [source.number for source in packed.sources]
    assert [i for i in ids(passages) if i in ids(taken)] == ids(taken)
    assert {*ids(taken), *packed.left_out} == set(ids(passages))
    by_id = {passage.chunk.chunk_id: passage.chunk for passage in passages}
    for passage in taken:
        chunk, whole = passage.chunk, by_id[passage.chunk.chunk_id]
        assert whole.text.startswith(chunk.text)
        assert (chunk.start, chunk.end) == (whole.start, whole.start + len(chunk.text))
        assert (chunk.end != whole.end) == (chunk.chunk_id in packed.cut)

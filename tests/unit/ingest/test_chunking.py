"""Chunks: spans over the text that lose nothing, are never too long, and keep headings with what they head."""

import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import InvalidRequest
from ingest.chunking import AUTO_MIN_TOKENS, AutoStrategy, ChunkSpan, StaticStrategy, Strategy, chunk, parse_strategy
from ingest.documents import Category, DocumentBuilder, ParsedDocument


def tokenize(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


def a_document(*elements: tuple[Category, str], **overrides: Any) -> ParsedDocument:
    builder = DocumentBuilder("text/plain")
    for category, text in elements:
        builder.add(text, category=category, **overrides)
    return builder.build()


def chunks_of(document: ParsedDocument, strategy: Strategy) -> list[ChunkSpan]:
    return list(chunk(document, strategy, tokenize))


def words(count: int, name: str = "w") -> str:
    return " ".join(f"{name}{n}" for n in range(count))


def texts(document: ParsedDocument, chunks: list[ChunkSpan]) -> list[str]:
    return [document.text[span.start : span.end] for span in chunks]


HEADING, TEXT, TABLE, CODE, ITEM = (
    Category.HEADING,
    Category.TEXT,
    Category.TABLE,
    Category.CODE,
    Category.LIST_ITEM,
)
SENTENCES = st.lists(st.integers(1, 30).map(lambda n: f"The {words(n)}."), min_size=1, max_size=8).map(" ".join)
TABLES = st.integers(1, 30).map(
    lambda rows: "| name | size |\n| --- | --- |\n" + "\n".join(f"| row {n} | {n} mm |" for n in range(rows))
)
ELEMENTS = st.one_of(
    st.tuples(st.just(HEADING), st.integers(1, 12).map(words)),
    st.tuples(st.sampled_from([TEXT, ITEM, CODE]), SENTENCES),
    st.tuples(st.sampled_from([TEXT, CODE]), st.text(min_size=1, max_size=60)),
    st.tuples(st.just(TABLE), TABLES),
    st.tuples(st.just(TEXT), st.just("数据。" * 40)),
)
DOCUMENTS = st.lists(ELEMENTS, max_size=10).map(lambda elements: a_document(*elements))


@given(document=DOCUMENTS, size=st.integers(8, 200))
def test_auto_chunks_cover_every_token_once(document: ParsedDocument, size: int) -> None:
    """Spans ascend, do not overlap, hold every token, and none has more tokens than are allowed."""
    chunks = chunks_of(document, AutoStrategy(max_tokens=size))
    assert all(one.end <= other.start for one, other in pairwise(chunks))
    held = {position for span in chunks for position in range(span.start, span.end)}
    assert all(position in held for start, end in tokenize(document.text) for position in range(start, end))
    for span in chunks:
        text = document.text[span.start : span.end]
        assert 0 < span.tokens <= size
        assert len(tokenize(text)) == span.tokens
        assert text.strip() == text


@given(document=DOCUMENTS, size=st.integers(8, 200))
def test_chunking_is_deterministic(document: ParsedDocument, size: int) -> None:
    """The same document gives the same chunks."""
    strategy = AutoStrategy(max_tokens=size)
    assert chunks_of(document, strategy) == chunks_of(document, strategy)


@given(document=DOCUMENTS, size=st.integers(40, 200))
def test_a_heading_goes_with_what_follows_it(document: ParsedDocument, size: int) -> None:
    """No chunk but the last ends with a heading, unless it holds nothing else."""
    chunks = chunks_of(document, AutoStrategy(max_tokens=size))
    for span in chunks[:-1]:
        inside = [e for e in document.elements if span.start <= e.start < span.end]
        assert not inside or inside[-1].category is not HEADING or {e.category for e in inside} == {HEADING}


@given(document=DOCUMENTS, size=st.integers(1, 60), overlap=st.integers(0, 30))
def test_static_chunks_have_the_exact_size_and_overlap(document: ParsedDocument, size: int, overlap: int) -> None:
    """All but the last have exactly the size; neighbours share exactly the overlap; every token is in one."""
    overlap = min(overlap, size // 2)
    chunks = chunks_of(document, StaticStrategy(max_tokens=size, overlap_tokens=overlap))
    tokens = tokenize(document.text)
    numbers = [
        [n for n, (start, end) in enumerate(tokens) if span.start <= start and end <= span.end] for span in chunks
    ]
    assert set(range(len(tokens))) == {n for each in numbers for n in each}
    assert all(len(each) == size for each in numbers[:-1])
    assert all(0 < len(each) <= size for each in numbers[-1:])
    assert all(len(set(one) & set(other)) == overlap for one, other in pairwise(numbers))
    assert [len(each) for each in numbers] == [span.tokens for span in chunks]


def test_a_blank_document_has_no_chunks() -> None:
    """Nothing to search, whatever the strategy."""
    for document in (a_document(), a_document((TEXT, " \n"))):
        assert chunks_of(document, AutoStrategy()) == []
        assert chunks_of(document, StaticStrategy(max_tokens=100, overlap_tokens=0)) == []


def test_short_sections_stay_together_and_long_ones_begin_at_their_heading() -> None:
    """A heading starts a chunk once the current one has enough tokens."""
    document = a_document(
        (HEADING, "One"),
        (TEXT, "short"),
        (HEADING, "Two"),
        (TEXT, words(AUTO_MIN_TOKENS)),
        (HEADING, "Three"),
        (TEXT, "x"),
    )
    first, second = texts(document, chunks_of(document, AutoStrategy()))
    assert first.startswith("One\n\nshort\n\nTwo\n\nw0")
    assert second == "Three\n\nx"


def test_a_chunk_knows_the_headings_above_it() -> None:
    """The path of the chunk's first element, outermost first."""
    builder = DocumentBuilder("text/plain")
    builder.add("Book", category=HEADING, level=1)
    builder.add("Chapter", category=HEADING, level=2)
    for name in "ab":
        builder.add(words(150, name))
    spans = chunks_of(builder.build(), AutoStrategy())
    assert [span.headings for span in spans] == [(), ("Book", "Chapter")]


def test_a_long_paragraph_is_cut_at_sentences() -> None:
    """Sentences stay whole where they fit; one that is too long is cut between tokens."""
    document = a_document((TEXT, " ".join(f"The {words(29)}." for _ in range(3))))
    assert [s.tokens for s in chunks_of(document, AutoStrategy(max_tokens=70))] == [62, 31]
    assert [s.tokens for s in chunks_of(document, AutoStrategy(max_tokens=20))] == [20, 11] * 3


def test_a_sentence_that_is_too_long_is_cut_at_its_lines() -> None:
    """A log or a table in plain text has no sentences; its lines stay whole where they fit."""
    lines = [f"{words(9, name)} |" for name in "abcde"]
    document = a_document((TEXT, "\n".join(lines)))
    found = texts(document, chunks_of(document, AutoStrategy(max_tokens=25)))
    assert ["\n".join(lines[:2]), "\n".join(lines[2:4]), lines[4]] == found
    assert [f"{words(8, 'a')}", "a8 |"] == texts(document, chunks_of(document, AutoStrategy(max_tokens=8)))[:2]


def test_a_line_that_is_too_long_is_cut_between_words() -> None:
    """Where there is a blank in the second half of what fits; else between tokens."""
    document = a_document((TEXT, "one two-three-four five-six seven-eight-nine-ten-eleven-twelve"))
    found = texts(document, chunks_of(document, AutoStrategy(max_tokens=8)))
    assert found == ["one two-three-four", "five-six seven-eight-nine", "-ten-eleven-twelve"]


def test_a_table_is_whole_where_it_fits() -> None:
    """It shares a chunk with its surroundings, or has its own, but is not cut without need."""
    table = "| a | b |\n| --- | --- |\n| 1 | 2 |"
    document = a_document((TEXT, words(20)), (TABLE, table), (TEXT, words(20)))
    found = chunks_of(document, AutoStrategy(max_tokens=40))
    assert any(table in text for text in texts(document, found))
    assert {""} == {span.table_header for span in found}


def test_the_parts_of_a_long_table_repeat_its_header() -> None:
    """Each part but the first is embedded with the header row, and rows are not cut."""
    table = "| name | size |\n| --- | --- |\n" + "\n".join(f"| row{n} | {n} |" for n in range(40))
    document = a_document((TABLE, table))
    first, *others = chunks_of(document, AutoStrategy(max_tokens=60))
    assert len(others) > 1
    assert ["", *["| name | size |"] * len(others)] == [span.table_header for span in [first, *others]]
    for text in texts(document, [first, *others]):
        assert all(line.startswith("|") and line.endswith("|") for line in text.splitlines())


def test_a_header_that_would_fill_chunks_is_not_repeated() -> None:
    """A table of thousands of columns costs no more than its length."""
    table = f"| {words(10_000)} |\n| --- |\n" + "\n".join(f"| row{n} |" for n in range(40))
    document = a_document((TABLE, table))
    assert {""} == {span.table_header for span in chunks_of(document, AutoStrategy(max_tokens=60))}


def test_a_table_without_a_rule_has_no_header() -> None:
    """Its first row is a row like the others."""
    document = a_document((TABLE, "\n".join(f"| row{n} | {n} |" for n in range(40))))
    assert {""} == {span.table_header for span in chunks_of(document, AutoStrategy(max_tokens=60))}


def test_a_chunk_has_the_page_of_its_beginning_and_a_box_around_its_part_of_it() -> None:
    """Boxes of another page do not count."""
    builder = DocumentBuilder("application/pdf")
    builder.add("one", page=1, box=(10, 10, 20, 20))
    builder.add("two", page=1, box=(5, 30, 15, 40))
    builder.add("three", page=2, box=(0, 0, 99, 99))
    (span,) = chunks_of(builder.build(), AutoStrategy())
    assert (span.page, span.box) == (1, (5, 10, 20, 40))


@given(document=DOCUMENTS, size=st.integers(1, 60), overlap=st.integers(0, 30))
def test_static_chunks_are_slices_of_the_tokens(document: ParsedDocument, size: int, overlap: int) -> None:
    """A window at every step, as long as it holds a token that the one before does not."""
    overlap = min(overlap, size // 2)
    tokens = tokenize(document.text)
    firsts = range(0, max(len(tokens) - overlap, min(1, len(tokens))), size - overlap)
    expected = [(tokens[first][0], tokens[first : first + size][-1][1]) for first in firsts]
    chunks = chunks_of(document, StaticStrategy(max_tokens=size, overlap_tokens=overlap))
    assert expected == [(span.start, span.end) for span in chunks]


def test_a_file_without_line_ends_is_cut_all_the_same() -> None:
    """Text is tokenised in pieces, and no token is lost or cut at their seams."""
    document = a_document((TEXT, words(40_000)))
    spans = chunks_of(document, StaticStrategy(max_tokens=4096, overlap_tokens=0))
    assert sum(span.tokens for span in spans) == 40_000
    assert document.text == " ".join(texts(document, spans))


@pytest.mark.parametrize("category", [TEXT, CODE, TABLE])
@pytest.mark.parametrize("strategy", [AutoStrategy(), StaticStrategy(max_tokens=4096, overlap_tokens=2048)])
def test_a_long_document_is_read_as_its_chunks_are_taken(category: Category, strategy: Strategy) -> None:
    """What is held in memory does not grow with the document, be it one element: the first chunk needs one piece."""
    document = a_document((category, "\n".join([words(10)] * 40_000)))
    read: list[int] = []

    def reading(text: str) -> list[tuple[int, int]]:
        read.append(len(text))
        return tokenize(text)

    chunks = chunk(document, strategy, reading)
    next(chunks)
    assert sum(read) < 200_000
    assert 1 + sum(1 for _ in chunks) > 150
    assert sum(read) == len(document.text)


@pytest.mark.parametrize("strategy", [AutoStrategy(max_tokens=100), StaticStrategy(max_tokens=100, overlap_tokens=0)])
def test_a_line_without_blanks_does_not_make_an_endless_chunk(strategy: Strategy) -> None:
    """What the tokenizer takes for one token, however long, counts by its length."""
    document = a_document((TEXT, "0123456789abcdef" * 20_000))
    chunks = chunks_of(document, strategy)
    assert document.text == "".join(texts(document, chunks))
    assert max(span.end - span.start for span in chunks) == 3200


def test_a_blank_that_a_tokenizer_counts_to_a_word_is_not_in_a_chunk() -> None:
    """Byte-level and SentencePiece tokenizers do; chunks begin and end with words all the same."""
    sentence = f"The {words(29)}."
    document = a_document((TEXT, f"{sentence} {sentence}\n{sentence}"))

    def blank_and_word(text: str) -> list[tuple[int, int]]:
        return [match.span() for match in re.finditer(r"\s*[^\s.]+|\s*\.|\s+", text)]

    for strategy in (AutoStrategy(max_tokens=35), StaticStrategy(max_tokens=31, overlap_tokens=0)):
        found = texts(document, list(chunk(document, strategy, blank_and_word)))
        assert [sentence] * 3 == found


STATIC = {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}


def test_a_strategy_is_read() -> None:
    """Both of OpenAI's types are known."""
    assert AutoStrategy() == parse_strategy({"type": "auto"})
    assert StaticStrategy(max_tokens=800, overlap_tokens=400) == parse_strategy({"type": "static", "static": STATIC})


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, "None"),
        ({"type": "semantic"}, "'semantic'"),
        ({"type": "static"}, "max_chunk_size_tokens is None"),
        ({"type": "static", "static": STATIC | {"max_chunk_size_tokens": 99}}, "99.*100 to 4096"),
        ({"type": "static", "static": STATIC | {"max_chunk_size_tokens": 4097}}, "4097"),
        ({"type": "static", "static": STATIC | {"max_chunk_size_tokens": True}}, "True"),
        ({"type": "static", "static": STATIC | {"max_chunk_size_tokens": "800"}}, "'800'"),
        ({"type": "static", "static": STATIC | {"chunk_overlap_tokens": 401}}, "401.*400"),
        ({"type": "static", "static": STATIC | {"chunk_overlap_tokens": -1}}, "-1"),
        ({"type": "static", "static": STATIC | {"more": 1}}, "'more'"),
        ({"type": "auto", "static": STATIC}, "'static'"),
    ],
)
def test_a_strategy_out_of_range_is_refused(raw: dict[str, Any], message: str) -> None:
    """The message names the value and what is allowed."""
    with pytest.raises(InvalidRequest, match=message):
        parse_strategy(raw)

"""Markers become citations, whatever pieces they arrive in, and only where the source supports the claim."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from generation.backends.base import NO_ANSWER, Source
from generation.citations import Claim, MarkerParser, cite, locate, page_at
from tests.builders import a_passage, sources_of

MARKER = re.compile(r"\[\d{1,4}\]")


def parse(*pieces: str) -> tuple[str, list[Claim], bool]:
    """Return the text that was given out, the claims, and whether it was a refusal."""
    parser = MarkerParser()
    parts = [part for piece in pieces for part in parser.feed(piece)] + list(parser.finish())
    text = "".join(part for part in parts if isinstance(part, str))
    return text, [part for part in parts if isinstance(part, Claim)], parser.is_refusal


def sources(*texts: str, **overrides: object) -> dict[int, Source]:
    passages = [a_passage(text, document_id=n, **overrides) for n, text in enumerate(texts, start=1)]  # type: ignore[arg-type]
    return {source.number: source for source in sources_of(passages)}


# --- parsing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "clean", "claims"),
    [
        ("", "", []),
        ("Plain text.", "Plain text.", [("Plain text.", 11, ())]),
        ("A fact [1].", "A fact.", [("A fact.", 7, (1,))]),
        ("A fact. [1]", "A fact.", [("A fact.", 7, (1,))]),
        ("A fact [1][3].", "A fact.", [("A fact.", 7, (1, 3))]),
        ("A fact [1] [3] [1].", "A fact.", [("A fact.", 7, (1, 3))]),
        ("One [1]. Two [2].", "One. Two.", [("One.", 4, (1,)), (" Two.", 9, (2,))]),
        ("One [1] and two [2]", "One and two", [("One", 3, (1,)), (" and two", 11, (2,))]),
        ("One [1]. Rest.", "One. Rest.", [("One.", 4, (1,)), (" Rest.", 10, ())]),
        ("Sure?! [7]?!", "Sure?!?!", [("Sure?!?!", 8, (7,))]),
        ("[1] first", " first", [("", 0, (1,)), (" first", 6, ())]),
        ("a[0]b", "ab", [("a", 1, (0,)), ("b", 2, ())]),
        ("see [12345] or [x] or [", "see [12345] or [x] or [", [("see [12345] or [x] or [", 23, ())]),
        ("数据。[2]下", "数据。下", [("数据。", 3, (2,)), ("下", 4, ())]),
    ],
)
def test_markers_are_cut_out_and_end_claims(text: str, clean: str, claims: list[tuple[str, int, tuple[int]]]) -> None:
    """A claim is the text since the last marker, with its closing punctuation."""
    found, parsed, is_refusal = parse(text)
    assert (clean, claims, False) == (found, [(c.text, c.end, tuple(c.source_numbers)) for c in parsed], is_refusal)


ANSWERS = st.lists(
    st.sampled_from(
        ["a", "fact", " ", "  ", "\n", ".", "?!", "[1]", "[23]", "[", "]", "[x", "[99999]", "7", "数据。", "…"]
    )
    | st.sampled_from([NO_ANSWER, "[no", "none", "non]", ","]),
    max_size=12,
).map("".join)


@given(text=ANSWERS, data=st.data())
@example(text="A [1]?! B", data=None)
def test_pieces_change_nothing(text: str, data: st.DataObject | None) -> None:
    """However the text is cut into pieces, text, claims and refusal are those of the whole."""
    if data is None:
        pieces = list(text)
    else:
        cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8).map(sorted))
        pieces = [text[a:b] for a, b in pairwise([0, *cuts, len(text)])]
    assert parse(text) == parse(*pieces)
    assert parse(text) == parse(*text)


@given(text=ANSWERS.filter(lambda text: "[[" not in text and not re.search(r"\[[^\]]*\[", text)))
def test_markers_never_leave(text: str) -> None:
    """No piece that is given out, nor their sum, holds a marker; claims add up to the text."""
    parser = MarkerParser()
    parts = [part for character in text for part in parser.feed(character)] + list(parser.finish())
    given_out = [part for part in parts if isinstance(part, str)]
    assert not any(MARKER.search(part) for part in [*given_out, "".join(given_out)])
    claims = "".join(part.text for part in parts if isinstance(part, Claim))
    assert "".join(given_out).strip() == claims.strip()


def test_text_is_given_out_as_early_as_it_can_be() -> None:
    """Only what may become a marker is held back."""
    parser = MarkerParser()
    given_out = [list(parser.feed(piece)) for piece in ("The ", "pump", " [", "x]", " is")]
    assert given_out == [["The"], [" pump"], [], [" [x]"], [" is"]]


@pytest.mark.parametrize(
    ("text", "is_refusal"),
    [
        (NO_ANSWER, True),
        (f"  {NO_ANSWER}\n", True),
        ("", False),
        ("[no", False),
        (f"{NO_ANSWER} but still", False),
        (f"It is 5. {NO_ANSWER}", False),
        ("none", False),
    ],
)
def test_a_refusal_is_the_sign_alone(text: str, is_refusal: bool) -> None:
    """The sign for "no answer" counts only when nothing else was said, and then nothing is given out."""
    for pieces in ([text], list(text)):
        found, _, refused = parse(*pieces)
        assert is_refusal is refused
        if is_refusal:
            assert found == ""


# --- locating ---------------------------------------------------------------------------------------------------------

TEXT = "The pump is checked every second spring.\nIts  filter is changed in 2011. The roof was covered\nwith slate."


@pytest.mark.parametrize(
    ("claim", "quote"),
    [
        ("The pump is checked every second spring.", "The pump is checked every second spring."),
        ("the PUMP is checked", "The pump is checked"),
        (" Its filter is changed in 2011. ", "Its  filter is changed in 2011."),
        ("“The roof was covered with slate.”", "The roof was covered\nwith slate."),
        ("It is old. The roof was covered with slate.", "The roof was covered\nwith slate."),
        ("Every second spring they check the pump.", "The pump is checked every second spring."),
        ("In 2011 they changed its filter.", "Its  filter is changed in 2011."),
        ("In 2012 they changed its filter.", None),
        ("The violin comes from Italy.", None),
        ("", None),
        ("   ", None),
        ("...", None),
    ],
)
def test_a_claim_is_located_where_its_support_stands(claim: str, quote: str | None) -> None:
    """Word for word first, then the sentence that holds its words and all its numbers, else nowhere."""
    span = locate(claim, TEXT)
    assert quote == (TEXT[slice(*span)] if span else None)


def test_a_claim_may_be_supported_by_two_neighbouring_sentences() -> None:
    """A pair counts where no sentence alone holds enough."""
    text = "The red pump stands here. It needs yellow oil weekly. Other matters follow."
    span = locate("The red pump needs yellow oil weekly, stands here", text)
    assert span is not None
    assert text[slice(*span)] == "The red pump stands here. It needs yellow oil weekly."


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("The price is 5", "The price is 50 euros."),
        ("The price is 5", "The price is 5.50 euros."),
        ("The price is 5.", "The price is 5.50 euros."),
        ("5 euros", "The price is 15 euros."),
        ("5 euros", "The price is 1,5 euros."),
        ("No.", "He went to the casino. Then he left."),
        ("Art", "They started it."),
    ],
)
def test_a_quote_does_not_begin_or_end_within_a_word_or_number(claim: str, text: str) -> None:
    """A longer number or word says something else."""
    assert locate(claim, text) is None


def test_a_quote_may_stand_beside_signs() -> None:
    """Brackets, full stops and full-width signs are edges of words."""
    for claim, text in [("is 5", "It is 5."), ("5 euros", "(5 euros)"), ("第一句。", "序。第一句。第二句。")]:
        span = locate(claim, text)
        assert span is not None
        assert text[slice(*span)] == claim


@given(claim=st.text(max_size=40), text=st.text(max_size=120))
def test_a_located_span_lies_in_its_text(claim: str, text: str) -> None:
    """No input leads outside of the source or to an empty quote."""
    span = locate(claim, text)
    assert span is None or 0 <= span[0] < span[1] <= len(text)


@given(st.data())
def test_a_quoted_sentence_is_always_located(data: st.DataObject) -> None:
    """What a generator quotes word for word is found, with blanks of its own."""
    words = st.lists(st.text("abcdefgh", min_size=1, max_size=6), min_size=2, max_size=6)
    drawn = data.draw(st.lists(words, min_size=1, max_size=5))
    text = "\n".join(" ".join(each) + "." for each in drawn)
    chosen = data.draw(st.sampled_from(drawn))
    span = locate("  ".join(chosen) + ".", text)
    assert span is not None
    assert (" ".join(chosen) + ".") in text[slice(*span)]


# --- citing -----------------------------------------------------------------------------------------------------------


def a_claim(text: str, *numbers: int) -> Claim:
    return Claim(text=text, end=len(text), source_numbers=numbers)


def test_a_citation_is_a_range_of_the_document() -> None:
    """Offsets count from the document's beginning, and the page is that of the quote's first character."""
    spans = [(1, 0, 1012), (2, 1013, 2000)]
    (citation,) = cite(
        a_claim("Blue is cold.", 1), sources("Red is warm. Blue is cold.", start=1000, page=1, page_spans=spans), {}
    )
    assert (
        citation.start,
        citation.end,
        citation.quote,
        citation.index,
        citation.number,
        citation.page,
    ) == (1013, 1026, "Blue is cold.", 13, 1, 2)


def test_forged_and_unsupported_numbers_give_no_citation() -> None:
    """A source that does not exist, or says something else, is not cited; the right one is."""
    found = cite(a_claim("Blue is cold.", 0, 7, 1, 2), sources("Red is warm.", "Blue is cold."), {})
    assert [citation.source.number for citation in found] == [2]


def test_the_same_span_has_the_same_number() -> None:
    """Footnotes are numbered in order of appearance, once for each span."""
    numbers: dict[tuple[int, int, int], int] = {}
    texts = sources("Blue is cold. Red is warm.", "Blue is cold.")
    found = [
        cite(a_claim(text, source), texts, numbers)[0].number
        for text, source in [("Blue is cold.", 1), ("Red is warm.", 1), ("Blue is cold.", 1), ("Blue is cold.", 2)]
    ]
    assert found == [1, 2, 1, 3]


@pytest.mark.parametrize(("position", "page"), [(0, 1), (9, 1), (10, None), (12, 3), (99, None)])
def test_a_position_has_the_page_whose_text_it_is_in(position: int, page: int | None) -> None:
    """Between pages, and in documents without, there is none."""
    assert page == page_at([(1, 0, 10), (3, 12, 20)], position)
    assert page_at([], position) is None


@pytest.mark.parametrize(
    ("written", "shown"),
    [("It is 5 [[1]2] km.", "It is 52] km."), ("It is 5. [none]", "It is 5."), ("A [[[2]] B", "A] B")],
)
def test_no_marker_is_left_however_it_is_wrapped(written: str, shown: str) -> None:
    """What remains of nested brackets is no marker, and the sign for no answer is none within an answer."""
    parser = MarkerParser()
    parts = [*parser.feed(written), *parser.finish()]
    assert "".join(part for part in parts if isinstance(part, str)) == shown

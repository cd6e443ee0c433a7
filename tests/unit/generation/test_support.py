"""A claim is supported by the words of a source, or by words that mean nearly the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.support import MIN_NEARNESS, SupportFinder, is_claim, numbers_in
from retrieval.embedders.hashing import HashingEmbedder

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
    span = SupportFinder().locate(claim, TEXT)
    assert quote == (TEXT[slice(*span)] if span else None)


def test_a_claim_may_be_supported_by_two_neighbouring_sentences() -> None:
    """A pair counts where no sentence alone holds enough."""
    text = "The red pump stands here. It needs yellow oil weekly. Other matters follow."
    span = SupportFinder().locate("The red pump needs yellow oil weekly, stands here", text)
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
    assert SupportFinder().locate(claim, text) is None


def test_a_quote_may_stand_beside_signs() -> None:
    """Brackets, full stops and full-width signs are edges of words."""
    for claim, text in [("is 5", "It is 5."), ("5 euros", "(5 euros)"), ("第一句。", "序。第一句。第二句。")]:
        span = SupportFinder().locate(claim, text)
        assert span is not None
        assert text[slice(*span)] == claim


@given(claim=st.text(max_size=40), text=st.text(max_size=120))
def test_a_located_span_lies_in_its_text(claim: str, text: str) -> None:
    """No input leads outside of the source or to an empty quote."""
    span = SupportFinder().locate(claim, text)
    assert span is None or 0 <= span[0] < span[1] <= len(text)


@given(st.data())
def test_a_quoted_sentence_is_always_located(data: st.DataObject) -> None:
    """What a generator quotes word for word is found, with blanks of its own."""
    words = st.lists(st.text("abcdefgh", min_size=1, max_size=6), min_size=2, max_size=6)
    drawn = data.draw(st.lists(words, min_size=1, max_size=5))
    text = "\n".join(" ".join(each) + "." for each in drawn)
    chosen = data.draw(st.sampled_from(drawn))
    span = SupportFinder().locate("  ".join(chosen) + ".", text)
    assert span is not None
    assert (" ".join(chosen) + ".") in text[slice(*span)]


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("The pump is not checked in spring.", "The red pump is checked every spring."),
        ("The pump was checked in spring.", "Nobody checked the red pump in that spring."),
        ("The pump doesn't leak oil.", "The red pump leaks oil, and it does so on days when oil is thin."),
        ("The pump is new.", "The pump is checked every second spring."),
        ("Die Pumpe wird nicht im Frühling geprüft.", "Die rote Pumpe wird im Frühling geprüft."),
    ],
)
def test_a_claim_is_not_supported_by_its_opposite_or_by_its_subject(claim: str, text: str) -> None:
    """One denies and the other does not, or they share the thing alone."""
    assert SupportFinder().locate(claim, text) is None


def test_markers_within_a_source_do_not_break_a_quote() -> None:
    """The quote is found around them, and its range holds them."""
    text = "She was born in 1950[3] in a small town."
    span = SupportFinder().locate("She was born in 1950 in a small town.", text)
    assert span == (0, len(text))


class NearEmbedder(HashingEmbedder):
    """Finds everything alike, and counts its work."""

    def __init__(self) -> None:
        super().__init__()
        self.embedded: list[str] = []

    def embed_documents(self, texts):  # type: ignore[no-untyped-def]
        self.embedded += texts
        return super().embed_documents(["the same"] * len(texts))


CLAIM, SOURCE = (
    "Each spring somebody inspects the red machine.",
    "The red pump is looked at every spring by a caretaker.",
)


def test_meaning_supports_where_words_alone_do_not() -> None:
    """Some of the words have to be there; a far meaning, or no embedder, is no support."""
    assert SupportFinder().locate(CLAIM, SOURCE) is None
    assert SupportFinder(NearEmbedder()).locate(CLAIM, SOURCE) == (0, len(SOURCE))
    far = SupportFinder(HashingEmbedder()).judge(CLAIM, SOURCE)
    assert far is not None
    assert far.nearness < MIN_NEARNESS
    assert not far.is_enough


def test_nothing_is_embedded_that_words_decide() -> None:
    """Quotes, full support by words and strange claims cost no inference; a text is embedded once."""
    embedder = NearEmbedder()
    finder = SupportFinder(embedder)
    for claim in (SOURCE, "A caretaker looked at the red pump in spring.", "Violins come from Italy.", "Red 7."):
        finder.locate(claim, SOURCE)
    assert embedder.embedded == []
    for _ in range(2):
        finder.locate(CLAIM, SOURCE)
    assert sorted(embedder.embedded) == sorted([CLAIM, SOURCE])


@pytest.mark.parametrize(
    ("text", "says"), [("", False), (" - – …\n", False), ("**", False), ("No.", True), ("数", True), ("5", True)]
)
def test_punctuation_claims_nothing(text: str, says: bool) -> None:
    """A word or a number does."""
    assert says is is_claim(text)


def test_numbers_are_compared_as_values() -> None:
    """A decimal comma is a point, and digits of other scripts are digits."""
    assert numbers_in("1,5 m and 1.5 km, １２ times, v4.3.1") == {"1.5", "12", "4.3.1"}

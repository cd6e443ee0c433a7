"""Sentences without support are found, and cut out where they are not wanted."""

import pytest

from generation.citations import cite
from generation.claims import Claim, shown, unsupported_sentences, with_blanks_before, without
from generation.links import Link
from generation.scanning import Index
from generation.support import SupportFinder
from tests.builders import a_passage, sources_of

SOURCES = {
    source.number: source
    for source in sources_of(
        [
            a_passage("The red pump is checked every spring. It weighs 40 kg.", document_id=1),
            a_passage("The roof was covered with slate in 1907.", document_id=2),
        ]
    )
}
LOCATE = SupportFinder().locate


def a_claim(text: str, *numbers: int) -> Claim:
    return Claim(text=text, citations=cite(text, numbers, SOURCES, LOCATE), rejected=())


@pytest.mark.parametrize(
    ("claims", "unsupported"),
    [
        ([], []),
        ([a_claim("The red pump is checked every spring.", 1)], []),
        ([a_claim("The red pump is checked every spring.")], ["The red pump is checked every spring."]),
        ([a_claim("It sings at night. The red pump is checked every spring.", 1)], ["It sings at night."]),
        ([a_claim("It weighs 40 kg. The red pump is checked every spring.", 1)], []),
        ([a_claim("The red pump weighs 40 kg", 1), a_claim(" and the roof was covered with slate.", 2)], []),
        ([a_claim("The roof was covered with slate", 2), a_claim(" by an old giant.")], []),
        (
            [a_claim("It weighs 40 kg", 1), a_claim(" and sings to old giants at night.")],
            ["It weighs 40 kg and sings to old giants at night."],
        ),
        ([a_claim("The red pump is checked every spring.It sings at night", 1)], ["It sings at night"]),
        ([a_claim("---\n\n"), a_claim("It weighs 40 kg.", 1)], []),
    ],
)
def test_sentences_without_support(claims: list[Claim], unsupported: list[str]) -> None:
    """A sentence has support as a whole, or in each of its parts, from a source that is cited in it."""
    text = "".join(claim.text for claim in claims)
    assert [text[slice(*span)] for span in unsupported_sentences(claims, LOCATE)] == unsupported


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("One.", True),
        ("One.) ", True),
        ("一。", True),
        ("One", False),
        ("One,", False),
        ("One\n", True),
        ("e.g", False),
    ],
)
def test_a_claim_may_end_its_sentence(text: str, ends: bool) -> None:
    """By its punctuation or its line."""
    assert ends is Claim(text=text, citations=(), rejected=()).ends_sentence


def test_ranges_are_cut_out_of_a_part() -> None:
    """Ranges count from the beginning of the whole; they may reach over the part's ends."""
    whole = "One. Two. Three."
    dropped = with_blanks_before([(5, 9)], whole)
    assert dropped == [(4, 9)]
    for cut in range(len(whole) + 1):
        assert without(whole[:cut], 0, dropped) + without(whole[cut:], cut, dropped) == "One. Three."


def test_a_link_is_shown_where_a_cited_source_holds_all_of_it() -> None:
    """Another source, and one that holds a longer link, do not count; nor does code that is not there."""
    link = Link(text="http://a/x", url="http://a/x", instead="(gone)")
    index = Index(text="[0]", words="rows[0]")
    cited = [("Use rows[0].", frozenset({"http://a/x"}))]
    other = [("Use my rows [0].", frozenset({"http://a/xy"}))]
    assert [shown(part, cited) for part in ("a", link, index)] == ["a", "http://a/x", "[0]"]
    assert [shown(part, other) for part in ("a", link, index)] == ["a", "(gone)", "[…]"]

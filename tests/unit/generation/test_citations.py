"""A citation is a range of a document whose words support the claim."""

from collections.abc import Sequence

import pytest

from generation.backends.base import Source
from generation.citations import Citation, cite, page_at
from generation.support import SupportFinder
from tests.builders import a_passage, sources_of


def sources(*texts: str, **overrides: object) -> dict[int, Source]:
    passages = [a_passage(text, document_id=n, **overrides) for n, text in enumerate(texts, start=1)]  # type: ignore[arg-type]
    return {source.number: source for source in sources_of(passages)}


def cited(claim: str, wanted: Sequence[int], among: dict[int, Source]) -> list[Citation]:
    return cite(claim, wanted, among, SupportFinder().locate)


def test_a_citation_is_a_range_of_the_document() -> None:
    """Offsets count from the document's beginning, and the page is that of the quote's first character."""
    spans = [(1, 0, 1012), (2, 1013, 2000)]
    texts = sources("Red is warm. Blue is cold.", start=1000, page=1, page_spans=spans)
    (citation,) = cited("Blue is cold.", [1], texts)
    assert (citation.start, citation.end, citation.quote, citation.page) == (1013, 1026, "Blue is cold.", 2)
    assert citation.place == (1, 1013, 1026)


def test_forged_and_unsupported_numbers_give_no_citation() -> None:
    """A source that does not exist, or says something else, is not cited; the right one is."""
    found = cited("Blue is cold.", [0, 7, 1, 2], sources("Red is warm.", "Blue is cold."))
    assert [citation.source.number for citation in found] == [2]


@pytest.mark.parametrize(("position", "page"), [(0, 1), (9, 1), (10, None), (12, 3), (99, None)])
def test_a_position_has_the_page_whose_text_it_is_in(position: int, page: int | None) -> None:
    """Between pages, and in documents without, there is none."""
    assert page == page_at([(1, 0, 10), (3, 12, 20)], position)
    assert page_at([], position) is None

"""The newest changes in memory: searched like postings, forgotten like them."""

import pytest

from retrieval.bm25 import idf, stored_length, term_weight
from retrieval.recent import RecentChanges, analyse
from tests.builders import a_publication, a_removal


def recent(*changes: object) -> RecentChanges:
    return RecentChanges(analyse(change) for change in changes)  # type: ignore[arg-type]


def test_passages_are_scored_by_bm25() -> None:
    """Each term counts by its weight, its occurrences and the length of the passage."""
    index = recent(a_publication(1, 1, "apple apple pear", "pear"))
    found = index.search({"apple": 2.0, "pear": 1.0, "plum": 9.0}, average_length=2.0, document_ids=None)
    expected = {100: 2 * term_weight(2, 3, 2.0) + term_weight(1, 3, 2.0), 101: term_weight(1, 1, 2.0)}
    assert expected == pytest.approx(found)


def test_documents_out_of_scope_are_not_found() -> None:
    """None means all of them."""
    index = recent(a_publication(1, 1, "words"), a_publication(2, 2, "words"))
    assert set(index.search({"word": 1.0}, average_length=1.0, document_ids={2})) == {200}
    assert set(index.search({"word": 1.0}, average_length=1.0, document_ids=None)) == {100, 200}


def test_a_removed_document_leaves_nothing_but_its_number() -> None:
    """Passages, statistics and terms are gone; the number keeps what is on disk out of searches."""
    index = recent(a_publication(1, 1, "words here", "words"), a_publication(2, 2, "others"), a_removal(3, 1))
    assert (len(index), index.tokens, index.holders("word"), set(index.documents)) == (1, 1, 0, {2})
    assert (index.removed, [change.seq for change in index.changes]) == ({1}, [1, 2, 3])


def test_a_document_that_is_there_is_passed_over() -> None:
    """Two changes of one batch may bring it, the second for its attributes."""
    index = recent(a_publication(1, 1, "words"), a_publication(2, 1, "words"))
    assert (len(index), index.tokens, index.holders("word")) == (1, 1, 1)


@pytest.mark.parametrize(
    ("length", "stored"),
    [(0, 0), (39, 39), (40, 40), (41, 40), (42, 42), (57, 56), (59, 56), (60, 60), (1000, 984)],
)
def test_lengths_are_kept_in_steps(length: int, stored: int) -> None:
    """Exact below 40, then within an eighth; a stored length is its own step."""
    assert stored == stored_length(length)
    assert stored == stored_length(stored)


def test_a_term_that_all_passages_hold_still_counts() -> None:
    """Its weight is small and above 0; one that fewer than half hold weighs more, the rarer the more."""
    assert 0 < idf(1_000_000, 1_000_000) == idf(1_000_000, 500_000) < idf(1_000_000, 400_000) < idf(1_000_000, 1)

"""Warnings name the pages that they are about, in words and not without end."""

import pytest

from ingest.parsers.page_warnings import about_pages


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([], []),
        ([7], ["page 7 is dark"]),
        ([1, 2, 3], ["pages 1 to 3 are dark"]),
        ([1, 3], ["pages 1 and 3 are dark"]),
        ([1, 2, 4, 6, 7, 8], ["pages 1 to 2, 4 and 6 to 8 are dark"]),
    ],
)
def test_consecutive_pages_are_named_by_the_first_and_the_last(numbers: list[int], expected: list[str]) -> None:
    """One sentence for all pages, with the verb that fits their number."""
    assert list(about_pages(numbers, " is dark", " are dark")) == expected


def test_of_many_runs_the_first_ones_are_named_and_the_rest_is_counted() -> None:
    """Every second page of a long document does not make an endless sentence."""
    (sentence,) = about_pages(range(1, 1000, 2), " is dark", " are dark")
    assert sentence.startswith("pages 1, 3, 5, 7, ")
    assert sentence.endswith(", 39 and 480 more are dark")

"""Batches of texts of similar length."""

import pytest

from retrieval.embedders.batching import batches_by_length


@pytest.mark.parametrize(
    ("lengths", "budget", "expected"),
    [
        ([], 10, []),
        ([3], 10, [[0]]),
        ([99], 10, [[0]]),
        ([5, 1, 5, 1], 10, [[1, 3], [0, 2]]),
        ([2, 2, 2], 4, [[0, 1], [2]]),
        ([1, 99, 1], 10, [[0, 2], [1]]),
    ],
)
def test_batches_hold_similar_lengths_within_the_budget(
    lengths: list[int], budget: int, expected: list[list[int]]
) -> None:
    """Rows times the longest stays within the budget; a row that is longer goes alone."""
    assert expected == list(batches_by_length(lengths, budget=budget))

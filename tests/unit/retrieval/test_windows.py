"""Windows: together they hold every token, none is too long, and neighbours overlap."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from retrieval.windows import split_windows


@given(count=st.integers(0, 600), size=st.integers(1, 300), overlap=st.integers(0, 64))
def test_windows_cover_every_token_within_the_limit(count: int, size: int, overlap: int) -> None:
    """Each token is in a window, each window is full but the last, and neighbours share exactly the overlap."""
    spans = [(3 * n, 3 * n + 2) for n in range(count)]
    # Windows as ranges of token numbers.
    windows = [
        (start // 3, (end - 2) // 3 + 1) for start, end in split_windows(spans, max_tokens=size, overlap=overlap)
    ]
    assert set(range(count)) == {n for start, end in windows for n in range(start, end)}
    assert all(end - start <= size for start, end in windows)
    assert all(end - start == size for start, end in windows[:-1])
    assert all(one[1] - other[0] == min(overlap, size - 1) for one, other in pairwise(windows))
    assert all(one[1] < other[1] for one, other in pairwise(windows))


def test_a_text_that_fits_is_one_window() -> None:
    """Nothing is cut without need."""
    assert split_windows([(0, 4), (5, 9)], max_tokens=2) == [(0, 9)]


def test_no_tokens_make_no_window() -> None:
    """A blank text has nothing to embed."""
    assert split_windows([], max_tokens=10) == []

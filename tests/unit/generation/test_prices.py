"""What an answer costs."""

import pytest

from generation.backends.base import Usage
from generation.prices import Price


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        (Price(input=2.0, output=8.0), 2.0 * 3000 / 1e6 + 8.0 * 500 / 1e6),
        (Price(input=2.0, output=8.0, cached=0.5), (2.0 * 1000 + 0.5 * 2000 + 8.0 * 500) / 1e6),
        (Price(input=2.0, output=8.0, cached=0.0), (2.0 * 1000 + 8.0 * 500) / 1e6),
        (Price(input=0.0, output=0.0), 0.0),
    ],
)
def test_cached_input_has_its_own_price_where_there_is_one(price: Price, expected: float) -> None:
    """Prices are for a million tokens; what was cached is part of the input."""
    usage = Usage(input_tokens=3000, output_tokens=500, cached_tokens=2000)
    assert price.of(usage) == pytest.approx(expected)

"""Identifiers name their kind and never repeat."""

import pytest

from catalog import ids


@pytest.mark.parametrize("prefix", [ids.FILE, ids.VECTOR_STORE, ids.RESPONSE, ids.MESSAGE, ids.API_KEY])
def test_an_id_is_its_prefix_and_randomness(prefix: str) -> None:
    """A thousand ids are different, and safe in a URL."""
    made = {ids.new_id(prefix) for _ in range(1000)}
    assert len(made) == 1000
    assert all(i.startswith(prefix) and i.removeprefix(prefix).isalnum() for i in made)


def test_a_chunk_has_its_number_as_name() -> None:
    """Clients see `chunk_7`, never a bare number."""
    assert ids.chunk_id(7) == "chunk_7"

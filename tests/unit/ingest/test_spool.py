"""A spool gives back what was put in, in memory or on disk."""

from pathlib import Path

import numpy as np
import pytest

from ingest.spool import ChunkSpool
from tests.builders import a_chunk_record


@pytest.mark.parametrize("memory_bytes", [1, 10**6])
def test_chunks_come_back_in_order_and_as_often_as_wanted(tmp_path: Path, memory_bytes: int) -> None:
    """Reading does not disturb adding, and nothing is left in the folder."""
    spool = ChunkSpool(tmp_path, memory_bytes=memory_bytes)
    first, second, third = (a_chunk_record(text) for text in ("one", "two", "three"))
    spool.extend([first, second])
    assert [chunk.text for chunk in spool] == ["one", "two"]
    spool.extend([third])
    for _ in range(2):
        assert [chunk.text for chunk in spool] == ["one", "two", "three"]
    np.testing.assert_array_equal(next(iter(spool)).vectors, first.vectors)
    assert (len(spool), list(tmp_path.iterdir())) == (3, [])
    spool.close()

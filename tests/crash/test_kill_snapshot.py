"""A process that is killed while it writes a snapshot leaves the one before it, or the new one, whole."""

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from retrieval.indexes.snapshots import Snapshots
from tests.builders import a_scope
from tests.unit.retrieval.test_snapshots import DIMENSION, SIZES, vectors_of

ROUNDS = 6
SEED = 5
# Publishes documents without end, forgets every third one, and writes a snapshot after each step.
WRITER = """
import sys
from pathlib import Path
from retrieval.indexes.snapshots import Snapshots
from retrieval.indexes.vectors import VectorReplica
from tests.builders import a_removal
from tests.unit.retrieval.test_snapshots import DIMENSION, SIZES, a_large_publication

snapshots = Snapshots(Path(sys.argv[1]), identity="a model", dimension=DIMENSION, sizes=SIZES)
vectors = snapshots.load() or VectorReplica(DIMENSION, SIZES)
print("ready", flush=True)
while True:
    first = vectors.position + 1
    vectors.apply([a_large_publication(n, n) for n in range(first, first + 30)])
    vectors.train_due()
    vectors.apply([a_removal(n, n - 30) for n in range(first + 30, first + 60) if n % 3 == 0])
    snapshots.write(vectors)
"""


def test_killed_while_it_writes(tmp_path: Path) -> None:
    """At random moments; the next process goes on from what it finds, which is a state that there was."""
    moments = random.Random(SEED)
    folder = tmp_path / "vectors"
    reached = 0
    for _ in range(ROUNDS):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(moments.uniform(0.05, 0.6))
        writer.kill()
        writer.communicate()
        reached = assert_whole(folder, at_least=reached)
    assert reached > 0


def assert_whole(folder: Path, *, at_least: int) -> int:
    """Every document of the snapshot has its own vectors, and those that were removed before are not there."""
    snapshots = Snapshots(folder, identity="a model", dimension=DIMENSION, sizes=SIZES)
    vectors = snapshots.load()
    if vectors is None:
        assert not snapshots.exists
        assert at_least == 0
        return 0
    assert vectors.position >= at_least
    for document_id in vectors.table.known_ids():
        query = vectors_of(document_id)[0].astype(np.float32)
        (best,) = vectors.search(query / np.linalg.norm(query), limit=1, scope=a_scope())
        assert best.chunk_id == 100 * document_id
    assert vectors.rows == 5 * len(vectors.table.known_ids())
    return vectors.position

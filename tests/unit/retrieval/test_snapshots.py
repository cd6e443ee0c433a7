"""A snapshot gives back what was written, or nothing; and a large store is searched nearly as an exact one."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from catalog.feed import DocumentChange
from retrieval.filters import parse_filter
from retrieval.indexes.base import Hit, Scope
from retrieval.indexes.faiss import FaissIndex
from retrieval.indexes.memory import MemoryIndex
from retrieval.indexes.partition import Sizes
from retrieval.indexes.snapshots import Snapshots, delete_snapshot
from retrieval.indexes.vectors import VectorReplica
from tests.builders import a_publication, a_removal, a_scope

DIMENSION = 32
# Small enough that three thousand rows are many.
SIZES = Sizes(segment=256, exact=1000, exact_filtered=500)
DOCUMENTS = 600


def vectors_of(document_id: int, *, count: int = 5) -> NDArray[np.float16]:
    """Rows around one of forty centres, as texts about one subject lie."""
    generator = np.random.default_rng(document_id)
    centre = np.random.default_rng(10_000 + document_id % 40).standard_normal(DIMENSION)
    rows = centre + 0.7 * generator.standard_normal((count, DIMENSION))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def a_large_publication(seq: int, document_id: int) -> DocumentChange:
    return a_publication(
        seq,
        document_id,
        *["words"] * 5,
        attributes={"half": document_id % 2, "tenth": document_id % 10},
        vectors=vectors_of(document_id),
    )


def a_query(number: int) -> NDArray[np.float32]:
    vector = vectors_of(20_000 + number, count=1)[0].astype(np.float32)
    return vector / np.linalg.norm(vector)


def chunk_ids(hits: Sequence[Hit]) -> set[int]:
    return {hit.chunk_id for hit in hits}


def assert_near(index: FaissIndex, oracle: MemoryIndex, scope: Scope, *, recall: float) -> None:
    """Over fifteen queries the first ten are the exact ones, to that share; every score is exact."""
    shared = 0
    for number in range(15):
        found, expected = (i.search_dense(a_query(number), limit=10, scope=scope) for i in (index, oracle))
        assert len(found) == len(expected)
        shared += len(chunk_ids(found) & chunk_ids(expected))
        exact = {hit.chunk_id: hit.score for hit in oracle.search_dense(a_query(number), limit=5000, scope=scope)}
        assert [hit.score for hit in found] == pytest.approx([exact[hit.chunk_id] for hit in found], abs=2e-3)
    assert shared >= recall * 15 * 10


@pytest.fixture
def snapshots(tmp_path: Path) -> Iterator[Snapshots]:
    snapshots = Snapshots(tmp_path / "vectors", identity="a model", dimension=DIMENSION, sizes=SIZES)
    yield snapshots
    snapshots.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a folder once, for tests that copy it."""
    folder = tmp_path_factory.mktemp("written") / "vectors"
    index, _ = filled(Snapshots(folder, identity="a model", dimension=DIMENSION, sizes=SIZES))
    index.close()
    return folder


def open_index(snapshots: Snapshots | None = None, vectors: VectorReplica | None = None) -> FaissIndex:
    vectors = vectors or VectorReplica(DIMENSION, SIZES)
    return FaissIndex(dimension=DIMENSION, lexical=None, vectors=vectors, snapshots=snapshots)


PUBLISHED = [a_large_publication(n, n) for n in range(1, DOCUMENTS + 1)]


def filled(snapshots: Snapshots | None = None) -> tuple[FaissIndex, MemoryIndex]:
    """Return an index with a trained store, and its oracle."""
    index, oracle = open_index(snapshots), MemoryIndex(dimension=DIMENSION)
    for each in (index, oracle):
        each.apply(PUBLISHED)
    index.settle()
    assert index._vectors.partitions["vs_1"].coarse is not None
    return index, oracle


def test_a_large_store_is_searched_nearly_as_an_exact_one() -> None:
    """Without a filter and with one that admits much; what comes, changes and goes afterwards counts at once."""
    index, oracle = filled()
    half = a_scope(filter=parse_filter({"type": "eq", "key": "half", "value": 1}))
    tenth = a_scope(filter=parse_filter({"type": "eq", "key": "tenth", "value": 1}))
    later = [
        *(a_large_publication(DOCUMENTS + n, DOCUMENTS + n) for n in range(1, 60)),
        *(a_removal(DOCUMENTS + 60 + n, n) for n in range(1, 300)),
    ]
    for changes in ([], later):
        for each in (index, oracle):
            each.apply(changes)
        assert_near(index, oracle, a_scope(), recall=0.95)
        assert_near(index, oracle, half, recall=0.95)
        # So few rows are compared exactly.
        assert_near(index, oracle, tenth, recall=1.0)
    index.close()


def test_a_store_that_grows_is_trained_anew() -> None:
    """At four times the rows that it was trained for; rows of before and after are found."""
    index, oracle = filled()
    before = index._vectors.partitions["vs_1"].coarse
    more = [a_large_publication(n, n) for n in range(DOCUMENTS + 1, 5 * DOCUMENTS)]
    for each in (index, oracle):
        each.apply(more)
    index.settle()
    assert index._vectors.partitions["vs_1"].coarse is not before
    assert_near(index, oracle, a_scope(), recall=0.95)
    index.close()


def test_windows_of_one_chunk_do_not_crowd_the_others_out() -> None:
    """A long chunk that holds all the nearest rows counts once."""
    index, oracle = filled()
    near = np.repeat(a_query(1)[np.newaxis].astype(np.float16), 200, axis=0)
    long = a_publication(
        DOCUMENTS + 1, DOCUMENTS + 1, "long", vectors=near, window_chunk_ids=np.full(200, 100 * (DOCUMENTS + 1))
    )
    for each in (index, oracle):
        each.apply([long])
    hits = index.search_dense(a_query(1), limit=10, scope=a_scope())
    assert len(hits) == len(chunk_ids(hits)) == 10
    assert hits[0].chunk_id == 100 * (DOCUMENTS + 1)
    index.close()


def test_a_snapshot_gives_everything_back(snapshots: Snapshots) -> None:
    """Rows, documents, attributes, position and the trained index, ready for further changes."""
    index, oracle = filled(snapshots)
    removals = [a_removal(DOCUMENTS + n, n) for n in range(1, 100)]
    for each in (index, oracle):
        each.apply(removals)
    index.close()
    vectors = snapshots.load()
    assert vectors is not None
    assert vectors.position == DOCUMENTS + 99
    assert vectors.partitions["vs_1"].coarse is not None
    again = open_index(vectors=vectors)
    half = a_scope(filter=parse_filter({"type": "eq", "key": "half", "value": 1}))
    later = [
        a_removal(DOCUMENTS + 100, 100),
        a_large_publication(DOCUMENTS + 101, DOCUMENTS + 1),
        a_publication(DOCUMENTS + 102, 200, *["words"] * 5, attributes={"half": 1}, vectors=vectors_of(200)),
    ]
    for changes in ([], later):
        again._vectors.apply(changes)
        oracle.apply(changes)
        for scope in (a_scope(), half):
            assert_near(again, oracle, scope, recall=0.95)
    again.close()


def test_full_segments_are_written_once_and_mapped(snapshots: Snapshots, tmp_path: Path) -> None:
    """A second snapshot shares their files; nothing that it does not name stays in the folder."""
    index, _ = filled(snapshots)
    snapshots.write(index._vectors)
    first = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "vectors").glob("*.segment")}
    index.apply([a_large_publication(DOCUMENTS + n, DOCUMENTS + n) for n in range(1, 100)])
    index.settle()
    snapshots.write(index._vectors)
    second = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "vectors").glob("*.segment")}
    assert first.items() < second.items()
    suffixes = sorted(file.suffix for file in (tmp_path / "vectors").iterdir() if file.suffix != ".segment")
    assert suffixes == [".coarse", ".json", ".lock", ".state"]
    assert all(s.file is not None for s in index._vectors.partitions["vs_1"].segments.values() if s.rows == 256)
    index.close()


def test_a_snapshot_holds_no_vector_of_what_is_gone(snapshots: Snapshots, tmp_path: Path) -> None:
    """After the folder was deleted the next one is written without them, although their rows are still mapped."""
    index, _ = filled(snapshots)
    snapshots.write(index._vectors)
    gone = vectors_of(3).tobytes()
    assert any(gone in file.read_bytes() for file in (tmp_path / "vectors").glob("*.segment"))
    index.apply([a_removal(DOCUMENTS + 1, 3)])
    assert delete_snapshot(tmp_path / "vectors")
    assert not delete_snapshot(tmp_path / "vectors")
    snapshots.write(index._vectors)
    assert not any(gone in file.read_bytes() for file in (tmp_path / "vectors").iterdir())
    index.close()


def test_one_process_writes(snapshots: Snapshots, tmp_path: Path) -> None:
    """Another one leaves the folder to it until it ends."""
    index, _ = filled(snapshots)
    snapshots.write(index._vectors)
    manifest = (tmp_path / "vectors" / "manifest.json").read_bytes()
    other = Snapshots(tmp_path / "vectors", identity="a model", dimension=DIMENSION, sizes=SIZES)
    other.write(VectorReplica(DIMENSION, SIZES))
    assert (tmp_path / "vectors" / "manifest.json").read_bytes() == manifest
    index.close()
    other.write(VectorReplica(DIMENSION, SIZES))
    assert (tmp_path / "vectors" / "manifest.json").read_bytes() != manifest
    other.close()


def test_no_snapshot_of_another_model_is_loaded(snapshots: Snapshots, tmp_path: Path) -> None:
    """Nor one of other sizes, nor one from nowhere."""
    assert snapshots.load() is None
    index, _ = filled(snapshots)
    index.close()
    for options in ({"identity": "another"}, {"dimension": 64}, {"sizes": Sizes()}):
        fields = {"identity": "a model", "dimension": DIMENSION, "sizes": SIZES} | options
        assert Snapshots(tmp_path / "vectors", **fields).load() is None  # type: ignore[arg-type]
    assert snapshots.load() is not None


@pytest.mark.parametrize("suffix", [".segment", ".state", ".coarse", ".json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "garbage"])
def test_a_damaged_snapshot_is_not_used(
    written: Path, tmp_path: Path, suffix: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported, and the catalog has everything that it held."""
    folder = tmp_path / "copy"
    shutil.copytree(written, folder)
    file = next(folder.glob(f"*{suffix}"))
    whole = file.read_bytes()
    match damage:
        case "missing":
            file.unlink()
        case "empty":
            file.write_bytes(b"")
        case "cut":
            file.write_bytes(whole[: len(whole) // 2])
        case "garbage":
            file.write_bytes(b"\xff" * len(whole))
    assert Snapshots(folder, identity="a model", dimension=DIMENSION, sizes=SIZES).load() is None
    assert (damage == "missing" and suffix == ".json") or "built anew" in caplog.text


def test_a_manifest_that_was_not_finished_does_not_count(snapshots: Snapshots, tmp_path: Path) -> None:
    """Killed before the rename, the older snapshot is still the one; the next one clears up."""
    index, _ = filled(snapshots)
    snapshots.write(index._vectors)
    folder = tmp_path / "vectors"
    (folder / "manifest.json.new").write_text('{"format": 1')
    (folder / "left.state").write_bytes(b"half")
    before = json.loads((folder / "manifest.json").read_text())
    loaded = snapshots.load()
    assert loaded is not None
    assert loaded.position == before["position"] == DOCUMENTS
    snapshots.write(index._vectors)
    assert not (folder / "left.state").exists()
    index.close()


def test_an_index_writes_snapshots_by_itself(snapshots: Snapshots, tmp_path: Path) -> None:
    """When much has changed, in the background, and when it is closed."""
    index, _ = filled(snapshots)
    manifest = json.loads((tmp_path / "vectors" / "manifest.json").read_text())
    assert manifest["position"] == DOCUMENTS
    index.apply([a_removal(DOCUMENTS + 1, 3)])
    index.close()
    manifest = json.loads((tmp_path / "vectors" / "manifest.json").read_text())
    assert manifest["position"] == DOCUMENTS + 1


def test_a_small_index_needs_no_snapshot(snapshots: Snapshots, tmp_path: Path) -> None:
    """Replaying the feed takes no longer than loading it would."""
    index = open_index(snapshots)
    index.apply(PUBLISHED[:10])
    index.close()
    assert not (tmp_path / "vectors").exists()

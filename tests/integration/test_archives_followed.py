"""Archives in a folder that a store follows: they change, move and go."""

import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.models import File, VectorStore
from ingest.intake import Outcome
from ingest.sources.local import LocalSource
from ingest.sync import SyncOptions, sync
from tests.integration.conftest import Footnote
from tests.integration.test_archives import BOILER, GARDEN, HOUSE, ROOF, count, is_sound, listed
from tests.zips import plain_zip


class Folder:
    """A folder that is followed."""

    def __init__(self, footnote: Footnote, path: Path) -> None:
        self.footnote, self.path = footnote, path
        self.store = footnote.store()
        path.mkdir()

    def sync(self) -> dict[str, Outcome]:
        catalog = self.footnote.services.catalog
        with catalog.database.read() as session:
            store = session.get_one(VectorStore, self.store)
        options = SyncOptions(max_bytes=1 << 20)
        report = sync(catalog.database, catalog.blobs, store, LocalSource(self.path), options)
        return {entry.path: entry.outcome for entry in report.entries}

    def found(self, query: str = "garden boiler roof") -> set[str]:
        hits = self.footnote.search(self.store, query, max_num_results=50)
        return {hit["content"][0]["text"].strip() for hit in hits if not hit["filename"].endswith(".zip")}


def test_a_changed_archive_in_a_folder_is_replaced_without_a_gap(
    fresh: Footnote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every moment each file is there in its old version or its new one; unchanged ones are not embedded again."""
    folder = Folder(fresh, tmp_path / "folder")
    (folder.path / "house.zip").write_bytes(plain_zip(HOUSE | {"roof.txt": ROOF}))
    folder.sync()
    fresh.work()
    assert folder.found() == {text.decode().strip() for text in (GARDEN, BOILER, ROOF)}
    new_boiler = BOILER.replace(b"2011", b"2024")
    (folder.path / "house.zip").write_bytes(plain_zip(HOUSE | {"cellar/boiler.txt": new_boiler}))
    folder.sync()
    monkeypatch.setattr("ingest.worker._BATCH_FILES", 1)
    embedded: list[str] = []
    embed = type(fresh.services.embedder).embed_documents
    monkeypatch.setattr(
        type(fresh.services.embedder),
        "embed_documents",
        lambda self, texts: embedded.extend(texts) or embed(self, texts),
    )
    garden, old, new = (text.decode().strip() for text in (GARDEN, BOILER, new_boiler))
    seen = [folder.found()]
    while fresh.worker.run_one(threading.Event()):
        seen.append(folder.found())
    assert seen[0] == {garden, old, ROOF.decode().strip()}
    assert seen[-1] == {garden, new}
    for state in seen[1:]:
        assert garden in state
        assert len({old, new} & state) == 1
    assert not [text for text in embedded if "garden lies" in text]
    entries = listed(fresh, folder.store)
    assert entries["garden.txt"]["source"] == "house.zip!/garden.txt"
    assert (len(entries), count(fresh, File)) == (3, 3)
    assert is_sound(fresh)


def test_reading_a_folder_again_does_not_touch_the_files_of_its_archives(fresh: Footnote, tmp_path: Path) -> None:
    """They are no files of the folder."""
    folder = Folder(fresh, tmp_path / "folder")
    (folder.path / "house.zip").write_bytes(plain_zip(HOUSE))
    folder.sync()
    fresh.work()
    before = listed(fresh, folder.store)
    folder.sync()
    assert not fresh.worker.run_one(threading.Event())
    assert listed(fresh, folder.store) == before


def test_an_archive_that_moved_takes_its_files_along(fresh: Footnote, tmp_path: Path) -> None:
    """They are found all the time, in the end under the new path; what leaves the folder leaves the store."""
    folder = Folder(fresh, tmp_path / "folder")
    old, new = folder.path / "house.zip", folder.path / "home.zip"
    old.write_bytes(plain_zip(HOUSE))
    folder.sync()
    fresh.work()
    old.rename(new)
    folder.sync()
    both = {GARDEN.decode().strip(), BOILER.decode().strip()}
    assert folder.found() == both
    fresh.work()
    assert folder.found() == both
    sources = {entry["source"] for entry in listed(fresh, folder.store).values()}
    assert sources == {"home.zip", "home.zip!/garden.txt", "home.zip!/cellar/boiler.txt"}
    assert count(fresh, File) == 3
    new.write_bytes(plain_zip({"garden.txt": GARDEN}))
    (folder.path / "roof.txt").write_bytes(ROOF)
    folder.sync()
    fresh.work()
    new.unlink()
    folder.sync()
    assert (set(listed(fresh, folder.store)), count(fresh, File)) == ({"roof.txt"}, 1)
    assert is_sound(fresh)


def test_failed_files_of_an_archive_are_tried_again(fresh: Footnote, tmp_path: Path) -> None:
    """As failed files of a folder are; the archive and its other files stay as they are."""
    folder = Folder(fresh, tmp_path / "folder")
    (folder.path / "house.zip").write_bytes(plain_zip({"noise.bin": bytes(range(256)), "garden.txt": GARDEN}))
    folder.sync()
    fresh.work()
    before = listed(fresh, folder.store)
    assert before["noise.bin"]["status"] == "failed"
    assert folder.sync() == {"house.zip": Outcome.RETRIED}
    assert {name: entry["status"] for name, entry in listed(fresh, folder.store).items()} == {
        "house.zip": "completed",
        "garden.txt": "completed",
        "noise.bin": "in_progress",
    }
    fresh.work()
    assert listed(fresh, folder.store)["noise.bin"]["status"] == "failed"


_CONTENTS = st.sampled_from([GARDEN, BOILER, ROOF, GARDEN + BOILER, BOILER + ROOF])
_NAMES = st.sampled_from(["a.txt", "b.txt", "d/c.txt", "d/e/f.txt"])
_FILES = st.dictionaries(_NAMES, _CONTENTS, min_size=1, max_size=4)
# A version: files, files of an archive in it, and how much work is done before the next version comes.
_VERSIONS = st.tuples(_FILES, st.none() | _FILES, st.integers(0, 3) | st.just(100))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(versions=st.lists(_VERSIONS, min_size=2, max_size=4))
def test_after_any_changes_the_store_holds_the_last_version(
    footnote: Footnote,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    versions: list[tuple[dict[str, bytes], dict[str, bytes] | None, int]],
) -> None:
    """However far the work on each version got, the store ends as if it had seen the last one alone."""
    monkeypatch.setattr("ingest.worker._BATCH_FILES", 1)
    folder = Folder(footnote, tmp_path_factory.mktemp("folders") / "folder")
    expected: dict[str, bytes] = {}
    for outer, inner, jobs in versions:
        expected = {f"x.zip!/{path}": content for path, content in outer.items()}
        if inner:
            expected |= {f"x.zip!/in.zip!/{path}": content for path, content in inner.items()}
        contents = outer | ({"in.zip": plain_zip(inner)} if inner else {})
        (folder.path / "x.zip").write_bytes(plain_zip(contents))
        folder.sync()
        for _ in range(jobs):
            footnote.worker.run_one(threading.Event())
    footnote.work()
    page = footnote.get(f"/v1/vector_stores/{folder.store}/files", limit=100)["data"]
    texts = {
        entry["source"]: footnote.get(f"/v1/vector_stores/{folder.store}/files/{entry['id']}/text")["text"]
        for entry in page
    }
    assert len(page) == len(texts), "a file is there in two versions"
    archives = {"x.zip", "x.zip!/in.zip"} if versions[-1][1] else {"x.zip"}
    assert set(texts) == expected.keys() | archives
    assert {path: texts[path].split() for path in expected} == {p: c.decode().split() for p, c in expected.items()}
    footnote.client.delete(f"/v1/files/{archive_of(page)}")
    assert footnote.get(f"/v1/vector_stores/{folder.store}")["file_counts"]["total"] == 0


def archive_of(entries: list[dict[str, Any]]) -> str:
    """Return the archive that is a file of the folder."""
    (found,) = (entry["id"] for entry in entries if entry["source"] == "x.zip")
    return str(found)

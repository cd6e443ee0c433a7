"""Archives through the API: each file in them is a document of its own."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from catalog import files, fsck
from catalog.blobs import BlobStore, StagedBlob
from catalog.models import DEFAULT_PROJECT, ArchiveMember, Chunk, Document, File, VectorStoreFile
from tests.integration.callers import make_key
from tests.integration.conftest import Footnote, StartFootnote
from tests.zips import ENCRYPTED, MIB, honest, nested, overlapping, plain_zip, zeros, zip_of

GARDEN = b"The garden lies to the south and is watered twice a week in summer.\n"
BOILER = b"The boiler in the cellar was installed by Brandt Heating in the autumn of 2011.\n"
ROOF = b"The roof was covered with slate and has a guarantee of forty years.\n"
HOUSE = {"garden.txt": GARDEN, "cellar/boiler.txt": BOILER}


def listed(footnote: Footnote, store: str) -> dict[str, dict[str, Any]]:
    """Return the files of a store, by path in their archive, or by name."""
    page = footnote.get(f"/v1/vector_stores/{store}/files", limit=100)
    assert not page["has_more"]
    return {one["archive"]["path"] if one["archive"] else one["filename"]: one for one in page["data"]}


def found(footnote: Footnote, store: str, query: str) -> set[str]:
    return {hit["content"][0]["text"].strip() for hit in footnote.search(store, query)}


def count(footnote: Footnote, table: type[File | Document | Chunk | VectorStoreFile | ArchiveMember]) -> int:
    with footnote.services.catalog.database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def is_sound(footnote: Footnote) -> bool:
    catalog = footnote.services.catalog
    files.sweep(catalog.database, catalog.blobs, min_age_s=0.0)
    left = list(catalog.blobs.staging.iterdir())
    return fsck.check(catalog.database, catalog.blobs, orphan_age_s=0.0) == [] and left == []


def test_every_file_of_an_archive_can_be_found_and_cited(fresh: Footnote) -> None:
    """Members are listed with their place in the archive, counted, searched, read, downloaded and cited."""
    store = fresh.store()
    archive = fresh.add(store, plain_zip(HOUSE), "house.zip", attributes={"year": 2025})
    entries = listed(fresh, store)
    assert set(entries) == {"house.zip", "garden.txt", "cellar/boiler.txt"}
    boiler = entries["cellar/boiler.txt"]
    assert boiler["archive"] == {"file_id": archive, "path": "cellar/boiler.txt"}
    assert (boiler["filename"], boiler["attributes"], boiler["status"]) == ("boiler.txt", {"year": 2025}, "completed")
    assert fresh.get(f"/v1/vector_stores/{store}")["file_counts"]["completed"] == 3
    (hit, *_) = fresh.search(store, "who installed the boiler", filters={"type": "eq", "key": "year", "value": 2025})
    assert (hit["file_id"], hit["filename"]) == (boiler["id"], "boiler.txt")
    assert fresh.client.get(f"/v1/files/{boiler['id']}/content").content == BOILER
    answer = fresh.respond("Who installed the boiler?", store)
    (citation,) = answer["output"][-1]["content"][0]["annotations"]
    assert citation["file_id"] == boiler["id"]
    assert is_sound(fresh)


def test_the_list_of_a_store_shows_the_files_of_an_archive_in_the_order_of_their_paths(fresh: Footnote) -> None:
    """Whatever order they have in the archive."""
    store = fresh.store()
    paths = ["b.txt", "a/z.txt", "c.txt", "a/y.txt"]
    fresh.add(store, plain_zip({path: ROOF + path.encode() for path in paths}), "house.zip")
    assert list(listed(fresh, store)) == [*sorted(paths), "house.zip"]


def test_a_key_for_some_stores_owns_what_it_packed_and_hears_of_no_other_archive(fresh: Footnote) -> None:
    """It may delete a file of its own archive; of a foreign file it is not told where that was unpacked from."""
    ours, theirs = fresh.store(), fresh.store()
    _, owner = make_key(fresh)
    _, limited = make_key(fresh, DEFAULT_PROJECT, "write", store_ids=[ours])
    fresh.client.headers.update(limited)
    fresh.add(ours, plain_zip(HOUSE), "house.zip")
    member = listed(fresh, ours)["garden.txt"]
    assert fresh.client.delete(f"/v1/files/{member['id']}").status_code == 200
    fresh.client.headers.update(owner)
    fresh.add(theirs, plain_zip({"secret/roof.txt": ROOF}), "other.zip")
    foreign = listed(fresh, theirs)["secret/roof.txt"]["id"]
    fresh.attach(ours, foreign)
    fresh.client.headers.update(limited)
    assert fresh.get(f"/v1/vector_stores/{ours}/files/{foreign}")["archive"] is None
    assert [one for one in listed(fresh, ours) if "secret" in one] == []


def test_the_archive_itself_is_a_document(fresh: Footnote) -> None:
    """Its table of contents is searched like any text; what was not unpacked is a warning with the reason."""
    store = fresh.store()
    packed = zip_of(honest("garden.txt", GARDEN), honest("secret.txt", BOILER, flags=ENCRYPTED))
    archive = fresh.add(store, packed, "house.zip")
    entry = listed(fresh, store)["house.zip"]
    assert (entry["title"], entry["archive"], entry["usage_bytes"]) == ("house.zip", None, len(packed))
    assert entry["warnings"] == ["not unpacked: secret.txt (encrypted)"]
    assert entry["coverage"]["chunks"] >= 1
    text = fresh.get(f"/v1/vector_stores/{store}/files/{archive}/text")["text"]
    assert text == (
        "Archive house.zip with 1 file\n\ngarden.txt, 68 bytes\n\n1 file not unpacked\n\nsecret.txt: encrypted"
    )


def test_a_member_that_cannot_be_read_fails_by_itself(fresh: Footnote) -> None:
    """The archive and the other members are completed."""
    store = fresh.store()
    fresh.add(store, plain_zip(HOUSE | {"noise.bin": bytes(range(256))}), "house.zip")
    entries = listed(fresh, store)
    assert {path for path, entry in entries.items() if entry["status"] == "completed"} == {"house.zip", *HOUSE}
    assert (entries["noise.bin"]["status"], entries["noise.bin"]["last_error"]["code"]) == (
        "failed",
        "unsupported_file",
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zip_of(honest("a", flags=ENCRYPTED)), "is encrypted; unpack it and upload the files"),
        (plain_zip({}), "without files"),
        (plain_zip(HOUSE)[:-30], "is a damaged zip container"),
        (overlapping(20, bytes(MIB)), "its members overlap"),
        (zip_of(zeros("zeros", 32 * MIB)), "decompression bomb"),
    ],
)
def test_an_archive_that_cannot_be_unpacked_fails_with_the_reason(fresh: Footnote, content: bytes, words: str) -> None:
    """Nothing of it becomes a file."""
    entry = fresh.attach(fresh.store(), fresh.upload(content, "a.zip"))
    assert (entry["status"], entry["last_error"]["code"]) == ("failed", "invalid_file")
    assert words in entry["last_error"]["message"]
    assert count(fresh, File) == 1
    assert is_sound(fresh)


def test_archives_in_archives_are_unpacked_to_a_stated_depth(fresh: Footnote) -> None:
    """An upload, archives in it, and archives in those; the next ones are refused, with the reason."""
    store = fresh.store()
    deep = plain_zip({"roof.txt": ROOF})
    middle = plain_zip({"boiler.txt": BOILER, "third.zip": nested(0, deep)})
    fresh.add(store, plain_zip({"garden.txt": GARDEN, "first.zip": plain_zip({"second.zip": middle})}), "house.zip")
    entries = listed(fresh, store)
    assert {path for path, one in entries.items() if one["status"] == "completed"} == {
        "house.zip", "garden.txt", "first.zip", "second.zip", "boiler.txt",
    }  # fmt: skip
    reason = "not unpacked: third.zip (an archive that lies too deep in other archives)"
    assert entries["second.zip"]["warnings"] == [reason]
    assert BOILER.decode().strip() in found(fresh, store, "boiler")


def test_a_bomb_of_archives_in_archives_is_bounded(fresh: Footnote) -> None:
    """Sixteen files in all, each with its state; not one of the innermost."""
    store = fresh.store()
    archive = fresh.upload(nested(4, zip_of(zeros("zeros", 64 * MIB)), width=3), "42.zip")
    assert fresh.attach(store, archive)["status"] == "completed"
    entries = fresh.get(f"/v1/vector_stores/{store}/files", limit=100)["data"]
    states = sorted(entry["status"] for entry in entries)
    assert states == ["completed"] * 4 + ["failed"] * 9
    messages = {entry["last_error"]["message"] for entry in entries if entry["last_error"]}
    assert all("lies too deep in other archives" in message for message in messages)
    assert is_sound(fresh)


def test_what_all_archives_in_an_archive_unpack_to_is_limited(start: StartFootnote) -> None:
    """The one that goes over the limit fails and says so; how far the others got does not matter."""
    with start(max_unpacked_bytes=10_000) as footnote:
        store = footnote.store()
        inner = [plain_zip({f"{n}.txt": bytes([65 + n]) * 4000}) for n in range(3)]
        footnote.add(store, plain_zip({f"{n}.zip": one for n, one in enumerate(inner)}), "outer.zip")
        entries = listed(footnote, store)
        assert sorted(one["status"] for path, one in entries.items() if path[1:] == ".zip") == [
            "completed", "completed", "failed",
        ]  # fmt: skip
        (failed,) = (one for one in entries.values() if one["status"] == "failed")
        assert "are allowed here, for an archive and all archives in it" in failed["last_error"]["message"]
        too_large = footnote.attach(store, footnote.upload(plain_zip({"a": bytes(10_001)}), "large.zip"))
        assert "unpacks to" in too_large["last_error"]["message"]


def test_a_batch_ends_with_the_last_file_of_its_archives(fresh: Footnote) -> None:
    """Somebody who polls the batch waits for the members too."""
    store = fresh.store()
    body = {"file_ids": [fresh.upload(plain_zip(HOUSE), "house.zip"), fresh.upload(ROOF, "roof.txt")]}
    batch = fresh.client.post(f"/v1/vector_stores/{store}/file_batches", json=body).json()
    path = f"/v1/vector_stores/{store}/file_batches/{batch['id']}"
    fresh.worker.run_one(threading.Event())
    state = fresh.get(path)
    assert (state["status"], state["file_counts"]["total"], state["file_counts"]["in_progress"]) == (
        "in_progress",
        4,
        2,
    )
    fresh.work()
    state = fresh.get(path)
    assert (state["status"], state["file_counts"]["completed"]) == ("completed", 4)
    assert len(fresh.get(f"{path}/files")["data"]) == 4


# --- again ------------------------------------------------------------------------------------------------------------


def test_attaching_an_archive_again_does_nothing(fresh: Footnote) -> None:
    """It is completed, and so are its files."""
    store = fresh.store()
    archive = fresh.add(store, plain_zip(HOUSE), "house.zip")
    before = listed(fresh, store)
    assert fresh.attach(store, archive)["status"] == "completed"
    assert listed(fresh, store) == before


def test_another_store_gets_the_same_files(fresh: Footnote) -> None:
    """The archive is unpacked into the files that are there; a deleted member comes back, as the archive has it."""
    first, second = fresh.store(), fresh.store()
    archive = fresh.add(first, plain_zip(HOUSE), "house.zip")
    ids = {path: entry["id"] for path, entry in listed(fresh, first).items()}
    assert fresh.attach(second, archive)["status"] == "completed"
    assert {path: entry["id"] for path, entry in listed(fresh, second).items()} == ids
    assert count(fresh, File) == 3
    fresh.client.delete(f"/v1/files/{ids['garden.txt']}")
    assert fresh.attach(third := fresh.store(), archive)["status"] == "completed"
    assert set(listed(fresh, third)) == set(ids)
    assert set(listed(fresh, first)) == {"house.zip", "cellar/boiler.txt"}
    assert is_sound(fresh)


def test_an_archive_that_failed_is_tried_again_without_doubling_anything(start: StartFootnote) -> None:
    """The time limit was too short; afterwards every file is there once."""
    with start(parse_timeout_s=0.001) as footnote:
        store, archive = footnote.store(), footnote.upload(plain_zip(HOUSE), "house.zip")
        assert footnote.attach(store, archive)["status"] == "failed"
        assert is_sound(footnote)
    with start() as footnote:
        assert footnote.attach(store, archive)["status"] == "completed"
        assert count(footnote, File) == 3
        assert is_sound(footnote)


@pytest.mark.parametrize("how", ["detach", "delete", "delete store"])
def test_what_goes_is_not_found_in_the_next_search(fresh: Footnote, how: str) -> None:
    """Detaching and deleting an archive, or its store, takes every member out of the search at once."""
    store = fresh.store()
    archive = fresh.add(store, plain_zip(HOUSE), "house.zip")
    other = fresh.add(store, ROOF, "roof.txt")
    paths = {"detach": f"/v1/vector_stores/{store}/files/{archive}", "delete": f"/v1/files/{archive}"}
    assert fresh.client.delete(paths.get(how, f"/v1/vector_stores/{store}")).status_code == 200
    if how != "delete store":
        assert found(fresh, store, "garden boiler roof house.zip") == {ROOF.decode().strip()}
        assert set(listed(fresh, store)) == {"roof.txt"}
    assert count(fresh, File) == (1 if how == "delete" else 4)
    assert other in {one["id"] for one in fresh.get("/v1/files")["data"]}
    assert is_sound(fresh)


# --- crashes ----------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """What ends a worker at once, without any of its own code running: nothing catches it."""


@pytest.mark.parametrize("deed", ["adopt", "store"])
@pytest.mark.parametrize("at", range(1, 6))
def test_a_kill_while_the_files_are_stored_loses_and_doubles_nothing(
    fresh: Footnote, monkeypatch: pytest.MonkeyPatch, deed: str, at: int
) -> None:
    """Whichever file it hits, before or after its bytes got their name: the next worker finishes the work."""
    monkeypatch.setattr("ingest.archives._GROUP_FILES", 2)
    store = fresh.store()
    archive = fresh.upload(plain_zip({f"{n}.txt": ROOF * (n + 1) for n in range(5)}), "a.zip")
    fresh.client.post(f"/v1/vector_stores/{store}/files", json={"file_id": archive})
    with monkeypatch.context() as patch:
        patch.setattr(BlobStore, deed, killing(getattr(BlobStore, deed), at))
        with pytest.raises(Killed):
            fresh.worker.run_one(threading.Event())
    release(fresh)
    fresh.work()
    entries = listed(fresh, store)
    assert {entry["status"] for entry in entries.values()} == {"completed"}
    assert (len(entries), count(fresh, File), count(fresh, ArchiveMember)) == (6, 6, 5)
    assert is_sound(fresh)


def test_a_kill_before_the_archive_is_published_loses_and_doubles_nothing(
    fresh: Footnote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are in the catalog by then, and in no store."""
    store = fresh.store()
    archive = fresh.upload(plain_zip(HOUSE), "house.zip")
    fresh.client.post(f"/v1/vector_stores/{store}/files", json={"file_id": archive})
    with monkeypatch.context() as patch:
        patch.setattr("catalog.archives.queue", killing(lambda *_: None, 1))
        with pytest.raises(Killed):
            fresh.worker.run_one(threading.Event())
    assert (count(fresh, File), count(fresh, VectorStoreFile), count(fresh, Document)) == (3, 1, 0)
    assert is_sound(fresh)
    release(fresh)
    fresh.work()
    assert (count(fresh, File), count(fresh, VectorStoreFile), count(fresh, Document)) == (3, 3, 3)
    assert is_sound(fresh)


def killing(deed: Callable[..., Any], at: int) -> Callable[..., Any]:
    """Return `deed`, which at its call number `at` is done and then kills."""
    calls = 0

    def call(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        result = deed(*args)
        if calls == at:
            raise Killed
        return result

    return call


def release(footnote: Footnote) -> None:
    """Let the leases of the killed worker end."""
    with footnote.services.catalog.database.write() as session:
        session.execute(update(VectorStoreFile).values(lease_until=0.0))


def test_an_archive_that_is_deleted_while_it_is_unpacked_leaves_nothing(
    fresh: Footnote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker notices at its next transaction; what it had stored by then goes with the archive."""
    monkeypatch.setattr("ingest.archives._GROUP_FILES", 1)
    store = fresh.store()
    archive = fresh.upload(plain_zip(HOUSE), "house.zip")
    fresh.client.post(f"/v1/vector_stores/{store}/files", json={"file_id": archive})
    adopt, calls = BlobStore.adopt, []

    def adopt_second(self: BlobStore, path: Path) -> StagedBlob:
        calls.append(path)
        if len(calls) == 2:
            assert count(fresh, File) == 2
            files.delete(fresh.services.catalog.database, self, DEFAULT_PROJECT, archive)
        return adopt(self, path)

    monkeypatch.setattr(BlobStore, "adopt", adopt_second)
    fresh.work()
    assert (len(calls), count(fresh, File), count(fresh, VectorStoreFile)) == (2, 0, 0)
    assert is_sound(fresh)

"""`footnote sync`, run in this process against a state folder of its own."""

import _thread
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.cli import documents
from ingest.sources.local import LocalSource
from tests.integration.conftest import HOUSE, Command
from tests.integration.test_cli import folder, rows  # noqa: F401  (a fixture)
from tests.site import Page, Site, html, serving

WATCH_TIMEOUT_S = 60.0


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


def test_a_folder_is_kept_equal(command: Command, folder: Path) -> None:  # noqa: F811
    """New, changed, moved and deleted files are reported and found, or found no more; the rest is counted."""
    assert command("sync", str(folder)).status == 0
    (folder / "plans" / "garden.md").rename(folder / "garden.md")
    (folder / "roof.txt").write_text("The chimney was rebuilt in 1999.")
    result = command("sync", str(folder))
    assert result.status == 0, result
    found = rows(result)
    assert found["garden.md"][:2] == ["moved", "completed"]
    assert found["garden.md"][-2:] == ["from", "plans/garden.md"]
    assert found["roof.txt"][:2] == ["added", "completed"]
    assert "house.txt" not in found
    assert "1 added, 1 moved, 1 unchanged." in result.out
    assert "3 of 3 files are searchable in 'documents'." in result.out
    (folder / "roof.txt").unlink()
    (folder / "house.txt").write_text("The boiler was replaced by a heat pump in 2024.")
    result = command("sync", str(folder))
    assert (rows(result)["roof.txt"], rows(result)["house.txt"][:2]) == (["deleted"], ["replaced", "completed"])
    hits = command("search", "chimney boiler", "--limit", "10").out
    assert "heat pump" in hits
    assert "chimney was rebuilt" not in hits
    assert "Brandt" not in hits
    assert command("fsck").status == 0


def test_a_dry_run_changes_nothing(command: Command, folder: Path) -> None:  # noqa: F811
    """Not even the store is made; later it says what is new alone."""
    result = command("sync", str(folder), "--dry-run")
    assert result.status == 0
    assert {rows(result)[name][0] for name in ("house.txt", "plans/garden.md")} == {"added"}
    assert "documents" not in command("status").out
    command("sync", str(folder))
    (folder / "house.txt").unlink()
    result = command("sync", str(folder), "--dry-run")
    assert rows(result)["house.txt"] == ["deleted"]
    assert "plans/garden.md" not in rows(result)
    assert "1 unchanged, 1 deleted." in result.out
    assert "Brandt" in command("search", "boiler").out


def test_patterns_choose_files(command: Command, folder: Path) -> None:  # noqa: F811
    """Both options can be given more than once."""
    (folder / "notes.txt").write_text("Nothing of interest.")
    result = command("sync", str(folder), "--include", "*.md", "--include", "*.txt", "--exclude", "notes.*")
    assert set(rows(result)) >= {"house.txt", "plans/garden.md"}
    assert "notes.txt" not in result.out


def test_an_emptied_folder_is_not_believed(command: Command, folder: Path) -> None:  # noqa: F811
    """Status 1 and the way out; with the option, the store is emptied."""
    command("sync", str(folder))
    for path in (folder / "house.txt", folder / "plans" / "garden.md"):
        path.unlink()
    result = command("sync", str(folder))
    assert result.status == 1
    assert "are kept (2)" in result.out
    assert "--allow-empty" in result.out
    assert "Brandt" in command("search", "boiler").out
    assert command("sync", str(folder), "--allow-empty").status == 0
    assert "Brandt" not in command("search", "boiler").out


def test_a_file_that_cannot_be_taken_makes_the_status_1(command: Command, folder: Path) -> None:  # noqa: F811
    """Its reason is in the table; a link that leads elsewhere is said and is no failure."""
    (folder / "outside").symlink_to("/etc/hostname")
    result = command("sync", str(folder))
    assert (result.status, rows(result)["outside"][0]) == (0, "skipped")
    (folder / "empty.txt").touch()
    result = command("sync", str(folder))
    assert (result.status, rows(result)["empty.txt"][:2]) == (1, ["refused", "refused"])
    assert "empty (0 bytes)" in result.out


def test_a_store_of_another_folder_is_not_taken_over(command: Command, folder: Path, tmp_path: Path) -> None:  # noqa: F811
    """Folders of the same name have stores of the same name: the second one is told so."""
    command("sync", str(folder))
    other = tmp_path / "other" / "documents"
    other.mkdir(parents=True)
    (other / "a.txt").write_text("Other words.")
    result = command("sync", str(other))
    assert result.status == 2
    assert "--store" in result.err
    assert str(folder) in result.err
    assert command("sync", str(other), "--store", "Other").status == 0
    assert command("sync", str(other), "--adopt").status == 0
    assert "Brandt" not in command("search", "boiler", "--store", "documents").out


def test_a_site_is_followed(command: Command, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pages are found; what fails one day stays."""
    monkeypatch.setenv("FOOTNOTE_HTTP_ALLOWED_HOSTS", site.host)
    monkeypatch.setenv("FOOTNOTE_HTTP_PAUSE_S", "0")
    site.pages |= {
        "/docs/": html("house.html", "pond.txt", text="Start here.", title="Start", etag='"0"'),
        "/docs/house.html": html(text=HOUSE, title="House", etag='"1"'),
        "/docs/pond.txt": Page(body=b"The pond is two metres deep.", type="text/plain"),
    }
    result = command("sync", f"{site.url}/docs/", "--store", "Site")
    assert result.status == 0, result
    assert "3 added." in result.out
    assert "house.html" in command("search", "boiler in the cellar").out
    site.pages["/docs/house.html"] = Page(status=500)
    result = command("sync", f"{site.url}/docs/", "--store", "Site")
    assert result.status == 1
    assert rows(result)["house.html"][0] == "unlisted"
    assert "status 500" in result.out
    assert "are kept (1)" in result.out
    assert "Brandt" in command("search", "boiler in the cellar").out
    del site.pages["/docs/house.html"]
    result = command("sync", f"{site.url}/docs/", "--store", "Site")
    assert (result.status, rows(result)["house.html"]) == (0, ["deleted"])
    assert "a link to nothing: status 404" in result.out
    assert "Brandt" not in command("search", "boiler in the cellar").out


def test_a_host_that_is_not_allowed_is_a_stated_error(command: Command, site: Site) -> None:
    """The setting is named, and nothing is asked."""
    result = command("sync", f"{site.url}/docs/")
    assert result.status == 2
    assert "FOOTNOTE_HTTP_ALLOWED_HOSTS" in result.err
    assert site.requests == []


def test_a_rehearsal_is_not_watched(command: Command, folder: Path) -> None:  # noqa: F811
    """The two options exclude each other."""
    result = command("sync", str(folder), "--dry-run", "--watch")
    assert result.status == 2
    assert "--dry-run" in result.err


def test_members_of_an_archive_are_reported(command: Command, folder: Path) -> None:  # noqa: F811
    """Below their archive, and they go with it."""
    with zipfile.ZipFile(folder / "old.zip", "w") as archive:
        archive.writestr("in/well.txt", "The well was dug in 1790.")
    result = command("sync", str(folder))
    found = rows(result)
    assert found["old.zip!/in/well.txt"][:2] == ["unpacked", "completed"]
    assert "1790" in command("search", "well").out
    (folder / "old.zip").unlink()
    assert command("sync", str(folder)).status == 0
    assert "1790" not in command("search", "well").out
    assert command("fsck").status == 0


def test_watching_follows_changes_and_outlives_failures(
    command: Command,
    folder: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A change is taken in, a folder that is away for a while deletes nothing, and Ctrl-C ends it."""
    seen: list[str] = []

    def wait_for(words: str) -> None:
        deadline = time.monotonic() + WATCH_TIMEOUT_S
        while not any(words in text for text in seen) and time.monotonic() < deadline:
            seen.append(capsys.readouterr().out)
            time.sleep(0.1)

    def operate() -> None:
        wait_for("Watching")
        (folder / "roof.txt").write_text("The chimney was rebuilt in 1999.")
        wait_for("roof.txt")
        folder.rename(folder.parent / "away")
        wait_for("not a folder any more")
        (folder.parent / "away").rename(folder)
        (folder / "house.txt").unlink()
        wait_for("1 deleted")
        _thread.interrupt_main()

    operator = threading.Thread(target=operate)
    operator.start()
    result = command("sync", str(folder), "--watch", "--interval", "1")
    operator.join()
    assert result.status == 130
    out = "".join(seen) + result.out
    assert "3 of 3 files are searchable" in out
    assert "2 of 2 files are searchable" in out


def test_a_failure_at_the_start_ends_the_watch(command: Command, tmp_path: Path) -> None:
    """A misspelt folder is said at once."""
    assert command("sync", str(tmp_path / "nowhere"), "--watch").status == 2


def test_the_watcher_is_begun_before_the_first_reading(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else a change in between would be noticed at the next interval."""
    order: list[str] = []

    class Noted(LocalSource):
        def watch(self, changed: threading.Event, stop: threading.Event) -> None:
            order.append("watching")

    def follow(*_: object, **__: object) -> bool:
        while "watching" not in order:
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        documents._watch(Noted(tmp_path), follow, documents.SyncOptions(max_bytes=1), 1.0)

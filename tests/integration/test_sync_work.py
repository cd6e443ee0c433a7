"""What a sync costs in the pipeline: nothing that has been done before is done again."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from catalog.blobs import BlobStore
from catalog.database import Database
from ingest.intake import Outcome
from ingest.pipeline import Pipeline
from ingest.worker import Worker
from retrieval.embedders.hashing import HashingEmbedder
from tests.unit.ingest.shelf import Shelf

TITLED = "# The garden\n\nThe pond is two metres deep.\n\n## The well\n\nThe well was dug in 1790.\n"


class CountingEmbedder(HashingEmbedder):
    """Notes the texts that it embeds."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def embed_documents(self, texts: Sequence[str]) -> Any:
        self.texts += texts
        return super().embed_documents(texts)


class Workshop(Shelf):
    """A shelf with a real pipeline."""

    def __init__(self, database: Database, blobs: BlobStore, folder: Path) -> None:
        super().__init__(database, blobs, folder)
        self.embedder = CountingEmbedder()
        pipeline = Pipeline(database=database, blobs=blobs, embedder=self.embedder)
        self._worker = Worker(database, blobs, pipeline, name="the test's worker")

    def publish_all(self) -> None:
        while self._worker.run_one(threading.Event()):
            pass

    def embedded(self) -> list[str]:
        """Return the texts embedded since the last call."""
        texts, self.embedder.texts = self.embedder.texts, []
        return texts


@pytest.fixture
def workshop(database: Database, blobs: BlobStore, tmp_path: Path) -> Workshop:
    folder = tmp_path / "documents"
    folder.mkdir()
    return Workshop(database, blobs, folder)


def test_equal_files_are_processed_once(workshop: Workshop) -> None:
    """The second one is published as a copy."""
    workshop.put("a/garden.md", TITLED)
    workshop.follow()
    assert workshop.embedded()
    workshop.put("b/garden.md", TITLED)
    assert workshop.follow()["b/garden.md"] is Outcome.ADDED
    assert workshop.embedded() == []
    assert workshop.paths() == ["a/garden.md", "b/garden.md"]


def test_a_file_in_another_folder_is_not_processed(workshop: Workshop) -> None:
    """Only its path changes."""
    workshop.put("old/garden.txt", "The pond is two metres deep.")
    workshop.follow()
    workshop.embedded()
    (workshop.folder / "old").rename(workshop.folder / "new")
    assert workshop.follow() == {"new/garden.txt": Outcome.MOVED}
    assert workshop.embedded() == []


def test_another_name_is_embedded_only_where_it_counts(workshop: Workshop) -> None:
    """A document with a title of its own is embedded under that; one without is embedded under its file's name."""
    workshop.put("titled.md", TITLED)
    workshop.put("plain.txt", "The roof is of slate.")
    workshop.follow()
    workshop.embedded()
    (workshop.folder / "titled.md").rename(workshop.folder / "garden.md")
    (workshop.folder / "plain.txt").rename(workshop.folder / "roof.txt")
    assert workshop.follow() == {"garden.md": Outcome.MOVED, "roof.txt": Outcome.MOVED}
    (text,) = workshop.embedded()
    assert text.startswith("roof\nThe roof is of slate")
    assert workshop.paths() == ["garden.md", "roof.txt"]


def test_of_a_changed_file_the_changed_part_is_embedded(workshop: Workshop) -> None:
    """The other chunks keep their vectors."""
    paragraphs = [f"# Part {i}\n\n" + f"Pump {i} stands in hall {i * 7}. " * 60 for i in range(5)]
    workshop.put("pumps.md", "\n\n".join(paragraphs))
    workshop.follow(max_bytes=100_000)
    before = len(workshop.embedded())
    paragraphs[3] = paragraphs[3].replace("Pump 3", "Valve 3")
    workshop.put("pumps.md", "\n\n".join(paragraphs))
    assert workshop.follow(max_bytes=100_000) == {"pumps.md": Outcome.REPLACED}
    again = workshop.embedded()
    assert 0 < len(again) < before / 2
    assert all("Valve 3" in text for text in again)

"""`footnote reindex`: another embedding model, and the way back."""

from pathlib import Path

import pytest
from sqlalchemy import func, select

from catalog import embeddings
from catalog.database import Database
from catalog.models import Chunk, ChunkVectors, VectorStore
from tests.integration import test_cli
from tests.integration.conftest import Command

folder = test_cli.folder

OLD, NEW = "hashing@256/64", "hashing@256/96"
TO_NEW = ("reindex", "--model", "hashing", "--dimensions", "96", "--wait", "0")


@pytest.fixture(autouse=True)
def _ingested(command: Command, folder: Path) -> None:
    assert command("ingest", str(folder)).status == 0


def store_identities(database: Database) -> set[str]:
    with database.read() as session:
        return set(session.scalars(select(VectorStore.embedding_identity)))


def check_searchable(command: Command) -> None:
    assert "two metres deep" in command("search", "how deep is the pond").out
    result = command("fsck")
    assert result.status == 0, result


def test_the_model_is_changed_and_changed_back(command: Command, folder: Path, database: Database) -> None:
    """Searches and ingestion use the new model, whatever the settings say; a rollback embeds only what is new."""
    result = command(*TO_NEW)
    assert result.status == 0, result
    assert "Embedded 2 chunks" in result.out
    assert store_identities(database) == {NEW}
    check_searchable(command)
    (folder / "shed.txt").write_text("The shed holds the mower.")
    assert command("ingest", str(folder)).status == 0
    assert "mower" in command("search", "mower").out
    back = command("reindex", "--rollback", "--wait", "0")
    assert back.status == 0, back
    assert "Embedded 1 chunks; 1 documents" in back.out
    assert store_identities(database) == {OLD}
    assert "mower" in command("search", "mower").out
    check_searchable(command)


def test_discarding_leaves_the_current_vectors_alone(command: Command, database: Database, tmp_home: Path) -> None:
    """They take the place of the chunks' own, the index of the model before is deleted, and there is no way back."""
    assert command(*TO_NEW).status == 0
    result = command("reindex", "--discard")
    assert f"The vectors of {OLD} are deleted." in result.out
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(ChunkVectors)) == 0
        assert {2 * 96} == {len(vectors) for vectors in session.scalars(select(Chunk.vectors))}
        assert [model.identity for model in embeddings.all_known(session)] == [NEW]
    assert not (tmp_home / "lexical").exists()
    check_searchable(command)
    assert "no model to go back to" in command("reindex", "--rollback").err
    assert "no vectors of other models" in command("reindex", "--discard").out
    assert command("compact").status == 0
    check_searchable(command)

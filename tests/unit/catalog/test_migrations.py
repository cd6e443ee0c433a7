"""The migrations lead from nothing to the tables of the models. Runs on every database."""

import threading
import time
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select, text

from catalog import keys
from catalog.database import Database
from catalog.keys import KeyScope
from catalog.models import ApiKey, Base, ConversationItem, ConversationItemFile, VectorStoreFile


def test_the_migrated_schema_equals_the_models(database: Database) -> None:
    """Alembic finds no difference: no column, type, index or constraint was forgotten."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_an_upgrade_keeps_every_row(tmp_path: Path) -> None:
    """A catalog of the first revision is brought to the newest: no row is lost on the way, keys keep all rights,
    and items of conversations count as of now.
    """
    database = Database(f"sqlite:///{tmp_path / 'old.sqlite'}")
    database.migrate("0001")
    columns = "(id, project_id, filename, purpose, bytes, sha256, created_at)"
    with database.write() as session:
        session.execute(text(f"INSERT INTO files {columns} VALUES ('file-1', 'p', 'a.txt', 'assistants', 1, 'x', 0)"))
        session.execute(
            text(
                "INSERT INTO vector_stores (id, project_id, name, metadata, created_at, last_active_at, "
                "embedding_identity) VALUES ('vs_1', 'p', 's', '{}', 0, 0, 'm')"
            )
        )
        session.execute(
            text(
                "INSERT INTO vector_store_files (vector_store_id, file_id, created_at, attributes, chunking_strategy, "
                "bytes, status, progress, fence, claims, failures, not_before) "
                "VALUES ('vs_1', 'file-1', 0, '{}', '{}', 1, 'completed', 1, 1, 1, 0, 0)"
            )
        )
        session.execute(
            text("INSERT INTO api_keys (id, project_id, name, digest, created_at) VALUES ('key_1', 'p', 'k', 'd', 0)")
        )
    database.migrate("0006")
    with database.write() as session:
        session.execute(text("INSERT INTO conversations VALUES ('conv_1', 'p', 0, '{}')"))
        session.execute(text("INSERT INTO conversation_items (id, conversation_id, item) VALUES ('i', 'conv_1', '{}')"))
        session.execute(text("INSERT INTO conversation_item_files VALUES (1, 'file-1')"))
    upgraded = time.time()
    database.migrate()
    with database.read() as session:
        item = session.scalars(select(ConversationItem)).one()
        assert item.created_at >= upgraded
        assert session.scalars(select(ConversationItemFile.file_id)).all() == ["file-1"]
        key = session.scalars(select(ApiKey)).one()
        assert (keys.scopes_of(key), key.store_ids, key.requests_per_minute) == ({KeyScope.ADMIN}, None, None)
        entry = session.scalars(select(VectorStoreFile)).one()
        assert (entry.file_id, entry.status, entry.started_at) == ("file-1", "completed", None)
    database.close()


def test_migrating_again_changes_nothing(database: Database) -> None:
    """Every start migrates, several processes at once."""
    before = sorted(inspect(database.engine).get_table_names())
    threads = [threading.Thread(target=database.migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert before == sorted(inspect(database.engine).get_table_names())
    assert {table.name for table in Base.metadata.sorted_tables} | {"alembic_version"} == set(before)

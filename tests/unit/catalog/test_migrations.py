"""The migrations lead from nothing to the tables of the models. Runs on every database."""

import threading

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from catalog.database import Database
from catalog.models import Base


def test_the_migrated_schema_equals_the_models(database: Database) -> None:
    """Alembic finds no difference: no column, type, index or constraint was forgotten."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


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

"""Syncing on a real PostgreSQL: the tests of syncing, with this module's `database` instead of SQLite's.

There several writers really are at work at once.
"""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from catalog.database import Database
from catalog.models import Base
from tests.postgresql import PostgreSQL, needs_postgresql
from tests.unit.catalog.test_sources import *  # noqa: F403
from tests.unit.ingest.test_sync import *  # noqa: F403

pytestmark = needs_postgresql


@pytest.fixture(scope="module")
def migrated() -> Iterator[Database]:
    server = PostgreSQL()
    try:
        database = Database(server.url)
        database.migrate()
        yield database
        database.close()
    finally:
        server.remove()


@pytest.fixture
def database(migrated: Database) -> Database:
    """Return the catalog with the newest schema, without a row."""
    tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
    with migrated.write() as session:
        session.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    return migrated

"""Engine, transactions and migrations, the same for SQLite and PostgreSQL."""

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from filelock import FileLock, Timeout
from sqlalchemy import URL, Connection, create_engine, event, make_url, text
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.orm import Session

from catalog.errors import ConfigurationError, InvalidRequest, ServiceUnavailable

# How long a SQLite writer waits for another one before it reports that the database is busy.
BUSY_TIMEOUT_S: Final = 30.0
# How long a PostgreSQL transaction may do nothing before the server ends it. Without this a process that was stopped,
# or whose host was cut off, would keep its locks, and everyone waiting. More than the upload of a blob to S3 takes.
IDLE_TIMEOUT_S: Final = 120.0
# Any constant of our own; names the migration among PostgreSQL's advisory locks.
_MIGRATION_LOCK: Final = 0x466F6F74
# Ids in one statement.
_IDS: Final = 1000

_Id = TypeVar("_Id")

# What a request does at the end of each of its write transactions, as part of them.
before_commit: ContextVar[Callable[[Session], None] | None] = ContextVar("before_commit", default=None)


class Database:
    """Opens transactions.

    SQLite runs in WAL mode: one writer, and readers that it never blocks. `synchronous=FULL` makes a commit outlive
    a power cut. Writers begin with BEGIN IMMEDIATE, so none fails half-way for a lock.
    """

    def __init__(self, url: str) -> None:
        """`url`: as SQLAlchemy takes it; its own `timeout` (SQLite) or `options` (PostgreSQL) win over ours."""
        self.url = make_url(url)
        backend = self.url.get_backend_name()
        if backend not in {"sqlite", "postgresql"}:
            raise ConfigurationError(f"database_url names {backend!r}; use sqlite:///PATH or postgresql+psycopg://…")
        self.is_sqlite = backend == "sqlite"
        if self.is_sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        self.engine = create_engine(
            _with_timeouts(self.url), pool_pre_ping=not self.is_sqlite, pool_size=8, max_overflow=32
        )
        if self.is_sqlite:
            event.listen(self.engine, "connect", _configure_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._writer = self.engine.execution_options(footnote_writes=True)
        # PostgreSQL's default, READ COMMITTED, shows each statement another state. SQLite's readers have snapshots.
        isolation = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        self._reader = self.engine.execution_options(**isolation)
        self._observer: Connection | None = None
        self._observing = threading.Lock()
        self._turns = self.engine if self.is_sqlite else self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that sees one state of the catalog."""
        with _translated(), Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self, *, is_effect: bool = True) -> Iterator[Session]:
        """A transaction that commits at the end of the block, or does nothing at all.

        `is_effect`: false for book-keeping that a repeated request may do again (`catalog.idempotency`).
        """
        with _translated(), Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session
            if is_effect and (finish := before_commit.get()):
                finish(session)

    def state(self) -> int | None:
        """Return a number that every commit since the last call has changed; None where only a query can tell.

        What was read behind a call still holds while the number is the same. Takes microseconds.
        """
        if not self.is_sqlite or not self.url.database:
            return None
        with _translated(), self._observing:
            if self._observer is None:
                # One for all threads: a connection is told of the commits of others alone.
                self._observer = self.engine.connect()
            # Past SQLAlchemy, which would begin a transaction, and so keep a state.
            driver: Any = self._observer.connection.driver_connection
            try:
                (number,) = driver.execute("PRAGMA data_version").fetchone()
            except sqlite3.Error as error:
                raise ServiceUnavailable(f"The catalog database does not answer: {error}") from error
            return int(number)

    def lock(self, session: Session, name: str) -> None:
        """Until the transaction ends, keep every other one that locks `name` waiting.

        A SQLite writer is alone already.
        """
        if not self.is_sqlite:
            session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _lock_number(name)})

    @contextmanager
    def turn(self, name: str, *, patience_s: float) -> Iterator[None]:
        """Do the block in turn with other processes that take turns at `name`, but wait no longer than `patience_s`.

        For work that may be done twice and should not be: a process that hangs in its turn holds nobody up for longer.
        """
        with _translated(), ExitStack() as turn:
            if self.is_sqlite:
                with suppress(Timeout):
                    turn.enter_context(FileLock(f"{self.url.database}.{name}.lock", timeout=patience_s))
            else:
                # Autocommit: no transaction idles meanwhile. The lock goes with the connection, whatever happens.
                connection = turn.enter_context(self._turns.connect())
                turn.callback(connection.invalidate)
                connection.execute(text(f"SET lock_timeout = {int(patience_s * 1000)}"))
                with suppress(OperationalError):
                    connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": _lock_number(name)})
            yield

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to a revision, the newest one by default; safe to call from several processes at once."""
        config = Config()
        config.set_main_option("script_location", "catalog:migrations")
        config.set_main_option("path_separator", "os")
        with _translated(), self._migration_lock(), self._writer.connect() as connection:
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _MIGRATION_LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            connection.commit()

    def revision(self) -> str | None:
        """Return the revision of the schema, None before the first migration."""
        with _translated(), self._reader.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def _migration_lock(self) -> AbstractContextManager[Any]:
        if self.is_sqlite and self.url.database:
            return FileLock(self.url.database + ".migrate.lock")
        return nullcontext()

    def close(self) -> None:
        with self._observing:
            if self._observer is not None:
                self._observer.close()
                self._observer = None
        self.engine.dispose()


def _lock_number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


def _with_timeouts(url: URL) -> URL:
    timeouts = {
        "sqlite": {"timeout": str(BUSY_TIMEOUT_S)},
        "postgresql": {"options": f"-c idle_in_transaction_session_timeout={int(IDLE_TIMEOUT_S * 1000)}"},
    }
    return url.set(query={**timeouts[url.get_backend_name()], **url.query})


def _configure_sqlite(connection: Any, _record: object) -> None:
    # The driver must not begin transactions by itself: _begin_sqlite decides which kind it is.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        # Overwrites what is deleted where that costs no further write; `footnote compact` does the rest.
        "secure_delete = FAST",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("footnote_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _translated() -> Iterator[None]:
    """Driver errors that come from the database's state, or from a value that it cannot hold, become our own."""
    try:
        yield
    except DataError as error:
        raise InvalidRequest(f"A value cannot be stored: {_cause(error)}") from error
    except (OperationalError, InterfaceError, InternalError) as error:
        raise ServiceUnavailable(f"The catalog database does not answer: {_cause(error)}") from error


def _cause(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0] if error.orig else str(error)


def portions(ids: Sequence[_Id]) -> Iterator[Sequence[_Id]]:
    """Cut a list of ids into parts that one statement can name: no driver takes any number of variables."""
    for first in range(0, len(ids), _IDS):
        yield ids[first : first + _IDS]

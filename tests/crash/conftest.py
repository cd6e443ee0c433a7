"""The clusters on which the crash rounds run."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.crash.cluster import Cluster
from tests.crash.rounds import Undisturbed
from tests.postgresql import PostgreSQL, needs_postgresql

# All rounds together, on both databases and of both kinds.
ROUNDS: Final = int(os.environ.get("FOOTNOTE_TEST_CRASH_ROUNDS", "30"))
DATABASES: Final = ("sqlite", pytest.param("postgresql", marks=needs_postgresql))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    server = PostgreSQL()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    """Yield what every round is compared with; on SQLite, whichever database the round is on."""
    cluster = Cluster(tmp_path_factory.mktemp("calm"))
    try:
        cluster.wait_until_ready()
        yield Undisturbed(cluster)
        cluster.shut_down()
    finally:
        cluster.end()


@pytest.fixture(scope="session", params=DATABASES)
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield two APIs and two workers, which all rounds share; in the end every process must end in order."""
    server = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    cluster = Cluster(tmp_path_factory.mktemp(request.param), server=server, apis=2, workers=2)
    try:
        cluster.wait_until_ready()
        yield cluster
        check_clean(cluster)
        cluster.shut_down()
    finally:
        cluster.end()


def check_clean(cluster: Cluster) -> None:
    """Check that the command finds nothing, and that all that the killed processes left is cleared once it is old."""
    assert cluster.start_command("fsck").wait(60) == 0, cluster.log("command")[-4000:]
    staging = cluster.blobs.staging
    for path in staging.iterdir():
        os.utime(path, (0.0, 0.0))
    cluster.blobs.clear_stale_staging()
    assert list(staging.iterdir()) == []


@pytest.fixture(params=DATABASES)
def apart(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """Yield a cluster of the test's own, whose database waits one second where it usually waits longer."""
    server: PostgreSQL | None = None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql")
        url = f"{server.make_database()}?options=-c idle_in_transaction_session_timeout=1s"
    else:
        url = f"sqlite:///{tmp_path / 'catalog.sqlite'}?timeout=1"
    cluster = Cluster(tmp_path, server=server, database_url=url, workers=2)
    try:
        cluster.wait_until_ready()
        yield cluster
        cluster.shut_down()
    finally:
        cluster.end()

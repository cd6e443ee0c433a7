"""SIGSTOP: a process that slept while others took over its work must not write when it wakes up."""

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import select, text

from catalog.database import Database
from catalog.models import Document, JobStatus, VectorStoreFile
from tests.crash.account import Account
from tests.crash.client import Client
from tests.crash.cluster import LEASE_S, Cluster, Service
from tests.crash.conftest import ROUNDS
from tests.crash.documents import generation
from tests.crash.outcome import open_jobs, read_outcome
from tests.crash.rounds import Folders, Undisturbed, check_sound, wait_for_the_end, without_command
from tests.crash.script import CreateStore, Step, Upload, make_script
from tests.e2e.conftest import wait_until

# From the claim to the stop: enough for documents to be parsed, embedded, and some published.
_WITHIN_S = 0.3
_UPLOAD_BYTES = 8_000_000


@pytest.mark.parametrize("seed", range(1, ROUNDS // 10 + 1))
def test_a_worker_that_slept_past_its_lease_writes_nothing(
    cluster: Cluster, undisturbed: Undisturbed, seed: int, account: Account
) -> None:
    """It is stopped with jobs in hand; another one takes them over; when it wakes up, its work is void."""
    client = Client(cluster.urls, Folders(cluster).follow)
    sleeper, other = cluster.workers
    try:
        cluster.stop(sleeper)
        cluster.stop(other)
        for step in make_script(seed):
            client.perform(without_command(step))
        held = stop_at_work(cluster, sleeper, random.Random(f"sleeper {seed}"))
        cluster.wake(other)
        wait_for_the_end(cluster)
        outcome, published = read_outcome(cluster), publications(cluster)
        outcome.check_equal(undisturbed.outcome(seed))
        cluster.wake(sleeper)
        time.sleep(LEASE_S)
        # When it has ended, it has written all that it ever will.
        cluster.restart(sleeper)
        check_sound(cluster, client)
        assert publications(cluster) == published
        read_outcome(cluster).check_equal(outcome)
        client.remove_everything()
    finally:
        # The rounds that follow need both.
        cluster.wake(sleeper)
        cluster.wake(other)
        client.close()
    account(Counter({"rounds with a sleeper": 1, "jobs in a sleeper's hands": len(held)}))


def test_a_worker_that_sleeps_within_a_transaction_blocks_nobody_for_ever(
    apart: Cluster, undisturbed: Undisturbed
) -> None:
    """PostgreSQL ends its transaction after a while; SQLite says that it is busy, until the worker goes on."""
    script = many_documents()
    sleeper, other = apart.workers
    client = Client(apart.urls, Folders(apart).follow)
    for service in (sleeper, other):
        apart.stop(service)
    for step in script:
        client.perform(step)
    stop_in_transaction(apart, sleeper)
    apart.wake(other)
    if apart.database.is_sqlite:
        assert_said_to_be_busy(apart)
        apart.wake(sleeper)
    wait_for_the_end(apart)
    apart.wake(sleeper)
    time.sleep(LEASE_S)
    apart.restart(sleeper)
    check_sound(apart, client)
    client.close()
    read_outcome(apart).check_equal(undisturbed.outcome_of(script))


def many_documents() -> list[Step]:
    dice = random.Random(1)
    uploads = [Upload(file=f"{n}.txt", content=generation(dice, "", n)) for n in range(60)]
    return [*uploads, CreateStore(store="many", files=[upload.file for upload in uploads])]


def stop_in_transaction(cluster: Cluster, sleeper: Service) -> None:
    """Stop a worker while it writes to the catalog."""
    dice = random.Random(2)
    cluster.wake(sleeper)
    wait_until(lambda: jobs_of(cluster, sleeper), timeout_s=30, what="a claim of the sleeper")
    while True:
        time.sleep(dice.uniform(0, 0.01))
        cluster.stop(sleeper)
        if is_locked(cluster.database):
            return
        assert open_jobs(cluster), "the worker was through before it was stopped: the test shows nothing"
        cluster.wake(sleeper)


def assert_said_to_be_busy(cluster: Cluster) -> None:
    """The API refuses in so many words, and the worker that waits lives on."""
    with httpx.Client(timeout=30.0) as http:
        refused = http.post(cluster.urls[0] + "/v1/vector_stores", json={"name": "too busy for this"})
    assert (refused.status_code, refused.headers["x-should-retry"]) == (503, "true")
    assert "database is locked" in refused.json()["error"]["message"]
    cluster.check_alive()


@pytest.mark.parametrize("seed", range(3))
def test_an_api_that_slept_in_an_upload_goes_on_with_it(cluster: Cluster, seed: int) -> None:
    """Whoever waits for it gets the answer and the file is whole; the other API answers meanwhile."""
    dice = random.Random(seed)
    sleeper, other = cluster.apis
    content = dice.randbytes(_UPLOAD_BYTES)
    form = {"file": ("big.bin", content)}
    with httpx.Client(timeout=60.0) as http, ThreadPoolExecutor() as pool:
        upload = pool.submit(http.post, f"{sleeper.url}/v1/files", files=form, data={"purpose": "assistants"})
        time.sleep(dice.uniform(0, 0.06))
        cluster.stop(sleeper)
        if not is_locked(cluster.database):
            assert http.post(f"{other.url}/v1/vector_stores", json={"name": "meanwhile"}).status_code == 200
        cluster.wake(sleeper)
        answer = upload.result()
        assert answer.status_code == 200
        stored = http.get(f"{other.url}/v1/files/{answer.json()['id']}/content")
        assert stored.content == content
    client = Client(cluster.urls, Folders(cluster).follow)
    client.remove_everything()
    check_sound(cluster, client)
    client.close()


def stop_at_work(cluster: Cluster, sleeper: Service, dice: random.Random) -> list[int]:
    """Let a worker claim jobs and stop it before it is through, but not within a transaction; return the jobs."""
    delay_s = dice.uniform(0, _WITHIN_S)
    while True:
        cluster.wake(sleeper)
        wait_until(lambda: jobs_of(cluster, sleeper), timeout_s=30, what="a claim of the sleeper")
        time.sleep(delay_s)
        cluster.stop(sleeper)
        held = jobs_of(cluster, sleeper)
        assert held, "the worker was through before it was stopped: the round shows nothing"
        if not is_locked(cluster.database):
            return held
        delay_s = dice.uniform(0, 0.01)


def jobs_of(cluster: Cluster, worker: Service) -> list[int]:
    own = (VectorStoreFile.owner.contains(f"-{worker.process.pid}-"), VectorStoreFile.status == JobStatus.IN_PROGRESS)
    with cluster.database.read() as session:
        return list(session.scalars(select(VectorStoreFile.id).where(*own)))


def publications(cluster: Cluster) -> Mapping[int, tuple[int, float]]:
    """Return the number and time of every document by its entry: a second publication would have others."""
    with cluster.database.read() as session:
        rows = session.execute(select(Document.vector_store_file_id, Document.id, Document.created_at))
        return {entry_id: (number, created_at) for entry_id, number, created_at in rows}


def is_locked(database: Database) -> bool:
    """Tell whether some process is within a transaction that writes, while all the others are at rest."""
    if database.is_sqlite:
        connection = sqlite3.connect(str(database.url.database), timeout=0.0, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            return False
        except sqlite3.OperationalError:
            return True
        finally:
            connection.close()
    writing = "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
    with database.read() as session:
        return bool(session.scalar(text(writing)))

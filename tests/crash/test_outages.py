"""What Footnote stands on gives way: database away or full up, disk full. Everything waits, and nothing is lost."""

import os
import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.crash.client import Client
from tests.crash.cluster import Cluster
from tests.crash.disturbance import Aim, Disturbance, Disturber
from tests.crash.outcome import read_outcome
from tests.crash.rounds import Folders, Undisturbed, check_sound, run_script, wait_for_the_end
from tests.crash.script import Step, make_script
from tests.postgresql import PostgreSQL, needs_postgresql

# Longer than `apart` waits for a lock, and than a worker rests after an outage.
_OUTAGE_S = 4.0
_DISK_BYTES = 48 * 1024**2


@pytest.mark.parametrize("seed", [7])
def test_a_database_out_of_service_delays_everything_and_loses_nothing(
    apart: Cluster, undisturbed: Undisturbed, seed: int
) -> None:
    """PostgreSQL crashes twice, or SQLite is locked for long: the API says so with 503, and the workers wait."""
    script = make_script(seed)
    outages = [
        Disturbance(aim=Aim.OUTAGE, step=step, delay_s=0.02, pick=0.0, sleep_s=_OUTAGE_S)
        for step in (len(script) // 2, len(script))
    ]
    outcome, requests = run_script(apart, script, Disturber(apart, outages))
    outcome.check_equal(undisturbed.outcome(seed))
    assert requests["requests refused"] > 0, "no request came in an outage: the test shows little"


@needs_postgresql
@pytest.mark.parametrize("seed", [8])
def test_a_database_without_free_connections_delays_everything(
    tmp_path: Path, postgresql: PostgreSQL, undisturbed: Undisturbed, seed: int
) -> None:
    """Others have taken every connection: the API says so with 503, and all goes on when they let go."""
    script = make_script(seed)
    cluster = Cluster(tmp_path, database_url=postgresql.make_database())
    client = Client(cluster.urls, Folders(cluster).follow)
    try:
        cluster.wait_until_ready()
        perform_all(client, script[: len(script) // 2])
        with all_connections_of(cluster):
            with httpx.Client(timeout=30.0) as http:
                refused = http.post(cluster.urls[0] + "/v1/vector_stores", json={"name": "one too many"})
            assert refused.status_code == 503
            assert "too many clients" in refused.json()["error"]["message"]
            time.sleep(1.0)  # The worker looks for work several times.
            cluster.check_alive()
        perform_all(client, script[len(script) // 2 :])
        check_end(cluster, client, undisturbed, seed)
        cluster.shut_down()
    finally:
        client.close()
        cluster.end()


@contextmanager
def all_connections_of(cluster: Cluster) -> Iterator[None]:
    """Take every free connection of the server, and then those that the cluster has."""
    url = cluster.settings.resolved_database_url.replace("+psycopg", "")
    with ExitStack() as stack:

        def take_all() -> None:
            with pytest.raises(psycopg.OperationalError, match="too many clients"):
                while True:
                    stack.enter_context(psycopg.connect(url, autocommit=True, application_name="taker"))

        admin = stack.enter_context(psycopg.connect(url, autocommit=True, application_name="taker"))
        take_all()
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name <> 'taker'"
        for _ in range(20):
            admin.execute(f"{ended} AND datname = current_database()")
            take_all()
        yield


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system in memory that is soon full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(folder)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True) if os.geteuid() == 0 else None
    if done is None or done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr if done else 'not root'}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("seed", [9])
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=needs_postgresql)])
def test_a_full_disk_delays_everything_and_loses_nothing(
    small_disk: Path, undisturbed: Undisturbed, database: str, seed: int, request: pytest.FixtureRequest
) -> None:
    """Uploads are refused with 503, jobs wait with a reason; when there is room again, all ends as in peace."""
    script = make_script(seed)
    url = request.getfixturevalue("postgresql").make_database() if database == "postgresql" else None
    cluster = Cluster(small_disk, database_url=url)
    client = Client(cluster.urls, Folders(cluster).follow)
    try:
        cluster.wait_until_ready()
        perform_all(client, script[: len(script) // 2])
        with ThreadPoolExecutor() as pool, full(small_disk):
            check_refusals(cluster, store=next(iter(client.stores.values())))
            rest = pool.submit(perform_all, client, script[len(script) // 2 :])
            time.sleep(_OUTAGE_S)
            cluster.check_alive()
        rest.result()
        check_end(cluster, client, undisturbed, seed)
        cluster.shut_down()
    finally:
        client.close()
        cluster.end()


def perform_all(client: Client, steps: Sequence[Step]) -> None:
    for step in steps:
        client.perform(step)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Leave not a byte free on a file system until the block ends."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as target:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while target.write(b"\0" * size):
                    pass
            except OSError:
                continue
    yield
    ballast.unlink()


def check_refusals(cluster: Cluster, *, store: str) -> None:
    """Uploads of any size are refused in so many words; what need not write answers, and a search does or says why."""
    with httpx.Client(timeout=30.0, base_url=cluster.urls[0]) as http:
        for size in (10, 3_000_000):
            content = random.Random(size).randbytes(size)
            refused = http.post("/v1/files", files={"file": ("late.bin", content)}, data={"purpose": "assistants"})
            assert refused.status_code == 503, refused.text
            assert refused.headers["x-should-retry"] == "true"
            assert "No space left on device" in refused.json()["error"]["message"]
        assert http.get("/v1/files").status_code == 200
        # Words that came since the last search have to be written down first.
        found = http.post(f"/v1/vector_stores/{store}/search", json={"query": "compressor"})
        assert found.status_code == 200 or "is full" in found.json()["error"]["message"], found.text


def check_end(cluster: Cluster, client: Client, undisturbed: Undisturbed, seed: int) -> None:
    wait_for_the_end(cluster)
    client.remove_leftovers()
    check_sound(cluster, client)
    read_outcome(cluster).check_equal(undisturbed.outcome(seed))

"""A round: a script run in peace, the same script among kills, and both must have the same outcome."""

import pickle
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

from catalog import stores
from catalog.errors import ServiceUnavailable
from catalog.models import DEFAULT_PROJECT, VectorStore
from catalog.stores import NewVectorStore
from ingest.sources.local import LocalSource
from ingest.sync import SyncOptions, sync
from tests.builders import IDENTITY
from tests.crash.client import Client
from tests.crash.cluster import Cluster
from tests.crash.disturbance import Disturber, make_disturbances
from tests.crash.outcome import Outcome, late_jobs, open_jobs, problems, read_outcome
from tests.crash.reader import reading
from tests.crash.script import Follow, Step, make_script

_END_TIMEOUT_S: Final = 90.0
_COMMAND_TIMEOUT_S: Final = 90.0


class Undisturbed:
    """What each script ends with in peace, computed once: both databases have to end with the same."""

    def __init__(self, calm: Cluster) -> None:
        """`calm`: nothing ever happens to its processes."""
        self._calm = calm
        self._folder = calm.folder / "outcomes"
        self._folder.mkdir()

    def outcome(self, seed: int) -> Outcome:
        """Return what script `seed` ends with."""
        path = self._folder / str(seed)
        if not path.exists():
            path.write_bytes(pickle.dumps(self.outcome_of([without_command(step) for step in make_script(seed)])))
        return cast(Outcome, pickle.loads(path.read_bytes()))

    def outcome_of(self, script: Sequence[Step]) -> Outcome:
        return run_script(self._calm, script, Disturber(self._calm, []))[0]


def without_command(step: Step) -> Step:
    """Of both ways to follow a folder the command is the slower one, and works on the queue itself."""
    return replace(step, by_command=False) if isinstance(step, Follow) else step


def run_round(cluster: Cluster, undisturbed: Undisturbed, seed: int) -> Counter[str]:
    """Raise AssertionError where a disturbed run of script `seed` differs from one in peace; return what was done.

    The cluster has to be at rest with an empty catalog, and is so again afterwards.
    """
    script, expected = make_script(seed), undisturbed.outcome(seed)
    commands = [number for number, step in enumerate(script) if isinstance(step, Follow) and step.by_command]
    disturber = Disturber(cluster, make_disturbances(seed, len(script), commands))
    before = cluster.interrupted_claims
    with reading(cluster.urls) as readings:
        outcome, requests = run_script(cluster, script, disturber)
    outcome.check_equal(expected)
    claims = Counter({"claims interrupted": cluster.interrupted_claims - before})
    return requests + readings + disturber.counts + claims


def run_script(cluster: Cluster, script: Sequence[Step], disturber: Disturber) -> tuple[Outcome, Counter[str]]:
    """Carry out a script and empty the catalog again; return what there was in the end, and counts of requests."""
    client = Client(cluster.urls, Folders(cluster).follow)
    try:
        client.remove_everything()  # A round that failed has left something.
        for number, step in enumerate(script):
            disturber.begin(number)
            client.perform(step)
        disturber.begin(len(script))
        disturber.join()
        wait_for_the_end(cluster)
        client.remove_leftovers()
        check_sound(cluster, client)
        outcome = read_outcome(cluster)
        client.remove_everything()
        check_sound(cluster, client)
        return outcome, Counter({f"requests {what}": n for what, n in client.counts.items()})
    finally:
        disturber.give_up()
        client.close()


def wait_for_the_end(cluster: Cluster) -> None:
    """Wait until nothing is left to do; no job may be held past its lease meanwhile."""
    deadline = time.monotonic() + _END_TIMEOUT_S
    while open_jobs(cluster):
        cluster.check_alive()
        assert late_jobs(cluster) == []
        assert time.monotonic() < deadline, f"jobs {open_jobs(cluster)} have not ended"
        time.sleep(0.1)


def check_sound(cluster: Cluster, client: Client) -> None:
    """Check a cluster at rest: catalog, blobs and words agree, and no process ended by itself."""
    # A search brings the words up to date; it needs a store.
    store = client.call("POST", "/v1/vector_stores", json={"name": "of a search"})["id"]
    client.call("POST", f"/v1/vector_stores/{store}/search", json={"query": "compressor"})
    client.call("DELETE", f"/v1/vector_stores/{store}")
    assert problems(cluster) == []
    cluster.check_alive()


class Folders:
    """Folders on the machine of the service, which its stores follow."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def follow(self, step: Follow) -> None:
        folder = self._cluster.folder / "sources" / step.store
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.name not in step.contents:
                path.unlink()
        for name, content in step.contents.items():
            (folder / name).write_bytes(content)
        if step.by_command:
            self._run_command(folder, step.store)
            return
        while True:
            with suppress(ServiceUnavailable):  # As an operator would: again, until it has worked.
                return self._queue(folder, step.store)
            time.sleep(0.1)

    def _run_command(self, folder: Path, store: str) -> None:
        """Run `footnote sync` until it says that the store equals the folder."""
        deadline = time.monotonic() + _COMMAND_TIMEOUT_S
        while (status := self._sync(folder, store).wait(_COMMAND_TIMEOUT_S)) != 0:
            assert time.monotonic() < deadline, f"status {status}:\n{self._cluster.log('command')[-4000:]}"

    def _sync(self, folder: Path, store: str) -> subprocess.Popen[bytes]:
        return self._cluster.start_command("sync", str(folder), "--store", store)

    def _queue(self, folder: Path, name: str) -> None:
        """Do what the command does, but for the work on the queue."""
        settings, database = self._cluster.settings, self._cluster.database
        with database.write() as session:
            new = NewVectorStore(project_id=DEFAULT_PROJECT, name=name, embedding_identity=IDENTITY)
            store: VectorStore = stores.find_by_name(session, DEFAULT_PROJECT, name) or stores.create(session, new)
        options = SyncOptions(max_bytes=settings.max_file_bytes)
        sync(database, self._cluster.blobs, store, LocalSource(folder), options)

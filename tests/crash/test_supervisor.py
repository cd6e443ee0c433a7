"""`footnote serve` as people run it: it brings back whatever dies, and when it dies itself, nothing stays behind."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.client import Client
from tests.crash.cluster import LEASE_S, Cluster
from tests.crash.outcome import read_outcome
from tests.crash.rounds import Folders, Undisturbed, check_sound, wait_for_the_end
from tests.crash.script import make_script
from tests.e2e.conftest import Server, command_line, descendants, is_alive, kill, wait_until

_KILLS = 4


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Cluster]:
    """Yield a state folder without processes."""
    cluster = Cluster(tmp_path, apis=0, workers=0)
    yield cluster
    cluster.end()


def serve(state: Cluster, *, port: int = 0) -> Server:
    return Server(state.home, embedding_backend="hashing", lease_s=LEASE_S, workers=2, port=port)


@pytest.mark.parametrize("seed", [10])
def test_whatever_dies_under_the_supervisor_comes_back(state: Cluster, undisturbed: Undisturbed, seed: int) -> None:
    """Its API and workers are killed while a client is busy, then it itself: after a new start all ends as in peace."""
    dice, script = random.Random(seed), make_script(seed)
    server = serve(state)
    client = Client([server.url], Folders(state).follow)
    port = int(server.url.rsplit(":", 1)[1])
    try:
        killer = threading.Thread(target=kill_children, args=(server, dice))
        killer.start()
        for step in script[: len(script) // 2]:
            client.perform(step)
        killer.join()
        family = descendants(server.pid)
        kill(server.pid)
        wait_until(lambda: not any(map(is_alive, family)), timeout_s=30, what="the end of what it had started")
        server.end()
        server = serve(state, port=port)
        for step in script[len(script) // 2 :]:
            client.perform(step)
        wait_for_the_end(state)
        client.remove_leftovers()
        check_sound(state, client)
        assert server.stop() == 0, server.log
    finally:
        client.close()
        server.end()
    read_outcome(state).check_equal(undisturbed.outcome(seed))


def kill_children(server: Server, dice: random.Random) -> None:
    for _ in range(_KILLS):
        time.sleep(dice.uniform(0, 0.5))
        found = [pid for pid in descendants(server.pid) if "--die-with-parent" in command_line(pid)]
        if found:
            kill(dice.choice(found))

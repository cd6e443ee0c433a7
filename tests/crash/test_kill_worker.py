"""`kill -9` of a worker at any instant: nothing is lost, nothing doubled, nothing stuck."""

import random
import signal
import time
from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from api.wiring import open_catalog
from catalog.models import JobStatus, VectorStoreFile
from tests.crash.conftest import Chunks, Site, kill_at_random, wait_until_busy
from tests.e2e.conftest import SAMPLE

KILLS = 10
# Most documents take a worker 0.05 s, the largest 0.4 s: the kills fall into every stage, and the queue outlives them.
WITHIN_S = 0.15

Undisturbed = Callable[[str], Chunks]


def check_whole(site: Site, files: int, expected: Chunks) -> None:
    statuses = site.statuses()
    assert statuses == {path.name: [JobStatus.COMPLETED] for path in SAMPLE.iterdir()}
    assert len(statuses) == files
    assert site.problems() == []
    assert site.chunks() == expected


@pytest.mark.parametrize("seed", [1])
def test_ten_kills_lose_nothing_and_double_nothing(site: Site, undisturbed: Undisturbed, seed: int) -> None:
    """After ten killed workers a last one finishes: every file completed once, the same chunks as without a kill."""
    dice = random.Random(seed)
    files = site.queue()
    for _ in range(KILLS):
        assert site.open_jobs() > 0, "the queue was empty before the last kill"
        kill_at_random(site, dice, within_s=WITHIN_S)
    assert interrupted(site) >= KILLS // 2, "most kills hit no job: the test shows little"
    site.finish()
    check_whole(site, files, undisturbed("hashing"))


def interrupted(site: Site) -> int:
    """Return how many claims did not end with a publication: each is a kill that hit a worker at work."""
    with open_catalog(site.settings) as catalog, catalog.database.read() as session:
        claims = session.scalar(select(func.sum(VectorStoreFile.fence))) or 0
        done = session.scalar(select(func.count()).where(VectorStoreFile.status == JobStatus.COMPLETED)) or 0
    return int(claims) - int(done)


@pytest.mark.parametrize("site", ["openvino"], indirect=True)
def test_kills_with_the_real_model_lose_nothing_and_double_nothing(site: Site, undisturbed: Undisturbed) -> None:
    """The same with the embedder that people use, whose work takes longer."""
    dice = random.Random(3)
    files = site.queue()
    for _ in range(3):
        kill_at_random(site, dice, within_s=0.6)
    assert interrupted(site) > 0, "no kill hit a job: the test shows nothing"
    site.finish()
    check_whole(site, files, undisturbed("openvino"))


@pytest.mark.parametrize("seed", [4])
def test_two_workers_of_which_one_is_killed_again_and_again_share_the_queue(
    site: Site, undisturbed: Undisturbed, seed: int
) -> None:
    """A surviving worker takes over what the killed ones held, and no file is published twice."""
    dice = random.Random(seed)
    files = site.queue()
    survivor = site.worker()
    for _ in range(3):
        kill_at_random(site, dice, within_s=0.3)
    assert survivor.poll() is None
    site.finish()
    check_whole(site, files, undisturbed("hashing"))


@pytest.mark.parametrize("seed", [5])
def test_a_worker_that_slept_past_its_lease_writes_nothing(site: Site, undisturbed: Undisturbed, seed: int) -> None:
    """It is stopped with a job in hand; another one takes the job over; when it wakes up, its work is void."""
    dice = random.Random(seed)
    files = site.queue()
    sleeper = site.worker(lease_s=1)
    wait_until_busy(site, sleeper)
    time.sleep(dice.uniform(0, WITHIN_S))
    sleeper.send_signal(signal.SIGSTOP)
    site.finish(lease_s=1)
    check_whole(site, files, undisturbed("hashing"))
    sleeper.send_signal(signal.SIGCONT)
    time.sleep(2.0)  # Longer than any of the documents takes.
    assert sleeper.poll() is None, "the worker did not survive the loss of its lease"
    check_whole(site, files, undisturbed("hashing"))

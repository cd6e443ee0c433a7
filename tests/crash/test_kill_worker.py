"""`kill -9` of a worker at any instant: nothing is lost, nothing doubled, nothing stuck."""

import random

import pytest
from sqlalchemy import func, select

from api.wiring import open_catalog
from catalog.models import JobStatus, VectorStoreFile
from tests.crash.conftest import Chunks, Site, kill_at_random
from tests.e2e.conftest import SAMPLE

KILLS = 10
# A small document takes a worker about 0.1 s, the largest 0.4 s: the kills fall into every stage of both.
WITHIN_S = 0.6


def check_whole(site: Site, files: int, expected: Chunks) -> None:
    statuses = site.statuses()
    assert statuses == {path.name: [JobStatus.COMPLETED] for path in SAMPLE.iterdir()}
    assert len(statuses) == files
    assert site.problems() == []
    assert site.chunks() == expected


@pytest.mark.parametrize("seed", [1, 2])
def test_ten_kills_lose_nothing_and_double_nothing(site: Site, undisturbed: Chunks, seed: int) -> None:
    """After ten killed workers a last one finishes: every file completed once, the same chunks as without a kill."""
    dice = random.Random(seed)
    files = site.queue()
    for _ in range(KILLS):
        kill_at_random(site, dice, within_s=WITHIN_S)
        if not site.open_jobs():
            break
    assert interrupted(site) > 0, "no kill hit a job: the test shows nothing"
    site.finish()
    check_whole(site, files, undisturbed)


def interrupted(site: Site) -> int:
    """Return how many claims did not end with a publication: each is a kill that hit a worker at work."""
    with open_catalog(site.settings) as catalog, catalog.database.read() as session:
        claims = session.scalar(select(func.sum(VectorStoreFile.fence))) or 0
        done = session.scalar(select(func.count()).where(VectorStoreFile.status == JobStatus.COMPLETED)) or 0
    return int(claims) - int(done)


@pytest.mark.parametrize("site", ["openvino"], indirect=True)
def test_kills_with_the_real_model_leave_the_same_text(site: Site, undisturbed: Chunks) -> None:
    """With the real embedder, too: every file completed once, fsck clean, and no character differs between two runs."""
    dice = random.Random(3)
    files = site.queue()
    for _ in range(3):
        kill_at_random(site, dice, within_s=WITHIN_S)
    assert interrupted(site) > 0, "no kill hit a job: the test shows nothing"
    site.finish()
    assert len(site.statuses()) == files
    assert site.problems() == []
    assert texts(site.chunks()) == texts(undisturbed)


def texts(chunks: Chunks) -> dict[str, str]:
    """Return each file's words without blanks: where chunks are cut depends on the embedder's tokens, the text does not."""
    found: dict[str, str] = {}
    for name, _, _, _, text in chunks:
        found[name] = found.get(name, "") + "".join(text.split())
    return found


@pytest.mark.parametrize("seed", [4])
def test_two_workers_of_which_one_is_killed_again_and_again_share_the_queue(
    site: Site, undisturbed: Chunks, seed: int
) -> None:
    """A surviving worker takes over what the killed ones held, and no file is published twice."""
    dice = random.Random(seed)
    files = site.queue()
    survivor = site.worker()
    for _ in range(3):
        kill_at_random(site, dice, within_s=0.3)
    assert survivor.poll() is None
    site.finish()
    check_whole(site, files, undisturbed)

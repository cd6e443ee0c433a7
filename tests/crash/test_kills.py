"""`kill -9` of workers, APIs and parsers at any instant: nothing is lost, nothing doubled, nothing stuck."""

from collections import Counter

import pytest

from tests.crash.account import Account
from tests.crash.cluster import Cluster
from tests.crash.conftest import ROUNDS
from tests.crash.rounds import Undisturbed, run_round


@pytest.mark.parametrize("seed", range(1, ROUNDS * 2 // 5 + 1))
def test_a_disturbed_run_ends_like_one_in_peace(
    cluster: Cluster, undisturbed: Undisturbed, seed: int, account: Account
) -> None:
    """Uploads, replacements, deletions and batches among kills end with the same bytes in every chunk as without."""
    account(run_round(cluster, undisturbed, seed) + Counter({"rounds": 1}))

"""Kills while the embedder is at work that people use: it takes longer, and starts longer."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.crash.cluster import Cluster
from tests.crash.disturbance import Aim, Disturbance, Disturber
from tests.crash.outcome import Outcome
from tests.crash.rounds import run_script
from tests.crash.script import CreateStore, Step, Upload
from tests.e2e.conftest import SAMPLE

_KILLS = 3
# Kernels round otherwise for another batch shape, most of all in bf16: 0.9999 was the smallest cosine seen.
_MIN_COSINE = 0.999
# The sample takes one worker some seconds.
_WITHIN_S = 2.0


@pytest.fixture
def real(tmp_path: Path, model_cache: Path) -> Iterator[Cluster]:
    """Yield a cluster with the default model."""
    cluster = Cluster(tmp_path, embedding_backend="openvino", models=model_cache)
    try:
        cluster.wait_until_ready()
        yield cluster
        cluster.shut_down()
    finally:
        cluster.end()


@pytest.mark.parametrize("seed", [3])
def test_kills_with_the_real_model_end_like_a_run_in_peace(real: Cluster, seed: int) -> None:
    """The same chunks, with vectors that differ by rounding alone: by what a text was embedded together with."""
    dice = random.Random(seed)
    uploads = [Upload(file=path.name, content=path.read_bytes()) for path in sorted(SAMPLE.iterdir())]
    script: list[Step] = [*uploads, CreateStore(store="sample", files=[upload.file for upload in uploads])]
    expected, _ = run_script(real, script, Disturber(real, []))
    kills = [
        Disturbance(
            aim=Aim.KILL_WORKER, step=len(script), delay_s=dice.uniform(0, _WITHIN_S), pick=dice.random(), sleep_s=0.0
        )
        for _ in range(_KILLS)
    ]
    outcome, _ = run_script(real, script, Disturber(real, kills))
    vectors, expected_vectors = take_vectors(outcome), take_vectors(expected)
    outcome.check_equal(expected)
    assert vectors.shape == expected_vectors.shape
    assert np.min(np.sum(vectors * expected_vectors, axis=1)) > _MIN_COSINE
    assert real.interrupted_claims > 0, "no kill hit a job: the test shows nothing"


def take_vectors(outcome: Outcome) -> NDArray[np.float32]:
    """Take the vectors out of an outcome; return them in its order: float32, shape (windows, dimension)."""
    chunks = [chunk for entry in outcome.entries for chunk in entry["document"]["chunks"]]
    vectors = [np.frombuffer(chunk["vectors"], dtype=np.float16).reshape(chunk["windows"], -1) for chunk in chunks]
    for chunk in chunks:
        del chunk["vectors"]
    return np.concatenate(vectors).astype(np.float32)

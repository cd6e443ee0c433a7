"""Which number format is taken, and when it is measured."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from catalog.errors import ConfigurationError
from retrieval.embedders.calibration import Calibration, Trial, ensure_calibrated, store
from retrieval.embedders.inference import Precision


def a_trial(precision: Precision, rate: float = 100.0, mean: float = 1.0, least: float = 1.0) -> Trial:
    return Trial(precision=precision, texts_per_s=(rate, rate / 2), query_ms=2.0, mean_cosine=mean, min_cosine=least)


class Measurements:
    """Stands in for the measurement; notes the files that it wrote."""

    def __init__(self) -> None:
        self.files: list[Path] = []

    def __call__(self, _folder: Path, path: Path) -> None:
        self.files.append(path)
        store(Calibration(machine="m", trials=(a_trial("f32"),)), path)


@pytest.fixture
def measured() -> Measurements:
    return Measurements()


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ([a_trial("f32")], "f32"),
        ([a_trial("f32"), a_trial("bf16", rate=300, mean=0.9999, least=0.9995)], "bf16"),
        ([a_trial("f32"), a_trial("bf16", rate=90, mean=0.9999, least=0.9995)], "f32"),
        ([a_trial("f32"), a_trial("int8", rate=200, mean=0.994, least=0.99)], "f32"),
        ([a_trial("f32"), a_trial("int8", rate=200, mean=0.9995, least=0.98)], "f32"),
        ([a_trial("f32"), a_trial("int8", rate=200, mean=0.9995, least=0.996)], "int8"),
    ],
)
def test_the_fastest_that_agrees_is_chosen(trials: list[Trial], expected: str) -> None:
    """Speed without agreement, on the mean or on a single text, is not taken."""
    assert expected == Calibration(machine="m", trials=tuple(trials)).chosen


def test_a_machine_is_measured_once(tmp_path: Path, measured: Measurements) -> None:
    """Later starts read what was stored, and get the same."""
    first = ensure_calibrated(tmp_path, measure=measured)
    assert first == ensure_calibrated(tmp_path, measure=measured)
    assert len(measured.files) == 1


def test_processes_that_start_together_measure_once(tmp_path: Path, measured: Measurements) -> None:
    """One measures while the others wait for it."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ensure_calibrated(tmp_path, measure=measured), range(8)))
    assert len(measured.files) == 1


def test_another_machine_is_measured_anew_beside_the_first(tmp_path: Path, measured: Measurements) -> None:
    """Machines that share a folder of models do not take turns in measuring."""
    for machine in ("one", "other", "one", "other"):
        ensure_calibrated(tmp_path, machine=machine, measure=measured)
    assert len(set(measured.files)) == len(measured.files) == 2


def test_it_is_measured_anew_on_request(tmp_path: Path, measured: Measurements) -> None:
    """`footnote doctor --calibrate` does it."""
    ensure_calibrated(tmp_path, measure=measured)
    ensure_calibrated(tmp_path, anew=True, measure=measured)
    assert len(measured.files) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"machine": "m"}', '{"machine": "m", "trials": [{"speed": 3}]}'])
def test_a_file_that_is_not_understood_is_measured_anew(tmp_path: Path, measured: Measurements, content: str) -> None:
    """Half written, or by another version."""
    ensure_calibrated(tmp_path, measure=measured)
    measured.files[0].write_text(content)
    assert ensure_calibrated(tmp_path, measure=measured).chosen == "f32"
    assert len(measured.files) == 2
    assert "trials" in json.loads(measured.files[0].read_text())


def test_a_model_that_cannot_be_measured_is_a_wrong_setting(tmp_path: Path) -> None:
    """The message says why and what to set, and nothing is stored."""
    with pytest.raises(ConfigurationError, match=r"manifest\.json.*embedding_precision"):
        ensure_calibrated(tmp_path)
    assert list(tmp_path.glob("*.json")) == []

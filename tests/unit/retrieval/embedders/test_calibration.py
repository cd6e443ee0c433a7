"""Which number format is taken, and when it is measured."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from catalog.errors import ConfigurationError
from retrieval.embedders import calibration
from retrieval.embedders.calibration import Calibration, Trial, ensure_calibrated, store
from retrieval.embedders.inference import Precision


def a_trial(precision: Precision, rate: float = 100.0, mean: float = 1.0, least: float = 1.0) -> Trial:
    return Trial(precision=precision, texts_per_s=(rate, rate / 2), query_ms=2.0, mean_cosine=mean, min_cosine=least)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the files that are measured; the measurement itself is replaced."""
    files: list[Path] = []

    def measure(_folder: Path, path: Path) -> None:
        files.append(path)
        store(Calibration(machine=calibration.this_machine(), trials=(a_trial("f32"),)), path)

    monkeypatch.setattr(calibration, "_measure_in_child", measure)
    return files


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


def test_a_machine_is_measured_once(tmp_path: Path, measured: list[Path]) -> None:
    """Later starts read what was stored, and get the same."""
    first = ensure_calibrated(tmp_path)
    assert first == ensure_calibrated(tmp_path)
    assert len(measured) == 1


def test_processes_that_start_together_measure_once(tmp_path: Path, measured: list[Path]) -> None:
    """One measures while the others wait for it."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ensure_calibrated, [tmp_path] * 8))
    assert len(measured) == 1


def test_another_machine_is_measured_anew_beside_the_first(
    tmp_path: Path, measured: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machines that share a folder of models do not take turns in measuring."""
    ensure_calibrated(tmp_path)
    here = calibration.this_machine()
    with monkeypatch.context() as patch:
        patch.setattr(calibration, "this_machine", lambda: "another one")
        ensure_calibrated(tmp_path)
    assert here == ensure_calibrated(tmp_path).machine
    assert len(set(measured)) == len(measured) == 2


def test_it_is_measured_anew_on_request(tmp_path: Path, measured: list[Path]) -> None:
    """`footnote doctor --calibrate` does it."""
    ensure_calibrated(tmp_path)
    ensure_calibrated(tmp_path, anew=True)
    assert len(measured) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"machine": "m"}', '{"machine": "m", "trials": [{"speed": 3}]}'])
def test_a_file_that_is_not_understood_is_measured_anew(tmp_path: Path, measured: list[Path], content: str) -> None:
    """Half written, or by another version."""
    ensure_calibrated(tmp_path)
    measured[0].write_text(content)
    assert ensure_calibrated(tmp_path).chosen == "f32"
    assert len(measured) == 2
    assert "trials" in json.loads(measured[0].read_text())


def test_a_model_that_cannot_be_measured_is_a_wrong_setting(tmp_path: Path) -> None:
    """The message says why and what to set, and nothing is stored."""
    with pytest.raises(ConfigurationError, match=r"manifest\.json.*embedding_precision"):
        ensure_calibrated(tmp_path)
    assert list(tmp_path.glob("*.json")) == []

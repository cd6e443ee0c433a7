"""Below which evidence a profile refuses: as it is set, or as a calibration with the same settings found it."""

from pathlib import Path
from typing import Any

import pytest

from api.refusal import CALIBRATED, calibrated_setup, calibrations_folder, refusal_threshold
from api.settings import Settings, load_settings
from catalog.errors import ConfigurationError
from evaluation.calibration import calibrate, save_calibration
from tests.builders import a_run, an_attempt, an_item

EMBEDDING = "hashing/64"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings whose home has a calibration: of 40 answers the 30 surest are right, the others wrong."""
    settings = load_settings(home=tmp_path)
    items = [an_item(n, attempt=an_attempt(0.8 if n < 30 else 0.3, is_right=n < 30)) for n in range(40)]
    run = a_run(*items, name="mine", setup={"data": "0", **calibrated_setup(settings, embedding=EMBEDDING)})
    calibration = calibrate(run, wrong_at_most=0.1, confidence=0.9, settings=CALIBRATED)
    save_calibration(calibration, calibrations_folder(settings))
    return settings


def of(settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update=changes)


def test_without_a_share_min_evidence_decides(settings: Settings) -> None:
    """A calibration that nobody asks for changes nothing."""
    threshold = refusal_threshold(of(settings, min_evidence=0.42), embedding=EMBEDDING)
    assert (threshold.evidence, threshold.reason) == (0.42, "min_evidence")


def test_a_share_becomes_the_threshold_that_keeps_it(settings: Settings) -> None:
    """Any share that the calibration can keep, whichever it was made for; people are told where it comes from."""
    found = refusal_threshold(of(settings, wrong_answers_at_most=0.1), embedding=EMBEDDING)
    assert found.evidence == 0.31
    assert found.reason == "at most 10 % wrong at a confidence of 90 %: run mine, 2026-01-02, 30 of 40 answered"
    assert refusal_threshold(of(settings, wrong_answers_at_most=0.5), embedding=EMBEDDING).evidence == 0.0


@pytest.mark.parametrize(
    ("changes", "embedding", "message"),
    [
        (
            {},
            "other/384",
            "no calibration with embedding 'other/384'; the newest one, of the run 'mine', was made with",
        ),
        ({"max_results": 20}, EMBEDDING, "no calibration with max_results 20; .* was made with 10"),
        ({"dense_weight": 0.3}, EMBEDDING, "no calibration with dense_weight 0.3; .* was made with 'auto'"),
        ({"home": Path("/nowhere")}, EMBEDDING, "There is no calibration in '/nowhere/calibrations'"),
        ({"wrong_answers_at_most": 0.01}, EMBEDDING, "is 0.01. At most 1 % wrong answers .* at least 230 answers"),
        ({"wrong_answers_at_most": 0.05}, EMBEDDING, "is 0.05. At most 5 % wrong answers .* at least 45 answers"),
    ],
)
def test_a_share_that_nothing_keeps_is_a_wrong_setting(
    settings: Settings, changes: dict[str, Any], embedding: str, message: str
) -> None:
    """Without a calibration, with one of another setup, and with one that says that it cannot be."""
    wanted = of(settings, **{"wrong_answers_at_most": 0.1} | changes)
    with pytest.raises(ConfigurationError, match=rf"(?s)'wrong_answers_at_most'.*{message}"):
        refusal_threshold(wanted, embedding=embedding)

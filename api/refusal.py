"""Below which evidence an answer is refused: as `min_evidence` says, or as a calibration found it."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from api.settings import Settings
from catalog.errors import ConfigurationError, InvalidRequest
from evaluation.calibration import find_calibration, percent

# Beside embedder, generator and version: what decides which passages are read. Another one makes another evidence.
_OF_RANKING: Final = (
    "dense_weight",
    "reranker",
    "reranker_model",
    "max_results",
    "score_threshold",
    "search_steps",
)
CALIBRATED: Final = ("embedding", "generator", *_OF_RANKING, "footnote")


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    evidence: float
    # Where it comes from, as a few words for people.
    reason: str


def calibrations_folder(settings: Settings) -> Path:
    return settings.home / "calibrations"


def calibrated_setup(settings: Settings, *, embedding: str) -> dict[str, Any]:
    """Return the values of CALIBRATED, as runs store them. `embedding`: the key of the embedder's identity."""
    of_ranking = {name: getattr(settings, name) for name in _OF_RANKING}
    return {"embedding": embedding, "generator": settings.generator, **of_ranking, "footnote": version("footnote")}


def refusal_threshold(settings: Settings, *, embedding: str) -> Threshold:
    """Return the evidence below which a profile with the extractive generator refuses.

    Raises ConfigurationError where `wrong_answers_at_most` is set and no calibration with these settings keeps it.
    """
    wanted = settings.wrong_answers_at_most
    if wanted is None:
        return Threshold(evidence=settings.min_evidence, reason="min_evidence")
    try:
        calibration = find_calibration(calibrations_folder(settings), calibrated_setup(settings, embedding=embedding))
    except InvalidRequest as error:
        raise ConfigurationError(
            f"Setting 'wrong_answers_at_most' is {wanted}, and no calibration says how to keep it. {error.message} Run "
            "`footnote eval run` with these settings and `footnote eval calibrate`; docs/evaluation.md tells how."
        ) from error
    point = calibration.lowest(wanted)
    if point is None:
        raise ConfigurationError(f"Setting 'wrong_answers_at_most' is {wanted}. {calibration.why_none(wanted)}")
    return Threshold(
        evidence=point.threshold,
        reason=(
            f"at most {percent(wanted)} wrong at a confidence of {percent(calibration.confidence)}: run "
            f"{calibration.run}, {calibration.measured_at[:10]}, {point.answered} of {calibration.questions} answered"
        ),
    )

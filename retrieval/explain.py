"""Where a search lost a passage that should have been found. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from retrieval.searcher import Stage

_REASONS = {
    "dense": "its meaning is not among the nearest to the query",
    "lexical": "it shares too few words with the query",
    "loaded": "the fused ranking puts it too far behind, or it repeats a better one",
    "above the threshold": "its score is below score_threshold",
    "diverse": "it is too much like passages chosen before it",
    "returned": "it comes after the passages that were asked for",
}

# What each stage of a search leaves, and what its score is.
MEANINGS = {
    "dense": "nearest to the query in meaning, by cosine",
    "lexical": "sharing words with the query, by BM25",
    "fused": "both, each side weighed; the best is near 1",
    "loaded": "the best of them, as far as they are read",
    "boosted": "multiplied by the boosts that apply",
    "recent first": "lowered by age",
    "reranked": "read again by the reranker, by its score",
    "above the threshold": "scored at least score_threshold",
    "diverse": "chosen by score and by difference from those before",
    "returned": "as many as were asked for",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A stage, seen from the passages that matter."""

    stage: str
    # Candidates that the stage left.
    candidates: int
    # Rank from 1 and score of the best wanted one; None when it left none of them.
    rank: int | None
    score: float | None


def follow(found: Sequence[Stage], wanted: Collection[int]) -> list[Step]:
    """Return how the best of the chunks `wanted` fared at every stage."""
    return [_step(stage, wanted) for stage in found]


def verdict(steps: Sequence[Step]) -> str:
    """Return in one sentence whether the wanted passages were found, or where and why they were lost."""
    if not steps:
        return "Nothing was searched."
    last = steps[-1]
    if last.rank is not None:
        return f"Found, at rank {last.rank} of {last.candidates}."
    sides = [step for step in steps if step.stage in ("dense", "lexical")]
    if sides and all(step.rank is None for step in sides):
        reasons = "; ".join(f"{step.stage}: {_REASONS[step.stage]}" for step in sides)
        return f"Lost before the ranking, it is no candidate ({reasons})."
    lost = next(step for step in steps if step.rank is None and step.stage not in ("dense", "lexical"))
    before = [step for step in steps[: steps.index(lost)] if step.rank is not None][-1]
    reason = _REASONS.get(lost.stage, "it fell behind")
    return f"Lost at {lost.stage!r}: {reason} (rank {before.rank} of {before.candidates} at {before.stage!r})."


def _step(stage: Stage, wanted: Collection[int]) -> Step:
    for rank, hit in enumerate(stage.hits, start=1):
        if hit.chunk_id in wanted:
            return Step(stage=stage.name, candidates=len(stage.hits), rank=rank, score=hit.score)
    return Step(stage=stage.name, candidates=len(stage.hits), rank=None, score=None)

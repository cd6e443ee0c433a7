"""What a search finds."""

from dataclasses import dataclass

from catalog.chunks import StoredChunk


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """A found chunk with its scores at every stage."""

    chunk: StoredChunk
    # 0 to 1, higher is better; relative to the other candidates of the same search.
    score: float
    # Cosine to the query, None when it is no dense candidate.
    dense: float | None
    # BM25, None when it shares no term with the query.
    lexical: float | None
    # Of the reranker, 0 to 1; None when it was not asked.
    rerank: float | None = None

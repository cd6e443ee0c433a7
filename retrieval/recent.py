"""Changes that are not in the postings on disk yet, searchable at once."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from catalog.feed import DocumentChange
from retrieval.analysis import index_terms
from retrieval.bm25 import stored_length, term_weight


@dataclass(frozen=True, kw_only=True, slots=True)
class AnalysedPassage:
    chunk_id: int
    terms: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnalysedChange:
    """A change as postings need it: `passages` is None when the document is gone."""

    seq: int
    document_id: int
    passages: Sequence[AnalysedPassage] | None


def analyse(change: DocumentChange) -> AnalysedChange:
    """Cut the texts of a change into terms."""
    document, passages = change.document, None
    if document is not None:
        pairs = zip(document.chunk_ids.tolist(), document.texts, strict=True)
        passages = [AnalysedPassage(chunk_id=chunk_id, terms=index_terms(text)) for chunk_id, text in pairs]
    return AnalysedChange(seq=change.seq, document_id=change.document_id, passages=passages)


class RecentChanges:
    """An inverted index in memory over the newest changes. Not thread-safe."""

    def __init__(self, changes: Iterable[AnalysedChange] = ()) -> None:
        self.changes: list[AnalysedChange] = []
        # Documents whose passages on disk no search may see any more.
        self.removed: set[int] = set()
        self.tokens = 0
        # Term → chunk id → occurrences.
        self._postings: dict[str, dict[int, int]] = {}
        self._lengths: dict[int, int] = {}
        self._owners: dict[int, int] = {}
        self._documents: dict[int, Sequence[AnalysedPassage]] = {}
        for change in changes:
            self.add(change)

    def __len__(self) -> int:
        """Return the number of passages."""
        return len(self._lengths)

    @property
    def documents(self) -> Set[int]:
        """The documents whose passages are here."""
        return self._documents.keys()

    def add(self, change: AnalysedChange) -> None:
        """Take over a change; a document that is here already is passed over."""
        if change.passages is not None and change.document_id in self._documents:
            return
        self.changes.append(change)
        if change.passages is None:
            self._remove(change.document_id)
        else:
            self._documents[change.document_id] = change.passages
            for passage in change.passages:
                self._add_passage(change.document_id, passage)

    def holders(self, term: str) -> int:
        """Return the number of passages that hold `term`."""
        return len(self._postings.get(term, ()))

    def search(
        self, weights: Mapping[str, float], *, average_length: float, document_ids: Collection[int] | None
    ) -> dict[int, float]:
        """Return the scores, by chunk id, of the passages that hold one of the terms; `weights` are their idf.

        `document_ids`: the documents in scope, None for all.
        """
        scores: dict[int, list[float]] = {}
        for term, weight in weights.items():
            for chunk_id, frequency in self._postings.get(term, {}).items():
                part = weight * term_weight(frequency, self._lengths[chunk_id], average_length)
                scores.setdefault(chunk_id, []).append(part)
        return {
            chunk_id: math.fsum(parts)
            for chunk_id, parts in scores.items()
            if document_ids is None or self._owners[chunk_id] in document_ids
        }

    def _add_passage(self, document_id: int, passage: AnalysedPassage) -> None:
        self._lengths[passage.chunk_id] = stored_length(len(passage.terms))
        self._owners[passage.chunk_id] = document_id
        self.tokens += len(passage.terms)
        for term, frequency in Counter(passage.terms).items():
            self._postings.setdefault(term, {})[passage.chunk_id] = frequency

    def _remove(self, document_id: int) -> None:
        self.removed.add(document_id)
        for passage in self._documents.pop(document_id, ()):
            self.tokens -= len(passage.terms)
            del self._lengths[passage.chunk_id], self._owners[passage.chunk_id]
            for term in set(passage.terms):
                holders = self._postings[term]
                del holders[passage.chunk_id]
                if not holders:
                    del self._postings[term]

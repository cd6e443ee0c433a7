"""Lexical search: BM25 over postings on disk, which the processes of a machine share, and newer changes in memory."""

import logging
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from catalog.errors import ServiceUnavailable
from catalog.feed import DocumentChange
from retrieval.bm25 import idf, lucene_idf
from retrieval.indexes.base import Hit
from retrieval.postings import Postings, Snapshot, rounded
from retrieval.query_terms import query_terms
from retrieval.recent import RecentChanges, analyse

log = logging.getLogger(__name__)

# Passages in memory that are worth a commit, and so many that changes wait until there are fewer.
_WORTH_A_COMMIT: Final = 512
_MOST_RECENT: Final = 8192
# What is left in memory when nothing comes goes to disk after this time; so long may the words of others wait, too.
_IDLE_S: Final = 2.0
# How long a change that must be written waits for another process that writes.
_WAIT_S: Final = 60.0


class LexicalIndex:
    """BM25 over passages, exact in order and scope; a removed document is out of the next search.

    `apply` keeps changes in memory, where searches see them at once. A thread writes them to the folder, together with
    the position that they bring it to, and merges its segments: no search waits for a disk, a merge or another
    process. Several processes may hold the same folder: whoever writes first writes for all, and the others find it
    done. What a process had in memory when it ended comes again from the change feed.

    A removed passage counts in the statistics of BM25 until its segment is merged.
    """

    def __init__(self, path: Path | None) -> None:
        """Open or make the folder `path`; None takes a temporary one, which is written by `apply` itself.

        Raises ServiceUnavailable.
        """
        self._is_temporary = path is None
        folder = path or Path(tempfile.mkdtemp(prefix="footnote-lexical-"))
        if self._is_temporary:
            self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._postings = Postings(folder)
        self._recent = RecentChanges()
        self._position = self._postings.snapshot.position
        self._lock = threading.Lock()
        # One write at a time.
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._is_closing = False
        self._writer: threading.Thread | None = None

    @property
    def position(self) -> int:
        """The last change that searches see."""
        with self._lock:
            return self._position

    @property
    def deleted(self) -> int:
        """The number of removed passages whose words are still on disk."""
        return self._postings.snapshot.deleted

    def apply(self, changes: Sequence[DocumentChange]) -> None:
        """Add and remove passages; changes at or before `position` are skipped.

        Raises ServiceUnavailable when too much waits in memory and cannot be written.
        """
        position = self.position
        # Before anything is changed: a batch counts as a whole.
        analysed = [None if change.seq <= position or self._repeats(change) else analyse(change) for change in changes]
        with self._lock:
            for change, new in zip(changes, analysed, strict=True):
                if change.seq > self._position:
                    self._position = change.seq
                    if new is not None:
                        self._recent.add(new)
            waiting = len(self._recent)
            if self._writer is None and not self._is_closing and not self._is_temporary:
                self._writer = threading.Thread(target=self._keep_writing, name="lexical-writer", daemon=True)
                self._writer.start()
        if waiting >= (_WORTH_A_COMMIT if self._is_temporary else _MOST_RECENT):
            self.flush()
        elif waiting >= _WORTH_A_COMMIT:
            self._wake.set()

    def search(self, query: str, *, limit: int, document_ids: Collection[int] | None) -> list[Hit]:
        """Return at most `limit` passages, best first; ties by chunk id. `document_ids` None means all documents."""
        wanted = query_terms(query)
        if not wanted or (document_ids is not None and not document_ids):
            return []
        with self._lock:
            snapshot = self._postings.snapshot
            # What is in memory counts, also of a document that has just been written.
            hidden = self._recent.removed | self._recent.documents
            weights, boosts = self._weights(wanted, snapshot)
            scores = self._recent_scores(weights, snapshot, document_ids)
        if boosts:
            scores |= self._postings.best(snapshot, boosts, limit=limit, document_ids=document_ids, hidden=hidden)
        ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
        return [Hit(chunk_id=chunk_id, score=score) for chunk_id, score in ranked[:limit]]

    def flush(self, *, wait_s: float = _WAIT_S) -> None:
        """Write what is in memory. Raises ServiceUnavailable; what is not written then stays searchable."""
        deadline = time.monotonic() + wait_s
        with self._writing:
            with self._lock:
                base, position, changes = self._postings.snapshot.position, self._position, list(self._recent.changes)
            if position > base:
                self._postings.write(
                    changes, base=base, position=position, give_up=lambda: time.monotonic() >= deadline
                )
            elif self._postings.is_outdated():
                self._postings.reload(base=base)
            self._forget_written()

    def rewrite(self, batches: Iterable[Sequence[DocumentChange]], *, wait_s: float) -> None:
        """Replace everything by what the changes, from the feed's first on, publish.

        No word of another passage is left in the folder, whose position is then that of the last change.
        Raises ServiceUnavailable when another process writes for longer than `wait_s`; then nothing has changed.
        """
        deadline = time.monotonic() + wait_s
        changes = (analyse(change) for batch in batches for change in batch)
        with self._writing:
            self._postings.rewrite(changes, give_up=lambda: time.monotonic() >= deadline)
            self._forget_written()

    def collect_garbage(self, *, wait_s: float = _WAIT_S) -> None:
        """Delete files of no segment. Raises ServiceUnavailable as `rewrite` does."""
        deadline = time.monotonic() + wait_s
        with self._writing:
            self._postings.collect_garbage(give_up=lambda: time.monotonic() >= deadline)

    def clear(self) -> None:
        """Remove everything and begin again at position 0."""
        with self._lock:
            self._recent, self._position = RecentChanges(), 0
        self.rewrite([], wait_s=_WAIT_S)

    def passage_counts(self) -> dict[int, int]:
        """Return how many passages on disk searches can find of each document that has any."""
        return self._postings.passage_counts()

    def damaged_files(self) -> list[str]:
        """Return the files whose bytes are not those that were written; reads all of them."""
        return self._postings.damaged_files()

    def close(self) -> None:
        """End the thread, and write what is left unless another process is writing."""
        with self._lock:
            self._is_closing = True
        self._wake.set()
        if self._writer is not None:
            self._writer.join()
        if self._is_temporary:
            self._remove()
            return
        try:
            self.flush(wait_s=0)
        except ServiceUnavailable as error:
            log.info("The newest words stay with the catalog: %s", error.message)

    def _repeats(self, change: DocumentChange) -> bool:
        """Whether it brings a document that is there: only its attributes can have changed."""
        number = change.document_id
        if change.document is None:
            return False
        with self._lock:
            if number in self._recent.documents:
                return True
            is_gone = number in self._recent.removed
        return not is_gone and self._postings.holds(number)

    def _weights(self, wanted: Sequence[str], snapshot: Snapshot) -> tuple[dict[str, float], dict[str, float]]:
        """Return each term's idf over disk and memory, and what tantivy's own is to be multiplied by."""
        passages = snapshot.passages + len(self._recent)
        weights, boosts = {}, {}
        for term in wanted:
            on_disk, recent = snapshot.holders(term), self._recent.holders(term)
            weights[term] = idf(passages, on_disk + recent)
            if on_disk:
                boosts[term] = weights[term] / lucene_idf(snapshot.passages, on_disk)
        return weights, boosts

    def _recent_scores(
        self, weights: dict[str, float], snapshot: Snapshot, document_ids: Collection[int] | None
    ) -> dict[int, float]:
        tokens = snapshot.average_length * snapshot.passages + self._recent.tokens
        average = tokens / max(1, snapshot.passages + len(self._recent))
        found = self._recent.search(weights, average_length=average, document_ids=document_ids)
        values = rounded(np.array(list(found.values()), dtype=np.float32))
        return dict(zip(found, values.tolist(), strict=True))

    def _forget_written(self) -> None:
        """Drop from memory what the folder holds."""
        with self._lock:
            on_disk = self._postings.snapshot.position
            self._position = max(self._position, on_disk)
            self._recent = RecentChanges(change for change in self._recent.changes if change.seq > on_disk)

    def _keep_writing(self) -> None:
        while not self._is_closing:
            self._wake.wait(_IDLE_S)
            self._wake.clear()
            if self._is_closing:
                return
            try:
                self.flush()
            except ServiceUnavailable as error:
                log.warning("The newest words stay in memory: %s", error.message)

"""BM25 postings in a folder that the processes of a machine share, by tantivy."""

import json
import logging
import os
import re
import struct
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tantivy
from filelock import FileLock
from numpy.typing import NDArray
from tantivy import Occur, Query

from catalog.errors import ServiceUnavailable
from retrieval.analysis import FORMAT as ANALYSIS_FORMAT
from retrieval.recent import AnalysedChange

log = logging.getLogger(__name__)

# What stands in a folder. A folder of another format is made anew.
_FORMAT: Final = {"postings": 1, "analysis": ANALYSIS_FORMAT}
_STATE: Final = "position.json"
_META: Final = "meta.json"
# Of opening, where a folder may be made or emptied. tantivy has a lock of its own for writing.
_LOCK: Final = "open.lock"
_SEGMENT_FILE: Final = re.compile(r"[0-9a-f]{32}\..+")
# How tantivy names an error of the system, in contrast to bytes that make no sense.
_OS_ERROR: Final = "Os { code:"
# Of the writer; what does not fit becomes another segment.
_HEAP_BYTES: Final = 48_000_000
_RETRY_INTERVAL_S: Final = 0.02
# A filter that selects at least this share of the documents is applied to a longer list of the best passages, one that
# selects less inside of tantivy, which then scores every passage that it selects. Measured at a million passages, p50:
# 10 % in 15 ms and 21 ms, 2 % in 22 ms and 11 ms.
_SMALLEST_SHARE: Final = 0.05
# How much longer than the share of the filter says, so that one search is nearly always enough.
_MARGIN: Final = 1.5
# Equal passages may get sums that differ in the last bits: scores keep 13 bits of their mantissa, .006 %.
_DROPPED_BITS: Final = 10
_DOCUMENTS_PER_PAGE: Final = 10_000
# tantivy's files end with a JSON object, its length and this number; the object holds the CRC of what is before it.
_FOOTER_MAGIC: Final = 1337

# Chunk ids (int64), owning document ids (int64) and scores (float32) of passages, best first.
_Ranked = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The postings as of one commit. Passages that are deleted and not yet merged away count in the statistics."""

    searcher: tantivy.Searcher
    # The last change that it holds.
    position: int
    passages: int
    # Of them deleted.
    deleted: int
    # About; 0 when empty.
    documents: float
    # In terms; 0 when empty.
    average_length: float

    def holders(self, term: str) -> int:
        """Return the number of passages that hold `term`."""
        return int(self.searcher.doc_freq("terms", term))


class Postings:
    """A folder of segments and the position in the change feed that they stand for.

    A commit brings new segments and the new position in one step. One process writes at a time, by a lock that ends
    with its process; all others read the commit that they have opened until they `reload`.
    """

    def __init__(self, path: Path) -> None:
        """Open the folder, made when missing. One that is damaged or of another format is emptied, with a log line.

        Raises ServiceUnavailable when it cannot be read or written.
        """
        self._path = path
        self._schema = _schema()
        with self._translated():
            path.mkdir(parents=True, exist_ok=True)
            with FileLock(path / _LOCK):
                try:
                    self._index = self._open()
                    self.snapshot = self._load()
                except (ValueError, KeyError, FileNotFoundError) as error:
                    if _OS_ERROR in str(error):
                        raise
                    log.warning("The lexical index %s is built anew: %s", path, error)
                    self._empty_folder()
                    self._index = self._open()
                    self.snapshot = self._load()

    def holds(self, document_id: int) -> bool:
        """Return whether passages of this document can be found."""
        query = Query.term_query(self._schema, "document", document_id, "basic")
        with self._translated():
            return bool(self.snapshot.searcher.search(query, 1, count=False).hits)

    def is_outdated(self) -> bool:
        """Return whether another process has committed or merged since this one loaded."""
        with self._translated():
            return _file_key(self._path / _META) != self._loaded

    def reload(self, *, base: int) -> None:
        """Take over the newest commit, unless it is before `base`: then another process is building it anew."""
        with self._translated():
            snapshot = self._load()
        if snapshot.position >= base:
            self.snapshot = snapshot

    def write(
        self, changes: Iterable[AnalysedChange], *, base: int, position: int, give_up: Callable[[], bool]
    ) -> None:
        """Commit those of `changes` that are not there yet, and `position`; then merge what has become many segments.

        `base`: the position that the changes follow on. A folder that is behind it is left alone. When another process
        writes, this one waits until `give_up()`. Raises ServiceUnavailable; then nothing has changed.
        """
        with self._writer(give_up) as writer:
            opstamp, on_disk = _committed(self._meta(), self._state())
            if base <= on_disk < position:
                newest = {change.document_id: change for change in changes if change.seq > on_disk}
                for change in newest.values():
                    writer.delete_documents_by_term("document", change.document_id)
                    self._add(writer, change)
                # The state names the commit before this one and both positions: tantivy's commit decides between them.
                self._write_state(opstamp, on_disk if newest else position, position)
                if newest:
                    writer.commit()
            self.reload(base=base)

    def rewrite(self, changes: Iterable[AnalysedChange], *, give_up: Callable[[], bool]) -> None:
        """Replace everything by what `changes` publish, in one commit; the files of before are garbage."""
        with self._writer(give_up) as writer:
            writer.delete_documents_by_query(Query.all_query())
            position = 0
            for change in changes:
                self._add(writer, change)
                position = change.seq
            self._write_state(*_committed(self._meta(), self._state()), position)
            writer.commit()
            self.snapshot = self._load()

    def collect_garbage(self, *, give_up: Callable[[], bool]) -> None:
        """Delete files of no segment, which merges, rewriting and killed processes leave.

        tantivy collects garbage too, but each process knows its own files alone. Whoever has a file open reads on.
        """
        with self._writer(give_up):
            # Nobody else writes, and without a commit no merge of this writer is under way.
            used = {segment["segment_id"].replace("-", "") for segment in self._meta()["segments"]}
            for file in self._path.iterdir():
                if _SEGMENT_FILE.fullmatch(file.name) and file.name[:32] not in used:
                    file.unlink(missing_ok=True)

    def best(
        self,
        snapshot: Snapshot,
        boosts: Mapping[str, float],
        *,
        limit: int,
        document_ids: Collection[int] | None,
        hidden: Collection[int],
    ) -> dict[int, float]:
        """Return the scores of the best `limit` passages, by chunk id, and of those that equal the last of them.

        `boosts`: what each term's idf is multiplied by. `document_ids`: None for all; `hidden` are left out.
        """
        texts = self._terms_query(boosts)
        share = 1.0 if document_ids is None else min(1.0, len(document_ids) / max(1.0, snapshot.documents))
        is_inside = share < _SMALLEST_SHARE
        depth = limit + 1 if share == 1.0 or is_inside else int(_MARGIN * limit / share) + 1
        while True:
            depth = min(depth, snapshot.passages + 1)
            query = self._inside(texts, document_ids) if is_inside and document_ids is not None else texts
            with self._translated():
                chunks, owners, scores = _ranked(snapshot.searcher, query, depth)
            kept = np.fromiter(
                ((document_ids is None or i in document_ids) and i not in hidden for i in owners.tolist()),
                np.bool_,
                len(owners),
            )
            found = scores[kept]
            if len(scores) < depth or (len(found) >= limit and found[limit - 1] > scores[-1]):
                return dict(zip(chunks[kept].tolist(), found.tolist(), strict=True))
            # The filter's documents are worse than others, or there are many equals.
            is_inside, depth = document_ids is not None, 4 * limit if document_ids and not is_inside else 4 * depth

    def passage_counts(self) -> dict[int, int]:
        """Return how many passages searches can find of each document that has any."""
        counts: dict[int, int] = {}
        pages: dict[str, Any] = {"size": _DOCUMENTS_PER_PAGE, "sources": [{"id": {"terms": {"field": "document"}}}]}
        while True:
            with self._translated():
                found = self.snapshot.searcher.aggregate(Query.all_query(), {"page": {"composite": pages}})["page"]
            if not found["buckets"]:
                return counts
            counts |= {bucket["key"]["id"]: bucket["doc_count"] for bucket in found["buckets"]}
            pages["after"] = found["after_key"]

    def damaged_files(self) -> list[str]:
        """Return the names of the segments' files that are not as they were written, by their checksums."""
        with self._translated():
            used = [segment["segment_id"].replace("-", "") for segment in self._meta()["segments"]]
            files = [file for one in used for file in sorted(self._path.glob(f"{one}.*"))]
            return [file.name for file in files if not _is_intact(file)]

    def _open(self) -> tantivy.Index:
        index = tantivy.Index(self._schema, str(self._path))
        # By hand: what a search sees changes together with the position.
        index.config_reader("manual")
        if not (self._path / _STATE).exists() and not self._meta()["segments"]:
            self._write_state(self._meta()["opstamp"], 0, 0)
        return index

    def _empty_folder(self) -> None:
        for entry in self._path.iterdir():
            if entry.name != _LOCK:
                entry.unlink()

    def _meta(self) -> dict[str, Any]:
        return dict(json.loads((self._path / _META).read_bytes()))

    def _load(self) -> Snapshot:
        """Read the newest commit. Raises ValueError and KeyError for what is damaged."""
        while True:
            loaded, meta, state = _file_key(self._path / _META), self._meta(), self._state()
            try:
                self._index.reload()
            except ValueError:
                # The files of a commit may go while it is read, when another one takes its place.
                if self._meta() == meta:
                    raise
                continue
            searcher = self._index.searcher()
            if self._meta() == meta:
                break
        if state["format"] != _FORMAT:
            raise ValueError(f"it has format {state['format']}, and this version of Footnote reads {_FORMAT}")
        self._loaded = loaded
        everything = Query.all_query()
        lengths = searcher.aggregate(everything, {"mean": {"avg": {"field": "length"}}})
        return Snapshot(
            searcher=searcher,
            position=_committed(meta, state)[1],
            passages=sum(segment["max_doc"] for segment in meta["segments"]),
            deleted=sum((segment["deletes"] or {}).get("num_deleted_docs", 0) for segment in meta["segments"]),
            documents=searcher.cardinality(everything, "document") if searcher.num_docs else 0.0,
            average_length=lengths["mean"]["value"] or 0.0,
        )

    def _state(self) -> dict[str, Any]:
        return dict(json.loads((self._path / _STATE).read_bytes()))

    def _write_state(self, opstamp: int, position: int, following: int) -> None:
        state = {"format": _FORMAT, "opstamp": opstamp, "position": position, "next": following}
        draft = self._path / f"{_STATE}.new"
        with draft.open("w") as file:
            json.dump(state, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path / _STATE)

    def _add(self, writer: tantivy.IndexWriter, change: AnalysedChange) -> None:
        with self._translated():
            for passage in change.passages or ():
                document = tantivy.Document()
                document.add_text("terms", " ".join(passage.terms))
                document.add_integer("length", len(passage.terms))
                document.add_integer("chunk", passage.chunk_id)
                document.add_integer("document", change.document_id)
                writer.add_document(document)

    @contextmanager
    def _writer(self, give_up: Callable[[], bool]) -> Iterator[tantivy.IndexWriter]:
        with self._translated():
            writer = self._locked_writer(give_up)
            try:
                yield writer
            except BaseException:
                writer.rollback()
                raise
            finally:
                # Ends the writer, and gives its lock back.
                writer.wait_merging_threads()

    def _locked_writer(self, give_up: Callable[[], bool]) -> tantivy.IndexWriter:
        while True:
            try:
                return self._index.writer(_HEAP_BYTES, 1)
            except ValueError as error:
                if "LockBusy" not in str(error):
                    raise
            if give_up():
                raise ServiceUnavailable(f"Another process is writing the lexical index {self._path}.")
            time.sleep(_RETRY_INTERVAL_S)

    def _terms_query(self, boosts: Mapping[str, float]) -> Query:
        queries = []
        for term, boost in boosts.items():
            query = Query.term_query(self._schema, "terms", term, "freq")
            queries.append((Occur.Should, query if boost == 1.0 else Query.boost_query(query, boost)))
        return Query.boolean_query(queries)

    def _inside(self, texts: Query, document_ids: Collection[int]) -> Query:
        documents = Query.term_set_query(self._schema, "document", list(document_ids))
        return Query.boolean_query([(Occur.Must, texts), (Occur.Must, Query.const_score_query(documents, 0.0))])

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, OSError, RuntimeError) as error:
            raise ServiceUnavailable(f"The lexical index {self._path} does not answer: {error}") from error


def _schema() -> tantivy.Schema:
    # Integers, not unsigned ones: by an unsigned term tantivy-py 0.27 deletes nothing.
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("terms", tokenizer_name="whitespace", index_option="freq")
    builder.add_integer_field("length", fast=True)
    builder.add_integer_field("chunk", fast=True)
    builder.add_integer_field("document", indexed=True, fast=True)
    return builder.build()


def _ranked(searcher: tantivy.Searcher, query: Query, depth: int) -> _Ranked:
    hits = searcher.search(query, depth, count=False).hits
    addresses = [address for _, address in hits]
    scores = np.array([score for score, _ in hits], dtype=np.float32)
    chunks = np.array(searcher.fast_field_values("chunk", addresses), dtype=np.int64)
    return chunks, np.array(searcher.fast_field_values("document", addresses), dtype=np.int64), rounded(scores)


def rounded(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return scores, above 0, without their last bits, which depend on the order of summing."""
    half = np.int32(1 << (_DROPPED_BITS - 1))
    return ((scores.view(np.int32) + half) & np.int32(-1 << _DROPPED_BITS)).view(np.float32)


def _committed(meta: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[int, int]:
    """Return the number of the newest commit, and the position that it stands for."""
    opstamp = int(meta["opstamp"])
    return opstamp, int(state["position" if state["opstamp"] == opstamp else "next"])


def _file_key(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def _is_intact(path: Path) -> bool:
    content = path.read_bytes()
    if len(content) < 8:
        return False
    length, magic = struct.unpack("<II", content[-8:])
    body, footer = content[: -8 - length], content[-8 - length : -8]
    try:
        return bool(magic == _FOOTER_MAGIC and json.loads(footer)["crc"] == zlib.crc32(body))
    except (ValueError, KeyError):
        return False

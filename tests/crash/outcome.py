"""What a catalog holds in the end, in terms that two runs of the same script share, and whether it is sound."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session, undefer

from api.models import Model
from catalog import feed, files, fsck
from catalog.blobs import BlobStore
from catalog.models import Chunk, Document, File, JobStatus, VectorStore, VectorStoreFile
from retrieval.consistency import check_lexical
from retrieval.lexical import LexicalIndex
from tests.builders import IDENTITY
from tests.crash.cluster import LEASE_S, Cluster

# After its lease a job goes to the next worker that is free; a worker's start takes the longest of what that needs,
# the more the more processes share the processors.
STUCK_AFTER_S = LEASE_S + 30.0

# What differs from run to run: numbers, names that are drawn, times, and how often something was tried.
# So long may words that a process has in memory take to reach the disk.
_WRITTEN_WITHIN_S = 30.0
_OWN_TO_A_RUN = {"id", "created_at", "last_active_at", "vector_store_id", "file_id", "document_id"}
_OF_THE_JOB = {"owner", "lease_until", "fence", "claims", "failures", "not_before", "progress", "source_version"}
_OF_THE_JOB |= {"started_at", "ended_at", "vector_store_file_id"}

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Everything that a script's end state consists of, each part in a fixed order."""

    # Each with its `content`, read from the blob store.
    files: Sequence[Row]
    stores: Sequence[Row]
    # Each with its `store`, `file`, and under `document` its document with all `chunks`, their vectors included.
    entries: Sequence[Row]

    def check_equal(self, expected: "Outcome") -> None:
        """Raise AssertionError, which says where, unless all is what was expected, byte for byte."""
        found: list[str] = []
        for part in fields(self):
            _compare(part.name, getattr(self, part.name), getattr(expected, part.name), found)
        assert not found, "\n".join([f"{len(found)} differences:", *found[:20]])


def read_outcome(cluster: Cluster) -> Outcome:
    with cluster.database.read() as session:
        names = {file.id: file.filename for file in session.scalars(select(File))}
        stores = {store.id: store.name for store in session.scalars(select(VectorStore))}
        entries = [
            _plain(entry)
            | {"store": stores[entry.vector_store_id], "file": names[entry.file_id]}
            | {"document": _document(session, entry)}
            for entry in session.scalars(select(VectorStoreFile))
        ]
        return Outcome(
            files=_in_order(_file(file, cluster.blobs) for file in session.scalars(select(File))),
            stores=_in_order(_store(store, cluster) for store in session.scalars(select(VectorStore))),
            entries=_in_order(entries),
        )


def late_jobs(cluster: Cluster) -> list[str]:
    """Return the jobs whose lease ended so long ago that a worker must have taken them over."""
    late = time.time() - STUCK_AFTER_S
    query = select(VectorStoreFile).where(
        VectorStoreFile.status == JobStatus.IN_PROGRESS, VectorStoreFile.lease_until < late
    )
    with cluster.database.read() as session:
        return [f"job {entry.id} is held by {entry.owner}, past its lease" for entry in session.scalars(query)]


def open_jobs(cluster: Cluster) -> list[int]:
    with cluster.database.read() as session:
        return list(session.scalars(select(VectorStoreFile.id).where(VectorStoreFile.status == JobStatus.IN_PROGRESS)))


def problems(cluster: Cluster) -> list[str]:
    """Return what is wrong with a catalog at rest, whose searches have caught up, once it was swept."""
    files.sweep(cluster.database, cluster.blobs, min_age_s=0.0)
    path = Model(settings=cluster.settings).lexical
    with cluster.database.read() as session:
        # All stores of a cluster have one.
        identity = session.scalar(select(VectorStore.embedding_identity).limit(1)) or IDENTITY
    found = fsck.check(cluster.database, cluster.blobs, orphan_age_s=0.0) + check_lexical(
        cluster.database, path, identity=identity
    )
    behind = _changes_behind(cluster, path)
    return [str(problem) for problem in found] + ([f"the lexical index is {behind} changes behind"] if behind else [])


def _changes_behind(cluster: Cluster, path: Path) -> int:
    """Return how far the words on disk are behind, once the process that has them in memory had time to write them."""
    deadline = time.monotonic() + _WRITTEN_WITHIN_S
    while True:
        index = LexicalIndex(path)
        with cluster.database.read() as session:
            behind = feed.position(session) - index.position
        index.close()
        if not behind or time.monotonic() >= deadline:
            return behind
        time.sleep(0.2)


def _plain(row: Any) -> dict[str, Any]:
    names = [column.key for column in inspect(type(row)).column_attrs]
    return {name: getattr(row, name) for name in names if name not in _OWN_TO_A_RUN | _OF_THE_JOB}


def _store(store: VectorStore, cluster: Cluster) -> dict[str, Any]:
    # It says which folder it follows, and each cluster has its own.
    metadata = {key: value.replace(str(cluster.folder), "") for key, value in store.metadata_.items()}
    return _plain(store) | {"metadata_": metadata}


def _file(file: File, blobs: BlobStore) -> dict[str, Any]:
    with blobs.open(file.sha256) as stream:
        content = stream.read()
    assert hashlib.sha256(content).hexdigest() == file.sha256, f"the bytes of {file.filename} are not its own"
    return _plain(file)


def _document(session: Session, entry: VectorStoreFile) -> dict[str, Any] | None:
    of_entry = select(Document).where(Document.vector_store_file_id == entry.id).options(undefer(Document.text))
    document = session.scalar(of_entry)
    if document is None:
        return None
    of_document = select(Chunk).where(Chunk.document_id == document.id).options(undefer(Chunk.vectors))
    chunks = [_plain(chunk) for chunk in session.scalars(of_document.order_by(Chunk.ordinal))]
    # That of an archive names its file: no other archive, with the same bytes or not, has the same members.
    key = document.content_key.replace(document.file_id, "")
    return _plain(document) | {"content_key": key, "chunks": chunks}


def _in_order(rows: Any) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row.get("store", ""), row.get("file", ""), row.get("filename", ""), str(row)))


def _compare(path: str, found: Any, expected: Any, differences: list[str]) -> None:
    if isinstance(found, dict) and isinstance(expected, dict):
        label = f"{path}[{expected.get('store', '')}/{expected.get('file', '')}]" if "store" in expected else path
        for key in sorted(found.keys() | expected.keys()):
            _compare(f"{label}.{key}", found.get(key), expected.get(key), differences)
    elif isinstance(found, list) and isinstance(expected, list):
        if len(found) != len(expected):
            differences.append(f"{path}: {len(found)} instead of {len(expected)}: {_names(found)} | {_names(expected)}")
        for number, (one, other) in enumerate(zip(found, expected, strict=False)):
            _compare(f"{path}[{number}]", one, other, differences)
    elif found != expected:
        differences.append(f"{path}: {found!r:.100} instead of {expected!r:.100}")


def _names(rows: Sequence[Any]) -> list[Any]:
    return [row.get("file") or row.get("filename") or row.get("name") or row.get("ordinal") for row in rows]

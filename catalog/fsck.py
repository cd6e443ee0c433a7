"""Checks that catalog and blob store agree, in both directions."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, aliased, undefer

from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.files import SWEEP_MIN_AGE_S
from catalog.models import (
    ArchiveMember,
    Change,
    Chunk,
    ChunkVectors,
    Document,
    DocumentEmbedding,
    EmbeddingModel,
    File,
    JobStatus,
    UploadPart,
    VectorStore,
    VectorStoreFile,
)

# A job whose lease ended this long ago, with workers running, is stuck.
STUCK_AFTER_S = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """`kind` is a short stable name; `detail` names the object."""

    kind: str
    detail: str


def check(database: Database, blobs: BlobStore, *, orphan_age_s: float = SWEEP_MIN_AGE_S) -> list[Problem]:
    """Return everything that is wrong; [] when the catalog is sound.

    Blobs without a file count once they are older than `orphan_age_s`: younger ones may be an upload in progress.
    """
    with database.read() as session:
        return [
            *_blob_problems(session, blobs, orphan_age_s),
            *_job_problems(session),
            *_archive_problems(session),
            *_document_problems(session),
            *_embedding_problems(session),
            *_feed_problems(session),
        ]


def _blob_problems(session: Session, blobs: BlobStore, orphan_age_s: float) -> Iterator[Problem]:
    stored = dict(blobs.names())
    used = {sha: f"file {file_id}" for file_id, sha in session.execute(select(File.id, File.sha256))}
    used |= {sha: f"part {part_id}" for part_id, sha in session.execute(select(UploadPart.id, UploadPart.sha256))}
    for sha, owner in used.items():
        if sha not in stored:
            yield Problem(kind="lost blob", detail=f"{owner} needs blob {sha}, which is not stored")
    for sha, age_s in stored.items():
        if sha not in used and age_s >= orphan_age_s:
            yield Problem(kind="orphan blob", detail=f"blob {sha} belongs to no file")


def _job_problems(session: Session) -> Iterator[Problem]:
    joined = select(VectorStoreFile.file_id, VectorStoreFile.vector_store_id, VectorStoreFile.status, Document.id)
    joined = joined.outerjoin(Document, Document.vector_store_file_id == VectorStoreFile.id)
    for file_id, store_id, status, document_id in session.execute(joined):
        if status == JobStatus.COMPLETED and document_id is None:
            yield Problem(kind="lost document", detail=f"{file_id} in {store_id} is completed without a document")
    late = time.time() - STUCK_AFTER_S
    stuck = select(VectorStoreFile).where(
        VectorStoreFile.status == JobStatus.IN_PROGRESS, VectorStoreFile.lease_until < late
    )
    for entry in session.scalars(stuck):
        yield Problem(
            kind="stuck job", detail=f"{entry.file_id} in {entry.vector_store_id} was held by {entry.owner}, long ago"
        )


def _archive_problems(session: Session) -> Iterator[Problem]:
    archive = aliased(File)
    joined = select(ArchiveMember.file_id, ArchiveMember.archive_id, File.project_id, archive.project_id)
    joined = joined.outerjoin(File, File.id == ArchiveMember.file_id)
    joined = joined.outerjoin(archive, archive.id == ArchiveMember.archive_id)
    for file_id, archive_id, project_id, archive_project_id in session.execute(joined):
        if project_id is None or project_id != archive_project_id:
            yield Problem(kind="orphan member", detail=f"{file_id} was unpacked from {archive_id}: one of them is gone")


def _document_problems(session: Session) -> Iterator[Problem]:
    orphans = select(Document.id).where(Document.vector_store_file_id.not_in(select(VectorStoreFile.id)))
    for document_id in session.scalars(orphans):
        yield Problem(kind="orphan document", detail=f"document {document_id} belongs to no file of a store")
    orphan_chunks = select(func.count()).where(Chunk.document_id.not_in(select(Document.id)))
    if count := session.scalar(orphan_chunks):
        yield Problem(kind="orphan chunks", detail=f"{count} chunks belong to no document")
    for document_id in session.scalars(select(Document.id)).all():
        yield from _chunk_problems(session, document_id)


def _chunk_problems(session: Session, document_id: int) -> Iterator[Problem]:
    document = session.get_one(Document, document_id, options=[undefer(Document.text)])
    chunks = session.scalars(
        select(Chunk).where(Chunk.document_id == document_id).order_by(Chunk.ordinal).options(undefer(Chunk.vectors))
    ).all()
    if [chunk.ordinal for chunk in chunks] != list(range(document.chunk_count)):
        yield Problem(
            kind="lost chunks",
            detail=f"document {document_id} has {len(chunks)} of {document.chunk_count} chunks, or numbers twice",
        )
    for chunk in chunks:
        if document.text[chunk.start : chunk.end] != chunk.text:
            yield Problem(kind="false span", detail=f"chunk {chunk.id} is not the text at its offsets")
        if not chunk.vectors or len(chunk.vectors) % (2 * chunk.windows):
            yield Problem(kind="broken vector", detail=f"chunk {chunk.id} has {len(chunk.vectors)} bytes of vectors")
    session.expunge_all()


def _embedding_problems(session: Session) -> Iterator[Problem]:
    own = select(DocumentEmbedding.document_id).where(DocumentEmbedding.in_chunks)
    for document_id in session.scalars(select(Document.id).where(Document.id.not_in(own))):
        yield Problem(kind="nameless vectors", detail=f"nothing says which model made those of document {document_id}")
    of_store = (
        DocumentEmbedding.document_id == Document.id,
        DocumentEmbedding.identity == VectorStore.embedding_identity,
    )
    unsearchable = select(Document.id, VectorStore.embedding_identity)
    unsearchable = unsearchable.join(VectorStore, VectorStore.id == Document.vector_store_id)
    for document_id, identity in session.execute(unsearchable.where(~exists().where(*of_store))):
        yield Problem(kind="lost vectors", detail=f"document {document_id} has none of its store's model, {identity}")
    beside = select(ChunkVectors.identity, Chunk.document_id, func.count().label("count"))
    beside = beside.join(Chunk, Chunk.id == ChunkVectors.chunk_id).group_by(ChunkVectors.identity, Chunk.document_id)
    counts = {(row.document_id, row.identity): row.count for row in session.execute(beside)}
    marked = select(Document.id, DocumentEmbedding.identity, Document.chunk_count)
    marked = marked.join(DocumentEmbedding, DocumentEmbedding.document_id == Document.id)
    for document_id, identity, chunks in session.execute(marked.where(~DocumentEmbedding.in_chunks)):
        if counts.get((document_id, identity), 0) != chunks:
            yield Problem(kind="lost vectors", detail=f"document {document_id} lacks some of {identity}")
    known = set(session.scalars(select(EmbeddingModel.identity)))
    for identity in sorted({identity for _, identity in counts} - known):
        yield Problem(kind="orphan vectors", detail=f"chunks have vectors of {identity}, which is no model's")


def _feed_problems(session: Session) -> Iterator[Problem]:
    announced = select(Change.document_id)
    for document_id in session.scalars(select(Document.id).where(Document.id.not_in(announced))):
        yield Problem(kind="unannounced document", detail=f"document {document_id} is in no change: replicas miss it")

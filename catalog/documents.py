"""Published documents: reading their texts, removing them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.orm import Session

from catalog import feed
from catalog.database import Database, portions
from catalog.errors import NotFound
from catalog.models import Chunk, Document, File, VectorStoreFile

# Texts of whole documents that are in memory at once.
_TEXTS: Final = 8


def remove(database: Database, session: Session, where: ColumnElement[bool]) -> int:
    """Delete documents with their chunks and announce it; return how many."""
    ids = list(session.scalars(select(Document.id).where(where)))
    feed.record(database, session, ids)
    for some in portions(ids):
        session.execute(delete(Chunk).where(Chunk.document_id.in_(some)))
        session.execute(delete(Document).where(Document.id.in_(some)))
    return len(ids)


def remove_entries(database: Database, session: Session, entry_ids: Sequence[int]) -> None:
    """Delete entries of stores with their documents."""
    for ids in portions(entry_ids):
        remove(database, session, Document.vector_store_file_id.in_(ids))
        session.execute(delete(VectorStoreFile).where(VectorStoreFile.id.in_(ids)))


def of_entries(session: Session, entry_ids: Iterable[int]) -> dict[int, Document]:
    """Return the current document of each vector-store file that has one, without its text."""
    query = select(Document).where(Document.vector_store_file_id.in_(list(entry_ids)))
    return {document.vector_store_file_id: document for document in session.scalars(query)}


def is_published(session: Session, file_id: str) -> bool:
    """Whether a file has a document in some store."""
    return bool(session.scalar(select(exists().where(Document.file_id == file_id))))


def texts(session: Session, project_id: str) -> Iterator[tuple[str, str]]:
    """Yield file name and stored text of every document of a project, a few at a time."""
    query = (
        select(File.filename, Document.text)
        .join(Document, Document.file_id == File.id)
        .where(File.project_id == project_id)
        .order_by(File.filename, Document.id)
    )
    for row in session.execute(query.execution_options(yield_per=_TEXTS)):
        yield row.filename, row.text


def text_range(session: Session, document_id: int, start: int, end: int) -> str | None:
    """Re-read characters [start, end) of the stored text; None when the document is gone."""
    return session.scalar(select(func.substr(Document.text, start + 1, end - start)).where(Document.id == document_id))


def text_of_file(session: Session, project_id: str, file_id: str) -> str:
    """Return the text of a file's newest document. Raises NotFound when there is none in the project."""
    text = session.scalar(
        select(Document.text)
        .join(File, File.id == Document.file_id)
        .where(File.project_id == project_id, File.id == file_id)
        .order_by(Document.created_at.desc(), Document.id)
        .limit(1)
    )
    if text is None:
        raise NotFound(f"There is no document of file {file_id!r}; `footnote status` shows what has been read.")
    return text

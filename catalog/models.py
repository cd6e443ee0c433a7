"""The tables. Times are seconds since the epoch; JSON columns hold plain values."""

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# SQLite gives rowid semantics (and AUTOINCREMENT: a number is never used twice) to INTEGER alone.
_Number = BigInteger().with_variant(Integer, "sqlite")

DEFAULT_PROJECT = "proj_default"
SECONDS_PER_DAY = 86_400


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {str: Text, float: Double, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012


class JobStatus(StrEnum):
    """OpenAI's states of a vector-store file; the row is the job."""

    # Waiting, or claimed by the worker in `owner` until `lease_until`.
    IN_PROGRESS = "in_progress"
    # Its document is published; searches see it.
    COMPLETED = "completed"
    # Given up for good; `error_code` and `error_message` say why.
    FAILED = "failed"
    CANCELLED = "cancelled"


class File(Base):
    """An uploaded file. Its bytes are the blob named by `sha256`."""

    __tablename__ = "files"

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(index=True)
    filename: Mapped[str]
    purpose: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[float]
    expires_at: Mapped[float | None]
    # The API key that brought it, where it sees some stores alone: it sees what it brought, too.
    uploaded_by: Mapped[str | None] = mapped_column(index=True)


class ArchiveMember(Base):
    """A file that was unpacked from another one, and goes when that goes."""

    __tablename__ = "archive_members"

    file_id: Mapped[str] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), primary_key=True)
    # Without a cascade: that would leave the member's file behind. Members are deleted before their archive.
    archive_id: Mapped[str] = mapped_column(ForeignKey("files.id"), index=True)
    # Its path inside the archive, with forward slashes.
    path: Mapped[str]


class UploadStatus(StrEnum):
    """OpenAI's states of an upload in parts."""

    # Parts may come until `expires_at`.
    PENDING = "pending"
    # Its file is there.
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Upload(Base):
    """A file that comes in parts."""

    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(index=True)
    filename: Mapped[str]
    purpose: Mapped[str]
    # What its parts must have together.
    bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float]
    expires_at: Mapped[float] = mapped_column(index=True)
    # Of the file, from its creation.
    file_lifetime_s: Mapped[float | None]
    status: Mapped[str]
    file_id: Mapped[str | None] = mapped_column(ForeignKey("files.id", ondelete="SET NULL"), index=True)

    def is_late(self, now: float) -> bool:
        return self.status == UploadStatus.PENDING and self.expires_at <= now


class UploadPart(Base):
    """A part of an upload. Its bytes are the blob named by `sha256`; it goes when the upload ends."""

    __tablename__ = "upload_parts"

    id: Mapped[str] = mapped_column(primary_key=True)
    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), index=True)
    sha256: Mapped[str] = mapped_column(index=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float]


class VectorStore(Base):
    """A searchable collection of files."""

    __tablename__ = "vector_stores"

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    description: Mapped[str | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")
    created_at: Mapped[float]
    last_active_at: Mapped[float]
    expires_after_days: Mapped[int | None]
    # EmbeddingIdentity.key of the model that made every vector of the store.
    embedding_identity: Mapped[str]

    @property
    def expires_at(self) -> float | None:
        """When the store ends if nobody uses it until then."""
        return self.last_active_at + self.expires_after_days * SECONDS_PER_DAY if self.expires_after_days else None

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now


class VectorStoreFile(Base):
    """A file in a store, and the job that puts it there."""

    __tablename__ = "vector_store_files"
    __table_args__ = (
        UniqueConstraint("vector_store_id", "file_id"),
        # The two orders in which jobs are claimed.
        Index("ix_vector_store_files_by_size", "status", "bytes", "id"),
        Index("ix_vector_store_files_by_age", "status", "id"),
        Index("ix_vector_store_files_ended_at", "ended_at"),
        Index("ix_vector_store_files_source", "vector_store_id", "source"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_Number, primary_key=True)
    vector_store_id: Mapped[str] = mapped_column(ForeignKey("vector_stores.id", ondelete="CASCADE"))
    file_id: Mapped[str] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[float]
    attributes: Mapped[dict[str, Any]]
    # OpenAI's `chunking_strategy`, as it was asked for.
    chunking_strategy: Mapped[dict[str, Any]]
    # Path below the ingested folder; what makes a second `footnote ingest` recognise the file. Publishing an entry
    # removes the older ones of the same source.
    source: Mapped[str | None]
    # What the source said of this version (size and time of change, or ETag): equal, and its bytes are not read again.
    source_version: Mapped[str | None]
    bytes: Mapped[int] = mapped_column(BigInteger)

    status: Mapped[str] = mapped_column(default=JobStatus.IN_PROGRESS)
    error_code: Mapped[str | None]
    error_message: Mapped[str | None]
    # Share of the work done, 0 to 1; the last heartbeat's word.
    progress: Mapped[float] = mapped_column(default=0.0)

    # Name of the worker that holds the job, and until when.
    owner: Mapped[str | None]
    lease_until: Mapped[float | None]
    # Raised by every claim; a write under an older fence is refused.
    fence: Mapped[int] = mapped_column(default=0)
    # Claims since the file was queued, those lost to a killed worker included.
    claims: Mapped[int] = mapped_column(default=0)
    # Tries since then that ended with an error; claims lost to a killed worker do not count.
    failures: Mapped[int] = mapped_column(default=0)
    # Not to be claimed earlier: the wait before a retry.
    not_before: Mapped[float] = mapped_column(default=0.0)
    # When the last claim was made, and when the job ended; the measured rate of work comes from these.
    started_at: Mapped[float | None]
    ended_at: Mapped[float | None]


class FileBatch(Base):
    """Files that were attached to a store together."""

    __tablename__ = "file_batches"

    id: Mapped[str] = mapped_column(primary_key=True)
    vector_store_id: Mapped[str] = mapped_column(ForeignKey("vector_stores.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[float]
    cancelled_at: Mapped[float | None]


class FileBatchEntry(Base):
    """A file of a batch."""

    __tablename__ = "file_batch_entries"

    batch_id: Mapped[str] = mapped_column(ForeignKey("file_batches.id", ondelete="CASCADE"), primary_key=True)
    vector_store_file_id: Mapped[int] = mapped_column(
        ForeignKey("vector_store_files.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class Document(Base):
    """One published generation of a vector-store file. Immutable: a new parse is a new row."""

    __tablename__ = "documents"

    # Random (catalog.ids): never used again, not even by a catalog that was restored from a backup.
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    vector_store_file_id: Mapped[int] = mapped_column(
        ForeignKey("vector_store_files.id", ondelete="CASCADE"), unique=True
    )
    vector_store_id: Mapped[str] = mapped_column(index=True)
    file_id: Mapped[str] = mapped_column(index=True)
    title: Mapped[str | None]
    media_type: Mapped[str]
    # The stored text: what every offset of a chunk or citation refers to.
    text: Mapped[str] = mapped_column(deferred=True)
    characters: Mapped[int]
    chunk_count: Mapped[int]
    pages: Mapped[int | None]
    pages_read: Mapped[int | None]
    # [page, start, end] for each page that has text, in order.
    page_spans: Mapped[list[Any]]
    warnings: Mapped[list[Any]]
    # Digest of file hash, parser, chunking strategy and model: equal keys, equal chunks.
    content_key: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[float]


class Chunk(Base):
    """A span of a document with its vectors."""

    __tablename__ = "chunks"
    __table_args__ = (
        UniqueConstraint("document_id", "ordinal"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_Number, primary_key=True)
    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"))
    ordinal: Mapped[int]
    # Characters of Document.text; `text` is that span.
    start: Mapped[int]
    end: Mapped[int]
    text: Mapped[str]
    # Title and headings that were embedded in front of the text.
    context: Mapped[str]
    page: Mapped[int | None]
    # Left, top, right, bottom on that page, in points from its top left corner.
    box: Mapped[list[Any] | None]
    tokens: Mapped[int]
    windows: Mapped[int]
    # float16, shape (windows, dimension), C order: one vector per window that the embedder read.
    vectors: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    # Digest of model identity and embedded text; an equal text is not embedded again.
    embedding_key: Mapped[str] = mapped_column(index=True)


class DocumentEmbedding(Base):
    """A document has vectors of a model, for all of its chunks. Written behind the vectors."""

    __tablename__ = "document_embeddings"

    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True)
    # EmbeddingIdentity.key of the model.
    identity: Mapped[str] = mapped_column(primary_key=True)
    # Whether they are the chunks' own, which each document has of one model; the others' are ChunkVectors.
    in_chunks: Mapped[bool]


class ChunkVectors(Base):
    """Vectors of a chunk beside its own, made by another model. Columns as in Chunk."""

    __tablename__ = "chunk_vectors"

    chunk_id: Mapped[int] = mapped_column(_Number, ForeignKey("chunks.id", ondelete="CASCADE"), primary_key=True)
    identity: Mapped[str] = mapped_column(primary_key=True)
    windows: Mapped[int]
    vectors: Mapped[bytes] = mapped_column(LargeBinary)
    embedding_key: Mapped[str] = mapped_column(index=True)


class ModelRole(StrEnum):
    """What an embedding model is to the catalog; at most one has each role."""

    # Embeds questions and what is published; every store that can be searched has it.
    CURRENT = "current"
    # Documents are being embedded with it.
    NEXT = "next"
    # Was current; its vectors are kept for the way back.
    PREVIOUS = "previous"


class EmbeddingModel(Base):
    """A model that a migration knows. There is none until the first one begins: the settings name the model."""

    __tablename__ = "embedding_models"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    number: Mapped[int] = mapped_column(_Number, primary_key=True)
    identity: Mapped[str] = mapped_column(unique=True)
    # The settings that name it, of those that this machine's own are laid under.
    settings: Mapped[dict[str, Any]]
    role: Mapped[str]
    # Until then processes open it, so that they have it when it becomes current; 0 is not at all.
    awaited_until: Mapped[float] = mapped_column(default=0.0)


class ModelReader(Base):
    """A process that answers searches, while a model is awaited."""

    __tablename__ = "model_readers"

    name: Mapped[str] = mapped_column(primary_key=True)
    # Of the model that it has opened, beside the current one; 0 while it has not.
    number: Mapped[int]
    # A process that has not said anything since is dead.
    until: Mapped[float]


class Change(Base):
    """The change feed: document `document_id` appeared, changed or went. Search replicas follow it."""

    __tablename__ = "changes"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    seq: Mapped[int] = mapped_column(_Number, primary_key=True)
    document_id: Mapped[int] = mapped_column(BigInteger, index=True)


class ApiKey(Base):
    """A key, hashed; the clear text is shown once, when it is made."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    # SHA-256 of the key: keys are 256 random bits, so a slow hash would add nothing.
    digest: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[float]
    last_used_at: Mapped[float | None]
    revoked_at: Mapped[float | None]
    expires_at: Mapped[float | None]
    # Of catalog.keys.KeyScope.
    scopes: Mapped[list[Any]]
    # The stores that it sees; null: all of the project.
    store_ids: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    # Null: what the settings say; 0: no limit.
    requests_per_minute: Mapped[int | None]
    # Largest file that it may bring; null: what the settings say.
    max_file_bytes: Mapped[int | None] = mapped_column(BigInteger)
    # What visitor tokens are signed with, in hexadecimal; null until the first one is minted.
    token_secret: Mapped[str | None]


class VisitorOrigin(Base):
    """A web origin whose pages may call: it is named by a visitor token."""

    __tablename__ = "visitor_origins"

    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True)
    origin: Mapped[str] = mapped_column(primary_key=True)
    # A while after the last token that names it.
    until: Mapped[float]


class IdempotentRequest(Base):
    """A request with an Idempotency-Key, and the reply that a repetition gets."""

    __tablename__ = "idempotent_requests"

    owner_id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[float] = mapped_column(index=True)
    # Who carries it out, and until when nobody else does; a write under another claim is refused.
    claim: Mapped[str]
    lease_until: Mapped[float]
    # Something was written: set in the same transaction.
    has_effect: Mapped[bool]
    # SHA-256 of method, path and body, known when the reply is.
    fingerprint: Mapped[str | None]
    # The reply; null while it is not there, and when it cannot be kept.
    status: Mapped[int | None]
    body: Mapped[bytes | None] = mapped_column(LargeBinary)


class AnswerStatus(StrEnum):
    """OpenAI's states of a response; the row of a background answer is its job."""

    # Waiting for a process that writes it.
    QUEUED = "queued"
    # Claimed by the process in `owner` until `lease_until`.
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    # Cut: the limit of tokens was reached.
    INCOMPLETE = "incomplete"
    # Broken off; `error` of the response says why.
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def has_ended(self) -> bool:
        return self not in (AnswerStatus.QUEUED, AnswerStatus.IN_PROGRESS)


class AnswerRecord(Base):
    """Everything needed to explain one answer later."""

    __tablename__ = "answer_records"
    __table_args__ = (
        Index("ix_answer_records_by_age", "status", "created_at"),
        Index("ix_answer_records_created_at", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[float]
    question: Mapped[str]
    model: Mapped[str]
    outcome: Mapped[str]
    # Position in the change feed that the search saw.
    index_version: Mapped[int] = mapped_column(BigInteger)
    # Name, version and SHA-256 of the prompt template.
    prompt: Mapped[dict[str, Any]]
    # What its prompt is rendered from, candidates with their scores, and seconds per stage (`generation.answerer`).
    trace: Mapped[dict[str, Any]]
    # The Response object, with the results of its search whether they were asked for or not.
    response: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(default=AnswerStatus.COMPLETED)
    # The answer that this one carries on; it may be gone.
    previous_response_id: Mapped[str | None]
    # What the request brought, as items with ids; what came before it is not repeated here.
    input_items: Mapped[list[Any]] = mapped_column(default=list)
    # What a background answer is written from (`api.writing.Plan`), until it has ended. Null for others.
    request: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    ended_at: Mapped[float | None]

    # Of a background answer: the process that writes it, until when it may, and what every claim raises.
    owner: Mapped[str | None]
    lease_until: Mapped[float | None]
    fence: Mapped[int] = mapped_column(default=0)
    # Claims that were not handed back; one that is lost to a killed process counts.
    claims: Mapped[int] = mapped_column(default=0)


class AnswerFeedback(Base):
    """What one caller says of an answer."""

    __tablename__ = "answer_feedback"

    response_id: Mapped[str] = mapped_column(ForeignKey("answer_records.id", ondelete="CASCADE"), primary_key=True)
    # The API key that it came with; "" where the server has none. An answer belongs to one visitor alone, if to any.
    author: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[float]
    # Of catalog.feedback.Rating.
    rating: Mapped[str]
    text: Mapped[str | None]
    # The right answer, and words of a document that give it.
    expected_answer: Mapped[str | None]
    expected_quote: Mapped[str | None]


class AnswerEvent(Base):
    """An event of a background answer's stream; kept for a while after its end, for clients that resume."""

    __tablename__ = "answer_events"

    response_id: Mapped[str] = mapped_column(ForeignKey("answer_records.id", ondelete="CASCADE"), primary_key=True)
    sequence_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    event: Mapped[dict[str, Any]]


class Conversation(Base):
    """Items that responses carry on from."""

    __tablename__ = "conversations"

    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[float]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")


class ConversationItem(Base):
    """A message or a search call. The order of a conversation is that of `number`."""

    __tablename__ = "conversation_items"
    __table_args__ = (
        Index("ix_conversation_items_in_order", "conversation_id", "number"),
        Index("ix_conversation_items_created_at", "created_at"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(_Number, primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    item: Mapped[dict[str, Any]]
    created_at: Mapped[float]


class ConversationItemFile(Base):
    """A file that an item draws on: when it is gone, so is the item."""

    __tablename__ = "conversation_item_files"

    item_number: Mapped[int] = mapped_column(
        ForeignKey("conversation_items.number", ondelete="CASCADE"), primary_key=True
    )
    # No foreign key: that the file is gone is what this is to tell.
    file_id: Mapped[str] = mapped_column(primary_key=True)

"""Vectors of several models"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "document_embeddings",
        sa.Column("document_id", sa.BigInteger(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("in_chunks", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id"], ["documents.id"], name="fk_document_embeddings_document_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("document_id", "identity", name="pk_document_embeddings"),
    )
    # What is there was made by the model of its store.
    op.execute(
        "INSERT INTO document_embeddings (document_id, identity, in_chunks) "
        "SELECT documents.id, vector_stores.embedding_identity, TRUE "
        "FROM documents JOIN vector_stores ON vector_stores.id = documents.vector_store_id"
    )
    op.create_table(
        "chunk_vectors",
        sa.Column("chunk_id", _NUMBER, nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("windows", sa.Integer(), nullable=False),
        sa.Column("vectors", sa.LargeBinary(), nullable=False),
        sa.Column("embedding_key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["chunk_id"], ["chunks.id"], name="fk_chunk_vectors_chunk_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("chunk_id", "identity", name="pk_chunk_vectors"),
    )
    op.create_index("ix_chunk_vectors_embedding_key", "chunk_vectors", ["embedding_key"])
    op.create_table(
        "embedding_models",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("awaited_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_embedding_models"),
        sa.UniqueConstraint("identity", name="uq_embedding_models_identity"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "model_readers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_model_readers"),
    )


def downgrade() -> None:
    raise NotImplementedError("A catalog goes forward only; to go back, restore the backup made before the upgrade.")

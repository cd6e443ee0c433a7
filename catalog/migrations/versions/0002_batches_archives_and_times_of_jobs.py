"""Batches, archives and times of jobs

Plain ALTER TABLE alone: rebuilding a table, as Alembic does for SQLite in batch mode, would drop it, and dropping it
deletes what refers to it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "file_batches",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("vector_store_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("cancelled_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["vector_store_id"], ["vector_stores.id"], name="fk_file_batches_vector_store_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_file_batches"),
    )
    op.create_index("ix_file_batches_vector_store_id", "file_batches", ["vector_store_id"])
    op.create_table(
        "file_batch_entries",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("vector_store_file_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["file_batches.id"], name="fk_file_batch_entries_batch_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["vector_store_file_id"],
            ["vector_store_files.id"],
            name="fk_file_batch_entries_vector_store_file_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("batch_id", "vector_store_file_id", name="pk_file_batch_entries"),
    )
    op.create_index("ix_file_batch_entries_vector_store_file_id", "file_batch_entries", ["vector_store_file_id"])

    op.create_table(
        "archive_members",
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.Column("archive_id", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name="fk_archive_members_file_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["archive_id"], ["files.id"], name="fk_archive_members_archive_id"),
        sa.PrimaryKeyConstraint("file_id", name="pk_archive_members"),
    )
    op.create_index("ix_archive_members_archive_id", "archive_members", ["archive_id"])

    op.add_column("vector_store_files", sa.Column("source_version", sa.Text(), nullable=True))
    op.add_column("vector_store_files", sa.Column("started_at", sa.Double(), nullable=True))
    op.add_column("vector_store_files", sa.Column("ended_at", sa.Double(), nullable=True))
    op.drop_index("ix_vector_store_files_queue", table_name="vector_store_files")
    op.create_index("ix_vector_store_files_by_age", "vector_store_files", ["status", "id"])
    op.create_index("ix_vector_store_files_ended_at", "vector_store_files", ["ended_at"])
    op.create_index("ix_vector_store_files_by_size", "vector_store_files", ["status", "bytes", "id"])
    op.create_index("ix_vector_store_files_source", "vector_store_files", ["vector_store_id", "source"])


def downgrade() -> None:
    raise NotImplementedError("A catalog goes forward only; to go back, restore the backup made before the upgrade.")

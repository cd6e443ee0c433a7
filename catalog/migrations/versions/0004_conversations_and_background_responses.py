"""Conversations and background responses"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("answer_records", sa.Column("status", sa.Text(), nullable=False, server_default="completed"))
    op.add_column("answer_records", sa.Column("previous_response_id", sa.Text(), nullable=True))
    op.add_column("answer_records", sa.Column("input_items", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("answer_records", sa.Column("request", sa.JSON(), nullable=True))
    op.add_column("answer_records", sa.Column("ended_at", sa.Double(), nullable=True))
    op.add_column("answer_records", sa.Column("owner", sa.Text(), nullable=True))
    op.add_column("answer_records", sa.Column("lease_until", sa.Double(), nullable=True))
    op.add_column("answer_records", sa.Column("fence", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("answer_records", sa.Column("claims", sa.Integer(), nullable=False, server_default="0"))
    # Every answer that was kept until now had ended; its response says how.
    kept = sa.table("answer_records", sa.column("status", sa.Text()), sa.column("response", sa.JSON()))
    op.execute(kept.update().values(status=sa.func.coalesce(kept.c.response["status"].as_string(), "completed")))
    op.create_index("ix_answer_records_by_age", "answer_records", ["status", "created_at"])

    op.create_table(
        "answer_events",
        sa.Column("response_id", sa.Text(), nullable=False),
        sa.Column("sequence_number", sa.Integer(), nullable=False),
        sa.Column("event", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["response_id"], ["answer_records.id"], name="fk_answer_events_response_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("response_id", "sequence_number", name="pk_answer_events"),
    )

    op.create_table(
        "conversations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_conversations"),
    )
    op.create_index("ix_conversations_project_id", "conversations", ["project_id"])
    op.create_table(
        "conversation_items",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("item", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name="fk_conversation_items_conversation_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name="pk_conversation_items"),
        sa.UniqueConstraint("id", name="uq_conversation_items_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_conversation_items_in_order", "conversation_items", ["conversation_id", "number"])
    op.create_table(
        "conversation_item_files",
        sa.Column("item_number", _NUMBER, nullable=False),
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["item_number"],
            ["conversation_items.number"],
            name="fk_conversation_item_files_item_number",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("item_number", "file_id", name="pk_conversation_item_files"),
    )


def downgrade() -> None:
    raise NotImplementedError("A catalog goes forward only; to go back, restore the backup made before the upgrade.")

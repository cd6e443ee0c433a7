"""Feedback, and the age of what was said"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_answer_records_created_at", "answer_records", ["created_at", "id"])
    op.create_table(
        "answer_feedback",
        sa.Column("response_id", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("rating", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("expected_answer", sa.Text(), nullable=True),
        sa.Column("expected_quote", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["response_id"], ["answer_records.id"], name="fk_answer_feedback_response_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("response_id", "author", name="pk_answer_feedback"),
    )
    # Nobody knows when the items came that are there: they count as of now, so that none goes too early.
    op.add_column("conversation_items", sa.Column("created_at", sa.Double(), nullable=False, server_default="0"))
    op.execute(
        sa.table("conversation_items", sa.column("created_at", sa.Double())).update().values(created_at=time.time())
    )
    op.create_index("ix_conversation_items_created_at", "conversation_items", ["created_at"])


def downgrade() -> None:
    raise NotImplementedError("A catalog goes forward only; to go back, restore the backup made before the upgrade.")

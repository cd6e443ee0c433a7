"""Keys with scopes and idempotency

Keys of before keep every right.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("expires_at", sa.Double(), nullable=True))
    op.add_column("api_keys", sa.Column("scopes", sa.JSON(), nullable=False, server_default='["admin"]'))
    op.add_column("api_keys", sa.Column("store_ids", sa.JSON(), nullable=True))
    op.add_column("api_keys", sa.Column("requests_per_minute", sa.Integer(), nullable=True))
    op.add_column("api_keys", sa.Column("max_file_bytes", sa.BigInteger(), nullable=True))
    op.add_column("api_keys", sa.Column("token_secret", sa.Text(), nullable=True))

    op.add_column("files", sa.Column("uploaded_by", sa.Text(), nullable=True))
    op.create_index("ix_files_uploaded_by", "files", ["uploaded_by"])

    op.create_table(
        "visitor_origins",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_visitor_origins_key_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key_id", "origin", name="pk_visitor_origins"),
    )
    op.create_table(
        "idempotent_requests",
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("claim", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.Column("has_effect", sa.Boolean(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("owner_id", "key", name="pk_idempotent_requests"),
    )
    op.create_index("ix_idempotent_requests_created_at", "idempotent_requests", ["created_at"])


def downgrade() -> None:
    raise NotImplementedError("A catalog goes forward only; to go back, restore the backup made before the upgrade.")

"""What was assumed instead of asked for, until it is undone or the time for that is over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "advances",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("token", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("request_id", sa.String, nullable=False),
        sa.Column("hypothesis_id", sa.String, nullable=False),
        sa.Column("option", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.String),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("tenant", "token", name="pk_advances"),
    )
    op.create_index("ix_advances_tenant_user_id", "advances", ["tenant", "user_id"])
    op.create_index("ix_advances_tenant_outcome_expires_at", "advances", ["tenant", "outcome", "expires_at"])


def downgrade() -> None:
    op.drop_table("advances")

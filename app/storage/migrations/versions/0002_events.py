"""The order of events, so that what is learned is a fold; edits of what was learned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "playbook_edits",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("entry_id", sa.String, nullable=False),
        sa.Column("weight", sa.Float),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_playbook_edits"),
    )
    op.create_index("ix_playbook_edits_tenant_user_id", "playbook_edits", ["tenant", "user_id"])
    op.create_table(
        "events",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("record_id", sa.String, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_tenant_seq", "events", ["tenant", "seq"])
    op.create_index("ix_events_tenant_user_id", "events", ["tenant", "user_id"])
    op.create_table(
        "epochs",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant", name="pk_epochs"),
    )
    op.execute(_PAST)


_PAST = """
    INSERT INTO events (tenant, user_id, kind, record_id, at)
    SELECT tenant, user_id, kind, record_id, at FROM (
        SELECT tenant, user_id, 'selection' AS kind, request_id AS record_id, created_at AS at FROM selections
        UNION ALL SELECT tenant, user_id, 'choice', id, created_at FROM choices
        UNION ALL SELECT tenant, user_id, 'feedback', id, created_at FROM feedback
    ) AS past ORDER BY at, kind, record_id
"""
"""What happened before there were events, in the order of its times."""


def downgrade() -> None:
    for table in ("epochs", "events", "playbook_edits"):
        op.drop_table(table)

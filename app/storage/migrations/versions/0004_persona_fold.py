"""Personas as a fold over events: how far each is folded, what users state, what was read of a record.

What stands is taken for the fold of what was said so far. Statements become events now, hence later than
all that was said before them. What a model read before this revision was not kept: an explicit `fold`
reads those records by the heuristic.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_AGES = "UPDATE facets SET last_seen = valid_from"

_STATEMENTS = """
    INSERT INTO statements (tenant, id, user_id, name, value, created_at)
    SELECT tenant, id, user_id, name, value, valid_from FROM facets WHERE producer = 'user'
    UNION ALL SELECT tenant, id || '-end', user_id, name, NULL, valid_to
    FROM facets WHERE producer = 'user' AND valid_to IS NOT NULL
"""
"""What users said of themselves, and that it holds no longer."""

_EVENTS = """
    INSERT INTO events (tenant, user_id, kind, record_id, at)
    SELECT tenant, user_id, 'statement', id, created_at FROM statements
    ORDER BY created_at, CASE WHEN value IS NULL THEN 0 ELSE 1 END, id
"""
"""Of what was said at one time first the end of the old, then the new."""

_FOLDED = """
    UPDATE users SET persona_seq = COALESCE((
        SELECT MAX(seq) FROM events WHERE events.tenant = users.tenant AND events.user_id = users.user_id
    ), 0)
"""


def upgrade() -> None:
    op.create_table(
        "statements",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_statements"),
    )
    op.create_index("ix_statements_tenant_user_id", "statements", ["tenant", "user_id"])
    op.add_column("facets", sa.Column("last_seen", sa.DateTime(timezone=True)))
    op.add_column("users", sa.Column("persona_seq", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("events", sa.Column("reading", sa.JSON))
    for statement in (_AGES, _STATEMENTS, _EVENTS, _FOLDED):
        op.execute(statement)
    with op.batch_alter_table("facets") as facets:
        facets.alter_column("last_seen", existing_type=sa.DateTime(timezone=True), nullable=False)


def downgrade() -> None:
    op.execute("DELETE FROM events WHERE kind = 'statement'")
    for table, column in (("events", "reading"), ("users", "persona_seq"), ("facets", "last_seen")):
        op.drop_column(table, column)
    op.drop_table("statements")

"""The nouns: users, memories, facets, interactions, selections, choices, feedback."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "choices",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("input_text", sa.Text, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("selected", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_choices"),
    )
    op.create_index("ix_choices_tenant_user_id", "choices", ["tenant", "user_id"])
    op.create_table(
        "facets",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("rejected", sa.JSON, nullable=False),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("counter_evidence", sa.JSON, nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True)),
        sa.Column("producer", sa.String, nullable=False),
        sa.Column("context", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "user_id", "id", name="pk_facets"),
    )
    op.create_table(
        "feedback",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("request_id", sa.String),
        sa.Column("rating", sa.Float, nullable=False),
        sa.Column("comment", sa.Text),
        sa.Column("correction", sa.Text),
        sa.Column("useful", sa.JSON, nullable=False),
        sa.Column("not_useful", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_feedback"),
    )
    op.create_index("ix_feedback_tenant_user_id", "feedback", ["tenant", "user_id"])
    op.create_table(
        "interactions",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("session_id", sa.String, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("input_text", sa.Text, nullable=False),
        sa.Column("answer", sa.JSON, nullable=False),
        sa.Column("record", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_interactions"),
    )
    op.create_index("ix_interactions_tenant_created_at_id", "interactions", ["tenant", "created_at", "id"])
    op.create_index(
        "ix_interactions_tenant_user_id_created_at_id",
        "interactions",
        ["tenant", "user_id", "created_at", "id"],
    )
    op.create_index(
        "ix_interactions_tenant_user_id_session_id", "interactions", ["tenant", "user_id", "session_id"]
    )
    op.create_table(
        "memories",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("external_id", sa.String),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("thread", sa.String),
        sa.Column("position", sa.BigInteger),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("importance", sa.Float, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("embedder", sa.String, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_memories"),
    )
    op.create_index(
        "ix_memories_tenant_user_id_created_at_id", "memories", ["tenant", "user_id", "created_at", "id"]
    )
    op.create_index(
        "ix_memories_tenant_user_id_external_id",
        "memories",
        ["tenant", "user_id", "external_id"],
        unique=True,
    )
    op.create_table(
        "users",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("memory_version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "user_id", name="pk_users"),
    )
    op.create_table(
        "selections",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("request_id", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("hypothesis_id", sa.String),
        sa.Column("option", sa.Text),
        sa.Column("free_text", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.JSON(none_as_null=True)),
        sa.ForeignKeyConstraint(
            ["tenant", "request_id"],
            ["interactions.tenant", "interactions.id"],
            name="fk_selections_interaction",
        ),
        sa.PrimaryKeyConstraint("tenant", "request_id", name="pk_selections"),
    )
    op.create_index("ix_selections_tenant_user_id", "selections", ["tenant", "user_id"])


def downgrade() -> None:
    for table in ("selections", "interactions", "feedback", "choices", "facets", "memories", "users"):
        op.drop_table(table)

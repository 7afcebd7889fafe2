"""The training loop: adapters and their moves, experiments and exposures, training jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_TIME = sa.DateTime(timezone=True)
_SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _create_adapters()
    _create_experiments()
    _create_jobs()
    op.create_index("ix_advances_tenant_request_id", "advances", ["tenant", "request_id"])
    op.create_index("ix_feedback_tenant_request_id", "feedback", ["tenant", "request_id"])


def downgrade() -> None:
    op.drop_index("ix_feedback_tenant_request_id", "feedback")
    op.drop_index("ix_advances_tenant_request_id", "advances")
    for table in ("training_jobs", "exposures", "experiments", "adapter_users", "adapter_moves", "adapters"):
        op.drop_table(table)


def _create_adapters() -> None:
    op.create_table(
        "adapters",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("base_model", sa.String, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("lineage", sa.JSON, nullable=False),
        sa.Column("gates", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_adapters"),
    )
    op.create_index("ix_adapters_tenant_created_at", "adapters", ["tenant", "created_at"])
    _create_unique("ix_adapters_live", "adapters", "state = 'live'")
    op.create_table(
        "adapter_moves",
        sa.Column("seq", _SEQ, autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("before", sa.String, nullable=False),
        sa.Column("after", sa.String, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_adapter_moves"),
    )
    op.create_index("ix_adapter_moves_tenant_name", "adapter_moves", ["tenant", "name"])
    op.create_table(
        "adapter_users",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", "user_id", name="pk_adapter_users"),
    )
    op.create_index("ix_adapter_users_tenant_user_id", "adapter_users", ["tenant", "user_id"])


def _create_experiments() -> None:
    op.create_table(
        "experiments",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("control", sa.String),
        sa.Column("candidate", sa.String, nullable=False),
        sa.Column("phase", sa.String, nullable=False),
        sa.Column("share", sa.Float, nullable=False),
        sa.Column("alpha", sa.Float, nullable=False),
        sa.Column("verdict", sa.String, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_experiments"),
    )
    op.create_index("ix_experiments_tenant_started_at", "experiments", ["tenant", "started_at"])
    _create_unique("ix_experiments_running", "experiments", "verdict = 'running'")
    op.create_table(
        "exposures",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("experiment_id", sa.String, nullable=False),
        sa.Column("request_id", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("arm", sa.String, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("shadow", sa.JSON),
        sa.Column("degraded", sa.Boolean, nullable=False),
        sa.Column("milliseconds", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "experiment_id", "request_id", name="pk_exposures"),
    )
    op.create_index("ix_exposures_tenant_user_id", "exposures", ["tenant", "user_id"])


def _create_jobs() -> None:
    op.create_table(
        "training_jobs",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("recipe", sa.String, nullable=False),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("directory", sa.Text, nullable=False),
        sa.Column("started_at", _TIME),
        sa.Column("ended_at", _TIME),
        sa.Column("progress", sa.JSON, nullable=False),
        sa.Column("adapter", sa.String),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("cancel_asked", sa.Boolean, nullable=False),
        sa.Column("lease_owner", sa.String),
        sa.Column("lease_until", _TIME),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_training_jobs"),
    )
    op.create_index("ix_training_jobs_status_created_at", "training_jobs", ["status", "created_at"])


def _create_unique(name: str, table: str, condition: str) -> None:
    """At most one row of a tenant and task for which the condition holds."""
    where = sa.text(condition)
    op.create_index(name, table, ["tenant", "task"], unique=True, sqlite_where=where, postgresql_where=where)

"""The tables of the training loop: adapters, experiments, jobs. Part of app.storage.tables' metadata."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, Integer, String, Table, Text, text

from app.storage.tables import UTCDateTime, metadata

_IS_LIVE = text("state = 'live'")
_IS_RUNNING = text("verdict = 'running'")

adapters = Table(
    "adapters",
    metadata,
    Column("name", String, primary_key=True),  # alone: a server knows adapters of every tenant by it
    Column("path", Text, nullable=False),
    Column("base_model", String, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("tenant", String, nullable=False),
    Column("task", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("state", String, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("lineage", JSON, nullable=False),
    Column("gates", JSON, nullable=False),
    Index(None, "tenant", "created_at"),
    Index(
        "ix_adapters_live", "tenant", "task", unique=True, sqlite_where=_IS_LIVE, postgresql_where=_IS_LIVE
    ),
)

adapter_moves = Table(
    "adapter_moves",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("tenant", String, nullable=False),
    Column("name", String, nullable=False),
    Column("before", String, nullable=False),
    Column("after", String, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    Column("reason", Text, nullable=False),
    Index(None, "tenant", "name"),
)

adapter_users = Table(
    "adapter_users",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("user_id", String, primary_key=True),  # as the training files write it
    Index(None, "tenant", "user_id"),
)

experiments = Table(
    "experiments",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("task", String, nullable=False),
    Column("control", String),
    Column("candidate", String, nullable=False),
    Column("phase", String, nullable=False),
    Column("share", Float, nullable=False),
    Column("alpha", Float, nullable=False),
    Column("verdict", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_at", UTCDateTime, nullable=False),
    Column("ended_at", UTCDateTime),
    Column("canary_since", UTCDateTime),
    Index(None, "tenant", "started_at"),
    Index(
        "ix_experiments_running",
        "tenant",
        "task",
        unique=True,
        sqlite_where=_IS_RUNNING,
        postgresql_where=_IS_RUNNING,
    ),
)

exposures = Table(
    "exposures",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("experiment_id", String, primary_key=True),
    Column("request_id", String, primary_key=True),
    Column("user_id", String, nullable=False),
    Column("arm", String, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    Column("shadow", JSON(none_as_null=True)),
    Column("degraded", Boolean, nullable=False),
    Column("milliseconds", Float, nullable=False),
    Index(None, "tenant", "user_id"),
)

training_jobs = Table(
    "training_jobs",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("task", String, nullable=False),
    Column("recipe", String, nullable=False),
    Column("config", JSON, nullable=False),
    Column("status", String, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("directory", Text, nullable=False),
    Column("started_at", UTCDateTime),
    Column("ended_at", UTCDateTime),
    Column("progress", JSON, nullable=False),
    Column("adapter", String),
    Column("detail", Text, nullable=False),
    Column("cancel_asked", Boolean, nullable=False),
    Column("lease_owner", String),
    Column("lease_until", UTCDateTime),
    Index(None, "status", "created_at"),
)

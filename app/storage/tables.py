"""The tables, written once for SQLite and PostgreSQL. Every row carries its tenant."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)


class UTCDateTime(TypeDecorator[datetime]):
    """Aware in, UTC out. SQLite knows no zones, so what it holds is UTC by this class alone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"}
)

users = Table(
    "users",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("user_id", String, primary_key=True),
    Column("memory_version", BigInteger, nullable=False),
    Column("persona_seq", BigInteger, nullable=False, server_default="0"),  # the event folded last
)

memories = Table(
    "memories",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("user_id", String, nullable=False),
    Column("external_id", String),
    Column("text", Text, nullable=False),
    Column("thread", String),
    Column("position", BigInteger),
    Column("kind", String, nullable=False),
    Column("importance", Float, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("embedder", String, nullable=False),
    Column("vector", LargeBinary, nullable=False),  # float32, little-endian
    Index(None, "tenant", "user_id", "created_at", "id"),
    Index(None, "tenant", "user_id", "external_id", unique=True),
)

facets = Table(
    "facets",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("user_id", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("rejected", JSON, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("counter_evidence", JSON, nullable=False),
    Column("last_seen", UTCDateTime, nullable=False),
    Column("valid_from", UTCDateTime, nullable=False),
    Column("valid_to", UTCDateTime),
    Column("producer", String, nullable=False),
    Column("context", Text, nullable=False),
)

interactions = Table(
    "interactions",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("user_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("session_id", String, nullable=False),
    Column("round", Integer, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("input_text", Text, nullable=False),
    Column("answer", JSON, nullable=False),
    Column("record", JSON, nullable=False),
    Index(None, "tenant", "user_id", "created_at", "id"),
    Index(None, "tenant", "user_id", "session_id"),
    Index(None, "tenant", "created_at", "id"),
)

selections = Table(
    "selections",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("request_id", String, primary_key=True),
    Column("user_id", String, nullable=False),
    Column("hypothesis_id", String),
    Column("option", Text),
    Column("free_text", Text),
    Column("created_at", UTCDateTime, nullable=False),
    Column("outcome", JSON(none_as_null=True)),
    ForeignKeyConstraint(
        ["tenant", "request_id"], ["interactions.tenant", "interactions.id"], name="fk_selections_interaction"
    ),
    Index(None, "tenant", "user_id"),
)

choices = Table(
    "choices",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("user_id", String, nullable=False),
    Column("input_text", Text, nullable=False),
    Column("options", JSON, nullable=False),
    Column("selected", Text, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Index(None, "tenant", "user_id"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("user_id", String, nullable=False),
    Column("request_id", String),
    Column("rating", Float, nullable=False),
    Column("comment", Text),
    Column("correction", Text),
    Column("useful", JSON, nullable=False),
    Column("not_useful", JSON, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Index(None, "tenant", "user_id"),
    Index(None, "tenant", "request_id"),
)

statements = Table(
    "statements",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("user_id", String, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Text),
    Column("created_at", UTCDateTime, nullable=False),
    Index(None, "tenant", "user_id"),
)

playbook_edits = Table(
    "playbook_edits",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("user_id", String, nullable=False),  # "" for an entry of the tenant's
    Column("entry_id", String, nullable=False),
    Column("weight", Float),
    Column("created_at", UTCDateTime, nullable=False),
    Index(None, "tenant", "user_id"),
)

advances = Table(
    "advances",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("token", String, primary_key=True),
    Column("user_id", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("hypothesis_id", String, nullable=False),
    Column("option", Text, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("outcome", String),
    Column("settled_at", UTCDateTime),
    Index(None, "tenant", "user_id"),
    Index(None, "tenant", "request_id"),
    Index(None, "tenant", "outcome", "expires_at"),
)

events = Table(
    "events",
    metadata,
    # SQLite counts rows by itself in a column of exactly this type.
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("tenant", String, nullable=False),
    Column("user_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("record_id", String, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    Column("reading", JSON(none_as_null=True)),
    Index(None, "tenant", "seq"),
    Index(None, "tenant", "user_id"),
    sqlite_autoincrement=True,  # the number of an erased event is never given again
)

epochs = Table(
    "epochs",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
)

"""From DATABASE_URL to a store."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.errors import ConfigError
from app.storage.database import Database
from app.storage.sql import SQLStore

BUSY_SECONDS = 5.0
READERS = 4
DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}


def open_store(url: str, busy_seconds: float = BUSY_SECONDS) -> SQLStore:
    """A store on a database that `migrate(url)` has brought up to date; close it with `aclose`.

    Connections are made on first use. A SQLite writer waits `busy_seconds` for another process.
    Raises ConfigError for a URL of another kind.
    """
    return SQLStore(open_database(url, busy_seconds))


def open_database(url: str, busy_seconds: float = BUSY_SECONDS) -> Database:
    target = parse_url(url)
    if target.get_backend_name() == "sqlite":
        reader, writer = _sqlite_reader(target, busy_seconds), _sqlite_writer(target, busy_seconds)
        for engine in (reader, writer):
            event.listen(engine.sync_engine, "connect", _set_pragmas)
        return Database(reader, writer)
    engine = create_async_engine(target, **_JSON)
    return Database(reader=engine.execution_options(isolation_level="AUTOCOMMIT"), writer=engine)


def parse_url(url: str) -> URL:
    """The URL with an async driver; makes the folder of a SQLite file. Raises ConfigError."""
    try:
        target = make_url(url)
    except ArgumentError:
        raise ConfigError("DATABASE_URL is no URL; try sqlite:///data/embed-service.db") from None
    backend = target.get_backend_name()
    if backend not in DRIVERS:
        raise ConfigError(f"DATABASE_URL names {backend}; use sqlite:///PATH or postgresql://...")
    if backend == "sqlite":
        _make_folder(target.database)
    elif find_spec("asyncpg") is None:
        raise ConfigError("DATABASE_URL names PostgreSQL; run .venv/bin/pip install asyncpg pgvector first")
    return target.set(drivername=DRIVERS[backend])


def _make_folder(path: str | None) -> None:
    if not path or path == ":memory:":
        raise ConfigError("DATABASE_URL needs a file: sqlite:///PATH (a database in memory would be lost)")
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"DATABASE_URL: the folder of {path} cannot be made: {error.strerror}") from error


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


_JSON: dict[str, Any] = {"json_serializer": _dumps, "json_deserializer": orjson.loads}


def _sqlite_reader(url: URL, busy_seconds: float) -> AsyncEngine:
    return create_async_engine(
        url,
        connect_args={"timeout": busy_seconds},
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        pool_size=READERS,
        max_overflow=0,
        pool_timeout=2 * busy_seconds,
        **_JSON,
    )


def _sqlite_writer(url: URL, busy_seconds: float) -> AsyncEngine:
    return create_async_engine(
        url,
        # The driver begins at the first write, and takes the lock then: no upgrade, no deadlock.
        connect_args={"isolation_level": "IMMEDIATE", "timeout": busy_seconds},
        pool_size=1,
        max_overflow=0,
        pool_timeout=2 * busy_seconds,
        pool_reset_on_return=None,  # every transaction has ended by then: see Database.write
        **_JSON,
    )


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
        "secure_delete = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()

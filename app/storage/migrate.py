"""Bring a database to a revision of the schema, up or down."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, pool
from sqlalchemy.ext.asyncio import create_async_engine

from app.storage.database import translated_errors
from app.storage.open import BUSY_SECONDS, parse_url

_TURNS = 50
_LOCK = 7_210_031
"""Any number that nobody else locks in the same PostgreSQL database."""


async def migrate(url: str, revision: str = "head") -> None:
    """Upgrade to `revision` in one transaction. Several workers may start at once: one does it."""
    await _run(url, command.upgrade, revision)


async def downgrade(url: str, revision: str = "base") -> None:
    """Go back to `revision`; "base" leaves no table of ours."""
    await _run(url, command.downgrade, revision)


async def _run(url: str, step: Any, revision: str) -> None:
    target = parse_url(url)
    sqlite = target.get_backend_name() == "sqlite"
    arguments: dict[str, Any] = {"isolation_level": None, "timeout": BUSY_SECONDS} if sqlite else {}
    engine = create_async_engine(target, poolclass=pool.NullPool, connect_args=arguments)
    event.listen(engine.sync_engine, "begin", _lock_sqlite if sqlite else _lock_postgresql)
    if sqlite:
        event.listen(engine.sync_engine, "connect", _turn_to_wal)
    try:
        with translated_errors():
            async with engine.begin() as connection:
                await connection.run_sync(_step, step, revision)
    finally:
        await engine.dispose()


def _step(connection: Connection, step: Any, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    step(config, revision)


def _turn_to_wal(connection: Any, _record: object) -> None:
    """Once and for good: to turn needs the file alone, and SQLite does not wait for that.

    Connections of a store that came first at the same time would find it locked.
    """
    cursor = connection.cursor()
    for left in reversed(range(_TURNS)):
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            break
        except connection.dbapi.OperationalError:
            if not left:
                raise
            time.sleep(BUSY_SECONDS / _TURNS)
    cursor.close()


def _lock_sqlite(connection: Connection) -> None:
    # The driver begins no transaction before DDL by itself.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _lock_postgresql(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")

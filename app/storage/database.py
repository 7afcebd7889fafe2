"""The engines under a store: reads side by side, SQLite's writes one at a time, errors in our words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sqlalchemy import Table, exc, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.errors import Conflict, InvalidInput, StorageError

_DATA_EXCEPTION = "22"
"""The class of SQLSTATE that says the value is at fault."""

_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended(:queue, 7210032))")


class Database:
    """Hands out connections; whatever the driver raises inside them leaves as one of our errors.

    `reader` commits by itself; `writer` runs transactions. They are two pools on SQLite, whose
    writer has one connection: waiting in a queue is fairer than in SQLite's busy handler.
    """

    def __init__(self, reader: AsyncEngine, writer: AsyncEngine) -> None:
        self._reader = reader
        self._writer = writer

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for SELECTs, each its own snapshot."""
        with translated_errors():
            async with self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: all of it on a clean exit, else nothing.

        Write first, read afterwards: on SQLite the transaction starts with the first write.
        """
        with translated_errors():
            async with self._writer.begin() as connection:
                yield connection

    async def scrub(self) -> None:
        """Drop what SQLite's log still holds of deleted rows; its pages are zeroed on deletion."""
        if self._writer.dialect.name == "sqlite":
            async with self.read() as connection:
                await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    async def aclose(self) -> None:
        await self._reader.dispose()
        await self._writer.dispose()


@contextmanager
def translated_errors() -> Iterator[None]:
    """Driver errors as InvalidInput, Conflict or StorageError, with the cause kept."""
    try:
        yield
    except exc.IntegrityError as error:
        raise Conflict("the database holds another row under this id") from error
    except (exc.DataError, UnicodeEncodeError, OverflowError) as error:
        raise InvalidInput("a value cannot be stored") from error
    except exc.DBAPIError as error:
        # asyncpg's own check of a value comes without SQLAlchemy's class, but with the SQLSTATE.
        if str(getattr(error.orig, "sqlstate", "")).startswith(_DATA_EXCEPTION):
            raise InvalidInput("a value cannot be stored") from error
        raise StorageError from error
    except (exc.TimeoutError, OSError) as error:
        raise StorageError from error
    except exc.StatementError as error:
        # A value that did not become a parameter: a lone surrogate in JSON, a time without zone.
        raise InvalidInput(f"a value cannot be stored: {error.orig}") from error


def insert(connection: AsyncConnection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """The dialect's own INSERT, for its ON CONFLICT."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


async def take_turn(connection: AsyncConnection, queue: str) -> None:
    """Until this transaction ends nobody else is in that queue. SQLite's writers stand in one anyway."""
    if connection.dialect.name == "postgresql":
        await connection.execute(_TURN, {"queue": queue})

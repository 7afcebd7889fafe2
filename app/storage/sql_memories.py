"""Memories in SQL: rows with their vectors, and a version that grows with every write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import case, delete, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.models import Memory
from app.storage.base import MemorySet
from app.storage.cursors import cut_page, decode_cursor
from app.storage.database import Database
from app.storage.database import insert as upsert
from app.storage.rows import MEMORY_COLUMNS, memory_row, to_memory, to_vectors
from app.storage.tables import memories as table
from app.storage.tables import users

T = TypeVar("T")
BATCH = 500
"""Rows at a time, written or read: the event loop gets its turn in between."""


class SQLMemories:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_memories(
        self,
        tenant: str,
        user_id: str,
        memories: Sequence[Memory],
        vectors: NDArray[np.float32],
        embedder: str,
    ) -> list[str]:
        if not memories:
            return []
        blobs = [row.tobytes() for row in np.ascontiguousarray(vectors, dtype="<f4")]
        async with self._database.write() as connection:
            await _bump_version(connection, tenant, user_id)
            ids = await _settle_ids(connection, tenant, user_id, memories)
            rows = {
                memory_id: {
                    **memory_row(tenant, user_id, memory, memory_id),
                    "embedder": embedder,
                    "vector": blob,
                }
                for memory_id, memory, blob in zip(ids, memories, blobs, strict=True)
            }
            await _replace(connection, tenant, user_id, rows)
        return ids

    async def load_memories(self, tenant: str, user_id: str) -> MemorySet:
        owner = (table.c.tenant == tenant, table.c.user_id == user_id)
        query = select(*MEMORY_COLUMNS, table.c.embedder, table.c.vector).where(*owner)
        found: list[Memory] = []
        blobs: list[bytes] = []
        embedders: set[str] = set()
        async with self._database.read() as connection:
            # The version first: a write in between makes the set look older than it is, never newer.
            version = await _version(connection, tenant, user_id)
            result = await connection.execute(query.order_by(table.c.created_at, table.c.id))
            for part in result.partitions(BATCH):
                found += map(to_memory, part)
                blobs += (row.vector for row in part)
                embedders.update(row.embedder for row in part)
                await asyncio.sleep(0)
        embedder = embedders.pop() if len(embedders) == 1 else ""
        vectors = to_vectors(blobs) if embedder else np.zeros((len(blobs), 0), np.float32)
        return MemorySet(version, tuple(found), vectors, embedder)

    async def list_memories(
        self, tenant: str, user_id: str, limit: int, cursor: str | None
    ) -> tuple[list[Memory], str | None]:
        query = select(*MEMORY_COLUMNS).where(table.c.tenant == tenant, table.c.user_id == user_id)
        if cursor is not None:
            query = query.where(tuple_(table.c.created_at, table.c.id) > decode_cursor(cursor))
        query = query.order_by(table.c.created_at, table.c.id).limit(limit + 1)
        async with self._database.read() as connection:
            found = [to_memory(row) for row in await connection.execute(query)]
        return cut_page(found, limit, lambda memory: (memory.created_at, memory.id))

    async def delete_memory(self, tenant: str, memory_id: str) -> bool:
        statement = delete(table).where(table.c.tenant == tenant, table.c.id == memory_id)
        async with self._database.write() as connection:
            owner = (await connection.execute(statement.returning(table.c.user_id))).scalar_one_or_none()
            if owner is not None:
                await _bump_version(connection, tenant, owner)
        return owner is not None


async def _bump_version(connection: AsyncConnection, tenant: str, user_id: str) -> None:
    # Counting starts at the clock, so that a user erased and come back never meets an old version
    # in somebody's cache.
    statement = upsert(connection, users).values(
        tenant=tenant, user_id=user_id, memory_version=time.time_ns() // 1000
    )
    later = case(
        (users.c.memory_version > 0, users.c.memory_version + 1), else_=statement.excluded.memory_version
    )
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[users.c.tenant, users.c.user_id],
            set_={"memory_version": later},
        )
    )


async def _version(connection: AsyncConnection, tenant: str, user_id: str) -> int:
    query = select(users.c.memory_version).where(users.c.tenant == tenant, users.c.user_id == user_id)
    return (await connection.execute(query)).scalar_one_or_none() or 0


async def _settle_ids(
    connection: AsyncConnection, tenant: str, user_id: str, new: Sequence[Memory]
) -> list[str]:
    """The id each memory is kept under: an external_id met before has one already."""
    external = list({memory.external_id for memory in new if memory.external_id is not None})
    known: dict[str, str] = {}
    for part in _batches(external):
        query = select(table.c.external_id, table.c.id).where(
            table.c.tenant == tenant, table.c.user_id == user_id, table.c.external_id.in_(part)
        )
        known.update((row.external_id, row.id) for row in await connection.execute(query))
    return [
        memory.id if memory.external_id is None else known.setdefault(memory.external_id, memory.id)
        for memory in new
    ]


async def _replace(
    connection: AsyncConnection, tenant: str, user_id: str, rows: dict[str, dict[str, Any]]
) -> None:
    """Delete this user's rows of these ids, insert the new; another user's id is a Conflict."""
    for part in _batches(list(rows)):
        await connection.execute(
            delete(table).where(table.c.tenant == tenant, table.c.user_id == user_id, table.c.id.in_(part))
        )
    for batch in _batches(list(rows.values())):
        await connection.execute(insert(table), batch)


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]

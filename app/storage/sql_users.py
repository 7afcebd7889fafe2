"""Everything about one person, for export and erasure; and the whole history, for folds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, delete, func, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import StorageError
from app.models import Interaction, Selection
from app.storage.database import Database
from app.storage.rows import to_round
from app.storage.sql_adapters import taint_adapters
from app.storage.sql_interactions import rounds
from app.storage.sql_learning import begin_epoch
from app.storage.tables import (
    advances,
    choices,
    events,
    facets,
    feedback,
    interactions,
    memories,
    playbook_edits,
    selections,
    statements,
    users,
)
from app.storage.tables_training import adapter_users, exposures
from app.text import pseudonym

ABOUT_A_PERSON: tuple[Table, ...] = (
    memories,
    facets,
    selections,
    advances,
    interactions,
    choices,
    feedback,
    statements,
    playbook_edits,
    exposures,
    adapter_users,
    events,
    users,
)
"""All of them, those that refer to others first."""

TAINTED = "adapters_tainted"
"""How an erasure counts the adapters that were trained on the user: they stay, and are used no more."""


class SQLUsers:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def export_user(self, tenant: str, user_id: str) -> dict[str, list[dict[str, Any]]]:
        exported: dict[str, list[dict[str, Any]]] = {}
        async with self._database.read() as connection:
            for table in ABOUT_A_PERSON:
                columns = [column for column in table.c if column is not memories.c.vector]
                query = select(*columns).where(_about(table, tenant, user_id))
                rows = (await connection.execute(query.order_by(*table.primary_key))).mappings()
                exported[table.name] = [{name: _plain(value) for name, value in row.items()} for row in rows]
        return exported

    async def erase_user(self, tenant: str, user_id: str) -> dict[str, int]:
        async with self._database.write() as connection:
            tainted = await taint_adapters(connection, tenant, user_id, datetime.now(UTC))
            erased = {
                table.name: (
                    await connection.execute(delete(table).where(_about(table, tenant, user_id)))
                ).rowcount
                for table in ABOUT_A_PERSON
            }
            if erased[events.name]:
                await begin_epoch(connection, tenant)
            if await _left(connection, tenant, user_id):
                raise StorageError("rows of this user are still there; nothing was erased")
        await self._database.scrub()
        return {name: count for name, count in (erased | {TAINTED: tainted}).items() if count}

    async def list_users(self, tenant: str | None) -> list[tuple[str, str]]:
        parts = [
            select(table.c.tenant, table.c.user_id).where(table.c.user_id != "").distinct()
            for table in ABOUT_A_PERSON
            if table is not adapter_users  # it may hold a pseudonym
        ]
        everyone = union(*parts).subquery()
        query = select(everyone).order_by(everyone.c.tenant, everyone.c.user_id)
        if tenant is not None:
            query = query.where(everyone.c.tenant == tenant)
        async with self._database.read() as connection:
            return [(row.tenant, row.user_id) for row in await connection.execute(query)]

    async def iterate_interactions(
        self, tenant: str | None, since: datetime | None = None
    ) -> Sequence[tuple[Interaction, Selection | None]]:
        query = rounds().order_by(interactions.c.created_at, interactions.c.tenant, interactions.c.id)
        if tenant is not None:
            query = query.where(interactions.c.tenant == tenant)
        if since is not None:
            query = query.where(interactions.c.created_at >= since)
        async with self._database.read() as connection:
            return [to_round(row) for row in (await connection.execute(query)).mappings()]


async def _left(connection: AsyncConnection, tenant: str, user_id: str) -> int:
    counts = [
        select(func.count()).where(_about(table, tenant, user_id)).scalar_subquery()
        for table in ABOUT_A_PERSON
    ]
    return sum((await connection.execute(select(*counts))).one())


def _about(table: Table, tenant: str, user_id: str) -> ColumnElement[bool]:
    names = (user_id, pseudonym(user_id)) if table is adapter_users else (user_id,)
    return and_(table.c.tenant == tenant, table.c.user_id.in_(names))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value

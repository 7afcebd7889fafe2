"""Advances in SQL: what was assumed, and the events of its end."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import NotFound
from app.models import Advance
from app.storage.base import EventKind
from app.storage.database import Database
from app.storage.rows import advance_row, to_advance
from app.storage.sql_learning import add_event
from app.storage.tables import advances

_PAGE = 200
_EVENTS: dict[str, EventKind] = {"undone": "undo", "silent": "silence"}


class SQLAdvances:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_advance(self, advance: Advance) -> None:
        async with self._database.write() as connection:
            await connection.execute(insert(advances), advance_row(advance))

    async def get_advance(self, tenant: str, token: str) -> Advance | None:
        query = select(advances).where(advances.c.tenant == tenant, advances.c.token == token)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return to_advance(row) if row else None

    async def list_advances(self, tenant: str, user_id: str) -> list[Advance]:
        query = (
            select(advances)
            .where(advances.c.tenant == tenant, advances.c.user_id == user_id)
            .order_by(advances.c.created_at, advances.c.token)
        )
        async with self._database.read() as connection:
            return [to_advance(row) for row in (await connection.execute(query)).mappings()]

    async def undo_advance(self, tenant: str, token: str, at: datetime) -> Advance:
        async with self._database.write() as connection:
            await _settle(connection, tenant, token, "undone", at)
        stands = await self.get_advance(tenant, token)
        if stands is None:
            raise NotFound("there is no advance with this token")
        return stands

    async def lapse_advances(self, tenant: str, at: datetime) -> None:
        query = (
            select(advances.c.token)
            .where(advances.c.tenant == tenant, advances.c.outcome.is_(None), advances.c.expires_at <= at)
            .order_by(advances.c.expires_at, advances.c.token)
            .limit(_PAGE)
        )
        async with self._database.read() as connection:
            over = (await connection.execute(query)).scalars().all()
        if over:
            async with self._database.write() as connection:
                for token in over:
                    await _settle(connection, tenant, token, "silent", at)


async def _settle(
    connection: AsyncConnection, tenant: str, token: str, outcome: Literal["undone", "silent"], at: datetime
) -> None:
    """The first outcome stands: an undo before the end, silence from then on."""
    in_time = advances.c.expires_at > at if outcome == "undone" else advances.c.expires_at <= at
    settled = await connection.execute(
        update(advances)
        .where(advances.c.tenant == tenant, advances.c.token == token, advances.c.outcome.is_(None), in_time)
        .values(outcome=outcome, settled_at=at)
        .returning(advances.c.user_id)
    )
    if (user_id := settled.scalar_one_or_none()) is not None:
        await add_event(connection, tenant, user_id, _EVENTS[outcome], token, at)

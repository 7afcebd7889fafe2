"""Personas in SQL: facets, what users state of themselves, and up to which event either was folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import ColumnElement, Select, and_, bindparam, delete, func, literal, select, true, update
from sqlalchemy import insert as plain_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.models import Facet, Reading, Statement
from app.storage.base import Persona, Profile
from app.storage.database import Database, insert
from app.storage.rows import facet_row, statement_row, to_facet
from app.storage.sql_learning import add_event
from app.storage.tables import events, statements, users
from app.storage.tables import facets as table


def _with_facets(which: ColumnElement[bool]) -> Select[tuple[int, int]]:
    """The row of a user beside each of their facets, or beside NULLs."""
    own = and_(table.c.tenant == users.c.tenant, table.c.user_id == users.c.user_id, which)
    return (
        select(users.c.memory_version, users.c.persona_seq, table)
        .select_from(users.outerjoin(table, own))
        .where(users.c.tenant == bindparam("tenant"), users.c.user_id == bindparam("user_id"))
        .order_by(table.c.valid_from, table.c.id)
    )


_PROFILE = _with_facets(table.c.valid_to.is_(None))
"""Built once: it is on the path of every request."""
_PERSONA = _with_facets(true())


class SQLPersonas:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def profile(self, tenant: str, user_id: str) -> Profile:
        facets, version, _ = await self._read(_PROFILE, tenant, user_id)
        return Profile(facets, version)

    async def load_persona(self, tenant: str, user_id: str) -> Persona:
        facets, _, seq = await self._read(_PERSONA, tenant, user_id)
        return Persona(facets, seq)

    async def _read(
        self, query: Select[tuple[int, int]], tenant: str, user_id: str
    ) -> tuple[tuple[Facet, ...], int, int]:
        async with self._database.read() as connection:
            result = await connection.execute(query, {"tenant": tenant, "user_id": user_id})
            rows = result.mappings().all()
        if not rows:
            return (), 0, 0
        facets = tuple(to_facet(row) for row in rows if row[table.c.id] is not None)
        return facets, rows[0][users.c.memory_version], rows[0][users.c.persona_seq]

    async def save_facets(
        self,
        tenant: str,
        user_id: str,
        facets: Sequence[Facet],
        *,
        since: int,
        seq: int,
        reading: Reading | None = None,
        anew: bool = False,
    ) -> bool:
        async with self._database.write() as connection:
            if not await _moved(connection, tenant, user_id, since, seq):
                return False
            if anew:
                own = (table.c.tenant == tenant, table.c.user_id == user_id)
                await connection.execute(delete(table).where(*own))
            if reading is not None:
                kept = update(events).where(events.c.seq == seq).values(reading=asdict(reading))
                await connection.execute(kept)
            if facets:
                await _put(connection, [facet_row(tenant, user_id, facet) for facet in facets])
        return True

    async def personas_behind(self) -> list[tuple[str, str]]:
        user = (events.c.tenant, events.c.user_id)
        own = and_(users.c.tenant == events.c.tenant, users.c.user_id == events.c.user_id)
        query = (
            select(*user)
            .select_from(events.outerjoin(users, own))
            .where(events.c.user_id != "")
            .group_by(*user, users.c.persona_seq)
            .having(func.max(events.c.seq) > func.coalesce(users.c.persona_seq, 0))
            .order_by(*user)
        )
        async with self._database.read() as connection:
            return [(row.tenant, row.user_id) for row in await connection.execute(query)]

    async def add_statements(self, statements_: Sequence[Statement]) -> None:
        async with self._database.write() as connection:
            for one in statements_:
                await connection.execute(plain_insert(statements), statement_row(one))
                await add_event(connection, one.tenant, one.user_id, "statement", one.id, one.created_at)


async def _moved(connection: AsyncConnection, tenant: str, user_id: str, since: int, seq: int) -> bool:
    """One statement, that no other process comes between; the lock on the event holds an erasure off."""
    event = (events.c.seq == seq, events.c.tenant == tenant, events.c.user_id == user_id)
    source = select(events.c.tenant, events.c.user_id, literal(0), events.c.seq).where(*event)
    columns = ["tenant", "user_id", "memory_version", "persona_seq"]
    statement = insert(connection, users).from_select(columns, source.with_for_update(read=True))
    moved = statement.on_conflict_do_update(
        index_elements=users.primary_key, set_={"persona_seq": seq}, where=users.c.persona_seq == since
    )
    return (await connection.execute(moved.returning(users.c.user_id))).first() is not None


async def _put(connection: AsyncConnection, rows: Sequence[dict[str, object]]) -> None:
    statement = insert(connection, table)
    replaced = {c.name: statement.excluded[c.name] for c in table.c if not c.primary_key}
    await connection.execute(
        statement.on_conflict_do_update(index_elements=table.primary_key, set_=replaced), rows
    )

"""Personas in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, bindparam, select

from app.models import Facet
from app.storage.base import Profile
from app.storage.database import Database, insert
from app.storage.rows import facet_row, to_facet
from app.storage.tables import facets as table
from app.storage.tables import users

_PROFILE = (
    select(users.c.memory_version, table)
    .select_from(
        users.outerjoin(
            table,
            and_(
                table.c.tenant == users.c.tenant,
                table.c.user_id == users.c.user_id,
                table.c.valid_to.is_(None),
            ),
        )
    )
    .where(users.c.tenant == bindparam("tenant"), users.c.user_id == bindparam("user_id"))
    .order_by(table.c.valid_from, table.c.id)
)
"""Built once: it is on the path of every request."""


class SQLPersonas:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def profile(self, tenant: str, user_id: str) -> Profile:
        async with self._database.read() as connection:
            result = await connection.execute(_PROFILE, {"tenant": tenant, "user_id": user_id})
            rows = result.mappings().all()
        return Profile(
            facets=tuple(to_facet(row) for row in rows if row[table.c.id] is not None),
            memory_version=rows[0][users.c.memory_version] if rows else 0,
        )

    async def facet_history(self, tenant: str, user_id: str) -> list[Facet]:
        query = (
            select(table)
            .where(table.c.tenant == tenant, table.c.user_id == user_id)
            .order_by(table.c.valid_from, table.c.id)
        )
        async with self._database.read() as connection:
            return [to_facet(row) for row in (await connection.execute(query)).mappings()]

    async def save_facets(self, tenant: str, user_id: str, facets: Sequence[Facet]) -> None:
        if not facets:
            return
        async with self._database.write() as connection:
            user = {"tenant": tenant, "user_id": user_id, "memory_version": 0}
            await connection.execute(insert(connection, users).on_conflict_do_nothing(), user)
            statement = insert(connection, table)
            replaced = {c.name: statement.excluded[c.name] for c in table.c if not c.primary_key}
            await connection.execute(
                statement.on_conflict_do_update(index_elements=table.primary_key, set_=replaced),
                [facet_row(tenant, user_id, facet) for facet in facets],
            )

"""Adapters in SQL: what there is, in which state, and how it came there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, Update, and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import Conflict, NotFound
from app.models import Adapter, AdapterMove, AdapterState
from app.storage.database import Database, take_turn
from app.storage.database import insert as upsert
from app.storage.rows_training import adapter_row, to_adapter, to_move
from app.storage.tables_training import adapter_moves, adapter_users, adapters
from app.text import pseudonym


class SQLAdapters:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_adapter(self, adapter: Adapter, users: Sequence[str] = ()) -> Adapter:
        async with self._database.write() as connection:
            statement = upsert(connection, adapters).on_conflict_do_nothing(index_elements=["name"])
            await connection.execute(statement, adapter_row(adapter))
            query = select(adapters).where(adapters.c.name == adapter.name)
            stands = to_adapter((await connection.execute(query)).mappings().one())
            if (stands.tenant, stands.digest) != (adapter.tenant, adapter.digest):
                raise Conflict(f"{adapter.name} names another adapter")
            if users:
                owner = {"tenant": adapter.tenant, "name": adapter.name}
                await connection.execute(
                    upsert(connection, adapter_users).on_conflict_do_nothing(),
                    [owner | {"user_id": user} for user in users],
                )
        return stands

    async def get_adapter(self, tenant: str | None, name: str) -> Adapter | None:
        query = select(adapters).where(adapters.c.name == name)
        if tenant is not None:
            query = query.where(adapters.c.tenant == tenant)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return to_adapter(row) if row else None

    async def list_adapters(
        self, tenant: str | None, task: str | None = None, states: Collection[AdapterState] = ()
    ) -> list[Adapter]:
        query = select(adapters).order_by(adapters.c.created_at, adapters.c.name)
        if tenant is not None:
            query = query.where(adapters.c.tenant == tenant)
        if task is not None:
            query = query.where(adapters.c.task == task)
        if states:
            query = query.where(adapters.c.state.in_(states))
        async with self._database.read() as connection:
            return [to_adapter(row) for row in (await connection.execute(query)).mappings()]

    async def move_adapter(
        self,
        tenant: str,
        name: str,
        after: AdapterState,
        *,
        allowed: Collection[AdapterState],
        at: datetime,
        reason: str = "",
        gates: Mapping[str, Any] | None = None,
        instead_of: str | None = None,
    ) -> Adapter:
        async with self._database.write() as connection:
            found = await hold_adapter(connection, tenant, name, after, allowed)
            if after == "live":
                await _oust(connection, to_adapter(found[0]), instead_of, at)
            await move_held(connection, found, after, at, reason)
            if after == "tainted":
                mine = and_(adapter_users.c.tenant == tenant, adapter_users.c.name == name)
                await connection.execute(delete(adapter_users).where(mine))
            if gates is not None:
                await connection.execute(_change(tenant, name).values(gates=dict(gates)))
            return to_adapter((await connection.execute(_adapter(tenant, name))).mappings().one())

    async def adapter_moves(self, tenant: str, name: str) -> list[AdapterMove]:
        query = (
            select(adapter_moves)
            .where(adapter_moves.c.tenant == tenant, adapter_moves.c.name == name)
            .order_by(adapter_moves.c.seq)
        )
        async with self._database.read() as connection:
            return [to_move(row) for row in (await connection.execute(query)).mappings()]

    async def adapters_trained_on(self, tenant: str, user_id: str) -> list[Adapter]:
        query = (
            select(adapters)
            .where(adapters.c.tenant == tenant, adapters.c.name.in_(_trained_on(tenant, user_id)))
            .order_by(adapters.c.created_at, adapters.c.name)
        )
        async with self._database.read() as connection:
            return [to_adapter(row) for row in (await connection.execute(query)).mappings()]


async def taint_adapters(connection: AsyncConnection, tenant: str, user_id: str, at: datetime) -> int:
    """In the transaction that erases the user: what was trained on them is to be used no more. How many."""
    await take_turn(connection, f"adapters of {tenant}")
    found = await _hold(
        connection,
        adapters.c.tenant == tenant,
        adapters.c.state != "tainted",
        adapters.c.name.in_(_trained_on(tenant, user_id)),
    )
    await move_held(connection, found, "tainted", at, "a user whose records it was trained on was erased")
    return len(found)


async def hold_adapter(
    connection: AsyncConnection,
    tenant: str,
    name: str,
    after: AdapterState,
    allowed: Collection[AdapterState],
) -> Sequence[RowMapping]:
    """Its row, locked until the end; NotFound, or Conflict where it stands in none of `allowed`."""
    await take_turn(connection, f"adapters of {tenant}")
    found = await _hold(connection, adapters.c.tenant == tenant, adapters.c.name == name)
    if not found:
        raise NotFound(f"there is no adapter {name}")
    if found[0]["state"] not in allowed:
        raise Conflict(f"{name} is {found[0]['state']}, and cannot become {after}")
    return found


async def _hold(connection: AsyncConnection, *where: ColumnElement[bool]) -> Sequence[RowMapping]:
    """The rows, locked: a write that changes nothing, which begins SQLite's transaction too."""
    statement = update(adapters).where(*where).values(state=adapters.c.state).returning(*adapters.c)
    return (await connection.execute(statement)).mappings().all()


async def _oust(
    connection: AsyncConnection, successor: Adapter, instead_of: str | None, at: datetime
) -> None:
    found = await _hold(
        connection,
        adapters.c.tenant == successor.tenant,
        adapters.c.task == successor.task,
        adapters.c.state == "live",
        adapters.c.name != successor.name,
    )
    if instead_of is None:
        await move_held(connection, found, "retired", at, f"{successor.name} took its place")
    elif [row["name"] for row in found] == [instead_of]:
        await move_held(connection, found, "rolled_back", at, f"taken back, {successor.name} is live again")
    else:
        raise Conflict(f"{instead_of} is not live any more")


async def move_held(
    connection: AsyncConnection, held: Sequence[RowMapping], after: AdapterState, at: datetime, reason: str
) -> None:
    """What `hold_adapter` gave, to another state; how it came there is kept."""
    for row in held:
        tenant, name, before = row["tenant"], row["name"], row["state"]
        await connection.execute(_change(tenant, name).values(state=after))
        await connection.execute(
            insert(adapter_moves).values(
                tenant=tenant, name=name, before=before, after=after, at=at, reason=reason
            )
        )


def _change(tenant: str, name: str) -> Update:
    return update(adapters).where(adapters.c.tenant == tenant, adapters.c.name == name)


def _adapter(tenant: str, name: str) -> Select[Any]:
    return select(adapters).where(adapters.c.tenant == tenant, adapters.c.name == name)


def _trained_on(tenant: str, user_id: str) -> Select[Any]:
    return select(adapter_users.c.name).where(
        adapter_users.c.tenant == tenant, adapter_users.c.user_id.in_((user_id, pseudonym(user_id)))
    )

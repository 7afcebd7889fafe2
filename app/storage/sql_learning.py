"""Events in SQL: one order of everything that was said, written with what was said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.models import Interaction, PlaybookEdit
from app.storage import tables
from app.storage.base import Event, EventKind, LearningHead
from app.storage.database import Database, take_turn
from app.storage.database import insert as upsert
from app.storage.rows import (
    edit_row,
    to_advance,
    to_choice,
    to_edit,
    to_feedback,
    to_interaction,
    to_reading,
    to_selection,
    to_statement,
)
from app.storage.tables import advances, epochs, events, interactions, playbook_edits

_RECORDS = {
    "selection": (tables.selections, tables.selections.c.request_id, to_selection),
    "choice": (tables.choices, tables.choices.c.id, to_choice),
    "feedback": (tables.feedback, tables.feedback.c.id, to_feedback),
    "statement": (tables.statements, tables.statements.c.id, to_statement),
    "playbook_edit": (playbook_edits, playbook_edits.c.id, to_edit),
    "undo": (advances, advances.c.token, to_advance),
    "silence": (advances, advances.c.token, to_advance),
}


class SQLLearning:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def learning_head(self, tenant: str) -> LearningHead:
        epoch = select(func.max(epochs.c.epoch)).where(epochs.c.tenant == tenant).scalar_subquery()
        last = select(func.max(events.c.seq)).where(events.c.tenant == tenant).scalar_subquery()
        async with self._database.read() as connection:
            row = (await connection.execute(select(epoch, last))).one()
        return LearningHead(row[0] or 0, row[1] or 0)

    async def events_after(
        self, tenant: str, seq: int, limit: int, user_id: str | None = None
    ) -> list[Event]:
        query = select(events).where(events.c.tenant == tenant, events.c.seq > seq)
        if user_id is not None:
            query = query.where(events.c.user_id == user_id)
        query = query.order_by(events.c.seq).limit(limit)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
            records: dict[tuple[str, str], Any] = {}
            for kind in {row.kind for row in rows}:
                wanted = [row.record_id for row in rows if row.kind == kind]
                records |= await _records(connection, tenant, kind, wanted)
            asked = [record.request_id for record in records.values() if getattr(record, "request_id", None)]
            shown = await _interactions(connection, tenant, asked)
        return [
            Event(
                row.seq, row.tenant, row.user_id, row.kind, row.at, record,
                shown.get(getattr(record, "request_id", None) or ""), to_reading(row.reading),
            )
            for row in rows
            if (record := records.get((row.kind, row.record_id))) is not None
        ]  # fmt: skip

    async def add_playbook_edit(self, edit: PlaybookEdit) -> None:
        async with self._database.write() as connection:
            await connection.execute(insert(playbook_edits), edit_row(edit))
            await add_event(connection, edit.tenant, edit.user_id, "playbook_edit", edit.id, edit.created_at)


async def add_event(
    connection: AsyncConnection, tenant: str, user_id: str, kind: EventKind, record_id: str, at: datetime
) -> None:
    """In the transaction that stores the record. Numbers are given in the order of commits."""
    # Else a transaction with a lower number could commit after a reader has gone past it.
    await take_turn(connection, f"events of {tenant}")
    await connection.execute(
        insert(events).values(tenant=tenant, user_id=user_id, kind=kind, record_id=record_id, at=at)
    )


async def begin_epoch(connection: AsyncConnection, tenant: str) -> None:
    """Void every fold of this tenant."""
    statement = upsert(connection, epochs).values(tenant=tenant, epoch=1)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["tenant"], set_={"epoch": epochs.c.epoch + 1})
    )


async def _records(
    connection: AsyncConnection, tenant: str, kind: str, ids: Sequence[str]
) -> dict[tuple[str, str], Any]:
    table, key, to_noun = _RECORDS[kind]
    query = select(table).where(table.c.tenant == tenant, key.in_(ids))
    return {(kind, row[key]): to_noun(row) for row in (await connection.execute(query)).mappings()}


async def _interactions(
    connection: AsyncConnection, tenant: str, ids: Sequence[str]
) -> dict[str, Interaction]:
    if not ids:
        return {}
    query = select(interactions).where(interactions.c.tenant == tenant, interactions.c.id.in_(ids))
    return {row["id"]: to_interaction(row) for row in (await connection.execute(query)).mappings()}

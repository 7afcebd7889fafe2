"""Interactions, selections, choices and feedback in SQL: what happened, and what people made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Select, and_, insert, null, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict, NotFound
from app.models import Choice, Feedback, Interaction, InteractionKind, Selection
from app.storage import tables
from app.storage.cursors import cut_page, decode_cursor
from app.storage.database import Database
from app.storage.database import insert as upsert
from app.storage.rows import (
    choice_row,
    feedback_row,
    interaction_row,
    selection_row,
    to_choice,
    to_feedback,
    to_interaction,
    to_round,
    to_selection,
)
from app.storage.sql_learning import add_event
from app.storage.tables import choices, interactions, selections

_ADD_INTERACTION = insert(interactions)


class SQLInteractions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_interaction(self, interaction: Interaction) -> None:
        async with self._database.write() as connection:
            await connection.execute(_ADD_INTERACTION, interaction_row(interaction))

    async def get_interaction(self, tenant: str, request_id: str) -> Interaction | None:
        query = select(interactions).where(interactions.c.tenant == tenant, interactions.c.id == request_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return to_interaction(row) if row else None

    async def list_interactions(
        self, tenant: str, user_id: str | None, kind: InteractionKind | None, limit: int, cursor: str | None
    ) -> tuple[list[Interaction], str | None]:
        place = (interactions.c.created_at, interactions.c.id)
        query = select(interactions).where(interactions.c.tenant == tenant)
        if user_id is not None:
            query = query.where(interactions.c.user_id == user_id)
        if kind is not None:
            query = query.where(interactions.c.kind == kind)
        if cursor is not None:
            query = query.where(tuple_(*place) < decode_cursor(cursor))
        query = query.order_by(*(column.desc() for column in place)).limit(limit + 1)
        async with self._database.read() as connection:
            found = [to_interaction(row) for row in (await connection.execute(query)).mappings()]
        return cut_page(found, limit, lambda interaction: (interaction.created_at, interaction.id))

    async def thread(
        self, tenant: str, user_id: str, session_id: str
    ) -> list[tuple[Interaction, Selection | None]]:
        query = (
            rounds()
            .where(
                interactions.c.tenant == tenant,
                interactions.c.user_id == user_id,
                interactions.c.session_id == session_id,
            )
            .order_by(interactions.c.created_at, interactions.c.id)
        )
        async with self._database.read() as connection:
            return [to_round(row) for row in (await connection.execute(query)).mappings()]

    async def add_selection(self, selection: Selection) -> tuple[Selection, bool]:
        async with self._database.write() as connection:
            statement = upsert(connection, selections).on_conflict_do_nothing()
            try:
                added = (await connection.execute(statement, selection_row(selection))).rowcount == 1
            except IntegrityError as error:
                raise NotFound("there is no request with this request_id") from error
            if added:
                await add_event(
                    connection,
                    selection.tenant,
                    selection.user_id,
                    "selection",
                    selection.request_id,
                    selection.created_at,
                )
            query = _selection(selection.tenant, selection.request_id)
            stands = to_selection((await connection.execute(query)).mappings().one())
        if not same_pick(stands, selection):
            raise Conflict("another selection was made for this request")
        return stands, added

    async def set_outcome(
        self, tenant: str, request_id: str, outcome: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        at = (selections.c.tenant == tenant, selections.c.request_id == request_id)
        async with self._database.write() as connection:
            await connection.execute(
                update(selections).where(*at, selections.c.outcome.is_(null())).values(outcome=dict(outcome))
            )
            row = (await connection.execute(_selection(tenant, request_id))).mappings().one_or_none()
        if row is None:
            raise NotFound("there is no selection for this request_id")
        stands: Mapping[str, Any] = row[selections.c.outcome]
        return stands

    async def get_selection(self, tenant: str, request_id: str) -> Selection | None:
        async with self._database.read() as connection:
            row = (await connection.execute(_selection(tenant, request_id))).mappings().one_or_none()
        return to_selection(row) if row else None

    async def add_choice(self, choice: Choice) -> None:
        async with self._database.write() as connection:
            await connection.execute(insert(choices), choice_row(choice))
            await add_event(connection, choice.tenant, choice.user_id, "choice", choice.id, choice.created_at)

    async def list_choices(self, tenant: str, user_id: str) -> list[Choice]:
        query = (
            select(choices)
            .where(choices.c.tenant == tenant, choices.c.user_id == user_id)
            .order_by(choices.c.created_at, choices.c.id)
        )
        async with self._database.read() as connection:
            return [to_choice(row) for row in (await connection.execute(query)).mappings()]

    async def add_feedback(self, feedback: Feedback) -> None:
        async with self._database.write() as connection:
            await connection.execute(insert(tables.feedback), feedback_row(feedback))
            await add_event(
                connection, feedback.tenant, feedback.user_id, "feedback", feedback.id, feedback.created_at
            )

    async def list_feedback(self, tenant: str, user_id: str) -> list[Feedback]:
        query = (
            select(tables.feedback)
            .where(tables.feedback.c.tenant == tenant, tables.feedback.c.user_id == user_id)
            .order_by(tables.feedback.c.created_at, tables.feedback.c.id)
        )
        async with self._database.read() as connection:
            return [to_feedback(row) for row in (await connection.execute(query)).mappings()]


def rounds() -> Select[Any]:
    """Every interaction, each beside its selection or NULLs."""
    return select(interactions, selections).select_from(
        interactions.outerjoin(
            selections,
            and_(
                selections.c.tenant == interactions.c.tenant,
                selections.c.request_id == interactions.c.id,
            ),
        )
    )


def same_pick(one: Selection, other: Selection) -> bool:
    """Whether both say the same, whenever they said it."""
    return replace(one, created_at=other.created_at, outcome=other.outcome) == other


def _selection(tenant: str, request_id: str) -> Select[Any]:
    return select(selections).where(selections.c.tenant == tenant, selections.c.request_id == request_id)

"""Experiments in SQL: who was shown what, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, Update, and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import Conflict, NotFound
from app.models import AdapterState, Experiment, Exposure, Outcome, Verdict
from app.storage.database import Database
from app.storage.rows_training import experiment_row, exposure_row, to_experiment, to_exposure
from app.storage.sql_adapters import hold_adapter, move_held
from app.storage.tables import advances, feedback, interactions, selections
from app.storage.tables_training import experiments, exposures

_PAGE = 200
"""Rows made into outcomes at a time."""


class SQLExperiments:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_experiment(self, experiment: Experiment, load_from: AdapterState | None = None) -> None:
        name, at, reason = experiment.candidate, experiment.started_at, experiment.reason
        async with self._database.write() as connection:
            if load_from is not None:
                held = await hold_adapter(connection, experiment.tenant, name, "loaded", (load_from,))
                await move_held(connection, held, "loaded", at, reason)
            await connection.execute(insert(experiments), experiment_row(experiment))

    async def get_experiment(self, tenant: str, experiment_id: str) -> Experiment | None:
        async with self._database.read() as connection:
            row = (await connection.execute(_experiment(tenant, experiment_id))).mappings().one_or_none()
        return to_experiment(row) if row else None

    async def list_experiments(
        self, tenant: str | None, verdict: Verdict | None = None, limit: int = 100
    ) -> list[Experiment]:
        query = select(experiments).order_by(experiments.c.started_at.desc(), experiments.c.id.desc())
        if tenant is not None:
            query = query.where(experiments.c.tenant == tenant)
        if verdict is not None:
            query = query.where(experiments.c.verdict == verdict)
        async with self._database.read() as connection:
            return [to_experiment(row) for row in (await connection.execute(query.limit(limit))).mappings()]

    async def begin_canary(self, tenant: str, experiment_id: str, at: datetime) -> Experiment:
        since = f"canary since {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        in_shadow = _running(tenant, experiment_id).where(experiments.c.phase == "shadow")
        statement = in_shadow.values(phase="canary", reason=since, canary_since=at)
        stands, begun = await self._change(tenant, experiment_id, statement)
        if not begun:
            raise Conflict(f"experiment {experiment_id} is {stands.verdict}, in its {stands.phase} phase")
        return stands

    async def end_experiment(
        self, tenant: str, experiment_id: str, verdict: Verdict, reason: str, at: datetime
    ) -> tuple[Experiment, bool]:
        statement = _running(tenant, experiment_id).values(verdict=verdict, reason=reason, ended_at=at)
        return await self._change(tenant, experiment_id, statement)

    async def _change(self, tenant: str, experiment_id: str, statement: Update) -> tuple[Experiment, bool]:
        async with self._database.write() as connection:
            changed = (await connection.execute(statement)).rowcount == 1
            row = (await connection.execute(_experiment(tenant, experiment_id))).mappings().one_or_none()
        if row is None:
            raise NotFound(f"there is no experiment {experiment_id}")
        return to_experiment(row), changed

    async def add_exposure(self, exposure: Exposure) -> None:
        asked = select(interactions.c.id).where(
            interactions.c.tenant == exposure.tenant, interactions.c.id == exposure.request_id
        )
        async with self._database.write() as connection:
            # Held until the end: an erasure comes before it or after it.
            held = await connection.execute(asked.with_for_update(read=True, key_share=True))
            if held.first() is not None:
                await connection.execute(insert(exposures), exposure_row(exposure))

    async def outcomes(
        self, tenant: str, experiment_id: str, within: timedelta | None = None
    ) -> list[Outcome]:
        ours = and_(exposures.c.tenant == tenant, exposures.c.experiment_id == experiment_id)
        query = select(exposures).where(ours).order_by(exposures.c.at, exposures.c.request_id)
        found: list[Outcome] = []
        async with self._database.read() as connection:
            said = partial(_said, connection, ours, within)
            picked = await said(selections, selections.c.hypothesis_id, selections.c.created_at)
            settled = await said(advances, advances.c.outcome, advances.c.settled_at)
            rated = await said(feedback, feedback.c.rating, feedback.c.created_at)
            for page in (await connection.execute(query)).mappings().partitions(_PAGE):
                found += [_outcome(to_exposure(row), picked, settled, rated) for row in page]
                await asyncio.sleep(0)  # a long run is tens of thousands: others are to be answered meanwhile
        return found


def _outcome(
    exposure: Exposure, picked: Mapping[str, Any], settled: Mapping[str, Any], rated: Mapping[str, Any]
) -> Outcome:
    request_id = exposure.request_id
    return Outcome(
        exposure=exposure,
        selected=picked.get(request_id) is not None,
        none_fitted=picked.get(request_id, "") is None,
        undone=settled.get(request_id) == "undone",
        rating=rated.get(request_id),
    )


async def _said(
    connection: AsyncConnection,
    ours: ColumnElement[bool],
    within: timedelta | None,
    table: Table,
    value: ColumnElement[Any],
    when: ColumnElement[datetime],
) -> dict[str, Any]:
    """By request id, the latest of what the table holds of it and was said in time."""
    query = (
        select(exposures.c.request_id, exposures.c.at, value, when)
        .join(table, and_(table.c.tenant == exposures.c.tenant, table.c.request_id == exposures.c.request_id))
        .where(ours, when.is_not(None))
        .order_by(when)
    )
    rows = await connection.execute(query)
    return {id_: said for id_, at, said, then in rows if within is None or then <= at + within}


def _running(tenant: str, experiment_id: str) -> Update:
    return update(experiments).where(
        experiments.c.tenant == tenant,
        experiments.c.id == experiment_id,
        experiments.c.verdict == "running",
    )


def _experiment(tenant: str, experiment_id: str) -> Select[Any]:
    return select(experiments).where(experiments.c.tenant == tenant, experiments.c.id == experiment_id)

"""Training runs in SQL: a queue of which one runs at a time, by a lease."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import Conflict, NotFound
from app.models import JobStatus, TrainingJob
from app.storage.cursors import cut_page, decode_cursor
from app.storage.database import Database, take_turn
from app.storage.rows_training import job_row, to_job
from app.storage.tables_training import training_jobs

_AGAIN: frozenset[JobStatus] = frozenset({"lost", "failed", "cancelled"})


class SQLJobs:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_job(self, job: TrainingJob) -> None:
        async with self._database.write() as connection:
            await connection.execute(insert(training_jobs), job_row(job))

    async def get_job(self, tenant: str, job_id: str) -> TrainingJob | None:
        async with self._database.read() as connection:
            row = (await connection.execute(_job(tenant, job_id))).mappings().one_or_none()
        return to_job(row) if row else None

    async def list_jobs(
        self, tenant: str | None, limit: int, cursor: str | None
    ) -> tuple[list[TrainingJob], str | None]:
        place = (training_jobs.c.created_at, training_jobs.c.id)
        query = select(training_jobs)
        if tenant is not None:
            query = query.where(training_jobs.c.tenant == tenant)
        if cursor is not None:
            query = query.where(tuple_(*place) < decode_cursor(cursor))
        query = query.order_by(*(column.desc() for column in place)).limit(limit + 1)
        async with self._database.read() as connection:
            found = [to_job(row) for row in (await connection.execute(query)).mappings()]
        return cut_page(found, limit, lambda job: (job.created_at, job.id))

    async def claim_job(self, owner: str, at: datetime, lease_seconds: float) -> TrainingJob | None:
        async with self._database.write() as connection:
            await take_turn(connection, "training jobs")
            await _bury(connection, at)
            running = select(training_jobs.c.id).where(training_jobs.c.status == "running").limit(1)
            if (await connection.execute(running)).first() is not None:
                return None
            row = (await connection.execute(_oldest_queued())).mappings().one_or_none()
            if row is None:
                return None
            values = {"status": "running", "started_at": at} | _lease(owner, at, lease_seconds)
            return await _change(connection, to_job(row), values)

    async def beat_job(
        self,
        tenant: str,
        job_id: str,
        owner: str,
        at: datetime,
        lease_seconds: float,
        progress: Mapping[str, Any],
    ) -> bool:
        statement = (
            update(training_jobs)
            .where(*_held(tenant, job_id, owner))
            .values(progress=dict(progress), **_lease(owner, at, lease_seconds))
            .returning(training_jobs.c.cancel_asked)
        )
        async with self._database.write() as connection:
            cancel_asked = (await connection.execute(statement)).scalar_one_or_none()
        return cancel_asked is False

    async def end_job(self, job: TrainingJob, owner: str) -> None:
        statement = (
            update(training_jobs)
            .where(*_held(job.tenant, job.id, owner))
            .values(
                status=job.status,
                ended_at=job.ended_at,
                adapter=job.adapter,
                detail=job.detail,
                progress=dict(job.progress),
                lease_owner=None,
            )
        )
        async with self._database.write() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                raise Conflict(f"job {job.id} is no longer held by {owner}")

    async def ask_to_cancel(self, tenant: str, job_id: str, at: datetime) -> TrainingJob:
        async with self._database.write() as connection:
            job = await _hold(connection, tenant, job_id)
            if job.status == "queued":
                return await _change(connection, job, {"status": "cancelled", "ended_at": at})
            if job.status == "running":
                return await _change(connection, job, {"cancel_asked": True})
            raise Conflict(f"job {job_id} has ended: {job.status}")

    async def requeue_job(self, tenant: str, job_id: str) -> TrainingJob:
        async with self._database.write() as connection:
            job = await _hold(connection, tenant, job_id)
            if job.status not in _AGAIN:
                raise Conflict(f"job {job_id} is {job.status}")
            anew = {"started_at": None, "ended_at": None, "detail": "", "cancel_asked": False}
            return await _change(connection, job, {"status": "queued", **anew})


async def _bury(connection: AsyncConnection, at: datetime) -> None:
    """Mark as lost what runs on a lease that is over. Always a write, so that SQLite begins with it."""
    await connection.execute(
        update(training_jobs)
        .where(training_jobs.c.status == "running", training_jobs.c.lease_until <= at)
        .values(status="lost", ended_at=at, lease_owner=None, detail="its worker fell silent")
    )


async def _hold(connection: AsyncConnection, tenant: str, job_id: str) -> TrainingJob:
    """The job, its row locked by a write that changes nothing. Raises NotFound."""
    statement = (
        update(training_jobs)
        .where(training_jobs.c.tenant == tenant, training_jobs.c.id == job_id)
        .values(status=training_jobs.c.status)
        .returning(*training_jobs.c)
    )
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no job {job_id}")
    return to_job(row)


async def _change(connection: AsyncConnection, job: TrainingJob, values: Mapping[str, Any]) -> TrainingJob:
    statement = (
        update(training_jobs)
        .where(training_jobs.c.tenant == job.tenant, training_jobs.c.id == job.id)
        .values(**values)
        .returning(*training_jobs.c)
    )
    return to_job((await connection.execute(statement)).mappings().one())


def _lease(owner: str, at: datetime, seconds: float) -> dict[str, Any]:
    return {"lease_owner": owner, "lease_until": at + timedelta(seconds=seconds)}


def _held(tenant: str, job_id: str, owner: str) -> tuple[ColumnElement[bool], ...]:
    c = training_jobs.c
    return c.tenant == tenant, c.id == job_id, c.status == "running", c.lease_owner == owner


def _oldest_queued() -> Select[Any]:
    c = training_jobs.c
    return (
        select(training_jobs)
        .where(c.status == "queued")
        .order_by(c.created_at, c.tenant, c.id)
        .limit(1)
        .with_for_update()
    )


def _job(tenant: str, job_id: str) -> Select[Any]:
    return select(training_jobs).where(training_jobs.c.tenant == tenant, training_jobs.c.id == job_id)

"""Training jobs as both doors know them: ordered, looked at, followed, cancelled, resumed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from app.errors import Conflict, InvalidInput, NotFound
from app.models import JobStatus, TrainingJob
from app.services.training.endings import one_line
from app.services.training.following import PROGRESS, Tail, told
from app.services.training.orders import Order
from app.services.training.paths import free_directory
from app.services.training.processes import LOG
from app.storage.base import Jobs

ENDED: frozenset[JobStatus] = frozenset({"succeeded", "failed", "cancelled", "lost"})
_MOST_QUEUED = 20
_LONGEST_LINE = 4096


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job, or, as `quiet`, that nothing did."""

    kind: Literal["log", "progress", "end", "quiet"]
    place: str = ""
    """Given back, the events after this one follow."""
    data: Mapping[str, Any] = field(default_factory=dict)
    job: TrainingJob | None = None
    """With `end`: the job as it ended."""


class TrainingJobs:
    """Jobs live under `directory`, each in one of its own; `wake` tells a runner in this process."""

    def __init__(
        self,
        jobs: Jobs,
        directory: Path,
        wake: Callable[[], None],
        poll_seconds: float = 1.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._jobs, self._directory, self._wake = jobs, directory, wake
        self._poll_seconds, self._now = poll_seconds, now

    async def add(self, order: Order) -> TrainingJob:
        """Queue it. InvalidInput where the recipe cannot take it; Conflict with too many in the queue."""
        waiting, _ = await self._jobs.list_jobs(order.tenant, 100, None)
        if sum(job.status == "queued" for job in waiting) >= _MOST_QUEUED:
            raise Conflict(f"{_MOST_QUEUED} jobs wait already; let them run or cancel some")
        if order.output is not None:
            await asyncio.to_thread(free_directory, order.output, "output")
        job_id = uuid.uuid4().hex
        directory = (self._directory / job_id).absolute()
        job = TrainingJob(
            id=job_id,
            tenant=order.tenant,
            task=order.task,
            recipe=order.recipe,
            config=order.config(directory),
            status="queued",
            created_at=self._now(),
            directory=str(directory),
        )
        await self._jobs.add_job(job)
        self._wake()
        return job

    async def get(self, tenant: str, job_id: str) -> TrainingJob:
        """NotFound where this tenant has no such job."""
        job = await self._jobs.get_job(tenant, job_id)
        if job is None:
            raise NotFound(f"There is no job {one_line(job_id)!r}.")
        return job

    async def page(self, tenant: str, limit: int, cursor: str | None) -> tuple[list[TrainingJob], str | None]:
        """Newest first, and the cursor of the next page."""
        return await self._jobs.list_jobs(tenant, limit, cursor)

    async def running(self, tenant: str) -> TrainingJob | None:
        """The newest of this tenant's jobs that runs now."""
        found, _ = await self._jobs.list_jobs(tenant, 100, None)
        return next((job for job in found if job.status == "running"), None)

    async def cancel(self, tenant: str, job_id: str) -> TrainingJob:
        """A queued job ends at once, a running one within seconds. NotFound; Conflict once it ended."""
        return await self._jobs.ask_to_cancel(tenant, job_id, self._now())

    async def resume(self, tenant: str, job_id: str) -> TrainingJob:
        """Queue a lost, failed or cancelled job again; it goes on from its last checkpoint."""
        job = await self._jobs.requeue_job(tenant, job_id)
        self._wake()
        return job

    async def follow(self, tenant: str, job_id: str, after: str = "") -> AsyncIterator[JobEvent]:
        """Log lines and progress as they come, then `end`. `after`: the place of the last event known.

        `quiet` comes whenever nothing new was found. NotFound; InvalidInput for a place not ours.
        """
        job = await self.get(tenant, job_id)
        return self._events(job, *_tails(Path(job.directory), after))

    async def _events(self, job: TrainingJob, log: Tail, figures: Tail) -> AsyncIterator[JobEvent]:
        while True:
            job = await self.get(job.tenant, job.id)
            news = await asyncio.to_thread(_news, log, figures)
            for event in news:
                yield event
            if not news and job.status in ENDED:
                yield JobEvent("end", _place(log.offset, figures.offset), job=job)
                return
            if not news:
                yield JobEvent("quiet")
                await asyncio.sleep(self._poll_seconds)


def _news(log: Tail, figures: Tail) -> list[JobEvent]:
    before = figures.offset
    news = [
        JobEvent("log", _place(line.end, before), {"line": line.text[:_LONGEST_LINE]}) for line in log.read()
    ]
    news.extend(
        JobEvent("progress", _place(log.offset, line.end), figure)
        for line in figures.read()
        if (figure := told(line.text))
    )
    return news


def _tails(directory: Path, after: str) -> tuple[Tail, Tail]:
    offsets = after.split("-") if after else ["0", "0"]
    if len(offsets) != 2 or not all(one.isascii() and one.isdigit() and len(one) < 19 for one in offsets):
        raise InvalidInput("Last-Event-ID is not one of ours")
    return Tail(directory / LOG, int(offsets[0])), Tail(directory / PROGRESS, int(offsets[1]))


def _place(log: int, figures: int) -> str:
    return f"{log}-{figures}"

"""The right to be the one that trains: renewed while it is used, gone when it cannot be."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from app.errors import StorageError
from app.models import TrainingJob
from app.services.training.following import latest
from app.storage.base import Jobs

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Terms:
    """How a runner holds a job."""

    owner: str
    lease_seconds: float = 30.0
    beat_seconds: float = 2.0
    """The lease is renewed, and a wish to cancel heard, this often."""
    grace_seconds: float = 8.0
    """From SIGTERM to SIGKILL."""


class LeaseOver(Exception):
    """Whoever works under a lease is to stop: it was cancelled, or somebody else may run by now."""


class Lease:
    """Beats in the background from enter to exit; carries the job's progress to the database."""

    def __init__(self, jobs: Jobs, job: TrainingJob, terms: Terms, now: Callable[[], datetime]) -> None:
        self._jobs, self._job, self._terms, self._now = jobs, job, terms, now
        self._over = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._beat_until_over())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def held_during(self, work: Awaitable[T]) -> T:
        """The result of `work`; LeaseOver, and `work` cancelled, where the lease ends before it does."""
        task, over = asyncio.ensure_future(work), asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise LeaseOver
        finally:
            for one in (task, over):
                one.cancel()
            await asyncio.gather(task, over, return_exceptions=True)

    async def _beat_until_over(self) -> None:
        try:
            await self._beat_until_refused()
        finally:
            self._over.set()

    async def _beat_until_refused(self) -> None:
        held_until = time.monotonic() + self._terms.lease_seconds
        while True:
            await asyncio.sleep(self._terms.beat_seconds)
            asked = time.monotonic()
            try:
                held = await self._beat()
            except StorageError as error:
                log.warning("job %s: its lease was not renewed: %s", self._job.id, error.detail)
                held = time.monotonic() + self._terms.beat_seconds < held_until
            else:
                held_until = asked + self._terms.lease_seconds
            if not held:
                return

    async def _beat(self) -> bool:
        progress = await asyncio.to_thread(latest, Path(self._job.directory))
        job, terms = self._job, self._terms
        return await self._jobs.beat_job(
            job.tenant, job.id, terms.owner, self._now(), terms.lease_seconds, progress
        )

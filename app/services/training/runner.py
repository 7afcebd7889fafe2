"""Runs training jobs, one at a time over all runners of a database, each in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.errors import ConfigError, Conflict, ServiceError
from app.models import TrainingJob
from app.services.training.endings import Ending, HandedOver, failure, one_line
from app.services.training.following import latest, result
from app.services.training.lease import Lease, LeaseOver, Terms
from app.services.training.lineage import note_lineage
from app.services.training.processes import LOG, MARK, start, stop, stop_orphan
from app.storage.base import Jobs

log = logging.getLogger(__name__)

Render = Callable[[TrainingJob, Mapping[str, Any], Path], Path]
"""Writes the job's script, and its configuration beside it, into a directory; the script's path."""
Finish = Callable[[TrainingJob, Path], Awaitable[HandedOver]]
"""What to do with a trained adapter or model."""

_STOP_SECONDS = 1.0
"""For what is not training; a job under way is put back into the queue after it."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """What runs the scripts."""

    python: Path
    """TRAINING_PYTHON."""
    environment: Mapping[str, str]
    """All that a script is told of this process's environment; no secrets."""

    def command(self, script: Path) -> list[str]:
        """ConfigError where the interpreter is not there."""
        if not os.access(self.python, os.X_OK):
            raise ConfigError(
                f"TRAINING_PYTHON={str(self.python)!r} is not there; scripts/setup_train.sh sets it up"
            )
        return [str(self.python.absolute()), str(script)]


def new_owner() -> str:
    """A name for a runner that no other has."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


class JobRunner:
    """`render` and `finish` are what the wiring chose; `now` is the clock of leases and records."""

    def __init__(
        self,
        jobs: Jobs,
        directory: Path,
        interpreter: Interpreter,
        render: Render,
        finish: Finish,
        terms: Terms | None = None,
        poll_seconds: float = 5.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._jobs, self._directory, self._interpreter = jobs, directory, interpreter
        self._render, self._finish, self._now = render, finish, now
        self._terms = terms or Terms(new_owner())
        self._poll_seconds = poll_seconds
        self._woken = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """There is a new job: look now."""
        self._woken.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Jobs are run until exit; one that runs then is stopped and put back into the queue."""
        self._stopping = False
        task = asyncio.create_task(self.run_forever(), name="training-jobs")
        try:
            yield
        finally:
            # Between two jobs it ends by itself, and no statement of its is cut off half-way.
            self._stopping = True
            self.wake()
            await asyncio.wait([task], timeout=_STOP_SECONDS)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def run_forever(self) -> None:
        """Job after job; a database that does not answer is asked again."""
        while not self._stopping:
            self._woken.clear()
            try:
                job = await self.run_next()
            except ServiceError as error:
                log.warning("training jobs: %s", error.detail)
                job = None
            except Exception:
                log.exception("a training job failed in a way that was not foreseen; its lease runs out")
                job = None
            if job is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_seconds):
                        await self._woken.wait()

    async def run_next(self) -> TrainingJob | None:
        """Run the oldest queued job to its end; None where there is none, or another runner is at work."""
        terms = self._terms
        job = await self._jobs.claim_job(terms.owner, self._now(), terms.lease_seconds)
        if job is None:
            return None
        log.info("training job %s begins", job.id)
        async with Lease(self._jobs, job, terms, self._now) as lease:
            try:
                ending = await self._work(job, lease)
            except asyncio.CancelledError:
                await self._put_back(job)
                raise
            return await self._keep(job, ending)

    async def _put_back(self, job: TrainingJob) -> None:
        """The service stops: whoever runs jobs next goes on from the last checkpoint."""
        ended = await self._keep(job, await self._why_over(job, "the service stopped; resume the job"))
        if ended.status == "lost":
            await self._jobs.requeue_job(job.tenant, job.id)

    async def _work(self, job: TrainingJob, lease: Lease) -> Ending:
        try:
            await asyncio.to_thread(self._stop_orphans)
            trained = await self._train(job, lease)
            if not isinstance(trained, Path):
                return trained
            return await self._hand_over(job, trained, lease)
        except LeaseOver:
            return await self._why_over(job, "the database did not answer for too long; resume the job")
        except (ServiceError, OSError) as error:
            return Ending("failed", one_line(error))

    async def _why_over(self, job: TrainingJob, otherwise: str) -> Ending:
        stands = await self._jobs.get_job(job.tenant, job.id)
        if stands is not None and stands.cancel_asked:
            return Ending("cancelled", "cancelled; it can be resumed")
        return Ending("lost", otherwise)

    async def _train(self, job: TrainingJob, lease: Lease) -> Path | Ending:
        """What was trained; done already where a runner died between the process's end and the job's."""
        directory = Path(job.directory)
        if (done := await asyncio.to_thread(result, directory)) is None:
            script = await asyncio.to_thread(self._prepare, job, directory)
            command = self._interpreter.command(script)
            process = await start(command, directory, self._interpreter.environment)
            try:
                await lease.held_during(process.wait())
            finally:
                status = await asyncio.shield(stop(process, directory, self._terms.grace_seconds))
            done = await asyncio.to_thread(result, directory)
            if status != 0 or done is None:
                return Ending("failed", await asyncio.to_thread(failure, status, directory))
        if not _is_inside(done, job.config["output"]):
            return Ending("failed", "it says it wrote elsewhere than it was told to")
        return done

    def _prepare(self, job: TrainingJob, directory: Path) -> Path:
        """The script in the job's directory; it goes on from its last checkpoint where it has run before."""
        directory.mkdir(parents=True, exist_ok=True)
        resume = (directory / LOG).exists()
        if not resume:
            note_lineage(Path(job.config["dataset"]), directory)
        return self._render(job, {**job.config, "job_dir": str(directory), "resume": resume}, directory)

    async def _hand_over(self, job: TrainingJob, trained: Path, lease: Lease) -> Ending:
        try:
            handed = await lease.held_during(self._finish(job, trained))
            return Ending("succeeded", one_line(handed.detail), handed.adapter)
        except (ServiceError, OSError) as error:
            return Ending("succeeded", one_line(f"trained, but not registered: {error}"))

    async def _keep(self, job: TrainingJob, ending: Ending) -> TrainingJob:
        """Write the ending down, unless the lease was lost: then the job is somebody else's."""
        progress = await asyncio.to_thread(latest, Path(job.directory))
        ended = replace(
            job,
            status=ending.status,
            detail=ending.detail,
            adapter=ending.adapter,
            progress=progress,
            ended_at=self._now(),
        )
        try:
            await self._jobs.end_job(ended, self._terms.owner)
        except Conflict:
            log.warning("training job %s: the lease was lost", job.id)
        log.info("training job %s: %s %s", job.id, ending.status, ending.detail)
        return await self._jobs.get_job(job.tenant, job.id) or ended

    def _stop_orphans(self) -> None:
        """Whoever holds the lease is the only one to train: what dead runners left is ended first."""
        for mark in sorted(self._directory.glob(f"*/{MARK}")):
            if stop_orphan(mark.parent, self._terms.grace_seconds):
                log.warning("training job %s: the process of a dead runner was ended", mark.parent.name)


def _is_inside(path: Path, directory: str) -> bool:
    return path.absolute().is_relative_to(Path(directory).absolute())

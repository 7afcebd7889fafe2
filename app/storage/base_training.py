"""Seam 2, the training loop: adapters, experiments and jobs. Read it by way of app.storage.base."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from app.models import (
    Adapter,
    AdapterMove,
    AdapterState,
    Experiment,
    Exposure,
    Outcome,
    TrainingJob,
    Verdict,
)


class Adapters(Protocol):
    """The adapters of every tenant, the state of each, and how it came there."""

    async def add_adapter(self, adapter: Adapter, users: Sequence[str] = ()) -> Adapter:
        """Register it with the users whose records it was trained on (ids as the training files write them).

        The row that stands: the same name with the same digest again changes nothing but that its users are
        added. Conflict where the name stands for another digest or another tenant has it.
        """
        ...

    async def get_adapter(self, tenant: str | None, name: str) -> Adapter | None:
        """Of any tenant where None: names are everyone's."""
        ...

    async def list_adapters(
        self, tenant: str | None, task: str | None = None, states: Collection[AdapterState] = ()
    ) -> list[Adapter]:
        """Oldest first; of every tenant where None, in any state where none is named."""
        ...

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
        """To another state, all or nothing; NotFound, or Conflict where it stands in none of `allowed`.

        What goes live retires what was live for that tenant and task, in the same transaction; with
        `instead_of` that is rolled back, and it is a Conflict where another than this one is live. Of what is
        tainted nobody needs to know any more whom it was trained on.
        """
        ...

    async def adapter_moves(self, tenant: str, name: str) -> list[AdapterMove]:
        """Oldest first."""
        ...

    async def adapters_trained_on(self, tenant: str, user_id: str) -> list[Adapter]:
        """Those whose training read a record of this user, oldest first."""
        ...


class Experiments(Protocol):
    async def add_experiment(self, experiment: Experiment, load_from: AdapterState | None = None) -> None:
        """Conflict where one is running for that tenant and task.

        `load_from`: its candidate goes from this state to loaded in the same transaction, for the reason of
        the experiment; NotFound, or Conflict where it stands in another.
        """
        ...

    async def get_experiment(self, tenant: str, experiment_id: str) -> Experiment | None: ...

    async def list_experiments(
        self, tenant: str | None, verdict: Verdict | None = None, limit: int = 100
    ) -> list[Experiment]:
        """Newest first; of every tenant where None."""
        ...

    async def begin_canary(self, tenant: str, experiment_id: str, at: datetime) -> Experiment:
        """From shadow to canary; Conflict where it does not run or is not in the shadow phase."""
        ...

    async def end_experiment(
        self, tenant: str, experiment_id: str, verdict: Verdict, reason: str, at: datetime
    ) -> tuple[Experiment, bool]:
        """The row that stands, and whether this call ended it: the first verdict stands. NotFound."""
        ...

    async def add_exposure(self, exposure: Exposure) -> None:
        """Once for a request, else Conflict; nothing for a request that is no more: its user was erased."""
        ...

    async def outcomes(
        self, tenant: str, experiment_id: str, within: timedelta | None = None
    ) -> list[Outcome]:
        """Exposures in order of time, joined to selection, undo and latest feedback by request id.

        `within`: what was said later after its exposure than this is left out.
        """
        ...


class Jobs(Protocol):
    """Training runs. One runs at a time, by a lease that its runner must renew."""

    async def add_job(self, job: TrainingJob) -> None: ...

    async def get_job(self, tenant: str, job_id: str) -> TrainingJob | None: ...

    async def list_jobs(
        self, tenant: str | None, limit: int, cursor: str | None
    ) -> tuple[list[TrainingJob], str | None]:
        """Newest first; of every tenant where None."""
        ...

    async def claim_job(self, owner: str, at: datetime, lease_seconds: float) -> TrainingJob | None:
        """The oldest queued job, now running and leased to `owner`.

        None where there is none, or another job's lease still holds. A running job whose lease is over is
        marked lost first: whoever held it is gone.
        """
        ...

    async def beat_job(
        self,
        tenant: str,
        job_id: str,
        owner: str,
        at: datetime,
        lease_seconds: float,
        progress: Mapping[str, Any],
    ) -> bool:
        """Renew the lease and keep the progress; False where `owner` no longer holds it, or is to stop."""
        ...

    async def end_job(self, job: TrainingJob, owner: str) -> None:
        """Keep status, ended_at, adapter, detail and progress; Conflict where the lease was lost."""
        ...

    async def ask_to_cancel(self, tenant: str, job_id: str, at: datetime) -> TrainingJob:
        """A queued job ends at once, a running one at its next beat. NotFound; Conflict once ended."""
        ...

    async def requeue_job(self, tenant: str, job_id: str) -> TrainingJob:
        """A lost, failed or cancelled job runs again, from its last checkpoint. NotFound, Conflict."""
        ...

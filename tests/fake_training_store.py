"""The training half of the fake store: adapters, experiments and jobs in dicts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson

from app.errors import Conflict, InvalidInput, NotFound
from app.models import (
    Adapter,
    AdapterMove,
    AdapterState,
    Advance,
    Experiment,
    Exposure,
    Feedback,
    Interaction,
    Outcome,
    Selection,
    TrainingJob,
    Verdict,
)
from app.storage.cursors import cut_page, decode_cursor
from app.text import pseudonym

Key = tuple[str, str]
N = TypeVar("N")


class MemoryTraining:
    """The Protocols Adapters, Experiments and Jobs; what users said is the other half's."""

    _selections: dict[Key, Selection]
    _advances: dict[Key, Advance]
    _feedback: dict[Key, Feedback]
    _interactions: dict[Key, Interaction]

    def __init__(self) -> None:
        self._adapters: dict[str, Adapter] = {}
        self._moves: list[tuple[str, AdapterMove]] = []
        self._adapter_users: set[tuple[str, str, str]] = set()
        self._experiments: dict[Key, Experiment] = {}
        self._exposures: dict[tuple[str, str, str], Exposure] = {}
        self._jobs: dict[Key, TrainingJob] = {}
        self._leases: dict[Key, tuple[str, datetime]] = {}

    def _check(self) -> None:
        raise NotImplementedError

    async def add_adapter(self, adapter: Adapter, users: Sequence[str] = ()) -> Adapter:
        self._check()
        known = self._adapters.get(adapter.name)
        if known and (known.tenant, known.digest) != (adapter.tenant, adapter.digest):
            raise Conflict
        if known is None and adapter.state == "live" and self._live(adapter):
            raise Conflict
        stands = self._adapters.setdefault(adapter.name, as_stored(adapter))
        self._adapter_users |= {(adapter.tenant, adapter.name, user) for user in users}
        return stands

    def _live(self, like: Adapter) -> list[Adapter]:
        place = (like.tenant, like.task, "live")
        found = [one for one in self._adapters.values() if (one.tenant, one.task, one.state) == place]
        return [one for one in found if one.name != like.name]

    async def get_adapter(self, tenant: str | None, name: str) -> Adapter | None:
        self._check()
        found = self._adapters.get(name)
        return found if found and tenant in (None, found.tenant) else None

    async def list_adapters(
        self, tenant: str | None, task: str | None = None, states: Collection[AdapterState] = ()
    ) -> list[Adapter]:
        self._check()
        found = [
            one
            for one in self._adapters.values()
            if tenant in (None, one.tenant)
            and task in (None, one.task)
            and (not states or one.state in states)
        ]
        return sorted(found, key=lambda one: (one.created_at, one.name))

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
        found = await self.get_adapter(tenant, name)
        if found is None:
            raise NotFound
        if found.state not in allowed:
            raise Conflict
        if after == "live":
            self._oust(found, instead_of, at)
        self._move(found, after, at, reason)
        if after == "tainted":
            self._adapter_users = {row for row in self._adapter_users if row[:2] != (tenant, name)}
        if gates is not None:
            self._adapters[name] = as_stored(replace(self._adapters[name], gates=gates))
        return self._adapters[name]

    def _oust(self, successor: Adapter, instead_of: str | None, at: datetime) -> None:
        live = self._live(successor)
        if instead_of is not None and [one.name for one in live] != [instead_of]:
            raise Conflict
        for other in live:
            if instead_of is None:
                self._move(other, "retired", at, f"{successor.name} took its place")
            else:
                self._move(other, "rolled_back", at, f"taken back, {successor.name} is live again")

    def _move(self, adapter: Adapter, after: AdapterState, at: datetime, reason: str) -> None:
        self._adapters[adapter.name] = replace(adapter, state=after)
        move = as_stored(AdapterMove(adapter.name, adapter.state, after, at, reason))
        self._moves.append((adapter.tenant, move))

    async def adapter_moves(self, tenant: str, name: str) -> list[AdapterMove]:
        self._check()
        return [move for owner, move in self._moves if (owner, move.name) == (tenant, name)]

    async def adapters_trained_on(self, tenant: str, user_id: str) -> list[Adapter]:
        self._check()
        names = {name for _, name, _ in self._trained_on(tenant, user_id)}
        return [one for one in await self.list_adapters(tenant) if one.name in names]

    def _trained_on(self, tenant: str, user_id: str) -> list[tuple[str, str, str]]:
        ids = (user_id, pseudonym(user_id))
        return sorted(row for row in self._adapter_users if row[0] == tenant and row[2] in ids)

    def _rows_about(self, tenant: str, user_id: str) -> dict[str, list[dict[str, Any]]]:
        shown = [
            row
            for _, row in sorted(self._exposures.items())
            if (row.tenant, row.user_id) == (tenant, user_id)
        ]
        return {
            "exposures": [{field.name: getattr(row, field.name) for field in fields(row)} for row in shown],
            "adapter_users": [
                dict(zip(("tenant", "name", "user_id"), row, strict=True))
                for row in self._trained_on(tenant, user_id)
            ],
        }

    async def _erase_training(self, tenant: str, user_id: str) -> int:
        doomed = [one for one in await self.adapters_trained_on(tenant, user_id) if one.state != "tainted"]
        for adapter in doomed:
            reason = "a user whose records it was trained on was erased"
            self._move(adapter, "tainted", datetime.now(UTC), reason)
        self._adapter_users -= set(self._trained_on(tenant, user_id))
        self._exposures = {
            key: row for key, row in self._exposures.items() if (row.tenant, row.user_id) != (tenant, user_id)
        }
        return len(doomed)

    async def add_experiment(self, experiment: Experiment, load_from: AdapterState | None = None) -> None:
        self._check()
        place = (experiment.tenant, experiment.task, "running")
        held = {(one.tenant, one.task, one.verdict) for one in self._experiments.values()}
        key = (experiment.tenant, experiment.id)
        if key in self._experiments or (experiment.verdict == "running" and place in held):
            raise Conflict
        if load_from is not None:
            await self.move_adapter(
                experiment.tenant,
                experiment.candidate,
                "loaded",
                allowed=(load_from,),
                at=experiment.started_at,
                reason=experiment.reason,
            )
        self._experiments[key] = as_stored(experiment)

    async def get_experiment(self, tenant: str, experiment_id: str) -> Experiment | None:
        self._check()
        return self._experiments.get((tenant, experiment_id))

    async def list_experiments(
        self, tenant: str | None, verdict: Verdict | None = None, limit: int = 100
    ) -> list[Experiment]:
        self._check()
        found = [
            one
            for one in self._experiments.values()
            if tenant in (None, one.tenant) and verdict in (None, one.verdict)
        ]
        return sorted(found, key=lambda one: (one.started_at, one.id), reverse=True)[:limit]

    async def begin_canary(self, tenant: str, experiment_id: str, at: datetime) -> Experiment:
        found = await self._experiment(tenant, experiment_id)
        if (found.verdict, found.phase) != ("running", "shadow"):
            raise Conflict
        since = f"canary since {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        begun = as_stored(replace(found, phase="canary", reason=since, canary_since=at))
        self._experiments[tenant, experiment_id] = begun
        return self._experiments[tenant, experiment_id]

    async def end_experiment(
        self, tenant: str, experiment_id: str, verdict: Verdict, reason: str, at: datetime
    ) -> tuple[Experiment, bool]:
        found = await self._experiment(tenant, experiment_id)
        if found.verdict != "running":
            return found, False
        ended = as_stored(replace(found, verdict=verdict, reason=reason, ended_at=at))
        self._experiments[tenant, experiment_id] = ended
        return ended, True

    async def _experiment(self, tenant: str, experiment_id: str) -> Experiment:
        found = await self.get_experiment(tenant, experiment_id)
        if found is None:
            raise NotFound
        return found

    async def add_exposure(self, exposure: Exposure) -> None:
        self._check()
        if (exposure.tenant, exposure.request_id) not in self._interactions:
            return
        key = (exposure.tenant, exposure.experiment_id, exposure.request_id)
        if key in self._exposures:
            raise Conflict
        self._exposures[key] = as_stored(exposure)

    async def outcomes(
        self, tenant: str, experiment_id: str, within: timedelta | None = None
    ) -> list[Outcome]:
        self._check()
        ours = [row for key, row in self._exposures.items() if key[:2] == (tenant, experiment_id)]
        return [self._outcome(row, within) for row in sorted(ours, key=lambda row: (row.at, row.request_id))]

    def _outcome(self, exposure: Exposure, within: timedelta | None) -> Outcome:
        about = (exposure.tenant, exposure.request_id)
        until = datetime.max.replace(tzinfo=UTC) if within is None else exposure.at + within
        picked = self._selections.get(about)
        if picked is not None and picked.created_at > until:
            picked = None
        said = [one for one in self._feedback.values() if (one.tenant, one.request_id) == about]
        rated = [one for one in said if one.created_at <= until]
        latest = max(rated, key=lambda one: one.created_at, default=None)
        return Outcome(
            exposure=exposure,
            selected=picked is not None and picked.hypothesis_id is not None,
            none_fitted=picked is not None and picked.hypothesis_id is None,
            undone=any(
                (one.tenant, one.request_id, one.outcome) == (*about, "undone")
                and one.settled_at is not None
                and one.settled_at <= until
                for one in self._advances.values()
            ),
            rating=latest.rating if latest else None,
        )

    async def add_job(self, job: TrainingJob) -> None:
        self._check()
        if (job.tenant, job.id) in self._jobs:
            raise Conflict
        self._jobs[job.tenant, job.id] = as_stored(job)

    async def get_job(self, tenant: str, job_id: str) -> TrainingJob | None:
        self._check()
        return self._jobs.get((tenant, job_id))

    async def list_jobs(
        self, tenant: str | None, limit: int, cursor: str | None
    ) -> tuple[list[TrainingJob], str | None]:
        self._check()
        before = decode_cursor(cursor) if cursor is not None else None
        found = [one for one in self._jobs.values() if tenant in (None, one.tenant)]
        found.sort(key=lambda one: (one.created_at, one.id), reverse=True)
        rest = [one for one in found if before is None or (one.created_at, one.id) < before]
        return cut_page(rest, limit, lambda one: (one.created_at, one.id))

    async def claim_job(self, owner: str, at: datetime, lease_seconds: float) -> TrainingJob | None:
        self._check()
        for key, (_, until) in list(self._leases.items()):
            if until > at:
                return None
            del self._leases[key]
            lost = replace(self._jobs[key], status="lost", ended_at=at, detail="its worker fell silent")
            self._jobs[key] = lost
        queued = [one for one in self._jobs.values() if one.status == "queued"]
        oldest = min(queued, key=lambda one: (one.created_at, one.tenant, one.id), default=None)
        if oldest is None:
            return None
        key = (oldest.tenant, oldest.id)
        self._leases[key] = (owner, at + timedelta(seconds=lease_seconds))
        self._jobs[key] = replace(oldest, status="running", started_at=at)
        return self._jobs[key]

    async def beat_job(
        self,
        tenant: str,
        job_id: str,
        owner: str,
        at: datetime,
        lease_seconds: float,
        progress: Mapping[str, Any],
    ) -> bool:
        self._check()
        key = (tenant, job_id)
        if self._leases.get(key, ("", at))[0] != owner:
            return False
        self._leases[key] = (owner, at + timedelta(seconds=lease_seconds))
        self._jobs[key] = as_stored(replace(self._jobs[key], progress=progress))
        return not self._jobs[key].cancel_asked

    async def end_job(self, job: TrainingJob, owner: str) -> None:
        self._check()
        key = (job.tenant, job.id)
        if self._leases.get(key, ("", None))[0] != owner:
            raise Conflict
        del self._leases[key]
        kept = {name: getattr(job, name) for name in ("status", "ended_at", "adapter", "detail", "progress")}
        self._jobs[key] = as_stored(replace(self._jobs[key], **kept))

    async def ask_to_cancel(self, tenant: str, job_id: str, at: datetime) -> TrainingJob:
        found = await self._job(tenant, job_id)
        if found.status not in ("queued", "running"):
            raise Conflict
        queued = found.status == "queued"
        changed = (
            replace(found, status="cancelled", ended_at=at) if queued else replace(found, cancel_asked=True)
        )
        self._jobs[tenant, job_id] = changed
        return changed

    async def requeue_job(self, tenant: str, job_id: str) -> TrainingJob:
        found = await self._job(tenant, job_id)
        if found.status not in ("lost", "failed", "cancelled"):
            raise Conflict
        anew = replace(found, status="queued", started_at=None, ended_at=None, detail="", cancel_asked=False)
        self._jobs[tenant, job_id] = anew
        return anew

    async def _job(self, tenant: str, job_id: str) -> TrainingJob:
        found = await self.get_job(tenant, job_id)
        if found is None:
            raise NotFound
        return found


def as_stored(noun: N) -> N:
    """A copy as a database gives it back: JSON made anew, times in UTC; InvalidInput where none can be."""
    changes: dict[str, Any] = {}
    for name in (field.name for field in fields(noun)):  # type: ignore[arg-type]
        value = getattr(noun, name)
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise InvalidInput(f"{value} has no time zone")
            changes[name] = value.astimezone(UTC)
        elif isinstance(value, Mapping):
            changes[name] = as_json(dict(value))
        else:
            as_json(value)
    return replace(noun, **changes)  # type: ignore[type-var]


def as_json(value: Any) -> Any:
    try:
        return orjson.loads(orjson.dumps(value))
    except orjson.JSONEncodeError as error:
        raise InvalidInput(str(error)) from error

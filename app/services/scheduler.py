"""When to train: enough was labelled since the last time, or its hour has come; one run at a time."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Protocol

from apscheduler.triggers.cron import CronTrigger

from app.errors import ConfigError, InvalidInput, StorageError
from app.models import TrainingJob
from app.storage.base import EventKind, Jobs, Learning, Users

log = logging.getLogger(__name__)

LABELS: Mapping[str, frozenset[EventKind]] = {"hypotheses": frozenset({"selection", "undo"})}
"""By task, what counts as a labelled record."""
_PAGE = 500
_REFUSED = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Rules:
    """When a training run is wanted; all times are UTC."""

    new_records: int
    """Train once so many were labelled since the last run; 0: never for that."""
    cron: CronTrigger | None
    """Train at these times, if anything was labelled since the last run."""
    cooldown: timedelta
    """At least so long from the start of one run to that of the next."""
    quiet: tuple[time, time] | None
    """From, to: nothing is begun in between; may pass midnight."""


@dataclass(frozen=True, slots=True)
class State:
    """What there is to know of one (tenant, task)."""

    labelled: int
    """Since `last_run`."""
    last_run: datetime | None
    """When the last job was queued."""
    watched_since: datetime
    """The cron times before it are nobody's business."""
    busy: bool
    """A job waits or runs, whosever it is."""


class Store(Jobs, Learning, Users, Protocol):
    """What the scheduler reads."""


def due(now: datetime, state: State, rules: Rules) -> str | None:
    """Why a run is to begin now; None where it is not. Pure."""
    if state.busy or state.labelled == 0 or _is_quiet(now, rules.quiet):
        return None
    if state.last_run is not None and now - state.last_run < rules.cooldown:
        return None
    if 0 < rules.new_records <= state.labelled:
        return f"{state.labelled} new labelled records"
    since = max(state.watched_since, state.last_run or state.watched_since)
    if rules.cron is not None and (hour := _next(rules.cron, since)) is not None and hour <= now:
        return f"its hour, {hour:%Y-%m-%d %H:%M} UTC, has come"
    return None


def parse_rules(new_records: int, cron: str, cooldown_hours: float, quiet_hours: str) -> Rules:
    """From settings. `cron`: five fields, UTC; `quiet_hours`: HH:MM-HH:MM. Raises ConfigError."""
    try:
        trigger = CronTrigger.from_crontab(cron, timezone=UTC) if cron else None
    except ValueError as error:
        raise ConfigError(f"TRAIN_CRON={cron!r}: {error}; write it as '0 3 * * *'") from None
    try:
        first, last = quiet_hours.split("-") if quiet_hours else ("", "")
        quiet = (time.fromisoformat(first), time.fromisoformat(last)) if quiet_hours else None
    except ValueError:
        raise ConfigError(f"TRAIN_QUIET_HOURS={quiet_hours!r}: write it as 08:00-18:00") from None
    return Rules(new_records, trigger, timedelta(hours=cooldown_hours), quiet)


class Scheduler:
    """Looks at every (tenant, task) when ticked; `order` queues a job."""

    def __init__(
        self,
        store: Store,
        rules: Rules,
        order: Callable[[str, str], Awaitable[TrainingJob]],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store, self._rules, self._order, self._now = store, rules, order, now
        self._watched_since = now()
        self._refused: dict[tuple[str, str], datetime] = {}
        self._counts = {task: _LabelCount(store, kinds) for task, kinds in LABELS.items()}

    async def tick(self) -> TrainingJob | None:
        """Queue the first run that is due, and say so; None where none is. Raises StorageError."""
        for tenant in sorted({tenant for tenant, _ in await self._store.list_users(None)}):
            for task in LABELS:
                if self._rests(tenant, task):
                    continue
                if reason := due(self._now(), await self._state(tenant, task), self._rules):
                    return await self._begin(tenant, task, reason)
        return None

    def _rests(self, tenant: str, task: str) -> bool:
        """What could not be ordered is not tried again with every tick."""
        refused = self._refused.get((tenant, task))
        return refused is not None and self._now() - refused < max(self._rules.cooldown, _REFUSED)

    async def _begin(self, tenant: str, task: str, reason: str) -> TrainingJob | None:
        try:
            job = await self._order(tenant, task)
        except InvalidInput as error:
            log.warning("%s of %s is not trained although %s: %s", task, tenant, reason, error.detail)
            self._refused[tenant, task] = self._now()
            return None
        except StorageError:
            raise
        except Exception:
            log.exception("%s of %s is not trained although %s", task, tenant, reason)
            self._refused[tenant, task] = self._now()
            return None
        log.info("training %s of %s as job %s: %s", task, tenant, job.id, reason)
        return job

    async def _state(self, tenant: str, task: str) -> State:
        recent, _ = await self._store.list_jobs(None, 100, None)
        mine, _ = await self._store.list_jobs(tenant, 100, None)
        last = max((job.created_at for job in mine if job.task == task), default=None)
        return State(
            labelled=await self._counts[task].since(tenant, last),
            last_run=last,
            watched_since=self._watched_since,
            busy=any(job.status in ("queued", "running") for job in recent),
        )


class _LabelCount:
    """Counts labels without reading an event twice."""

    def __init__(self, learning: Learning, kinds: frozenset[EventKind]) -> None:
        self._learning, self._kinds = learning, kinds
        self._read: dict[str, tuple[int, int, list[datetime]]] = {}

    async def since(self, tenant: str, moment: datetime | None) -> int:
        """How many labels of a tenant are younger than `moment`; all where None."""
        head = await self._learning.learning_head(tenant)
        epoch, seq, times = self._read.get(tenant, (head.epoch, 0, []))
        if epoch != head.epoch:
            seq, times = 0, []
        while page := await self._learning.events_after(tenant, seq, _PAGE):
            seq = page[-1].seq
            times += [event.at for event in page if event.kind in self._kinds]
        kept = [at for at in times if moment is None or at > moment]
        self._read[tenant] = (head.epoch, seq, kept)
        return len(kept)


def _is_quiet(now: datetime, quiet: tuple[time, time] | None) -> bool:
    if quiet is None:
        return False
    first, last = quiet
    clock = now.astimezone(UTC).time()
    return first <= clock < last if first <= last else clock >= first or clock < last


def _next(cron: CronTrigger, after: datetime) -> datetime | None:
    """The first of its times later than `after`."""
    found: datetime | None = cron.get_next_fire_time(None, after + timedelta(microseconds=1))
    return found

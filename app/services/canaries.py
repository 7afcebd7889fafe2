"""The conductor of running experiments: on to the users, live, or back.

An adapter's state leads and its experiment's verdict follows: each move is a compare-and-set, so that of
several processes one makes it, and whoever is killed between the two leaves what the next look mends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from app.errors import Conflict, NotFound, ServiceError, StorageError
from app.models import Adapter, AdapterState, Experiment, Outcome, Verdict
from app.services import experiments, shadowing
from app.services.experiments import Reading, Rules
from app.services.shadowing import Shadow, ShadowRules
from app.storage.base import Adapters, Experiments

log = logging.getLogger(__name__)

_AT_ONCE = 1000
"""Experiments looked at in one tick; one runs for each tenant and task."""
_LIVE: frozenset[AdapterState] = frozenset({"live"})
_ON_TRIAL: frozenset[AdapterState] = frozenset({"loaded", "canary"})
_FOLLOWS: dict[AdapterState, Verdict] = {"live": "promoted", "rolled_back": "rolled_back"}
"""What an experiment ends as when its candidate stands in a state that is no longer on trial."""


class Store(Adapters, Experiments, Protocol):
    """Of the store, what this conductor moves."""


@dataclass(frozen=True, slots=True)
class TrialRules:
    shadow: ShadowRules = field(default_factory=ShadowRules)
    canary: Rules = field(default_factory=Rules)


@dataclass(frozen=True, slots=True)
class Look:
    """An experiment with all that its outcomes say."""

    experiment: Experiment
    shadow: Shadow
    reading: Reading


class Canaries:
    """Reads experiments; ticked by every process, at any moment."""

    def __init__(
        self,
        store: Store,
        ready: Callable[[str], bool],
        rules: TrialRules | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        why_not: Callable[[str], str] = lambda name: f"{name} is not ready",
    ) -> None:
        """`ready`: is the adapter on every replica? `why_not`: in words, where it is not."""
        self._store, self._ready, self._why_not, self._now = store, ready, why_not, now
        self._rules = rules or TrialRules()

    async def recent(self, tenant: str, limit: int = 100) -> list[Experiment]:
        """Newest first."""
        return await self._store.list_experiments(tenant, limit=limit)

    async def look(self, tenant: str, experiment_id: str) -> Look:
        """As it stands now, or stood when it ended. Raises NotFound."""
        experiment = await self._store.get_experiment(tenant, experiment_id)
        if experiment is None:
            raise NotFound(f"there is no experiment {experiment_id}")
        return await self._look(experiment, experiment.ended_at or self._now())

    async def tick(self) -> list[Experiment]:
        """Take every running experiment as far as its figures allow; those that changed."""
        running = await self._store.list_experiments(None, "running", _AT_ONCE)
        steps = [await self._guarded(experiment) for experiment in running]
        return [changed for changed in steps if changed is not None]

    @asynccontextmanager
    async def watching(self, seconds: float) -> AsyncIterator[None]:
        """Watched until exit."""
        task = asyncio.create_task(self.watch(seconds), name="canaries")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def watch(self, seconds: float) -> None:
        """Tick for ever, so many seconds apart; where that cannot be, the log says why."""
        while True:
            try:
                for one in await self.tick():
                    log.info("experiment %s of %s: %s, %s", one.id, one.candidate, one.verdict, one.reason)
            except StorageError as error:
                log.warning("experiments are not read: %s", error.detail)
            except Exception:
                log.exception("experiments could not be read")
            await asyncio.sleep(seconds)

    async def _guarded(self, experiment: Experiment) -> Experiment | None:
        """One that cannot be read holds up no other."""
        try:
            return await self._step(experiment, self._now())
        except ServiceError as error:
            log.warning("experiment %s is not read: %s", experiment.id, error.detail)
        except Exception:
            log.exception("experiment %s could not be read", experiment.id)
        return None

    async def _step(self, experiment: Experiment, now: datetime) -> Experiment | None:
        try:
            candidate = await self._store.get_adapter(experiment.tenant, experiment.candidate)
            if candidate is None or candidate.state not in _ON_TRIAL:
                return await self._follow(experiment, candidate, now)
            if await self._live(experiment) != experiment.control:
                return await self._stop(experiment, candidate, now)
            if experiment.phase == "shadow":
                return await self._leave_shadow(experiment, candidate, now)
            return await self._decide(experiment, now)
        except Conflict:
            return None  # another process made the move

    async def _leave_shadow(
        self, experiment: Experiment, candidate: Adapter, now: datetime
    ) -> Experiment | None:
        shadow = (await self._look(experiment, now)).shadow
        if shadow.verdict == "roll back":
            return await self._end(experiment, "rolled_back", "rolled_back", shadow.reason, now)
        if candidate.state == "loaded":
            if shadow.verdict == "running" or not self._ready(candidate.name):
                return await self._wait(experiment, shadow, now)
            await self._move(experiment, "canary", shadow.reason, now)
        return await self._store.begin_canary(experiment.tenant, experiment.id, now)

    async def _wait(self, experiment: Experiment, shadow: Shadow, now: datetime) -> Experiment | None:
        """Not for ever: meanwhile no other adapter can be tried."""
        days = self._rules.shadow.most_days
        if now < experiment.started_at + timedelta(days=days):
            return None
        name = experiment.candidate
        away = "" if self._ready(name) else f"; {self._why_not(name)}"
        reason = f"{days:g} days in the shadow and no further: {shadow.reason}{away}"
        return await self._end(experiment, "rolled_back", "rolled_back", reason, now)

    async def _decide(self, experiment: Experiment, now: datetime) -> Experiment | None:
        reading = (await self._look(experiment, now)).reading
        if reading.decision == "promote":
            return await self._end(experiment, "live", "promoted", reading.reason, now)
        if reading.decision == "roll back":
            return await self._end(experiment, "rolled_back", "rolled_back", reading.reason, now)
        if reading.decision == "futile":
            return await self._end(experiment, "rolled_back", "futile", reading.reason, now)
        return None

    async def _stop(self, experiment: Experiment, candidate: Adapter, now: datetime) -> Experiment:
        """Another adapter went live meanwhile; this one may be tried anew, against that."""
        passed = bool(candidate.gates) and all(gate["passed"] for gate in candidate.gates.values())
        after: AdapterState = "gated" if passed else "rejected"
        return await self._end(experiment, after, "stopped", "another adapter is live now", now)

    async def _follow(
        self, experiment: Experiment, candidate: Adapter | None, now: datetime
    ) -> Experiment | None:
        state = candidate.state if candidate else "tainted"
        moves = await self._store.adapter_moves(experiment.tenant, experiment.candidate)
        reason = moves[-1].reason if moves else f"the candidate is {state}"
        return await self._close(experiment, _FOLLOWS.get(state, "stopped"), reason, now)

    async def _end(
        self, experiment: Experiment, after: AdapterState, verdict: Verdict, reason: str, now: datetime
    ) -> Experiment:
        await self._move(experiment, after, reason, now)
        return await self._close(experiment, verdict, reason, now)

    async def _move(self, experiment: Experiment, after: AdapterState, reason: str, now: datetime) -> None:
        await self._store.move_adapter(
            experiment.tenant, experiment.candidate, after, allowed=_ON_TRIAL, at=now, reason=reason
        )

    async def _close(
        self, experiment: Experiment, verdict: Verdict, reason: str, now: datetime
    ) -> Experiment:
        stands, _ = await self._store.end_experiment(experiment.tenant, experiment.id, verdict, reason, now)
        return stands

    async def _live(self, experiment: Experiment) -> str | None:
        found = await self._store.list_adapters(experiment.tenant, experiment.task, _LIVE)
        return found[0].name if found else None

    async def _look(self, experiment: Experiment, now: datetime) -> Look:
        """Off the event loop: a long run is tens of thousands of outcomes."""
        within = timedelta(seconds=self._rules.canary.window_seconds)
        outcomes = await self._store.outcomes(experiment.tenant, experiment.id, within)
        return await asyncio.to_thread(self._read, experiment, outcomes, now)

    def _read(self, experiment: Experiment, outcomes: Sequence[Outcome], now: datetime) -> Look:
        shadow = shadowing.read(outcomes, self._rules.shadow)
        return Look(experiment, shadow, experiments.read(experiment, outcomes, self._rules.canary, now))

"""Which adapter answers a request: what is live, or the arm its user is in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from app.models import Adapter, AdapterState, ArmName, Experiment, Exposure
from app.services.experiments import assign
from app.storage.base import Adapters, Experiments

_PUT_BEFORE_USERS: tuple[AdapterState, ...] = (
    "loaded",
    "canary",
    "live",
    "retired",
    "rolled_back",
    "tainted",
)


@dataclass(frozen=True, slots=True)
class Route:
    """Where one request goes."""

    adapter: str | None = None
    """None: whatever the backend answers with where none is named."""
    arm: ArmName | None = None
    experiment_id: str | None = None
    """Of the experiment that this request is to be recorded in, if any."""
    shadow: str | None = None
    """A candidate to be asked in the background; what it answers is not shown."""
    degraded: bool = False
    """The adapter that should have answered is not on every replica; another one does."""


class Store(Adapters, Experiments, Protocol):
    """Of the store, what routing reads and writes."""


@dataclass(slots=True)
class _Table:
    """What is live and tried out for one (tenant, task), as read at some moment."""

    until: float
    live: str | None = None
    experiment: Experiment | None = None
    base: str | None = None
    """What answers where no adapter does; None: whatever the backend answers with."""
    answered: int = field(default=0)


class Arms:
    """Keeps what it read for some seconds, so that a request reads nothing; a change is seen after these."""

    def __init__(
        self,
        store: Store,
        ready: Callable[[str], bool],
        *,
        base: str | None = None,
        seconds: float = 5.0,
        shadow_every: int = 4,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`ready`: is the adapter on every replica now? One request in `shadow_every` is compared.

        `base`: the base model's own name. It is asked for by name once an adapter of this tenant and task
        was put before users: no other adapter that the backend is bound to speaks for the base then.
        """
        self._store, self._ready, self._base = store, ready, base
        self._seconds, self._shadow_every = seconds, shadow_every
        self._clock, self._now = clock, now
        self._tables: dict[tuple[str, str], _Table] = {}

    async def route(self, tenant: str, task: str, user_id: str) -> Route:
        """The same arm for the same user for as long as an experiment runs. Raises StorageError."""
        table = await self._table(tenant, task)
        table.answered += 1
        live = self._served(table)
        experiment = table.experiment
        if experiment is None:
            return live
        if experiment.phase == "shadow":
            return self._in_shadow(live, experiment, table.answered)
        return self._in_arm(live, experiment, assign(experiment.id, user_id, experiment.share))

    async def expose(
        self,
        tenant: str,
        route: Route,
        request_id: str,
        user_id: str,
        *,
        milliseconds: float,
        degraded: bool = False,
        shadow: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a request that showed questions; `milliseconds` is what its model took.

        `shadow` comes from shadowing.compared, where the route named a candidate. Outside of experiments
        nothing happens. Raises StorageError.
        """
        if route.experiment_id is None or (route.shadow is not None and shadow is None):
            return
        await self._store.add_exposure(
            Exposure(
                tenant=tenant,
                experiment_id=route.experiment_id,
                request_id=request_id,
                user_id=user_id,
                arm=route.arm or "control",
                at=self._now(),
                shadow=shadow,
                degraded=degraded or route.degraded,
                milliseconds=milliseconds,
            )
        )

    def _served(self, table: _Table) -> Route:
        if table.live is None:
            return Route(adapter=table.base)
        if self._ready(table.live):
            return Route(adapter=table.live)
        return Route(adapter=table.base, degraded=True)

    def _in_shadow(self, live: Route, experiment: Experiment, answered: int) -> Route:
        sampled = answered % self._shadow_every == 0
        if not sampled or live.degraded or not self._ready(experiment.candidate):
            return live
        return replace(live, experiment_id=experiment.id, shadow=experiment.candidate)

    def _in_arm(self, live: Route, experiment: Experiment, arm: ArmName) -> Route:
        """A candidate that is not ready leaves its users to the control, and this does not count."""
        told = replace(live, arm=arm, experiment_id=experiment.id)
        if arm == "control":
            return told
        if self._ready(experiment.candidate):
            return replace(told, adapter=experiment.candidate, degraded=False)
        return replace(told, degraded=True)

    async def _table(self, tenant: str, task: str) -> _Table:
        """While one request reads it anew, the others go by the old one."""
        held = self._tables.get((tenant, task))
        if held is not None and self._clock() < held.until:
            return held
        if held is not None:
            held.until = self._clock() + self._seconds
        table = await self._read(tenant, task)
        table.answered = held.answered if held is not None else 0
        self._tables[tenant, task] = table
        return table

    async def _read(self, tenant: str, task: str) -> _Table:
        until = self._clock() + self._seconds
        served = await self._store.list_adapters(tenant, task, _PUT_BEFORE_USERS)
        live = next((one.name for one in served if one.state == "live"), None)
        running = await self._store.list_experiments(tenant, "running")
        experiment = next((one for one in running if one.task == task), None)
        if experiment is not None and not _holds(experiment, live, served):
            experiment = None
        return _Table(until, live, experiment, self._base if served else None)


def _holds(experiment: Experiment, live: str | None, served: list[Adapter]) -> bool:
    """Is it still about what is live? The adapters lead, the experiment's verdict follows."""
    wanted = "loaded" if experiment.phase == "shadow" else "canary"
    candidate = any(one.name == experiment.candidate and one.state == wanted for one in served)
    return candidate and experiment.control == live

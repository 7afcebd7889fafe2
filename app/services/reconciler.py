"""What every replica is to serve, restored after restarts before anything is routed to it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from app.clients.slm.base import AdapterHost
from app.errors import BackendUnavailable, StorageError
from app.models import SERVED, AdapterState
from app.services.adapter_facts import same_base
from app.services.keeper import Keeper, Standing, Timing
from app.storage.base import Adapters

log = logging.getLogger(__name__)

_OUT_OF_SERVICE: frozenset[AdapterState] = frozenset({"rejected", "retired", "rolled_back", "tainted"})
"""What is only registered or gated may be on a replica to be examined: it is left alone."""


class Reconciler:
    """One task a replica, so that one that hangs holds up no other.

    Wanted are the adapters of all tenants in a state of SERVED; names that the store does not know are
    nobody's business here.
    """

    def __init__(
        self,
        store: Adapters,
        hosts: Sequence[AdapterHost],
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        base_model: str | None = None,
    ) -> None:
        """`base_model`: what the replicas serve; adapters of another are kept from them. None: any."""
        self._base_model = base_model
        self._store, self._timing = store, timing or Timing()
        self._changed = asyncio.Event()
        self._keepers = [Keeper(host, self._timing, clock, self._changed.set) for host in hosts]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Reconciler:
        self._tasks = [asyncio.create_task(self._keep(keeper)) for keeper in self._keepers]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def ready(self, name: str) -> bool:
        """Every replica that is up has it, verified; False where none is up. Ask before you route to it."""
        up = [keeper for keeper in self._keepers if keeper.up]
        return bool(up) and all(keeper.has(name) for keeper in up)

    def missed(self, name: str) -> None:
        """A call was told that there is no such adapter: not ready any more, until it is verified anew."""
        for keeper in self._keepers:
            keeper.missed(name)

    def wake(self) -> None:
        """Look at all replicas now, and try again what failed."""
        for keeper in self._keepers:
            keeper.hurry()

    def why_not(self, name: str) -> str:
        """What stands in its way, with the last errors."""
        standings = [one for keeper in self._keepers for one in keeper.standings() if one.adapter == name]
        wrong = [f"{one.replica}: {one.phase} {one.error}".strip() for one in standings]
        away = [f"{keeper.host.url}: {keeper.detail}" for keeper in self._keepers if not keeper.up]
        return "; ".join(away or wrong) or "it is in no state that is served"

    async def until_ready(self, name: str, seconds: float) -> None:
        """Wait for it; raises BackendUnavailable with the last errors."""
        self.wake()
        try:
            async with asyncio.timeout(seconds):
                while not self.ready(name):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise BackendUnavailable(
                f"{name} is not on every replica after {seconds:.0f} s: {self.why_not(name)}"
            ) from None

    async def reconcile(self) -> None:
        """One look at every replica, all at once, and what follows from it."""
        await asyncio.gather(*(self._tend(keeper) for keeper in self._keepers))

    def report(self) -> list[dict[str, Any]]:
        """By replica: url, up, detail, and of each adapter its phase and last error."""
        return [
            {
                "url": keeper.host.url,
                "up": keeper.up,
                "detail": keeper.detail,
                "adapters": [_shown(standing) for standing in keeper.standings()],
            }
            for keeper in self._keepers
        ]

    async def _keep(self, keeper: Keeper) -> None:
        while True:
            try:
                await self._tend(keeper)
            except Exception:
                log.exception("the adapters of %s could not be reconciled", keeper.host.url)
            try:
                async with asyncio.timeout(self._timing.every):
                    await keeper.asked.wait()
            except TimeoutError:
                continue

    async def _tend(self, keeper: Keeper) -> None:
        keeper.asked.clear()
        try:
            known = await self._store.list_adapters(None)
        except StorageError as error:
            log.warning("adapters are not reconciled: %s", error.detail)
            return
        served = {adapter.name: adapter for adapter in known if adapter.state in SERVED}
        refused = {
            one.name: f"trained for another base model: {one.base_model}"
            for one in served.values()
            if self._base_model is not None and not same_base(one.base_model, self._base_model)
        }
        wanted = {name: one for name, one in served.items() if name not in refused}
        await keeper.tend(wanted, [one.name for one in known if one.state in _OUT_OF_SERVICE], refused)


def _shown(standing: Standing) -> dict[str, str]:
    return {"name": standing.adapter, "phase": standing.phase, "error": standing.error}

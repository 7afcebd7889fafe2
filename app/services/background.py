"""Work off the answer's path: in order for each user, bounded, drained before the service closes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from app.errors import ServiceError

log = logging.getLogger(__name__)
Key = tuple[str, str]
T = TypeVar("T")


class Background:
    """Runs coroutines one after another for each (tenant, user), side by side across users."""

    def __init__(self, limit: int = 1000, drain_seconds: float = 5.0) -> None:
        self._limit, self._drain_seconds = limit, drain_seconds
        self._last: dict[Key, asyncio.Task[None]] = {}
        self.failed = 0

    async def __aenter__(self) -> Background:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._last:
            done, late = await asyncio.wait(self._last.values(), timeout=self._drain_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*done, *late, return_exceptions=True)

    async def submit(self, key: Key, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` after what this key already has; with too much waiting, run it here and now."""
        before = self._last.get(key)
        if len(self._last) >= self._limit and before is None:
            await self._guarded(work)
            return
        task = asyncio.create_task(self._after(before, work))
        self._last[key] = task
        task.add_done_callback(lambda ended: self._forget(key, ended))

    async def in_turn(self, key: Key, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, run after what this key already has and before what comes later."""
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                result.set_result(await work)
            except Exception as error:  # noqa: BLE001 - whoever asked for it is told, and nobody else
                result.set_exception(error)

        await self.submit(key, run())
        return await result

    async def settle(self, key: Key, seconds: float = 0.25) -> None:
        """Wait until what was submitted for the key is done, but no longer than `seconds`."""
        if (task := self._last.get(key)) is not None:
            await asyncio.wait([task], timeout=seconds)

    async def _after(self, before: asyncio.Task[None] | None, work: Coroutine[Any, Any, None]) -> None:
        if before is not None:
            await asyncio.wait([before])
        await self._guarded(work)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ServiceError as error:
            self.failed += 1
            log.warning("background work failed: %s: %s", error.slug, error.detail)

    def _forget(self, key: Key, task: asyncio.Task[None]) -> None:
        if self._last.get(key) is task:
            del self._last[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed += 1
            log.error("background work failed", exc_info=error)

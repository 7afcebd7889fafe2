"""Bounds what a backend is asked at a time, and who waits."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count

from app.clients.slm.base import Call, Completion, GenerateHypotheses, Lane, R, SLMClient, Task
from app.clients.slm.wrappers.base import Event, Wrapper
from app.clients.slm.wrappers.closing import closing
from app.errors import BackendOverloaded


class Limited(Wrapper):
    """At most `at_once` tasks run; at most `waiting` wait, interactive before batch before background.

    Raises BackendOverloaded where the queue is full and where call.deadline passes in it. A full queue
    makes room for a more urgent call: the least urgent that waits is turned away in its place. A completion
    says how long it took without the waiting, so that lanes can be compared.
    """

    def __init__(
        self,
        inner: SLMClient,
        *,
        at_once: int = 8,
        waiting: int = 64,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(inner)
        self._clock = clock
        self._free = at_once
        self._waiting = waiting
        self._queue: list[tuple[Lane, int, asyncio.Future[None]]] = []
        self._order = count()

    async def run(self, task: Task[R], call: Call) -> Completion[R]:
        async with self._turn(call):
            began = self._clock()
            completion = await self.inner.run(task, call)
            return replace(completion, milliseconds=1000 * (self._clock() - began))

    async def stream(self, task: GenerateHypotheses, call: Call) -> AsyncIterator[Event]:
        async with self._turn(call), closing(self.inner.stream(task, call)) as events:
            async for event in events:
                yield event

    @asynccontextmanager
    async def _turn(self, call: Call) -> AsyncIterator[None]:
        if self._free:
            self._free -= 1
        else:
            await self._wait(call)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, call: Call) -> None:
        self._make_room(call.lane)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (call.lane, next(self._order), turn)
        heapq.heappush(self._queue, entry)
        try:
            async with asyncio.timeout(call.remaining()):
                await turn
        except BaseException as stopped:
            self._leave(entry)
            if isinstance(stopped, TimeoutError):
                raise BackendOverloaded(f"{self.name!r} had no turn free before the deadline.") from stopped
            raise

    def _make_room(self, lane: Lane) -> None:
        if len(self._queue) < self._waiting:
            return
        last = max(self._queue, default=None)
        if last is None or last[0] <= lane:
            raise BackendOverloaded(f"{len(self._queue)} calls wait for {self.name!r} already.")
        self._queue.remove(last)
        heapq.heapify(self._queue)
        last[2].set_exception(BackendOverloaded(f"A more urgent call took the place at {self.name!r}."))

    def _leave(self, entry: tuple[Lane, int, asyncio.Future[None]]) -> None:
        """Out of the queue; a turn that came at the same moment goes to the next."""
        if entry in self._queue:
            self._queue.remove(entry)
            heapq.heapify(self._queue)
        elif entry[2].done() and not entry[2].cancelled() and entry[2].exception() is None:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._queue:
            turn = heapq.heappop(self._queue)[2]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

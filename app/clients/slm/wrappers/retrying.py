"""Tries again what may go better the next time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

from app.clients.slm.base import Call, Completion, GenerateHypotheses, R, SLMClient, Task, Usage
from app.clients.slm.wrappers.base import Event, Wrapper
from app.clients.slm.wrappers.closing import closing
from app.errors import BackendError


class Retrying(Wrapper):
    """At most `attempts` tries of what fails with a retryable error, all within call.deadline.

    Waits a random time up to `base` * 2^n seconds and up to `longest` between tries ("full jitter"), or
    what the server asked for in Retry-After. A stream is tried again only while nothing of it was shown.
    """

    def __init__(
        self,
        inner: SLMClient,
        *,
        attempts: int = 2,
        base: float = 0.1,
        longest: float = 2.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(inner)
        self._attempts = attempts
        self._base = base
        self._longest = longest
        self._sleep = sleep
        self._chance = chance

    async def run(self, task: Task[R], call: Call) -> Completion[R]:
        in_vain = 0
        for failed in range(self._attempts):
            try:
                completion = await self.inner.run(task, call)
            except BackendError as error:
                in_vain += error.calls
                await self._wait(error, failed, in_vain, call)
            else:
                return replace(completion, usage=completion.usage + Usage(calls=in_vain))
        raise AssertionError("the last attempt returns or raises")

    async def stream(self, task: GenerateHypotheses, call: Call) -> AsyncIterator[Event]:
        in_vain = 0
        for failed in range(self._attempts):
            shown = False
            try:
                async with closing(self.inner.stream(task, call)) as events:
                    async for event in events:
                        shown = True
                        yield event
            except BackendError as error:
                in_vain += error.calls
                if shown:
                    raise
                await self._wait(error, failed, in_vain, call)
            else:
                return

    async def _wait(self, error: BackendError, failed: int, in_vain: int, call: Call) -> None:
        """Sleep until the next try; raises `error`, with the calls of all tries, where there is none."""
        pause = error.retry_after or self._chance() * min(self._longest, self._base * 2**failed)
        if not error.retryable or failed + 1 >= self._attempts or pause >= call.remaining():
            error.calls = in_vain
            raise error
        await self._sleep(pause)

"""Whatever fails, another backend answers, and the answer says so."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from app.clients.slm.base import Call, Completion, GenerateHypotheses, R, SLMClient, Task, Usage
from app.clients.slm.wrappers.base import Event, Wrapper
from app.clients.slm.wrappers.closing import closing
from app.errors import BackendError, UnknownAdapter
from app.models import Hypothesis


class Fallback(Wrapper):
    """Answers by `local` where `inner` fails: `degraded`, with the error's slug as the reason.

    What `inner` was sent in vain is counted in the answer's usage.

    An adapter that the caller named and that is not to be had is no reason to answer without it.
    """

    def __init__(
        self,
        inner: SLMClient,
        local: SLMClient,
        *,
        grace: float = 5.0,
        missed: Callable[[str], None] | None = None,
    ) -> None:
        """`grace`: seconds that `local` gets, for the deadline may be what was missed.

        `missed` is told of every adapter that `inner` did not know.
        """
        super().__init__(inner)
        self._local = local
        self._grace = grace
        self._missed = missed

    async def run(self, task: Task[R], call: Call) -> Completion[R]:
        try:
            return await self.inner.run(task, call)
        except (BackendError, UnknownAdapter) as error:
            self._check(error, call)
            return _degraded(await self._local.run(task, self._local_call(call)), error)

    async def stream(self, task: GenerateHypotheses, call: Call) -> AsyncIterator[Event]:
        """After the first event nothing is taken back: what was shown stays, `local` adds the rest."""
        shown: list[Hypothesis] = []
        try:
            async with closing(self.inner.stream(task, call)) as events:
                async for event in events:
                    if isinstance(event, Hypothesis):
                        shown.append(event)
                    yield event
        except (BackendError, UnknownAdapter) as error:
            self._check(error, call)
            async for event in self._append(task, call, shown, error):
                yield event

    async def _append(
        self,
        task: GenerateHypotheses,
        call: Call,
        shown: list[Hypothesis],
        error: BackendError | UnknownAdapter,
    ) -> AsyncIterator[Event]:
        asked = (*task.asked, *(one.question for one in shown))
        missing = replace(task, asked=asked, count=task.count - len(shown))
        if missing.count <= 0:
            yield _degraded(Completion(shown, self.name, ""), error)
            return
        completion = _degraded(await self._local.run(missing, self._local_call(call)), error)
        for hypothesis in completion.value:
            yield hypothesis
        yield replace(completion, value=[*shown, *completion.value])

    async def aclose(self) -> None:
        try:
            await self.inner.aclose()
        finally:
            await self._local.aclose()

    def _check(self, error: BackendError | UnknownAdapter, call: Call) -> None:
        if isinstance(error, UnknownAdapter):
            if self._missed and call.adapter:
                self._missed(call.adapter)
            if call.adapter_required:
                raise error

    def _local_call(self, call: Call) -> Call:
        deadline = max(call.deadline, time.monotonic() + self._grace)
        return replace(call, adapter=None, adapter_required=False, deadline=deadline)


def _degraded(completion: Completion[Any], error: BackendError | UnknownAdapter) -> Completion[Any]:
    usage = completion.usage + Usage(calls=error.calls)
    return replace(completion, usage=usage, degraded=True, reason=error.slug)

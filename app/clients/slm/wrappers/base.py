"""The wrapper that changes nothing; the others change one thing."""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.clients.slm.base import Call, Completion, GenerateHypotheses, Health, R, SLMClient, Task
from app.clients.slm.calls import TaskCalls
from app.models import Hypothesis

Event = Hypothesis | Completion[list[Hypothesis]]


class Wrapper(TaskCalls):
    """An SLMClient round an SLMClient; it closes what it wraps."""

    def __init__(self, inner: SLMClient) -> None:
        self.inner = inner
        self.name = inner.name

    async def run(self, task: Task[R], call: Call) -> Completion[R]:
        return await self.inner.run(task, call)

    def stream(self, task: GenerateHypotheses, call: Call) -> AsyncIterator[Event]:
        return self.inner.stream(task, call)

    async def ping(self) -> Health:
        return await self.inner.ping()

    async def aclose(self) -> None:
        await self.inner.aclose()

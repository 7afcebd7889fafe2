"""A backend whose every answer the test decides, and a clock that it moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from app.clients.slm.base import Call, Completion, GenerateHypotheses, Health, Summarize, Usage
from app.clients.slm.wrappers.base import Event
from app.errors import (
    ServiceError,
)
from app.models import Confidence, Hypothesis

TASK = Summarize("text")
ASK = GenerateHypotheses("build api")


def hypothesis(question: str, producer: str = "scripted") -> Hypothesis:
    return Hypothesis(question, question, question, "", 2, (), Confidence(0.5), producer)


class Scripted:
    """Answers with the next line of its script: an error is raised, a gate is waited for."""

    def __init__(self, *script: ServiceError | asyncio.Event | None, name: str = "scripted") -> None:
        self.name = name
        self.script = list(script)
        self.calls: list[Call] = []
        self.tasks: list[Any] = []
        self.closed = False
        self.left_open = 0

    async def run(self, task: Any, call: Call) -> Completion[Any]:
        self.tasks.append(task)
        await self._next(call)
        asked = isinstance(task, GenerateHypotheses)
        value = [hypothesis(f"{self.name}?", self.name)][: task.count] if asked else self.name
        return Completion(value, self.name, "m", usage=Usage(calls=1))

    async def stream(self, task: GenerateHypotheses, call: Call) -> AsyncIterator[Event]:
        self.left_open += 1
        try:
            shown = [hypothesis("first?"), hypothesis("second?")]
            for one in shown:
                await self._next(call)
                yield one
            yield Completion(shown, self.name, "m")
        finally:
            self.left_open -= 1

    async def ping(self) -> Health:
        return Health(ok=True, model=self.name)

    async def aclose(self) -> None:
        self.closed = True

    async def _next(self, call: Call) -> None:
        self.calls.append(call)
        match self.script.pop(0) if self.script else None:
            case ServiceError() as error:
                raise error
            case asyncio.Event() as gate:
                await gate.wait()
            case _:
                await asyncio.sleep(0)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def events(stream: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in stream]

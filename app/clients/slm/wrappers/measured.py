"""Counts what is asked, how it ended and how long it took."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from app.clients.slm.base import Call, Completion, GenerateHypotheses, R, SLMClient, Task
from app.clients.slm.wrappers.base import Event, Wrapper
from app.clients.slm.wrappers.closing import closing
from app.errors import ServiceError
from app.metrics import BackendMetrics


class Measured(Wrapper):
    """`seam` tells the backend alone from the answer with its fallback."""

    def __init__(self, inner: SLMClient, metrics: BackendMetrics, seam: str) -> None:
        super().__init__(inner)
        self._metrics = metrics
        self._seam = seam

    async def run(self, task: Task[R], call: Call) -> Completion[R]:
        with self._timed(task):
            completion = await self.inner.run(task, call)
        self._account(task, completion)
        return completion

    async def stream(self, task: GenerateHypotheses, call: Call) -> AsyncIterator[Event]:
        with self._timed(task):
            async with closing(self.inner.stream(task, call)) as events:
                async for event in events:
                    if isinstance(event, Completion):
                        self._account(task, event)
                    yield event

    @contextmanager
    def _timed(self, task: Task[Any]) -> Iterator[None]:
        labels = (self._seam, self.name, type(task).__name__)
        started, outcome = time.perf_counter(), "abandoned"
        try:
            yield
            outcome = "ok"
        except ServiceError as error:
            outcome = error.slug
            raise
        finally:
            self._metrics.seconds.labels(*labels).observe(time.perf_counter() - started)
            self._metrics.requests.labels(*labels, outcome).inc()

    def _account(self, task: Task[Any], completion: Completion[Any]) -> None:
        labels = (self._seam, self.name, type(task).__name__)
        usage = completion.usage
        for kind, tokens in (
            ("prompt", usage.prompt_tokens),
            ("cached", usage.cached_tokens),
            ("completion", usage.completion_tokens),
        ):
            if tokens:
                self._metrics.tokens.labels(*labels, kind).inc(tokens)
        if completion.degraded and completion.reason:
            self._metrics.fallbacks.labels(self.name, completion.reason).inc()

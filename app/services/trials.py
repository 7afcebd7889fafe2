"""Which adapter answers a request, and what is recorded of it where an experiment runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any

from app.clients.slm.base import Call, GenerateHypotheses, Lane, SLMClient
from app.errors import BackendError, UnknownAdapter
from app.models import Hypothesis
from app.services.arms import Arms, Route
from app.services.background import Background
from app.services.shadowing import compared

log = logging.getLogger(__name__)

_TASK = "hypotheses"
_SHADOW_SECONDS = 60.0
"""A shadow may take its time: nobody waits for it."""


class Trials:
    """Between the hypothesizer and the arms; everything but the route is done off the answer's path.

    A few candidates are asked at a time. Beyond these nothing waits: there are more requests to compare, and
    what users are waiting for, or what is learned of them, never stands behind a shadow.
    """

    def __init__(self, arms: Arms, slm: SLMClient, background: Background, at_once: int = 4) -> None:
        self._arms, self._slm, self._background, self._at_once = arms, slm, background, at_once
        self._shadows: set[asyncio.Task[None]] = set()
        self.dropped = 0
        """Requests that were to be compared and were not, for others were."""

    async def __aenter__(self) -> Trials:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for shadow in self._shadows:
            shadow.cancel()
        await asyncio.gather(*self._shadows, return_exceptions=True)

    async def route(self, tenant: str, user_id: str) -> Route:
        """Raises StorageError."""
        return await self._arms.route(tenant, _TASK, user_id)

    async def note(
        self,
        route: Route,
        user_id: str,
        call: Call,
        answer: Mapping[str, Any],
        task: GenerateHypotheses | None,
        written: Sequence[Hypothesis],
        milliseconds: float,
    ) -> None:
        """Record an answer that asked something; `written` is what its arm wrote when asked for `task`.

        `milliseconds`: what the model took for it, of its own.
        """
        if route.experiment_id is None or task is None or not answer["hypotheses"]:
            return
        degraded = bool(answer["backend"]["degraded"])
        about = call.tenant, route, call.request_id, user_id
        expose = partial(self._arms.expose, *about, milliseconds=milliseconds, degraded=degraded)
        key = call.tenant, f"trial {call.request_id}"  # its own: the user's next request does not wait

        async def compare(candidate: str) -> None:
            shadow = await self._compare(candidate, task, call, written)
            await self._background.submit(key, expose(shadow=shadow))

        if route.shadow is None:
            await self._background.submit(key, expose())
        elif len(self._shadows) < self._at_once:
            begun = asyncio.create_task(compare(route.shadow))
            self._shadows.add(begun)
            begun.add_done_callback(self._ended)
        else:
            self.dropped += 1

    def _ended(self, shadow: asyncio.Task[None]) -> None:
        self._shadows.discard(shadow)
        if not shadow.cancelled() and (error := shadow.exception()) is not None:
            log.error("a candidate could not be compared", exc_info=error)

    async def _compare(
        self, candidate: str, task: GenerateHypotheses, call: Call, written: Sequence[Hypothesis]
    ) -> Mapping[str, Any]:
        deadline = time.monotonic() + _SHADOW_SECONDS
        asking = replace(call, adapter=candidate, lane=Lane.BACKGROUND, deadline=deadline)
        try:
            done = await self._slm.run(task, asking)
        except (BackendError, UnknownAdapter):
            return compared(written, None, 0.0)
        return compared(written, None if done.degraded else done.value, done.milliseconds)

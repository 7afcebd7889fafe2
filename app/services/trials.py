"""Which adapter answers a request, and what is recorded of it where an experiment runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.clients.slm.base import Call, GenerateHypotheses, Lane, SLMClient
from app.errors import BackendError, UnknownAdapter
from app.models import Hypothesis
from app.services.arms import Arms, Route
from app.services.background import Background
from app.services.shadowing import compared

_TASK = "hypotheses"
_SHADOW_SECONDS = 60.0
"""A shadow may take its time: nobody waits for it."""


class Trials:
    """Between the hypothesizer and the arms; everything but the route is done off the answer's path."""

    def __init__(self, arms: Arms, slm: SLMClient, background: Background) -> None:
        self._arms, self._slm, self._background = arms, slm, background

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
        """Record an answer that asked something; `written` is what its arm wrote when asked for `task`."""
        if route.experiment_id is None or task is None or not answer["hypotheses"]:
            return
        degraded = bool(answer["backend"]["degraded"])

        async def expose() -> None:
            shadow = None
            if route.shadow is not None:
                shadow = await self._compare(route.shadow, task, call, written)
            await self._arms.expose(
                call.tenant,
                route,
                call.request_id,
                user_id,
                milliseconds=milliseconds,
                degraded=degraded,
                shadow=shadow,
            )

        # A key of its own: the user's next request does not wait for a shadow.
        await self._background.submit((call.tenant, f"trial {call.request_id}"), expose())

    async def _compare(
        self, candidate: str, task: GenerateHypotheses, call: Call, written: Sequence[Hypothesis]
    ) -> Mapping[str, Any]:
        deadline = time.monotonic() + _SHADOW_SECONDS
        asking = replace(call, adapter=candidate, lane=Lane.BACKGROUND, deadline=deadline)
        began = time.perf_counter()
        said: Sequence[Hypothesis] | None = None
        try:
            done = await self._slm.run(task, asking)
            said = None if done.degraded else done.value
        except (BackendError, UnknownAdapter):
            said = None
        return compared(written, said, 1000 * (time.perf_counter() - began))

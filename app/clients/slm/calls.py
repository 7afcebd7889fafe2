"""The calls that users know, one line each over `run`, for every client and every wrapper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from app.clients.slm.base import (
    Call,
    EnrichContext,
    FollowupQuestions,
    GenerateHypotheses,
    SLMClient,
    Summarize,
)
from app.models import Facet, Hypothesis


class TaskCalls:
    """Mix into an SLMClient. Each call gets 30 seconds; for a deadline of your own use `run`."""

    __slots__ = ()

    async def generate_hypotheses(
        self: SLMClient, user_input: str, context: Mapping[str, Any] | None = None, count: int = 3
    ) -> list[Hypothesis]:
        """What the request leaves open, the weightiest first; at most `count`."""
        task = GenerateHypotheses(user_input, context or {}, count=count)
        return (await self.run(task, Call())).value

    async def summarize(self: SLMClient, text: str, max_tokens: int = 128) -> str:
        """`text` in at most `max_tokens` tokens, ending with a whole sentence where one fits."""
        return (await self.run(Summarize(text, max_tokens), Call())).value

    async def enrich_context(
        self: SLMClient, user_input: str, context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """A dict of implicit_goals, expertise_level and next_steps."""
        enrichment = (await self.run(EnrichContext(user_input, context or {}), Call())).value
        return asdict(enrichment)

    async def generate_followup_questions(
        self: SLMClient,
        context: Mapping[str, Any],
        persona_facets: Sequence[Facet] | Mapping[str, str] = (),
        count: int = 3,
    ) -> list[str]:
        """Questions to ask next; the facets as we hold them, or plainly as name to value."""
        task = FollowupQuestions(context, facets=_facets(persona_facets), count=count)
        return (await self.run(task, Call())).value


def _facets(given: Sequence[Facet] | Mapping[str, str]) -> tuple[Facet, ...]:
    if not isinstance(given, Mapping):
        return tuple(given)
    now = datetime.now(UTC)
    return tuple(
        Facet(name, name, str(value), (), 1.0, (), (), now, now, None, "caller")
        for name, value in given.items()
    )

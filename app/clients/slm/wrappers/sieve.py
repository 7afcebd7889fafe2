"""What a model asks is held to the rules: nothing answered already, nothing in another language."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

from app.clients.embedding.base import Embedder
from app.clients.embedding.wordless import WordlessEmbedder
from app.clients.slm.base import Call, Completion, GenerateHypotheses, R, SLMClient, Task
from app.clients.slm.rules.bags import bag
from app.clients.slm.rules.known import Known
from app.clients.slm.rules.language import speaks_otherwise
from app.clients.slm.rules.request import Request
from app.clients.slm.rules.spoken import spoken_in
from app.clients.slm.rules.wording import core
from app.clients.slm.wrappers.base import Event, Wrapper
from app.clients.slm.wrappers.closing import closing
from app.errors import BackendError
from app.models import Hypothesis


class Sieve(Wrapper):
    """Drops hypotheses that the task answers, or that are in another language than its request.

    An answer of which nothing is left is an empty list: the backend did not fail, there is no more to ask.
    """

    def __init__(self, inner: SLMClient, embedder: Embedder) -> None:
        """Where `embedder` fails, words alone tell what is answered."""
        super().__init__(inner)
        self._embedder = embedder

    async def run(self, task: Task[R], call: Call) -> Completion[R]:
        completion = await self.inner.run(task, call)
        if not isinstance(task, GenerateHypotheses):
            return completion
        mesh = _Mesh(task, self._embedder)
        kept = [one for one in cast("list[Hypothesis]", completion.value) if await mesh.passes(one)]
        return replace(completion, value=cast(R, kept))

    async def stream(self, task: GenerateHypotheses, call: Call) -> AsyncIterator[Event]:
        mesh = _Mesh(task, self._embedder)
        kept: list[Hypothesis] = []
        async with closing(self.inner.stream(task, call)) as events:
            async for event in events:
                if isinstance(event, Completion):
                    yield replace(event, value=kept)
                elif await mesh.passes(event):
                    kept.append(event)
                    yield event


class _Mesh:
    """What passes for one task. One embedder at a time: vectors of two are never compared."""

    def __init__(self, task: GenerateHypotheses, embedder: Embedder) -> None:
        self._task = task
        self._embedder = embedder
        self._known: Known | None = None
        self._spoken = spoken_in(task)
        self._object = bag(Request.read(task.user_input).object)

    async def passes(self, hypothesis: Hypothesis) -> bool:
        if speaks_otherwise(f"{hypothesis.question} {hypothesis.statement}", self._spoken):
            return False
        try:
            return not await self._answered(hypothesis)
        except BackendError:
            self._embedder, self._known = WordlessEmbedder(), None
            return not await self._answered(hypothesis)

    async def _answered(self, hypothesis: Hypothesis) -> bool:
        self._known = self._known or await Known.of(self._task, self._embedder)
        topic = hypothesis.detail
        if core(topic) <= self._object:  # "type of API" is open still when an API is asked for
            topic = hypothesis.question
        vector = (await self._embedder.embed([topic]))[0]
        return self._known.settles(topic, vector, hypothesis.options, (hypothesis.question,))

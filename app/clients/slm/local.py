"""The backend without a model: rules of form and the examples that a task carries; no network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

from app.clients.embedding.base import Embedder
from app.clients.embedding.wordless import WordlessEmbedder
from app.clients.slm.base import (
    Call,
    Completion,
    EnrichContext,
    FollowupQuestions,
    GenerateHypotheses,
    Health,
    JudgeClarity,
    R,
    ScoreRelevance,
    Summarize,
    Task,
    UpdateFacets,
)
from app.clients.slm.calls import TaskCalls
from app.clients.slm.rules.clarity import judge
from app.clients.slm.rules.enrich import changes, enrich, relevance
from app.clients.slm.rules.generate import PRODUCER, followups, generate
from app.clients.slm.rules.summary import summarize
from app.errors import BackendError, NotSupported
from app.models import Hypothesis

MODEL = "rules-1"
"""Changes when the same task would be answered otherwise: calibrations belong to it."""


class LocalClient(TaskCalls):
    """Answers every task of the seam in a few milliseconds, the same task always alike."""

    name = PRODUCER

    def __init__(self, embedder: Embedder) -> None:
        """Best an embedder that remembers: the texts of the examples come again and again."""
        self._embedder = embedder

    async def run(self, task: Task[R], call: Call) -> Completion[R]:
        """Where the embedder is a server and fails, by words alone: never an error for a task of the seam."""
        try:
            value = await self._answer(task, call, self._embedder)
        except NotSupported:
            raise
        except BackendError:
            value = await self._answer(task, call, WordlessEmbedder())
        score = value if isinstance(value, float) else None
        return Completion(cast(R, value), self.name, MODEL, confidence=score)

    async def _answer(self, task: Task[Any], call: Call, embedder: Embedder) -> object:
        """One embedder for all of a task: vectors of two are never compared."""
        match task:
            case GenerateHypotheses():
                value: object = await generate(task, call.request_id, embedder)
            case JudgeClarity():
                value = judge(task)
            case Summarize():
                value = summarize(task.text, task.max_tokens)
            case EnrichContext():
                value = enrich(task)
            case FollowupQuestions():
                value = await followups(task, embedder)
            case ScoreRelevance():
                value = await relevance(task, embedder)
            case UpdateFacets():
                value = changes(task)
            case _:
                raise NotSupported(f"local cannot do {type(task).__name__}")
        return value

    async def stream(
        self, task: GenerateHypotheses, call: Call
    ) -> AsyncIterator[Hypothesis | Completion[list[Hypothesis]]]:
        """Each hypothesis, then the Completion."""
        completion = await self.run(task, call)
        for hypothesis in completion.value:
            yield hypothesis
        yield completion

    async def ping(self) -> Health:
        """Always well: there is nothing to reach."""
        return Health(ok=True, model=MODEL)

    async def aclose(self) -> None:
        """The embedder belongs to who made it."""

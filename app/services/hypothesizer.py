"""The conductor of POST /v1/hypothesize: who is asking, what is open, what to ask first."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from app.clients.embedding.base import Embedder
from app.clients.slm.base import (
    Call,
    EnrichContext,
    GenerateHypotheses,
    JudgeClarity,
    SLMClient,
)
from app.errors import BackendError
from app.models import Example, Facet, Hypothesis, RankedMemory, Turn
from app.services import answers
from app.services.adapters import AdapterRegistry
from app.services.advances import advance_body, assume
from app.services.arms import Route
from app.services.arranging import Occasion, Proposal, arrange
from app.services.background import Background
from app.services.context import Fitted, fit
from app.services.learned import LearnedStates
from app.services.learned_choices import LearnedChoices
from app.services.locks import KeyedLocks
from app.services.ordering import agreement, merge
from app.services.persona import PersonaService
from app.services.playbook import Playbook
from app.services.ranking import RankingService
from app.services.threads import Thread, read_thread
from app.services.training import TrainingDataCollector
from app.services.trials import Trials
from app.storage.base import Advances, Interactions, Profile

_NEIGHBOURS = 12
_LEARNED = 24
"""Learned entries have one detail each, shipped ones three."""
_SPARE = 3
"""So many more than asked for are drafted, because some turn out to be answered already."""
_MEMORIES = 4


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as it came in."""

    user_id: str
    input_text: str
    context: Mapping[str, Any] = field(default_factory=dict)
    conversation: tuple[Turn, ...] = ()
    session_id: str | None = None
    count: int = 3
    lora_name: str | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known before anything is asked of a backend."""

    thread: Thread
    profile: Profile
    memories: tuple[RankedMemory, ...]
    examples: tuple[Example, ...]
    fitted: Fitted
    learned: LearnedChoices


class Requests(Interactions, Advances, Protocol):
    """Of the store, what this conductor writes to."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Plain values the conductor needs of the settings."""

    context_tokens: int = 512
    enrich: bool = False
    undo_seconds: float = 600.0
    model_alone: bool = False
    """What the playbook knows reaches a model's prompt, but not the answer beside the model's own."""


class Hypothesizer:
    """Never an error for a user where the local backend can answer."""

    def __init__(
        self,
        *,
        store: Requests,
        persona: PersonaService,
        ranking: RankingService,
        playbook: Playbook,
        learned: LearnedStates,
        embedder: Embedder,
        slm: SLMClient,
        local: SLMClient,
        adapters: AdapterRegistry,
        collector: TrainingDataCollector,
        background: Background,
        limits: Limits,
        prompt_for: Callable[[GenerateHypotheses], Mapping[str, Any]],
        trials: Trials | None = None,
    ) -> None:
        """`prompt_for`: what a model would be asked; kept for training where no model was.

        `trials` is None where the backend has no adapters.
        """
        self._store, self._persona, self._ranking, self._playbook = store, persona, ranking, playbook
        self._embedder, self._slm, self._local, self._adapters = embedder, slm, local, adapters
        self._collector, self._background, self._limits = collector, background, limits
        self._threads = KeyedLocks()
        self._learned = learned
        self._prompt_for = prompt_for
        self._trials = trials

    async def hypothesize(self, ask: Ask, call: Call) -> dict[str, Any]:
        """The body of the contract; UnknownAdapter for a `lora_name` that cannot be had.

        Requests of one thread wait for each other: a round has to know what the one before it asked.
        """
        session_id = ask.session_id or uuid.uuid4().hex
        named = await self._adapters.resolve(ask.lora_name, call.tenant)
        call = answers.named_call(call, session_id, named.adapter, named.required)
        async with self._threads(call.tenant, ask.user_id, session_id):
            return await self._answer(ask, call)

    async def _answer(self, ask: Ask, call: Call) -> dict[str, Any]:
        began = time.perf_counter()
        await self._background.settle((call.tenant, ask.user_id))
        scene = await self._scene(ask, call)
        drafting = time.perf_counter()
        route = await self._route(ask, call)
        draft = await self._draft(ask, scene, call, route)
        backend_ms = 1000 * (time.perf_counter() - drafting)
        proposals, assumed = await self._propose(ask, scene, draft)
        occasion = Occasion(call.tenant, ask.user_id, call.request_id, ask.count, answers.origin(draft))
        arranged = await arrange(proposals, scene.learned, self._embedder, occasion)
        advance = assume(arranged.assumed, occasion, self._limits.undo_seconds)
        answer = answers.body(
            call=call,
            round_=scene.thread.next_round,
            draft=draft,
            arm=route.arm,
            adapter_missing=route.degraded,
            hypotheses=arranged.hypotheses,
            auto_advance=advance_body(advance, arranged.hypotheses, scene.learned.bound.bound),
            memories=scene.memories,
            facets=scene.profile.facets,
            tokens=scene.fitted.tokens,
            total_ms=1000 * (time.perf_counter() - began),
            backend_ms=backend_ms,
        )
        interaction = answers.interaction(
            ask.user_id, ask.input_text, call, answer, draft, assumed, scene.fitted, arranged.shown
        )
        await self._store.add_interaction(interaction)
        if advance is not None:
            await self._store.open_advance(advance)
        self._collector.record_hypotheses(interaction)
        if self._trials is not None:
            await self._trials.note(
                route, ask.user_id, call, answer, draft.task, draft.by_model, draft.model_ms
            )
        return answer

    async def _route(self, ask: Ask, call: Call) -> Route:
        """A caller who names an adapter gets that one, and is in no experiment."""
        if self._trials is None or ask.lora_name is not None:
            return Route()
        return await self._trials.route(call.tenant, ask.user_id)

    async def _scene(self, ask: Ask, call: Call) -> Scene:
        thread, profile, (examples, learned), fitted = await asyncio.gather(
            read_thread(self._store, call.tenant, ask.user_id, ask.session_id),
            self._persona.profile(call.tenant, ask.user_id),
            self._examples(ask, call.tenant),
            fit(ask.context, ask.conversation, self._limits.context_tokens, self._slm, call),
        )
        memories: tuple[RankedMemory, ...] = ()
        if profile.memory_version:
            found = await self._ranking.rank_memories(
                ask.user_id,
                ask.input_text,
                tenant=call.tenant,
                top_k=_MEMORIES,
                rerank=False,
                call=call,
                memory_version=profile.memory_version,
            )
            memories = found.results
        return Scene(thread, profile, memories, examples, fitted, learned)

    async def _examples(self, ask: Ask, tenant: str) -> tuple[tuple[Example, ...], LearnedChoices]:
        """What was shipped and what was learned, in one ranking; without the latter where no vectors are."""
        choices = LearnedChoices()
        own_row_is_a_leak = self._slm.name != self._local.name
        learned: list[Example] = []
        with suppress(BackendError):
            state = await self._learned.get(tenant)
            choices = state.choices
            learned = await state.resembling(
                ask.input_text, ask.user_id, _LEARNED, exclude_same=own_row_is_a_leak
            )
        examples = await self._playbook.resembling(
            ask.input_text, _NEIGHBOURS, exclude_own_row=own_row_is_a_leak, also=learned
        )
        return examples, choices

    async def _draft(self, ask: Ask, scene: Scene, call: Call, route: Route) -> answers.Draft:
        if scene.thread.is_over:
            return answers.Draft.closed(self._slm.name, scene.thread.last_clarity)
        context = dict(scene.fitted.context)
        if self._limits.enrich:
            enriched = await self._slm.run(EnrichContext(ask.input_text, context), call)
            context["implicit_goals"] = list(enriched.value.implicit_goals)
        else:
            enriched = None
        wanted = GenerateHypotheses(
            user_input=scene.thread.resolve(ask.input_text),
            context=context,
            conversation=scene.fitted.conversation,
            memories=tuple(ranked.memory.text for ranked in scene.memories),
            facets=scene.profile.facets,
            examples=scene.examples,
            asked=scene.thread.asked,
            count=ask.count,
        )
        judge = JudgeClarity(wanted.user_input, context, wanted.conversation, wanted.examples)
        spare = replace(wanted, count=wanted.count + _SPARE)
        if self._slm.name == self._local.name:
            clarity, written = await asyncio.gather(self._slm.run(judge, call), self._slm.run(spare, call))
            return answers.Draft(
                clarity,
                written,
                written.value,
                enriched,
                scene.fitted.calls,
                prompt=self._prompt_for(wanted),
            )
        routed = call if route.adapter is None else replace(call, adapter=route.adapter)
        clarity, written, known = await asyncio.gather(
            self._slm.run(judge, call), self._slm.run(wanted, routed), self._local.run(spare, call)
        )
        unasked = None if written.messages else self._prompt_for(wanted)
        return answers.Draft(
            clarity, written, known.value, enriched, scene.fitted.calls, prompt=unasked, task=wanted
        )

    async def _propose(
        self, ask: Ask, scene: Scene, draft: answers.Draft
    ) -> tuple[list[Proposal], list[tuple[Hypothesis, Facet]]]:
        """What could be asked, and what need not be asked because the persona answers it."""
        lists = self._lists(draft)
        merged = await merge(lists, self._embedder, ask.count + _SPARE, scene.thread.asked)
        details = [hypothesis.detail for hypothesis in merged]
        answering = await self._persona.answered(scene.profile, details, ask.input_text)
        matches = await self._persona.matches(scene.profile, details)
        open_, assumed = [], []
        for hypothesis, facet, match in zip(merged, answering, matches, strict=True):
            if facet is None:
                open_.append(Proposal(hypothesis, match, agreement(hypothesis, len(lists))))
            else:
                assumed.append((hypothesis, facet))
        return open_, assumed

    def _lists(self, draft: answers.Draft) -> list[Sequence[Hypothesis]]:
        if draft.written is None or draft.written.producer == self._local.name:
            return [draft.from_playbook]
        if self._limits.model_alone:
            return [draft.written.value]
        return [draft.written.value, draft.from_playbook]

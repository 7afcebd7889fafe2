"""The conductor of selections, choices and feedback: committed first, learned from right after."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from app.clients.slm.base import Call
from app.errors import Conflict, InvalidInput, NotFound
from app.models import Choice, Feedback, Interaction, Selection, Statement, Turn
from app.services.advances import contradicts, detail_of, token_of
from app.services.background import Background
from app.services.evidence import of_choice, of_feedback, of_selection, of_undo
from app.services.facets import Evidence
from app.services.feedback import check_marks
from app.services.hypothesizer import Ask, Hypothesizer
from app.services.learned import LearnedStates
from app.services.locks import KeyedLocks
from app.services.persona import PersonaService
from app.services.threads import Thread, read_thread
from app.services.training import TrainingDataCollector
from app.storage.base import Advances, Interactions, Personas

Learned = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Pick:
    """What a user did with an answer. `hypothesis_id` None: none of these."""

    request_id: str
    hypothesis_id: str | None
    option: str | None = None
    free_text: str | None = None


class Answers(Interactions, Advances, Personas, Protocol):
    """Of the store, what this conductor reads and writes."""


class Learner:
    """Nothing is acknowledged before it is committed; nothing is learned twice."""

    def __init__(
        self,
        store: Answers,
        persona: PersonaService,
        hypothesizer: Hypothesizer,
        collector: TrainingDataCollector,
        background: Background,
        learned: LearnedStates,
    ) -> None:
        self._store, self._persona, self._hypothesizer = store, persona, hypothesizer
        self._collector, self._background = collector, background
        self._requests = KeyedLocks()
        self._learned = learned

    async def settle(self, tenant: str, user_id: str) -> None:
        """Wait, briefly, until what this user said last has reached the persona."""
        await self._background.settle((tenant, user_id))

    async def catch_up(self) -> None:
        """Learn what was acknowledged but had not reached the persona when the process before this ended."""
        for tenant, user_id in await self._store.personas_behind():
            await self._learn(tenant, user_id)

    async def refold(self, tenant: str, user_id: str) -> None:
        """Learn what is left to learn of this user, then write the persona anew from all of it."""
        await self._background.in_turn((tenant, user_id), self._refold(tenant, user_id))

    async def _refold(self, tenant: str, user_id: str) -> None:
        await self._update_persona(tenant, user_id)
        await self._persona.refold(tenant, user_id)

    async def select(self, pick: Pick, call: Call) -> dict[str, Any]:
        """The body of the contract. NotFound, InvalidInput, or Conflict with an earlier selection."""
        async with self._requests(call.tenant, pick.request_id):
            return await self._select(pick, call)

    async def _select(self, pick: Pick, call: Call) -> dict[str, Any]:
        shown = await self._shown(call.tenant, pick.request_id)
        _check(pick, shown)
        said = Selection(
            request_id=shown.id,
            tenant=call.tenant,
            user_id=shown.user_id,
            hypothesis_id=pick.hypothesis_id,
            option=pick.option,
            free_text=pick.free_text,
            created_at=datetime.now(UTC),
        )
        stored, is_new = await self._store.add_selection(said)
        self._learned.touched(call.tenant)
        if stored.outcome is not None:
            return dict(stored.outcome)
        assumed = await self._still_assumed(shown, stored)
        evidence = of_selection(stored, shown)
        if is_new:
            self._collector.record_selection(shown, stored)
        await self._learn(call.tenant, shown.user_id)
        thread = await read_thread(self._store, call.tenant, shown.user_id, shown.session_id)
        outcome = {
            "request_id": shown.id,
            "session_id": shown.session_id,
            "learned": _learned(evidence),
            "resolved_request": thread.resolve(shown.input_text),
            "assumptions": [*shown.record.get("assumptions", []), *assumed],
            "next": await self._next_round(shown, thread, call),
        }
        return dict(await self._store.set_outcome(call.tenant, shown.id, outcome))

    async def undo(self, tenant: str, token: str) -> dict[str, Any]:
        """Take an assumption back; twice is answered alike. NotFound, or Conflict once it is late."""
        now = datetime.now(UTC)
        advance = await self._store.undo_advance(tenant, token, now)
        asked = await self._store.get_interaction(tenant, advance.request_id)
        if asked is None:
            raise NotFound("There is no request behind this undo_token.")
        if advance.outcome != "undone":
            raise Conflict(f"The time to undo this ended at {advance.expires_at.isoformat()}.")
        self._learned.touched(tenant)
        if advance.settled_at == now:
            self._collector.record_undo(asked, advance)
        evidence = of_undo(advance, asked)
        await self._learn(tenant, advance.user_id)
        undone = {
            "hypothesis_id": advance.hypothesis_id,
            "detail": evidence.name,
            "option": advance.option,
        }
        return {"request_id": asked.id, "undone": undone, "learned": _learned(evidence)}

    async def choose(
        self, tenant: str, user_id: str, input_text: str, options: tuple[str, ...], selected: str
    ) -> dict[str, Any]:
        """Keep a choice made elsewhere and learn from it."""
        choice = Choice(uuid.uuid4().hex, tenant, user_id, input_text, options, selected, datetime.now(UTC))
        await self._store.add_choice(choice)
        self._learned.touched(tenant)
        self._collector.record_choice(choice)
        await self._learn(tenant, user_id)
        return {"id": choice.id, "learned": _learned(of_choice(choice))}

    async def feed_back(
        self,
        tenant: str,
        user_id: str,
        request_id: str | None,
        *,
        rating: float,
        comment: str | None,
        correction: str | None,
        useful: tuple[str, ...],
        not_useful: tuple[str, ...],
    ) -> dict[str, Any]:
        """Keep a judgement and learn from it; the same judgement twice is learned once.

        Marks must name what that request showed. A correction is the user's own word and enters the
        persona; a rating of 1 or -1 of an answer from which something was selected supports or opposes
        the facets which that selection taught. Raises NotFound, InvalidInput.
        """
        about = None if request_id is None else await self._store.get_interaction(tenant, request_id)
        if request_id is not None and (about is None or about.user_id != user_id):
            raise NotFound(f"There is no request {request_id!r} of this user.")
        check_marks(about, useful, not_useful)
        feedback = Feedback(
            id=uuid.uuid4().hex,
            tenant=tenant,
            user_id=user_id,
            request_id=request_id,
            rating=rating,
            comment=comment,
            correction=correction,
            useful=useful,
            not_useful=not_useful,
            created_at=datetime.now(UTC),
        )
        await self._store.add_feedback(feedback)
        self._learned.touched(tenant)
        self._collector.record_feedback(feedback, about)
        await self._learn(tenant, user_id)
        return {"id": feedback.id, "learned": await self._judged(feedback, about)}

    async def _judged(self, feedback: Feedback, about: Interaction | None) -> Learned:
        """What a judgement speaks of: its correction, or of a full rating what the selection taught."""
        evidence = None if about is None else of_feedback(feedback, about)
        if evidence is None or about is None or not evidence.judges:
            return _learned(evidence)
        picked = await self._store.get_selection(feedback.tenant, about.id)
        taught = None if picked is None else of_selection(picked, about)
        return _learned(None if taught is None else replace(taught, kind="feedback"))

    async def state(self, tenant: str, user_id: str, facets: Sequence[tuple[str, str | None]]) -> None:
        """What users say of themselves, (name, value) by (name, value): None ends the facet."""
        now = datetime.now(UTC)
        said = [Statement(uuid.uuid4().hex, tenant, user_id, name, value, now) for name, value in facets]
        await self._store.add_statements(said)
        self._learned.touched(tenant)
        await self._background.in_turn((tenant, user_id), self._update_persona(tenant, user_id))

    async def _still_assumed(self, shown: Interaction, said: Selection) -> list[dict[str, str]]:
        """The auto-advance of that request, unless it was taken back, be it by another answer."""
        token = token_of(shown)
        advance = None if token is None else await self._store.get_advance(shown.tenant, token)
        if advance is None:
            return []
        if contradicts(said, advance):
            advance = await self._store.undo_advance(shown.tenant, advance.token, said.created_at)
            self._learned.touched(shown.tenant)
            if advance.settled_at == said.created_at:
                self._collector.record_undo(shown, advance)
        if advance.outcome == "undone" or said.hypothesis_id == advance.hypothesis_id:
            return []
        return [{"detail": detail_of(shown, advance), "option": advance.option, "source": "habit"}]

    async def _learn(self, tenant: str, user_id: str) -> None:
        await self._background.submit((tenant, user_id), self._update_persona(tenant, user_id))

    async def _update_persona(self, tenant: str, user_id: str) -> None:
        for lesson in await self._persona.learn(tenant, user_id):
            for before, after in lesson.pairs:
                self._collector.record_persona_update(
                    tenant, user_id, before, after, lesson.record_id, lesson.origin
                )

    async def _shown(self, tenant: str, request_id: str) -> Interaction:
        shown = await self._store.get_interaction(tenant, request_id)
        if shown is None or shown.kind != "hypothesize":
            raise NotFound(f"There is no request {request_id!r} to select from.")
        return shown

    async def _next_round(self, shown: Interaction, thread: Thread, call: Call) -> dict[str, Any] | None:
        """The next round; None where the thread is over, the request is clear or nothing is left to ask."""
        if thread.is_over:
            return None
        ask = Ask(
            user_id=shown.user_id,
            input_text=shown.input_text,
            context=shown.record.get("context", {}),
            conversation=tuple(Turn(**turn) for turn in shown.record.get("conversation", [])),
            session_id=shown.session_id,
            count=max(1, len(shown.answer["hypotheses"])),
        )
        answer = await self._hypothesizer.hypothesize(ask, replace(call, request_id=uuid.uuid4().hex))
        return answer if answer["needs_clarification"] and answer["hypotheses"] else None


def _check(pick: Pick, shown: Interaction) -> None:
    """InvalidInput where pick and answer do not fit together."""
    offered = {hypothesis["id"]: hypothesis for hypothesis in shown.answer["hypotheses"]}
    if pick.hypothesis_id is None:
        if pick.option is not None:
            raise InvalidInput("option goes with a hypothesis_id; use free_text for words of your own")
        return
    if pick.hypothesis_id not in offered:
        raise InvalidInput(f"hypothesis_id must be null or one of {sorted(offered)}")
    options = offered[pick.hypothesis_id]["options"]
    if pick.option is not None and pick.option not in options:
        raise InvalidInput(f"option must be one of {options}; use free_text for other words")


def _learned(evidence: Evidence | None) -> Learned:
    if evidence is None:
        return []
    return [{"kind": evidence.kind, "name": evidence.name, "value": evidence.selected}]

"""What was learned, as a fold over what is stored: in one order, so that going on equals starting over."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Protocol

import orjson

from app.clients.embedding.base import Embedder, Vectors
from app.models import Advance, Choice, Example, Feedback, Interaction, PlaybookEdit, Selection
from app.services.habits import Offer
from app.services.learned_choices import ALPHA, DELTA, LearnedChoices, offer_texts
from app.services.learned_playbook import LearnedPlaybook
from app.services.lessons import Wording, disliked, lesson, passed, shown_to, written
from app.storage.base import Advances, Event, Learning
from app.text import stems

TENANTS = 64
"""So many are kept in memory; the one unasked for longest goes and is folded again when needed."""
_PAGE = 200
_RECHECK_SECONDS = 1.0


class LearnedState:
    """All that one tenant's events teach. Nothing in it knows the clock or another tenant."""

    def __init__(
        self, tenant: str, epoch: int, embedder: Embedder, wording: Wording, choices: LearnedChoices
    ) -> None:
        self.tenant, self.epoch, self.seq = tenant, epoch, 0
        self.events = 0
        self.playbook, self.choices = LearnedPlaybook(), choices
        self._embedder, self._wording = embedder, wording

    async def apply(self, events: Sequence[Event]) -> None:
        """Fold in the events that follow `seq`, in order. Raises BackendError where the embedder fails."""
        texts = [event.interaction.input_text if event.interaction else "" for event in events]
        offered = [offer_texts(event.interaction, event.record) for event in events]
        vectors = await self._embedder.embed([*texts, *(text for offer in offered for text in offer)])
        end = len(events)
        for event, vector, offer in zip(events, vectors[:end], offered, strict=True):
            begin, end = end, end + len(offer)
            self._apply(event, vector, Offer(vectors[begin], vectors[begin + 1 : end]) if offer else None)

    def _apply(self, event: Event, vector: Vectors, offer: Offer | None) -> None:
        self.seq = event.seq
        self.events += 1
        asked = event.interaction
        match event.record:
            case Selection() as said if asked is not None:
                self._heard(asked, said.free_text)
                for skipped in passed(asked, said, self._wording):
                    self.playbook.pass_over(skipped, vector)
                if learned := lesson(asked, said, self._wording):
                    self.playbook.learn(learned, vector, self.events)
                self.choices.selected(asked, said, offer)
            case Advance() as advance if asked is not None:
                self.choices.settled(asked, advance, offer)
            case Feedback() as said if asked is not None:
                self._heard(asked, said.comment, said.correction)
                for skipped in disliked(asked, said, self._wording):
                    self.playbook.pass_over(skipped, vector)
            case Choice() as choice:
                texts = " ".join((choice.input_text, choice.selected, *choice.options))
                self.playbook.heard(choice.user_id, stems(texts), (), self.events)
            case PlaybookEdit() as edit:
                self.playbook.edit(edit)
            case _:
                pass

    def _heard(self, asked: Interaction, *texts: str | None) -> None:
        self.playbook.heard(asked.user_id, written(asked, *texts), shown_to(asked), self.events)

    async def resembling(
        self, text: str, user_id: str, k: int, *, exclude_same: bool = False
    ) -> list[Example]:
        """Learned examples for a request of this user, likest first."""
        vector = (await self._embedder.embed([text]))[0]
        return self.playbook.resembling(vector, user_id, k, exclude_same=exclude_same)

    def snapshot(self) -> dict[str, Any]:
        """All of the state that shows in an answer, in plain values."""
        books = [None, *self.playbook.users()]
        return {
            "events": self.events,
            "choices": self.choices.snapshot(),
            "withheld": self.playbook.withheld,
            "playbook": {
                book or "": [asdict(entry) for entry in self.playbook.entries(book)] for book in books
            },
        }

    def fingerprint(self) -> str:
        """The same for the same state, in any process."""
        return blake2b(orjson.dumps(self.snapshot()), digest_size=16).hexdigest()


class Source(Learning, Advances, Protocol):
    """Of the store, what is folded; what nobody took back in time is written down as silence first."""


class LearnedStates:
    """The states of all tenants, each caught up with the store when it is asked for."""

    def __init__(
        self,
        store: Source,
        embedder: Embedder,
        wording: Wording,
        clock: Callable[[], float] = time.monotonic,
        *,
        alpha: float = ALPHA,
        delta: float = DELTA,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`alpha`, `delta`: of the bound under which an option is assumed; see AdvanceBound."""
        self._alpha, self._delta, self._now = alpha, delta, now
        self._store, self._embedder, self._wording, self._clock = store, embedder, wording, clock
        self._states: OrderedDict[str, LearnedState] = OrderedDict()
        self._checked: dict[str, float] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def touched(self, tenant: str) -> None:
        """Something was stored or erased: the next `get` looks."""
        self._checked.pop(tenant, None)

    async def get(self, tenant: str) -> LearnedState:
        """The state with all that this process stored; what others stored shows within a second.

        Raises StorageError, BackendError.
        """
        async with self._locks.setdefault(tenant, asyncio.Lock()):
            state = self._states.get(tenant)
            looked = self._checked.get(tenant)
            if state is None or looked is None or self._clock() - looked >= _RECHECK_SECONDS:
                self._checked[tenant] = self._clock()
                state = await self._caught_up(tenant, state)
            self._keep(tenant, state)
            return state

    async def refolded(self, tenant: str, page: int = _PAGE) -> LearnedState:
        """The state folded from nothing, `page` events at a time, and not kept."""
        head = await self._store.learning_head(tenant)
        state = self._empty(tenant, head.epoch)
        await self._read(state, page)
        return state

    async def _caught_up(self, tenant: str, state: LearnedState | None) -> LearnedState:
        try:
            await self._store.lapse_advances(tenant, self._now())
            head = await self._store.learning_head(tenant)
            if state is None or state.epoch != head.epoch:
                state = self._empty(tenant, head.epoch)
            if state.seq < head.seq:
                await self._read(state, _PAGE)
        except BaseException:
            self.touched(tenant)
            raise
        return state

    def _empty(self, tenant: str, epoch: int) -> LearnedState:
        choices = LearnedChoices(self._alpha, self._delta)
        return LearnedState(tenant, epoch, self._embedder, self._wording, choices)

    async def _read(self, state: LearnedState, page: int) -> None:
        while events := await self._store.events_after(state.tenant, state.seq, page):
            await state.apply(events)

    def _keep(self, tenant: str, state: LearnedState) -> None:
        self._states[tenant] = state
        self._states.move_to_end(tenant)
        while len(self._states) > TENANTS:
            gone, _ = self._states.popitem(last=False)
            self._checked.pop(gone, None)
            self._locks.pop(gone, None)
